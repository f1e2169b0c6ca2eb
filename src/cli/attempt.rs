//! `apeft attempt`: one attempt at one stage; called by `run`, never by people.

use std::{ffi::OsString, process::ExitCode};

use anyhow::Context as _;
use clap::Args;

use super::common::FAILED;
use crate::{
    schedule::attempt::{Job, carry_out},
    stage::guard,
};

/// What is to be done comes on the standard input; with `--guard` it is a user's program that is watched.
#[derive(Args, Clone, Debug)]
pub(super) struct AttemptArguments {
    /// The process group of the attempt that asks for the program.
    #[arg(long, requires_all = ["above", "program"])]
    guard: Option<i32>,
    /// The process that waits for that attempt.
    #[arg(long)]
    above: Option<i32>,
    /// The program and what it is called with.
    #[arg(last = true)]
    program: Vec<OsString>,
}

pub(super) fn run(arguments: &AttemptArguments) -> anyhow::Result<ExitCode> {
    if let (Some(group), Some(above)) = (arguments.guard, arguments.above) {
        guard::stand(guard::Served { group, above }, &arguments.program)?;
        return Ok(ExitCode::SUCCESS);
    }
    let job = Job::read(std::io::stdin()).context("cannot read the job on the standard input")?;
    let done = carry_out(&job, Box::new(std::io::stdout()))?;
    Ok(if done { ExitCode::SUCCESS } else { ExitCode::from(FAILED) })
}
