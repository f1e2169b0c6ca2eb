//! Training curves of every algorithm, compared with TRL on the same directory and rows
//! (`benches/trl_goldens.py`).

use std::{
    fmt::Write as _,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use serde_json::Value;

/// A run of TRL, and the fields of the stage that must equal it.
const RUNS: [(&str, &str); 63] = [
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
    ("kto", "algorithm = 'kto'\nkl_pairs = 'batch'"),
    ("simpo", "algorithm = 'simpo'"),
    ("cpo", "algorithm = 'cpo'\nnll_reduction = 'tokens'"),
    ("orpo", "algorithm = 'orpo'\nnll_reduction = 'texts'"),
    ("sigmoid+sft", "additional_losses = { sft = 0.5 }\nnll_reduction = 'tokens'"),
    ("sigmoid wpo", "use_weighting = true"),
    ("sigmoid ld", "ld_alpha = 0.5"),
    ("sigmoid forward_kl", "f_divergence_type = 'forward_kl'"),
    ("sigmoid js", "f_divergence_type = 'jensen_shannon'"),
    ("sigmoid alpha", "f_divergence_type = 'alpha'"),
    (
        "kto weighted",
        "algorithm = 'kto'\nkl_pairs = 'batch'\ndesirable_weight = 1.33\nundesirable_weight = 0.8",
    ),
    ("sigmoid accumulated", "batch_size = 4\ngradient_accumulation_steps = 2"),
    ("apo_zero_unpaired", "algorithm = 'apo_zero'"),
    ("alphapo", "algorithm = 'alphapo'"),
    ("sigmoid lora", "adapter = { path = 'DATA/adapter' }"),
    ("ipo forward_kl", "algorithm = 'ipo'\nf_divergence_type = 'forward_kl'"),
    ("ipo js", "algorithm = 'ipo'\nf_divergence_type = 'jensen_shannon'"),
    ("ipo alpha", "algorithm = 'ipo'\nf_divergence_type = 'alpha'"),
    ("hinge forward_kl", "algorithm = 'hinge'\nf_divergence_type = 'forward_kl'"),
    ("hinge js", "algorithm = 'hinge'\nf_divergence_type = 'jensen_shannon'"),
    ("hinge alpha", "algorithm = 'hinge'\nf_divergence_type = 'alpha'"),
    ("exo_pair forward_kl", "algorithm = 'exo'\nf_divergence_type = 'forward_kl'"),
    ("exo_pair js", "algorithm = 'exo'\nf_divergence_type = 'jensen_shannon'"),
    ("exo_pair alpha", "algorithm = 'exo'\nf_divergence_type = 'alpha'"),
    ("robust forward_kl", "algorithm = 'robust'\nf_divergence_type = 'forward_kl'"),
    ("robust js", "algorithm = 'robust'\nf_divergence_type = 'jensen_shannon'"),
    ("robust alpha", "algorithm = 'robust'\nf_divergence_type = 'alpha'"),
    ("discopop forward_kl", "algorithm = 'discopop'\nbeta = 0.1\nf_divergence_type = 'forward_kl'"),
    ("discopop js", "algorithm = 'discopop'\nbeta = 0.1\nf_divergence_type = 'jensen_shannon'"),
    ("discopop alpha", "algorithm = 'discopop'\nbeta = 0.1\nf_divergence_type = 'alpha'"),
    ("discopop steep alpha", "algorithm = 'discopop'\nbeta = 1.5\nf_divergence_type = 'alpha'"),
    ("sigmoid_norm forward_kl", "algorithm = 'dpo_norm'\nf_divergence_type = 'forward_kl'"),
    ("sigmoid_norm js", "algorithm = 'dpo_norm'\nf_divergence_type = 'jensen_shannon'"),
    ("sigmoid_norm alpha", "algorithm = 'dpo_norm'\nf_divergence_type = 'alpha'"),
    (
        "sigmoid+sft js",
        "additional_losses = { sft = 0.5 }\nnll_reduction = 'tokens'\nf_divergence_type = \
        'jensen_shannon'",
    ),
    ("sigmoid wpo greedy", "use_weighting = true\nmax_weight = 1e6"),
    ("sigmoid warmup linear", "warmup_steps = 3\nlr_scheduler_type = 'linear'"),
    ("sigmoid warmup cosine", "warmup_steps = 3\nlr_scheduler_type = 'cosine'"),
    ("sigmoid warmup floor", "warmup_steps = 3\nlr_scheduler_type = 'cosine'\nmin_lr_ratio = 0.1"),
    ("sigmoid decay", "weight_decay = 1.0"),
    ("sigmoid lora decay", "adapter = { path = 'DATA/adapter' }\nweight_decay = 1.0"),
    ("sigmoid keep_start", "max_length = 40\ntruncation_mode = 'keep_start'"),
    ("sigmoid chat", ""),
    ("ipo chat", "algorithm = 'ipo'"),
    ("kto chat", "algorithm = 'kto'\nkl_pairs = 'batch'"),
    ("cpo chat", "algorithm = 'cpo'\nnll_reduction = 'tokens'"),
    ("simpo chat", "algorithm = 'simpo'"),
    ("alphapo chat", "algorithm = 'alphapo'"),
    ("orpo chat", "algorithm = 'orpo'\nnll_reduction = 'texts'"),
];

/// Fields with another meaning in TRL, by run, with the reason. All others must exist and be equal.
const OTHERWISE: [(&[&str], &[&str], &str); 5] = [
    (
        &["simpo", "alphapo"],
        &["nll_loss"],
        "TRL logs 0 for a likelihood that does not count; here it is measured",
    ),
    (
        &["simpo", "alphapo", "cpo", "orpo"],
        &["logits/chosen", "logits/rejected"],
        "TRL's CPO and ORPO trainers take means over prompts and padding too; here, as in its \
        DPO trainer, over answers",
    ),
    (
        &["sigmoid accumulated"],
        &["logits/chosen", "logits/rejected", "mean_token_accuracy"],
        "TRL takes means over tokens in each part of a batch, and then over parts; here over the \
        batch's tokens",
    ),
    (&["apo_zero_unpaired"], &["kl"], "TRL logs 0 if no loss needs it; here it is omitted"),
    (
        &["orpo"],
        &["log_odds_ratio", "log_odds_chosen"],
        "parts of the loss, which are not logged here",
    ),
];

/// Tolerance of each number, relative to the largest of its curve.
const NEAR: f64 = 1e-3;

fn data() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/trl")
}

fn stage(name: &str) -> String {
    name.replace([' ', '+'], "-")
}

/// A recipe with a stage for every run, with TRL's model, rows and steps.
fn recipe(curves: &Value) -> String {
    let mut text = String::from(
        "name = 'trl'\n[stage.model]\nkind = 'import'\npath = \
        'DATA/model'\n[stage.chat-model]\nkind = 'import'\n\
         path = 'DATA/chat-model'\n[defaults.tune]\nbatch_size = 8\nshuffle = \
         false\nlr_scheduler_type = 'constant'\n\
         checkpoint_seconds = 1000\n",
    );
    for (name, fields) in RUNS {
        let settings = &curves[name]["settings"];
        let rows = settings["data"].as_str().unwrap();
        let count = fs::read_to_string(data().join(rows)).unwrap().lines().count();
        let epochs = (8 * curves[name]["steps"].as_array().unwrap().len()) as f64 / count as f64;
        let (model, rate) = (settings["model"].as_str().unwrap_or("model"), &settings["lr"]);
        writeln!(
            text,
            "[stage.{}]\nkind = 'tune'\nmodel = '{model}'\npairs = {{ path = 'DATA/{rows}' \
            }}\nnum_train_epochs = {epochs}\n\
             learning_rate = {rate}\n{fields}",
            stage(name)
        )
        .unwrap();
    }
    text.replace("DATA", data().to_str().unwrap())
}

/// Metrics of each stage.
fn ran(folder: &Path, curves: &Value) -> Value {
    let path = folder.join("trl.toml");
    fs::write(&path, recipe(curves)).unwrap();
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
fn every_step_is_that_of_trl() {
    let folder = tempfile::tempdir().unwrap();
    let curves: Value =
        serde_json::from_str(&fs::read_to_string(data().join("curves.json")).unwrap()).unwrap();
    let ran = ran(folder.path(), &curves);
    let mut wrong = Vec::new();
    for (name, _) in RUNS {
        let mut stages = ran["stages"].as_array().unwrap().iter();
        let found = stages
            .find(|ran| ran["name"].as_str().unwrap().split('@').next() == Some(&stage(name)));
        let artifact =
            Path::new(found.unwrap()["artifact"].as_str().unwrap()).join("metrics.jsonl");
        let ours = fs::read_to_string(artifact).unwrap();
        let ours: Vec<Value> =
            ours.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        let theirs =
            curves[name]["steps"].as_array().unwrap_or_else(|| panic!("no curve of {name}"));
        assert_eq!(ours.len(), theirs.len(), "{name}");
        wrong.extend(differences(name, &ours, theirs));
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    let recorded = curves.as_object().unwrap().keys().filter(|name| *name != "versions").count();
    assert_eq!(recorded, RUNS.len(), "every recorded curve is looked at");
}

/// Whether a field has another meaning in TRL.
fn means_otherwise(name: &str, field: &str) -> bool {
    let name = name.strip_suffix(" chat").unwrap_or(name);
    OTHERWISE.iter().any(|(runs, fields, _)| runs.contains(&name) && fields.contains(&field))
}

/// Deviations of a run from TRL, one line per curve.
fn differences(name: &str, ours: &[Value], theirs: &[Value]) -> Vec<String> {
    let mut wrong = Vec::new();
    for field in theirs[0].as_object().unwrap().keys().filter(|field| !means_otherwise(name, field))
    {
        let column = |rows: &[Value]| -> Vec<f64> {
            rows.iter().map(|row| row[field].as_f64().unwrap_or(f64::NAN)).collect()
        };
        let (ours, theirs) = (column(ours), column(theirs));
        let scale = theirs
            .iter()
            .filter(|value| value.is_finite())
            .fold(1e-3f64, |most, value| most.max(value.abs()));
        let apart = |(one, other): (&f64, &f64)| {
            if one.is_nan() && other.is_nan() { 0.0 } else { (one - other).abs() / scale }
        };
        let apart: Vec<f64> = ours.iter().zip(&theirs).map(apart).collect();
        if let Some(step) = apart.iter().position(|apart| apart.is_nan() || *apart > NEAR) {
            let worst = apart.iter().fold(0.0f64, |most, apart| most.max(*apart));
            let (one, other) = (ours[step], theirs[step]);
            wrong.push(format!(
                "{name}: {field} at step {}: {one} {other} (at most {worst:.1e} apart)",
                step + 1
            ));
        }
    }
    wrong
}
