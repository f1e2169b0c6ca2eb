//! A run as its journal tells it: what became of each stage.

use std::{collections::BTreeMap, path::PathBuf};

use crate::schedule::event::{Event, StageOutline, Timed};
use crate::stage::Report;

/// A run, told from its events.
#[derive(Debug, Default)]
pub struct History {
    /// The run's identifier.
    pub run: String,
    /// The recipe's name.
    pub recipe: String,
    /// The command line.
    pub command: Vec<String>,
    /// The program's version.
    pub version: String,
    /// When it began, in milliseconds since the Unix epoch.
    pub began: u64,
    /// How long it took, in seconds; nothing where it was killed.
    pub seconds: Option<f64>,
    /// Its stages, each after what it needs.
    pub stages: Vec<StageHistory>,
    /// Artifacts that were found damaged: key and problem.
    pub damaged: Vec<(String, String)>,
}

/// What became of a stage.
#[derive(Debug)]
pub struct StageHistory {
    /// Its name, kind and needs.
    pub outline: StageOutline,
    /// How it ended.
    pub outcome: Outcome,
    /// Seconds of the last attempt; for what was there, of the earlier run that made it, and 0 where none is known.
    pub seconds: f64,
    /// The artifact's key.
    pub key: String,
    /// The folder of its files.
    pub artifact: Option<PathBuf>,
    /// Sentences that it said.
    pub notes: Vec<String>,
    /// Sentences that a person should read.
    pub warnings: Vec<String>,
    /// Why it ran, or why it failed.
    pub reason: String,
}

/// How a stage ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The run ended before it.
    Waiting,
    /// The run was killed meanwhile.
    Running,
    /// It left its artifact.
    Ran,
    /// Its artifact was there.
    Cached,
    /// It failed.
    Failed,
    /// Something that it needs failed.
    Skipped,
}

impl Outcome {
    /// The outcome in one word.
    pub fn word(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Running => "running",
            Self::Ran => "ran",
            Self::Cached => "cached",
            Self::Failed => "failed",
            Self::Skipped => "skipped",
        }
    }
}

impl History {
    /// Tells a run from its events, in their order.
    pub fn tell(events: impl IntoIterator<Item = Timed>) -> Self {
        let mut history = Self::default();
        let mut places = BTreeMap::new();
        for Timed { at, event } in events {
            if let Event::RunStarted { run, recipe, command, version, stages } = event {
                places = stages.iter().enumerate().map(|(place, stage)| (stage.name.clone(), place)).collect();
                let stages = stages.into_iter().map(StageHistory::new).collect();
                history = Self { run, recipe, command, version, began: at, stages, ..Self::default() };
                continue;
            }
            match event {
                Event::ArtifactDamaged { key, problem, .. } => history.damaged.push((key, problem)),
                Event::RunFinished { seconds, .. } => history.seconds = Some(seconds),
                event => {
                    if let Some(place) = stage_of(&event).and_then(|stage| places.get(stage)) {
                        history.stages[*place].note(event);
                    }
                }
            }
        }
        history
    }
}

impl History {
    /// Takes over from an earlier run how long it took to make what this one found there.
    pub(super) fn recall(&mut self, events: impl IntoIterator<Item = Timed>) {
        for timed in events {
            if let Event::StageFinished { key: made, seconds, .. } = timed.event {
                let found = |stage: &&mut StageHistory| stage.outcome == Outcome::Cached && stage.key == made;
                self.stages.iter_mut().filter(found).for_each(|stage| stage.seconds = seconds);
            }
        }
    }

    /// Among what a stage needs, the one that left a file of this name.
    pub(super) fn needed(&self, stage: &StageHistory, file: &str) -> Option<&StageHistory> {
        let needs = self.stages.iter().filter(|other| stage.outline.needs.contains(&other.outline.name));
        needs.into_iter().find(|other| other.file(file).is_some())
    }
}

fn stage_of(event: &Event) -> Option<&str> {
    match event {
        Event::StageCached { stage, .. }
        | Event::StageStarted { stage, .. }
        | Event::StageReported { stage, .. }
        | Event::StageFinished { stage, .. }
        | Event::StageFailed { stage, .. }
        | Event::StageSkipped { stage, .. } => Some(stage),
        _ => None,
    }
}

impl StageHistory {
    fn new(outline: StageOutline) -> Self {
        Self {
            outline,
            outcome: Outcome::Waiting,
            seconds: 0.0,
            key: String::new(),
            artifact: None,
            notes: Vec::new(),
            warnings: Vec::new(),
            reason: String::new(),
        }
    }

    /// A file that it left.
    pub fn file(&self, name: &str) -> Option<PathBuf> {
        let file = self.artifact.as_ref()?.join(name);
        file.is_file().then_some(file)
    }

    fn note(&mut self, event: Event) {
        match event {
            Event::StageCached { key, artifact, .. } => {
                self.outcome = Outcome::Cached;
                (self.key, self.artifact) = (key, Some(artifact.into()));
            }
            Event::StageStarted { key, reason, .. } => {
                self.outcome = Outcome::Running;
                (self.key, self.reason) = (key, reason);
            }
            Event::StageFinished { key, artifact, seconds, .. } => {
                self.outcome = Outcome::Ran;
                (self.key, self.artifact, self.seconds) = (key, Some(artifact.into()), seconds);
            }
            Event::StageFailed { error, seconds, .. } => {
                self.outcome = Outcome::Failed;
                (self.reason, self.seconds) = (error, seconds);
            }
            Event::StageSkipped { because, .. } => {
                self.outcome = Outcome::Skipped;
                self.reason = format!("`{because}` failed");
            }
            Event::StageReported { report: Report::Note { text }, .. } => self.notes.push(text),
            Event::StageReported { report: Report::Warning { text }, .. } => self.warnings.push(text),
            _ => {}
        }
    }
}
