//! The calls to endpoints that stages of a survey would make.

use std::{collections::BTreeMap, path::PathBuf, sync::Arc};

use petgraph::graph::NodeIndex;
use serde::Deserialize;

use super::{
    input_checks::outlook,
    survey::{Survey, SurveyState},
};
use crate::{
    context::{Context, InputPath},
    endpoint::{Expected, NamedEndpoint, expected, usual_cost},
    plan::{InputSource, Plan, PlannedStage},
    preflight::{Forecast, Outlook},
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
    /// How many there are.
    pub number: CallNumber,
}

/// How many calls a stage makes.
#[derive(Debug)]
pub enum CallNumber {
    /// They were counted.
    Counted(Expected),
    /// About how many, since an input does not exist yet.
    About {
        /// The number.
        calls: u64,
        /// What it rests on: `800 prompts × 4 responses × 7 sentences`.
        basis: String,
        /// Their cost, by calls of usual length; none without prices.
        cost: Option<f64>,
    },
    /// Why nobody knows.
    Unknown(String),
}

/// The calls of all stages of a survey that are not cached and ask an endpoint.
pub fn expected_calls(
    plan: &Plan,
    survey: &Survey,
    store: &Store,
) -> BTreeMap<NodeIndex, StageCalls> {
    let counter = CallCounter { plan, store, folders: survey.folders() };
    let open = survey.stages.iter().filter(|surveyed| surveyed.state != SurveyState::Cached);
    let calls = open.filter_map(|surveyed| {
        let named = endpoint_of(&plan.graph[surveyed.node])?;
        let number = match surveyed.state {
            SurveyState::Ready => counter.count(surveyed.node, &named).map(CallNumber::Counted),
            _ => counter.forecast(surveyed.node, &named),
        };
        let NamedEndpoint { name: endpoint, table } = named;
        let number = number.unwrap_or_else(CallNumber::Unknown);
        Some((surveyed.node, StageCalls { endpoint, model: table.model, number }))
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

/// Counts calls before they are made.
struct CallCounter<'a> {
    plan: &'a Plan,
    store: &'a Store,
    /// Of the stages with an artifact.
    folders: BTreeMap<NodeIndex, PathBuf>,
}

impl CallCounter<'_> {
    /// The calls of a stage whose inputs exist.
    fn count(&self, node: NodeIndex, named: &NamedEndpoint) -> Result<Expected, String> {
        let stage = &self.plan.graph[node];
        let calls = stage::endpoint_calls(stage.kind.name, &self.context(stage));
        let calls = calls.map_err(|error| error.0)?;
        expected(named, self.store.root(), &calls).map_err(|error| error.to_string())
    }

    /// The calls of a stage of which an input is missing.
    fn forecast(&self, node: NodeIndex, named: &NamedEndpoint) -> Result<CallNumber, String> {
        let stage = &self.plan.graph[node];
        let foreseen = outlook(self.plan, node, &Outlook::COUNTED, &self.folders);
        let Forecast { number, basis } = foreseen.asked_items()?;
        let usual = stage::usual_calls(stage.kind.name, &self.context(stage));
        let each = usual_cost(&named.table, &usual.map_err(|error| error.0)?);
        let cost = each.map(|each| each * number);
        Ok(CallNumber::About { calls: number.round() as u64, basis, cost })
    }

    /// The context of an attempt with those inputs that exist.
    fn context(&self, stage: &PlannedStage) -> Context {
        let inputs = stage.inputs.iter().filter_map(|input| {
            let path = match &input.source {
                InputSource::Path(path) => path,
                InputSource::Stage(need) => self.folders.get(need)?,
            };
            let (name, path) = (input.name.to_owned(), path.clone());
            Some(InputPath { name, path, cell: input.cell.as_deref().cloned() })
        });
        Context {
            parameters: (*stage.parameters).clone().into_iter().collect(),
            inputs: inputs.collect(),
            output: Default::default(),
            checkpoint: Default::default(),
            store: self.store.root().to_owned(),
            seed: Seed::root(stage.seed.unwrap_or(0)),
            device: stage.device.unwrap_or_default(),
            // Calls are only counted, so the notes of a running stage would mislead.
            report: Arc::new(|_| ()),
        }
    }
}
