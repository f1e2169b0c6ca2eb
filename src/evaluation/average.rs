//! Averages over arms: two values of one matrix variable, over all values of the others.

use std::collections::{BTreeMap, BTreeSet};

use crate::rows::Cell;

use super::{
    comparison::{Average, NamedContrast, ScoredCell},
    comparison_error::ComparisonError,
    domain_set::distinct,
    paired::{Contrast, PairedCells},
};

/// A contrast for each value of the variable and each baseline value, in the order of the cells.
///
/// # Errors
/// Fails where no cell has the variable or the values, or no two cells can be compared.
pub(super) fn contrasts<'a>(
    average: &Average,
    scored: &'a [ScoredCell],
) -> Result<Vec<Contrast<'a>>, ComparisonError> {
    let cells: Vec<&Cell> = scored.iter().map(|one| &one.cell).collect();
    let mut contrasts = Vec::new();
    for value in check_average(average, &cells)? {
        // Each pair of baseline values once, the later one against the earlier.
        for other in average.before(value) {
            let pairs = pairs(&average.axis, value, other, scored);
            // A value that no baseline value is beside has no row, and is counted in the cautions.
            if !pairs.is_empty() {
                contrasts.push(Contrast {
                    arm: format!("{}={value}", average.axis),
                    baseline: Some(format!("{}={other}", average.axis)),
                    pairs,
                });
            }
        }
    }
    Ok(contrasts)
}

/// The values of the variable, in the order of the cells.
///
/// # Errors
/// Fails where no cell has the variable or the values, or no two cells can be compared.
pub(super) fn check_average<'c>(
    average: &Average,
    cells: &[&'c Cell],
) -> Result<Vec<&'c str>, ComparisonError> {
    let Average { axis, from, contrasts } = average;
    let values = distinct(cells.iter().filter_map(|cell| cell.value(axis)));
    if values.is_empty() {
        let axes: BTreeSet<&str> =
            cells.iter().flat_map(|cell| &cell.values).map(|(name, _)| name.as_str()).collect();
        return Err(ComparisonError::UnknownAxis {
            axis: axis.clone(),
            known: axes.into_iter().collect::<Vec<_>>().join(", "),
        });
    }
    if let Some(value) = from.iter().find(|value| !values.contains(&value.as_str())) {
        let (axis, value, known) = (axis.clone(), value.clone(), values.join(", "));
        return Err(ComparisonError::UnknownValue { axis, value, known });
    }
    let has = |contrast: &NamedContrast| {
        values.contains(&contrast.arm.as_str())
            && average.before(&contrast.arm).any(|other| other == contrast.baseline)
    };
    if let Some(contrast) = contrasts.iter().find(|contrast| !has(contrast)) {
        let all = values.iter().flat_map(|value| {
            average.before(value).map(move |other| format!("{value} over {other}"))
        });
        return Err(ComparisonError::UnknownContrast {
            axis: axis.clone(),
            contrast: contrast.to_string(),
            known: all.collect::<Vec<_>>().join(", "),
        });
    }
    // Only names are known here: whether any two cells can be compared at all.
    let mut beside: BTreeMap<Cell, BTreeSet<&str>> = BTreeMap::new();
    for (cell, value) in cells.iter().filter_map(|cell| Some((cell, cell.value(axis)?))) {
        beside.entry(cell.apart_from(axis)).or_default().insert(value);
    }
    let any_is_compared = beside.values().any(|there| {
        there.iter().any(|value| average.before(value).any(|other| there.contains(other)))
    });
    if any_is_compared { Ok(values) } else { Err(ComparisonError::NothingToAverage(axis.clone())) }
}

/// The cells with one value, each with the cell of the other value that agrees in all other
/// variables.
fn pairs<'a>(
    axis: &str,
    value: &str,
    other: &str,
    scored: &'a [ScoredCell],
) -> Vec<PairedCells<'a>> {
    let mut seeds: BTreeMap<Option<&str>, usize> = BTreeMap::new();
    let mut arms: BTreeMap<String, usize> = BTreeMap::new();
    let mut pairs = Vec::new();
    for one in scored.iter().filter(|one| one.cell.value(axis) == Some(value)) {
        if let Some(partner) = scored.iter().find(|two| is_partner(axis, other, one, two)) {
            let (next_seed, next_arm) = (seeds.len(), arms.len());
            // The numbers that samples know seeds and arms by.
            let seed = *seeds.entry(one.cell.seed.as_deref()).or_insert(next_seed);
            let arm = *arms.entry(one.cell.arm()).or_insert(next_arm);
            pairs.push(PairedCells { seed, arm, one, other: Some(partner) });
        }
    }
    pairs
}

/// Whether a cell has this value and otherwise the same ones as another cell.
fn is_partner(axis: &str, value: &str, one: &ScoredCell, candidate: &ScoredCell) -> bool {
    candidate.cell.value(axis) == Some(value) && one.cell.differs_only_in(axis, &candidate.cell)
}

/// Number of cells with the variable, and of those without a partner for some baseline value.
pub(super) fn alone(average: &Average, scored: &[ScoredCell]) -> (usize, usize) {
    let axis = average.axis.as_str();
    let (mut all, mut lacking) = (0, 0);
    for one in scored {
        let Some(value) = one.cell.value(axis) else { continue };
        all += 1;
        let has_all = average
            .before(value)
            .all(|other| scored.iter().any(|two| is_partner(axis, other, one, two)));
        lacking += usize::from(!has_all);
    }
    (all, lacking)
}
