//! Diagnosis: token shift of each arm by domain, the change of precision, and the verdicts.

use maud::{Markup, html};

use super::{
    chart::{self, Cloud, Dot, Series},
    history::History,
};
use crate::{
    evaluation::{ArmDiagnosis, Diagnosis, DomainDiagnosis, Estimate, Learnt},
    rows::ShiftMeasureName,
};

/// Columns of the table.
const SHOWN: &[(ShiftMeasureName, &str)] = &[
    (ShiftMeasureName::Unshifted, "unshifted"),
    (ShiftMeasureName::Marginal, "marginal"),
    (ShiftMeasureName::Shifted, "shifted"),
    (ShiftMeasureName::Kl, "KL, nats/token"),
];

/// A section for each diagnosis of the run.
pub(super) fn diagnoses(history: &History) -> Markup {
    let found = history.stages.iter();
    let found = found.filter_map(|stage| {
        Some((&stage.outline.name, stage.parse::<Diagnosis>("diagnosis.json")?))
    });
    html! {
        @for (name, diagnosis) in found {
            h2 { "Shift" }
            h3 { code { (name) } }
            @match diagnosis {
                Ok(diagnosis) => {
                    (charts(&diagnosis))
                    (table(&diagnosis))
                    (verdicts(&diagnosis))
                    @if !diagnosis.facts.is_empty() { (facts(&diagnosis.facts)) }
                }
                Err(problem) => { p.failed { (problem) } }
            }
        }
    }
}

fn title(diagnosis: &Diagnosis, domain: &str) -> String {
    if diagnosis.in_domain == domain { format!("{domain} (in-domain)") } else { domain.to_owned() }
}

fn charts(diagnosis: &Diagnosis) -> Markup {
    let mut domains: Vec<&str> = Vec::new();
    // Arms may have been measured on different domains; first seen, first drawn.
    for domain in diagnosis.arms.iter().flat_map(|arm| &arm.domains) {
        if !domains.contains(&domain.domain.as_str()) {
            domains.push(&domain.domain);
        }
    }
    let groups: Vec<String> = domains.iter().map(|domain| title(diagnosis, domain)).collect();
    let clouds: Vec<Cloud> = domains
        .iter()
        .map(|domain| Cloud {
            name: title(diagnosis, domain),
            points: diagnosis.arms.iter().filter_map(|arm| point(arm, domain)).collect(),
        })
        .collect();
    html! {
        div.charts {
            (chart::dots("share of tokens that are not the base model's first choice, by \
            domain", &groups, &by_domain(diagnosis, &domains, ShiftMeasureName::Moved)))
            (chart::dots("KL divergence from the base model by domain, in nats per \
            token", &groups, &by_domain(diagnosis, &domains, ShiftMeasureName::Kl)))
            (chart::scatter("change of precision (y) against KL divergence (x), one point per \
            arm", &clouds))
        }
    }
}

/// A measure of each arm by domain.
fn by_domain(diagnosis: &Diagnosis, domains: &[&str], measure: ShiftMeasureName) -> Vec<Series> {
    let series = diagnosis.arms.iter().map(|arm| Series {
        name: arm.name.clone(),
        dots: domains.iter().map(|domain| dot(arm, domain, measure)).collect(),
    });
    series.collect()
}

fn dot(arm: &ArmDiagnosis, domain: &str, measure: ShiftMeasureName) -> Option<Dot> {
    let found = arm.domains.iter().find(|found| found.domain == domain)?;
    let estimate = found.shift.get(&measure)?;
    Some(Dot { mean: estimate.mean, interval: estimate.interval() })
}

/// An arm's KL divergence and change of precision in a domain, with its name.
fn point(arm: &ArmDiagnosis, domain: &str) -> Option<(String, f64, f64)> {
    let found = arm.domains.iter().find(|found| found.domain == domain)?;
    Some((arm.name.clone(), found.shift.get(&ShiftMeasureName::Kl)?.mean, found.change?.mean))
}

fn number(estimate: Option<&Estimate>) -> Markup {
    match estimate {
        Some(estimate) => html! {
            (format!("{:.4}", estimate.mean))
            span.small {
                @match estimate.interval() {
                    Some([low, high]) => (format!(" [{low:.4}, {high:.4}]")),
                    None => " –",
                }
            }
        },
        None => html! { "–" },
    }
}

fn table(diagnosis: &Diagnosis) -> Markup {
    html! {
        table {
            thead { tr {
                th { "arm" } th { "domain" } th { "tokens" }
                @for (_, title) in SHOWN { th { (title) } }
                th { "share of the in-domain shift" } th { "change of precision" } th { "verdict" }
            } }
            tbody {
                @for arm in &diagnosis.arms {
                    @for domain in &arm.domains {
                        tr {
                            td { code { (arm.name) } }
                            td { (title(diagnosis, &domain.domain)) }
                            td { (domain.tokens) }
                            @for (measure, _) in SHOWN {
                                td { (number(domain.shift.get(measure))) }
                            }
                            td { (number(share_of_in_domain(diagnosis, domain))) }
                            td { (number(domain.change.as_ref())) }
                            // The in-domain rows are what the others are compared with, and have no
                            // verdict.
                            td {
                                @if let Some(away) = &domain.away { b { (away.verdict.words()) } }
                            }
                        }
                    }
                }
            }
        }
    }
}

/// The shift of an out-of-domain domain as a share of the in-domain one.
fn share_of_in_domain<'a>(
    diagnosis: &Diagnosis,
    domain: &'a DomainDiagnosis,
) -> Option<&'a Estimate> {
    domain.away.as_ref()?.matched.ratio.get(&diagnosis.rule.shift_measure)
}

fn verdicts(diagnosis: &Diagnosis) -> Markup {
    html! {
        ul {
            @for arm in &diagnosis.arms {
                @for domain in &arm.domains {
                    @if let Some(away) = &domain.away {
                        li { code { (arm.name) } " in " (domain.domain) ": " (away.reason) }
                    }
                }
            }
        }
    }
}

fn facts(facts: &[Learnt]) -> Markup {
    html! {
        table {
            thead { tr {
                th { "arm" } th { "domain" } th { "wrong before, potentially \
                known" } th { "share right after" }
                th { "right before" } th { "share wrong after" }
            } }
            tbody {
                @for found in facts {
                    tr {
                        td { code { (found.arm) } }
                        td { (found.domain) }
                        td { (found.wrong_before) }
                        td { (number(found.learnt.as_ref())) }
                        td { (found.right_before) }
                        td { (number(found.lost.as_ref())) }
                    }
                }
            }
        }
    }
}
