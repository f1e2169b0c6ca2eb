//! Cost of each arm: seconds, rows, steps and tokens of tuning.

use std::{
    collections::BTreeMap,
    fs::File,
    io::{BufRead, BufReader},
    path::Path,
};

use maud::{Markup, html};
use serde_json::Value;

use super::history::{History, StageHistory};
use crate::rows::json_lines;

/// Tunings that differ only in the seed; figures are means over the known ones.
struct Cost<'a> {
    arm: String,
    stages: Vec<&'a StageHistory>,
}

/// A row for each tuned arm.
pub(super) fn cost(history: &History) -> Markup {
    let mut costs: Vec<Cost> = Vec::new();
    let mut places: BTreeMap<String, usize> = BTreeMap::new();
    for stage in history.stages.iter().filter(|stage| stage.outline.kind == "tune") {
        let arm = stage.cell.arm();
        let place = *places.entry(arm.clone()).or_insert(costs.len());
        match costs.get_mut(place) {
            Some(cost) => cost.stages.push(stage),
            None => costs.push(Cost { arm, stages: vec![stage] }),
        }
    }
    if costs.is_empty() {
        return html! { p { "Nothing was tuned in this run." } };
    }
    html! {
        p { "Means over seeds. Seconds are those of the attempt that made the model, also for \
        cached models; tokens count every epoch." }
        table {
            thead { tr {
                th { "arm" } th { "seeds" } th { "seconds" }
                th { "rows" } th { "steps" } th { "tokens" }
            } }
            tbody {
                @for Cost { arm, stages } in &costs {
                    tr {
                        td { code { (arm) } }
                        td { (stages.len()) }
                        td { (mean(stages, seconds)) }
                        td { (mean(stages, |stage| rows(history, stage))) }
                        td { (mean(stages, |stage| last(stage, "step"))) }
                        td { (mean(stages, |stage| last(stage, "num_tokens"))) }
                    }
                }
            }
        }
    }
}

/// Seconds of a stage; a cached one may not know them.
fn seconds(stage: &StageHistory) -> Option<f64> {
    Some(stage.seconds).filter(|seconds| *seconds > 0.0)
}

fn mean(stages: &[&StageHistory], value: impl Fn(&StageHistory) -> Option<f64>) -> String {
    let known: Vec<f64> = stages.iter().filter_map(|stage| value(stage)).collect();
    // Cached models of runs whose journals are gone have no known time.
    if known.is_empty() {
        return "–".to_owned();
    }
    let mean = known.iter().sum::<f64>() / known.len() as f64;
    if mean < 100.0 && mean.fract() > 0.0 { format!("{mean:.1}") } else { format!("{mean:.0}") }
}

/// Number of rows of the preference data, if another stage made them.
fn rows(history: &History, stage: &StageHistory) -> Option<f64> {
    let needed = history.needed(stage, "pairs.jsonl")?;
    let file = File::open(needed.artifact.as_ref()?.join("pairs.jsonl")).ok()?;
    // Counted, not parsed: pairs may be gigabytes.
    Some(BufReader::new(file).lines().count() as f64)
}

fn last(stage: &StageHistory, name: &str) -> Option<f64> {
    let file = stage.artifact.as_deref().map(|folder: &Path| folder.join("metrics.jsonl"))?;
    json_lines::lines::<Value>(&file).ok()?.last()?.ok()?.row[name].as_f64()
}
