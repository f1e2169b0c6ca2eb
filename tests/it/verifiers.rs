//! Measures and verifiers on labelled claims with evidence.

mod endpoint;
mod labelled;
mod words;

use apeft::evaluation::{Scored, auroc};
use serde_json::Value;

use crate::data_sets::folder;

/// WiCE publishes the scores of four systems without ids, and their areas under the curve.
#[test]
fn areas_under_the_curve_are_those_that_wice_published() {
    let Some(folder) = folder("wice") else { return };
    let rows: Vec<Value> =
        apeft::rows::json_lines::read(&folder.join("peer_scores_100_no_ids.jsonl")).unwrap();
    let published: Value =
        serde_json::from_slice(&std::fs::read(folder.join("peer_metrics_test.json")).unwrap())
            .unwrap();
    let found = |system: &str| {
        let scored: Vec<Scored> = rows
            .iter()
            .map(|row| Scored::new(row[system].as_f64().unwrap(), row["label"] == "supported"))
            .collect();
        auroc(&scored).unwrap()
    };
    for (system, name, digits) in [
        ("t5_3b_anli", "t5-3b-anli", "0.912587"),
        ("t5_3b_anli_wice", "t5-3b-anli-wice", "0.946970"),
        ("gpt4", "gpt-4-0613", "0.802448"),
        ("gpt35", "gpt-3.5-turbo-0613", "0.568765"),
    ] {
        let known = published["metrics"][name]["roc"]["0_vs_1,2"]["roc"].as_f64().unwrap();
        assert!((found(system) - known).abs() < 1e-12, "{system}: {} {known}", found(system));
        assert_eq!(format!("{:.6}", found(system)), digits, "{system}");
    }
}
