//! Keys and values of the texts being written, kept so that each step computes one position of each.

use burn::tensor::{Device, IndexingUpdateOp, Int, Tensor, TensorData};

use super::{
    ModelConfig, Transformer,
    transformer::{KeysAndValues, Positions, rotary_tables},
};

/// A place for some texts of up to a fixed length. A text's keys stand at its own positions and attention always runs over
/// the whole length, so that what a text sees does not depend on its neighbours.
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
    /// Reads a prompt: always alone, so that its numbers do not depend on other prompts.
    pub(super) fn prefill(&self, prompt: &[u32]) -> Prefilled {
        let device = self.embedding.val().device();
        let positions = Positions::new(&self.config, prompt.len(), &device);
        let mut layers = Vec::new();
        let hidden =
            self.hidden_with(token_tensor(prompt, [1, prompt.len()], &device), &positions, |_, (key, value)| {
                layers.push((rows(key.clone()), rows(value.clone())));
                (key, value)
            });
        let last = hidden.narrow(0, prompt.len() - 1, 1);
        Prefilled { layers, logits: host_values(self.logits(last)) }
    }

    /// One step of all texts: the logits of the token after each, as rows [slots, vocab].
    ///
    /// `tokens` and `positions` say for each slot which token to add at which position.
    pub(super) fn step(&self, memory: &mut Memory, tokens: &[u32], positions: &[usize]) -> Vec<f32> {
        let (places, at) = (memory.places(positions), memory.positions(&self.config, positions));
        let input = token_tensor(tokens, [memory.slots, 1], &memory.device);
        let hidden = self.hidden_with(input, &at, |layer, new| memory.extend(layer, &places, new));
        host_values(self.logits(hidden))
    }
}

impl Memory {
    pub(super) fn new(config: &ModelConfig, slots: usize, length: usize, device: &Device) -> Self {
        let width = config.num_key_value_heads * config.head_dim;
        let empty = || Tensor::zeros([slots * length, width], device);
        let layers = (0..config.num_hidden_layers).map(|_| Some((empty(), empty()))).collect();
        let (cosine, sine) = rotary_tables(config, length);
        Self { layers, slots, length, cosine, sine, device: device.clone() }
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

    fn positions(&self, config: &ModelConfig, positions: &[usize]) -> Positions {
        let half = config.head_dim / 2;
        let table = |values: &[f32]| {
            let row = |position: &usize| values[position * half..(position + 1) * half].iter().copied();
            let values: Vec<f32> = positions.iter().flat_map(row).collect();
            Tensor::from_data(TensorData::new(values, [self.slots, 1, 1, half]), &self.device)
        };
        let visible =
            |position: usize| (0..self.length).map(move |key| if key > position { f32::NEG_INFINITY } else { 0.0 });
        let hidden_keys: Vec<f32> = positions.iter().flat_map(|position| visible(*position)).collect();
        let shape = [self.slots, 1, 1, self.length];
        let hidden_keys = Tensor::from_data(TensorData::new(hidden_keys, shape), &self.device);
        Positions { cosine: table(&self.cosine), sine: table(&self.sine), hidden_keys }
    }

    /// Writes a block's new keys and values at these rows; gives all of them.
    fn extend(&mut self, layer: usize, places: &Tensor<1, Int>, (new_key, new_value): KeysAndValues) -> KeysAndValues {
        let [_, groups, _, width] = new_key.dims();
        let (key, value) = self.layers[layer].take().expect("a layer is put back after every use");
        let write = |kept: Tensor<2>, new| kept.select_assign(0, places.clone(), rows(new), IndexingUpdateOp::Assign);
        let (key, value) = (write(key, new_key), write(value, new_value));
        self.layers[layer] = Some((key.clone(), value.clone()));
        let view = |kept: Tensor<2>| kept.reshape([self.slots, self.length, groups, width]).swap_dims(1, 2);
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

fn host_values(tensor: Tensor<2>) -> Vec<f32> {
    tensor.into_data().convert::<f32>().try_to_vec().expect("float32 values")
}
