//! Token sequences side by side: padded on the right, sorted by length so that little is padding.

use burn::tensor::{Device, Int, Tensor, TensorData};

/// One sequence: tokens that are given, and tokens that are learnt or scored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Example {
    /// What is given; at least one token.
    pub prompt: Vec<u32>,
    /// What is learnt or scored, its end token included.
    pub completion: Vec<u32>,
}

/// Sequences of one forward pass.
pub(super) struct Padded {
    /// [rows, time] token ids; the last token of each sequence is only a target.
    pub tokens: Tensor<2, Int>,
    /// For each target: the row of the hidden states, [rows * time, ..], that predicts it.
    pub positions: Vec<i32>,
    /// For each target: its token.
    pub targets: Vec<i32>,
    /// For each target: the number of its example.
    pub examples: Vec<usize>,
}

/// The share of a forward pass that may be padding before it is cut in two.
const MOST_PADDING: f64 = 0.15;
/// A forward pass of fewer rows costs more in overhead than padding does.
const LEAST_ROWS: usize = 8;

impl Example {
    /// Tokens that enter the model.
    pub fn length(&self) -> usize {
        self.prompt.len() + self.completion.len() - 1
    }
}

/// Groups examples of similar length into as few forward passes as padding allows.
///
/// Depends on nothing but the lengths, so that equal batches give equal bits.
pub(super) fn pad(examples: &[Example], device: &Device) -> Vec<Padded> {
    let mut order: Vec<usize> = (0..examples.len()).collect();
    order.sort_by_key(|&index| (examples[index].length(), index));
    let mut groups: Vec<Vec<usize>> = vec![Vec::new()];
    let mut tokens = 0;
    for index in order {
        let group = groups.last_mut().expect("there is always a last group");
        let padded = (group.len() + 1) * examples[index].length();
        tokens += examples[index].length();
        if group.len() >= LEAST_ROWS && tokens as f64 <= (1.0 - MOST_PADDING) * padded as f64 {
            tokens = examples[index].length();
            groups.push(vec![index]);
        } else {
            group.push(index);
        }
    }
    groups.into_iter().filter(|group| !group.is_empty()).map(|group| pad_group(examples, &group, device)).collect()
}

pub(super) fn pad_group(examples: &[Example], group: &[usize], device: &Device) -> Padded {
    let time = group.iter().map(|&index| examples[index].length()).max().unwrap_or(0);
    let mut tokens = vec![0i32; group.len() * time];
    let (mut positions, mut targets, mut of) = (Vec::new(), Vec::new(), Vec::new());
    for (row, &index) in group.iter().enumerate() {
        let Example { prompt, completion } = &examples[index];
        for (place, token) in prompt.iter().chain(&completion[..completion.len() - 1]).enumerate() {
            tokens[row * time + place] = *token as i32;
        }
        for (place, token) in completion.iter().enumerate() {
            positions.push((row * time + prompt.len() - 1 + place) as i32);
            targets.push(*token as i32);
            of.push(index);
        }
    }
    let tokens = Tensor::from_data(TensorData::new(tokens, [group.len(), time]), device);
    Padded { tokens, positions, targets, examples: of }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn example(prompt: usize, completion: usize) -> Example {
        Example { prompt: vec![1; prompt], completion: (10..10 + completion as u32).collect() }
    }

    #[test]
    fn every_completion_token_is_a_target_once() {
        let examples = [example(3, 4), example(1, 1), example(5, 9)];
        let passes = pad(&examples, &Device::flex());
        let mut found: Vec<(usize, i32)> =
            passes.iter().flat_map(|pass| pass.examples.iter().copied().zip(pass.targets.iter().copied())).collect();
        found.sort_unstable();
        let expected: Vec<(usize, i32)> = examples
            .iter()
            .enumerate()
            .flat_map(|(index, example)| example.completion.iter().map(move |token| (index, *token as i32)))
            .collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn long_and_short_sequences_do_not_share_a_pass() {
        let examples: Vec<Example> = (0..20).map(|index| example(2, if index % 2 == 0 { 5 } else { 60 })).collect();
        let shapes: Vec<[usize; 2]> = pad(&examples, &Device::flex()).iter().map(|pass| pass.tokens.dims()).collect();
        assert_eq!(shapes, [[10, 6], [10, 61]]);
    }
}
