//! Workloads: training, sampling, memory and matrix products; the caller measures time.

use burn::{
    module::Param,
    tensor::{DType, Device, Distribution, Int, Tensor},
};
use rayon::prelude::*;

use crate::{
    model::{
        Block, GenerateError, GenerationEvent, Generator, Linear, ModelConfig, Placement, Request,
        Sampling, Transformer, is_cpu, multiply, parameter, states_format,
        target_log_probabilities,
    },
    seed::Seed,
};

/// A model with random weights drawn on the device in its number format: no host memory, not
/// reproducible.
pub fn random_model(config: &ModelConfig, place: &Placement) -> Transformer {
    Transformer {
        embedding: random_matrix([config.vocab_size, config.hidden_size], place),
        blocks: (0..config.num_hidden_layers)
            .map(|block| random_block(config, block, place))
            .collect(),
        norm: unit_norm(config.hidden_size, place),
        head: (!config.tie_word_embeddings)
            .then(|| random_linear([config.hidden_size, config.vocab_size], place)),
        config: config.clone(),
        // As in a model that was loaded in this format: in float32 each product would convert its
        // weights first.
        computes_in: place.format,
    }
}

fn random_block(config: &ModelConfig, block: usize, place: &Placement) -> Block {
    let (hidden, wide) = (config.hidden_size, config.intermediate_size);
    let columns = config.query_size() + 2 * config.key_size();
    Block {
        attention_norm: unit_norm(hidden, place),
        query_key_value: random_linear([hidden, columns], place),
        query_key_norms: None,
        attention_output: random_linear([config.query_size(), hidden], place),
        feed_forward_norm: unit_norm(hidden, place),
        gate_up: random_linear([hidden, 2 * wide], place),
        down: random_linear([wide, hidden], place),
        has_window: config.window(block).is_some(),
    }
}

fn random_linear(shape: [usize; 2], place: &Placement) -> Linear {
    Linear::new(random_matrix(shape, place), None)
}

fn random_matrix(shape: [usize; 2], place: &Placement) -> Param<Tensor<2>> {
    let spread = Distribution::Normal(0.0, 0.02);
    parameter("random", Tensor::random(shape, spread, (&place.device, place.format.dtype())))
}

fn unit_norm(size: usize, place: &Placement) -> Param<Tensor<1>> {
    parameter("norm", Tensor::ones([size], (&place.device, place.format.dtype())))
}

/// Steps of training without an optimizer: forward, cross-entropy, backward, over 24 texts of 60
/// tokens.
pub struct TrainingWork {
    model: Transformer,
    tokens: Tensor<2, Int>,
    targets: Tensor<1, Int>,
}

impl TrainingWork {
    /// Number of tokens per step.
    pub const TOKENS: usize = 24 * 60;

    /// A model with random weights and a batch.
    pub fn new(config: &ModelConfig, device: &Device) -> Self {
        let device = device.clone().autodiff();
        // Multiples of a prime: tokens that repeat late, so that rows of the embedding are not
        // read from a cache.
        let ids: Vec<i32> =
            (0..Self::TOKENS).map(|index| (index * 7919 % config.vocab_size) as i32).collect();
        Self {
            model: config.init(&Seed::root(0), &device),
            tokens: Tensor::<1, Int>::from_data(ids.as_slice(), &device).reshape([24, 60]),
            targets: Tensor::from_data(ids.as_slice(), &device),
        }
    }

    /// One step; the loss, which also waits for the device.
    pub fn step(&self) -> f32 {
        let hidden = self.model.hidden(self.tokens.clone());
        let loss =
            -target_log_probabilities(self.model.logits(hidden), self.targets.clone()).mean();
        let gradients = loss.backward();
        let gradient = self.model.embedding.grad(&gradients).expect("the embedding is trained");
        // Both numbers are fetched, since the device may otherwise not have finished.
        gradient.slice([0..1, 0..1]).into_scalar::<f32>() * 0.0 + loss.into_scalar::<f32>()
    }
}

/// Generates `batch` responses of `max_new` tokens each to one prompt concurrently; returns the
/// number of tokens.
///
/// # Errors
/// Fails on logits that are not finite, or if memory is too small for the batch.
pub fn sampling_work(
    model: &Transformer,
    prompt: &[u32],
    batch: usize,
    sampling: &Sampling,
) -> Result<usize, GenerateError> {
    let request =
        Request { id: String::new(), prompt: prompt.to_vec(), samples: (0..batch).collect() };
    // Without EOS tokens every response has the same length.
    let mut endless = model.clone();
    endless.config.eos_token_id.clear();
    let generator = Generator {
        model: &endless,
        sampling: sampling.clone(),
        batch,
        seed: Seed::root(0),
        stops: None,
        share_beginning: false,
    };
    let mut tokens = 0;
    generator.run(&[request], |event| match event {
        GenerationEvent::Answer(answer) => {
            tokens += answer.tokens.len();
            Ok(())
        }
        GenerationEvent::FewerAtOnce { reason, .. } => {
            Err(GenerateError::OutOfMemory(reason, batch))
        }
    })?;
    Ok(tokens)
}

/// Minimum bytes that a step of `batch` responses with `context` tokens each reads: the weights
/// once, and the keys and values of each.
pub fn bytes_of_step(model: &Transformer, batch: usize, context: usize) -> f64 {
    let config = &model.config;
    let gathered =
        if config.tie_word_embeddings { 0 } else { config.vocab_size * config.hidden_size };
    let weights = config.parameters() - gathered;
    let cache = batch * context * 2 * config.num_hidden_layers * config.key_size();
    (weights * model.format().size() + cache * model.states_in().size()) as f64
}

/// Floating-point operations of a token with `context` tokens before it: two per weight, four per
/// number of keys and values.
pub fn operations_of_token(config: &ModelConfig, context: usize) -> f64 {
    let gathered =
        if config.tie_word_embeddings { 0 } else { config.vocab_size * config.hidden_size };
    let attention = 2 * context * config.num_hidden_layers * config.query_size();
    2.0 * (config.parameters() - gathered + attention) as f64
}

/// A buffer for measuring memory bandwidth.
pub struct MemoryWork {
    host: Vec<u64>,
    device: Option<Tensor<1>>,
}

impl MemoryWork {
    /// 256 MiB on the CPU, more than any cache; 1 GiB on a GPU.
    pub fn new(place: &Placement) -> Self {
        if is_cpu(&place.device) {
            return Self { host: (0..1 << 25).collect(), device: None };
        }
        Self { host: Vec::new(), device: Some(Tensor::ones([1 << 28], &place.device)) }
    }

    /// Reads it once on the CPU; reads it and writes as much on a GPU. Returns the bytes that were
    /// moved.
    pub fn run(&self) -> usize {
        match &self.device {
            None => {
                let parts = self.host.par_chunks(1 << 16).map(sum);
                let total: u64 = parts.reduce(|| 0, u64::wrapping_add);
                // A sum that nobody reads would not be computed.
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

/// Square matrices for measuring the rate of matrix products.
pub struct ProductWork {
    states: Tensor<2>,
    matrix: Tensor<2>,
}

impl ProductWork {
    /// Of 1024 rows on the CPU, 8192 on a GPU.
    pub fn new(place: &Placement) -> Self {
        let size = if is_cpu(&place.device) { 1024 } else { 8192 };
        let ones = |format: DType| Tensor::ones([size, size], (&place.device, format));
        // As in a model, where states may have another format than weights.
        let states = ones(states_format(place.format, &place.device));
        Self { states, matrix: ones(place.format.dtype()) }
    }

    /// Multiplies them once; returns the floating-point operations.
    pub fn run(&self) -> usize {
        let [size, _] = self.states.dims();
        std::hint::black_box(multiply(self.states.clone(), self.matrix.clone()));
        wait(&self.states.device());
        2 * size * size * size
    }
}

fn sum(part: &[u64]) -> u64 {
    part.iter().fold(0, |sum, value| sum.wrapping_add(*value))
}

fn wait(device: &Device) {
    if let Err(error) = device.sync() {
        tracing::warn!("the device did not finish: {error}");
    }
}
