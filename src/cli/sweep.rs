//! `apeft sweep`: runs all cells of a matrix, and shows them side by side.

use std::{fs, path::Path, process::ExitCode};

use comfy_table::{Table, presets};

use super::run::{RunArguments, carry_out, exit_code};
use crate::{
    evaluation::{Comparison, ComparisonRow},
    schedule::Outcome,
};

/// What the table shows of each domain.
const SHOWN: [&str; 4] = ["precision", "facts", "distinct_supported", "responding"];

pub(super) fn run(arguments: &RunArguments) -> anyhow::Result<ExitCode> {
    let arguments = RunArguments { keep_going: true, ..arguments.clone() };
    let outcome = match carry_out(&arguments)? {
        Ok(outcome) => outcome,
        Err(code) => return Ok(code),
    };
    let comparisons = comparisons(&outcome)?;
    if comparisons.is_empty() {
        eprintln!("there is no comparison to show: give the recipe a stage of kind `compare` over its scores");
    }
    for (name, comparison) in comparisons {
        eprintln!("\n{name}\n{}", table(&comparison));
    }
    Ok(exit_code(&outcome))
}

fn comparisons(outcome: &Outcome) -> anyhow::Result<Vec<(String, Comparison)>> {
    let compared = outcome.stages.iter().filter(|stage| stage.kind == "compare");
    let folders = compared.filter_map(|stage| Some((&stage.name, stage.artifact.as_deref()?)));
    folders
        .map(|(name, folder)| {
            let text = fs::read_to_string(Path::new(folder).join("comparison.json"))?;
            Ok((name.clone(), serde_json::from_str(&text)?))
        })
        .collect()
}

/// A line for each arm and measure, a column for each domain; a star where the difference's interval excludes zero.
fn table(comparison: &Comparison) -> Table {
    let mut domains: Vec<&str> = Vec::new();
    for row in &comparison.rows {
        if !domains.contains(&row.domain.as_str()) {
            domains.push(&row.domain);
        }
    }
    let mut table = Table::new();
    let header = ["arm", "measure"].into_iter().chain(domains.iter().copied());
    table.load_style(presets::UTF8_HORIZONTAL_ONLY).set_header(header.collect::<Vec<_>>());
    for arm in &comparison.arms {
        for measure in SHOWN {
            let find = |domain: &&str| {
                let mut rows = comparison.rows.iter();
                rows.find(|row| row.arm == arm.name && row.domain == **domain && row.measure == measure)
            };
            let cells = domains.iter().map(|domain| find(domain).map_or_else(|| "–".to_owned(), cell));
            table.add_row([arm.name.clone(), measure.to_owned()].into_iter().chain(cells).collect::<Vec<_>>());
        }
    }
    table
}

fn cell(row: &ComparisonRow) -> String {
    let mean = format!("{:.3} [{:.3}, {:.3}]", row.mean, row.low, row.high);
    match (row.difference, row.difference_low, row.difference_high) {
        (Some(difference), Some(low), Some(high)) => {
            let star = if low > 0.0 || high < 0.0 { "*" } else { "" };
            format!("{mean}\n{difference:+.3} [{low:+.3}, {high:+.3}]{star}")
        }
        _ => mean,
    }
}
