//! Shared by all miners: drawing a subset, and tolerance for rounding.

use std::collections::BTreeSet;

use crate::seed::Stream;

/// Largest rounding difference between equal shares.
pub(super) const ROUNDING: f64 = 1e-9;

/// Which of this number of items are kept, at most `at_most`, drawn at random; none if all are.
pub(super) fn drawn(
    items: usize,
    at_most: Option<usize>,
    stream: &mut Stream,
) -> Option<BTreeSet<usize>> {
    let at_most = at_most.filter(|at_most| *at_most < items)?;
    // Indices are shuffled and not items: what is kept stays in order.
    let mut indices: Vec<usize> = (0..items).collect();
    stream.shuffle(&mut indices);
    Some(indices.into_iter().take(at_most).collect())
}

/// Keeps at most this many items, drawn at random, in their order.
pub(super) fn draw<T>(items: &mut Vec<T>, at_most: Option<usize>, stream: &mut Stream) {
    let Some(kept) = drawn(items.len(), at_most, stream) else { return };
    let mut index = 0;
    items.retain(|_| {
        index += 1;
        kept.contains(&(index - 1))
    });
}
