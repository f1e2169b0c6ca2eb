//! `apeft sweep`: runs all cells of a matrix and prints the comparison.

use std::process::ExitCode;

use super::{
    compare::tables,
    output::say_text,
    run::{RunArguments, carry_out, exit_code},
    table,
};
use crate::report::{Comparisons, History, comparisons};

/// End of its help.
pub(super) const EXAMPLES: &str = "Examples:
  apeft sweep recipes/algorithms.toml
  apeft sweep recipes/algorithms.toml --seeds 0,1
  apeft sweep recipes/algorithms.toml --set 'matrix.algorithm=[\"dpo\", \"kto\"]'

Run it again to resume. `apeft compare` prints the tables again, also as Markdown, CSV or JSON.";

pub(super) fn run(arguments: &RunArguments) -> anyhow::Result<ExitCode> {
    // One failed arm must not cost the others.
    let arguments = RunArguments { keep_going: true, ..arguments.clone() };
    let outcome = match carry_out(&arguments)? {
        Ok(outcome) => outcome,
        Err(code) => return Ok(code),
    };
    let history = History::read(&outcome.folder)?;
    let Comparisons { found: comparisons, problems } = comparisons(&history);
    problems.iter().for_each(|problem| say!("error: {problem}"));
    // No failure: the run has all its results.
    if comparisons.is_empty() && problems.is_empty() {
        say!(
            "there is no comparison to show: give the recipe a stage of kind `compare` over its \
            scores"
        );
    }
    for (name, comparison) in comparisons {
        say!("\n{name}");
        // On stderr, since `--json` puts the outcome on stdout.
        tables(&comparison).iter().for_each(|shown| say_text(&table::text(shown)));
    }
    Ok(exit_code(&outcome))
}
