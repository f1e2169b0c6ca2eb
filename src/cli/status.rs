//! `apeft status`: progress or outcome of a run.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
    process::ExitCode,
};

use clap::Args;
use serde_json::json;

use super::{
    output::print_json,
    shared_args::{ExperimentsArguments, WRONG, duration},
};
use crate::{
    context::StageEvent,
    digest::Digest,
    schedule::{
        event::{RunEvent, StageOutline, skipped},
        journal::{self, JournalReader, RecordedRun},
        slurm::{JobFolders, Slurm},
    },
};

#[derive(Args, Clone, Debug)]
#[command(after_help = "Examples:
  apeft status
  apeft status quickstart
  apeft status 2026-11-23T04-49-05 --json")]
pub(super) struct StatusArguments {
    /// Run, or recipe name for its newest run [default: the newest run].
    run: Option<String>,
    #[command(flatten)]
    experiments: ExperimentsArguments,
    /// Print the status to stdout as JSON.
    #[arg(long)]
    json: bool,
}

/// Status of a stage of a recorded run.
#[derive(Debug, Default, serde::Serialize)]
struct StageStatus {
    name: String,
    state: &'static str,
    seconds: Option<f64>,
    words: String,
}

pub(super) fn run(arguments: &StatusArguments) -> anyhow::Result<ExitCode> {
    let Some(recorded) = find(&arguments.experiments, arguments.run.as_deref())? else {
        return Ok(ExitCode::from(WRONG));
    };
    // Checked before reading, so that a run that ends meanwhile is not called killed.
    let alive = journal::is_alive(&recorded.folder);
    let mut reader = JournalReader::open(&recorded.folder)?;
    let mut status = RunStatus::read(&mut reader)?;
    if status.detached {
        status.ask_slurm();
    }
    let RunStatus { stages, began, end, interrupted, detached, .. } = status;
    let state = match end {
        Some(true) => "done",
        Some(false) if interrupted => "interrupted",
        Some(false) => "failed",
        None if alive => "running",
        None if detached => "detached",
        None => "killed",
    };
    if !began {
        let folder = recorded.folder.display();
        say!(
            "warning: the journal in {folder} has no first line: the disk was full, or the run \
            was killed at once"
        );
    }
    // Without them the status may be incomplete.
    if reader.passed_over > 0 {
        let lines = reader.passed_over;
        say!(
            "warning: {lines} lines of the journal were written by a newer version of apeft and \
            are ignored"
        );
    }
    if arguments.json {
        let folder = recorded.folder.display().to_string();
        print_json(&json!({
            "recipe": recorded.recipe,
            "run": recorded.run,
            "state": state,
            "folder": folder,
            "stages": stages,
        }))?;
        return Ok(ExitCode::SUCCESS);
    }
    // A few very long names must not push all reasons off the screen.
    let width = stages.iter().map(|stage| stage.name.chars().count()).max().unwrap_or(0).min(60);
    for StageStatus { name, state, seconds, words } in &stages {
        let seconds = seconds.map(duration).unwrap_or_default();
        print_line!("{name:<width$}  {state:<8} {seconds:>12}  {words}")?;
    }
    print_line!("{} {}: {state} ({})", recorded.recipe, recorded.run, recorded.folder.display())?;
    Ok(ExitCode::SUCCESS)
}

/// The newest run with this name or of this recipe; prints an error if there is none.
pub(super) fn find(
    experiments: &ExperimentsArguments,
    name: Option<&str>,
) -> anyhow::Result<Option<RecordedRun>> {
    let mut runs = journal::runs(experiments.there()?);
    let known: BTreeSet<String> = runs.iter().map(|run| run.recipe.clone()).collect();
    runs.retain(|run| name.is_none_or(|name| name == run.recipe || name == run.run));
    if runs.is_empty() {
        let place = experiments.experiments.display();
        match name {
            Some(name) if !known.is_empty() => {
                let known = known.into_iter().collect::<Vec<_>>().join(", ");
                say!(
                    "error: there is no run or recipe `{name}` in {place}; there are runs of: \
                    {known}"
                );
            }
            _ => say!("error: no run is recorded in {place}; `apeft run RECIPE` makes one"),
        }
    }
    Ok(runs.into_iter().next())
}

/// What a journal says about its run.
#[derive(Default)]
struct RunStatus {
    stages: Vec<StageStatus>,
    /// Whether it has its first line.
    began: bool,
    /// Outcome of the run, once ended.
    end: Option<bool>,
    interrupted: bool,
    /// Whether it ended before its jobs on a cluster.
    detached: bool,
    store: String,
    /// Keys of stages that were started and have not ended.
    keys: BTreeMap<String, Digest>,
}

impl RunStatus {
    fn read(reader: &mut JournalReader) -> std::io::Result<Self> {
        let mut run = Self::default();
        let mut places: BTreeMap<String, usize> = BTreeMap::new();
        while let Some(timed) = reader.next_event()? {
            run.end = None;
            match timed.event {
                RunEvent::RunStarted { stages, store, .. } => {
                    (run.began, run.store) = (true, store);
                    run.stages = stages.into_iter().map(StageStatus::waiting).collect();
                    let names = run.stages.iter().enumerate();
                    places = names.map(|(place, stage)| (stage.name.clone(), place)).collect();
                }
                RunEvent::RunFinished { ok, .. } => run.end = Some(ok),
                RunEvent::Interrupted => run.interrupted = true,
                RunEvent::Detached { .. } => run.detached = true,
                event => {
                    if let RunEvent::StageStarted { stage, key, .. } = &event
                        && let Ok(key) = key.parse()
                    {
                        run.keys.insert(stage.clone(), key);
                    }
                    if let Some(stage) = StageStatus::after(event)
                        && let Some(place) = places.get(&stage.name)
                    {
                        run.stages[*place] = stage;
                    }
                }
            }
        }
        Ok(run)
    }

    /// What has become of jobs since the run left them.
    fn ask_slurm(&mut self) {
        let store = Path::new(&self.store);
        let folders = JobFolders::of(store);
        // The store says what has ended, also where Slurm does not answer.
        let queue = Slurm::state().inspect_err(|error| say!("warning: {error}")).ok();
        let open = self.stages.iter_mut().filter(|stage| stage.state == "running");
        for stage in open {
            let Some(key) = self.keys.get(&stage.name) else { continue };
            (stage.state, stage.words) = folders.state(store, key, queue.as_ref());
        }
    }
}

impl StageStatus {
    fn waiting(outline: StageOutline) -> Self {
        Self { name: outline.name, state: "waiting", ..Self::default() }
    }

    /// The status of a stage after an event of it.
    fn after(event: RunEvent) -> Option<Self> {
        let (name, state, seconds, words) = match event {
            RunEvent::StageCached { stage, .. } => (stage, "cached", None, String::new()),
            RunEvent::StageStarted { stage, reason, .. } => (stage, "running", None, reason),
            RunEvent::StageReported {
                stage,
                report: StageEvent::Note { text } | StageEvent::Warning { text },
            } => (stage, "running", None, text),
            RunEvent::StageFinished { stage, seconds, .. } => {
                (stage, "ran", Some(seconds), String::new())
            }
            RunEvent::StageFailed { stage, error, seconds, .. } => {
                (stage, "failed", Some(seconds), error)
            }
            RunEvent::StageSkipped { stage, because, needs_it } => {
                // Older journals name the failed stage alone.
                let words = skipped(&because, needs_it.unwrap_or(true));
                let words = words.strip_prefix("skipped ").unwrap_or(&words);
                (stage, "skipped", None, words.to_owned())
            }
            _ => return None,
        };
        Some(Self { name, state, seconds, words })
    }
}
