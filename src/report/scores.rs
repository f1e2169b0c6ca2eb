//! Scores of every cell by domain, as a chart and a table.

use maud::{Markup, html};

use super::{
    chart::{self, Dot, Series},
    history::History,
};
use crate::{
    evaluation::{DomainScores, Estimate, Scores},
    rows::MeasureName,
};

/// Columns of the table; precision is shown with the measures that could have bought it.
const SHOWN: &[(MeasureName, &str)] = &[
    (MeasureName::Precision, "precision"),
    (MeasureName::Deduplicated, "deduplicated"),
    (MeasureName::Factscore, "FActScore"),
    (MeasureName::F1AtK, "F1@K"),
    (MeasureName::Facts, "facts per response"),
    (MeasureName::DistinctSupported, "distinct supported facts"),
    (MeasureName::DistinctUnsupported, "distinct unsupported facts"),
    (MeasureName::Repeats, "repeats"),
    (MeasureName::Responding, "share with facts"),
    (MeasureName::Characters, "characters"),
];

/// Maximum number of cells in the table, which a browser is to show; `apeft compare` has all.
const MOST_ROWS: usize = 1000;

/// Larger charts are less readable than the comparison's.
const MOST_CHARTED: usize = 8;

/// A chart of precision and a table of measures, one row per scored stage.
pub(super) fn scores(history: &History) -> Markup {
    let (mut scored, mut problems): (Vec<(&str, Scores)>, Vec<String>) = (Vec::new(), Vec::new());
    for stage in &history.stages {
        match stage.parse("scores.json") {
            Some(Ok(scores)) => scored.push((&stage.outline.name, scores)),
            Some(Err(problem)) => problems.push(problem),
            None => {}
        }
    }
    if scored.is_empty() && problems.is_empty() {
        return html! { p { "No responses were scored in this run." } };
    }
    html! {
        @for problem in &problems { p.failed { (problem) } }
        @if scored.is_empty() {}
        @else if scored.len() <= MOST_CHARTED { (chart(&scored)) (table(&scored)) }
        // Rows of hundreds of cells would bury the rest of the page.
        @else {
            @let first = if scored.len() > MOST_ROWS { "the first 1,000 of " } else { "" };
            details {
            summary { "The scores of " (first) (scored.len()) " cells" }
            (table(&scored))
        }
        }
    }
}

fn domains(scores: &Scores) -> impl Iterator<Item = &DomainScores> {
    scores.domains.iter().chain(&scores.out_of_domain)
}

fn title(scores: &Scores, domain: &str) -> String {
    if scores.in_domain.as_deref() == Some(domain) {
        format!("{domain} (in-domain)")
    } else {
        domain.to_owned()
    }
}

fn chart(scored: &[(&str, Scores)]) -> Markup {
    // All cells of a run are scored on the same domains.
    let names: Vec<&str> = domains(&scored[0].1).map(|scores| scores.domain.as_str()).collect();
    let series: Vec<Series> = scored
        .iter()
        .map(|(name, scores)| Series {
            name: (*name).to_owned(),
            dots: names.iter().map(|domain| dot(scores, domain)).collect(),
        })
        .collect();
    let groups: Vec<String> = names.iter().map(|name| title(&scored[0].1, name)).collect();
    chart::dots(
        "precision by domain, with 95 % intervals over topics (not over seeds)",
        &groups,
        &series,
    )
}

fn dot(scores: &Scores, domain: &str) -> Option<Dot> {
    let found = domains(scores).find(|scores| scores.domain == domain)?;
    let precision = found.measures.get(&MeasureName::Precision)?;
    Some(Dot { mean: precision.mean, interval: precision.interval() })
}

fn estimate(estimate: Option<&Estimate>) -> Markup {
    match estimate {
        Some(estimate) => html! {
            (format!("{:.3}", estimate.mean))
            span.small {
                @match estimate.interval() {
                    Some([low, high]) => (format!(" [{low:.3}, {high:.3}]")),
                    None => " –",
                }
            }
        },
        None => html! { "–" },
    }
}

fn table(scored: &[(&str, Scores)]) -> Markup {
    html! {
        table {
            thead { tr {
                th { "arm" } th { "domain" } th { "responses" }
                @for (_, title) in SHOWN { th { (title) } }
            } }
            tbody {
                @for (name, scores) in scored.iter().take(MOST_ROWS) {
                    @for domain in domains(scores) {
                        tr {
                            td { code { (name) } }
                            td { (title(scores, &domain.domain)) }
                            td { (domain.answers) }
                            @for (measure, _) in SHOWN {
                                td { (estimate(domain.measures.get(measure))) }
                            }
                        }
                    }
                }
            }
        }
    }
}
