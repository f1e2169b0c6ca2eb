//! Work whose speed is worth knowing, and what the machine could do at best. Whoever runs it holds the clock.

use burn::{
    module::Param,
    tensor::{Device, Distribution, Int, Tensor, TensorData},
};
use rayon::prelude::*;

use super::{
    Event, GenerateError, Generator, Linear, ModelConfig, NumberFormat, Place, Request, Rotary, RotaryScaling,
    Sampling, Transformer, architecture::parameter, device::is_cpu, target_log_probabilities,
};
use crate::seed::Seed;

/// The shapes that can be measured without a checkpoint, by name.
pub const SHAPES: [&str; 5] = ["quickstart", "llama-4m", "llama-110m", "llama-1.1b", "llama-3-8b"];

/// The config of this name; the two smaller Llamas are those of the peers' script, the larger ones TinyLlama and Llama 3.
pub fn shape(name: &str) -> Option<ModelConfig> {
    let llama = |[hidden, wide, layers, heads, key_heads, vocabulary]: [usize; 6]| ModelConfig {
        hidden_size: hidden,
        intermediate_size: wide,
        num_hidden_layers: layers,
        num_attention_heads: heads,
        num_key_value_heads: key_heads,
        head_dim: hidden / heads,
        vocab_size: vocabulary,
        rms_norm_eps: 1e-5,
        max_position_embeddings: 8192,
        ..ModelConfig::default()
    };
    Some(match name {
        "quickstart" => quickstart_shape(),
        "llama-4m" => llama([256, 688, 4, 8, 4, 2048]),
        "llama-110m" => llama([768, 2048, 12, 12, 4, 32_000]),
        "llama-1.1b" => llama([2048, 5632, 22, 32, 4, 32_000]),
        "llama-3-8b" => ModelConfig {
            rotary: Rotary { theta: 500_000.0, scaling: RotaryScaling::Default },
            ..llama([4096, 14_336, 32, 32, 8, 128_256])
        },
        _ => return None,
    })
}

/// The quickstart's shape: two blocks of width 160, 2048 tokens.
pub fn quickstart_shape() -> ModelConfig {
    ModelConfig {
        hidden_size: 160,
        intermediate_size: 424,
        num_hidden_layers: 2,
        num_attention_heads: 4,
        num_key_value_heads: 2,
        head_dim: 40,
        vocab_size: 2048,
        rms_norm_eps: 1e-5,
        max_position_embeddings: 256,
        tie_word_embeddings: true,
        bos_token_id: Some(0),
        eos_token_id: vec![1],
        pad_token_id: Some(2),
        ..ModelConfig::default()
    }
}

/// A model whose weights the device itself draws, at once in the format to compute in: no host memory, no reproducibility.
pub fn random_model(config: &ModelConfig, place: &Place) -> Transformer {
    let empty = ModelConfig { num_hidden_layers: 0, vocab_size: 1, tie_word_embeddings: true, ..config.clone() };
    let mut model = empty.init(&Seed::root(0), &place.device);
    let random = |shape: [usize; 2]| -> Param<Tensor<2>> {
        let options = (&place.device, place.format.dtype());
        parameter("random", Tensor::random(shape, Distribution::Normal(0.0, 0.02), options))
    };
    let norm = || parameter("norm", Tensor::<1>::ones([config.hidden_size], (&place.device, place.format.dtype())));
    let linear = |input, output| Linear { weight: random([input, output]), bias: None, updates: Vec::new() };
    let (hidden, wide) = (config.hidden_size, config.intermediate_size);
    let block = |block: usize| super::Block {
        attention_norm: norm(),
        query_key_value: linear(hidden, config.query_size() + 2 * config.key_size()),
        query_key_norms: None,
        attention_output: linear(config.query_size(), hidden),
        feed_forward_norm: norm(),
        gate_up: linear(hidden, 2 * wide),
        down: linear(wide, hidden),
        has_window: config.window(block).is_some(),
    };
    model.embedding = random([config.vocab_size, hidden]);
    model.blocks = (0..config.num_hidden_layers).map(block).collect();
    model.norm = norm();
    model.head = (!config.tie_word_embeddings).then(|| linear(hidden, config.vocab_size));
    model.config = config.clone();
    model
}

/// Steps of training without an optimizer: forward, cross-entropy, backward, over 24 texts of 60 tokens.
pub struct TrainingWork {
    model: Transformer,
    tokens: Tensor<2, Int>,
    targets: Tensor<1, Int>,
}

impl TrainingWork {
    /// The tokens of a step.
    pub const TOKENS: usize = 24 * 60;

    /// A model with random weights and a batch.
    pub fn new(config: &ModelConfig, device: &Device) -> Self {
        let device = device.clone().autodiff();
        let ids: Vec<i32> = (0..Self::TOKENS).map(|index| (index * 7919 % config.vocab_size) as i32).collect();
        Self {
            model: config.init(&Seed::root(0), &device),
            tokens: Tensor::from_data(TensorData::new(ids.clone(), [24, 60]), &device),
            targets: Tensor::from_data(TensorData::new(ids, [Self::TOKENS]), &device),
        }
    }

    /// One step; the loss, which also waits for the device.
    pub fn step(&self) -> f32 {
        let hidden = self.model.hidden(self.tokens.clone());
        let loss = -target_log_probabilities(self.model.logits(hidden), self.targets.clone()).mean();
        let gradients = loss.backward();
        let gradient = self.model.embedding.grad(&gradients).expect("the embedding is trained");
        gradient.slice([0..1, 0..1]).into_scalar::<f32>() * 0.0 + loss.into_scalar::<f32>()
    }
}

/// Draws `batch` answers of `max_new` tokens each to one prompt, all at once; returns the number of tokens.
///
/// # Errors
/// Where the model computes infinities, or memory does not suffice for the batch.
pub fn sampling_work(
    model: &Transformer,
    prompt: &[u32],
    batch: usize,
    sampling: &Sampling,
) -> Result<usize, GenerateError> {
    let request = Request { id: String::new(), prompt: prompt.to_vec(), samples: (0..batch).collect() };
    let mut endless = model.clone();
    endless.config.eos_token_id.clear();
    let generator = Generator { model: &endless, sampling: sampling.clone(), batch, seed: Seed::root(0), stops: None };
    let mut tokens = 0;
    generator.run(&[request], |event| match event {
        Event::Answer(answer) => {
            tokens += answer.tokens.len();
            Ok(())
        }
        Event::FewerAtOnce { reason, .. } => Err(GenerateError::OutOfMemory(reason, batch)),
    })?;
    Ok(tokens)
}

/// What a step of `batch` answers with `context` tokens each before them must read at least, in bytes: the weights once, and
/// the keys and values of each.
pub fn bytes_of_step(config: &ModelConfig, format: NumberFormat, batch: usize, context: usize) -> f64 {
    let gathered = if config.tie_word_embeddings { 0 } else { config.vocab_size * config.hidden_size };
    let weights = config.parameters() - gathered;
    let cache = batch * context * 2 * config.num_hidden_layers * config.key_size();
    ((weights + cache) * format.size()) as f64
}

/// What a token with `context` tokens before it takes, in floating-point operations: two a weight, four a number of keys
/// and values.
pub fn operations_of_token(config: &ModelConfig, context: usize) -> f64 {
    let gathered = if config.tie_word_embeddings { 0 } else { config.vocab_size * config.hidden_size };
    let attention = 2 * context * config.num_hidden_layers * config.query_size();
    2.0 * (config.parameters() - gathered + attention) as f64
}

/// Memory to measure how fast it is read.
pub struct MemoryWork {
    host: Vec<u64>,
    device: Option<Tensor<1>>,
}

impl MemoryWork {
    /// On the CPU 256 MiB, more than any cache holds; on a GPU 1 GiB.
    pub fn new(place: &Place) -> Self {
        if is_cpu(&place.device) {
            return Self { host: (0..1 << 25).collect(), device: None };
        }
        Self { host: Vec::new(), device: Some(Tensor::ones([1 << 28], &place.device)) }
    }

    /// Reads it once on the CPU; reads it and writes as much on a GPU. Returns the bytes that were moved.
    pub fn run(&self) -> usize {
        match &self.device {
            None => {
                let sum = |part: &[u64]| part.iter().fold(0u64, |sum, value| sum.wrapping_add(*value));
                let total: u64 = self.host.par_chunks(1 << 16).map(sum).reduce(|| 0, u64::wrapping_add);
                std::hint::black_box(total);
                self.host.len() * 8
            }
            Some(values) => {
                let copy = values.clone() + 1.0;
                wait(&copy.device());
                2 * 4 * copy.dims()[0]
            }
        }
    }
}

/// Square matrices to measure how fast they are multiplied.
pub struct ProductWork(Tensor<2>);

impl ProductWork {
    /// Of 1024 rows on the CPU, 8192 on a GPU.
    pub fn new(place: &Place) -> Self {
        let size = if is_cpu(&place.device) { 1024 } else { 8192 };
        Self(Tensor::ones([size, size], (&place.device, place.format.dtype())))
    }

    /// Multiplies them once; returns the floating-point operations.
    pub fn run(&self) -> usize {
        let [size, _] = self.0.dims();
        std::hint::black_box(self.0.clone().matmul(self.0.clone()));
        wait(&self.0.device());
        2 * size * size * size
    }
}

fn wait(device: &Device) {
    if let Err(error) = device.sync() {
        tracing::warn!("the device did not finish: {error}");
    }
}
