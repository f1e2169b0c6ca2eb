//! `apeft logs`: what a stage printed.

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

use super::common::{ExperimentsArguments, WRONG};
use crate::{
    diagnostic::suggestion,
    schedule::{
        event::Event,
        journal::{self, Reader, Recorded},
    },
};

#[derive(Args, Clone, Debug)]
pub(super) struct LogsArguments {
    /// The stage, or one of its cells.
    stage: String,
    /// Goes on until the stage ends, through all its attempts.
    #[arg(short, long)]
    follow: bool,
    /// A recipe's name, or a run's [default: the newest run in which the stage ran].
    #[arg(long)]
    run: Option<String>,
    /// Which attempt [default: the last].
    #[arg(long, value_name = "N")]
    attempt: Option<u32>,
    #[command(flatten)]
    experiments: ExperimentsArguments,
}

pub(super) fn run(arguments: &LogsArguments) -> anyhow::Result<ExitCode> {
    for recorded in journal::runs(&arguments.experiments.experiments) {
        if arguments.run.as_ref().is_some_and(|name| *name != recorded.run && *name != recorded.recipe) {
            continue;
        }
        if let Some(attempt) = find(&recorded.folder, arguments)? {
            Shown { recorded: &recorded, attempt, only: arguments.attempt.is_some() }.show(arguments.follow)?;
            return Ok(ExitCode::SUCCESS);
        }
    }
    let started = started(arguments)?;
    let names: Vec<&str> = started.iter().map(String::as_str).collect();
    if let Some(attempt) = arguments.attempt.filter(|_| started.contains(&arguments.stage)) {
        say!("error: no recorded run has an attempt {attempt} at `{}`", arguments.stage);
        return Ok(ExitCode::from(WRONG));
    }
    say!("error: no recorded run has an attempt at `{}`", arguments.stage);
    say!("  = help: {}", suggestion(&arguments.stage, "stages", &names));
    Ok(ExitCode::from(WRONG))
}

/// The stages, without their cells, that some run has begun.
fn started(arguments: &LogsArguments) -> anyhow::Result<BTreeSet<String>> {
    let mut names = BTreeSet::new();
    for recorded in journal::runs(&arguments.experiments.experiments) {
        let mut reader = Reader::open(&recorded.folder)?;
        while let Some(timed) = reader.next_with(STARTED)? {
            if let Event::StageStarted { stage, .. } = timed.event {
                names.insert(stage.split('@').next().unwrap_or_default().to_owned());
            }
        }
    }
    Ok(names)
}

/// How a journal writes that an attempt began.
const STARTED: &str = "stage_started";

/// An attempt at a stage.
struct Attempt {
    stage: String,
    number: u32,
    log: PathBuf,
}

/// The last attempt at a stage in a run.
fn find(folder: &Path, arguments: &LogsArguments) -> anyhow::Result<Option<Attempt>> {
    let cell = format!("{}@", arguments.stage);
    let mut last = None;
    let mut reader = Reader::open(folder)?;
    while let Some(timed) = reader.next_with(STARTED)? {
        if let Event::StageStarted { stage, attempt, log, .. } = timed.event
            && (stage == arguments.stage || stage.starts_with(&cell))
            && arguments.attempt.is_none_or(|wanted| wanted == attempt)
        {
            last = Some(Attempt { stage, number: attempt, log: journal::log_of(folder, &log) });
        }
    }
    Ok(last)
}

/// What is shown of a run: an attempt, and the ones that follow it.
struct Shown<'a> {
    recorded: &'a Recorded,
    attempt: Attempt,
    /// Whether only this attempt was asked for.
    only: bool,
}

/// What the journal says of an attempt that is followed.
enum Standing {
    Running,
    /// It ended, and the stage is tried again: perhaps it is already.
    Retrying(Option<Attempt>),
    Over,
}

impl Shown<'_> {
    fn show(mut self, follow: bool) -> anyhow::Result<()> {
        let mut reader = Reader::open(&self.recorded.folder)?;
        let mut standing = Standing::Running;
        loop {
            let Attempt { stage, log, .. } = &self.attempt;
            say!("{stage} in {} {}: {}", self.recorded.recipe, self.recorded.run, log.display());
            let mut file = File::open(log).with_context(|| format!("cannot read the log {}", log.display()))?;
            let mut output = std::io::stdout().lock();
            loop {
                // Asked before reading, so that the last lines are not missed.
                standing = if follow { self.look(&mut reader, standing)? } else { Standing::Over };
                match std::io::copy(&mut file, &mut output).and_then(|_| output.flush()) {
                    // Whoever read it has seen enough.
                    Err(error) if error.kind() == ErrorKind::BrokenPipe => return Ok(()),
                    copied => copied.context("cannot write to stdout")?,
                }
                match standing {
                    Standing::Over => return Ok(()),
                    Standing::Retrying(Some(next)) => {
                        self.attempt = next;
                        standing = Standing::Running;
                        break;
                    }
                    Standing::Running | Standing::Retrying(None) => std::thread::sleep(Duration::from_millis(200)),
                }
            }
        }
    }

    /// Reads on in the journal, from where the last look ended.
    fn look(&self, reader: &mut Reader, mut standing: Standing) -> anyhow::Result<Standing> {
        let alive = journal::is_alive(&self.recorded.folder);
        while let Some(timed) = reader.next_with("\"stage_")? {
            match timed.event {
                Event::StageFinished { stage, .. } if stage == self.attempt.stage => return Ok(Standing::Over),
                Event::StageFailed { stage, attempt, retry, .. }
                    if stage == self.attempt.stage && attempt >= self.attempt.number =>
                {
                    if !retry || self.only {
                        return Ok(Standing::Over);
                    }
                    standing = Standing::Retrying(None);
                }
                Event::StageStarted { stage, attempt, log, .. }
                    if stage == self.attempt.stage && attempt > self.attempt.number && !self.only =>
                {
                    let log = journal::log_of(&self.recorded.folder, &log);
                    return Ok(Standing::Retrying(Some(Attempt { stage, number: attempt, log })));
                }
                _ => {}
            }
        }
        Ok(if alive { standing } else { Standing::Over })
    }
}

/// The last lines of a log, of which only the end is read, each cut to what a terminal has room for.
pub(super) fn tail(log: &Path, count: usize) -> std::io::Result<Vec<String>> {
    const READ: u64 = 64 * 1024;
    const WIDEST: usize = 400;
    let mut file = File::open(log)?;
    let length = file.metadata()?.len();
    file.seek(SeekFrom::Start(length.saturating_sub(READ)))?;
    let mut bytes = Vec::new();
    file.take(READ).read_to_end(&mut bytes)?;
    let text = String::from_utf8_lossy(&bytes);
    let lines: Vec<&str> = text.lines().collect();
    let cut = |line: &&str| match line.char_indices().nth(WIDEST) {
        Some((end, _)) => format!("{} ...", &line[..end]),
        None => (*line).to_owned(),
    };
    Ok(lines[lines.len().saturating_sub(count)..].iter().map(cut).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_a_long_log_only_the_end_is_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        // Far larger than memory: a hole in the file, and then two lines.
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
