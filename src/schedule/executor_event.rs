//! What executors report to the dispatcher.

use petgraph::graph::NodeIndex;

use super::job::WorkerMessage;

/// What happened to attempts.
pub(super) enum ExecutorEvent {
    /// A message of an attempt, except its last.
    Said(NodeIndex, WorkerMessage),
    /// An attempt and all its descendants have ended.
    Ended {
        /// Stage.
        node: NodeIndex,
        /// Result, or an error message.
        result: Result<Finished, String>,
        /// Seconds for which it ran; none if it ran since it was started.
        seconds: Option<f64>,
        /// How many of its stage's retries it has used, besides the one that may follow.
        retried: u32,
    },
    /// The first Ctrl-C or termination signal; all attempts are asked to end.
    Interrupted,
    /// The same for a run whose jobs continue without it.
    Left,
}

/// Result of a successful attempt.
pub(super) struct Finished {
    /// Whether another run made the artifact.
    pub(super) cached: bool,
    /// Digests for the store's memo.
    pub(super) learnt: Vec<String>,
}
