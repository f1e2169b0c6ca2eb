//! The order of units: each after what it needs, and which of them need each other in a circle.

use std::collections::{BTreeMap, BTreeSet};

use petgraph::{
    algo::kosaraju_scc,
    graph::{DiGraph, NodeIndex},
};

use super::{
    settle::{Settlement, Target},
    unit::Units,
};
use crate::diagnostic::{Problem, Problems, Span};

/// For each unit the units that it can refer to, with the place of the first reference.
type Needs = Vec<BTreeMap<usize, Option<Span>>>;

/// The indices of all units, each after everything that it can refer to; ties in the order of the recipe.
pub(super) fn order_units(units: &Units<'_>, settlements: &[Settlement], problems: &mut Problems) -> Vec<usize> {
    let mut needs: Needs = vec![BTreeMap::new(); units.list.len()];
    for (index, settlement) in settlements.iter().enumerate() {
        for link in settlement.by_cell.values().flat_map(|settled| &settled.links) {
            if let Target::Unit(target) = link.target {
                needs[index].entry(target).or_insert_with(|| link.span.clone());
            }
        }
    }
    let mut order = Vec::new();
    let mut waiting: Vec<usize> = needs.iter().map(BTreeMap::len).collect();
    let mut ready: BTreeSet<usize> = (0..needs.len()).filter(|index| waiting[*index] == 0).collect();
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
    // What only waits for a circle is in none itself.
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

/// So many stages of a circle are shown.
const SHOWN: usize = 24;

/// The shortest way from a unit back to itself, if there is one.
fn circle_from(start: usize, needs: &Needs) -> Option<Vec<usize>> {
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

fn describe(circle: &[usize], needs: &Needs, units: &Units<'_>) -> Problem {
    let name = |index: &usize| &*units.list[*index].name;
    let mut path: Vec<&str> = circle.iter().take(SHOWN).map(name).collect();
    if circle.len() > SHOWN {
        path.push("...");
    }
    path.push(name(&circle[0]));
    let mut problem = Problem::error(format!("these stages need each other in a circle: {}", path.join(" -> ")));
    for (position, index) in circle.iter().enumerate().take(SHOWN) {
        let next = &circle[(position + 1) % circle.len()];
        let label = format!("`{}` needs `{}`", name(index), name(next));
        let Some(span) = &needs[*index][next] else { continue };
        problem = match problem.span {
            None => problem.at(span, label),
            Some(_) => problem.beside(span, label),
        };
    }
    problem.help("one of them must read something else: another stage, or { path = \"...\" }")
}
