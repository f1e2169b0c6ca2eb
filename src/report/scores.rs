//! Scores of every cell by domain, as a table.

use maud::{Markup, html};

use super::{
    history::{History, StageHistory},
    markup::stage_link,
    results::parsed,
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

/// Cells in the table; the files of all cells have the rest.
const MOST_CELLS: usize = 40;

/// The scores of all cells, in the order of the plan.
pub(super) fn scored<'a>(
    history: &'a History,
    problems: &mut Vec<String>,
) -> Vec<(&'a StageHistory, Scores)> {
    parsed(history, "scores.json", problems)
}

/// A table of measures, one row per scored stage and domain.
pub(super) fn scores(history: &History, scored: &[(&StageHistory, Scores)]) -> Markup {
    html! {
        p {
            @if scored.len() > MOST_CELLS { (MOST_CELLS) " of " (scored.len()) " cells. " }
            "Intervals (95 %) are over topics, not over seeds. A name links to the folder with all \
            files, such as " code { "responses.csv" } "."
        }
        (table(history, scored))
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

fn table(history: &History, scored: &[(&StageHistory, Scores)]) -> Markup {
    html! {
        table {
            thead { tr {
                th { "arm" } th { "domain" } th { "responses" }
                @for (_, title) in SHOWN { th { (title) } }
            } }
            tbody {
                @for (stage, scores) in scored.iter().take(MOST_CELLS) {
                    @for domain in domains(scores) {
                        tr {
                            td { (stage_link(history, stage)) }
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
