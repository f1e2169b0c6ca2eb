//! An arm, or the average of several, beside its baseline on the same prompts: a row for each measure.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    AnswerScore, Cell, ComparisonError, ComparisonRow, Finding, MEASURES, Measure, Place, Sample, Scored, TopicCells,
    scores::topics,
};

/// A cell, and the one that it is compared with.
pub(super) struct Pair<'a> {
    /// The number of its seed.
    pub(super) seed: usize,
    /// The number of its arm.
    pub(super) arm: usize,
    /// The cell.
    pub(super) one: &'a Scored,
    /// The other.
    pub(super) other: Option<&'a Scored>,
}

/// Domains that stand in a table under one name.
pub(super) struct Group {
    /// The name.
    pub(super) name: String,
    /// The domains, each weighing the same.
    pub(super) domains: Vec<String>,
}

/// What the rows of a table are about.
pub(super) struct Contrast<'a> {
    /// The arm, or what is averaged.
    pub(super) arm: String,
    /// What differences are taken from.
    pub(super) baseline: Option<String>,
    /// The cells whose values are averaged.
    pub(super) pairs: Vec<Pair<'a>>,
}

impl Contrast<'_> {
    /// The rows of one group of domains.
    ///
    /// # Errors
    /// Where an arm and its baseline have no prompt in common.
    pub(super) fn rows(&self, group: &Group) -> Result<Vec<ComparisonRow>, ComparisonError> {
        let (mut stated, mut apart) = (Sample::new(MEASURES.len()), Sample::new(MEASURES.len()));
        for Pair { seed, arm, one, other } in &self.pairs {
            let mut in_common = false;
            for (domain, name) in group.domains.iter().enumerate() {
                let place = Place { seed: *seed, arm: *arm, domain };
                stated.add(place, topics(&one.answers, name));
                if let Some(other) = other {
                    let differences = differences(&one.answers, &other.answers, name);
                    in_common |= !differences.is_empty();
                    apart.add(place, differences);
                }
            }
            let Some(other) = other.filter(|_| !in_common) else { continue };
            if one.answers.iter().any(|answer| answer.domain == group.name) {
                return Err(ComparisonError::OtherPrompts(one.label.clone(), other.label.clone()));
            }
        }
        let (means, differences) = (stated.means(), apart.means());
        let rows = (0..MEASURES.len())
            .filter_map(|index| Some(self.row(group, &MEASURES[index], means[index]?, differences[index])));
        Ok(rows.collect())
    }

    fn row(
        &self,
        Group { name, domains }: &Group,
        measure: &Measure,
        found: Finding,
        difference: Option<Finding>,
    ) -> ComparisonRow {
        let of_group = |answer: &&AnswerScore| domains.contains(&answer.domain);
        let arms: BTreeSet<usize> = self.pairs.iter().map(|pair| pair.arm).collect();
        // Differences that are all equal, and not 0, say nothing of how they would vary: neither p-value nor interval.
        let certain = difference.filter(|difference| difference.p.is_some());
        ComparisonRow {
            arm: self.arm.clone(),
            baseline: self.baseline.clone(),
            domain: name.clone(),
            measure: measure.name.to_owned(),
            arms: arms.len(),
            seeds: found.seeds,
            answers: self.pairs.iter().map(|pair| pair.one.answers.iter().filter(of_group).count()).sum(),
            mean: found.estimate.mean,
            low: found.estimate.low,
            high: found.estimate.high,
            difference: difference.map(|difference| difference.estimate.mean),
            difference_low: certain.and_then(|difference| difference.estimate.low),
            difference_high: certain.and_then(|difference| difference.estimate.high),
            p: certain.and_then(|difference| difference.p),
            p_holm: None,
        }
    }

    /// How many seeds there are.
    pub(super) fn seeds(&self) -> usize {
        self.pairs.iter().map(|pair| pair.seed).collect::<BTreeSet<usize>>().len()
    }

    /// How many prompts there are in all cells that are compared, and for how many of them the other cell has no answer.
    pub(super) fn prompts(&self) -> [usize; 2] {
        let mut found = [0, 0];
        for Pair { one, other, .. } in &self.pairs {
            let Some(other) = other else { continue };
            let [own, known] = [*one, *other].map(|cell| -> BTreeSet<&str> {
                cell.answers.iter().map(|answer| answer.prompt_id.as_str()).collect()
            });
            found[0] += own.len();
            found[1] += own.difference(&known).count();
        }
        found
    }
}

/// By topic: the differences of the means of each prompt that both have answers to.
fn differences<'a>(one: &'a [AnswerScore], other: &[AnswerScore], domain: &str) -> BTreeMap<&'a str, TopicCells> {
    let (one, other) = (prompts(one, domain), prompts(other, domain));
    let mut topics: BTreeMap<&str, TopicCells> = BTreeMap::new();
    for (prompt, (topic, cells)) in &one {
        let Some((_, others)) = other.get(prompt) else { continue };
        let totals = topics.entry(topic).or_insert_with(|| vec![Cell::default(); MEASURES.len()]);
        for (total, (cell, other)) in totals.iter_mut().zip(cells.iter().zip(others)) {
            if cell.count > 0.0 && other.count > 0.0 {
                total.add(cell.sum / cell.count - other.sum / other.count);
            }
        }
    }
    topics
}

/// By prompt: its topic, and the sums of all measures over its answers.
fn prompts<'a>(answers: &'a [AnswerScore], domain: &str) -> BTreeMap<&'a str, (&'a str, TopicCells)> {
    let mut prompts = BTreeMap::new();
    for answer in answers.iter().filter(|answer| answer.domain == domain) {
        let entry = prompts.entry(answer.prompt_id.as_str());
        let (_, cells) = entry.or_insert_with(|| (answer.topic.as_str(), vec![Cell::default(); MEASURES.len()]));
        for (cell, measure) in cells.iter_mut().zip(MEASURES) {
            if let Some(value) = (measure.value)(answer) {
                cell.add(value);
            }
        }
    }
    prompts
}
