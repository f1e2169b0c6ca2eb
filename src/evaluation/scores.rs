//! Scores of a file of answers: each measure in each domain, and away from home.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{AnswerScore, Cell, Estimate, MEASURES, Place, Sample, Settings, TopicCells};

/// What `scores.json` holds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Scores {
    /// What the measures are defined by.
    pub settings: Settings,
    /// The domain that was tuned on; none where nothing was said.
    pub in_domain: Option<String>,
    /// Each domain of the answers, in the order of the file.
    pub domains: Vec<DomainScores>,
    /// The mean over all domains but the in-domain one, each weighing the same; none where there is no such domain.
    pub out_of_domain: Option<DomainScores>,
}

/// The scores of one domain, or of several.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DomainScores {
    /// The domain's name; "out-of-domain" for their mean.
    pub domain: String,
    /// Answers.
    pub answers: usize,
    /// Different topics.
    pub topics: usize,
    /// Each measure of [`MEASURES`] by name, its interval over topics, of this one set of answers; a measure for which
    /// no answer counts is missing.
    pub measures: BTreeMap<String, Estimate>,
}

/// Why answers cannot be scored.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ScoresError {
    /// There are no answers.
    #[error("there are no answers to score")]
    NoAnswers,
    /// No answer is of the in-domain domain.
    #[error("`in_domain` is `{in_domain}`, but the answers are of: {domains}")]
    UnknownDomain {
        /// What was said.
        in_domain: String,
        /// What there is.
        domains: String,
    },
}

/// The name of the mean over the domains that were not tuned on.
pub(super) const OUT_OF_DOMAIN: &str = "out-of-domain";

/// Scores answers by domain.
///
/// # Errors
/// Where there are no answers, or none in the in-domain domain.
pub fn scores(answers: &[AnswerScore], settings: Settings, in_domain: Option<&str>) -> Result<Scores, ScoresError> {
    let names = domain_names(answers);
    if names.is_empty() {
        return Err(ScoresError::NoAnswers);
    }
    if let Some(unknown) = in_domain.filter(|domain| !names.contains(domain)) {
        return Err(ScoresError::UnknownDomain { in_domain: unknown.to_owned(), domains: names.join(", ") });
    }
    let domains = names.iter().map(|name| domain_scores(name, answers, &[name])).collect();
    let others: Vec<&str> = names.into_iter().filter(|name| in_domain.is_some_and(|home| home != *name)).collect();
    let out_of_domain = (!others.is_empty()).then(|| domain_scores(OUT_OF_DOMAIN, answers, &others));
    Ok(Scores { settings, in_domain: in_domain.map(str::to_owned), domains, out_of_domain })
}

/// The domains of answers, in the order in which they first occur.
pub(super) fn domain_names(answers: &[AnswerScore]) -> Vec<&str> {
    let mut names: Vec<&str> = Vec::new();
    for answer in answers {
        if !names.contains(&answer.domain.as_str()) {
            names.push(&answer.domain);
        }
    }
    names
}

fn domain_scores(name: &str, answers: &[AnswerScore], domains: &[&str]) -> DomainScores {
    let mut sample = Sample::new(MEASURES.len());
    let mut count = 0;
    for (domain, name) in domains.iter().enumerate() {
        let topics = topics(answers, name);
        count += topics.len();
        sample.add(Place { seed: 0, arm: 0, domain }, topics);
    }
    DomainScores {
        domain: name.to_owned(),
        answers: answers.iter().filter(|answer| domains.contains(&answer.domain.as_str())).count(),
        topics: count,
        measures: MEASURES
            .iter()
            .zip(sample.means())
            .filter_map(|(measure, found)| Some((measure.name.to_owned(), found?.estimate)))
            .collect(),
    }
}

/// The topics of a domain by name, with the sums of all measures over their answers.
pub(super) fn topics<'a>(answers: &'a [AnswerScore], domain: &str) -> BTreeMap<&'a str, TopicCells> {
    let mut topics: BTreeMap<&str, TopicCells> = BTreeMap::new();
    for answer in answers.iter().filter(|answer| answer.domain == domain) {
        let cells = topics.entry(&answer.topic).or_insert_with(|| vec![Cell::default(); MEASURES.len()]);
        for (cell, measure) in cells.iter_mut().zip(MEASURES) {
            if let Some(value) = (measure.value)(answer) {
                cell.add(value);
            }
        }
    }
    topics
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::evaluation::answer::tests::SETTINGS;

    /// An answer of two facts, so many of them supported.
    pub(crate) fn answer(domain: &str, topic: &str, sample: usize, supported: Option<usize>) -> AnswerScore {
        let facts = if supported.is_some() { 2 } else { 0 };
        let supported = supported.unwrap_or(0);
        AnswerScore {
            response_id: format!("{domain}/{topic}#{sample}"),
            prompt_id: format!("{domain}/{topic}"),
            sample,
            topic: topic.to_owned(),
            domain: domain.to_owned(),
            split: "test".to_owned(),
            facts,
            supported,
            unsupported: facts - supported,
            irrelevant: 0,
            distinct_supported: supported,
            distinct_unsupported: facts - supported,
            repeats: 0,
            empty: facts == 0,
            abstained: false,
            unfinished: false,
            characters: 10,
            precision: (facts > 0).then(|| supported as f64 / 2.0),
            deduplicated: (facts > 0).then(|| supported as f64 / 2.0),
            factscore: None,
            f1_at_k: 0.0,
        }
    }

    #[test]
    fn domains_are_scored_apart_and_those_away_together() {
        let answers = [
            answer("people", "Ann", 0, Some(2)),
            answer("people", "Ann", 1, Some(1)),
            answer("people", "Bo", 0, None),
            answer("countries", "Peru", 0, Some(1)),
            answer("elements", "tin", 0, Some(0)),
            answer("elements", "iron", 0, Some(2)),
            answer("elements", "gold", 0, Some(2)),
        ];
        let scores = scores(&answers, SETTINGS, Some("people")).unwrap();
        let names: Vec<&str> = scores.domains.iter().map(|domain| domain.domain.as_str()).collect();
        assert_eq!(names, ["people", "countries", "elements"]);
        let people = &scores.domains[0];
        assert_eq!((people.answers, people.topics), (3, 2));
        assert_eq!(people.measures["precision"], Estimate::bare(0.75), "Bo states no fact");
        assert!((people.measures["responding"].mean - 2.0 / 3.0).abs() < 1e-12);
        assert!(!people.measures.contains_key("factscore"));
        let away = scores.out_of_domain.as_ref().unwrap();
        assert!((away.measures["precision"].mean - (0.5 + 2.0 / 3.0) / 2.0).abs() < 1e-12);
        assert_eq!((away.answers, away.topics), (4, 4));
        let text = serde_json::to_string(&scores).unwrap();
        assert_eq!(serde_json::from_str::<Scores>(&text).unwrap(), scores);
    }

    #[test]
    fn wrong_calls_are_told() {
        assert_eq!(scores(&[], SETTINGS, None), Err(ScoresError::NoAnswers));
        let error = scores(&[answer("people", "Ann", 0, None)], SETTINGS, Some("peple")).unwrap_err();
        assert_eq!(error.to_string(), "`in_domain` is `peple`, but the answers are of: people");
    }
}
