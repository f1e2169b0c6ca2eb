//! Measures of one response: a row of `responses.csv`.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::{
    facts::normalise,
    rows::{FactLabel, Finish, Response, ResponseId},
    verification::{JudgedClaim, Tally},
};

use super::formula::{f1_at_k, factscore};

/// Parameters of the measures; they must agree for all compared scores.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct ScoreSettings {
    /// FActScore penalises responses of at most this many facts; 0 is no penalty.
    pub gamma: f64,
    /// Number of supported facts that F1@K wants.
    pub k: usize,
    /// Whether irrelevant claims count as unsupported, as in FActScore, and are not left out.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub irrelevant_is_wrong: bool,
}

/// One response with all its measures.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AnswerScore {
    /// Id of the response.
    pub response_id: ResponseId,
    /// Id of the prompt.
    pub prompt_id: String,
    /// Number of the response to its prompt.
    pub sample: usize,
    /// The prompt's topic.
    pub topic: String,
    /// The prompt's domain.
    pub domain: String,
    /// The prompt's split.
    pub split: String,
    /// Verified facts: supported and unsupported ones.
    pub facts: usize,
    /// Supported facts.
    pub supported: usize,
    /// Unsupported facts.
    pub unsupported: usize,
    /// Irrelevant claims.
    pub irrelevant: usize,
    /// Undecided facts: the verifier abstained. They count in no other number of facts.
    #[serde(default)]
    pub undecided: usize,
    /// Distinct supported facts.
    pub distinct_supported: usize,
    /// Distinct unsupported facts.
    pub distinct_unsupported: usize,
    /// Facts that extraction found to be repeated, or that are repeated in the same words.
    pub repeats: usize,
    /// Whether the response has no letter or digit.
    pub empty: bool,
    /// Whether the response has words but no verifiable fact.
    pub abstained: bool,
    /// Whether the response was truncated.
    pub unfinished: bool,
    /// Length in characters.
    pub characters: usize,
    /// Factual precision: share of supported facts; none without facts.
    pub precision: Option<f64>,
    /// Precision over distinct facts; none without facts.
    pub deduplicated: Option<f64>,
    /// Precision with FActScore's length penalty; none without facts.
    pub factscore: Option<f64>,
    /// F1@K on distinct facts.
    pub f1_at_k: f64,
}

impl AnswerScore {
    /// Whether all measures are finite.
    pub fn is_finite(&self) -> bool {
        let measures = [self.precision, self.deduplicated, self.factscore, Some(self.f1_at_k)];
        measures.into_iter().flatten().all(f64::is_finite)
    }
}

/// The measures of a response with its claims and their verdicts.
pub fn answer_score(
    response: &Response,
    judged: &[JudgedClaim<'_>],
    settings: ScoreSettings,
) -> AnswerScore {
    let mut tally = Tally::default();
    let mut stated = BTreeSet::new();
    let mut distinct = Tally::default();
    let mut repeats = 0;
    // Repeats that extraction found are no facts of their own: more of them change no share.
    repeats += judged.iter().filter(|judged| judged.is_repeat()).count();
    for JudgedClaim { claim, label, .. } in judged.iter().filter(|judged| !judged.is_repeat()) {
        tally.add(*label);
        // A fact in the same words again is no further fact, whatever its verdict was.
        match label {
            FactLabel::Irrelevant | FactLabel::Undecided => {}
            _ if !stated.insert(normalise(&claim.text)) => repeats += 1,
            label => distinct.add(*label),
        }
    }
    // A model that writes only dots has not refused.
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
        undecided: tally.undecided,
        distinct_supported: distinct.supported,
        distinct_unsupported: distinct.unsupported,
        repeats,
        empty,
        abstained: !empty && tally.facts() + tally.undecided == 0,
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
    use crate::rows::Claim;

    pub(crate) const SETTINGS: ScoreSettings =
        ScoreSettings { gamma: 10.0, k: 4, irrelevant_is_wrong: false };

    /// A response whose sentences are judged by these letters: S(upported), N(ot), I(rrelevant),
    /// U(ndecided).
    fn scored(output: &str, sentences: &[(&str, char)]) -> AnswerScore {
        let response = Response {
            id: "p#0".into(),
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
                id: format!("p#0/{index}").into(),
                response_id: "p#0".into(),
                text: (*text).to_owned(),
                ..Claim::default()
            })
            .collect();
        let labels = sentences.iter().map(|(_, letter)| match letter {
            'S' => FactLabel::Supported,
            'N' => FactLabel::Unsupported,
            'U' => FactLabel::Undecided,
            _ => FactLabel::Irrelevant,
        });
        score_of(&response, &claims, labels)
    }

    fn score_of(
        response: &Response,
        claims: &[Claim],
        labels: impl IntoIterator<Item = FactLabel>,
    ) -> AnswerScore {
        let judged = claims.iter().zip(labels);
        let judged = judged.map(|(claim, label)| JudgedClaim { claim, label, evidence: &[] });
        answer_score(response, &judged.collect::<Vec<_>>(), SETTINGS)
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

    /// Extraction also finds repeats in other words; they count in no share.
    #[test]
    fn repeats_that_extraction_found_are_no_facts() {
        let response: Response = serde_json::from_str(
            r#"{"id":"p#0","prompt_id":"p","sample":0,"topic":"Ann","domain":"d","prompt":"?",
            "output":"x","finish":"stop"}"#,
        )
        .unwrap();
        let claim = |number: usize, duplicate_of: Option<usize>| Claim {
            id: response.id.claim(number),
            response_id: response.id.clone(),
            text: format!("Fact {number}."),
            duplicate_of: duplicate_of.map(|first| response.id.claim(first)),
            ..Claim::default()
        };
        let claims = [claim(0, None), claim(1, None), claim(2, Some(0)), claim(3, Some(0))];
        let labels = [
            FactLabel::Supported,
            FactLabel::Unsupported,
            FactLabel::Supported,
            FactLabel::Irrelevant,
        ];
        let found = score_of(&response, &claims, labels);
        assert_eq!((found.facts, found.supported, found.repeats, found.irrelevant), (2, 1, 1, 1));
        assert_eq!((found.precision, found.deduplicated), (Some(0.5), Some(0.5)));
    }

    #[test]
    fn empty_answers_and_refusals_have_no_precision() {
        let empty = scored(" ...", &[]);
        assert_eq!(
            (empty.empty, empty.abstained, empty.precision, empty.factscore),
            (true, false, None, None)
        );
        assert_eq!((empty.f1_at_k, empty.facts), (0.0, 0));
        let refusal = scored("I'm sorry.", &[("I'm sorry.", 'I')]);
        assert_eq!(
            (refusal.empty, refusal.abstained, refusal.irrelevant, refusal.precision),
            (false, true, 1, None)
        );
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
    fn undecided_claims_count_apart() {
        let mixed = scored("x", &[("A.", 'S'), ("B.", 'N'), ("C.", 'U'), ("A.", 'U')]);
        let (facts, undecided, repeats) = (mixed.facts, mixed.undecided, mixed.repeats);
        assert_eq!((facts, undecided, repeats, mixed.precision), (2, 2, 0, Some(0.5)));
        let open = scored("x", &[("A.", 'U')]);
        assert_eq!((open.abstained, open.precision, open.f1_at_k), (false, None, 0.0));
    }

    #[test]
    fn irrelevant_claims_do_not_count() {
        let mixed = scored("x", &[("A.", 'S'), ("Well?", 'I'), ("Well?", 'I')]);
        assert_eq!(
            (mixed.precision, mixed.facts, mixed.irrelevant, mixed.repeats),
            (Some(1.0), 1, 2, 0)
        );
    }
}
