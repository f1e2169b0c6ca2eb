//! The kind `compare`: scores of many cells into one table of arms.

use serde::Deserialize;

use super::{
    Context, InputPath, StageError,
    artifact::{COMPARISON, SCORES},
    score::{write_csv, write_json},
};
use crate::{
    evaluation::{AnswerScore, Comparison, Scored, compare},
    recipe::schema::{Default, Input, Kind, Parameter, Shape},
};

/// The kind. Version 1.
pub(super) const KIND: Kind = Kind {
    name: "compare",
    version: 1,
    about: "Compares the arms of an experiment: means over seeds, and paired differences from a baseline, with 95 % intervals.",
    inputs: &[Input::many(
        "scores",
        &SCORES,
        "The scores of all cells; cells that differ only in the seed are one arm.",
    )],
    parameters: &[Parameter::new(
        "baseline",
        Shape::Text,
        Default::Absent,
        "The stage, or one arm of it (`stage@variable=value`), from which differences are taken, seed by seed and prompt by prompt.",
    )],
    provides: &[&COMPARISON],
    draws: false,
    gathers: true,
    on_device: false,
    fits: None,
};

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Parameters {
    baseline: Option<String>,
}

/// Writes `comparison.json` and `comparison.csv`.
///
/// # Errors
/// Where scores cannot be read or compared.
pub(super) fn run(context: &Context) -> Result<(), StageError> {
    let Parameters { baseline } = context.parameters()?;
    let scored = context.inputs("scores").map(read).collect::<Result<Vec<Scored>, _>>()?;
    let comparison = compare(&scored, baseline.as_deref()).map_err(StageError::doing("compare the scores"))?;
    write_json(&context.output("comparison.json"), &comparison)?;
    write_csv(&context.output("comparison.csv"), &comparison.rows)?;
    describe(context, &comparison);
    Ok(())
}

fn read(input: &InputPath) -> Result<Scored, StageError> {
    let (path, table) = (input.path.join("scores.json"), input.path.join("responses.csv"));
    let wrong = |path: &std::path::Path| format!("read {}", path.display());
    let text = std::fs::read_to_string(&path).map_err(StageError::doing(wrong(&path)))?;
    let scores = serde_json::from_str(&text).map_err(StageError::doing(wrong(&path)))?;
    let mut reader = csv::Reader::from_path(&table).map_err(StageError::doing(wrong(&table)))?;
    let answers =
        reader.deserialize().collect::<Result<Vec<AnswerScore>, _>>().map_err(StageError::doing(wrong(&table)))?;
    let folder = || input.path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    Ok(Scored { label: input.label.clone().unwrap_or_else(folder), scores, answers })
}

/// Says the differences of precision.
fn describe(context: &Context, comparison: &Comparison) {
    for row in comparison.rows.iter().filter(|row| row.measure == "precision") {
        if let (Some(difference), Some(low), Some(high)) = (row.difference, row.difference_low, row.difference_high) {
            let [difference, low, high] = [difference, low, high].map(|share| 100.0 * share);
            context.note(format!(
                "{} in {}: precision {:.1} %, {difference:+.1} [{low:+.1}, {high:+.1}] points from the baseline over {} seeds",
                row.arm,
                row.domain,
                100.0 * row.mean,
                row.seeds.max(1),
            ));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stage::{score, trial, trial::Trial};
    use serde_json::json;

    #[test]
    fn defaults_are_understood() {
        let parameters: Parameters = serde_json::from_value(trial::defaults(&KIND).into()).unwrap();
        assert_eq!(parameters.baseline, None);
    }

    #[test]
    fn arms_are_compared_by_what_score_wrote() {
        let folder = tempfile::tempdir().unwrap();
        let mut inputs = Vec::new();
        let cells: [(&str, [&[&str]; 2]); 2] =
            [("before@seed=0", [&["SN", "NN"], &["SN"]]), ("after@p=x,seed=0", [&["SS", "SN"], &["SN"]])];
        for (label, [people, elements]) in cells {
            let judged = trial::judged(&[("people", "Ann", "test", people), ("elements", "tin", "test", elements)]);
            let given = [("responses", judged.path()), ("claims", judged.path()), ("verdicts", judged.path())];
            let output = folder.path().join(label);
            Trial::new(&given, json!({"in_domain": "people"})).run(&score::KIND, &output, score::run).unwrap();
            inputs.push(InputPath { name: "scores".to_owned(), path: output, label: Some(label.to_owned()) });
        }
        let trial = Trial { inputs, ..Trial::new(&[], json!({"baseline": "before"})) };
        let notes = trial.run(&KIND, folder.path(), run).unwrap();
        expect_test::expect![[r#"
            after@p=x in people: precision 75.0 %, +50.0 [+50.0, +50.0] points from the baseline over 1 seeds
            after@p=x in elements: precision 50.0 %, +0.0 [+0.0, +0.0] points from the baseline over 1 seeds
            after@p=x in out-of-domain: precision 50.0 %, +0.0 [+0.0, +0.0] points from the baseline over 1 seeds"#]]
        .assert_eq(&notes.join("\n"));
        let table = std::fs::read_to_string(folder.path().join("comparison.csv")).unwrap();
        let head: Vec<&str> = table.lines().take(2).collect();
        expect_test::expect![[r#"
            arm,domain,measure,seeds,answers,mean,low,high,difference,difference_low,difference_high
            before,people,precision,1,2,0.25,0.25,0.25,,,"#]]
        .assert_eq(&head.join("\n"));
        let text = std::fs::read_to_string(folder.path().join("comparison.json")).unwrap();
        let comparison: Comparison = serde_json::from_str(&text).unwrap();
        assert_eq!(comparison.rows.len() + 1, table.lines().count());
    }
}
