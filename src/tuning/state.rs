//! What a training run has learnt so far besides the weights; part of every checkpoint.

use serde::{Deserialize, Serialize};

use super::preference::HeldOutProgress;

// Unknown fields are errors: dropped silently, they would be state that is lost.
/// The state of a run after some optimizer steps. All of it is needed to go on with the same
/// numbers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct TrainingState {
    /// Optimizer steps done.
    pub step: usize,
    /// Tokens that the model has read.
    pub tokens: f64,
    /// The rewards so far, for losses with a running mean (BCO).
    pub rewards: RunningMean,
    /// The evaluations on held-out rows so far.
    pub held_out: HeldOutProgress,
}

/// A mean that grows batch by batch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RunningMean {
    /// The mean of all numbers; 0 without any.
    pub mean: f64,
    count: f64,
}

impl RunningMean {
    /// Takes in further numbers, given their sum; returns the new mean.
    pub(super) fn add(&mut self, sum: f64, count: f64) -> f64 {
        // A correction of the mean instead of a growing sum, whose digits a long run would lose.
        self.mean += (sum - count * self.mean) / (self.count + count);
        self.count += count;
        self.mean
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn batches_of_different_sizes_weigh_by_their_sizes() {
        let mut mean = RunningMean::default();
        mean.add(6.0, 2.0);
        mean.add(0.0, 4.0);
        assert_eq!(mean, RunningMean { mean: 1.0, count: 6.0 });
    }

    /// A running mean has no short decimal form, and its last bit must survive a checkpoint.
    #[test]
    fn every_bit_survives_a_checkpoint() {
        let mut state = TrainingState { step: 3, tokens: 1e15 + 1.0, ..TrainingState::default() };
        for number in 1..50 {
            state.rewards.add(f64::from(number).sin(), 3.0);
            state.held_out.follow(f64::from(number).cos(), None);
            let text = serde_json::to_string(&state).unwrap();
            let read: TrainingState = serde_json::from_str(&text).unwrap();
            state.held_out.take_best();
            assert_eq!(read, state);
        }
    }
}
