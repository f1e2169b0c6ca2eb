//! Work whose speed is worth knowing: training and sampling at the quickstart's shape. Whoever runs it holds the clock.

use burn::tensor::{Device, Int, Tensor, TensorData};

use super::{Event, GenerateError, Generator, ModelConfig, Request, Sampling, Transformer, target_log_probabilities};
use crate::seed::Seed;

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

/// Draws `batch` answers of `max_new` tokens each to one prompt of ten tokens, all at once.
///
/// # Errors
/// Where the model computes infinities.
pub fn sampling_work(model: &Transformer, batch: usize, max_new: usize) -> Result<usize, GenerateError> {
    let request = Request { id: String::new(), prompt: (3..13).collect(), samples: (0..batch).collect() };
    let mut endless = model.clone();
    endless.config.eos_token_id.clear();
    let sampling = Sampling { max_new, ..Sampling::default() };
    let generator = Generator { model: &endless, sampling, batch, seed: Seed::root(0), stops: None };
    let mut tokens = 0;
    generator.run(&[request], |event| {
        if let Event::Answer(answer) = event {
            tokens += answer.tokens.len();
        }
        Ok::<_, GenerateError>(())
    })?;
    Ok(tokens)
}
