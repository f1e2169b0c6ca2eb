#!/usr/bin/env python3
"""Write a small tokenizer of SentencePiece's kind with what transformers makes of texts and tokens (needs transformers).

    benches/text_goldens.py tests/data/text

`tokenizer.json` has byte fallback and a decoder that takes one space away at the beginning, like those of Llama 2, TinyLlama
and Mistral. `goldens.json` has, for each prompt, its tokens (`prompt_ids`) and for many lists of tokens after it (`answers`)
what they add to its text: the difference of decode(prompt + answer) and decode(prompt). `surroundings` has the tokens of a
text under settings of `add_bos_token` and `add_eos_token` in tokenizer_config.json (which transformers 5 passes over beside
a tokenizer.json), and where tokenizer.json itself ends texts.
"""
import json, os, random, sys, tempfile
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from transformers import AutoTokenizer, PreTrainedTokenizerFast

TEXT = """Marie Curie was born in Warsaw in 1867. She worked on radioactivity. The capital of France is Paris.
Ada Lovelace was born in London in 1815. Who was Ada? She was a mathematician. Is it true? It is true: London, Paris."""
PROMPTS = ["Who was Ada?", "Ada was born in", "naïve café 你", "", "Question:\n"]

def build():
    normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    learner = Tokenizer(models.BPE(unk_token="<unk>", fuse_unk=True)); learner.normalizer = normalizer
    learner.pre_tokenizer = pre_tokenizers.Split("▁", "merged_with_next")
    learner.train_from_iterator([line for line in TEXT.split("\n")], trainers.BpeTrainer(vocab_size=150, show_progress=False))
    learnt = json.loads(learner.to_str())["model"]
    tokens = ["<unk>", "<s>", "</s>"] + [f"<0x{byte:02X}>" for byte in range(256)]
    tokens += sorted(learnt["vocab"], key=learnt["vocab"].get)
    merges = [tuple(merge) for merge in learnt["merges"]]
    tokenizer = Tokenizer(models.BPE(vocab={token: i for i, token in enumerate(tokens)}, merges=merges, unk_token="<unk>", fuse_unk=True, byte_fallback=True))
    tokenizer.normalizer = normalizer
    tokenizer.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)])
    tokenizer.add_special_tokens(["<unk>", "<s>", "</s>"])
    tokenizer.post_processor = processors.TemplateProcessing(single="<s> $A", pair="<s> $A $B", special_tokens=[("<s>", 1)])
    return tokenizer

def main():
    folder = sys.argv[1]
    os.makedirs(folder, exist_ok=True)
    built = build()
    PreTrainedTokenizerFast(tokenizer_object=built, bos_token="<s>", eos_token="</s>", unk_token="<unk>").save_pretrained(folder)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    draw, prompts = random.Random(0), []
    for prompt in PROMPTS:
        ids = tokenizer(prompt).input_ids
        before = tokenizer.decode(ids, skip_special_tokens=True)
        answers = []
        lists = [[token] for token in range(len(tokenizer))] + [draw.choices(range(259, len(tokenizer)), k=5) for _ in range(60)]
        lists += [tokenizer(text, add_special_tokens=False).input_ids for text in (" London", " 你好, é!", "", "\n\nShe was")]
        for answer in lists:
            whole = tokenizer.decode(ids + answer, skip_special_tokens=True)
            # Bytes that break the prompt's last character have no difference.
            if whole.startswith(before): answers.append([answer, whole[len(before):]])
        prompts.append(dict(prompt=prompt, prompt_ids=ids, answers=answers))
    surroundings = []
    for ends in (False, True):
        for adds in ({}, dict(add_eos_token=True), dict(add_bos_token=False), dict(add_bos_token=False, add_eos_token=False)):
            with tempfile.TemporaryDirectory() as work:
                if ends: built.post_processor = processors.TemplateProcessing(single="<s> $A </s>", special_tokens=[("<s>", 1), ("</s>", 2)])
                built.save(f"{work}/tokenizer.json")
                config = json.load(open(f"{folder}/tokenizer_config.json"))
                json.dump({**config, **adds}, open(f"{work}/tokenizer_config.json", "w"))
                surroundings.append(dict(ends=ends, config=adds, ids=AutoTokenizer.from_pretrained(work)("Who was Ada?").input_ids))
    json.dump(dict(prompts=prompts, surroundings=surroundings), open(f"{folder}/goldens.json", "w"), ensure_ascii=False)

main()
