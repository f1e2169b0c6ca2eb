//! The policy's results on rows, and the rows in the form that losses take.

use super::config::Preference;
use crate::tuning::{
    backward::Pass,
    likelihood::sum,
    objective::{Desirability, LossRow, ScoredCompletion},
    rows::TokenPreference,
};

/// The policy's results on a row.
#[derive(Clone, Debug, Default, PartialEq)]
pub(in crate::tuning) struct PolicyView {
    /// Per completion: the log-probability of each token.
    pub answers: Vec<Vec<f32>>,
    /// The same for the prompt's tokens except the first, where the likelihood term covers them.
    pub prompt: Vec<f32>,
    /// Per completion and token: the logarithm of the sum of squared probabilities; empty without
    /// WPO.
    pub collisions: Vec<Vec<f32>>,
    /// Number of tokens of the first completion that are the most probable ones.
    pub hits: usize,
    /// Sum of the entropies at the completions' tokens.
    pub entropy: f64,
    /// Per completion: sum of the mean logits at its tokens.
    pub logits: Vec<f64>,
    /// Log-probabilities of the completions under a moving reference model; empty where it is
    /// fixed.
    pub reference: Vec<Vec<f32>>,
}

/// Rows of a batch with the policy's results on them: a microbatch, or all rows.
#[derive(Clone, Copy, Debug)]
pub(in crate::tuning) struct ViewedRows<'a> {
    pub preference: &'a Preference,
    /// All rows of the batch, by index.
    pub batch: &'a [usize],
    /// Place in the batch of the first viewed row.
    pub first: usize,
    /// The results, row by row from `first` on.
    pub views: &'a [PolicyView],
}

impl PolicyView {
    /// The results of a forward pass over the examples of these rows.
    ///
    /// # Shapes
    /// One view per row.
    pub(in crate::tuning) fn of_pass(
        preference: &Preference,
        rows: &[usize],
        pass: &Pass,
    ) -> Vec<Self> {
        let mut texts = SplitPass::new(pass);
        let scores_prompt = preference.scores_prompts();
        rows.iter()
            .map(|row| texts.view(preference.rows[*row].answers().len(), scores_prompt))
            .collect()
    }
}

/// A pass's values per completion, in the order of the texts: the completions of a row, then its
/// prompt where it is scored.
struct SplitPass {
    log_probabilities: std::vec::IntoIter<Vec<f32>>,
    entropies: std::vec::IntoIter<Vec<f32>>,
    logits: std::vec::IntoIter<Vec<f32>>,
    is_top_token: std::vec::IntoIter<Vec<bool>>,
    collisions: Option<std::vec::IntoIter<Vec<f32>>>,
}

impl SplitPass {
    fn new(pass: &Pass) -> Self {
        let Pass { scoring, forward, .. } = pass;
        Self {
            log_probabilities: scoring.split(&forward.log_probabilities).into_iter(),
            entropies: scoring.split(&forward.entropies).into_iter(),
            logits: scoring.split(&forward.mean_logits).into_iter(),
            is_top_token: scoring.split(&forward.is_top_token).into_iter(),
            collisions: (!forward.collisions.is_empty())
                .then(|| scoring.split(&forward.collisions).into_iter()),
        }
    }

    /// The next row's view. Each iterator moves past the prompt too, or the next row would begin
    /// with it.
    fn view(&mut self, answers: usize, scores_prompt: bool) -> PolicyView {
        let texts = answers + usize::from(scores_prompt);
        let mut log_probabilities: Vec<Vec<f32>> =
            self.log_probabilities.by_ref().take(texts).collect();
        let prompt = log_probabilities.drain(answers..).next().unwrap_or_default();
        // Prompts are scored for the likelihood term only, which has no weights.
        let mut collisions: Vec<Vec<f32>> =
            self.collisions.iter_mut().flatten().take(texts).collect();
        collisions.truncate(answers);
        let is_top_token: Vec<Vec<bool>> = self.is_top_token.by_ref().take(texts).collect();
        let entropies: Vec<Vec<f32>> = self.entropies.by_ref().take(texts).collect();
        let logits: Vec<Vec<f32>> = self.logits.by_ref().take(texts).collect();
        PolicyView {
            answers: log_probabilities,
            prompt,
            collisions,
            hits: is_top_token[0].iter().filter(|is_top_token| **is_top_token).count(),
            entropy: entropies[..answers].iter().map(|values| sum(values)).sum(),
            logits: logits[..answers].iter().map(|values| sum(values)).collect(),
            reference: Vec::new(),
        }
    }
}

impl<'a> ViewedRows<'a> {
    /// All rows of a batch.
    pub(in crate::tuning) fn whole(
        preference: &'a Preference,
        batch: &'a [usize],
        views: &'a [PolicyView],
    ) -> Self {
        Self { preference, batch, first: 0, views }
    }

    /// The viewed rows by index, with the results.
    pub(super) fn iter(&self) -> impl Iterator<Item = (usize, &'a PolicyView)> {
        self.batch[self.first..].iter().copied().zip(self.views)
    }

    /// The rows in the form that losses take.
    pub(in crate::tuning) fn scored(&self) -> Vec<LossRow> {
        self.iter().map(|(row, view)| self.loss_row(row, view)).collect()
    }

    fn loss_row(&self, row: usize, view: &PolicyView) -> LossRow {
        match &self.preference.rows[row].preference {
            TokenPreference::Pair(answers) => LossRow::Pair {
                chosen: self.completion(row, 0, view),
                rejected: self.completion(row, 1, view),
                error_gap: f64::from(u8::from(answers[1].is_wrong))
                    - f64::from(u8::from(answers[0].is_wrong)),
            },
            TokenPreference::Desirable(_) => LossRow::Single {
                answer: self.completion(row, 0, view),
                label: Desirability::Desirable,
            },
            TokenPreference::Undesirable(_) => LossRow::Single {
                answer: self.completion(row, 0, view),
                label: Desirability::Undesirable,
            },
        }
    }

    fn completion(&self, row: usize, answer: usize, view: &PolicyView) -> ScoredCompletion {
        let weights = self.preference.token_weights(row, answer);
        let policy = weighted_sum(&view.answers[answer], &weights);
        // Without reference model the ratio of policy and reference is 1, not undefined.
        let reference = self
            .reference_of(row, view)
            .map_or(policy, |answers| weighted_sum(&answers[answer], &weights));
        ScoredCompletion { policy, reference, tokens: weights.len() as f64 }
    }

    /// Reference log-probabilities of a row's completions; none where no loss needs them.
    ///
    /// # Shapes
    /// One list per completion, in it one number per token.
    pub(super) fn reference_of(&self, row: usize, view: &'a PolicyView) -> Option<&'a [Vec<f32>]> {
        if view.reference.is_empty() {
            self.preference.reference.answers.get(row).map(Vec::as_slice)
        } else {
            Some(&view.reference)
        }
    }

    /// Distance of policy and reference model: the mean over tokens of the difference of
    /// log-probabilities, relative to the reference's plus one nat; 0 without reference model.
    pub(in crate::tuning) fn apart(&self) -> f64 {
        let (mut sum, mut tokens) = (0.0, 0.0);
        for (row, view) in self.iter() {
            let Some(reference) = self.reference_of(row, view) else { continue };
            for (policy, reference) in view.answers.iter().flatten().zip(reference.iter().flatten())
            {
                let (policy, reference) = (f64::from(*policy), f64::from(*reference));
                // One nat, so that rounding of a nearly certain token is no large difference.
                sum += (policy - reference).abs() / (1.0 + reference.abs());
                tokens += 1.0;
            }
        }
        sum / f64::max(tokens, 1.0)
    }
}

fn weighted_sum(values: &[f32], weights: &[f64]) -> f64 {
    values.iter().zip(weights).map(|(value, weight)| f64::from(*value) * weight).sum()
}
