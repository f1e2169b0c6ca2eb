#!/usr/bin/env python3
"""Write small models with what transformers and PEFT compute from them, for the tests (needs torch, transformers, peft).

    benches/transformers_goldens.py tests/data/models

Each folder holds config.json, the weights (in one file or several), `adapter/` with a random LoRA adapter, and
reference.json: `rows` of tokens, the `logits` after each of them (the second row computed beside padding on its left),
the same with the adapter (`adapted`), and up to 16 `greedy` tokens after the first row. All of it float32, whatever the format of
the weights.
"""
import json, os, shutil, sys, tempfile
import torch
from peft import LoraConfig, get_peft_model
from transformers import AutoModelForCausalLM, LlamaConfig, MistralConfig, Qwen2Config, Qwen3Config

DEFAULT = dict(rope_type="default", rope_theta=100.0)
LLAMA3 = dict(rope_type="llama3", rope_theta=100.0, factor=8.0, low_freq_factor=1.0, high_freq_factor=4.0, original_max_position_embeddings=24)
YARN = dict(rope_type="yarn", rope_theta=100.0, factor=8.0, original_max_position_embeddings=16)
# Name: config class, fields, format of the weights, size of a file, adapter.
MODELS = {
    "llama": (LlamaConfig, dict(rope_parameters=DEFAULT), "float32", None, dict(r=2, lora_alpha=4, target_modules=["q_proj", "v_proj"])),
    "llama-tied-bf16": (LlamaConfig, dict(rope_parameters=DEFAULT, tie_word_embeddings=True, num_key_value_heads=1), "bfloat16", None,
                        dict(r=4, lora_alpha=8, target_modules="all-linear", use_rslora=True)),
    "llama3": (LlamaConfig, dict(rope_parameters=LLAMA3, attention_bias=True, mlp_bias=True), "float32", "12KB",
               dict(r=2, lora_alpha=4, target_modules=r".*layers\.1\..*(k|up|down)_proj", rank_pattern={"up_proj": 3}, alpha_pattern={"k_proj": 9})),
    "mistral": (MistralConfig, dict(rope_parameters=DEFAULT, sliding_window=5), "float16", None,
                dict(r=1, lora_alpha=2, target_modules=["o_proj", "gate_proj"], layers_to_transform=[1])),
    "qwen2": (Qwen2Config, dict(rope_parameters=YARN, use_sliding_window=True, sliding_window=4, max_window_layers=1, num_key_value_heads=4),
              "float32", None, dict(r=2, lora_alpha=1, target_modules=["q_proj", "k_proj", "v_proj", "lm_head"])),
    "qwen3": (Qwen3Config, dict(rope_parameters={**DEFAULT, "rope_type": "linear", "factor": 2.0}, head_dim=16, attention_bias=True), "float32", None,
              dict(r=3, lora_alpha=6, target_modules=["q_proj", "down_proj"])),
}

# These differ from one of the above in a field of config.json only: what transformers' Auto classes make of the directory.
CHANGED = {
    "mistral-layer-types": ("mistral", dict(layer_types=["sliding_attention", "full_attention"])),
}

def changed(folder):
    """Gives the directories of `CHANGED` their config, with what transformers computes from it. Their weights are those of
    the other directory, where the tests read them."""
    for name, (base, fields) in CHANGED.items():
        work, path = tempfile.mkdtemp(), f"{folder}/../changed-models/{name}.json"
        shutil.copytree(f"{folder}/{base}", work, dirs_exist_ok=True)
        config = {**json.load(open(f"{work}/config.json")), **fields}
        json.dump(config, open(f"{work}/config.json", "w"), indent=2)
        model = AutoModelForCausalLM.from_pretrained(work, dtype=torch.float32).eval()
        rows = json.load(open(f"{work}/reference.json"))["rows"]
        os.makedirs(os.path.dirname(path), exist_ok=True)
        json.dump(dict(base=base, fields=fields, rows=rows, logits=logits(model, rows)), open(path, "w"))
        shutil.rmtree(work)

def main():
    for name, (kind, fields, dtype, shard, adapter) in MODELS.items():
        directory = f"{sys.argv[1]}/{name}"
        shutil.rmtree(directory, ignore_errors=True)
        torch.manual_seed(len(name))
        sizes = dict(vocab_size=48, hidden_size=32, intermediate_size=40, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2,
                     max_position_embeddings=128, bos_token_id=0, eos_token_id=1, pad_token_id=2)
        model = AutoModelForCausalLM.from_config(kind(**{**sizes, **fields}))
        with torch.no_grad():
            for key, weight in model.named_parameters():
                weight.copy_(torch.randn_like(weight) * (0.3 if weight.dim() == 2 else 0.1) + (1.0 if "norm" in key else 0.0))
        model.to(getattr(torch, dtype)).save_pretrained(directory, **({"max_shard_size": shard} if shard else {}))
        model = AutoModelForCausalLM.from_pretrained(directory, dtype=torch.float32).eval()
        rows = [[(7 * i * i + 3 * i) % 45 + 3 for i in range(length)] for length in (12, 5)]
        reference = dict(rows=rows, logits=logits(model, rows))
        prompt = torch.tensor([rows[0]])
        with torch.no_grad():
            reference["greedy"] = model.generate(prompt, max_new_tokens=16, do_sample=False)[0, len(rows[0]):].tolist()
        adapted = get_peft_model(model, LoraConfig(task_type="CAUSAL_LM", **adapter))
        with torch.no_grad():
            for key, weight in adapted.named_parameters():
                if "lora_" in key: weight.copy_(torch.randn_like(weight) * 0.3)
        adapted.eval().save_pretrained(f"{directory}/adapter")
        reference["adapted"] = logits(adapted, rows)
        json.dump(reference, open(f"{directory}/reference.json", "w"))
        for spare in ("README.md", "adapter/README.md"):
            if os.path.exists(f"{directory}/{spare}"): os.remove(f"{directory}/{spare}")
    changed(sys.argv[1])

def logits(model, rows):
    """Of all rows at once, the shorter ones padded on the left."""
    longest = max(map(len, rows))
    ids = torch.tensor([[2] * (longest - len(row)) + row for row in rows])
    mask = torch.tensor([[0] * (longest - len(row)) + [1] * len(row) for row in rows])
    with torch.no_grad():
        found = model(input_ids=ids, attention_mask=mask).logits
    return [[[round(value, 7) for value in after] for after in found[i, longest - len(row):].tolist()] for i, row in enumerate(rows)]

main()
