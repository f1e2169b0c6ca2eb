//! Sections of a comparison: main table, averages over arms, and all measures.

use maud::{Markup, html};

use super::{
    arm_table::find,
    history::{History, StageHistory},
    markup::file_link,
    results::Results,
    table::{TextTable, averages, grid},
    words::p_value,
};
use crate::{
    evaluation::{Comparison, ComparisonRow},
    rows::MeasureName,
};

/// Arms whose measures are shown; `apeft compare --csv` has all.
const MOST_ARMS: usize = 40;

/// The main table of each comparison and its averages.
pub(super) fn compared(results: &Results<'_>) -> Markup {
    html! {
        @for (stage, comparison) in &results.comparisons {
            h3 { code { (stage.name()) } }
            (table(&grid(comparison)))
            @if let Some(averages) = averages(comparison) { (table(&averages)) }
            @for warning in &comparison.warnings { p.failed { (warning.text) } }
            @for caution in &comparison.cautions { p.small { (caution) } }
        }
    }
}

/// All measures of all domains of each comparison.
pub(super) fn all_measures(history: &History, results: &Results<'_>) -> Markup {
    html! {
        p { "Means with 95 % intervals over seeds and topics (over topics only with a single \
            seed). Below: the difference from the baseline, bold if its interval excludes zero." }
        @for (stage, comparison) in &results.comparisons {
            h3 { code { (stage.name()) } }
            (rest(history, stage, comparison))
            (measures(comparison))
        }
    }
}

/// Where the rows are that the page leaves out.
fn rest(history: &History, stage: &StageHistory, comparison: &Comparison) -> Markup {
    let all = comparison.arms.len();
    html! {
        p {
            @if all > MOST_ARMS { (MOST_ARMS) " of " (all) " arms; all of them: " }
            @else { "As a table for other programs: " }
            (file_link(history, stage, "comparison.csv")) ", or with a column for each variable "
            code { "apeft compare " (history.run) " --csv" } "."
        }
    }
}

fn table(table: &TextTable) -> Markup {
    html! {
        p { (table.about) }
        table {
            thead { tr { @for name in &table.head { th { (name) } } } }
            tbody {
                @for row in &table.rows {
                    tr {
                        @for cell in row {
                            td {
                                @for (index, line) in cell.iter().enumerate() {
                                    @if index > 0 { br; }
                                    @if line.marked { b { (line.text) } } @else { (line.text) }
                                }
                            }
                        }
                    }
                }
            }
        }
    }
}

/// Measures of the long table.
const COMPARED: &[MeasureName] = &[
    MeasureName::Precision,
    MeasureName::Deduplicated,
    MeasureName::Factscore,
    MeasureName::F1AtK,
    MeasureName::Facts,
    MeasureName::DistinctSupported,
    MeasureName::DistinctUnsupported,
    MeasureName::Repeats,
    MeasureName::Responding,
];

/// Mean of each arm and its difference from the baseline, by measure and domain.
fn measures(comparison: &Comparison) -> Markup {
    let mut domains: Vec<&str> = Vec::new();
    for row in &comparison.rows {
        if !domains.contains(&row.domain.as_str()) {
            domains.push(&row.domain);
        }
    }
    html! {
        table {
            thead { tr {
                th { "arm" } th { "measure" }
                @for domain in &domains { th { (domain) } }
            } }
            tbody {
                @for arm in comparison.arms.iter().take(MOST_ARMS) {
                    @for measure in COMPARED {
                        tr {
                            td { code { (arm.name) } }
                            td { (measure) }
                            @for domain in &domains {
                                td { (cell(find(comparison, &arm.name, domain, *measure))) }
                            }
                        }
                    }
                }
            }
        }
    }
}

fn cell(row: Option<&ComparisonRow>) -> Markup {
    let Some(row) = row else { return html! { "–" } };
    html! {
        (format!("{:.3}", row.mean))
        span.small {
            @match row.low.zip(row.high) {
                Some((low, high)) => (format!(" [{low:.3}, {high:.3}]")),
                None => " –",
            }
        }
        @if let Some(mean) = row.difference {
            br;
            @match row.difference_low.zip(row.difference_high) {
                Some((low, high)) => {
                    @let text = format!("{mean:+.3} [{low:+.3}, {high:+.3}]");
                    @if low > 0.0 || high < 0.0 { b { (text) } } @else { (text) }
                }
                None => (format!("{mean:+.3} –")),
            }
            @if let Some(p) = row.p { span.small { " p " (p_value(p)) } }
        }
    }
}
