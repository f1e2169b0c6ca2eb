//! `apeft report`: rewrites a run's report.

use std::process::ExitCode;

use clap::Args;

use super::{
    output::print_text,
    run_name::{find_run, find_stage},
    shared_args::ExperimentsArguments,
};
use crate::report::{self, Results};

#[derive(Args, Clone, Debug)]
#[command(after_help = "Examples:
  apeft report
  apeft report quickstart
  apeft report latest:comparison

Prints the path of `report.html` in the folder of the run; with RUN:STAGE the place of the stage.")]
pub(super) struct ReportArguments {
    /// Run, recipe name for its newest run, `latest`, or tag, or RUN:STAGE
    /// [default: the newest run].
    run: Option<String>,
    #[command(flatten)]
    experiments: ExperimentsArguments,
}

pub(super) fn run(arguments: &ReportArguments) -> anyhow::Result<ExitCode> {
    let named = arguments.run.as_deref().map(|name| name.split_once(':').ok_or(name));
    let (recorded, place) = match named {
        Some(Ok((run, stage))) => {
            let found = find_stage(&arguments.experiments, run, stage)?;
            let name = found.stage_name().unwrap_or(stage);
            let place = format!("#{name}");
            (found.run, place)
        }
        run => (find_run(&arguments.experiments, run.and_then(Result::err))?, String::new()),
    };
    let history = report::read(&recorded.folder)?;
    let page = report::write(&recorded.folder, &history, Results::read(&history))?;
    print_text(&format!("{}{place}\n", page.display()))?;
    Ok(ExitCode::SUCCESS)
}
