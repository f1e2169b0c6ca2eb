//! `apeft attempt`: one attempt of a stage, started by `run`.

use std::{ffi::OsString, process::ExitCode};

use anyhow::Context as _;
use clap::Args;

use super::shared_args::FAILED;
use crate::{
    context::guard,
    schedule::{attempt::carry_out, job::AttemptJob},
};

/// Reads its job from stdin; with `--guard` it supervises a user program.
#[derive(Args, Clone, Debug)]
pub(super) struct AttemptArguments {
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
    let job = AttemptJob::read(std::io::stdin()).context("cannot read the job on stdin")?;
    // Stdout carries messages to the parent; all else that is printed goes to the log.
    let done = carry_out(&job, Box::new(std::io::stdout()))?;
    Ok(if done { ExitCode::SUCCESS } else { ExitCode::from(FAILED) })
}
