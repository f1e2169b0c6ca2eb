//! Shared by all miners: drawing a subset, and tolerance for rounding.

use std::collections::BTreeSet;

use crate::seed::Stream;

/// Largest rounding difference between equal shares.
pub(super) const ROUNDING: f64 = 1e-9;

/// Keeps at most this many items, drawn at random, in their order.
pub(super) fn draw<T>(items: &mut Vec<T>, at_most: Option<usize>, stream: &mut Stream) {
    let Some(at_most) = at_most.filter(|at_most| *at_most < items.len()) else { return };
    // Indices are shuffled and not items: what is kept stays in order.
    let mut indices: Vec<usize> = (0..items.len()).collect();
    stream.shuffle(&mut indices);
    let kept: BTreeSet<usize> = indices.into_iter().take(at_most).collect();
    let mut index = 0;
    items.retain(|_| {
        index += 1;
        kept.contains(&(index - 1))
    });
}
