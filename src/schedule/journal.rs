//! Journal of a run: its folder, and its events as JSON lines.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs::{self, File},
    io::{self, BufRead, BufReader, Write},
    path::{Path, PathBuf},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use jiff::Timestamp;
use serde_json::Value;

pub use super::recorded::{RecordedRun, runs, siblings};
use super::{
    event::{AttemptRecord, RunEvent, Timed},
    label::RunLabel,
    recorded::{EVENTS, LATEST, list, sort},
};
use crate::{context::StageEvent, digest::Digest, store::FileLock};

/// The folder of a run and its journal. Write errors are warned of once and never fail the run.
#[derive(Debug)]
pub struct Journal {
    /// Identifier of the run: its start in UTC.
    pub run: String,
    /// `experiments/<recipe>/<run>`.
    pub folder: PathBuf,
    file: Option<File>,
    alive: Option<FileLock>,
    /// Whether a full disk may have torn the last line.
    torn: bool,
    /// Whether events wait for others before they are written.
    gathers: bool,
    /// Lines of events that wait.
    unwritten: String,
}

/// A reader of a possibly growing journal, which continues from its last position.
#[derive(Debug)]
pub struct JournalReader {
    file: BufReader<File>,
    line: Vec<u8>,
    /// Number of lines with events of a newer version.
    pub passed_over: usize,
}

/// Keys named by the runs in a folder.
#[derive(Debug, Default)]
pub struct NamedKeys {
    /// Keys of the last runs of each recipe, and of running ones.
    pub recent: BTreeSet<Digest>,
    /// Keys of all runs.
    pub all: BTreeSet<Digest>,
    /// End of the last run that named a key.
    pub used: BTreeMap<Digest, SystemTime>,
    /// Number of runs.
    pub runs: usize,
}

/// Bytes that are written together at most, if events are gathered.
const GATHERED: usize = 64 << 10;

impl Journal {
    /// Makes the folder of a new run with the resolved recipe, and points `latest` to it. Each step
    /// may fail independently; without a folder there is no journal.
    pub fn create(experiments: &Path, recipe: &str, resolved: &str) -> Self {
        let began = utc(now());
        let parent = experiments.join(safe_name(recipe));
        let parent = std::path::absolute(&parent).unwrap_or(parent);
        let mut journal = Self {
            run: began.clone(),
            folder: parent.join(&began),
            file: None,
            alive: None,
            torn: false,
            gathers: false,
            unwritten: String::new(),
        };
        match journal.begin(&parent, &began) {
            Ok(file) => journal.file = Some(file),
            Err(error) => {
                tracing::warn!("the run is not recorded in {}: {error}", journal.folder.display());
                return journal;
            }
        }
        for (what, done) in [
            ("its logs are not kept", fs::create_dir(journal.folder.join("logs"))),
            ("its recipe is not kept", fs::write(journal.folder.join("recipe.toml"), resolved)),
            ("`latest` does not point to it", journal.point_latest(&parent)),
        ] {
            if let Err(error) = done {
                tracing::warn!(
                    "the run is recorded in {}, but {what}: {error}",
                    journal.folder.display()
                );
            }
        }
        journal
    }

    fn begin(&mut self, parent: &Path, began: &str) -> io::Result<File> {
        fs::create_dir_all(parent)?;
        // Two runs may begin in the same second.
        let mut count = 1;
        while let Err(error) = fs::create_dir(&self.folder) {
            if error.kind() != io::ErrorKind::AlreadyExists {
                return Err(error);
            }
            count += 1;
            self.run = format!("{began}-{count}");
            self.folder = parent.join(&self.run);
        }
        let path = self.folder.join(EVENTS);
        let file = File::create(&path)?;
        self.alive = FileLock::outside(&file, &path)
            .inspect_err(|error| tracing::warn!("`status` takes this run for killed: {error}"))
            .ok();
        Ok(file)
    }

    /// Points the link `latest` to this run. Anything but a link belongs to the user and is kept.
    fn point_latest(&self, parent: &Path) -> io::Result<()> {
        let latest = parent.join(LATEST);
        match fs::symlink_metadata(&latest) {
            Ok(kind) if !kind.is_symlink() => {
                return Err(io::Error::other(
                    "its name is taken by a file or folder, which is kept",
                ));
            }
            _ => {}
        }
        // Renamed over the old one, so that there is a link at any time.
        let link = parent.join(format!(".{LATEST}-{}", self.run));
        std::os::unix::fs::symlink(&self.run, &link)?;
        fs::rename(&link, latest).inspect_err(|_| drop(fs::remove_file(&link)))
    }

    /// Appends an event, except progress. A full disk loses events, but no later ones.
    pub fn record(&mut self, event: &Timed) {
        if matches!(
            &event.event,
            RunEvent::StageReported { report: StageEvent::Progress { .. }, .. }
        ) {
            return;
        }
        self.unwritten += &serde_json::to_string(event).expect("plain data can be written");
        self.unwritten.push('\n');
        if !self.gathers || self.unwritten.len() >= GATHERED {
            self.write_gathered();
        }
    }

    /// Writes the events that follow together, until this is ended.
    pub(super) fn gather(&mut self, gathers: bool) {
        self.gathers = gathers;
        if !gathers {
            self.write_gathered();
        }
    }

    fn write_gathered(&mut self) {
        let lines = std::mem::take(&mut self.unwritten);
        let Some(file) = self.file.as_mut().filter(|_| !lines.is_empty()) else { return };
        // In one write with its newline; after half a line, on a line of its own.
        let lines = if self.torn { format!("\n{lines}") } else { lines };
        match file.write_all(lines.as_bytes()) {
            Ok(()) => self.torn = false,
            Err(error) if !self.torn => {
                tracing::warn!(
                    "an event of the run is not recorded in {}: {error}",
                    self.folder.display()
                );
                self.torn = true;
            }
            Err(_) => {}
        }
    }

    /// Log file of an attempt.
    pub fn log(&self, stage: &str, attempt: u32) -> PathBuf {
        self.folder.join("logs").join(format!("{}.{attempt}.log", safe_name(stage)))
    }
}

impl JournalReader {
    /// Opens the journal of a run.
    ///
    /// # Errors
    /// If there is none.
    pub fn open(folder: &Path) -> io::Result<Self> {
        let file = BufReader::new(File::open(folder.join(EVENTS))?);
        Ok(Self { file, line: Vec::new(), passed_over: 0 })
    }

    /// The next event, or none at the current end, after which it may be called again. Torn lines
    /// and lines of newer versions are skipped.
    ///
    /// # Errors
    /// If the file cannot be read.
    pub fn next_event(&mut self) -> io::Result<Option<Timed>> {
        while self.next_line()? {
            if let Ok(event) = Timed::parse(&self.line) {
                self.line.clear();
                return Ok(Some(event));
            }
            self.passed_over += usize::from(is_an_event(&self.line));
            self.line.clear();
        }
        // An event may be complete without its newline; a torn one is no valid JSON.
        let last = Timed::parse(&self.line).ok();
        last.is_some().then(|| self.line.clear());
        Ok(last)
    }

    /// The next event whose line contains a certain word; other lines are not parsed.
    ///
    /// # Errors
    /// If the file cannot be read.
    pub fn next_with(&mut self, word: &str) -> io::Result<Option<Timed>> {
        while self.next_line()? {
            // The event's name is near the beginning of its line.
            let head = &self.line[..self.line.len().min(HEAD)];
            let first = word.as_bytes().first();
            let found = head
                .windows(word.len())
                .any(|window| window.first() == first && window == word.as_bytes());
            let event = found.then(|| Timed::parse(&self.line).ok()).flatten();
            self.line.clear();
            if event.is_some() {
                return Ok(event);
            }
        }
        Ok(None)
    }

    /// Reads to the end of a line; none if it is incomplete.
    fn next_line(&mut self) -> io::Result<bool> {
        self.file.read_until(b'\n', &mut self.line)?;
        Ok(self.line.ends_with(b"\n"))
    }
}

/// Number of bytes searched for the event's name.
const HEAD: usize = 256;

fn is_an_event(line: &[u8]) -> bool {
    serde_json::from_slice::<Value>(line).is_ok_and(|line| line.get("event").is_some())
}

/// The events of a run, without a torn last line and lines of newer versions.
///
/// # Errors
/// If there is no journal.
pub fn read(folder: &Path) -> io::Result<Vec<Timed>> {
    let mut reader = JournalReader::open(folder)?;
    let mut events = Vec::new();
    while let Some(event) = reader.next_event()? {
        events.push(event);
    }
    Ok(events)
}

/// Whether the process that records a run is alive.
pub fn is_alive(folder: &Path) -> bool {
    let path = folder.join(EVENTS);
    File::open(&path).and_then(|file| FileLock::is_held(&file, &path)).unwrap_or(false)
}

/// Path of a run's log, also after its folder was moved.
pub fn log_of(folder: &Path, recorded: &str) -> PathBuf {
    let beside = Path::new(recorded).file_name().map(|name| folder.join("logs").join(name));
    beside.filter(|log| log.exists()).unwrap_or_else(|| PathBuf::from(recorded))
}

/// Keys used or about to be made by the runs in a folder, and those of the last runs of each
/// recipe.
///
/// # Errors
/// If anything cannot be read, since the keys in use are unknown then.
pub fn named(experiments: &Path, last: usize) -> io::Result<NamedKeys> {
    let mut named = NamedKeys::default();
    let mut counts: BTreeMap<String, [usize; 2]> = BTreeMap::new();
    // Newest first, so that the first N of a recipe are its last runs.
    let mut found = list(experiments)?;
    sort(&mut found);
    for recorded in found {
        let (keys, is_finished) = keys(&recorded.folder).map_err(|error| {
            io::Error::new(
                error.kind(),
                format!("{}: {error}", recorded.folder.join(EVENTS).display()),
            )
        })?;
        named.runs += 1;
        let is_copy = recorded.run == LATEST;
        let [runs, finished] = counts.entry(recorded.recipe).or_default();
        *runs += usize::from(!is_copy);
        *finished += usize::from(!is_copy && is_finished);
        // A copy in place of the link `latest` is meant to be kept. Failed runs displace no
        // finished one, but are counted: a recipe that never finishes must not fill the disk.
        let is_recent = *runs <= last || is_finished && *finished <= last;
        if is_recent || is_copy || is_alive(&recorded.folder) {
            named.recent.extend(&keys);
        }
        let at = fs::metadata(recorded.folder.join(EVENTS)).and_then(|found| found.modified());
        for key in keys {
            named.all.insert(key);
            let used = named.used.entry(key).or_insert(UNIX_EPOCH);
            *used = (*used).max(*at.as_ref().unwrap_or(used));
        }
    }
    Ok(named)
}

/// Keys that a run made, found or was about to make.
///
/// # Errors
/// If its journal cannot be read.
pub fn keys_of(folder: &Path) -> io::Result<BTreeSet<Digest>> {
    Ok(keys(folder)?.0)
}

/// All keys in a journal, including lines of newer versions and torn ones, and whether the run
/// finished without a failure.
fn keys(folder: &Path) -> io::Result<(BTreeSet<Digest>, bool)> {
    let mut reader = JournalReader::open(folder)?;
    let (mut keys, mut is_finished) = (BTreeSet::new(), false);
    // The last line may lack its newline, and is searched too.
    let mut more = true;
    while more {
        more = reader.next_line()?;
        let line = String::from_utf8_lossy(&reader.line);
        // Searched as text: keys of events that this version does not know are in use too.
        let fields = line.split("\"key\"").skip(1).filter_map(|rest| {
            let value = rest.trim_start_matches([':', ' ']).strip_prefix('"')?;
            value.split('"').next()?.parse::<Digest>().ok()
        });
        keys.extend(fields);
        is_finished |= line.contains("\"run_finished\"") && line.contains("\"ok\":true");
        reader.line.clear();
    }
    Ok((keys, is_finished))
}

/// Passes on stage, key and attempt of each artifact that a run made or found.
///
/// # Errors
/// If the journal cannot be read.
pub fn each_artifact(
    folder: &Path,
    mut note: impl FnMut(String, String, AttemptRecord),
) -> io::Result<()> {
    let mut reader = JournalReader::open(folder)?;
    let mut running: BTreeMap<String, AttemptRecord> = BTreeMap::new();
    // Only events of stages have artifacts; a journal is mostly metrics.
    while let Some(timed) = reader.next_with("\"stage_")? {
        match timed.event {
            RunEvent::StageStarted { stage, .. } => drop(running.remove(&stage)),
            RunEvent::StageReported { stage, report: StageEvent::Note { text } } => {
                running.entry(stage).or_default().notes.push(text);
            }
            RunEvent::StageReported { stage, report: StageEvent::Warning { text } } => {
                running.entry(stage).or_default().warnings.push(text);
            }
            RunEvent::StageFinished { stage, key, seconds, .. } => {
                let made = running.remove(&stage).unwrap_or_default();
                note(stage, key, AttemptRecord { seconds: Some(seconds), ..made });
            }
            RunEvent::StageCached { stage, key, made, .. } => note(stage, key, made),
            _ => {}
        }
    }
    Ok(())
}

/// Note and tags of a run; none if its journal cannot be read.
pub fn label_of(folder: &Path) -> RunLabel {
    let labelled =
        JournalReader::open(folder).and_then(|mut reader| reader.next_with("\"run_labelled\""));
    match labelled {
        Ok(Some(Timed { event: RunEvent::RunLabelled { label }, .. })) => label,
        _ => RunLabel::default(),
    }
}

/// Size of a run's journal in bytes.
pub fn size(folder: &Path) -> u64 {
    fs::metadata(folder.join(EVENTS)).map_or(0, |metadata| metadata.len())
}

/// A stage name as a file name.
pub fn safe_name(name: &str) -> String {
    let text =
        name.replace(|letter: char| !letter.is_alphanumeric() && !"@=,.-_+".contains(letter), "_");
    let text = if text.starts_with('.') { format!("_{text}") } else { text };
    // File systems allow 255 bytes, and attempts append to the name.
    if text == name && text.len() <= 120 {
        return text;
    }
    // A digest keeps replaced names distinct.
    let short: String = text.chars().take(60).collect();
    format!("{short}-{}", &blake3::hash(name.as_bytes()).to_hex()[..8])
}

/// Time since the Unix epoch.
pub fn now() -> Duration {
    // A clock before 1970 must not end a run.
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}

/// A UTC time as `2026-11-23T04-49-05`: without colons, which some file systems refuse.
fn utc(since: Duration) -> String {
    let time = Timestamp::try_from(UNIX_EPOCH + since).unwrap_or_default();
    time.strftime("%Y-%m-%dT%H-%M-%S").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_those_of_the_calendar() {
        for (seconds, expected) in [
            (0, "1970-01-01T00-00-00"),
            (951_782_400, "2000-02-29T00-00-00"),
            (1_709_251_199, "2024-02-29T23-59-59"),
            (1_795_409_345, "2026-11-23T04-49-05"),
            (4_102_444_800, "2100-01-01T00-00-00"),
        ] {
            assert_eq!(utc(Duration::from_secs(seconds)), expected);
        }
    }

    #[test]
    fn names_of_stages_become_names_of_files_and_stay_different() {
        assert_eq!(safe_name("tuned@algorithm=dpo,seed=0"), "tuned@algorithm=dpo,seed=0");
        assert!(!safe_name("a/b").contains('/') && safe_name("a/b") != safe_name("a b"));
        assert!(safe_name("..").starts_with('_') && safe_name(&"é".repeat(300)).len() < 160);
    }

    #[test]
    fn a_torn_line_is_left_out_and_runs_come_newest_first() {
        let folder = tempfile::tempdir().unwrap();
        let mut journals: Vec<Journal> =
            (0..3).map(|_| Journal::create(folder.path(), "quick", "name = 1")).collect();
        for journal in &mut journals {
            journal.record(&Timed { at: 1, event: RunEvent::Interrupted });
        }
        let found = runs(folder.path());
        assert_eq!(
            found.iter().map(|run| &run.run).collect::<Vec<_>>(),
            journals.iter().rev().map(|run| &run.run).collect::<Vec<_>>()
        );
        let latest = fs::canonicalize(folder.path().join("quick/latest")).unwrap();
        assert_eq!(latest, fs::canonicalize(&journals[2].folder).unwrap());
        let path = latest.join("events.jsonl");
        let mut text = fs::read_to_string(&path).unwrap();
        text.push_str("{\"at\": 2, \"event\": \"inter");
        fs::write(&path, text).unwrap();
        assert_eq!(read(&latest).unwrap().len(), 1);
    }

    #[test]
    fn what_has_the_name_of_the_link_stays_and_the_run_is_recorded_all_the_same() {
        for file in [false, true] {
            let folder = tempfile::tempdir().unwrap();
            let latest = folder.path().join("quick/latest");
            fs::create_dir(latest.parent().unwrap()).unwrap();
            if file {
                fs::write(&latest, "a note").unwrap();
            } else {
                fs::create_dir(&latest).unwrap();
                fs::write(latest.join("events.jsonl"), "").unwrap();
            }
            let mut journal = Journal::create(folder.path(), "quick", "name = 1");
            journal.record(&Timed { at: 1, event: RunEvent::Interrupted });
            assert_eq!(read(&journal.folder).unwrap().len(), 1);
            assert!(
                journal.folder.join("logs").is_dir()
                    && journal.folder.join("recipe.toml").is_file()
            );
            let kept = if file { fs::read_to_string(&latest).unwrap() } else { String::new() };
            assert!(kept == "a note" || latest.join("events.jsonl").is_file());
            assert_eq!(
                runs(folder.path()).iter().map(|run| &run.run).collect::<Vec<_>>(),
                [&journal.run]
            );
            assert_eq!(
                fs::read_dir(folder.path().join("quick")).unwrap().count(),
                2,
                "no half link is left"
            );
        }
    }

    #[test]
    fn a_link_that_leads_nowhere_is_replaced() {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("quick")).unwrap();
        std::os::unix::fs::symlink("gone", folder.path().join("quick/latest")).unwrap();
        let journal = Journal::create(folder.path(), "quick", "");
        assert_eq!(
            fs::read_link(folder.path().join("quick/latest")).unwrap(),
            Path::new(&journal.run)
        );
    }

    #[test]
    fn keys_are_found_in_lines_of_any_version_whole_or_torn() {
        let folder = tempfile::tempdir().unwrap();
        let key = |digit: &str| digit.repeat(64);
        let text = [
            format!(
                "{{\"at\":1,\"event\":\"stage_cached\",\"stage\":\"a\",\"key\":\"{}\",\"artifact\":\"x\"}}",
                key("a")
            ),
            format!(
                "{{\"at\": 2, \"event\": \"stage_mailed\", \"key\": \"{}\", \"to\": 3}}",
                key("b")
            ),
            "\u{fffd}\0 junk".to_owned(),
            format!(
                "{{\"at\":4,\"event\":\"stage_started\",\"stage\":\"c\",\"key\":\"{}\",\"att",
                key("c")
            ),
        ];
        let run = folder.path().join("quick/2026-01-01T00-00-00");
        fs::create_dir_all(&run).unwrap();
        fs::write(run.join("events.jsonl"), text.join("\n")).unwrap();
        let named = named(folder.path(), 1).unwrap();
        let expected: BTreeSet<Digest> =
            ["a", "b", "c"].map(|digit| key(digit).parse().unwrap()).into();
        assert_eq!((named.runs, &named.all, &named.recent), (1, &expected, &expected));
        let mut reader = JournalReader::open(&run).unwrap();
        assert!(matches!(
            reader.next_event().unwrap().unwrap().event,
            RunEvent::StageCached { .. }
        ));
        assert!(reader.next_event().unwrap().is_none());
        assert_eq!(reader.passed_over, 1, "a line of a newer version is counted, junk is not");
    }

    #[test]
    fn a_reader_goes_on_where_the_journal_ended() {
        let folder = tempfile::tempdir().unwrap();
        let mut journal = Journal::create(folder.path(), "quick", "");
        let mut reader = JournalReader::open(&journal.folder).unwrap();
        assert!(reader.next_event().unwrap().is_none());
        journal.record(&Timed { at: 1, event: RunEvent::Interrupted });
        assert_eq!(reader.next_event().unwrap().unwrap().at, 1);
        let file = journal.file.as_mut().unwrap();
        file.write_all(b"{\"at\":2,\"event\":").unwrap();
        assert!(reader.next_event().unwrap().is_none());
        file.write_all(b"\"interrupted\"}\n").unwrap();
        assert_eq!(reader.next_event().unwrap().unwrap().at, 2);
        assert!(reader.next_event().unwrap().is_none());
    }

    #[test]
    fn an_event_that_a_full_disk_swallowed_costs_only_itself() {
        let folder = tempfile::tempdir().unwrap();
        let mut journal = Journal::create(folder.path(), "quick", "");
        let event = |at| Timed { at, event: RunEvent::Interrupted };
        journal.record(&event(1));
        let good = journal.file.replace(File::options().write(true).open("/dev/full").unwrap());
        journal.record(&event(2));
        journal.file = good;
        journal.record(&event(3));
        assert_eq!(
            read(&journal.folder).unwrap().iter().map(|event| event.at).collect::<Vec<_>>(),
            [1, 3]
        );
    }

    #[test]
    fn a_run_that_cannot_be_recorded_goes_on() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("experiments"), "a file").unwrap();
        let mut journal = Journal::create(&folder.path().join("experiments"), "quick", "");
        journal.record(&Timed { at: 1, event: RunEvent::Interrupted });
    }
}
