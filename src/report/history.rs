//! Outcome of each stage of a run, read from its journal.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs, io,
    path::{Path, PathBuf},
};

use serde::de::DeserializeOwned;

use crate::{
    context::StageEvent,
    rows::Cell,
    schedule::{
        event::{AttemptRecord, CheckRecord, Provenance, RunEvent, StageOutline, Timed, skipped},
        journal::{self, JournalReader},
    },
};

/// A run, reconstructed from its events.
#[derive(Debug, Default)]
pub struct History {
    /// Identifier.
    pub run: String,
    /// Recipe name.
    pub recipe: String,
    /// Command line.
    pub command: Vec<String>,
    /// Version of apeft.
    pub version: String,
    /// Description and machine; empty for older journals.
    pub provenance: Provenance,
    /// Folder of the run, absolute.
    pub folder: PathBuf,
    /// Start, in milliseconds since the Unix epoch.
    pub began: u64,
    /// Duration in seconds; none for a killed run.
    pub seconds: Option<f64>,
    /// Stages in topological order.
    pub stages: Vec<StageHistory>,
    /// Damaged artifacts: key and problem.
    pub damaged: Vec<(String, String)>,
    /// Number of journal lines written by a newer version.
    pub passed_over: usize,
    /// Index of each stage by name.
    places: BTreeMap<String, usize>,
}

/// How a stage ended.
#[derive(Debug)]
pub struct StageHistory {
    /// Name, kind and inputs.
    pub outline: StageOutline,
    /// Its cell, parsed from its name: journals have nothing else.
    pub cell: Cell,
    /// How it ended.
    pub outcome: StageEnding,
    /// Seconds of the last attempt; for a cached stage those of the run that made it, or 0 if
    /// unknown.
    pub seconds: f64,
    /// Key.
    pub key: String,
    /// Folder of the artifact's files.
    pub artifact: Option<PathBuf>,
    /// Last check that made it again.
    pub check: Option<CheckRecord>,
    /// Names of its files, where the journal has them.
    files: Option<Vec<String>>,
    /// Notes.
    pub notes: Vec<String>,
    /// Warnings.
    pub warnings: Vec<String>,
    /// Why it ran, or why it failed.
    pub reason: String,
    /// Finished attempts of this run.
    pub(super) attempts: Vec<RecordedAttempt>,
    /// Start of the attempt that runs.
    started: Option<u64>,
}

/// An attempt of this run, in milliseconds since the Unix epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct RecordedAttempt {
    pub(super) from: u64,
    pub(super) to: u64,
    pub(super) is_failed: bool,
}

impl RecordedAttempt {
    pub(super) fn seconds(&self) -> f64 {
        self.to.saturating_sub(self.from) as f64 / 1000.0
    }
}

/// How a stage ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StageEnding {
    /// The run ended before it.
    Waiting,
    /// The run was killed while it ran.
    Running,
    /// It ran and succeeded.
    Ran,
    /// Its artifact was in the store.
    Cached,
    /// It failed.
    Failed,
    /// An input failed, or the run stopped first.
    Skipped,
}

impl StageEnding {
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
    /// Reads a run's journal event by event, and locates its artifacts.
    ///
    /// # Errors
    /// If the journal cannot be read.
    pub fn read(run: &Path) -> io::Result<Self> {
        let mut reader = JournalReader::open(run)?;
        let mut history = Self::default();
        while let Some(timed) = reader.next_event()? {
            history.note(timed);
        }
        history.passed_over = reader.passed_over;
        history.conclude();
        history.locate(run);
        history.folder = std::path::absolute(run).unwrap_or_else(|_| run.to_owned());
        Ok(history)
    }

    /// Reconstructs a run from its events.
    pub fn tell(events: impl IntoIterator<Item = Timed>) -> Self {
        let mut history = Self::default();
        events.into_iter().for_each(|timed| history.note(timed));
        history.conclude();
        history
    }

    fn note(&mut self, Timed { at, event }: Timed) {
        match event {
            RunEvent::RunStarted { run, recipe, command, version, provenance, stages, .. } => {
                // Sweeps have thousands of stages, and a journal several events of each.
                let places = stages
                    .iter()
                    .enumerate()
                    .map(|(place, stage)| (stage.name.clone(), place))
                    .collect();
                let stages = stages.into_iter().map(StageHistory::new).collect();
                *self = Self {
                    run,
                    recipe,
                    command,
                    version,
                    provenance: provenance.unwrap_or_default(),
                    began: at,
                    stages,
                    places,
                    ..Self::default()
                };
            }
            RunEvent::ArtifactDamaged { key, problem, .. } => self.damaged.push((key, problem)),
            RunEvent::RunFinished { seconds, .. } => self.seconds = Some(seconds),
            event => {
                if let Some(place) = stage_of(&event).and_then(|stage| self.places.get(stage)) {
                    self.stages[*place].note(at, event);
                }
            }
        }
    }

    /// Sets the reason of each skipped stage: a failed input, or the end of the run.
    fn conclude(&mut self) {
        // Topological order lets one pass propagate failures.
        let mut reached: BTreeSet<usize> = BTreeSet::new();
        for place in 0..self.stages.len() {
            let stage = &self.stages[place];
            let needs = stage.outline.needs.iter().filter_map(|need| self.places.get(need));
            let needs_failed = needs.clone().any(|need| reached.contains(need));
            if stage.outcome == StageEnding::Failed || needs_failed {
                reached.insert(place);
            }
            if stage.outcome == StageEnding::Skipped {
                self.stages[place].reason = skipped(&stage.reason, needs_failed);
            }
        }
    }

    /// Locates artifacts of a run whose project was moved or copied: the store keeps its path
    /// relative to the runs.
    fn locate(&mut self, run: &Path) {
        // Only an absolute path has all folders above it, where the store may lie.
        let run = std::path::absolute(run).unwrap_or_else(|_| run.to_owned());
        let mut moved: Option<(PathBuf, PathBuf)> = None;
        let (mut sought, mut in_place) = (0, 0);
        for artifact in self.stages.iter_mut().filter_map(|stage| stage.artifact.as_mut()) {
            if artifact.is_dir() {
                in_place += 1;
                // A store in which this many are where they were has not moved.
                if in_place >= STILL && moved.is_none() {
                    return;
                }
                continue;
            }
            // Most artifacts moved together, so the first find serves the others.
            let there = moved
                .as_ref()
                .and_then(|(from, to)| Some(to.join(artifact.strip_prefix(from).ok()?)));
            match there.filter(|there| there.is_dir()) {
                Some(there) => *artifact = there,
                // Collected artifacts are not found; a few samples suffice.
                None if sought < 20 => {
                    sought += 1;
                    if let Some((from, to)) = find_moved(artifact, &run) {
                        *artifact = to.join(artifact.strip_prefix(&from).unwrap_or(artifact));
                        moved = Some((from, to));
                    }
                }
                None => {}
            }
        }
    }

    /// The command line; of the program only the name, since others have it elsewhere.
    pub(super) fn command_line(&self) -> String {
        let mut words = self.command.iter();
        let program = words.next().and_then(|program| Path::new(program).file_name());
        let program = program.map(|name| name.to_string_lossy().into_owned());
        program.iter().chain(words).map(String::as_str).collect::<Vec<_>>().join(" ")
    }

    /// Seconds from the start of the run to a time.
    pub(super) fn seconds_since_start(&self, at: u64) -> f64 {
        at.saturating_sub(self.began) as f64 / 1000.0
    }

    /// Cached stages whose duration is still unknown, by key.
    pub(super) fn unexplained(&self) -> BTreeMap<String, Vec<usize>> {
        let mut cached: BTreeMap<String, Vec<usize>> = BTreeMap::new();
        for (place, stage) in self.stages.iter().enumerate() {
            if stage.outcome == StageEnding::Cached && stage.seconds == 0.0 {
                cached.entry(stage.key.clone()).or_default().push(place);
            }
        }
        cached
    }

    /// Copies what attempts of cached stages told from the run that made them.
    ///
    /// # Errors
    /// If that run's journal cannot be read.
    pub(super) fn recall(
        &mut self,
        run: &Path,
        unexplained: &mut BTreeMap<String, Vec<usize>>,
    ) -> io::Result<()> {
        let mut known: BTreeMap<String, AttemptRecord> = BTreeMap::new();
        journal::each_artifact(run, |_, key, made| {
            if made.seconds.is_some() && unexplained.contains_key(&key) {
                known.insert(key, made);
            }
        })?;
        for (key, made) in known {
            let places = unexplained.remove(&key).unwrap_or_default();
            places.into_iter().for_each(|place| self.stages[place].recall(made.clone()));
        }
        Ok(())
    }

    /// The model that the stage of an artifact tuned: the input stage with a model's config.
    pub fn base_of(&self, artifact: &Path) -> Option<PathBuf> {
        let stage = self.stages.iter().find(|stage| stage.artifact.as_deref() == Some(artifact))?;
        self.needed(stage, "config.json")?.artifact.clone()
    }

    /// The input stage that provides a file of this name.
    pub(super) fn needed(&self, stage: &StageHistory, file: &str) -> Option<&StageHistory> {
        let mut places: Vec<usize> =
            stage.outline.needs.iter().filter_map(|need| self.places.get(need).copied()).collect();
        places.sort_unstable();
        places.into_iter().map(|place| &self.stages[place]).find(|other| other.file(file).is_some())
    }
}

/// The recorded and the current prefix of a path whose remainder lies below `run` or one of its
/// parents.
fn find_moved(recorded: &Path, run: &Path) -> Option<(PathBuf, PathBuf)> {
    let parts: Vec<_> = recorded.components().collect();
    // At least the store's own folders, down to the key, must match.
    let longest_ways = 1..parts.len().saturating_sub(STORE_DEPTH);
    longest_ways.into_iter().find_map(|from| {
        let way: PathBuf = parts[from..].iter().collect();
        let to = run.ancestors().find(|above| above.join(&way).is_dir())?;
        Some((parts[..from].iter().collect(), to.to_owned()))
    })
}

/// Number of artifacts in place that show that a store was not moved.
const STILL: usize = 100;

/// `v1/artifacts/ab/abc.../files`: the path from a store to an artifact's files.
const STORE_DEPTH: usize = 5;

fn stage_of(event: &RunEvent) -> Option<&str> {
    match event {
        RunEvent::StageCached { stage, .. }
        | RunEvent::StageStarted { stage, .. }
        | RunEvent::StageReported { stage, .. }
        | RunEvent::StagePlaced { stage, .. }
        | RunEvent::StageFinished { stage, .. }
        | RunEvent::StageChecked { stage, .. }
        | RunEvent::StageFailed { stage, .. }
        | RunEvent::StageSkipped { stage, .. } => Some(stage),
        _ => None,
    }
}

impl StageHistory {
    fn new(outline: StageOutline) -> Self {
        Self {
            cell: Cell::parse(&outline.name),
            outline,
            outcome: StageEnding::Waiting,
            seconds: 0.0,
            key: String::new(),
            artifact: None,
            check: None,
            files: None,
            notes: Vec::new(),
            warnings: Vec::new(),
            reason: String::new(),
            attempts: Vec::new(),
            started: None,
        }
    }

    /// Ends the attempt that runs.
    fn end_attempt(&mut self, to: u64, is_failed: bool) {
        let from = self.started.take();
        self.attempts.extend(from.map(|from| RecordedAttempt { from, to, is_failed }));
    }

    /// Takes over what the attempt that made a cached artifact told.
    fn recall(&mut self, made: AttemptRecord) {
        self.seconds = made.seconds.unwrap_or(0.0);
        self.notes.extend(made.notes);
        self.warnings.extend(made.warnings);
    }

    /// Name of the cell.
    pub fn name(&self) -> &str {
        &self.outline.name
    }

    /// A JSON file of the stage; none if absent, an error if unreadable.
    pub fn parse<T: DeserializeOwned>(&self, name: &str) -> Option<Result<T, String>> {
        let file = self.file(name)?;
        let parsed = fs::read(&file).map_err(|error| error.to_string());
        let parsed = parsed
            .and_then(|text| serde_json::from_slice(&text).map_err(|error| error.to_string()));
        let stage = &self.outline.name;
        Some(parsed.map_err(|error| {
            format!(
                "cannot show the result of `{stage}`: {}: {error}; if another version made \
            it, remake it with `apeft run --force {stage}`",
                file.display()
            )
        }))
    }

    /// A file of the stage.
    pub fn file(&self, name: &str) -> Option<PathBuf> {
        // Most of 100,000 stages have none of the files that a report looks for.
        if self.files.as_ref().is_some_and(|files| !files.iter().any(|own| own == name)) {
            return None;
        }
        let file = self.artifact.as_ref()?.join(name);
        file.is_file().then_some(file)
    }

    fn note(&mut self, at: u64, event: RunEvent) {
        match event {
            RunEvent::StageCached { key, artifact, made, check, files, .. } => {
                self.outcome = StageEnding::Cached;
                self.check = check;
                (self.key, self.artifact, self.files) = (key, Some(artifact.into()), files);
                self.recall(made);
            }
            RunEvent::StageStarted { key, reason, .. } => {
                self.outcome = StageEnding::Running;
                (self.key, self.reason) = (key, reason);
                self.started = Some(at);
            }
            RunEvent::StageFinished { key, artifact, seconds, files, .. } => {
                self.outcome = StageEnding::Ran;
                (self.key, self.artifact, self.files) = (key, Some(artifact.into()), files);
                self.seconds = seconds;
                self.end_attempt(at, false);
            }
            RunEvent::StageFailed { error, seconds, .. } => {
                self.outcome = StageEnding::Failed;
                (self.reason, self.seconds) = (error, seconds);
                self.end_attempt(at, true);
            }
            RunEvent::StageChecked { difference, .. } => {
                self.check = Some(CheckRecord { at, difference });
            }
            RunEvent::StageSkipped { because, .. } => {
                self.outcome = StageEnding::Skipped;
                self.reason = because;
            }
            RunEvent::StageReported { report: StageEvent::Note { text }, .. }
            | RunEvent::StagePlaced { text, .. } => self.notes.push(text),
            RunEvent::StageReported { report: StageEvent::Warning { text }, .. } => {
                self.warnings.push(text)
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schedule::INTERRUPTION;

    fn outline(name: &str, needs: &[&str]) -> StageOutline {
        let needs = needs.iter().map(|need| (*need).to_owned()).collect();
        StageOutline { name: name.to_owned(), kind: "command".to_owned(), needs }
    }

    fn started(stages: Vec<StageOutline>) -> RunEvent {
        let text = |text: &str| text.to_owned();
        RunEvent::RunStarted {
            run: text("r"),
            recipe: text("r"),
            command: vec![],
            version: text("0"),
            store: String::new(),
            provenance: None,
            stages,
        }
    }

    fn skipped(stage: &str, because: &str) -> RunEvent {
        RunEvent::StageSkipped {
            stage: stage.to_owned(),
            because: because.to_owned(),
            needs_it: None,
        }
    }

    fn tell(events: Vec<RunEvent>) -> History {
        History::tell(events.into_iter().map(|event| Timed { at: 0, event }))
    }

    #[test]
    fn a_skipped_stage_says_whether_it_needs_what_failed() {
        let stages = || {
            vec![outline("a", &[]), outline("b", &["a"]), outline("c", &["b"]), outline("d", &[])]
        };
        let failed = RunEvent::StageFailed {
            stage: "a".to_owned(),
            attempt: 1,
            error: "no".to_owned(),
            retry: false,
            seconds: 1.0,
        };
        let told = tell(vec![
            started(stages()),
            failed,
            skipped("b", "a"),
            skipped("c", "a"),
            skipped("d", "a"),
        ]);
        let reasons: Vec<&str> = told.stages.iter().map(|stage| stage.reason.as_str()).collect();
        let needs = "skipped because of a";
        assert_eq!(reasons, ["no", needs, needs, "not started: the run stopped after a failed"]);
        let told = tell(vec![started(stages()), skipped("d", INTERRUPTION)]);
        assert_eq!(told.stages[3].reason, "not started: the run was interrupted");
    }

    #[test]
    fn artifacts_are_found_where_the_project_was_moved_to() {
        let folder = tempfile::tempdir().unwrap();
        let key = "ab".repeat(32);
        let now = folder.path().join("new/place/cache/v1/artifacts/ab").join(&key).join("files");
        fs::create_dir_all(&now).unwrap();
        let run = folder.path().join("new/place/experiments/quick/run");
        fs::create_dir_all(&run).unwrap();
        let before = format!("/old/place/cache/v1/artifacts/ab/{key}/files");
        let cached = |stage: &str, artifact: String| RunEvent::StageCached {
            stage: stage.to_owned(),
            key: key.clone(),
            artifact,
            made: AttemptRecord::default(),
            check: None,
            files: None,
        };
        let gone = format!("/old/place/cache/v1/artifacts/cd/{}/files", "cd".repeat(32));
        let stages = vec![outline("a", &[]), outline("b", &[]), outline("c", &[])];
        let events = vec![
            started(stages),
            cached("a", gone.clone()),
            cached("b", before.clone()),
            cached("c", before),
        ];
        let mut told = tell(events);
        told.locate(&run);
        let found: Vec<PathBuf> =
            told.stages.iter().map(|stage| stage.artifact.clone().unwrap()).collect();
        assert_eq!(found, [PathBuf::from(gone), now.clone(), now]);
    }

    #[test]
    fn what_a_run_found_there_took_as_long_as_the_newest_run_that_made_it() {
        let folder = tempfile::tempdir().unwrap();
        let journal = |name: &str, seconds: f64| {
            let event = RunEvent::StageFinished {
                stage: "a".to_owned(),
                key: "k".to_owned(),
                artifact: String::new(),
                seconds,
                cost: None,
                files: None,
            };
            let run = folder.path().join(name);
            fs::create_dir(&run).unwrap();
            fs::write(
                run.join("events.jsonl"),
                serde_json::to_string(&Timed { at: 0, event }).unwrap() + "\n",
            )
            .unwrap();
            run
        };
        let (newer, older) = (journal("2", 2.0), journal("1", 1.0));
        let found = |stage: &str| RunEvent::StageCached {
            stage: stage.to_owned(),
            key: "k".to_owned(),
            artifact: String::new(),
            made: AttemptRecord::default(),
            check: None,
            files: None,
        };
        let mut told =
            tell(vec![started(vec![outline("a", &[]), outline("b", &[])]), found("a"), found("b")]);
        let mut unexplained = told.unexplained();
        told.recall(&newer, &mut unexplained).unwrap();
        assert!(unexplained.is_empty());
        told.recall(&older, &mut unexplained).unwrap();
        assert_eq!(told.stages.iter().map(|stage| stage.seconds).collect::<Vec<_>>(), [2.0, 2.0]);
    }
}
