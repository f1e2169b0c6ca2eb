//! Log-probabilities of the data under the reference model: computed once, and stored for all arms.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{
    likelihood::sum,
    rows::TokenRow,
    shared_model::SharedModel,
    tokenized::{ComputeOptions, TokenizedExample},
};

/// A row of `reference.jsonl`: log-probabilities of one row of the pairs, in nats; sums under TRL's
/// names.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ReferenceRow {
    /// The sum over the chosen (or only) completion.
    pub ref_chosen_logps: f64,
    /// The sum over the rejected completion, where there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ref_rejected_logps: Option<f64>,
    /// Digest of the row's tokens, which ties the file to the data.
    pub tokens: String,
    /// Per completion: the log-probability of each token.
    pub answers: Vec<Vec<f32>>,
}

/// Log-probabilities under the reference model, in nats.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ReferenceLogProbs {
    /// Per row, completion and token. Empty where no loss needs it.
    pub answers: Vec<Vec<Vec<f32>>>,
    /// For a row's prompt with another row's completions: the sum over each completion.
    pub mismatched: BTreeMap<(usize, usize), Vec<f64>>,
}

/// The log-probabilities of all completions under a model, row by row.
///
/// # Shapes
/// One row per input row, in it one list per completion, in it one number per token.
pub fn reference<'a>(
    model: impl Into<SharedModel<'a>>,
    rows: &[TokenRow],
    batch_tokens: usize,
    compute: ComputeOptions,
    progress: impl FnMut(usize),
) -> Vec<ReferenceRow> {
    let texts: Vec<TokenizedExample> = rows.iter().map(|row| row.tokenized(row)).collect();
    let scored = model.into().log_probabilities(&texts, batch_tokens, compute, progress);
    rows.iter()
        .zip(scored)
        .map(|(row, answers)| ReferenceRow {
            ref_chosen_logps: sum(&answers[0]),
            ref_rejected_logps: answers.get(1).map(|answer| sum(answer)),
            tokens: digest(row),
            answers,
        })
        .collect()
}

/// Over all tokens of a row.
fn digest(row: &TokenRow) -> String {
    let mut hasher = blake3::Hasher::new();
    // Each length comes first: the same tokens cut elsewhere are another row.
    for tokens in std::iter::once(row.prompt.as_slice())
        .chain(row.answers().iter().map(|answer| answer.tokens.as_slice()))
    {
        hasher.update(&(tokens.len() as u64).to_le_bytes());
        let bytes: Vec<u8> = tokens.iter().flat_map(|token| token.to_le_bytes()).collect();
        hasher.update(&bytes);
    }
    // 64 bits: rows are told apart by accident, not by an adversary, and the file has many.
    hasher.finalize().to_hex()[..16].to_owned()
}

impl ReferenceRow {
    /// Whether there is one log-probability per token of the row's completions.
    fn has_lengths_of(&self, row: &TokenRow) -> bool {
        let tokens = row.answers().iter().map(|answer| answer.tokens.len());
        self.answers.iter().map(Vec::len).eq(tokens)
    }
}

impl ReferenceLogProbs {
    /// Takes over stored log-probabilities that belong to the same rows.
    ///
    /// # Errors
    /// Names the row that differs.
    pub fn of_rows(found: Vec<ReferenceRow>, rows: &[TokenRow]) -> Result<Self, String> {
        if found.len() != rows.len() {
            return Err(format!(
                "the reference has {} rows, but there are {} rows to train on",
                found.len(),
                rows.len()
            ));
        }
        if let Some(at) =
            found.iter().zip(rows).position(|(found, row)| found.tokens != digest(row))
        {
            return Err(format!(
                "row {} has other tokens than its reference log-probabilities",
                at + 1
            ));
        }
        if let Some(at) = found.iter().zip(rows).position(|(found, row)| !found.has_lengths_of(row))
        {
            return Err(format!(
                "row {} has reference log-probabilities for another number of tokens",
                at + 1
            ));
        }
        let answers = found.into_iter().map(|row| row.answers).collect();
        Ok(Self { answers, mismatched: BTreeMap::new() })
    }
}
