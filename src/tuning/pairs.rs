//! Batches of preference pairs: shuffled anew for each pass, cut into parts where gradients are accumulated.

use super::{
    sequences::Example,
    trainer::{Batches, Microbatch},
};
use crate::seed::Seed;

/// A preference pair in tokens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenPair {
    /// What was asked.
    pub prompt: Vec<u32>,
    /// The better answer, its end token included.
    pub chosen: Vec<u32>,
    /// The worse answer, its end token included.
    pub rejected: Vec<u32>,
}

/// Pairs to tune on.
pub struct PairBatches {
    /// All passes after each other.
    order: Vec<Vec<usize>>,
    pairs: Vec<TokenPair>,
    accumulation: usize,
}

impl PairBatches {
    /// `passes` times all pairs (a part of a pass is right), in batches of `batch`, each in `accumulation` parts.
    pub fn new(pairs: Vec<TokenPair>, passes: f64, batch: usize, accumulation: usize, seed: &Seed) -> Self {
        let wanted = (passes * pairs.len() as f64).round() as usize;
        let mut sequence: Vec<usize> = Vec::with_capacity(wanted);
        let mut pass = 0;
        while sequence.len() < wanted && !pairs.is_empty() {
            let mut indices: Vec<usize> = (0..pairs.len()).collect();
            seed.split(&format!("pass {pass}")).stream().shuffle(&mut indices);
            sequence.extend(indices);
            pass += 1;
        }
        sequence.truncate(wanted);
        Self { order: sequence.chunks(batch).map(<[usize]>::to_vec).collect(), pairs, accumulation }
    }
}

impl Batches for PairBatches {
    fn steps(&self) -> usize {
        self.order.len()
    }

    fn accumulation(&self) -> usize {
        self.accumulation
    }

    fn microbatch(&self, step: usize, part: usize) -> Microbatch {
        let batch = &self.order[step];
        let cut = |part: usize| batch.len() * part / self.accumulation;
        let pairs = || batch[cut(part)..cut(part + 1)].iter().map(|&index| &self.pairs[index]);
        let example =
            |pair: &TokenPair, answer: &[u32]| Example { prompt: pair.prompt.clone(), completion: answer.to_vec() };
        let chosen = pairs().map(|pair| example(pair, &pair.chosen));
        let rejected = pairs().map(|pair| example(pair, &pair.rejected));
        Microbatch { examples: chosen.chain(rejected).collect(), scales: Vec::new(), batch: batch.len() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pairs(count: u32) -> Vec<TokenPair> {
        (0..count).map(|id| TokenPair { prompt: vec![0], chosen: vec![id, 1], rejected: vec![id, 2] }).collect()
    }

    #[test]
    fn parts_make_up_the_batch_and_batches_the_pass() {
        let batches = PairBatches::new(pairs(10), 1.5, 4, 3, &Seed::root(1));
        assert_eq!(batches.steps(), 4, "15 pairs in batches of 4");
        let mut seen = Vec::new();
        for step in 0..batches.steps() {
            for part in 0..3 {
                let microbatch = batches.microbatch(step, part);
                let half = microbatch.examples.len() / 2;
                for (chosen, rejected) in microbatch.examples[..half].iter().zip(&microbatch.examples[half..]) {
                    assert_eq!(chosen.completion[0], rejected.completion[0], "pairs stay together");
                    seen.push(chosen.completion[0]);
                }
            }
        }
        assert_eq!(seen.len(), 15);
        seen[..10].sort_unstable();
        assert_eq!(seen[..10], (0..10).collect::<Vec<u32>>(), "the first pass has every pair once");
    }
}
