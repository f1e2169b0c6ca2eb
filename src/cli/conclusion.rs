//! The end of a run on the terminal: what it found, its table and the place of its page.

use std::path::Path;

use super::{
    output::{line, say_text},
    table,
};
use crate::{
    diagnostic::counted,
    report::{self, Results, RunFinding, brief, findings},
};

/// Width of lines, as of tables.
const WIDTH: usize = 100;

/// Prints findings and main tables of a run, at most a screen, and writes its page. Returns whether
/// there is nothing to compare. A run without a journal or a report has its results all the same.
pub(super) fn conclude(folder: &Path) -> bool {
    let history = match report::read(folder) {
        Ok(history) => history,
        Err(error) => {
            say!("warning: there is no report: {error}");
            return false;
        }
    };
    let results = Results::read(&history);
    results.problems.iter().for_each(|problem| say!("error: {problem}"));
    say_text(&findings_text(&findings(&results)));
    for (stage, comparison) in &results.comparisons {
        // On stderr, since `--json` puts the outcome on stdout.
        say_text(&format!("\n{}{}", line(stage.name()), table::lines(&brief(comparison))));
        let warnings = comparison.warnings.len() + comparison.cautions.len();
        if warnings > 0 {
            let warnings = counted(warnings, "warning");
            say!("{warnings} of this comparison: `apeft compare {}`", history.run);
        }
    }
    let lacks_comparison = results.comparisons.is_empty() && results.problems.is_empty();
    match report::write(folder, &history, results) {
        Ok(path) => say!("report: {}", path.display()),
        Err(error) => say!("warning: there is no report: {error}"),
    }
    lacks_comparison
}

/// Questions with their answers, one below the other.
pub(super) fn findings_text(findings: &[RunFinding]) -> String {
    let mut text = String::new();
    for RunFinding { question, answers } in findings {
        text.push_str(&format!("\n{}", line(question)));
        for answer in answers {
            let options = textwrap::Options::new(WIDTH)
                .initial_indent("  ")
                .subsequent_indent("    ")
                .break_words(false);
            // Line by line, so that no name commands the terminal.
            textwrap::wrap(answer, options).iter().for_each(|one| text.push_str(&line(one)));
        }
    }
    text
}
