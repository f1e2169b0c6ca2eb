#!/usr/bin/env python3
"""Write small GGUF files, and what gguf-py and transformers read from them (needs gguf, torch and transformers 5).

    benches/gguf_goldens.py tests/data/gguf

`blocks.json`: for each type of tensor, random blocks as hex, and the values that gguf-py dequantises them to. `llama.gguf`,
`qwen2.gguf` and `qwen3.gguf`: models with random weights, written with gguf-py as llama.cpp's conversion writes them (Llama's
queries and keys with rotary pairs side by side, Llama 3.1's scaling as a tensor of factors). `goldens.json`: the logits that
transformers computes for them, read by its own reader of GGUF files, and the weights' names and sums. The tokenizer of
`llama.gguf` is that of `tests/data/text`, with scores in place of merges; its encodings are there in `goldens.json`.
"""
import json, os, sys
import numpy as np, torch
from gguf import GGMLQuantizationType as T, GGML_QUANT_SIZES, GGUFWriter, RopeScalingType
from gguf.quants import dequantize, quantize
from transformers import AutoConfig, AutoModelForCausalLM
from transformers.convert_slow_tokenizer import bytes_to_unicode

TYPES = [T.F32, T.F16, T.BF16, T.Q4_0, T.Q4_1, T.Q5_0, T.Q5_1, T.Q8_0, T.Q4_K, T.Q5_K, T.Q6_K]
# Where blocks have float16 scales: offsets in bytes.
SCALES = {T.Q4_0: [0], T.Q4_1: [0, 2], T.Q5_0: [0], T.Q5_1: [0, 2], T.Q8_0: [0], T.Q4_K: [0, 2], T.Q5_K: [0, 2], T.Q6_K: [208]}
HIDDEN, WIDE, HEADS, KV, BLOCKS, LENGTH = 32, 64, 4, 2, 2, 512
TOKENS = [5, 300, 17, 42, 258, 99, 7, 301, 64, 12]

def blocks(random):
    found = {}
    for kind in TYPES:
        values, size = GGML_QUANT_SIZES[kind]
        count = 512 // values if values > 1 else 32
        if kind == T.F32: raw = random.normal(0, 1, count).astype(np.float32).view(np.uint8)
        elif kind == T.F16: raw = random.normal(0, 1, count).astype(np.float16).view(np.uint8)
        elif kind == T.BF16: raw = (random.normal(0, 1, count).astype(np.float32).view(np.uint32) >> 16).astype(np.uint16).view(np.uint8)
        else:
            raw = random.integers(0, 256, (count, size), dtype=np.uint8)
            for at in SCALES[kind]:
                raw[:, at:at + 2] = random.normal(0, 0.1, count).astype(np.float16).view(np.uint8).reshape(count, 2)
            # Only enough of small blocks.
            raw = raw[:8 if values == 32 else 2].reshape(-1)
        floats = dequantize(raw.reshape(1, -1), kind).astype(np.float32).reshape(-1)
        found[kind.name] = {"bytes": raw.tobytes().hex(), "values": [float(str(value)) for value in floats]}
        assert all(np.float32(value) == exact for value, exact in zip(found[kind.name]["values"], floats))
    return found

def pairs(weight, heads):
    """llama.cpp's order of Llama's rows: rotary pairs side by side."""
    return weight.reshape(heads, 2, weight.shape[0] // heads // 2, *weight.shape[1:]).swapaxes(1, 2).reshape(weight.shape)

def llama3_factors(head, theta, factor, original, low=1.0, high=4.0):
    turns = 2 * np.pi * theta ** (np.arange(0, head, 2) / head)
    smooth = np.clip((original / turns - low) / (high - low), 0, 1)
    return (1 / ((1 - smooth) / factor + smooth)).astype(np.float32)

def sentence_piece(writer):
    folder = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../tests/data/text")
    read = json.load(open(f"{folder}/tokenizer.json"))["model"]
    tokens = sorted(read["vocab"], key=read["vocab"].get)
    # A piece is worth as much as the first merge that makes it.
    ranks = {}
    for rank, (left, right) in enumerate(read["merges"]): ranks.setdefault(left + right, rank)
    kinds = [2 if token == "<unk>" else 3 if token in ("<s>", "</s>") else 6 if token.startswith("<0x") else 1 for token in tokens]
    writer.add_tokenizer_model("llama"); writer.add_tokenizer_pre("default")
    writer.add_token_list(tokens); writer.add_token_types(kinds)
    writer.add_token_scores([-float(ranks.get(token, 1000 + i)) for i, token in enumerate(tokens)])
    writer.add_bos_token_id(1); writer.add_eos_token_id(2); writer.add_unk_token_id(0)
    writer.add_add_bos_token(True); writer.add_add_eos_token(False)
    writer.add_chat_template("{% for m in messages %}[{{ m.role }}] {{ m.content }}{{ eos_token }}{% endfor %}{% if add_generation_prompt %}[assistant]{% endif %}")
    return len(tokens)

def byte_level(writer):
    letters = list(bytes_to_unicode().values())
    merges = [("t", "h"), ("th", "e"), ("Ġ", "the"), ("i", "n"), ("Ġ", "a"), ("e", "r"), ("1", "8")]
    tokens = letters + [left + right for left, right in merges] + ["<|endoftext|>", "<|im_start|>", "<|im_end|>", "<tool>"]
    while len(tokens) < 304: tokens.append(f"[PAD{len(tokens)}]")
    kinds = [1] * 263 + [3, 3, 3, 4] + [5] * (len(tokens) - 267)
    writer.add_tokenizer_model("gpt2"); writer.add_tokenizer_pre("qwen2")
    writer.add_token_list(tokens); writer.add_token_types(kinds); writer.add_token_merges([" ".join(merge) for merge in merges])
    writer.add_eos_token_id(263); writer.add_pad_token_id(263); writer.add_add_bos_token(False)
    writer.add_chat_template("{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}")
    return len(tokens)

def write(path, name, random):
    writer = GGUFWriter(path, name)
    head = 16 if name == "qwen3" else HIDDEN // HEADS
    writer.add_context_length(LENGTH); writer.add_embedding_length(HIDDEN); writer.add_block_count(BLOCKS)
    writer.add_feed_forward_length(WIDE); writer.add_head_count(HEADS); writer.add_head_count_kv(KV)
    writer.add_layer_norm_rms_eps(1e-5); writer.add_rope_freq_base(500.0)
    vocabulary = (sentence_piece if name == "llama" else byte_level)(writer)
    writer.add_vocab_size(vocabulary)
    if name == "qwen3": writer.add_key_length(head); writer.add_value_length(head)
    def add(tensor, shape, kind, around=0.0):
        values = random.normal(around, 0.3, shape).astype(np.float32)
        if tensor.split(".")[-2] in ("attn_q", "attn_k") and name == "llama": values = pairs(values, HEADS if ".attn_q." in tensor else KV)
        writer.add_tensor(tensor, values if kind == T.F32 else quantize(values, kind), raw_dtype=kind)
    main = {"llama": T.Q8_0, "qwen2": T.F16, "qwen3": T.BF16}[name]
    add("token_embd.weight", (vocabulary, HIDDEN), main)
    if name == "llama":
        writer.add_rope_dimension_count(head)
        writer.add_tensor("rope_freqs.weight", llama3_factors(head, 500.0, 8.0, 256))
    for block in range(BLOCKS):
        at = f"blk.{block}."
        rest = T.Q4_1 if name == "llama" and block else main
        add(at + "attn_norm.weight", (HIDDEN,), T.F32, 1.0); add(at + "ffn_norm.weight", (HIDDEN,), T.F32, 1.0)
        add(at + "attn_q.weight", (HEADS * head, HIDDEN), rest); add(at + "attn_k.weight", (KV * head, HIDDEN), T.Q4_0 if name == "llama" else rest)
        add(at + "attn_v.weight", (KV * head, HIDDEN), T.Q5_0 if name == "llama" else rest); add(at + "attn_output.weight", (HIDDEN, HEADS * head), rest)
        add(at + "ffn_gate.weight", (WIDE, HIDDEN), T.Q5_1 if name == "llama" else rest)
        add(at + "ffn_up.weight", (WIDE, HIDDEN), rest); add(at + "ffn_down.weight", (HIDDEN, WIDE), rest)
        if name == "qwen2":
            for part, width in (("q", HEADS), ("k", KV), ("v", KV)): add(f"{at}attn_{part}.bias", (width * head,), T.F32)
        if name == "qwen3":
            for part in "qk": add(f"{at}attn_{part}_norm.weight", (head,), T.F32, 1.0)
    add("output_norm.weight", (HIDDEN,), T.F32, 1.0)
    if name == "qwen2": add("output.weight", (vocabulary, HIDDEN), main)
    writer.write_header_to_file(); writer.write_kv_data_to_file(); writer.write_tensors_to_file(); writer.close()

def read(folder, name):
    config = AutoConfig.from_pretrained(folder, gguf_file=f"{name}.gguf")
    # transformers passes over the tensor of factors, and over the length of keys.
    if name == "llama":
        config.rope_parameters = dict(rope_type="llama3", rope_theta=500.0, factor=8.0, low_freq_factor=1.0, high_freq_factor=4.0, original_max_position_embeddings=256)
    if name == "qwen3": config.head_dim = 16
    model = AutoModelForCausalLM.from_pretrained(folder, gguf_file=f"{name}.gguf", config=config, dtype=torch.float32, attn_implementation="eager").eval()
    tokens = [token % model.config.vocab_size for token in TOKENS]
    with torch.no_grad(): logits = model(torch.tensor([tokens])).logits[0]
    sums = {key: float(value.double().abs().sum()) for key, value in sorted(model.state_dict().items())}
    return {"tokens": tokens, "logits": [round(float(value), 6) for value in logits[-1]], "best": logits.argmax(-1).tolist(), "sums": sums}

def main():
    folder = sys.argv[1]
    os.makedirs(folder, exist_ok=True)
    random = np.random.default_rng(7)
    json.dump(blocks(random), open(f"{folder}/blocks.json", "w"), separators=(",", ":"))
    goldens = {}
    for name in ("llama", "qwen2", "qwen3"):
        write(f"{folder}/{name}.gguf", name, random)
        goldens[name] = read(folder, name)
    json.dump(goldens, open(f"{folder}/goldens.json", "w"), separators=(",", ":"))

main()
