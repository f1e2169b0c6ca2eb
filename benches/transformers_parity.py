#!/usr/bin/env python3
"""Check that transformers, PEFT and this program agree, both ways (for developers; needs torch, transformers and peft).

    benches/transformers_parity.py MAKE_MODEL.py [WORK_FOLDER]

MAKE_MODEL.py is the peers' script that writes a model directory with transformers' own greedy tokens. It is run for every
architecture and several shapes; directories with other rotary scalings, windows and biases, and a random LoRA adapter for
each, are made here. `cargo test ... transformers_parity` then writes our logits of them (plain, bfloat16, adapted, merged),
and models and adapters of our own, which transformers and PEFT load here. The program itself is asked for greedy tokens,
log-probabilities, and copies. Exits with 1 at the first disagreement.
"""
import json, os, shutil, subprocess, sys, tempfile
import torch
from peft import LoraConfig, PeftModel, get_peft_model
from safetensors.torch import load_file, save_file
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer, PreTrainedTokenizerFast

SHAPES = {
    **{name: [name] for name in ("llama", "llama3", "mistral", "qwen2", "qwen3")},
    "tied": ["llama", "--tie"], "one-kv-head": ["llama", "--kv-heads", "1"], "all-kv-heads": ["llama", "--kv-heads", "8"],
    "shards": ["qwen2", "--shard-mb", "5"], "bf16": ["llama", "--dtype", "bfloat16"], "theta": ["llama", "--rope-theta", "5e5"],
    "f16": ["llama3", "--dtype", "float16", "--tie"], "bf16-shards": ["qwen3", "--dtype", "bfloat16", "--shard-mb", "5", "--tie"],
    "qwen3-one-kv-head": ["qwen3", "--kv-heads", "1"], "mistral-all-kv-heads": ["mistral", "--kv-heads", "8"],
}
YARN = dict(rope_type="yarn", factor=8.0, original_max_position_embeddings=32, rope_theta=10000.0)
# Of these the base is made by MAKE_MODEL.py, and the config changed.
CHANGES = {
    "linear": ("llama", dict(rope_parameters=dict(rope_type="linear", factor=4.0, rope_theta=10000.0))),
    "yarn": ("qwen2", dict(rope_parameters=YARN)),
    "yarn-mscale": ("llama", dict(rope_parameters={**YARN, "mscale": 0.7, "mscale_all_dim": 1.3, "truncate": False})),
    "yarn-factor": ("llama", dict(rope_parameters={**YARN, "attention_factor": 1.1, "beta_fast": 16.0, "beta_slow": 2.0})),
    "window": ("mistral", dict(sliding_window=5)),
    "window-qwen": ("qwen2", dict(use_sliding_window=True, sliding_window=6, max_window_layers=2)),
    "biases": ("llama", dict(attention_bias=True, mlp_bias=True)),
    "biases-qwen3": ("qwen3", dict(attention_bias=True)),
}
TEXTS = ["Marie Curie was born in Warsaw in 1867.", "", " two  spaces", "naïve café, 你好 & 42%!\n\ttab", "The capital of France is"]

def make(script, work):
    for name, options in SHAPES.items():
        subprocess.run([sys.executable, script, options[0], f"{work}/{name}", *options[1:]], check=True, capture_output=True)
    for name, (base, changes) in CHANGES.items():
        shutil.copytree(f"{work}/{base}", f"{work}/{name}")
        config = json.load(open(f"{work}/{name}/config.json"))
        config.pop("layer_types", None)
        json.dump({**config, **changes}, open(f"{work}/{name}/config.json", "w"))
        torch.manual_seed(1)
        model = AutoModelForCausalLM.from_config(AutoConfig.from_pretrained(f"{work}/{name}"), attn_implementation="eager")
        old = load_file(f"{work}/{base}/model.safetensors")
        model.load_state_dict(old, strict=False)
        with torch.no_grad():
            for key, weight in model.named_parameters():
                if key not in old: weight.normal_(0, 0.1)
        model.save_pretrained(f"{work}/{name}")
    for name in (*SHAPES, *CHANGES):
        add_adapter(f"{work}/{name}", name)

def add_adapter(directory, name):
    torch.manual_seed(2)
    variants = [
        dict(r=4, lora_alpha=8, target_modules=["q_proj", "v_proj"]),
        dict(r=8, lora_alpha=16, target_modules="all-linear", use_rslora=True),
        dict(r=4, lora_alpha=8, target_modules=r".*layers\.[0-2]\..*(q|k|down|up)_proj", rank_pattern={"k_proj": 2, "1.mlp.up_proj": 6},
             alpha_pattern={"down_proj": 32}),
        dict(r=1, lora_alpha=2, target_modules=["o_proj", "gate_proj"], layers_to_transform=[1, 3]),
    ]
    model = AutoModelForCausalLM.from_pretrained(directory, dtype=torch.float32)
    model = get_peft_model(model, LoraConfig(task_type="CAUSAL_LM", **variants[sum(map(ord, name)) % len(variants)]))
    with torch.no_grad():
        for key, weight in model.named_parameters():
            if "lora_B" in key: weight.normal_(0, 0.05)
    model.save_pretrained(f"{directory}/adapter")

def relative(ours, theirs):
    return ((ours - theirs).abs().max() / theirs.abs().max()).item()

def rows_of(directory):
    reference = load_file(f"{directory}/reference.safetensors")
    return [ids[mask == 1] for ids, mask in zip(reference["input_ids"], reference["attention_mask"])]

def logits_of(model, rows):
    with torch.no_grad():
        return [model.eval()(input_ids=row.long()[None]).logits[0].float() for row in rows]

def compare(directory, name):
    rows = rows_of(directory)
    model = AutoModelForCausalLM.from_pretrained(directory, dtype=torch.float32)
    theirs, found = logits_of(model, rows), {}
    # The left-padded row of the reference itself, as transformers computed it.
    reference = load_file(f"{directory}/reference.safetensors")
    mask = reference["attention_mask"]
    with torch.no_grad():
        padded = model.eval()(input_ids=reference["input_ids"], attention_mask=mask).logits
    found["padded"] = max(relative(ours, padded[i][mask[i] == 1]) for i, ours in enumerate(load(directory, "ours", rows)))
    found["plain"] = max(map(relative, load(directory, "ours", rows), theirs))
    low = AutoModelForCausalLM.from_pretrained(directory, dtype=torch.bfloat16)
    low_error = max(map(relative, logits_of(low, rows), theirs))
    ours_low = max(map(relative, load(directory, "bfloat16", rows), theirs))
    adapted = PeftModel.from_pretrained(model, f"{directory}/adapter")
    theirs = logits_of(adapted, rows)
    found["adapted"] = max(map(relative, load(directory, "adapted", rows), theirs))
    theirs = logits_of(adapted.merge_and_unload(), rows)
    found["merged"] = max(map(relative, load(directory, "merged", rows), theirs))
    print(f"{name}: " + ", ".join(f"{key} {value:.1e}" for key, value in found.items()) + f", bfloat16 {ours_low:.1e} (theirs {low_error:.1e})")
    assert all(value < 1e-5 for value in found.values()), found
    # Random weights of a large spread make bfloat16 a lottery: the same order of error is all that can be asked.
    assert ours_low < 2.5 * low_error + 1e-3, (ours_low, low_error)

def load(directory, name, rows):
    tensors = load_file(f"{directory}/{name}.safetensors")
    return [tensors[str(index)] for index in range(len(rows))]

def ask(*arguments):
    done = subprocess.run(["cargo", "run", "--release", "--quiet", "--", *arguments], check=True, capture_output=True, text=True)
    return done.stdout

def ask_program(directory, name, work):
    greedy = json.load(open(f"{directory}/greedy.json"))
    model = AutoModelForCausalLM.from_pretrained(directory, dtype=torch.float32).eval()
    with torch.no_grad():
        expected = model.generate(torch.tensor([greedy["prompt_ids"]]), max_new_tokens=32, do_sample=False)[0, len(greedy["prompt_ids"]):]
    answer = json.loads(ask("generate", directory, "--prompt", greedy["prompt"], "--temperature", "0", "--max-new-tokens", "32", "--json"))[0]
    assert answer["prompt_ids"] == greedy["prompt_ids"] and answer["token_ids"] == expected.tolist(), (name, answer, expected.tolist())
    if name in SHAPES and "--dtype" not in SHAPES[name]:
        assert answer["token_ids"] == greedy["greedy_ids"][: len(answer["token_ids"])], name
    pairs = [dict(prompt="Tell me a bio of Ada.", chosen=" Ada was born in London.", rejected=" She was 42."), dict(prompt="Is it", chosen=" true?", rejected=" False. True.")]
    open(f"{work}/pairs.jsonl", "w").write("\n".join(map(json.dumps, pairs)) + "\n")
    scores = [json.loads(line) for line in ask("logprobs", directory, "--pairs", f"{work}/pairs.jsonl").splitlines()]
    tokenizer = PreTrainedTokenizerFast.from_pretrained(directory)
    for pair, score in zip(pairs, scores):
        for side in ("chosen", "rejected"):
            prompt, whole = tokenizer(pair["prompt"]).input_ids, tokenizer(pair["prompt"] + pair[side] + "</s>").input_ids
            with torch.no_grad():
                logps = torch.log_softmax(model(input_ids=torch.tensor([whole])).logits[0].double(), -1)
            theirs = sum(logps[i - 1, whole[i]].item() for i in range(len(prompt), len(whole)))
            assert abs(theirs - score[f"{side}_logp"]) < 1e-4 * abs(theirs) and score[f"{side}_tokens"] == len(whole) - len(prompt)
    copy = f"{work}/copies/{name}"
    ask("convert", directory, copy, "--shard-mb", "3")
    theirs, ours = (AutoModelForCausalLM.from_pretrained(path, dtype="auto").state_dict() for path in (directory, copy))
    assert theirs.keys() == ours.keys() and all(theirs[key].dtype == ours[key].dtype and torch.equal(theirs[key], ours[key]) for key in theirs), name
    ask("convert", directory, f"{copy}-merged", "--adapter", f"{directory}/adapter", "--dtype", "float32")
    merged = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(directory, dtype=torch.float32), f"{directory}/adapter").merge_and_unload()
    ours = AutoModelForCausalLM.from_pretrained(f"{copy}-merged", dtype=torch.float32)
    difference = max(map(relative, logits_of(ours, rows_of(directory)), logits_of(merged, rows_of(directory))))
    assert difference < 1e-5, (name, difference)
    print(f"{name}: equal greedy tokens, log-probabilities, copies and merged copies")

def read_ours(directory):
    model, info = AutoModelForCausalLM.from_pretrained(directory, output_loading_info=True)
    assert not any(info[key] for key in ("missing_keys", "unexpected_keys", "mismatched_keys")), info
    rows = [torch.tensor(row) for row in json.load(open(f"{directory}/rows.json"))]
    plain = max(map(relative, load(directory, "ours", rows), logits_of(model, rows)))
    adapted = PeftModel.from_pretrained(model, f"{directory}/adapter")
    adapted = max(map(relative, load(directory, "adapted", rows), logits_of(adapted, rows)))
    print(f"{os.path.basename(directory)}: written by us; plain {plain:.1e}, adapted {adapted:.1e}")
    assert plain < 1e-5 and adapted < 1e-5
    # transformers gives every Qwen the tokenizer of Qwen, whatever tokenizer.json says; ours is Llama's.
    kind = PreTrainedTokenizerFast if "qwen" in directory else AutoTokenizer
    tokenizer = kind.from_pretrained(directory)
    for text, ids in zip(TEXTS, json.load(open(f"{directory}/tokens.json"))):
        assert tokenizer(text).input_ids == ids, (text, tokenizer(text).input_ids, ids)
        assert tokenizer.decode(ids, skip_special_tokens=True) == text, text
    assert (tokenizer.bos_token, tokenizer.eos_token, tokenizer.pad_token) == ("<s>", "</s>", "<pad>")

def main():
    script, work = sys.argv[1], sys.argv[2] if len(sys.argv) > 2 else tempfile.mkdtemp()
    if not os.path.exists(f"{work}/texts.json"):
        make(script, work)
        json.dump(TEXTS, open(f"{work}/texts.json", "w"))
    command = ["cargo", "test", "--release", "--lib", "transformers_parity", "--", "--ignored", "--nocapture"]
    subprocess.run(command, check=True, env={**os.environ, "APEFT_PARITY": work})
    for name in (*SHAPES, *CHANGES):
        compare(f"{work}/{name}", name)
    for kind in ("llama", "mistral", "qwen2", "qwen3"):
        read_ours(f"{work}/fresh-{kind}")
    shutil.rmtree(f"{work}/copies", ignore_errors=True)
    for name in (*SHAPES, *CHANGES):
        ask_program(f"{work}/{name}", name, work)
    print("all is well")

main()
