//! Attention with rotary embeddings and grouped queries, causal or with a sliding window.

use std::sync::{Arc, OnceLock};

use burn::tensor::{DType, Device, Int, Tensor, TensorData};

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

/// Cosines and sines of positions on a device.
pub(in crate::model) struct RotaryRows {
    /// Cosines, sines: [positions, head], float32
    rows: [Tensor<2>; 2],
    /// 1 for heads of queries and keys, 0 for those of values; and the reverse: [1, 1, heads + 2 *
    /// kv heads, 1]
    turned_and_not: [Tensor<4>; 2],
    half_turn: HalfTurn,
}

/// See [`half_turn`]; in the format of the states that are turned first.
type HalfTurn = Arc<OnceLock<Tensor<2>>>;

/// Rotary tables of the heads of projected states, of any kind: values have the angle 0.
pub(in crate::model) struct RotaryTables {
    /// [1 or batch, time, heads + 2 * kv heads, head], float32
    cosine: Tensor<4>,
    /// [1 or batch, time, heads + 2 * kv heads, head], float32
    sine: Tensor<4>,
    half_turn: HalfTurn,
}

/// Rotary tables and attention masks.
///
/// A mask [1 or batch, 1, rows, keys], float32, is the lowest number where a query must not look,
/// else 0; adding it costs nothing in the backward pass.
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

impl RotaryRows {
    /// From cosines and sines [positions, head / 2].
    pub(in crate::model) fn new(
        config: &ModelConfig,
        tables: [&[f32]; 2],
        device: &Device,
    ) -> Self {
        let (width, groups) = (config.head_dim, config.num_key_value_heads);
        let rows = tables.map(|table| {
            let halves = table.chunks_exact(width / 2);
            let both: Vec<f32> = halves.flat_map(|half| half.iter().chain(half)).copied().collect();
            let both = TensorData::new(both, [2 * table.len() / width, width]);
            Tensor::from_data(both, (device, DType::F32))
        });
        let heads = config.num_attention_heads + 2 * groups;
        let turned_and_not = [true, false].map(|is_turned| {
            let is = (0..heads).map(|head| (head < heads - groups) == is_turned);
            floats(is.map(|is| f32::from(u8::from(is))).collect(), device).reshape([1, 1, heads, 1])
        });
        Self { rows, turned_and_not, half_turn: HalfTurn::default() }
    }

    /// Those of the positions with these indices.
    pub(in crate::model) fn at(&self, positions: &Tensor<1, Int>) -> Self {
        Self {
            rows: self.rows.clone().map(|rows| rows.select(0, positions.clone())),
            turned_and_not: self.turned_and_not.clone(),
            half_turn: self.half_turn.clone(),
        }
    }

    /// The tables of rows of a batch.
    pub(in crate::model) fn tables(self, [batch, time]: [usize; 2]) -> RotaryTables {
        let Self { rows: [cosine, sine], turned_and_not: [turned, not], half_turn } = self;
        let [_, width] = cosine.dims();
        let [cosine, sine] =
            [cosine, sine].map(|rows| rows.reshape([batch, time, 1, width]) * turned.clone());
        // Products with 1 and 0, and sums with 0, are exact.
        RotaryTables { cosine: cosine + not, sine, half_turn }
    }
}

impl RotaryTables {
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
        let rows = (0..share).flat_map(|_| from..from + time).map(|row| row as f32);
        let rows = floats(rows.collect(), device).reshape([1, 1, share * time, 1]);
        let rotary = RotaryRows::new(config, tables, device).tables([1, time]);
        Self::at(config, rotary, rows, &key_positions(from + time, device))
    }

    /// Of rows at these positions [batch, 1, rows, 1].
    pub(in crate::model) fn at(
        config: &ModelConfig,
        rotary: RotaryTables,
        positions: Tensor<4>,
        keys: &Tensor<4>,
    ) -> Self {
        let mask = |window| hidden_keys(keys.clone() - positions.clone(), window);
        let window = config.sliding_window.as_ref();
        Self {
            rotary,
            all_before: mask(usize::MAX),
            in_window: window.map(|window| mask(window.length)),
        }
    }

    /// The mask of a block.
    pub(super) fn mask(&self, has_window: bool) -> Tensor<4> {
        let in_window = self.in_window.as_ref().filter(|_| has_window);
        in_window.unwrap_or(&self.all_before).clone()
    }
}

/// The positions of a number of keys [1, 1, 1, keys].
pub(in crate::model) fn key_positions(keys: usize, device: &Device) -> Tensor<4> {
    floats((0..keys).map(|key| key as f32).collect(), device).reshape([1, 1, 1, keys])
}

fn floats(values: Vec<f32>, device: &Device) -> Tensor<1> {
    let count = values.len();
    Tensor::from_data(TensorData::new(values, [count]), (device, DType::F32))
}

/// The mask of queries, each of which sees the keys up to its own position, at most `window` of
/// them; given how far ahead of its query each key is, in tokens. Computed on the device: a mask
/// from the host would be copied there.
///
/// # Shapes
/// - ahead, output: [batch, 1, rows, keys]
fn hidden_keys(ahead: Tensor<4>, window: usize) -> Tensor<4> {
    let mut hidden = ahead.clone().clamp(0.0, 1.0);
    if window < usize::MAX {
        hidden = hidden + (ahead.neg() - (window as f32 - 1.0)).clamp(0.0, 1.0);
    }
    // Scores plus the lowest number have the exponential 0, as with minus infinity, which times 0
    // would be no number.
    hidden * f32::MIN
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
        let visible = |position: usize, window| -> Vec<usize> {
            let ahead = key_positions(9, &Device::flex()) - position as f32;
            let mask: Vec<f32> = hidden_keys(ahead, window).into_data().try_to_vec().unwrap();
            (0..9).filter(|key| mask[*key] == 0.0).collect()
        };
        assert_eq!(visible(7, usize::MAX), (0..=7).collect::<Vec<_>>());
        assert_eq!(visible(7, 3), [5, 6, 7]);
        assert_eq!(visible(1, 3), [0, 1]);
    }
}
