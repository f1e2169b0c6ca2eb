//! `apeft logs`: prints a stage's log.

use std::{
    collections::BTreeSet,
    fs::File,
    io::{ErrorKind, Read, Seek, SeekFrom, Write},
    path::{Path, PathBuf},
    process::ExitCode,
    time::Duration,
};

use anyhow::Context as _;
use clap::Args;

use super::{
    run_name::named,
    shared_args::{ExperimentsArguments, WRONG},
};
use crate::{
    diagnostic::suggestion,
    rows::Cell,
    schedule::{
        event::RunEvent,
        journal::{self, JournalReader, RecordedRun},
        slurm::{JobFolder, JobFolders},
    },
};

#[derive(Args, Clone, Debug)]
#[command(after_help = "Examples:
  apeft logs tuned
  apeft logs tuned@preferences=general,seed=0 --follow
  apeft logs tuned --run quickstart --attempt 1")]
pub(super) struct LogsArguments {
    /// Stage, or one of its cells.
    stage: String,
    /// Follow the log until the stage ends, through all its attempts.
    #[arg(short, long)]
    follow: bool,
    /// Run, recipe name for its newest run, `latest`, or tag [default: the newest run with this
    /// stage].
    #[arg(long)]
    run: Option<String>,
    /// Attempt number [default: the last].
    #[arg(long, value_name = "N")]
    attempt: Option<u32>,
    #[command(flatten)]
    experiments: ExperimentsArguments,
}

pub(super) fn run(arguments: &LogsArguments) -> anyhow::Result<ExitCode> {
    let mut runs = journal::runs(arguments.experiments.there()?);
    if let Some(name) = &arguments.run {
        runs = named(name, &runs);
    }
    for recorded in &runs {
        if let Some(attempt) = find(&recorded.folder, arguments)? {
            let (only, store) = (arguments.attempt.is_some(), store_of(&recorded.folder)?);
            FollowedLog { recorded, attempt, store, only }.show(arguments.follow)?;
            return Ok(ExitCode::SUCCESS);
        }
    }
    let started = started(arguments)?;
    let names: Vec<&str> = started.iter().map(String::as_str).collect();
    if let Some(attempt) = arguments.attempt.filter(|_| started.contains(&arguments.stage)) {
        say!("error: no recorded run has an attempt {attempt} of `{}`", arguments.stage);
        return Ok(ExitCode::from(WRONG));
    }
    let place = arguments.experiments.experiments.display();
    say!("error: no run in {place} has an attempt of `{}`", arguments.stage);
    say!("  = help: {}", suggestion(&arguments.stage, "stages", &names));
    Ok(ExitCode::from(WRONG))
}

/// Stages with an attempt in any run, without cells.
fn started(arguments: &LogsArguments) -> anyhow::Result<BTreeSet<String>> {
    let mut names = BTreeSet::new();
    for recorded in journal::runs(&arguments.experiments.experiments) {
        let mut reader = JournalReader::open(&recorded.folder)?;
        while let Some(timed) = reader.next_with(STARTED)? {
            if let RunEvent::StageStarted { stage, .. } = timed.event {
                // All cells of a stage have the same first attempt; a name is to be suggested once.
                names.insert(Cell::parse(&stage).stage);
            }
        }
    }
    Ok(names)
}

/// Journal name of the event that starts an attempt.
const STARTED: &str = "stage_started";

/// An attempt of a stage.
struct Attempt {
    stage: String,
    number: u32,
    log: PathBuf,
    /// Its job on a cluster, which may outlive its run.
    job: Option<JobFolder>,
}

impl Attempt {
    /// The attempt that an event starts, if it is one.
    fn started(folder: &Path, store: &str, event: RunEvent) -> Option<Self> {
        let RunEvent::StageStarted { stage, attempt, log, key, pid, .. } = event else {
            return None;
        };
        let key = key.parse().ok().filter(|_| pid == 0);
        let job = key.map(|key| JobFolders::of(Path::new(store)).job(&key));
        Some(Self { stage, number: attempt, log: journal::log_of(folder, &log), job })
    }
}

/// The last attempt of a stage in a run.
fn find(folder: &Path, arguments: &LogsArguments) -> anyhow::Result<Option<Attempt>> {
    let mut last = None;
    let store = store_of(folder)?;
    let mut reader = JournalReader::open(folder)?;
    while let Some(timed) = reader.next_with(STARTED)? {
        let Some(found) = Attempt::started(folder, &store, timed.event) else { continue };
        let is_named =
            found.stage == arguments.stage || Cell::parse(&found.stage).stage == arguments.stage;
        if is_named && arguments.attempt.is_none_or(|wanted| wanted == found.number) {
            last = Some(found);
        }
    }
    Ok(last)
}

/// Folder of the store of a run; empty in older journals.
fn store_of(folder: &Path) -> anyhow::Result<String> {
    Ok(match JournalReader::open(folder)?.next_event()?.map(|timed| timed.event) {
        Some(RunEvent::RunStarted { store, .. }) => store,
        _ => String::new(),
    })
}

/// Shown logs: an attempt and its successors.
struct FollowedLog<'a> {
    recorded: &'a RecordedRun,
    attempt: Attempt,
    /// Folder of the run's store.
    store: String,
    /// Whether a specific attempt was requested.
    only: bool,
}

/// State of a followed attempt.
enum AttemptStanding {
    Running,
    /// It ended and a retry follows or has begun.
    Retrying(Option<Attempt>),
    Over,
}

impl FollowedLog<'_> {
    fn show(mut self, follow: bool) -> anyhow::Result<()> {
        let mut reader = JournalReader::open(&self.recorded.folder)?;
        let mut standing = AttemptStanding::Running;
        loop {
            let Attempt { stage, log, .. } = &self.attempt;
            say!("{stage} in {} {}: {}", self.recorded.recipe, self.recorded.run, log.display());
            let mut file = File::open(log)
                .with_context(|| format!("cannot read the log {}", log.display()))?;
            let mut output = std::io::stdout().lock();
            loop {
                // Checked before reading, so that the last lines are not missed.
                standing =
                    if follow { self.look(&mut reader, standing)? } else { AttemptStanding::Over };
                // In pieces, since a log may be larger than memory.
                match std::io::copy(&mut file, &mut output).and_then(|_| output.flush()) {
                    // A closed pipe means that the reader has seen enough.
                    Err(error) if error.kind() == ErrorKind::BrokenPipe => return Ok(()),
                    copied => copied.context("cannot write to stdout")?,
                }
                match standing {
                    AttemptStanding::Over => return Ok(()),
                    AttemptStanding::Retrying(Some(next)) => {
                        self.attempt = next;
                        standing = AttemptStanding::Running;
                        break;
                    }
                    AttemptStanding::Running | AttemptStanding::Retrying(None) => {
                        std::thread::sleep(Duration::from_millis(200))
                    }
                }
            }
        }
    }

    /// Continues reading the journal.
    fn look(
        &self,
        reader: &mut JournalReader,
        mut standing: AttemptStanding,
    ) -> anyhow::Result<AttemptStanding> {
        let alive = journal::is_alive(&self.recorded.folder)
            || self.attempt.job.as_ref().is_some_and(JobFolder::is_underway);
        while let Some(timed) = reader.next_with("\"stage_")? {
            match timed.event {
                RunEvent::StageFinished { stage, .. } if stage == self.attempt.stage => {
                    return Ok(AttemptStanding::Over);
                }
                RunEvent::StageFailed { stage, attempt, retry, .. }
                    if stage == self.attempt.stage && attempt >= self.attempt.number =>
                {
                    if !retry || self.only {
                        return Ok(AttemptStanding::Over);
                    }
                    standing = AttemptStanding::Retrying(None);
                }
                event => {
                    let next = Attempt::started(&self.recorded.folder, &self.store, event);
                    let next = next.filter(|next| {
                        next.stage == self.attempt.stage && next.number > self.attempt.number
                    });
                    if let Some(next) = next.filter(|_| !self.only) {
                        return Ok(AttemptStanding::Retrying(Some(next)));
                    }
                }
            }
        }
        Ok(if alive { standing } else { AttemptStanding::Over })
    }
}

/// Bytes of a log's end that are searched for its last lines.
const READ: u64 = 64 * 1024;
/// Characters of a log line that are shown.
const WIDEST: usize = 400;

/// The last lines of a log, read from its end, each cut to a limited width.
pub(super) fn tail(log: &Path, count: usize) -> std::io::Result<Vec<String>> {
    let mut file = File::open(log)?;
    let length = file.metadata()?.len();
    file.seek(SeekFrom::Start(length.saturating_sub(READ)))?;
    let mut bytes = Vec::new();
    file.take(READ).read_to_end(&mut bytes)?;
    let text = String::from_utf8_lossy(&bytes);
    let lines: Vec<&str> = text.lines().collect();
    Ok(lines[lines.len().saturating_sub(count)..].iter().map(|line| cut(line)).collect())
}

fn cut(line: &str) -> String {
    match line.char_indices().nth(WIDEST) {
        Some((end, _)) => format!("{} ...", &line[..end]),
        None => line.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_a_long_log_only_the_end_is_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        // A sparse file much larger than memory, then two lines.
        let mut file = File::create(&path).unwrap();
        file.seek(SeekFrom::Start(1 << 42)).unwrap();
        file.write_all(format!("\none\n{}\n", "é".repeat(1000)).as_bytes()).unwrap();
        let lines = tail(&path, 2).unwrap();
        assert_eq!(lines[0], "one");
        assert_eq!(lines[1], format!("{} ...", "é".repeat(400)));
        std::fs::write(&path, "a\nb").unwrap();
        assert_eq!(tail(&path, 12).unwrap(), ["a", "b"]);
        std::fs::write(&path, "").unwrap();
        assert_eq!(tail(&path, 12).unwrap(), [""; 0]);
    }
}
