//! Causal attention of texts with rotary embeddings and grouped queries, a block of queries at a
//! time (as in Dao et al. 2022, arXiv 2205.14135), and its gradient, which computes the scores
//! again.
//!
//! A task is one text and one group of heads that share keys. It reads and writes columns of its
//! own, so that tasks need no order, and results do not depend on the number of threads.

use std::{ops::Range, sync::Arc};

use rayon::prelude::*;

use super::{
    heads::{Heads, Turn},
    matrix::{MatrixView, Write, multiply},
    vector::{exponentials, softmax_gradient},
};

/// The texts that attention sees among the tokens of a pass.
#[derive(Clone, Debug)]
pub(in crate::model) struct AttentionLayout {
    pub(in crate::model) heads: Heads,
    /// Number of positions that a query sees, its own included.
    pub(in crate::model) window: usize,
    /// Texts, which together have each token once.
    pub(in crate::model) texts: Arc<[TextSpan]>,
}

/// A prefix with its continuations, each of which sees the prefix and itself, as ranges of tokens
/// that follow one another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::model) struct TextSpan {
    pub(in crate::model) prefix: Range<usize>,
    pub(in crate::model) continuations: Vec<Range<usize>>,
}

/// Queries whose scores are in memory at once, for each head.
const BLOCK: usize = 64;

impl TextSpan {
    /// All its tokens.
    fn tokens(&self) -> Range<usize> {
        self.prefix.start..self.continuations.last().map_or(self.prefix.end, |last| last.end)
    }

    /// Number of positions of the prefix with its longest continuation.
    pub(in crate::model) fn positions(&self) -> usize {
        self.prefix.len() + self.continuations.iter().map(Range::len).max().unwrap_or(0)
    }

    /// Its parts, each with the position of its first token: the prefix, then the continuations.
    fn parts(&self) -> impl Iterator<Item = (usize, &Range<usize>)> {
        let later = self.continuations.iter().map(|range| (self.prefix.len(), range));
        std::iter::once((0, &self.prefix)).chain(later)
    }
}

impl AttentionLayout {
    /// Runs a task for each text and group of heads; each gives rows for the text's tokens.
    fn tasks(&self, task: impl Fn(HeadTask) -> Vec<f32> + Send + Sync) -> Vec<Vec<f32>> {
        let tasks = self.texts.iter().flat_map(|text| {
            (0..self.heads.groups).map(move |group| HeadTask { layout: self, text, group })
        });
        let tasks: Vec<HeadTask> = tasks.collect();
        tasks.into_par_iter().map(task).collect()
    }

    /// Copies columns of a task's rows into the rows of all tokens. `columns` lists, for a group,
    /// where parts of a task's row go, one after another.
    fn gather(
        &self,
        found: &[Vec<f32>],
        width: usize,
        columns: impl Fn(usize) -> Vec<Range<usize>> + Sync,
    ) -> Vec<f32> {
        let tokens = self.texts.last().map_or(0, |text| text.tokens().end);
        let mut output = vec![0.0; tokens * width];
        // Texts are neighbours, so their rows can be lent to one thread each.
        let mut rest = output.as_mut_slice();
        let mut by_text = Vec::new();
        for (text, found) in self.texts.iter().zip(found.chunks(self.heads.groups)) {
            let (rows, others) = rest.split_at_mut(text.tokens().len() * width);
            by_text.push((rows, found));
            rest = others;
        }
        by_text.into_par_iter().for_each(|(rows, found)| {
            for (group, found) in found.iter().enumerate() {
                let columns = columns(group);
                let narrow: usize = columns.iter().map(Range::len).sum();
                for (row, mut found) in rows.chunks_exact_mut(width).zip(found.chunks(narrow)) {
                    for columns in &columns {
                        let (part, others) = found.split_at(columns.len());
                        row[columns.clone()].copy_from_slice(part);
                        found = others;
                    }
                }
            }
        });
        output
    }
}

/// Attention; see [`super::attend`].
pub(super) fn attend(projected: &[f32], layout: &AttentionLayout) -> Vec<f32> {
    let found = layout.tasks(|task| task.attend(projected));
    let narrow = layout.heads.share() * layout.heads.width;
    layout.gather(&found, layout.heads.output_width(), |group| {
        std::iter::once(group * narrow..(group + 1) * narrow).collect()
    })
}

/// The gradient of attention by its input, given the one by its output.
pub(super) fn attend_gradient(
    projected: &[f32],
    gradient: &[f32],
    layout: &AttentionLayout,
) -> Vec<f32> {
    let found = layout.tasks(|task| task.gradient(projected, gradient));
    let heads = &layout.heads;
    let (narrow, width) = (heads.share() * heads.width, heads.width);
    layout.gather(&found, heads.input_width(), |group| {
        let head = |number: usize| number * width..(number + 1) * width;
        let (key, value) = (heads.count + group, heads.count + heads.groups + group);
        vec![group * narrow..(group + 1) * narrow, head(key), head(value)]
    })
}

/// One text and one group of heads.
#[derive(Clone, Copy)]
struct HeadTask<'a> {
    layout: &'a AttentionLayout,
    text: &'a TextSpan,
    group: usize,
}

/// Queries at neighbouring positions of a part of a text.
struct QueryBlock {
    /// Token of the first query.
    token: usize,
    /// Position of the first query.
    position: usize,
    /// Number of queries of each head.
    queries: usize,
    /// Rotated and scaled queries [heads * queries, width], head by head.
    states: Vec<f32>,
}

impl QueryBlock {
    /// Number of keys that any of its queries sees, from position 0 on.
    fn keys(&self) -> usize {
        self.position + self.queries
    }
}

/// Keys and values of the prefix and of the continuation in work, by position.
struct KeyMemory {
    keys: Vec<f32>,
    values: Vec<f32>,
}

impl<'t> HeadTask<'t> {
    fn attend(self, projected: &[f32]) -> Vec<f32> {
        let Heads { width, .. } = *self.heads();
        let mut output = vec![0.0; self.text.tokens().len() * self.heads().share() * width];
        let mut memory = self.empty_memory();
        for (position, part) in self.text.parts() {
            self.read(projected, position, part, &mut memory);
            for block in self.blocks(projected, position, part) {
                let (scores, sums) = self.exponentials(&block, &memory);
                let rows = sums.len();
                let mut mixed = vec![0.0; rows * width];
                let (weights, values) = (
                    MatrixView::new(&scores, rows, block.keys()),
                    MatrixView::new(&memory.values, block.keys(), width),
                );
                multiply(weights, values, &mut mixed, Write::Replace);
                for (row, (mixed, sum)) in mixed.chunks_exact(width).zip(sums).enumerate() {
                    let from = self.place(&block, row);
                    // Of the output and not of the scores: it has fewer numbers.
                    let share = 1.0 / sum;
                    for (output, mixed) in output[from..from + width].iter_mut().zip(mixed) {
                        *output = mixed * share;
                    }
                }
            }
        }
        output
    }

    /// Rows of the gradient by the queries, the key and the value of the group.
    fn gradient(self, projected: &[f32], gradient: &[f32]) -> Vec<f32> {
        let (width, share) = (self.heads().width, self.heads().share());
        let (first, columns) = (self.text.prefix.start, (share + 2) * width);
        let mut output = vec![0.0; self.text.tokens().len() * columns];
        let (mut memory, mut slopes) = (self.empty_memory(), self.empty_memory());
        for (position, part) in self.text.parts() {
            self.read(projected, position, part, &mut memory);
            for block in self.blocks(projected, position, part) {
                let by_queries = self.block_gradient(&block, &memory, gradient, &mut slopes);
                for (row, by_query) in by_queries.chunks_exact(width).enumerate() {
                    let (head, query) = (row / block.queries, row % block.queries);
                    let from = (block.token + query - first) * columns + head * width;
                    let output = &mut output[from..from + width];
                    self.heads().rotate(by_query, block.position + query, Turn::Back, output);
                    let scale = self.heads().scale();
                    output.iter_mut().for_each(|slope| *slope *= scale);
                }
            }
            // The prefix is seen by all continuations, so its slopes are written at the end.
            if position > 0 {
                self.write_slopes(position, part, &mut slopes, &mut output);
            }
        }
        self.write_slopes(0, &self.text.prefix, &mut slopes, &mut output);
        output
    }

    /// Adds the gradient by keys and values of a block, and returns the one by its queries.
    fn block_gradient(
        self,
        block: &QueryBlock,
        memory: &KeyMemory,
        gradient: &[f32],
        slopes: &mut KeyMemory,
    ) -> Vec<f32> {
        let (width, keys) = (self.heads().width, block.keys());
        let (mut probabilities, sums) = self.exponentials(block, memory);
        let rows = sums.len();
        for (row, sum) in probabilities.chunks_exact_mut(keys).zip(sums) {
            let share = 1.0 / sum;
            row.iter_mut().for_each(|number| *number *= share);
        }
        let by_output = self.output_slopes(block, gradient);
        // Values of the prefix collect the slopes of all queries behind it.
        let weights = MatrixView::new(&probabilities, rows, keys);
        let by_output = MatrixView::new(&by_output, rows, width);
        multiply(weights.transposed(), by_output, &mut slopes.values, Write::Add);
        let mut by_scores = vec![0.0; rows * keys];
        let values = MatrixView::new(&memory.values, keys, width);
        multiply(by_output, values.transposed(), &mut by_scores, Write::Replace);
        let pairs = probabilities.chunks_exact(keys).zip(by_scores.chunks_exact_mut(keys));
        pairs.for_each(|(probabilities, slopes)| softmax_gradient(probabilities, slopes));
        let by_scores = MatrixView::new(&by_scores, rows, keys);
        let queries = MatrixView::new(&block.states, rows, width);
        multiply(by_scores.transposed(), queries, &mut slopes.keys, Write::Add);
        let mut by_queries = vec![0.0; rows * width];
        let keys = MatrixView::new(&memory.keys, keys, width);
        multiply(by_scores, keys, &mut by_queries, Write::Replace);
        by_queries
    }

    /// The exponentials of a block's scores [rows, keys], 0 where a query does not look, and the
    /// sum of each row.
    fn exponentials(self, block: &QueryBlock, memory: &KeyMemory) -> (Vec<f32>, Vec<f32>) {
        let (width, keys) = (self.heads().width, block.keys());
        let rows = block.states.len() / width;
        let mut scores = vec![0.0; rows * keys];
        let (queries, seen) = (
            MatrixView::new(&block.states, rows, width),
            MatrixView::new(&memory.keys, keys, width),
        );
        multiply(queries, seen.transposed(), &mut scores, Write::Replace);
        // What is hidden is 0 in the product with the values, instead of minus infinity before it.
        let sums = scores.chunks_exact_mut(keys).enumerate().map(|(row, scores)| {
            let end = block.position + row % block.queries + 1;
            let begin = end.saturating_sub(self.layout.window);
            scores[..begin].fill(0.0);
            scores[end..].fill(0.0);
            exponentials(&mut scores[begin..end])
        });
        let sums = sums.collect();
        (scores, sums)
    }

    /// Where a row of a block stands in the task's output.
    fn place(self, block: &QueryBlock, row: usize) -> usize {
        let (head, query) = (row / block.queries, row % block.queries);
        let token = block.token + query - self.text.prefix.start;
        (token * self.heads().share() + head) * self.heads().width
    }

    /// The gradient by a block's output [rows, width].
    fn output_slopes(self, block: &QueryBlock, gradient: &[f32]) -> Vec<f32> {
        let (width, share) = (self.heads().width, self.heads().share());
        let mut found = Vec::with_capacity(block.states.len());
        for head in 0..share {
            for query in 0..block.queries {
                let row = &gradient[(block.token + query) * self.heads().output_width()..];
                found.extend_from_slice(&row[(self.group * share + head) * width..][..width]);
            }
        }
        found
    }

    /// Writes the gradient by keys and values of a part, and clears it.
    fn write_slopes(
        self,
        position: usize,
        part: &Range<usize>,
        slopes: &mut KeyMemory,
        output: &mut [f32],
    ) {
        let (width, share) = (self.heads().width, self.heads().share());
        for (step, token) in part.clone().enumerate() {
            let from = (token - self.text.prefix.start) * (share + 2) * width + share * width;
            let (by_key, by_value) = output[from..from + 2 * width].split_at_mut(width);
            let rows = (position + step) * width..(position + step + 1) * width;
            self.heads().rotate(&slopes.keys[rows.clone()], position + step, Turn::Back, by_key);
            by_value.copy_from_slice(&slopes.values[rows.clone()]);
            slopes.keys[rows.clone()].fill(0.0);
            slopes.values[rows].fill(0.0);
        }
    }

    fn empty_memory(self) -> KeyMemory {
        let numbers = self.text.positions() * self.heads().width;
        KeyMemory { keys: vec![0.0; numbers], values: vec![0.0; numbers] }
    }

    /// Reads keys and values of a part at the positions from `position` on.
    fn read(self, projected: &[f32], position: usize, part: &Range<usize>, memory: &mut KeyMemory) {
        let heads = self.heads();
        for (step, token) in part.clone().enumerate() {
            let row = &projected[token * heads.input_width()..];
            let rows = (position + step) * heads.width..(position + step + 1) * heads.width;
            let key = heads.key(row, self.group);
            heads.rotate(key, position + step, Turn::Forward, &mut memory.keys[rows.clone()]);
            memory.values[rows].copy_from_slice(heads.value(row, self.group));
        }
    }

    /// The queries of a part in blocks.
    fn blocks<'a>(
        self,
        projected: &'a [f32],
        position: usize,
        part: &'a Range<usize>,
    ) -> impl Iterator<Item = QueryBlock> + use<'t, 'a> {
        (0..part.len()).step_by(BLOCK).map(move |from| {
            let queries = BLOCK.min(part.len() - from);
            let (token, position) = (part.start + from, position + from);
            QueryBlock {
                token,
                position,
                queries,
                states: self.queries(projected, token, position, queries),
            }
        })
    }

    /// Rotated and scaled queries of neighbouring tokens [heads * queries, width].
    fn queries(self, projected: &[f32], token: usize, position: usize, queries: usize) -> Vec<f32> {
        let heads = self.heads();
        // Heads that share a key are stacked, so that one product has the scores of all.
        let mut states = vec![0.0; heads.share() * queries * heads.width];
        for (row, state) in states.chunks_exact_mut(heads.width).enumerate() {
            let (head, query) = (row / queries, row % queries);
            let projected = &projected[(token + query) * heads.input_width()..];
            let found = heads.query(projected, self.group, head);
            heads.rotate(found, position + query, Turn::Forward, state);
            state.iter_mut().for_each(|number| *number *= heads.scale());
        }
        states
    }

    fn heads(self) -> &'t Heads {
        &self.layout.heads
    }
}
