# The doors of the house; `just --list` shows them.

# Trains, asks, checks, tunes and evaluates: the quickstart, from nothing to its report.
demo *arguments:
    cargo run --release -- run recipes/quickstart.toml {{arguments}}

# All tests.
test *filter:
    cargo test --release {{filter}}

# Everything that the continuous integration checks.
check:
    bash .ci/run

# Compares the arms of a recipe's matrix over its seeds.
sweep recipe="recipes/apeft.toml" *arguments:
    cargo run --release -- sweep {{recipe}} {{arguments}}

# Hands damaged files to the readers of model directories, for so many seconds.
fuzz seconds="600" *arguments:
    cd tests/fuzz && cargo run --release -- -max_total_time={{seconds}} -max_len=65536 -rss_limit_mb=12000 {{arguments}} corpus

# Speed on this machine.
bench *arguments:
    cargo run --release -- bench {{arguments}}
