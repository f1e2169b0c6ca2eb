//! Whether cells can answer the question of a comparison, and which cell is compared with which.

use std::collections::BTreeSet;

use crate::rows::Cell;

use super::{
    arms::arms, average::check_average, comparison::Question, comparison_error::ComparisonError,
};

/// The baseline among the cells.
pub(super) struct Baseline<'c> {
    name: &'c str,
    /// Its own cells.
    cells: Vec<(usize, &'c Cell)>,
}

impl<'c> Baseline<'c> {
    /// The cells of the stage or arm of this name.
    pub(super) fn new(name: &'c str, cells: &[&'c Cell]) -> Self {
        let own = cells.iter().copied().enumerate().filter(|(_, cell)| cell.is_of(name));
        Self { name, cells: own.collect() }
    }

    /// The index of its cell for another cell: the one with the same seed and, where the baseline
    /// is a stage with several arms, with the same matrix values. None for its own cells.
    ///
    /// # Errors
    /// Fails without such a cell, or with several.
    pub(super) fn of(&self, cell: &Cell) -> Result<Option<usize>, ComparisonError> {
        // The baseline is compared with nothing, not with itself.
        if self.cells.iter().any(|(_, own)| *own == cell) {
            return Ok(None);
        }
        let candidates: Vec<&(usize, &Cell)> = self
            .cells
            .iter()
            .filter(|(_, own)| {
                // An arm that was named is the baseline of all, whatever their values.
                own.serves_seed_of(cell) && (own.stage != self.name || own.agrees_with(cell))
            })
            .collect();
        if let [(index, _)] = candidates.as_slice() {
            return Ok(Some(*index));
        }
        let names: Vec<String> = candidates.iter().map(|(_, own)| own.to_string()).collect();
        Err(ComparisonError::NoSingleBaseline {
            label: cell.to_string(),
            baseline: self.name.to_owned(),
            found: if names.is_empty() {
                "no cell to compare with".to_owned()
            } else {
                names.join(" and ")
            },
        })
    }
}

/// Problems of a question that the cells themselves show; other problems show only in their scores.
pub fn check_question(cells: &[&Cell], question: &Question) -> Vec<ComparisonError> {
    let mut found = Vec::new();
    let mut known = BTreeSet::new();
    let twice = cells.iter().find(|cell| !known.insert(**cell));
    found.extend(twice.map(|cell| ComparisonError::Twice(cell.to_string())));
    if let Some(name) = question.baseline.as_deref() {
        let baseline = Baseline::new(name, cells);
        if baseline.cells.is_empty() {
            let known: Vec<String> =
                arms(cells.iter().copied()).into_iter().map(|(name, _)| name).collect();
            found.push(ComparisonError::UnknownBaseline {
                baseline: name.to_owned(),
                known: known.join(", "),
            });
        } else {
            found.extend(cells.iter().find_map(|cell| baseline.of(cell).err()));
        }
    }
    found.extend(question.average.as_ref().and_then(|average| check_average(average, cells).err()));
    found
}
