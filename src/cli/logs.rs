//! `apeft logs`: what a stage printed.

use std::{
    fs::File,
    io::{Read, Write},
    path::{Path, PathBuf},
    process::ExitCode,
    time::Duration,
};

use clap::Args;

use super::common::{ExperimentsArguments, WRONG};
use crate::{
    diagnostic::suggestion,
    schedule::{event::Event, journal},
};

#[derive(Args, Clone, Debug)]
pub(super) struct LogsArguments {
    /// The stage, or one of its cells.
    stage: String,
    /// Goes on until the attempt ends.
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
        if let Some((stage, log)) = find(&recorded.folder, arguments)? {
            eprintln!("{stage} in {} {}: {}", recorded.recipe, recorded.run, log.display());
            copy(&log, || arguments.follow && is_running(&recorded.folder, &stage))?;
            return Ok(ExitCode::SUCCESS);
        }
    }
    let started = started(arguments);
    let names: Vec<&str> = started.iter().map(String::as_str).collect();
    eprintln!("error: no recorded run has an attempt at `{}`", arguments.stage);
    eprintln!("  = help: {}", suggestion(&arguments.stage, "stages", &names));
    Ok(ExitCode::from(WRONG))
}

/// The stages, without their cells, that some run has begun.
fn started(arguments: &LogsArguments) -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    for recorded in journal::runs(&arguments.experiments.experiments) {
        for timed in journal::read(&recorded.folder).unwrap_or_default() {
            if let Event::StageStarted { stage, .. } = timed.event {
                let name = stage.split('@').next().unwrap_or_default();
                if names.iter().all(|other| other != name) {
                    names.push(name.to_owned());
                }
            }
        }
    }
    names
}

/// The last attempt at a stage in a run.
fn find(folder: &Path, arguments: &LogsArguments) -> anyhow::Result<Option<(String, PathBuf)>> {
    let cell = format!("{}@", arguments.stage);
    let mut attempts = journal::read(folder)?.into_iter().filter_map(|timed| match timed.event {
        Event::StageStarted { stage, attempt, log, .. }
            if (stage == arguments.stage || stage.starts_with(&cell))
                && arguments.attempt.is_none_or(|wanted| wanted == attempt) =>
        {
            Some((stage, PathBuf::from(log)))
        }
        _ => None,
    });
    Ok(attempts.next_back())
}

fn is_running(folder: &Path, name: &str) -> bool {
    let ended = |event: &Event| match event {
        Event::StageFinished { stage, .. } | Event::StageFailed { stage, .. } => stage == name,
        _ => false,
    };
    journal::is_alive(folder)
        && !journal::read(folder).is_ok_and(|events| events.iter().any(|timed| ended(&timed.event)))
}

fn copy(log: &Path, go_on: impl Fn() -> bool) -> anyhow::Result<()> {
    let mut file = File::open(log)?;
    let mut output = std::io::stdout().lock();
    let mut bytes = Vec::new();
    loop {
        // Asked before reading, so that the last lines are not missed.
        let more = go_on();
        bytes.clear();
        file.read_to_end(&mut bytes)?;
        output.write_all(&bytes)?;
        output.flush()?;
        if !more {
            return Ok(());
        }
        std::thread::sleep(Duration::from_millis(200));
    }
}
