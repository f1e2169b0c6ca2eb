//! Warnings about a comparison: missing intervals, seeds, prompts and cells, counted.

use std::collections::BTreeSet;

use super::{
    average::alone,
    comparison::{ComparedArm, Comparison, ComparisonRow, ScoredCell},
    paired::Contrast,
};

/// Further names are only counted.
const MOST_NAMED: usize = 5;

/// One warning per gap; empty where nothing is missing.
pub(super) fn cautions(
    comparison: &Comparison,
    arms: &[Contrast<'_>],
    averaged: &[Contrast<'_>],
    scored: &[ScoredCell],
) -> Vec<String> {
    let rows: Vec<&ComparisonRow> = comparison.rows.iter().chain(&comparison.averages).collect();
    let contrasts: Vec<&Contrast<'_>> = arms.iter().chain(averaged).collect();
    let cells = comparison.average.as_ref().and_then(|average| {
        let (all, lacking) = alone(average, scored);
        (lacking > 0).then(|| {
            format!(
                "averages over {} leave out {lacking} of {all} cells: no cell with the baseline \
                value matches them in all \
                 other variables",
                average.axis
            )
        })
    });
    let found = [
        without_interval(&rows),
        difference_without_interval(&rows),
        fewer_seeds(&rows, &contrasts),
    ];
    found
        .into_iter()
        .chain([short_arms(comparison), cells, other_prompts(arms)])
        .flatten()
        .collect()
}

/// Distinct names in order, shortened.
fn named<'a>(names: impl Iterator<Item = &'a str>) -> String {
    // In the order of the rows, since users read tables from the top.
    let mut known = BTreeSet::new();
    let names: Vec<&str> = names.filter(|name| known.insert(*name)).collect();
    let more = if names.len() > MOST_NAMED {
        format!(" and {} more", names.len() - MOST_NAMED)
    } else {
        String::new()
    };
    format!("{}{more}", names[..names.len().min(MOST_NAMED)].join(", "))
}

fn without_interval(rows: &[&ComparisonRow]) -> Option<String> {
    let bare: Vec<&&ComparisonRow> = rows.iter().filter(|row| row.low.is_none()).collect();
    (!bare.is_empty()).then(|| {
        format!(
            "{} of {} means have no interval: they come from one topic, from a domain that only \
            one of several seeds has, \
             or from values that are the same in all topics, for which an interval of zero width \
             would claim certainty \
             ({})",
            bare.len(),
            rows.len(),
            named(bare.iter().map(|row| row.domain.as_str()))
        )
    })
}

fn difference_without_interval(rows: &[&ComparisonRow]) -> Option<String> {
    let compared: Vec<&&ComparisonRow> =
        rows.iter().filter(|row| row.difference.is_some()).collect();
    let bare: Vec<&&&ComparisonRow> =
        compared.iter().filter(|row| row.difference_low.is_none()).collect();
    (!bare.is_empty()).then(|| {
        format!(
            "{} of {} differences have neither interval nor p-value: they come from one topic, \
            from a domain that only one \
             of several seeds has, or are the same in all topics and seeds ({})",
            bare.len(),
            compared.len(),
            named(bare.iter().map(|row| row.domain.as_str()))
        )
    })
}

/// Rows to which some seed contributes nothing.
fn fewer_seeds(rows: &[&ComparisonRow], contrasts: &[&Contrast<'_>]) -> Option<String> {
    let short: Vec<&&ComparisonRow> = rows
        .iter()
        .filter(|row| {
            let own = contrasts
                .iter()
                .find(|contrast| contrast.arm == row.arm && contrast.baseline == row.baseline);
            own.is_some_and(|own| row.seeds < own.seeds())
        })
        .collect();
    (!short.is_empty()).then(|| {
        format!(
            "{} of {} means leave out seeds without a counted response, or seeds that one of their \
            arms lacks ({})",
            short.len(),
            rows.len(),
            named(short.iter().map(|row| row.measure.as_str()))
        )
    })
}

/// Arms without seeds that other arms have.
fn short_arms(comparison: &Comparison) -> Option<String> {
    // The union: an arm lacks a seed if any other arm has it.
    let seeds: BTreeSet<&String> = comparison.arms.iter().flat_map(|arm| &arm.seeds).collect();
    // A stage without seeds lacks none: its one cell is compared with all of them.
    let seeded: Vec<&ComparedArm> =
        comparison.arms.iter().filter(|arm| !arm.seeds.is_empty()).collect();
    let short: Vec<String> = seeded
        .iter()
        .filter(|arm| arm.seeds.len() < seeds.len())
        .map(|arm| format!("{}: {} of {}", arm.name, arm.seeds.len(), seeds.len()))
        .collect();
    (!short.is_empty()).then(|| {
        let names = named(short.iter().map(String::as_str));
        format!("{} of {} arms lack seeds that others have ({names})", short.len(), seeded.len())
    })
}

/// Prompts without a response of the baseline.
fn other_prompts(arms: &[Contrast<'_>]) -> Option<String> {
    let (mut all, mut lacking) = (0, 0);
    for arm in arms {
        let (own, alone) = arm.prompts();
        (all, lacking) = (all + own, lacking + alone);
    }
    (lacking > 0).then(|| {
        format!(
            "differences leave out {lacking} of {all} prompts, for which the baseline has no \
             response"
        )
    })
}
