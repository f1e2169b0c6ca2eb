//! Held-out rows, for early stopping and for selecting the best model.

use serde::{Deserialize, Serialize};

/// Held-out rows and the evaluation schedule.
#[derive(Clone, Debug)]
pub struct HeldOut {
    /// Indices of the rows.
    pub rows: Vec<usize>,
    /// Optimizer steps between evaluations.
    pub every: usize,
    /// Evaluations without a lower loss before training stops; never where absent.
    pub patience: Option<usize>,
}

/// Results of all evaluations so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::tuning) struct HeldOutProgress {
    /// Lowest loss of any evaluation; none before the first.
    lowest: Option<f64>,
    /// Evaluations since the lowest loss.
    since: usize,
    // The optimizer step after an evaluation keeps the best model, and checkpoints come after
    // optimizer steps: in a checkpoint this is always false.
    /// Whether the last evaluation found the best model so far.
    #[serde(skip)]
    is_best: bool,
}

impl HeldOut {
    /// Whether an evaluation is due before a step, from 0; none is before the first one.
    pub(in crate::tuning) fn is_due(&self, step: usize) -> bool {
        step > 0 && step.is_multiple_of(self.every)
    }
}

impl HeldOutProgress {
    /// Takes in a loss; returns whether patience is exhausted.
    pub(in crate::tuning) fn follow(&mut self, loss: f64, patience: Option<usize>) -> bool {
        if self.is_beaten_by(loss) {
            *self = Self { lowest: Some(loss), since: 0, is_best: true };
        } else {
            self.since += 1;
        }
        self.is_over(patience)
    }

    /// Whether the last evaluation found the best model; true once per evaluation.
    pub(in crate::tuning) fn take_best(&mut self) -> bool {
        std::mem::take(&mut self.is_best)
    }

    /// Whether patience is exhausted.
    pub(in crate::tuning) fn is_over(&self, patience: Option<usize>) -> bool {
        patience.is_some_and(|patience| self.since >= patience)
    }

    /// Whether a model with this loss is better than the best one so far.
    pub(in crate::tuning) fn is_beaten_by(&self, loss: f64) -> bool {
        self.lowest.is_none_or(|lowest| loss < lowest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patience_ends_after_so_many_looks_without_a_lower_loss() {
        let mut progress = HeldOutProgress::default();
        let ends: Vec<bool> = [0.7, 0.6, 0.65, 0.6, 0.5, 0.5, 0.55]
            .into_iter()
            .map(|loss| progress.follow(loss, Some(2)))
            .collect();
        assert_eq!(ends, [false, false, false, true, false, false, true]);
        assert!(progress.is_beaten_by(0.49) && !progress.is_beaten_by(0.5));
    }

    #[test]
    fn the_best_model_is_taken_once() {
        let mut progress = HeldOutProgress::default();
        assert!(!progress.take_best());
        progress.follow(0.7, None);
        assert!(progress.take_best() && !progress.take_best());
        progress.follow(0.8, None);
        assert!(!progress.take_best(), "the last evaluation was worse");
    }
}
