//! The model's configuration: architecture, sizes and constants.

use super::{Rotary, RotaryScaling};
use crate::model::fused::Heads;

/// Supported architectures; they differ in biases, norms and windows, not in the order of their
/// blocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Architecture {
    /// Llama 2, 3 and 3.x, and all models with the same blocks (Touvron et al. 2023, arXiv
    /// 2302.13971).
    Llama,
    /// Mistral: Llama with a sliding window (Jiang et al. 2023, arXiv 2310.06825).
    Mistral,
    /// Qwen 2 and 2.5: Llama with biases of queries, keys and values (Yang et al. 2024, arXiv
    /// 2407.10671).
    Qwen2,
    /// Qwen 3: Llama with a norm of each query and key (Yang et al. 2025, arXiv 2505.09388).
    Qwen3,
}

/// Sizes and constants of a Llama-family model, under the names of Hugging Face's `LlamaConfig`
/// where it has them.
#[derive(Clone, Debug, PartialEq)]
pub struct ModelConfig {
    /// Architecture.
    pub architecture: Architecture,
    /// Width of the hidden states.
    pub hidden_size: usize,
    /// Width of the feed-forward layers.
    pub intermediate_size: usize,
    /// Number of blocks.
    pub num_hidden_layers: usize,
    /// Number of query heads.
    pub num_attention_heads: usize,
    /// Number of key and value heads; a divisor of the number of query heads.
    pub num_key_value_heads: usize,
    /// Width of one head; even.
    pub head_dim: usize,
    /// Vocabulary size in tokens.
    pub vocab_size: usize,
    /// Epsilon that is added to the mean square.
    pub rms_norm_eps: f64,
    /// Rotary embeddings.
    pub rotary: Rotary,
    /// Longest text, in tokens.
    pub max_position_embeddings: usize,
    /// Whether output layer and embedding are tied.
    pub tie_word_embeddings: bool,
    /// Whether queries, keys and values have biases.
    pub query_key_value_bias: bool,
    /// Whether the projection of the heads' outputs has a bias.
    pub attention_output_bias: bool,
    /// Whether the feed-forward layers have biases.
    pub feed_forward_bias: bool,
    /// Whether queries and keys are normalised before rotation.
    pub query_key_norm: bool,
    /// Blocks with a sliding window.
    pub sliding_window: Option<SlidingWindow>,
    /// BOS.
    pub bos_token_id: Option<u32>,
    /// EOS tokens.
    pub eos_token_id: Vec<u32>,
    /// Padding token.
    pub pad_token_id: Option<u32>,
}

/// Sliding-window attention in some of the blocks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SlidingWindow {
    /// Window size in tokens, the position itself included.
    pub length: usize,
    /// For each block, whether it has the window.
    pub blocks: Vec<bool>,
}

impl Architecture {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Llama, Self::Mistral, Self::Qwen2, Self::Qwen3];

    /// Its class in `architectures` of `config.json`.
    pub fn class(self) -> &'static str {
        match self {
            Self::Llama => "LlamaForCausalLM",
            Self::Mistral => "MistralForCausalLM",
            Self::Qwen2 => "Qwen2ForCausalLM",
            Self::Qwen3 => "Qwen3ForCausalLM",
        }
    }

    /// The architecture with this class or `model_type`.
    pub(super) fn named(name: &str) -> Option<Self> {
        // Class that transformers writes for a Mistral with windows in some of its blocks.
        let is_ministral = ["MinistralForCausalLM", "ministral"].contains(&name);
        let mut all = Self::ALL.into_iter();
        all.find(|known| {
            [known.class(), known.model_type()].contains(&name)
                || (is_ministral && *known == Self::Mistral)
        })
    }

    /// Its `model_type` in `config.json`.
    pub fn model_type(self) -> &'static str {
        match self {
            Self::Llama => "llama",
            Self::Mistral => "mistral",
            Self::Qwen2 => "qwen2",
            Self::Qwen3 => "qwen3",
        }
    }
}

/// Llama 2 with 7 billion parameters, as transformers' `LlamaConfig()`.
impl Default for ModelConfig {
    fn default() -> Self {
        Self {
            architecture: Architecture::Llama,
            hidden_size: 4096,
            intermediate_size: 11008,
            num_hidden_layers: 32,
            num_attention_heads: 32,
            num_key_value_heads: 32,
            head_dim: 128,
            vocab_size: 32000,
            rms_norm_eps: 1e-6,
            rotary: Rotary { theta: 10_000.0, scaling: RotaryScaling::Default },
            max_position_embeddings: 2048,
            tie_word_embeddings: false,
            query_key_value_bias: false,
            attention_output_bias: false,
            feed_forward_bias: false,
            query_key_norm: false,
            sliding_window: None,
            bos_token_id: Some(1),
            eos_token_id: vec![2],
            pad_token_id: None,
        }
    }
}

impl ModelConfig {
    /// Width of all queries of a position.
    pub(crate) fn query_size(&self) -> usize {
        self.num_attention_heads * self.head_dim
    }

    /// Width of all keys of a position, and of all its values.
    pub(crate) fn key_size(&self) -> usize {
        self.num_key_value_heads * self.head_dim
    }

    /// Its heads, with rotary tables of this many positions.
    pub(in crate::model) fn heads(&self, positions: usize) -> Heads {
        let (cosine, sine) = self.rotary.tables(self.head_dim, positions);
        Heads {
            count: self.num_attention_heads,
            groups: self.num_key_value_heads,
            width: self.head_dim,
            cosine: cosine.into(),
            sine: sine.into(),
        }
    }

    /// Window size of a block; none with full attention.
    pub(crate) fn window(&self, block: usize) -> Option<usize> {
        self.sliding_window
            .as_ref()
            .filter(|window| window.blocks[block])
            .map(|window| window.length)
    }

    /// The number of parameters.
    pub fn parameters(&self) -> usize {
        let (hidden, wide) = (self.hidden_size, self.intermediate_size);
        let attention =
            hidden * (self.query_size() + 2 * self.key_size()) + self.query_size() * hidden;
        let biases = usize::from(self.query_key_value_bias)
            * (self.query_size() + 2 * self.key_size())
            + usize::from(self.attention_output_bias) * hidden
            + usize::from(self.feed_forward_bias) * (2 * wide + hidden);
        let norms = 2 * hidden + usize::from(self.query_key_norm) * 2 * self.head_dim;
        let block = attention + 3 * hidden * wide + biases + norms;
        // A tied output layer is the embedding, and counts once.
        let vocabulary = self.vocab_size * hidden * if self.tie_word_embeddings { 1 } else { 2 };
        self.num_hidden_layers * block + vocabulary + hidden
    }
}

#[cfg(test)]
pub(in crate::model) mod tests {
    use super::*;

    /// Two blocks of width 16, for unit tests.
    pub(in crate::model) fn tiny() -> ModelConfig {
        ModelConfig {
            hidden_size: 16,
            intermediate_size: 24,
            num_hidden_layers: 2,
            num_attention_heads: 4,
            num_key_value_heads: 2,
            head_dim: 4,
            vocab_size: 32,
            rms_norm_eps: 1e-5,
            rotary: Rotary { theta: 500.0, scaling: RotaryScaling::Default },
            max_position_embeddings: 64,
            tie_word_embeddings: true,
            bos_token_id: Some(0),
            eos_token_id: vec![1],
            pad_token_id: Some(2),
            ..ModelConfig::default()
        }
    }

    /// One config per architecture, with every option that it has.
    pub(in crate::model) fn one_of_each() -> [ModelConfig; 4] {
        let window = |blocks: [bool; 2]| Some(SlidingWindow { length: 3, blocks: blocks.to_vec() });
        let yarn = super::super::Yarn {
            factor: 4.0,
            original_max_position_embeddings: 16,
            beta_fast: 32.0,
            beta_slow: 1.0,
            attention_factor: None,
            mscale: None,
            truncate: true,
        };
        let llama3 = RotaryScaling::Llama3 {
            factor: 8.0,
            low_freq_factor: 1.0,
            high_freq_factor: 4.0,
            original_max_position_embeddings: 32,
        };
        let with = |scaling| Rotary { theta: 500.0, scaling };
        [
            ModelConfig {
                query_key_value_bias: true,
                attention_output_bias: true,
                feed_forward_bias: true,
                rotary: with(llama3),
                eos_token_id: vec![1, 5],
                ..tiny()
            },
            ModelConfig {
                architecture: Architecture::Mistral,
                sliding_window: window([true, true]),
                tie_word_embeddings: false,
                rotary: with(RotaryScaling::Linear { factor: 2.0 }),
                ..tiny()
            },
            ModelConfig {
                architecture: Architecture::Qwen2,
                query_key_value_bias: true,
                sliding_window: window([false, true]),
                rotary: with(RotaryScaling::Yarn(yarn)),
                ..tiny()
            },
            ModelConfig {
                architecture: Architecture::Qwen3,
                query_key_norm: true,
                query_key_value_bias: true,
                attention_output_bias: true,
                head_dim: 8,
                pad_token_id: None,
                ..tiny()
            },
        ]
    }

    #[test]
    fn parameters_are_counted() {
        assert_eq!(
            ModelConfig::default().parameters(),
            6_738_415_616,
            "what Meta says of Llama 2 7B"
        );
    }
}
