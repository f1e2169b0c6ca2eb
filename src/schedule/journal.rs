//! The journal of a run: its folder, its events as JSON lines, and reading them back.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs::{self, File, TryLockError},
    io::{self, Write},
    path::{Path, PathBuf},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use super::event::{Event, Timed};
use crate::{digest::Digest, stage::Report};

/// A run's folder and its growing list of events. What cannot be recorded is warned of once and breaks nothing.
#[derive(Debug)]
pub struct Journal {
    /// The run's identifier: when it began, in UTC.
    pub run: String,
    /// `experiments/<recipe>/<run>`.
    pub folder: PathBuf,
    file: Option<File>,
}

/// A run that was recorded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recorded {
    /// The recipe's name.
    pub recipe: String,
    /// The run's identifier.
    pub run: String,
    /// Its folder.
    pub folder: PathBuf,
}

impl Journal {
    /// Makes the folder of a new run, with the resolved recipe in it, and points `latest` to it.
    pub fn create(experiments: &Path, recipe: &str, resolved: &str) -> Self {
        let began = utc(now());
        let parent = experiments.join(safe_name(recipe));
        let parent = std::path::absolute(&parent).unwrap_or(parent);
        let mut journal = Self { run: began.clone(), folder: parent.join(&began), file: None };
        match journal.begin(&parent, &began, resolved) {
            Ok(file) => journal.file = Some(file),
            Err(error) => tracing::warn!("the run is not recorded in {}: {error}", journal.folder.display()),
        }
        journal
    }

    fn begin(&mut self, parent: &Path, began: &str, resolved: &str) -> io::Result<File> {
        fs::create_dir_all(parent)?;
        let mut count = 1;
        while let Err(error) = fs::create_dir(&self.folder) {
            if error.kind() != io::ErrorKind::AlreadyExists {
                return Err(error);
            }
            count += 1;
            self.run = format!("{began}-{count}");
            self.folder = parent.join(&self.run);
        }
        fs::create_dir(self.folder.join("logs"))?;
        fs::write(self.folder.join("recipe.toml"), resolved)?;
        let file = File::create(self.folder.join("events.jsonl"))?;
        // Held as long as the run lives, so that others can tell.
        file.lock()?;
        let link = parent.join(format!(".latest-{}", std::process::id()));
        std::os::unix::fs::symlink(&self.run, &link)?;
        fs::rename(&link, parent.join("latest"))?;
        Ok(file)
    }

    /// Writes an event down, progress excepted.
    pub fn record(&mut self, event: &Timed) {
        if matches!(&event.event, Event::StageReported { report: Report::Progress { .. }, .. }) {
            return;
        }
        let Some(file) = &mut self.file else { return };
        let line = serde_json::to_string(event).expect("plain data can be written") + "\n";
        if let Err(error) = file.write_all(line.as_bytes()) {
            tracing::warn!("the run is not recorded any further in {}: {error}", self.folder.display());
            self.file = None;
        }
    }

    /// The file for the output of an attempt.
    pub fn log(&self, stage: &str, attempt: u32) -> PathBuf {
        self.folder.join("logs").join(format!("{}.{attempt}.log", safe_name(stage)))
    }
}

/// The events of a run; a torn last line is left out, as are lines of later versions.
///
/// # Errors
/// Where there is no journal.
pub fn read(folder: &Path) -> io::Result<Vec<Timed>> {
    let text = fs::read(folder.join("events.jsonl"))?;
    Ok(text.split(|byte| *byte == b'\n').filter_map(|line| serde_json::from_slice(line).ok()).collect())
}

/// Whether the process that records a run still lives.
pub fn is_alive(folder: &Path) -> bool {
    File::open(folder.join("events.jsonl"))
        .is_ok_and(|file| matches!(file.try_lock_shared(), Err(TryLockError::WouldBlock)))
}

/// The keys that the last runs of each recipe used or were about to make.
pub fn referenced(experiments: &Path, last: usize) -> BTreeSet<Digest> {
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    let mut keys = BTreeSet::new();
    for recorded in runs(experiments) {
        let count = counts.entry(recorded.recipe).or_default();
        *count += 1;
        if *count <= last || is_alive(&recorded.folder) {
            keys.extend(read(&recorded.folder).unwrap_or_default().iter().filter_map(|timed| key(&timed.event)));
        }
    }
    keys
}

fn key(event: &Event) -> Option<Digest> {
    match event {
        Event::StageCached { key, .. } | Event::StageStarted { key, .. } | Event::StageFinished { key, .. } => {
            key.parse().ok()
        }
        _ => None,
    }
}

/// All recorded runs, newest first.
pub fn runs(experiments: &Path) -> Vec<Recorded> {
    let folders = |path: &Path| {
        let entries = fs::read_dir(path).into_iter().flatten().flatten();
        let folders = entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()));
        folders.filter_map(|entry| Some((entry.file_name().to_str()?.to_owned(), entry.path()))).collect::<Vec<_>>()
    };
    let mut runs = Vec::new();
    for (recipe, path) in folders(experiments) {
        for (run, folder) in folders(&path).into_iter().filter(|(_, folder)| folder.join("events.jsonl").exists()) {
            runs.push(Recorded { recipe: recipe.clone(), run, folder });
        }
    }
    runs.sort_by(|one, other| age(&other.run).cmp(&age(&one.run)).then_with(|| one.recipe.cmp(&other.recipe)));
    runs
}

/// A run's identifier as time and number, since `-10` comes after `-2`.
fn age(run: &str) -> (&str, u32) {
    const TIME: usize = "2026-11-23T04-49-05".len();
    match (run.get(..TIME), run.get(TIME + 1..)) {
        (Some(time), Some(count)) => (time, count.parse().unwrap_or(1)),
        _ => (run, 1),
    }
}

/// The same name, as that of one file.
pub fn safe_name(name: &str) -> String {
    let safe =
        |character: char| if character.is_alphanumeric() || "@=,.-_+".contains(character) { character } else { '_' };
    let text: String = name.chars().map(safe).collect();
    let text = if text.starts_with('.') { format!("_{text}") } else { text };
    if text == name && text.len() <= 120 {
        return text;
    }
    // Others might be the same but for what was replaced.
    let short: String = text.chars().take(60).collect();
    format!("{short}-{}", &blake3::hash(name.as_bytes()).to_hex()[..8])
}

/// Time since the Unix epoch.
pub fn now() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}

/// A time as `2026-11-23T04-49-05`, in UTC (the days as in Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms").
fn utc(since: Duration) -> String {
    let seconds = since.as_secs();
    let (days, second) = (seconds / 86_400, seconds % 86_400);
    let shifted = days + 719_468;
    let (era, day_of_era) = (shifted / 146_097, shifted % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    format!("{year:04}-{month:02}-{day:02}T{:02}-{:02}-{:02}", second / 3600, second / 60 % 60, second % 60)
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
        let mut journals: Vec<Journal> = (0..3).map(|_| Journal::create(folder.path(), "quick", "name = 1")).collect();
        for journal in &mut journals {
            journal.record(&Timed { at: 1, event: Event::Interrupted });
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
    fn a_run_that_cannot_be_recorded_goes_on() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("experiments"), "a file").unwrap();
        let mut journal = Journal::create(&folder.path().join("experiments"), "quick", "");
        journal.record(&Timed { at: 1, event: Event::Interrupted });
    }
}
