//! `apeft attempt`: one attempt at one stage; called by `run`, never by people.

use std::{path::PathBuf, process::ExitCode};

use anyhow::Context as _;
use clap::Args;

use super::common::FAILED;
use crate::schedule::attempt::{Job, carry_out};

#[derive(Args, Clone, Debug)]
pub(super) struct AttemptArguments {
    /// The file that says what is to be done; it is removed.
    job: PathBuf,
}

pub(super) fn run(arguments: &AttemptArguments) -> anyhow::Result<ExitCode> {
    let job = Job::read(&arguments.job).with_context(|| format!("cannot read {}", arguments.job.display()))?;
    let done = carry_out(&job, Box::new(std::io::stdout()))?;
    Ok(if done { ExitCode::SUCCESS } else { ExitCode::from(FAILED) })
}
