//! `apeft cancel`: ends the jobs of a run on a cluster.

use std::{collections::BTreeMap, path::Path, process::ExitCode};

use clap::Args;

use super::{
    run_name::find_run,
    shared_args::{ExperimentsArguments, WRONG},
};
use crate::{
    digest::Digest,
    schedule::{
        event::RunEvent,
        journal,
        slurm::{JobFolder, JobFolders, Slurm},
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

pub(super) fn run(arguments: &CancelArguments) -> anyhow::Result<ExitCode> {
    let recorded = find_run(&arguments.experiments, Some(&arguments.run))?;
    let (folders, jobs) = open_jobs(&recorded.folder)?;
    let jobs: BTreeMap<Digest, JobFolder> =
        jobs.into_iter().filter(|(_, job)| job.exists()).collect();
    if jobs.is_empty() {
        say!("`{}` has no jobs of Slurm that could be cancelled", recorded.run);
        return Ok(ExitCode::from(WRONG));
    }
    let mut names = Vec::new();
    for job in jobs.values() {
        // First, so that a run that watches the job does not submit it again.
        job.cancel()?;
        names.extend(job.slurm_name(&folders)?);
    }
    Slurm::cancel(&names)?;
    if !journal::is_alive(&recorded.folder) {
        // Nobody else makes place for the next run's jobs.
        jobs.values().try_for_each(JobFolder::remove)?;
    }
    say!("{} jobs of `{}` are cancelled", jobs.len(), recorded.run);
    Ok(ExitCode::SUCCESS)
}

/// The jobs that a run has started and whose end it has not seen.
fn open_jobs(folder: &Path) -> anyhow::Result<(JobFolders, BTreeMap<Digest, JobFolder>)> {
    let (mut store, mut keys) = (String::new(), BTreeMap::new());
    for timed in journal::read(folder)? {
        match timed.event {
            RunEvent::RunStarted { store: place, .. } => store = place,
            RunEvent::StageStarted { stage, key, .. } => drop(keys.insert(stage, key)),
            RunEvent::StageFinished { stage, .. } | RunEvent::StageFailed { stage, .. } => {
                keys.remove(&stage);
            }
            _ => {}
        }
    }
    let folders = JobFolders::of(Path::new(&store));
    let keys = keys.into_values().filter_map(|key| key.parse::<Digest>().ok());
    let jobs = keys.map(|key| (key, folders.job(&key))).collect();
    Ok((folders, jobs))
}
