//! Keys and values of the texts being written, kept so that each step computes one position of each.

use burn::tensor::{DType, Device, IndexingUpdateOp, Int, Tensor, TensorData};
use rayon::prelude::*;

use crate::model::{
    architecture::{
        KeysAndValues, ModelConfig, NumberFormat, Positions, Transformer, hidden_keys, rotary_tables, visible_keys,
    },
    device::is_cpu,
    room::{Exhausted, failure},
};

/// Long prompts are read in pieces of so many tokens on the CPU, whose scores would take the square of their number.
const PIECE: usize = 512;
/// Elsewhere, lengths are rounded up to a multiple of this, so that few shapes occur and kernels are used again.
const BUCKET: usize = 64;

/// A place for some texts of up to a fixed length. A text's keys stand at its own positions. On the CPU attention always runs
/// over the whole length, so that not even the last bit of what a text sees depends on its neighbours; elsewhere only as far
/// as the longest text reaches.
pub(super) struct Memory {
    /// For each block, keys and values [slots * length, kv heads * head]; taken out while they are changed, so that they
    /// are changed in place.
    layers: Vec<Option<(Tensor<2>, Tensor<2>)>>,
    slots: usize,
    length: usize,
    cosine: Vec<f32>,
    sine: Vec<f32>,
    device: Device,
}

/// A prompt that the model has read.
pub(super) struct Prefilled {
    /// For each block, keys and values [prompt, kv heads * head].
    layers: Vec<(Tensor<2>, Tensor<2>)>,
    /// The logits of the token after it.
    pub(super) logits: Vec<f32>,
}

impl Transformer {
    /// Reads prompts: each alone, so that its numbers do not depend on other prompts; on the CPU several at once.
    pub(super) fn prefill_all(&self, prompts: &[&[u32]]) -> Result<Vec<Prefilled>, Exhausted> {
        if is_cpu(&self.embedding.val().device()) {
            return prompts.par_iter().map(|prompt| self.prefill(prompt, PIECE, 1)).collect();
        }
        prompts.iter().map(|prompt| self.prefill(prompt, usize::MAX, BUCKET)).collect()
    }

    /// Reads a prompt in pieces of so many tokens, each filled up to a multiple of `bucket`.
    pub(super) fn prefill(&self, prompt: &[u32], piece: usize, bucket: usize) -> Result<Prefilled, Exhausted> {
        let device = self.embedding.val().device();
        let mut layers: Vec<Option<KeysAndValues>> = (0..self.config.num_hidden_layers).map(|_| None).collect();
        let mut logits = Vec::new();
        let mut from = 0;
        for tokens in prompt.chunks(piece) {
            let time = tokens.len().next_multiple_of(bucket);
            let mut positions = Positions::new(&self.config, from, time, &device);
            let has_kernel = !is_cpu(&device) && self.format() != NumberFormat::Float32;
            if from == 0 && has_kernel && self.config.sliding_window.is_none() {
                positions.all_before = None;
            }
            let filled: Vec<u32> = tokens.iter().copied().chain(std::iter::repeat_n(0, time - tokens.len())).collect();
            let hidden = self.hidden_with(token_tensor(&filled, [1, time], &device), &positions, |layer, new| {
                let seen = match layers[layer].take() {
                    None => new,
                    Some((key, value)) => (Tensor::cat(vec![key, new.0], 2), Tensor::cat(vec![value, new.1], 2)),
                };
                layers[layer] = Some(seen.clone());
                seen
            });
            from += tokens.len();
            if from == prompt.len() {
                logits = host_values(self.logits(hidden.narrow(0, tokens.len() - 1, 1)))?;
            }
        }
        let keep = |(key, value): KeysAndValues| (rows(key.narrow(2, 0, from)), rows(value.narrow(2, 0, from)));
        Ok(Prefilled { layers: layers.into_iter().flatten().map(keep).collect(), logits })
    }

    /// One step of all texts: the logits of the token after each, as rows [slots, vocab].
    ///
    /// `tokens` and `positions` say for each slot which token to add at which position.
    pub(super) fn step(&self, memory: &mut Memory, tokens: &[u32], positions: &[usize]) -> Result<Vec<f32>, Exhausted> {
        let reach = memory.reach(positions);
        let (places, at) = (memory.places(positions), memory.positions(&self.config, positions, reach));
        let input = token_tensor(tokens, [memory.slots, 1], &memory.device);
        let hidden = self.hidden_with(input, &at, |layer, new| memory.extend(layer, &places, new, reach));
        host_values(self.logits(hidden))
    }
}

impl Memory {
    pub(super) fn new(model: &Transformer, slots: usize, length: usize) -> Self {
        let (config, device) = (&model.config, model.embedding.val().device());
        let length = if is_cpu(&device) { length } else { length.next_multiple_of(BUCKET) };
        let empty = || Tensor::zeros([slots * length, config.key_size()], (&device, model.format().dtype()));
        let layers = (0..config.num_hidden_layers).map(|_| Some((empty(), empty()))).collect();
        let (cosine, sine) = rotary_tables(config, length);
        Self { layers, slots, length, cosine, sine, device }
    }

    /// Puts a prompt into a slot.
    pub(super) fn fill(&mut self, slot: usize, prompt: &Prefilled) {
        let from = slot * self.length;
        for (layer, (prompt_key, prompt_value)) in self.layers.iter_mut().zip(&prompt.layers) {
            let [count, width] = prompt_key.dims();
            let (key, value) = layer.take().expect("a layer is put back after every use");
            let place = [from..from + count, 0..width];
            let key = key.slice_assign(place.clone(), prompt_key.clone());
            *layer = Some((key, value.slice_assign(place, prompt_value.clone())));
        }
    }

    /// Keeps only these slots, in this order.
    pub(super) fn keep(&mut self, slots: &[usize]) {
        let rows = slots.iter().flat_map(|slot| slot * self.length..(slot + 1) * self.length);
        let rows = index_tensor(rows, &self.device);
        for layer in &mut self.layers {
            let (key, value) = layer.take().expect("a layer is put back after every use");
            *layer = Some((key.select(0, rows.clone()), value.select(0, rows.clone())));
        }
        self.slots = slots.len();
    }

    /// The row of each slot's position.
    fn places(&self, positions: &[usize]) -> Tensor<1, Int> {
        index_tensor(positions.iter().enumerate().map(|(slot, position)| slot * self.length + position), &self.device)
    }

    /// How many keys attention runs over; few different numbers, so that kernels are used again.
    fn reach(&self, positions: &[usize]) -> usize {
        let longest = positions.iter().max().map_or(0, |position| position + 1);
        if is_cpu(&self.device) { self.length } else { longest.next_multiple_of(4 * BUCKET).min(self.length) }
    }

    fn positions(&self, config: &ModelConfig, positions: &[usize], reach: usize) -> Positions {
        let half = config.head_dim / 2;
        let table = |values: &[f32]| {
            let row = |position: &usize| values[position * half..(position + 1) * half].iter().copied();
            let values: Vec<f32> = positions.iter().flat_map(row).collect();
            Tensor::from_data(TensorData::new(values, [self.slots, 1, 1, half]), (&self.device, DType::F32))
        };
        let mask = |window: usize| {
            let visible = positions.iter().map(|position| visible_keys(*position, window));
            Some(hidden_keys(visible, reach, self.slots, &self.device))
        };
        Positions {
            cosine: table(&self.cosine),
            sine: table(&self.sine),
            all_before: mask(usize::MAX),
            in_window: config.sliding_window.as_ref().and_then(|window| mask(window.length)),
        }
    }

    /// Writes a block's new keys and values at these rows; gives all of them, as far as attention reaches.
    fn extend(
        &mut self,
        layer: usize,
        places: &Tensor<1, Int>,
        (new_key, new_value): KeysAndValues,
        reach: usize,
    ) -> KeysAndValues {
        let [_, groups, _, width] = new_key.dims();
        let (key, value) = self.layers[layer].take().expect("a layer is put back after every use");
        let write = |kept: Tensor<2>, new| kept.select_assign(0, places.clone(), rows(new), IndexingUpdateOp::Assign);
        let (key, value) = (write(key, new_key), write(value, new_value));
        self.layers[layer] = Some((key.clone(), value.clone()));
        let view = |kept: Tensor<2>| {
            kept.reshape([self.slots, self.length, groups, width]).narrow(1, 0, reach).swap_dims(1, 2)
        };
        (view(key), view(value))
    }
}

/// [batch, kv heads, time, head] to [batch * time, kv heads * head]
fn rows(states: Tensor<4>) -> Tensor<2> {
    let [batch, groups, time, width] = states.dims();
    states.swap_dims(1, 2).reshape([batch * time, groups * width])
}

fn token_tensor(tokens: &[u32], shape: [usize; 2], device: &Device) -> Tensor<2, Int> {
    let tokens: Vec<i32> = tokens.iter().map(|token| *token as i32).collect();
    Tensor::from_data(TensorData::new(tokens, shape), device)
}

fn index_tensor(rows: impl Iterator<Item = usize>, device: &Device) -> Tensor<1, Int> {
    let rows: Vec<i32> = rows.map(|row| row as i32).collect();
    let count = rows.len();
    Tensor::from_data(TensorData::new(rows, [count]), device)
}

fn host_values(tensor: Tensor<2>) -> Result<Vec<f32>, Exhausted> {
    let data = tensor.try_into_data().map_err(|error| failure(&error.to_string()))?;
    Ok(data.convert::<f32>().try_to_vec().expect("float32 values"))
}
