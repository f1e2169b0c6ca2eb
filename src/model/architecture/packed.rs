//! Texts without padding, with the prompt of several completions computed once.
//!
//! Everything except attention works on single tokens, so the tokens of all texts are concatenated.
//! Only attention sees sequences, in groups of similar length. A prompt is laid out once per
//! completion, but its keys, queries and values are computed once.

use burn::tensor::{Device, Int, Tensor, TensorData};

use super::{
    Block, ModelConfig, Transformer,
    attention::{Positions, attention},
    transformer::rms_norm,
};
use crate::model::device::is_cpu;

/// A prefix with several continuations.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SharedPrefix {
    /// Tokens of the prefix; at least one.
    pub prefix: Vec<u32>,
    /// Continuations, each seen with the prefix only; empty where the prefix is the whole text.
    pub continuations: Vec<Vec<u32>>,
}

/// Texts in the layout of one pass through the model.
pub struct Packed {
    /// [tokens]
    pub tokens: Tensor<1, Int>,
    groups: Vec<SequenceGroup>,
    /// Index of each token's output among those of the groups [tokens].
    places: Tensor<1, Int>,
    /// Per text: where its prefix and each of its continuations begin among the tokens.
    starts: Vec<(usize, Vec<usize>)>,
}

/// Sequences of similar length.
struct SequenceGroup {
    /// Index of the token at each place [sequences * time]; the last one repeated as padding.
    tokens: Tensor<1, Int>,
    positions: Positions,
}

/// A prefix with one of its continuations, as ranges of tokens.
struct Sequence {
    prefix: std::ops::Range<usize>,
    continuation: std::ops::Range<usize>,
}

/// Share of padding in a group above which it is split.
const MOST_LEFT_OVER: f64 = 0.2;
/// Smaller groups cost more in overhead than padding does.
const LEAST_SEQUENCES: usize = 4;
/// Other devices than the CPU compile and tune each new shape: lengths are rounded up to multiples
/// of these.
const TOKENS_STEP: usize = 128;
const TIME_STEP: usize = 32;

impl SharedPrefix {
    /// Tokens that the model computes.
    pub fn tokens(&self) -> usize {
        self.prefix.len() + self.continuations.iter().map(Vec::len).sum::<usize>()
    }

    /// Appends the tokens, and the sequences that attention sees of them; returns where prefix and
    /// continuations begin.
    fn concatenate(
        &self,
        tokens: &mut Vec<i32>,
        sequences: &mut Vec<Sequence>,
    ) -> (usize, Vec<usize>) {
        let begin = tokens.len();
        tokens.extend(self.prefix.iter().map(|token| *token as i32));
        let prefix = begin..tokens.len();
        let mut continuations = Vec::new();
        for continuation in &self.continuations {
            continuations.push(tokens.len());
            tokens.extend(continuation.iter().map(|token| *token as i32));
            sequences.push(Sequence {
                prefix: prefix.clone(),
                continuation: tokens.len() - continuation.len()..tokens.len(),
            });
        }
        if continuations.is_empty() {
            sequences.push(Sequence { continuation: prefix.end..prefix.end, prefix });
        }
        (begin, continuations)
    }
}

impl Packed {
    /// Lays out texts; `by_length` groups sequences of similar length, else all are as long as the
    /// longest.
    pub fn new(
        config: &ModelConfig,
        texts: &[SharedPrefix],
        by_length: bool,
        device: &Device,
    ) -> Self {
        let (mut tokens, mut starts, mut sequences) = (Vec::new(), Vec::new(), Vec::new());
        for text in texts {
            starts.push(text.concatenate(&mut tokens, &mut sequences));
        }
        let (tokens_step, time_step) =
            if is_cpu(device) { (1, 1) } else { (TOKENS_STEP, TIME_STEP) };
        let mut places = vec![0i32; tokens.len()];
        let mut groups = Vec::new();
        let mut reached = 0;
        for group in if by_length { similar(sequences) } else { vec![sequences] } {
            let longest = group.iter().map(Sequence::length).max().unwrap_or(0);
            let time = longest.next_multiple_of(time_step);
            let mut at = Vec::with_capacity(group.len() * time);
            for sequence in &group {
                let all = sequence.prefix.clone().chain(sequence.continuation.clone());
                for (place, token) in all.enumerate() {
                    // A prefix has a place beside each of its continuations. Its states are the
                    // same at all of them, so the last one will do.
                    places[token] = (reached + at.len()) as i32;
                    debug_assert_eq!(at.len() % time, place);
                    at.push(token as i32);
                }
                // Padding comes after all tokens of the sequence, and no token sees later ones.
                let last = *at.last().expect("a prefix has a token");
                at.resize(at.len().next_multiple_of(time), last);
            }
            reached += at.len();
            let positions = Positions::new(config, 0, time, device);
            groups.push(SequenceGroup { tokens: integers(&at, device), positions });
        }
        // The tokens beyond the last are computed, but no place refers to them.
        let rounded = tokens.len().next_multiple_of(tokens_step);
        tokens.resize(rounded, 0);
        places.resize(rounded, 0);
        Self {
            tokens: integers(&tokens, device),
            groups,
            places: integers(&places, device),
            starts,
        }
    }

    /// The token whose state predicts a token of a continuation.
    pub fn predictor(&self, text: usize, continuation: usize, place: usize) -> usize {
        let (begin, continuations) = &self.starts[text];
        match place {
            // The prefix ends where the first continuation begins.
            0 => continuations.first().map_or(*begin, |first| first - 1),
            _ => continuations[continuation] + place - 1,
        }
    }

    /// The token whose state predicts a token of the prefix, from its second on.
    pub fn predictor_in_prefix(&self, text: usize, place: usize) -> usize {
        self.starts[text].0 + place - 1
    }

    /// Places that attention computes.
    pub fn places(&self) -> usize {
        self.groups.iter().map(|group| group.tokens.dims()[0]).sum()
    }
}

impl Sequence {
    fn length(&self) -> usize {
        self.prefix.len() + self.continuation.len()
    }
}

/// Sequences by length, in groups of which little is left over; depends on nothing but the lengths.
fn similar(mut sequences: Vec<Sequence>) -> Vec<Vec<Sequence>> {
    // Stable, so that equal texts are computed in the same order everywhere.
    sequences.sort_by_key(Sequence::length);
    let mut groups: Vec<Vec<Sequence>> = Vec::new();
    let mut taken = 0;
    for sequence in sequences {
        let length = sequence.length();
        match groups.last_mut() {
            Some(group) if stays_full(group.len() + 1, taken + length, length) => {
                group.push(sequence);
                taken += length;
            }
            _ => {
                groups.push(vec![sequence]);
                taken = length;
            }
        }
    }
    groups
}

/// Whether sequences of at most this length with this many tokens in all leave little padding.
fn stays_full(sequences: usize, tokens: usize, longest: usize) -> bool {
    sequences <= LEAST_SEQUENCES
        || tokens as f64 >= (1.0 - MOST_LEFT_OVER) * (sequences * longest) as f64
}

fn integers(values: &[i32], device: &Device) -> Tensor<1, Int> {
    Tensor::from_data(TensorData::new(values.to_vec(), [values.len()]), device)
}

impl Transformer {
    /// The states after the last norm, of each token of the texts [tokens, hidden].
    pub fn states(&self, packed: &Packed) -> Tensor<2> {
        let states = self.blocks.iter().fold(self.embed(packed.tokens.clone()), |states, block| {
            block.forward(states, &self.config, packed)
        });
        self.last_norm(states)
    }
}

impl Block {
    /// The states after the block [tokens, hidden].
    pub fn forward(&self, states: Tensor<2>, config: &ModelConfig, packed: &Packed) -> Tensor<2> {
        let normed = rms_norm(states.clone(), &self.attention_norm, config.rms_norm_eps);
        let projected = self.query_key_value.forward(normed);
        let mixed = packed.groups.iter().map(|group| {
            let laid_out = projected.clone().select(0, group.tokens.clone());
            let (query, keys_and_values) = self.heads(laid_out, config, &group.positions);
            let mask = group.positions.mask(self.has_window);
            attention(query, keys_and_values, config.num_attention_heads, mask)
        });
        let mixed = Tensor::cat(mixed.collect(), 0).select(0, packed.places.clone());
        self.feed_forward(states + self.attention_output.forward(mixed), config)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{model::architecture::config::tests::tiny, seed::Seed};

    fn text(prefix: std::ops::Range<u32>, continuations: &[std::ops::Range<u32>]) -> SharedPrefix {
        SharedPrefix {
            prefix: prefix.collect(),
            continuations: continuations
                .iter()
                .map(|continuation| continuation.clone().collect())
                .collect(),
        }
    }

    #[test]
    fn every_token_has_the_state_that_it_has_alone() {
        let (config, device) = (tiny(), Device::flex());
        let model = config.init(&Seed::root(4), &device);
        let texts = [
            text(1..6, &[7..9, 3..12]),
            text(2..4, &[]),
            text(9..10, &[1..2, 4..9]),
            text(1..14, &[2..4, 3..4]),
        ];
        let packed = Packed::new(&config, &texts, true, &device);
        let states = model.states(&packed);
        let state = |token: usize| {
            states.clone().slice([token..token + 1, 0..config.hidden_size]).into_data()
        };
        for (number, text) in texts.iter().enumerate() {
            let continuations = if text.continuations.is_empty() {
                vec![Vec::new()]
            } else {
                text.continuations.clone()
            };
            for (continuation, tokens) in continuations.iter().enumerate() {
                let alone = SharedPrefix {
                    prefix: [text.prefix.clone(), tokens.clone()].concat(),
                    continuations: Vec::new(),
                };
                let alone = model.states(&Packed::new(&config, &[alone], false, &device));
                for place in 1..=tokens.len() {
                    let expected = alone.clone().narrow(0, text.prefix.len() + place - 2, 1);
                    let found: Vec<f32> = state(packed.predictor(number, continuation, place - 1))
                        .try_to_vec()
                        .unwrap();
                    let expected: Vec<f32> = expected.into_data().try_to_vec().unwrap();
                    let near = |(one, other): (&f32, &f32)| (one - other).abs() < 1e-5;
                    assert!(
                        found.iter().zip(&expected).all(near),
                        "text {number}, continuation {continuation}, token {place}"
                    );
                }
            }
        }
    }

    #[test]
    fn a_stem_is_computed_once_and_little_is_left_over() {
        let texts: Vec<SharedPrefix> =
            (0..20).map(|size| text(0..20, &[0..5 + size, 0..30 - size])).collect();
        let packed = Packed::new(&tiny(), &texts, true, &Device::flex());
        assert_eq!(packed.tokens.dims(), [texts.iter().map(SharedPrefix::tokens).sum::<usize>()]);
        let needed: usize = texts
            .iter()
            .flat_map(|text| text.continuations.iter().map(|continuation| 20 + continuation.len()))
            .sum();
        assert!(4 * packed.places() < 5 * needed, "{} places for {needed}", packed.places());
    }
}
