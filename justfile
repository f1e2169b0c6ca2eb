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

# Fuzzes what people or other programs wrote: readers, settings, recipes, rows, journals, verifier, or all of them in turn.
fuzz target="all" seconds="60" *arguments:
    tests/fuzz/run {{target}} {{seconds}} {{arguments}}

# Strikes at every file-changing call of runs, collections and repairs, with errors and kills; takes about half an hour.
faults:
    APEFT_FAULTS=all cargo test --release --test it faults -- --nocapture

# All tests as on a processor without AVX-512 (Linux with CPUID faulting; tests/processor says how).
test-avx2 *filter:
    CARGO_TARGET_X86_64_UNKNOWN_LINUX_GNU_RUNNER={{justfile_directory()}}/tests/processor/without-avx512 cargo test --release {{filter}}

# Speed on this machine.
bench *arguments:
    cargo run --release -- bench {{arguments}}
