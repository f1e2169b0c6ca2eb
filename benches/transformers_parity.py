#!/usr/bin/env python3
"""Check that transformers and this program agree on models, both ways (for developers; needs torch and transformers).

    benches/transformers_parity.py MAKE_MODEL.py [WORK_FOLDER]

MAKE_MODEL.py is the peers' script that writes a model directory with transformers' own logits and greedy tokens. For
several shapes of Llama it is run, then `cargo test ... transformers_parity` reads those directories, compares logits and
greedy tokens, and writes each model again, a fresh model with a tokenizer of its own, and its logits; here transformers
loads what was written and compares. Exits with 1 at the first disagreement.
"""
import json, os, subprocess, sys, tempfile
import torch
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, AutoTokenizer

SHAPES = {
    "untied": [], "tied": ["--tie"], "one-kv-head": ["--kv-heads", "1"], "all-kv-heads": ["--kv-heads", "8"],
    "shards": ["--shard-mb", "5"], "bf16": ["--dtype", "bfloat16"], "f16": ["--dtype", "float16", "--tie"],
    "theta": ["--rope-theta", "500000", "--seed", "3"],
}
TEXTS = ["Marie Curie was born in Warsaw in 1867.", "", " two  spaces", "naïve café, 你好 & 42%!\n\ttab", "The capital of France is"]

def main():
    make, work = sys.argv[1], sys.argv[2] if len(sys.argv) > 2 else tempfile.mkdtemp()
    for name, options in SHAPES.items():
        subprocess.run([sys.executable, make, "llama", f"{work}/{name}", *options], check=True, capture_output=True)
    json.dump(TEXTS, open(f"{work}/texts.json", "w"))
    command = ["cargo", "test", "--release", "--lib", "transformers_parity", "--", "--ignored", "--nocapture"]
    subprocess.run(command, check=True, env={**os.environ, "APEFT_PARITY": work})
    for name in SHAPES:
        theirs = AutoModelForCausalLM.from_pretrained(f"{work}/{name}", dtype=torch.float32).state_dict()
        again = AutoModelForCausalLM.from_pretrained(f"{work}/{name}/again", dtype=torch.float32).state_dict()
        assert theirs.keys() == again.keys(), name
        assert all(torch.equal(theirs[key], again[key]) for key in theirs), name
        print(f"{name}: identical after reading and writing")
    model, info = AutoModelForCausalLM.from_pretrained(f"{work}/fresh", output_loading_info=True)
    assert not any(info[key] for key in ("missing_keys", "unexpected_keys", "mismatched_keys")), info
    reference = load_file(f"{work}/fresh/ours.safetensors")
    with torch.no_grad():
        logits = model.eval()(input_ids=reference["input_ids"].long()[None]).logits[0]
    difference = (logits - reference["logits"]).abs().max().item()
    print(f"fresh: max difference of logits {difference:.1e} (largest {logits.abs().max().item():.2f})")
    assert difference < 1e-4
    tokenizer = AutoTokenizer.from_pretrained(f"{work}/fresh")
    for text, ids in zip(TEXTS, json.load(open(f"{work}/fresh/tokens.json"))):
        assert tokenizer(text).input_ids == ids, (text, tokenizer(text).input_ids, ids)
        assert tokenizer.decode(ids, skip_special_tokens=True) == text, text
    assert (tokenizer.bos_token, tokenizer.eos_token, tokenizer.pad_token) == ("<s>", "</s>", "<pad>")
    assert model.generation_config.eos_token_id == 1
    print("fresh: equal tokens; all is well")

main()
