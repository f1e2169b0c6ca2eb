//! Texts without padding, with the prompt of several completions computed once.
//!
//! Everything except attention works on single tokens, so the tokens of all texts are concatenated.
//! Only attention sees sequences. On the CPU it reads them where they are; elsewhere they are laid
//! out in groups of similar length, a prompt once per completion, but its keys, queries and values
//! are computed once.

use std::{ops::Range, sync::Arc};

use burn::tensor::{DType, Device, Int, Tensor, TensorData};

use super::{
    Block, ModelConfig, Transformer,
    attention::{ComposedPositions, attention},
    transformer::rms_norm,
};
use crate::model::{
    device::is_cpu,
    fused::{self, AttentionLayout, TextSpan},
    gather::{PADDING, RowGather},
};

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
    /// Where its prefix and each of its continuations are among the tokens, per text.
    texts: Arc<[TextSpan]>,
    sequences: Sequences,
}

/// How attention finds the texts.
enum Sequences {
    /// In place, on the CPU: with a full window and, where blocks have one, a sliding one.
    InPlace { full: Arc<AttentionLayout>, sliding: Option<Arc<AttentionLayout>> },
    /// Laid out, on other devices.
    LaidOut {
        groups: Vec<SequenceGroup>,
        /// Each token's output among those of the groups [tokens].
        places: Box<RowGather>,
    },
}

/// Sequences of similar length.
struct SequenceGroup {
    /// The token at each place [sequences * time].
    tokens: RowGather,
    positions: ComposedPositions,
}

/// A prefix with one of its continuations, as ranges of tokens.
struct Sequence {
    prefix: Range<usize>,
    continuation: Range<usize>,
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

    /// Appends the tokens; returns where prefix and continuations are.
    fn concatenate(&self, tokens: &mut Vec<i32>) -> TextSpan {
        let mut append = |part: &[u32]| {
            let begin = tokens.len();
            tokens.extend(part.iter().map(|token| *token as i32));
            begin..tokens.len()
        };
        let prefix = append(&self.prefix);
        TextSpan {
            prefix,
            continuations: self.continuations.iter().map(|part| append(part)).collect(),
        }
    }
}

impl Packed {
    /// Lays out texts; `by_length` groups sequences of similar length where they are laid out, else
    /// all are as long as the longest.
    pub fn new(
        config: &ModelConfig,
        texts: &[SharedPrefix],
        by_length: bool,
        device: &Device,
    ) -> Self {
        let mut tokens = Vec::new();
        let texts: Arc<[TextSpan]> =
            texts.iter().map(|text| text.concatenate(&mut tokens)).collect();
        // A layout would copy each token's states; the CPU needs no equal shapes.
        let sequences = if is_cpu(device) {
            Sequences::in_place(config, &texts)
        } else {
            // The tokens beyond the last are computed, but no place refers to them.
            let count = tokens.len();
            tokens.resize(count.next_multiple_of(TOKENS_STEP), 0);
            Sequences::laid_out(config, &texts, &tokens, by_length, device)
        };
        Self { tokens: integers(&tokens, device), texts, sequences }
    }

    /// The token whose state predicts a token of a continuation.
    pub fn predictor(&self, text: usize, continuation: usize, place: usize) -> usize {
        let TextSpan { prefix, continuations } = &self.texts[text];
        match place {
            0 => prefix.end - 1,
            _ => continuations[continuation].start + place - 1,
        }
    }

    /// The token whose state predicts a token of the prefix, from its second on.
    pub fn predictor_in_prefix(&self, text: usize, place: usize) -> usize {
        self.texts[text].prefix.start + place - 1
    }
}

impl Sequences {
    fn in_place(config: &ModelConfig, texts: &Arc<[TextSpan]>) -> Self {
        let positions = texts.iter().map(TextSpan::positions).max().unwrap_or(0);
        let full = AttentionLayout {
            heads: config.heads(positions),
            window: usize::MAX,
            texts: texts.clone(),
        };
        let sliding = config.sliding_window.as_ref();
        let sliding = sliding
            .map(|window| Arc::new(AttentionLayout { window: window.length, ..full.clone() }));
        Self::InPlace { full: Arc::new(full), sliding }
    }

    fn laid_out(
        config: &ModelConfig,
        texts: &[TextSpan],
        tokens: &[i32],
        by_length: bool,
        device: &Device,
    ) -> Self {
        let sequences: Vec<Sequence> = texts.iter().flat_map(Sequence::all).collect();
        let mut places = vec![PADDING; tokens.len()];
        let mut groups = Vec::new();
        let mut reached = 0;
        for group in if by_length { similar(sequences) } else { vec![sequences] } {
            let longest = group.iter().map(Sequence::length).max().unwrap_or(0);
            let time = longest.next_multiple_of(TIME_STEP);
            let mut at = Vec::with_capacity(group.len() * time);
            for sequence in &group {
                let all = sequence.prefix.clone().chain(sequence.continuation.clone());
                for token in all {
                    // A prefix has a place beside each of its continuations. Its states are the
                    // same at all of them, so the last one will do.
                    places[token] = (reached + at.len()) as i32;
                    at.push(token as i32);
                }
                // Padding comes after all tokens of the sequence, and no token sees later ones.
                at.resize(at.len().next_multiple_of(time), PADDING);
            }
            reached += at.len();
            let positions = ComposedPositions::new(config, 0, time, device);
            let tokens = RowGather::new(&at, tokens.len(), device);
            groups.push(SequenceGroup { tokens, positions });
        }
        Self::LaidOut { groups, places: Box::new(RowGather::new(&places, reached, device)) }
    }
}

impl Sequence {
    /// The prefix of a text with each of its continuations, or alone.
    fn all(text: &TextSpan) -> Vec<Self> {
        let TextSpan { prefix, continuations } = text;
        if continuations.is_empty() {
            return vec![Self { prefix: prefix.clone(), continuation: prefix.end..prefix.end }];
        }
        let all = continuations.iter().cloned();
        all.map(|continuation| Self { prefix: prefix.clone(), continuation }).collect()
    }

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
        let mixed = match &packed.sequences {
            Sequences::InPlace { full, sliding } => {
                let layout = sliding.as_ref().filter(|_| self.has_window).unwrap_or(full);
                let projected = self.with_normed_heads(projected, config);
                let format = projected.dtype();
                fused::attend(projected.cast(DType::F32), layout.clone()).cast(format)
            }
            Sequences::LaidOut { groups, places } => {
                let mixed = groups.iter().map(|group| {
                    let laid_out = group.tokens.rows(projected.clone());
                    let (query, keys_and_values) = self.heads(laid_out, config, &group.positions);
                    let mask = group.positions.mask(self.has_window);
                    attention(query, keys_and_values, config.num_attention_heads, mask)
                });
                places.rows(Tensor::cat(mixed.collect(), 0))
            }
        };
        self.feed_forward(states + self.attention_output.forward(mixed), config)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        model::architecture::config::tests::{one_of_each, tiny},
        seed::Seed,
    };

    /// A text of tokens below 32.
    fn text(prefix: Range<u32>, continuations: &[Range<u32>]) -> SharedPrefix {
        let tokens = |range: &Range<u32>| range.clone().map(|token| token % 32).collect();
        SharedPrefix {
            prefix: tokens(&prefix),
            continuations: continuations.iter().map(tokens).collect(),
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
        let (texts, device) = (several(), Device::flex());
        let packed = Packed::new(&tiny(), &texts, true, &device);
        assert_eq!(packed.tokens.dims(), [texts.iter().map(SharedPrefix::tokens).sum::<usize>()]);
        let needed: usize = texts
            .iter()
            .flat_map(|text| text.continuations.iter().map(|continuation| 200 + continuation.len()))
            .sum();
        let Sequences::LaidOut { groups, .. } = laid_out(&tiny(), &packed, &device).sequences
        else {
            panic!("they are laid out")
        };
        let places: usize = groups.iter().map(|group| group.tokens.count()).sum();
        assert!(4 * places < 5 * needed, "{places} places for {needed}");
    }

    fn several() -> Vec<SharedPrefix> {
        (0..20).map(|size| text(0..200, &[0..10 * size, 0..300 - 10 * size])).collect()
    }

    /// The same texts as devices other than the CPU have them.
    fn laid_out(config: &ModelConfig, packed: &Packed, device: &Device) -> Packed {
        let tokens: Vec<i32> = packed.tokens.to_data().try_to_vec().unwrap();
        Packed {
            tokens: packed.tokens.clone(),
            texts: packed.texts.clone(),
            sequences: Sequences::laid_out(config, &packed.texts, &tokens, true, device),
        }
    }

    /// States, and the gradients by all parameters of the first block.
    fn states_and_gradients(model: &Transformer, packed: &Packed) -> Vec<Vec<f32>> {
        let states = model.states(packed);
        let weights = Tensor::from_data(
            TensorData::new(
                (0..states.shape().num_elements())
                    .map(|index| ((index * 7919) % 31) as f32 / 15.0 - 1.0)
                    .collect(),
                states.dims(),
            ),
            &states.device(),
        );
        let gradients = (states.clone() * weights).sum().backward();
        let block = &model.blocks[0];
        let mut found = vec![states.into_data().try_to_vec().unwrap()];
        for linear in [&block.query_key_value, &block.attention_output, &block.gate_up] {
            let gradient = linear.weight.grad(&gradients).unwrap();
            found.push(gradient.into_data().try_to_vec().unwrap());
        }
        for norm in block.query_key_norms.iter().flatten().chain([&block.attention_norm]) {
            found.push(norm.grad(&gradients).unwrap().into_data().try_to_vec().unwrap());
        }
        found
    }

    #[test]
    fn attention_in_place_and_laid_out_have_the_same_states_and_gradients() {
        let device = Device::flex().autodiff();
        for config in one_of_each() {
            let model = config.init(&Seed::root(3), &device);
            // The last one has several blocks of queries.
            let texts =
                [text(3..9, &[1..4, 2..7]), text(1..2, &[]), text(0..70, &[0..0, 0..150, 3..9])];
            let packed = Packed::new(&config, &texts, true, &device);
            let found = states_and_gradients(&model, &packed);
            let expected = states_and_gradients(&model, &laid_out(&config, &packed, &device));
            assert_eq!(found.len(), expected.len());
            for (found, expected) in found.iter().zip(&expected) {
                let largest = expected.iter().fold(0.0, |most: f32, value| most.max(value.abs()));
                let near = |(one, other): (&f32, &f32)| (one - other).abs() < 2e-5 * largest;
                assert!(largest > 0.0 && found.iter().zip(expected).all(near));
            }
        }
    }
}
