//! Topological order of units, and detection of cycles.

use std::collections::{BTreeMap, BTreeSet};

use petgraph::{
    algo::kosaraju_scc,
    graph::{DiGraph, NodeIndex},
};

use super::{
    resolve::{ResolvedStage, Target},
    unit::Units,
};
use crate::diagnostic::{Problem, Problems, Span};

/// The units that each unit may refer to, with the span of the first reference.
type References = Vec<BTreeMap<usize, Option<Span>>>;

/// Indices of all units in topological order; ties in the order of the recipe.
pub(super) fn order_units(
    units: &Units<'_>,
    resolved_stages: &[ResolvedStage],
    problems: &mut Problems,
) -> Vec<usize> {
    let mut needs: References = vec![BTreeMap::new(); units.list.len()];
    for (index, resolved_stage) in resolved_stages.iter().enumerate() {
        for link in resolved_stage.cells().flat_map(|resolved| &resolved.links) {
            if let Target::Unit(target) = link.target {
                needs[index].entry(target).or_insert_with(|| link.span.clone());
            }
        }
    }
    // petgraph's toposort breaks ties by its traversal; plans and pages show the recipe's order.
    let mut order = Vec::new();
    let mut waiting: Vec<usize> = needs.iter().map(BTreeMap::len).collect();
    let mut ready: BTreeSet<usize> =
        (0..needs.len()).filter(|index| waiting[*index] == 0).collect();
    let mut needed_by: Vec<Vec<usize>> = vec![Vec::new(); needs.len()];
    for (index, needs) in needs.iter().enumerate() {
        needs.keys().for_each(|needed| needed_by[*needed].push(index));
    }
    while let Some(index) = ready.pop_first() {
        order.push(index);
        for next in &needed_by[index] {
            waiting[*next] -= 1;
            if waiting[*next] == 0 {
                ready.insert(*next);
            }
        }
    }
    if order.len() == needs.len() {
        return order;
    }
    // Units that only depend on a cycle are not part of it.
    let mut graph = DiGraph::<(), ()>::new();
    let nodes: Vec<NodeIndex> = needs.iter().map(|_| graph.add_node(())).collect();
    for (index, needs) in needs.iter().enumerate() {
        graph.extend_with_edges(needs.keys().map(|needed| (nodes[index], nodes[*needed])));
    }
    let mut starts: Vec<usize> = kosaraju_scc(&graph)
        .iter()
        .filter(|together| together.len() > 1)
        .filter_map(|together| together.iter().map(|node| node.index()).min())
        .collect();
    starts.sort_unstable();
    for circle in starts.iter().filter_map(|start| circle_from(*start, &needs)) {
        problems.push(describe(&circle, &needs, units));
    }
    order
}

/// Maximum number of stages of a cycle that are shown.
const SHOWN: usize = 24;

/// The shortest path from a unit back to itself, if any.
fn circle_from(start: usize, needs: &References) -> Option<Vec<usize>> {
    let mut came_from: BTreeMap<usize, usize> = BTreeMap::new();
    let mut queue = std::collections::VecDeque::from([start]);
    while let Some(unit) = queue.pop_front() {
        for needed in needs[unit].keys() {
            if *needed == start {
                let mut circle = vec![unit];
                while let Some(before) = circle.last().filter(|last| **last != start) {
                    circle.push(came_from[before]);
                }
                circle.reverse();
                return Some(circle);
            }
            came_from.entry(*needed).or_insert_with(|| {
                queue.push_back(*needed);
                unit
            });
        }
    }
    None
}

fn describe(circle: &[usize], needs: &References, units: &Units<'_>) -> Problem {
    let mut path: Vec<&str> =
        circle.iter().take(SHOWN).map(|index| &*units.list[*index].name).collect();
    if circle.len() > SHOWN {
        path.push("...");
    }
    path.push(&units.list[circle[0]].name);
    let mut problem = Problem::error(format!("these stages form a cycle: {}", path.join(" -> ")));
    for (position, index) in circle.iter().enumerate().take(SHOWN) {
        let next = &circle[(position + 1) % circle.len()];
        let [one, other] = [index, next].map(|index| &units.list[*index].name);
        let label = format!("`{one}` needs `{other}`");
        let Some(span) = &needs[*index][next] else { continue };
        problem = match problem.span {
            None => problem.at(span, label),
            Some(_) => problem.beside(span, label),
        };
    }
    problem.help("one of them must read something else: another stage, or { path = \"...\" }")
}
