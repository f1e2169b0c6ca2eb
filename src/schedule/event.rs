//! What can happen in a run: one enum, written to the journal; terminal and report are its readers.

use serde::{Deserialize, Serialize};

use crate::stage::Report;

/// An event with its time.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Timed {
    /// Milliseconds since the Unix epoch.
    pub at: u64,
    /// What happened.
    #[serde(flatten)]
    pub event: Event,
}

/// What happened.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Event {
    /// The first line of every journal.
    RunStarted {
        /// The run's identifier; also its folder's name.
        run: String,
        /// The recipe's name.
        recipe: String,
        /// The command line, for whoever repeats it.
        command: Vec<String>,
        /// The program's version.
        version: String,
        /// All stages of the plan, each after what it needs.
        stages: Vec<StageOutline>,
    },
    /// The result was there already.
    StageCached {
        /// The stage's name.
        stage: String,
        /// The artifact's key.
        key: String,
        /// The artifact's folder.
        artifact: String,
        /// How long it took to make it, where an earlier run knows.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        seconds: Option<f64>,
    },
    /// An attempt began.
    StageStarted {
        /// The stage's name.
        stage: String,
        /// The key that its artifact will have.
        key: String,
        /// 1 for the first.
        attempt: u32,
        /// The child's process.
        pid: u32,
        /// The file with its output.
        log: String,
        /// Why it runs: "no artifact yet", "`beta` 0.1 -> 0.2", ...
        reason: String,
    },
    /// A stage said how far it is, or what it measured; progress goes to the terminal only, the rest to the journal too.
    StageReported {
        /// The stage's name.
        stage: String,
        /// What it said.
        report: Report,
    },
    /// An attempt left its artifact.
    StageFinished {
        /// The stage's name.
        stage: String,
        /// The artifact's key.
        key: String,
        /// The artifact's folder.
        artifact: String,
        /// How long the attempt took.
        seconds: f64,
    },
    /// An attempt failed.
    StageFailed {
        /// The stage's name.
        stage: String,
        /// 1 for the first.
        attempt: u32,
        /// What went wrong, in words.
        error: String,
        /// Whether it is tried again.
        retry: bool,
        /// How long the attempt took.
        seconds: f64,
    },
    /// It was not tried, since something that it needs failed.
    StageSkipped {
        /// The stage's name.
        stage: String,
        /// The failed stage.
        because: String,
    },
    /// An artifact did not match its manifest; it was moved aside and is made again.
    ArtifactDamaged {
        /// Its key.
        key: String,
        /// What did not match.
        problem: String,
        /// Where it lies now.
        moved_to: String,
    },
    /// Ctrl-C, or a termination signal.
    Interrupted,
    /// The last line of a journal whose run was not killed.
    RunFinished {
        /// Whether every stage has its artifact.
        ok: bool,
        /// Stages that ran.
        executed: usize,
        /// Stages that were there already.
        cached: usize,
        /// Stages that failed.
        failed: usize,
        /// Stages that were not tried.
        skipped: usize,
        /// How long the run took.
        seconds: f64,
    },
}

/// A stage as a journal's first line lists it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct StageOutline {
    /// Its name, with its cell.
    pub name: String,
    /// Its kind.
    pub kind: String,
    /// The names of the stages that it needs.
    pub needs: Vec<String>,
}
