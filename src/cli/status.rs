//! `apeft status`: progress or outcome of a run.

use std::{
    collections::{BTreeMap, HashMap},
    path::Path,
    process::ExitCode,
};

use clap::Args;
use serde_json::json;

use super::{
    output::{print_json, print_text},
    run_name::find_run,
    shared_args::{ExperimentsArguments, duration},
};
use crate::{
    context::StageEvent,
    diagnostic::printable,
    digest::Digest,
    schedule::{
        event::{CUT_SHORT, RunEvent, StageOutline, skipped},
        journal::{self, JournalReader},
        slurm::{JobFolders, Slurm},
    },
};

#[derive(Args, Clone, Debug)]
#[command(after_help = "Examples:
  apeft status
  apeft status quickstart
  apeft status 2026-11-23T04-49-05 --json")]
pub(super) struct StatusArguments {
    /// Run, recipe name for its newest run, `latest`, or tag [default: the newest run].
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
    key: Option<String>,
    /// Folder of its artifact's files.
    artifact: Option<String>,
}

pub(super) fn run(arguments: &StatusArguments) -> anyhow::Result<ExitCode> {
    let recorded = find_run(&arguments.experiments, arguments.run.as_deref())?;
    // Checked before reading, so that a run that ends meanwhile is not called killed.
    let alive = journal::is_alive(&recorded.folder);
    let mut reader = JournalReader::open(&recorded.folder)?;
    let mut status = RunStatus::read(&mut reader)?;
    let has_jobs = status.end.is_none() && status.has_jobs();
    status.detached |= !alive && has_jobs;
    if has_jobs {
        status.ask_slurm(alive);
    }
    let RunStatus { mut stages, began, end, interrupted, detached, .. } = status;
    let state = match state_of(end, interrupted, alive) {
        "killed" if detached => "detached",
        state => state,
    };
    if state == "killed" {
        // Its children ended with it.
        stages.iter_mut().filter(|stage| stage.state == "running").for_each(StageStatus::kill);
    }
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
    let mut text = String::new();
    for StageStatus { name, state, seconds, words, .. } in &stages {
        let seconds = seconds.map(duration).unwrap_or_default();
        text += &format!("{name:<width$}  {state:<11} {seconds:>9}  {words}\n");
    }
    print_text(&printable(&text))?;
    print_line!("{} {}: {state} ({})", recorded.recipe, recorded.run, recorded.folder.display())?;
    Ok(ExitCode::SUCCESS)
}

/// The state of a run in one word.
pub(super) fn state_of(end: Option<bool>, is_interrupted: bool, is_alive: bool) -> &'static str {
    match end {
        Some(true) => "done",
        Some(false) if is_interrupted => "interrupted",
        Some(false) => "failed",
        None if is_alive => "running",
        None => "killed",
    }
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
    /// Keys of stages that were started as jobs of a cluster.
    keys: BTreeMap<String, Digest>,
}

impl RunStatus {
    fn read(reader: &mut JournalReader) -> std::io::Result<Self> {
        let mut run = Self::default();
        let mut places: HashMap<String, usize> = HashMap::new();
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
                RunEvent::RunDetached { .. } => run.detached = true,
                event => {
                    // A child has a process on this machine.
                    if let RunEvent::StageStarted { stage, key, pid: 0, .. } = &event
                        && let Ok(key) = key.parse()
                    {
                        run.keys.insert(stage.clone(), key);
                    }
                    if let Some(stage) = StageStatus::after(event)
                        && let Some(place) = places.get(&stage.name)
                    {
                        run.stages[*place] = stage.since(&run.stages[*place]);
                    }
                }
            }
        }
        Ok(run)
    }

    /// Whether jobs of it are open for its journal.
    fn has_jobs(&self) -> bool {
        let is_job = |stage: &StageStatus| self.keys.contains_key(&stage.name);
        self.stages.iter().any(|stage| stage.state == "running" && is_job(stage))
    }

    /// What has become of jobs: the journal lacks it since the run left them.
    fn ask_slurm(&mut self, is_alive: bool) {
        let store = Path::new(&self.store);
        let folders = JobFolders::of(store);
        // Artifacts in the store count, also where Slurm does not answer.
        let queue = Slurm::state().inspect_err(|error| say!("warning: {error}")).ok();
        let open = self.stages.iter_mut().filter(|stage| stage.state == "running");
        for stage in open {
            let Some(key) = self.keys.get(&stage.name) else { continue };
            let is_known = queue.is_some() && folders.job(key).exists();
            // A run that lives knows about the end of a job, but not why it waits.
            if is_alive && !is_known {
                continue;
            }
            (stage.state, stage.words) = folders.state(store, key, queue.as_ref());
        }
    }
}

impl StageStatus {
    fn waiting(outline: StageOutline) -> Self {
        Self { name: outline.name, state: "waiting", ..Self::default() }
    }

    /// What becomes of a stage that runs when its run is killed.
    fn kill(&mut self) {
        let words = "it ran when the run was killed; run again to continue";
        (self.state, self.words) = ("killed", words.to_owned());
    }

    /// The status, given the one before: of stages that run, an interruption skips none.
    fn since(self, before: &Self) -> Self {
        match (before.state, self.state) {
            ("running", "skipped") => {
                Self { state: "interrupted", words: CUT_SHORT.to_owned(), ..self }
            }
            _ => self,
        }
    }

    /// The status of a stage after an event of it.
    fn after(event: RunEvent) -> Option<Self> {
        let stage = |name, state| Self { name, state, ..Self::default() };
        Some(match event {
            RunEvent::StageCached { stage: name, key, artifact, made, .. } => Self {
                seconds: made.seconds,
                key: Some(key),
                artifact: Some(artifact),
                ..stage(name, "cached")
            },
            RunEvent::StageStarted { stage: name, reason, .. } => {
                Self { words: reason, ..stage(name, "running") }
            }
            RunEvent::StageReported {
                stage: name,
                report: StageEvent::Note { text } | StageEvent::Warning { text },
            }
            | RunEvent::StagePlaced { stage: name, text } => {
                Self { words: text, ..stage(name, "running") }
            }
            RunEvent::StageFinished { stage: name, seconds, key, artifact, .. } => Self {
                seconds: Some(seconds),
                key: Some(key),
                artifact: Some(artifact),
                ..stage(name, "ran")
            },
            RunEvent::StageFailed { stage: name, error, seconds, .. } => {
                Self { seconds: Some(seconds), words: error, ..stage(name, "failed") }
            }
            RunEvent::StageSkipped { stage: name, because, needs_it } => {
                // Older journals name the failed stage alone.
                let words = skipped(&because, needs_it.unwrap_or(true));
                let words = words.strip_prefix("skipped ").unwrap_or(&words).to_owned();
                Self { words, ..stage(name, "skipped") }
            }
            _ => return None,
        })
    }
}
