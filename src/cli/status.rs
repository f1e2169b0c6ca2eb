//! `apeft status`: how far a run is, or how it ended.

use std::{collections::BTreeMap, process::ExitCode};

use clap::Args;
use serde_json::json;

use super::{
    common::{ExperimentsArguments, WRONG, duration},
    output::print_json,
};
use crate::{
    schedule::{
        event::Event,
        journal::{self, Reader, Recorded},
    },
    stage::Report,
};

#[derive(Args, Clone, Debug)]
pub(super) struct StatusArguments {
    /// A recipe's name, or a run's [default: the newest run].
    run: Option<String>,
    #[command(flatten)]
    experiments: ExperimentsArguments,
    /// Puts the status on stdout as JSON.
    #[arg(long)]
    json: bool,
}

/// How a stage of a recorded run stands.
#[derive(Debug, Default, serde::Serialize)]
struct Standing {
    name: String,
    state: &'static str,
    seconds: Option<f64>,
    words: String,
}

pub(super) fn run(arguments: &StatusArguments) -> anyhow::Result<ExitCode> {
    let Some(recorded) = find(&arguments.experiments, arguments.run.as_deref()) else {
        return Ok(ExitCode::from(WRONG));
    };
    // Asked before reading, so that a run that ends meanwhile is not called killed.
    let alive = journal::is_alive(&recorded.folder);
    let mut reader = Reader::open(&recorded.folder)?;
    let Told { standings, began, end, interrupted } = Told::by(&mut reader)?;
    let state = match end {
        Some(true) => "done",
        Some(false) if interrupted => "interrupted",
        Some(false) => "failed",
        None if alive => "running",
        None => "killed",
    };
    if !began {
        let folder = recorded.folder.display();
        say!("warning: the journal in {folder} has no beginning: the disk was full, or the run was killed at once");
    }
    if reader.passed_over > 0 {
        let lines = reader.passed_over;
        say!("warning: {lines} lines of the journal are of a newer version of apeft, and are passed over");
    }
    if arguments.json {
        let folder = recorded.folder.display().to_string();
        print_json(&json!({
            "recipe": recorded.recipe, "run": recorded.run, "state": state, "folder": folder, "stages": standings,
        }))?;
        return Ok(ExitCode::SUCCESS);
    }
    let width = standings.iter().map(|standing| standing.name.chars().count()).max().unwrap_or(0).min(60);
    for Standing { name, state, seconds, words } in &standings {
        let seconds = seconds.map(duration).unwrap_or_default();
        say!("{name:<width$}  {state:<8} {seconds:>12}  {words}");
    }
    say!("{} {}: {state} ({})", recorded.recipe, recorded.run, recorded.folder.display());
    Ok(ExitCode::SUCCESS)
}

/// The newest run that is called so, or of a recipe that is.
pub(super) fn find(experiments: &ExperimentsArguments, name: Option<&str>) -> Option<Recorded> {
    let mut runs = journal::runs(&experiments.experiments);
    let known = runs.iter().map(|run| run.recipe.clone()).collect::<std::collections::BTreeSet<_>>();
    runs.retain(|run| name.is_none_or(|name| name == run.recipe || name == run.run));
    if runs.is_empty() {
        let place = experiments.experiments.display();
        match name {
            Some(name) if !known.is_empty() => {
                let known = known.into_iter().collect::<Vec<_>>().join(", ");
                say!("error: there is no run or recipe `{name}` in {place}; there are runs of: {known}");
            }
            _ => say!("error: no run is recorded in {place}; `apeft run RECIPE` makes one"),
        }
    }
    runs.into_iter().next()
}

/// What a journal tells.
#[derive(Default)]
struct Told {
    standings: Vec<Standing>,
    /// Whether it has its first line.
    began: bool,
    /// How the run ended, where it did.
    end: Option<bool>,
    interrupted: bool,
}

impl Told {
    fn by(reader: &mut Reader) -> std::io::Result<Self> {
        let mut told = Self::default();
        let mut places: BTreeMap<String, usize> = BTreeMap::new();
        while let Some(timed) = reader.next_event()? {
            told.end = None;
            let (stage, state, seconds, words) = match timed.event {
                Event::RunStarted { stages, .. } => {
                    told.began = true;
                    places = stages.iter().enumerate().map(|(place, stage)| (stage.name.clone(), place)).collect();
                    let waiting = |name| Standing { name, state: "waiting", ..Standing::default() };
                    told.standings = stages.into_iter().map(|stage| waiting(stage.name)).collect();
                    continue;
                }
                Event::RunFinished { ok, .. } => {
                    told.end = Some(ok);
                    continue;
                }
                Event::Interrupted => {
                    told.interrupted = true;
                    continue;
                }
                Event::StageCached { stage, .. } => (stage, "cached", None, String::new()),
                Event::StageStarted { stage, reason, .. } => (stage, "running", None, reason),
                Event::StageReported { stage, report: Report::Note { text } | Report::Warning { text } } => {
                    (stage, "running", None, text)
                }
                Event::StageFinished { stage, seconds, .. } => (stage, "ran", Some(seconds), String::new()),
                Event::StageFailed { stage, error, seconds, .. } => (stage, "failed", Some(seconds), error),
                Event::StageSkipped { stage, because } => (stage, "skipped", None, format!("because of {because}")),
                _ => continue,
            };
            if let Some(place) = places.get(&stage) {
                told.standings[*place] = Standing { name: stage, state, seconds, words };
            }
        }
        Ok(told)
    }
}
