//! The check before the first step: policy and reference model are equal, so that any reference
//! log-probabilities of another model, tokenizer or number format show.

use super::{
    objective::{RowLoss, Statistics},
    preference::ViewedRows,
};
use crate::model::NumberFormat;

/// Tolerance of the initial loss, relative where the loss is above 1, and of the log-probabilities.
const NEAR_THE_START: f64 = 1e-3;
/// The same with 16-bit states: the reference had another batch layout, and so other rounding.
const NEAR_IN_HALF: f64 = 3e-2;

/// Why the reference is invalid, if it is.
///
/// All log-probabilities must agree, and the loss has a closed form. The first check works for any
/// algorithm, also where a loss is flat or errors of two completions cancel. The second sees the
/// effect of weights and settings.
///
/// # Shapes
/// `losses` has one entry per viewed row.
pub(super) fn disagreement(
    part: &ViewedRows<'_>,
    losses: &[RowLoss],
    statistics: &Statistics,
    computes_in: NumberFormat,
) -> Option<String> {
    let near = if computes_in == NumberFormat::Float32 { NEAR_THE_START } else { NEAR_IN_HALF };
    // The loss first: its message names numbers that the user sees.
    let problem = loss_problem(part, losses, statistics, near).or_else(|| {
        let apart = part.apart();
        (apart > near).then(|| {
            format!(
                "before the first step the log-probabilities of policy and reference differ by \
                {:.2} % on average",
                100.0 * apart
            )
        })
    })?;
    Some(format!(
        "{problem}: the reference log-probabilities come from another model, tokenizer or \
        `dtype`; recompute them"
    ))
}

fn loss_problem(
    part: &ViewedRows<'_>,
    losses: &[RowLoss],
    statistics: &Statistics,
    near: f64,
) -> Option<String> {
    let objective = &part.preference.objective;
    // Margins are sorted over the batch, so those of a microbatch do not belong to its own rows.
    if objective.sorts() {
        return None;
    }
    let at_start: Vec<_> = part.scored().into_iter().map(|row| row.at_start()).collect();
    let expected = mean(&objective.losses(&at_start, statistics));
    let found = mean(losses);
    ((found - expected).abs() > near * expected.abs().max(1.0))
        .then(|| format!("the initial loss is {found:.4}, but must be {expected:.4}"))
}

fn mean(losses: &[RowLoss]) -> f64 {
    losses.iter().map(|loss| loss.value).sum::<f64>() / losses.len() as f64
}
