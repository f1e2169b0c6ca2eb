//! `apeft report`: rewrites a run's report.

use std::process::ExitCode;

use clap::Args;

use super::{output::print_text, run_name::find_run, shared_args::ExperimentsArguments};
use crate::report;

#[derive(Args, Clone, Debug)]
#[command(after_help = "Examples:
  apeft report
  apeft report quickstart

Prints the path of `report.html` in the folder of the run.")]
pub(super) struct ReportArguments {
    /// Run, recipe name for its newest run, `latest`, or tag [default: the newest run].
    run: Option<String>,
    #[command(flatten)]
    experiments: ExperimentsArguments,
}

pub(super) fn run(arguments: &ReportArguments) -> anyhow::Result<ExitCode> {
    let recorded = find_run(&arguments.experiments, arguments.run.as_deref())?;
    let page = report::write(&recorded.folder)?;
    print_text(&format!("{}\n", page.display()))?;
    Ok(ExitCode::SUCCESS)
}
