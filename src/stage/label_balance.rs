//! Whether labels of answers tell enough: both kinds, in balance, and answers to other prompts to compare with.

use super::{Context, StageError};
use crate::tuning::{Objective, Preference, RowBatches, Setting, TokenRow};

/// Within what factor the two kinds of labels may count (Ethayarajh et al. 2024, arXiv 2402.01306, equation 8).
const BALANCE: [f64; 2] = [1.0, 1.33];

/// How many answers of a kind there are, and what they count together.
#[derive(Clone, Copy, Debug, Default)]
struct Labels {
    answers: usize,
    weight: f64,
}

/// What weights would bring labels into balance.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Recommended {
    desirable: [f64; 2],
    undesirable: [f64; 2],
}

/// Says where labels tell too little for an objective.
///
/// # Errors
/// Where nothing would be learnt from the rows.
pub(super) fn check_labels(
    context: &Context,
    objective: &Objective,
    rows: &[TokenRow],
    learnt: &[usize],
) -> Result<(), StageError> {
    let [mut desirable, mut undesirable] = [Labels::default(); 2];
    for row in learnt.iter().map(|row| &rows[*row]) {
        let kinds = [(row.has_desirable(), &mut desirable), (row.has_undesirable(), &mut undesirable)];
        for (_, labels) in kinds.into_iter().filter(|(is_there, _)| *is_there) {
            labels.answers += 1;
            labels.weight += row.weight;
        }
    }
    let (wanted, unwanted) = (desirable.answers, undesirable.answers);
    if objective.names() == ["sft"] {
        if wanted == 0 {
            let problem = format!("none of {unwanted} answers is wanted (`label` true): `sft` learns from these only");
            return Err(StageError(problem));
        }
        let alone = learnt.iter().filter(|row| !rows[**row].has_desirable()).count();
        if alone > 0 {
            context.note(format!(
                "{alone} of {} rows are unwanted answers, from which `sft` learns nothing",
                learnt.len()
            ));
        }
        return Ok(());
    }
    if wanted == 0 || unwanted == 0 {
        let (there, missing) = if wanted == 0 { ("unwanted", "wanted") } else { ("wanted", "unwanted") };
        context.warn(format!(
            "all {} answers are {there} ones (`label` {}), none is {missing}: the model learns from one label only",
            learnt.len(),
            wanted > 0
        ));
        return Ok(());
    }
    let weights = [Setting::DesirableWeight, Setting::UndesirableWeight].map(|weight| objective.setting(weight));
    if let [Some(for_desirable), Some(for_undesirable)] = weights
        && let Some(found) = recommended([desirable.weight, undesirable.weight], [for_desirable, for_undesirable])
    {
        let ([least, most], [unwanted_least, unwanted_most]) = (found.desirable, found.undesirable);
        context.warn(format!(
            "labels are out of balance: {wanted} wanted and {unwanted} unwanted answers, with `desirable_weight` \
             {for_desirable} and `undesirable_weight` {for_undesirable}; KTO's paper asks for `desirable_weight` from \
             {least:.2} to {most:.2}, or `undesirable_weight` from {unwanted_least:.2} to {unwanted_most:.2}, not both"
        ));
    }
    Ok(())
}

/// Says where a reference point cannot be estimated, since prompts are not mismatched with answers to others.
pub(super) fn check_mismatches(context: &Context, preference: &Preference, batches: &RowBatches) {
    let mismatches = preference.all_mismatches(batches.order());
    let rows = &preference.rows;
    let own = mismatches.iter().filter(|(row, other)| rows[*row].prompt == rows[*other].prompt).count();
    if own > 0 {
        context.warn(format!(
            "{own} of {} prompts have no answer to another prompt beside them: the reference point (KTO's z) cannot be \
             estimated from answers to the same prompt",
            mismatches.len()
        ));
    }
}

/// The weights that would do, to two places as TRL says them; none where those that are there do.
fn recommended([desirable, undesirable]: [f64; 2], weights: [f64; 2]) -> Option<Recommended> {
    let places = |value: f64| (100.0 * value).round() / 100.0;
    let [least, most] = BALANCE;
    let ratio = undesirable * weights[1] / desirable;
    let inverse = desirable * weights[0] / undesirable;
    let found = Recommended {
        desirable: [places(ratio * least), places(ratio * most)],
        undesirable: [places(inverse / most), places(inverse / least)],
    };
    let is_in = |[least, most]: [f64; 2], weight: f64| (least..=most).contains(&weight);
    let is_right = desirable == undesirable && weights[0] == weights[1]
        || is_in(found.desirable, weights[0])
        || is_in(found.undesirable, weights[1]);
    (!is_right).then_some(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The numbers that TRL 1.16 prints for these counts and weights (`KTOTrainer.__init__`).
    #[test]
    fn weights_are_those_that_trl_recommends() {
        let found = recommended([1.0, 23.0], [1.0, 1.0]).unwrap();
        assert_eq!((found.desirable, found.undesirable), ([23.0, 30.59], [0.03, 0.04]));
        let found = recommended([30.0, 10.0], [1.0, 1.0]).unwrap();
        assert_eq!((found.desirable, found.undesirable), ([0.33, 0.44], [2.26, 3.0]));
        for (counts, weights) in [
            ([5.0, 5.0], [1.0, 1.0]),
            ([1.0, 23.0], [25.0, 1.0]),
            ([1.0, 23.0], [1.0, 0.04]),
            ([100.0, 120.0], [1.3, 1.0]),
            ([13.0, 12.0], [1.0, 1.0]),
        ] {
            assert_eq!(recommended(counts, weights), None, "{counts:?} {weights:?}");
        }
    }
}
