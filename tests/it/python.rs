//! The Python package (`python/`), on a store and runs made here.

use std::{fs, process::Command};

use serde_json::{Value, json};

use crate::said;

/// Whether there is a Python to test with.
fn is_installed() -> bool {
    let found = Command::new("python3").arg("--version").output().is_ok();
    if !found {
        eprintln!("python3 is not installed: the tests of the Python package are skipped");
    }
    found
}

struct Project {
    folder: tempfile::TempDir,
}

impl Project {
    fn apeft(&self, arguments: &[&str]) -> String {
        let output = said::apeft(self.folder.path(), arguments);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    /// What an expression gives, as JSON.
    fn python(&self, expression: &str) -> Value {
        let script = format!(
            "import json, apeft\nfrom pathlib import Path\ndef lists(found):\n    return \
            found.to_dict('records') if hasattr(found, 'to_dict') else found\n\
            print(json.dumps({expression}, default=str))\n"
        );
        let output = Command::new("python3")
            .args(["-c", &script])
            .current_dir(self.folder.path())
            .env("PYTHONPATH", concat!(env!("CARGO_MANIFEST_DIR"), "/python"))
            .env("PYTHONDONTWRITEBYTECODE", "1")
            .output()
            .unwrap();
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{expression}: {errors}");
        serde_json::from_slice(&output.stdout).unwrap()
    }
}

/// Responses judged by hand, scored twice and compared.
fn project() -> Project {
    let project = Project { folder: tempfile::tempdir().unwrap() };
    let (mut responses, mut claims, mut verdicts) = (String::new(), String::new(), String::new());
    for (topic, label) in [("Ada", "supported"), ("Bob", "unsupported"), ("Cid", "irrelevant")] {
        let id = format!("{topic}#0");
        let response = json!({"id": id, "prompt_id": topic, "sample": 0, "topic": topic,
            "domain": "people", "split": "test", "prompt": "Who?", "output": "A fact.",
            "finish": "stop"});
        let claim =
            json!({"id": format!("{id}:0"), "response_id": id, "text": "A fact.", "span": [0, 7]});
        let verdict = json!({"claim_id": format!("{id}:0"), "verdict": label, "probability": 0.5,
            "evidence": []});
        responses += &format!("{response}\n");
        claims += &format!("{claim}\n");
        verdicts += &format!("{verdict}\n");
    }
    for (name, text) in [("responses", responses), ("claims", claims), ("verdicts", verdicts)] {
        fs::write(project.folder.path().join(format!("{name}.jsonl")), text).unwrap();
    }
    let recipe = "name = \"scored\"\n[matrix]\nsystem = [\"a, b\", \"c\"]\n[stage.score]\nkind = \
        \"score\"\nresponses = { path = \"responses.jsonl\" }\nclaims = { path = \"claims.jsonl\" \
        }\nverdicts = { path = \"verdicts.jsonl\" }\n[stage.said]\nkind = \"command\"\nprogram = \
        \"sh\"\narguments = [\"-c\", \"echo '{\\\"n\\\": 1}' > rows.jsonl; echo $0\", \
        \"${matrix.system}\"]\noutputs = [\"rows.jsonl\"]\n";
    fs::write(project.folder.path().join("scored.toml"), recipe).unwrap();
    project
}

#[test]
fn runs_scores_and_artifacts_are_read_as_the_program_tells_them() {
    if !is_installed() {
        return;
    }
    let project = project();
    project.apeft(&["run", "scored.toml", "--note", "by hand", "--tag", "first"]);
    project.apeft(&["run", "scored.toml"]);
    let status: Value =
        serde_json::from_str(&project.apeft(&["status", "first", "--json"])).unwrap();
    let run = "apeft.open('first')";
    assert_eq!(project.python(&format!("{run}.run")), status["run"]);
    assert_eq!(
        project.python(&format!("[{run}.note, {run}.tags, {run}.ok, {run}.recipe]")),
        json!(["by hand", ["first"], true, "scored"])
    );
    let told = project.python(&format!(
        "[[stage.name, stage.outcome, stage.seconds, stage.key, str(stage.artifact.path)] for stage \
        in {run}.stages]"
    ));
    let stages = status["stages"].as_array().unwrap();
    let expected: Vec<Value> = stages
        .iter()
        .map(|stage| {
            json!([
                stage["name"],
                stage["state"],
                stage["seconds"],
                stage["key"],
                stage["artifact"]
            ])
        })
        .collect();
    assert_eq!(told, json!(expected));
    // Cached stages keep what the attempts said that made them.
    let notes = project.python("[stage.notes for stage in apeft.open('latest').stages]");
    assert_eq!(notes, project.python(&format!("[stage.notes for stage in {run}.stages]")));
    assert!(notes[0].to_string().contains("precision 50.0 %"), "{notes}");
    assert!(notes[0].to_string().contains("1 of 3 claims irrelevant, left out"), "{notes}");
    let table = project.python("lists(apeft.open('scored').table())");
    let mean = table
        .as_array()
        .unwrap()
        .iter()
        .find(|row| row["measure"] == "precision" && row["domain"] == "people")
        .unwrap();
    assert_eq!((&mean["mean"], &mean["stage"]), (&json!(0.5), &json!("score")));
    let cell = "apeft.open('scored').artifact('said@system=\"a, b\"')";
    assert_eq!(project.python(&format!("{cell}.rows()")), json!([{"n": 1}]));
    assert_eq!(project.python(&format!("lists({cell}.table())")), json!([{"n": 1}]));
    assert_eq!(project.python(&format!("{cell}.files")), json!(["rows.jsonl"]));
    assert_eq!(project.python(&format!("{cell}.fingerprint['kind']")), "command");
    let path = project.apeft(&["path", "scored", "said@system=c"]);
    assert_eq!(
        project.python("str(apeft.open('latest').artifact('said@system=c').path)"),
        path.trim()
    );
    assert_eq!(project.python("len(apeft.runs())"), 2);
}

#[test]
fn a_project_that_was_moved_is_read_where_it_is() {
    if !is_installed() {
        return;
    }
    let project = project();
    project.apeft(&["run", "scored.toml"]);
    let moved = project.folder.path().join("moved");
    fs::create_dir(&moved).unwrap();
    for name in ["cache", "experiments"] {
        fs::rename(project.folder.path().join(name), moved.join(name)).unwrap();
    }
    let found = project.python(
        "apeft.open('scored', 'moved/experiments').artifact('said@system=c').rows('rows.jsonl')",
    );
    assert_eq!(found, json!([{"n": 1}]));
}

/// FActScore counts irrelevant facts as wrong, and the score says so.
#[test]
fn irrelevant_claims_are_wrong_where_the_recipe_says_so() {
    if !is_installed() {
        return;
    }
    let project = project();
    project.apeft(&["run", "scored.toml", "--set", "stage.score.irrelevant=\"unsupported\""]);
    let table = project.python("lists(apeft.open('scored').table())");
    let means: Vec<f64> = table
        .as_array()
        .unwrap()
        .iter()
        .filter(|row| row["measure"] == "precision")
        .map(|row| row["mean"].as_f64().unwrap())
        .collect();
    assert!(means.iter().all(|mean| (mean - 1.0 / 3.0).abs() < 1e-9), "{means:?}");
    let notes = project.python("apeft.open('scored').stages[0].notes");
    assert!(notes.to_string().contains("irrelevant, counted as unsupported"), "{notes}");
}
