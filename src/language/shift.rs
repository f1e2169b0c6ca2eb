//! The row of `tokens.jsonl`: an answer of a tuned model, token by token, as the model before tuning sees it.

use serde::{Deserialize, Serialize};

/// How one token of an answer stands in the distributions of two models, each with the answer's own beginning as context.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct TokenShift {
    /// Its rank in the base, from 1: one more than there are tokens with a larger logit.
    pub base_rank: u32,
    /// Its rank in the tuned model.
    pub tuned_rank: u32,
    /// Its log-probability in the base, in nats.
    pub base_logp: f32,
    /// Its log-probability in the tuned model, in nats.
    pub tuned_logp: f32,
    /// The Kullback-Leibler divergence of the tuned distribution from the base's over the vocabulary, in nats.
    pub kl: f32,
    /// The same of the base's from the tuned one.
    pub reverse_kl: f32,
}

/// What part of an answer a token belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Part {
    /// It overlaps a fact that is supported, and none that is not.
    Right,
    /// It overlaps a fact that is not supported.
    Wrong,
    /// It overlaps no fact that was checked.
    None,
}

/// A row of `tokens.jsonl`: lists have a value for each token of the answer, its end token included where it ended by itself.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ShiftedAnswer {
    /// The answer's row.
    pub response_id: String,
    /// The prompt's topic.
    pub topic: String,
    /// The prompt's domain.
    pub domain: String,
    /// The tokens before the answer.
    pub prompt: Vec<u32>,
    /// The answer's tokens.
    pub tokens: Vec<u32>,
    /// What they belong to.
    pub parts: Vec<Part>,
    /// See [`TokenShift`], as are the next ones.
    pub base_ranks: Vec<u32>,
    /// Ranks in the tuned model.
    pub tuned_ranks: Vec<u32>,
    /// Log-probabilities in the base.
    pub base_logps: Vec<f32>,
    /// Log-probabilities in the tuned model.
    pub tuned_logps: Vec<f32>,
    /// Divergences of the tuned distribution from the base's.
    pub kl: Vec<f32>,
    /// Divergences of the base's distribution from the tuned one.
    pub reverse_kl: Vec<f32>,
}

impl ShiftedAnswer {
    /// An answer's token by its place, with the part that it belongs to.
    ///
    /// # Panics
    /// Where a list is shorter than the answer.
    pub fn token(&self, place: usize) -> (Part, TokenShift) {
        let shift = TokenShift {
            base_rank: self.base_ranks[place],
            tuned_rank: self.tuned_ranks[place],
            base_logp: self.base_logps[place],
            tuned_logp: self.tuned_logps[place],
            kl: self.kl[place],
            reverse_kl: self.reverse_kl[place],
        };
        (self.parts[place], shift)
    }

    /// Whether every list has a value for each token.
    pub fn is_whole(&self) -> bool {
        let ranks = [&self.base_ranks, &self.tuned_ranks].map(Vec::len);
        let numbers = [&self.base_logps, &self.tuned_logps, &self.kl, &self.reverse_kl].map(Vec::len);
        ranks.iter().chain(&numbers).chain([&self.parts.len()]).all(|length| *length == self.tokens.len())
    }
}
