//! What the model thinks of the data before it is tuned: computed once, and kept in a file for all who tune on them.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{
    answered::{Answered, Savings},
    likelihood::log_probabilities,
    preference::{Preference, Reference},
    rows::TokenRow,
};
use crate::model::Transformer;

/// A row of `reference.jsonl`: log-probabilities of one row of the pairs, in nats; sums under TRL's names.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ReferenceRow {
    /// The sum over the chosen (or only) answer.
    pub ref_chosen_logps: f64,
    /// The sum over the rejected answer, where there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ref_rejected_logps: Option<f64>,
    /// A digest of the row's tokens, by which the file is known to belong to the data.
    pub tokens: String,
    /// For each answer: of each token.
    pub answers: Vec<Vec<f32>>,
}

/// The log-probabilities of all answers under a model, row by row.
pub fn reference(
    model: &Transformer,
    rows: &[TokenRow],
    batch_tokens: usize,
    savings: Savings,
    progress: impl FnMut(usize),
) -> Vec<ReferenceRow> {
    let texts: Vec<Answered> = rows.iter().map(|row| row.answered(row)).collect();
    let scored = log_probabilities(model, &texts, batch_tokens, savings, progress);
    let row = |(row, answers): (&TokenRow, Vec<Vec<f32>>)| ReferenceRow {
        ref_chosen_logps: sum(&answers[0]),
        ref_rejected_logps: answers.get(1).map(|answer| sum(answer)),
        tokens: digest(row),
        answers,
    };
    rows.iter().zip(scored).map(row).collect()
}

fn sum(values: &[f32]) -> f64 {
    values.iter().map(|value| f64::from(*value)).sum()
}

/// Of all tokens of a row, prompt and answers told apart.
fn digest(row: &TokenRow) -> String {
    let mut hasher = blake3::Hasher::new();
    for tokens in
        std::iter::once(row.prompt.as_slice()).chain(row.answers().iter().map(|answer| answer.tokens.as_slice()))
    {
        hasher.update(&(tokens.len() as u64).to_le_bytes());
        let bytes: Vec<u8> = tokens.iter().flat_map(|token| token.to_le_bytes()).collect();
        hasher.update(&bytes);
    }
    hasher.finalize().to_hex()[..16].to_owned()
}

impl Reference {
    /// Takes over what was computed before, once it is known to be of the same rows.
    ///
    /// # Errors
    /// Says which row is another one.
    pub fn of_rows(found: Vec<ReferenceRow>, rows: &[TokenRow]) -> Result<Self, String> {
        if found.len() != rows.len() {
            return Err(format!("there are {} reference rows, but {} rows to learn from", found.len(), rows.len()));
        }
        if let Some(at) = found.iter().zip(rows).position(|(found, row)| found.tokens != digest(row)) {
            return Err(format!("row {} is of other tokens than its reference log-probabilities", at + 1));
        }
        let has_lengths = |(found, row): (&ReferenceRow, &TokenRow)| {
            let wanted = row.answers().iter().map(|answer| answer.tokens.len());
            found.answers.iter().map(Vec::len).eq(wanted)
        };
        if let Some(at) = found.iter().zip(rows).position(|both| !has_lengths(both)) {
            return Err(format!("row {} has not one reference log-probability a token of its answers", at + 1));
        }
        let answers = found.into_iter().map(|row| row.answers).collect();
        Ok(Self { answers, mismatched: BTreeMap::new() })
    }
}

impl Preference {
    /// Learns from the model before tuning what losses with a reference point need: what it thinks of the mismatches of
    /// these parts of batches.
    pub fn look_at_mismatches<'a>(
        &mut self,
        model: &Transformer,
        parts: impl Iterator<Item = &'a [usize]>,
        batch_tokens: usize,
        savings: Savings,
        progress: impl FnMut(usize),
    ) {
        let mismatches = self.all_mismatches(parts);
        let texts: Vec<Answered> = mismatches.iter().map(|mismatch| self.mismatched(*mismatch)).collect();
        let scored = log_probabilities(model, &texts, batch_tokens, savings, progress);
        let sums = scored.iter().map(|answers| answers.iter().map(|answer| sum(answer)).collect());
        self.reference.mismatched = mismatches.into_iter().zip(sums).collect();
    }
}
