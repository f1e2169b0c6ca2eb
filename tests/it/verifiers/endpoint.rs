//! A verifier behind an endpoint in a recipe: planned, run, calibrated, and repeated from the log.

use std::{collections::BTreeMap, fs, path::Path, process::Command};

use apeft::rows::{Verdict, json_lines};
use serde_json::{Value, json};

use crate::server::{Asked, Reaction, Server, chat_of};

const CLAIMS: usize = 24;

/// Claims about four topics with their articles and labels; later claims are more often supported.
fn write_rows(folder: &Path) {
    let (mut claims, mut labels) = (String::new(), String::new());
    for number in 0..CLAIMS {
        let (id, topic) = (format!("r{}#0/{number}", number % 4), format!("Topic {}", number % 4));
        let claim = json!({"id": id, "response_id": format!("r{}#0", number % 4), "topic": topic,
            "text": format!("{topic} has the number {number}."), "span": [0, 1]});
        claims.push_str(&format!("{claim}\n"));
        // Two labels are against the order, so that no threshold parts all of them.
        let is_supported = (number >= CLAIMS / 2) != [9, 14].contains(&number);
        let label = json!({"claim_id": id, "label": if is_supported { "S" } else { "NS" }});
        labels.push_str(&format!("{label}\n"));
    }
    let article = |topic| json!({"title": format!("Topic {topic}"), "text": "It has a number."});
    let articles: String = (0..4).map(|topic| format!("{}\n", article(topic))).collect();
    fs::write(folder.join("claims.jsonl"), claims).unwrap();
    fs::write(folder.join("labels.jsonl"), labels).unwrap();
    fs::write(folder.join("articles.jsonl"), articles).unwrap();
}

fn recipe(url: &str) -> String {
    format!(
        r#"
name = "judged"

[endpoint.judge]
url = "{url}"
model = "judge-7b"
input_price = 1.0
output_price = 4.0

[defaults.verify]
by = "endpoint"
endpoint = "judge"
claims = {{ path = "claims.jsonl" }}
knowledge = {{ path = "articles.jsonl" }}

[stage.raw]
kind = "verify"

[stage.curve]
kind = "calibrate"
verdicts = "raw"
claims = {{ path = "claims.jsonl" }}
labels = {{ path = "labels.jsonl" }}
folds = 2

[stage.judged]
kind = "verify"
calibration = "curve"
"#
    )
}

/// The number of a claim decides how probable True is.
fn answer(asked: &Asked) -> Reaction {
    let prompt = asked.body["messages"][0]["content"].as_str().unwrap();
    let number = prompt.split_once("has the number ").unwrap().1.split_once('.').unwrap().0;
    let of_true = (number.parse::<f64>().unwrap() + 1.0) / (CLAIMS as f64 + 8.0);
    let mut listed = [("True", of_true), ("False", 1.0 - of_true)];
    listed.sort_by(|one, other| other.1.total_cmp(&one.1));
    Reaction::json(200, &chat_of(&[&listed]))
}

fn stdout(folder: &Path, arguments: &[&str]) -> String {
    let done = Command::new(env!("CARGO_BIN_EXE_apeft"))
        .args(arguments)
        .args(["--cache", "cache"])
        .current_dir(folder)
        .output()
        .unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    String::from_utf8(done.stdout).unwrap()
}

/// The files of this name in a folder, by path.
fn files(folder: &Path, name: &str) -> BTreeMap<String, Vec<u8>> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path, name));
        } else if path.ends_with(name) {
            found.insert(path.display().to_string(), fs::read(&path).unwrap());
        }
    }
    found
}

#[test]
fn verdicts_of_an_endpoint_are_planned_calibrated_and_repeated_from_the_log() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let server = Server::start(answer);
    write_rows(folder);
    fs::write(folder.join("recipe.toml"), recipe(&server.url)).unwrap();
    let plan: Value =
        serde_json::from_str(&stdout(folder, &["plan", "recipe.toml", "--json"])).unwrap();
    let calls = &plan["stages"][0]["calls"];
    assert_eq!((&calls["calls"], &calls["logged"]), (&json!(24), &json!(0)));
    // A prompt of 150 to 200 bytes has about 60 tokens, and an answer at most 8.
    let cost = calls["cost"].as_f64().unwrap() / CLAIMS as f64 * 1e6;
    assert!((80.0..110.0).contains(&cost), "{cost}");
    assert_eq!(server.requests(), 0);

    stdout(folder, &["run", "recipe.toml"]);
    assert_eq!(server.requests(), CLAIMS, "the second stage asks nothing new");
    let artifacts = folder.join("cache/v1/artifacts");
    let written = files(&artifacts, "verdicts.jsonl");
    assert_eq!(written.len(), 2);
    let curve: Value =
        serde_json::from_slice(files(&artifacts, "calibration.json").values().next().unwrap())
            .unwrap();
    assert_eq!(curve["claims"], CLAIMS);
    let mut shares = Vec::new();
    for path in written.keys() {
        let verdicts: Vec<Verdict> = json_lines::read(Path::new(path)).unwrap();
        for (number, verdict) in verdicts.iter().enumerate() {
            let of_true = (number as f64 + 1.0) / 32.0;
            let log_odds = verdict.log_odds.unwrap();
            assert!((log_odds - (of_true / (1.0 - of_true)).ln()).abs() < 1e-9);
            assert_eq!(curve["verifier"], verdict.verifier);
            assert_eq!(verdict.evidence[0].text, "It has a number.");
        }
        shares.push(verdicts[12].probability);
    }
    shares.sort_by(f64::total_cmp);
    let plain = 13.0 / 32.0;
    assert!(shares[0] == plain || shares[1] == plain, "{shares:?}");
    assert!(shares[1] - shares[0] > 0.02, "the calibration moves probabilities: {shares:?}");

    drop(server);
    let again = ["run", "recipe.toml", "--force", "raw", "--force", "judged"];
    stdout(folder, &[&again[..], &["--set", "endpoint.judge.replay=only"]].concat());
    assert_eq!(files(&artifacts, "verdicts.jsonl"), written);
}
