#!/usr/bin/env python3
"""Greedy generation on the CPU beside its peers, in one run (for developers).

    python3 -m venv venv
    venv/bin/pip install torch==2.15.0 transformers==5.23.0 gguf openvino-genai==2026.4.1 xllamacpp==2026.10.11549
    venv/bin/python benches/cpu_peers.py target/release/apeft models/smollm2 models/smollm2.gguf
        [--batch 1,16,64] [--new 48] [--rounds 5] [--only apeft,openvino]

The directory and the GGUF file hold the same model. Tensors of the file are written once more in float16, which OpenVINO GenAI
and llama.cpp read, and in float32 for llama.cpp. Programs take turns, each round in a process of its own; the medians of tokens/s are printed as a table,
with the vector units that each program can use.
"""
import argparse, json, os, pathlib, socket, statistics, subprocess, sys, tempfile, threading, time, urllib.request

PROMPT = "Marie Curie was born in Warsaw in 1867."
PROGRAMS = {
    "apeft": "apeft, float32",
    "apeft-bfloat16": "apeft, bfloat16",
    "transformers": "transformers, float32",
    "openvino": "OpenVINO GenAI, float16 file, computed in float32",
    "openvino-default": "OpenVINO GenAI, float16 file, its default",
    "llamacpp": "llama.cpp, float16 file",
    "llamacpp-float32": "llama.cpp, float32 file",
}


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("apeft")
    parser.add_argument("model")
    parser.add_argument("gguf")
    parser.add_argument("--batch", default="1,16,64")
    parser.add_argument("--new", type=int, default=48)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", default=",".join(PROGRAMS))
    parser.add_argument("--run", help=argparse.SUPPRESS)
    return parser.parse_args()


def write_unpacked(source, target, number):
    """The same model with its matrices in float16 or float32."""
    import gguf, numpy
    number = numpy.dtype(number)
    reader = gguf.GGUFReader(source)
    fields = reader.fields
    writer = gguf.GGUFWriter(target, str(fields["general.architecture"].contents()))
    for name, field in fields.items():
        if name.startswith("GGUF.") or name in ("general.architecture", "general.file_type"):
            continue
        of_items = field.types[-1] if field.types[0] == gguf.GGUFValueType.ARRAY else None
        writer.add_key_value(name, field.contents(), field.types[0], sub_type=of_items)
    writer.add_file_type(gguf.LlamaFileType.MOSTLY_F16 if number == numpy.float16 else gguf.LlamaFileType.ALL_F32)
    for tensor in reader.tensors:
        values = gguf.quants.dequantize(tensor.data, tensor.tensor_type)
        shape = [int(side) for side in reversed(tensor.shape)]
        writer.add_tensor(tensor.name, values.reshape(shape).astype(number if len(shape) > 1 else numpy.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def rate(batch, new, generate):
    """Tokens/s of one call after another that warms up."""
    generate()
    began = time.perf_counter()
    generate()
    return batch * new / (time.perf_counter() - began)


def transformers(options, batch):
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer
    tokenizer = AutoTokenizer.from_pretrained(options.model)
    model = AutoModelForCausalLM.from_pretrained(options.model, dtype=torch.float32).eval()
    ids = tokenizer(PROMPT, return_tensors="pt").input_ids.repeat(batch, 1)
    def generate():
        with torch.no_grad():
            model.generate(ids, attention_mask=torch.ones_like(ids), max_new_tokens=options.new, min_new_tokens=options.new, do_sample=False)
    return rate(batch, options.new, generate)


def openvino(options, batch, hints):
    import openvino_genai
    pipeline = openvino_genai.LLMPipeline(options.gguf, "CPU", **hints)
    config = openvino_genai.GenerationConfig()
    config.max_new_tokens = config.min_new_tokens = options.new
    config.do_sample = config.apply_chat_template = False
    return rate(batch, options.new, lambda: pipeline.generate([PROMPT] * batch, config))


def llamacpp(options, batch):
    import xllamacpp
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    parameters = xllamacpp.CommonParams()
    parameters.model.path = options.gguf
    parameters.n_ctx, parameters.n_parallel = 128 * batch, batch
    parameters.hostnames, parameters.port = ["127.0.0.1"], port
    parameters.cpuparams.n_threads = parameters.cpuparams_batch.n_threads = os.cpu_count()
    parameters.warmup = False
    server = xllamacpp.Server(parameters)
    body = json.dumps({"prompt": PROMPT, "n_predict": options.new, "temperature": 0, "ignore_eos": True, "cache_prompt": False}).encode()
    def ask():
        request = urllib.request.Request(f"http://127.0.0.1:{port}/completion", body, {"Content-Type": "application/json"})
        found = json.load(urllib.request.urlopen(request, timeout=600))
        assert found["tokens_predicted"] == options.new, found
    def generate():
        asking = [threading.Thread(target=ask) for _ in range(batch)]
        [thread.start() for thread in asking]
        [thread.join() for thread in asking]
    found = rate(batch, options.new, generate)
    del server
    return found


def apeft(options, batch, dtype):
    command = [options.apeft, "bench", "--model", options.model, "--batch", str(batch), "--new", str(options.new), "--prompt", PROMPT]
    found = json.loads(subprocess.run([*command, "--dtype", dtype, "--temperature", "0", "--rounds", "1", "--json"], check=True, capture_output=True).stdout)
    return next(figure["tokens_per_s"] for figure in found["figures"] if figure["what"] == "sampling" and figure["batch"] == batch)


def run(options, program, batch):
    match program:
        case "apeft":
            return apeft(options, batch, "float32")
        case "apeft-bfloat16":
            return apeft(options, batch, "bfloat16")
        case "transformers":
            return transformers(options, batch)
        case "openvino":
            return openvino(options, batch, {"INFERENCE_PRECISION_HINT": "f32"})
        case "openvino-default":
            return openvino(options, batch, {})
        case "llamacpp" | "llamacpp-float32":
            return llamacpp(options, batch)


def main():
    options = arguments()
    if options.run:
        program, batch = options.run.split(",")
        print("rate", run(options, program, int(batch)), flush=True)
        os._exit(0)
    batches = [int(batch) for batch in options.batch.split(",")]
    programs = options.only.split(",")
    flags = next(line for line in open("/proc/cpuinfo") if line.startswith("flags")).split()
    print("vector units:", ", ".join(flag for flag in flags if flag.startswith(("avx", "amx", "fma"))), flush=True)
    with tempfile.TemporaryDirectory() as folder:
        for number in ["float16", "float32"]:
            write_unpacked(options.gguf, f"{folder}/{number}.gguf", number)
        rates = {}
        for _ in range(options.rounds):
            for batch in batches:
                for program in programs:
                    place = options.model if program == "apeft" else os.path.abspath(options.model)
                    file = f"{folder}/float32.gguf" if program == "llamacpp-float32" else f"{folder}/float16.gguf"
                    command = [sys.executable, __file__, options.apeft, place, file, "--new", str(options.new), "--run", f"{program},{batch}"]
                    found = subprocess.run(command, capture_output=True, text=True)
                    lines = [line for line in found.stdout.splitlines() if line.startswith("rate ")]
                    if lines:
                        rates.setdefault((program, batch), []).append(float(lines[-1].split()[1]))
                    else:
                        print(f"{program}, batch {batch}: {found.stderr.strip().splitlines()[-1:]}", file=sys.stderr, flush=True)
    print("| program |", " | ".join(map(str, batches)), "|")
    print("| --- |" + " --- |" * len(batches))
    for program in programs:
        medians = [statistics.median(rates[program, batch]) if (program, batch) in rates else float("nan") for batch in batches]
        print(f"| {PROGRAMS[program]} |", " | ".join(f"{median:.0f}" for median in medians), "|")


main()
