//! Attention of new positions to keys and values that are kept, without gradients.

use std::sync::Arc;

use burn_flex::FlexTensor;
use rayon::prelude::*;

use super::{
    extension::{numbers, sides, with_shape},
    heads::{Heads, Turn},
    matrix::{MatrixView, Write, multiply},
    vector::{add_multiples, dots, exponentials},
};

/// New positions of the rows of a batch.
#[derive(Clone, Debug)]
pub(in crate::model) struct NewPositions {
    pub(in crate::model) heads: Heads,
    /// The first new position of each row, or one for all of them.
    pub(in crate::model) first: Arc<[usize]>,
    /// Number of new positions of a row.
    pub(in crate::model) time: usize,
}

/// Queries of a head and block; see [`super::attention`].
const BLOCK: usize = 64;
/// Numbers of projected states below which a thread is not woken to split them.
const SPLIT: usize = 1 << 14;
/// Number of multiplications below which a thread is not woken.
const TASK: usize = 1 << 17;

impl NewPositions {
    fn first(&self, row: usize) -> usize {
        self.first[if self.first.len() == 1 { 0 } else { row }]
    }
}

/// Rotated queries [batch, kv heads, heads / kv heads * time, head], rotated keys and values
/// [batch, kv heads, time, head].
pub(super) fn split(projected: &FlexTensor, positions: &NewPositions) -> [FlexTensor; 3] {
    let NewPositions { heads, time, .. } = positions;
    let ([tokens, columns], projected) = (sides(projected), projected.to_contiguous());
    let (batch, share, width) = (tokens / time, heads.share(), heads.width);
    let mut queries = vec![0.0; tokens * heads.output_width()];
    let mut keys = vec![0.0; tokens * heads.groups * width];
    let mut values = vec![0.0; tokens * heads.groups * width];
    let kept = time * heads.groups * width;
    let outputs = (queries.par_chunks_mut(kept * share), keys.par_chunks_mut(kept))
        .into_par_iter()
        .zip(values.par_chunks_mut(kept))
        .zip(numbers(&projected).par_chunks(time * columns));
    let outputs = outputs.with_min_len(SPLIT.div_ceil(time * columns)).enumerate();
    outputs.for_each(|(row, (((queries, keys), values), states))| {
        for (step, states) in states.chunks_exact(columns).enumerate() {
            let position = positions.first(row) + step;
            for group in 0..heads.groups {
                for head in 0..share {
                    let at = ((group * share + head) * time + step) * width;
                    let query = heads.query(states, group, head);
                    heads.rotate(query, position, Turn::Forward, &mut queries[at..at + width]);
                }
                let at = (group * time + step) * width;
                let key = heads.key(states, group);
                heads.rotate(key, position, Turn::Forward, &mut keys[at..at + width]);
                values[at..at + width].copy_from_slice(heads.value(states, group));
            }
        }
    });
    let shape = |rows| vec![batch, heads.groups, rows, width];
    [
        with_shape(queries, shape(share * time)),
        with_shape(keys, shape(*time)),
        with_shape(values, shape(*time)),
    ]
}

/// Attention of the new positions to those of the kept ones that they see: [batch * time, heads *
/// head].
///
/// Queries are as [`split`] gives them; keys and values are [batch, kv heads, positions, head],
/// from position 0 on.
pub(super) fn attend(
    query: &FlexTensor,
    (key, value): (&FlexTensor, &FlexTensor),
    positions: &NewPositions,
    window: usize,
) -> FlexTensor {
    let NewPositions { heads, time, .. } = positions;
    let batch = query.layout().shape()[0];
    let query = query.to_contiguous();
    let (key, value) = (KeptStates::new(key), KeptStates::new(value));
    let tasks = batch * heads.groups;
    let run = |task: usize| {
        let (row, group) = (task / heads.groups, task % heads.groups);
        let rows = heads.share() * time * heads.width;
        let queries = &numbers(&query)[task * rows..(task + 1) * rows];
        let seen = VisibleKeys { key: key.rows(row, group), value: value.rows(row, group), window };
        let first = positions.first(row);
        // Products pay once packing the keys is shared by many queries.
        if heads.share() * time <= heads.width / 4 {
            seen.attend_few(queries, heads, first, *time)
        } else {
            seen.attend_many(queries, heads, first, *time)
        }
    };
    let longest = positions.first.iter().max().map_or(0, |first| first + time);
    let products = tasks * heads.share() * time * longest * heads.width;
    // Waking a thread takes longer than a short text at batch size 1.
    let found: Vec<Vec<f32>> = if products < TASK {
        (0..tasks).map(run).collect()
    } else {
        (0..tasks).into_par_iter().map(run).collect()
    };
    let mut output = Vec::with_capacity(batch * time * heads.output_width());
    for found in found.chunks(heads.groups) {
        for step in 0..*time {
            for part in found {
                for part in part.chunks_exact(time * heads.width) {
                    output.extend_from_slice(&part[step * heads.width..(step + 1) * heads.width]);
                }
            }
        }
    }
    with_shape(output, vec![batch * time, heads.output_width()])
}

/// Kept keys or values, in whatever order they are in memory.
struct KeptStates {
    states: FlexTensor,
    /// Distances between rows of the batch, groups and positions, in numbers.
    strides: [usize; 3],
}

/// Kept states of one row and group: position by position, at a distance.
#[derive(Clone, Copy)]
struct StateRows<'a> {
    numbers: &'a [f32],
    distance: usize,
    width: usize,
}

/// What the queries of one row and group see.
struct VisibleKeys<'a> {
    key: StateRows<'a>,
    value: StateRows<'a>,
    window: usize,
}

impl KeptStates {
    fn new(states: &FlexTensor) -> Self {
        // The cache is a view with its groups side by side, which a copy would read as a whole.
        let is_readable = states.layout().strides().iter().all(|stride| *stride >= 0)
            && states.layout().strides()[3] == 1;
        let states = if is_readable { states.clone() } else { states.to_contiguous() };
        let strides = states.layout().strides();
        Self { strides: [0, 1, 2].map(|axis| strides[axis] as usize), states }
    }

    fn rows(&self, row: usize, group: usize) -> StateRows<'_> {
        let [by_row, by_group, distance] = self.strides;
        let at = self.states.layout().start_offset() + row * by_row + group * by_group;
        let width = self.states.layout().shape()[3];
        StateRows { numbers: &self.states.storage::<f32>()[at..], distance, width }
    }
}

impl<'a> StateRows<'a> {
    fn from(self, position: usize) -> &'a [f32] {
        &self.numbers[position * self.distance..]
    }

    fn matrix(self, positions: std::ops::Range<usize>) -> MatrixView<'a> {
        let numbers = self.from(positions.start);
        MatrixView::with_distance(numbers, positions.len(), self.width, self.distance)
    }
}

impl VisibleKeys<'_> {
    /// Attention of queries [share * time, width], one after another.
    fn attend_few(&self, queries: &[f32], heads: &Heads, first: usize, time: usize) -> Vec<f32> {
        let mut output = vec![0.0; queries.len()];
        let pairs = queries.chunks_exact(heads.width).zip(output.chunks_exact_mut(heads.width));
        for (number, (query, output)) in pairs.enumerate() {
            let end = first + number % time + 1;
            let begin = end.saturating_sub(self.window);
            let mut scores = vec![0.0; end - begin];
            dots(query, self.key.from(begin), self.key.distance, &mut scores);
            scores.iter_mut().for_each(|score| *score *= heads.scale());
            let share = 1.0 / exponentials(&mut scores);
            scores.iter_mut().for_each(|weight| *weight *= share);
            add_multiples(&scores, self.value.from(begin), self.value.distance, output);
        }
        output
    }

    /// The same as products of blocks.
    fn attend_many(&self, queries: &[f32], heads: &Heads, first: usize, time: usize) -> Vec<f32> {
        let width = heads.width;
        let mut output = vec![0.0; queries.len()];
        for from in (0..time).step_by(BLOCK) {
            let count = BLOCK.min(time - from);
            let begin = (first + from + 1).saturating_sub(self.window);
            let seen = begin..first + from + count;
            for head in 0..heads.share() {
                let at = (head * time + from) * width..(head * time + from + count) * width;
                let queries = MatrixView::new(&queries[at.clone()], count, width);
                let mut scores = vec![0.0; count * seen.len()];
                let keys = self.key.matrix(seen.clone());
                multiply(queries, keys.transposed(), &mut scores, Write::Replace);
                for (query, scores) in scores.chunks_exact_mut(seen.len()).enumerate() {
                    let end = first + from + query + 1;
                    let begin = end.saturating_sub(self.window);
                    let (begin, end) = (begin - seen.start, end - seen.start);
                    scores[..begin].fill(0.0);
                    scores[end..].fill(0.0);
                    let scores = &mut scores[begin..end];
                    scores.iter_mut().for_each(|score| *score *= heads.scale());
                    let share = 1.0 / exponentials(scores);
                    scores.iter_mut().for_each(|score| *score *= share);
                }
                let weights = MatrixView::new(&scores, count, seen.len());
                let values = self.value.matrix(seen.clone());
                multiply(weights, values, &mut output[at], Write::Replace);
            }
        }
        output
    }
}
