//! Ranks, classes and divergences of a `shift` stage, compared with transformers
//! (`benches/shift_parity.py`) on the same directory, adapter and responses.

use std::{collections::BTreeMap, fs, path::Path, process::Command};

use serde_json::Value;

fn rows(path: &Path) -> Vec<Value> {
    fs::read_to_string(path)
        .unwrap()
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

fn numbers(list: &Value) -> Vec<f64> {
    list.as_array().unwrap().iter().map(|number| number.as_f64().unwrap()).collect()
}

fn class(rank: f64) -> &'static str {
    match rank {
        1.0 => "unshifted",
        2.0 | 3.0 => "marginal",
        _ => "shifted",
    }
}

#[test]
fn classes_are_those_of_transformers() {
    let data = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/shift");
    let folder = tempfile::tempdir().unwrap();
    let ran = Command::new(env!("CARGO_BIN_EXE_apeft"))
        .args(["run", data.join("recipe.toml").to_str().unwrap(), "--json"])
        .args(["--cache", folder.path().join("cache").to_str().unwrap()])
        .current_dir(folder.path())
        .output()
        .unwrap();
    assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
    let ran: Value = serde_json::from_slice(&ran.stdout).unwrap();
    let artifact = Path::new(ran["stages"][0]["artifact"].as_str().unwrap()).to_owned();
    let expected: Value =
        serde_json::from_str(&fs::read_to_string(data.join("expected.json")).unwrap()).unwrap();

    let answers = rows(&artifact.join("tokens.jsonl"));
    let theirs = expected["answers"].as_array().unwrap();
    assert_eq!(answers.len(), theirs.len());
    let mut torn: BTreeMap<String, f64> = BTreeMap::new();
    for (ours, theirs) in answers.iter().zip(theirs) {
        assert_eq!(
            (&ours["response_id"], &ours["tokens"]),
            (&theirs["response_id"], &theirs["tokens"])
        );
        for field in ["base_ranks", "tuned_ranks"] {
            let ranks = theirs[field].as_array().unwrap().iter().map(numbers);
            for (ours, theirs) in numbers(&ours[field]).into_iter().zip(ranks) {
                // Their rank, and its bounds among logits that are equal up to rounding.
                let [_, least, largest] = theirs[..] else { panic!("{theirs:?}") };
                assert!(least <= ours && ours <= largest, "{field}: {ours} is not {theirs:?}");
            }
        }
        for theirs in theirs["base_ranks"].as_array().unwrap().iter().map(numbers) {
            if class(theirs[1]) != class(theirs[2]) {
                *torn.entry(ours["domain"].as_str().unwrap().to_owned()).or_default() += 1.0;
            }
        }
        for field in ["base_logps", "tuned_logps", "kl", "reverse_kl"] {
            for (ours, theirs) in numbers(&ours[field]).into_iter().zip(numbers(&theirs[field])) {
                assert!((ours - theirs).abs() < 1e-4, "{field}: {ours} {theirs}");
            }
        }
    }

    let shift: Value =
        serde_json::from_str(&fs::read_to_string(artifact.join("shift.json")).unwrap()).unwrap();
    let mut compared = 0;
    for row in shift["rows"].as_array().unwrap() {
        let text = |field: &str| row[field].as_str().unwrap();
        let key = format!("{} {}", text("domain"), text("measure"));
        let Some(theirs) = expected["counts"][&key].as_f64() else { continue };
        if (text("part"), text("positions")) == ("all", "all") {
            let ours = row["mean"].as_f64().unwrap() * row["tokens"].as_f64().unwrap();
            let slack = torn.get(text("domain")).copied().unwrap_or(0.0);
            assert!((ours - theirs).abs() < slack + 1e-6, "{key}: {ours} {theirs}");
            compared += 1;
        }
    }
    assert_eq!(compared, expected["counts"].as_object().unwrap().len());
    assert!(compared >= 6, "three classes of two domains");
}
