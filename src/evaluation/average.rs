//! The average over arms: two values of one variable of the matrix, over all values of the others.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{ComparisonError, Label, Scored, paired::Contrast};

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
    Average { axis, from }: &Average,
    scored: &'a [Scored],
    labels: &[Label],
) -> Result<Vec<Contrast<'a>>, ComparisonError> {
    let mut values: Vec<&str> = Vec::new();
    for value in labels.iter().filter_map(|label| label.value(axis)) {
        if !values.contains(&value) {
            values.push(value);
        }
    }
    let unknown = |value: &String| ComparisonError::UnknownValue {
        axis: axis.clone(),
        value: value.clone(),
        known: values.join(", "),
    };
    if values.is_empty() {
        let mut axes: Vec<&str> =
            labels.iter().flat_map(|label| &label.coordinates).map(|(name, _)| name.as_str()).collect();
        axes.sort_unstable();
        axes.dedup();
        return Err(ComparisonError::UnknownAxis { axis: axis.clone(), known: axes.join(", ") });
    }
    if let Some(value) = from.iter().find(|value| !values.contains(&value.as_str())) {
        return Err(unknown(value));
    }
    let mut contrasts = Vec::new();
    for value in &values {
        for other in from.iter().take_while(|other| other != value) {
            let seeds = by_seed(axis, value, other, scored, labels);
            if !seeds.is_empty() {
                let name = |value: &str| format!("{axis}={value}");
                contrasts.push(Contrast { arm: name(value), baseline: Some(name(other)), seeds });
            }
        }
    }
    if contrasts.is_empty() { Err(ComparisonError::NothingToAverage(axis.clone())) } else { Ok(contrasts) }
}

/// By seed, the cells with one value and those with the other that differ in nothing else.
fn by_seed<'a>(
    axis: &str,
    value: &str,
    other: &str,
    scored: &'a [Scored],
    labels: &[Label],
) -> Vec<Vec<(&'a Scored, Option<&'a Scored>)>> {
    let mut seeds: BTreeMap<Option<&str>, Vec<(&Scored, Option<&Scored>)>> = BTreeMap::new();
    for (one, label) in scored.iter().zip(labels).filter(|(_, label)| label.value(axis) == Some(value)) {
        let partner =
            |candidate: &Label| candidate.value(axis) == Some(other) && label.differs_only_in(axis, candidate);
        if let Some(index) = labels.iter().position(partner) {
            seeds.entry(label.seed.as_deref()).or_default().push((one, Some(&scored[index])));
        }
    }
    seeds.into_values().collect()
}
