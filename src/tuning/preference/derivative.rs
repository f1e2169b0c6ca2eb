//! The derivative of the preference loss of a microbatch by the log-probability of each token.

use super::{
    batch_sums::BatchSums,
    facts,
    view::{PolicyView, ViewedRows},
};
use crate::tuning::objective::{RowLoss, Statistics};

/// Derivative of a microbatch's loss, and the loss.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::tuning) struct Derivative {
    /// Per row of the microbatch and completion (then the prompt, where it is scored): by each
    /// token.
    pub by_token: Vec<Vec<f32>>,
    /// The microbatch's share of the batch's loss, likelihood term included.
    pub loss: f64,
    /// Its share of the negative log-likelihood of the chosen completions.
    pub nll: f64,
}

/// The derivative of viewed rows, whose losses are known.
///
/// # Shapes
/// `losses` has one entry per viewed row.
pub(in crate::tuning) fn derivative(
    part: &ViewedRows<'_>,
    losses: &[RowLoss],
    statistics: &Statistics,
) -> Derivative {
    let preference = part.preference;
    // The mean is over the whole batch, so that the gradients of its microbatches add up.
    let share = 1.0 / part.batch.len() as f64;
    let sums = BatchSums::new(part);
    let mut found = Derivative { by_token: Vec::new(), loss: 0.0, nll: 0.0 };
    for ((row, view), loss) in part.iter().zip(losses) {
        let weight = row_weight(part, row, view);
        let nll = sums.likelihood(&preference.rows[row], view);
        let rpo_alpha = preference.objective.rpo_alpha * preference.rows[row].weight;
        for (answer, policy) in view.answers.iter().enumerate() {
            // Only the chosen (or only, desirable) completion has a likelihood term.
            let by_nll = if answer == 0 { nll.by_token * rpo_alpha } else { 0.0 };
            let by_preference = share * weight * loss.by[answer];
            let weights = preference.token_weights(row, answer);
            debug_assert_eq!(weights.len(), policy.len());
            let by_token =
                weights.into_iter().map(|weight| (by_preference * weight - by_nll) as f32);
            found.by_token.push(by_token.collect());
        }
        if preference.scores_prompts() {
            let by_nll = (-nll.by_token * rpo_alpha) as f32;
            found.by_token.push(vec![by_nll; view.prompt.len()]);
        }
        found.loss += share * weight * loss.value + rpo_alpha * nll.value;
        found.nll += nll.value;
    }
    found.loss += facts::add(part, statistics, &mut found.by_token);
    found
}

/// Weight of a row's preference, WPO included: the completions' mean probabilities relative to the
/// policy's own, multiplied. It is a constant in the derivative.
fn row_weight(part: &ViewedRows<'_>, row: usize, view: &PolicyView) -> f64 {
    let weight = part.preference.rows[row].weight;
    let Some(ceiling) = part.preference.modifiers.max_weight else { return weight };
    let answers = view.answers.iter().zip(&view.collisions);
    let relative = answers.map(|(policy, collisions)| relative_probability(policy, collisions));
    // Tokens that the policy is sure of give a completion more than 1.
    weight * relative.product::<f64>().min(ceiling)
}

/// Geometric mean of the tokens' probabilities, each over the expected probability of a token that
/// the policy samples itself.
///
/// # Shapes
/// Both: one number per token of the completion.
fn relative_probability(policy: &[f32], collisions: &[f32]) -> f64 {
    let relative =
        policy.iter().zip(collisions).map(|(policy, collision)| f64::from(policy - collision));
    (relative.sum::<f64>() / policy.len() as f64).exp()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tuning::{
        KlPairs, Modifiers, Objective, Preference, ReferenceLogProbs, TokenPreference, TokenRow,
    };

    /// By hand: a token of probability 0.9 beside one of 0.1 has 0.9 / (0.81 + 0.01), and the
    /// completions' means are multiplied.
    #[test]
    fn a_row_of_sure_tokens_has_no_weight_above_the_ceiling() {
        let weight = |ceiling: Option<f64>, probability: f64| {
            let preference = Preference {
                objective: Objective::plain("dpo", &[]).unwrap(),
                modifiers: Modifiers { max_weight: ceiling, ..Modifiers::default() },
                rows: vec![TokenRow::new(
                    vec![0],
                    TokenPreference::Pair([vec![1, 2].into(), vec![3].into()]),
                )],
                reference: ReferenceLogProbs::default(),
                mismatch: KlPairs::Fixed,
                moving: None,
                held_out: None,
            };
            let [policy, collision] = [probability, 0.82].map(|value: f64| value.ln() as f32);
            let of_answers = |value: f32| vec![vec![value; 2], vec![value]];
            let view = PolicyView {
                answers: of_answers(policy),
                collisions: of_answers(collision),
                ..PolicyView::default()
            };
            row_weight(&ViewedRows::whole(&preference, &[0], &[]), 0, &view)
        };
        let near = |found: f64, expected: f64| {
            assert!((found - expected).abs() < 1e-6, "{found} {expected}")
        };
        near(weight(Some(1.0), 0.9), 1.0);
        near(weight(Some(1e6), 0.9), (0.9f64 / 0.82).powi(2));
        near(weight(Some(1.0), 0.1), (0.1f64 / 0.82).powi(2));
        near(weight(None, 0.1), 1.0);
    }
}
