//! The term of FactAlign's loss that looks at single facts of answers (Huang and Chen 2024, arXiv 2410.01691).

use super::{
    objective::{Label, Scored, Statistics},
    preference::{PolicyView, Preference},
};

/// Adds what the facts of a part of a batch contribute to the derivatives by tokens; returns their part of the loss.
///
/// The term is the mean over all facts of the batch, so that its parts add up.
pub(super) fn add(
    preference: &Preference,
    batch: &[usize],
    first: usize,
    views: &[PolicyView],
    statistics: &Statistics,
    by_token: &mut [Vec<f32>],
) -> f64 {
    if !preference.objective.looks_at_facts() {
        return 0.0;
    }
    let facts_of = |row: &usize| preference.rows[*row].answers().iter().map(|answer| answer.facts.len()).sum::<usize>();
    let share = 1.0 / batch.iter().map(facts_of).sum::<usize>().max(1) as f64;
    let mut by_answer = by_token.iter_mut();
    let mut loss = 0.0;
    for (row, view) in batch[first..].iter().zip(views) {
        for (number, answer) in preference.rows[*row].answers().iter().enumerate() {
            let by_token = by_answer.next().expect("each answer has derivatives");
            for fact in &answer.facts {
                let sum = |tokens: &[f32]| tokens[fact.tokens.clone()].iter().map(|value| f64::from(*value)).sum();
                let policy = sum(&view.answers[number]);
                let reference = preference.reference_of(*row, view).map_or(policy, |answers| sum(&answers[number]));
                let scored = Scored { policy, reference, tokens: fact.tokens.len() as f64 };
                let label = if fact.supported { Label::Desirable } else { Label::Undesirable };
                let found = preference.objective.fact_loss(&scored, label, statistics);
                let share = share * preference.rows[*row].weight;
                by_token[fact.tokens.clone()].iter_mut().for_each(|by| *by += (share * found.by[0]) as f32);
                loss += share * found.value;
            }
        }
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
        Mismatch, Modifiers, Objective, Reference, TokenAnswer, TokenFact, TokenPreference, TokenRow,
        preference::Derivative,
    };

    fn row(prompt: u32, preference: fn(TokenAnswer) -> TokenPreference, facts: &[(usize, usize, bool)]) -> TokenRow {
        let fact =
            |(from, to, supported): &(usize, usize, bool)| TokenFact { tokens: *from..*to, supported: *supported };
        let answer = TokenAnswer { facts: facts.iter().map(fact).collect(), ..vec![5, 6, 7, 8].into() };
        TokenRow::new(vec![prompt], preference(answer))
    }

    /// Two answers of four tokens, worked out by hand: r of the answers 0.8 and -0.4, of the facts 0.3, 0.5 and -0.4.
    #[test]
    fn facts_and_answers_are_weighed_against_points_of_their_own() {
        let rows = vec![
            row(1, TokenPreference::Desirable, &[(0, 2, true), (2, 4, false)]),
            row(2, TokenPreference::Undesirable, &[(1, 3, false)]),
        ];
        let preference = Preference {
            objective: Objective::plain("fact_kto", &[]).unwrap(),
            modifiers: Modifiers::default(),
            reference: Reference { answers: vec![vec![vec![-1.0; 4]]; 2], ..Reference::default() },
            rows,
            mismatch: Mismatch::Fixed,
            moving: None,
            held_out: None,
        };
        let mismatches = preference.mismatches(&[0, 1]);
        assert_eq!(mismatches, [(0, 1), (1, 0)]);
        let points = preference.reference_points(&mismatches, &[vec![-3.4], vec![-3.7]], &[vec![-4.0], vec![-4.0]]);
        assert!((points[0] - 0.45).abs() < 1e-12 && (points[1] - 0.3).abs() < 1e-12, "{points:?}");
        let view = |values: [f32; 4]| PolicyView {
            answers: vec![values.to_vec()],
            logits: vec![0.0],
            ..PolicyView::default()
        };
        let views = [view([-0.9, -0.8, -0.8, -0.7]), view([-1.0, -1.2, -1.2, -1.0])];
        let statistics = Statistics { reference_point: points[0], fact_point: points[1], ..Statistics::default() };
        let losses = preference.objective.losses(&preference.scored(&[0, 1], &views, false), &statistics);
        let Derivative { by_token, measured } = preference.derivative(&[0, 1], 0, &views, &losses, &statistics);
        let sigmoid = |number: f64| 1.0 / (1.0 + (-number).exp());
        let answers = (1.0 - sigmoid(0.1 * (0.8 - 0.45)) + 1.0 - sigmoid(0.1 * (0.45 + 0.4))) / 2.0;
        let right = 1.0 - sigmoid(0.1 * (0.3 - 0.3));
        let wrong = |ratio: f64| 4.0 * (1.0 - sigmoid(0.1 * (0.3 - ratio)));
        let facts = (right + wrong(0.5) + wrong(-0.4)) / 3.0;
        assert!(measured[6].is_nan(), "single answers have no accuracy");
        assert!((measured[0] - answers - facts).abs() < 1e-6, "{} {}", measured[0], answers + facts);
        let slope = |number: f64| sigmoid(number) * (1.0 - sigmoid(number));
        let of_answer = -0.1 * slope(0.1 * (0.8 - 0.45)) / 2.0;
        let of_wrong = 4.0 * 0.1 * slope(0.1 * (0.3 - 0.5)) / 3.0;
        assert!((f64::from(by_token[0][3]) - of_answer - of_wrong).abs() < 1e-7);
        assert!((f64::from(by_token[0][0]) - of_answer + 0.1 * slope(0.0) / 3.0).abs() < 1e-7);
        let undesired = 0.1 * slope(0.1 * (0.45 + 0.4)) / 2.0;
        assert!((f64::from(by_token[1][0]) - undesired).abs() < 1e-7, "the first token states nothing");
    }
}
