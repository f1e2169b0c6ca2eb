//! `apeft attempt`: one attempt at one stage; called by `run`, never by people.

use std::process::ExitCode;

use anyhow::Context as _;
use clap::Args;

use super::common::FAILED;
use crate::schedule::attempt::{Job, carry_out};

/// What is to be done comes on the standard input.
#[derive(Args, Clone, Debug)]
pub(super) struct AttemptArguments {}

pub(super) fn run(_: &AttemptArguments) -> anyhow::Result<ExitCode> {
    let job = Job::read(std::io::stdin()).context("cannot read the job on the standard input")?;
    let done = carry_out(&job, Box::new(std::io::stdout()))?;
    Ok(if done { ExitCode::SUCCESS } else { ExitCode::from(FAILED) })
}
