//! The graph of stages, drawn in layers from the sources.

use std::collections::BTreeMap;

use maud::{Markup, html};

use super::history::{History, StageEnding, StageHistory};

const BOX: (f64, f64) = (170.0, 40.0);
const GAP: (f64, f64) = (46.0, 14.0);
/// Larger graphs are less readable than the table below.
const MOST_STAGES: usize = 120;

/// The drawing, unless the plan is too large.
pub(super) fn graph(history: &History) -> Markup {
    let stages = &history.stages;
    if stages.len() > MOST_STAGES {
        return html! { p { "The plan has " (stages.len()) " stages: too many to draw." } };
    }
    let places = places(stages);
    let width = places.iter().map(|(x, _)| x + BOX.0).fold(0.0, f64::max) + 4.0;
    let height = places.iter().map(|(_, y)| y + BOX.1).fold(0.0, f64::max) + 4.0;
    // Journals name the inputs of a stage.
    let by_name: BTreeMap<&str, usize> = stages
        .iter()
        .enumerate()
        .map(|(index, stage)| (stage.outline.name.as_str(), index))
        .collect();
    let edges = stages.iter().enumerate().flat_map(|(to, stage)| {
        stage
            .outline
            .needs
            .iter()
            .filter_map(|need| by_name.get(need.as_str()))
            .map(move |from| (*from, to))
    });
    html! {
        div.graph {
            svg viewBox=(format!("0 0 {width} \
            {height}")) style=(format!("width:{width}px")) role="img"
                aria-label="the graph of stages" {
                @for (from, to) in edges { path d=(edge(places[from], places[to])) class="edge" {} }
                @for (stage, (x, y)) in stages.iter().zip(&places) { (node(stage, *x, *y)) }
            }
        }
    }
}

/// Upper left corner of each stage's box: the column is the longest path to it, the row its order
/// there.
fn places(stages: &[StageHistory]) -> Vec<(f64, f64)> {
    let mut layers: BTreeMap<&str, usize> = BTreeMap::new();
    let mut filled: BTreeMap<usize, usize> = BTreeMap::new();
    let mut places = Vec::new();
    for stage in stages {
        // Topological order: all inputs have their layer already.
        let needs = stage.outline.needs.iter().filter_map(|need| layers.get(need.as_str()));
        let layer = needs.max().map_or(0, |layer| layer + 1);
        layers.insert(&stage.outline.name, layer);
        let row = filled.entry(layer).or_default();
        places.push((2.0 + layer as f64 * (BOX.0 + GAP.0), 2.0 + *row as f64 * (BOX.1 + GAP.1)));
        *row += 1;
    }
    places
}

fn edge(from: (f64, f64), to: (f64, f64)) -> String {
    let (x1, y1) = (from.0 + BOX.0, from.1 + BOX.1 / 2.0);
    let (x2, y2) = (to.0, to.1 + BOX.1 / 2.0);
    let middle = (x1 + x2) / 2.0;
    format!("M{x1},{y1} C{middle},{y1} {middle},{y2} {x2},{y2}")
}

fn node(stage: &StageHistory, x: f64, y: f64) -> Markup {
    let name = &stage.outline.name;
    // The box holds about 24 letters.
    let shown = match name.chars().count() {
        0..=24 => name.clone(),
        _ => format!("{}…", name.chars().take(23).collect::<String>()),
    };
    let state = match stage.outcome {
        StageEnding::Ran => format!("{} · {:.1} s", stage.outline.kind, stage.seconds),
        outcome => format!("{} · {}", stage.outline.kind, outcome.word()),
    };
    html! {
        g class=(stage.outcome.word()) {
            title { (name) ": " (stage.outcome.word()) }
            rect x=(x) y=(y) width=(BOX.0) height=(BOX.1) rx="5" {}
            text x=(x + 8.0) y=(y + 17.0) { (shown) }
            text.small x=(x + 8.0) y=(y + 32.0) { (state) }
        }
    }
}
