//! Token shift: how far tuning moved the next-token distribution (Lin et al. 2023, arXiv
//! 2312.01552), response by response.

use burn::tensor::{DType, Tensor};
use rayon::prelude::*;

use super::{
    likelihood::{groups, logits, scored_states},
    tokenized::{ComputeOptions, Scoring, TokenizedExample},
};
use crate::{
    model::{Transformer, token_probabilities},
    rows::TokenShift,
};

/// Two models with one vocabulary.
#[derive(Clone, Copy, Debug)]
pub struct BaseAndTuned<'a> {
    /// The model before tuning.
    pub base: &'a Transformer,
    /// The model after it.
    pub tuned: &'a Transformer,
}

/// One model's logits at some tokens.
struct Seen {
    /// `[tokens, vocabulary]`, row by row.
    logits: Vec<f32>,
    /// `[tokens]`: their log-probabilities, computed as in training.
    log_probabilities: Vec<f32>,
}

impl BaseAndTuned<'_> {
    /// The shift of each token of each completion, about `batch_tokens` tokens per pass. The
    /// context of a token is the beginning of its own completion.
    ///
    /// Ranks and divergences are computed on the CPU, row by row in float64, independent of threads
    /// and chunks.
    ///
    /// # Shapes
    /// One list per completion, in the order of the examples and their completions; in it one shift
    /// per token.
    pub fn shift(
        self,
        examples: &[TokenizedExample],
        batch_tokens: usize,
        compute: ComputeOptions,
        mut progress: impl FnMut(usize),
    ) -> Vec<Vec<TokenShift>> {
        let mut found: Vec<Vec<Vec<TokenShift>>> = vec![Vec::new(); examples.len()];
        let mut done = 0;
        for group in groups(examples, batch_tokens) {
            let texts: Vec<&TokenizedExample> =
                group.iter().map(|index| &examples[*index]).collect();
            // Groups are in order of length; results are in that of the examples.
            let mut by_completion = self.of_group(&texts, compute).into_iter();
            for (index, text) in group.iter().zip(texts) {
                found[*index] = by_completion.by_ref().take(text.completions.len()).collect();
            }
            done += group.len();
            progress(done);
        }
        found.into_iter().flatten().collect()
    }

    /// The shift of each token of each completion, in one pass.
    fn of_group(
        self,
        texts: &[&TokenizedExample],
        compute: ComputeOptions,
    ) -> Vec<Vec<TokenShift>> {
        // Windows and rotary embeddings may differ, so each model has its own layout.
        let [before, after] = [self.base, self.tuned].map(|model| {
            let device = model.embedding.val().device();
            Scoring::new(&model.config, texts.iter().copied(), false, compute, &device)
        });
        let at_once = compute.logits_at_once(before.targets.len(), self.base.config.vocab_size);
        let base = logits(self.base, scored_states(self.base, &before), &before, at_once);
        let tuned = logits(self.tuned, scored_states(self.tuned, &after), &after, at_once);
        let mut shifts = Vec::with_capacity(before.targets.len());
        for ((base, targets), (tuned, _)) in base.zip(tuned) {
            shifts.extend(compare(&Seen::new(base, targets), &Seen::new(tuned, targets), targets));
        }
        before.split(&shifts)
    }
}

impl Seen {
    /// The values of logits on any device, in any format.
    ///
    /// # Shapes
    /// `logits`: `[tokens, vocabulary]`
    fn new(logits: Tensor<2>, targets: &[i32]) -> Self {
        let log_probabilities = token_probabilities(logits.clone(), targets).log_probabilities;
        let logits = logits
            .cast(DType::F32)
            .into_data()
            .try_to_vec()
            .expect("they were just cast to float32");
        Self { logits, log_probabilities }
    }

    /// The logits at a token.
    ///
    /// # Shapes
    /// `[vocabulary]`
    fn row(&self, row: usize) -> &[f32] {
        let vocabulary = self.logits.len() / self.log_probabilities.len();
        &self.logits[row * vocabulary..(row + 1) * vocabulary]
    }
}

/// All rows, distributed over the threads.
fn compare(base: &Seen, tuned: &Seen, targets: &[i32]) -> Vec<TokenShift> {
    targets
        .par_iter()
        .enumerate()
        .map(|(row, token)| {
            let (before, after) = (base.row(row), tuned.row(row));
            let (kl, reverse_kl) = divergences(before, after);
            TokenShift {
                base_rank: rank(before, *token as usize),
                tuned_rank: rank(after, *token as usize),
                base_logp: base.log_probabilities[row],
                tuned_logp: tuned.log_probabilities[row],
                kl: kl as f32,
                reverse_kl: reverse_kl as f32,
            }
        })
        .collect()
}

/// A token's rank, from 1; tokens with equal logits share the best one.
///
/// # Shapes
/// `logits`: `[vocabulary]`
fn rank(logits: &[f32], token: usize) -> u32 {
    1 + logits.iter().filter(|logit| **logit > logits[token]).count() as u32
}

/// The Kullback-Leibler divergences KL(second, first) and KL(first, second), in nats.
///
/// # Shapes
/// Logits of both models: `[vocabulary]`
fn divergences(base: &[f32], tuned: &[f32]) -> (f64, f64) {
    let [base_norm, tuned_norm] = [base, tuned].map(log_sum_exp);
    let (mut kl, mut reverse_kl) = (0.0, 0.0);
    for (base, tuned) in base.iter().zip(tuned) {
        let (base, tuned) = (f64::from(*base) - base_norm, f64::from(*tuned) - tuned_norm);
        let apart = tuned - base;
        kl += tuned.exp() * apart;
        reverse_kl -= base.exp() * apart;
    }
    // Both are at least 0 except for rounding; comparisons would hide NaN.
    (if kl < 0.0 { 0.0 } else { kl }, if reverse_kl < 0.0 { 0.0 } else { reverse_kl })
}

fn log_sum_exp(logits: &[f32]) -> f64 {
    // The highest logit outside of the exponentials, which would overflow.
    let highest = f64::from(logits.iter().copied().fold(f32::NEG_INFINITY, f32::max));
    highest + logits.iter().map(|logit| (f64::from(*logit) - highest).exp()).sum::<f64>().ln()
}

#[cfg(test)]
mod tests {
    use burn::tensor::{Device, Int, TensorData};

    use super::*;
    use crate::{
        seed::Seed,
        tuning::test_support::{texts, tiny},
    };

    /// By hand: base (1/2, 1/4, 1/4), tuned (1/4, 1/2, 1/4).
    #[test]
    fn ranks_and_divergences_of_a_distribution_by_hand() {
        let base = [2f32.ln(), 0.0, 0.0];
        let tuned = [5.0, 5.0 + 2f32.ln(), 5.0];
        let expected = 0.25 * 2f64.ln();
        let (kl, reverse_kl) = divergences(&base, &tuned);
        assert!(
            (kl - expected).abs() < 1e-7 && (reverse_kl - expected).abs() < 1e-7,
            "{kl} {reverse_kl}"
        );
        assert_eq!(
            [0, 1, 2].map(|token| rank(&base, token)),
            [1, 2, 2],
            "ties share the best rank"
        );
        assert_eq!([0, 1, 2].map(|token| rank(&tuned, token)), [2, 1, 2]);
        let skewed = divergences(&[0.0, 0.0], &[9f32.ln(), 0.0]);
        assert!((skewed.0 - (0.9 * 1.8f64.ln() + 0.1 * 0.2f64.ln())).abs() < 1e-7, "{skewed:?}");
        assert!((skewed.1 - 0.5 * (25.0f64 / 9.0).ln()).abs() < 1e-7, "{skewed:?}");
        assert_eq!(divergences(&base, &base), (0.0, 0.0));
    }

    /// Logits at each token of a response, by a model that reads only this text, in float64 from
    /// there on.
    fn alone(model: &Transformer, prompt: &[u32], answer: &[u32]) -> Vec<Vec<f64>> {
        let tokens: Vec<i32> =
            prompt.iter().chain(&answer[..answer.len() - 1]).map(|token| *token as i32).collect();
        let length = tokens.len();
        let tokens =
            Tensor::<2, Int>::from_data(TensorData::new(tokens, [1, length]), &Device::flex());
        let states = model.hidden(tokens).narrow(0, prompt.len() - 1, answer.len());
        let logits: Vec<f32> = model.logits(states).into_data().try_to_vec().unwrap();
        logits
            .chunks(model.config.vocab_size)
            .map(|row| row.iter().map(|logit| f64::from(*logit)).collect())
            .collect()
    }

    fn softmax(logits: &[f64]) -> Vec<f64> {
        let sum: f64 = logits.iter().map(|logit| logit.exp()).sum();
        logits.iter().map(|logit| logit.exp() / sum).collect()
    }

    #[test]
    fn every_token_is_judged_in_the_context_of_its_own_answer() {
        let [base, tuned] = [1, 2].map(|seed| tiny(23).init(&Seed::root(seed), &Device::flex()));
        let compute = ComputeOptions { logits_bytes: 7 * 4 * 23, ..ComputeOptions::default() };
        let found =
            BaseAndTuned { base: &base, tuned: &tuned }.shift(&texts(), 30, compute, |_| ());
        let mut found = found.into_iter();
        for TokenizedExample { prompt, completions } in texts() {
            for answer in completions {
                let shifts = found.next().unwrap();
                assert_eq!(shifts.len(), answer.len());
                let rows =
                    alone(&base, &prompt, &answer).into_iter().zip(alone(&tuned, &prompt, &answer));
                for ((shift, (base, tuned)), token) in shifts.iter().zip(rows).zip(&answer) {
                    let token = *token as usize;
                    let above = |logits: &[f64]| {
                        logits.iter().filter(|logit| **logit > logits[token]).count() as u32
                    };
                    assert_eq!(
                        (shift.base_rank, shift.tuned_rank),
                        (above(&base) + 1, above(&tuned) + 1)
                    );
                    let (base, tuned) = (softmax(&base), softmax(&tuned));
                    let kl = |one: &[f64], other: &[f64]| -> f64 {
                        one.iter().zip(other).map(|(one, other)| one * (one / other).ln()).sum()
                    };
                    let near =
                        |found: f32, expected: f64| (f64::from(found) - expected).abs() < 1e-5;
                    assert!(
                        near(shift.base_logp, base[token].ln())
                            && near(shift.tuned_logp, tuned[token].ln())
                    );
                    assert!(
                        near(shift.kl, kl(&tuned, &base))
                            && near(shift.reverse_kl, kl(&base, &tuned))
                    );
                    assert!(shift.kl > 1e-4, "two seeds are two models");
                }
            }
        }
        assert_eq!(found.next(), None);
    }

    #[test]
    fn a_model_has_not_moved_from_itself_whatever_the_number_of_threads() {
        let [base, tuned] = [1, 2].map(|seed| tiny(23).init(&Seed::root(seed), &Device::flex()));
        let compute = ComputeOptions::default();
        let same = BaseAndTuned { base: &base, tuned: &base }.shift(&texts(), 100, compute, |_| ());
        assert!(
            same.iter()
                .flatten()
                .all(|shift| shift.kl == 0.0 && shift.base_rank == shift.tuned_rank)
        );
        let on = |threads: usize| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            let models = BaseAndTuned { base: &base, tuned: &tuned };
            pool.install(|| models.shift(&texts(), 100, compute, |_| ()))
        };
        assert_eq!(on(1), on(3));
    }
}
