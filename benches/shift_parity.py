#!/usr/bin/env python3
"""Hold the ranks and divergences of a `shift` stage against transformers (for developers; needs torch and transformers, and
peft where there are adapters).

    shift_parity.py SHIFT BASE TUNED [--base-adapter DIR] [--adapter DIR] [--responses FILE] [--record FILE]

SHIFT: the artifact of the stage, whose `tokens.jsonl` is read. BASE, TUNED: the model directories that it was given. With
--responses (prompts that are texts) the answers' tokens are compared with transformers' own. Prints the counts of the three
classes by domain, ours and theirs. Fails where ranks differ although no other token is near, where counts do, or where
log-probabilities or divergences are further apart than 1e-4. --record writes what transformers found, for the tests.
"""
import argparse, collections, json, sys
import torch
from transformers import AutoModelForCausalLM, PreTrainedTokenizerFast

NEAR = 1e-4  # Logits that are so near each other may change places.
parser = argparse.ArgumentParser()
for name in ("shift", "base", "tuned", "--base-adapter", "--adapter", "--responses", "--record"):
    parser.add_argument(name)
options = parser.parse_args()


def load(directory, adapter):
    model = AutoModelForCausalLM.from_pretrained(directory, dtype=torch.float32).eval()
    if adapter:
        from peft import PeftModel
        model = PeftModel.from_pretrained(model, adapter).eval()
    return model


def seen(model, prompt, tokens):
    """The logits where the answer's tokens stand, in float64."""
    with torch.no_grad():
        logits = model(input_ids=torch.tensor([prompt + tokens])).logits[0].double()
    return logits[len(prompt) - 1 : len(prompt) + len(tokens) - 1]


def ranks(logits, tokens):
    """Rank and, for ties, the least and the largest that it could be."""
    at = logits.gather(1, torch.tensor(tokens)[:, None])
    above = [1 + (logits > at + gap).sum(1) for gap in (0.0, NEAR, -NEAR)]
    # A token is within NEAR of itself.
    return [(rank.item(), low.item(), high.item() - 1) for rank, low, high in zip(*above)]


def place(rank):
    return "unshifted" if rank == 1 else "marginal" if rank <= 3 else "shifted"


base, tuned = load(options.base, options.base_adapter), load(options.tuned, options.adapter)
rows = [json.loads(line) for line in open(f"{options.shift}/tokens.jsonl")]
problems, ours, theirs = [], collections.Counter(), collections.Counter()
slack, recorded, furthest = 0, [], 0.0
for row in rows:
    before, after = (seen(model, row["prompt"], row["tokens"]) for model in (base, tuned))
    p, q = before.log_softmax(-1), after.log_softmax(-1)
    found = {
        "base_logps": p.gather(1, torch.tensor(row["tokens"])[:, None])[:, 0],
        "tuned_logps": q.gather(1, torch.tensor(row["tokens"])[:, None])[:, 0],
        "kl": (q.exp() * (q - p)).sum(-1),
        "reverse_kl": (p.exp() * (p - q)).sum(-1),
    }
    for name, values in found.items():
        apart = (values - torch.tensor(row[name], dtype=torch.float64)).abs().max().item()
        furthest = max(furthest, apart)
        if apart > 1e-4:
            problems.append(f"{row['response_id']}: {name} is {apart:.1e} apart")
    of_models = {"base_ranks": ranks(before, row["tokens"]), "tuned_ranks": ranks(after, row["tokens"])}
    for name, expected in of_models.items():
        for at, (our, (rank, low, high)) in enumerate(zip(row[name], expected, strict=True)):
            if not low <= our <= high:
                problems.append(f"{row['response_id']}, token {at}: {name} {our}, theirs {rank}")
            if name == "base_ranks":
                ours[row["domain"], place(our)] += 1
                theirs[row["domain"], place(rank)] += 1
                slack += place(low) != place(high)
    recorded.append({
        "response_id": row["response_id"], "tokens": row["tokens"],
        **{name: [list(rank) for rank in expected] for name, expected in of_models.items()},
        **{name: [round(value, 6) for value in values.tolist()] for name, values in found.items()},
    })
if options.responses:
    tokenizer = PreTrainedTokenizerFast.from_pretrained(options.tuned)
    responses = {row["id"]: row for row in map(json.loads, open(options.responses))}
    for row in rows:
        said = responses[row["response_id"]]
        whole = tokenizer(said["prompt"] + said["output"]).input_ids
        whole += [tokenizer.eos_token_id] if said["finish"] == "stop" else []
        if row["prompt"] + row["tokens"] != whole:
            problems.append(f"{row['response_id']}: other tokens than transformers' {whole}")
for domain in sorted({domain for domain, _ in theirs}):
    counts = [f"{name} {ours[domain, name]}/{theirs[domain, name]}" for name in ("unshifted", "marginal", "shifted")]
    print(f"{domain}: {', '.join(counts)} (ours/theirs)")
apart = sum(abs(ours[key] - theirs[key]) for key in ours | theirs)
print(f"{sum(theirs.values())} tokens, {slack} of them between two classes; numbers at most {furthest:.1e} apart")
if apart > 2 * slack:
    problems.append("the counts differ by more than ties in rank explain")
print("\n".join(problems) or "all is well")
if options.record:
    counts = {f"{domain} {name}": count for (domain, name), count in sorted(theirs.items())}
    with open(options.record, "w") as file:
        json.dump({"counts": counts, "answers": recorded}, file)
        file.write("\n")
sys.exit(bool(problems))
