//! The memory that stages of a survey would need.

use std::collections::BTreeMap;

use petgraph::graph::NodeIndex;

use super::{
    input_checks::outlook,
    survey::{Survey, SurveyState},
};
use crate::{
    plan::Plan,
    preflight::{Outlook, StageMemory, TextSizes},
};

/// The memory that each stage of a survey needs that is not cached and runs a model, or why it is
/// unknown.
pub fn expected_memory(
    plan: &Plan,
    survey: &Survey,
) -> BTreeMap<NodeIndex, Result<StageMemory, String>> {
    let folders = survey.folders();
    let mut texts = TextSizes::default();
    let open = survey.stages.iter().filter(|surveyed| surveyed.state != SurveyState::Cached);
    let needs = open.filter_map(|surveyed| {
        let device = plan.graph[surveyed.node].device.unwrap_or_default().first();
        let foreseen = outlook(plan, surveyed.node, &Outlook::SIZED, &folders);
        Some((surveyed.node, foreseen.memory(device, &mut texts)?))
    });
    needs.collect()
}
