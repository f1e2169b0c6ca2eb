//! Users' programs within the graph: `provides`, places in arguments, what failures show.

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::Command,
};

use serde_json::{Value, json};

use crate::said;

struct Graph {
    folder: tempfile::TempDir,
}

impl Graph {
    fn new(recipe: &str) -> Self {
        let graph = Self { folder: tempfile::tempdir().unwrap() };
        graph.write("recipe.toml", &format!("name = \"own\"\n{recipe}"));
        graph
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn write(&self, name: &str, text: &str) {
        fs::write(self.path(name), text).unwrap();
    }

    fn call(&self, arguments: &[&str]) -> (i32, String, String) {
        let output = said::apeft(self.folder.path(), arguments);
        let [out, errors] =
            [output.stdout, output.stderr].map(|bytes| String::from_utf8(bytes).unwrap());
        (output.status.code().unwrap(), out, errors)
    }

    fn run(&self) -> (i32, Value, String) {
        let (status, out, errors) = self.call(&["run", "recipe.toml", "--json"]);
        (status, serde_json::from_str(&out).unwrap_or_default(), errors)
    }

    fn artifact(&self, outcome: &Value, stage: &str) -> PathBuf {
        let stages = outcome["stages"].as_array().unwrap();
        let found = stages.iter().find(|found| found["name"] == stage).unwrap();
        PathBuf::from(found["artifact"].as_str().unwrap_or_else(|| panic!("{outcome}")))
    }
}

/// A stage that runs a line of shell.
fn shell(name: &str, script: &str, more: &str) -> String {
    let arguments = serde_json::to_string(&["-c", script]).unwrap();
    format!(
        "[stage.{name}]\nkind = \"command\"\nprogram = \"sh\"\narguments = {arguments}\n{more}\n"
    )
}

const PROMPT: &str =
    r#"{"id": "ada", "prompt": "Who?", "topic": "Ada", "domain": "people", "split": "test"}"#;

fn sampled() -> String {
    let model = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/tiny-llama");
    format!(
        "[stage.sampled]\nkind = \"sample\"\nmodel = {{ path = \"{model}\" }}\nprompts = \
        \"asked\"\nmax_new_tokens = 2\n"
    )
}

#[test]
fn rows_of_a_program_stand_where_those_of_a_stage_may() {
    let write = format!("echo '{PROMPT}' > prompts.jsonl; echo x > notes");
    let graph = Graph::new(&(shell("asked", &write, "provides = \"prompts\"") + &sampled()));
    let (status, outcome, errors) = graph.run();
    assert_eq!(status, 0, "{errors}");
    let sampled = graph.artifact(&outcome, "sampled").join("responses.jsonl");
    let row: Value =
        serde_json::from_str(fs::read_to_string(sampled).unwrap().lines().next().unwrap()).unwrap();
    assert_eq!(row["topic"], "Ada");
    let files: Vec<_> = fs::read_dir(graph.artifact(&outcome, "asked")).unwrap().collect();
    assert_eq!(files.len(), 1, "{files:?}");
    assert!(errors.contains("`notes` is not among the declared outputs"), "{errors}");
}

#[test]
fn wrong_rows_are_told_with_file_line_and_field() {
    let recipe = |script: &str, provides: &str| {
        Graph::new(&shell("asked", script, &format!("provides = \"{provides}\"")))
    };
    for (provides, script, expected) in [
        (
            "prompts",
            format!("echo '{PROMPT}' > prompts.jsonl; echo '{{\"id\": \"b\"}}' >> prompts.jsonl"),
            "its prompts cannot be read: prompts.jsonl:2: missing field `prompt`",
        ),
        (
            "verdicts",
            "echo '{\"claim_id\": \"a\", \"verdict\": \"true\", \"probability\": 1, \
            \"evidence\": []}' > verdicts.jsonl"
                .to_owned(),
            "verdicts.jsonl:1: `verdict`: unknown variant `true`",
        ),
        (
            "pairs",
            "echo '{\"prompt\": \"a\", \"chosen\": \"b\"}' > pairs.jsonl".to_owned(),
            "pairs.jsonl:1: the row has no `rejected`",
        ),
        ("claims", "touch other".to_owned(), "wrote no claims: no file matches claims.jsonl"),
        ("model", "echo '{}' > config.json".to_owned(), "its model cannot be read: config.json"),
        ("scores", "echo '{}' > scores.json".to_owned(), "its scores cannot be read: scores.json"),
    ] {
        let (status, _, errors) = recipe(&script, provides).run();
        assert_eq!(status, 1, "{provides}: {errors}");
        assert!(errors.contains(expected), "{provides}: {errors}");
    }
}

#[test]
fn a_program_that_says_nothing_provides_files_only() {
    let write = format!("echo '{PROMPT}' > prompts.jsonl");
    let graph = Graph::new(&(shell("asked", &write, "outputs = [\"prompts.jsonl\"]") + &sampled()));
    let (status, _, errors) = graph.run();
    assert_eq!(status, 2, "{errors}");
    assert!(errors.contains("`provides`") && errors.contains("prompts"), "{errors}");
    let graph = Graph::new(&shell("none", "true", ""));
    let (status, _, errors) = graph.run();
    assert_eq!(status, 2, "{errors}");
    assert!(errors.contains("without `outputs` or `provides` no result would be kept"), "{errors}");
}

#[test]
fn arguments_name_inputs_and_the_working_folder() {
    let graph = Graph::new(
        "seeds = [0, 1]\n[stage.copied]\nkind = \"command\"\nprogram = \"cp\"\ninputs = [{ path = \
        \"a b.txt\" }]\narguments = [\"{inputs.0}\", \"{output}/o\"]\noutputs = [\"o\"]\n\
        [stage.seeded]\nkind = \"command\"\nprogram = \"./program\"\ninputs = [\"copied\"]\n\
        arguments = [\"${seed}\", \"{inputs}\"]\noutputs = [\"o\"]\n",
    );
    graph.write("a b.txt", "text\n");
    graph.write("program", "#!/bin/sh\necho \"$1\" > o; cat \"$2/o\" >> o\n");
    fs::set_permissions(graph.path("program"), fs::Permissions::from_mode(0o755)).unwrap();
    let (status, outcome, errors) = graph.run();
    assert_eq!(status, 0, "{errors}");
    let names: Vec<&str> = outcome["stages"]
        .as_array()
        .unwrap()
        .iter()
        .map(|stage| stage["name"].as_str().unwrap())
        .collect();
    assert_eq!(names, ["copied", "seeded@seed=0", "seeded@seed=1"], "copied varies with nothing");
    let text = |stage| fs::read_to_string(graph.artifact(&outcome, stage).join("o")).unwrap();
    assert_eq!((text("copied"), text("seeded@seed=1")), ("text\n".into(), "1\ntext\n".into()));
    // The program is part of the key.
    graph.write("program", "#!/bin/sh\necho other > o\n");
    let (_, outcome, _) = graph.run();
    assert_eq!(outcome["executed"], json!(2), "{outcome}");
    for (arguments, expected) in [
        ("[\"{inputs.1}\"]", "is no input: there are 1, counted from 0"),
        ("[\"{input}\"]", "`{input}` in `{input}` is unknown"),
        ("[\"-c\", \"echo $APEFT_SEED\"]", "write `${seed}`"),
    ] {
        let set = format!("stage.seeded.arguments={arguments}");
        let (status, _, errors) = graph.call(&["validate", "recipe.toml", "--set", &set]);
        assert!(status == 2 && errors.contains(expected), "{arguments}: {errors}");
    }
}

#[test]
fn a_failed_program_shows_its_last_lines_everywhere() {
    let script = "for n in 1 2 3 4 5 6; do echo line $n >&2; done; echo KeyError: facts; exit 7";
    let graph = Graph::new(&shell("failing", script, "outputs = [\"o\"]"));
    let (status, outcome, errors) = graph.run();
    assert_eq!(status, 1, "{errors}");
    let reason = outcome["stages"][0]["reason"].as_str().unwrap();
    assert!(reason.starts_with("`sh` failed: exit status: 7\n"), "{reason}");
    assert!(reason.contains("line 6") && reason.ends_with("KeyError: facts"), "{reason}");
    assert!(!reason.contains("line 1"), "only the last lines: {reason}");
    assert_eq!(errors.matches("KeyError: facts").count(), 1, "no line twice: {errors}");
    let (_, told, _) = graph.call(&["status"]);
    assert!(told.contains("KeyError: facts"), "{told}");
}

/// Number of records in the only event file of a folder, by the lengths before them.
fn records(folder: &Path) -> usize {
    let files: Vec<PathBuf> =
        fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    let [file] = &files[..] else { panic!("{files:?}") };
    assert!(file.to_str().unwrap().contains("events.out.tfevents."), "{files:?}");
    let bytes = fs::read(file).unwrap();
    let (mut place, mut count) = (0, 0);
    while place < bytes.len() {
        let length = u64::from_le_bytes(bytes[place..place + 8].try_into().unwrap());
        place += 8 + 4 + length as usize + 4;
        count += 1;
    }
    assert_eq!(place, bytes.len());
    count
}

/// The judge of twenty lines and the filter of pairs run, and what varies for neither runs once.
#[test]
fn the_example_with_a_judge_and_a_filter_runs() {
    let recipe = format!("{}/recipes/examples/judge.toml", env!("CARGO_MANIFEST_DIR"));
    let is_there = Command::new("python3").arg("--version").output().is_ok();
    if !is_there {
        eprintln!("python3 is not installed: the example is skipped");
        return;
    }
    let graph = Graph::new("");
    let (status, out, errors) = graph.call(&[
        "run",
        &recipe,
        "--json",
        "--tensorboard",
        "--wandb",
        "--set",
        "stage.tuned.max_steps=2",
    ]);
    assert_eq!(status, 0, "{errors}");
    let run = graph.path("experiments/judge/latest");
    for (stage, steps) in [("base@seed=0", 150), ("tuned@ratio=1.2,seed=0", 2)] {
        // The version of the format, then an event per step.
        assert_eq!(records(&run.join("tensorboard").join(stage)), 1 + steps, "{stage}");
    }
    let offline = fs::read_dir(run.join("wandb")).unwrap().map(|entry| entry.unwrap().path());
    let offline: Vec<_> = offline.collect();
    assert_eq!(offline.len(), 3, "a base model and two tuned ones: {offline:?}");
    for folder in offline {
        let file = fs::read_dir(&folder).unwrap().next().unwrap().unwrap();
        assert!(fs::read(file.path()).unwrap().starts_with(b":W&B"), "{folder:?}");
    }
    let log = fs::read_to_string(run.join("logs/base@seed=0.1.log")).unwrap();
    assert!(log.contains("150 of 150 steps, loss "), "{log}");
    let outcome: Value = serde_json::from_str(&out).unwrap();
    let stages = outcome["stages"].as_array().unwrap();
    let count = |name: &str| {
        let names = stages.iter().filter_map(|stage| stage["name"].as_str());
        names.filter(|found| found.split('@').next() == Some(name)).count()
    };
    assert_eq!([count("verdicts"), count("pairs"), count("tuned")], [1, 2, 2], "{outcome}");
    let verdicts = graph.artifact(&outcome, "verdicts@seed=0").join("verdicts.jsonl");
    let text = fs::read_to_string(verdicts).unwrap();
    assert!(text.contains("\"supported\"") && text.contains("\"unsupported\""), "{text}");
    let tuned = graph.artifact(&outcome, "tuned@ratio=1.2,seed=0");
    let card = fs::read_to_string(Path::new(&tuned).join("README.md")).unwrap();
    assert!(card.starts_with("---\nlicense: other\n"), "{card}");
    assert!(
        card.contains("| `algorithm` | dpo |") && card.contains("| `pairs` | pairs |"),
        "{card}"
    );
    let mode = fs::metadata(tuned.join("model.safetensors")).unwrap().permissions().mode();
    assert_eq!(mode & 0o444, 0o444, "everyone may read a shared store: {mode:o}");
    // With what the run tells, the card has recipe and data too.
    let (status, _, errors) = graph.call(&["convert", "judge:tuned@ratio=1.2", "published"]);
    assert_eq!(status, 0, "{errors}");
    let card = fs::read_to_string(graph.path("published/README.md")).unwrap();
    for expected in
        ["## Run", "## Data", "`mined@seed=0` (mine)", "## Recipe", "kind = \"command\""]
    {
        assert!(card.contains(expected), "{expected}: {card}");
    }
    // A cached run says what the attempts said that made its artifacts.
    let (status, _, errors) = graph.call(&["run", &recipe, "--set", "stage.tuned.max_steps=2"]);
    assert_eq!(status, 0, "{errors}");
    assert!(errors.contains("verdicts@seed=0  cached, made in "), "{errors}");
    let (_, page, _) = graph.call(&["report", "judge"]);
    let page = fs::read_to_string(graph.path(page.trim())).unwrap();
    assert!(page.contains("pairs of"), "notes of the first run are on the page of the second");
}
