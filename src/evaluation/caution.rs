//! What a comparison's numbers lack, counted and in words: intervals, seeds, prompts, cells.

use std::collections::BTreeSet;

use super::{Comparison, ComparisonRow, Label, average::alone, paired::Contrast};

/// The names beyond this many are only counted.
const MOST_NAMED: usize = 5;

/// A sentence for each lack; none where nothing is lacking.
pub(super) fn cautions(
    comparison: &Comparison,
    arms: &[Contrast<'_>],
    averaged: &[Contrast<'_>],
    labels: &[Label],
) -> Vec<String> {
    let rows: Vec<&ComparisonRow> = comparison.rows.iter().chain(&comparison.averages).collect();
    let contrasts: Vec<&Contrast<'_>> = arms.iter().chain(averaged).collect();
    let cells = comparison.average.as_ref().and_then(|average| {
        let [all, lacking] = alone(average, labels);
        (lacking > 0).then(|| {
            format!(
                "{lacking} of {all} cells are missing from averages over {}, because no cell with the value that they are \
                 compared with differs from them in nothing else",
                average.axis
            )
        })
    });
    let found = [without_interval(&rows), difference_without_interval(&rows), fewer_seeds(&rows, &contrasts)];
    found.into_iter().chain([short_arms(comparison), cells, other_prompts(arms)]).flatten().collect()
}

/// The names in which it is so, in their order.
fn named<'a>(names: impl Iterator<Item = &'a str>) -> String {
    let mut known = BTreeSet::new();
    let names: Vec<&str> = names.filter(|name| known.insert(*name)).collect();
    let more = if names.len() > MOST_NAMED { format!(" and {} more", names.len() - MOST_NAMED) } else { String::new() };
    format!("{}{more}", names[..names.len().min(MOST_NAMED)].join(", "))
}

fn without_interval(rows: &[&ComparisonRow]) -> Option<String> {
    let bare: Vec<&&ComparisonRow> = rows.iter().filter(|row| row.low.is_none()).collect();
    (!bare.is_empty()).then(|| {
        format!(
            "{} of {} means have no interval, because they come from one topic, or a domain in them from one of several \
             seeds: an interval of zero width from one topic would say that they are certain ({})",
            bare.len(),
            rows.len(),
            named(bare.iter().map(|row| row.domain.as_str()))
        )
    })
}

fn difference_without_interval(rows: &[&ComparisonRow]) -> Option<String> {
    let compared: Vec<&&ComparisonRow> = rows.iter().filter(|row| row.difference.is_some()).collect();
    let bare: Vec<&&&ComparisonRow> = compared.iter().filter(|row| row.difference_low.is_none()).collect();
    (!bare.is_empty()).then(|| {
        format!(
            "{} of {} differences have neither interval nor p-value, because they come from one topic, or a domain in them \
             from one of several seeds, or are the same in all topics and seeds ({})",
            bare.len(),
            compared.len(),
            named(bare.iter().map(|row| row.domain.as_str()))
        )
    })
}

/// Rows to which some seed adds nothing.
fn fewer_seeds(rows: &[&ComparisonRow], contrasts: &[&Contrast<'_>]) -> Option<String> {
    let seeds = |row: &ComparisonRow| {
        let own = |contrast: &&&Contrast<'_>| contrast.arm == row.arm && contrast.baseline == row.baseline;
        contrasts.iter().find(own).map_or(row.seeds, |contrast| contrast.seeds())
    };
    let short: Vec<&&ComparisonRow> = rows.iter().filter(|row| row.seeds < seeds(row)).collect();
    (!short.is_empty()).then(|| {
        format!(
            "{} of {} means leave out seeds in which no answer counts, or which an arm in them does not have ({})",
            short.len(),
            rows.len(),
            named(short.iter().map(|row| row.measure.as_str()))
        )
    })
}

/// Arms that lack seeds that others have.
fn short_arms(comparison: &Comparison) -> Option<String> {
    let seeds: BTreeSet<&String> = comparison.arms.iter().flat_map(|arm| &arm.seeds).collect();
    let seeded = || comparison.arms.iter().filter(|arm| !arm.seeds.is_empty());
    let short: Vec<String> = seeded()
        .filter(|arm| arm.seeds.len() < seeds.len())
        .map(|arm| format!("{}: {} of {}", arm.name, arm.seeds.len(), seeds.len()))
        .collect();
    (!short.is_empty()).then(|| {
        let names = named(short.iter().map(String::as_str));
        format!("{} of {} arms lack seeds that others have ({names})", short.len(), seeded().count())
    })
}

/// Prompts of arms that the baseline was not asked.
fn other_prompts(arms: &[Contrast<'_>]) -> Option<String> {
    let [all, lacking] = arms.iter().map(Contrast::prompts).fold([0, 0], |sum, one| [sum[0] + one[0], sum[1] + one[1]]);
    (lacking > 0).then(|| {
        format!("{lacking} of {all} prompts are left out of differences, because the baseline has no answer to them")
    })
}
