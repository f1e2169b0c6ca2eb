//! An arm, or an average of arms, against its baseline on the same prompts: a row per measure.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    AnswerScore, MEASURES, Measure,
    comparison::{ComparisonRow, ScoredCell},
    comparison_error::ComparisonError,
    domain_set::DomainSet,
    interval::{TestedEstimate, TopicTotals, Total},
    sample::{Sample, SampleIndex},
    scores::topics,
};

/// A cell and its baseline cell.
pub(super) struct PairedCells<'a> {
    /// Number of its seed.
    pub(super) seed: usize,
    /// Number of its arm.
    pub(super) arm: usize,
    /// The cell.
    pub(super) one: &'a ScoredCell,
    /// The baseline cell.
    pub(super) other: Option<&'a ScoredCell>,
}

/// An arm or average against a baseline.
pub(super) struct Contrast<'a> {
    /// The arm, or the average.
    pub(super) arm: String,
    /// The baseline.
    pub(super) baseline: Option<String>,
    /// The cells whose values are averaged.
    pub(super) pairs: Vec<PairedCells<'a>>,
}

impl Contrast<'_> {
    /// The rows of one set of domains.
    ///
    /// # Errors
    /// Fails where an arm and its baseline have no prompt in common.
    pub(super) fn rows(&self, set: &DomainSet) -> Result<Vec<ComparisonRow>, ComparisonError> {
        let (mut stated, mut apart) = (Sample::new(MEASURES.len()), Sample::new(MEASURES.len()));
        for PairedCells { seed, arm, one, other } in &self.pairs {
            let mut in_common = false;
            for (domain, name) in set.domains.iter().enumerate() {
                let place = SampleIndex { seed: *seed, arm: *arm, domain };
                stated.add(place, topics(&one.answers, name));
                if let Some(other) = other {
                    let differences = differences(&one.answers, &other.answers, name);
                    in_common |= !differences.is_empty();
                    apart.add(place, differences);
                }
            }
            // Some prompts in common suffice; differences are of those alone.
            let Some(other) = other.filter(|_| !in_common) else { continue };
            // Only for a single domain: in a set another domain may have prompts in common.
            if one.answers.iter().any(|answer| answer.domain == set.name) {
                return Err(ComparisonError::OtherPrompts(
                    one.cell.to_string(),
                    other.cell.to_string(),
                ));
            }
        }
        let (means, differences) = (stated.means(), apart.means());
        let rows = (0..MEASURES.len()).filter_map(|index| {
            Some(self.row(set, &MEASURES[index], means[index]?, differences[index]))
        });
        Ok(rows.collect())
    }

    fn row(
        &self,
        DomainSet { name, domains }: &DomainSet,
        measure: &Measure,
        found: TestedEstimate,
        difference: Option<TestedEstimate>,
    ) -> ComparisonRow {
        let stated = found.bounded(measure.most);
        let answers = self.pairs.iter().flat_map(|pair| &pair.one.answers);
        let arms: BTreeSet<usize> = self.pairs.iter().map(|pair| pair.arm).collect();
        // Constant differences other than 0 do not show how they would vary: neither p-value nor
        // interval.
        let certain = difference.filter(|difference| difference.p.is_some());
        ComparisonRow {
            arm: self.arm.clone(),
            baseline: self.baseline.clone(),
            domain: name.clone(),
            measure: measure.name,
            arms: arms.len(),
            seeds: found.seeds,
            answers: answers.filter(|answer| domains.contains(&answer.domain)).count(),
            mean: stated.mean,
            low: stated.low,
            high: stated.high,
            difference: difference.map(|difference| difference.estimate.mean),
            difference_low: certain.and_then(|difference| difference.estimate.low),
            difference_high: certain.and_then(|difference| difference.estimate.high),
            p: certain.and_then(|difference| difference.p),
            p_holm: None,
        }
    }

    /// Number of seeds.
    pub(super) fn seeds(&self) -> usize {
        self.pairs.iter().map(|pair| pair.seed).collect::<BTreeSet<usize>>().len()
    }

    /// Number of prompts in all compared cells, and of those without a response of the baseline.
    pub(super) fn prompts(&self) -> (usize, usize) {
        let (mut all, mut alone) = (0, 0);
        for PairedCells { one, other, .. } in &self.pairs {
            let Some(other) = other else { continue };
            let [own, known] = [*one, *other].map(|cell| -> BTreeSet<&str> {
                cell.answers.iter().map(|answer| answer.prompt_id.as_str()).collect()
            });
            all += own.len();
            alone += own.difference(&known).count();
        }
        (all, alone)
    }
}

/// By topic: the differences of the means of each prompt that both have responses to.
fn differences<'a>(
    one: &'a [AnswerScore],
    other: &[AnswerScore],
    domain: &str,
) -> BTreeMap<&'a str, TopicTotals> {
    let (one, other) = (prompts(one, domain), prompts(other, domain));
    let mut topics: BTreeMap<&str, TopicTotals> = BTreeMap::new();
    for (prompt, (topic, cells)) in &one {
        let Some((_, others)) = other.get(prompt) else { continue };
        let totals = topics.entry(topic).or_insert_with(|| vec![Total::default(); MEASURES.len()]);
        for (total, (cell, other)) in totals.iter_mut().zip(cells.iter().zip(others)) {
            // A prompt on which one of both states no fact has no precision to compare.
            if cell.count > 0.0 && other.count > 0.0 {
                // By prompt, so that difficult prompts cancel out.
                total.add(cell.sum / cell.count - other.sum / other.count);
            }
        }
    }
    topics
}

/// By prompt: its topic, and the sums of all measures over its responses.
fn prompts<'a>(
    answers: &'a [AnswerScore],
    domain: &str,
) -> BTreeMap<&'a str, (&'a str, TopicTotals)> {
    let mut prompts = BTreeMap::new();
    for answer in answers.iter().filter(|answer| answer.domain == domain) {
        let entry = prompts.entry(answer.prompt_id.as_str());
        let (_, cells) = entry
            .or_insert_with(|| (answer.topic.as_str(), vec![Total::default(); MEASURES.len()]));
        for (cell, measure) in cells.iter_mut().zip(MEASURES) {
            if let Some(value) = (measure.value)(answer) {
                cell.add(value);
            }
        }
    }
    prompts
}
