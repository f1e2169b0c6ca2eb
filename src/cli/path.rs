//! `apeft path`: prints the folder of a run or of a stage's artifact.

use std::process::ExitCode;

use clap::Args;

use super::{output::print_text, run_name, shared_args::ExperimentsArguments};

#[derive(Args, Clone, Debug)]
#[command(after_help = "Examples:
  apeft path quickstart
  apeft path quickstart tuned@preferences=general,seed=0
  apeft path latest:compared

A stage of a matrix is named with as many values as tell its cells apart. `RUN:STAGE` is also
understood wherever a command takes a folder: `apeft generate quickstart:before@seed=0`.")]
pub(super) struct PathArguments {
    /// Run, recipe name for its newest run, `latest`, or tag; also RUN:STAGE.
    run: String,
    /// Stage, or one of its cells [default: the folder of the run].
    stage: Option<String>,
    #[command(flatten)]
    experiments: ExperimentsArguments,
}

pub(super) fn run(arguments: &PathArguments) -> anyhow::Result<ExitCode> {
    let PathArguments { run, stage, experiments } = arguments;
    let (run, stage) = match (stage, run.split_once(':')) {
        (None, Some((run, stage))) => (run, Some(stage)),
        (stage, _) => (run.as_str(), stage.as_deref()),
    };
    let folder = match stage {
        Some(stage) => run_name::find_stage(experiments, run, stage)?.folder,
        None => std::path::absolute(run_name::find_run(experiments, Some(run))?.folder)?,
    };
    print_text(&format!("{}\n", folder.display()))?;
    Ok(ExitCode::SUCCESS)
}
