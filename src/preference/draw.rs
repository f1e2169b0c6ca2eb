//! What all kinds of mining share: drawing some of many, and what rounding is allowed to do.

use std::collections::BTreeSet;

use crate::seed::Stream;

/// How far shares that should be equal may differ by rounding.
pub(super) const ROUNDING: f64 = 1e-9;

/// Keeps at most so many items, drawn at random, in their order.
pub(super) fn draw<T>(items: &mut Vec<T>, at_most: Option<usize>, stream: &mut Stream) {
    let Some(at_most) = at_most.filter(|at_most| *at_most < items.len()) else { return };
    let mut indices: Vec<usize> = (0..items.len()).collect();
    stream.shuffle(&mut indices);
    let kept: BTreeSet<usize> = indices.into_iter().take(at_most).collect();
    let mut index = 0;
    items.retain(|_| {
        index += 1;
        kept.contains(&(index - 1))
    });
}
