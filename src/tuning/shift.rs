//! How far tuning moved the distribution over the next token (Lin et al. 2023, arXiv 2312.01552), answer by answer.

use burn::tensor::{DType, Tensor};
use rayon::prelude::*;

use super::{
    answered::{Answered, Savings, Scoring},
    likelihood::{groups, logits, scored_states},
};
use crate::{
    language::TokenShift,
    model::{Transformer, token_probabilities},
};

/// One model's logits where some tokens stand.
struct Seen {
    /// Row by row, each of the whole vocabulary.
    logits: Vec<f32>,
    /// Of the tokens, on the path of training.
    log_probabilities: Vec<f32>,
}

/// How each token of each answer stands in two models of one vocabulary, about `batch_tokens` tokens at a time; the
/// answers of all texts after each other. Each token's context is its own answer's beginning.
///
/// Ranks and divergences are formed on the CPU, row by row in float64, so that they do not depend on threads or chunks.
pub fn shift(
    base: &Transformer,
    tuned: &Transformer,
    answered: &[Answered],
    batch_tokens: usize,
    savings: Savings,
    mut progress: impl FnMut(usize),
) -> Vec<Vec<TokenShift>> {
    let mut found: Vec<Vec<Vec<TokenShift>>> = vec![Vec::new(); answered.len()];
    let mut done = 0;
    for group in groups(answered, batch_tokens) {
        let texts: Vec<Answered> = group.iter().map(|index| answered[*index].clone()).collect();
        // Windows and rotations may differ, so that each model lays the texts out for itself.
        let [before, after] = [base, tuned].map(|model| {
            let device = model.embedding.val().device();
            Scoring::new(&model.config, &texts, false, savings, &device)
        });
        let befores = logits(base, scored_states(base, &before), &before, savings.logits_at_once);
        let afters = logits(tuned, scored_states(tuned, &after), &after, savings.logits_at_once);
        let mut shifts = Vec::with_capacity(before.targets.len());
        for ((base_logits, targets), (tuned_logits, _)) in befores.zip(afters) {
            shifts.extend(compare(&Seen::new(base_logits, targets), &Seen::new(tuned_logits, targets), targets));
        }
        let mut by_answer = before.split(&shifts).into_iter();
        for index in &group {
            found[*index] = by_answer.by_ref().take(answered[*index].answers.len()).collect();
        }
        done += group.len();
        progress(done);
    }
    found.into_iter().flatten().collect()
}

impl Seen {
    fn new(logits: Tensor<2>, targets: &[i32]) -> Self {
        let log_probabilities = token_probabilities(logits.clone(), targets).log_probabilities;
        let logits = logits.cast(DType::F32).into_data().try_to_vec().expect("they were just cast to float32");
        Self { logits, log_probabilities }
    }
}

/// All rows, shared out among the threads.
fn compare(base: &Seen, tuned: &Seen, targets: &[i32]) -> Vec<TokenShift> {
    let vocabulary = base.logits.len() / targets.len();
    let of_row = |row: usize, token: &i32| {
        let [before, after] = [base, tuned].map(|seen| &seen.logits[row * vocabulary..(row + 1) * vocabulary]);
        let (kl, reverse_kl) = divergences(before, after);
        TokenShift {
            base_rank: rank(before, *token as usize),
            tuned_rank: rank(after, *token as usize),
            base_logp: base.log_probabilities[row],
            tuned_logp: tuned.log_probabilities[row],
            kl: kl as f32,
            reverse_kl: reverse_kl as f32,
        }
    };
    targets.par_iter().enumerate().map(|(row, token)| of_row(row, token)).collect()
}

/// A token's rank, from 1; tokens with equal logits share the best one.
fn rank(logits: &[f32], token: usize) -> u32 {
    1 + logits.iter().filter(|logit| **logit > logits[token]).count() as u32
}

/// The Kullback-Leibler divergences of the second distribution from the first and the other way round, in nats.
fn divergences(base: &[f32], tuned: &[f32]) -> (f64, f64) {
    let [base_norm, tuned_norm] = [base, tuned].map(|logits| {
        let highest = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        let highest = f64::from(highest);
        highest + logits.iter().map(|logit| (f64::from(*logit) - highest).exp()).sum::<f64>().ln()
    });
    let (mut kl, mut reverse_kl) = (0.0, 0.0);
    for (base, tuned) in base.iter().zip(tuned) {
        let (base, tuned) = (f64::from(*base) - base_norm, f64::from(*tuned) - tuned_norm);
        let apart = tuned - base;
        kl += tuned.exp() * apart;
        reverse_kl -= base.exp() * apart;
    }
    // Both are at least 0 but for rounding; comparisons would hide what is no number.
    (if kl < 0.0 { 0.0 } else { kl }, if reverse_kl < 0.0 { 0.0 } else { reverse_kl })
}

#[cfg(test)]
mod tests {
    use burn::tensor::{Device, Int, TensorData};

    use super::*;
    use crate::{
        seed::Seed,
        tuning::{likelihood::tests::texts, trainer::tests::tiny},
    };

    /// Worked out by hand: base (1/2, 1/4, 1/4), tuned (1/4, 1/2, 1/4).
    #[test]
    fn ranks_and_divergences_of_a_distribution_by_hand() {
        let base = [2f32.ln(), 0.0, 0.0];
        let tuned = [5.0, 5.0 + 2f32.ln(), 5.0];
        let expected = 0.25 * 2f64.ln();
        let (kl, reverse_kl) = divergences(&base, &tuned);
        assert!((kl - expected).abs() < 1e-7 && (reverse_kl - expected).abs() < 1e-7, "{kl} {reverse_kl}");
        assert_eq!([0, 1, 2].map(|token| rank(&base, token)), [1, 2, 2], "ties share the best rank");
        assert_eq!([0, 1, 2].map(|token| rank(&tuned, token)), [2, 1, 2]);
        let skewed = divergences(&[0.0, 0.0], &[9f32.ln(), 0.0]);
        assert!((skewed.0 - (0.9 * 1.8f64.ln() + 0.1 * 0.2f64.ln())).abs() < 1e-7, "{skewed:?}");
        assert!((skewed.1 - 0.5 * (25.0f64 / 9.0).ln()).abs() < 1e-7, "{skewed:?}");
        assert_eq!(divergences(&base, &base), (0.0, 0.0));
    }

    /// Logits where each token of an answer stands, by a model that reads this text only, in float64 from there on.
    fn alone(model: &Transformer, prompt: &[u32], answer: &[u32]) -> Vec<Vec<f64>> {
        let tokens: Vec<i32> = prompt.iter().chain(&answer[..answer.len() - 1]).map(|token| *token as i32).collect();
        let length = tokens.len();
        let tokens = Tensor::<2, Int>::from_data(TensorData::new(tokens, [1, length]), &Device::flex());
        let states = model.hidden(tokens).narrow(0, prompt.len() - 1, answer.len());
        let logits: Vec<f32> = model.logits(states).into_data().try_to_vec().unwrap();
        logits.chunks(model.config.vocab_size).map(|row| row.iter().map(|logit| f64::from(*logit)).collect()).collect()
    }

    fn softmax(logits: &[f64]) -> Vec<f64> {
        let sum: f64 = logits.iter().map(|logit| logit.exp()).sum();
        logits.iter().map(|logit| logit.exp() / sum).collect()
    }

    #[test]
    fn every_token_is_judged_in_the_context_of_its_own_answer() {
        let [base, tuned] = [1, 2].map(|seed| tiny(23).init(&Seed::root(seed), &Device::flex()));
        let found = shift(&base, &tuned, &texts(), 30, Savings { logits_at_once: 7, ..Savings::default() }, |_| ());
        let mut found = found.into_iter();
        for Answered { prompt, answers } in texts() {
            for answer in answers {
                let shifts = found.next().unwrap();
                assert_eq!(shifts.len(), answer.len());
                let rows = alone(&base, &prompt, &answer).into_iter().zip(alone(&tuned, &prompt, &answer));
                for ((shift, (base, tuned)), token) in shifts.iter().zip(rows).zip(&answer) {
                    let token = *token as usize;
                    let above = |logits: &[f64]| logits.iter().filter(|logit| **logit > logits[token]).count() as u32;
                    assert_eq!((shift.base_rank, shift.tuned_rank), (above(&base) + 1, above(&tuned) + 1));
                    let (base, tuned) = (softmax(&base), softmax(&tuned));
                    let kl = |one: &[f64], other: &[f64]| -> f64 {
                        one.iter().zip(other).map(|(one, other)| one * (one / other).ln()).sum()
                    };
                    let near = |found: f32, expected: f64| (f64::from(found) - expected).abs() < 1e-5;
                    assert!(near(shift.base_logp, base[token].ln()) && near(shift.tuned_logp, tuned[token].ln()));
                    assert!(near(shift.kl, kl(&tuned, &base)) && near(shift.reverse_kl, kl(&base, &tuned)));
                    assert!(shift.kl > 1e-4, "two seeds are two models");
                }
            }
        }
        assert_eq!(found.next(), None);
    }

    #[test]
    fn a_model_has_not_moved_from_itself_whatever_the_number_of_threads() {
        let [base, tuned] = [1, 2].map(|seed| tiny(23).init(&Seed::root(seed), &Device::flex()));
        let same = shift(&base, &base, &texts(), 100, Savings::default(), |_| ());
        assert!(same.iter().flatten().all(|shift| shift.kl == 0.0 && shift.base_rank == shift.tuned_rank));
        let on = |threads: usize| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| shift(&base, &tuned, &texts(), 100, Savings::default(), |_| ()))
        };
        assert_eq!(on(1), on(3));
    }
}
