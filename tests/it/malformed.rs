//! Model directories damaged in hundreds of ways: each error names a file, and none panics.

use std::{
    collections::BTreeMap,
    fs,
    os::unix::fs::symlink,
    panic::{AssertUnwindSafe, catch_unwind},
    path::{Path, PathBuf},
};

use apeft::model::{Adapter, Encoder, Placement, Transformer};
use serde_json::{Map, Value, json};

/// Damage to a whole directory.
type Damage = (String, Box<dyn Fn(&Path)>);
/// Damage to one tensor of a header.
type HeaderChange = fn(&mut Map<String, Value>, &str);
/// A named item.
type Named<T> = (&'static str, T);

fn data() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data")
}

/// An intact directory: a model with tokenizer and adapter.
fn whole() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for from in ["models/llama", "models/llama/adapter", "tiny-llama"] {
        for entry in fs::read_dir(data().join(from)).unwrap() {
            let path = entry.unwrap().path();
            let to = folder.path().join(path.file_name().unwrap());
            if path.is_file() && !to.exists() {
                fs::copy(&path, to).unwrap();
            }
        }
    }
    fs::write(folder.path().join("tokenizer.json"), small_tokenizer().to_string()).unwrap();
    folder
}

/// Byte-level BPE without merges, with no more tokens than the model.
pub(super) fn small_tokenizer() -> Value {
    let special = ["<s>", "</s>", "<pad>"];
    let letters = (b'a'..=b'z').map(|letter| char::from(letter).to_string());
    let tokens = special.map(str::to_owned).into_iter().chain(letters);
    let vocabulary: Map<String, Value> =
        tokens.enumerate().map(|(number, token)| (token, json!(number))).collect();
    let added = |(number, token): (usize, &str)| {
        json!({"id": number, "content": token, "single_word": false, "lstrip": false, "rstrip": false,
            "normalized": false, "special": true})
    };
    let byte_level = json!({"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": true});
    let begin = json!({"SpecialToken": {"id": "<s>", "type_id": 0}});
    let sequence = |name: &str| json!({"Sequence": {"id": name, "type_id": 0}});
    json!({
        "version": "1.0",
        "truncation": null,
        "padding": null,
        "added_tokens": special.into_iter().enumerate().map(added).collect::<Vec<_>>(),
        "normalizer": null,
        "pre_tokenizer": byte_level,
        "post_processor": {"type": "TemplateProcessing", "single": [begin, sequence("A")],
            "pair": [begin, sequence("A"), sequence("B")],
            "special_tokens": {"<s>": {"id": "<s>", "ids": [0], "tokens": ["<s>"]}}},
        "decoder": byte_level,
        "model": {"type": "BPE", "dropout": null, "unk_token": null, "continuing_subword_prefix": null,
            "end_of_word_suffix": null, "fuse_unk": false, "byte_fallback": false, "ignore_merges": false,
            "vocab": vocabulary, "merges": []},
    })
}

/// Reads everything, as `generate` would.
fn read(directory: &Path) -> Result<(), String> {
    let mut model =
        Transformer::load(directory, &Placement::cpu()).map_err(|error| error.to_string())?;
    Adapter::load(directory, &mut model).map_err(|error| error.to_string())?;
    Encoder::load(directory, &model.config).map_err(|error| error.to_string()).map(|_| ())
}

fn damage(what: impl Into<String>, change: impl Fn(&Path) + 'static) -> Damage {
    (what.into(), Box::new(change))
}

fn edit(path: &Path, change: impl Fn(Vec<u8>) -> Vec<u8>) {
    fs::write(path, change(fs::read(path).unwrap())).unwrap();
}

const FILES: [&str; 5] = [
    "model.safetensors",
    "config.json",
    "tokenizer.json",
    "adapter_config.json",
    "adapter_model.safetensors",
];

/// Truncated, empty and missing files, folders, pipes, and dangling links.
fn whole_files() -> Vec<Damage> {
    let mut all = Vec::new();
    for file in FILES {
        for cut in 0..12 {
            all.push(damage(format!("{file} cut at {cut}/12"), move |directory| {
                edit(&directory.join(file), |bytes| bytes[..bytes.len() * cut / 12].to_vec());
            }));
        }
        all.push(damage(format!("no {file}"), move |directory| {
            fs::remove_file(directory.join(file)).unwrap()
        }));
        all.push(damage(format!("{file} not UTF-8"), move |directory| {
            edit(&directory.join(file), |bytes| [&[0xff, 0xfe, 0xff], bytes.as_slice()].concat());
        }));
        let replacements: [Named<fn(&Path)>; 3] = [
            ("a folder", |path| fs::create_dir(path).unwrap()),
            ("a circle of links", |path| symlink(path, path).unwrap()),
            ("a pipe", |path| {
                let kind = rustix::fs::FileType::Fifo;
                rustix::fs::mknodat(
                    rustix::fs::CWD,
                    path,
                    kind,
                    rustix::fs::Mode::from_raw_mode(0o600),
                    0,
                )
                .unwrap();
            }),
        ];
        for (what, replace) in replacements {
            all.push(damage(format!("{file} is {what}"), move |directory| {
                let path = directory.join(file);
                fs::remove_file(&path).unwrap();
                replace(&path);
            }));
        }
    }
    for file in ["generation_config.json", "tokenizer_config.json", "chat_template.jinja"] {
        for (what, text) in [("cut", "{\"eos"), ("a list", "[1, 2"), ("template", "{% for %}")] {
            all.push(damage(format!("{file}: {what}"), move |directory| {
                fs::write(directory.join(file), text).unwrap()
            }));
        }
        all.push(damage(format!("{file} is a circle of links"), move |directory| {
            let path = directory.join(file);
            let _ = fs::remove_file(&path);
            symlink(&path, &path).unwrap();
        }));
    }
    // Some texts are valid templates, and two of the files may have any content.
    all.retain(|(what, _)| {
        !["chat_template.jinja: cut", "chat_template.jinja: a list"].contains(&what.as_str())
    });
    all
}

/// Inconsistent headers of safetensors files.
fn headers() -> Vec<Damage> {
    let mut all = Vec::new();
    for length in [0, 1, 7, 1 << 20, 100_000_001, 10_000_000_000, u64::MAX / 2, u64::MAX] {
        all.push(damage(format!("a header of {length} bytes"), move |directory| {
            edit(&directory.join("model.safetensors"), |bytes| {
                [&length.to_le_bytes(), &bytes[8..]].concat()
            });
        }));
    }
    let names = header(&fs::read(data().join("models/llama/model.safetensors")).unwrap()).0;
    for name in names.keys().filter(|name| *name != "__metadata__") {
        let changes: [Named<HeaderChange>; 10] = [
            ("missing", |header, name| drop(header.remove(name))),
            ("of a strange format", |header, name| header[name]["dtype"] = json!("F8_E4M3")),
            ("of no format", |header, name| header[name]["dtype"] = json!("F99")),
            ("of one more axis", |header, name| {
                header[name]["shape"].as_array_mut().unwrap().insert(0, json!(1));
            }),
            ("of an absurd shape", |header, name| {
                header[name]["shape"] = json!([1_u64 << 40, 1_u64 << 40])
            }),
            ("of a negative shape", |header, name| header[name]["shape"] = json!([-1])),
            ("beyond the file", |header, name| {
                header[name]["data_offsets"] = json!([0, 1_u64 << 40])
            }),
            ("backwards", |header, name| header[name]["data_offsets"] = json!([64, 0])),
            ("named twice as long", |header, name| {
                let value = header.remove(name).unwrap();
                header.insert(format!("{name}{name}"), value);
            }),
            ("no table", |header, name| header[name] = json!(5)),
        ];
        for (what, change) in changes {
            let name = name.clone();
            all.push(damage(format!("{name} is {what}"), move |directory| {
                edit(&directory.join("model.safetensors"), |bytes| {
                    let (mut table, values) = header(&bytes);
                    change(&mut table, &name);
                    let text = Value::Object(table).to_string();
                    [&(text.len() as u64).to_le_bytes(), text.as_bytes(), values].concat()
                });
            }));
        }
        for (what, value) in [("NaN", f32::NAN), ("infinity", f32::INFINITY)] {
            let name = name.clone();
            all.push(damage(format!("{name} has {what}"), move |directory| {
                edit(&directory.join("model.safetensors"), |mut bytes| {
                    let (table, values) = header(&bytes);
                    let start = bytes.len() - values.len()
                        + table[&name]["data_offsets"][0].as_u64().unwrap() as usize;
                    bytes[start + 8..start + 12].copy_from_slice(&value.to_le_bytes());
                    bytes
                });
            }));
        }
    }
    all
}

fn header(bytes: &[u8]) -> (Map<String, Value>, &[u8]) {
    let length = u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
    (serde_json::from_slice(&bytes[8..8 + length]).unwrap(), &bytes[8 + length..])
}

/// Configs with absurd values.
fn fields() -> Vec<Damage> {
    let mut all = Vec::new();
    let mut set = |file: &'static str, field: &'static str, value: Value| {
        all.push(damage(format!("{file}: {field} = {value}"), move |directory| {
            edit(&directory.join(file), |bytes| {
                let mut fields: Map<String, Value> = serde_json::from_slice(&bytes).unwrap();
                fields.insert(field.to_owned(), value.clone());
                Value::Object(fields).to_string().into_bytes()
            });
        }));
    };
    let sizes = [
        "hidden_size",
        "intermediate_size",
        "num_hidden_layers",
        "num_attention_heads",
        "vocab_size",
        "head_dim",
    ];
    for field in sizes {
        for value in [
            json!(0),
            json!(-1),
            json!(3),
            json!(1.5),
            json!(1_u64 << 40),
            json!("many"),
            json!([]),
        ] {
            set("config.json", field, value);
        }
    }
    for value in [json!(0), json!(3), json!(1 << 20), json!("one")] {
        set("config.json", "num_key_value_heads", value);
    }
    for (field, value) in [
        ("architectures", json!(["GPT2LMHeadModel"])),
        ("architectures", json!([7])),
        ("hidden_act", json!("relu")),
        ("rms_norm_eps", json!(-1)),
        ("rms_norm_eps", json!("small")),
        ("max_position_embeddings", json!(0)),
        ("tie_word_embeddings", json!("yes")),
        ("rope_parameters", json!(5)),
        ("rope_parameters", json!({"rope_type": "longrope"})),
        ("rope_parameters", json!({"rope_type": "linear"})),
        ("rope_parameters", json!({"rope_type": "linear", "factor": 0})),
        ("rope_parameters", json!({"rope_type": "yarn", "factor": "x"})),
        ("rope_scaling", json!({"type": 5})),
        ("quantization_config", json!({"bits": 4})),
        ("eos_token_id", json!("end")),
        ("bos_token_id", json!(1 << 20)),
        ("attention_bias", json!(true)),
        ("attention_bias", json!(1)),
    ] {
        // EOS of the generation config takes precedence.
        if field != "eos_token_id" {
            set("config.json", field, value);
        } else {
            set("generation_config.json", field, value);
        }
    }
    for (field, value) in [
        ("peft_type", json!("PREFIX_TUNING")),
        ("peft_type", Value::Null),
        ("r", json!(0)),
        ("r", json!(-1)),
        ("r", json!(3)),
        ("r", json!(1_u64 << 60)),
        ("lora_alpha", json!("x")),
        ("target_modules", json!(["nothing"])),
        ("target_modules", json!([])),
        ("target_modules", json!("(")),
        ("target_modules", json!(["q_proj"])),
        ("target_modules", json!(["q_proj", "v_proj", "o_proj"])),
        ("rank_pattern", json!({"q_proj": 5})),
        ("rank_pattern", json!({"[": 5})),
        ("rank_pattern", json!([5])),
        ("modules_to_save", json!(["embed_tokens"])),
        ("use_dora", json!(true)),
        ("bias", json!("all")),
        ("layers_to_transform", json!([0])),
    ] {
        set("adapter_config.json", field, value);
    }
    all
}

/// Several weight files and their index.
fn indices() -> Vec<Damage> {
    let name = "model.safetensors.index.json";
    let texts: BTreeMap<&str, Value> = BTreeMap::from([
        ("no table", json!({})),
        ("a list", json!([])),
        ("a number for a file", json!({"weight_map": {"model.norm.weight": 5}})),
        (
            "a file that is not there",
            json!({"weight_map": {"model.norm.weight": "model-00001-of-00009.safetensors"}}),
        ),
        ("a file elsewhere", json!({"weight_map": {"model.norm.weight": "../../etc/passwd"}})),
        ("an absolute path", json!({"weight_map": {"model.norm.weight": "/etc/passwd"}})),
        ("nothing", json!({"weight_map": {}})),
        ("itself", json!({"weight_map": {"model.norm.weight": name}})),
    ]);
    let index = |(what, text): (&str, Value)| {
        damage(format!("an index with {what}"), move |directory| {
            fs::remove_file(directory.join("model.safetensors")).unwrap();
            fs::write(directory.join(name), text.to_string()).unwrap();
        })
    };
    texts.into_iter().map(index).collect()
}

#[test]
fn a_whole_directory_is_read() {
    assert_eq!(read(whole().path()), Ok(()));
}

#[test]
fn every_broken_directory_is_refused_with_the_name_of_a_file() {
    let all: Vec<Damage> =
        [whole_files(), headers(), fields(), indices()].into_iter().flatten().collect();
    assert!(all.len() >= 200, "{}", all.len());
    let mut problems = Vec::new();
    for (what, change) in all {
        let folder = whole();
        change(folder.path());
        match catch_unwind(AssertUnwindSafe(|| read(folder.path()))) {
            Err(_) => problems.push(format!("{what}: a panic")),
            Ok(Ok(())) => problems.push(format!("{what}: it is read")),
            Ok(Err(error)) => {
                let named = error.strip_prefix(&format!("{}/", folder.path().display()));
                let file = named.and_then(|rest| rest.split([':', ' ']).next()).unwrap_or_default();
                if ![".json", ".safetensors", ".jinja"].iter().any(|ending| file.ends_with(ending))
                {
                    problems.push(format!("{what}: no file is named: {error}"));
                }
            }
        }
    }
    assert!(problems.is_empty(), "\n{}\n", problems.join("\n"));
}

/// Damage that remains readable must not cause a panic either.
#[test]
fn bits_turned_at_random_never_panic() {
    let mut stream = apeft::seed::Seed::root(1).stream();
    let folder = whole();
    for file in FILES.into_iter().chain(["tokenizer_config.json", "generation_config.json"]) {
        let path = folder.path().join(file);
        let good = fs::read(&path).unwrap();
        for _ in 0..60 {
            let mut bytes = good.clone();
            let place = stream.below(bytes.len().min(3000));
            bytes[place] ^= 1 << stream.below(8);
            fs::write(&path, bytes).unwrap();
            let _ = read(folder.path());
        }
        fs::write(&path, good).unwrap();
    }
}
