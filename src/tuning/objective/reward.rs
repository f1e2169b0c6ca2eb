//! The rewards that are logged, as the first algorithm of an objective defines them.

use super::{
    Dual, Objective, RewardKind, Setting,
    answer::{LossRow, ScoredCompletion},
    reference_free::curved,
};

/// Relative rounding error of a log-probability.
const ROUNDING: f64 = 1e-6;

impl Objective {
    /// The reward of a completion.
    pub(in crate::tuning) fn reward(&self, answer: &ScoredCompletion) -> f64 {
        let first = self.first();
        let log_probability = match first.algorithm.reward {
            RewardKind::AgainstReference => answer.ratio(),
            RewardKind::Summed => answer.policy,
            RewardKind::PerToken => answer.policy / answer.tokens,
            RewardKind::Curved => {
                let average = Dual::constant(answer.policy / answer.tokens);
                curved(average, first.settings.get(Setting::Alpha)).value
            }
        };
        self.setting(Setting::Beta).unwrap_or(1.0) * log_probability
    }

    /// The log-probability of a completion: per token where the first algorithm uses that (as TRL).
    pub(in crate::tuning) fn log_probability(&self, answer: &ScoredCompletion) -> f64 {
        match self.first().algorithm.reward {
            RewardKind::AgainstReference | RewardKind::Summed => answer.policy,
            RewardKind::PerToken | RewardKind::Curved => answer.policy / answer.tokens,
        }
    }

    /// Whether the chosen completion has the higher reward.
    pub(in crate::tuning) fn is_ahead(
        &self,
        chosen: &ScoredCompletion,
        rejected: &ScoredCompletion,
    ) -> bool {
        // The reference was computed in another batch layout, so differences within rounding are
        // ties: before the first step no completion is ahead.
        let nats = if self.needs_reference() {
            chosen.reference.abs() + rejected.reference.abs()
        } else {
            0.0
        };
        let rounding = ROUNDING * nats * self.setting(Setting::Beta).unwrap_or(1.0);
        self.reward(chosen) - self.reward(rejected) > rounding
    }

    /// Sum and number of the rewards of rows.
    pub(in crate::tuning) fn rewards(&self, rows: &[LossRow]) -> (f64, f64) {
        rows.iter().fold((0.0, 0.0), |(sum, count), row| match row {
            LossRow::Pair { chosen, rejected, .. } => {
                (sum + self.reward(chosen) + self.reward(rejected), count + 2.0)
            }
            LossRow::Single { answer, .. } => (sum + self.reward(answer), count + 1.0),
        })
    }
}
