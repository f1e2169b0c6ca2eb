//! Models on a GPU, compared with transformers, TRL and the CPU (`just gpu-check`).
//!
//! The environment variable `APEFT_GPU` names the device, `wgpu:0` or `cuda:0`; without it nothing
//! is tested. Ignored tests take minutes on a software driver.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
    time::{Duration, Instant},
};

use apeft::{
    device::DeviceName,
    model::{Adapter, Placement, Transformer},
};
use serde_json::{Value, json};

use super::{checkpoints, said};

/// Largest difference of float32 logits, relative to the largest of them.
const NEAR: f32 = 1e-4;
const EMBEDDING: &str = "model.embed_tokens.weight";
/// Bytes of an embedding that a software driver has no buffer for.
const GIANT: u64 = 1 << 30;
/// Largest difference of a training curve, relative to its largest number.
const CURVE: f64 = 1e-3;

fn gpu() -> Option<DeviceName> {
    let Ok(name) = std::env::var("APEFT_GPU") else {
        println!("skipped: APEFT_GPU names no device");
        return None;
    };
    Some(name.parse().unwrap())
}

fn data() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data")
}

fn apeft(folder: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_apeft"));
    command.args(arguments).current_dir(folder).env_remove("RUST_LOG").stdin(Stdio::null());
    command.env("APEFT_CACHE", folder.join("cache"));
    command
}

fn succeeded(output: Output) -> Value {
    assert!(output.status.success(), "{}", said::words(&output));
    said::json(&output)
}

#[test]
fn logits_and_greedy_tokens_are_those_of_transformers() {
    let Some(name) = gpu() else { return };
    let place = Placement::named(name, "float32").unwrap();
    for (directory, reference) in checkpoints::models() {
        let mut model = Transformer::load(&directory, &place).unwrap();
        let plain = checkpoints::difference(&model, &reference.rows, &reference.logits);
        let greedy = checkpoints::greedy(&model, &reference.rows[0]);
        Adapter::load(&directory.join("adapter"), &mut model).unwrap();
        let adapted = checkpoints::difference(&model, &reference.rows, &reference.adapted);
        let merged = checkpoints::difference(&model.merge(), &reference.rows, &reference.adapted);
        let largest = plain.max(adapted).max(merged);
        println!("{}: {largest:.1e}", directory.display());
        assert!(largest < NEAR, "{}: {plain} {adapted} {merged}", directory.display());
        assert_eq!(greedy, reference.greedy, "{}", directory.display());
    }
}

#[test]
fn float16_is_within_its_rounding() {
    let Some(name) = gpu() else { return };
    let place = Placement::named(name, "float16").unwrap();
    for (directory, reference) in checkpoints::models() {
        let model = Transformer::load(&directory, &place).unwrap();
        let apart = checkpoints::difference(&model, &reference.rows, &reference.logits);
        println!("{}: {apart:.1e}", directory.display());
        // Ten bits of a mantissa, through two blocks.
        assert!((1e-6..1e-2).contains(&apart), "{}: {apart}", directory.display());
    }
}

#[test]
fn equal_seeds_give_equal_responses_as_on_the_cpu() {
    let Some(name) = gpu() else { return };
    let folder = tempfile::tempdir().unwrap();
    let model = data().join("tiny-llama");
    let long = "Ada was born in Oslo. ".repeat(12);
    let name = name.to_string();
    for how in [&["--temperature", "0"][..], &["--temperature", "0.9", "--top-p", "0.95"]] {
        let [on_cpu, on_gpu] = ["cpu", &name].map(|device| {
            let arguments = ["generate", model.to_str().unwrap(), "--device", device, "--json"];
            let prompts = ["--prompt", "Who was Ada?", "--prompt", &long, "--prompt", "Oslo"];
            // Fewer slots than responses, so that slots are filled again.
            let sizes = ["--num-samples", "3", "--batch-size", "4", "--max-new-tokens", "24"];
            let all = [&arguments[..], &prompts, &sizes, &["--dtype", "float32"], how].concat();
            let responses = succeeded(apeft(folder.path(), &all).output().unwrap());
            responses.as_array().unwrap().clone()
        });
        assert_eq!((on_cpu.len(), on_gpu.len()), (9, 9));
        for (one, other) in on_cpu.iter().zip(&on_gpu) {
            assert_eq!(one["token_ids"], other["token_ids"], "{how:?}");
            let logs = [one, other].map(|row| row["logprobs"].as_array().unwrap().iter());
            let [ours, theirs] = logs.map(|logs| logs.map(|log| log.as_f64().unwrap()));
            let apart = ours.zip(theirs).map(|(one, other)| (one - other).abs());
            assert!(apart.fold(0.0, f64::max) < f64::from(NEAR), "{how:?}");
        }
    }
}

/// Stages that train one model as TRL does, by name.
fn trainings(device: &str, fields: &str) -> String {
    let head = format!(
        "name = 'gpu'\n[stage.model]\nkind = 'import'\npath = 'DATA/model'\n[defaults.tune]\n\
         model = 'model'\nbatch_size = 8\nshuffle = false\nlr_scheduler_type = 'constant'\n\
         learning_rate = 1e-3\ndtype = 'float32'\ndevice = '{device}'\n{fields}\n"
    );
    let stage = |name: &str, rows: &str, fields: &str| {
        format!(
            "[stage.{name}]\nkind = 'tune'\npairs = {{ path = 'DATA/{rows}.jsonl' \
             }}\nmax_steps = 10\n{fields}\n"
        )
    };
    let lora = "lora_rank = 4\nlora_alpha = 8";
    let stages = [
        stage("dpo", "pairs", ""),
        stage("kto", "unpaired", "algorithm = 'kto'"),
        // A device drops what the CPU drops.
        stage("dpo-lora", "pairs", &format!("{lora}\nlora_dropout = 0.25")),
        stage("kto-lora", "unpaired", &format!("algorithm = 'kto'\n{lora}")),
    ];
    (head + &stages.concat()).replace("DATA", data().join("trl").to_str().unwrap())
}

/// Metrics of each stage `tune` of a run, by stage in the recipe's order.
fn curves(ran: &Value) -> Vec<(String, Vec<Value>)> {
    let stages = ran["stages"].as_array().unwrap().iter();
    let with_metrics = stages.filter_map(|stage| {
        let path = Path::new(stage["artifact"].as_str()?).join("metrics.jsonl");
        let lines = fs::read_to_string(path).ok()?;
        let rows = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        Some((stage["name"].as_str()?.to_owned(), rows))
    });
    with_metrics.collect()
}

/// Largest difference of two runs' curves, each relative to its largest number.
fn apart(one: &[Value], other: &[Value]) -> f64 {
    assert_eq!(one.len(), other.len());
    let mut largest: f64 = 0.0;
    for field in one[0].as_object().unwrap().keys().filter(|field| !field.contains("second")) {
        let column = |rows: &[Value]| -> Vec<f64> {
            rows.iter().filter_map(|row| row[field].as_f64()).collect()
        };
        let (one, other) = (column(one), column(other));
        assert_eq!(one.len(), other.len(), "{field}");
        let scale = one.iter().fold(1e-3f64, |most, value| most.max(value.abs()));
        let pairs = one.iter().zip(&other).map(|(one, other)| (one - other).abs() / scale);
        largest = pairs.fold(largest, f64::max);
    }
    largest
}

fn trained(folder: &Path, device: &str) -> Vec<(String, Vec<Value>)> {
    fs::write(folder.join("recipe.toml"), trainings(device, "")).unwrap();
    curves(&succeeded(apeft(folder, &["run", "recipe.toml", "--json"]).output().unwrap()))
}

#[test]
fn ten_steps_of_dpo_and_kto_are_those_of_the_cpu() {
    let Some(name) = gpu() else { return };
    let folder = tempfile::tempdir().unwrap();
    let on_cpu = trained(folder.path(), "cpu");
    let on_gpu = trained(folder.path(), &name.to_string());
    assert_eq!((on_cpu.len(), on_cpu[0].1.len()), (4, 10));
    for ((stage, one), (other_stage, other)) in on_cpu.iter().zip(&on_gpu) {
        assert_eq!(stage, other_stage);
        let apart = apart(one, other);
        println!("{stage}: {apart:.1e}");
        assert!(apart < CURVE, "{stage}: {apart}");
    }
}

#[test]
fn a_killed_training_resumes_at_its_checkpoint() {
    let Some(name) = gpu() else { return };
    let whole = tempfile::tempdir().unwrap();
    let recipe = trainings(&name.to_string(), "checkpoint_seconds = 0");
    // Enough steps that it is killed before the last one.
    let recipe = recipe.replace("max_steps = 10", "max_steps = 60");
    let run = ["run", "recipe.toml", "--json", "--until", "dpo-lora"];
    fs::write(whole.path().join("recipe.toml"), &recipe).unwrap();
    let undisturbed = curves(&succeeded(apeft(whole.path(), &run).output().unwrap()));

    let killed = tempfile::tempdir().unwrap();
    fs::write(killed.path().join("recipe.toml"), &recipe).unwrap();
    let mut running =
        apeft(killed.path(), &run).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let end = Instant::now() + Duration::from_secs(300);
    while !has_checkpoint(killed.path()) {
        assert!(running.try_wait().unwrap().is_none(), "it ended before it was killed");
        assert!(Instant::now() < end, "no checkpoint within 300 s");
        std::thread::sleep(Duration::from_millis(5));
    }
    running.kill().unwrap();
    running.wait().unwrap();
    let output = apeft(killed.path(), &run).output().unwrap();
    assert!(
        said::words(&output).contains("resumes from the checkpoint"),
        "{}",
        said::words(&output)
    );
    let apart = apart(&undisturbed[0].1, &curves(&succeeded(output))[0].1);
    assert!(apart < CURVE, "{apart}");
}

/// Whether an attempt has a complete checkpoint of its third step.
fn has_checkpoint(folder: &Path) -> bool {
    let attempts = fs::read_dir(folder.join("cache/v1/work")).into_iter().flatten().flatten();
    attempts.map(|attempt| attempt.path().join("checkpoint/seal-3.json")).any(|seal| seal.exists())
}

/// Copies a model with so many more tokens that a software driver has no buffer for its embedding.
fn write_giant(folder: &Path) {
    let source = data().join("tiny-llama");
    for file in ["tokenizer.json", "tokenizer_config.json"] {
        fs::copy(source.join(file), folder.join(file)).unwrap();
    }
    let config = fs::read_to_string(source.join("config.json")).unwrap();
    let mut config: Value = serde_json::from_str(&config).unwrap();
    let hidden = config["hidden_size"].as_u64().unwrap();
    let vocabulary = GIANT / 4 / hidden;
    config["vocab_size"] = vocabulary.into();
    config["tie_word_embeddings"] = true.into();
    fs::write(folder.join("config.json"), config.to_string()).unwrap();
    write_weights(&source, folder, [vocabulary, hidden]);
}

/// The weights of a small model, with an embedding of this shape that is zero.
fn write_weights(source: &Path, folder: &Path, shape: [u64; 2]) {
    let source = fs::read(source.join("model.safetensors")).unwrap();
    let length = u64::from_le_bytes(source[..8].try_into().unwrap()) as usize;
    let data = &source[8 + length..];
    let header: serde_json::Map<String, Value> =
        serde_json::from_slice(&source[8..8 + length]).unwrap();
    let (mut listed, mut kept) = (serde_json::Map::new(), Vec::new());
    for (name, mut tensor) in header {
        if name == "__metadata__" || name == EMBEDDING {
            continue;
        }
        let [from, to] = [0, 1].map(|end| tensor["data_offsets"][end].as_u64().unwrap() as usize);
        tensor["data_offsets"] = json!([kept.len(), kept.len() + to - from]);
        kept.extend_from_slice(&data[from..to]);
        listed.insert(name, tensor);
    }
    let end = kept.len() as u64 + 4 * shape[0] * shape[1];
    let embedding = json!({"dtype": "F32", "shape": shape, "data_offsets": [kept.len(), end]});
    listed.insert(EMBEDDING.to_owned(), embedding);
    let listed = serde_json::to_vec(&listed).unwrap();
    let path = folder.join("model.safetensors");
    let begin = [&(listed.len() as u64).to_le_bytes()[..], &listed, &kept].concat();
    fs::write(&path, &begin).unwrap();
    // A hole: zeros that take no place on the disk.
    let file = fs::OpenOptions::new().write(true).open(path).unwrap();
    file.set_len(8 + listed.len() as u64 + end).unwrap();
}

#[test]
fn a_model_beyond_the_memory_of_the_device_ends_in_words_and_damages_nothing() {
    let Some(name) = gpu().filter(|name| name.wgpu().is_some()) else { return };
    let folder = tempfile::tempdir().unwrap();
    let giant = folder.path().join("giant");
    fs::create_dir(&giant).unwrap();
    write_giant(&giant);
    let recipe = format!(
        "name = 'giant'\n[stage.model]\nkind = 'import'\npath = 'giant'\n[stage.tuned]\nkind = \
         'tune'\nmodel = 'model'\ndevice = '{name}'\nbatch_size = 8\nmax_steps = 1\npairs = {{ \
         path = '{}' }}\n",
        data().join("trl/pairs.jsonl").display()
    );
    fs::write(folder.path().join("recipe.toml"), recipe).unwrap();
    for _ in 0..2 {
        let output = apeft(folder.path(), &["run", "recipe.toml", "--json"]).output().unwrap();
        let words = said::words(&output);
        assert_eq!(output.status.code(), Some(1), "{words}");
        assert!(words.contains("ran out of memory"), "{words}");
        assert!(words.contains("lower `max_length`"), "{words}");
        assert_eq!(said::json(&output)["failed"], 1, "{words}");
    }
    let checked = apeft(folder.path(), &["cache", "verify"]).output().unwrap();
    assert!(checked.status.success(), "{}", said::words(&checked));
}

#[test]
#[ignore = "takes minutes on a software driver; `just gpu-check`"]
fn the_smoke_recipe_runs_from_pretraining_to_the_report() {
    let Some(name) = gpu() else { return };
    let folder = tempfile::tempdir().unwrap();
    let recipe = Path::new(env!("CARGO_MANIFEST_DIR")).join("recipes/smoke.toml");
    let name = name.to_string();
    let run = ["run", recipe.to_str().unwrap(), "--device", &name, "--json", "--seeds", "0"];
    let first = succeeded(apeft(folder.path(), &run).output().unwrap());
    assert!(first["executed"].as_u64().unwrap() > 30, "{first}");
    let second = succeeded(apeft(folder.path(), &run).output().unwrap());
    assert_eq!(second["executed"], 0);
}
