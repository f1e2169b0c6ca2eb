//! What the user may ask: one file per command.

use std::{path::PathBuf, process::ExitCode};

use clap::{Parser, Subcommand};

mod attempt;
mod cache;
mod common;
mod diagnostics;
mod explain;
mod interim;
mod logs;
mod plan;
mod run;
mod status;
mod terminal;

#[derive(Parser)]
#[command(name = "apeft", version, about)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
    /// Where diagnostics go, instead of the terminal; RUST_LOG says how much.
    #[arg(long, global = true, value_name = "FILE")]
    log_file: Option<PathBuf>,
}

#[derive(Subcommand)]
enum Command {
    /// Carries a recipe out; running again resumes.
    Run(run::RunArguments),
    /// Shows what would run, what is cached, and why.
    Plan(plan::PlanArguments),
    /// Shows in what a stage differs from the nearest artifact that exists.
    Explain(explain::ExplainArguments),
    /// Shows how far a run is, or how it ended.
    Status(status::StatusArguments),
    /// Shows what a stage printed.
    Logs(logs::LogsArguments),
    /// Looks after the store.
    Cache(cache::CacheCommand),
    #[command(hide = true)]
    Attempt(attempt::AttemptArguments),
}

/// Reads the command line, does what it asks, and says how that went.
pub fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let default = if matches!(arguments.command, Command::Attempt(_)) { "info" } else { "warn" };
    let done = diagnostics::listen(default, arguments.log_file.as_deref()).and_then(|()| match &arguments.command {
        Command::Run(arguments) => run::run(arguments),
        Command::Plan(arguments) => plan::run(arguments),
        Command::Explain(arguments) => explain::run(arguments),
        Command::Status(arguments) => status::run(arguments),
        Command::Logs(arguments) => logs::run(arguments),
        Command::Cache(command) => cache::run(command),
        Command::Attempt(arguments) => attempt::run(arguments),
    });
    done.unwrap_or_else(|error| {
        if common::is_broken_pipe(&error) {
            return ExitCode::SUCCESS;
        }
        eprintln!("error: {error:#}");
        ExitCode::from(common::WRONG)
    })
}
