//! `apeft attempt`: one attempt of a stage, started by `run`.

use std::{ffi::OsString, path::PathBuf, process::ExitCode, time::Duration};

use anyhow::Context as _;
use clap::Args;

use super::shared_args::FAILED;
use crate::{
    context::guard,
    schedule::{
        attempt::{Conduct, carry_out},
        job::AttemptJob,
        slurm::carry_out_task,
    },
};

/// Longest time for a checkpoint after SIGTERM: a run kills its attempts after 5 seconds.
const PATIENCE: Duration = Duration::from_millis(4500);

/// Reads its job from stdin; with `--guard` it supervises a user program.
#[derive(Args, Clone, Debug)]
pub(super) struct AttemptArguments {
    /// Folder of an array of jobs, of which this process is one.
    #[arg(long)]
    array: Option<PathBuf>,
    /// Process group of the attempt that requests the program.
    #[arg(long, requires_all = ["above", "program"])]
    guard: Option<i32>,
    /// Parent process of that attempt.
    #[arg(long)]
    above: Option<i32>,
    /// The program and its arguments.
    #[arg(last = true)]
    program: Vec<OsString>,
}

pub(super) fn run(arguments: &AttemptArguments) -> anyhow::Result<ExitCode> {
    if let (Some(group), Some(above)) = (arguments.guard, arguments.above) {
        guard::stand(guard::Served { group, above }, &arguments.program)?;
        return Ok(ExitCode::SUCCESS);
    }
    if let Some(array) = &arguments.array {
        let done = carry_out_task(array)?;
        return Ok(if done { ExitCode::SUCCESS } else { ExitCode::from(FAILED) });
    }
    let job = AttemptJob::read(std::io::stdin()).context("cannot read the job on stdin")?;
    // Stdout carries messages to the parent; all else that is printed goes to the log.
    let conduct = Conduct {
        output: Box::new(std::io::stdout()),
        patience: PATIENCE,
        at_signal: Box::new(|| None),
    };
    let done = carry_out(&job, conduct)?;
    Ok(if done { ExitCode::SUCCESS } else { ExitCode::from(FAILED) })
}
