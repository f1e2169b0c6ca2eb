//! Metrics of training steps, under TRL's names.

use std::ops::{Index, IndexMut};

use strum::{EnumCount, IntoStaticStr, VariantArray};

/// A metric of a training step, in the order of a row of `metrics.jsonl`.
///
/// Log-probabilities and entropies are in nats. A mean is taken over the whole batch, not over its
/// microbatches.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, EnumCount, IntoStaticStr, VariantArray,
)]
pub enum TrainMetric {
    /// Mean loss of the batch's rows, likelihood term included.
    #[strum(serialize = "loss")]
    Loss,
    /// Tokens that the model has read in all steps so far.
    #[strum(serialize = "num_tokens")]
    NumTokens,
    /// Negative log-likelihood of the chosen completions, whether or not it counts in the loss.
    #[strum(serialize = "nll_loss")]
    NllLoss,
    /// Mean reward of the chosen completions.
    #[strum(serialize = "rewards/chosen")]
    RewardsChosen,
    /// Mean reward of the rejected completions.
    #[strum(serialize = "rewards/rejected")]
    RewardsRejected,
    /// Mean reward of the chosen completions minus that of the rejected ones.
    #[strum(serialize = "rewards/margins")]
    RewardsMargins,
    /// Share of pairs whose chosen completion has the higher reward.
    #[strum(serialize = "rewards/accuracies")]
    RewardsAccuracies,
    /// Mean log-probability of the chosen completions.
    #[strum(serialize = "logps/chosen")]
    LogpsChosen,
    /// Mean log-probability of the rejected completions.
    #[strum(serialize = "logps/rejected")]
    LogpsRejected,
    /// Share of the chosen completions' tokens that are the most probable ones.
    #[strum(serialize = "mean_token_accuracy")]
    MeanTokenAccuracy,
    /// KTO's reference point: mean log-ratio on completions of other prompts.
    #[strum(serialize = "kl")]
    Kl,
    /// Mean of all rewards so far, for losses with a running mean.
    #[strum(serialize = "shift")]
    Shift,
    /// Mean entropy at the completions' tokens.
    #[strum(serialize = "entropy")]
    Entropy,
    /// Mean logit at the chosen completions' tokens.
    #[strum(serialize = "logits/chosen")]
    LogitsChosen,
    /// Mean logit at the rejected completions' tokens.
    #[strum(serialize = "logits/rejected")]
    LogitsRejected,
    /// Mean loss of the held-out rows.
    #[strum(serialize = "eval_loss")]
    EvalLoss,
    /// Mean reward margin of the held-out pairs.
    #[strum(serialize = "eval_rewards/margins")]
    EvalMargins,
    /// Share of held-out pairs whose chosen completion has the higher reward.
    #[strum(serialize = "eval_rewards/accuracies")]
    EvalAccuracies,
    /// Global gradient norm before clipping.
    #[strum(serialize = "grad_norm")]
    GradNorm,
    /// Learning rate of the step.
    #[strum(serialize = "learning_rate")]
    LearningRate,
}

impl TrainMetric {
    /// TRL's name, which is the field in `metrics.jsonl`.
    pub fn name(self) -> &'static str {
        self.into()
    }

    /// Whether a step without a finite value has gone wrong; other metrics are left out of a batch
    /// that cannot have them.
    pub(super) fn must_be_finite(self) -> bool {
        matches!(self, Self::Loss | Self::GradNorm)
    }

    /// A step's value from those of its microbatches.
    pub(super) fn of_step(self, microbatches: &[Measurements]) -> f64 {
        let mut values = microbatches.iter().map(|measured| measured[self]);
        match self {
            // The count goes on over microbatches, and the optimizer steps after the last one.
            Self::NumTokens | Self::GradNorm | Self::LearningRate => {
                values.next_back().unwrap_or(f64::NAN)
            }
            _ => values.sum(),
        }
    }
}

/// The values of all metrics in a microbatch. A mean over the batch is measured as the
/// microbatch's share of it, so that the shares add up.
#[derive(Clone, Copy, Debug, PartialEq)]
// A variant's number is the place of its value, so that a new variant anywhere moves all others.
pub(super) struct Measurements([f64; TrainMetric::COUNT]);

impl Default for Measurements {
    /// All 0: the shares of a microbatch without rows.
    fn default() -> Self {
        Self([0.0; TrainMetric::COUNT])
    }
}

impl Index<TrainMetric> for Measurements {
    type Output = f64;

    fn index(&self, metric: TrainMetric) -> &f64 {
        &self.0[metric as usize]
    }
}

impl IndexMut<TrainMetric> for Measurements {
    fn index_mut(&mut self, metric: TrainMetric) -> &mut f64 {
        &mut self.0[metric as usize]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Names are part of `metrics.jsonl`; their order is that of its fields.
    #[test]
    fn names_are_those_of_trl() {
        let names: Vec<&str> = TrainMetric::VARIANTS.iter().map(|metric| metric.name()).collect();
        assert_eq!(
            names,
            [
                "loss",
                "num_tokens",
                "nll_loss",
                "rewards/chosen",
                "rewards/rejected",
                "rewards/margins",
                "rewards/accuracies",
                "logps/chosen",
                "logps/rejected",
                "mean_token_accuracy",
                "kl",
                "shift",
                "entropy",
                "logits/chosen",
                "logits/rejected",
                "eval_loss",
                "eval_rewards/margins",
                "eval_rewards/accuracies",
                "grad_norm",
                "learning_rate",
            ]
        );
    }

    #[test]
    fn shares_add_up_and_counts_go_on() {
        let [mut one, mut other] = [Measurements::default(); 2];
        (one[TrainMetric::Loss], other[TrainMetric::Loss]) = (0.25, 0.5);
        (one[TrainMetric::NumTokens], other[TrainMetric::NumTokens]) = (10.0, 30.0);
        (one[TrainMetric::GradNorm], other[TrainMetric::GradNorm]) = (f64::NAN, 2.0);
        let parts = [one, other];
        assert_eq!(TrainMetric::Loss.of_step(&parts), 0.75);
        assert_eq!(TrainMetric::NumTokens.of_step(&parts), 30.0);
        assert_eq!(TrainMetric::GradNorm.of_step(&parts), 2.0);
    }
}
