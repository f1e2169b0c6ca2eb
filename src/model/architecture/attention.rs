//! Attention with rotary embeddings and grouped queries, causal or with a sliding window.

use std::{
    ops::{Range, RangeInclusive},
    sync::{Arc, OnceLock},
};

use burn::tensor::{DType, Device, Tensor, TensorData};

use super::ModelConfig;
use crate::model::{device::is_cpu, fused::NewPositions};

/// What all blocks share in one pass over new positions.
pub(in crate::model) enum Positions {
    /// On the CPU without gradients: fused operations.
    Fused {
        positions: NewPositions,
        /// Length of the sliding window, if any.
        window: Option<usize>,
    },
    /// Elsewhere: compositions of tensor operations.
    Composed(Box<ComposedPositions>),
}

/// Rotary tables of the heads of projected states, of any kind: values have the angle 0.
pub(in crate::model) struct RotaryTables {
    /// [1 or batch, time, heads + 2 * kv heads, head], float32
    cosine: Tensor<4>,
    /// [1 or batch, time, heads + 2 * kv heads, head], float32
    sine: Tensor<4>,
    /// See [`half_turn`]; in the format of the states.
    half_turn: OnceLock<Tensor<2>>,
}

/// Rotary tables and attention masks.
///
/// A mask [1 or batch, 1, rows, keys], float32, is minus infinity where a query must not look, else
/// 0; adding it costs nothing in the backward pass.
pub(in crate::model) struct ComposedPositions {
    pub(in crate::model) rotary: RotaryTables,
    /// Mask of blocks with full causal attention.
    pub(in crate::model) all_before: Tensor<4>,
    /// Mask of blocks with a sliding window, if any.
    pub(in crate::model) in_window: Option<Tensor<4>>,
}

/// Rotated keys and values of some positions, each [batch, kv heads, time, head].
pub(in crate::model) type KeysAndValues = (Tensor<4>, Tensor<4>);

impl Positions {
    /// Positions `from` to `from + time`; each sees itself and all positions before it from 0 on.
    pub(in crate::model) fn new(
        config: &ModelConfig,
        from: usize,
        time: usize,
        device: &Device,
    ) -> Self {
        if !is_cpu(device) || device.is_autodiff() {
            let positions = ComposedPositions::new(config, from, time, device);
            return Self::Composed(Box::new(positions));
        }
        let heads = config.heads(from + time);
        Self::fused(config, NewPositions { heads, first: Arc::new([from]), time })
    }

    /// Fused operations at these positions.
    pub(in crate::model) fn fused(config: &ModelConfig, positions: NewPositions) -> Self {
        let window = config.sliding_window.as_ref().map(|window| window.length);
        Self::Fused { positions, window }
    }
}

impl RotaryTables {
    /// From cosines and sines [1 or batch, time, head / 2] of each position.
    pub(in crate::model) fn new(
        config: &ModelConfig,
        tables: [&[f32]; 2],
        [batch, time]: [usize; 2],
        device: &Device,
    ) -> Self {
        let (width, groups) = (config.head_dim, config.num_key_value_heads);
        let turned = config.num_attention_heads + groups;
        let spread = |table: &[f32], of_values: f64| {
            let halves = table.chunks_exact(width / 2);
            let both: Vec<f32> = halves.flat_map(|half| half.iter().chain(half)).copied().collect();
            let both = TensorData::new(both, [batch, time, 1, width]);
            let heads = Tensor::<4>::from_data(both, (device, DType::F32));
            let values = [batch, time, groups, width];
            let values = Tensor::full(values, of_values, (device, DType::F32));
            Tensor::cat(vec![heads.expand([batch, time, turned, width]), values], 2)
        };
        let [cosine, sine] = tables;
        Self { cosine: spread(cosine, 1.0), sine: spread(sine, 0.0), half_turn: OnceLock::new() }
    }

    /// Number of positions of a row of the batch.
    pub(super) fn time(&self) -> usize {
        self.cosine.dims()[1]
    }

    /// Rotary embedding (Su et al. 2021, arXiv 2104.09864), in float32; pairs the first half of a
    /// head with its second half.
    ///
    /// # Shapes
    /// - projected: [batch * time, (heads + 2 * kv heads) * head]
    /// - output: [batch, time, heads + 2 * kv heads, head]
    pub(super) fn rotate(&self, projected: Tensor<2>) -> Tensor<4> {
        let [_, time, heads, width] = self.cosine.dims();
        let ([rows, _], format, device) = (projected.dims(), projected.dtype(), projected.device());
        let states = projected.reshape([rows * heads, width]);
        let half_turn = self.half_turn.get_or_init(|| half_turn(width, format, &device));
        let turned = states.clone().matmul(half_turn.clone());
        // Angles of distant positions differ in more digits than bfloat16 has.
        let [states, turned] = [states, turned]
            .map(|states| states.reshape([rows / time, time, heads, width]).cast(DType::F32));
        (states * self.cosine.clone() + turned * self.sine.clone()).cast(format)
    }
}

impl ComposedPositions {
    pub(super) fn new(config: &ModelConfig, from: usize, time: usize, device: &Device) -> Self {
        let half = config.head_dim / 2;
        let (cosine, sine) = config.rotary.tables(config.head_dim, from + time);
        let tables = [&cosine, &sine].map(|table| &table[from * half..]);
        let share = config.num_attention_heads / config.num_key_value_heads;
        let rows = from..from + time;
        Self {
            rotary: RotaryTables::new(config, tables, [1, time], device),
            all_before: causal_mask(share, &rows, usize::MAX, device),
            in_window: config
                .sliding_window
                .as_ref()
                .map(|window| causal_mask(share, &rows, window.length, device)),
        }
    }

    /// The mask of a block.
    pub(super) fn mask(&self, has_window: bool) -> Tensor<4> {
        let in_window = self.in_window.as_ref().filter(|_| has_window);
        in_window.unwrap_or(&self.all_before).clone()
    }
}

/// The range of keys that the query at a position sees: up to its own, at most `window` of them.
pub(in crate::model) fn visible_keys(position: usize, window: usize) -> RangeInclusive<usize> {
    (position + 1).saturating_sub(window)..=position
}

/// The mask of the queries at these positions; `share` of them are stacked for each key.
fn causal_mask(share: usize, rows: &Range<usize>, window: usize, device: &Device) -> Tensor<4> {
    let stacked = (0..share).flat_map(|_| rows.clone().map(|row| visible_keys(row, window)));
    hidden_keys(stacked, rows.end, 1, device)
}

/// The mask of rows that see these keys: [batch, 1, rows / batch, keys].
pub(in crate::model) fn hidden_keys(
    rows: impl Iterator<Item = RangeInclusive<usize>>,
    keys: usize,
    batch: usize,
    device: &Device,
) -> Tensor<4> {
    let values: Vec<f32> = rows
        .flat_map(|visible| {
            (0..keys).map(move |key| if visible.contains(&key) { 0.0 } else { f32::NEG_INFINITY })
        })
        .collect();
    let count = values.len() / keys / batch;
    Tensor::from_data(TensorData::new(values, [batch, 1, count, keys]), (device, DType::F32))
}

/// Attention with grouped queries (Ainslie et al. 2023, arXiv 2305.13245). Scores and their softmax
/// are float32.
///
/// # Shapes
/// - query: [batch, kv heads, share * time, head], divided by the root of the head's width: the
///   queries that share a key are stacked, so that keys and values need not be copied
/// - key, value: [batch, kv heads, keys, head]
/// - output: [batch * time, heads * head]
pub(super) fn attention(
    query: Tensor<4>,
    (key, value): KeysAndValues,
    heads: usize,
    mask: Tensor<4>,
) -> Tensor<2> {
    let [batch, groups, rows, width] = query.dims();
    let time = groups * rows / heads;
    // As in transformers, which computes the softmax in float32 whatever the format is.
    let scores = query.matmul(key.swap_dims(2, 3)).cast(DType::F32) + mask;
    let format = value.dtype();
    let mixed = softmax(scores).cast(format).matmul(value).reshape([batch, heads, time, width]);
    mixed.swap_dims(1, 2).reshape([batch * time, heads * width])
}

/// Softmax over the last axis, in the same steps with and without gradients, so that a policy and
/// its frozen copy are bit-identical. The maximum is a constant in the gradient, which does not
/// depend on it.
fn softmax(scores: Tensor<4>) -> Tensor<4> {
    // The maximum is a constant in the gradient, which does not depend on it.
    let exponentials = (scores.clone() - scores.detach().max_dim(3)).exp();
    exponentials.clone() / exponentials.sum_dim(3)
}

/// The matrix whose product with a head's states gives its second half, negated, and then its first
/// half. Each sum has one term, so that the product is exact in any format; it replaces two copies
/// and a concatenation.
fn half_turn(width: usize, format: DType, device: &Device) -> Tensor<2> {
    let mut values = vec![0.0f32; width * width];
    for column in 0..width / 2 {
        values[(column + width / 2) * width + column] = -1.0;
        values[column * width + column + width / 2] = 1.0;
    }
    Tensor::from_data(TensorData::new(values, [width, width]), (device, format))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_window_reaches_back_over_its_length() {
        assert_eq!(visible_keys(7, usize::MAX), 0..=7);
        assert_eq!(visible_keys(7, 3), 5..=7);
        assert_eq!(visible_keys(1, 3), 0..=1);
    }
}
