//! All commands, and the way to each.

use std::{path::PathBuf, process::ExitCode};

use clap::{Parser, Subcommand};

use super::{
    attempt, bench, cache, common, compare, convert, dag, diagnostics, doctor, explain, generate, init, logprobs, logs,
    plan, report, run, schema, status, sweep, validate,
};

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
    /// Runs all cells of a recipe's matrix, going on after failures, and compares them.
    #[command(after_help = sweep::EXAMPLES)]
    Sweep(run::RunArguments),
    /// Shows what would run, what is cached, and why.
    Plan(plan::PlanArguments),
    /// Checks a recipe and says everything that is wrong with it.
    Validate(validate::ValidateArguments),
    /// Shows in what a stage differs from the nearest artifact that exists.
    Explain(explain::ExplainArguments),
    /// Draws the stages of a recipe and what each needs.
    Dag(dag::DagArguments),
    /// Shows how far a run is, or how it ended.
    Status(status::StatusArguments),
    /// Shows what a stage printed.
    Logs(logs::LogsArguments),
    /// Writes a run's report anew.
    Report(report::ReportArguments),
    /// Shows the tables of a run, or two runs side by side: what differs, and how the scores do.
    Compare(compare::CompareArguments),
    /// Looks after the store.
    Cache(cache::CacheCommand),
    /// Prints the JSON Schema of recipes, with which editors complete and check them.
    Schema(schema::SchemaArguments),
    /// Writes a recipe to start from.
    Init(init::InitArguments),
    /// Lets a model go on from a prompt.
    Generate(generate::GenerateArguments),
    /// Says how probable a model finds the answers of preference pairs.
    Logprobs(logprobs::LogprobsArguments),
    /// Reads a model directory and writes it again: merged with an adapter, in another format, in other files.
    Convert(convert::ConvertArguments),
    /// Says what this machine has, and what is missing.
    Doctor(doctor::DoctorArguments),
    /// Measures how fast this machine trains and samples.
    Bench(bench::BenchArguments),
    #[command(hide = true)]
    Attempt(attempt::AttemptArguments),
}

/// Reads the command line, does what it asks, and says how that went.
pub fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let default = if matches!(arguments.command, Command::Attempt(_)) { "info,burn_train=warn" } else { "warn" };
    let done = diagnostics::listen(default, arguments.log_file.as_deref()).and_then(|()| match &arguments.command {
        Command::Run(arguments) => run::run(arguments),
        Command::Plan(arguments) => plan::run(arguments),
        Command::Validate(arguments) => validate::run(arguments),
        Command::Explain(arguments) => explain::run(arguments),
        Command::Dag(arguments) => dag::run(arguments),
        Command::Status(arguments) => status::run(arguments),
        Command::Logs(arguments) => logs::run(arguments),
        Command::Cache(command) => cache::run(command),
        Command::Schema(arguments) => schema::run(arguments),
        Command::Init(arguments) => init::run(arguments),
        Command::Sweep(arguments) => sweep::run(arguments),
        Command::Report(arguments) => report::run(arguments),
        Command::Compare(arguments) => compare::run(arguments),
        Command::Generate(arguments) => generate::run(arguments).map(|()| ExitCode::SUCCESS),
        Command::Logprobs(arguments) => logprobs::run(arguments).map(|()| ExitCode::SUCCESS),
        Command::Convert(arguments) => convert::run(arguments).map(|()| ExitCode::SUCCESS),
        Command::Doctor(arguments) => doctor::run(arguments).map(|()| ExitCode::SUCCESS),
        Command::Bench(arguments) => bench::run(arguments).map(|()| ExitCode::SUCCESS),
        Command::Attempt(arguments) => attempt::run(arguments),
    });
    done.unwrap_or_else(|error| {
        say!("error: {}", common::said_once(&error));
        ExitCode::from(common::WRONG)
    })
}
