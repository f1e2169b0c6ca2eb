//! The scores of every arm by domain, as a chart and a table, and what a comparison found.

use std::path::Path;

use maud::{Markup, html};

use super::{
    chart::{self, Dot, Series},
    history::History,
};
use crate::evaluation::{Comparison, DomainScores, Estimate, Scores};

/// What the table shows of each domain; precision never stands without what could buy it.
const SHOWN: &[(&str, &str)] = &[
    ("precision", "precision"),
    ("factscore", "FActScore"),
    ("facts", "facts an answer"),
    ("distinct_supported", "different right facts"),
    ("repeats", "repeats"),
    ("responding", "share with facts"),
    ("characters", "characters"),
];

/// A chart of precision and a table of all measures, an arm for each stage that left scores; then the comparisons.
pub(super) fn scores(history: &History) -> Markup {
    let scored: Vec<(&str, Scores)> = artifacts(history, "scores.json")
        .filter_map(|(name, file)| Some((name, serde_json::from_slice(&std::fs::read(file).ok()?).ok()?)))
        .collect();
    let comparisons: Vec<(&str, Comparison)> = artifacts(history, "comparison.json")
        .filter_map(|(name, file)| Some((name, serde_json::from_slice(&std::fs::read(file).ok()?).ok()?)))
        .collect();
    if scored.is_empty() && comparisons.is_empty() {
        return html! { p { "No answers were scored in this run." } };
    }
    html! {
        @for (name, comparison) in &comparisons { (compared(name, comparison)) }
        @if !scored.is_empty() { (chart(&scored)) (table(&scored)) }
    }
}

fn artifacts<'a>(history: &'a History, file: &'a str) -> impl Iterator<Item = (&'a str, std::path::PathBuf)> {
    history.stages.iter().filter_map(move |stage| {
        let path = stage.artifact.as_deref().map(|folder: &Path| folder.join(file))?;
        path.is_file().then_some((stage.outline.name.as_str(), path))
    })
}

fn domains(scores: &Scores) -> impl Iterator<Item = &DomainScores> {
    scores.domains.iter().chain(&scores.out_of_domain)
}

fn title(scores: &Scores, domain: &str) -> String {
    match scores.in_domain.as_deref() == Some(domain) {
        true => format!("{domain} (in-domain)"),
        false => domain.to_owned(),
    }
}

fn chart(scored: &[(&str, Scores)]) -> Markup {
    let names: Vec<&str> = domains(&scored[0].1).map(|scores| scores.domain.as_str()).collect();
    let dot = |scores: &Scores, name: &str| {
        let found = domains(scores).find(|scores| scores.domain == name)?;
        found
            .measures
            .get("precision")
            .map(|estimate| Dot { mean: estimate.mean, interval: [estimate.low, estimate.high] })
    };
    let series: Vec<Series> = scored
        .iter()
        .map(|(name, scores)| Series {
            name: (*name).to_owned(),
            dots: names.iter().map(|domain| dot(scores, domain)).collect(),
        })
        .collect();
    let groups: Vec<String> = names.iter().map(|name| title(&scored[0].1, name)).collect();
    chart::dots("precision by domain, with 95 % intervals over topics", &groups, &series)
}

fn estimate(estimate: Option<&Estimate>) -> Markup {
    match estimate {
        Some(Estimate { mean, low, high }) => html! {
            (format!("{mean:.3}")) span.small { " [" (format!("{low:.3}")) ", " (format!("{high:.3}")) "]" }
        },
        None => html! { "–" },
    }
}

fn table(scored: &[(&str, Scores)]) -> Markup {
    html! {
        table {
            thead { tr { th { "arm" } th { "domain" } th { "answers" } @for (_, title) in SHOWN { th { (title) } } } }
            tbody {
                @for (name, scores) in scored {
                    @for domain in domains(scores) {
                        tr {
                            td { code { (name) } }
                            td { (title(scores, &domain.domain)) }
                            td { (domain.answers) }
                            @for (measure, _) in SHOWN { td { (estimate(domain.measures.get(*measure))) } }
                        }
                    }
                }
            }
        }
    }
}

/// The measures of a comparison that stand in its table.
const COMPARED: &[&str] = &["precision", "facts", "distinct_supported", "repeats", "responding"];

/// A comparison: the mean of each arm, and its difference from the baseline, by domain.
fn compared(name: &str, comparison: &Comparison) -> Markup {
    let mut domains: Vec<&str> = Vec::new();
    for row in &comparison.rows {
        if !domains.contains(&row.domain.as_str()) {
            domains.push(&row.domain);
        }
    }
    let seeds = comparison.rows.first().map_or(0, |row| row.seeds);
    html! {
        h3 { code { (name) } }
        p {
            "Means over " (seeds) " seed" @if seeds != 1 { "s" } " with 95 % intervals (bootstrap over seeds and topics)"
            @if let Some(baseline) = &comparison.baseline {
                "; differences from " code { (baseline) } " on the same prompts and seeds, bold where the interval excludes zero"
            }
            "."
        }
        table {
            thead { tr { th { "arm" } th { "measure" } @for domain in &domains { th { (domain) } } } }
            tbody {
                @for arm in &comparison.arms {
                    @for measure in COMPARED {
                        tr {
                            td { code { (arm.name) } }
                            td { (measure) }
                            @for domain in &domains { td { (cell(comparison, &arm.name, domain, measure)) } }
                        }
                    }
                }
            }
        }
    }
}

fn cell(comparison: &Comparison, arm: &str, domain: &str, measure: &str) -> Markup {
    let found = comparison.rows.iter().find(|row| row.arm == arm && row.domain == domain && row.measure == measure);
    let Some(row) = found else { return html! { "–" } };
    let mean = Estimate { mean: row.mean, low: row.low, high: row.high };
    let difference = match (row.difference, row.difference_low, row.difference_high) {
        (Some(mean), Some(low), Some(high)) => Some((mean, low, high)),
        _ => None,
    };
    html! {
        (estimate(Some(&mean)))
        @if let Some((mean, low, high)) = difference {
            br;
            @let text = format!("{mean:+.3} [{low:+.3}, {high:+.3}]");
            @if low > 0.0 || high < 0.0 { b { (text) } } @else { (text) }
        }
    }
}
