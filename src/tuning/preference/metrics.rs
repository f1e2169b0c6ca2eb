//! The metrics of a microbatch of rows.

use super::{batch_sums::BatchSums, derivative::Derivative, view::ViewedRows};
use crate::tuning::{
    metric::{
        Measurements,
        TrainMetric::{
            Entropy, Kl, LogitsChosen, LogitsRejected, LogpsChosen, LogpsRejected, Loss,
            MeanTokenAccuracy, NllLoss, NumTokens, RewardsAccuracies, RewardsChosen,
            RewardsMargins, RewardsRejected, Shift,
        },
    },
    objective::{Desirability, LossRow, Statistics},
};

/// The microbatch's shares of the batch's metrics; NaN for those that the batch does not have.
pub(in crate::tuning) fn measured(
    part: &ViewedRows<'_>,
    statistics: &Statistics,
    derivative: &Derivative,
) -> Measurements {
    let sums = BatchSums::new(part);
    let mut found = Measurements::default();
    found[Loss] = derivative.loss;
    found[NllLoss] = derivative.nll;
    // NaN from the start: a mean over no row would be 0, which looks like a value.
    if sums.chosen == 0.0 {
        let of_chosen = [NllLoss, RewardsChosen, LogpsChosen, MeanTokenAccuracy, LogitsChosen];
        of_chosen.into_iter().for_each(|metric| found[metric] = f64::NAN);
    }
    if sums.rejected == 0.0 {
        let of_rejected = [RewardsRejected, LogpsRejected, RewardsMargins, LogitsRejected];
        of_rejected.into_iter().for_each(|metric| found[metric] = f64::NAN);
    }
    // Accuracy is defined for pairs only.
    if sums.pairs == 0.0 {
        found[RewardsAccuracies] = f64::NAN;
    }
    add_rows(part, &sums, &mut found);
    let objective = &part.preference.objective;
    if objective.needs_reference_point() {
        found[Kl] = at_first(part, statistics.reference_point);
    } else {
        found[Kl] = f64::NAN;
    }
    if objective.has_running_shift() {
        found[Shift] = at_first(part, statistics.shift);
    } else {
        found[Shift] = f64::NAN;
    }
    found
}

/// A number of the whole batch, which counts at its first microbatch only: shares of it would lose
/// digits.
fn at_first(part: &ViewedRows<'_>, value: f64) -> f64 {
    if part.first == 0 { value } else { 0.0 }
}

/// Adds the rows' shares of rewards, log-probabilities and counts.
fn add_rows(part: &ViewedRows<'_>, sums: &BatchSums, found: &mut Measurements) {
    let objective = &part.preference.objective;
    let (chosen_share, rejected_share) = (1.0 / sums.chosen, 1.0 / sums.rejected);
    let (chosen_tokens, rejected_tokens) = (1.0 / sums.chosen_tokens, 1.0 / sums.rejected_tokens);
    for ((row, view), scored) in part.iter().zip(part.scored()) {
        found[NumTokens] += part.preference.rows[row].tokens() as f64;
        found[Entropy] += view.entropy / (sums.chosen_tokens + sums.rejected_tokens);
        match scored {
            LossRow::Pair { chosen, rejected, .. } => {
                found[RewardsAccuracies] +=
                    f64::from(u8::from(objective.is_ahead(&chosen, &rejected))) / sums.pairs;
                found[LogpsChosen] += chosen_share * objective.log_probability(&chosen);
                found[LogpsRejected] += rejected_share * objective.log_probability(&rejected);
                let (chosen, rejected) = (objective.reward(&chosen), objective.reward(&rejected));
                found[RewardsChosen] += chosen_share * chosen;
                found[RewardsRejected] += rejected_share * rejected;
                // Of pairs alone, the difference first: it has more digits than the two means.
                found[RewardsMargins] += if sums.pairs == sums.chosen && sums.pairs == sums.rejected
                {
                    chosen_share * (chosen - rejected)
                } else {
                    chosen_share * chosen - rejected_share * rejected
                };
                found[MeanTokenAccuracy] += view.hits as f64 / sums.chosen_tokens;
                found[LogitsChosen] += chosen_tokens * view.logits[0];
                found[LogitsRejected] += rejected_tokens * view.logits[1];
            }
            LossRow::Single { answer, label: Desirability::Desirable } => {
                let reward = chosen_share * objective.reward(&answer);
                found[RewardsChosen] += reward;
                found[RewardsMargins] += reward;
                found[LogpsChosen] += chosen_share * objective.log_probability(&answer);
                found[MeanTokenAccuracy] += view.hits as f64 / sums.chosen_tokens;
                found[LogitsChosen] += chosen_tokens * view.logits[0];
            }
            // The margin of a batch without pairs is that of the two means.
            LossRow::Single { answer, label: Desirability::Undesirable } => {
                let reward = rejected_share * objective.reward(&answer);
                found[RewardsRejected] += reward;
                found[RewardsMargins] -= reward;
                found[LogpsRejected] += rejected_share * objective.log_probability(&answer);
                found[LogitsRejected] += rejected_tokens * view.logits[0];
            }
        }
    }
}
