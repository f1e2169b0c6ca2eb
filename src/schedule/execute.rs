//! Carrying out a plan: what can be asked for, and what came of it.

use std::{collections::BTreeSet, path::PathBuf};

use petgraph::{Direction, graph::NodeIndex};
use serde::Serialize;

use super::{event::Timed, run::Run, slots::Machine};
use crate::{
    digest::Digest,
    plan::Plan,
    store::{Store, StoreError},
};

/// How a plan is carried out.
#[derive(Clone, Debug)]
pub struct Options {
    /// At most so many stages at once.
    pub jobs: usize,
    /// What there is to share out.
    pub machine: Machine,
    /// After a failure, go on with everything that does not need what failed.
    pub keep_going: bool,
    /// The stages that must have their artifacts in the end.
    pub wanted: BTreeSet<NodeIndex>,
    /// Stages whose artifacts are made anew.
    pub forced: BTreeSet<NodeIndex>,
    /// Where runs are recorded.
    pub experiments: PathBuf,
    /// The command line, for the record.
    pub command: Vec<String>,
}

/// What came of a run.
#[derive(Clone, Debug, Serialize)]
pub struct Outcome {
    /// The run's identifier.
    pub run: String,
    /// The recipe's name.
    pub recipe: String,
    /// Whether every stage has its artifact.
    pub ok: bool,
    /// Stages that ran.
    pub executed: usize,
    /// Stages that were there already.
    pub cached: usize,
    /// Stages that failed.
    pub failed: usize,
    /// Stages that were not tried.
    pub skipped: usize,
    /// Each stage, in the plan's order.
    pub stages: Vec<StageOutcome>,
    /// The run's folder.
    #[serde(skip)]
    pub folder: PathBuf,
    /// Whether a signal ended it.
    #[serde(skip)]
    pub interrupted: bool,
    /// How long it took.
    #[serde(skip)]
    pub seconds: f64,
}

/// What came of a stage.
#[derive(Clone, Debug, Serialize)]
pub struct StageOutcome {
    /// Its name, with its cell.
    pub name: String,
    /// Its kind.
    pub kind: String,
    /// Its key, where all that it needs was there.
    pub key: Option<Digest>,
    /// How it ended.
    pub outcome: Ending,
    /// How long its last attempt took.
    pub seconds: f64,
    /// The folder of its files.
    pub artifact: Option<PathBuf>,
}

/// How a stage ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Ending {
    /// It ran, and left its artifact.
    Ran,
    /// Its artifact was there.
    Cached,
    /// All its attempts failed.
    Failed,
    /// It was not tried.
    Skipped,
}

/// Carries out a plan, and tells `listener` of everything that happens. The thread that calls this must outlive the run,
/// since the attempts end with it.
///
/// # Errors
/// Where the store is damaged and cannot be repaired, or cannot be locked; failed stages are no error but an outcome.
pub fn execute(
    plan: &Plan,
    store: &Store,
    options: &Options,
    listener: &mut dyn FnMut(&Timed),
) -> Result<Outcome, StoreError> {
    let busy = || tracing::warn!("`cache gc` is at work in the store; the run begins when it is done");
    let _lease = store.lease(&options.experiments, busy)?;
    let outcome = Run::new(plan, store, options, listener).carry_out()?;
    if let Err(error) = store.remove_finished_work() {
        tracing::warn!("{error}");
    }
    Ok(outcome)
}

/// The stages that read from a stage, each once.
pub(super) fn dependants(plan: &Plan, node: NodeIndex) -> BTreeSet<NodeIndex> {
    plan.graph.neighbors_directed(node, Direction::Outgoing).collect()
}
