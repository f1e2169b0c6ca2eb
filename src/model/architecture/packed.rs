//! Texts side by side without padding, and what two answers to one prompt share computed once.
//!
//! Everything but attention looks at one token at a time, so that all tokens of all texts lie below each other. Only for
//! attention are they laid out as sequences, in groups of similar length; a prompt is laid out once for each answer, but
//! its keys, queries and values are computed once.

use burn::tensor::{Device, Int, Tensor, TensorData};

use super::{
    Block, ModelConfig, Transformer,
    attention::{Positions, attention},
    transformer::rms_norm,
};
use crate::model::device::is_cpu;

/// A text that may go on in several ways.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Text {
    /// The beginning that all share; at least one token.
    pub stem: Vec<u32>,
    /// The ways in which it goes on, each seen together with the stem only; none where there is only one way.
    pub branches: Vec<Vec<u32>>,
}

/// Texts as one pass through the model sees them.
pub struct Packed {
    /// [tokens]
    pub tokens: Tensor<1, Int>,
    groups: Vec<Group>,
    /// Where each token's output lies among those of the groups [tokens].
    places: Tensor<1, Int>,
    /// For each text: where its stem and each of its branches begin among the tokens.
    starts: Vec<(usize, Vec<usize>)>,
}

/// Sequences of similar length.
struct Group {
    /// Which token stands at each place [sequences * time]; the last one again where a sequence has ended.
    tokens: Tensor<1, Int>,
    positions: Positions,
}

/// A stem with one of its branches: ranges of tokens.
struct Sequence {
    stem: std::ops::Range<usize>,
    branch: std::ops::Range<usize>,
}

/// The share of a group's places that may be left over before it is cut in two.
const MOST_LEFT_OVER: f64 = 0.2;
/// Smaller groups cost more in overhead than leftover places do.
const LEAST_SEQUENCES: usize = 4;
/// On other devices than the CPU each new shape is compiled and tuned: lengths are rounded up to multiples of these.
const TOKENS_STEP: usize = 128;
const TIME_STEP: usize = 32;

impl Text {
    /// Tokens that the model computes.
    pub fn tokens(&self) -> usize {
        self.stem.len() + self.branches.iter().map(Vec::len).sum::<usize>()
    }
}

impl Packed {
    /// Lays texts out for a model, sequences of similar length together where `by_length`, else all as long as the longest.
    pub fn new(config: &ModelConfig, texts: &[Text], by_length: bool, device: &Device) -> Self {
        let (mut tokens, mut starts, mut sequences) = (Vec::new(), Vec::new(), Vec::new());
        for text in texts {
            let begin = tokens.len();
            tokens.extend(text.stem.iter().map(|token| *token as i32));
            let stem = begin..tokens.len();
            let mut branches = Vec::new();
            for branch in &text.branches {
                branches.push(tokens.len());
                tokens.extend(branch.iter().map(|token| *token as i32));
                sequences.push(Sequence { stem: stem.clone(), branch: tokens.len() - branch.len()..tokens.len() });
            }
            if branches.is_empty() {
                sequences.push(Sequence { branch: stem.end..stem.end, stem });
            }
            starts.push((begin, branches));
        }
        let (tokens_step, time_step) = if is_cpu(device) { (1, 1) } else { (TOKENS_STEP, TIME_STEP) };
        let mut places = vec![0i32; tokens.len()];
        let mut groups = Vec::new();
        let mut reached = 0;
        for group in if by_length { similar(sequences) } else { vec![sequences] } {
            let longest = group.iter().map(Sequence::length).max().unwrap_or(0);
            let time = longest.next_multiple_of(time_step);
            let mut at = Vec::with_capacity(group.len() * time);
            for sequence in &group {
                let all = sequence.stem.clone().chain(sequence.branch.clone());
                for (place, token) in all.enumerate() {
                    places[token] = (reached + at.len()) as i32;
                    debug_assert_eq!(at.len() % time, place);
                    at.push(token as i32);
                }
                let last = *at.last().expect("a stem has a token");
                at.resize(at.len().next_multiple_of(time), last);
            }
            reached += at.len();
            let positions = Positions::new(config, 0, time, device);
            groups.push(Group { tokens: integers(&at, device), positions });
        }
        let rounded = tokens.len().next_multiple_of(tokens_step);
        tokens.resize(rounded, 0);
        places.resize(rounded, 0);
        Self { tokens: integers(&tokens, device), groups, places: integers(&places, device), starts }
    }

    /// The token whose state predicts a token of a branch.
    pub fn predictor(&self, text: usize, branch: usize, place: usize) -> usize {
        let (begin, branches) = &self.starts[text];
        match place {
            // The stem ends where the first branch begins.
            0 => branches.first().map_or(*begin, |first| first - 1),
            _ => branches[branch] + place - 1,
        }
    }

    /// The token whose state predicts a token of the stem, from its second on.
    pub fn predictor_in_stem(&self, text: usize, place: usize) -> usize {
        self.starts[text].0 + place - 1
    }

    /// Places that attention computes.
    pub fn places(&self) -> usize {
        self.groups.iter().map(|group| group.tokens.dims()[0]).sum()
    }
}

impl Sequence {
    fn length(&self) -> usize {
        self.stem.len() + self.branch.len()
    }
}

/// Sequences by length, in groups of which little is left over; depends on nothing but the lengths.
fn similar(mut sequences: Vec<Sequence>) -> Vec<Vec<Sequence>> {
    sequences.sort_by_key(Sequence::length);
    let mut groups: Vec<Vec<Sequence>> = Vec::new();
    let mut taken = 0;
    for sequence in sequences {
        let length = sequence.length();
        let fits = |group: &Vec<Sequence>| {
            let places = (group.len() + 1) * length;
            group.len() < LEAST_SEQUENCES || (taken + length) as f64 >= (1.0 - MOST_LEFT_OVER) * places as f64
        };
        match groups.last_mut().filter(|group| fits(group)) {
            Some(group) => {
                group.push(sequence);
                taken += length;
            }
            None => {
                groups.push(vec![sequence]);
                taken = length;
            }
        }
    }
    groups
}

fn integers(values: &[i32], device: &Device) -> Tensor<1, Int> {
    Tensor::from_data(TensorData::new(values.to_vec(), [values.len()]), device)
}

impl Transformer {
    /// The states after the last norm, of each token of the texts [tokens, hidden].
    pub fn states(&self, packed: &Packed) -> Tensor<2> {
        let states = self
            .blocks
            .iter()
            .fold(self.embed(packed.tokens.clone()), |states, block| block.forward(states, &self.config, packed));
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

    fn text(stem: std::ops::Range<u32>, branches: &[std::ops::Range<u32>]) -> Text {
        Text { stem: stem.collect(), branches: branches.iter().map(|branch| branch.clone().collect()).collect() }
    }

    #[test]
    fn every_token_has_the_state_that_it_has_alone() {
        let (config, device) = (tiny(), Device::flex());
        let model = config.init(&Seed::root(4), &device);
        let texts =
            [text(1..6, &[7..9, 3..12]), text(2..4, &[]), text(9..10, &[1..2, 4..9]), text(1..14, &[2..4, 3..4])];
        let packed = Packed::new(&config, &texts, true, &device);
        let states = model.states(&packed);
        let state = |token: usize| states.clone().slice([token..token + 1, 0..config.hidden_size]).into_data();
        for (number, text) in texts.iter().enumerate() {
            let branches = if text.branches.is_empty() { vec![Vec::new()] } else { text.branches.clone() };
            for (branch, tokens) in branches.iter().enumerate() {
                let alone = Text { stem: [text.stem.clone(), tokens.clone()].concat(), branches: Vec::new() };
                let alone = model.states(&Packed::new(&config, &[alone], false, &device));
                for place in 1..=tokens.len() {
                    let expected = alone.clone().narrow(0, text.stem.len() + place - 2, 1);
                    let found: Vec<f32> = state(packed.predictor(number, branch, place - 1)).try_to_vec().unwrap();
                    let expected: Vec<f32> = expected.into_data().try_to_vec().unwrap();
                    let near = |(one, other): (&f32, &f32)| (one - other).abs() < 1e-5;
                    assert!(found.iter().zip(&expected).all(near), "text {number}, branch {branch}, token {place}");
                }
            }
        }
    }

    #[test]
    fn a_stem_is_computed_once_and_little_is_left_over() {
        let texts: Vec<Text> = (0..20).map(|size| text(0..20, &[0..5 + size, 0..30 - size])).collect();
        let packed = Packed::new(&tiny(), &texts, true, &Device::flex());
        assert_eq!(packed.tokens.dims(), [texts.iter().map(Text::tokens).sum::<usize>()]);
        let needed: usize = texts.iter().flat_map(|text| text.branches.iter().map(|branch| 20 + branch.len())).sum();
        assert!(4 * packed.places() < 5 * needed, "{} places for {needed}", packed.places());
    }
}
