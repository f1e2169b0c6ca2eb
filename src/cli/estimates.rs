//! Estimated time and disk space of a plan, in words and as JSON.

use std::{collections::BTreeMap, path::PathBuf};

use indicatif::DecimalBytes;
use petgraph::graph::NodeIndex;
use serde_json::{Value, json};

use super::shared_args::duration;
use crate::{
    plan::Plan,
    schedule::{Machine, Past, StageEstimate, Survey, SurveyState, estimates},
    store::Store,
};

/// Estimates of the stages that would run.
pub(super) struct PlanEstimate {
    by_stage: BTreeMap<NodeIndex, StageEstimate>,
    /// Stages of kinds that never ran here.
    unknown: usize,
    /// Free bytes where the store is.
    free: Option<u64>,
}

impl PlanEstimate {
    /// Estimates from the runs in a folder and those of the store's other projects.
    pub(super) fn new(plan: &Plan, survey: &Survey, store: &Store, experiments: PathBuf) -> Self {
        let open = survey.stages.iter().filter(|stage| stage.state != SurveyState::Cached).count();
        // Also the runs of other projects: on a shared store they know the same machine. Reading
        // them may take longer than the plan, of which nothing may be left to do.
        let past = if open > 0 { Past::read(vec![experiments], store) } else { Past::default() };
        let by_stage = estimates(plan, survey, &past, &Machine::detect());
        Self { unknown: open - by_stage.len(), by_stage, free: store.free_bytes() }
    }

    /// Line of a stage.
    pub(super) fn of(&self, node: NodeIndex) -> Option<String> {
        let StageEstimate { seconds, bytes, basis, .. } = self.by_stage.get(&node)?;
        Some(format!("takes about {} and {}, from {basis}", duration(*seconds), size(*bytes)))
    }

    fn sums(&self) -> (f64, f64) {
        let all = self.by_stage.values();
        all.fold((0.0, 0.0), |(seconds, bytes), one| (seconds + one.seconds, bytes + one.bytes))
    }

    /// Line of all stages; none if nothing is known.
    pub(super) fn total(&self) -> Option<String> {
        let (seconds, bytes) = self.sums();
        let unknown = match self.unknown {
            0 => String::new(),
            1 => ", and 1 stage of a kind that never ran".to_owned(),
            count => format!(", and {count} stages of kinds that never ran"),
        };
        let free =
            self.free.map_or(String::new(), |free| format!(" of {} free", size(free as f64)));
        (!self.by_stage.is_empty()).then(|| {
            format!(
                "about {} one after the other and {}{free}{unknown}",
                duration(seconds),
                size(bytes)
            )
        })
    }

    /// Why the disk may not do.
    pub(super) fn problem(&self) -> Option<String> {
        let (_, bytes) = self.sums();
        let free = self.free.filter(|free| bytes > *free as f64)?;
        let [bytes, free] = [bytes, free as f64].map(size);
        Some(format!(
            "the disk may be too small: the artifacts take about {bytes}, and {free} are free; \
            `apeft cache gc --dry-run` lists what can be removed"
        ))
    }

    pub(super) fn stage_to_json(&self, node: NodeIndex) -> Value {
        let found = self.by_stage.get(&node);
        found.map_or(Value::Null, |StageEstimate { seconds, bytes, basis, .. }| {
            json!({"seconds": seconds, "bytes": bytes.round(), "about": basis})
        })
    }

    pub(super) fn to_json(&self) -> Value {
        let (seconds, bytes) = self.sums();
        let (unknown, free) = (self.unknown, self.free);
        json!({"seconds": seconds, "bytes": bytes.round(), "unknown": unknown, "free": free})
    }
}

fn size(bytes: f64) -> String {
    DecimalBytes(bytes.max(0.0) as u64).to_string()
}
