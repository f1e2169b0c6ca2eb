//! `apeft sweep`: runs all cells of a matrix, and shows them side by side.

use std::process::ExitCode;

use super::{
    compare::tables,
    output::say_text,
    run::{RunArguments, carry_out, exit_code},
    table,
};
use crate::report::{Comparisons, History, comparisons};

/// What its help ends with.
pub(super) const EXAMPLES: &str = "Examples:
  apeft sweep recipes/algorithms.toml
  apeft sweep recipes/algorithms.toml --seeds 0,1
  apeft sweep recipes/algorithms.toml --set 'matrix.algorithm=[\"dpo\", \"kto\"]'

Interrupted and started again it goes on. `apeft compare` shows its tables once more, also as Markdown, CSV or JSON.";

pub(super) fn run(arguments: &RunArguments) -> anyhow::Result<ExitCode> {
    let arguments = RunArguments { keep_going: true, ..arguments.clone() };
    let outcome = match carry_out(&arguments)? {
        Ok(outcome) => outcome,
        Err(code) => return Ok(code),
    };
    let history = History::read(&outcome.folder)?;
    let Comparisons { found: comparisons, problems } = comparisons(&history);
    problems.iter().for_each(|problem| say!("error: {problem}"));
    if comparisons.is_empty() && problems.is_empty() {
        say!("there is no comparison to show: give the recipe a stage of kind `compare` over its scores");
    }
    for (name, comparison) in comparisons {
        say!("\n{name}");
        tables(&comparison).iter().for_each(|shown| say_text(&table::text(shown)));
    }
    Ok(exit_code(&outcome))
}
