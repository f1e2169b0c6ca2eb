//! One answer measured: a row of `responses.csv`.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::{
    facts::normalise,
    language::{Claim, Finish, Judgement, Response, Verdict},
    verification::{Tally, TallyError, tallies},
};

use super::{f1_at_k, factscore};

/// What measures are defined by; it must be the same for all that is compared.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Settings {
    /// Answers of at most so many facts are penalised by FActScore; 0 means never.
    pub gamma: f64,
    /// How many supported facts F1@K wants.
    pub k: usize,
}

/// One answer with all its measures.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AnswerScore {
    /// The answer's row.
    pub response_id: String,
    /// The prompt's row.
    pub prompt_id: String,
    /// Which of the prompt's answers.
    pub sample: usize,
    /// The prompt's topic.
    pub topic: String,
    /// The prompt's domain.
    pub domain: String,
    /// The prompt's split.
    pub split: String,
    /// Facts that were checked: supported and unsupported ones.
    pub facts: usize,
    /// Supported facts.
    pub supported: usize,
    /// Unsupported facts.
    pub unsupported: usize,
    /// Claims with nothing to check.
    pub irrelevant: usize,
    /// Supported facts, each counted once.
    pub distinct_supported: usize,
    /// Unsupported facts, each counted once.
    pub distinct_unsupported: usize,
    /// Facts stated again in the same words.
    pub repeats: usize,
    /// Whether the answer has no letter or digit.
    pub empty: bool,
    /// Whether it has, but states nothing that could be checked.
    pub abstained: bool,
    /// Whether it was cut off.
    pub unfinished: bool,
    /// Its length in characters.
    pub characters: usize,
    /// The share of supported facts; none without facts.
    pub precision: Option<f64>,
    /// The same with each fact counted once; none without facts.
    pub deduplicated: Option<f64>,
    /// Precision with FActScore's penalty; none without facts.
    pub factscore: Option<f64>,
    /// F1@K on distinct facts.
    pub f1_at_k: f64,
}

impl AnswerScore {
    /// Whether all measures are numbers.
    pub fn is_finite(&self) -> bool {
        let measures = [self.precision, self.deduplicated, self.factscore, Some(self.f1_at_k)];
        measures.into_iter().flatten().all(f64::is_finite)
    }
}

/// Measures all answers.
///
/// # Errors
/// Where claims, verdicts and responses do not belong together.
pub fn answer_scores(
    responses: &[Response],
    claims: &[Claim],
    verdicts: &[Verdict],
    settings: Settings,
) -> Result<Vec<AnswerScore>, TallyError> {
    let judged = tallies(responses, claims, verdicts)?;
    Ok(responses.iter().zip(judged).map(|(response, judged)| answer_score(response, &judged, settings)).collect())
}

fn answer_score(response: &Response, judged: &[(&Claim, Judgement)], settings: Settings) -> AnswerScore {
    let mut tally = Tally::default();
    let mut stated = BTreeSet::new();
    let mut distinct = Tally::default();
    let mut repeats = 0;
    for (claim, judgement) in judged {
        tally.add(*judgement);
        match judgement {
            Judgement::Irrelevant => {}
            _ if !stated.insert(normalise(&claim.text)) => repeats += 1,
            judgement => distinct.add(*judgement),
        }
    }
    let empty = !response.output.chars().any(char::is_alphanumeric);
    AnswerScore {
        response_id: response.id.clone(),
        prompt_id: response.prompt_id.clone(),
        sample: response.sample,
        topic: response.topic.clone(),
        domain: response.domain.clone(),
        split: response.split.clone(),
        facts: tally.facts(),
        supported: tally.supported,
        unsupported: tally.unsupported,
        irrelevant: tally.irrelevant,
        distinct_supported: distinct.supported,
        distinct_unsupported: distinct.unsupported,
        repeats,
        empty,
        abstained: !empty && tally.facts() == 0,
        unfinished: response.finish == Finish::Length,
        characters: response.output.chars().count(),
        precision: tally.precision(),
        deduplicated: distinct.precision(),
        factscore: factscore(tally.supported, tally.facts(), settings.gamma),
        f1_at_k: f1_at_k(distinct.supported, distinct.unsupported, settings.k),
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(crate) const SETTINGS: Settings = Settings { gamma: 10.0, k: 4 };

    /// An answer whose sentences are judged by these letters: S(upported), N(ot), I(rrelevant).
    fn scored(output: &str, sentences: &[(&str, char)]) -> AnswerScore {
        let response = Response {
            id: "p#0".to_owned(),
            prompt_id: "p".to_owned(),
            sample: 0,
            topic: "Ann Lee".to_owned(),
            domain: "people".to_owned(),
            split: "test".to_owned(),
            prompt: "Tell me about Ann Lee.".into(),
            output: output.to_owned(),
            finish: Finish::Stop,
        };
        let claims: Vec<Claim> = sentences
            .iter()
            .enumerate()
            .map(|(index, (text, _))| Claim {
                id: format!("p#0/{index}"),
                response_id: "p#0".to_owned(),
                text: (*text).to_owned(),
                span: [0, 0],
                ..Claim::default()
            })
            .collect();
        let judgement = |letter| match letter {
            'S' => Judgement::Supported,
            'N' => Judgement::Unsupported,
            _ => Judgement::Irrelevant,
        };
        let verdicts: Vec<Verdict> = claims
            .iter()
            .zip(sentences)
            .map(|(claim, (_, letter))| Verdict {
                claim_id: claim.id.clone(),
                verdict: judgement(*letter),
                probability: 0.0,
                evidence: Vec::new(),
            })
            .collect();
        answer_scores(&[response], &claims, &verdicts, SETTINGS).unwrap().remove(0)
    }

    #[test]
    fn repeats_do_not_help() {
        let once = scored("x", &[("A.", 'S'), ("B.", 'N')]);
        let again = scored("x", &[("A.", 'S'), ("a", 'S'), ("A!", 'S'), ("B.", 'N'), ("b", 'N')]);
        assert_eq!((again.facts, again.supported, again.unsupported, again.repeats), (5, 3, 2, 3));
        assert_eq!((again.distinct_supported, again.distinct_unsupported), (1, 1));
        assert_eq!((again.precision, again.deduplicated), (Some(0.6), Some(0.5)));
        assert_eq!(again.f1_at_k, once.f1_at_k);
        assert!((once.f1_at_k - 2.0 * 0.5 * 0.25 / 0.75).abs() < 1e-12);
    }

    #[test]
    fn empty_answers_and_refusals_have_no_precision() {
        let empty = scored(" ...", &[]);
        assert_eq!((empty.empty, empty.abstained, empty.precision, empty.factscore), (true, false, None, None));
        assert_eq!((empty.f1_at_k, empty.facts), (0.0, 0));
        let refusal = scored("I'm sorry.", &[("I'm sorry.", 'I')]);
        assert_eq!((refusal.empty, refusal.abstained, refusal.irrelevant, refusal.precision), (false, true, 1, None));
    }

    #[test]
    fn one_trivial_fact_is_precise_but_not_good() {
        let trivial = scored("It is.", &[("It is.", 'S')]);
        assert_eq!(trivial.precision, Some(1.0));
        assert!((trivial.factscore.unwrap() - 0.000123).abs() < 5e-7);
        assert!((trivial.f1_at_k - 0.4).abs() < 1e-12);
        assert_eq!(trivial.characters, 6);
    }

    #[test]
    fn irrelevant_claims_do_not_count() {
        let mixed = scored("x", &[("A.", 'S'), ("Well?", 'I'), ("Well?", 'I')]);
        assert_eq!((mixed.precision, mixed.facts, mixed.irrelevant, mixed.repeats), (Some(1.0), 1, 2, 0));
    }
}
