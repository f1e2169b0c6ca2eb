//! The kind `compare`: aggregates the scores of many cells into a table of arms.

use serde::Deserialize;

use crate::{
    context::{
        Context, InputPath, StageError,
        artifact::{COMPARISON, SCORES},
        read_json, write_csv, write_json,
    },
    evaluation::{
        AnswerScore, Average, ComparisonRow, NamedContrast, Question, ScoredCell, check_question,
        compare,
    },
    recipe::schema::{Chosen, Declared, Input, InputCell, Kind, Mismatch},
    rows::{Cell, MeasureName},
};

/// The kind.
pub(super) const KIND: Kind = Kind {
    name: "compare",
    // 1: first version. 2: p-values, mean over all domains, averages over arms, warnings. 3:
    // intervals and p-values with crossed seeds and topics, none from one topic; domains and arms
    // weigh the same if a seed lacks one; cautions. 4: intervals of means within the possible
    // range, and of positive width for shares that are equal in all topics.
    version: 4,
    about: "Compare arms: means over seeds and paired differences from a baseline, with 95 % \
    intervals.",
    inputs: &[Input::many(
        "scores",
        &SCORES,
        "Scores of all cells; cells that differ only in the seed are one arm.",
    )],
    parameters: Parameters::PARAMETERS,
    provides: &[&COMPARISON],
    seeded: false,
    fan_in: true,
    on_device: None,
    cross_checks: Some(cross_checks),
    lacks: None,
    cell_checks: Some(cell_checks),
};

#[derive(Debug, Deserialize, apeft_derive::Parameters)]
#[serde(deny_unknown_fields)]
struct Parameters {
    /// Baseline of the differences: a stage, or one arm of it (`stage@variable=value`).
    baseline: Option<String>,
    /// Matrix variable whose values are compared on the average over all other variables.
    #[parameter(former = "average")]
    average_over: Option<String>,
    /// Values of `average_over` that are baselines; each is also compared with those before it.
    #[parameter(former = "average_from")]
    average_baselines: Option<Vec<String>>,
    /// Contrasts asked for in advance, as `VALUE over BASELINE`, the primary one first.
    contrasts: Option<Vec<String>>,
    /// Loss of facts or of responses with facts, as a share, above which a win is warned of.
    #[parameter(default = 0.1, min = 0, max = 1)]
    tolerance: f64,
}

fn cross_checks(chosen: &Chosen<'_>) -> Vec<Mismatch> {
    let mut found = Vec::new();
    let right = "name the values from which differences are taken in `average_baselines`";
    let Parameters { baseline, average_over, average_baselines, contrasts, .. } =
        chosen.parameters();
    match (&average_over, &average_baselines) {
        (Some(_), None) => found.push(Mismatch::error(
            "average_over",
            "`average_over` needs `average_baselines`",
            right,
        )),
        (None, Some(_)) => {
            let right = "name the variable of the matrix in `average_over`";
            found.push(Mismatch::error(
                "average_baselines",
                "`average_baselines` needs `average_over`",
                right,
            ));
        }
        (Some(_), Some(baselines)) if baselines.is_empty() => {
            found.push(Mismatch::error("average_baselines", "`average_baselines` is empty", right));
        }
        _ => {}
    }
    let right = "write `VALUE over BASELINE`, two values of `average_over`";
    if contrasts.is_some() && average_over.is_none() {
        let problem = "`contrasts` needs `average_over`";
        found.push(Mismatch::error("contrasts", problem, right));
    }
    let texts = contrasts.iter().flatten();
    for text in texts.filter(|text| NamedContrast::parse(text).is_none()) {
        found.push(Mismatch::error("contrasts", format!("`{text}` is no contrast"), right));
    }
    if chosen.is_changed("tolerance") && baseline.is_none() && average_over.is_none() {
        let why = "without `baseline` or `average_over` there are no differences";
        found.push(Mismatch::without_effect("tolerance", why, "name a `baseline`, or remove it"));
    }
    found
}

impl Parameters {
    fn question(self) -> Question {
        let from = self.average_baselines.unwrap_or_default();
        let contrasts = self.contrasts.iter().flatten();
        let contrasts = contrasts.filter_map(|text| NamedContrast::parse(text)).collect();
        let average = self.average_over.map(|axis| Average { axis, from, contrasts });
        Question { baseline: self.baseline, average, tolerance: self.tolerance }
    }
}

/// Named arms must be among the scores.
fn cell_checks(chosen: &Chosen<'_>, cells: &[InputCell<'_>]) -> Vec<Mismatch> {
    let cells: Vec<&Cell> = cells.iter().map(|input| input.cell).collect();
    let question = chosen.parameters::<Parameters>().question();
    check_question(&cells, &question)
        .into_iter()
        .map(|error| Mismatch::error(error.field(), error.to_string(), error.right()))
        .collect()
}

/// Writes `comparison.json` and `comparison.csv`.
///
/// # Errors
/// If scores cannot be read or compared.
pub(super) fn run(context: &Context) -> Result<(), StageError> {
    let question = context.parameters::<Parameters>()?.question();
    let scored = context.inputs("scores").map(read).collect::<Result<Vec<ScoredCell>, _>>()?;
    let comparison =
        compare(&scored, &question).map_err(StageError::doing("compare the scores"))?;
    write_json(&context.output("comparison.json"), &comparison)?;
    let rows: Vec<&ComparisonRow> = comparison.rows.iter().chain(&comparison.averages).collect();
    write_csv(&context.output("comparison.csv"), &rows)?;
    comparison.rows.iter().chain(&comparison.averages).for_each(|row| describe(context, row));
    comparison.warnings.iter().for_each(|warning| context.warn(warning.text.as_str()));
    comparison.cautions.iter().for_each(|caution| context.warn(caution.as_str()));
    Ok(())
}

fn read(input: &InputPath) -> Result<ScoredCell, StageError> {
    let (path, table) = (input.path.join("scores.json"), input.path.join("responses.csv"));
    let scores = read_json(&path)?;
    let reading = format!("read {}", table.display());
    let mut reader = csv::Reader::from_path(&table).map_err(StageError::doing(&reading))?;
    let answers = reader
        .deserialize()
        .collect::<Result<Vec<AnswerScore>, _>>()
        .map_err(StageError::doing(&reading))?;
    // CSV has NaN, which would pass through every mean unnoticed.
    if let Some(row) = answers.iter().position(|answer| !answer.is_finite()) {
        // Lines count from 1, and the first is the header.
        let (table, row, answer) = (table.display(), row + 2, &answers[row].response_id);
        return Err(StageError(format!(
            "{table}:{row}: a measure of the response `{answer}` is not a number; score the \
            responses again"
        )));
    }
    Ok(ScoredCell { cell: input.source_cell(), scores, answers })
}

/// Notes the difference in precision, if any.
fn describe(context: &Context, row: &ComparisonRow) {
    if let Some(difference) = row.difference.filter(|_| row.measure == MeasureName::Precision) {
        let interval = row.difference_low.zip(row.difference_high);
        let interval = interval.map_or("–".to_owned(), |(low, high)| {
            format!("[{:+.1}, {:+.1}]", 100.0 * low, 100.0 * high)
        });
        let seeds = match row.seeds {
            1 => "one seed (no interval over seeds)".to_owned(),
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
    use crate::{
        context::test_support::{self, Trial},
        evaluation::Comparison,
        stage::score,
    };
    use serde_json::json;

    #[test]
    fn defaults_are_understood() {
        let parameters: Parameters =
            serde_json::from_value(test_support::defaults(&KIND).into()).unwrap();
        assert_eq!(
            (parameters.baseline, parameters.average_over, parameters.tolerance),
            (None, None, 0.1)
        );
    }

    #[test]
    fn arms_are_compared_by_what_score_wrote() {
        let folder = tempfile::tempdir().unwrap();
        let mut inputs = Vec::new();
        let cells: [(&str, [&[&str]; 2]); 2] = [
            ("before@seed=0", [&["SN", "NN"], &["SN"]]),
            ("after@p=x,seed=0", [&["SS", "SN"], &["SN"]]),
        ];
        for (label, [people, elements]) in cells {
            let judged = test_support::judged(&[
                ("people", "Ann", "test", people),
                ("elements", "tin", "test", elements),
            ]);
            let given = [
                ("responses", judged.path()),
                ("claims", judged.path()),
                ("verdicts", judged.path()),
            ];
            let output = folder.path().join(label);
            Trial::new(&given, json!({"in_domain": "people"}))
                .run(&score::KIND, &output, score::run)
                .unwrap();
            inputs.push(InputPath {
                name: "scores".to_owned(),
                path: output,
                cell: Some(Cell::parse(label)),
            });
        }
        let trial = Trial { inputs, ..Trial::new(&[], json!({"baseline": "before"})) };
        let notes = trial.run(&KIND, folder.path(), run).unwrap();
        expect_test::expect![[r#"
            after@p=x in people: precision 75.0 %, +50.0 – points from before over one seed (no interval over seeds)
            after@p=x in elements: precision 50.0 %, +0.0 – points from before over one seed (no interval over seeds)
            after@p=x in out-of-domain: precision 50.0 %, +0.0 – points from before over one seed (no interval over seeds)
            after@p=x in all-domains: precision 62.5 %, +25.0 – points from before over one seed (no interval over seeds)"#]]
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
        let misfit =
            |parameters| test_support::misfits(&KIND, &["scores"], parameters).remove(0).problem;
        assert_eq!(
            misfit(json!({"average_over": "p"})),
            "`average_over` needs `average_baselines`"
        );
        assert_eq!(
            misfit(json!({"average_baselines": ["x"]})),
            "`average_baselines` needs `average_over`"
        );
        assert_eq!(misfit(json!({"contrasts": ["x over y"]})), "`contrasts` needs `average_over`");
        let averaged = json!({
            "average_over": "p", "average_baselines": ["x"], "contrasts": ["y - x"],
        });
        assert_eq!(misfit(averaged), "`y - x` is no contrast");
    }

    /// Seed 0 has three responses with facts, seed 1 two; each seed weighs the same.
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
            let judged = test_support::judged(&[
                ("people", "Ann", "test", ann),
                ("people", "Bo", "test", bo),
            ]);
            let given = [
                ("responses", judged.path()),
                ("claims", judged.path()),
                ("verdicts", judged.path()),
            ];
            let output = folder.path().join(label);
            Trial::new(&given, json!({})).run(&score::KIND, &output, score::run).unwrap();
            inputs.push(InputPath {
                name: "scores".to_owned(),
                path: output,
                cell: Some(Cell::parse(label)),
            });
        }
        Trial { inputs, ..Trial::new(&[], json!({"baseline": "before"})) }
            .run(&KIND, folder.path(), run)
            .unwrap();
        let comparison: Comparison =
            serde_json::from_slice(&std::fs::read(folder.path().join("comparison.json")).unwrap())
                .unwrap();
        let precision = |arm: &str| {
            comparison
                .rows
                .iter()
                .find(|row| (row.arm.as_str(), row.measure) == (arm, MeasureName::Precision))
                .unwrap()
        };
        // Before: 0.5, 0 and 0.8 for seed 0, 0.2 and 0 for seed 1. After: 1, 0.5 and 0.8, then 0.6
        // and 0.5.
        let (before, after) = ([1.3 / 3.0, 0.1], [2.3 / 3.0, 0.55]);
        assert!(
            (precision("before").mean - (before[0] + before[1]) / 2.0).abs() < 1e-12,
            "{}",
            precision("before").mean
        );
        assert!(
            (precision("after").mean - (after[0] + after[1]) / 2.0).abs() < 1e-12,
            "{}",
            precision("after").mean
        );
        // Differences are paired by prompt: Ann +0.5 and Bo 0 for seed 0, Ann +0.4 and Bo +0.5 for
        // seed 1.
        let difference = precision("after").difference.unwrap();
        assert!((difference - (0.25 + 0.45) / 2.0).abs() < 1e-12, "{difference}");
    }
}
