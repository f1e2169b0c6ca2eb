//! Several devices, as a user names them: here shares of the processor.

use std::{
    fs,
    path::Path,
    process::{Command, Output, Stdio},
};

use serde_json::Value;

use super::said;

fn tiny() -> String {
    format!("{}/tests/data/tiny-llama", env!("CARGO_MANIFEST_DIR"))
}

fn apeft(folder: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_apeft"));
    command.args(arguments).current_dir(folder).env_remove("RUST_LOG").stdin(Stdio::null());
    command.env_remove("APEFT_CACHE").output().unwrap()
}

/// A recipe that samples, scores and tunes; five pairs and three rows at once.
fn project() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let rows = |row: &dyn Fn(usize) -> Value| {
        (0..5).map(|number| format!("{}\n", row(number))).collect::<String>()
    };
    let prompts = rows(&|number| {
        serde_json::json!({"id": format!("p{number}"), "prompt": format!("Who was {number}?"),
            "topic": "t", "domain": "d"})
    });
    let pairs = rows(&|number| {
        serde_json::json!({"prompt": format!("Who was {number}?"), "rejected": " A king.",
            "chosen": format!(" A poet of {}.", "the old ".repeat(number))})
    });
    fs::write(folder.path().join("prompts.jsonl"), prompts).unwrap();
    fs::write(folder.path().join("pairs.jsonl"), pairs).unwrap();
    let tune = "kind = \"tune\"\nmodel = { path = \"MODEL\" }\npairs = { path = \"pairs.jsonl\" }
        batch_size = 3\nnum_train_epochs = 2.0\nlearning_rate = 1e-3";
    let recipe = format!(
        "name = \"shares\"
        [stage.responses]
        kind = \"sample\"
        model = {{ path = \"MODEL\" }}
        prompts = {{ path = \"prompts.jsonl\" }}
        num_samples = 3
        max_new_tokens = 12
        [stage.reference]
        kind = \"reference\"
        model = {{ path = \"MODEL\" }}
        pairs = {{ path = \"pairs.jsonl\" }}
        [stage.adapter]
        {tune}
        reference = \"reference\"
        lora_rank = 2
        lora_dropout = 0.1
        [stage.whole]
        {tune}
        algorithm = \"kto\"
        "
    );
    fs::write(folder.path().join("recipe.toml"), recipe.replace("MODEL", &tiny())).unwrap();
    folder
}

struct Ran {
    json: Value,
    words: String,
}

fn run(folder: &Path, more: &[&str]) -> Ran {
    let output = apeft(folder, &[&["run", "recipe.toml", "--json"], more].concat());
    assert!(output.status.success(), "{}", said::words(&output));
    Ran { json: said::json(&output), words: said::words(&output) }
}

impl Ran {
    fn stage(&self, name: &str) -> &Value {
        let stages = self.json["stages"].as_array().unwrap();
        stages.iter().find(|stage| stage["name"] == name).unwrap()
    }

    fn file(&self, stage: &str, name: &str) -> String {
        let folder = self.stage(stage)["artifact"].as_str().unwrap();
        fs::read_to_string(Path::new(folder).join(name)).unwrap()
    }

    fn losses(&self, stage: &str) -> Vec<f64> {
        let text = self.file(stage, "metrics.jsonl");
        let rows = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
        rows.map(|row| row["loss"].as_f64().unwrap()).collect()
    }
}

#[test]
fn a_recipe_gives_the_same_on_two_shares_of_the_processor() {
    let folder = project();
    let one = run(folder.path(), &[]);
    let two = run(folder.path(), &["--device", "cpu:0,1"]);
    // Rows do not depend on the number of devices, sums of gradients do.
    let outcomes = ["responses", "reference", "adapter", "whole"]
        .map(|stage| (stage, two.stage(stage)["outcome"].as_str().unwrap()));
    let expected =
        [("responses", "cached"), ("reference", "cached"), ("adapter", "ran"), ("whole", "ran")];
    assert_eq!(outcomes, expected);
    for stage in ["adapter", "whole"] {
        let (one, two) = (one.losses(stage), two.losses(stage));
        assert_eq!(one.len(), 4);
        let near = |(one, other): (&f64, &f64)| (one - other).abs() < 1e-4;
        assert!(one.iter().zip(&two).all(near), "{stage}: {one:?} {two:?}");
    }
    assert!(two.words.contains("each step sends 0.0 MB of weights"), "{}", two.words);
    let again = ["--device", "cpu:0,1", "--force", "responses", "--force", "reference"];
    let again = run(folder.path(), &again);
    for (stage, file) in [("responses", "responses.jsonl"), ("reference", "reference.jsonl")] {
        assert_eq!(again.stage(stage)["outcome"], "ran");
        assert_eq!(again.file(stage, file), one.file(stage, file), "{stage}");
    }
}

#[test]
fn commands_share_prompts_and_pairs() {
    let folder = project();
    let tiny = tiny();
    let prompts = ["--prompt", "A", "--prompt", "B", "--prompt", "C", "--num-samples", "2"];
    let logprobs = ["logprobs", &tiny, "--pairs", "pairs.jsonl", "--batch-tokens", "30"];
    for command in [[&["generate", &tiny, "--json"], &prompts[..]].concat(), logprobs.to_vec()] {
        let output = |device| {
            let output = apeft(folder.path(), &[&command[..], &["--device", device]].concat());
            assert!(output.status.success(), "{}", said::words(&output));
            output.stdout
        };
        assert!(output("cpu") == output("cpu:0,1"), "{command:?}");
    }
    let output = apeft(folder.path(), &["bench", "--device", "cpu:0,1"]);
    assert!(said::words(&output).contains("`bench` measures one device: `--device cpu`"));
}
