#!/usr/bin/env python3
"""Write a small model, preference data and what TRL's trainers make of them, for the tests.

    benches/trl_goldens.py tests/data/trl [NAME...]

`model/` is a Llama with a tokenizer, `pairs.jsonl` and `unpaired.jsonl` are the data (the same answers), `adapter/` is
the LoRA adapter that "sigmoid lora" starts from, and curves.json has for each run its settings and the unrounded values
that TRL logs at each of its steps. `chat-model/` is a Qwen 3 with biases, norms of queries and keys and a chat template,
`chat.jsonl` and `chat-unpaired.jsonl` are its conversations of several turns, and `greedy.jsonl` has answers of words that
`model/` holds likely. All runs are in float32 on the CPU, take the rows in the order of the file and over again, without
dropout, with AdamW (betas .9 .999, eps 1e-8), and the global gradient norm clipped to 1 (`grad_norm` is before that); where
settings say nothing else, without weight decay and at a constant learning rate. With names, only those runs are done anew;
the data only where they are missing. Made with TRL 1.16 (needs trl, peft, datasets).
"""
import json, math, os, random, shutil, sys, tempfile
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TRL_EXPERIMENTAL_SILENCE", "1")
import datasets, peft, torch, transformers, trl
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import (AutoModelForCausalLM, AutoTokenizer, LlamaConfig, PreTrainedTokenizerFast, Qwen3Config,
                          TrainerCallback)
from trl.experimental.cpo import CPOConfig, CPOTrainer
from trl.experimental.orpo import ORPOConfig, ORPOTrainer

STEPS = 30
WORDS = ("ta moru kel isandi bo venna tiru ak solem pira du nahil oste wemi gar lu fenoka iri rass toben ye quill zun "
         "amado peth ixo lirren hoda sek um jovi parth").split()
TRAINERS = {"dpo": (trl.DPOTrainer, trl.DPOConfig), "kto": (trl.KTOTrainer, trl.KTOConfig),
            "cpo": (CPOTrainer, CPOConfig), "orpo": (ORPOTrainer, ORPOConfig)}
DPO = dict(trainer="dpo", data="pairs.jsonl", batch=8, accumulation=1, lr=1e-3, clip=1.0, loss_type=["sigmoid"],
           beta=0.1)
KTO = dict(DPO, trainer="kto", data="unpaired.jsonl", loss_type="kto", desirable_weight=1.0, undesirable_weight=1.0)
CPO = dict(DPO, trainer="cpo")
ORPO = dict(DPO, trainer="orpo")
del ORPO["loss_type"]
SHORT = dict(steps=10)
CHAT = dict(SHORT, model="chat-model", data="chat.jsonl")
DIVERGENCES = {"forward_kl": dict(f_divergence_type="forward_kl"), "js": dict(f_divergence_type="js_divergence"),
               "alpha": dict(f_divergence_type="alpha_divergence", f_alpha_divergence_coef=0.5)}
LOSSES = ("sigmoid ipo hinge exo_pair nca_pair robust bco_pair sppo_hard aot aot_unpaired apo_zero apo_down discopop "
          "sigmoid_norm").split()
SMOOTHING = {"exo_pair": dict(label_smoothing=1e-3), "robust": dict(label_smoothing=0.1)}
RUNS = {
    **{loss: dict(DPO, loss_type=[loss], **SMOOTHING.get(loss, {})) for loss in LOSSES},
    "sigmoid+sft": dict(DPO, loss_type=["sigmoid", "sft"], loss_weights=[1.0, 0.5]),
    "sigmoid wpo": dict(DPO, use_weighting=True),
    "sigmoid ld": dict(DPO, ld_alpha=0.5),
    "sigmoid forward_kl": dict(DPO, f_divergence_type="forward_kl"),
    "sigmoid js": dict(DPO, f_divergence_type="js_divergence"),
    "sigmoid alpha": dict(DPO, f_divergence_type="alpha_divergence", f_alpha_divergence_coef=0.5),
    "sigmoid accumulated": dict(DPO, batch=4, accumulation=2),
    "sigmoid lora": dict(DPO, adapter="adapter"),
    "kto": KTO,
    "kto weighted": dict(KTO, desirable_weight=1.33, undesirable_weight=0.8),
    "apo_zero_unpaired": dict(KTO, loss_type="apo_zero_unpaired"),
    "simpo": dict(CPO, loss_type="simpo", cpo_alpha=0.0, beta=2.0, simpo_gamma=1.0),
    "alphapo": dict(CPO, loss_type="alphapo", alpha=0.25, beta=2.5, simpo_gamma=0.1),
    "cpo": dict(CPO, loss_type="sigmoid", cpo_alpha=1.0),
    "orpo": ORPO,
    # Exponentials of log-ratios soon leave the range of float32 where steps are large.
    **{f"{loss} {name}": dict(DPO, **SHORT, lr=1e-4 if loss in ("ipo", "robust") else 3e-4, loss_type=[loss],
                              **SMOOTHING.get(loss, {}), **divergence)
       for loss in "ipo hinge exo_pair robust discopop sigmoid_norm".split() for name, divergence in DIVERGENCES.items()},
    "sigmoid+sft js": dict(DPO, **SHORT, loss_type=["sigmoid", "sft"], loss_weights=[1.0, 0.5], **DIVERGENCES["js"]),
    "discopop steep alpha": dict(DPO, **SHORT, lr=1e-4, loss_type=["discopop"], f_divergence_type="alpha_divergence",
                                 f_alpha_divergence_coef=0.5, beta=1.5),
    "sigmoid wpo greedy": dict(DPO, **SHORT, data="greedy.jsonl", use_weighting=True),
    "sigmoid warmup linear": dict(DPO, **SHORT, lr_scheduler_type="linear", warmup_steps=3),
    "sigmoid warmup cosine": dict(DPO, **SHORT, lr_scheduler_type="cosine", warmup_steps=3),
    "sigmoid warmup floor": dict(DPO, **SHORT, lr_scheduler_type="cosine_with_min_lr", warmup_steps=3,
                                 lr_scheduler_kwargs=dict(min_lr_rate=0.1)),
    "sigmoid keep_start": dict(DPO, **SHORT, max_length=40),
    "sigmoid decay": dict(DPO, **CHAT, lr=1e-2, weight_decay=1.0),
    "sigmoid lora decay": dict(DPO, **SHORT, adapter="adapter", lr=1e-2, weight_decay=1.0),
    **{f"{loss} chat": dict(DPO, **CHAT, loss_type=[loss]) for loss in ("sigmoid", "ipo")},
    "kto chat": dict(KTO, **dict(CHAT, data="chat-unpaired.jsonl")),
    "cpo chat": dict(CPO, **CHAT, loss_type="sigmoid", cpo_alpha=1.0),
    "simpo chat": dict(CPO, **CHAT, loss_type="simpo", cpo_alpha=0.0, beta=2.0, simpo_gamma=1.0),
    "alphapo chat": dict(CPO, **CHAT, loss_type="alphapo", alpha=0.25, beta=2.5, simpo_gamma=0.1),
    "orpo chat": dict(ORPO, **CHAT),
}
LOGGED = ("loss grad_norm rewards/chosen rewards/rejected rewards/margins rewards/accuracies logps/chosen "
          "logps/rejected nll_loss kl log_odds_ratio log_odds_chosen entropy mean_token_accuracy logits/chosen "
          "logits/rejected learning_rate").split()


def make_model(out):
    tok = Tokenizer(models.BPE())
    tok.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tok.decoder = decoders.ByteLevel()
    tok.train_from_iterator([" ".join(WORDS)], trainers.BpeTrainer(
        vocab_size=320, show_progress=False, special_tokens=["<s>", "</s>", "<pad>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet()))
    tok.post_processor = processors.TemplateProcessing(
        single="<s> $A", pair="<s> $A <s> $B", special_tokens=[("<s>", 0)])
    PreTrainedTokenizerFast(
        tokenizer_object=tok, bos_token="<s>", eos_token="</s>", pad_token="<pad>").save_pretrained(out)
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_config(LlamaConfig(
        vocab_size=320, hidden_size=32, intermediate_size=48, num_hidden_layers=2, num_attention_heads=4,
        num_key_value_heads=2, max_position_embeddings=256, bos_token_id=0, eos_token_id=1, pad_token_id=2,
        rope_parameters=dict(rope_type="default", rope_theta=10000.0), tie_word_embeddings=False)).float()
    with torch.no_grad():
        for name, weight in model.named_parameters():
            spread = 0.1 if weight.dim() == 1 else 0.2
            weight.copy_(torch.randn_like(weight) * spread + (1.0 if weight.dim() == 1 else 0.0))
    model.save_pretrained(out)
    torch.manual_seed(1)
    adapted = peft.get_peft_model(model, peft.LoraConfig(
        r=4, lora_alpha=8, lora_dropout=0.0, task_type="CAUSAL_LM",
        target_modules=["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]))
    adapted.peft_config["default"].base_model_name_or_path = "model"
    adapted.save_pretrained(f"{out}/../adapter")
    os.remove(f"{out}/../adapter/README.md")


TEMPLATE = ("{{ bos_token }}{% for message in messages %}<{{ message['role'] }}> {{ message['content'] }}{{ eos_token }}"
            "{% endfor %}{% if add_generation_prompt %}<assistant>{% endif %}")


def make_chat_model(out, like):
    """Of random weights, and with norms that are no ones and biases that are no zeros."""
    tok = AutoTokenizer.from_pretrained(like)
    tok.chat_template = TEMPLATE
    tok.save_pretrained(out)
    torch.manual_seed(2)
    model = AutoModelForCausalLM.from_config(Qwen3Config(
        vocab_size=320, hidden_size=16, intermediate_size=24, num_hidden_layers=2, num_attention_heads=4,
        num_key_value_heads=2, head_dim=4, attention_bias=True, max_position_embeddings=256, bos_token_id=0,
        eos_token_id=1, pad_token_id=2, rope_parameters=dict(rope_type="default", rope_theta=10000.0),
        tie_word_embeddings=True)).float()
    with torch.no_grad():
        for name, weight in model.named_parameters():
            spread = 0.2 if weight.dim() == 1 else 0.3
            weight.copy_(torch.randn_like(weight) * spread + (1.0 if name.endswith("norm.weight") else 0.0))
    model.save_pretrained(out)


def make_chats(out):
    """Conversations of one to three turns, with and without a system message."""
    rng = random.Random(3)
    def message(role, low, high, words=WORDS):
        return {"role": role, "content": " ".join(rng.choice(words) for _ in range(rng.randint(low, high)))}
    pairs, rows = [], []
    for number in range(24):
        prompt = [message("system", 2, 4)] if number % 3 == 0 else []
        for _ in range(number % 3):
            prompt += [message("user", 2, 6), message("assistant", 2, 6)]
        prompt.append(message("user", 2, 8))
        answers = [[message("assistant", 2, 12, WORDS[:22])], [message("assistant", 2, 12, WORDS[10:])]]
        pairs.append({"prompt": prompt, "chosen": answers[0], "rejected": answers[1]})
        rows.append({"prompt": prompt, "completion": answers[number % 2], "label": number % 2 == 0})
    write(f"{out}/chat.jsonl", pairs)
    write(f"{out}/chat-unpaired.jsonl", rows)


def make_greedy(out):
    """Answers of letters that `model/` holds likely, so that WPO's weights are above 1."""
    tok = AutoTokenizer.from_pretrained(f"{out}/model")
    model = AutoModelForCausalLM.from_pretrained(f"{out}/model", dtype=torch.float32)
    letters = [(text, ids) for text in map(chr, range(33, 127)) for ids in [tok(text, add_special_tokens=False).input_ids]]
    rows = []
    for pair in [json.loads(line) for line in open(f"{out}/pairs.jsonl", encoding="utf-8")][:16]:
        answers = []
        for rank, length in ((0, 12), (1, 16)):
            text = " "
            for _ in range(length):
                with torch.no_grad():
                    logits = model(torch.tensor([tok(pair["prompt"] + text).input_ids])).logits[0, -1]
                text += sorted(letters, key=lambda known: -logits[known[1][0]].item())[rank][0]
            answers.append(text)
        rows.append({"prompt": pair["prompt"], "chosen": answers[0], "rejected": answers[1]})
    write(f"{out}/greedy.jsonl", rows)


def write(path, rows):
    with open(path, "w", encoding="utf-8", newline="\n") as file:
        file.writelines(json.dumps(row) + "\n" for row in rows)


def make_data(out):
    """The chosen answers lean to the first words, so that there is something to learn."""
    rng = random.Random(0)
    def text(low, high, words):
        return " ".join(rng.choice(words) for _ in range(rng.randint(low, high)))
    pairs = []
    while len(pairs) < 64:
        prompt = text(3, 12, WORDS)
        chosen, rejected = text(2, 25, WORDS[:22]), text(2, 25, WORDS[10:])
        if prompt not in [pair["prompt"] for pair in pairs]:
            pairs.append({"prompt": prompt, "chosen": " " + chosen, "rejected": " " + rejected})
    rows = [{"prompt": pair["prompt"], "completion": pair[kind], "label": kind == "chosen"}
            for pair in pairs for kind in ("chosen", "rejected")]
    # KTO's reference point takes an answer with the prompt of its neighbour in the micro-batch, round about, which
    # should be another one; and each micro-batch should have both labels.
    def mixed(batch):
        return (all(row["prompt"] != batch[i - 1]["prompt"] for i, row in enumerate(batch))
                and len({row["label"] for row in batch}) == 2)
    while not all(mixed(rows[i:i + 8]) for i in range(0, len(rows), 8)):
        rng.shuffle(rows)
    write(f"{out}/pairs.jsonl", pairs)
    write(f"{out}/unpaired.jsonl", rows)


class Watch(TrainerCallback):
    """Keeps what is logged, the batches and, to be sure that nothing was rounded, the losses."""
    def __init__(self): self.logs, self.batches, self.losses = [], [], []
    def on_log(self, args, state, control, logs=None, **kw):
        if "loss" in logs: self.logs.append(dict(logs))
    def attach(self, trainer):
        compute = trainer.compute_loss
        def compute_loss(model, inputs, *args, **kw):
            loss = compute(model, inputs, *args, **kw)
            self.batches.append(inputs); self.losses.append(loss.item())
            return loss
        trainer.compute_loss = compute_loss


def run(out, settings):
    kind, data, batch, accumulation, lr, clip, adapter, directory, steps, own = split(**settings)
    rows = [json.loads(line) for line in open(f"{out}/{data}", encoding="utf-8")]
    need = steps * batch * accumulation
    rows = (rows * (need // len(rows) + 1))[:need]
    tok = AutoTokenizer.from_pretrained(f"{out}/{directory}")
    model = AutoModelForCausalLM.from_pretrained(f"{out}/{directory}", dtype=torch.float32)
    own = {"lr_scheduler_type": "constant", "weight_decay": 0.0, "max_length": 512, **own}
    if adapter: model = peft.PeftModel.from_pretrained(model, f"{out}/{adapter}", is_trainable=True)
    watch = Watch()
    make, config = TRAINERS[kind]
    with tempfile.TemporaryDirectory() as folder:
        trainer = make(
            model=model, processing_class=tok, train_dataset=datasets.Dataset.from_list(rows), callbacks=[watch],
            args=config(
                output_dir=folder, per_device_train_batch_size=batch, gradient_accumulation_steps=accumulation,
                max_steps=steps, learning_rate=lr, max_grad_norm=clip,
                train_sampling_strategy="sequential", logging_steps=1, save_strategy="no",
                report_to=[], bf16=False, use_cpu=True, gradient_checkpointing=False, disable_tqdm=True, seed=0,
                **own))
        watch.attach(trainer)
        trainer.train()
    check(tok, rows, watch, steps, batch, accumulation, own["max_length"])
    digits = 9 if steps == STEPS else 7
    return [{key: float(f"{log[key]:.{digits}g}") for key in LOGGED if key in log} for log in watch.logs]


def split(trainer, data, batch, accumulation, lr, clip, adapter=None, model="model", steps=STEPS, **own):
    return trainer, data, batch, accumulation, lr, clip, adapter, model, steps, own


def check(tok, rows, watch, steps, batch, accumulation, max_length):
    """That the rows came in order, whole and between BOS and EOS, and that the logged losses are not rounded."""
    assert len(watch.logs) == steps and len(watch.batches) == steps * accumulation
    for step, log in enumerate(watch.logs):
        losses = watch.losses[step * accumulation:(step + 1) * accumulation]
        assert math.isclose(log["loss"], sum(losses) / accumulation, rel_tol=1e-6), (log["loss"], losses)
        assert math.isfinite(log["loss"]) and math.isfinite(log["grad_norm"])
    for i, inputs in enumerate(watch.batches):
        part = rows[i * batch:(i + 1) * batch]
        ids = inputs["chosen_input_ids" if "chosen_input_ids" in inputs else "input_ids"][:batch].tolist()
        for row, found in zip(part, ids, strict=True):
            answer = row.get("chosen", row.get("completion"))
            if isinstance(answer, str):
                prompt, whole = tok(row["prompt"]).input_ids, tok(row["prompt"] + answer).input_ids + [1]
            else:
                ids = lambda messages, **kw: tok.apply_chat_template(messages, **kw)["input_ids"]
                prompt, whole = ids(row["prompt"], add_generation_prompt=True), ids(row["prompt"] + answer)
            assert whole[:len(prompt)] == prompt and [t for t in found if t != 2] == whole[:max_length]


def main(out, names):
    if not names:
        shutil.rmtree(out, ignore_errors=True)
        make_model(f"{out}/model")
        make_data(out)
    if not os.path.exists(f"{out}/greedy.jsonl"):
        make_chat_model(f"{out}/chat-model", f"{out}/model")
        make_chats(out)
        make_greedy(out)
    torch.set_num_threads(1)
    path = f"{out}/curves.json"
    curves = json.load(open(path)) if names else {}
    versions = {module.__name__: module.__version__.split("+")[0] for module in (trl, transformers, torch, peft)}
    for name in names or RUNS:
        curves[name] = {"settings": RUNS[name], "steps": run(out, RUNS[name])}
    order = [name for name in RUNS if name in curves]
    with open(path, "w", encoding="utf-8", newline="\n") as file:
        file.write('{"versions": ' + json.dumps(versions))
        for name in order:
            steps = ",\n".join(json.dumps(step, separators=(",", ":")) for step in curves[name]["steps"])
            file.write(f',\n{json.dumps(name)}: {{"settings": {json.dumps(curves[name]["settings"])}, "steps": [\n'
                       f"{steps}]}}")
        file.write("}\n")


main(sys.argv[1], sys.argv[2:])
