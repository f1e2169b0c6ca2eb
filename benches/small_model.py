#!/usr/bin/env python3
"""A Llama model of random weights, as a directory of Hugging Face and as a GGUF file (for developers).

    python3 -m venv venv
    venv/bin/pip install torch==2.15.0 transformers==5.23.0 gguf
    venv/bin/python benches/small_model.py models/smollm2 models/smollm2.gguf OUT

writes OUT/ and OUT.gguf: 4 M parameters with the first 6,000 tokens of the given model's tokenizer.
"""
import json, pathlib, sys

SIZE = {"hidden_size": 192, "num_hidden_layers": 6, "num_attention_heads": 6, "intermediate_size": 512, "vocab_size": 6000}


def first_tokens(model, count):
    """The tokenizer without tokens from `count` on, and without the merges that make them."""
    cut = json.loads((pathlib.Path(model) / "tokenizer.json").read_text())
    known = {token: number for token, number in cut["model"]["vocab"].items() if number < count}
    joined = lambda merge: merge.split(" ") if isinstance(merge, str) else merge
    cut["model"]["merges"] = [merge for merge in cut["model"]["merges"] if "".join(joined(merge)) in known]
    cut["model"]["vocab"] = known
    return cut


def write_directory(model, size, target):
    """Random weights of a size, with the tokenizer of another model."""
    from transformers import LlamaConfig, LlamaForCausalLM
    target = pathlib.Path(target)
    config = LlamaConfig(**size, tie_word_embeddings=True, bos_token_id=1, eos_token_id=2)
    LlamaForCausalLM(config).save_pretrained(target)
    (target / "tokenizer.json").write_text(json.dumps(first_tokens(model, size["vocab_size"])))
    (target / "tokenizer_config.json").write_text((pathlib.Path(model) / "tokenizer_config.json").read_text())


def paired_halves(matrix, heads):
    """Rows of queries or keys as llama.cpp wants them: the two halves of a head alternate."""
    return matrix.reshape(heads, 2, -1, matrix.shape[1]).swapaxes(1, 2).reshape(matrix.shape)


def write_gguf(directory, like, target):
    """The model of a directory as a GGUF file in float32, with the tokenizer fields of another file."""
    import gguf
    from transformers import AutoModelForCausalLM
    model = AutoModelForCausalLM.from_pretrained(directory)
    config = model.config
    merges = json.loads((pathlib.Path(directory) / "tokenizer.json").read_text())["model"]["merges"]
    writer = gguf.GGUFWriter(target, "llama")
    writer.add_block_count(config.num_hidden_layers)
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(config.num_attention_heads)
    writer.add_head_count_kv(config.num_key_value_heads)
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    writer.add_rope_dimension_count(config.hidden_size // config.num_attention_heads)
    writer.add_rope_freq_base(config.rope_parameters["rope_theta"])
    writer.add_vocab_size(config.vocab_size)
    writer.add_file_type(gguf.LlamaFileType.ALL_F32)
    for name, field in gguf.GGUFReader(like).fields.items():
        if not name.startswith("tokenizer."):
            continue
        value = field.contents()
        if name == "tokenizer.ggml.merges":
            value = [merge if isinstance(merge, str) else " ".join(merge) for merge in merges]
        elif isinstance(value, list):
            value = value[: config.vocab_size]
        of_items = field.types[-1] if field.types[0] == gguf.GGUFValueType.ARRAY else None
        writer.add_key_value(name, value, field.types[0], sub_type=of_items)
    names = gguf.get_tensor_name_map(gguf.MODEL_ARCH.LLAMA, config.num_hidden_layers)
    for name, tensor in model.state_dict().items():
        if name == "lm_head.weight":
            continue
        values = tensor.float().numpy()
        if "q_proj" in name or "k_proj" in name:
            values = paired_halves(values, config.num_attention_heads if "q_proj" in name else config.num_key_value_heads)
        writer.add_tensor(names.get_name(name, try_suffixes=(".weight",)), values)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


if __name__ == "__main__":
    write_directory(sys.argv[1], SIZE, sys.argv[3])
    write_gguf(sys.argv[3], sys.argv[2], sys.argv[3] + ".gguf")
