//! Heads: where they are in a row of states, and how they turn with positions.

use std::sync::Arc;

/// Heads of attention with rotary embeddings and grouped queries. A row of projected states has the
/// queries of all heads, then the keys of all groups, then their values.
#[derive(Clone, Debug)]
pub(in crate::model) struct Heads {
    /// Number of query heads.
    pub(in crate::model) count: usize,
    /// Number of key heads.
    pub(in crate::model) groups: usize,
    /// Width of a head.
    pub(in crate::model) width: usize,
    /// [positions, width / 2]
    pub(in crate::model) cosine: Arc<[f32]>,
    /// [positions, width / 2]
    pub(in crate::model) sine: Arc<[f32]>,
}

/// Direction of a turn.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Turn {
    /// To a position.
    Forward,
    /// Back from it, which is the transposed map.
    Back,
}

impl Heads {
    /// Columns of the output.
    pub(super) fn output_width(&self) -> usize {
        self.count * self.width
    }

    /// Columns of projected states.
    pub(super) fn input_width(&self) -> usize {
        (self.count + 2 * self.groups) * self.width
    }

    /// Heads that share a key.
    pub(super) fn share(&self) -> usize {
        self.count / self.groups
    }

    /// Factor of the scores.
    pub(super) fn scale(&self) -> f32 {
        (self.width as f32).sqrt().recip()
    }

    /// The query of a head that shares a group's key, in a row of projected states.
    pub(super) fn query<'a>(&self, row: &'a [f32], group: usize, head: usize) -> &'a [f32] {
        &row[(group * self.share() + head) * self.width..][..self.width]
    }

    /// The key of a group.
    pub(super) fn key<'a>(&self, row: &'a [f32], group: usize) -> &'a [f32] {
        &row[(self.count + group) * self.width..][..self.width]
    }

    /// The value of a group.
    pub(super) fn value<'a>(&self, row: &'a [f32], group: usize) -> &'a [f32] {
        &row[(self.count + self.groups + group) * self.width..][..self.width]
    }

    /// Turns the state of a head.
    pub(super) fn rotate(&self, state: &[f32], position: usize, turn: Turn, output: &mut [f32]) {
        let half = self.width / 2;
        let angles = position * half..(position + 1) * half;
        let (cosine, sine) = (&self.cosine[angles.clone()], &self.sine[angles]);
        let direction = if turn == Turn::Forward { 1.0 } else { -1.0 };
        // Halves and not neighbours: transformers' checkpoints have this order.
        let (first, second) = state.split_at(half);
        let (turned_first, turned_second) = output.split_at_mut(half);
        for column in 0..half {
            let (cosine, sine) = (cosine[column], direction * sine[column]);
            turned_first[column] = first[column] * cosine - second[column] * sine;
            turned_second[column] = second[column] * cosine + first[column] * sine;
        }
    }
}
