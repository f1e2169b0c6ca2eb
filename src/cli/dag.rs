//! `apeft dag`: prints the stage graph.

use std::{path::PathBuf, process::ExitCode};

use clap::Args;

use super::{
    output::print_text,
    validate::{plan_recipe, show},
};

/// Arguments of `apeft dag`.
#[derive(Args)]
#[command(after_help = "Examples:
  apeft dag recipes/quickstart.toml
  apeft dag recipes/quickstart.toml --dot | dot -Tsvg > quickstart.svg")]
pub(super) struct DagArguments {
    /// Recipe file.
    recipe: PathBuf,
    /// Override a field of the recipe; repeatable, later ones win.
    #[arg(long = "set", value_name = "FIELD=VALUE")]
    settings: Vec<String>,
    /// Print Mermaid, which Markdown viewers draw (default).
    #[arg(long)]
    mermaid: bool,
    /// Print Graphviz DOT.
    #[arg(long, conflicts_with = "mermaid")]
    dot: bool,
}

pub(super) fn run(arguments: &DagArguments) -> anyhow::Result<ExitCode> {
    let plan = match plan_recipe(&arguments.recipe, &arguments.settings, None) {
        Ok(plan) => plan,
        Err(problems) => {
            show(&problems);
            return Ok(ExitCode::from(2));
        }
    };
    let picture = if arguments.dot { plan.dot() } else { plan.mermaid() };
    print_text(&picture)?;
    Ok(ExitCode::SUCCESS)
}
