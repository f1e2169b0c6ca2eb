//! Options and results of a run.

use std::{collections::BTreeSet, path::PathBuf};

use petgraph::graph::NodeIndex;
use serde::Serialize;

use super::{label::RunLabel, slots::Machine};
use crate::{digest::Digest, plan::ExecutorName, remote::RemoteAddress};

/// Options of a run.
#[derive(Clone, Debug)]
pub struct RunOptions {
    /// Maximum number of concurrent stages.
    pub jobs: usize,
    /// Resources to share.
    pub machine: Machine,
    /// After a failure, continue with all stages that do not depend on it.
    pub keep_going: bool,
    /// Requested stages.
    pub wanted: BTreeSet<NodeIndex>,
    /// Stages whose artifacts are remade.
    pub forced: BTreeSet<NodeIndex>,
    /// Cached stages that are made again and compared.
    pub checked: BTreeSet<NodeIndex>,
    /// Store to look in before a stage is made.
    pub remote: Option<RemoteAddress>,
    /// Folder of the journals.
    pub experiments: PathBuf,
    /// Command line, for the journal.
    pub command: Vec<String>,
    /// Note and tags, for the journal.
    pub label: Option<RunLabel>,
    /// Where stages run.
    pub executor: ExecutorName,
    /// Whether to end once everything ready is submitted to a cluster.
    pub detach: bool,
}

/// Result of a run.
#[derive(Clone, Debug, Serialize)]
pub struct RunOutcome {
    /// Identifier of the run.
    pub run: String,
    /// Recipe name.
    pub recipe: String,
    /// Whether every stage has its artifact.
    pub ok: bool,
    /// Number of stages that ran.
    pub executed: usize,
    /// Number of cached stages.
    pub cached: usize,
    /// Number of failed stages.
    pub failed: usize,
    /// Number of skipped stages.
    pub skipped: usize,
    /// Results by stage, in plan order.
    pub stages: Vec<StageOutcome>,
    /// Folder of the run.
    #[serde(skip)]
    pub folder: PathBuf,
    /// Number of jobs on a cluster that go on.
    pub detached: usize,
    /// Whether a signal ended the run.
    #[serde(skip)]
    pub interrupted: bool,
    /// Duration.
    #[serde(skip)]
    pub seconds: f64,
}

/// Result of a stage.
#[derive(Clone, Debug, Serialize)]
pub struct StageOutcome {
    /// Name of the cell.
    pub name: String,
    /// Kind.
    pub kind: String,
    /// Key, if all inputs existed.
    pub key: Option<Digest>,
    /// Outcome.
    pub outcome: Ending,
    /// Seconds of the last attempt.
    pub seconds: f64,
    /// Folder of the artifact's files.
    pub artifact: Option<PathBuf>,
    /// Whether the artifact had the same bytes when it was made again, if this was checked ever.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub checked: Option<bool>,
    /// Why it failed or was skipped.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// Outcome of a stage.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Ending {
    /// It ran and succeeded.
    Ran,
    /// Its artifact was in the store.
    Cached,
    /// All attempts failed.
    Failed,
    /// It was skipped.
    Skipped,
}
