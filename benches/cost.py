#!/usr/bin/env python3
"""Cost of a token by parameters, batch size and length, in one run (for developers).

    python3 benches/cost.py target/release/apeft [--device cpu] [--shapes llama-4m,llama-110m] [--batch 1,16,64] [--new 64,256,1024]

Runs `apeft bench` for each shape and number of new tokens, and prints tokens/s, and in brackets the share of the limit that it is
nearer to: of the memory bandwidth (b) or of matrix products (p). Cost that grows faster than operations shows as a falling share.
"""
import argparse, json, subprocess

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("apeft")
parser.add_argument("--device", default="cpu")
parser.add_argument("--shapes", default="llama-4m,llama-110m")
parser.add_argument("--batch", default="1,16,64")
parser.add_argument("--new", default="64,256,1024")
parser.add_argument("--rounds", default="3")
options = parser.parse_args()


def cell(figure):
    shares = [(figure["of_products"], "p")] + ([(figure["of_bandwidth"], "b")] if figure["of_bandwidth"] is not None else [])
    share, limit = max(shares)
    return f"{figure['tokens_per_s']:,.0f} ({100 * share:.0f} % {limit})"


print("| shape | what | new tokens |", " | ".join(f"batch {batch}" for batch in options.batch.split(",")), "|")
print("| --- | --- | --- |" + " --- |" * len(options.batch.split(",")))
for shape in options.shapes.split(","):
    for place, new in enumerate(options.new.split(",")):
        command = [options.apeft, "bench", "--json", "--shape", shape, "--device", options.device, "--batch", options.batch, "--new", new]
        found = subprocess.run([*command, "--rounds", options.rounds, "--temperature", "0"], check=True, capture_output=True)
        figures = json.loads(found.stdout)["figures"]
        rows = [("sampling", new)] + ([("log-probabilities", "")] if place == 0 else [])
        for what, length in rows:
            cells = [cell(figure) for figure in figures if figure["what"] == what]
            print(f"| {shape} | {what} | {length} |", " | ".join(cells), "|", flush=True)
