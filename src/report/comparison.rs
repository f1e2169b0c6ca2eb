//! Sections of a comparison: main table, averages over arms, suspect gains, and all measures.

use maud::{Markup, html};

use super::{
    chart::{self, Dot, Series},
    history::History,
    table::{TextTable, averages, find, grid, headlines, short},
};
use crate::{
    evaluation::{Comparison, ComparisonRow},
    rows::MeasureName,
};

/// Comparisons of a run.
#[derive(Debug, Default)]
pub struct Comparisons<'a> {
    /// By stage name.
    pub found: Vec<(&'a str, Comparison)>,
    /// Errors of comparisons that cannot be read.
    pub problems: Vec<String>,
}

/// The comparisons of a run.
pub fn comparisons(history: &History) -> Comparisons<'_> {
    let mut comparisons = Comparisons::default();
    for stage in &history.stages {
        match stage.parse("comparison.json") {
            Some(Ok(comparison)) => comparisons.found.push((&stage.outline.name, comparison)),
            Some(Err(problem)) => comparisons.problems.push(problem),
            None => {}
        }
    }
    comparisons
}

/// A section for each comparison.
pub(super) fn compared(comparisons: &[(&str, Comparison)]) -> Markup {
    html! {
        @if comparisons.is_empty() { p { "No arms were compared in this run." } }
        @for (name, comparison) in comparisons {
            h3 { code { (name) } }
            (table(&grid(comparison)))
            @if let Some(averages) = averages(comparison) { (table(&averages)) }
            (chart(comparison))
            @for warning in &comparison.warnings { p.failed { (warning.text) } }
            @for caution in &comparison.cautions { p.failed { (caution) } }
            // Its rows would bury the main table.
            details { summary { "All domains, more measures" } (measures(comparison)) }
        }
    }
}

/// Precision of each arm: in-domain, out-of-domain and over all domains.
fn chart(comparison: &Comparison) -> Markup {
    let groups: Vec<String> = headlines(comparison).into_iter().map(str::to_owned).collect();
    // An arm that was not scored in a domain has a gap there.
    let series: Vec<Series> = comparison
        .arms
        .iter()
        .map(|arm| Series {
            name: arm.name.clone(),
            dots: groups.iter().map(|domain| dot(comparison, &arm.name, domain)).collect(),
        })
        .collect();
    chart::dots(
        "precision of each arm, with 95 % intervals over seeds and topics",
        &groups,
        &series,
    )
}

fn dot(comparison: &Comparison, arm: &str, domain: &str) -> Option<Dot> {
    let row = find(comparison, arm, domain, MeasureName::Precision)?;
    Some(Dot { mean: row.mean, interval: row.low.zip(row.high).map(|(low, high)| [low, high]) })
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
        p { "Means with 95 % intervals over seeds and topics (over topics only with a single \
        seed). Differences are bold if the interval excludes zero." }
        table {
            thead { tr {
                th { "arm" } th { "measure" }
                @for domain in &domains { th { (domain) } }
            } }
            tbody {
                @for arm in &comparison.arms {
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
            @if let Some(p) = row.p { span.small { " p " (short(p)) } }
        }
    }
}
