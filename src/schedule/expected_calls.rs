//! The calls to endpoints that stages of a survey would make.

use std::{collections::BTreeMap, sync::Arc};

use petgraph::graph::NodeIndex;
use serde::Deserialize;

use super::survey::{Survey, SurveyState, Surveyed};
use crate::{
    context::{Context, InputPath},
    endpoint::{Expected, NamedEndpoint, expected},
    plan::{InputSource, Plan, PlannedStage},
    seed::Seed,
    stage,
    store::Store,
};

/// The calls of a stage.
#[derive(Debug)]
pub struct StageCalls {
    /// NAME of `[endpoint.NAME]`.
    pub endpoint: String,
    /// Its model.
    pub model: String,
    /// What they need, or why nobody knows yet.
    pub expected: Result<Expected, String>,
}

/// The calls of all stages of a survey that are not cached and ask an endpoint. Those of a stage
/// whose inputs do not exist are not known.
pub fn expected_calls(
    plan: &Plan,
    survey: &Survey,
    store: &Store,
) -> BTreeMap<NodeIndex, StageCalls> {
    let open = survey.stages.iter().filter(|surveyed| surveyed.state != SurveyState::Cached);
    let calls = open.filter_map(|surveyed| {
        let named = endpoint_of(&plan.graph[surveyed.node])?;
        let expected = match surveyed.state {
            SurveyState::Ready => calls_of(plan, survey, surveyed, store, &named),
            _ => Err("their number is known once its inputs exist".to_owned()),
        };
        let NamedEndpoint { name: endpoint, table } = named;
        Some((surveyed.node, StageCalls { endpoint, model: table.model, expected }))
    });
    calls.collect()
}

/// The endpoint that a stage asks.
fn endpoint_of(stage: &PlannedStage) -> Option<NamedEndpoint> {
    if !stage::asks_endpoint(stage.kind.name, &stage.parameters) {
        return None;
    }
    stage.parameters.values().find_map(|value| NamedEndpoint::deserialize(value).ok())
}

fn calls_of(
    plan: &Plan,
    survey: &Survey,
    surveyed: &Surveyed,
    store: &Store,
    named: &NamedEndpoint,
) -> Result<Expected, String> {
    let stage = &plan.graph[surveyed.node];
    let folder = |need: NodeIndex| {
        let made = survey.stages.iter().find(|other| other.node == need)?;
        made.artifact.as_ref().map(|artifact| artifact.files())
    };
    let inputs = stage.inputs.iter().map(|input| {
        let path = match &input.source {
            InputSource::Path(path) => Some(path.clone()),
            InputSource::Stage(need) => folder(*need),
        };
        Some(InputPath { name: input.name.to_owned(), path: path?, cell: input.cell.clone() })
    });
    let inputs: Option<Vec<InputPath>> = inputs.collect();
    let context = Context {
        parameters: stage.parameters.clone().into_iter().collect(),
        inputs: inputs.ok_or("an input is missing")?,
        output: Default::default(),
        checkpoint: Default::default(),
        store: store.root().to_owned(),
        seed: Seed::root(stage.seed.unwrap_or(0)),
        device: stage.device.unwrap_or_default(),
        // Calls are only counted, so the notes of a running stage would mislead.
        report: Arc::new(|_| ()),
    };
    let calls = stage::endpoint_calls(stage.kind.name, &context).map_err(|error| error.0)?;
    expected(named, store.root(), &calls).map_err(|error| error.to_string())
}
