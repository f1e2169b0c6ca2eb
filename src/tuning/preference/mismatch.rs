//! Prompts with other rows' completions, on which KTO's reference point is estimated (Ethayarajh et
//! al. 2024, arXiv 2402.01306).

use super::config::{KlPairs, Preference};
use crate::tuning::{
    likelihood::sum,
    shared_model::SharedModel,
    tokenized::{ComputeOptions, TokenizedExample},
};

/// Reference points in nats: the mean log-ratio of policy and reference model on completions of
/// other prompts, at least 0.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(in crate::tuning) struct ReferencePoints {
    /// Mean over completions.
    pub by_answer: f64,
    /// Mean over stated facts.
    pub by_fact: f64,
}

/// A sum and the number of its terms.
#[derive(Clone, Copy, Debug, Default)]
struct Mean {
    sum: f64,
    count: f64,
}

impl Mean {
    /// KTO's divergence is never negative, but its estimate can be.
    fn at_least_zero(self) -> f64 {
        (self.sum / f64::max(self.count, 1.0)).max(0.0)
    }
}

impl Preference {
    /// For each row of a batch: the row whose completions its prompt is combined with.
    pub(in crate::tuning) fn mismatches(&self, batch: &[usize]) -> Vec<(usize, usize)> {
        let partners = (0..batch.len()).map(|place| match self.mismatch {
            // TRL shifts a batch's completions by one place.
            KlPairs::Batch => batch[(place + batch.len() - 1) % batch.len()],
            KlPairs::Fixed => self.next_prompt(batch[place]),
        });
        batch.iter().copied().zip(partners).collect()
    }

    /// The next row with another prompt; the row itself where there is none.
    fn next_prompt(&self, row: usize) -> usize {
        (1..self.rows.len())
            .map(|ahead| (row + ahead) % self.rows.len())
            .find(|other| self.rows[*other].prompt != self.rows[row].prompt)
            .unwrap_or(row)
    }

    /// All prompt and completion combinations of a run, each once.
    pub fn all_mismatches<'a>(
        &self,
        batches: impl Iterator<Item = &'a [usize]>,
    ) -> Vec<(usize, usize)> {
        let mut found: Vec<(usize, usize)> =
            batches.flat_map(|batch| self.mismatches(batch)).collect();
        found.sort_unstable();
        found.dedup();
        found
    }

    /// Prompts of rows, each with another row's completions.
    pub(in crate::tuning) fn mismatched(
        &self,
        mismatches: &[(usize, usize)],
    ) -> Vec<TokenizedExample> {
        mismatches
            .iter()
            .map(|(row, other)| self.rows[*row].tokenized(&self.rows[*other]))
            .collect()
    }

    /// Computes what losses with a reference point need: log-probabilities of prompts with other
    /// rows' completions under the reference model, for these batches.
    pub fn look_at_mismatches<'a>(
        &mut self,
        model: SharedModel<'_>,
        batches: impl Iterator<Item = &'a [usize]>,
        batch_tokens: usize,
        compute: ComputeOptions,
    ) {
        let mismatches = self.all_mismatches(batches);
        let texts = self.mismatched(&mismatches);
        let scored = model.log_probabilities(&texts, batch_tokens, compute, |_| ());
        let sums = answer_sums(&scored);
        self.reference.mismatched = mismatches.into_iter().zip(sums).collect();
    }

    /// What [`Self::look_at_mismatches`] has computed.
    ///
    /// # Shapes
    /// One list per mismatch, in it one sum per completion.
    pub(in crate::tuning) fn known_sums(&self, mismatches: &[(usize, usize)]) -> Vec<Vec<f64>> {
        mismatches.iter().map(|mismatch| self.reference.mismatched[mismatch].clone()).collect()
    }

    /// KTO's reference points from sums of log-probabilities.
    ///
    /// # Shapes
    /// `policy` and `reference` have one list per mismatch, in it one sum per completion.
    pub(in crate::tuning) fn reference_points(
        &self,
        mismatches: &[(usize, usize)],
        policy: &[Vec<f64>],
        reference: &[Vec<f64>],
    ) -> ReferencePoints {
        let [mut by_answer, mut by_fact] = [Mean::default(); 2];
        for (((_, other), policy), reference) in mismatches.iter().zip(policy).zip(reference) {
            let answers = self.rows[*other].answers();
            for ((policy, reference), answer) in policy.iter().zip(reference).zip(answers) {
                // A completion's log-ratio is shared out over its facts; one without any has no
                // part.
                let stated = answer.facts.len() as f64;
                by_answer.sum = by_answer.sum + policy - reference;
                by_answer.count += 1.0;
                if stated > 0.0 {
                    by_fact.sum = by_fact.sum + policy - reference;
                    by_fact.count += stated;
                }
            }
        }
        ReferencePoints { by_answer: by_answer.at_least_zero(), by_fact: by_fact.at_least_zero() }
    }
}

/// Sums of the log-probabilities of completions.
///
/// # Shapes
/// From one list per text, in it one per completion, in it one number per token, to one list per
/// text, in it one sum per completion.
pub(in crate::tuning) fn answer_sums(texts: &[Vec<Vec<f32>>]) -> Vec<Vec<f64>> {
    texts.iter().map(|answers| answers.iter().map(|answer| sum(answer)).collect()).collect()
}
