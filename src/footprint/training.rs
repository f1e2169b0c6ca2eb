//! Memory of training.

use super::{
    need::{FLOAT, MemoryNeed},
    scoring::{bytes_of_states, hidden, logits, passing},
};
use crate::{
    model::{ModelConfig, NumberFormat},
    tuning::{GradientCheckpointing, TokenizedExample},
};

/// A model in training.
#[derive(Clone, Copy, Debug)]
pub struct TrainingMemory<'a> {
    /// Its config.
    pub config: &'a ModelConfig,
    /// Whether the device is the CPU.
    pub on_cpu: bool,
    /// Format of states, and of weights that an adapter leaves frozen.
    pub format: NumberFormat,
    /// Numbers of the trained adapter; none where all weights are trained.
    pub adapter: Option<usize>,
    /// Models beside the trained one: a moving reference, the best one so far.
    pub other_models: usize,
    /// Whether several passes make a step.
    pub accumulates: bool,
    /// Bytes of logits at once.
    pub logits_bytes: usize,
    /// Tokens of a pass before training, which scores the rows; 0 without one.
    pub reference_tokens: f64,
}

/// Numbers of tokens of a forward pass.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct PassSize {
    /// Tokens that the model reads.
    pub tokens: f64,
    /// Tokens whose log-probabilities are computed.
    pub scored: f64,
    /// Pairs of tokens that attention compares, where it writes them down.
    pub compared: f64,
}

impl PassSize {
    /// The size of a pass over these texts.
    pub fn of(texts: &[TokenizedExample], share_prompts: bool) -> Self {
        let mut size = Self::default();
        for TokenizedExample { prompt, completions } in texts {
            let lengths: Vec<usize> = completions.iter().map(Vec::len).collect();
            size.add(prompt.len(), &lengths, share_prompts);
        }
        size
    }

    /// Adds a prompt with completions, by their numbers of tokens.
    pub fn add(&mut self, prompt: usize, completions: &[usize], share_prompts: bool) {
        let prompts = if share_prompts { 1 } else { completions.len() };
        let scored = completions.iter().sum::<usize>();
        self.tokens += (prompts * prompt + scored) as f64;
        self.scored += scored as f64;
        let lengths = completions.iter().map(|length| (prompt + length) as f64);
        self.compared += lengths.map(|length| length * length).sum::<f64>();
    }
}

impl TrainingMemory<'_> {
    /// What a step of passes of this size needs at most.
    pub fn need(&self, pass: PassSize, checkpointing: GradientCheckpointing) -> MemoryNeed {
        let all = self.config.parameters() as f64;
        // An adapter is float32 beside weights in any format; without one all weights are.
        let (weights, trained) = match self.adapter {
            Some(adapter) => {
                let adapter = adapter as f64;
                (all * self.format.size() as f64 + adapter * FLOAT, adapter)
            }
            None => (all * FLOAT, all),
        };
        let passes = if self.accumulates { 2.0 } else { 1.0 };
        let before = self.reference_tokens * self.states() * passing(self.config);
        MemoryNeed {
            weights: weights * (1 + self.other_models) as f64,
            gradients: passes * trained * FLOAT,
            optimiser: 2.0 * trained * FLOAT,
            activations: self.activations(pass, checkpointing).max(before),
            logits: logits(self.config, self.on_cpu, pass.scored, self.logits_bytes),
            ..MemoryNeed::default()
        }
    }

    fn states(&self) -> f64 {
        bytes_of_states(self.on_cpu, self.format)
    }

    /// Bytes that the backward pass needs of the forward pass, with those of the block in work.
    fn activations(&self, pass: PassSize, checkpointing: GradientCheckpointing) -> f64 {
        let blocks = self.config.num_hidden_layers as f64;
        let (block, states) =
            (self.of_block(pass), pass.tokens * hidden(self.config) * self.states());
        // Gradients of a feed-forward layer, the widest states of a block.
        let working = pass.tokens * self.states() * passing(self.config);
        working
            + match checkpointing {
                GradientCheckpointing::Off => blocks * block + 2.0 * states,
                GradientCheckpointing::PerBlock => (blocks + 2.0) * states + block,
            }
    }

    /// Bytes that the backward pass of a block needs.
    fn of_block(&self, pass: PassSize) -> f64 {
        let config = self.config;
        let sizes = [config.hidden_size, config.query_size(), config.key_size()];
        let [hidden, query, key] = sizes.map(|size| size as f64);
        let (wide, states) = (config.intermediate_size as f64, self.states());
        if self.on_cpu {
            // Two inputs of norms and two of products; queries, keys and values, and the heads'
            // output; gate and up projection, and their product. Attention computes its scores
            // again.
            return pass.tokens * states * (4.0 * hidden + 2.0 * (query + key) + 3.0 * wide);
        }
        // Norms and rotation in float32, and the five states of the gated unit.
        let norms = 4.0 * hidden * FLOAT + 4.0 * hidden * states;
        let attention = (query + 2.0 * key) * 3.0 * states + 2.0 * query * states;
        // Exponentials in float32, and probabilities in the format of the states.
        let scores = config.num_attention_heads as f64 * (FLOAT + states);
        pass.tokens * (norms + attention + 5.0 * wide * states) + pass.compared * scores
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Llama 3 with 8 billion parameters.
    fn llama() -> ModelConfig {
        ModelConfig {
            intermediate_size: 14_336,
            num_key_value_heads: 8,
            vocab_size: 128_256,
            ..ModelConfig::default()
        }
    }

    fn memory(config: &ModelConfig) -> TrainingMemory<'_> {
        TrainingMemory {
            config,
            on_cpu: false,
            format: NumberFormat::BFloat16,
            adapter: None,
            other_models: 0,
            accumulates: false,
            logits_bytes: 1 << 28,
            reference_tokens: 0.0,
        }
    }

    #[test]
    fn all_weights_take_sixteen_bytes_each_and_frozen_ones_two() {
        let config = llama();
        let parameters = 8_030_261_248.0;
        let whole = memory(&config).need(PassSize::default(), GradientCheckpointing::Off);
        assert_eq!(whole.fixed(), 16.0 * parameters);
        let adapter = TrainingMemory { adapter: Some(1000), ..memory(&config) };
        let need = adapter.need(PassSize::default(), GradientCheckpointing::Off);
        assert_eq!(need.fixed(), 2.0 * parameters + 16_000.0);
        let more = TrainingMemory { other_models: 1, accumulates: true, ..adapter };
        let need = more.need(PassSize::default(), GradientCheckpointing::Off);
        assert_eq!(need.fixed(), 4.0 * parameters + 24_000.0);
    }

    #[test]
    fn checkpointing_keeps_one_block_and_shared_prompts_count_once() {
        let (config, mut pass, mut apart) = (llama(), PassSize::default(), PassSize::default());
        pass.add(512, &[512, 512], true);
        apart.add(512, &[512, 512], false);
        assert_eq!((pass.tokens, pass.scored, apart.tokens), (1536.0, 1024.0, 2048.0));
        assert_eq!(pass.compared, 2.0 * 1024.0 * 1024.0);
        let activations = |checkpointing| memory(&config).need(pass, checkpointing).activations;
        let gibibyte = f64::from(1 << 30);
        let whole = activations(GradientCheckpointing::Off) / gibibyte;
        let by_block = activations(GradientCheckpointing::PerBlock) / gibibyte;
        assert!(
            (20.0..30.0).contains(&whole) && (0.8..2.0).contains(&by_block),
            "{whole} {by_block}"
        );
    }

    #[test]
    fn logits_have_the_budget_at_most() {
        let config = llama();
        let logits = |scored| {
            let pass = PassSize { scored, ..PassSize::default() };
            memory(&config).need(pass, GradientCheckpointing::Off).logits
        };
        assert_eq!(logits(10.0), 2.0 * 10.0 * 4.0 * 128_256.0);
        assert_eq!(logits(1e6), 2.0 * f64::from(1 << 28));
    }
}
