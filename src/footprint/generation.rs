//! Memory of sampling.

use super::{
    need::{FLOAT, MemoryNeed},
    scoring::{bytes_of_states, passing},
};
use crate::model::{ModelConfig, NumberFormat};

/// A model that writes texts.
#[derive(Clone, Copy, Debug)]
pub struct GenerationMemory<'a> {
    /// Its config.
    pub config: &'a ModelConfig,
    /// Whether the device is the CPU.
    pub on_cpu: bool,
    /// Format of weights.
    pub format: NumberFormat,
    /// Texts at once.
    pub texts: f64,
    /// Longest prompt in tokens.
    pub prompt: f64,
    /// Longest prompt with response in tokens.
    pub length: f64,
}

impl GenerationMemory<'_> {
    /// What it needs.
    pub fn need(&self) -> MemoryNeed {
        let Self { config, on_cpu, texts, prompt, .. } = *self;
        let states = bytes_of_states(on_cpu, self.format);
        let vocabulary = (config.vocab_size * config.hidden_size) as f64;
        // Products of a step read a head that is laid out for them. The packed copy of all weights
        // is not needed: without room for it there is none.
        let copied = if on_cpu && config.tie_word_embeddings { vocabulary } else { 0.0 };
        let numbers = 2 * config.num_hidden_layers * config.key_size();
        let kept = numbers as f64 * texts * self.length;
        // Prompts are read alone, and where attention is no operation of its own it writes down
        // scores and exponentials.
        let scores = if on_cpu { 0.0 } else { config.num_attention_heads as f64 * prompt * prompt };
        MemoryNeed {
            weights: (config.parameters() as f64 + copied) * self.format.size() as f64,
            activations: texts.max(prompt) * passing(config) * states + 2.0 * FLOAT * scores,
            logits: FLOAT * config.vocab_size as f64 * texts,
            cache: kept * states,
            ..MemoryNeed::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cache_of_llama_2_is_that_of_its_sizes() {
        // 2 * 32 blocks * 4096 * 2 bytes: half a MiB a token.
        let config = ModelConfig::default();
        let memory = GenerationMemory {
            config: &config,
            on_cpu: false,
            format: NumberFormat::BFloat16,
            texts: 16.0,
            prompt: 100.0,
            length: 512.0,
        };
        assert_eq!(memory.need().cache, 16.0 * 512.0 * f64::from(1 << 19));
        assert_eq!(memory.need().weights, 2.0 * 6_738_415_616.0);
        let on_cpu = GenerationMemory { on_cpu: true, ..memory };
        assert_eq!(on_cpu.need().cache, 2.0 * memory.need().cache, "states are float32 there");
    }
}
