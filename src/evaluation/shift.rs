//! Token shift (Lin et al. 2023): the base model's ranks and probabilities of a tuned model's
//! responses.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::rows::{AnswerPart, ShiftMeasureName, ShiftedAnswer, TokenShift};

use super::{
    domain_set::{DomainSet, distinct, domain_sets},
    interval::{TopicTotals, Total},
    sample::{Sample, SampleIndex},
};

/// A measure of tokens.
#[derive(Debug)]
pub struct ShiftMeasure {
    /// Its name.
    pub name: ShiftMeasureName,
    /// Definition of its mean over tokens, in one sentence.
    pub about: &'static str,
    /// Upper bound, if any; the lower bound is 0.
    pub most: Option<f64>,
    /// Its value for a token.
    pub value: fn(&TokenShift) -> f64,
}

/// All measures, in the order of the tables; the classes are those of Lin et al. 2023, arXiv
/// 2312.01552.
pub const SHIFT_MEASURES: &[ShiftMeasure] = &[
    ShiftMeasure {
        name: ShiftMeasureName::Unshifted,
        about: "The share of tokens that are the base's first choice.",
        most: Some(1.0),
        value: |token| f64::from(u8::from(token.base_rank == 1)),
    },
    ShiftMeasure {
        name: ShiftMeasureName::Marginal,
        about: "The share of tokens that are the base's second or third choice.",
        most: Some(1.0),
        value: |token| f64::from(u8::from((2..=3).contains(&token.base_rank))),
    },
    ShiftMeasure {
        name: ShiftMeasureName::Shifted,
        about: "The share of tokens that are none of the base's first three choices.",
        most: Some(1.0),
        value: |token| f64::from(u8::from(token.base_rank > 3)),
    },
    ShiftMeasure {
        name: ShiftMeasureName::Moved,
        about: "The share of tokens that are not the base's first choice: marginal and shifted \
        ones.",
        most: Some(1.0),
        value: |token| f64::from(u8::from(token.base_rank > 1)),
    },
    ShiftMeasure {
        name: ShiftMeasureName::BaseProbability,
        about: "The mean probability of a token in the base.",
        most: Some(1.0),
        value: |token| f64::from(token.base_logp).exp(),
    },
    ShiftMeasure {
        name: ShiftMeasureName::TunedProbability,
        about: "The mean probability of a token in the tuned model.",
        most: Some(1.0),
        value: |token| f64::from(token.tuned_logp).exp(),
    },
    ShiftMeasure {
        name: ShiftMeasureName::Kl,
        about: "The mean divergence of the tuned distribution from the base's, in nats per token.",
        most: None,
        value: |token| f64::from(token.kl),
    },
    ShiftMeasure {
        name: ShiftMeasureName::ReverseKl,
        about: "The mean divergence of the base's distribution from the tuned one, in nats per \
        token.",
        most: None,
        value: |token| f64::from(token.reverse_kl),
    },
];

/// Content of `shift.json`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Shift {
    /// The in-domain domain, if given.
    pub in_domain: Option<String>,
    /// Number of responses.
    pub answers: usize,
    /// A row for each domain (with "out-of-domain", the mean over all domains except the in-domain
    /// one), part or range of positions, and measure, in this order. `shift.csv` has the same rows.
    pub rows: Vec<ShiftRow>,
}

/// One measure over some tokens of one domain, or of several.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ShiftRow {
    /// The domain, or "out-of-domain".
    pub domain: String,
    /// "all", or the part of the responses: "right", "wrong" (facts), "none" (no fact).
    pub part: String,
    /// "all", or the tokens' positions in their responses from 0: "0-3", "4-7", ..., "128-".
    pub positions: String,
    /// Number of tokens.
    pub tokens: usize,
    /// The measure.
    pub measure: ShiftMeasureName,
    /// Mean over the tokens (for several domains: the mean of their means).
    pub mean: f64,
    /// Lower end of its 95 % interval over topics; none for one topic, or for a number (not a
    /// share) that is the same in all topics.
    pub low: Option<f64>,
    /// Upper end.
    pub high: Option<f64>,
}

/// Why shifts cannot be summarised.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ShiftError {
    /// The in-domain domain has no responses.
    #[error("`in_domain` is `{in_domain}`, but the responses are of: {domains}")]
    UnknownDomain {
        /// The name in the recipe.
        in_domain: String,
        /// The domains of the responses.
        domains: String,
    },
}

/// Summarises by domain: all tokens, those of each part, and those of each range of positions;
/// `begins` has the first positions of the ranges.
///
/// # Errors
/// Fails without in-domain responses.
pub fn shift(
    answers: &[ShiftedAnswer],
    in_domain: Option<&str>,
    begins: &[usize],
) -> Result<Shift, ShiftError> {
    let names = domains(answers);
    if let Some(unknown) = in_domain.filter(|domain| !names.contains(domain)) {
        return Err(ShiftError::UnknownDomain {
            in_domain: unknown.to_owned(),
            domains: names.join(", "),
        });
    }
    let mut rows = Vec::new();
    for set in domain_sets(&names, in_domain) {
        for tokens in token_sets(begins) {
            rows.extend(tokens.rows(answers, &set));
        }
    }
    Ok(Shift { in_domain: in_domain.map(str::to_owned), answers: answers.len(), rows })
}

/// The domains of responses, in order of first occurrence.
pub(super) fn domains(answers: &[ShiftedAnswer]) -> Vec<&str> {
    distinct(answers.iter().map(|answer| &*answer.domain))
}

/// All tokens, those of each part, and those of each range of positions.
fn token_sets(begins: &[usize]) -> Vec<TokenSet> {
    let all = TokenSet { part: None, positions: None };
    let parts = [AnswerPart::Right, AnswerPart::Wrong, AnswerPart::None];
    let mut sets = vec![all];
    sets.extend(parts.map(|part| TokenSet { part: Some(part), ..all }));
    // Ranges begin at 0, in order, each once, whatever the recipe lists.
    let begins: BTreeSet<usize> = begins.iter().copied().chain([0]).collect();
    let ends = begins.iter().skip(1).map(|end| Some(*end)).chain([None]);
    sets.extend(
        begins
            .iter()
            .zip(ends)
            .map(|(begin, end)| TokenSet { positions: Some((*begin, end)), ..all }),
    );
    sets
}

/// Some of the tokens of responses.
#[derive(Clone, Copy, Debug)]
struct TokenSet {
    /// Only those of this part.
    part: Option<AnswerPart>,
    /// Only those from this position on and before that one, if there is a further range.
    positions: Option<(usize, Option<usize>)>,
}

impl TokenSet {
    fn has(self, place: usize, part: AnswerPart) -> bool {
        self.part.is_none_or(|wanted| part == wanted)
            && self
                .positions
                .is_none_or(|(begin, end)| place >= begin && end.is_none_or(|end| place < end))
    }

    /// Name of its part in the table.
    fn part_name(self) -> &'static str {
        match self.part {
            None => "all",
            Some(AnswerPart::Right) => "right",
            Some(AnswerPart::Wrong) => "wrong",
            Some(AnswerPart::None) => "none",
        }
    }

    /// Name of its positions in the table.
    fn positions_name(self) -> String {
        match self.positions {
            None => "all".to_owned(),
            Some((begin, None)) => format!("{begin}-"),
            Some((begin, Some(end))) => format!("{begin}-{}", end - 1),
        }
    }

    /// Each measure over these tokens of the responses in a set of domains.
    fn rows(self, answers: &[ShiftedAnswer], set: &DomainSet) -> Vec<ShiftRow> {
        let mut sample = Sample::new(SHIFT_MEASURES.len());
        let mut tokens = 0.0;
        for (domain, name) in set.domains.iter().enumerate() {
            let topics =
                topics(answers, name, |place, part| f64::from(u8::from(self.has(place, part))));
            tokens += topics.values().map(|totals| totals[0].count).sum::<f64>();
            sample.add(SampleIndex { seed: 0, arm: 0, domain }, topics);
        }
        let measures = SHIFT_MEASURES.iter().zip(sample.means());
        let rows = measures.filter_map(|(measure, found)| {
            let found = found?.bounded(measure.most);
            Some(ShiftRow {
                domain: set.name.clone(),
                part: self.part_name().to_owned(),
                positions: self.positions_name(),
                tokens: tokens as usize,
                measure: measure.name,
                mean: found.mean,
                low: found.low,
                high: found.high,
            })
        });
        rows.collect()
    }
}

/// The topics of a domain by name, with weighted sums of all measures over their tokens; tokens
/// without weight are left out.
pub(super) fn topics<'a>(
    answers: &'a [ShiftedAnswer],
    domain: &str,
    weight: impl Fn(usize, AnswerPart) -> f64,
) -> BTreeMap<&'a str, TopicTotals> {
    let mut topics: BTreeMap<&str, TopicTotals> = BTreeMap::new();
    for answer in answers.iter().filter(|answer| answer.domain == domain) {
        let cells = topics
            .entry(&answer.topic)
            .or_insert_with(|| vec![Total::default(); SHIFT_MEASURES.len()]);
        for place in 0..answer.tokens.len() {
            let (part, token) = answer.token(place);
            let weight = weight(place, part);
            for (cell, measure) in cells.iter_mut().zip(SHIFT_MEASURES) {
                // Tokens and not responses are averaged: long responses count more.
                cell.sum += weight * (measure.value)(&token);
                cell.count += weight;
            }
        }
    }
    topics
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// A response whose tokens have these ranks in the base model; a rank's divergence is itself
    /// minus one.
    pub(crate) fn answer(
        domain: &str,
        topic: &str,
        ranks: &[u32],
        parts: &[AnswerPart],
    ) -> ShiftedAnswer {
        let kl: Vec<f32> = ranks.iter().map(|rank| (*rank - 1) as f32).collect();
        let logps: Vec<f32> = ranks.iter().map(|rank| -(*rank as f32).ln()).collect();
        let parts =
            if parts.is_empty() { vec![AnswerPart::None; ranks.len()] } else { parts.to_vec() };
        ShiftedAnswer {
            response_id: format!("{domain}/{topic}#0").into(),
            topic: topic.to_owned(),
            domain: domain.to_owned(),
            prompt: vec![1],
            tokens: vec![7; ranks.len()],
            parts,
            base_ranks: ranks.to_vec(),
            tuned_ranks: vec![1; ranks.len()],
            base_logps: logps,
            tuned_logps: vec![0.0; ranks.len()],
            reverse_kl: kl.iter().map(|kl| 2.0 * kl).collect(),
            kl,
        }
    }

    fn mean(
        shift: &Shift,
        domain: &str,
        part: &str,
        positions: &str,
        measure: ShiftMeasureName,
    ) -> Option<(f64, usize)> {
        let of = |row: &&ShiftRow| {
            (&*row.domain, &*row.part, &*row.positions, row.measure)
                == (domain, part, positions, measure)
        };
        shift.rows.iter().find(of).map(|row| (row.mean, row.tokens))
    }

    #[test]
    fn tokens_are_classed_by_rank_and_counted_by_part_and_position() {
        use AnswerPart::{None, Right, Wrong};
        use ShiftMeasureName::{
            BaseProbability, Kl, Marginal, Moved, ReverseKl, Shifted, Unshifted,
        };
        let answers = [
            answer("people", "Ann", &[1, 2, 3, 4, 1], &[Right, Right, Wrong, None, None]),
            answer("people", "Bo", &[9], &[Wrong]),
            answer("countries", "Peru", &[1, 1], &[]),
            answer("elements", "tin", &[1, 4], &[]),
        ];
        let shift = shift(&answers, Some("people"), &[2, 4]).unwrap();
        let people = |part, positions, measure| mean(&shift, "people", part, positions, measure);
        assert_eq!(people("all", "all", Unshifted), Some((2.0 / 6.0, 6)));
        assert_eq!(people("all", "all", Marginal), Some((2.0 / 6.0, 6)));
        assert_eq!(people("all", "all", Shifted), Some((2.0 / 6.0, 6)));
        assert_eq!(people("all", "all", Moved), Some((4.0 / 6.0, 6)));
        assert_eq!(people("all", "all", Kl), Some((14.0 / 6.0, 6)));
        assert_eq!(people("all", "all", ReverseKl), Some((28.0 / 6.0, 6)));
        assert_eq!(people("right", "all", Moved), Some((0.5, 2)));
        assert_eq!(people("wrong", "all", Kl), Some((5.0, 2)));
        assert_eq!(people("all", "0-1", Kl), Some((3.0, 3)));
        assert_eq!(people("all", "2-3", Marginal), Some((0.5, 2)));
        assert_eq!(people("all", "4-", Unshifted), Some((1.0, 1)));
        let (probability, _) = people("none", "all", BaseProbability).unwrap();
        assert!((probability - 0.625).abs() < 1e-6);
        assert_eq!(mean(&shift, "countries", "right", "all", Kl), Option::None, "no token, no row");
        assert_eq!(mean(&shift, "out-of-domain", "all", "all", Kl), Some((0.75, 4)));
        let text = serde_json::to_string(&shift).unwrap();
        assert_eq!(serde_json::from_str::<Shift>(&text).unwrap(), shift);
    }

    #[test]
    fn an_unknown_domain_is_told() {
        let error = shift(&[answer("people", "Ann", &[1], &[])], Some("peple"), &[]).unwrap_err();
        assert_eq!(error.to_string(), "`in_domain` is `peple`, but the responses are of: people");
    }
}
