//! What an answer is worth: by the knowledge, or by how much the model agrees with itself (FactTune; Tian et al. 2023,
//! arXiv 2311.08401).

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::{
    language::{Claim, Evidence, Judgement, ProbedFact, Verdict},
    verification::Tally,
};

use super::{
    asked::Asked,
    probe::{bin, bin_of},
};

/// By what answers are ranked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reward {
    /// The share of supported facts; 0 without facts.
    Precision,
    /// The mean over its facts of the largest bin's share among the probe's answers.
    Confidence,
    /// The mean over its facts of minus the entropy of the bins.
    Entropy,
    /// The mean over its facts of the share of the probe's answers that agree with its own claim.
    Agreement,
}

/// Rewards of answers; those that need no reference come from a probe.
pub(super) struct Rewards<'a> {
    reward: Reward,
    facts: &'a [ProbedFact],
    asked: Asked,
    evidence: BTreeMap<&'a str, &'a [Evidence]>,
}

impl<'a> Rewards<'a> {
    pub(super) fn new(reward: Reward, facts: &'a [ProbedFact], verdicts: &'a [Verdict]) -> Self {
        let asked = Asked::new(facts.iter().map(|fact| (fact.truth.as_slice(), fact.claim.as_ref())));
        let evidence =
            verdicts.iter().map(|verdict| (verdict.claim_id.as_str(), verdict.evidence.as_slice())).collect();
        Self { reward, facts, asked, evidence }
    }

    /// The reward of an answer by its judged claims. Without a probed fact there is none, but its precision is 0.
    pub(super) fn of(&self, judged: &[(&Claim, Judgement)]) -> Option<f64> {
        if self.reward == Reward::Precision {
            let mut tally = Tally::default();
            judged.iter().for_each(|(_, judgement)| tally.add(*judgement));
            return Some(tally.precision().unwrap_or(0.0));
        }
        let of_claim = |(claim, _): &(&Claim, Judgement)| {
            let fact = &self.facts[self.asked.of(&claim.text, self.evidence[claim.id.as_str()])?];
            Some(match self.reward {
                Reward::Confidence => fact.max_conf,
                Reward::Entropy => fact.neg_ent,
                Reward::Precision | Reward::Agreement => {
                    let own = bin(&claim.text);
                    fact.answers.iter().filter(|answer| bin_of(answer) == own).count() as f64 / fact.n as f64
                }
            })
        };
        let values: Vec<f64> = judged.iter().filter_map(of_claim).collect();
        (!values.is_empty()).then(|| values.iter().sum::<f64>() / values.len() as f64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        language::{Finish, Knowing, ProbedAnswer, Reply},
        preference::asked::tests::verdict,
    };

    /// A fact about Ann with these answers' claims.
    fn fact(truth: &str, claims: &[&str], max_conf: f64, neg_ent: f64) -> ProbedFact {
        let answer = |claim: &&str| ProbedAnswer {
            id: String::new(),
            output: String::new(),
            finish: Finish::Stop,
            reply: Reply::Other,
            claims: 1,
            claim: (*claim).to_owned(),
            span: [0, 0],
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
            class: Knowing::Unknown,
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

    /// One answer with a claim of each of two facts (3 and 1 of 4 answers agree with them), and one of no fact.
    #[test]
    fn rewards_are_means_over_the_probed_facts() {
        let facts = [
            fact("Ann was born in Oslo.", &["Ann was born in Rome."; 3], 0.5, -1.0),
            fact("Ann's field was art.", &["Ann's field was art.", "x", "y", "z"], 0.25, -0.5),
        ];
        let facts = [ProbedFact { n: 4, ..facts[0].clone() }, facts[1].clone()];
        let claim = |id: &str, text: &str| Claim {
            id: id.to_owned(),
            response_id: String::new(),
            text: text.to_owned(),
            span: [0, 0],
            ..Claim::default()
        };
        let claims = [claim("0", "Ann was born in Rome."), claim("1", "Ann's field was art."), claim("2", "Ann ann.")];
        let verdicts = [
            verdict("0", Judgement::Unsupported, &["Ann was born in Oslo."]),
            verdict("1", Judgement::Supported, &["Ann's field was art."]),
            verdict("2", Judgement::Unsupported, &[]),
        ];
        let judged: Vec<(&Claim, Judgement)> =
            claims.iter().zip(&verdicts).map(|(claim, verdict)| (claim, verdict.verdict)).collect();
        let of = |reward, judged: &[(&Claim, Judgement)]| Rewards::new(reward, &facts, &verdicts).of(judged);
        assert_eq!(of(Reward::Precision, &judged), Some(1.0 / 3.0));
        assert_eq!(of(Reward::Confidence, &judged), Some(0.375));
        assert_eq!(of(Reward::Entropy, &judged), Some(-0.75));
        assert_eq!(of(Reward::Agreement, &judged), Some(0.5));
        assert_eq!((of(Reward::Agreement, &judged[2..]), of(Reward::Precision, &[])), (None, Some(0.0)));
    }
}
