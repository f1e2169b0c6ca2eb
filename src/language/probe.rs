//! The rows of `probe.jsonl`: what a model says when it is asked for one fact alone, many times.

use serde::{Deserialize, Serialize};

use super::{Content, Finish, Judgement, checks};

/// A row of `probe.jsonl`: a fact.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ProbedFact {
    /// The question's row; unique in its file.
    pub id: String,
    /// Whom or what the fact is about.
    pub topic: String,
    /// The topic's domain.
    pub domain: String,
    /// What the fact may be used for: "tune", "test", ...
    pub split: String,
    /// What the question asks for, where that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attribute: Option<String>,
    /// What was asked.
    pub question: Content,
    /// The sentences of the knowledge that answer it; none where the question was made from a claim.
    #[serde(default)]
    pub truth: Vec<String>,
    /// The claim that the question was made from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub claim: Option<String>,
    /// How well the model knows it.
    pub class: Knowing,
    /// How often it was asked.
    pub n: usize,
    /// Right answers.
    pub right: usize,
    /// Answers that contradict the fact.
    pub contradicting: usize,
    /// All other answers.
    pub other: usize,
    /// The share of the largest bin of equivalent answers (Tian et al. 2023, arXiv 2311.08401).
    pub max_conf: f64,
    /// The sum of the bins' squared shares: how probably two answers agree (same source).
    pub exp_conf: f64,
    /// Minus the entropy of the bins' shares, in nats; at most 0 (same source).
    pub neg_ent: f64,
    /// Each answer.
    pub answers: Vec<ProbedAnswer>,
}

/// One answer to the question for a fact.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ProbedAnswer {
    /// The answer's row.
    pub id: String,
    /// The answer, without its end token.
    pub output: String,
    /// Why it ended.
    pub finish: Finish,
    /// What it is to the fact.
    pub reply: Reply,
    /// How many claims it makes that could be checked.
    pub claims: usize,
    /// The claim that decided; empty where there is none.
    pub claim: String,
    /// Where it stands: from and up to these characters of the output.
    #[serde(deserialize_with = "checks::span")]
    pub span: [usize; 2],
    /// What was found of that claim.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub judgement: Option<Judgement>,
}

/// How well a model knows a fact.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Knowing {
    /// Nearly all answers are right.
    Known,
    /// Some answers are right, and some contradict the fact.
    Potential,
    /// All other facts.
    Unknown,
}

/// What an answer is to the fact that was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reply {
    /// It states the fact.
    Right,
    /// It states something else in the fact's place.
    Contradicting,
    /// It states nothing, something of another fact, both, or was cut off.
    Other,
}

#[cfg(test)]
impl ProbedFact {
    /// For tests: a fact that is potentially known, answered so often and so often right.
    pub(crate) fn answered(domain: &str, topic: &str, number: usize, n: usize, right: usize) -> Self {
        Self {
            id: format!("{domain}/{topic}/{number}"),
            topic: topic.to_owned(),
            domain: domain.to_owned(),
            split: "test".to_owned(),
            attribute: None,
            question: format!("{number}?").into(),
            truth: Vec::new(),
            claim: None,
            class: Knowing::Potential,
            n,
            right,
            contradicting: n - right,
            other: 0,
            max_conf: 1.0,
            exp_conf: 1.0,
            neg_ent: 0.0,
            answers: Vec::new(),
        }
    }
}
