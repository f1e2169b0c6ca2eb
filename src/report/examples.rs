//! Example responses: prompts whose precision changes most by tuning, before and after.

use std::collections::BTreeMap;

use maud::{Markup, html};

use super::{
    answers::{JudgedResponses, judged, marked, prompt},
    history::History,
    table::Places,
};
use crate::{
    evaluation::{AnswerScore, Comparison},
    rows::{MeasureName, ResponseId},
};

/// Maximum number of arms shown below a prompt, beside the baseline.
const MOST_ARMS: usize = 4;

/// Responses of an arm for one seed.
struct ArmExample<'a> {
    arm: &'a str,
    scores: BTreeMap<ResponseId, AnswerScore>,
    judged: JudgedResponses,
}

/// For the best arm: its largest gains in-domain and out-of-domain, and its largest loss, with the
/// responses of the baseline and of neighbouring arms.
pub(super) fn examples(history: &History, comparisons: &[(&str, Comparison)]) -> Markup {
    let found = comparisons.iter().find_map(|(name, comparison)| {
        let best = best(comparison)?;
        let baseline = comparison.arms.iter().find(|arm| arm.name == best)?.baseline.as_deref()?;
        Some((name, comparison, best, baseline))
    });
    let Some((name, comparison, best, baseline)) = found else {
        return html! { p { "No arm was compared with a baseline in this run." } };
    };
    // The baseline first, then neighbours for contrast, and the best arm last.
    let mut names = vec![baseline];
    let beside = Places::new(comparison).beside(comparison, best);
    names.extend(
        beside.into_iter().filter(|arm| *arm != baseline && *arm != best).take(MOST_ARMS - 1),
    );
    names.push(best);
    // One seed, since texts have no mean.
    let seed =
        comparison.arms.iter().find(|arm| arm.name == best).and_then(|arm| arm.seeds.first());
    let (mut shown, mut problems): (Vec<ArmExample>, Vec<String>) = (Vec::new(), Vec::new());
    for arm in &names {
        match find(history, arm, seed.map(String::as_str)) {
            Some(Ok(found)) => shown.push(found),
            Some(Err(problem)) => problems.push(problem),
            None => {}
        }
    }
    if !problems.is_empty() {
        return html! { @for problem in &problems { p.failed { (problem) } } };
    }
    let (Some(before), Some(after)) = (
        shown.iter().find(|shown| shown.arm == baseline),
        shown.iter().find(|shown| shown.arm == best),
    ) else {
        return html! { p { "The responses of the compared arms are no longer in the store." } };
    };
    html! {
        p { "From " code { (name) } ": the prompts on which " code { (best) } ", the arm with \
        the largest gain, gains most precision over"
            code { (baseline) } " in-domain and out-of-domain, and the one on which it loses most"
            @if let Some(seed) = seed { ", in seed " (seed) } "; "
            mark.supported { "supported" } " " mark.unsupported { "unsupported" } "." }
        @let telling = telling(&before.scores, &after.scores, comparison.in_domain.as_deref());
        @if telling.is_empty() { p { "No response changed in precision." } }
        @for id in telling {
            div.answer {
                @if let Some(response) = before.judged.response(&id) {
                    (prompt(response))
                }
                @for ArmExample { arm, scores, judged } in &shown {
                    @let found = scores.get(&id).zip(judged.response(&id));
                    @if let Some((score, response)) = found {
                        p { code { (arm) }
                            span.small { " " (score.supported) " of " (score.facts) " facts right" }
                            br;
                            (marked(response, judged)) }
                    }
                }
            }
        }
    }
}

/// The arm with the largest gain in precision over all domains.
fn best(comparison: &Comparison) -> Option<&str> {
    // Means over domains come last, and the one over all domains is the very last.
    let last = comparison.rows.last()?.domain.as_str();
    let gains = comparison
        .rows
        .iter()
        .filter(|row| row.domain == last && row.measure == MeasureName::Precision);
    let gains = gains.filter_map(|row| Some((row.difference?, row.arm.as_str())));
    // The first of equal gains wins.
    gains
        .fold(None, |best: Option<(f64, &str)>, one| match best {
            Some(best) if best.0 >= one.0 => Some(best),
            _ => Some(one),
        })
        .map(|(_, arm)| arm)
}

/// The responses of an arm, if they are in the store.
fn find<'a>(
    history: &History,
    arm: &'a str,
    seed: Option<&str>,
) -> Option<Result<ArmExample<'a>, String>> {
    // An arm without seeds has one cell for all of them.
    let stage = history.stages.iter().find(|stage| {
        stage.cell.arm() == arm && stage.cell.seed.as_deref().is_none_or(|own| Some(own) == seed)
    })?;
    let file = stage.file("responses.csv")?;
    let judging = history.needed(stage, "verdicts.jsonl")?;
    let judged = judged(history, judging)?;
    let scores = csv::Reader::from_path(&file).and_then(|mut table| table.deserialize().collect());
    let scores = scores.map_err(|error| {
        format!("cannot show the responses of `{arm}`: {}: {error}", file.display())
    });
    Some(scores.and_then(|scores: Vec<AnswerScore>| {
        let scores = scores.into_iter().map(|score| (score.response_id.clone(), score)).collect();
        Ok(ArmExample { arm, scores, judged: judged? })
    }))
}

/// A response whose precision changed.
struct PrecisionChange<'a> {
    id: &'a ResponseId,
    domain: &'a str,
    rise: f64,
    /// Number of facts before and after.
    facts: usize,
}

/// The ids of the largest in-domain and out-of-domain gains, then of the largest loss; ties go to
/// more facts, then to the smaller id.
fn telling(
    before: &BTreeMap<ResponseId, AnswerScore>,
    after: &BTreeMap<ResponseId, AnswerScore>,
    home: Option<&str>,
) -> Vec<ResponseId> {
    let mut changes: Vec<PrecisionChange> = after
        .iter()
        .filter_map(|(id, after)| {
            let before = before.get(id)?;
            Some(PrecisionChange {
                id,
                domain: &after.domain,
                rise: after.precision? - before.precision?,
                facts: after.facts + before.facts,
            })
        })
        .collect();
    changes.sort_by(|one, other| {
        let by_rise = other.rise.total_cmp(&one.rise);
        by_rise.then(other.facts.cmp(&one.facts)).then(one.id.cmp(other.id))
    });
    let mut rises = changes.iter().filter(|change| change.rise > 0.0);
    let in_domain = rises.clone().find(|change| home == Some(change.domain));
    let out_of_domain = rises.find(|change| home != Some(change.domain));
    // Of equal losses the first has most facts; the last in order has fewest.
    let deepest = changes.last().map_or(0.0, |change| change.rise);
    let falls = changes.iter().filter(|change| change.rise < 0.0);
    let loss = falls.into_iter().find(|change| change.rise <= deepest);
    [in_domain, out_of_domain, loss].into_iter().flatten().map(|change| change.id.clone()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::table::tests::comparison;

    fn score(id: &str, domain: &str, supported: usize, facts: usize) -> (ResponseId, AnswerScore) {
        let score = AnswerScore {
            response_id: id.into(),
            prompt_id: id.to_owned(),
            sample: 0,
            topic: id.to_owned(),
            domain: domain.to_owned(),
            split: "test".to_owned(),
            facts,
            supported,
            unsupported: facts - supported,
            irrelevant: 0,
            undecided: 0,
            distinct_supported: supported,
            distinct_unsupported: facts - supported,
            repeats: 0,
            empty: facts == 0,
            abstained: false,
            unfinished: false,
            characters: 1,
            precision: (facts > 0).then(|| supported as f64 / facts as f64),
            deduplicated: None,
            factscore: None,
            f1_at_k: 0.0,
        };
        (id.into(), score)
    }

    #[test]
    fn the_largest_changes_are_shown() {
        let before = BTreeMap::from([
            score("a", "people", 0, 2),
            score("b", "people", 0, 4),
            score("c", "people", 0, 0),
            score("d", "elements", 1, 2),
            score("e", "elements", 2, 2),
            score("f", "elements", 4, 4),
            score("g", "elements", 2, 2),
        ]);
        let after = BTreeMap::from([
            score("a", "people", 2, 2),
            score("b", "people", 4, 4),
            score("c", "people", 9, 9),
            score("d", "elements", 2, 2),
            score("e", "elements", 0, 2),
            score("f", "elements", 0, 4),
            score("g", "elements", 2, 2),
        ]);
        assert_eq!(telling(&before, &after, Some("people")), ["b", "d", "f"].map(ResponseId::from));
        assert_eq!(telling(&before, &before, Some("people")), []);
    }

    #[test]
    fn the_arm_that_gains_most_is_looked_at() {
        assert_eq!(best(&comparison(&["before", "a", "b"])), Some("b"));
        assert_eq!(best(&comparison(&["before"])), None);
    }
}
