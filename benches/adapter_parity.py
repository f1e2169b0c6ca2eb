#!/usr/bin/env python3
"""Hold an adapter that `tune` wrote against PEFT: the log-probabilities of answers, with the adapter and merged.

    adapter_parity.py APEFT MODEL TUNED PAIRS.jsonl

APEFT: the program. MODEL: the directory that was tuned. TUNED: the artifact of a `tune` stage with `lora_rank`, which holds the
merged model and, in `adapter/`, the PEFT directory. PAIRS: texts, whose prompts' tokens begin those of prompt and answer.
Prints the largest relative difference; fails above 1e-5. Needs torch, transformers and peft.
"""
import json, subprocess, sys
import torch
from peft import PeftModel
from transformers import AutoModelForCausalLM, AutoTokenizer

program, model, tuned, pairs = sys.argv[1:]
rows = [json.loads(line) for line in open(pairs)]
tokenizer = AutoTokenizer.from_pretrained(model)


def load(directory):
    return AutoModelForCausalLM.from_pretrained(directory, dtype=torch.float32).eval()


def theirs(network):
    for row in rows:
        for kind in ("chosen", "rejected"):
            prompt = tokenizer(row["prompt"]).input_ids
            whole = tokenizer(row["prompt"] + row[kind] + tokenizer.eos_token).input_ids
            with torch.no_grad():
                scores = torch.log_softmax(network(torch.tensor([whole])).logits[0].double(), -1)
            yield sum(scores[place - 1, whole[place]].item() for place in range(len(prompt), len(whole)))


def ours(directory, *more):
    said = subprocess.run([program, "logprobs", directory, "--pairs", pairs, *more], check=True, capture_output=True, text=True)
    for line in said.stdout.splitlines():
        row = json.loads(line)
        yield from (row["chosen_logp"], row["rejected_logp"])


worst = 0.0
adapted = list(theirs(PeftModel.from_pretrained(load(model), f"{tuned}/adapter").eval()))
for name, expected, found in [
    ("PEFT and our adapter", adapted, ours(model, "--adapter", tuned)),
    ("PEFT and our merged model", adapted, ours(tuned)),
    ("transformers and PEFT on the merged model", list(theirs(load(tuned))), iter(adapted)),
]:
    apart = max(abs(one - other) / abs(one) for one, other in zip(expected, found, strict=True))
    print(f"{name}: {apart:.1e}")
    worst = max(worst, apart)
sys.exit(worst > 1e-5)
