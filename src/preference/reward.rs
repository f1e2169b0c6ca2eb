//! Rewards of responses: from the knowledge, or from the model's agreement with itself (FactTune;
//! Tian et al. 2023, arXiv 2311.08401).

use serde::Deserialize;

use crate::{
    rows::ProbedFact,
    verification::{JudgedClaim, Tally},
};

use super::{
    asked::ProbedQuestions,
    bins::{bin, bin_of},
};

/// The reward that ranks responses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, strum::Display, strum::VariantNames)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum Reward {
    /// Share of supported facts; 0 without facts.
    Precision,
    /// Mean over its facts of the largest bin's share among the probe's answers.
    Confidence,
    /// Mean over its facts of the negative entropy of the bins.
    Entropy,
    /// Mean over its facts of the share of the probe's answers that agree with its claim.
    Agreement,
}

/// Rewards of responses; those without knowledge come from a probe.
pub(super) struct Rewards<'a> {
    reward: Reward,
    facts: &'a [ProbedFact],
    asked: ProbedQuestions,
}

impl<'a> Rewards<'a> {
    pub(super) fn new(reward: Reward, facts: &'a [ProbedFact]) -> Self {
        let asked = ProbedQuestions::new(
            facts.iter().map(|fact| (fact.truth.as_slice(), fact.claim.as_ref())),
        );
        Self { reward, facts, asked }
    }

    /// The reward of a response from its verified claims. Without a probed fact there is none;
    /// without facts precision is 0.
    pub(super) fn of(&self, judged: &[JudgedClaim<'_>]) -> Option<f64> {
        // A response without facts is worth nothing: otherwise silence would be preferred.
        if self.reward == Reward::Precision {
            let mut tally = Tally::default();
            let counted = judged.iter().filter(|judged| !judged.is_repeat());
            counted.for_each(|judged| tally.add(judged.label));
            return Some(tally.precision().unwrap_or(0.0));
        }
        let values: Vec<f64> = judged
            .iter()
            .filter(|judged| judged.claim.duplicate_of.is_none())
            .filter_map(|judged| self.of_claim(judged))
            .collect();
        (!values.is_empty()).then(|| values.iter().sum::<f64>() / values.len() as f64)
    }

    /// The model's confidence in a claim; none without a probe of its fact.
    fn of_claim(&self, judged: &JudgedClaim<'_>) -> Option<f64> {
        let text = &judged.claim.text;
        let fact = &self.facts[self.asked.of(text, judged.evidence)?];
        Some(match self.reward {
            Reward::Confidence => fact.max_conf,
            Reward::Entropy => fact.neg_ent,
            Reward::Precision | Reward::Agreement => {
                let own = bin(text);
                fact.answers.iter().filter(|answer| bin_of(answer) == own).count() as f64
                    / fact.n as f64
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        preference::asked::tests::verdict,
        rows::{
            AnswerLabel, CharSpan, Claim, FactLabel, Finish, KnowledgeClass, ProbedAnswer,
            ResponseId, Verdict,
        },
    };

    /// A fact about Ann with these answers' claims.
    fn fact(truth: &str, claims: &[&str], max_conf: f64, neg_ent: f64) -> ProbedFact {
        let answer = |claim: &&str| ProbedAnswer {
            id: ResponseId::default(),
            output: String::new(),
            finish: Finish::Stop,
            reply: AnswerLabel::Other,
            claims: 1,
            claim: (*claim).to_owned(),
            span: CharSpan::empty(0),
            judgement: None,
        };
        ProbedFact {
            id: truth.to_owned(),
            topic: "Ann".to_owned(),
            domain: String::new(),
            split: String::new(),
            attribute: None,
            question: "".into(),
            truth: vec![truth.to_owned()],
            claim: None,
            class: KnowledgeClass::Unknown,
            n: claims.len(),
            right: 0,
            contradicting: 0,
            other: 0,
            max_conf,
            exp_conf: 0.0,
            neg_ent,
            answers: claims.iter().map(answer).collect(),
        }
    }

    /// One response with a claim of each of two facts (3 and 1 of 4 answers agree with them), and
    /// one of no fact.
    #[test]
    fn rewards_are_means_over_the_probed_facts() {
        let facts = [
            fact("Ann was born in Oslo.", &["Ann was born in Rome."; 3], 0.5, -1.0),
            fact("Ann's field was art.", &["Ann's field was art.", "x", "y", "z"], 0.25, -0.5),
        ];
        let facts = [ProbedFact { n: 4, ..facts[0].clone() }, facts[1].clone()];
        let claim = |id: &str, text: &str| Claim {
            id: id.into(),
            text: text.to_owned(),
            ..Claim::default()
        };
        let claims = [
            claim("0", "Ann was born in Rome."),
            claim("1", "Ann's field was art."),
            claim("2", "Ann ann."),
        ];
        let verdicts = [
            verdict("0", FactLabel::Unsupported, &["Ann was born in Oslo."]),
            verdict("1", FactLabel::Supported, &["Ann's field was art."]),
            verdict("2", FactLabel::Unsupported, &[]),
        ];
        let judged: Vec<JudgedClaim> = claims
            .iter()
            .zip(&verdicts)
            .map(|(claim, Verdict { verdict, evidence, .. })| JudgedClaim {
                claim,
                label: *verdict,
                evidence,
            })
            .collect();
        let of = |reward, judged: &[JudgedClaim]| Rewards::new(reward, &facts).of(judged);
        assert_eq!(of(Reward::Precision, &judged), Some(1.0 / 3.0));
        assert_eq!(of(Reward::Confidence, &judged), Some(0.375));
        assert_eq!(of(Reward::Entropy, &judged), Some(-0.75));
        assert_eq!(of(Reward::Agreement, &judged), Some(0.5));
        assert_eq!(
            (of(Reward::Agreement, &judged[2..]), of(Reward::Precision, &[])),
            (None, Some(0.0))
        );
    }
}
