//! The first screen of a page: what was asked, what was found, one figure, and where it comes from.

use jiff::Timestamp;
use maud::{Markup, html};

use super::{
    findings::RunFinding,
    gallery::{Gallery, shown},
    history::{History, StageEnding},
    markup::prose,
    results::Results,
    stages::{counts, durations},
    words::listed,
};
use crate::{
    diagnostic::counted,
    evaluation::Comparison,
    rows::{ALL_DOMAINS, OUT_OF_DOMAIN},
};

/// Failed stages that are named before anything else.
const MOST_FAILURES: usize = 20;

/// The first screen.
pub(super) fn first(
    history: &History,
    results: &Results<'_>,
    findings: &[RunFinding],
    gallery: &Gallery,
) -> Markup {
    html! {
        h1 { (history.recipe) " " span.small { (history.run) } }
        (troubles(history, results))
        (asked(history, results))
        div.findings {
            @for RunFinding { question, answers } in findings {
                h2 { (question) }
                ul { @for answer in answers { li { (prose(answer)) } } }
            }
        }
        @if let Some(figure) = gallery.first() { (shown(figure)) }
        (provenance(history))
    }
}

/// What went wrong stands before what was found.
fn troubles(history: &History, results: &Results<'_>) -> Markup {
    let failed = history.stages.iter().filter(|stage| stage.outcome == StageEnding::Failed);
    let more = failed.clone().count().saturating_sub(MOST_FAILURES);
    html! {
        @for stage in failed.take(MOST_FAILURES) {
            p.failed { a href={ "#" (stage.name()) } { code { (stage.name()) } } " failed: "
                (prose(&stage.reason)) }
        }
        @if more > 0 { p.failed { (counted(more, "more failed stage")) } }
        @for problem in &results.problems { p.failed { (prose(problem)) } }
        @for (key, problem) in &history.damaged {
            p.failed { "The artifact " code { (key) } " was damaged: " (problem) }
        }
        @if history.passed_over > 0 {
            p.failed { (counted(history.passed_over, "line")) " of the journal, written by a newer \
                version of apeft, are ignored." }
        }
        @let warnings = history.stages.iter().map(|stage| stage.warnings.len()).sum::<usize>();
        @if warnings > 0 {
            p { a href="#warnings" { (counted(warnings, "warning")) } " of stages." }
        }
    }
}

fn asked(history: &History, results: &Results<'_>) -> Markup {
    let mut seeds: Vec<String> = Vec::new();
    for seed in history.stages.iter().filter_map(|stage| stage.cell.seed.as_ref()) {
        if !seeds.contains(seed) {
            seeds.push(seed.clone());
        }
    }
    html! {
        @if !history.provenance.description.is_empty() {
            p { (prose(&history.provenance.description)) }
        }
        dl {
            @if let Some((_, comparison)) = results.comparisons.first() {
                dt { "arms" } dd { (arms(comparison)) }
                @if let Some(home) = &comparison.in_domain {
                    dt { "domains" }
                    dd { "in-domain " (home) "; out-of-domain " (listed(&away(comparison, home))) }
                }
            }
            @if !seeds.is_empty() {
                dt { (counted(seeds.len(), "seed")) }
                dd { (seeds.join(", ")) }
            }
            dt { "run" } dd { (counts(history)) "; " (durations(history)) }
        }
    }
}

/// `21 arms: algorithm dpo, ipo; preferences general, atomic; baseline before`.
fn arms(comparison: &Comparison) -> String {
    let mut variables: Vec<(&str, Vec<&str>)> = Vec::new();
    for (name, value) in comparison.arms.iter().flat_map(|arm| &arm.cell) {
        match variables.iter_mut().find(|(known, _)| known == name) {
            Some((_, values)) if values.contains(&value.as_str()) => {}
            Some((_, values)) => values.push(value),
            None => variables.push((name, vec![value])),
        }
    }
    let mut words = counted(comparison.arms.len(), "arm");
    for (index, (name, values)) in variables.iter().enumerate() {
        let separator = if index == 0 { ": " } else { "; " };
        words.push_str(&format!("{separator}{name} {}", values.join(", ")));
    }
    let baseline = comparison.baseline.iter();
    words.extend(baseline.map(|baseline| format!("; baseline {baseline}")));
    words
}

fn away(comparison: &Comparison, home: &str) -> Vec<String> {
    let mut domains: Vec<String> = Vec::new();
    for row in &comparison.rows {
        let is_mean = [OUT_OF_DOMAIN, ALL_DOMAINS, home].contains(&row.domain.as_str());
        if !is_mean && !domains.contains(&row.domain) {
            domains.push(row.domain.clone());
        }
    }
    domains
}

/// Where the numbers come from, and how they are made again.
fn provenance(history: &History) -> Markup {
    let began = Timestamp::from_millisecond(history.began as i64).unwrap_or_default();
    let machine = [&history.provenance.host, &history.provenance.processor];
    let machine: Vec<&str> =
        machine.into_iter().map(String::as_str).filter(|words| !words.is_empty()).collect();
    html! {
        dl {
            dt { "program" } dd { "apeft " (history.version) }
            @if !machine.is_empty() { dt { "machine" } dd { (machine.join(", ")) } }
            dt { "started" } dd { (began.strftime("%Y-%m-%d %H:%M UTC").to_string()) }
            dt { "command" } dd { code { (history.command_line()) } }
        }
    }
}
