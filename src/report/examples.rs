//! The most telling answers: the same prompt before tuning and after it, where the precision changes most.

use std::collections::BTreeMap;

use maud::{Markup, html};

use super::{
    answers::{Judged, judged, marked},
    history::History,
    table::Places,
};
use crate::evaluation::{AnswerScore, Comparison};

/// At most so many arms stand below a prompt, beside the baseline.
const MOST_ARMS: usize = 4;

/// An arm's answers of one seed.
struct Shown<'a> {
    arm: &'a str,
    scores: BTreeMap<String, AnswerScore>,
    judged: Judged,
}

/// For the arm that gains most: the prompts on which it gains most at home and away, and the one on which it loses most, with
/// the answers of its baseline and of the arms beside it. Nothing where there is no such arm.
pub(super) fn examples(history: &History, comparisons: &[(&str, Comparison)]) -> Markup {
    let found = comparisons.iter().find_map(|(name, comparison)| {
        let best = best(comparison)?;
        let baseline = comparison.arms.iter().find(|arm| arm.name == best)?.baseline.as_deref()?;
        Some((name, comparison, best, baseline))
    });
    let Some((name, comparison, best, baseline)) = found else {
        return html! { p { "No arm was compared with a baseline in this run." } };
    };
    let mut names = vec![baseline];
    let beside = Places::new(comparison).beside(comparison, best);
    names.extend(beside.into_iter().filter(|arm| *arm != baseline && *arm != best).take(MOST_ARMS - 1));
    names.push(best);
    let seed = comparison.arms.iter().find(|arm| arm.name == best).and_then(|arm| arm.seeds.first());
    let (mut shown, mut problems): (Vec<Shown>, Vec<String>) = (Vec::new(), Vec::new());
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
    let (Some(before), Some(after)) =
        (shown.iter().find(|shown| shown.arm == baseline), shown.iter().find(|shown| shown.arm == best))
    else {
        return html! { p { "The answers of the compared arms are not there any more." } };
    };
    html! {
        p { "From " code { (name) } ": the prompts on which the precision of " code { (best) } ", the arm that gains most, rises most above that of "
            code { (baseline) } " at home and away, and the one on which it falls most"
            @if let Some(seed) = seed { ", in seed " (seed) } "; "
            mark.supported { "supported" } " " mark.unsupported { "not supported" } "." }
        @let telling = telling(&before.scores, &after.scores, comparison.in_domain.as_deref());
        @if telling.is_empty() { p { "No answer became more or less precise." } }
        @for id in telling {
            div.answer {
                @if let Some(response) = before.judged.response(&id) {
                    p.prompt { (response.prompt.text()) span.small { " " (response.domain) " · " (response.id) } }
                }
                @for Shown { arm, scores, judged } in &shown {
                    @if let (Some(score), Some(response)) = (scores.get(&id), judged.response(&id)) {
                        p { code { (arm) } span.small { " " (score.supported) " of " (score.facts) " facts right" } br;
                            (marked(response, judged)) }
                    }
                }
            }
        }
    }
}

/// The arm whose precision over all domains rises most.
fn best(comparison: &Comparison) -> Option<&str> {
    let last = comparison.rows.last()?.domain.as_str();
    let gains = comparison.rows.iter().filter(|row| row.domain == last && row.measure == "precision");
    let gains = gains.filter_map(|row| Some((row.difference?, row.arm.as_str())));
    // Of equal gains the first counts.
    gains
        .fold(None, |best: Option<(f64, &str)>, one| match best {
            Some(best) if best.0 >= one.0 => Some(best),
            _ => Some(one),
        })
        .map(|(_, arm)| arm)
}

/// The answers of an arm; nothing where they are not there.
fn find<'a>(history: &History, arm: &'a str, seed: Option<&str>) -> Option<Result<Shown<'a>, String>> {
    let seeded = seed.map(|seed| format!("{arm}{}seed={seed}", if arm.contains('@') { ',' } else { '@' }));
    let stage = history
        .stages
        .iter()
        .find(|stage| Some(&stage.outline.name) == seeded.as_ref() || stage.outline.name == arm)?;
    let file = stage.file("responses.csv")?;
    let judging = history.needed(stage, "verdicts.jsonl")?;
    let judged = judged(history, judging)?;
    let scores = csv::Reader::from_path(&file).and_then(|mut table| table.deserialize().collect());
    let scores = scores.map_err(|error| format!("the answers of `{arm}` cannot be shown: {}: {error}", file.display()));
    Some(scores.and_then(|scores: Vec<AnswerScore>| {
        let scores = scores.into_iter().map(|score| (score.response_id.clone(), score)).collect();
        Ok(Shown { arm, scores, judged: judged? })
    }))
}

/// The answers (by id) whose precision rises most at home and away, then the one whose precision falls most; of equal ones
/// those that state more facts, then the first by id.
fn telling(
    before: &BTreeMap<String, AnswerScore>,
    after: &BTreeMap<String, AnswerScore>,
    home: Option<&str>,
) -> Vec<String> {
    let change = |(id, after): (&String, &AnswerScore)| {
        let before = before.get(id)?;
        Some((after.precision? - before.precision?, after.facts + before.facts, after.domain.clone(), id.clone()))
    };
    let mut changes: Vec<(f64, usize, String, String)> = after.iter().filter_map(change).collect();
    changes.sort_by(|one, other| other.0.total_cmp(&one.0).then(other.1.cmp(&one.1)).then(one.3.cmp(&other.3)));
    let rises = |change: &&(f64, usize, String, String)| change.0 > 0.0;
    let at_home = changes.iter().filter(rises).find(|change| home == Some(&change.2));
    let away = changes.iter().filter(rises).find(|change| home != Some(&change.2));
    let deepest = changes.last().map_or(0.0, |change| change.0);
    let falls = changes.iter().filter(|change| change.0 < 0.0).find(|change| change.0 <= deepest);
    at_home.into_iter().chain(away).chain(falls).map(|change| change.3.clone()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::table::tests::comparison;

    fn score(id: &str, domain: &str, supported: usize, facts: usize) -> (String, AnswerScore) {
        let score = AnswerScore {
            response_id: id.to_owned(),
            prompt_id: id.to_owned(),
            sample: 0,
            topic: id.to_owned(),
            domain: domain.to_owned(),
            split: "test".to_owned(),
            facts,
            supported,
            unsupported: facts - supported,
            irrelevant: 0,
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
        (id.to_owned(), score)
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
        assert_eq!(telling(&before, &after, Some("people")), ["b", "d", "f"]);
        assert_eq!(telling(&before, &before, Some("people")), [""; 0]);
    }

    #[test]
    fn the_arm_that_gains_most_is_looked_at() {
        assert_eq!(best(&comparison(&["before", "a", "b"])), Some("b"));
        assert_eq!(best(&comparison(&["before"])), None);
    }
}
