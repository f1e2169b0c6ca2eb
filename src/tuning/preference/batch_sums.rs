//! Divisors of the means over a batch, and the likelihood term, which needs them.

use super::{
    config::NllReduction,
    view::{PolicyView, ViewedRows},
};
use crate::tuning::rows::{TokenAnswer, TokenRow};

/// Divisors of the means over a batch.
#[derive(Clone, Copy, Debug)]
pub(super) struct BatchSums {
    pub pairs: f64,
    /// Rows with a chosen (or only, desirable) completion.
    pub chosen: f64,
    /// Rows with a rejected (or only, undesirable) completion.
    pub rejected: f64,
    /// Tokens of the chosen completions.
    pub chosen_tokens: f64,
    /// Tokens of the rejected completions.
    pub rejected_tokens: f64,
    prompt_tokens: f64,
    nll_reduction: NllReduction,
}

/// A row's part in the batch's likelihood term.
#[derive(Clone, Copy, Debug)]
pub(super) struct Likelihood {
    pub value: f64,
    /// Weight of each of its scored tokens.
    pub by_token: f64,
}

impl BatchSums {
    /// The sums over all rows of the batch, viewed or not.
    pub(super) fn new(part: &ViewedRows<'_>) -> Self {
        let mut sums = Self {
            pairs: 0.0,
            chosen: 0.0,
            rejected: 0.0,
            chosen_tokens: 0.0,
            rejected_tokens: 0.0,
            prompt_tokens: 0.0,
            nll_reduction: part.preference.modifiers.nll_reduction,
        };
        for row in part.batch.iter().map(|row| &part.preference.rows[*row]) {
            sums.pairs += f64::from(u8::from(row.has_desirable() && row.has_undesirable()));
            if row.has_desirable() {
                sums.chosen += 1.0;
                sums.chosen_tokens += tokens(row.answers().first());
                // Nothing predicts a prompt's first token.
                sums.prompt_tokens += row.prompt.len() as f64 - 1.0;
            }
            if row.has_undesirable() {
                sums.rejected += 1.0;
                sums.rejected_tokens += tokens(row.answers().last());
            }
        }
        sums
    }

    /// A row's part in the likelihood term.
    pub(super) fn likelihood(&self, row: &TokenRow, view: &PolicyView) -> Likelihood {
        if !row.has_desirable() {
            return Likelihood { value: 0.0, by_token: 0.0 };
        }
        let by_token = match self.nll_reduction {
            NllReduction::Completions => 1.0 / (self.chosen * view.answers[0].len() as f64),
            NllReduction::Tokens => 1.0 / self.chosen_tokens,
            NllReduction::Texts => 1.0 / (self.chosen_tokens + self.prompt_tokens),
        };
        let prompt =
            if self.nll_reduction == NllReduction::Texts { view.prompt.as_slice() } else { &[] };
        let sum: f64 = view.answers[0].iter().chain(prompt).map(|value| f64::from(*value)).sum();
        Likelihood { value: -sum * by_token, by_token }
    }
}

fn tokens(answer: Option<&TokenAnswer>) -> f64 {
    answer.map_or(0.0, |answer| answer.tokens.len() as f64)
}
