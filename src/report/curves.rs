//! Training curves.

use std::path::{Path, PathBuf};

use maud::{Markup, html};
use serde_json::Value;

use super::{
    chart::{self, Curve},
    history::History,
};
use crate::rows::json_lines;

/// Plotted curves: title, and the metrics in `metrics.jsonl`.
const CURVES: &[(&str, &[&str])] = &[
    ("loss", &["loss"]),
    ("rewards", &["rewards/chosen", "rewards/rejected", "rewards/margins"]),
    ("share of pairs whose chosen completion has the higher reward", &["rewards/accuracies"]),
    ("log-probabilities of the completions", &["logps/chosen", "logps/rejected"]),
    ("gradient norm", &["grad_norm"]),
];

/// Maximum number of stages whose curves are drawn, each in some 20 kB.
const MOST_DRAWN: usize = 100;

/// A section for each stage with metrics.
pub(super) fn curves(history: &History) -> Markup {
    let trained = history
        .stages
        .iter()
        .filter_map(|stage| Some((stage.outline.name.as_str(), stage.file("metrics.jsonl")?)));
    let trained: Vec<(&str, PathBuf)> = trained.collect();
    html! {
        @if trained.len() > MOST_DRAWN {
            p { "The curves of " (MOST_DRAWN) " of " (trained.len()) " stages; the others are in "
            code { "metrics.jsonl" } " of their artifacts." }
        }
        @for (name, file) in trained.iter().take(MOST_DRAWN) {
            // Dozens of drawn charts make a page slow.
            details open[history.stages.len() < 40] {
                summary { code { (name) } }
                div.charts { (charts(file)) }
            }
        }
    }
}

fn charts(file: &Path) -> Markup {
    let rows: Vec<Value> = match json_lines::read(file) {
        Ok(rows) => rows,
        Err(error) => return html! { p.failed { (error) } },
    };
    html! {
        @for (title, names) in CURVES {
            @let lines: Vec<Curve> = names.iter().filter_map(|name| curve(&rows, name)).collect();
            @if !lines.is_empty() { (chart::lines(&format!("{title}, by step"), &lines)) }
        }
    }
}

/// A metric by step; none if it was not measured.
fn curve(rows: &[Value], name: &str) -> Option<Curve> {
    let points: Vec<(f64, f64)> =
        rows.iter().filter_map(|row| Some((row["step"].as_f64()?, row[name].as_f64()?))).collect();
    (!points.is_empty()).then(|| Curve { name: name.to_owned(), points: smooth(&points) })
}

/// At most 200 points, each the mean of its neighbours.
fn smooth(points: &[(f64, f64)]) -> Vec<(f64, f64)> {
    // More points than pixels make the page large and the curve a band.
    points.chunks(points.len().div_ceil(200)).map(mean).collect()
}

fn mean(points: &[(f64, f64)]) -> (f64, f64) {
    let count = points.len() as f64;
    let sum = points.iter().fold((0.0, 0.0), |sum, point| (sum.0 + point.0, sum.1 + point.1));
    (sum.0 / count, sum.1 / count)
}
