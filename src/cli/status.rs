//! `apeft status`: how far a run is, or how it ended.

use std::{collections::BTreeMap, process::ExitCode};

use clap::Args;
use serde_json::json;

use super::common::{ExperimentsArguments, WRONG, duration, print_json};
use crate::{
    schedule::{
        event::{Event, Timed},
        journal::{self, Recorded},
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
    let events = journal::read(&recorded.folder)?;
    let standings = standings(&events);
    let state = match events.last().map(|last| &last.event) {
        Some(Event::RunFinished { ok: true, .. }) => "done",
        Some(Event::RunFinished { .. }) if events.iter().any(|timed| matches!(timed.event, Event::Interrupted)) => {
            "interrupted"
        }
        Some(Event::RunFinished { .. }) => "failed",
        _ if journal::is_alive(&recorded.folder) => "running",
        _ => "killed",
    };
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
        eprintln!("{name:<width$}  {state:<8} {seconds:>12}  {words}");
    }
    eprintln!("{} {}: {state} ({})", recorded.recipe, recorded.run, recorded.folder.display());
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
                eprintln!("error: there is no run or recipe `{name}` in {place}; there are runs of: {known}");
            }
            _ => eprintln!("error: no run is recorded in {place}; `apeft run RECIPE` makes one"),
        }
    }
    runs.into_iter().next()
}

fn standings(events: &[Timed]) -> Vec<Standing> {
    let mut names = Vec::new();
    let mut found: BTreeMap<&str, Standing> = BTreeMap::new();
    for timed in events {
        if let Event::RunStarted { stages, .. } = &timed.event {
            names = stages.iter().map(|stage| stage.name.as_str()).collect();
        }
        let (stage, state, seconds, words) = match &timed.event {
            Event::StageCached { stage, .. } => (stage, "cached", None, String::new()),
            Event::StageStarted { stage, reason, .. } => (stage, "running", None, reason.clone()),
            Event::StageReported { stage, report: Report::Note { text } | Report::Warning { text } } => {
                (stage, "running", None, text.clone())
            }
            Event::StageFinished { stage, seconds, .. } => (stage, "ran", Some(*seconds), String::new()),
            Event::StageFailed { stage, error, seconds, .. } => (stage, "failed", Some(*seconds), error.clone()),
            Event::StageSkipped { stage, because } => (stage, "skipped", None, format!("because of {because}")),
            _ => continue,
        };
        found.insert(stage, Standing { name: stage.clone(), state, seconds, words });
    }
    let none = |name: &&str| Standing { name: (*name).to_owned(), state: "waiting", ..Standing::default() };
    names.iter().map(|name| found.remove(name).unwrap_or_else(|| none(name))).collect()
}
