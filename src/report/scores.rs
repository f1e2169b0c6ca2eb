//! The scores of every cell by domain, as a chart and a table.

use maud::{Markup, html};

use super::{
    chart::{self, Dot, Series},
    history::History,
};
use crate::evaluation::{DomainScores, Estimate, Scores};

/// What the table shows of each domain; precision never stands without what could buy it.
const SHOWN: &[(&str, &str)] = &[
    ("precision", "precision"),
    ("deduplicated", "repeats counted once"),
    ("factscore", "FActScore"),
    ("f1_at_k", "F1@K"),
    ("facts", "facts an answer"),
    ("distinct_supported", "different right facts"),
    ("distinct_unsupported", "different wrong facts"),
    ("repeats", "repeats"),
    ("responding", "share with facts"),
    ("characters", "characters"),
];

/// A chart of more cells than this says less than the comparison's.
const MOST_CHARTED: usize = 8;

/// A chart of precision and a table of measures, a row for each stage that left scores.
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
        return html! { p { "No answers were scored in this run." } };
    }
    html! {
        @for problem in &problems { p.failed { (problem) } }
        @if scored.is_empty() {}
        @else if scored.len() <= MOST_CHARTED { (chart(&scored)) (table(&scored)) }
        @else { details { summary { "The scores of " (scored.len()) " cells" } (table(&scored)) } }
    }
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
        found.measures.get("precision").map(|estimate| Dot { mean: estimate.mean, interval: estimate.interval() })
    };
    let series: Vec<Series> = scored
        .iter()
        .map(|(name, scores)| Series {
            name: (*name).to_owned(),
            dots: names.iter().map(|domain| dot(scores, domain)).collect(),
        })
        .collect();
    let groups: Vec<String> = names.iter().map(|name| title(&scored[0].1, name)).collect();
    chart::dots(
        "precision by domain, with 95 % intervals over topics, which say nothing of other seeds",
        &groups,
        &series,
    )
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
