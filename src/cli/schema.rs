//! `apeft schema`: JSON Schema of recipes for editors.

use std::process::ExitCode;

use clap::Args;

use super::output::print_text;
use crate::{recipe::json_schema, stage::registry};

/// Arguments of `apeft schema`.
#[derive(Args)]
#[command(after_help = "Examples:
  apeft schema > recipe.schema.json

First line of a recipe, for editors with Taplo:
  #:schema recipe.schema.json")]
pub(super) struct SchemaArguments {}

pub(super) fn run(_arguments: &SchemaArguments) -> anyhow::Result<ExitCode> {
    let schema = serde_json::to_string_pretty(&json_schema(&registry::catalogue()))?;
    print_text(&(schema + "\n"))?;
    Ok(ExitCode::SUCCESS)
}
