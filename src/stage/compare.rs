//! The kind `compare`: scores of many cells into one table of arms.

use serde::Deserialize;

use super::{
    Context, InputPath, StageError,
    artifact::{COMPARISON, SCORES},
    score::{write_csv, write_json},
};
use crate::{
    evaluation::{AnswerScore, Average, ComparisonRow, Label, Question, Scored, check_question, compare},
    recipe::schema::{Chosen, Default, Gathered, Input, Kind, Mismatch, Parameter, Shape},
};

/// The kind.
pub(super) const KIND: Kind = Kind {
    name: "compare",
    // 1: the first. 2: p-values, the mean over all domains, averages over arms, warnings. 3: intervals and p-values for
    // seeds and topics that are crossed; none from one topic; domains and arms weigh the same where a seed lacks one;
    // cautions.
    version: 3,
    about: "Compares the arms of an experiment: means over seeds, and paired differences from a baseline, with 95 % intervals over seeds and topics.",
    inputs: &[Input::many(
        "scores",
        &SCORES,
        "The scores of all cells; cells that differ only in the seed are one arm.",
    )],
    parameters: &[
        Parameter::new(
            "baseline",
            Shape::Text,
            Default::Absent,
            "The stage, or one arm of it (`stage@variable=value`), from which differences are taken, seed by seed and prompt by prompt.",
        ),
        Parameter::new(
            "average",
            Shape::Text,
            Default::Absent,
            "The variable of the matrix whose values are compared on the average over all arms that differ in nothing else.",
        ),
        Parameter::new(
            "average_from",
            Shape::List(&Shape::Text),
            Default::Absent,
            "The values of that variable from which differences are taken; each is itself compared with those before it.",
        ),
        Parameter::new(
            "tolerance",
            Shape::Number { least: 0.0, most: 1.0, open: false },
            Default::Number(0.1),
            "The share by which facts, or answers with facts, may fall from the baseline's before a win in precision is warned of.",
        ),
    ],
    provides: &[&COMPARISON],
    draws: false,
    gathers: true,
    on_device: false,
    fits: Some(fits),
    lacks: None,
    suits: Some(suits),
};

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Parameters {
    baseline: Option<String>,
    average: Option<String>,
    average_from: Option<Vec<String>>,
    tolerance: f64,
}

fn fits(chosen: &Chosen<'_>) -> Vec<Mismatch> {
    let mut found = Vec::new();
    let right = "name the values from which differences are taken in `average_from`";
    match (chosen.has("average"), chosen.has("average_from")) {
        (true, false) => found.push(Mismatch::error("average", "`average` needs `average_from`", right)),
        (false, true) => {
            let right = "name the variable of the matrix in `average`";
            found.push(Mismatch::error("average_from", "`average_from` needs `average`", right));
        }
        (true, true) if chosen.texts("average_from").is_empty() => {
            found.push(Mismatch::error("average_from", "`average_from` names nothing", right));
        }
        _ => {}
    }
    if chosen.is_changed("tolerance") && !chosen.has("baseline") && !chosen.has("average") {
        let why = "without `baseline` or `average` no differences are taken";
        found.push(Mismatch::of_no_use("tolerance", why, "name a `baseline`, or leave it out"));
    }
    found
}

/// What is named must be among the scores.
fn suits(chosen: &Chosen<'_>, cells: &[Gathered<'_>]) -> Vec<Mismatch> {
    let labels: Vec<Label> = cells.iter().map(|cell| Label::parse(cell.name)).collect();
    let baseline = chosen.has("baseline").then(|| chosen.text("baseline").to_owned());
    let axis = chosen.has("average").then(|| chosen.text("average").to_owned());
    let from = chosen.texts("average_from").into_iter().map(str::to_owned).collect();
    let average = axis.map(|axis| Average { axis, from });
    let question = Question { baseline, average, tolerance: 0.0 };
    check_question(&labels, &question)
        .into_iter()
        .map(|error| Mismatch::error(error.field(), error.to_string(), error.right()))
        .collect()
}

/// Writes `comparison.json` and `comparison.csv`.
///
/// # Errors
/// Where scores cannot be read or compared.
pub(super) fn run(context: &Context) -> Result<(), StageError> {
    let Parameters { baseline, average, average_from, tolerance } = context.parameters()?;
    let scored = context.inputs("scores").map(read).collect::<Result<Vec<Scored>, _>>()?;
    let average = average.map(|axis| Average { axis, from: average_from.unwrap_or_default() });
    let question = Question { baseline, average, tolerance };
    let comparison = compare(&scored, &question).map_err(StageError::doing("compare the scores"))?;
    write_json(&context.output("comparison.json"), &comparison)?;
    let rows: Vec<&ComparisonRow> = comparison.rows.iter().chain(&comparison.averages).collect();
    write_csv(&context.output("comparison.csv"), &rows)?;
    comparison.rows.iter().chain(&comparison.averages).for_each(|row| describe(context, row));
    comparison.warnings.iter().for_each(|warning| context.warn(warning.text.as_str()));
    comparison.cautions.iter().for_each(|caution| context.warn(caution.as_str()));
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
    if let Some(row) = answers.iter().position(|answer| !answer.is_finite()) {
        let (table, row, answer) = (table.display(), row + 2, &answers[row].response_id);
        return Err(StageError(format!(
            "{table}:{row}: a measure of the answer `{answer}` is not a number; score the answers again"
        )));
    }
    let folder = || input.path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    Ok(Scored { label: input.label.clone().unwrap_or_else(folder), scores, answers })
}

/// Says the difference of precision, where there is one.
fn describe(context: &Context, row: &ComparisonRow) {
    if let Some(difference) = row.difference.filter(|_| row.measure == "precision") {
        let interval = row.difference_low.zip(row.difference_high);
        let interval =
            interval.map_or("–".to_owned(), |(low, high)| format!("[{:+.1}, {:+.1}]", 100.0 * low, 100.0 * high));
        let seeds = match row.seeds {
            1 => "one seed, which says nothing of others".to_owned(),
            seeds => format!("{seeds} seeds"),
        };
        let over = if row.arms == 1 { seeds } else { format!("{} arms and {seeds}", row.arms) };
        context.note(format!(
            "{} in {}: precision {:.1} %, {:+.1} {interval} points from {} over {over}",
            row.arm,
            row.domain,
            100.0 * row.mean,
            100.0 * difference,
            row.baseline.as_deref().unwrap_or("the baseline"),
        ));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evaluation::Comparison;
    use crate::stage::{score, trial, trial::Trial};
    use serde_json::json;

    #[test]
    fn defaults_are_understood() {
        let parameters: Parameters = serde_json::from_value(trial::defaults(&KIND).into()).unwrap();
        assert_eq!((parameters.baseline, parameters.average, parameters.tolerance), (None, None, 0.1));
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
            after@p=x in people: precision 75.0 %, +50.0 – points from before over one seed, which says nothing of others
            after@p=x in elements: precision 50.0 %, +0.0 – points from before over one seed, which says nothing of others
            after@p=x in out-of-domain: precision 50.0 %, +0.0 – points from before over one seed, which says nothing of others
            after@p=x in all-domains: precision 62.5 %, +25.0 – points from before over one seed, which says nothing of others"#]]
        .assert_eq(&notes.join("\n"));
        let table = std::fs::read_to_string(folder.path().join("comparison.csv")).unwrap();
        let head: Vec<&str> = table.lines().take(2).collect();
        expect_test::expect![[r#"
            arm,baseline,domain,measure,arms,seeds,answers,mean,low,high,difference,difference_low,difference_high,p,p_holm
            before,,people,precision,1,1,2,0.25,,,,,,,"#]]
        .assert_eq(&head.join("\n"));
        let text = std::fs::read_to_string(folder.path().join("comparison.json")).unwrap();
        let comparison: Comparison = serde_json::from_str(&text).unwrap();
        assert_eq!(comparison.rows.len() + 1, table.lines().count());
        let misfit = |parameters| trial::misfits(&KIND, &["scores"], parameters).remove(0).problem;
        assert_eq!(misfit(json!({"average": "p"})), "`average` needs `average_from`");
        assert_eq!(misfit(json!({"average_from": ["x"]})), "`average_from` needs `average`");
    }

    /// Seed 0 has three answers that state facts, seed 1 two; each seed weighs the same.
    #[test]
    fn means_are_of_answers_and_differences_of_prompts() {
        let folder = tempfile::tempdir().unwrap();
        let cells: [(&str, &[&str], &[&str]); 4] = [
            ("before@seed=0", &["SN", "NN"], &["SSSSN"]),
            ("after@seed=0", &["SS", "SN"], &["SSSSN"]),
            ("before@seed=1", &["SNNNN"], &["NN"]),
            ("after@seed=1", &["SSSNN"], &["SN"]),
        ];
        let mut inputs = Vec::new();
        for (label, ann, bo) in cells {
            let judged = trial::judged(&[("people", "Ann", "test", ann), ("people", "Bo", "test", bo)]);
            let given = [("responses", judged.path()), ("claims", judged.path()), ("verdicts", judged.path())];
            let output = folder.path().join(label);
            Trial::new(&given, json!({})).run(&score::KIND, &output, score::run).unwrap();
            inputs.push(InputPath { name: "scores".to_owned(), path: output, label: Some(label.to_owned()) });
        }
        Trial { inputs, ..Trial::new(&[], json!({"baseline": "before"})) }.run(&KIND, folder.path(), run).unwrap();
        let comparison: Comparison =
            serde_json::from_slice(&std::fs::read(folder.path().join("comparison.json")).unwrap()).unwrap();
        let precision = |arm: &str| {
            comparison.rows.iter().find(|row| (row.arm.as_str(), row.measure.as_str()) == (arm, "precision")).unwrap()
        };
        // Before: 0.5, 0 and 0.8 with seed 0, 0.2 and 0 with seed 1. After: 1, 0.5 and 0.8, then 0.6 and 0.5.
        let (before, after) = ([1.3 / 3.0, 0.1], [2.3 / 3.0, 0.55]);
        assert!(
            (precision("before").mean - (before[0] + before[1]) / 2.0).abs() < 1e-12,
            "{}",
            precision("before").mean
        );
        assert!((precision("after").mean - (after[0] + after[1]) / 2.0).abs() < 1e-12, "{}", precision("after").mean);
        // A difference is one of prompts: Ann +0.5 and Bo 0 with seed 0, Ann +0.4 and Bo +0.5 with seed 1.
        let difference = precision("after").difference.unwrap();
        assert!((difference - (0.25 + 0.45) / 2.0).abs() < 1e-12, "{difference}");
    }
}
