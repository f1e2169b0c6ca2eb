//! A run as its journal tells it: what became of each stage.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs, io,
    path::{Path, PathBuf},
};

use serde::de::DeserializeOwned;

use crate::{
    schedule::{
        INTERRUPTION,
        event::{Event, StageOutline, Timed},
        journal::{self, Reader},
    },
    stage::Report,
};

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
    /// Lines of its journal that a newer version wrote.
    pub passed_over: usize,
    /// Where each stage stands, by its name.
    places: BTreeMap<String, usize>,
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
    /// Reads a run's journal, an event at a time, and finds its artifacts where they lie now.
    ///
    /// # Errors
    /// Where the journal cannot be read.
    pub fn read(run: &Path) -> io::Result<Self> {
        let mut reader = Reader::open(run)?;
        let mut history = Self::default();
        while let Some(timed) = reader.next_event()? {
            history.note(timed);
        }
        history.passed_over = reader.passed_over;
        history.conclude();
        history.locate(run);
        Ok(history)
    }

    /// Tells a run from its events, in their order.
    pub fn tell(events: impl IntoIterator<Item = Timed>) -> Self {
        let mut history = Self::default();
        events.into_iter().for_each(|timed| history.note(timed));
        history.conclude();
        history
    }

    fn note(&mut self, Timed { at, event }: Timed) {
        match event {
            Event::RunStarted { run, recipe, command, version, stages } => {
                let places = stages.iter().enumerate().map(|(place, stage)| (stage.name.clone(), place)).collect();
                let stages = stages.into_iter().map(StageHistory::new).collect();
                *self = Self { run, recipe, command, version, began: at, stages, places, ..Self::default() };
            }
            Event::ArtifactDamaged { key, problem, .. } => self.damaged.push((key, problem)),
            Event::RunFinished { seconds, .. } => self.seconds = Some(seconds),
            event => {
                if let Some(place) = stage_of(&event).and_then(|stage| self.places.get(stage)) {
                    self.stages[*place].note(event);
                }
            }
        }
    }

    /// Says of each skipped stage why: what it needs failed, or the run stopped before its turn.
    fn conclude(&mut self) {
        // Stages come after what they need; so one pass finds all that a failure reaches.
        let mut reached: BTreeSet<usize> = BTreeSet::new();
        for place in 0..self.stages.len() {
            let stage = &self.stages[place];
            let needs = stage.outline.needs.iter().filter_map(|need| self.places.get(need));
            let needs_failed = needs.clone().any(|need| reached.contains(need));
            if stage.outcome == Outcome::Failed || needs_failed {
                reached.insert(place);
            }
            if stage.outcome == Outcome::Skipped {
                let because = &stage.reason;
                self.stages[place].reason = match because.as_str() {
                    INTERRUPTION => "the run was interrupted before its turn".to_owned(),
                    _ if needs_failed => format!("it needs what `{because}` was to make, and that failed"),
                    _ => format!("the run stopped before its turn, since `{because}` failed"),
                };
            }
        }
    }

    /// Finds the artifacts of a run whose project was moved or copied since: a store keeps its place beside the runs.
    fn locate(&mut self, run: &Path) {
        let run = std::path::absolute(run).unwrap_or_else(|_| run.to_owned());
        let mut moved: Option<(PathBuf, PathBuf)> = None;
        let mut sought = 0;
        for artifact in self.stages.iter_mut().filter_map(|stage| stage.artifact.as_mut()) {
            if artifact.is_dir() {
                continue;
            }
            let there = |(from, to): &(PathBuf, PathBuf)| Some(to.join(artifact.strip_prefix(from).ok()?));
            match moved.as_ref().and_then(there).filter(|there| there.is_dir()) {
                Some(there) => *artifact = there,
                // Artifacts that were collected are nowhere; a few of them tell as much as all.
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

    /// What was there and whose making no journal has told of yet, by key.
    pub(super) fn unexplained(&self) -> BTreeMap<String, Vec<usize>> {
        let mut cached: BTreeMap<String, Vec<usize>> = BTreeMap::new();
        let unknown = |stage: &StageHistory| stage.outcome == Outcome::Cached && stage.seconds == 0.0;
        for (place, stage) in self.stages.iter().enumerate().filter(|(_, stage)| unknown(stage)) {
            cached.entry(stage.key.clone()).or_default().push(place);
        }
        cached
    }

    /// Takes over from another run how long it took to make what this one found there.
    ///
    /// # Errors
    /// Where its journal cannot be read.
    pub(super) fn recall(&mut self, run: &Path, unexplained: &mut BTreeMap<String, Vec<usize>>) -> io::Result<()> {
        let mut known: BTreeMap<String, f64> = BTreeMap::new();
        journal::each_artifact(run, |_, key, seconds| {
            if let Some(seconds) = seconds.filter(|_| unexplained.contains_key(&key)) {
                known.insert(key, seconds);
            }
        })?;
        for (key, seconds) in known {
            let places = unexplained.remove(&key).unwrap_or_default();
            places.into_iter().for_each(|place| self.stages[place].seconds = seconds);
        }
        Ok(())
    }

    /// Among what a stage needs, the one that left a file of this name.
    pub(super) fn needed(&self, stage: &StageHistory, file: &str) -> Option<&StageHistory> {
        let mut places: Vec<usize> =
            stage.outline.needs.iter().filter_map(|need| self.places.get(need).copied()).collect();
        places.sort_unstable();
        places.into_iter().map(|place| &self.stages[place]).find(|other| other.file(file).is_some())
    }
}

/// Where a folder below `run` or one of the folders above it has the same way as in the recorded path: what the path began
/// with then, and what it begins with now.
fn find_moved(recorded: &Path, run: &Path) -> Option<(PathBuf, PathBuf)> {
    let parts: Vec<_> = recorded.components().collect();
    // At least the store's own folders, down to the key, must be the same.
    let longest_ways = 1..parts.len().saturating_sub(STORE_DEPTH);
    longest_ways.into_iter().find_map(|from| {
        let way: PathBuf = parts[from..].iter().collect();
        let to = run.ancestors().find(|above| above.join(&way).is_dir())?;
        Some((parts[..from].iter().collect(), to.to_owned()))
    })
}

/// `v1/artifacts/ab/abc.../files`: what lies between a store and an artifact's files.
const STORE_DEPTH: usize = 5;

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

    /// A JSON file that it left; nothing where it left none, and what is wrong with one that cannot be read.
    pub fn parse<T: DeserializeOwned>(&self, name: &str) -> Option<Result<T, String>> {
        let file = self.file(name)?;
        let parsed = fs::read(&file).map_err(|error| error.to_string());
        let parsed = parsed.and_then(|text| serde_json::from_slice(&text).map_err(|error| error.to_string()));
        let stage = &self.outline.name;
        Some(parsed.map_err(|error| {
            format!("what `{stage}` left cannot be shown: {}: {error}; another version may have made it, and `apeft run --force {stage}` makes it anew", file.display())
        }))
    }

    /// A file that it left.
    pub fn file(&self, name: &str) -> Option<PathBuf> {
        let file = self.artifact.as_ref()?.join(name);
        file.is_file().then_some(file)
    }

    fn note(&mut self, event: Event) {
        match event {
            Event::StageCached { key, artifact, seconds, .. } => {
                self.outcome = Outcome::Cached;
                (self.key, self.artifact, self.seconds) = (key, Some(artifact.into()), seconds.unwrap_or(0.0));
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
                self.reason = because;
            }
            Event::StageReported { report: Report::Note { text }, .. } => self.notes.push(text),
            Event::StageReported { report: Report::Warning { text }, .. } => self.warnings.push(text),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outline(name: &str, needs: &[&str]) -> StageOutline {
        let needs = needs.iter().map(|need| (*need).to_owned()).collect();
        StageOutline { name: name.to_owned(), kind: "command".to_owned(), needs }
    }

    fn started(stages: Vec<StageOutline>) -> Event {
        let text = |text: &str| text.to_owned();
        Event::RunStarted { run: text("r"), recipe: text("r"), command: vec![], version: text("0"), stages }
    }

    fn skipped(stage: &str, because: &str) -> Event {
        Event::StageSkipped { stage: stage.to_owned(), because: because.to_owned() }
    }

    fn tell(events: Vec<Event>) -> History {
        History::tell(events.into_iter().map(|event| Timed { at: 0, event }))
    }

    #[test]
    fn a_skipped_stage_says_whether_it_needs_what_failed() {
        let stages = || vec![outline("a", &[]), outline("b", &["a"]), outline("c", &["b"]), outline("d", &[])];
        let failed = Event::StageFailed {
            stage: "a".to_owned(),
            attempt: 1,
            error: "no".to_owned(),
            retry: false,
            seconds: 1.0,
        };
        let told = tell(vec![started(stages()), failed, skipped("b", "a"), skipped("c", "a"), skipped("d", "a")]);
        let reasons: Vec<&str> = told.stages.iter().map(|stage| stage.reason.as_str()).collect();
        let needs = "it needs what `a` was to make, and that failed";
        assert_eq!(reasons, ["no", needs, needs, "the run stopped before its turn, since `a` failed"]);
        let told = tell(vec![started(stages()), skipped("d", INTERRUPTION)]);
        assert_eq!(told.stages[3].reason, "the run was interrupted before its turn");
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
        let cached = |stage: &str, artifact: String| Event::StageCached {
            stage: stage.to_owned(),
            key: key.clone(),
            artifact,
            seconds: None,
        };
        let gone = format!("/old/place/cache/v1/artifacts/cd/{}/files", "cd".repeat(32));
        let stages = vec![outline("a", &[]), outline("b", &[]), outline("c", &[])];
        let events = vec![started(stages), cached("a", gone.clone()), cached("b", before.clone()), cached("c", before)];
        let mut told = tell(events);
        told.locate(&run);
        let found: Vec<PathBuf> = told.stages.iter().map(|stage| stage.artifact.clone().unwrap()).collect();
        assert_eq!(found, [PathBuf::from(gone), now.clone(), now]);
    }

    #[test]
    fn what_a_run_found_there_took_as_long_as_the_newest_run_that_made_it() {
        let folder = tempfile::tempdir().unwrap();
        let journal = |name: &str, seconds: f64| {
            let event =
                Event::StageFinished { stage: "a".to_owned(), key: "k".to_owned(), artifact: String::new(), seconds };
            let run = folder.path().join(name);
            fs::create_dir(&run).unwrap();
            fs::write(run.join("events.jsonl"), serde_json::to_string(&Timed { at: 0, event }).unwrap() + "\n")
                .unwrap();
            run
        };
        let (newer, older) = (journal("2", 2.0), journal("1", 1.0));
        let found = |stage: &str| Event::StageCached {
            stage: stage.to_owned(),
            key: "k".to_owned(),
            artifact: String::new(),
            seconds: None,
        };
        let mut told = tell(vec![started(vec![outline("a", &[]), outline("b", &[])]), found("a"), found("b")]);
        let mut unexplained = told.unexplained();
        told.recall(&newer, &mut unexplained).unwrap();
        assert!(unexplained.is_empty());
        told.recall(&older, &mut unexplained).unwrap();
        assert_eq!(told.stages.iter().map(|stage| stage.seconds).collect::<Vec<_>>(), [2.0, 2.0]);
    }
}
