//! Events of a run: written to the journal, read by terminal and report.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::label::RunLabel;
use crate::context::StageEvent;
pub use crate::store::CheckRecord;

/// `because` of stages skipped by a signal.
pub const INTERRUPTION: &str = "the interruption";

/// An event with its time.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Timed {
    /// Milliseconds since the Unix epoch.
    pub at: u64,
    /// The event.
    #[serde(flatten)]
    pub event: RunEvent,
}

impl Timed {
    /// Parses a line of a journal.
    ///
    /// # Errors
    /// If it is no event of this version.
    pub fn parse(line: &[u8]) -> serde_json::Result<Self> {
        #[derive(Deserialize)]
        struct Time {
            at: u64,
        }
        // An enum with a tag is read into memory first, which takes most of the time in the largest
        // line and in the most frequent ones.
        match name_of(line) {
            Some(b"run_started") => {
                return serde_json::from_slice::<StartedLine>(line).map(Self::from);
            }
            Some(b"stage_cached") => {
                return serde_json::from_slice::<CachedLine>(line).map(Self::from);
            }
            _ => {}
        }
        // Not as a whole: a flattened event is read into memory twice, and a journal may have
        // 100,000 stages in a line.
        let Time { at } = serde_json::from_slice(line)?;
        Ok(Self { at, event: serde_json::from_slice(line)? })
    }
}

/// The event's name, where a line begins as journals are written.
fn name_of(line: &[u8]) -> Option<&[u8]> {
    let time = line.strip_prefix(br#"{"at":"#)?;
    let digits = time.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let name = time[digits..].strip_prefix(br#","event":""#)?;
    name.split(|byte| *byte == b'"').next()
}

/// [`RunEvent::RunStarted`] with its time, in one table.
#[derive(Deserialize)]
struct StartedLine {
    at: u64,
    run: String,
    recipe: String,
    command: Vec<String>,
    version: String,
    #[serde(default)]
    store: String,
    provenance: Option<Provenance>,
    stages: Vec<StageOutline>,
}

impl From<StartedLine> for Timed {
    fn from(line: StartedLine) -> Self {
        let StartedLine { at, run, recipe, command, version, store, provenance, stages } = line;
        let event =
            RunEvent::RunStarted { run, recipe, command, version, store, provenance, stages };
        Self { at, event }
    }
}

/// [`RunEvent::StageCached`] with its time, in one table.
#[derive(Deserialize)]
struct CachedLine {
    at: u64,
    stage: String,
    key: String,
    artifact: String,
    seconds: Option<f64>,
    #[serde(default)]
    notes: Vec<String>,
    #[serde(default)]
    warnings: Vec<String>,
    check: Option<CheckRecord>,
    files: Option<Vec<String>>,
}

impl From<CachedLine> for Timed {
    fn from(line: CachedLine) -> Self {
        let CachedLine { at, stage, key, artifact, seconds, notes, warnings, check, files } = line;
        let made = AttemptRecord { seconds, notes, warnings };
        Self { at, event: RunEvent::StageCached { stage, key, artifact, made, check, files } }
    }
}

/// An event of a run.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum RunEvent {
    /// First line of every journal.
    RunStarted {
        /// Identifier of the run and name of its folder.
        run: String,
        /// Recipe name.
        recipe: String,
        /// Command line, to repeat the run.
        command: Vec<String>,
        /// Version of apeft.
        version: String,
        /// Folder of the store; empty in older journals.
        #[serde(default, skip_serializing_if = "String::is_empty")]
        store: String,
        /// Description and machine; absent in older journals.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        provenance: Option<Provenance>,
        /// All stages of the plan in topological order.
        stages: Vec<StageOutline>,
    },
    /// Second line of the journal of a run with a note or tags.
    RunLabelled {
        /// Note and tags.
        #[serde(flatten)]
        label: RunLabel,
    },
    /// The artifact was in the store.
    StageCached {
        /// Stage name.
        stage: String,
        /// Key.
        key: String,
        /// Folder of the artifact.
        artifact: String,
        /// The attempt that made it, if an earlier run recorded it.
        #[serde(flatten)]
        made: AttemptRecord,
        /// Last check that made it again, if there was one.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        check: Option<CheckRecord>,
        /// Names of the artifact's files, if they are few; absent in older journals.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        files: Option<Vec<String>>,
    },
    /// A cached stage was made again and compared; its artifact stays.
    StageChecked {
        /// Stage name.
        stage: String,
        /// Key.
        key: String,
        /// First difference; none if all bytes are the same.
        #[serde(default)]
        difference: Option<String>,
        /// Seconds of the attempt.
        seconds: f64,
    },
    /// An attempt began.
    StageStarted {
        /// Stage name.
        stage: String,
        /// Key of the future artifact.
        key: String,
        /// Attempt number, from 1.
        attempt: u32,
        /// Process id of the child.
        pid: u32,
        /// Log file.
        log: String,
        /// Why it runs: "no artifact yet", "`beta` 0.1 -> 0.2", ...
        reason: String,
    },
    /// Progress, note or metric of a stage; progress goes to the terminal only, the rest to the
    /// journal too.
    StageReported {
        /// Stage name.
        stage: String,
        /// The stage's event.
        report: StageEvent,
    },
    /// Where an attempt waits or runs, which is true of this run only.
    StagePlaced {
        /// Stage name.
        stage: String,
        /// The place.
        text: String,
    },
    /// An attempt succeeded.
    StageFinished {
        /// Stage name.
        stage: String,
        /// Key.
        key: String,
        /// Folder of the artifact.
        artifact: String,
        /// Seconds of the attempt.
        seconds: f64,
        /// What the seconds depend on, for estimates; absent in older journals.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        cost: Option<StageCost>,
        /// Names of the artifact's files, if they are few; absent in older journals.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        files: Option<Vec<String>>,
    },
    /// An attempt failed.
    StageFailed {
        /// Stage name.
        stage: String,
        /// Attempt number, from 1.
        attempt: u32,
        /// Error message.
        error: String,
        /// Whether another attempt follows.
        retry: bool,
        /// Seconds of the attempt.
        seconds: f64,
    },
    /// The stage was skipped: an input failed, or the run stopped first.
    StageSkipped {
        /// Stage name.
        stage: String,
        /// The failed stage, or the interruption.
        because: String,
        /// Whether the stage depends on it; absent in older journals.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        needs_it: Option<bool>,
    },
    /// An artifact did not match its manifest; it was quarantined and is remade.
    ArtifactDamaged {
        /// Key.
        key: String,
        /// What did not match.
        problem: String,
        /// Path after quarantine.
        moved_to: String,
    },
    /// Ctrl-C, or a termination signal.
    Interrupted,
    /// The run ended before its jobs on a cluster, which go on.
    RunDetached {
        /// Number of these jobs.
        jobs: usize,
    },
    /// Last line of a journal, unless the run was killed.
    RunFinished {
        /// Whether every stage has its artifact.
        ok: bool,
        /// Number of stages that ran.
        executed: usize,
        /// Number of cached stages.
        cached: usize,
        /// Number of failed stages.
        failed: usize,
        /// Number of skipped stages.
        skipped: usize,
        /// Seconds of the run.
        seconds: f64,
    },
}

/// What a run was started for, and where.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Provenance {
    /// First comment of the recipe.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub description: String,
    /// Name of the machine.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub host: String,
    /// Its processor and number of cores.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub processor: String,
}

/// Circumstances of a finished attempt, from which later ones are estimated.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct StageCost {
    /// Processor and device.
    pub machine: String,
    /// Bytes that were read, by the name of the input.
    pub inputs: BTreeMap<String, u64>,
    /// Bytes of the artifact.
    pub bytes: u64,
}

/// Why a stage was skipped: a failed input, a failure elsewhere, or the interruption.
pub fn skipped(because: &str, needs_it: bool) -> String {
    match because {
        INTERRUPTION => "not started: the run was interrupted".to_owned(),
        _ if needs_it => format!("skipped because of {because}"),
        _ => format!("not started: the run stopped after {because} failed"),
    }
}

/// What the attempt that made an artifact told.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct AttemptRecord {
    /// Its seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seconds: Option<f64>,
    /// Its notes.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
    /// Its warnings.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
}

impl AttemptRecord {
    /// Adds what an older journal tells and this record lacks.
    pub fn complete(&mut self, older: Self) {
        self.seconds = self.seconds.or(older.seconds);
        if self.notes.is_empty() && self.warnings.is_empty() {
            (self.notes, self.warnings) = (older.notes, older.warnings);
        }
    }
}

/// A stage in a journal's first line.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct StageOutline {
    /// Name of the cell.
    pub name: String,
    /// Kind.
    pub kind: String,
    /// Names of its input stages.
    pub needs: Vec<String>,
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn lines_with_a_table_of_their_own_are_read_as_events() {
        let made = r#""seconds":1.5,"notes":["n"],"warnings":["w"]"#;
        let check = r#""check":{"at":3,"difference":"d"},"files":["f"]"#;
        let cached = r#"{"at":7,"event":"stage_cached","stage":"s","key":"k","artifact":"a""#;
        let started = r#"{"at":7,"event":"run_started","run":"r","recipe":"x","command":["c"],"#;
        let stages = r#""version":"v","stages":[{"name":"s","kind":"k","needs":["t"]}]"#;
        for line in [
            format!("{cached}}}"),
            format!("{cached},{made},{check},\"later\":1}}"),
            format!("{started}{stages}}}"),
            format!("{started}\"store\":\"/s\",\"provenance\":{{\"host\":\"h\"}},{stages}}}"),
        ] {
            let event: RunEvent = serde_json::from_str(&line).unwrap();
            let read = Timed::parse(line.as_bytes()).unwrap();
            assert_eq!(json!(read), json!(Timed { at: 7, event }), "{line}");
        }
    }
}
