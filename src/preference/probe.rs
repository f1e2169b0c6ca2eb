//! Probing: whether a model's answers to the question for each fact are right, contradict it, or
//! neither.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use crate::{
    facts::normalise,
    rows::{
        AnswerLabel, CharSpan, Content, FactLabel, Finish, KnowledgeClass, ProbedAnswer,
        ProbedFact, Prompt, Response, ResponseId,
    },
    verification::{JudgedClaim, VerifiedResponse},
};

use super::{bins::bin_of, draw::ROUNDING};

/// Thresholds of knowledge classes.
#[derive(Clone, Copy, Debug)]
pub struct Thresholds {
    /// Share of correct answers from which on a fact counts as known.
    pub known_threshold: f64,
    /// Minimum correct answers for a fact to count as potentially known.
    pub min_correct: usize,
    /// Minimum contradicting answers for a fact to count as potentially known.
    pub min_contradicting: usize,
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

/// An answer's question is missing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "the answer `{0}` belongs to `{1}`, which is not a question of the prompts; give the answers \
    to these questions"
)]
pub struct UnknownQuestion(pub ResponseId, pub String);

/// Classifies the fact that a question asks for by the answers to it; none without answers.
///
/// An answer is right if a supported claim of it belongs to the fact, and contradicting if an
/// unsupported one does. With both kinds, none, or truncated, it is neither. A claim belongs to the
/// fact if the knowledge's nearest sentence answers the question. A question without such sentences
/// was made from a claim, and all claims of an answer belong to its fact. The class known takes
/// precedence over potentially known.
pub fn probed_fact(
    question: Prompt,
    answers: &[VerifiedResponse],
    thresholds: Thresholds,
) -> Option<ProbedFact> {
    // The prompt that the model saw may have a system message that the question lacks.
    let asked = &answers.first()?.response.prompt;
    // Verdicts name the sentence that they are about: a claim is about this fact if that sentence
    // answers the question.
    let truth: BTreeSet<String> =
        question.answers.iter().map(|sentence| normalise(sentence)).collect();
    let replies = answers.iter().map(|answer| reply(&answer.response, &answer.judged(), &truth));
    Some(fact(question, asked, replies.collect(), thresholds))
}

/// The label of one answer; `truth` has the sentences of the knowledge that state the fact.
fn reply(
    response: &Response,
    judged: &[JudgedClaim<'_>],
    truth: &BTreeSet<String>,
) -> ProbedAnswer {
    let checkable: Vec<&JudgedClaim<'_>> =
        judged.iter().filter(|judged| judged.is_fact()).collect();
    let of_fact: Vec<&JudgedClaim<'_>> =
        checkable.iter().copied().filter(|judged| is_of_fact(judged, truth)).collect();
    let is_supported = of_fact.iter().any(|judged| judged.label == FactLabel::Supported);
    let is_contradicted = of_fact.iter().any(|judged| judged.label == FactLabel::Unsupported);
    // A truncated answer might have gone on to correct itself, and one that says both is no
    // evidence of either.
    let reply = match (is_supported, is_contradicted) {
        _ if response.finish == Finish::Length => AnswerLabel::Other,
        (true, false) => AnswerLabel::Right,
        (false, true) => AnswerLabel::Contradicting,
        _ => AnswerLabel::Other,
    };
    let decisive = of_fact.first().or(checkable.first());
    ProbedAnswer {
        id: response.id.clone(),
        output: response.output.clone(),
        finish: response.finish,
        reply,
        claims: checkable.len(),
        claim: decisive.map(|judged| judged.claim.text.clone()).unwrap_or_default(),
        span: decisive.map_or(CharSpan::empty(0), |judged| judged.claim.span),
        judgement: decisive.map(|judged| judged.label),
    }
}

/// Whether a claim belongs to the fact: its evidence states it, right or wrong. A question without
/// known sentences was made from a claim, and all claims of its answers belong to it.
fn is_of_fact(judged: &JudgedClaim<'_>, truth: &BTreeSet<String>) -> bool {
    truth.is_empty() || judged.evidence.iter().any(|found| truth.contains(&normalise(&found.text)))
}

/// The fact that a question asks for; `asked` is the prompt that the model saw.
fn fact(
    question: Prompt,
    asked: &Content,
    answers: Vec<ProbedAnswer>,
    thresholds: Thresholds,
) -> ProbedFact {
    let n = answers.len();
    let right = answers.iter().filter(|answer| answer.reply == AnswerLabel::Right).count();
    let contradicting =
        answers.iter().filter(|answer| answer.reply == AnswerLabel::Contradicting).count();
    // Known comes first: 9 of 10 right answers and a wrong one are a fact that is known.
    let class = if right as f64 + ROUNDING >= thresholds.known_threshold * n as f64 {
        KnowledgeClass::Known
    } else if right >= thresholds.min_correct && contradicting >= thresholds.min_contradicting {
        KnowledgeClass::Potential
    } else {
        KnowledgeClass::Unknown
    };
    let mut bins: BTreeMap<String, usize> = BTreeMap::new();
    answers.iter().for_each(|answer| *bins.entry(bin_of(answer)).or_default() += 1);
    let shares: Vec<f64> = bins.values().map(|count| *count as f64 / n as f64).collect();
    let Prompt { id, topic, domain, split, attribute, answers: truth, claim, .. } = question;
    ProbedFact {
        id,
        topic,
        domain,
        split,
        attribute,
        question: asked.clone(),
        truth,
        claim,
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

/// Numbers of facts per class, by domain and attribute, in order of first occurrence.
#[derive(Clone, Debug, Default)]
pub struct ClassTable {
    /// The rows.
    pub rows: Vec<ClassCounts>,
}

impl ClassTable {
    /// Counts a fact.
    pub fn add(&mut self, fact: &ProbedFact) {
        let attribute = fact.attribute.as_deref().unwrap_or_default();
        let known = self
            .rows
            .iter()
            .position(|row| row.domain == fact.domain && row.attribute == attribute);
        let index = known.unwrap_or_else(|| {
            self.rows.push(ClassCounts {
                domain: fact.domain.clone(),
                attribute: attribute.to_owned(),
                ..ClassCounts::default()
            });
            self.rows.len() - 1
        });
        let row = &mut self.rows[index];
        row.facts += 1;
        match fact.class {
            KnowledgeClass::Known => row.known += 1,
            KnowledgeClass::Potential => row.potential += 1,
            KnowledgeClass::Unknown => row.unknown += 1,
        }
        row.answers += fact.n;
        row.right += fact.right;
        row.contradicting += fact.contradicting;
        row.other += fact.other;
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::{
        preference::asked::tests::{question, verdict},
        rows::Claim,
        verification::ClaimVerdict,
    };

    pub(crate) const THRESHOLDS: Thresholds =
        Thresholds { known_threshold: 0.9, min_correct: 1, min_contradicting: 1 };
    const OSLO: &str = "Ann was born in Oslo.";

    /// Ann's birthplace by these answers: each a list of claims with judgement and evidence.
    fn probed(answers: &[&[(&str, FactLabel, &str)]], thresholds: Thresholds) -> ProbedFact {
        let mut verified = Vec::new();
        for (sample, said) in answers.iter().enumerate() {
            let id = ResponseId::of_sample("people/Ann/birthplace", sample);
            let claims = said.iter().enumerate().map(|(number, (text, judgement, found))| {
                let claim = Claim {
                    id: id.claim(number),
                    response_id: id.clone(),
                    text: (*text).to_owned(),
                    span: CharSpan::new(1, 5),
                    ..Claim::default()
                };
                ClaimVerdict { verdict: verdict(claim.id.as_str(), *judgement, &[*found]), claim }
            });
            let claims = claims.collect();
            let response = Response {
                id,
                prompt_id: "people/Ann/birthplace".to_owned(),
                sample,
                topic: "Ann".to_owned(),
                domain: "people".to_owned(),
                split: "tune".to_owned(),
                prompt: "Where?".into(),
                output: said.iter().map(|(text, ..)| format!(" {text}")).collect(),
                finish: if said.iter().all(|(text, ..)| text.ends_with('.')) {
                    Finish::Stop
                } else {
                    Finish::Length
                },
            };
            verified.push(VerifiedResponse { response, claims });
        }
        let unasked = question("Ann", "field", "tune", &["x."]);
        assert_eq!(probed_fact(unasked, &[], thresholds), None);
        probed_fact(question("Ann", "birthplace", "tune", &[OSLO]), &verified, thresholds).unwrap()
    }

    const RIGHT: &[(&str, FactLabel, &str)] = &[(OSLO, FactLabel::Supported, OSLO)];
    const WRONG: &[(&str, FactLabel, &str)] =
        &[("Ann was born in Rome.", FactLabel::Unsupported, OSLO)];
    const ELSE: &[(&str, FactLabel, &str)] =
        &[("Ann's field was art.", FactLabel::Supported, "Ann's field was art.")];

    #[test]
    fn answers_are_right_contradict_or_are_something_else() {
        let both = [RIGHT[0], WRONG[0]];
        let cut_off = [("Ann was born in", FactLabel::Unsupported, OSLO)];
        let beside = [ELSE[0], RIGHT[0]];
        let courtesy = [("Sure.", FactLabel::Irrelevant, ""), RIGHT[0]];
        let fact =
            probed(&[RIGHT, WRONG, ELSE, &[], &both, &cut_off, &beside, &courtesy], THRESHOLDS);
        let replies: String = fact
            .answers
            .iter()
            .map(|answer| format!("{:?}", answer.reply)[..1].to_owned())
            .collect();
        assert_eq!(replies, "RCOOOORR");
        assert_eq!((fact.n, fact.right, fact.contradicting, fact.other), (8, 3, 1, 4));
        let claims: Vec<usize> = fact.answers.iter().map(|answer| answer.claims).collect();
        assert_eq!(claims, [1, 1, 1, 0, 2, 1, 2, 1]);
        assert_eq!(
            (fact.answers[6].claim.as_str(), fact.question.text()),
            (OSLO, "Where?".to_owned())
        );
    }

    #[test]
    fn classes_follow_from_thresholds() {
        let class = |right: usize, wrong: usize, thresholds| {
            probed(
                &[vec![RIGHT; right], vec![WRONG; wrong], vec![ELSE; 10 - right - wrong]].concat(),
                thresholds,
            )
            .class
        };
        assert_eq!(
            class(9, 1, THRESHOLDS),
            KnowledgeClass::Known,
            "0.9 of 10 is reached in spite of rounding"
        );
        assert_eq!(class(8, 2, THRESHOLDS), KnowledgeClass::Potential);
        assert_eq!(class(1, 1, THRESHOLDS), KnowledgeClass::Potential);
        assert_eq!(class(8, 0, THRESHOLDS), KnowledgeClass::Unknown, "nothing contradicts");
        assert_eq!(class(0, 8, THRESHOLDS), KnowledgeClass::Unknown);
        assert_eq!(
            class(9, 1, Thresholds { known_threshold: 1.0, ..THRESHOLDS }),
            KnowledgeClass::Potential
        );
        assert_eq!(
            class(2, 5, Thresholds { min_correct: 3, ..THRESHOLDS }),
            KnowledgeClass::Unknown
        );
    }

    /// Bins of 2, 1 and 1 of 4: 1/2; 1/4 + 2/16; -(ln 2 / 2 + 2 ln 4 / 4) = -1.5 ln 2.
    #[test]
    fn consistency_is_that_of_bins() {
        let again = [("Born in Oslo was the Ann!.", FactLabel::Unsupported, OSLO)];
        let fact = probed(&[RIGHT, WRONG, &again, ELSE], THRESHOLDS);
        assert_eq!((fact.max_conf, fact.exp_conf), (0.5, 0.375));
        assert!((fact.neg_ent + 1.5 * std::f64::consts::LN_2).abs() < 1e-12, "{}", fact.neg_ent);
        let sure = probed(&[RIGHT, RIGHT], THRESHOLDS);
        assert_eq!((sure.max_conf, sure.exp_conf, sure.neg_ent), (1.0, 1.0, 0.0));
    }

    #[test]
    fn classes_are_counted_by_attribute() {
        let fact = probed(&[RIGHT, WRONG], THRESHOLDS);
        let other = ProbedFact {
            attribute: Some("field".to_owned()),
            class: KnowledgeClass::Known,
            ..fact.clone()
        };
        let mut table = ClassTable::default();
        [&fact, &other, &fact].into_iter().for_each(|fact| table.add(fact));
        let counts = table.rows;
        assert_eq!(
            (counts[0].facts, counts[0].potential, counts[0].answers, counts[0].right),
            (2, 2, 4, 2)
        );
        assert_eq!((counts[1].attribute.as_str(), counts[1].known, counts.len()), ("field", 1, 2));
    }
}
