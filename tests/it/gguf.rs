//! GGUF files: converted and imported as transformers reads them, or rejected with the problem.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use apeft::{
    model::{Encoder, GgufModel, LARGEST_FILE, ModelConfig, Placement, Tokenizer, Transformer},
    rows::{Content, json_lines},
};
use burn::tensor::{Int, Tensor, TensorData};
use half::{bf16, f16};
use safetensors::SafeTensors;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::data_sets::folder;

fn data(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data").join(name)
}

fn read_json(path: &Path) -> Value {
    serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap()
}

/// Types of tensors by name: number, values and bytes of a block.
const TYPES: [(&str, u32, usize, usize); 11] = [
    ("F32", 0, 1, 4),
    ("F16", 1, 1, 2),
    ("BF16", 30, 1, 2),
    ("Q4_0", 2, 32, 18),
    ("Q4_1", 3, 32, 20),
    ("Q5_0", 6, 32, 22),
    ("Q5_1", 7, 32, 24),
    ("Q8_0", 8, 32, 34),
    ("Q4_K", 12, 256, 144),
    ("Q5_K", 13, 256, 176),
    ("Q6_K", 14, 256, 210),
];

/// A value of the metadata.
#[derive(Clone)]
enum Meta {
    U32(u32),
    U64(u64),
    F32(f32),
    Bool(bool),
    Text(String),
    Texts(Vec<String>),
    I32s(Vec<i32>),
    F32s(Vec<f32>),
}

/// A tensor: dimensions as in the file (rows' length first), number of its type, bytes.
#[derive(Clone)]
struct Stored(Vec<u64>, u32, Vec<u8>);

/// A GGUF file to write.
#[derive(Clone, Default)]
struct Gguf {
    metadata: Vec<(String, Meta)>,
    tensors: Vec<(String, Stored)>,
}

fn put_text(bytes: &mut Vec<u8>, text: &str) {
    bytes.extend((text.len() as u64).to_le_bytes());
    bytes.extend(text.as_bytes());
}

impl Meta {
    fn put(&self, bytes: &mut Vec<u8>) {
        let list = |bytes: &mut Vec<u8>, kind: u32, count: usize| {
            bytes.extend(9u32.to_le_bytes());
            bytes.extend(kind.to_le_bytes());
            bytes.extend((count as u64).to_le_bytes());
        };
        match self {
            Self::U32(value) => bytes.extend([4u32, *value].map(u32::to_le_bytes).concat()),
            Self::U64(value) => {
                bytes.extend(10u32.to_le_bytes());
                bytes.extend(value.to_le_bytes());
            }
            Self::F32(value) => {
                bytes.extend([6, value.to_bits()].map(u32::to_le_bytes).concat());
            }
            Self::Bool(value) => {
                bytes.extend(7u32.to_le_bytes());
                bytes.push(u8::from(*value));
            }
            Self::Text(text) => {
                bytes.extend(8u32.to_le_bytes());
                put_text(bytes, text);
            }
            Self::Texts(texts) => {
                list(bytes, 8, texts.len());
                texts.iter().for_each(|text| put_text(bytes, text));
            }
            Self::I32s(values) => {
                list(bytes, 5, values.len());
                values.iter().for_each(|value| bytes.extend(value.to_le_bytes()));
            }
            Self::F32s(values) => {
                list(bytes, 6, values.len());
                values.iter().for_each(|value| bytes.extend(value.to_le_bytes()));
            }
        }
    }
}

impl Gguf {
    /// Replaces or adds metadata.
    fn with(mut self, key: &str, value: Meta) -> Self {
        self.metadata.retain(|(known, _)| known != key);
        self.metadata.push((key.to_owned(), value));
        self
    }

    fn without(mut self, key: &str) -> Self {
        self.metadata.retain(|(known, _)| known != key);
        self.tensors.retain(|(known, _)| known != key);
        self
    }

    /// Replaces or adds a tensor.
    fn with_tensor(mut self, name: &str, stored: Stored) -> Self {
        self.tensors.retain(|(known, _)| known != name);
        self.tensors.push((name.to_owned(), stored));
        self
    }

    fn bytes(&self) -> Vec<u8> {
        let mut bytes = b"GGUF".to_vec();
        bytes.extend(3u32.to_le_bytes());
        bytes.extend((self.tensors.len() as u64).to_le_bytes());
        bytes.extend((self.metadata.len() as u64).to_le_bytes());
        for (key, value) in &self.metadata {
            put_text(&mut bytes, key);
            value.put(&mut bytes);
        }
        let mut offset = 0u64;
        for (name, Stored(dimensions, kind, data)) in &self.tensors {
            put_text(&mut bytes, name);
            bytes.extend((dimensions.len() as u32).to_le_bytes());
            dimensions.iter().for_each(|size| bytes.extend(size.to_le_bytes()));
            bytes.extend(kind.to_le_bytes());
            bytes.extend(offset.to_le_bytes());
            offset += (data.len() as u64).next_multiple_of(32);
        }
        for (_, Stored(_, _, data)) in &self.tensors {
            bytes.resize(bytes.len().next_multiple_of(32), 0);
            bytes.extend(data);
        }
        bytes
    }

    fn write(&self, folder: &Path) -> PathBuf {
        let path = folder.join("model.gguf");
        fs::write(&path, self.bytes()).unwrap();
        path
    }
}

/// The letters of byte-level vocabularies: printable bytes stand for themselves.
fn byte_letters() -> Vec<String> {
    let mut next = 256;
    let letters = (0..=255u8).map(|byte| {
        let is_plain = matches!(byte, b'!'..=b'~' | 0xa1..=0xac | 0xae..);
        let letter = if is_plain { u32::from(byte) } else { next };
        next += u32::from(!is_plain);
        char::from_u32(letter).unwrap().to_string()
    });
    letters.collect()
}

fn texts(words: &[&str]) -> Vec<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}

/// Any values of a tensor of this type, from the recorded blocks.
fn stored(kind: &str, dimensions: &[u64]) -> Stored {
    let blocks = read_json(&data("gguf/blocks.json"));
    let hex = blocks[kind]["bytes"].as_str().unwrap().as_bytes();
    let bytes: Vec<u8> = hex
        .chunks(2)
        .map(|two| u8::from_str_radix(std::str::from_utf8(two).unwrap(), 16).unwrap())
        .collect();
    let (_, number, values, size) = TYPES.iter().find(|(name, ..)| *name == kind).unwrap();
    let needed = dimensions.iter().product::<u64>() as usize / values * size;
    let bytes = bytes.iter().copied().cycle().take(needed).collect();
    Stored(dimensions.to_vec(), *number, bytes)
}

/// A model of one block whose rows have this many values, all matrices of one type.
fn tiny(width: u64, kind: &str) -> Gguf {
    let mut tokens = byte_letters();
    tokens.extend(texts(&["th", "<|endoftext|>", "<|im_end|>"]));
    let vocabulary = tokens.len() as u64;
    let mut types = vec![1; tokens.len()];
    types[257..].fill(3);
    let mut file = Gguf::default();
    for (key, value) in [
        ("general.architecture", Meta::Text("llama".to_owned())),
        ("llama.block_count", Meta::U32(1)),
        ("llama.context_length", Meta::U32(64)),
        ("llama.embedding_length", Meta::U32(width as u32)),
        ("llama.feed_forward_length", Meta::U32(width as u32)),
        ("llama.attention.head_count", Meta::U32(2)),
        ("llama.attention.layer_norm_rms_epsilon", Meta::F32(1e-5)),
        ("tokenizer.ggml.model", Meta::Text("gpt2".to_owned())),
        ("tokenizer.ggml.pre", Meta::Text("gpt-2".to_owned())),
        ("tokenizer.ggml.tokens", Meta::Texts(tokens)),
        ("tokenizer.ggml.token_type", Meta::I32s(types)),
        ("tokenizer.ggml.merges", Meta::Texts(texts(&["t h"]))),
        ("tokenizer.ggml.eos_token_id", Meta::U32(257)),
    ] {
        file = file.with(key, value);
    }
    file = file.with_tensor("token_embd.weight", stored(kind, &[width, vocabulary]));
    file = file.with_tensor("output_norm.weight", stored("F32", &[width]));
    for name in ["attn_norm", "ffn_norm"] {
        file = file.with_tensor(&format!("blk.0.{name}.weight"), stored("F32", &[width]));
    }
    for name in ["attn_q", "attn_k", "attn_v", "attn_output", "ffn_gate", "ffn_up", "ffn_down"] {
        file = file.with_tensor(&format!("blk.0.{name}.weight"), stored(kind, &[width, width]));
    }
    file
}

/// Status and messages of the program in a folder, without the folder's name.
fn apeft(folder: &Path, arguments: &[&str]) -> (i32, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_apeft"))
        .args(arguments)
        .current_dir(folder)
        .env_remove("RUST_LOG")
        .output()
        .unwrap();
    let text = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
    (output.status.code().unwrap(), text.replace(&folder.display().to_string(), "DIR"))
}

/// The problem of a file.
fn problem(bytes: &[u8]) -> String {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.gguf");
    fs::write(&path, bytes).unwrap();
    let wrote = GgufModel::open(&path)
        .and_then(|model| model.write(&folder.path().join("out"), "auto", LARGEST_FILE));
    let error = wrote.unwrap_err().to_string();
    error.replace(&format!("{}: ", path.display()), "")
}

fn converted(file: &Path, dtype: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    GgufModel::open(file).unwrap().write(folder.path(), dtype, LARGEST_FILE).unwrap();
    folder
}

/// The logits at the last of some tokens.
fn logits(directory: &Path, tokens: &[i32]) -> Vec<f32> {
    let model = Transformer::load(directory, &Placement::cpu()).unwrap();
    let row = TensorData::new(tokens.to_vec(), [1, tokens.len()]);
    let row = Tensor::<2, Int>::from_data(row, &Placement::cpu().device);
    let all: Vec<f32> = model.logits(model.hidden(row)).into_data().try_to_vec().unwrap();
    all[all.len() - model.config.vocab_size..].to_vec()
}

/// Files that gguf-py wrote (`benches/gguf_goldens.py`), read by transformers' own reader.
#[test]
fn models_have_the_logits_of_transformers() {
    #[derive(Deserialize)]
    struct Golden {
        tokens: Vec<i32>,
        logits: Vec<f32>,
        sums: BTreeMap<String, f64>,
    }
    let goldens: BTreeMap<String, Golden> =
        serde_json::from_value(read_json(&data("gguf/goldens.json"))).unwrap();
    assert_eq!(goldens.len(), 3);
    for (name, golden) in goldens {
        let directory = converted(&data("gguf").join(format!("{name}.gguf")), "auto");
        let config = ModelConfig::load(directory.path()).unwrap();
        assert_eq!(config.architecture.model_type(), name);
        let found = logits(directory.path(), &golden.tokens);
        assert_eq!(found.len(), golden.logits.len());
        let scale = golden.logits.iter().fold(0f32, |most, value| most.max(value.abs()));
        for (found, expected) in found.iter().zip(&golden.logits) {
            assert!((found - expected).abs() < 1e-5 * scale, "{name}: {found} {expected}");
        }
        let bytes = fs::read(directory.path().join("model.safetensors")).unwrap();
        let tensors = SafeTensors::deserialize(&bytes).unwrap();
        for (tensor, expected) in &golden.sums {
            let tied = tensor == "lm_head.weight" && config.tie_word_embeddings;
            let sum: f64 =
                values(&tensors, if tied { "model.embed_tokens.weight" } else { tensor })
                    .iter()
                    .map(|value| f64::from(value.abs()))
                    .sum();
            assert!((sum / expected - 1.0).abs() < 1e-6, "{name} {tensor}: {sum} {expected}");
        }
    }
}

fn values(tensors: &SafeTensors, name: &str) -> Vec<f32> {
    let view = tensors.tensor(name).unwrap();
    let (pairs, _) = view.data().as_chunks::<2>();
    match view.dtype() {
        safetensors::Dtype::F16 => {
            pairs.iter().map(|word| f16::from_le_bytes(*word).to_f32()).collect()
        }
        safetensors::Dtype::BF16 => {
            pairs.iter().map(|word| bf16::from_le_bytes(*word).to_f32()).collect()
        }
        _ => view.data().as_chunks::<4>().0.iter().map(|word| f32::from_le_bytes(*word)).collect(),
    }
}

/// Values of gguf-py for random blocks, all of them equal to the last bit.
#[test]
fn every_type_is_dequantised_as_by_gguf_py() {
    let blocks = read_json(&data("gguf/blocks.json"));
    for (kind, _, block, _) in TYPES {
        let width = if block == 256 { 256 } else { 32 };
        let folder = tempfile::tempdir().unwrap();
        let path = tiny(width, kind).write(folder.path());
        let expected: Vec<f32> = serde_json::from_value(blocks[kind]["values"].clone()).unwrap();
        for dtype in ["auto", "float32", "bfloat16", "float16"] {
            let directory = converted(&path, dtype);
            let bytes = fs::read(directory.path().join("model.safetensors")).unwrap();
            let tensors = SafeTensors::deserialize(&bytes).unwrap();
            let view = tensors.tensor("model.embed_tokens.weight").unwrap();
            let format = match (dtype, kind) {
                ("float16", _) | ("auto", "F16") => safetensors::Dtype::F16,
                ("bfloat16", _) | ("auto", "BF16") => safetensors::Dtype::BF16,
                _ => safetensors::Dtype::F32,
            };
            assert_eq!((view.dtype(), view.shape()), (format, &[259, width as usize][..]));
            let found = values(&tensors, "model.embed_tokens.weight");
            assert_eq!(found.len(), 259 * width as usize);
            for (found, expected) in found.iter().zip(expected.iter().cycle()) {
                let expected = match format {
                    safetensors::Dtype::F16 => f16::from_f32(*expected).to_f32(),
                    safetensors::Dtype::BF16 => bf16::from_f32(*expected).to_f32(),
                    _ => *expected,
                };
                assert_eq!(found.to_bits(), expected.to_bits(), "{kind} {dtype}");
            }
            let config = read_json(&directory.path().join("config.json"));
            let named = match format {
                safetensors::Dtype::F16 => "float16",
                safetensors::Dtype::BF16 => "bfloat16",
                _ => "float32",
            };
            assert_eq!(config["dtype"], named, "{kind} {dtype}");
            Transformer::check(directory.path()).unwrap();
        }
    }
}

/// Llama's queries and keys have rotary pairs side by side, Qwen's have the halves of a head.
#[test]
fn rows_of_queries_and_keys_are_in_transformers_order() {
    let (width, head) = (32, 16);
    let rows = |name: &str| {
        let numbers = (0..width * width).flat_map(|place| ((place / width) as f32).to_le_bytes());
        let matrix = Stored(vec![width, width], 0, numbers.collect());
        let file = tiny(width, "F32").with_tensor(&format!("blk.0.{name}.weight"), matrix);
        let folder = tempfile::tempdir().unwrap();
        let directory = converted(&file.write(folder.path()), "auto");
        let bytes = fs::read(directory.path().join("model.safetensors")).unwrap();
        let tensors = SafeTensors::deserialize(&bytes).unwrap();
        let tensor = format!("model.layers.0.self_attn.{}_proj.weight", &name[5..6]);
        values(&tensors, &tensor).chunks(width as usize).map(|row| row[0]).collect::<Vec<_>>()
    };
    let expected: Vec<f32> = (0..width)
        .map(|row| {
            let (from, within) = (row / head * head, row % head);
            (from + if within < head / 2 { 2 * within } else { 2 * within - head + 1 }) as f32
        })
        .collect();
    assert_eq!(rows("attn_q"), expected);
    assert_eq!(rows("attn_k"), expected);
    assert_eq!(rows("attn_v"), (0..width).map(|row| row as f32).collect::<Vec<_>>());
}

#[test]
fn damaged_files_are_refused() {
    let whole = tiny(32, "Q8_0").bytes();
    let at = |from: usize, bytes: &[u8]| {
        let mut changed = whole.clone();
        changed[from..from + bytes.len()].copy_from_slice(bytes);
        problem(&changed)
    };
    let wide = |dimensions: [u64; 2]| {
        let Stored(_, kind, bytes) = stored("Q8_0", &[32, 32]);
        let changed = Stored(dimensions.to_vec(), kind, bytes);
        problem(&tiny(32, "Q8_0").with_tensor("blk.0.attn_q.weight", changed).bytes())
    };
    let twice = tiny(32, "Q8_0");
    let mut keys = twice.clone();
    keys.metadata.push(("llama.block_count".to_owned(), Meta::U32(2)));
    let mut names = twice.clone();
    names.tensors.push(names.tensors[0].clone());
    let problems = [
        at(0, b"GGML"),
        at(4, &1u32.to_le_bytes()),
        at(4, &3u32.to_be_bytes()),
        at(8, &(u64::MAX).to_le_bytes()),
        at(16, &(1u64 << 40).to_le_bytes()),
        at(24, &(u64::MAX - 3).to_le_bytes()),
        at(52, &99u32.to_le_bytes()),
        problem(&whole[..3]),
        problem(&whole[..30]),
        problem(&whole[..whole.len() / 2]),
        problem(&whole[..whole.len() - 1]),
        wide([33, 32]),
        wide([0, 32]),
        wide([32, 0]),
        wide([1 << 60, 1 << 60]),
        wide([1 << 40, 1 << 20]),
        wide([64, 16]),
        problem(&keys.bytes()),
        problem(&names.bytes()),
        problem(b"version https://git-lfs.github.com/spec/v1\noid sha256:0123\nsize 514408\n"),
    ];
    expect_test::expect![[r#"
        it is not a GGUF file: its first bytes are not `GGUF`
        it has version 1 of the GGUF format; supported are 2 and 3: convert the model again with a present llama.cpp
        it is a big-endian GGUF file; only little-endian ones are supported
        it is damaged or truncated: it declares 18446744073709551615 tensors, which need more than its 21632 bytes
        it is damaged or truncated: it declares 1099511627776 metadata entries, which need more than its 21632 bytes
        it is truncated or damaged: a metadata key needs 18446744073709551612 bytes at 32, but the file has 21632 bytes
        it is damaged: `general.architecture` has the unknown type 99
        it is not a GGUF file: its first bytes are not `GGUF`
        it is damaged or truncated: it declares 11 tensors, which need more than its 30 bytes
        it is truncated: the tensor `token_embd.weight` needs 8806 bytes from 0 on, but only 6016 bytes follow the header; download or copy it again
        it is truncated: the tensor `blk.0.ffn_down.weight` needs 1088 bytes from 15744 on, but only 16831 bytes follow the header; download or copy it again
        it is damaged: the tensor `blk.0.attn_q.weight` has rows of 33 values, which is no multiple of the 32 values of a block of Q8_0
        it is damaged: the tensor `blk.0.attn_q.weight` has rows of 0 values, which is no multiple of the 32 values of a block of Q8_0
        it is damaged: the tensor `blk.0.attn_q.weight` has the shape [0, 32]
        it is damaged: the tensor `blk.0.attn_q.weight` has the shape [1152921504606846976, 1152921504606846976]
        it is truncated: the tensor `blk.0.attn_q.weight` needs 1224979098644774912 bytes from 15744 on, but only 16832 bytes follow the header; download or copy it again
        the tensor `blk.0.attn_q.weight` has the shape [16, 64], but [32, 32] is expected
        it is damaged: the metadata key `llama.block_count` occurs twice
        it is damaged: the tensor `token_embd.weight` occurs twice
        it is a git-lfs pointer: run git lfs pull"#]].assert_eq(&problems.join("\n"));
}

/// Every cut and many changed bytes: an error or a model, never a panic.
#[test]
fn cut_and_changed_headers_do_no_harm() {
    let whole = fs::read(data("gguf/qwen3.gguf")).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.gguf");
    let opens = |bytes: &[u8]| {
        fs::write(&path, bytes).unwrap();
        let model = GgufModel::open(&path);
        model.and_then(|model| model.check().and(model.write_texts(folder.path()))).is_ok()
    };
    assert!(opens(&whole));
    for length in (1..2_000).step_by(7).chain((2_000..whole.len()).step_by(997)) {
        assert!(!opens(&whole[..length]), "{length}");
    }
    let mut changed = whole.clone();
    let mut refused = 0;
    for at in (0..12_000).step_by(11) {
        for value in [0, 0xff, whole[at] ^ 1] {
            changed[at] = value;
            refused += usize::from(!opens(&changed));
        }
        changed[at] = whole[at];
    }
    assert!(refused > 500, "{refused}");
}

#[test]
fn what_is_not_supported_is_named() {
    let plain = || tiny(32, "Q8_0");
    let text = |key: &str, value: &str| plain().with(key, Meta::Text(value.to_owned()));
    let mut other = stored("F32", &[32, 32]);
    other.1 = 10;
    let mut odd = other.clone();
    odd.1 = 777;
    let nan = Stored(vec![32], 0, f32::NAN.to_le_bytes().repeat(32));
    let large = Stored(vec![32], 0, 1e30f32.to_le_bytes().repeat(32));
    let uneven = Stored(vec![8], 0, (1..=8).flat_map(|at| (at as f32).to_le_bytes()).collect());
    let files = [
        text("general.architecture", "gemma3"),
        plain().without("general.architecture"),
        text("general.type", "adapter"),
        plain().with("split.count", Meta::U32(3)),
        plain().with_tensor("blk.0.attn_q.weight", other),
        plain().with_tensor("blk.0.attn_q.weight", odd),
        text("tokenizer.ggml.pre", "chatglm-bpe"),
        plain().without("tokenizer.ggml.pre"),
        text("tokenizer.ggml.model", "t5"),
        plain().without("tokenizer.ggml.tokens"),
        plain()
            .with("tokenizer.ggml.tokens", Meta::Texts(texts(&["a", "b", "a"])))
            .without("tokenizer.ggml.token_type"),
        plain().with("tokenizer.ggml.tokens", Meta::Texts(texts(&["a", "b"]))),
        plain().with("tokenizer.ggml.merges", Meta::Texts(texts(&["t h", "q z"]))),
        plain().with("tokenizer.ggml.eos_token_id", Meta::U32(259)),
        plain().with("tokenizer.ggml.eos_token_id", Meta::F32(1.0)),
        plain().with("tokenizer.ggml.add_bos_token", Meta::Bool(true)),
        plain().without("llama.context_length"),
        plain().with("llama.embedding_length", Meta::U64(1 << 40)),
        plain().with("llama.block_count", Meta::U32(2)),
        plain().with("llama.block_count", Meta::U32(u32::MAX)),
        plain().with("llama.attention.head_count", Meta::U32(0)),
        plain().with("llama.attention.head_count", Meta::I32s(vec![2, 4])),
        plain().with("llama.attention.head_count_kv", Meta::U32(3)),
        plain().with("llama.attention.sliding_window", Meta::U32(8)),
        plain().with("llama.expert_count", Meta::U32(8)),
        plain().with("llama.rope.dimension_count", Meta::U32(8)),
        text("llama.rope.scaling.type", "longrope"),
        plain().with_tensor("rope_freqs.weight", uneven),
        plain().with_tensor("blk.0.ffn_gate_inp.weight", stored("F32", &[32, 8])),
        plain().without("blk.0.ffn_up.weight"),
        plain().without("token_embd.weight"),
        plain().with_tensor("output_norm.weight", stored("F32", &[16])),
    ];
    let mut problems: Vec<String> = files.iter().map(|file| problem(&file.bytes())).collect();
    let folder = tempfile::tempdir().unwrap();
    for (norm, dtype) in [(nan, "auto"), (large, "float16")] {
        let path = plain().with_tensor("output_norm.weight", norm).write(folder.path());
        let model = GgufModel::open(&path).unwrap();
        let error = model.write(folder.path(), dtype, LARGEST_FILE).unwrap_err().to_string();
        problems.push(error.replace(&folder.path().display().to_string(), "DIR"));
    }
    expect_test::expect![[r#"
        the architecture `gemma3` is not supported; supported are `llama`, `qwen2`, `qwen3`
        the metadata key `general.architecture` is missing
        it holds no model: `general.type` is "adapter"
        it is one of 3 parts of a model; join them first: `llama-gguf-split --merge FIRST_PART WHOLE.gguf`
        the tensor `blk.0.attn_q.weight` is stored as Q2_K, which is not supported; supported are F32, F16, BF16, Q4_0, Q4_1, Q5_0, Q5_1, Q8_0, Q4_K, Q5_K, Q6_K
        the tensor `blk.0.attn_q.weight` is stored as type 777, which is not supported; supported are F32, F16, BF16, Q4_0, Q4_1, Q5_0, Q5_1, Q8_0, Q4_K, Q5_K, Q6_K
        the pre-tokenizer `chatglm-bpe` is not supported; supported are `gpt-2`, `gpt2`, `smollm`, `llama-bpe`, `llama3`, `llama-v3`, `falcon3`, `pixtral`, `tekken`, `qwen2`, `deepseek-r1-qwen`
        the metadata key `tokenizer.ggml.pre` is missing: files of before May 2024 do not say how texts are split; convert the model again (supported are `gpt-2`, `gpt2`, `smollm`, `llama-bpe`, `llama3`, `llama-v3`, `falcon3`, `pixtral`, `tekken`, `qwen2`, `deepseek-r1-qwen`)
        the tokenizer `t5` is not supported; supported are `gpt2` (byte-level BPE) and `llama` (SentencePiece)
        the metadata key `tokenizer.ggml.tokens` is missing
        `tokenizer.ggml.tokens` has the token `a` twice, 0 and 2
        `tokenizer.ggml.token_type` has 259 elements, but `tokenizer.ggml.tokens` has 2
        `tokenizer.ggml.merges` has `q z`, but its parts and the whole are not all tokens
        the field `eos_token_id` is 259, but it must be a token of the vocabulary
        `tokenizer.ggml.eos_token_id` is 1, but must be an integer
        `tokenizer.ggml.add_bos_token` is true, but the key `tokenizer.ggml.bos_token_id` is missing
        the metadata key `llama.context_length` is missing
        the field `hidden_size` is 1099511627776, but it must be an integer from 1 to 16777216
        the tensor `blk.1.attn_norm.weight` is missing
        the field `num_hidden_layers` is 4294967295, but it must be an integer from 1 to 16777216
        the field `num_attention_heads` is 0, but it must be an integer from 1 to 16777216
        `llama.attention.head_count` differs between blocks, which is not supported: all blocks have the same sizes
        the field `num_key_value_heads` is 3, but it must divide `num_attention_heads`
        `llama.attention.sliding_window` is 8, which is not supported: attention reaches back to the first token
        `llama.expert_count` is 8, which is not supported
        `llama.rope.dimension_count` is 8, but a head has 16 dimensions, which is not supported: rotary embeddings cover the whole head
        the rotary scaling `longrope` is not supported; supported are `none`, `linear`, `yarn`, and the factors of Llama 3.1
        the tensor `rope_freqs.weight` scales rotary embeddings in a way that is not supported; supported are the factors of Llama 3.1
        the tensor `blk.0.ffn_gate_inp.weight` is not part of the architecture `llama` as it is supported
        the tensor `blk.0.ffn_up.weight` is missing
        the tensor `token_embd.weight` is missing
        the tensor `output_norm.weight` has the shape [16], but [32] is expected
        DIR/model.gguf: the tensor `model.norm.weight` has values that float32 cannot represent (infinite or NaN)
        DIR/model.gguf: the tensor `model.norm.weight` has values that float16 cannot represent (infinite or NaN)"#]].assert_eq(&problems.join("\n"));
}

/// Sizes, scalings and special tokens arrive in the files that transformers reads.
#[test]
fn metadata_become_configs() {
    let folder = tempfile::tempdir().unwrap();
    let template = "{{ messages[0].content }}<|im_end|>";
    let file = tiny(32, "F32")
        .with("llama.rope.freq_base", Meta::F32(500_000.0))
        .with("llama.rope.scaling.type", Meta::Text("yarn".to_owned()))
        .with("llama.rope.scaling.factor", Meta::F32(4.0))
        .with("llama.rope.scaling.original_context_length", Meta::U32(16))
        .with("llama.attention.head_count_kv", Meta::I32s(vec![1]))
        .with("llama.key_of_the_future", Meta::Bool(true))
        .with("tokenizer.chat_template", Meta::Text(template.to_owned()))
        .with("tokenizer.chat_template.tool_use", Meta::Text("tools".to_owned()))
        .with("tokenizer.chat_template.../up", Meta::Text("no name of a file".to_owned()))
        .with("tokenizer.ggml.bos_token_id", Meta::U32(257))
        .with("tokenizer.ggml.add_bos_token", Meta::Bool(true))
        .with_tensor("blk.0.attn_k.weight", stored("F32", &[32, 16]))
        .with_tensor("blk.0.attn_v.weight", stored("F32", &[32, 16]))
        .with_tensor("blk.0.attn_q.bias", stored("F32", &[32]));
    let path = file.write(folder.path());
    let out = folder.path().join("out");
    let said = apeft(folder.path(), &["convert", "model.gguf", "out"]);
    let remark = "warning: unknown metadata of the GGUF file are ignored: \
        `llama.key_of_the_future` = true\n";
    assert_eq!(said, (0, remark.to_owned()));
    let mut names: Vec<String> = fs::read_dir(&out)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    assert_eq!(
        names,
        [
            "additional_chat_templates",
            "chat_template.jinja",
            "config.json",
            "generation_config.json",
            "model.safetensors",
            "tokenizer.json",
            "tokenizer_config.json"
        ]
    );
    let config = read_json(&out.join("config.json"));
    assert_eq!(config["rms_norm_eps"], json!(1e-5));
    assert_eq!(config["num_key_value_heads"], 1);
    assert_eq!(config["attention_bias"], true);
    assert_eq!(
        config["rope_parameters"],
        json!({"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 16,
            "beta_fast": 32.0, "beta_slow": 1.0, "truncate": true, "rope_theta": 500_000.0})
    );
    // EOS, and the end of a turn that the template writes.
    assert_eq!(read_json(&out.join("generation_config.json"))["eos_token_id"], json!([257, 258]));
    let bytes = fs::read(out.join("model.safetensors")).unwrap();
    let tensors = SafeTensors::deserialize(&bytes).unwrap();
    // Biases that the file leaves out are zero.
    assert_eq!(values(&tensors, "model.layers.0.self_attn.o_proj.bias"), [0.0; 32]);
    assert_ne!(values(&tensors, "model.layers.0.self_attn.q_proj.bias"), [0.0; 32]);
    let model = Transformer::load(&out, &Placement::cpu()).unwrap();
    let encoder = Encoder::load(&out, &model.config).unwrap();
    assert_eq!((encoder.begin().unwrap(), encoder.end()), (Some(257), Some(257)));
    let asked = encoder.prompt(&Content::from_user("th", None)).unwrap();
    assert_eq!(asked, [256, 258]);
    // Not twice into one folder, and no adapter on a file.
    let said = apeft(folder.path(), &["convert", "model.gguf", "out"]);
    assert_eq!(said, (2, "error: out is not empty; name a new directory\n".to_owned()));
    let said = apeft(folder.path(), &["convert", "model.gguf", "new", "--adapter", "x"]);
    assert_eq!((said.0, said.1.contains("convert the GGUF file first")), (2, true), "{}", said.1);
    assert!(path.exists() && !folder.path().join("new").exists());
    a_failure_leaves_no_half_of_a_model();
    scaling_types_are_read_as_llama_cpp_does();
}

fn a_failure_leaves_no_half_of_a_model() {
    let folder = tempfile::tempdir().unwrap();
    let large = Stored(vec![32], 0, 1e30f32.to_le_bytes().repeat(32));
    tiny(32, "F32").with_tensor("output_norm.weight", large).write(folder.path());
    let said = apeft(folder.path(), &["convert", "model.gguf", "new", "--dtype", "float16"]);
    assert!(said.0 != 0 && said.1.contains("float16 cannot represent"), "{}", said.1);
    let left: Vec<_> = fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap()).collect();
    assert_eq!(left.len(), 1, "{left:?}");
}

/// A factor without a type is a linear one; the type `none` scales nothing, whatever the factor.
fn scaling_types_are_read_as_llama_cpp_does() {
    let scaling = |named: Option<&str>, factor: Option<f32>| {
        let mut file = tiny(32, "F32");
        if let Some(named) = named {
            file = file.with("llama.rope.scaling.type", Meta::Text(named.to_owned()));
        }
        if let Some(factor) = factor {
            file = file.with("llama.rope.scaling.factor", Meta::F32(factor));
        }
        let folder = tempfile::tempdir().unwrap();
        let directory = converted(&file.write(folder.path()), "auto");
        let config = read_json(&directory.path().join("config.json"));
        (
            config["rope_parameters"]["rope_type"].clone(),
            config["rope_parameters"]["factor"].clone(),
        )
    };
    let unscaled = (json!("default"), Value::Null);
    assert_eq!(scaling(Some("none"), Some(4.0)), unscaled);
    assert_eq!(scaling(None, None), unscaled);
    assert_eq!(scaling(None, Some(0.0)), unscaled);
    let linear = (json!("linear"), json!(4.0));
    assert_eq!(scaling(None, Some(4.0)), linear);
    assert_eq!(scaling(Some("linear"), Some(4.0)), linear);
}

/// The check of `import`: nothing is written of a file that would make a broken directory.
#[test]
fn convert_refuses_what_import_refuses_before_it_writes() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    for (key, value, expected) in [
        (
            "tokenizer.chat_template",
            "{% if %}",
            "error: DIR/model.gguf/chat_template.jinja: line 1 of the chat template is not valid \
            Jinja: ",
        ),
        ("tokenizer.ggml.pre", "bloom", "error: DIR/model.gguf: the pre-tokenizer `bloom` is not "),
    ] {
        let file = tiny(32, "Q8_0").with(key, Meta::Text(value.to_owned())).write(folder);
        let said = apeft(folder, &["convert", file.to_str().unwrap(), "out"]);
        assert_eq!((said.0, said.1.starts_with(expected)), (2, true), "{}", said.1);
        assert!(!folder.join("out").exists(), "{key}");
    }
}

/// The SentencePiece-like tokenizer of `tests/data/text`, from scores in place of merges: the
/// tokens that transformers gives its texts.
#[test]
fn a_tokenizer_with_scores_encodes_like_its_original() {
    let directory = converted(&data("gguf/llama.gguf"), "auto");
    let tokenizer = Tokenizer::load(directory.path()).unwrap();
    let goldens = read_json(&data("text/goldens.json"));
    let prompts = goldens["prompts"].as_array().unwrap();
    assert!(prompts.len() >= 5);
    for golden in prompts {
        let prompt = golden["prompt"].as_str().unwrap();
        let ids: Vec<u32> = serde_json::from_value(golden["prompt_ids"].clone()).unwrap();
        assert_eq!(tokenizer.encode_prompt(prompt).unwrap(), ids, "{prompt:?}");
        assert_eq!(tokenizer.decode(&ids).unwrap(), prompt);
    }
}

/// A file with the vocabulary of a tokenizer.json and hardly any weights.
fn with_vocabulary(tokenizer: &Value, kinds: impl Fn(&str) -> i32) -> Gguf {
    let vocabulary: BTreeMap<String, usize> =
        serde_json::from_value(tokenizer["model"]["vocab"].clone()).unwrap();
    let added = tokenizer["added_tokens"].as_array().unwrap();
    let ids = vocabulary.values().copied();
    let count =
        1 + ids.chain(added.iter().map(|one| one["id"].as_u64().unwrap() as usize)).max().unwrap();
    let mut tokens: Vec<String> = (0..count).map(|number| format!("[PAD{number}]")).collect();
    let mut types = vec![5; count];
    for (token, id) in &vocabulary {
        token.clone_into(&mut tokens[*id]);
        types[*id] = kinds(token);
    }
    for one in added {
        let id = one["id"].as_u64().unwrap() as usize;
        one["content"].as_str().unwrap().clone_into(&mut tokens[id]);
        types[id] = if one["special"] == true { 3 } else { 4 };
    }
    tiny(32, "Q8_0")
        .with_tensor("token_embd.weight", stored("Q8_0", &[32, count as u64]))
        .with("tokenizer.ggml.eos_token_id", Meta::U32(0))
        .with("tokenizer.ggml.tokens", Meta::Texts(tokens))
        .with("tokenizer.ggml.token_type", Meta::I32s(types))
}

const ODD_TEXTS: [&str; 12] = [
    "",
    " ",
    "   three spaces   ",
    "\n\n\n\ttabs\t\tand lines\r\n\r\n  indented",
    "In 1867, 3.14159 and 1,234,567 or ١٢٣ and Ⅷ",
    "naïve café Ångström, e\u{301} decomposed",
    "你好，世界！ 日本語 한국어",
    "😀 👨‍👩‍👧‍👦 🇳🇴 flags",
    "I'm, you're, THEY'LL, it's don't",
    "def f(x):\n    return x**2  # square",
    "<|im_start|>user\nHi<|im_end|>\n<|endoftext|>",
    "Ω\u{200b}zero\u{feff}width \u{1F3FF}\u{0}",
];

#[derive(Deserialize)]
struct Encoded {
    text: String,
    ids: Vec<u32>,
}

/// GPT-2's tokenizer through a GGUF file: tokens that llama.cpp recorded from transformers.
#[test]
fn gpt2s_tokenizer_survives_a_gguf_file() {
    let Some(folder) = folder("tokenizers") else { return };
    let original = read_json(&folder.join("gpt-2.tokenizer.json"));
    let merges = original["model"]["merges"].as_array().unwrap().iter().map(merge).collect();
    let file = with_vocabulary(&original, |_| 1).with("tokenizer.ggml.merges", Meta::Texts(merges));
    check_against(
        &file,
        &folder.join("gpt-2.tokenizer.json"),
        &folder.join("gpt-2.gold_dev.jsonl"),
    );
}

/// A merge as in a GGUF file.
fn merge(merge: &Value) -> String {
    match merge.as_array() {
        Some(pair) => pair.iter().map(|part| part.as_str().unwrap()).collect::<Vec<_>>().join(" "),
        None => merge.as_str().unwrap().to_owned(),
    }
}

/// Phi-3's, which has Llama 2's pieces: merges that follow from scores are those of its file.
#[test]
fn phi3s_tokenizer_survives_a_gguf_file() {
    let Some(folder) = folder("tokenizers") else { return };
    let path = folder.join("phi-3.tokenizer.json");
    let original = read_json(&path);
    let file = with_vocabulary(&original, |token| match token {
        "<unk>" => 2,
        _ if token.starts_with("<0x") && token.len() == 6 => 6,
        _ => 1,
    });
    let Some((_, Meta::Texts(tokens))) =
        file.metadata.iter().find(|(key, _)| key == "tokenizer.ggml.tokens")
    else {
        panic!("there are tokens")
    };
    // SentencePiece's scores: one less for each piece from the first behind the bytes on, and runs
    // of spaces last.
    let is_spaces = |token: &str| token.chars().all(|letter| "▁ ".contains(letter));
    let score = |(id, token): (usize, &String)| {
        if is_spaces(token) && token.chars().count() > 1 {
            return -1e9;
        }
        259.0f32.min(id as f32) - id as f32
    };
    let scores = tokens.iter().enumerate().map(score).collect();
    let file = file
        .with("tokenizer.ggml.model", Meta::Text("llama".to_owned()))
        .with("tokenizer.ggml.scores", Meta::F32s(scores))
        .with("tokenizer.ggml.add_bos_token", Meta::Bool(false));
    let directory = check_against(&file, &path, &folder.join("phi-3.gold_dev.jsonl"));
    let ours = read_json(&directory.path().join("tokenizer.json"));
    let [ours, theirs] = [&ours, &original].map(|file| {
        file["model"]["merges"].as_array().unwrap().iter().map(merge).collect::<Vec<_>>()
    });
    assert_eq!(ours.len(), 61_249);
    let sorted = |merges: &[String]| merges.iter().cloned().collect::<BTreeSet<_>>();
    assert!(sorted(&ours) == sorted(&theirs), "merges differ");
    // Pieces come in the same order. Of one piece, and of runs of spaces, which have equal scores,
    // an earlier transformers wrote the pairs in the order of their ids; the present one writes the
    // longest left part first, as SentencePiece merges runs of spaces.
    let pieces = |merges: &[String]| -> Vec<String> {
        let words = merges.iter().filter(|merge| !is_spaces(merge));
        words.map(|merge| merge.replace(' ', "")).collect()
    };
    assert!(pieces(&ours) == pieces(&theirs), "the order of pieces differs");
}

/// SmolLM2's tokenizer.json comes back as it was.
#[test]
fn smollm2s_tokenizer_survives_a_gguf_file() {
    let Some(folder) = folder("tokenizers") else { return };
    let path = folder.join("smollm2-135m-instruct/tokenizer.json");
    let original = read_json(&path);
    let merges = original["model"]["merges"].as_array().unwrap().iter().map(merge).collect();
    let file = with_vocabulary(&original, |_| 1)
        .with("tokenizer.ggml.merges", Meta::Texts(merges))
        .with("tokenizer.ggml.pre", Meta::Text("smollm".to_owned()));
    let directory = check_against(&file, &path, &folder.join("gpt-2.gold_dev.jsonl"));
    let ours = read_json(&directory.path().join("tokenizer.json"));
    for (part, value) in original.as_object().unwrap() {
        assert!(ours[part] == *value, "{part} differs");
    }
}

/// Checks that odd texts, and those of a file, have the tokens of the original tokenizer.
fn check_against(file: &Gguf, original: &Path, texts: &Path) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let directory = converted(&file.write(folder.path()), "auto");
    let copy = tempfile::tempdir().unwrap();
    fs::copy(original, copy.path().join("tokenizer.json")).unwrap();
    let [ours, theirs] =
        [&directory, &copy].map(|directory| Tokenizer::load(directory.path()).unwrap());
    let recorded: Vec<Encoded> = json_lines::read(texts).unwrap();
    assert!(recorded.len() >= 24);
    let stem = original.file_name().unwrap().to_str().unwrap().split('.').next().unwrap();
    let is_recorded = texts.file_name().unwrap().to_str().unwrap().starts_with(stem);
    for Encoded { text, ids } in &recorded {
        let found = ours.encode_continuation(text).unwrap();
        assert_eq!(found, theirs.encode_continuation(text).unwrap(), "{text:?}");
        assert!(!is_recorded || found == *ids, "{text:?}");
    }
    let spaces = (0..70).map(|count| format!("{0}x{0}", " ".repeat(count)));
    for text in ODD_TEXTS.into_iter().map(str::to_owned).chain(spaces) {
        let text = text.as_str();
        let found = ours.encode_continuation(text).unwrap();
        assert_eq!(found, theirs.encode_continuation(text).unwrap(), "{text:?}");
        assert_eq!(ours.decode(&found).unwrap(), theirs.decode(&found).unwrap(), "{text:?}");
    }
    directory
}

const RECIPE: &str = "name = \"gguf\"\n[stage.base]\nkind = \"import\"\npath = \"model.gguf\"\n";

/// A recipe imports a file; another content is another artifact, another name is not.
#[test]
fn a_recipe_imports_a_file() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    tiny(32, "Q8_0").write(folder);
    fs::write(folder.join("r.toml"), RECIPE).unwrap();
    let said = apeft(folder, &["validate", "r.toml"]);
    assert_eq!(said.0, 0, "{}", said.1);
    let said = apeft(folder, &["run", "r.toml"]);
    assert_eq!(said.0, 0, "{}", said.1);
    assert!(said.1.contains("weights were stored as F32 (3), Q8_0 (8)"), "{}", said.1);
    let artifact = |folder: &Path| {
        let said = apeft(folder, &["explain", "r.toml", "base"]).1;
        let path = said.split("cached in ").nth(1).unwrap_or_else(|| panic!("{said}")).trim();
        PathBuf::from(path.lines().next().unwrap().replace("DIR", &folder.display().to_string()))
    };
    let first = folder.join(artifact(folder));
    Transformer::check(&first).unwrap();
    assert!(first.join("tokenizer.json").exists());
    // The name of a file is not part of the key.
    fs::rename(folder.join("model.gguf"), folder.join("other.gguf")).unwrap();
    fs::write(folder.join("r.toml"), RECIPE.replace("model.gguf", "other.gguf")).unwrap();
    assert_eq!(folder.join(artifact(folder)), first);
    fs::write(folder.join("other.gguf"), tiny(32, "Q4_0").bytes()).unwrap();
    let said = apeft(folder, &["run", "r.toml"]);
    assert!(said.0 == 0 && said.1.contains("Q4_0 (8)"), "{}", said.1);
    assert_ne!(folder.join(artifact(folder)), first);
    // As is the number format.
    let half = format!("{}dtype = \"bfloat16\"\n", RECIPE.replace("model.gguf", "other.gguf"));
    fs::write(folder.join("r.toml"), half).unwrap();
    assert_eq!(apeft(folder, &["run", "r.toml"]).0, 0);
    let config = read_json(&folder.join(artifact(folder)).join("config.json"));
    assert_eq!(config["dtype"], "bfloat16");
}

/// What an attempt would refuse is refused before anything runs.
#[test]
fn files_are_checked_before_anything_runs() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    fs::write(
        folder.join("p.jsonl"),
        "{\"id\":\"a\",\"prompt\":\"?\",\"topic\":\"T\",\"domain\":\"d\"}\n",
    )
    .unwrap();
    let validate = |file: &Gguf, recipe: &str| {
        file.write(folder);
        fs::write(folder.join("r.toml"), recipe).unwrap();
        let (status, said) = apeft(folder, &["validate", "r.toml"]);
        assert_eq!(status, 2, "{said}");
        said
    };
    let chat = format!(
        "{RECIPE}[stage.s]\nkind = \"sample\"\nmodel = \"base\"\nprompts = {{ path = \"p.jsonl\" }}\n\
        apply_chat_template = true\n"
    );
    let said = [
        validate(&tiny(32, "Q8_0").without("blk.0.ffn_up.weight"), RECIPE),
        validate(
            &tiny(32, "Q8_0").with("tokenizer.ggml.pre", Meta::Text("bloom".to_owned())),
            RECIPE,
        ),
        validate(
            &tiny(32, "Q8_0").with("tokenizer.chat_template", Meta::Text("{% if %}".to_owned())),
            RECIPE,
        ),
        validate(&tiny(32, "Q8_0"), &chat),
        validate(&tiny(32, "Q8_0"), &chat.replace("\"base\"", "{ path = \"model.gguf\" }")),
    ];
    let errors: Vec<&str> = said
        .iter()
        .map(|said| said.lines().find(|line| line.starts_with("error")).unwrap())
        .collect();
    expect_test::expect![[r#"
        error: DIR/model.gguf: the tensor `blk.0.ffn_up.weight` is missing
        error: DIR/model.gguf: the pre-tokenizer `bloom` is not supported; supported are `gpt-2`, `gpt2`, `smollm`, `llama-bpe`, `llama3`, `llama-v3`, `falcon3`, `pixtral`, `tekken`, `qwen2`, `deepseek-r1-qwen`
        error: DIR/model.gguf/chat_template.jinja: line 1 of the chat template is not valid Jinja: syntax error: unexpected end of block
        error: `apply_chat_template` cannot be true: the model in DIR/model.gguf has no chat template; give a text instead of messages, or add chat_template.jinja to the directory
        error: DIR/model.gguf: it is a file, not a model directory; give it as `path` to a stage of kind `import`, and that stage as `model`"#]].assert_eq(&errors.join("\n"));
    fs::create_dir(folder.join("model")).unwrap();
    let of_directory = RECIPE.replace("model.gguf", "model") + "dtype = \"float16\"\n";
    let said = validate(&tiny(32, "Q8_0"), &of_directory);
    assert!(said.contains("a directory is imported as it is"), "{said}");
    // Other commands say what to do with a file.
    let said = apeft(folder, &["generate", "model.gguf", "--prompt", "x"]);
    assert_eq!(said.0, 2);
    assert!(said.1.contains("`apeft convert FILE DIR`"), "{}", said.1);
}
