//! Model directories as found in practice: read as transformers reads them, or rejected with the
//! problem and a fix.

use std::{
    fs,
    os::unix::fs::{PermissionsExt, symlink},
    path::{Path, PathBuf},
    process::Command,
};

use apeft::{
    device::DeviceName,
    model::{Adapter, ModelConfig, NumberFormat, Placement, Transformer, generation_settings},
};
use burn::tensor::{Int, Tensor, TensorData};
use serde_json::{Map, Value, json};

fn data() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data")
}

/// A copy of a directory written by transformers, with changes to its config.
fn changed(name: &str, fields: &Value) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for entry in fs::read_dir(data().join("models").join(name)).unwrap() {
        let path = entry.unwrap().path();
        if path.is_file() {
            fs::copy(&path, folder.path().join(path.file_name().unwrap())).unwrap();
        }
    }
    let path = folder.path().join("config.json");
    let mut config: Map<String, Value> =
        serde_json::from_str(&fs::read_to_string(&path).unwrap()).unwrap();
    config.extend(fields.as_object().unwrap().clone());
    fs::write(&path, Value::Object(config).to_string()).unwrap();
    folder
}

/// The same with a tokenizer of no more tokens than the model, for the program.
fn whole(name: &str, fields: &Value) -> tempfile::TempDir {
    let folder = changed(name, fields);
    let tokenizer = super::malformed::small_tokenizer();
    fs::write(folder.path().join("tokenizer.json"), tokenizer.to_string()).unwrap();
    let config = json!({"bos_token": "<s>", "eos_token": "</s>", "pad_token": "<pad>"});
    fs::write(folder.path().join("tokenizer_config.json"), config.to_string()).unwrap();
    folder
}

fn reference(name: &str) -> Value {
    serde_json::from_str(
        &fs::read_to_string(data().join("models").join(name).join("reference.json")).unwrap(),
    )
    .unwrap()
}

/// Largest difference from recorded logits, relative to the largest of them.
fn difference(directory: &Path, expected: &Value) -> f64 {
    let model = Transformer::load(directory, &Placement::cpu()).unwrap();
    let (mut largest, mut scale): (f64, f64) = (0.0, 0.0);
    let rows: Vec<Vec<i32>> = serde_json::from_value(expected["rows"].clone()).unwrap();
    let logits: Vec<Vec<Vec<f64>>> = serde_json::from_value(expected["logits"].clone()).unwrap();
    for (row, expected) in rows.iter().zip(logits) {
        let tokens = TensorData::new(row.clone(), [1, row.len()]);
        let tokens = Tensor::<2, Int>::from_data(tokens, &Placement::cpu().device);
        let found: Vec<f32> = model.logits(model.hidden(tokens)).into_data().try_to_vec().unwrap();
        for (found, expected) in found.iter().zip(expected.iter().flatten()) {
            largest = largest.max((f64::from(*found) - expected).abs());
            scale = scale.max(expected.abs());
        }
    }
    largest / scale
}

struct Said {
    status: i32,
    out: String,
    errors: String,
}

fn apeft(arguments: &[&str]) -> Said {
    let output = Command::new(env!("CARGO_BIN_EXE_apeft"))
        .args(arguments)
        .env_remove("RUST_LOG")
        .output()
        .unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    Said {
        status: output.status.code().unwrap(),
        out: text(output.stdout),
        errors: text(output.stderr),
    }
}

/// Error of `generate` on an unusable directory, without the folder's name.
fn refusal(directory: &Path) -> String {
    let said = apeft(&["generate", directory.to_str().unwrap(), "--prompt", "x", "--max-new", "1"]);
    assert_eq!((said.status, said.out.as_str()), (2, ""), "{}", said.errors);
    said.errors.replace(&directory.display().to_string(), "DIR")
}

fn problem(directory: &Path) -> String {
    let error = Transformer::load(directory, &Placement::cpu()).unwrap_err().to_string();
    error.replace(&directory.display().to_string(), "DIR")
}

/// transformers 5 keeps a stored head that differs from the embedding, whatever config.json says,
/// and warns; the logits are those with a correct config.json.
#[test]
fn a_head_of_its_own_is_kept_where_the_config_says_tied() {
    for name in ["llama", "llama3"] {
        let folder = whole(name, &json!({"tie_word_embeddings": true}));
        assert!(difference(folder.path(), &reference(name)) < 1e-5, "{name}");
        let remarks = Transformer::remarks(folder.path()).unwrap();
        assert_eq!(remarks.len(), 1, "{remarks:?}");
        assert!(
            remarks[0].contains("`lm_head.weight` and `model.embed_tokens.weight`"),
            "{remarks:?}"
        );
        let copy = tempfile::tempdir().unwrap();
        let (from, to) = (folder.path().to_str().unwrap(), copy.path().join("copy"));
        let said = apeft(&["convert", from, to.to_str().unwrap()]);
        assert_eq!((said.status, said.errors), (0, format!("warning: {}\n", remarks[0])));
        assert!(!ModelConfig::load(&to).unwrap().tie_word_embeddings);
        assert!(difference(&to, &reference(name)) < 1e-5, "{name}");
        assert_eq!(Transformer::remarks(&to).unwrap(), Vec::<String>::new());
    }
}

/// Tensors by name, as bytes with format and shape, rewritten under other names.
fn rewrite(directory: &Path, change: impl Fn(&str) -> Vec<String>) {
    let path = directory.join("model.safetensors");
    let bytes = fs::read(&path).unwrap();
    let tensors = safetensors::SafeTensors::deserialize(&bytes).unwrap();
    let renamed = tensors
        .tensors()
        .into_iter()
        .flat_map(|(name, view)| change(&name).into_iter().map(move |name| (name, view.clone())));
    let written = safetensors::serialize(renamed.collect::<Vec<_>>(), None).unwrap();
    fs::write(&path, written).unwrap();
}

#[test]
fn equal_heads_are_tied_and_one_tensor_is_both() {
    const EMBEDDING: &str = "model.embed_tokens.weight";
    const HEAD: &str = "lm_head.weight";
    for names in [[EMBEDDING, HEAD].as_slice(), &[HEAD]] {
        let folder = changed("llama-tied-bf16", &json!({}));
        rewrite(folder.path(), |name| match name {
            EMBEDDING => names.iter().map(|name| (*name).to_owned()).collect(),
            _ => vec![name.to_owned()],
        });
        assert!(difference(folder.path(), &reference("llama-tied-bf16")) < 1e-5, "{names:?}");
        assert!(Transformer::check(folder.path()).unwrap().tie_word_embeddings);
        assert_eq!(Transformer::remarks(folder.path()).unwrap(), Vec::<String>::new());
    }
}

/// Recorded from transformers' Auto classes (`benches/transformers_goldens.py`), which read it as a
/// Ministral.
#[test]
fn layer_types_of_a_mistral_hold() {
    let path = data().join("changed-models/mistral-layer-types.json");
    let expected: Value = serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap();
    let base = expected["base"].as_str().unwrap();
    let folder = changed(base, &expected["fields"]);
    assert!(difference(folder.path(), &expected) < 1e-5);
    assert!(
        difference(folder.path(), &reference(base)) > 0.1,
        "it is another model than that with windows everywhere"
    );
    let copy = tempfile::tempdir().unwrap();
    let model =
        Transformer::load(folder.path(), &Placement::named(DeviceName::Cpu, "float16").unwrap())
            .unwrap();
    model.save(copy.path(), apeft::model::LARGEST_FILE).unwrap();
    assert!(difference(copy.path(), &expected) < 1e-5, "what is written is read alike");
    let written: Value =
        serde_json::from_str(&fs::read_to_string(copy.path().join("config.json")).unwrap())
            .unwrap();
    assert_eq!(written["layer_types"], expected["fields"]["layer_types"]);
    let ministral = json!({"architectures": ["MinistralForCausalLM"], "model_type": "ministral",
        "layer_types": expected["fields"]["layer_types"]});
    assert!(difference(changed(base, &ministral).path(), &expected) < 1e-5);
}

#[test]
fn fields_that_change_the_result_are_refused_by_name() {
    let of = |name: &str, fields: Value| problem(changed(name, &fields).path());
    for (field, value) in [
        ("attn_logit_softcapping", json!(50.0)),
        ("final_logit_softcapping", json!(30.0)),
        ("logit_scale", json!(0.0625)),
        ("logits_scaling", json!(8.0)),
        ("embedding_multiplier", json!(12.0)),
        ("residual_multiplier", json!(0.22)),
        ("attention_multiplier", json!(0.015)),
        ("clip_qkv", json!(8.0)),
        ("partial_rotary_factor", json!(0.5)),
        ("quantization_config", json!({"quant_method": "gptq"})),
        ("hidden_act", json!("gelu")),
        ("num_local_experts", json!(8)),
        ("no_rope_layers", json!([1, 0])),
        ("is_causal", json!(false)),
        ("sliding_window", json!(5)),
        ("layer_types", json!(["sliding_attention", "full_attention"])),
        ("position_embedding_type", json!("alibi")),
        ("eos_token_id", json!(48)),
    ] {
        let said = of("llama", json!({ field: value }));
        assert!(
            said.starts_with("DIR/config.json: ") && said.contains(&format!("`{field}`")),
            "{field}: {said}"
        );
    }
    let said = [
        of("mistral", json!({"attention_bias": true})),
        of(
            "mistral",
            json!({"sliding_window": null, "layer_types": ["full_attention", "sliding_attention"]}),
        ),
        of(
            "qwen2",
            json!({"use_sliding_window": false, "layer_types": ["full_attention", "sliding_attention"]}),
        ),
        of("qwen2", json!({"layer_types": ["full_attention"]})),
        of("qwen3", json!({"mlp_bias": true})),
        of("mistral", json!({"model_type": "llama"})),
        of("llama", json!({"model_type": "gemma"})),
        of(
            "llama",
            json!({"rope_parameters": {"rope_type": "default", "rope_theta": 100.0, "mrope_section": [1, 1]}}),
        ),
    ];
    expect_test::expect![[r#"
        DIR/config.json: the field `attention_bias` is true, but the architecture is `MistralForCausalLM`: its attention has no biases
        DIR/config.json: the field `layer_types` is ["full_attention","sliding_attention"], which is not supported: without a window (`sliding_window`, for Qwen with `use_sliding_window`) all layers have `full_attention`
        DIR/config.json: the field `layer_types` is ["full_attention","sliding_attention"], which is not supported: without a window (`sliding_window`, for Qwen with `use_sliding_window`) all layers have `full_attention`
        DIR/config.json: the field `layer_types` is ["full_attention"], but it must be a list with one entry for each of `num_hidden_layers`
        DIR/config.json: the field `mlp_bias` is true, but the architecture is `Qwen3ForCausalLM`: its feed-forward layers have no biases
        DIR/config.json: `architectures` is `MistralForCausalLM`, but `model_type` is `llama`: they must name the same architecture
        DIR/config.json: unknown architecture `gemma`; known: `LlamaForCausalLM`, `MistralForCausalLM`, `Qwen2ForCausalLM`, `Qwen3ForCausalLM`
        DIR/config.json: the field `mrope_section` is [1,1], which is not supported: positions are one-dimensional"#]].assert_eq(&said.join("\n"));
}

#[test]
fn fields_that_change_nothing_may_say_what_they_like() {
    let fields = json!({
        "_name_or_path": "meta-llama/Llama-2-7b-hf", "attention_bias": false, "attn_logit_softcapping": null, "clip_qkv": null,
        "hidden_act": "swish", "is_causal": true, "logit_scale": 1.0, "num_local_experts": 1, "partial_rotary_factor": 1.0,
        "pretraining_tp": 4, "residual_multiplier": 1, "temperature": 0.7, "use_cache": false, "quantization_config": null,
        "sliding_window": 128, "layer_types": ["full_attention", "full_attention"], "rope_scaling": {}
    });
    let folder = changed("llama", &fields);
    assert!(difference(folder.path(), &reference("llama")) < 1e-5);
    assert_eq!(Transformer::remarks(folder.path()).unwrap(), Vec::<String>::new());
    let folder = changed(
        "llama",
        &json!({"new_trick": 3, "another": "x", "off": false, "attention_dropout": 0.1,
        "auto_map": {"AutoModel": "code.Model"}}),
    );
    assert_eq!(
        Transformer::remarks(folder.path()).unwrap(),
        [
            "config.json names code of its own (`auto_map`), which is not run: the model is \
            computed as its architecture \
             says",
            "config.json: `attention_dropout` is 0.1, but dropout is not applied in training",
            "config.json has 2 fields that are unknown and ignored: `another`, `new_trick`",
        ]
    );
}

#[test]
fn generation_configs_are_used_refused_or_said_not_to_hold() {
    let folder = changed("llama", &json!({}));
    let said = |fields: Value| {
        fs::write(folder.path().join("generation_config.json"), fields.to_string()).unwrap();
        generation_settings(folder.path()).map_err(|error| error.to_string())
    };
    for harmless in [
        json!({"eos_token_id": 1, "use_cache": true, "num_beams": 1, "typical_p": 1.0, "min_length": 0}),
        json!({"temperature": 1.0, "top_p": 1.0, "repetition_penalty": 1.0, "bad_words_ids": null, "max_length": 0}),
    ] {
        assert_eq!(said(harmless), Ok(None));
    }
    let chat =
        json!({"temperature": 0.6, "top_p": 0.9, "repetition_penalty": 1.05, "do_sample": true});
    let expected = "generation_config.json suggests temperature 0.6, top_p 0.9, \
    repetition_penalty 1.05, do_sample true: ignored, \
                    since the sampling parameters decide";
    assert_eq!(said(chat), Ok(Some(expected.to_owned())));
    for (field, value) in [
        ("no_repeat_ngram_size", json!(3)),
        ("num_beams", json!(4)),
        ("suppress_tokens", json!([3, 4])),
        ("bad_words_ids", json!([[5]])),
        ("forced_bos_token_id", json!(0)),
        ("min_new_tokens", json!(5)),
        ("typical_p", json!(0.9)),
        ("sequence_bias", json!([[[1], 2.0]])),
    ] {
        let error = said(json!({ field: value })).unwrap_err();
        assert!(
            error.contains("/generation_config.json: ") && error.contains(&format!("`{field}`")),
            "{error}"
        );
    }
}

#[test]
fn weights_that_are_something_else_are_named_and_said_once() {
    let without = || {
        let folder = whole("llama", &json!({}));
        fs::remove_file(folder.path().join("model.safetensors")).unwrap();
        folder
    };
    let with = |name: &str, bytes: &[u8]| {
        let folder = without();
        fs::write(folder.path().join(name), bytes).unwrap();
        refusal(folder.path())
    };
    let pointer = b"version https://git-lfs.github.com/spec/v1\noid sha256:0123\nsize 514408\n";
    let dangling = without();
    symlink("../blobs/0123", dangling.path().join("model.safetensors")).unwrap();
    let missing = changed("llama3", &json!({}));
    for number in [2, 5] {
        fs::remove_file(missing.path().join(format!("model-0000{number}-of-00007.safetensors")))
            .unwrap();
    }
    let said = [
        with("pytorch_model.bin", b"PK\x03\x04"),
        with("pytorch_model.bin.index.json", b"{}"),
        with("model-q4.gguf", b"GGUF"),
        with("consolidated.00.pth", b"\x80\x02"),
        with("model.safetensors.incomplete", b""),
        with("model-00001-of-00002.safetensors", b""),
        with("adapter_model.safetensors", b""),
        with("training_args.bin", b"PK\x03\x04"),
        with("model.safetensors", pointer),
        with("model.safetensors", b"PK\x03\x04 and more"),
        with("model.safetensors", b"<!DOCTYPE html><html>"),
        with("model.safetensors", b""),
        refusal(dangling.path()),
        refusal(missing.path()),
    ];
    expect_test::expect![[r#"
        error: DIR/model.safetensors: no such file: the directory has pytorch_model.bin, but weights must be safetensors; read the model with transformers and write it with `save_pretrained`
        error: DIR/model.safetensors: No such file or directory (os error 2)
        error: DIR/model.safetensors: no such file: the directory has model-q4.gguf; to read a GGUF file, name the file itself as `path` of a stage of kind `import`, or convert it with `apeft convert`
        error: DIR/model.safetensors: no such file: the directory has consolidated.00.pth, but weights must be safetensors; read the model with transformers and write it with `save_pretrained`
        error: DIR/model.safetensors: no such file: the directory has model.safetensors.incomplete: its download is incomplete; download it again
        error: DIR/model.safetensors: no such file: the directory has model-00001-of-00002.safetensors, but no model.safetensors.index.json, which maps tensors to files
        error: DIR/model.safetensors: no such file: the directory holds an adapter; give its base model as the model, and the directory as the adapter
        error: DIR/model.safetensors: No such file or directory (os error 2)
        error: DIR/model.safetensors: it is a git-lfs pointer: run git lfs pull
        error: DIR/model.safetensors: it is a file of PyTorch, but weights must be safetensors; read the model with transformers and write it with `save_pretrained`
        error: DIR/model.safetensors: it is a web page: download the file itself
        error: DIR/model.safetensors: it is empty
        error: DIR/model.safetensors: it is a link to ../blobs/0123, which does not exist
        error: DIR/model.safetensors.index.json: it names 2 of 7 files that do not exist: model-00002-of-00007.safetensors, model-00005-of-00007.safetensors; their download is incomplete
    "#]].assert_eq(&said.concat());
    for file in ["config.json", "tokenizer.json", "tokenizer_config.json", "generation_config.json"]
    {
        let folder = whole("llama", &json!({}));
        fs::write(folder.path().join(file), pointer).unwrap();
        assert_eq!(
            refusal(folder.path()),
            format!("error: DIR/{file}: it is a git-lfs pointer: run git lfs pull\n")
        );
    }
    let adapter = whole("llama", &json!({}));
    let path = adapter.path().join("adapter");
    fs::create_dir(&path).unwrap();
    for file in ["adapter_config.json", "adapter_model.safetensors"] {
        fs::copy(data().join("models/llama/adapter").join(file), path.join(file)).unwrap();
    }
    fs::write(path.join("adapter_model.safetensors"), pointer).unwrap();
    let mut model = Transformer::load(adapter.path(), &Placement::cpu()).unwrap();
    let error = Adapter::load(&path, &mut model).unwrap_err().to_string();
    assert!(
        error.ends_with("adapter_model.safetensors: it is a git-lfs pointer: run git lfs pull"),
        "{error}"
    );
}

/// A shared folder must be readable by its users.
#[test]
fn files_have_the_modes_of_any_new_file() {
    let folder = whole("llama", &json!({}));
    for entry in fs::read_dir(folder.path()).unwrap() {
        fs::set_permissions(entry.unwrap().path(), fs::Permissions::from_mode(0o400)).unwrap();
    }
    let out = tempfile::tempdir().unwrap();
    fs::write(out.path().join("new"), "").unwrap();
    let expected = fs::metadata(out.path().join("new")).unwrap().permissions().mode();
    let copy = out.path().join("copy");
    let said = apeft(&[
        "convert",
        folder.path().to_str().unwrap(),
        copy.to_str().unwrap(),
        "--shard-mb",
        "1",
    ]);
    assert_eq!((said.status, said.errors.as_str()), (0, ""));
    let mut names = Vec::new();
    for entry in fs::read_dir(&copy).unwrap().map(Result::unwrap) {
        assert_eq!(entry.metadata().unwrap().permissions().mode(), expected, "{:?}", entry.path());
        names.push(entry.file_name().into_string().unwrap());
    }
    names.sort();
    let all = [
        "config.json",
        "generation_config.json",
        "model.safetensors",
        "tokenizer.json",
        "tokenizer_config.json",
    ];
    assert_eq!(names, all);
}

#[test]
fn places_without_a_model_or_pairs_are_named() {
    let folder = tempfile::tempdir().unwrap();
    assert_eq!(
        refusal(&folder.path().join("none")),
        "error: there is no model in `DIR`: a Hugging Face model directory or RUN:STAGE is \
        expected\n"
    );
    let model = whole("llama", &json!({}));
    let missing = folder.path().join("none.jsonl").display().to_string();
    let said = apeft(&["logprobs", model.path().to_str().unwrap(), "--pairs", &missing]);
    let expected = format!("error: there is no `{missing}`: a file of pairs or RUN:STAGE");
    assert!(said.status == 2 && said.errors.starts_with(&expected), "{}", said.errors);
}

/// Unused entries are ignored: dangling links, sockets, folders with the names of files.
#[test]
fn files_that_nobody_reads_stop_nothing() {
    let folder = whole("llama", &json!({}));
    let path = |name: &str| folder.path().join(name);
    symlink("nowhere", path("tokenizer.model")).unwrap();
    symlink("nowhere", path("README.md")).unwrap();
    fs::create_dir(path("special_tokens_map.json.d")).unwrap();
    fs::create_dir(path("tokenizer_old.json")).unwrap();
    fs::write(path("additional_chat_templates"), "a file").unwrap();
    fs::write(path("pytorch_model.bin"), "PK").unwrap();
    let _socket = std::os::unix::net::UnixListener::bind(path("tokenizer.socket.json")).unwrap();
    let out = tempfile::tempdir().unwrap();
    let (from, to) = (folder.path().to_str().unwrap(), out.path().join("copy"));
    let said = apeft(&["convert", from, to.to_str().unwrap()]);
    assert_eq!((said.status, said.errors.as_str()), (0, ""));
    assert!(difference(&to, &reference("llama")) < 1e-5);
    let said = apeft(&["generate", from, "--prompt", "x", "--max-new", "1"]);
    assert_eq!((said.status, said.errors.as_str()), (0, ""));
}

/// Values beyond float16 are reported when read, and when a merge creates them.
#[test]
fn weights_that_a_format_cannot_hold_are_named() {
    let folder = changed("llama", &json!({}));
    let path = folder.path().join("model.safetensors");
    let mut bytes = fs::read(&path).unwrap();
    let last = bytes.len() - 4;
    bytes[last..].copy_from_slice(&70_000f32.to_le_bytes());
    fs::write(&path, &bytes).unwrap();
    assert!(Transformer::load(folder.path(), &Placement::cpu()).is_ok());
    let half = Placement::named(DeviceName::Cpu, "float16").unwrap();
    let error = Transformer::load(folder.path(), &half).unwrap_err().to_string();
    assert!(
        error.contains("the tensor `model.norm.weight` has values that float16 cannot represent"),
        "{error}"
    );
    let folder = changed("llama", &json!({}));
    let mut model = Transformer::load(folder.path(), &half).unwrap();
    let device = half.device.clone();
    let huge = |norm: Tensor<1>| Tensor::full(norm.dims(), f32::INFINITY, (&device, norm.dtype()));
    model.norm = model.norm.map(huge);
    let out = tempfile::tempdir().unwrap();
    let error = model.save(out.path(), apeft::model::LARGEST_FILE).unwrap_err().to_string();
    assert!(
        error.contains("the tensor `model.norm.weight` has values that float16 cannot represent"),
        "{error}"
    );
    assert!(!out.path().join("model.safetensors").exists());
}

#[test]
fn a_model_with_more_tokens_than_its_tokenizer_says_which_answers_lack_some() {
    let folder = whole("llama", &json!({}));
    let said = apeft(&[
        "generate",
        folder.path().to_str().unwrap(),
        "--prompt",
        "a",
        "--n",
        "20",
        "--max-new",
        "8",
        "--json",
    ]);
    assert_eq!(said.status, 0, "{}", said.errors);
    let answers: Value = serde_json::from_str(&said.out).unwrap();
    let has_unknown = |answer: &&Value| {
        answer["token_ids"].as_array().unwrap().iter().any(|id| id.as_u64().unwrap() >= 29)
    };
    let unknown = answers.as_array().unwrap().iter().filter(has_unknown).count();
    assert!(unknown > 0);
    let expected = format!(
        "warning: {unknown} of 20 responses have tokens that the tokenizer lacks; they are \
        missing in the text\n"
    );
    assert_eq!(said.errors, expected);
}

/// A completion needs a token: an empty message list has none, nor has an empty text without EOS.
#[test]
fn answers_without_tokens_are_refused_with_file_and_row() {
    let folder = whole("llama", &json!({"eos_token_id": null}));
    fs::remove_file(folder.path().join("generation_config.json")).unwrap();
    fs::write(folder.path().join("tokenizer_config.json"), json!({"bos_token": "<s>"}).to_string())
        .unwrap();
    let template = "<s>{% for m in messages %}{{ m.content }}{% endfor %}";
    fs::write(folder.path().join("chat_template.jinja"), template).unwrap();
    let user = json!([{"role": "user", "content": "who"}]);
    let good = json!({"prompt": "who", "chosen": "a", "rejected": "b"});
    for (row, side) in [
        (json!({"prompt": "who", "chosen": "", "rejected": "b"}), "chosen"),
        (json!({"prompt": "who", "chosen": "a", "rejected": ""}), "rejected"),
        (json!({"prompt": user, "chosen": [], "rejected": []}), "chosen"),
        (
            json!({"prompt": user, "chosen": [{"role": "assistant", "content": "a"}], "rejected": []}),
            "rejected",
        ),
    ] {
        let pairs = folder.path().join("pairs.jsonl");
        fs::write(&pairs, format!("{good}\n{row}\n")).unwrap();
        let said = apeft(&[
            "logprobs",
            folder.path().to_str().unwrap(),
            "--pairs",
            pairs.to_str().unwrap(),
        ]);
        assert_eq!((said.status, said.out.as_str()), (2, ""));
        assert!(
            said.errors.starts_with(&format!("error: {}:", pairs.display())),
            "{}",
            said.errors
        );
        let is_said =
            said.errors.contains(&format!("pair 2: a completion has no tokens: `{side}`"))
                || said.errors.contains(":2: a completion is an empty list");
        assert!(is_said, "{}", said.errors);
    }
}

/// Written configs can be read.
#[test]
fn every_recorded_config_is_written_and_read_again() {
    for entry in fs::read_dir(data().join("models")).unwrap() {
        let config = ModelConfig::load(&entry.unwrap().path()).unwrap();
        assert_eq!(ModelConfig::from_json(&config.to_json(NumberFormat::Float32)).unwrap(), config);
    }
}
