//! `apeft report`: writes a run's report anew.

use std::process::ExitCode;

use clap::Args;

use super::{
    common::{ExperimentsArguments, WRONG},
    output::print_text,
    status,
};
use crate::report;

#[derive(Args, Clone, Debug)]
pub(super) struct ReportArguments {
    /// A recipe's name, or a run's [default: the newest run].
    run: Option<String>,
    #[command(flatten)]
    experiments: ExperimentsArguments,
}

pub(super) fn run(arguments: &ReportArguments) -> anyhow::Result<ExitCode> {
    let Some(recorded) = status::find(&arguments.experiments, arguments.run.as_deref()) else {
        return Ok(ExitCode::from(WRONG));
    };
    let page = report::write(&recorded.folder)?;
    print_text(&format!("{}\n", page.display()))?;
    Ok(ExitCode::SUCCESS)
}
