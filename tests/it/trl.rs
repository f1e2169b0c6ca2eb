//! Thirty steps of every algorithm beside TRL's, on the same directory and rows (`benches/trl_goldens.py`).

use std::{
    fmt::Write as _,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use serde_json::Value;

/// A run of TRL, and the fields of the stage that must equal it.
const RUNS: [(&str, &str); 29] = [
    ("sigmoid", ""),
    ("ipo", "algorithm = 'ipo'"),
    ("hinge", "algorithm = 'hinge'"),
    ("exo_pair", "algorithm = 'exo'"),
    ("nca_pair", "algorithm = 'nca'"),
    ("robust", "algorithm = 'robust'"),
    ("bco_pair", "algorithm = 'bco'\nrunning_shift = false"),
    ("sppo_hard", "algorithm = 'sppo'"),
    ("aot", "algorithm = 'aot'"),
    ("aot_unpaired", "algorithm = 'aot_unpaired'"),
    ("apo_zero", "algorithm = 'apo_zero'"),
    ("apo_down", "algorithm = 'apo_down'"),
    ("discopop", "algorithm = 'discopop'\nbeta = 0.1"),
    ("sigmoid_norm", "algorithm = 'dpo_norm'"),
    ("kto", "algorithm = 'kto'\nmismatch = 'batch'"),
    ("simpo", "algorithm = 'simpo'"),
    ("cpo", "algorithm = 'cpo'\nnll_mean = 'tokens'"),
    ("orpo", "algorithm = 'orpo'\nnll_mean = 'texts'"),
    ("sigmoid+sft", "plus = { sft = 0.5 }\nnll_mean = 'tokens'"),
    ("sigmoid wpo", "weighting = true"),
    ("sigmoid ld", "beyond_shared_length = 0.5"),
    ("sigmoid forward_kl", "divergence = 'forward_kl'"),
    ("sigmoid js", "divergence = 'jensen_shannon'"),
    ("sigmoid alpha", "divergence = 'alpha'"),
    ("kto weighted", "algorithm = 'kto'\nmismatch = 'batch'\ndesirable_weight = 1.33\nundesirable_weight = 0.8"),
    ("sigmoid accumulated", "accumulation = 2"),
    ("apo_zero_unpaired", "algorithm = 'apo_zero'"),
    ("alphapo", "algorithm = 'alphapo'"),
    ("sigmoid lora", "adapter = { path = 'DATA/adapter' }"),
];

/// How near each number must be, as a share of the largest of its curve.
const NEAR: f64 = 1e-3;

fn data() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/trl")
}

fn stage(name: &str) -> String {
    name.replace([' ', '+'], "-")
}

/// A recipe with a stage for every run.
fn recipe() -> String {
    let mut text = String::from(
        "name = 'trl'\n[stage.base]\nkind = 'import'\npath = 'DATA/model'\n[defaults.tune]\nmodel = 'base'\nbatch = 8\n\
         shuffle = false\nlearning_rate = 1e-3\ndecay = 'constant'\ncheckpoint_seconds = 1000\n",
    );
    for (name, fields) in RUNS {
        let (rows, epochs) =
            if name.starts_with("kto") || name == "apo_zero_unpaired" { ("unpaired", 1.875) } else { ("pairs", 3.75) };
        let inputs = format!("pairs = {{ path = 'DATA/{rows}.jsonl' }}\nepochs = {epochs}");
        writeln!(text, "[stage.{}]\nkind = 'tune'\n{inputs}\n{fields}", stage(name)).unwrap();
    }
    text.replace("DATA", data().to_str().unwrap())
}

/// The metrics that each stage left.
fn metrics(folder: &Path) -> Value {
    let path = folder.join("trl.toml");
    fs::write(&path, recipe()).unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_apeft"))
        .args([
            "run",
            path.to_str().unwrap(),
            "--json",
            "-k",
            "-j",
            "2",
            "--cache",
            folder.join("cache").to_str().unwrap(),
        ])
        .current_dir(folder)
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

#[test]
fn thirty_steps_are_those_of_trl() {
    let folder = tempfile::tempdir().unwrap();
    let ran = metrics(folder.path());
    let curves: Value = serde_json::from_str(&fs::read_to_string(data().join("curves.json")).unwrap()).unwrap();
    let mut wrong = Vec::new();
    for (name, _) in RUNS {
        let mut stages = ran["stages"].as_array().unwrap().iter();
        let found = stages.find(|ran| ran["name"].as_str().unwrap().split('@').next() == Some(&stage(name)));
        let artifact = Path::new(found.unwrap()["artifact"].as_str().unwrap()).join("metrics.jsonl");
        let ours = fs::read_to_string(artifact).unwrap();
        let ours: Vec<Value> = ours.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        let theirs = curves[name]["steps"].as_array().unwrap_or_else(|| panic!("no curve of {name}"));
        assert_eq!((ours.len(), theirs.len()), (30, 30));
        wrong.extend(differences(name, &ours, theirs));
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// What of a run is not as in TRL, a line for each curve.
fn differences(name: &str, ours: &[Value], theirs: &[Value]) -> Vec<String> {
    let per_token = ["simpo", "alphapo", "orpo"].contains(&name);
    let mut wrong = Vec::new();
    for field in theirs[0].as_object().unwrap().keys() {
        // TRL's reference-free trainers report log-probabilities per token, its LD-DPO those that count, AlphaPO what it
        // makes of rewards, and a likelihood that does not count as 0; their logits are of prompts too, and means over
        // tokens are over the parts of a batch.
        let other_meaning = match field.as_str() {
            "logps/chosen" | "logps/rejected" => per_token || name == "sigmoid ld",
            "nll_loss" => ["simpo", "alphapo"].contains(&name),
            "logits/chosen" | "logits/rejected" => per_token || name == "cpo" || name == "sigmoid accumulated",
            "mean_token_accuracy" => name == "sigmoid accumulated",
            _ => name == "alphapo" && field.starts_with("rewards/"),
        };
        if other_meaning || ours[0].get(field).is_none() {
            continue;
        }
        let column =
            |rows: &[Value]| -> Vec<f64> { rows.iter().map(|row| row[field].as_f64().unwrap_or(f64::NAN)).collect() };
        let (ours, theirs) = (column(ours), column(theirs));
        let scale = theirs.iter().filter(|value| value.is_finite()).fold(1e-3f64, |most, value| most.max(value.abs()));
        let apart =
            |(one, other): (&f64, &f64)| if one.is_nan() && other.is_nan() { 0.0 } else { (one - other).abs() / scale };
        let apart: Vec<f64> = ours.iter().zip(&theirs).map(apart).collect();
        if let Some(step) = apart.iter().position(|apart| apart.is_nan() || *apart > NEAR) {
            let worst = apart.iter().fold(0.0f64, |most, apart| most.max(*apart));
            let (one, other) = (ours[step], theirs[step]);
            wrong.push(format!("{name}: {field} at step {}: {one} {other} (at most {worst:.1e} apart)", step + 1));
        }
    }
    wrong
}

#[test]
fn the_table_of_algorithms_is_the_codes_own() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("recipes/ALGORITHMS.md");
    let text = fs::read_to_string(&path).unwrap();
    let (head, rest) = text.split_once(" renews it -->\n").unwrap();
    let (found, tail) = rest.split_once("<!-- end of algorithms -->").unwrap();
    let table = apeft::tuning::algorithms_table();
    if std::env::var_os("UPDATE_EXPECT").is_some() {
        fs::write(&path, format!("{head} renews it -->\n{table}<!-- end of algorithms -->{tail}")).unwrap();
    } else {
        assert_eq!(found, table, "UPDATE_EXPECT=1 renews it");
    }
}
