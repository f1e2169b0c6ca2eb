//! Checks of labelled completions: both labels present, balanced, and with completions of other
//! prompts to compare.

use super::preference_rows::none_wanted;
use crate::{
    context::{Context, StageError},
    tuning::{Objective, Preference, RowBatches, Setting, TokenRow},
};

/// Accepted ratio of the weighted label counts (Ethayarajh et al. 2024, arXiv 2402.01306, equation
/// 8).
const BALANCE: [f64; 2] = [1.0, 1.33];

/// Number and weight of each label.
#[derive(Clone, Copy, Debug, Default)]
struct LabelCounts {
    answers: usize,
    weight: f64,
}

impl LabelCounts {
    /// Counts of desirable and undesirable completions among these rows; a pair has one of each.
    fn of_both(rows: &[TokenRow], learnt: &[usize]) -> [Self; 2] {
        let [mut desirable, mut undesirable] = [Self::default(); 2];
        for row in learnt.iter().map(|row| &rows[*row]) {
            if row.has_desirable() {
                desirable.add(row);
            }
            if row.has_undesirable() {
                undesirable.add(row);
            }
        }
        [desirable, undesirable]
    }

    fn add(&mut self, row: &TokenRow) {
        self.answers += 1;
        self.weight += row.weight;
    }
}

/// Weights that balance the labels.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Recommended {
    desirable: [f64; 2],
    undesirable: [f64; 2],
}

/// Warns of label distributions that an objective cannot use.
///
/// # Errors
/// If nothing would be learnt.
pub fn check_labels(
    context: &Context,
    objective: &Objective,
    rows: &[TokenRow],
    learnt: &[usize],
) -> Result<(), StageError> {
    let [desirable, undesirable] = LabelCounts::of_both(rows, learnt);
    let (wanted, unwanted) = (desirable.answers, undesirable.answers);
    if objective.names() == ["sft"] {
        return check_desirable(context, unwanted, rows, learnt);
    }
    let weights = [Setting::DesirableWeight, Setting::UndesirableWeight]
        .map(|weight| objective.setting(weight));
    // A sum with another algorithm, a likelihood term or single facts still learn from such rows.
    if let ([Some(for_desirable), Some(for_undesirable)], [name]) =
        (weights, objective.names().as_slice())
        && for_desirable * desirable.weight + for_undesirable * undesirable.weight == 0.0
        && objective.rpo_alpha == 0.0
        && !objective.looks_at_facts()
    {
        return Err(StageError(format!(
            "`{name}` learns nothing from {wanted} desirable and {unwanted} undesirable \
            completions, with `desirable_weight` \
             {for_desirable} and `undesirable_weight` {for_undesirable}"
        )));
    }
    if wanted == 0 || unwanted == 0 {
        let (there, missing) =
            if wanted == 0 { ("undesirable", "desirable") } else { ("desirable", "undesirable") };
        context.warn(format!(
            "all {} completions are {there} (`label` {}), none is {missing}: the model learns \
            from one label only",
            learnt.len(),
            wanted > 0
        ));
        return Ok(());
    }
    if let [Some(for_desirable), Some(for_undesirable)] = weights
        && (for_desirable == 0.0 || for_undesirable == 0.0)
    {
        let (field, there) = match for_desirable == 0.0 {
            true => ("desirable_weight", "desirable"),
            false => ("undesirable_weight", "undesirable"),
        };
        context.warn(format!("`{field}` is 0: nothing is learnt from the {there} completions"));
        return Ok(());
    }
    // Algorithms without these weights have no balance to restore.
    if let [Some(for_desirable), Some(for_undesirable)] = weights
        && let Some(found) =
            recommended([desirable.weight, undesirable.weight], [for_desirable, for_undesirable])
    {
        let ([least, most], [unwanted_least, unwanted_most]) = (found.desirable, found.undesirable);
        context.warn(format!(
            "labels are out of balance: {wanted} desirable and {unwanted} undesirable \
            completions, with `desirable_weight` {for_desirable} and `undesirable_weight` \
            {for_undesirable}; KTO's paper asks for `desirable_weight` from {least:.2} to \
            {most:.2}, or `undesirable_weight` from {unwanted_least:.2} to {unwanted_most:.2}, \
            not both"
        ));
    }
    Ok(())
}

/// `sft` learns from desirable completions only.
fn check_desirable(
    context: &Context,
    unwanted: usize,
    rows: &[TokenRow],
    learnt: &[usize],
) -> Result<(), StageError> {
    let alone = learnt.iter().filter(|row| !rows[**row].has_desirable()).count();
    if alone == learnt.len() {
        return Err(StageError(none_wanted(unwanted)));
    }
    if alone > 0 {
        context.note(format!(
            "{alone} of {} rows are undesirable completions, from which `sft` learns nothing",
            learnt.len()
        ));
    }
    Ok(())
}

/// Warns if the reference point cannot be estimated, because prompts have no mismatched
/// completions.
pub fn check_mismatches(context: &Context, preference: &Preference, batches: &RowBatches) {
    let mismatches = preference.all_mismatches(batches.order());
    let rows = &preference.rows;
    // A single prompt, in the data or in a batch, is combined with its own completions.
    let own =
        mismatches.iter().filter(|(row, other)| rows[*row].prompt == rows[*other].prompt).count();
    if own > 0 {
        context.warn(format!(
            "{own} of {} prompts have no completion of another prompt beside them: the reference \
            point (KTO's z) cannot be estimated from completions of the same prompt",
            mismatches.len()
        ));
    }
}

/// Balancing weights, rounded to two decimals as in TRL; none if the labels are balanced.
fn recommended([desirable, undesirable]: [f64; 2], weights: [f64; 2]) -> Option<Recommended> {
    let [least, most] = BALANCE;
    let ratio = undesirable * weights[1] / desirable;
    let inverse = desirable * weights[0] / undesirable;
    let found = Recommended {
        desirable: [in_cents(ratio * least), in_cents(ratio * most)],
        undesirable: [in_cents(inverse / most), in_cents(inverse / least)],
    };
    // By the rounded bounds, so that nobody is warned of a weight that an earlier warning named.
    // Equal counts and weights are right even where rounding moves a bound past them.
    let is_right = desirable == undesirable && weights[0] == weights[1]
        || is_within(found.desirable, weights[0])
        || is_within(found.undesirable, weights[1]);
    (!is_right).then_some(found)
}

fn in_cents(value: f64) -> f64 {
    (100.0 * value).round() / 100.0
}

fn is_within([least, most]: [f64; 2], weight: f64) -> bool {
    (least..=most).contains(&weight)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Numbers printed by TRL 1.16 for these counts and weights (`KTOTrainer.__init__`).
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
