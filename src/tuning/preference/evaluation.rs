//! Evaluation of held-out rows.

use super::{derivative::derivative, view::ViewedRows};
use crate::tuning::{
    metric::{Measurements, TrainMetric},
    objective::{LossRow, Statistics},
};

/// Result of one evaluation.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(in crate::tuning) struct Evaluation {
    /// Mean loss, likelihood term included.
    pub loss: f64,
    /// Mean reward margin, and share of pairs in which the chosen completion has the higher reward;
    /// none without pairs.
    margins: Option<(f64, f64)>,
}

impl Evaluation {
    /// Evaluates rows as one batch.
    pub(in crate::tuning) fn new(rows: &ViewedRows<'_>, statistics: &Statistics) -> Self {
        let objective = &rows.preference.objective;
        let scored = rows.scored();
        // As one batch, however large: losses over sorted margins depend on the batch.
        let losses = objective.losses(&scored, statistics);
        let loss = derivative(rows, &losses, statistics).loss;
        let (mut pairs, mut margins, mut wins) = (0.0, 0.0, 0.0);
        for row in &scored {
            if let LossRow::Pair { chosen, rejected, .. } = row {
                pairs += 1.0;
                margins += objective.reward(chosen) - objective.reward(rejected);
                wins += f64::from(u8::from(objective.is_ahead(chosen, rejected)));
            }
        }
        Self { loss, margins: (pairs > 0.0).then(|| (margins / pairs, wins / pairs)) }
    }

    /// Notes the evaluation before a step among the metrics of the step's first microbatch; NaN
    /// where none was due.
    pub(in crate::tuning) fn note(found: Option<Self>, measured: &mut Measurements) {
        let (margin, accuracy) =
            found.and_then(|found| found.margins).unwrap_or((f64::NAN, f64::NAN));
        // Metrics that are not finite are left out of the step's row.
        measured[TrainMetric::EvalLoss] = found.map_or(f64::NAN, |found| found.loss);
        measured[TrainMetric::EvalMargins] = margin;
        measured[TrainMetric::EvalAccuracies] = accuracy;
    }
}
