//! Random weights of a new model.

use burn::{
    module::Param,
    tensor::{Device, Tensor, TensorData},
};

use super::{Block, Linear, ModelConfig, NumberFormat, Transformer, parameter};
use crate::seed::Seed;

/// Standard deviation of initial weights (`initializer_range` of transformers).
const INITIAL_SPREAD: f64 = 0.02;

impl ModelConfig {
    /// A model with random weights: normal with standard deviation 0.02, norms 1, biases 0. Each
    /// parameter has a random stream named after it, so that values do not depend on order, threads
    /// or device.
    pub fn init(&self, seed: &Seed, device: &Device) -> Transformer {
        let weights = InitialWeights { config: self, seed, device };
        Transformer {
            embedding: weights.matrix("embedding", [self.vocab_size, self.hidden_size]),
            blocks: (0..self.num_hidden_layers).map(|layer| weights.block(layer)).collect(),
            norm: weights.norm("norm", self.hidden_size),
            head: (!self.tie_word_embeddings)
                .then(|| weights.linear("head", [self.hidden_size, self.vocab_size], false)),
            config: self.clone(),
            computes_in: NumberFormat::Float32,
        }
    }
}

struct InitialWeights<'a> {
    config: &'a ModelConfig,
    seed: &'a Seed,
    device: &'a Device,
}

impl InitialWeights<'_> {
    fn block(&self, layer: usize) -> Block {
        let config = self.config;
        let (hidden, wide) = (config.hidden_size, config.intermediate_size);
        let columns = config.query_size() + 2 * config.key_size();
        let in_block = format!("blocks.{layer}");
        Block {
            attention_norm: self.norm(&format!("{in_block}.attention_norm"), hidden),
            query_key_value: self.linear(
                &format!("{in_block}.query_key_value"),
                [hidden, columns],
                config.query_key_value_bias,
            ),
            query_key_norms: config.query_key_norm.then(|| {
                ["query_norm", "key_norm"]
                    .map(|norm| self.norm(&format!("{in_block}.{norm}"), config.head_dim))
            }),
            attention_output: self.linear(
                &format!("{in_block}.attention_output"),
                [config.query_size(), hidden],
                config.attention_output_bias,
            ),
            feed_forward_norm: self.norm(&format!("{in_block}.feed_forward_norm"), hidden),
            gate_up: self.linear(
                &format!("{in_block}.gate_up"),
                [hidden, 2 * wide],
                config.feed_forward_bias,
            ),
            down: self.linear(
                &format!("{in_block}.down"),
                [wide, hidden],
                config.feed_forward_bias,
            ),
            has_window: config.window(layer).is_some(),
        }
    }

    fn linear(&self, name: &str, [inputs, outputs]: [usize; 2], has_bias: bool) -> Linear {
        let bias = has_bias
            .then(|| parameter(&format!("{name}.bias"), Tensor::zeros([outputs], self.device)));
        Linear::new(self.matrix(name, [inputs, outputs]), bias)
    }

    fn norm(&self, name: &str, size: usize) -> Param<Tensor<1>> {
        parameter(name, Tensor::ones([size], self.device))
    }

    fn matrix(&self, name: &str, shape: [usize; 2]) -> Param<Tensor<2>> {
        let mut stream = self.seed.split(name).stream();
        let values: Vec<f32> =
            (0..shape[0] * shape[1]).map(|_| (INITIAL_SPREAD * stream.normal()) as f32).collect();
        parameter(name, Tensor::from_data(TensorData::new(values, shape), self.device))
    }
}
