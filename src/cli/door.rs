//! All commands and their dispatch.

use std::{path::PathBuf, process::ExitCode};

use clap::{
    CommandFactory, Parser, Subcommand,
    error::{ContextKind, ContextValue},
};

use super::{
    attempt, bench, cache, cancel, compare, completions, convert, dag, diagnostics, doctor,
    explain, export, generate, init, kinds, logprobs, logs, path, pin, plan, report, run, runs,
    schema, shared_args, status, sweep, validate,
};
use crate::diagnostic::nearest;

#[derive(Parser)]
#[command(
    name = "apeft",
    version = env!("APEFT_VERSION"),
    about,
    after_help = "Examples:
  apeft init my-experiment
  apeft run recipes/quickstart.toml
  apeft compare quickstart
  apeft kinds tune

A recipe (TOML) declares stages; each kind of stage, such as `tune`, has its own fields. Results are
in the store (`cache/`), runs with their reports in `experiments/`. docs/tutorial.md is a tutorial,
docs/GLOSSARY.md defines the terms."
)]
struct CommandLine {
    #[command(subcommand)]
    command: Command,
    /// Write diagnostics to this file; RUST_LOG sets the level [default: the terminal].
    #[arg(long, global = true, value_name = "FILE")]
    log_file: Option<PathBuf>,
}

#[derive(Subcommand)]
enum Command {
    /// Run a recipe; run it again to resume.
    #[command(after_help = run::EXAMPLES)]
    Run(run::RunArguments),
    /// Run all cells of a recipe's matrix, also after failures, and compare them.
    #[command(after_help = sweep::EXAMPLES)]
    Sweep(run::RunArguments),
    /// Show which stages would run or are cached, and why.
    Plan(plan::PlanArguments),
    /// Check a recipe and report every problem.
    Validate(validate::ValidateArguments),
    /// Show what differs between a stage and its nearest cached artifact.
    Explain(explain::ExplainArguments),
    /// Print a recipe's stage graph.
    Dag(dag::DagArguments),
    /// Show the progress or outcome of a run.
    Status(status::StatusArguments),
    /// Cancel the jobs of a run on a cluster.
    Cancel(cancel::CancelArguments),
    /// Show a stage's log.
    Logs(logs::LogsArguments),
    /// List the recorded runs with state, duration, tags and note.
    Runs(runs::RunsArguments),
    /// Print the folder of a run or of a stage's artifact.
    Path(path::PathArguments),
    /// Write a run's report again.
    Report(report::ReportArguments),
    /// Print a run's tables, or compare two runs: differences and scores.
    Compare(compare::CompareArguments),
    /// List, verify, clean and copy the store.
    Cache(cache::CacheCommand),
    /// Protect artifacts from `cache gc`, or list the protected ones.
    #[command(after_help = pin::EXAMPLES)]
    Pin(pin::PinArguments),
    /// Undo `apeft pin`.
    #[command(after_help = pin::REVERSED)]
    Unpin(pin::PinArguments),
    /// Write an artifact as ordinary files with its provenance.
    Export(export::ExportArguments),
    /// Take an exported artifact into the store.
    ImportArtifact(export::ImportArguments),
    /// List the kinds of stage, or the fields of one kind.
    Kinds(kinds::KindsArguments),
    /// Print the JSON Schema of recipes for completion and checks in editors.
    Schema(schema::SchemaArguments),
    /// Write a first recipe.
    Init(init::InitArguments),
    /// Generate responses to prompts.
    Generate(generate::GenerateArguments),
    /// Print log-probabilities of the completions of preference pairs.
    Logprobs(logprobs::LogprobsArguments),
    /// Rewrite a model directory: merge an adapter, change dtype or shard size.
    Convert(convert::ConvertArguments),
    /// Report this machine's hardware and what is missing.
    Doctor(doctor::DoctorArguments),
    /// Measure training and sampling speed of this machine.
    Bench(bench::BenchArguments),
    /// Print completions for a shell.
    Completions(completions::CompletionsArguments),
    /// Print the man page, or write those of all commands.
    Man(completions::ManArguments),
    #[command(hide = true)]
    Attempt(attempt::AttemptArguments),
}

/// Parses the command line, runs the command and returns the exit status.
pub fn main() -> ExitCode {
    let arguments = CommandLine::try_parse().unwrap_or_else(|error| with_suggestion(error).exit());
    // The stderr of an attempt is its log, read when it is too late to ask for more.
    let default = if matches!(arguments.command, Command::Attempt(_)) {
        "info,burn_train=warn"
    } else {
        "warn"
    };
    let done =
        diagnostics::listen(default, arguments.log_file.as_deref()).and_then(|()| match &arguments
            .command
        {
            Command::Run(arguments) => run::run(arguments),
            Command::Plan(arguments) => plan::run(arguments),
            Command::Validate(arguments) => validate::run(arguments),
            Command::Explain(arguments) => explain::run(arguments),
            Command::Dag(arguments) => dag::run(arguments),
            Command::Status(arguments) => status::run(arguments),
            Command::Cancel(arguments) => cancel::run(arguments),
            Command::Logs(arguments) => logs::run(arguments),
            Command::Runs(arguments) => runs::run(arguments),
            Command::Path(arguments) => path::run(arguments),
            Command::Cache(command) => cache::run(command),
            Command::Pin(arguments) => pin::run(arguments),
            Command::Unpin(arguments) => pin::undo(arguments),
            Command::Export(arguments) => export::export(arguments),
            Command::ImportArtifact(arguments) => export::import(arguments),
            Command::Kinds(arguments) => kinds::run(arguments),
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
            Command::Completions(arguments) => {
                completions::complete(arguments, &mut CommandLine::command())
            }
            Command::Man(arguments) => completions::manual(arguments, CommandLine::command()),
            Command::Attempt(arguments) => attempt::run(arguments),
        });
    done.unwrap_or_else(|error| {
        say!("error: {}", shared_args::said_once(&error));
        ExitCode::from(shared_args::WRONG)
    })
}

/// An error with the nearest command: clap's own takes `rnu` for `runs`.
fn with_suggestion(mut error: clap::Error) -> clap::Error {
    let written = match error.get(ContextKind::InvalidSubcommand) {
        Some(ContextValue::String(written)) => written.clone(),
        _ => return error,
    };
    let command = CommandLine::command();
    // The words before it name the command that it should be a part of.
    let words = std::env::args().skip(1).take_while(|word| *word != written);
    let above = words.fold(&command, |above, word| above.find_subcommand(word).unwrap_or(above));
    let names = above.get_subcommands().filter(|below| !below.is_hide_set());
    if let Some(near) = nearest(&written, names.map(clap::Command::get_name)) {
        let near = ContextValue::Strings(vec![near.to_owned()]);
        error.insert(ContextKind::SuggestedSubcommand, near);
    }
    error
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    /// The commands with their full names, subcommands included.
    fn commands(command: &clap::Command, name: &str) -> Vec<(String, clap::Command)> {
        let mut found = vec![(name.to_owned(), command.clone())];
        for below in command.get_subcommands().filter(|below| !below.is_hide_set()) {
            found.extend(commands(below, &format!("{name} {}", below.get_name())));
        }
        found
    }

    /// The words of a shell command up to a pipe or redirection.
    fn words(line: &str) -> Vec<String> {
        let (mut words, mut word, mut quote) = (Vec::new(), String::new(), None);
        for letter in line.chars() {
            match (letter, quote) {
                (_, Some(open)) if letter == open => quote = None,
                ('\'' | '"', None) => quote = Some(letter),
                (' ', None) => words.push(std::mem::take(&mut word)),
                _ => word.push(letter),
            }
        }
        words.push(word);
        words.into_iter().take_while(|word| word != "|" && word != ">").collect()
    }

    #[test]
    fn every_help_ends_with_examples_that_parse() {
        let all = commands(&CommandLine::command(), "apeft");
        assert!(all.iter().any(|(name, _)| name == "apeft cache gc"), "subcommands were not found");
        for (name, command) in all {
            let help = command.get_after_help().map(ToString::to_string).unwrap_or_default();
            let examples: Vec<&str> = help
                .lines()
                .skip_while(|line| *line != "Examples:")
                .skip(1)
                .take_while(|line| !line.is_empty())
                .collect();
            assert!(!examples.is_empty(), "`{name}` has no examples");
            for example in examples {
                assert!(example.starts_with(&format!("  {name}")), "{name}: {example}");
                let words = words(example.trim_start());
                if let Err(error) = CommandLine::try_parse_from(&words) {
                    panic!("{example}: {error}");
                }
                let recipes = words.iter().filter(|word| word.ends_with(".toml"));
                for recipe in recipes {
                    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(recipe);
                    assert!(path.exists(), "{example}: {recipe} is missing");
                }
            }
        }
    }
}
