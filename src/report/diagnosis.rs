//! Diagnosis: token shift of each arm by domain, the change of precision, and the verdicts.

use maud::{Markup, html};

use super::{
    arm_table::variables,
    history::History,
    markup::file_link,
    results::Results,
    table::{CellLine, TextTable},
};
use crate::{
    evaluation::{ArmDiagnosis, Diagnosis, DomainDiagnosis, Estimate, Learnt},
    rows::{Cell, ShiftMeasureName},
};

/// Columns of the table.
const SHOWN: &[(ShiftMeasureName, &str)] = &[
    (ShiftMeasureName::Unshifted, "unshifted"),
    (ShiftMeasureName::Marginal, "marginal"),
    (ShiftMeasureName::Shifted, "shifted"),
    (ShiftMeasureName::Kl, "KL, nats/token"),
];

/// Rows of each table and sentences of each list; `diagnosis.csv` has all.
const MOST_ROWS: usize = 150;

/// Tables and reasons of each diagnosis.
pub(super) fn diagnoses(history: &History, results: &Results<'_>) -> Markup {
    html! {
        @for (stage, diagnosis) in &results.diagnoses {
            h3 { code { (stage.name()) } }
            p { "All figures are in " (file_link(history, stage, "diagnosis.csv")) "." }
            (table(diagnosis))
            (verdicts(diagnosis))
            @if !diagnosis.facts.is_empty() { (facts(&diagnosis.facts)) }
        }
    }
}

/// Arms by domain, with a column for each variable, the share of the in-domain shift, the change of
/// precision and the verdict.
pub fn diagnosis_table(diagnosis: &Diagnosis) -> TextTable {
    let cells: Vec<Cell> = diagnosis.arms.iter().map(|arm| Cell::parse(&arm.name)).collect();
    let variables = variables(&cells);
    let arms = diagnosis.arms.iter().zip(&cells);
    let rows = arms.flat_map(|(arm, cell)| {
        let labels: Vec<String> = match variables.as_slice() {
            [] => vec![arm.name.clone()],
            names => names.iter().map(|one| cell.value(one).unwrap_or("").to_owned()).collect(),
        };
        let away = arm.domains.iter().filter_map(|domain| Some((domain, domain.away.as_ref()?)));
        away.map(move |(domain, away)| {
            let share = words(share_of_in_domain(diagnosis, domain), 100.0, false);
            let change = words(domain.change.as_ref(), 100.0, true);
            let verdict = away.verdict.words().to_owned();
            let row = labels.iter().cloned().chain([domain.domain.clone(), share, change, verdict]);
            row.map(|text| vec![CellLine::plain(text)]).collect()
        })
    });
    let labels = if variables.is_empty() { vec!["arm".to_owned()] } else { variables.clone() };
    let rest = ["domain", "shift", "precision", "verdict"].map(str::to_owned);
    TextTable {
        about: format!(
            "Token shift out-of-domain in % of that in {} at matched positions, and change of \
            precision in points, with 95 % intervals.",
            diagnosis.in_domain
        ),
        rows: rows.collect(),
        head: labels.into_iter().chain(rest).collect(),
    }
}

/// `42.0 [40.1, 43.9]`; a dash without an estimate.
fn words(estimate: Option<&Estimate>, factor: f64, is_signed: bool) -> String {
    let Some(estimate) = estimate else { return "–".to_owned() };
    let mean = factor * estimate.mean;
    match (estimate.interval().map(|ends| ends.map(|end| factor * end)), is_signed) {
        (Some([low, high]), true) => format!("{mean:+.1} [{low:+.1}, {high:+.1}]"),
        (Some([low, high]), false) => format!("{mean:.1} [{low:.1}, {high:.1}]"),
        (None, true) => format!("{mean:+.1} –"),
        (None, false) => format!("{mean:.1} –"),
    }
}

fn title(diagnosis: &Diagnosis, domain: &str) -> String {
    if diagnosis.in_domain == domain { format!("{domain} (in-domain)") } else { domain.to_owned() }
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

/// Arms with their domains, as many as a page shows.
fn shown(diagnosis: &Diagnosis) -> impl Iterator<Item = (&ArmDiagnosis, &DomainDiagnosis)> {
    let all = diagnosis.arms.iter();
    let all = all.flat_map(|arm| arm.domains.iter().map(move |domain| (arm, domain)));
    all.take(MOST_ROWS)
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
                @for (arm, domain) in shown(diagnosis) {
                    tr {
                        td { code { (arm.name) } }
                        td { (title(diagnosis, &domain.domain)) }
                        td { (domain.tokens) }
                        @for (measure, _) in SHOWN { td { (number(domain.shift.get(measure))) } }
                        td { (number(share_of_in_domain(diagnosis, domain))) }
                        td { (number(domain.change.as_ref())) }
                        // The in-domain rows are what the others are compared with, and have no
                        // verdict.
                        td { @if let Some(away) = &domain.away { b { (away.verdict.words()) } } }
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
            @for (arm, domain) in shown(diagnosis) {
                @if let Some(away) = &domain.away {
                    li { code { (arm.name) } " in " (domain.domain) ": " (away.reason) }
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
                @for found in facts.iter().take(MOST_ROWS) {
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
