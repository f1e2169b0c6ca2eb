//! Why: how far each arm shifted in each domain, what that did to the score, and the verdicts.

use maud::{Markup, html};

use super::{
    chart::{self, Cloud, Dot, Series},
    history::History,
};
use crate::evaluation::{ArmDiagnosis, Diagnosis, DomainDiagnosis, Estimate, Learnt};

/// What the table shows of each domain.
const SHOWN: &[(&str, &str)] =
    &[("unshifted", "unshifted"), ("marginal", "marginal"), ("shifted", "shifted"), ("kl", "KL, nats a token")];

/// A section for each diagnosis that the run left.
pub(super) fn diagnoses(history: &History) -> Markup {
    let found = history.stages.iter();
    let found = found.filter_map(|stage| Some((&stage.outline.name, stage.parse::<Diagnosis>("diagnosis.json")?)));
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
    for domain in diagnosis.arms.iter().flat_map(|arm| &arm.domains) {
        if !domains.contains(&domain.domain.as_str()) {
            domains.push(&domain.domain);
        }
    }
    let groups: Vec<String> = domains.iter().map(|domain| title(diagnosis, domain)).collect();
    let by_domain = |measure: &str| -> Vec<Series> {
        let dot = |arm: &ArmDiagnosis, domain: &str| {
            let found = arm.domains.iter().find(|found| found.domain == domain)?;
            found.shift.get(measure).map(|found| Dot { mean: found.mean, interval: found.interval() })
        };
        let series = |arm: &ArmDiagnosis| Series {
            name: arm.name.clone(),
            dots: domains.iter().map(|domain| dot(arm, domain)).collect(),
        };
        diagnosis.arms.iter().map(series).collect()
    };
    let cloud = |domain: &&str| Cloud {
        name: title(diagnosis, domain),
        points: diagnosis.arms.iter().filter_map(|arm| point(arm, domain)).collect(),
    };
    let clouds: Vec<Cloud> = domains.iter().map(cloud).collect();
    html! {
        div.charts {
            (chart::dots("share of tokens that are not the base's first choice, by domain", &groups, &by_domain("moved")))
            (chart::dots("KL divergence from the base by domain, in nats a token", &groups, &by_domain("kl")))
            (chart::scatter("change of precision (upwards) against KL divergence (to the right), a point an arm", &clouds))
        }
    }
}

/// An arm's shift and change of precision in a domain, with its name.
fn point(arm: &ArmDiagnosis, domain: &str) -> Option<(String, f64, f64)> {
    let found = arm.domains.iter().find(|found| found.domain == domain)?;
    Some((arm.name.clone(), found.shift.get("kl")?.mean, found.change?.mean))
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
    let reaches = |domain: &DomainDiagnosis| {
        let away = domain.away.as_ref()?;
        away.matched.ratio.get(&diagnosis.rule.by).copied()
    };
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
                            @for (measure, _) in SHOWN { td { (number(domain.shift.get(*measure))) } }
                            td { (number(reaches(domain).as_ref())) }
                            td { (number(domain.change.as_ref())) }
                            td { @if let Some(away) = &domain.away { b { (away.verdict.words()) } } }
                        }
                    }
                }
            }
        }
    }
}

fn verdicts(diagnosis: &Diagnosis) -> Markup {
    html! {
        ul {
            @for arm in &diagnosis.arms {
                @for domain in &arm.domains {
                    @if let Some(away) = &domain.away { li { code { (arm.name) } " in " (domain.domain) ": " (away.reason) } }
                }
            }
        }
    }
}

fn facts(facts: &[Learnt]) -> Markup {
    html! {
        table {
            thead { tr {
                th { "arm" } th { "domain" } th { "wrong before, potentially known" } th { "share right after" }
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
