//! How well a model knows facts: its answers to the question for each are right, contradict it, or are something else.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use crate::{
    facts::{normalise, words},
    language::{Claim, Evidence, Finish, Judgement, Knowing, ProbedAnswer, ProbedFact, Prompt, Reply, Response},
    verification::{TallyError, tallies},
};

use super::{Answers, draw::ROUNDING};

/// From how many answers on a fact is known, or potentially known.
#[derive(Clone, Copy, Debug)]
pub struct Thresholds {
    /// The share of right answers from which on it is known.
    pub known: f64,
    /// Right answers that a potentially known fact has at least.
    pub least_right: usize,
    /// Contradicting answers that it has at least.
    pub least_contradicting: usize,
}

/// A row of `probe.csv`: the facts of one attribute.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct ClassCounts {
    /// The domain.
    pub domain: String,
    /// The attribute; empty where it is not known.
    pub attribute: String,
    /// Facts.
    pub facts: usize,
    /// Known ones.
    pub known: usize,
    /// Potentially known ones.
    pub potential: usize,
    /// Unknown ones.
    pub unknown: usize,
    /// Answers in all.
    pub answers: usize,
    /// Right ones.
    pub right: usize,
    /// Contradicting ones.
    pub contradicting: usize,
    /// All others.
    pub other: usize,
}

/// Why facts cannot be classified.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProbeError {
    /// Rows do not fit together.
    #[error(transparent)]
    Tally(#[from] TallyError),
    /// An answer's question is missing.
    #[error(
        "the answer `{0}` is to `{1}`, which is no question of the prompts; answers must be those to these questions"
    )]
    UnknownQuestion(String, String),
}

/// Classifies each fact that was asked for, in the order of the questions.
///
/// An answer is right where a supported claim of it is of the fact, and contradicting where an unsupported one is; where
/// it has both kinds, none, or was cut off, it is something else. A claim is of the fact where the knowledge's nearest
/// sentence to it answers the question; a question that says no such sentences was made from a claim, and all that an
/// answer claims is of its fact. A fact is known before it is potentially known.
///
/// # Errors
/// Where rows do not belong together.
pub fn probe(questions: &[Prompt], answers: Answers, thresholds: Thresholds) -> Result<Vec<ProbedFact>, ProbeError> {
    let judged = tallies(answers.responses, answers.claims, answers.verdicts)?;
    let evidence: BTreeMap<&str, &[Evidence]> =
        answers.verdicts.iter().map(|verdict| (verdict.claim_id.as_str(), verdict.evidence.as_slice())).collect();
    let places: BTreeMap<&str, usize> =
        questions.iter().enumerate().map(|(index, question)| (question.id.as_str(), index)).collect();
    let mut by_question: Vec<Vec<usize>> = vec![Vec::new(); questions.len()];
    for (index, response) in answers.responses.iter().enumerate() {
        let unknown = || ProbeError::UnknownQuestion(response.id.clone(), response.prompt_id.clone());
        by_question[*places.get(response.prompt_id.as_str()).ok_or_else(unknown)?].push(index);
    }
    let mut facts = Vec::new();
    for (question, indices) in questions.iter().zip(by_question) {
        let Some(first) = indices.first() else { continue };
        let asked = &answers.responses[*first].prompt;
        let truth: BTreeSet<String> = question.answers.iter().map(|sentence| normalise(sentence)).collect();
        let is_of_fact = |claim: &Claim| {
            truth.is_empty() || evidence[claim.id.as_str()].iter().any(|found| truth.contains(&normalise(&found.text)))
        };
        let reply = |index: &usize| reply(&answers.responses[*index], &judged[*index], &is_of_fact);
        let replies: Vec<ProbedAnswer> = indices.iter().map(reply).collect();
        facts.push(fact(Prompt { prompt: asked.clone(), ..question.clone() }, replies, thresholds));
    }
    Ok(facts)
}

/// What one answer is to the fact.
fn reply(response: &Response, judged: &[(&Claim, Judgement)], is_of_fact: &dyn Fn(&Claim) -> bool) -> ProbedAnswer {
    let checkable: Vec<&(&Claim, Judgement)> =
        judged.iter().filter(|(_, judgement)| *judgement != Judgement::Irrelevant).collect();
    let of_fact: Vec<&(&Claim, Judgement)> = checkable.iter().copied().filter(|(claim, _)| is_of_fact(claim)).collect();
    let has = |wanted: Judgement| of_fact.iter().any(|(_, judgement)| *judgement == wanted);
    let reply = match (has(Judgement::Supported), has(Judgement::Unsupported)) {
        _ if response.finish == Finish::Length => Reply::Other,
        (true, false) => Reply::Right,
        (false, true) => Reply::Contradicting,
        _ => Reply::Other,
    };
    let decides = of_fact.first().or(checkable.first());
    ProbedAnswer {
        id: response.id.clone(),
        output: response.output.clone(),
        finish: response.finish,
        reply,
        claims: checkable.len(),
        claim: decides.map(|(claim, _)| claim.text.clone()).unwrap_or_default(),
        span: decides.map_or([0, 0], |(claim, _)| claim.span),
        judgement: decides.map(|(_, judgement)| *judgement),
    }
}

fn fact(question: Prompt, answers: Vec<ProbedAnswer>, thresholds: Thresholds) -> ProbedFact {
    let count = |reply: Reply| answers.iter().filter(|answer| answer.reply == reply).count();
    let (n, right, contradicting) = (answers.len(), count(Reply::Right), count(Reply::Contradicting));
    let class = if right as f64 + ROUNDING >= thresholds.known * n as f64 {
        Knowing::Known
    } else if right >= thresholds.least_right && contradicting >= thresholds.least_contradicting {
        Knowing::Potential
    } else {
        Knowing::Unknown
    };
    let mut bins: BTreeMap<String, usize> = BTreeMap::new();
    answers.iter().for_each(|answer| *bins.entry(bin_of(answer)).or_default() += 1);
    let shares: Vec<f64> = bins.values().map(|count| *count as f64 / n as f64).collect();
    ProbedFact {
        id: question.id,
        topic: question.topic,
        domain: question.domain,
        split: question.split,
        attribute: question.attribute,
        question: question.prompt,
        truth: question.answers,
        claim: question.claim,
        class,
        n,
        right,
        contradicting,
        other: n - right - contradicting,
        max_conf: shares.iter().copied().fold(0.0, f64::max),
        exp_conf: shares.iter().map(|share| share * share).sum(),
        neg_ent: shares.iter().map(|share| share * share.ln()).sum(),
        answers,
    }
}

/// The bin of equivalent answers: by its claim, or its whole text where it claims nothing.
pub(super) fn bin_of(answer: &ProbedAnswer) -> String {
    bin(if answer.claim.is_empty() { &answer.output } else { &answer.claim })
}

/// Texts are equivalent where their normal forms have the same set of words (the first two of FactTune's rules; the
/// others are for answers that are no sentences).
pub(super) fn bin(text: &str) -> String {
    words(text).into_iter().collect::<BTreeSet<_>>().into_iter().collect::<Vec<_>>().join(" ")
}

/// How many facts are of which class, by domain and attribute, in the order in which they first occur.
pub fn class_counts(facts: &[ProbedFact]) -> Vec<ClassCounts> {
    let mut rows: Vec<ClassCounts> = Vec::new();
    for fact in facts {
        let attribute = fact.attribute.clone().unwrap_or_default();
        let is_its = |row: &ClassCounts| row.domain == fact.domain && row.attribute == attribute;
        let index = rows.iter().position(is_its).unwrap_or_else(|| {
            rows.push(ClassCounts { domain: fact.domain.clone(), attribute, ..ClassCounts::default() });
            rows.len() - 1
        });
        let row = &mut rows[index];
        row.facts += 1;
        match fact.class {
            Knowing::Known => row.known += 1,
            Knowing::Potential => row.potential += 1,
            Knowing::Unknown => row.unknown += 1,
        }
        row.answers += fact.n;
        row.right += fact.right;
        row.contradicting += fact.contradicting;
        row.other += fact.other;
    }
    rows
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::preference::asked::tests::{question, verdict};

    pub(crate) const THRESHOLDS: Thresholds = Thresholds { known: 0.9, least_right: 1, least_contradicting: 1 };
    const OSLO: &str = "Ann was born in Oslo.";

    /// Ann's birthplace by these answers: each a list of claims with judgement and evidence.
    fn probed(answers: &[&[(&str, Judgement, &str)]], thresholds: Thresholds) -> ProbedFact {
        let (mut responses, mut claims, mut verdicts) = (Vec::new(), Vec::new(), Vec::new());
        for (sample, said) in answers.iter().enumerate() {
            let id = format!("people/Ann/birthplace#{sample}");
            for (number, (text, judgement, found)) in said.iter().enumerate() {
                let claim = format!("{id}/{number}");
                verdicts.push(verdict(&claim, *judgement, &[*found]));
                claims.push(Claim {
                    id: claim,
                    response_id: id.clone(),
                    text: (*text).to_owned(),
                    span: [1, 5],
                    ..Claim::default()
                });
            }
            responses.push(Response {
                id,
                prompt_id: "people/Ann/birthplace".to_owned(),
                sample,
                topic: "Ann".to_owned(),
                domain: "people".to_owned(),
                split: "tune".to_owned(),
                prompt: "Where?".into(),
                output: said.iter().map(|(text, ..)| format!(" {text}")).collect(),
                finish: if said.iter().all(|(text, ..)| text.ends_with('.')) { Finish::Stop } else { Finish::Length },
            });
        }
        let questions = [question("Ann", "birthplace", "tune", &[OSLO]), question("Ann", "field", "tune", &["x."])];
        let answers = Answers { responses: &responses, claims: &claims, verdicts: &verdicts };
        let mut facts = probe(&questions, answers, thresholds).unwrap();
        assert_eq!(facts.len(), 1, "nobody was asked for the field");
        facts.remove(0)
    }

    const RIGHT: &[(&str, Judgement, &str)] = &[(OSLO, Judgement::Supported, OSLO)];
    const WRONG: &[(&str, Judgement, &str)] = &[("Ann was born in Rome.", Judgement::Unsupported, OSLO)];
    const ELSE: &[(&str, Judgement, &str)] = &[("Ann's field was art.", Judgement::Supported, "Ann's field was art.")];

    #[test]
    fn answers_are_right_contradict_or_are_something_else() {
        let both = [RIGHT[0], WRONG[0]];
        let cut_off = [("Ann was born in", Judgement::Unsupported, OSLO)];
        let beside = [ELSE[0], RIGHT[0]];
        let courtesy = [("Sure.", Judgement::Irrelevant, ""), RIGHT[0]];
        let fact = probed(&[RIGHT, WRONG, ELSE, &[], &both, &cut_off, &beside, &courtesy], THRESHOLDS);
        let replies: String = fact.answers.iter().map(|answer| format!("{:?}", answer.reply)[..1].to_owned()).collect();
        assert_eq!(replies, "RCOOOORR");
        assert_eq!((fact.n, fact.right, fact.contradicting, fact.other), (8, 3, 1, 4));
        let claims: Vec<usize> = fact.answers.iter().map(|answer| answer.claims).collect();
        assert_eq!(claims, [1, 1, 1, 0, 2, 1, 2, 1]);
        assert_eq!((fact.answers[6].claim.as_str(), fact.question.text()), (OSLO, "Where?".to_owned()));
    }

    #[test]
    fn classes_follow_from_thresholds() {
        let class = |right: usize, wrong: usize, thresholds| {
            probed(&[vec![RIGHT; right], vec![WRONG; wrong], vec![ELSE; 10 - right - wrong]].concat(), thresholds).class
        };
        assert_eq!(class(9, 1, THRESHOLDS), Knowing::Known, "0.9 of 10 is reached in spite of rounding");
        assert_eq!(class(8, 2, THRESHOLDS), Knowing::Potential);
        assert_eq!(class(1, 1, THRESHOLDS), Knowing::Potential);
        assert_eq!(class(8, 0, THRESHOLDS), Knowing::Unknown, "nothing contradicts");
        assert_eq!(class(0, 8, THRESHOLDS), Knowing::Unknown);
        assert_eq!(class(9, 1, Thresholds { known: 1.0, ..THRESHOLDS }), Knowing::Potential);
        assert_eq!(class(2, 5, Thresholds { least_right: 3, ..THRESHOLDS }), Knowing::Unknown);
    }

    /// Bins of 2, 1 and 1 of 4: 1/2; 1/4 + 2/16; -(ln 2 / 2 + 2 ln 4 / 4) = -1.5 ln 2.
    #[test]
    fn consistency_is_that_of_bins() {
        let again = [("Born in Oslo was the Ann!.", Judgement::Unsupported, OSLO)];
        let fact = probed(&[RIGHT, WRONG, &again, ELSE], THRESHOLDS);
        assert_eq!((fact.max_conf, fact.exp_conf), (0.5, 0.375));
        assert!((fact.neg_ent + 1.5 * std::f64::consts::LN_2).abs() < 1e-12, "{}", fact.neg_ent);
        let sure = probed(&[RIGHT, RIGHT], THRESHOLDS);
        assert_eq!((sure.max_conf, sure.exp_conf, sure.neg_ent), (1.0, 1.0, 0.0));
    }

    #[test]
    fn classes_are_counted_by_attribute() {
        let fact = probed(&[RIGHT, WRONG], THRESHOLDS);
        let other = ProbedFact { attribute: Some("field".to_owned()), class: Knowing::Known, ..fact.clone() };
        let counts = class_counts(&[fact.clone(), other, fact]);
        assert_eq!((counts[0].facts, counts[0].potential, counts[0].answers, counts[0].right), (2, 2, 4, 2));
        assert_eq!((counts[1].attribute.as_str(), counts[1].known, counts.len()), ("field", 1, 2));
    }
}
