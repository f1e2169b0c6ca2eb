//! `apeft schema`: what editors need to know of recipes.

use std::process::ExitCode;

use clap::Args;

use super::output::print_text;
use crate::{recipe::json_schema, stage::registry};

/// What `apeft schema` is given.
#[derive(Args)]
#[command(after_help = "Example:
  apeft schema > recipe.schema.json
and as the first line of a recipe, for editors that know Taplo:
  #:schema recipe.schema.json")]
pub(super) struct SchemaArguments {}

pub(super) fn run(_arguments: &SchemaArguments) -> anyhow::Result<ExitCode> {
    let schema = serde_json::to_string_pretty(&json_schema(&registry::catalogue()))?;
    print_text(&(schema + "\n"))?;
    Ok(ExitCode::SUCCESS)
}
