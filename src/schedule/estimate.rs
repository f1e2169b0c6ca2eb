//! Estimates of time and disk space of stages before they run, from finished attempts.
//!
//! The nearest attempts are those on this machine, and of them those whose parameters differ least.
//! Their seconds are scaled by the sizes of the inputs and by the parameters that multiply the
//! work, their bytes by the input whose size is nearest to that of the artifact.

use std::collections::BTreeMap;

use petgraph::graph::NodeIndex;

use super::{
    past::{Past, PastStage},
    slots::Machine,
    survey::{Survey, SurveyState, Surveyed},
};
use crate::{
    plan::{InputSource, Plan, PlannedStage},
    preflight::Effort,
};

/// Attempts that an estimate rests on, at most.
const MOST: usize = 5;

/// Estimate of a stage.
#[derive(Clone, Debug)]
pub struct StageEstimate {
    /// Seconds of one attempt.
    pub seconds: f64,
    /// Bytes of the artifact.
    pub bytes: f64,
    /// What it rests on.
    pub basis: String,
    /// How much larger the artifact is than those it rests on.
    growth: f64,
}

/// Estimates of all stages of a survey that are not cached; none for kinds that never ran.
pub fn estimates(
    plan: &Plan,
    survey: &Survey,
    past: &Past,
    machine: &Machine,
) -> BTreeMap<NodeIndex, StageEstimate> {
    let mut found: BTreeMap<NodeIndex, StageEstimate> = BTreeMap::new();
    let open = survey.stages.iter().filter(|surveyed| surveyed.state != SurveyState::Cached);
    // In plan order, so that what a stage reads is estimated before it.
    for surveyed in open {
        let stage = &plan.graph[surveyed.node];
        let known = past.0.get(stage.kind.name).map_or(&[][..], Vec::as_slice);
        let here = machine.label(stage);
        if let Some(nearest) = Nearby::of(stage, known, &here) {
            let growth = growth_of_inputs(stage, &found);
            found.insert(surveyed.node, nearest.estimate(stage, surveyed, &growth));
        }
    }
    found
}

/// By how much inputs that do not exist yet will be larger than usual, by name.
fn growth_of_inputs(
    stage: &PlannedStage,
    found: &BTreeMap<NodeIndex, StageEstimate>,
) -> BTreeMap<String, f64> {
    let made = stage.inputs.iter().filter_map(|input| match &input.source {
        InputSource::Stage(need) => Some((input.name.to_owned(), found.get(need)?.growth)),
        InputSource::Path(_) => None,
    });
    made.collect()
}

/// The nearest finished attempts of a kind.
struct Nearby<'a> {
    stages: Vec<&'a PastStage>,
    is_here: bool,
    /// Parameters in which they differ from the stage.
    differing: Option<usize>,
}

impl<'a> Nearby<'a> {
    fn of(stage: &PlannedStage, known: &'a [PastStage], here: &str) -> Option<Self> {
        let is_here = known.iter().any(|past| past.cost.machine == here);
        let near = known.iter().filter(|past| !is_here || past.cost.machine == here);
        let mut near: Vec<((usize, bool), &PastStage)> =
            near.map(|past| ((differing(stage, past), past.stage != stage.stage), past)).collect();
        // Stable: of equally near ones the newest come first.
        near.sort_by_key(|(distance, _)| *distance);
        let least = near.first()?.0;
        let stages = near.into_iter().filter(|(distance, _)| *distance == least);
        let stages = stages.map(|(_, past)| past).take(MOST).collect();
        Some(Self { stages, is_here, differing: (least.0 < usize::MAX).then_some(least.0) })
    }

    fn estimate(
        &self,
        stage: &PlannedStage,
        surveyed: &Surveyed,
        growth: &BTreeMap<String, f64>,
    ) -> StageEstimate {
        let ratio = |past: &PastStage, name: &str| match (
            surveyed.sizes.get(name),
            past.cost.inputs.get(name),
        ) {
            (Some(now), Some(then)) if *then > 0 => *now as f64 / *then as f64,
            // An input that does not exist yet is as much larger as its own estimate.
            _ => growth.get(name).copied().unwrap_or(1.0),
        };
        let effort = Effort::of(stage.kind.name, &stage.parameters);
        let seconds = self.stages.iter().map(|past| {
            let counted = past.cost.inputs.keys().filter(|name| {
                effort.sized_by.is_none_or(|sized_by| sized_by.contains(&name.as_str()))
            });
            let sizes: f64 = counted.map(|name| ratio(past, name)).product();
            let work = past.parameters.as_ref().map_or(1.0, |parameters| {
                effort.amount / Effort::of(stage.kind.name, parameters).amount
            });
            past.seconds * sizes * work
        });
        // A tuned model is as large as its base model, and responses grow with their prompts.
        let growths = self.stages.iter().map(|past| {
            let alike = past.cost.inputs.iter().min_by(|(_, one), (_, other)| {
                let distance =
                    |size: u64| (size.max(1) as f64 / past.cost.bytes.max(1) as f64).ln().abs();
                distance(**one).total_cmp(&distance(**other))
            });
            alike.map_or(1.0, |(name, _)| ratio(past, name))
        });
        let growth = median(growths.collect());
        let bytes = self.stages.iter().map(|past| past.cost.bytes as f64).collect();
        StageEstimate {
            seconds: median(seconds.collect()),
            bytes: median(bytes) * growth,
            basis: self.basis(stage),
            growth,
        }
    }

    /// `from 3 runs of `tune` on this machine, with 1 other parameter, by size`.
    fn basis(&self, stage: &PlannedStage) -> String {
        let kind = stage.kind.name;
        let runs = match self.stages.len() {
            1 => format!("the last run of `{kind}`"),
            count => format!("{count} runs of `{kind}`"),
        };
        let place = match self.is_here {
            true => "on this machine".to_owned(),
            false => format!("on another machine ({})", self.stages[0].cost.machine),
        };
        let differing = match self.differing {
            Some(0) => String::new(),
            Some(1) => ", with 1 other parameter".to_owned(),
            Some(count) => format!(", with {count} other parameters"),
            None => ", with unknown parameters".to_owned(),
        };
        format!("{runs} {place}{differing}, by size")
    }
}

/// Number of parameters in which a finished attempt differs.
fn differing(stage: &PlannedStage, past: &PastStage) -> usize {
    let Some(parameters) = &past.parameters else { return usize::MAX };
    let differs = |name: &&String| stage.parameters.get(*name) != parameters.get(*name);
    parameters.keys().filter(differs).count()
}

fn median(mut values: Vec<f64>) -> f64 {
    // Not the mean: one attempt on a busy machine takes several times as long.
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    match values.len() % 2 {
        0 if middle > 0 => (values[middle - 1] + values[middle]) / 2.0,
        _ => values.get(middle).copied().unwrap_or(0.0),
    }
}
