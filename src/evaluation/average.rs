//! The average over arms: two values of one variable of the matrix, over all values of the others.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::{
    ComparisonError, Label, Scored,
    paired::{Contrast, Pair},
};

/// Which values are compared over all arms that differ in nothing else.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Average {
    /// The variable of the matrix.
    pub axis: String,
    /// The values from which differences are taken; each is itself compared with those before it.
    pub from: Vec<String>,
}

/// A contrast for each value of the variable and each value that it is compared with, in the order of the cells.
///
/// # Errors
/// Where no cell has the variable, or the values, or where there are no two cells to compare.
pub(super) fn contrasts<'a>(
    average: &Average,
    scored: &'a [Scored],
    labels: &[Label],
) -> Result<Vec<Contrast<'a>>, ComparisonError> {
    let Average { axis, from } = average;
    let mut contrasts = Vec::new();
    for value in check_average(average, labels)? {
        for other in from.iter().take_while(|other| *other != value) {
            let pairs = pairs(axis, value, other, scored, labels);
            if !pairs.is_empty() {
                let name = |value: &str| format!("{axis}={value}");
                contrasts.push(Contrast { arm: name(value), baseline: Some(name(other)), pairs });
            }
        }
    }
    Ok(contrasts)
}

/// The values of the variable, in the order of the cells.
///
/// # Errors
/// Where no cell has the variable, or the values, or where there are no two cells to compare.
pub(super) fn check_average<'l>(
    Average { axis, from }: &Average,
    labels: &'l [Label],
) -> Result<Vec<&'l str>, ComparisonError> {
    let mut values: Vec<&str> = Vec::new();
    for value in labels.iter().filter_map(|label| label.value(axis)) {
        if !values.contains(&value) {
            values.push(value);
        }
    }
    if values.is_empty() {
        let mut axes: Vec<&str> =
            labels.iter().flat_map(|label| &label.coordinates).map(|(name, _)| name.as_str()).collect();
        axes.sort_unstable();
        axes.dedup();
        return Err(ComparisonError::UnknownAxis { axis: axis.clone(), known: axes.join(", ") });
    }
    if let Some(value) = from.iter().find(|value| !values.contains(&value.as_str())) {
        let (axis, value, known) = (axis.clone(), value.clone(), values.join(", "));
        return Err(ComparisonError::UnknownValue { axis, value, known });
    }
    let mut beside: BTreeMap<_, BTreeSet<&str>> = BTreeMap::new();
    for (label, value) in labels.iter().filter_map(|label| Some((label, label.value(axis)?))) {
        beside.entry(label.apart_from(axis)).or_default().insert(value);
    }
    let is_compared = |there: &BTreeSet<&str>, value: &str| {
        from.iter().take_while(|other| *other != value).any(|other| there.contains(other.as_str()))
    };
    match beside.values().any(|there| there.iter().any(|value| is_compared(there, value))) {
        true => Ok(values),
        false => Err(ComparisonError::NothingToAverage(axis.clone())),
    }
}

/// The cells with one value, each beside that with the other that differs in nothing else.
fn pairs<'a>(axis: &str, value: &str, other: &str, scored: &'a [Scored], labels: &[Label]) -> Vec<Pair<'a>> {
    let mut seeds: BTreeMap<Option<&str>, usize> = BTreeMap::new();
    let mut arms: BTreeMap<&str, usize> = BTreeMap::new();
    let mut pairs = Vec::new();
    for (one, label) in scored.iter().zip(labels).filter(|(_, label)| label.value(axis) == Some(value)) {
        let partner =
            |candidate: &Label| candidate.value(axis) == Some(other) && label.differs_only_in(axis, candidate);
        if let Some(index) = labels.iter().position(partner) {
            let (next_seed, next_arm) = (seeds.len(), arms.len());
            let seed = *seeds.entry(label.seed.as_deref()).or_insert(next_seed);
            let arm = *arms.entry(&label.arm).or_insert(next_arm);
            pairs.push(Pair { seed, arm, one, other: Some(&scored[index]) });
        }
    }
    pairs
}

/// How many cells have the variable, and how many of them stand beside no other for some value that they are compared
/// with.
pub(super) fn alone(Average { axis, from }: &Average, labels: &[Label]) -> [usize; 2] {
    let with_value = || labels.iter().filter_map(|label| Some((label, label.value(axis)?)));
    let lacks = |(label, value): &(&Label, &str)| {
        from.iter().take_while(|other| other != value).any(|other| {
            !labels.iter().any(|one| one.value(axis) == Some(other.as_str()) && label.differs_only_in(axis, one))
        })
    };
    [with_value().count(), with_value().filter(lacks).count()]
}
