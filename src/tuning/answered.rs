//! Prompts with their answers as a pass through the model sees them, and which of their tokens are scored.

use burn::tensor::Device;

use crate::model::{ModelConfig, Packed, Text};

/// A prompt with answers to it, in tokens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answered {
    /// What is given; at least one token.
    pub prompt: Vec<u32>,
    /// What is learnt or scored, each with its end token; of an answer without tokens nothing is scored.
    pub answers: Vec<Vec<u32>>,
}

/// What spares work; none of it changes more than the last digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Savings {
    /// What answers to one prompt share is computed once.
    pub share_prompts: bool,
    /// Attention lays out sequences of similar length together.
    pub sort_by_length: bool,
    /// Logits of the whole vocabulary are never there for more than so many tokens at once.
    pub logits_at_once: usize,
}

/// Texts with the tokens that are scored: those of each answer, and where it was asked for, those of the prompt after it.
pub(super) struct Scoring {
    pub packed: Packed,
    /// For each scored token: which state predicts it.
    pub predictors: Vec<i32>,
    /// For each scored token: what it is.
    pub targets: Vec<i32>,
    /// How many tokens are scored in each answer (or prompt).
    pub lengths: Vec<usize>,
}

impl Default for Savings {
    fn default() -> Self {
        Self { share_prompts: true, sort_by_length: true, logits_at_once: 4096 }
    }
}

/// What a model reads of an answer: its last token is only predicted.
fn read(answer: &[u32]) -> &[u32] {
    answer.split_last().map_or(&[], |(_, read)| read)
}

impl Answered {
    /// Tokens of the longest prompt with answer that the model reads; the last one of an answer is only predicted.
    pub fn length(&self) -> usize {
        self.prompt.len() + self.answers.iter().map(|answer| read(answer).len()).max().unwrap_or(0)
    }

    /// Tokens that the model reads, the prompt once for each answer.
    pub fn tokens(&self) -> usize {
        self.answers.iter().map(|answer| self.prompt.len() + read(answer).len()).sum()
    }
}

impl Scoring {
    /// Lays out prompts with their answers; `prompts`: whether their tokens are scored too, but the first.
    pub(super) fn new(
        config: &ModelConfig,
        answered: &[Answered],
        prompts: bool,
        savings: Savings,
        device: &Device,
    ) -> Self {
        let mut texts = Vec::new();
        let mut scored: Vec<(usize, usize, &[u32])> = Vec::new();
        let mut stems = Vec::new();
        for Answered { prompt, answers } in answered {
            let read = answers.iter().map(|answer| read(answer).to_vec());
            let first = texts.len();
            if savings.share_prompts {
                texts.push(Text { stem: prompt.clone(), branches: read.collect() });
            } else {
                texts.extend(read.map(|branch| Text { stem: prompt.clone(), branches: vec![branch] }));
            }
            for (number, answer) in answers.iter().enumerate() {
                let (text, branch) = if savings.share_prompts { (first, number) } else { (first + number, 0) };
                scored.push((text, branch, answer));
            }
            stems.push((scored.len(), first, prompt));
        }
        let packed = Packed::new(config, &texts, savings.sort_by_length, device);
        let mut found = Self { packed, predictors: Vec::new(), targets: Vec::new(), lengths: Vec::new() };
        let mut done = 0;
        for (end, first, prompt) in stems {
            for (text, branch, answer) in &scored[done..end] {
                let predictor = |place| found.packed.predictor(*text, *branch, place) as i32;
                let predictors: Vec<i32> = (0..answer.len()).map(predictor).collect();
                found.add(predictors, answer);
            }
            if prompts {
                let predictor = |place| found.packed.predictor_in_stem(first, place) as i32;
                let predictors: Vec<i32> = (1..prompt.len()).map(predictor).collect();
                found.add(predictors, prompt.get(1..).unwrap_or_default());
            }
            done = end;
        }
        found
    }

    fn add(&mut self, predictors: Vec<i32>, tokens: &[u32]) {
        self.lengths.push(tokens.len());
        self.predictors.extend(predictors);
        self.targets.extend(tokens.iter().map(|token| *token as i32));
    }

    /// One list a scored answer (or prompt), from one list for all.
    pub(super) fn split<T: Clone>(&self, values: &[T]) -> Vec<Vec<T>> {
        let mut rest = values;
        let mut take = |length: &usize| {
            let (first, others) = rest.split_at(*length);
            rest = others;
            first.to_vec()
        };
        self.lengths.iter().map(&mut take).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        seed::Seed,
        tuning::{likelihood::log_probabilities, trainer::tests::tiny},
    };

    /// An answer without tokens costs nothing and changes nothing for its neighbours.
    #[test]
    fn answers_without_tokens_are_scored_as_nothing() {
        let model = tiny(23).init(&Seed::root(1), &Device::flex());
        let scored = |answers: &[&[u32]], savings| {
            let answered =
                Answered { prompt: vec![1, 2, 3], answers: answers.iter().map(|all| all.to_vec()).collect() };
            log_probabilities(&model, &[answered], 100, savings, |_| ()).remove(0)
        };
        for share_prompts in [true, false] {
            let savings = Savings { share_prompts, ..Savings::default() };
            let with = scored(&[&[], &[4, 5]], savings);
            let alone = scored(&[&[4, 5]], savings);
            assert_eq!((with[0].len(), with[1].len()), (0, 2));
            assert!(with[1].iter().zip(&alone[0]).all(|(one, other)| (one - other).abs() < 1e-5));
        }
        let none = Answered { prompt: vec![1, 2], answers: vec![Vec::new()] };
        assert_eq!((none.length(), none.tokens()), (2, 2));
        assert_eq!(scored(&[&[], &[]], Savings::default()), [Vec::<f32>::new(), Vec::new()]);
    }
}
