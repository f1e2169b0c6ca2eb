//! `apeft runs`: lists the recorded runs.

use std::{collections::BTreeSet, path::Path, process::ExitCode, time::Duration};

use clap::Args;
use serde::Serialize;

use super::{
    output::print_json,
    shared_args::{ExperimentsArguments, duration},
    status::state_of,
};
use crate::schedule::{
    event::RunEvent,
    journal::{self, JournalReader, RecordedRun},
};

#[derive(Args, Clone, Debug)]
#[command(after_help = "Examples:
  apeft runs
  apeft runs quickstart --limit 5
  apeft runs --tag paper --json

Columns: recipe, run, state, duration, stages that ran and that were cached, tags, note; the newest
comes last. `apeft run --note TEXT --tag NAME` writes note and tags.")]
pub(super) struct RunsArguments {
    /// Recipe name [default: all].
    recipe: Option<String>,
    /// Only runs with this tag; repeatable.
    #[arg(long, value_name = "NAME")]
    tag: Vec<String>,
    /// Maximum number of runs, newest first [default: all].
    #[arg(long, value_name = "N")]
    limit: Option<usize>,
    #[command(flatten)]
    experiments: ExperimentsArguments,
    /// Print JSON to stdout.
    #[arg(long)]
    json: bool,
}

/// A run in the list.
#[derive(Debug, Default, Serialize)]
struct ListedRun {
    recipe: String,
    run: String,
    state: &'static str,
    /// Start, in milliseconds since the Unix epoch.
    began: u64,
    /// Duration; up to now for a running one, unknown for a killed one.
    seconds: Option<f64>,
    executed: usize,
    cached: usize,
    failed: usize,
    skipped: usize,
    note: Option<String>,
    tags: BTreeSet<String>,
    folder: String,
}

impl ListedRun {
    fn read(recorded: &RecordedRun) -> std::io::Result<Self> {
        // Before reading, so that a run that ends meanwhile is not called killed.
        let alive = journal::is_alive(&recorded.folder);
        let mut listed = Self {
            recipe: recorded.recipe.clone(),
            run: recorded.run.clone(),
            folder: recorded.folder.display().to_string(),
            ..Self::default()
        };
        let (mut end, mut is_detached) = (None, false);
        let mut reader = JournalReader::open(&recorded.folder)?;
        // A journal is mostly metrics, which need not be parsed.
        while let Some(timed) = reader.next_with("\"run_")? {
            match timed.event {
                RunEvent::RunStarted { .. } => listed.began = timed.at,
                RunEvent::RunLabelled { label } => {
                    (listed.note, listed.tags) = (label.note, label.tags)
                }
                RunEvent::RunDetached { .. } => is_detached = true,
                RunEvent::RunFinished { ok, executed, cached, failed, skipped, seconds } => {
                    end = Some(ok);
                    listed.seconds = Some(seconds);
                    (listed.executed, listed.cached) = (executed, cached);
                    (listed.failed, listed.skipped) = (failed, skipped);
                }
                _ => {}
            }
        }
        if end.is_none() {
            listed.count(&recorded.folder)?;
        }
        // Only runs that did not succeed are read a second time.
        let is_interrupted = end == Some(false)
            && JournalReader::open(&recorded.folder)?.next_with("\"interrupted\"")?.is_some();
        listed.state = match state_of(end, is_interrupted, alive) {
            "killed" if is_detached => "detached",
            state => state,
        };
        if listed.seconds.is_none() && alive {
            let began = Duration::from_millis(listed.began);
            listed.seconds = Some(journal::now().saturating_sub(began).as_secs_f64());
        }
        Ok(listed)
    }

    /// Counts the stages of a run that has not ended.
    fn count(&mut self, folder: &Path) -> std::io::Result<()> {
        let mut reader = JournalReader::open(folder)?;
        while let Some(timed) = reader.next_with("\"stage_")? {
            match timed.event {
                RunEvent::StageFinished { .. } => self.executed += 1,
                RunEvent::StageCached { .. } => self.cached += 1,
                RunEvent::StageFailed { .. } => self.failed += 1,
                RunEvent::StageSkipped { .. } => self.skipped += 1,
                _ => {}
            }
        }
        Ok(())
    }
}

pub(super) fn run(arguments: &RunsArguments) -> anyhow::Result<ExitCode> {
    let mut runs = Vec::new();
    for recorded in journal::runs(arguments.experiments.there()?) {
        if runs.len() >= arguments.limit.unwrap_or(usize::MAX) {
            break;
        }
        if arguments.recipe.as_ref().is_some_and(|recipe| *recipe != recorded.recipe) {
            continue;
        }
        let listed = ListedRun::read(&recorded)?;
        if arguments.tag.iter().all(|tag| listed.tags.contains(tag)) {
            runs.push(listed);
        }
    }
    // The newest come last, where a terminal leaves the eye.
    runs.reverse();
    if arguments.json {
        print_json(&runs)?;
        return Ok(ExitCode::SUCCESS);
    }
    let width = runs.iter().map(|run| run.recipe.chars().count()).max().unwrap_or(0).min(40);
    for ListedRun { recipe, run, state, seconds, executed, cached, note, tags, .. } in &runs {
        let seconds = seconds.map_or("–".to_owned(), duration);
        let tags: Vec<String> = tags.iter().map(|tag| format!("#{tag}")).collect();
        let words: Vec<&str> = tags.iter().map(String::as_str).chain(note.as_deref()).collect();
        let line = format!(
            "{recipe:<width$}  {run:<21}  {state:<11} {seconds:>10}  {executed:>4} ran \
            {cached:>4} cached  {}",
            words.join(" ")
        );
        print_line!("{}", line.trim_end())?;
    }
    if runs.is_empty() {
        say!("no run matches in {}", arguments.experiments.experiments.display());
    }
    Ok(ExitCode::SUCCESS)
}
