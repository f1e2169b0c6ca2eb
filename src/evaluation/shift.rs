//! Token-distribution shift (Lin et al. 2023): what the model before tuning thinks of a tuned model's answers.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::language::{Part, ShiftedAnswer, TokenShift};

use super::{Cell, Finding, Place, Sample, TopicCells, scores::OUT_OF_DOMAIN};

/// A measure of tokens.
#[derive(Debug)]
pub struct ShiftMeasure {
    /// Its name in files.
    pub name: &'static str,
    /// What its mean over tokens means, in one sentence.
    pub about: &'static str,
    /// Its value for a token.
    pub value: fn(&TokenShift) -> f64,
}

/// All measures, in the order in which tables list them; the classes are those of Lin et al. 2023, arXiv 2312.01552.
pub const SHIFT_MEASURES: &[ShiftMeasure] = &[
    ShiftMeasure {
        name: "unshifted",
        about: "The share of tokens that are the base's first choice.",
        value: |token| f64::from(u8::from(token.base_rank == 1)),
    },
    ShiftMeasure {
        name: "marginal",
        about: "The share of tokens that are the base's second or third choice.",
        value: |token| f64::from(u8::from((2..=3).contains(&token.base_rank))),
    },
    ShiftMeasure {
        name: "shifted",
        about: "The share of tokens that are none of the base's first three choices.",
        value: |token| f64::from(u8::from(token.base_rank > 3)),
    },
    ShiftMeasure {
        name: "moved",
        about: "The share of tokens that are not the base's first choice: marginal and shifted ones.",
        value: |token| f64::from(u8::from(token.base_rank > 1)),
    },
    ShiftMeasure {
        name: "base_probability",
        about: "The mean probability of a token in the base.",
        value: |token| f64::from(token.base_logp).exp(),
    },
    ShiftMeasure {
        name: "tuned_probability",
        about: "The mean probability of a token in the tuned model.",
        value: |token| f64::from(token.tuned_logp).exp(),
    },
    ShiftMeasure {
        name: "kl",
        about: "The mean divergence of the tuned distribution from the base's, in nats a token.",
        value: |token| f64::from(token.kl),
    },
    ShiftMeasure {
        name: "reverse_kl",
        about: "The mean divergence of the base's distribution from the tuned one, in nats a token.",
        value: |token| f64::from(token.reverse_kl),
    },
];

/// What `shift.json` holds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Shift {
    /// The domain that was tuned on; none where nothing was said.
    pub in_domain: Option<String>,
    /// How many answers there are.
    pub answers: usize,
    /// A row for each domain (with "out-of-domain", the mean over all domains but the in-domain one), part or stretch
    /// of positions, and measure, in this order. `shift.csv` has the same rows.
    pub rows: Vec<ShiftRow>,
}

/// One measure over some tokens of one domain, or of several.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ShiftRow {
    /// The domain, or "out-of-domain".
    pub domain: String,
    /// "all", or the part of the answers: "right", "wrong" (facts), "none" (no fact).
    pub part: String,
    /// "all", or the tokens' positions in their answers from 0: "0-3", "4-7", ..., "128-".
    pub positions: String,
    /// How many tokens there are.
    pub tokens: usize,
    /// The measure's name.
    pub measure: String,
    /// The mean over the tokens (for several domains: the mean of their means).
    pub mean: f64,
    /// The lower end of its 95 % interval over topics; none where there is one topic.
    pub low: Option<f64>,
    /// The upper end.
    pub high: Option<f64>,
}

/// Why shifts cannot be summed up.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ShiftError {
    /// No answer is of the in-domain domain.
    #[error("`in_domain` is `{in_domain}`, but the answers are of: {domains}")]
    UnknownDomain {
        /// What was said.
        in_domain: String,
        /// What there is.
        domains: String,
    },
}

/// Sums up by domain: all tokens, those of each part, and those at each stretch of positions; `begins` says where
/// stretches begin.
///
/// # Errors
/// Where no answer is in-domain.
pub fn shift(answers: &[ShiftedAnswer], in_domain: Option<&str>, begins: &[usize]) -> Result<Shift, ShiftError> {
    let names = domains(answers);
    if let Some(unknown) = in_domain.filter(|domain| !names.contains(domain)) {
        return Err(ShiftError::UnknownDomain { in_domain: unknown.to_owned(), domains: names.join(", ") });
    }
    let begins: BTreeSet<usize> = begins.iter().copied().chain([0]).collect();
    let begins: Vec<usize> = begins.into_iter().collect();
    let parts = [("right", Part::Right), ("wrong", Part::Wrong), ("none", Part::None)];
    let mut rows = Vec::new();
    for (group, domains) in groups(&names, in_domain) {
        let mut add = |part: &str, positions: &str, counts: &dyn Fn(usize, Part) -> bool| {
            rows.extend(of_tokens(answers, &group, &domains, (part, positions), counts));
        };
        add("all", "all", &|_, _| true);
        for (name, part) in parts {
            add(name, "all", &|_, of| of == part);
        }
        for (index, begin) in begins.iter().enumerate() {
            let end = begins.get(index + 1);
            let positions = format!("{begin}-{}", end.map_or(String::new(), |end| (end - 1).to_string()));
            add("all", &positions, &|place, _| place >= *begin && end.is_none_or(|end| place < *end));
        }
    }
    Ok(Shift { in_domain: in_domain.map(str::to_owned), answers: answers.len(), rows })
}

/// The domains of answers, in the order in which they first occur.
pub(super) fn domains(answers: &[ShiftedAnswer]) -> Vec<&str> {
    let mut names: Vec<&str> = Vec::new();
    for answer in answers {
        if !names.contains(&answer.domain.as_str()) {
            names.push(&answer.domain);
        }
    }
    names
}

/// Each domain by itself, then those away from home together.
pub(super) fn groups(names: &[&str], in_domain: Option<&str>) -> Vec<(String, Vec<String>)> {
    let mut groups: Vec<(String, Vec<String>)> =
        names.iter().map(|name| ((*name).to_owned(), vec![(*name).to_owned()])).collect();
    let others = names.iter().filter(|name| in_domain.is_some_and(|home| home != **name));
    let others: Vec<String> = others.map(|name| (*name).to_owned()).collect();
    if !others.is_empty() {
        groups.push((OUT_OF_DOMAIN.to_owned(), others));
    }
    groups
}

fn of_tokens(
    answers: &[ShiftedAnswer],
    group: &str,
    domains: &[String],
    (part, positions): (&str, &str),
    counts: &dyn Fn(usize, Part) -> bool,
) -> Vec<ShiftRow> {
    let weight = |place: usize, part: Part| f64::from(u8::from(counts(place, part)));
    let mut sample = Sample::new(SHIFT_MEASURES.len());
    let mut tokens = 0.0;
    for (domain, name) in domains.iter().enumerate() {
        let topics = topics(answers, name, &weight);
        tokens += topics.values().map(|cells| cells[0].count).sum::<f64>();
        sample.add(Place { seed: 0, arm: 0, domain }, topics);
    }
    let row = |(measure, found): (&ShiftMeasure, Option<Finding>)| {
        let found = found?.estimate;
        Some(ShiftRow {
            domain: group.to_owned(),
            part: part.to_owned(),
            positions: positions.to_owned(),
            tokens: tokens as usize,
            measure: measure.name.to_owned(),
            mean: found.mean,
            low: found.low,
            high: found.high,
        })
    };
    SHIFT_MEASURES.iter().zip(sample.means()).filter_map(row).collect()
}

/// The topics of a domain by name, with weighted sums of all measures over their tokens; a token that weighs nothing is
/// left out.
pub(super) fn topics<'a>(
    answers: &'a [ShiftedAnswer],
    domain: &str,
    weight: &dyn Fn(usize, Part) -> f64,
) -> BTreeMap<&'a str, TopicCells> {
    let mut topics: BTreeMap<&str, TopicCells> = BTreeMap::new();
    for answer in answers.iter().filter(|answer| answer.domain == domain) {
        let cells = topics.entry(&answer.topic).or_insert_with(|| vec![Cell::default(); SHIFT_MEASURES.len()]);
        for place in 0..answer.tokens.len() {
            let (part, token) = answer.token(place);
            let weight = weight(place, part);
            for (cell, measure) in cells.iter_mut().zip(SHIFT_MEASURES) {
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

    /// An answer whose tokens have these ranks in the base; a rank's divergence is itself less one.
    pub(crate) fn answer(domain: &str, topic: &str, ranks: &[u32], parts: &[Part]) -> ShiftedAnswer {
        let kl: Vec<f32> = ranks.iter().map(|rank| (*rank - 1) as f32).collect();
        let logps: Vec<f32> = ranks.iter().map(|rank| -(*rank as f32).ln()).collect();
        let parts = if parts.is_empty() { vec![Part::None; ranks.len()] } else { parts.to_vec() };
        ShiftedAnswer {
            response_id: format!("{domain}/{topic}#0"),
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

    fn mean(shift: &Shift, domain: &str, part: &str, positions: &str, measure: &str) -> Option<(f64, usize)> {
        let of = |row: &&ShiftRow| {
            (&*row.domain, &*row.part, &*row.positions, &*row.measure) == (domain, part, positions, measure)
        };
        shift.rows.iter().find(of).map(|row| (row.mean, row.tokens))
    }

    #[test]
    fn tokens_are_classed_by_rank_and_counted_by_part_and_position() {
        use Part::{None, Right, Wrong};
        let answers = [
            answer("people", "Ann", &[1, 2, 3, 4, 1], &[Right, Right, Wrong, None, None]),
            answer("people", "Bo", &[9], &[Wrong]),
            answer("countries", "Peru", &[1, 1], &[]),
            answer("elements", "tin", &[1, 4], &[]),
        ];
        let shift = shift(&answers, Some("people"), &[2, 4]).unwrap();
        let people = |part, positions, measure| mean(&shift, "people", part, positions, measure);
        assert_eq!(people("all", "all", "unshifted"), Some((2.0 / 6.0, 6)));
        assert_eq!(people("all", "all", "marginal"), Some((2.0 / 6.0, 6)));
        assert_eq!(people("all", "all", "shifted"), Some((2.0 / 6.0, 6)));
        assert_eq!(people("all", "all", "moved"), Some((4.0 / 6.0, 6)));
        assert_eq!(people("all", "all", "kl"), Some((14.0 / 6.0, 6)));
        assert_eq!(people("all", "all", "reverse_kl"), Some((28.0 / 6.0, 6)));
        assert_eq!(people("right", "all", "moved"), Some((0.5, 2)));
        assert_eq!(people("wrong", "all", "kl"), Some((5.0, 2)));
        assert_eq!(people("all", "0-1", "kl"), Some((3.0, 3)));
        assert_eq!(people("all", "2-3", "marginal"), Some((0.5, 2)));
        assert_eq!(people("all", "4-", "unshifted"), Some((1.0, 1)));
        let (probability, _) = people("none", "all", "base_probability").unwrap();
        assert!((probability - 0.625).abs() < 1e-6);
        assert_eq!(mean(&shift, "countries", "right", "all", "kl"), Option::None, "no token, no row");
        assert_eq!(mean(&shift, "out-of-domain", "all", "all", "kl"), Some((0.75, 4)));
        let text = serde_json::to_string(&shift).unwrap();
        assert_eq!(serde_json::from_str::<Shift>(&text).unwrap(), shift);
    }

    #[test]
    fn an_unknown_domain_is_told() {
        let error = shift(&[answer("people", "Ann", &[1], &[])], Some("peple"), &[]).unwrap_err();
        assert_eq!(error.to_string(), "`in_domain` is `peple`, but the answers are of: people");
    }
}
