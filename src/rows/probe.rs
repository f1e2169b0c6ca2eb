//! The rows of `probe.jsonl`: a model's answers to the question for one fact, asked many times.

use serde::{Deserialize, Serialize};

use super::{CharSpan, Content, FactLabel, Finish, ResponseId, Row};

/// A row of `probe.jsonl`: a fact.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ProbedFact {
    /// Id of the question; unique in its file.
    pub id: String,
    /// Topic of the fact.
    pub topic: String,
    /// The topic's domain.
    pub domain: String,
    /// Split: "tune", "test", ...
    pub split: String,
    /// Attribute that the question asks for, if known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attribute: Option<String>,
    /// The question.
    pub question: Content,
    /// The sentences of the knowledge that answer it; empty if the question was made from a claim.
    #[serde(default)]
    pub truth: Vec<String>,
    /// The claim that the question was made from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub claim: Option<String>,
    /// Knowledge class.
    pub class: KnowledgeClass,
    /// Number of answers.
    pub n: usize,
    /// Number of right answers.
    pub right: usize,
    /// Number of answers that contradict the fact.
    pub contradicting: usize,
    /// Number of other answers.
    pub other: usize,
    /// Share of the largest bin of equivalent answers (Tian et al. 2023, arXiv 2311.08401).
    pub max_conf: f64,
    /// Sum of the bins' squared shares: the probability that two answers agree (same source).
    pub exp_conf: f64,
    /// Negative entropy of the bins' shares, in nats; at most 0 (same source).
    pub neg_ent: f64,
    /// Each answer.
    pub answers: Vec<ProbedAnswer>,
}

impl Row for ProbedFact {
    const WHAT: &'static str = "fact";

    fn id(&self) -> &str {
        &self.id
    }

    fn check(&self) -> Result<(), String> {
        // Shares are computed from these numbers; they must not exceed 1.
        let counted = self.right + self.contradicting + self.other;
        if self.n == 0 || counted != self.n {
            return Err(format!("the fact has n = {}, but {counted} counted answers", self.n));
        }
        for (name, share) in [("max_conf", self.max_conf), ("exp_conf", self.exp_conf)] {
            if !(0.0..=1.0).contains(&share) {
                return Err(format!("`{name}` is {share}, but must be from 0 to 1"));
            }
        }
        // Rounding may give -0, but nothing above it.
        if self.neg_ent > 0.0 {
            return Err(format!(
                "`neg_ent` is {}, but minus an entropy is at most 0",
                self.neg_ent
            ));
        }
        for answer in &self.answers {
            if let Some(problem) = answer.span.problem(&answer.output) {
                return Err(format!("the answer `{}`: {problem}", answer.id));
            }
        }
        Ok(())
    }
}

/// One answer to the question for a fact.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ProbedAnswer {
    /// Id of the response.
    pub id: ResponseId,
    /// The answer, without EOS.
    pub output: String,
    /// Reason why it ended.
    pub finish: Finish,
    /// Its label for the fact.
    pub reply: AnswerLabel,
    /// Number of verifiable claims.
    pub claims: usize,
    /// The decisive claim; empty without one.
    pub claim: String,
    /// The characters of that claim in the output.
    pub span: CharSpan,
    /// Verdict on that claim.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub judgement: Option<FactLabel>,
}

/// How well a model knows a fact.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, strum::VariantNames,
)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum KnowledgeClass {
    /// Nearly all answers are right.
    Known,
    /// Some answers are right, and some contradict the fact.
    Potential,
    /// All other facts.
    Unknown,
}

/// Label of an answer for the fact that was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AnswerLabel {
    /// It states the fact.
    Right,
    /// It states something else in the fact's place.
    Contradicting,
    /// Neither: no fact, another fact, both, or truncated.
    Other,
}

#[cfg(test)]
impl ProbedFact {
    /// For tests: a potentially known fact with these numbers of answers and right answers.
    pub(crate) fn answered(
        domain: &str,
        topic: &str,
        number: usize,
        n: usize,
        right: usize,
    ) -> Self {
        Self {
            id: format!("{domain}/{topic}/{number}"),
            topic: topic.to_owned(),
            domain: domain.to_owned(),
            split: "test".to_owned(),
            attribute: None,
            question: format!("{number}?").into(),
            truth: Vec::new(),
            claim: None,
            class: KnowledgeClass::Potential,
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_probed_fact_whose_counts_or_numbers_cannot_be_is_refused() {
        let fact = ProbedFact::answered("people", "Ann", 0, 3, 1);
        fact.check().unwrap();
        let problem = |fact: ProbedFact| fact.check().unwrap_err();
        assert_eq!(
            problem(ProbedFact { other: 2, ..fact.clone() }),
            "the fact has n = 3, but 5 counted answers"
        );
        assert_eq!(
            problem(ProbedFact { max_conf: 1.5, ..fact.clone() }),
            "`max_conf` is 1.5, but must be from 0 to 1"
        );
        assert!(problem(ProbedFact { neg_ent: 0.5, ..fact }).contains("at most 0"));
    }
}
