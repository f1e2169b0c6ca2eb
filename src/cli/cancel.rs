//! `apeft cancel`: ends the jobs of a run on a cluster.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    process::ExitCode,
};

use clap::Args;

use super::{
    run_name::find_run,
    shared_args::{ExperimentsArguments, WRONG},
};
use crate::{
    diagnostic::counted,
    digest::Digest,
    schedule::{
        event::RunEvent,
        journal::{self, siblings},
        slurm::{ClusterState, CoordinatedRun, JobFolder, JobFolders, Slurm},
    },
};

#[derive(Args, Clone, Debug)]
#[command(after_help = "Examples:
  apeft cancel quickstart
  apeft cancel 2026-11-23T04-49-05

What the jobs have finished and their checkpoints stay in the store. Jobs that another run waits for
end too.")]
pub(super) struct CancelArguments {
    /// Run, or recipe name for its newest run.
    run: String,
    #[command(flatten)]
    experiments: ExperimentsArguments,
}

/// What a run has on a cluster.
#[derive(Default)]
struct RunJobs {
    store: PathBuf,
    command: Vec<String>,
    /// Jobs that it has started and whose end it has not seen.
    open: BTreeMap<Digest, JobFolder>,
}

pub(super) fn run(arguments: &CancelArguments) -> anyhow::Result<ExitCode> {
    let recorded = find_run(&arguments.experiments, Some(&arguments.run))?;
    let RunJobs { store, command, open } = RunJobs::read(&recorded.folder)?;
    let folders = JobFolders::of(&store);
    let runs = std::path::absolute(recorded.folder.parent().unwrap_or(Path::new(".")))?;
    let run = CoordinatedRun { store: &store, runs: &runs, command: &command };
    let queue = match Slurm::state() {
        // Perhaps it never ran on a cluster.
        Err(_) if open.is_empty() => ClusterState::default(),
        queue => queue?,
    };
    // First, so that nothing submits what is cancelled.
    let coordinator = run.cancel(&queue)?;
    let mut open = open;
    if coordinator.is_some() {
        // Its run may have ended before it adopted the jobs of the one before.
        for folder in std::iter::once(recorded.folder.clone()).chain(siblings(&recorded.folder)) {
            let other = RunJobs::read(&folder)?;
            if run.is_coordinated_with(&other.command) && other.store == store {
                open.extend(other.open);
            }
        }
    }
    if open.is_empty() && coordinator.is_none() {
        say!("`{}` has no jobs of Slurm that could be cancelled", recorded.run);
        return Ok(ExitCode::from(WRONG));
    }
    let mut names = Vec::new();
    for job in open.values() {
        // First, so that a run that watches the job does not submit it again.
        job.cancel()?;
        names.extend(job.queued_name(&folders, &queue)?);
    }
    Slurm::cancel(&names)?;
    if !journal::is_alive(&recorded.folder) {
        // Nobody else makes place for the next run's jobs.
        open.values().try_for_each(JobFolder::remove)?;
    }
    say!("{} of `{}` cancelled", counted(open.len(), "job"), recorded.run);
    if let Some(number) = coordinator {
        say!("its coordinator, job {number}, is cancelled");
    }
    Ok(ExitCode::SUCCESS)
}

impl RunJobs {
    fn read(folder: &Path) -> anyhow::Result<Self> {
        let (mut found, mut keys) = (Self::default(), BTreeMap::new());
        for timed in journal::read(folder)? {
            match timed.event {
                RunEvent::RunStarted { store, command, .. } => {
                    (found.store, found.command) = (PathBuf::from(store), command);
                }
                RunEvent::StageStarted { stage, key, .. } => drop(keys.insert(stage, key)),
                RunEvent::StageFinished { stage, .. } | RunEvent::StageFailed { stage, .. } => {
                    keys.remove(&stage);
                }
                _ => {}
            }
        }
        let folders = JobFolders::of(&found.store);
        let keys = keys.into_values().filter_map(|key| key.parse::<Digest>().ok());
        let jobs = keys.map(|key| (key, folders.job(&key))).filter(|(_, job)| job.exists());
        found.open = jobs.collect();
        Ok(found)
    }
}
