//! Arms: the cells that differ only in the seed.

use std::collections::BTreeMap;

use crate::rows::Cell;

/// The name and the indices of the cells of each arm, in the order of the recipe.
pub(super) fn arms<'c>(cells: impl IntoIterator<Item = &'c Cell>) -> Vec<(String, Vec<usize>)> {
    let mut arms: Vec<(String, Vec<usize>)> = Vec::new();
    // A search through all arms for each cell would take quadratic time in large sweeps.
    let mut places: BTreeMap<String, usize> = BTreeMap::new();
    for (index, cell) in cells.into_iter().enumerate() {
        let name = cell.arm();
        match places.get(&name) {
            Some(place) => arms[*place].1.push(index),
            None => {
                places.insert(name.clone(), arms.len());
                arms.push((name, vec![index]));
            }
        }
    }
    arms
}
