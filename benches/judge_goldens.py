#!/usr/bin/env python3
"""Log-odds of True against False by transformers (for developers; needs torch and transformers).

    benches/judge_goldens.py MODEL                    writes tests/data/judge/NAME.json, for the claims of tests/data/judge
    benches/judge_goldens.py MODEL FOLDER VERDICTS    compares verdicts.jsonl of `verify` with `by = "model"` on the first 200 claims
                                                      of FOLDER (claims.jsonl and passages.jsonl) that have log-odds

The prompt is that of recipes/verifier/rows.py, so that training rows and verdicts are also known to be the same texts. Each
prompt is computed alone, in float32. Exits with 1 if a difference is above 1e-4.
"""
import importlib.util, json, os, pathlib, sys
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

ROOT = pathlib.Path(__file__).resolve().parent.parent
spec = importlib.util.spec_from_file_location("rows", ROOT / "recipes/verifier/rows.py")
rows = importlib.util.module_from_spec(spec)
spec.loader.exec_module(rows)

SPELLINGS = [[space + word for word in (name, name.lower(), name.upper()) for space in (" ", "")] for name in ("True", "False")]

def first_tokens(tokenizer):
    first = [{tokenizer(text, add_special_tokens=False).input_ids[0] for text in texts} for texts in SPELLINGS]
    return sorted(first[0] - first[1]), sorted(first[1] - first[0])

def log_odds(model, tokenizer, asked):
    of_true, of_false = first_tokens(tokenizer)
    for one in asked:
        text = rows.prompt(one["topic"], one["passages"], one["claim"])
        with torch.no_grad():
            logits = model(torch.tensor([tokenizer(text).input_ids])).logits[0, -1].double()
        yield (logits[of_true].logsumexp(0) - logits[of_false].logsumexp(0)).item()

def read(path):
    return [json.loads(line) for line in open(path, encoding="utf-8")]

def main():
    directory = pathlib.Path(sys.argv[1])
    model = AutoModelForCausalLM.from_pretrained(directory, dtype=torch.float32).eval()
    tokenizer = AutoTokenizer.from_pretrained(directory)
    if len(sys.argv) == 2:
        found = list(log_odds(model, tokenizer, read(ROOT / "tests/data/judge/claims.jsonl")))
        name = directory.parent.name if directory.name == "hf" else directory.name
        (ROOT / f"tests/data/judge/{name}.json").write_text(json.dumps(found, indent=1) + "\n")
        return
    folder, verdicts = pathlib.Path(sys.argv[2]), read(sys.argv[3])
    claims = {row["id"]: row for row in read(folder / "claims.jsonl")}
    passages = {row["claim_id"]: row["passages"] for row in read(folder / "passages.jsonl")}
    verdicts = [row for row in verdicts if "log_odds" in row][:200]
    asked = [{"topic": claims[row["claim_id"]].get("topic", ""), "claim": claims[row["claim_id"]]["text"],
              "passages": [(passage["title"], passage["text"]) for passage in passages[row["claim_id"]]]} for row in verdicts]
    differences = [abs(row["log_odds"] - theirs) for row, theirs in zip(verdicts, log_odds(model, tokenizer, asked))]
    print(f"{len(differences)} claims, largest difference {max(differences):.1e}, mean {sum(differences) / len(differences):.1e}")
    sys.exit(max(differences) > 1e-4)

main()
