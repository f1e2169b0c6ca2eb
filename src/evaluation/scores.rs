//! Scores of a file of responses: each measure by domain, and out-of-domain.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::rows::MeasureName;

use super::{
    AnswerScore, Estimate, MEASURES, ScoreSettings,
    domain_set::{DomainSet, domain_sets},
    interval::{TopicTotals, Total},
    sample::{Sample, SampleIndex},
};

/// Content of `scores.json`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Scores {
    /// Parameters of the measures.
    pub settings: ScoreSettings,
    /// The in-domain domain, if given.
    pub in_domain: Option<String>,
    /// Each domain of the responses, in the order of the file.
    pub domains: Vec<DomainScores>,
    /// Mean over all domains except the in-domain one, with equal weights; none without such a
    /// domain.
    pub out_of_domain: Option<DomainScores>,
}

/// The scores of one domain, or of several.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DomainScores {
    /// The domain's name; "out-of-domain" for their mean.
    pub domain: String,
    /// Number of responses.
    pub answers: usize,
    /// Number of topics.
    pub topics: usize,
    /// Each measure of [`MEASURES`] by name, with its interval over topics, for this set of
    /// responses; measures without counted responses are missing.
    pub measures: BTreeMap<MeasureName, Estimate>,
}

/// Why responses cannot be scored.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ScoresError {
    /// There are no responses.
    #[error("no responses to score")]
    NoAnswers,
    /// The in-domain domain has no responses.
    #[error("`in_domain` is `{in_domain}`, but the responses are of: {domains}")]
    UnknownDomain {
        /// The name in the recipe.
        in_domain: String,
        /// The domains of the responses.
        domains: String,
    },
}

/// Sums of all measures by domain and topic, over responses that are added one at a time.
#[derive(Clone, Debug, Default)]
pub struct ScoreSums {
    /// In the order of their first responses.
    domains: Vec<DomainSums>,
}

#[derive(Clone, Debug)]
struct DomainSums {
    name: String,
    answers: usize,
    topics: BTreeMap<String, TopicTotals>,
}

impl ScoreSums {
    /// Adds a response.
    pub fn add(&mut self, answer: &AnswerScore) {
        let known = self.domains.iter().position(|domain| domain.name == answer.domain);
        let place = known.unwrap_or_else(|| {
            let name = answer.domain.clone();
            self.domains.push(DomainSums { name, answers: 0, topics: BTreeMap::new() });
            self.domains.len() - 1
        });
        let DomainSums { answers, topics, .. } = &mut self.domains[place];
        *answers += 1;
        // Most topics are known, and their names are not copied again.
        match topics.get_mut(&answer.topic) {
            Some(cells) => add_values(cells, answer),
            None => add_values(topics.entry(answer.topic.clone()).or_insert_with(nothing), answer),
        }
    }

    /// The scores by domain.
    ///
    /// # Errors
    /// Fails without responses, or without in-domain responses.
    pub fn scores(
        &self,
        settings: ScoreSettings,
        in_domain: Option<&str>,
    ) -> Result<Scores, ScoresError> {
        let names: Vec<&str> = self.domains.iter().map(|domain| domain.name.as_str()).collect();
        if names.is_empty() {
            return Err(ScoresError::NoAnswers);
        }
        if let Some(unknown) = in_domain.filter(|domain| !names.contains(domain)) {
            return Err(ScoresError::UnknownDomain {
                in_domain: unknown.to_owned(),
                domains: names.join(", "),
            });
        }
        let sets = domain_sets(&names, in_domain).into_iter();
        let mut domains: Vec<DomainScores> = sets.map(|set| self.domain_scores(set)).collect();
        // Each domain has a set of its own; one more set is that of all others.
        let out_of_domain = if domains.len() > names.len() { domains.pop() } else { None };
        Ok(Scores { settings, in_domain: in_domain.map(str::to_owned), domains, out_of_domain })
    }

    fn domain_scores(&self, DomainSet { name, domains }: DomainSet) -> DomainScores {
        let mut sample = Sample::new(MEASURES.len());
        let (mut answers, mut count) = (0, 0);
        for (domain, name) in domains.iter().enumerate() {
            for sums in self.domains.iter().filter(|sums| sums.name == *name) {
                answers += sums.answers;
                count += sums.topics.len();
                let topics =
                    sums.topics.iter().map(|(topic, cells)| (topic.as_str(), cells.clone()));
                sample.add(SampleIndex { seed: 0, arm: 0, domain }, topics);
            }
        }
        DomainScores {
            domain: name,
            answers,
            topics: count,
            measures: MEASURES
                .iter()
                .zip(sample.means())
                .filter_map(|(measure, found)| Some((measure.name, found?.bounded(measure.most))))
                .collect(),
        }
    }
}

/// Scores responses by domain.
///
/// # Errors
/// Fails without responses, or without in-domain responses.
pub fn scores(
    answers: &[AnswerScore],
    settings: ScoreSettings,
    in_domain: Option<&str>,
) -> Result<Scores, ScoresError> {
    let mut sums = ScoreSums::default();
    answers.iter().for_each(|answer| sums.add(answer));
    sums.scores(settings, in_domain)
}

/// The topics of a domain by name, with the sums of all measures over their responses.
pub(super) fn topics<'a>(
    answers: &'a [AnswerScore],
    domain: &str,
) -> BTreeMap<&'a str, TopicTotals> {
    let mut topics: BTreeMap<&str, TopicTotals> = BTreeMap::new();
    for answer in answers.iter().filter(|answer| answer.domain == domain) {
        add_values(topics.entry(&answer.topic).or_insert_with(nothing), answer);
    }
    topics
}

/// Totals of no response.
fn nothing() -> TopicTotals {
    vec![Total::default(); MEASURES.len()]
}

fn add_values(cells: &mut [Total], answer: &AnswerScore) {
    for (cell, measure) in cells.iter_mut().zip(MEASURES) {
        // A response that does not count leaves the total as it is, unlike a 0.
        if let Some(value) = (measure.value)(answer) {
            cell.add(value);
        }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::evaluation::answer::tests::SETTINGS;

    /// A response of two facts with this number of supported ones.
    pub(crate) fn answer(
        domain: &str,
        topic: &str,
        sample: usize,
        supported: Option<usize>,
    ) -> AnswerScore {
        let facts = if supported.is_some() { 2 } else { 0 };
        let supported = supported.unwrap_or(0);
        AnswerScore {
            response_id: format!("{domain}/{topic}#{sample}").into(),
            prompt_id: format!("{domain}/{topic}"),
            sample,
            topic: topic.to_owned(),
            domain: domain.to_owned(),
            split: "test".to_owned(),
            facts,
            supported,
            unsupported: facts - supported,
            irrelevant: 0,
            undecided: 0,
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
        assert_eq!(
            people.measures[&MeasureName::Precision],
            Estimate::bare(0.75),
            "Bo states no fact"
        );
        assert!((people.measures[&MeasureName::Responding].mean - 2.0 / 3.0).abs() < 1e-12);
        assert!(!people.measures.contains_key(&MeasureName::Factscore));
        let away = scores.out_of_domain.as_ref().unwrap();
        assert!(
            (away.measures[&MeasureName::Precision].mean - (0.5 + 2.0 / 3.0) / 2.0).abs() < 1e-12
        );
        assert_eq!((away.answers, away.topics), (4, 4));
        let text = serde_json::to_string(&scores).unwrap();
        assert_eq!(serde_json::from_str::<Scores>(&text).unwrap(), scores);
    }

    #[test]
    fn wrong_calls_are_told() {
        assert_eq!(scores(&[], SETTINGS, None), Err(ScoresError::NoAnswers));
        let error =
            scores(&[answer("people", "Ann", 0, None)], SETTINGS, Some("peple")).unwrap_err();
        assert_eq!(error.to_string(), "`in_domain` is `peple`, but the responses are of: people");
    }
}
