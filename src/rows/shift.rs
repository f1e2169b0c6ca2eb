//! The row of `tokens.jsonl`: a tuned model's response, token by token, under base and tuned model.

use serde::{Deserialize, Serialize};

use super::ResponseId;

/// One token of a response under two models, each in the context of the response's beginning.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct TokenShift {
    /// Rank under the base model, from 1: one plus the number of tokens with a larger logit.
    pub base_rank: u32,
    /// Rank under the tuned model.
    pub tuned_rank: u32,
    /// Log-probability under the base model, in nats.
    pub base_logp: f32,
    /// Log-probability under the tuned model, in nats.
    pub tuned_logp: f32,
    /// Kullback-Leibler divergence KL(tuned, base) over the vocabulary, in nats.
    pub kl: f32,
    /// KL(base, tuned), in nats.
    pub reverse_kl: f32,
}

/// Part of a response that a token belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AnswerPart {
    /// The token overlaps a supported fact, and no unsupported one.
    Right,
    /// The token overlaps an unsupported fact.
    Wrong,
    /// The token overlaps no verified fact.
    None,
}

/// A row of `tokens.jsonl`: lists have a value for each token of the response, EOS included if
/// generated.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ShiftedAnswer {
    /// Id of the response.
    pub response_id: ResponseId,
    /// The prompt's topic.
    pub topic: String,
    /// The prompt's domain.
    pub domain: String,
    /// The tokens before the response.
    pub prompt: Vec<u32>,
    /// The response's tokens.
    pub tokens: Vec<u32>,
    /// Part of the response that each token belongs to.
    pub parts: Vec<AnswerPart>,
    /// Ranks under the base model, from 1.
    pub base_ranks: Vec<u32>,
    /// Ranks under the tuned model.
    pub tuned_ranks: Vec<u32>,
    /// Log-probabilities under the base model, in nats.
    pub base_logps: Vec<f32>,
    /// Log-probabilities under the tuned model, in nats.
    pub tuned_logps: Vec<f32>,
    /// Kullback-Leibler divergence KL(tuned, base), in nats.
    pub kl: Vec<f32>,
    /// KL(base, tuned), in nats.
    pub reverse_kl: Vec<f32>,
}

impl ShiftedAnswer {
    /// The token at an index of the response, with its part.
    ///
    /// # Panics
    /// If a list is shorter than the response.
    pub fn token(&self, place: usize) -> (AnswerPart, TokenShift) {
        let shift = TokenShift {
            base_rank: self.base_ranks[place],
            tuned_rank: self.tuned_ranks[place],
            base_logp: self.base_logps[place],
            tuned_logp: self.tuned_logps[place],
            kl: self.kl[place],
            reverse_kl: self.reverse_kl[place],
        };
        // Copied out of lists, since a file of structs would be three times as long.
        (self.parts[place], shift)
    }

    /// Whether every list has a value for each token.
    pub fn is_whole(&self) -> bool {
        let ranks = [&self.base_ranks, &self.tuned_ranks].map(Vec::len);
        // Lists of different lengths would assign values to the wrong tokens.
        let numbers =
            [&self.base_logps, &self.tuned_logps, &self.kl, &self.reverse_kl].map(Vec::len);
        ranks
            .iter()
            .chain(&numbers)
            .chain([&self.parts.len()])
            .all(|length| *length == self.tokens.len())
    }
}
