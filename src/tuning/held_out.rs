//! Rows that are never learnt from: how they do says when to stop, and which model was the best.

use super::{
    objective::{Row, Statistics},
    preference::{PolicyView, Preference},
};

/// Held-out rows, and what follows from them.
#[derive(Clone, Debug)]
pub struct HeldOut {
    /// Their numbers.
    pub rows: Vec<usize>,
    /// They are looked at before every so many optimizer steps.
    pub every: usize,
    /// After so many looks without a lower loss training stops; never where there is none.
    pub patience: Option<usize>,
}

/// How held-out rows did at one look.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Evaluation {
    /// The mean loss, likelihood term included.
    pub loss: f64,
    /// The mean margin of rewards, and the share of pairs in which the chosen answer's is higher; none without pairs.
    pub margins: Option<(f64, f64)>,
}

/// How held-out rows did so far.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct HeldOutProgress {
    /// The lowest loss.
    lowest: Option<f64>,
    /// Looks since then.
    since: usize,
    /// Whether the model that is being trained was just found to be the best.
    is_best: bool,
}

/// The names of what is measured at a look, in TRL's words.
pub(super) const MEASURED: [&str; 3] = ["eval_loss", "eval_rewards/margins", "eval_rewards/accuracies"];

impl HeldOutProgress {
    /// As it was after looks that gave these losses.
    pub(super) fn after(losses: impl Iterator<Item = f64>) -> Self {
        let mut progress = Self::default();
        losses.for_each(|loss| _ = progress.follow(loss, None));
        Self { is_best: false, ..progress }
    }

    /// Takes in a loss; says whether patience has come to an end.
    pub(super) fn follow(&mut self, loss: f64, patience: Option<usize>) -> bool {
        if self.lowest.is_none_or(|lowest| loss < lowest) {
            *self = Self { lowest: Some(loss), since: 0, is_best: true };
        } else {
            self.since += 1;
        }
        self.is_over(patience)
    }

    /// Whether the model was just found to be the best; says so once.
    pub(super) fn take_best(&mut self) -> bool {
        std::mem::take(&mut self.is_best)
    }

    /// Whether patience has come to an end.
    pub(super) fn is_over(&self, patience: Option<usize>) -> bool {
        patience.is_some_and(|patience| self.since >= patience)
    }

    /// Whether the last model, of this loss, is better than the best one so far.
    pub(super) fn is_beaten_by(&self, loss: f64) -> bool {
        self.lowest.is_none_or(|lowest| loss < lowest)
    }
}

impl Evaluation {
    /// In the order of [`MEASURED`]; no numbers where there was no look, and nothing to add in a batch's later parts.
    pub(super) fn measured(found: Option<Self>, is_first_part: bool) -> [f64; 3] {
        match found {
            Some(Self { loss, margins }) => {
                let (margin, accuracy) = margins.unwrap_or((f64::NAN, f64::NAN));
                [loss, margin, accuracy]
            }
            None if is_first_part => [f64::NAN; 3],
            None => [0.0; 3],
        }
    }
}

impl Preference {
    /// How rows do that are looked at as one batch.
    pub(super) fn evaluation(&self, rows: &[usize], views: &[PolicyView], statistics: &Statistics) -> Evaluation {
        let scored = self.scored(rows, views, false);
        let losses = self.objective.losses(&scored, statistics);
        let logits: Vec<PolicyView> =
            views.iter().map(|view| PolicyView { logits: vec![0.0; view.answers.len()], ..view.clone() }).collect();
        let loss = self.derivative(rows, 0, &logits, &losses, statistics).measured[0];
        let (mut pairs, mut margins, mut wins) = (0.0, 0.0, 0.0);
        for row in &scored {
            if let Row::Pair { chosen, rejected, .. } = row {
                pairs += 1.0;
                margins += self.objective.reward(chosen) - self.objective.reward(rejected);
                wins += f64::from(u8::from(self.is_ahead(chosen, rejected)));
            }
        }
        Evaluation { loss, margins: (pairs > 0.0).then(|| (margins / pairs, wins / pairs)) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patience_ends_after_so_many_looks_without_a_lower_loss() {
        let mut progress = HeldOutProgress::default();
        let ends: Vec<bool> =
            [0.7, 0.6, 0.65, 0.6, 0.5, 0.5, 0.55].into_iter().map(|loss| progress.follow(loss, Some(2))).collect();
        assert_eq!(ends, [false, false, false, true, false, false, true]);
        assert!(progress.take_best() && !progress.take_best());
        assert!(progress.is_beaten_by(0.49) && !progress.is_beaten_by(0.5));
        let resumed = HeldOutProgress::after([0.7, 0.6, 0.65].into_iter());
        assert_eq!(resumed, HeldOutProgress { lowest: Some(0.6), since: 1, is_best: false });
    }
}
