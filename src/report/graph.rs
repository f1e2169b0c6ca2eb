//! The graph of the recipe's stages, drawn in layers from the sources.

use std::collections::{BTreeMap, BTreeSet};

use maud::{Markup, html};

use super::{
    history::{History, StageEnding},
    words::duration,
};
use crate::diagnostic::counted;

const BOX: (f64, f64) = (190.0, 40.0);
const GAP: (f64, f64) = (46.0, 14.0);
/// Larger graphs are less readable than the table below.
const MOST_STAGES: usize = 120;

/// A stage of the recipe with all its cells.
struct DrawnStage<'a> {
    name: &'a str,
    kind: &'a str,
    cells: usize,
    /// The worst of its cells.
    ending: StageEnding,
    seconds: f64,
    /// Places of the stages that it reads.
    needs: BTreeSet<usize>,
}

/// The drawing, unless the recipe is too large.
pub(super) fn graph(history: &History) -> Markup {
    let nodes = nodes(history);
    if nodes.len() > MOST_STAGES {
        return html! { p { "The recipe has " (nodes.len()) " stages: too many to draw." } };
    }
    let places = places(&nodes);
    let width = places.iter().map(|(x, _)| x + BOX.0).fold(0.0, f64::max) + 4.0;
    let height = places.iter().map(|(_, y)| y + BOX.1).fold(0.0, f64::max) + 4.0;
    let edges = nodes.iter().enumerate();
    let edges = edges.flat_map(|(to, node)| node.needs.iter().map(move |from| (*from, to)));
    html! {
        div.graph {
            svg viewBox=(format!("0 0 {width} \
            {height}")) style=(format!("width:{width}px")) role="img"
                aria-label="the graph of stages" {
                @for (from, to) in edges { path d=(edge(places[from], places[to])) class="edge" {} }
                @for (node, (x, y)) in nodes.iter().zip(&places) { (drawn(node, *x, *y)) }
            }
        }
    }
}

/// The stages of the recipe in topological order.
fn nodes(history: &History) -> Vec<DrawnStage<'_>> {
    let mut nodes: Vec<DrawnStage<'_>> = Vec::new();
    let mut by_stage: BTreeMap<&str, usize> = BTreeMap::new();
    let mut by_cell: BTreeMap<&str, usize> = BTreeMap::new();
    for stage in &history.stages {
        let name = stage.cell.stage.as_str();
        let place = *by_stage.entry(name).or_insert(nodes.len());
        if place == nodes.len() {
            let (kind, ending) = (stage.outline.kind.as_str(), stage.outcome);
            let needs = BTreeSet::new();
            nodes.push(DrawnStage { name, kind, cells: 0, ending, seconds: 0.0, needs });
        }
        by_cell.insert(stage.name(), place);
        let node = &mut nodes[place];
        node.cells += 1;
        node.seconds += stage.seconds;
        if rank(stage.outcome) < rank(node.ending) {
            node.ending = stage.outcome;
        }
        let needs = stage.outline.needs.iter().filter_map(|need| by_cell.get(need.as_str()));
        node.needs.extend(needs.filter(|need| **need != place));
    }
    nodes
}

/// What is told of a stage whose cells ended differently.
fn rank(ending: StageEnding) -> usize {
    match ending {
        StageEnding::Failed => 0,
        StageEnding::Interrupted | StageEnding::Skipped => 1,
        StageEnding::Running | StageEnding::Waiting => 2,
        StageEnding::Ran => 3,
        StageEnding::Cached => 4,
    }
}

/// Upper left corner of each stage's box: the column is the longest path to it, the row its order
/// there.
fn places(nodes: &[DrawnStage<'_>]) -> Vec<(f64, f64)> {
    let mut layers: Vec<usize> = Vec::new();
    let mut filled: BTreeMap<usize, usize> = BTreeMap::new();
    let mut places = Vec::new();
    for (index, node) in nodes.iter().enumerate() {
        // Topological order: all inputs have their layer already.
        let needs = node.needs.iter().filter(|need| **need < index);
        let layer = needs.map(|need| layers[*need]).max().map_or(0, |layer| layer + 1);
        layers.push(layer);
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

fn drawn(node: &DrawnStage<'_>, x: f64, y: f64) -> Markup {
    // The box holds about 27 letters.
    let shown = match node.name.chars().count() {
        0..=27 => node.name.to_owned(),
        _ => format!("{}…", node.name.chars().take(26).collect::<String>()),
    };
    let cells = if node.cells == 1 { String::new() } else { format!(" × {}", node.cells) };
    let state = match node.ending {
        StageEnding::Ran => duration(node.seconds),
        ending => ending.word().to_owned(),
    };
    html! {
        g class=(node.ending.word()) {
            title {
                (node.name) ": " (counted(node.cells, "cell")) ", " (node.ending.word())
            }
            rect x=(x) y=(y) width=(BOX.0) height=(BOX.1) rx="5" {}
            text x=(x + 8.0) y=(y + 17.0) { (shown) }
            text.small x=(x + 8.0) y=(y + 32.0) { (node.kind) (cells) " · " (state) }
        }
    }
}
