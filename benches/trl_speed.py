#!/usr/bin/env python3
"""Speed of DPO on the CPU beside TRL, in one run (for developers).

    python3 -m venv venv
    venv/bin/pip install torch==2.15.0 transformers==5.23.0 trl==1.16.0 peft==0.21.2
    venv/bin/python benches/trl_speed.py target/release/apeft models/smollm2 [--rounds 5] [--only 4m,110m,lora]

Three cases: all weights of a model of 4 M and of 110 M parameters with random weights (the vocabulary of the given model), and
LoRA of rank 8 on the given model. Both programs read the same directory and rows and take turns, each in a process of its own.
TRL's rate is that of its steps after the first two, which compute the reference model's log-probabilities too. apeft's counts each step
as its median step, and the pass of the reference model with loading and the first step. Beside it stands the rate of its whole stage, with
checkpoints and writing.
"""
import argparse, json, os, pathlib, random, shutil, statistics, subprocess, sys, tempfile, time
import small_model

WORDS = "the a of in to was born city river year she he won first known great old new and work paper with from by".split()
CASES = {
    "4m": {"name": "4 M, all weights", "pairs": 256, "batch": 8, "tokens": (20, 120), "lora": 0,
           "size": small_model.SIZE},
    "110m": {"name": "110 M, all weights", "pairs": 64, "batch": 8, "tokens": (20, 120), "lora": 0,
             "size": {"hidden_size": 768, "num_hidden_layers": 12, "num_attention_heads": 12, "intermediate_size": 2048, "vocab_size": 32000}},
    "lora": {"name": "SmolLM2-135M, LoRA rank 8", "pairs": 48, "batch": 4, "tokens": (230, 238), "lora": 8},
}


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("apeft")
    parser.add_argument("model")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", default=",".join(CASES))
    parser.add_argument("--dtype", default="float32", help="of apeft with LoRA")
    parser.add_argument("--trl", help=argparse.SUPPRESS)
    return parser.parse_args()


def make(case, model, folder):
    """Writes the rows, and a model of a given size; returns the model's directory."""
    from transformers import AutoTokenizer
    tokenizer = AutoTokenizer.from_pretrained(model)
    draw = random.Random(0)
    # Words of one token each, whose ids a small vocabulary has too.
    most = case.get("size", {}).get("vocab_size", len(tokenizer))
    words = [word for word in WORDS if len(ids := tokenizer(" " + word, add_special_tokens=False).input_ids) == 1 and ids[0] < most]
    text = lambda count: "".join(" " + draw.choice(words) for _ in range(count))
    with open(folder / "pairs.jsonl", "w") as rows:
        for _ in range(case["pairs"]):
            count = draw.randint(*case["tokens"]) // 2
            print(json.dumps({"prompt": text(count).strip(), "chosen": text(count), "rejected": text(count)}), file=rows)
    if "size" not in case:
        return os.path.abspath(model)
    small_model.write_directory(model, case["size"], folder / "model")
    return str(folder / "model")


def trl(case, model, rows):
    """Pairs/s of the steps after the first two."""
    import datasets, torch
    from peft import LoraConfig
    from transformers import AutoModelForCausalLM, AutoTokenizer, TrainerCallback
    from trl import DPOConfig, DPOTrainer

    class Clock(TrainerCallback):
        ends = []
        def on_step_end(self, *_, **__): self.ends.append(time.perf_counter())

    peft = LoraConfig(r=case["lora"], lora_alpha=2 * case["lora"], target_modules="all-linear") if case["lora"] else None
    data = datasets.Dataset.from_list([json.loads(line) for line in open(rows)])
    with tempfile.TemporaryDirectory() as out:
        settings = DPOConfig(output_dir=out, per_device_train_batch_size=case["batch"], num_train_epochs=1, learning_rate=1e-5,
                             use_cpu=True, bf16=False, gradient_checkpointing=False, report_to="none", save_strategy="no", max_length=None)
        loaded = AutoModelForCausalLM.from_pretrained(model, dtype=torch.float32)
        trainer = DPOTrainer(loaded, args=settings, train_dataset=data, processing_class=AutoTokenizer.from_pretrained(model),
                             peft_config=peft, callbacks=[Clock()])
        trainer.train()
    ends = Clock.ends
    return (len(ends) - 2) * case["batch"] / (ends[-1] - ends[1])


def apeft(case, model, rows, folder, options):
    """Pairs/s of the steps with the reference model's pass, and of the whole stage."""
    adapter = f"lora_rank = {case['lora']}\nlora_alpha = {2 * case['lora']}\ndtype = '{options.dtype}'" if case["lora"] else ""
    (folder / "speed.toml").write_text(f"""name = 'speed'
[stage.model]
kind = 'import'
path = '{model}'
[stage.tuned]
kind = 'tune'
model = 'model'
pairs = {{ path = '{rows}' }}
batch_size = {case['batch']}
num_train_epochs = 1
learning_rate = 1e-5
{adapter}
""")
    command = [os.path.abspath(options.apeft), "run", "speed.toml", "--cache", "cache"]
    subprocess.run([*command, "--until", "model"], cwd=folder, check=True, capture_output=True)
    shutil.rmtree(folder / "experiments")
    subprocess.run([*command, "--force", "tuned"], cwd=folder, check=True, capture_output=True)
    events = [json.loads(line) for line in next(folder.glob("experiments/speed/2*/events.jsonl")).open()]
    at = lambda event: [found["at"] / 1000 for found in events if found["event"] == event]
    steps = [event["at"] / 1000 for event in events if event.get("report", {}).get("say") == "metrics"]
    (began,), (ended,) = at("stage_started"), at("stage_finished")
    step = statistics.median(second - first for first, second in zip(steps, steps[1:]))
    return case["pairs"] / (steps[0] - began + step * (len(steps) - 1)), case["pairs"] / (ended - began)


def main():
    options = arguments()
    if options.trl:
        name, model, rows = options.trl.split(",")
        print("rate", trl(CASES[name], model, rows), flush=True)
        return
    print("| model | apeft, pairs/s | its whole stage | TRL, pairs/s | ratio |\n| --- | --- | --- | --- | --- |")
    for name in options.only.split(","):
        case, ours, whole, theirs = CASES[name], [], [], []
        with tempfile.TemporaryDirectory() as folder:
            folder = pathlib.Path(folder)
            model = make(case, options.model, folder)
            for _ in range(options.rounds):
                for rates, rate in zip((ours, whole), apeft(case, model, folder / "pairs.jsonl", folder, options)):
                    rates.append(rate)
                command = [sys.executable, __file__, options.apeft, options.model, "--trl", f"{name},{model},{folder / 'pairs.jsonl'}"]
                found = subprocess.run(command, check=True, capture_output=True, text=True).stdout
                theirs.append(float(next(line for line in found.splitlines() if line.startswith("rate ")).split()[1]))
        medians = [statistics.median(rates) for rates in (ours, whole, theirs)]
        ratios = sorted(one / other for one, other in zip(ours, theirs))
        print(f"| {case['name']} | {medians[0]:.3g} | {medians[1]:.3g} | {medians[2]:.3g} | {medians[0] / medians[2]:.2f} ({ratios[0]:.2f} to {ratios[-1]:.2f}) |", flush=True)


main()
