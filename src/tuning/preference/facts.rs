//! FactAlign's loss term over single facts of completions (Huang and Chen 2024, arXiv 2410.01691).

use super::view::ViewedRows;
use crate::tuning::{
    likelihood::sum,
    objective::{Desirability, ScoredCompletion, Statistics},
};

/// Adds the derivatives by token of the facts in viewed rows; returns their part of the loss.
///
/// The term is the mean over all facts of the batch, so that its parts add up.
///
/// # Shapes
/// `by_token` has one list per completion (and prompt, where it is scored), in it one number per
/// token.
pub(super) fn add(
    part: &ViewedRows<'_>,
    statistics: &Statistics,
    by_token: &mut [Vec<f32>],
) -> f64 {
    let preference = part.preference;
    if !preference.objective.looks_at_facts() {
        return 0.0;
    }
    let answers = part.batch.iter().flat_map(|row| preference.rows[*row].answers());
    // A batch without facts has an empty sum, not a division by zero.
    let share = 1.0 / answers.map(|answer| answer.facts.len()).sum::<usize>().max(1) as f64;
    let mut by_answer = by_token.iter_mut();
    let mut loss = 0.0;
    for (row, view) in part.iter() {
        let share = share * preference.rows[row].weight;
        let reference = part.reference_of(row, view);
        for (number, answer) in preference.rows[row].answers().iter().enumerate() {
            let by_token = by_answer.next().expect("each completion has derivatives");
            for fact in &answer.facts {
                let place = fact.tokens.start..fact.tokens.end;
                let policy = sum(&view.answers[number][place.clone()]);
                let scored = ScoredCompletion {
                    policy,
                    reference: reference
                        .map_or(policy, |answers| sum(&answers[number][place.clone()])),
                    tokens: place.len() as f64,
                };
                let label = if fact.supported {
                    Desirability::Desirable
                } else {
                    Desirability::Undesirable
                };
                let found = preference.objective.fact_loss(&scored, label, statistics);
                by_token[place].iter_mut().for_each(|by| *by += (share * found.by[0]) as f32);
                loss += share * found.value;
            }
        }
        // The prompt's derivatives lie between two rows' completions, and prompts state no facts.
        if preference.scores_prompts() {
            by_answer.next();
        }
    }
    loss
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tuning::{
        KlPairs, Modifiers, Objective, Preference, ReferenceLogProbs, TokenAnswer, TokenFact,
        TokenPreference, TokenRow,
        metric::TrainMetric,
        preference::{PolicyView, derivative, measured},
    };

    fn row(
        prompt: u32,
        preference: fn(TokenAnswer) -> TokenPreference,
        facts: &[(usize, usize, bool)],
    ) -> TokenRow {
        let fact = |(from, to, supported): &(usize, usize, bool)| TokenFact {
            tokens: *from..*to,
            supported: *supported,
        };
        let answer =
            TokenAnswer { facts: facts.iter().map(fact).collect(), ..vec![5, 6, 7, 8].into() };
        TokenRow::new(vec![prompt], preference(answer))
    }

    /// Two completions of four tokens, worked out by hand: r of the completions 0.8 and -0.4, of
    /// the facts 0.3, 0.5 and -0.4.
    #[test]
    fn facts_and_answers_are_weighed_against_points_of_their_own() {
        let rows = vec![
            row(1, TokenPreference::Desirable, &[(0, 2, true), (2, 4, false)]),
            row(2, TokenPreference::Undesirable, &[(1, 3, false)]),
        ];
        let preference = Preference {
            objective: Objective::plain("fact_kto", &[]).unwrap(),
            modifiers: Modifiers::default(),
            reference: ReferenceLogProbs {
                answers: vec![vec![vec![-1.0; 4]]; 2],
                ..ReferenceLogProbs::default()
            },
            rows,
            mismatch: KlPairs::Fixed,
            moving: None,
            held_out: None,
        };
        let mismatches = preference.mismatches(&[0, 1]);
        assert_eq!(mismatches, [(0, 1), (1, 0)]);
        let points = preference.reference_points(
            &mismatches,
            &[vec![-3.4], vec![-3.7]],
            &[vec![-4.0], vec![-4.0]],
        );
        assert!((points.by_answer - 0.45).abs() < 1e-12, "{points:?}");
        assert!((points.by_fact - 0.3).abs() < 1e-12, "{points:?}");
        let view = |values: [f32; 4]| PolicyView {
            answers: vec![values.to_vec()],
            logits: vec![0.0],
            ..PolicyView::default()
        };
        let views = [view([-0.9, -0.8, -0.8, -0.7]), view([-1.0, -1.2, -1.2, -1.0])];
        let statistics = Statistics {
            reference_point: points.by_answer,
            fact_point: points.by_fact,
            ..Statistics::default()
        };
        let part = ViewedRows::whole(&preference, &[0, 1], &views);
        let losses = preference.objective.losses(&part.scored(), &statistics);
        let found = derivative(&part, &losses, &statistics);
        let by_token = &found.by_token;
        let sigmoid = |number: f64| 1.0 / (1.0 + (-number).exp());
        let answers = (1.0 - sigmoid(0.1 * (0.8 - 0.45)) + 1.0 - sigmoid(0.1 * (0.45 + 0.4))) / 2.0;
        let right = 1.0 - sigmoid(0.1 * (0.3 - 0.3));
        let wrong = |ratio: f64| 4.0 * (1.0 - sigmoid(0.1 * (0.3 - ratio)));
        let facts = (right + wrong(0.5) + wrong(-0.4)) / 3.0;
        let measured = measured(&part, &statistics, &found);
        assert!(
            measured[TrainMetric::RewardsAccuracies].is_nan(),
            "single completions have no accuracy"
        );
        assert!((found.loss - answers - facts).abs() < 1e-6, "{} {}", found.loss, answers + facts);
        let slope = |number: f64| sigmoid(number) * (1.0 - sigmoid(number));
        let of_answer = -0.1 * slope(0.1 * (0.8 - 0.45)) / 2.0;
        let of_wrong = 4.0 * 0.1 * slope(0.1 * (0.3 - 0.5)) / 3.0;
        assert!((f64::from(by_token[0][3]) - of_answer - of_wrong).abs() < 1e-7);
        assert!((f64::from(by_token[0][0]) - of_answer + 0.1 * slope(0.0) / 3.0).abs() < 1e-7);
        let undesired = 0.1 * slope(0.1 * (0.45 + 0.4)) / 2.0;
        assert!(
            (f64::from(by_token[1][0]) - undesired).abs() < 1e-7,
            "the first token states nothing"
        );
    }
}
