//! What the user may ask: one file per command.

use std::process::ExitCode;

use clap::{Parser, Subcommand};

mod dag;
mod init;
mod schema;
mod validate;

#[derive(Parser)]
#[command(name = "apeft", version, about)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Checks a recipe and says everything that is wrong with it.
    Validate(validate::ValidateArguments),
    /// Draws the stages of a recipe and what each needs.
    Dag(dag::DagArguments),
    /// Prints the JSON Schema of recipes, with which editors complete and check them.
    Schema(schema::SchemaArguments),
    /// Writes a recipe to start from.
    Init(init::InitArguments),
}

/// Reads the command line, does what it asks, and says how that went.
pub fn main() -> ExitCode {
    let done = match &Arguments::parse().command {
        Command::Validate(arguments) => validate::run(arguments),
        Command::Dag(arguments) => dag::run(arguments),
        Command::Schema(arguments) => schema::run(arguments),
        Command::Init(arguments) => init::run(arguments),
    };
    done.unwrap_or_else(|error| {
        eprintln!("error: {error:#}");
        ExitCode::from(2)
    })
}
