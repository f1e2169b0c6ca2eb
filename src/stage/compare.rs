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
