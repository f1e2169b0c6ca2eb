//! `apeft sweep`: runs all cells of a matrix and prints the comparison.

use std::process::ExitCode;

use super::{
    conclusion::conclude,
    run::{RunArguments, carry_out, exit_code},
};

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
    if outcome.detached == 0 && conclude(&outcome.folder) {
        say!(
            "there is no comparison to show: give the recipe a stage of kind `compare` over its \
            scores"
        );
    }
    Ok(exit_code(&outcome))
}
