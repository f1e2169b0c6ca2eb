#!/usr/bin/env python3
"""Compare apeft with transformers on SmolLM2-135M-Instruct from a GGUF file (for developers; needs gguf, torch, transformers).

    benches/smollm2_parity.py MODEL_DIRECTORY GGUF_FILE TEST_PROGRAM APEFT [TOKENIZER_JSON]

MODEL_DIRECTORY is what `apeft convert GGUF_FILE` wrote (`recipes/smollm2.sh`); TEST_PROGRAM is the unit tests' executable, whose
ignored test `smollm2_parity` writes apeft's tokens and log-probabilities; APEFT is the program. Checked: the weights are
those of gguf-py, to the last bit; log-probabilities of every token of 20 texts within 1e-4 of transformers'; the same tokens
for odd texts, and as TOKENIZER_JSON, the original, gives them; the same greedy answers to 10 chat prompts. Exits with 1
where something differs.
"""
import json, os, subprocess, sys, tempfile
import numpy as np, torch
from gguf import GGUFReader
from gguf.quants import dequantize
from safetensors.torch import load_file
from tokenizers import Tokenizer
from transformers import AutoModelForCausalLM, AutoTokenizer

TEXTS = [
    "Marie Curie was born in Warsaw in 1867 and won the Nobel Prize twice.",
    "The capital of France is Paris, and the capital of Peru is Lima.",
    "Photosynthesis turns carbon dioxide and water into sugar and oxygen.",
    "def add(a, b):\n    return a + b\n\nprint(add(2, 3))",
    "In 2024, 3.14159 of 1,234,567 people answered \"yes\" (42 %).",
    "naïve café, Ångström, Dvořák and São Tomé",
    "你好，世界。日本語のテキスト。한국어 문장.",
    "😀 👍🏽 🇳🇴 emoji in a row",
    "   three spaces before, and two  within,\tand a tab",
    "<|im_start|>user\nWho was Ada Lovelace?<|im_end|>\n<|im_start|>assistant\nAda Lovelace was an English mathematician.<|im_end|>\n",
    "A short one.",
    "Norway has fjords; Finland has lakes; Denmark has beaches.",
    "If it rains tomorrow, we'll stay at home, won't we? I'm sure you're right.",
    "# Heading\n\n- first item\n- **second** item\n\n| a | b |\n| - | - |\n| 1 | 2 |",
    "Gold has the atomic number 79 and the symbol Au.",
    "He said: 'They've gone to O'Neill's.' She'd heard it before.",
    "https://example.org/path?query=1&other=two#part",
    "ALL CAPITALS AND camelCase and snake_case and kebab-case",
    "Привет, мир! مرحبا بالعالم. Γειά σου Κόσμε.",
    "The quick brown fox jumps over the lazy dog. " * 12,
]
ODD = ["", " ", "\n\n\n", "a\r\nb", "١٢٣ Ⅷ ²", "e\u0301", "\u200b\ufeff", "x" * 300, "1234567890", "  \n  \n", "don't DON'T", "<|im_end|><|im_end|>", "\u0000\u0001"]
ASKED = [
    "What is the capital of France?", "Who wrote Romeo and Juliet?", "Name three planets.", "What is 7 times 8?",
    "Tell me about the city of Oslo.", "Who was Marie Curie?", "Explain photosynthesis in one sentence.",
    "Write a haiku about the sea.", "What do bees make?", "Translate 'good morning' to French.",
]

def check(name, holds, figure=""):
    print(f"{'equal' if holds else 'DIFFERENT'}: {name} {figure}", flush=True)
    return holds

def halves(weight, heads):
    """transformers' order of Llama's rows, from llama.cpp's."""
    return weight.reshape(heads, weight.shape[0] // heads // 2, 2, *weight.shape[1:]).swapaxes(1, 2).reshape(weight.shape)

def weights_are_equal(directory, file):
    names = dict(attn_norm="input_layernorm", ffn_norm="post_attention_layernorm", attn_q="self_attn.q_proj", attn_k="self_attn.k_proj", attn_v="self_attn.v_proj",
                 attn_output="self_attn.o_proj", ffn_gate="mlp.gate_proj", ffn_up="mlp.up_proj", ffn_down="mlp.down_proj")
    ours, seen = load_file(f"{directory}/model.safetensors"), 0
    config = json.load(open(f"{directory}/config.json"))
    for tensor in GGUFReader(file).tensors:
        values = dequantize(tensor.data, tensor.tensor_type).astype(np.float32)
        if tensor.name.startswith("blk."):
            _, block, part, kind = tensor.name.split(".")
            heads = dict(attn_q=config["num_attention_heads"], attn_k=config["num_key_value_heads"]).get(part)
            name, values = f"model.layers.{block}.{names[part]}.{kind}", halves(values, heads) if heads else values
        else: name = {"token_embd.weight": "model.embed_tokens.weight", "output_norm.weight": "model.norm.weight"}[tensor.name]
        if not np.array_equal(ours[name].numpy(), values): return False
        seen += 1
    return seen == len(ours)

def main():
    directory, file, tests, program = sys.argv[1:5]
    tokenizer = AutoTokenizer.from_pretrained(directory)
    model = AutoModelForCausalLM.from_pretrained(directory, dtype=torch.float32).eval()
    fine = check("weights and gguf-py's", weights_are_equal(directory, file))
    with tempfile.TemporaryDirectory() as work:
        texts = TEXTS + ODD
        json.dump(texts, open(f"{work}/texts.json", "w"))
        subprocess.run([tests, "--ignored", "--exact", "model::parity::smollm2_parity"], check=True, capture_output=True,
                       env={**os.environ, "APEFT_PARITY": work, "APEFT_PARITY_MODEL": os.path.abspath(directory)})
        rows = json.load(open(f"{work}/scores.json"))
    fine &= check(f"tokens of {len(texts)} texts and transformers'", all(row["tokens"] == tokenizer(text).input_ids for text, row in zip(texts, rows)))
    if len(sys.argv) > 5:
        original = Tokenizer.from_file(sys.argv[5])
        fine &= check("tokens and the original tokenizer's", all(row["tokens"] == original.encode(text).ids for text, row in zip(texts, rows)))
    largest, count = 0.0, 0
    for row in rows[:len(TEXTS)]:
        ids = torch.tensor([row["tokens"]])
        with torch.no_grad(): scores = torch.log_softmax(model(ids).logits[0].double(), -1)
        theirs = scores[:-1].gather(1, ids[0, 1:, None])[:, 0]
        largest = max(largest, (theirs - torch.tensor(row["scores"], dtype=torch.double)).abs().max().item())
        count += len(row["scores"])
    fine &= check("log-probabilities within 1e-4", largest < 1e-4, f"(largest difference {largest:.1e}, {count} tokens)")
    asked = [argument for prompt in ASKED for argument in ("--prompt", prompt)]
    said = subprocess.run([program, "generate", directory, "--chat", "--temperature", "0", "--max-new-tokens", "48", "--json", *asked], check=True, capture_output=True, text=True)
    answers, same = json.loads(said.stdout), 0
    for prompt, answer in zip(ASKED, answers):
        ids = tokenizer.apply_chat_template([dict(role="user", content=prompt)], add_generation_prompt=True, return_tensors="pt", return_dict=True)
        with torch.no_grad(): whole = model.generate(**ids, max_new_tokens=48, do_sample=False)[0]
        theirs = whole[ids["input_ids"].shape[1]:].tolist()
        ours = answer["token_ids"]
        # apeft leaves the token away that ends an answer.
        while theirs and theirs[-1] == tokenizer.eos_token_id: theirs.pop()
        while ours and ours[-1] == tokenizer.eos_token_id: ours.pop()
        same += ours == theirs and answer["prompt_ids"] == ids["input_ids"][0].tolist()
        if ours != theirs: print("ours:", tokenizer.decode(ours), "\ntheirs:", tokenizer.decode(theirs))
    fine &= check("greedy answers", same == len(ASKED), f"({same} of {len(ASKED)})")
    sys.exit(0 if fine else 1)

main()
