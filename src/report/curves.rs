//! What training measured, as curves.

use std::path::Path;

use maud::{Markup, html};
use serde_json::Value;

use super::{
    chart::{self, Line},
    history::History,
};
use crate::language::json_lines;

/// The curves worth a look: title, and the names under which `metrics.jsonl` has them.
const CURVES: &[(&str, &[&str])] = &[
    ("loss", &["loss"]),
    ("rewards", &["rewards/chosen", "rewards/rejected", "rewards/margins"]),
    ("share of pairs whose chosen answer has the higher reward", &["rewards/accuracies"]),
    ("log-probabilities of the answers", &["logps/chosen", "logps/rejected"]),
    ("gradient norm", &["grad_norm"]),
];

/// A section for each stage that left metrics.
pub(super) fn curves(history: &History) -> Markup {
    let trained = history.stages.iter().filter_map(|stage| {
        let file = stage.artifact.as_ref()?.join("metrics.jsonl");
        file.is_file().then_some((stage.outline.name.as_str(), file))
    });
    html! {
        @for (name, file) in trained {
            details open[history.stages.len() < 40] {
                summary { code { (name) } }
                div.charts { (charts(&file)) }
            }
        }
    }
}

fn charts(file: &Path) -> Markup {
    let rows: Vec<Value> = match json_lines::read(file) {
        Ok(rows) => rows,
        Err(error) => return html! { p.failed { (error) } },
    };
    let line = |name: &&str| -> Option<Line> {
        let points: Vec<(f64, f64)> =
            rows.iter().filter_map(|row| Some((row["step"].as_f64()?, row[*name].as_f64()?))).collect();
        (!points.is_empty()).then(|| Line { name: (*name).to_owned(), points: smooth(&points) })
    };
    html! {
        @for (title, names) in CURVES {
            @let lines: Vec<Line> = names.iter().filter_map(line).collect();
            @if !lines.is_empty() { (chart::lines(&format!("{title}, by step"), &lines)) }
        }
    }
}

/// At most 200 points, each the mean of its neighbours: a curve, not a hedge.
fn smooth(points: &[(f64, f64)]) -> Vec<(f64, f64)> {
    let size = points.len().div_ceil(200);
    let mean = |window: &[(f64, f64)]| {
        let count = window.len() as f64;
        let sum = window.iter().fold((0.0, 0.0), |sum, point| (sum.0 + point.0, sum.1 + point.1));
        (sum.0 / count, sum.1 / count)
    };
    points.chunks(size).map(mean).collect()
}
