//! Tokenized prompts with completions, laid out for one pass through the model, and which tokens
//! are scored.

use burn::tensor::{Device, Tensor};

use crate::model::{ModelConfig, Packed, RowGather, SharedPrefix};

/// A prompt with completions, in tokens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenizedExample {
    /// Tokens of the prompt; at least one.
    pub prompt: Vec<u32>,
    /// Tokens of each completion, EOS included; an empty completion has no scored token.
    pub completions: Vec<Vec<u32>>,
}

/// Bytes of logits that are in memory at once, by default (256 MiB).
pub const LOGITS_BYTES: usize = 1 << 28;

/// Options that save time or memory. They change at most the last digits of results.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ComputeOptions {
    /// Compute the prompt of several completions once.
    pub share_prompts: bool,
    /// Group sequences of similar length in attention.
    pub sort_by_length: bool,
    /// Bytes of the float32 logits over the vocabulary that are in memory at once.
    pub logits_bytes: usize,
}

/// Texts with their scored tokens: those of each completion, then those of the prompt if requested.
pub(super) struct Scoring {
    pub packed: Packed,
    /// `[scored tokens]`: index of the state that predicts each of them.
    pub predictors: Vec<i32>,
    /// `[scored tokens]`: their ids.
    pub targets: Vec<i32>,
    /// Number of scored tokens per completion (or prompt).
    pub lengths: Vec<usize>,
}

/// Where a completion lies among the packed texts.
#[derive(Clone, Copy)]
struct TextIndex {
    text: usize,
    continuation: usize,
}

impl Default for ComputeOptions {
    fn default() -> Self {
        Self { share_prompts: true, sort_by_length: true, logits_bytes: LOGITS_BYTES }
    }
}

impl ComputeOptions {
    /// Number of tokens whose logits are in memory at once, out of all; at least one.
    pub(super) fn logits_at_once(&self, tokens: usize, vocab_size: usize) -> usize {
        let most = (self.logits_bytes / (size_of::<f32>() * vocab_size)).max(1);
        // Pieces of equal size: the CPU sums products of up to 256 numbers in another order.
        tokens.div_ceil(tokens.div_ceil(most).max(1)).max(1)
    }
}

/// The tokens of a completion that the model reads: all but the last, which is only predicted.
fn read(answer: &[u32]) -> &[u32] {
    answer.split_last().map_or(&[], |(_, read)| read)
}

impl TokenizedExample {
    /// Length in tokens of the longest prompt plus completion that the model reads, without the
    /// completion's last token.
    pub fn length(&self) -> usize {
        self.prompt.len()
            + self.completions.iter().map(|answer| read(answer).len()).max().unwrap_or(0)
    }

    /// Tokens that the model reads, with the prompt counted once per completion.
    pub fn tokens(&self) -> usize {
        self.completions.iter().map(|answer| self.prompt.len() + read(answer).len()).sum()
    }
}

impl TokenizedExample {
    /// Tokens that the model computes; `share`: the prompt of several completions once.
    pub(super) fn computed_tokens(&self, share: bool) -> usize {
        shared_prefixes(self, share).iter().map(SharedPrefix::tokens).sum()
    }
}

impl Scoring {
    /// Lays out prompts with completions; `prompts`: whether to score prompts too, except their
    /// first token.
    pub(super) fn new<'a>(
        config: &ModelConfig,
        examples: impl IntoIterator<Item = &'a TokenizedExample>,
        prompts: bool,
        compute: ComputeOptions,
        device: &Device,
    ) -> Self {
        let mut texts = Vec::new();
        let mut places = Vec::new();
        for example in examples {
            places.push((texts.len(), example));
            texts.extend(shared_prefixes(example, compute.share_prompts));
        }
        let mut found = Self {
            packed: Packed::new(config, &texts, compute.sort_by_length, device),
            predictors: Vec::new(),
            targets: Vec::new(),
            lengths: Vec::new(),
        };
        for (first, TokenizedExample { prompt, completions }) in places {
            for (number, completion) in completions.iter().enumerate() {
                let place = if compute.share_prompts {
                    TextIndex { text: first, continuation: number }
                } else {
                    TextIndex { text: first + number, continuation: 0 }
                };
                found.add_completion(place, completion);
            }
            if prompts {
                found.add_prompt(first, prompt);
            }
        }
        found
    }

    fn add_completion(&mut self, place: TextIndex, tokens: &[u32]) {
        let TextIndex { text, continuation } = place;
        // Also the last token, which is predicted but never read.
        let places = 0..tokens.len();
        let predictors =
            places.map(|place| self.packed.predictor(text, continuation, place) as i32);
        self.predictors.extend(predictors);
        self.add_targets(tokens);
    }

    fn add_prompt(&mut self, text: usize, prompt: &[u32]) {
        // Nothing predicts the first token.
        let places = 1..prompt.len();
        let predictors = places.map(|place| self.packed.predictor_in_prefix(text, place) as i32);
        self.predictors.extend(predictors);
        self.add_targets(prompt.get(1..).unwrap_or_default());
    }

    fn add_targets(&mut self, tokens: &[u32]) {
        self.lengths.push(tokens.len());
        self.targets.extend(tokens.iter().map(|token| *token as i32));
    }

    /// The states that predict the scored tokens, among those of all tokens.
    ///
    /// # Shapes
    /// From `[tokens, hidden]` to `[scored tokens, hidden]`
    pub(super) fn predicting(&self, states: Tensor<2>) -> Tensor<2> {
        let ([tokens, _], device) = (states.dims(), states.device());
        RowGather::new(&self.predictors, tokens, &device).rows(states)
    }

    /// Splits values of all scored tokens.
    ///
    /// # Shapes
    /// From `[scored tokens]` to one list per completion (or prompt).
    pub(super) fn split<T: Clone>(&self, values: &[T]) -> Vec<Vec<T>> {
        let mut found = Vec::with_capacity(self.lengths.len());
        let mut rest = values;
        for length in &self.lengths {
            let (first, others) = rest.split_at(*length);
            found.push(first.to_vec());
            rest = others;
        }
        found
    }
}

/// The texts of a prompt with its completions: one, or one per completion.
fn shared_prefixes(example: &TokenizedExample, share: bool) -> Vec<SharedPrefix> {
    let continuations: Vec<Vec<u32>> =
        example.completions.iter().map(|completion| read(completion).to_vec()).collect();
    if share {
        return vec![SharedPrefix { prefix: example.prompt.clone(), continuations }];
    }
    continuations
        .into_iter()
        .map(|continuation| SharedPrefix {
            prefix: example.prompt.clone(),
            continuations: vec![continuation],
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        seed::Seed,
        tuning::{likelihood::log_probabilities, test_support::tiny},
    };

    /// An empty completion costs nothing and changes nothing for its neighbours.
    #[test]
    fn answers_without_tokens_are_scored_as_nothing() {
        let model = tiny(23).init(&Seed::root(1), &Device::flex());
        let scored = |answers: &[&[u32]], compute| {
            let examples = TokenizedExample {
                prompt: vec![1, 2, 3],
                completions: answers.iter().map(|all| all.to_vec()).collect(),
            };
            log_probabilities(&model, &[examples], 100, compute, |_| ()).remove(0)
        };
        for share_prompts in [true, false] {
            let compute = ComputeOptions { share_prompts, ..ComputeOptions::default() };
            let with = scored(&[&[], &[4, 5]], compute);
            let alone = scored(&[&[4, 5]], compute);
            assert_eq!((with[0].len(), with[1].len()), (0, 2));
            assert!(with[1].iter().zip(&alone[0]).all(|(one, other)| (one - other).abs() < 1e-5));
        }
        let none = TokenizedExample { prompt: vec![1, 2], completions: vec![Vec::new()] };
        assert_eq!((none.length(), none.tokens()), (2, 2));
        assert_eq!(scored(&[&[], &[]], ComputeOptions::default()), [Vec::<f32>::new(), Vec::new()]);
    }
}
