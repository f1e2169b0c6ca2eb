//! `apeft dag`: a picture of the recipe.

use std::{path::PathBuf, process::ExitCode};

use clap::Args;

use super::{
    output::print_text,
    validate::{plan_recipe, show},
};

/// What `apeft dag` is given.
#[derive(Args)]
#[command(after_help = "Examples:
  apeft dag recipes/quickstart.toml
  apeft dag recipes/quickstart.toml --dot | dot -Tsvg > quickstart.svg")]
pub(super) struct DagArguments {
    /// The recipe's file.
    recipe: PathBuf,
    /// Overrides a field of the recipe; may be repeated, later ones win.
    #[arg(long = "set", value_name = "FIELD=VALUE")]
    settings: Vec<String>,
    /// In Mermaid's language, which Markdown viewers draw; so it is where nothing is said.
    #[arg(long)]
    mermaid: bool,
    /// In Graphviz's language.
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
