//! Shapes of models that can be measured without a checkpoint.

use crate::model::{ModelConfig, Rotary, RotaryScaling};

/// Model shapes that can be measured without a checkpoint, by name.
pub const SHAPES: [&str; 5] = ["quickstart", "llama-4m", "llama-110m", "llama-1.1b", "llama-3-8b"];

/// The config of this name; the two smaller Llamas are those of the comparison script, the larger
/// ones TinyLlama and Llama 3.
pub fn shape(name: &str) -> Option<ModelConfig> {
    Some(match name {
        "quickstart" => quickstart_shape(),
        "llama-4m" => llama(ModelConfig {
            hidden_size: 256,
            intermediate_size: 688,
            num_hidden_layers: 4,
            num_attention_heads: 8,
            num_key_value_heads: 4,
            vocab_size: 2048,
            ..ModelConfig::default()
        }),
        "llama-110m" => llama(ModelConfig {
            hidden_size: 768,
            intermediate_size: 2048,
            num_hidden_layers: 12,
            num_attention_heads: 12,
            num_key_value_heads: 4,
            ..ModelConfig::default()
        }),
        "llama-1.1b" => llama(ModelConfig {
            hidden_size: 2048,
            intermediate_size: 5632,
            num_hidden_layers: 22,
            num_attention_heads: 32,
            num_key_value_heads: 4,
            ..ModelConfig::default()
        }),
        "llama-3-8b" => llama(ModelConfig {
            hidden_size: 4096,
            intermediate_size: 14_336,
            num_hidden_layers: 32,
            num_attention_heads: 32,
            num_key_value_heads: 8,
            vocab_size: 128_256,
            rotary: Rotary { theta: 500_000.0, scaling: RotaryScaling::Default },
            ..ModelConfig::default()
        }),
        _ => return None,
    })
}

/// What follows from the sizes, and what the measured Llamas have in common.
fn llama(sizes: ModelConfig) -> ModelConfig {
    ModelConfig {
        head_dim: sizes.hidden_size / sizes.num_attention_heads,
        rms_norm_eps: 1e-5,
        max_position_embeddings: 8192,
        ..sizes
    }
}

/// Two blocks of width 160, 2048 tokens.
fn quickstart_shape() -> ModelConfig {
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
