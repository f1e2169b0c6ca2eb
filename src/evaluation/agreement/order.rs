//! Systems in the order of their factual precision, by people and by the tool.

use serde::{Deserialize, Serialize};

use crate::seed::Seed;

use super::{
    compared::ComparedResponse,
    group::systems,
    rank::kendall,
    resample::{clusters, draws},
};

/// The order of systems by people and by the tool.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SystemOrder {
    /// The systems, the most precise by people first.
    pub systems: Vec<SystemPrecision>,
    /// Kendall's tau-b of both orders; none where all systems are equal.
    pub kendall: Option<f64>,
    /// Whether both orders are the same.
    pub is_same: bool,
    /// Share of draws of topics in which both orders are the same; none of a single topic.
    pub share_same: Option<f64>,
}

/// Factual precision of a system.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SystemPrecision {
    /// The system.
    pub system: String,
    /// Responses with facts by both.
    pub responses: usize,
    /// Mean precision by people.
    pub human: f64,
    /// Mean precision by the tool.
    pub tool: f64,
}

/// The order of the systems; none of a single one.
pub(super) fn order(
    all: &[&ComparedResponse],
    seed: &Seed,
    resamples: usize,
) -> Option<SystemOrder> {
    let names = systems(all);
    let mut systems = precisions(&names, all.iter().copied());
    if systems.len() < 2 {
        return None;
    }
    let clusters = clusters(all.iter().copied());
    let resamples = if clusters.len() > 1 { resamples } else { 0 };
    let (mut same, mut drawn_all) = (0, 0);
    for drawn in draws(seed, clusters.len(), resamples) {
        let responses = drawn.iter().flat_map(|topic| &clusters[*topic]).copied();
        let found = precisions(&names, responses);
        // A draw without a system has no order of all of them.
        if found.len() == systems.len() {
            drawn_all += 1;
            same += usize::from(is_same(&found));
        }
    }
    let kendall = kendall(&pairs(&systems));
    let is_same = is_same(&systems);
    systems.sort_by(|one, other| other.human.total_cmp(&one.human));
    let share_same = (drawn_all > 0).then(|| same as f64 / f64::from(drawn_all));
    Some(SystemOrder { systems, kendall, is_same, share_same })
}

fn pairs(systems: &[SystemPrecision]) -> Vec<[f64; 2]> {
    systems.iter().map(|system| [system.human, system.tool]).collect()
}

/// Whether each two systems differ in the same direction.
fn is_same(systems: &[SystemPrecision]) -> bool {
    let before = |one: &SystemPrecision, other: &SystemPrecision| {
        one.human.total_cmp(&other.human) == one.tool.total_cmp(&other.tool)
    };
    systems
        .iter()
        .enumerate()
        .all(|(index, one)| systems[index + 1..].iter().all(|other| before(one, other)))
}

/// Means over the responses of each system that have facts by people and by the tool.
fn precisions<'a>(
    names: &[&str],
    responses: impl IntoIterator<Item = &'a ComparedResponse>,
) -> Vec<SystemPrecision> {
    let mut sums = vec![(0, 0.0, 0.0); names.len()];
    for compared in responses {
        let response = &compared.response;
        let place = names.iter().position(|name| *name == response.system);
        if let (Some(place), Some(human), Some(tool)) =
            (place, response.human_precision, response.precision)
        {
            let (count, by_people, by_tool) = &mut sums[place];
            *count += 1;
            *by_people += human;
            *by_tool += tool;
        }
    }
    let found = names.iter().zip(sums).filter(|(_, (count, ..))| *count > 0);
    found
        .map(|(name, (count, human, tool))| SystemPrecision {
            system: (*name).to_owned(),
            responses: count,
            human: human / count as f64,
            tool: tool / count as f64,
        })
        .collect()
}
