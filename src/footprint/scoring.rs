//! Memory of log-probabilities without gradients.

use super::need::{FLOAT, MemoryNeed};
use crate::model::{ModelConfig, NumberFormat};

/// Models that score texts.
#[derive(Clone, Copy, Debug)]
pub struct ScoringMemory<'a> {
    /// Their config.
    pub config: &'a ModelConfig,
    /// Whether the device is the CPU.
    pub on_cpu: bool,
    /// Format of weights.
    pub format: NumberFormat,
    /// Number of models.
    pub models: f64,
    /// Bytes of logits at once.
    pub logits_bytes: usize,
}

impl ScoringMemory<'_> {
    /// What a pass over this many tokens needs, all of which are scored.
    pub fn need(&self, tokens: f64) -> MemoryNeed {
        let states = bytes_of_states(self.on_cpu, self.format);
        MemoryNeed {
            weights: self.models * self.config.parameters() as f64 * self.format.size() as f64,
            // One model after the other, while the states of both are kept.
            activations: tokens
                * states
                * (passing(self.config) + self.models * hidden(self.config)),
            logits: self.models * logits(self.config, self.on_cpu, tokens, self.logits_bytes),
            ..MemoryNeed::default()
        }
    }
}

/// Bytes of a number of a state.
pub(super) fn bytes_of_states(on_cpu: bool, format: NumberFormat) -> f64 {
    // As `states_format` of the model has it.
    if on_cpu && format == NumberFormat::BFloat16 { FLOAT } else { format.size() as f64 }
}

pub(super) fn hidden(config: &ModelConfig) -> f64 {
    config.hidden_size as f64
}

/// Numbers of a token that the block in work has at once without gradients: its input, gate and up
/// projection, and their product; or queries, keys, values and the heads' output.
pub(super) fn passing(config: &ModelConfig) -> f64 {
    let attention = 2 * (config.query_size() + config.key_size());
    (2 * config.hidden_size + attention.max(3 * config.intermediate_size)) as f64
}

/// Bytes of logits and what is made of them.
pub(super) fn logits(config: &ModelConfig, on_cpu: bool, tokens: f64, at_once: usize) -> f64 {
    let row = FLOAT * config.vocab_size as f64;
    let piece = (tokens * row).min(at_once as f64).max(row);
    // On a GPU exponentials are beside the logits; on the CPU they take their place.
    if on_cpu { piece } else { 2.0 * piece }
}
