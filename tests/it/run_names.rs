//! Runs and artifacts by name: `RUN`, `RUN:STAGE`, `latest`, tags, notes.

use std::{
    fs,
    path::{Path, PathBuf},
};

use serde_json::{Value, json};

use crate::said;

struct Project {
    folder: tempfile::TempDir,
}

struct Said {
    status: i32,
    out: String,
    errors: String,
}

impl Project {
    /// A recipe with a model in two cells and a stage that fails.
    fn new() -> Self {
        let project = Self { folder: tempfile::tempdir().unwrap() };
        let model = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/tiny-llama");
        for name in ["one", "other"] {
            fs::create_dir(project.path(name)).unwrap();
            for entry in fs::read_dir(&model).unwrap() {
                let file = entry.unwrap().path();
                fs::copy(&file, project.path(name).join(file.file_name().unwrap())).unwrap();
            }
        }
        // The same model in other bytes.
        let config = fs::read_to_string(model.join("config.json")).unwrap();
        project.write("other/config.json", &format!("{config}\n"));
        project.write(
            "models.toml",
            "name = \"models\"\n[matrix]\nfrom = [\"one\", \"other\"]\n[stage.model]\nkind = \
            \"import\"\npath = \"${matrix.from}\"\n",
        );
        project.write(
            "mixed.toml",
            "name = \"mixed\"\n[stage.good]\nkind = \"command\"\nprogram = \"touch\"\narguments = \
            [\"o\"]\noutputs = [\"o\"]\n[stage.bad]\nkind = \"command\"\nprogram = \
            \"false\"\noutputs = [\"o\"]\n[stage.needy]\nkind = \"command\"\nprogram = \
            \"touch\"\narguments = [\"o\"]\ninputs = [\"bad\"]\noutputs = [\"o\"]\n",
        );
        project
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn write(&self, name: &str, text: &str) {
        fs::write(self.path(name), text).unwrap();
    }

    fn apeft(&self, arguments: &[&str]) -> Said {
        let output = said::apeft(self.folder.path(), arguments);
        let text = |bytes| String::from_utf8(bytes).unwrap();
        Said {
            status: output.status.code().unwrap(),
            out: text(output.stdout),
            errors: text(output.stderr),
        }
    }

    fn json(&self, arguments: &[&str]) -> Value {
        serde_json::from_str(&self.apeft(arguments).out).unwrap()
    }

    fn printed(&self, arguments: &[&str]) -> String {
        let said = self.apeft(arguments);
        assert_eq!(said.status, 0, "{arguments:?}: {}", said.errors);
        said.out.trim_end().to_owned()
    }

    fn refused(&self, arguments: &[&str]) -> String {
        let said = self.apeft(arguments);
        assert_eq!((said.status, said.out.as_str()), (2, ""), "{arguments:?}: {}", said.errors);
        said.errors
    }
}

#[test]
fn stages_lead_to_their_folders() {
    let project = Project::new();
    let outcome = project.json(&["run", "models.toml", "--json"]);
    let artifact = |index: usize| outcome["stages"][index]["artifact"].as_str().unwrap().to_owned();
    let run = outcome["run"].as_str().unwrap();
    for (name, expected) in [
        ("model@from=one", artifact(0)),
        ("model@from=other", artifact(1)),
        ("model@from=\"one\"", artifact(0)),
    ] {
        for run in ["models", run, "latest", "models/latest", &format!("models/{run}")] {
            assert_eq!(project.printed(&["path", run, name]), expected);
            assert_eq!(project.printed(&["path", &format!("{run}:{name}")]), expected);
        }
    }
    let folder = project.printed(&["path", "models"]);
    assert!(Path::new(&folder).join("events.jsonl").is_file(), "{folder}");
    assert_eq!(project.printed(&["path", &folder]), folder);
    let status = project.json(&["status", "latest", "--json"]);
    assert_eq!(status["stages"][1]["artifact"], artifact(1).as_str());
    let page = project.printed(&["report", "latest:model@from=other"]);
    assert!(page.ends_with("/report.html#model@from=other"), "{page}");
    let plan = project.json(&["plan", "models.toml", "--json"]);
    assert_eq!(plan["stages"][0]["artifact"], artifact(0).as_str());
    assert_eq!(
        plan["stages"][0]["key"], status["stages"][0]["key"],
        "the same artifact has the same key"
    );
}

#[test]
fn commands_take_stages_for_folders() {
    let project = Project::new();
    project.printed(&["run", "models.toml"]);
    let stage = "models:model@from=one";
    let folder = project.printed(&["path", stage]);
    let generate = |model: &str| {
        let options = ["--prompt", "Who?", "--max-new-tokens", "3", "--json"];
        project.printed(&[&["generate", model], &options[..]].concat())
    };
    assert_eq!(generate(stage), generate(&folder));
    let row = json!({"prompt": "Who?", "chosen": "A", "rejected": "B"});
    project.write("pairs.jsonl", &format!("{row}\n"));
    let scored = |model: &str| project.printed(&["logprobs", model, "--pairs", "pairs.jsonl"]);
    assert_eq!(scored("latest:model@from=one"), scored(&folder));
    project.printed(&["convert", "models:model@from=other", "copied"]);
    assert!(project.path("copied/config.json").is_file());
    // A folder with such a name comes first.
    fs::rename(project.path("copied"), project.path("models:model")).unwrap();
    assert_eq!(generate("models:model"), generate(stage), "the same model in other bytes");
}

#[test]
fn what_has_no_folder_is_told_with_what_there_is() {
    let project = Project::new();
    let none = project.refused(&["path", "models", "model"]);
    assert!(none.contains("no run is recorded in experiments"), "{none}");
    project.printed(&["run", "models.toml"]);
    assert_eq!(project.apeft(&["run", "mixed.toml", "--keep-going"]).status, 1);
    for (arguments, expected) in [
        (&["path", "models", "model"][..], "`model` is 2 cells in the run"),
        (&["path", "models", "model"], "name one of `model@from=one` and `model@from=other`"),
        (&["path", "models", "modle"], "there is no stage `modle`"),
        (&["path", "models", "modle"], "did you mean `model`?"),
        (&["path", "models", "model@from=neither"], "no cell of `model`"),
        (
            &["path", "model", "model"],
            "there is no run or recipe `model` in experiments; there are runs of: mixed, models",
        ),
        (&["path", "mixed", "bad"], "`bad` has no artifact in the run"),
        (&["path", "mixed", "bad"], "failed: "),
        (&["path", "mixed", "needy"], "skipped because of bad"),
        (
            &["generate", "models:modle", "--prompt", "Who?"],
            "`models:modle` is neither a path nor RUN:STAGE",
        ),
    ] {
        let said = project.refused(arguments);
        assert!(said.contains(expected), "{arguments:?}: {said}");
    }
    let folder = project.printed(&["path", "mixed", "good"]);
    fs::rename(project.path("cache"), project.path("elsewhere")).unwrap();
    let said = project.refused(&["path", "mixed", "good"]);
    assert!(said.contains(&format!("is no longer in {folder}")), "{said}");
}

#[test]
fn runs_are_listed_with_their_notes_and_found_by_their_tags() {
    let project = Project::new();
    let label = ["--note", "a first try", "--tag", "paper", "--tag", "tried"];
    project.printed(&[&["run", "models.toml"], &label[..]].concat());
    project.printed(&["run", "models.toml"]);
    assert_eq!(project.apeft(&["run", "mixed.toml", "--keep-going"]).status, 1);
    let listed = project.printed(&["runs"]);
    // Runs of one second have no order among recipes.
    let mut lines: Vec<&str> = listed.lines().collect();
    lines.sort_by_key(|line| line.starts_with("mixed"));
    assert_eq!(lines.len(), 3, "{listed}");
    assert!(
        lines[0].contains("done") && lines[0].contains("#paper #tried a first try"),
        "{listed}"
    );
    assert!(lines[0].contains("2 ran    0 cached"), "{listed}");
    assert!(lines[1].contains("0 ran    2 cached") && !lines[1].contains('#'), "{listed}");
    assert!(lines[2].starts_with("mixed ") && lines[2].contains("failed"), "{listed}");
    let tagged = project.json(&["runs", "--tag", "paper", "--json"]);
    assert_eq!(tagged.as_array().unwrap().len(), 1, "{tagged}");
    assert_eq!(tagged[0]["note"], "a first try");
    assert_eq!((&tagged[0]["executed"], &tagged[0]["state"]), (&json!(2), &json!("done")));
    assert!(tagged[0]["seconds"].as_f64().unwrap() > 0.0);
    let newest = project.json(&["runs", "models", "--limit", "1", "--json"]);
    assert_eq!(newest[0]["cached"], 2, "{newest}");
    let found = project.json(&["status", "paper", "--json"]);
    assert_eq!(found["run"], tagged[0]["run"]);
    let folder = project.printed(&["path", "paper"]);
    assert!(folder.ends_with(tagged[0]["folder"].as_str().unwrap()), "{folder}: {tagged}");
    let said = project.refused(&["run", "models.toml", "--tag", "a b"]);
    assert!(said.contains("a word without `:` and `/` is expected"), "{said}");
}

#[test]
fn a_comparison_of_runs_names_the_fields_that_differ() {
    let project = Project::new();
    let good = ["run", "mixed.toml", "--only", "good"];
    project.printed(&good);
    let other = ["--set", "stage.good.arguments=[\"-c\", \"o\"]", "--tag", "other"];
    project.write("o", "");
    let said = project.apeft(&[&good[..], &other].concat());
    assert_eq!(said.status, 1, "`touch -c` writes nothing: {}", said.errors);
    let other = ["--set", "stage.good.arguments=[\"o\", \"o\"]", "--tag", "twice"];
    project.printed(&[&good[..], &other].concat());
    let first = project.json(&["runs", "mixed", "--json"])[0]["run"].as_str().unwrap().to_owned();
    let rows = project.json(&["compare", &first, "twice", "--json"]);
    let expected = "`arguments` [\"o\"] -> [\"o\",\"o\"]";
    assert_eq!(rows[0]["fields"], json!([expected]), "{rows}");
    let text = project.printed(&["compare", &first, "latest"]);
    assert!(text.contains(expected), "{text}");
    let csv = project.printed(&["compare", &first, "twice", "--csv"]);
    assert!(csv.starts_with("stage,one,other,same,fields,domain"), "{csv}");
    let same = project.json(&["compare", "twice", "twice", "--json"]);
    assert_eq!((&same[0]["same"], &same[0]["fields"]), (&json!(true), &json!([])));
}

#[test]
fn the_program_names_its_commit_and_the_nearest_command() {
    let project = Project::new();
    let version = project.printed(&["--version"]);
    let built = version.strip_prefix(concat!("apeft ", env!("CARGO_PKG_VERSION"), " (")).unwrap();
    let (commit, features) = built.strip_suffix(')').unwrap().split_once("; ").unwrap();
    let is_hash = commit.len() == 10 && commit.bytes().all(|byte| byte.is_ascii_hexdigit());
    assert!(is_hash || commit == "unknown commit", "{version}");
    assert!(features == "no features" || features.contains("dashboard"), "{version}");
    for (arguments, expected) in [
        (&["rnu", "models.toml"][..], "a similar subcommand exists: 'run'"),
        (&["cache", "vreify"], "a similar subcommand exists: 'verify'"),
        (&["statsu"], "a similar subcommand exists: 'status'"),
    ] {
        let said = project.refused(arguments);
        assert!(said.contains(expected), "{arguments:?}: {said}");
    }
    let said = project.refused(&["zzzzzz"]);
    assert!(said.contains("unrecognized subcommand 'zzzzzz'"), "{said}");
}

#[test]
fn shells_complete_commands_and_every_command_has_a_man_page() {
    let project = Project::new();
    for shell in ["bash", "zsh", "fish"] {
        let script = project.printed(&["completions", shell]);
        assert!(script.contains("tensorboard") && script.contains("logprobs"), "{shell}");
    }
    let page = project.printed(&["man"]);
    assert!(page.contains(".TH apeft 1") && page.contains("Run a recipe"), "{page}");
    project.printed(&["man", "--folder", "pages"]);
    for name in ["apeft.1", "apeft-run.1", "apeft-cache-gc.1"] {
        assert!(project.path("pages").join(name).is_file(), "{name}");
    }
    assert!(!project.path("pages/apeft-attempt.1").exists(), "it is hidden");
}
