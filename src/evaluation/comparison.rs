//! Arms of an experiment side by side: means over seeds, and differences from a baseline on the same prompts.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{
    AnswerScore, Cell, Estimate, MEASURES, Replicate, Scores, Settings, TopicCells, estimates,
    scores::{OUT_OF_DOMAIN, bootstrap_seed, domain_names, topics},
};

/// The scores of one cell of a recipe.
#[derive(Clone, Debug)]
pub struct Scored {
    /// The cell: `after@algorithm=dpo,seed=0`.
    pub label: String,
    /// Its `scores.json`.
    pub scores: Scores,
    /// Its `responses.csv`.
    pub answers: Vec<AnswerScore>,
}

/// What `comparison.json` holds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Comparison {
    /// What the measures are defined by.
    pub settings: Settings,
    /// The domain that was tuned on; none where nothing was said.
    pub in_domain: Option<String>,
    /// The stage or arm that differences are taken from; none where nothing was said.
    pub baseline: Option<String>,
    /// The arms, in the order of the recipe.
    pub arms: Vec<Arm>,
    /// A row for each arm, domain (with "out-of-domain", the mean over all domains but the in-domain one) and measure, in
    /// this order. `comparison.csv` has the same rows.
    pub rows: Vec<ComparisonRow>,
}

/// One arm: the cells that differ in nothing but the seed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Arm {
    /// Its name: the cell's without the seed.
    pub name: String,
    /// The recipe's stage.
    pub stage: String,
    /// Its coordinates in the matrix.
    pub cell: BTreeMap<String, String>,
    /// The seeds, in the order of the recipe; empty where the stage has none.
    pub seeds: Vec<String>,
    /// The arm that it is compared with; none for the baseline itself.
    pub baseline: Option<String>,
}

/// One measure of one arm in one domain.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ComparisonRow {
    /// The arm's name.
    pub arm: String,
    /// The domain, or "out-of-domain".
    pub domain: String,
    /// The measure's name.
    pub measure: String,
    /// How many seeds there are.
    pub seeds: usize,
    /// How many answers there are, over all seeds.
    pub answers: usize,
    /// The mean over seeds.
    pub mean: f64,
    /// The lower end of its 95 % interval (bootstrap over seeds, where there are several, and topics).
    pub low: f64,
    /// The upper end.
    pub high: f64,
    /// The mean difference from the baseline of the same seed on the same prompts (those on which both count).
    pub difference: Option<f64>,
    /// The lower end of its 95 % interval.
    pub difference_low: Option<f64>,
    /// The upper end.
    pub difference_high: Option<f64>,
}

/// Why cells cannot be compared.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ComparisonError {
    /// Nothing was given.
    #[error("there are no scores to compare")]
    Nothing,
    /// Two inputs are the same cell.
    #[error("`{0}` was given twice")]
    Twice(String),
    /// Measures or domains are defined differently.
    #[error(
        "`{0}` and `{1}` were scored with different `gamma`, `k` or `in_domain`, so their numbers cannot be compared"
    )]
    Settings(String, String),
    /// The baseline is none of the inputs.
    #[error("`baseline` is `{baseline}`, but there are only: {known}")]
    UnknownBaseline {
        /// What was said.
        baseline: String,
        /// The arms.
        known: String,
    },
    /// A cell has no baseline, or several.
    #[error("`{label}` has {found} in `{baseline}` with the same seed and matrix values; exactly one is needed")]
    NoSingleBaseline {
        /// The cell.
        label: String,
        /// The baseline.
        baseline: String,
        /// What was found.
        found: String,
    },
    /// Baseline and arm have no prompt in common.
    #[error("`{0}` and its baseline `{1}` have no prompts in common")]
    OtherPrompts(String, String),
}

/// A cell's name, taken apart.
pub(super) struct Label {
    pub(super) stage: String,
    pub(super) cell: BTreeMap<String, String>,
    pub(super) seed: Option<String>,
    pub(super) arm: String,
}

/// Compares cells: arms by domain and measure, with differences from `baseline`, a stage or an arm. A stage that has
/// several arms is taken in the one that agrees with the compared arm's matrix values.
///
/// # Errors
/// Where the cells do not fit together, or the baseline is not among them.
pub fn compare(scored: &[Scored], baseline: Option<&str>) -> Result<Comparison, ComparisonError> {
    let first = scored.first().ok_or(ComparisonError::Nothing)?;
    let labels: Vec<Label> = scored.iter().map(|one| parse_label(&one.label)).collect();
    let defined = |one: &Scored| (one.scores.settings, one.scores.in_domain.clone());
    if let Some(other) = scored.iter().find(|other| defined(other) != defined(first)) {
        return Err(ComparisonError::Settings(first.label.clone(), other.label.clone()));
    }
    let mut arms: Vec<(String, Vec<usize>)> = Vec::new();
    for (index, label) in labels.iter().enumerate() {
        if scored[..index].iter().any(|other| other.label == scored[index].label) {
            return Err(ComparisonError::Twice(scored[index].label.clone()));
        }
        match arms.iter_mut().find(|(name, _)| *name == label.arm) {
            Some((_, members)) => members.push(index),
            None => arms.push((label.arm.clone(), vec![index])),
        }
    }
    if let Some(name) = baseline.filter(|name| !labels.iter().any(|label| label.is_of(name))) {
        let known: Vec<&str> = arms.iter().map(|(name, _)| name.as_str()).collect();
        return Err(ComparisonError::UnknownBaseline { baseline: name.to_owned(), known: known.join(", ") });
    }
    let groups = groups(scored);
    let mut comparison = Comparison {
        settings: first.scores.settings,
        in_domain: first.scores.in_domain.clone(),
        baseline: baseline.map(str::to_owned),
        arms: Vec::new(),
        rows: Vec::new(),
    };
    for (name, members) in &arms {
        let against: Vec<Option<usize>> =
            members.iter().map(|member| find_baseline(*member, &labels, scored, baseline)).collect::<Result<_, _>>()?;
        let label = &labels[members[0]];
        comparison.arms.push(Arm {
            name: name.clone(),
            stage: label.stage.clone(),
            cell: label.cell.clone(),
            seeds: members.iter().filter_map(|member| labels[*member].seed.clone()).collect(),
            baseline: against[0].map(|index| labels[index].arm.clone()),
        });
        for (group, domains) in &groups {
            let pairs: Vec<(&Scored, Option<&Scored>)> = members
                .iter()
                .zip(&against)
                .map(|(one, other)| (&scored[*one], other.map(|other| &scored[other])))
                .collect();
            comparison.rows.extend(rows(name, group, domains, &pairs)?);
        }
    }
    Ok(comparison)
}

/// The domains that tables list, each by itself, then those away from home together.
fn groups(scored: &[Scored]) -> Vec<(String, Vec<String>)> {
    let mut names: Vec<&str> = Vec::new();
    for name in scored.iter().flat_map(|one| domain_names(&one.answers)) {
        if !names.contains(&name) {
            names.push(name);
        }
    }
    let mut groups: Vec<(String, Vec<String>)> =
        names.iter().map(|name| ((*name).to_owned(), vec![(*name).to_owned()])).collect();
    if let Some(home) = &scored[0].scores.in_domain {
        let away: Vec<String> = names.iter().filter(|name| *name != home).map(|name| (*name).to_owned()).collect();
        if !away.is_empty() {
            groups.push((OUT_OF_DOMAIN.to_owned(), away));
        }
    }
    groups
}

/// The rows of one arm in one group of domains.
fn rows(
    arm: &str,
    group: &str,
    domains: &[String],
    pairs: &[(&Scored, Option<&Scored>)],
) -> Result<Vec<ComparisonRow>, ComparisonError> {
    let replicates: Vec<Replicate> = pairs
        .iter()
        .map(|(one, _)| Replicate { domains: domains.iter().map(|domain| topics(&one.answers, domain)).collect() })
        .collect();
    let means = estimates(&replicates, MEASURES.len(), &bootstrap_seed(group));
    let mut apart = Vec::new();
    for (one, other) in pairs {
        if let Some(other) = other {
            let domains: Vec<Vec<TopicCells>> =
                domains.iter().map(|domain| differences(&one.answers, &other.answers, domain)).collect();
            if domains.iter().all(Vec::is_empty) && one.answers.iter().any(|answer| group == answer.domain) {
                return Err(ComparisonError::OtherPrompts(one.label.clone(), other.label.clone()));
            }
            apart.push(Replicate { domains });
        }
    }
    let apart = estimates(&apart, MEASURES.len(), &bootstrap_seed(group));
    let of_group = |answer: &&AnswerScore| domains.contains(&answer.domain);
    let answers = pairs.iter().map(|(one, _)| one.answers.iter().filter(of_group).count()).sum();
    let row = |(measure, (mean, apart)): (&super::Measure, (Option<Estimate>, Option<Estimate>))| {
        let Estimate { mean, low, high } = mean?;
        Some(ComparisonRow {
            arm: arm.to_owned(),
            domain: group.to_owned(),
            measure: measure.name.to_owned(),
            seeds: pairs.len(),
            answers,
            mean,
            low,
            high,
            difference: apart.map(|estimate| estimate.mean),
            difference_low: apart.map(|estimate| estimate.low),
            difference_high: apart.map(|estimate| estimate.high),
        })
    };
    Ok(MEASURES.iter().zip(means.into_iter().zip(apart)).filter_map(row).collect())
}

/// By topic: the differences of the means of each prompt that both have answers to.
fn differences(one: &[AnswerScore], other: &[AnswerScore], domain: &str) -> Vec<TopicCells> {
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
    topics.into_values().collect()
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

pub(super) fn parse_label(label: &str) -> Label {
    let (stage, coordinates) = label.split_once('@').unwrap_or((label, ""));
    let mut pieces: Vec<String> = Vec::new();
    for piece in coordinates.split(',').filter(|piece| !piece.is_empty()) {
        match pieces.last_mut() {
            Some(last) if !piece.contains('=') => *last = format!("{last},{piece}"), // a comma inside a value
            _ => pieces.push(piece.to_owned()),
        }
    }
    let coordinate = |piece: &String| piece.split_once('=').map(|(name, value)| (name.to_owned(), value.to_owned()));
    let mut cell: BTreeMap<String, String> = pieces.iter().filter_map(coordinate).collect();
    let seed = cell.remove("seed");
    pieces.retain(|piece| !piece.starts_with("seed="));
    let arm = if pieces.is_empty() { stage.to_owned() } else { format!("{stage}@{}", pieces.join(",")) };
    Label { stage: stage.to_owned(), cell, seed, arm }
}

impl Label {
    /// Whether this cell belongs to a stage, or an arm, of this name.
    fn is_of(&self, name: &str) -> bool {
        self.stage == name || self.arm == name
    }
}

/// The cell that another is compared with; none for the baseline's own cells.
fn find_baseline(
    index: usize,
    labels: &[Label],
    scored: &[Scored],
    baseline: Option<&str>,
) -> Result<Option<usize>, ComparisonError> {
    let label = &labels[index];
    let Some(name) = baseline.filter(|name| !label.is_of(name)) else { return Ok(None) };
    let agrees = |other: &Label| {
        let same = |(key, value): (&String, &String)| label.cell.get(key).is_none_or(|own| own == value);
        other.arm == name || other.cell.iter().all(same)
    };
    let candidates: Vec<usize> = (0..labels.len())
        .filter(|other| labels[*other].is_of(name))
        .filter(|other| labels[*other].seed.is_none() || labels[*other].seed == label.seed)
        .filter(|other| agrees(&labels[*other]))
        .collect();
    if let [only] = candidates.as_slice() {
        return Ok(Some(*only));
    }
    let names: Vec<&str> = candidates.iter().map(|index| scored[*index].label.as_str()).collect();
    let found = if names.is_empty() { "nothing to compare it with".to_owned() } else { names.join(" and ") };
    Err(ComparisonError::NoSingleBaseline { label: scored[index].label.clone(), baseline: name.to_owned(), found })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evaluation::{answer::tests::SETTINGS, scores, scores::tests::answer};

    fn cell(label: &str, supported: &[(&str, &str, usize)]) -> Scored {
        let answers: Vec<AnswerScore> =
            supported.iter().map(|(domain, topic, supported)| answer(domain, topic, 0, Some(*supported))).collect();
        Scored { label: label.to_owned(), scores: scores(&answers, SETTINGS, Some("people")).unwrap(), answers }
    }

    fn row<'a>(comparison: &'a Comparison, arm: &str, domain: &str) -> &'a ComparisonRow {
        let of = |row: &&ComparisonRow| row.arm == arm && row.domain == domain && row.measure == "precision";
        comparison.rows.iter().find(of).unwrap()
    }

    #[test]
    fn differences_are_taken_by_seed_and_prompt() {
        let cells = [
            cell(
                "before@seed=0",
                &[("people", "Ann", 0), ("people", "Bo", 1), ("countries", "Peru", 1), ("elements", "tin", 2)],
            ),
            cell(
                "before@seed=1",
                &[("people", "Ann", 1), ("people", "Bo", 1), ("countries", "Peru", 1), ("elements", "tin", 2)],
            ),
            cell(
                "after@algorithm=dpo,seed=0",
                &[("people", "Ann", 1), ("people", "Bo", 2), ("countries", "Peru", 1), ("elements", "tin", 2)],
            ),
            cell(
                "after@algorithm=dpo,seed=1",
                &[
                    ("people", "Ann", 2),
                    ("people", "Bo", 2),
                    ("people", "Cy", 0),
                    ("countries", "Peru", 2),
                    ("elements", "tin", 2),
                ],
            ),
        ];
        let comparison = compare(&cells, Some("before")).unwrap();
        assert_eq!(comparison.arms[1].name, "after@algorithm=dpo");
        assert_eq!((comparison.arms[1].seeds.len(), comparison.arms[1].baseline.as_deref()), (2, Some("before")));
        assert_eq!(comparison.arms[0].baseline, None);
        let people = row(&comparison, "after@algorithm=dpo", "people");
        assert_eq!((people.seeds, people.answers), (2, 5));
        assert!((people.mean - (0.75 + 2.0 / 3.0) / 2.0).abs() < 1e-12);
        assert_eq!(
            (people.difference, people.difference_low, people.difference_high),
            (Some(0.5), Some(0.5), Some(0.5))
        );
        let away = row(&comparison, "after@algorithm=dpo", "out-of-domain");
        assert_eq!((away.mean, away.difference), (0.875, Some(0.125)));
        assert_eq!(row(&comparison, "before", "people").difference, None);
        let text = serde_json::to_string(&comparison).unwrap();
        assert_eq!(serde_json::from_str::<Comparison>(&text).unwrap(), comparison);
    }

    #[test]
    fn a_baseline_may_be_shared_or_have_arms_of_its_own() {
        let people = [("people", "Ann", 1)];
        let cells = [
            cell("before", &people),
            cell("after@p=general,seed=0", &people),
            cell("after@p=general,q=x,y,seed=0", &people),
            cell("after@p=general+atomic,seed=0", &people),
        ];
        let shared = compare(&cells, Some("before")).unwrap();
        assert_eq!(shared.arms[2].cell["q"], "x,y");
        assert!(shared.arms[1..].iter().all(|arm| arm.baseline.as_deref() == Some("before")));
        let arm = compare(&cells, Some("after@p=general")).unwrap_err();
        assert!(arm.to_string().starts_with("`before` has nothing to compare it with in `after@p=general`"), "{arm}");
        assert!(compare(&cells[1..], Some("after@p=general")).is_ok());
        let own = [cell("before@p=a", &people), cell("before@p=b", &people), cell("after@p=b", &people)];
        assert_eq!(compare(&own, Some("before")).unwrap().arms[2].baseline.as_deref(), Some("before@p=b"));
        let torn = [cell("before@p=a", &people), cell("before@p=b", &people), cell("after", &people)];
        assert!(matches!(compare(&torn, Some("before")), Err(ComparisonError::NoSingleBaseline { .. })));
    }

    #[test]
    fn wrong_calls_are_told() {
        let people = [("people", "Ann", 1)];
        let cells = [cell("before", &people), cell("after", &[("people", "Bo", 1)])];
        assert_eq!(
            compare(&cells, Some("befor")).unwrap_err().to_string(),
            "`baseline` is `befor`, but there are only: before, after"
        );
        assert_eq!(
            compare(&cells, Some("before")).unwrap_err(),
            ComparisonError::OtherPrompts("after".to_owned(), "before".to_owned())
        );
        assert_eq!(
            compare(&[cells[0].clone(), cells[0].clone()], None).unwrap_err(),
            ComparisonError::Twice("before".to_owned())
        );
        let mut other = cells[0].clone();
        other.label = "x".to_owned();
        other.scores.settings.k = 7;
        assert!(matches!(compare(&[cells[0].clone(), other], None), Err(ComparisonError::Settings(..))));
        assert_eq!(compare(&[], None), Err(ComparisonError::Nothing));
    }
}
