//! Carrying out a plan: what can be asked for, and what came of it.

use std::{
    collections::BTreeSet,
    path::PathBuf,
};

use petgraph::{Direction, graph::NodeIndex, visit::{Dfs, Reversed}};
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
    /// Only these stages and what they need; all where empty. A name stands for all its cells.
    pub until: Vec<String>,
    /// Only these stages themselves; all where empty.
    pub only: Vec<String>,
    /// Stages whose artifacts are made anew.
    pub force: Vec<String>,
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

/// Why a plan could not be carried out at all.
#[derive(Debug, thiserror::Error)]
pub enum ExecuteError {
    /// A name on the command line is no stage.
    #[error("there is no stage `{name}`{hint}")]
    UnknownStage {
        /// The name.
        name: String,
        /// The nearest right name, or all of them.
        hint: String,
    },
    /// The store could not be used.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Carries out a plan, and tells `listener` of everything that happens. The thread that calls this must outlive the run,
/// since the attempts end with it.
///
/// # Errors
/// Where a name is no stage, or the store is damaged and cannot be repaired; failed stages are no error but an outcome.
pub fn execute(
    plan: &Plan,
    store: &Store,
    options: &Options,
    listener: &mut dyn FnMut(&Timed),
) -> Result<Outcome, ExecuteError> {
    let wanted = wanted(plan, options)?;
    let forced = select(plan, &options.force)?;
    Ok(Run::new(plan, store, options, listener).carry_out(&wanted, &forced)?)
}

/// The stages that these names stand for: of cells (`tuned@seed=0`), or of all cells of a stage (`tuned`).
///
/// # Errors
/// Names the first that stands for none.
pub fn select(plan: &Plan, names: &[String]) -> Result<BTreeSet<NodeIndex>, ExecuteError> {
    let mut selected = BTreeSet::new();
    for name in names {
        let before = selected.len();
        let named = |node: &NodeIndex| plan.graph[*node].name == *name || plan.graph[*node].stage == *name;
        selected.extend(plan.graph.node_indices().filter(named));
        if selected.len() == before {
            return Err(unknown(plan, name));
        }
    }
    Ok(selected)
}

fn unknown(plan: &Plan, name: &str) -> ExecuteError {
    let stages: BTreeSet<&str> = plan.graph.node_weights().map(|stage| stage.stage.as_str()).collect();
    let cells = plan.graph.node_weights().map(|stage| stage.name.as_str());
    let nearest = stages.iter().copied().chain(cells).max_by(|one, other| {
        strsim::jaro_winkler(one, name).total_cmp(&strsim::jaro_winkler(other, name))
    });
    let hint = match nearest {
        Some(nearest) if strsim::jaro_winkler(nearest, name) > 0.8 => format!(": did you mean `{nearest}`?"),
        _ => format!("; there are: {}", stages.into_iter().collect::<Vec<_>>().join(", ")),
    };
    ExecuteError::UnknownStage { name: name.to_owned(), hint }
}

fn wanted(plan: &Plan, options: &Options) -> Result<BTreeSet<NodeIndex>, ExecuteError> {
    let mut wanted: BTreeSet<NodeIndex> = plan.graph.node_indices().collect();
    if !options.until.is_empty() {
        wanted = BTreeSet::new();
        let reversed = Reversed(&plan.graph);
        for target in select(plan, &options.until)? {
            let mut search = Dfs::new(reversed, target);
            while let Some(node) = search.next(reversed) {
                wanted.insert(node);
            }
        }
    }
    if !options.only.is_empty() {
        let only = select(plan, &options.only)?;
        wanted.retain(|node| only.contains(node));
    }
    Ok(wanted)
}

/// The stages that read from a stage, each once.
pub(super) fn dependants(plan: &Plan, node: NodeIndex) -> BTreeSet<NodeIndex> {
    plan.graph.neighbors_directed(node, Direction::Outgoing).collect()
}
