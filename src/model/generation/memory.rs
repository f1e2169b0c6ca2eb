//! The KV cache of generation, so that each step computes one position per sequence.

use burn::tensor::{Device, IndexingUpdateOp, Int, Tensor, TensorData};
use rayon::prelude::*;

use crate::model::{
    architecture::{
        ComposedPositions, KeysAndValues, ModelConfig, Positions, RotaryTables, Transformer,
        hidden_keys, visible_keys,
    },
    device::is_cpu,
    fused::{Heads, NewPositions},
    memory_budget::{Exhausted, failure},
    prefix::{BUCKET, Prefix, token_tensor},
};

/// A KV cache for sequences of up to a fixed length. Keys are stored at their positions.
pub(super) struct Memory {
    /// Per block, keys and values [slots, kv heads, length, head], as products need them: in
    /// another order a GPU would copy all of them at each step. Taken out while they are changed,
    /// so that they are changed in place.
    layers: Vec<Option<KeysAndValues>>,
    slots: usize,
    length: usize,
    /// Length of the beginning that all sequences share, which each slot keeps.
    shared: usize,
    heads: Heads,
    device: Device,
}

/// A prompt after its shared beginning.
pub(super) struct Prefilled {
    /// Per block, keys and values [1, kv heads, tokens, head].
    layers: Vec<KeysAndValues>,
    /// The logits of the next token.
    pub(super) logits: Vec<f32>,
}

impl Transformer {
    /// Reads what follows the shared beginning of prompts: each alone, so that its numbers do not
    /// depend on other prompts; on the CPU several concurrently.
    pub(super) fn prefill_all(
        &self,
        beginning: &Prefix,
        prompts: &[&[u32]],
    ) -> Result<Vec<Prefilled>, Exhausted> {
        let prefill = |prompt: &&[u32]| self.prefilled(self.read(beginning, prompt));
        if is_cpu(&self.embedding.val().device()) {
            // Prompts are short for a processor's cores, while one of them fills a GPU.
            return prompts.par_iter().map(prefill).collect();
        }
        prompts.iter().map(prefill).collect()
    }

    /// A text that was read, with the logits of the next token.
    pub(super) fn prefilled(&self, read: Prefix) -> Result<Prefilled, Exhausted> {
        let Prefix { layers, last, .. } = read;
        let logits = match last {
            Some(last) => host_values(self.logits(last))?,
            None => Vec::new(),
        };
        Ok(Prefilled { layers, logits })
    }

    /// One step of all sequences: the logits of the next tokens, as rows [slots, vocab].
    ///
    /// `tokens` and `positions` give the token to add and its position for each slot.
    pub(super) fn step(
        &self,
        memory: &mut Memory,
        tokens: &[u32],
        positions: &[usize],
    ) -> Result<Vec<f32>, Exhausted> {
        let reach = memory.reach(positions);
        let (places, at) =
            (memory.places(positions), memory.positions(&self.config, positions, reach));
        let input = token_tensor(tokens, [memory.slots, 1], &memory.device);
        let hidden =
            self.hidden_with(input, &at, |layer, new| memory.extend(layer, &places, new, reach));
        host_values(self.logits(hidden))
    }
}

impl Memory {
    /// Empty slots for sequences of up to this length, each with the beginning that all share.
    pub(super) fn new(
        model: &Transformer,
        slots: usize,
        length: usize,
        beginning: &Prefix,
    ) -> Self {
        let (config, device) = (&model.config, model.embedding.val().device());
        let length = if is_cpu(&device) { length } else { length.next_multiple_of(BUCKET) };
        // Each layer has tensors of its own: shared ones would be copied at their first change.
        let groups = config.num_key_value_heads;
        let (shape, options) =
            ([slots, groups, length, config.head_dim], (&device, model.states_in()));
        let layers = (0..config.num_hidden_layers)
            .map(|_| Some((Tensor::zeros(shape, options), Tensor::zeros(shape, options))))
            .collect();
        let (heads, shared) = (config.heads(length), beginning.length);
        let mut memory = Self { layers, slots, length, shared, heads, device };
        (0..slots).for_each(|slot| memory.write(slot, 0, &beginning.layers));
        memory
    }

    /// The position of a slot without a response: the next response overwrites it.
    pub(super) fn spare_position(&self) -> usize {
        self.shared
    }

    /// Copies a prompt into a slot, behind the shared beginning.
    pub(super) fn fill(&mut self, slot: usize, prompt: &Prefilled) {
        self.write(slot, self.shared, &prompt.layers);
    }

    /// Copies the keys and values of each block into a slot, from this position on.
    fn write(&mut self, slot: usize, position: usize, layers: &[KeysAndValues]) {
        for (layer, (new_key, new_value)) in self.layers.iter_mut().zip(layers) {
            let [_, groups, count, width] = new_key.dims();
            let (key, value) = layer.take().expect("a layer is put back after every use");
            let place = [slot..slot + 1, 0..groups, position..position + count, 0..width];
            let key = key.slice_assign(place.clone(), new_key.clone());
            *layer = Some((key, value.slice_assign(place, new_value.clone())));
        }
    }

    /// Keeps only these slots, in this order.
    pub(super) fn keep(&mut self, slots: &[usize]) {
        // Gathered into a smaller cache, since a view of some slots would keep them all.
        let kept = index_tensor(slots.iter().copied(), &self.device);
        for layer in &mut self.layers {
            let (key, value) = layer.take().expect("a layer is put back after every use");
            *layer = Some((key.select(0, kept.clone()), value.select(0, kept.clone())));
        }
        self.slots = slots.len();
    }

    /// The row of each slot's position in each head, where every position is a row.
    fn places(&self, positions: &[usize]) -> Tensor<1, Int> {
        let heads = positions.iter().enumerate().flat_map(|(slot, position)| {
            (slot * self.heads.groups..(slot + 1) * self.heads.groups)
                .map(move |head| head * self.length + position)
        });
        index_tensor(heads, &self.device)
    }

    /// Number of keys that attention is given: all on the CPU, which reads only those that are
    /// seen, else one of few values, so that kernels are reused.
    fn reach(&self, positions: &[usize]) -> usize {
        let longest = positions.iter().max().map_or(0, |position| position + 1);
        if is_cpu(&self.device) {
            self.length
        } else {
            longest.next_multiple_of(4 * BUCKET).min(self.length)
        }
    }

    fn positions(&self, config: &ModelConfig, positions: &[usize], reach: usize) -> Positions {
        if is_cpu(&self.device) {
            // No mask: fused attention stops at each slot's own position.
            let (heads, first) = (self.heads.clone(), positions.into());
            return Positions::fused(config, NewPositions { heads, first, time: 1 });
        }
        let half = config.head_dim / 2;
        let [cosine, sine] = [&self.heads.cosine, &self.heads.sine].map(|table| -> Vec<f32> {
            let rows = positions.iter().flat_map(|position| &table[position * half..][..half]);
            rows.copied().collect()
        });
        let shape = [self.slots, 1];
        Positions::Composed(Box::new(ComposedPositions {
            rotary: RotaryTables::new(config, [&cosine, &sine], shape, &self.device),
            all_before: self.mask(positions, usize::MAX, reach),
            in_window: config
                .sliding_window
                .as_ref()
                .map(|window| self.mask(positions, window.length, reach)),
        }))
    }

    fn mask(&self, positions: &[usize], window: usize, reach: usize) -> Tensor<4> {
        let visible = positions.iter().map(|position| visible_keys(*position, window));
        hidden_keys(visible, reach, self.slots, &self.device)
    }

    /// Writes a block's new keys and values to these rows; returns all of them that attention
    /// needs.
    fn extend(
        &mut self,
        layer: usize,
        places: &Tensor<1, Int>,
        (new_key, new_value): KeysAndValues,
        reach: usize,
    ) -> KeysAndValues {
        let (key, value) = self.layers[layer].take().expect("a layer is put back after every use");
        let [key, value] =
            [(key, new_key), (value, new_value)].map(|(kept, new)| written(kept, places, new));
        self.layers[layer] = Some((key.clone(), value.clone()));
        (key.narrow(2, 0, reach), value.narrow(2, 0, reach))
    }
}

/// Keys or values with new ones in these rows, in place.
fn written(kept: Tensor<4>, places: &Tensor<1, Int>, new: Tensor<4>) -> Tensor<4> {
    let [slots, groups, length, width] = kept.dims();
    let kept = kept.reshape([slots * groups * length, width]);
    let new = new.reshape([slots * groups, width]);
    let written = if is_cpu(&kept.device()) {
        kept.select_assign(0, places.clone(), new, IndexingUpdateOp::Assign)
    } else {
        // A GPU's `select_assign` writes one row after the other, and the CPU's `scatter_nd` copies
        // everything.
        let places = places.clone().reshape([slots * groups, 1]);
        kept.scatter_nd(places, new, IndexingUpdateOp::Assign)
    };
    written.reshape([slots, groups, length, width])
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
