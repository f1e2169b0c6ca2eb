//! The tokens that begin the answers True and False.

use std::collections::BTreeSet;

use super::error::JudgeError;
use crate::model::Tokenizer;

/// Spellings of both answers, each with and without a space before it: which one a model writes
/// follows from its tokenizer, its template and what it was trained on.
const SPELLINGS: [[&str; 6]; 2] = [
    [" True", "True", " true", "true", " TRUE", "TRUE"],
    [" False", "False", " false", "false", " FALSE", "FALSE"],
];

/// The first tokens of both answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct AnswerTokens {
    /// Those of True, then those of False.
    pub all: Vec<u32>,
    /// Number of those of True.
    pub true_count: usize,
}

impl AnswerTokens {
    /// The first tokens of all spellings, without those that both answers begin with.
    pub(super) fn new(tokenizer: &Tokenizer) -> Result<Self, JudgeError> {
        let mut first = [BTreeSet::new(), BTreeSet::new()];
        for (tokens, spellings) in first.iter_mut().zip(SPELLINGS) {
            for spelling in spellings {
                tokens.extend(tokenizer.encode_continuation(spelling)?.first().copied());
            }
        }
        let [of_true, of_false] = first;
        let own: Vec<u32> = of_true.difference(&of_false).copied().collect();
        let other: Vec<u32> = of_false.difference(&of_true).copied().collect();
        if own.is_empty() || other.is_empty() {
            return Err(JudgeError::SameTokens);
        }
        Ok(Self { true_count: own.len(), all: [own, other].concat() })
    }

    /// The log-odds of True against False by the logits of all tokens, in nats: the vocabulary's
    /// normaliser is the same in both.
    pub(super) fn log_odds(&self, logits: &[f32]) -> f64 {
        let (of_true, of_false) = logits.split_at(self.true_count);
        log_sum(of_true) - log_sum(of_false)
    }
}

/// Logarithm of a sum of exponentials.
fn log_sum(logits: &[f32]) -> f64 {
    // Without the largest logit taken out, the exponentials could overflow.
    let largest = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let sum: f64 = logits.iter().map(|logit| f64::from(logit - largest).exp()).sum();
    f64::from(largest) + sum.ln()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn log_odds_compare_the_sums_of_probabilities() {
        let tokens = AnswerTokens { all: vec![1, 2, 3], true_count: 2 };
        // Probabilities in the ratio 2 + 3 : 10.
        let logits = [2f32.ln() + 50.0, 3f32.ln() + 50.0, 10f32.ln() + 50.0];
        assert!((tokens.log_odds(&logits) - 0.5f64.ln()).abs() < 1e-5);
        assert!(tokens.log_odds(&[f32::NAN, 0.0, 0.0]).is_nan());
    }

    #[test]
    fn tokens_that_both_answers_begin_with_do_not_count() {
        let tokenizer = Tokenizer::train(["True False true false"; 9].into_iter(), 300).unwrap();
        let found = AnswerTokens::new(&tokenizer).unwrap();
        let space = tokenizer.encode_continuation(" ").unwrap();
        assert!(!found.all.contains(&space[0]));
        let distinct: BTreeSet<_> = found.all.iter().collect();
        assert_eq!(distinct.len(), found.all.len());
        let first = |text| tokenizer.encode_continuation(text).unwrap()[0];
        assert!(found.all[..found.true_count].contains(&first("True")));
        assert!(found.all[found.true_count..].contains(&first("False")));
    }
}
