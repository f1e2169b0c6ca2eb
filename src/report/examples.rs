//! Telling responses: prompts whose precision changes most by tuning, before and after.

use std::collections::BTreeMap;

use maud::{Markup, html};

use super::{
    answers::{JudgedFiles, JudgedResponses, key, marked, prompt},
    arm_table::beside,
    findings::telling_arm,
    history::{History, StageHistory},
    results::Results,
};
use crate::{
    diagnostic::counted,
    evaluation::{AnswerScore, ComparedArm, Comparison},
    rows::ResponseId,
};

/// Maximum number of arms shown below a prompt, beside the baseline.
const MOST_ARMS: usize = 4;

/// Prompts of each sort: gains in-domain, gains out-of-domain, and losses.
const EACH: usize = 2;

/// Responses of an arm for one seed.
struct ArmExample<'a> {
    arm: &'a str,
    scores: BTreeMap<ResponseId, AnswerScore>,
    files: JudgedFiles,
    /// The responses that are shown.
    judged: JudgedResponses,
}

/// The arm whose responses are shown, and its stage, in the seed that is shown.
pub(super) struct ToldArm<'a> {
    stage: &'a StageHistory,
    comparison: &'a Comparison,
    arm: &'a ComparedArm,
}

/// The arm of the first comparison that has one to show.
pub(super) fn told_arm<'a>(results: &'a Results<'_>) -> Option<ToldArm<'a>> {
    results.comparisons.iter().find_map(|(stage, comparison)| {
        Some(ToldArm { stage, comparison, arm: telling_arm(comparison)? })
    })
}

impl ToldArm<'_> {
    /// The scored stage of the arm, in its first seed.
    pub(super) fn scored<'a>(&self, history: &'a History) -> Option<&'a StageHistory> {
        scored(history, &self.arm.name, self.seed())
    }

    /// One seed, since texts have no mean.
    fn seed(&self) -> Option<&str> {
        self.arm.seeds.first().map(String::as_str)
    }
}

/// The largest gains in-domain and out-of-domain of an arm, and its largest losses, with the
/// responses of the baseline and of neighbouring arms.
pub(super) fn examples(history: &History, told: Option<&ToldArm<'_>>) -> Markup {
    let told = told.and_then(|told| Some((told, told.arm.baseline.as_deref()?)));
    let Some((told, baseline)) = told else {
        return html! { p { "No arm gained precision over a baseline without a warning." } };
    };
    let best = told.arm.name.as_str();
    // The baseline first, then neighbours for contrast, and the best arm last.
    let mut names = vec![baseline];
    let beside = beside(told.comparison, best).into_iter().filter(|arm| *arm != baseline);
    names.extend(beside.take(MOST_ARMS - 1));
    names.push(best);
    let (mut shown, mut problems): (Vec<ArmExample>, Vec<String>) = (Vec::new(), Vec::new());
    for arm in &names {
        match find(history, arm, told.seed()) {
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
    let telling = telling(&before.scores, &after.scores, told.comparison.in_domain.as_deref());
    for example in &mut shown {
        match example.files.read(&telling) {
            Ok(judged) => example.judged = judged,
            Err(problem) => return html! { p.failed { (problem) } },
        }
    }
    html! {
        (rule(told, baseline))
        @if telling.is_empty() { p { "No response changed in precision." } }
        @for id in telling { (example(&id, baseline, &shown)) }
    }
}

/// By which rule arm and prompts were chosen.
fn rule(told: &ToldArm<'_>, baseline: &str) -> Markup {
    html! {
        p { "Chosen by rule, from " code { (told.stage.name()) } ": " code { (told.arm.name) }
        " is the arm that gains most precision over " code { (baseline) } " out-of-domain, among \
        those that no warning concerns. Shown are the " (EACH) " responses with the largest gain \
        in-domain, the " (EACH) " with the largest gain out-of-domain and the " (EACH) "
        with the largest loss"
            @if let Some(seed) = told.seed() { ", in seed " (seed) }
            "; of equal changes those with more facts. " (key()) }
    }
}

fn example(id: &ResponseId, baseline: &str, shown: &[ArmExample<'_>]) -> Markup {
    let before = shown.iter().find(|shown| shown.arm == baseline);
    html! {
        div.answer {
            @if let Some(response) = before.and_then(|before| before.judged.response(id)) {
                (prompt(response))
            }
            @for ArmExample { arm, scores, judged, .. } in shown {
                @let found = scores.get(id).zip(judged.response(id));
                @if let Some((score, response)) = found {
                    p { code { (arm) }
                        span.small {
                            " " (score.supported) " of " (counted(score.facts, "fact")) " right"
                        }
                        br;
                        (marked(response, judged)) }
                }
            }
        }
    }
}

/// The scored stage of an arm; one without seeds has one cell for all of them.
fn scored<'a>(history: &'a History, arm: &str, seed: Option<&str>) -> Option<&'a StageHistory> {
    history.stages.iter().find(|stage| {
        stage.cell.arm() == arm && stage.cell.seed.as_deref().is_none_or(|own| Some(own) == seed)
    })
}

/// The responses of an arm, if they are in the store.
fn find<'a>(
    history: &History,
    arm: &'a str,
    seed: Option<&str>,
) -> Option<Result<ArmExample<'a>, String>> {
    let stage = scored(history, arm, seed)?;
    let file = stage.file("responses.csv")?;
    let judging = history.needed(stage, "verdicts.jsonl")?;
    let files = JudgedFiles::behind(history, judging)?;
    let scores = csv::Reader::from_path(&file).and_then(|mut table| table.deserialize().collect());
    let scores = scores.map_err(|error| {
        format!("cannot show the responses of `{arm}`: {}: {error}", file.display())
    });
    Some(scores.map(|scores: Vec<AnswerScore>| {
        let scores = scores.into_iter().map(|score| (score.response_id.clone(), score)).collect();
        ArmExample { arm, scores, files, judged: JudgedResponses::default() }
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

/// The ids of the largest in-domain and out-of-domain gains, then of the largest losses; ties go to
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
    let rises = changes.iter().filter(|change| change.rise > 0.0);
    let (inside, outside): (Vec<&PrecisionChange>, Vec<&PrecisionChange>) =
        rises.partition(|change| home == Some(change.domain));
    let mut falls: Vec<&PrecisionChange> =
        changes.iter().filter(|change| change.rise < 0.0).collect();
    // Sorted again: of equal losses too the first has most facts.
    falls.sort_by(|one, other| {
        let by_rise = one.rise.total_cmp(&other.rise);
        by_rise.then(other.facts.cmp(&one.facts)).then(one.id.cmp(other.id))
    });
    let chosen = [inside, outside, falls].into_iter().flat_map(|sort| sort.into_iter().take(EACH));
    chosen.map(|change| change.id.clone()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

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
        let expected = ["b", "a", "d", "f", "e"].map(ResponseId::from);
        assert_eq!(telling(&before, &after, Some("people")), expected);
        assert_eq!(telling(&before, &before, Some("people")), []);
    }
}
