//! The KV cache of generation, so that each step computes one position per sequence.

use std::sync::Arc;

use burn::tensor::{Device, FloatDType, IndexingUpdateOp, Int, Tensor, TensorData};
use rayon::prelude::*;

use super::host_logits::HostLogits;
use crate::model::{
    architecture::{
        ComposedPositions, KeysAndValues, ModelConfig, Positions, RotaryRows, Transformer,
        key_positions,
    },
    device::is_cpu,
    fused::{Heads, NewPositions},
    memory_budget::Exhausted,
    prefix::{BUCKET, LARGE_PIECE, Prefix, repeated, token_tensor},
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
    /// The rotary tables of all positions, on devices other than the CPU.
    rotary: Option<RotaryRows>,
    /// The positions of the keys that the last step was given, there.
    keys: Option<Tensor<4>>,
    device: Device,
}

/// A prompt after its shared beginning.
pub(super) struct Prefilled {
    /// Per block, keys and values of prompts that were read together [prompts, kv heads, tokens,
    /// head]; beyond a prompt's end they are those of padding.
    layers: Arc<Vec<KeysAndValues>>,
    /// Its row among them.
    row: usize,
    /// The logits of the next token.
    pub(super) logits: Vec<f32>,
}

impl Transformer {
    /// Reads what follows the shared beginning of prompts. On the CPU each alone, so that its
    /// numbers do not depend on other prompts, and several concurrently; elsewhere several at once.
    pub(super) fn prefill_all(
        &self,
        beginning: &Prefix,
        prompts: &[&[u32]],
    ) -> Result<Vec<Prefilled>, Exhausted> {
        let prefill = |prompt: &&[u32]| self.prefilled(self.read(beginning, prompt));
        if self.is_on_cpu() {
            // Prompts are short for a processor's cores, while several fill a GPU.
            return prompts.par_iter().map(prefill).collect();
        }
        let mut found: Vec<(usize, Prefilled)> = Vec::with_capacity(prompts.len());
        for group in together(prompts, beginning.length) {
            if let [alone] = group[..] {
                found.push((alone, prefill(&prompts[alone])?));
                continue;
            }
            let texts: Vec<&[u32]> = group.iter().map(|prompt| prompts[*prompt]).collect();
            found.extend(group.into_iter().zip(self.prefilled_together(beginning, &texts)?));
        }
        found.sort_by_key(|(prompt, _)| *prompt);
        Ok(found.into_iter().map(|(_, prefilled)| prefilled).collect())
    }

    /// A text that was read, with the logits of the next token.
    pub(super) fn prefilled(&self, read: Prefix) -> Result<Prefilled, Exhausted> {
        let Prefix { layers, last, .. } = read;
        let logits = match last {
            Some(last) => HostLogits::read(self.unconverted_logits(last))?.row(0).into_owned(),
            None => Vec::new(),
        };
        Ok(Prefilled { layers: Arc::new(layers), row: 0, logits })
    }

    /// Prompts that are read at once.
    fn prefilled_together(
        &self,
        beginning: &Prefix,
        prompts: &[&[u32]],
    ) -> Result<Vec<Prefilled>, Exhausted> {
        let mut layers = Vec::with_capacity(self.config.num_hidden_layers);
        let sides = padded(prompts);
        let last = self.read_together(beginning, prompts, sides, |_, new| layers.push(new.clone()));
        let (layers, logits) = (Arc::new(layers), HostLogits::read(self.unconverted_logits(last))?);
        let prefilled = |row| {
            let logits = logits.row(row).into_owned();
            Prefilled { layers: layers.clone(), row, logits }
        };
        Ok((0..prompts.len()).map(prefilled).collect())
    }

    /// One step of all sequences: the logits of the next token of each slot.
    ///
    /// `tokens` and `positions` give the token to add and its position for each slot.
    pub(super) fn step(
        &self,
        memory: &mut Memory,
        tokens: &[u32],
        positions: &[usize],
    ) -> Result<HostLogits, Exhausted> {
        let reach = memory.reach(positions);
        let (places, at) =
            (memory.places(positions), memory.positions(&self.config, positions, reach));
        let input = token_tensor(tokens, [memory.slots, 1], &memory.device);
        let hidden =
            self.hidden_with(input, &at, |layer, new| memory.extend(layer, &places, new, reach));
        HostLogits::read(self.unconverted_logits(hidden))
    }
}

/// Maximum number of tokens, padding included, of prompts that are read at once.
const MOST_TOGETHER: usize = 8192;

/// Prompts in groups that are read at once, by their indices: those of similar length, as many as
/// have no more scores than one long text.
fn together(prompts: &[&[u32]], before: usize) -> Vec<Vec<usize>> {
    let mut order: Vec<usize> = (0..prompts.len()).collect();
    order.sort_by_key(|prompt| prompts[*prompt].len());
    let mut groups: Vec<Vec<usize>> = Vec::new();
    for prompt in order {
        // The last one is the longest.
        let time = prompts[prompt].len().next_multiple_of(BUCKET);
        let most = (LARGE_PIECE * LARGE_PIECE / (before + time)).min(MOST_TOGETHER) / time;
        match groups.last_mut() {
            Some(group) if (group.len() + 1).next_power_of_two() <= most => group.push(prompt),
            _ => groups.push(vec![prompt]),
        }
    }
    groups
}

/// Rows, and tokens of a row, of prompts that are read at once: of few values, so that kernels are
/// reused.
fn padded(prompts: &[&[u32]]) -> [usize; 2] {
    let longest = prompts.iter().map(|prompt| prompt.len()).max().unwrap_or(0);
    [prompts.len().next_power_of_two(), longest.next_multiple_of(BUCKET)]
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
        let rotary = (!is_cpu(&device))
            .then(|| RotaryRows::new(config, [&heads.cosine, &heads.sine], &device));
        let mut memory = Self { layers, slots, length, shared, heads, rotary, keys: None, device };
        let repeated: Vec<KeysAndValues> =
            beginning.layers.iter().map(|layer| repeated(layer, slots)).collect();
        memory.write(0, 0, &repeated);
        memory
    }

    /// The position of a slot without a response: the next response overwrites it.
    pub(super) fn spare_position(&self) -> usize {
        self.shared
    }

    /// Copies prompts into slots, behind the shared beginning.
    pub(super) fn fill(&mut self, prompts: &[(usize, Arc<Prefilled>)]) {
        if is_cpu(&self.device) {
            for (slot, prompt) in prompts {
                self.write(*slot, self.shared, &prompt.layers);
            }
            return;
        }
        let mut rest = prompts.to_vec();
        while let Some((_, first)) = rest.first().cloned() {
            let is_of_group =
                |(_, prompt): &(_, Arc<Prefilled>)| Arc::ptr_eq(&prompt.layers, &first.layers);
            let (group, others): (Vec<_>, Vec<_>) = rest.into_iter().partition(is_of_group);
            self.fill_from_group(&first.layers, &group);
            rest = others;
        }
    }

    /// Copies prompts that were read together, and their padding, which later tokens overwrite
    /// before it is seen: with few launches, however many slots there are.
    fn fill_from_group(&mut self, layers: &[KeysAndValues], prompts: &[(usize, Arc<Prefilled>)]) {
        let Some((key, _)) = layers.first() else { return };
        let [_, groups, count, _] = key.dims();
        let (length, shared) = (self.length, self.shared);
        let places = prompts.iter().flat_map(|(slot, _)| {
            (slot * groups..(slot + 1) * groups).flat_map(move |head| {
                (0..count).map(move |position| head * length + shared + position)
            })
        });
        let places = index_tensor(places, &self.device);
        let rows = index_tensor(prompts.iter().map(|(_, prompt)| prompt.row), &self.device);
        for (layer, (new_key, new_value)) in self.layers.iter_mut().zip(layers) {
            let (key, value) = layer.take().expect("a layer is put back after every use");
            let [key, value] = [(key, new_key), (value, new_value)]
                .map(|(kept, new)| written(kept, &places, new.clone().select(0, rows.clone())));
            *layer = Some((key, value));
        }
    }

    /// Copies the keys and values of each block into slots, from this slot and position on.
    fn write(&mut self, slot: usize, position: usize, layers: &[KeysAndValues]) {
        for (layer, (new_key, new_value)) in self.layers.iter_mut().zip(layers) {
            let [slots, groups, count, width] = new_key.dims();
            let (key, value) = layer.take().expect("a layer is put back after every use");
            let place = [slot..slot + slots, 0..groups, position..position + count, 0..width];
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

    fn positions(&mut self, config: &ModelConfig, positions: &[usize], reach: usize) -> Positions {
        if is_cpu(&self.device) {
            // No mask: fused attention stops at each slot's own position.
            let (heads, first) = (self.heads.clone(), positions.into());
            return Positions::fused(config, NewPositions { heads, first, time: 1 });
        }
        let rows = self.rotary.as_ref().expect("devices other than the CPU have them");
        let positions = index_tensor(positions.iter().copied(), &self.device);
        let rotary = rows.at(&positions).tables([self.slots, 1]);
        let positions = positions.cast(FloatDType::F32).reshape([self.slots, 1, 1, 1]);
        let last = self.keys.take().filter(|keys| keys.dims()[3] == reach);
        let keys = last.unwrap_or_else(|| key_positions(reach, &self.device));
        let composed = ComposedPositions::at(config, rotary, positions, &keys);
        self.keys = Some(keys);
        Positions::Composed(Box::new(composed))
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
    let ([slots, groups, length, width], [rows]) = (kept.dims(), places.dims());
    let kept = kept.reshape([slots * groups * length, width]);
    let new = new.reshape([rows, width]);
    let written = if is_cpu(&kept.device()) {
        kept.select_assign(0, places.clone(), new, IndexingUpdateOp::Assign)
    } else {
        // A GPU's `select_assign` writes one row after the other, and the CPU's `scatter_nd` copies
        // everything.
        let places = places.clone().reshape([rows, 1]);
        kept.scatter_nd(places, new, IndexingUpdateOp::Assign)
    };
    written.reshape([slots, groups, length, width])
}

fn index_tensor(rows: impl Iterator<Item = usize>, device: &Device) -> Tensor<1, Int> {
    let rows: Vec<i32> = rows.map(|row| row as i32).collect();
    let count = rows.len();
    Tensor::from_data(TensorData::new(rows, [count]), device)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prompts_of_similar_length_are_read_together_as_far_as_their_scores_fit() {
        let text = vec![0; LARGE_PIECE];
        let prompts = |lengths: &[usize]| -> Vec<Vec<usize>> {
            let prompts: Vec<&[u32]> = lengths.iter().map(|length| &text[..*length]).collect();
            together(&prompts, 0)
        };
        assert_eq!(prompts(&[10, 2000, 20, 70, 5]), [vec![4, 0, 2, 3], vec![1]]);
        assert_eq!(prompts(&[1000; 5]), [vec![0, 1, 2, 3], vec![4]], "8192 tokens at most");
        assert_eq!(prompts(&[]), Vec::<Vec<usize>>::new());
    }
}
