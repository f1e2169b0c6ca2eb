//! An arm, or the average of several, beside its baseline on the same prompts: a row for each measure.

use std::collections::BTreeMap;

use super::{
    AnswerScore, Cell, ComparisonError, ComparisonRow, Estimate, MEASURES, Measure, Replicate, Scored, TopicCells,
    estimates, p_values,
    scores::{bootstrap_seed, topics},
};

/// A cell, and the one that it is compared with.
pub(super) type Pair<'a> = (&'a Scored, Option<&'a Scored>);

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
    /// By seed, the cells whose values are averaged.
    pub(super) seeds: Vec<Vec<Pair<'a>>>,
}

impl Contrast<'_> {
    /// The rows of one group of domains.
    ///
    /// # Errors
    /// Where an arm and its baseline have no prompt in common.
    pub(super) fn rows(&self, group: &Group) -> Result<Vec<ComparisonRow>, ComparisonError> {
        let Group { name, domains } = group;
        let (mut stated, mut apart) = (Vec::new(), Vec::new());
        for pairs in &self.seeds {
            let own = |domain: &String| joined(pairs.iter().map(|(one, _)| topics(&one.answers, domain)).collect());
            stated.push(Replicate { domains: domains.iter().map(own).collect() });
            let compared: Vec<(&Scored, &Scored)> =
                pairs.iter().filter_map(|(one, other)| Some((*one, (*other)?))).collect();
            let difference = |domain: &String| {
                joined(compared.iter().map(|(one, other)| differences(&one.answers, &other.answers, domain)).collect())
            };
            let difference = Replicate { domains: domains.iter().map(difference).collect() };
            let Some((one, other)) = compared.first() else { continue };
            if difference.domains.iter().all(Vec::is_empty) && one.answers.iter().any(|answer| name == &answer.domain) {
                return Err(ComparisonError::OtherPrompts(one.label.clone(), other.label.clone()));
            }
            apart.push(difference);
        }
        let means = estimates(&stated, MEASURES.len(), &bootstrap_seed(name));
        let differences = estimates(&apart, MEASURES.len(), &bootstrap_seed(name));
        let p_values = p_values(&apart, MEASURES.len(), &bootstrap_seed(name));
        let rows = (0..MEASURES.len()).filter_map(|index| {
            let mean = means[index]?;
            Some(self.row(group, &MEASURES[index], mean, differences[index], p_values[index]))
        });
        Ok(rows.collect())
    }

    fn row(
        &self,
        Group { name, domains }: &Group,
        measure: &Measure,
        Estimate { mean, low, high }: Estimate,
        difference: Option<Estimate>,
        p: Option<f64>,
    ) -> ComparisonRow {
        let of_group = |answer: &&AnswerScore| domains.contains(&answer.domain);
        let cells = self.seeds.iter().flatten();
        ComparisonRow {
            arm: self.arm.clone(),
            baseline: self.baseline.clone(),
            domain: name.clone(),
            measure: measure.name.to_owned(),
            arms: self.seeds.iter().map(Vec::len).max().unwrap_or(0),
            seeds: self.seeds.len(),
            answers: cells.map(|(one, _)| one.answers.iter().filter(of_group).count()).sum(),
            mean,
            low,
            high,
            difference: difference.map(|estimate| estimate.mean),
            difference_low: difference.map(|estimate| estimate.low),
            difference_high: difference.map(|estimate| estimate.high),
            p,
            p_holm: None,
        }
    }
}

/// The topics of several arms side by side, so that a resampling takes the same topics of all.
fn joined(arms: Vec<BTreeMap<&str, TopicCells>>) -> Vec<TopicCells> {
    let mut all: BTreeMap<&str, TopicCells> = BTreeMap::new();
    let columns = arms.len() * MEASURES.len();
    for (index, arm) in arms.into_iter().enumerate() {
        for (topic, cells) in arm {
            let row = all.entry(topic).or_insert_with(|| vec![Cell::default(); columns]);
            row[index * MEASURES.len()..][..MEASURES.len()].copy_from_slice(&cells);
        }
    }
    all.into_values().collect()
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
