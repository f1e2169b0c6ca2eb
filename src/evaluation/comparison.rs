//! Arms of an experiment side by side: means over seeds, and differences from a baseline on the same prompts.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::{
    AnswerScore, Average, Label, Scores, Settings, Warning,
    average::{check_average, contrasts},
    caution::cautions,
    holm,
    paired::{Contrast, Group, Pair},
    scores::{OUT_OF_DOMAIN, domain_names},
    warning::warnings,
};

/// The name of the mean over all domains, whether tuned on or not.
pub(super) const ALL_DOMAINS: &str = "all-domains";

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

/// What is asked of scores.
#[derive(Clone, Debug, Default)]
pub struct Question {
    /// The stage or arm that differences are taken from.
    pub baseline: Option<String>,
    /// The values of a variable that are compared over all arms.
    pub average: Option<Average>,
    /// The share by which facts, or answers with facts, may fall before a win in precision is warned of.
    pub tolerance: f64,
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
    /// A row for each arm, domain (with "out-of-domain", the mean over all domains but the in-domain one, and "all-domains",
    /// that over all) and measure, in this order. `comparison.csv` has the same rows, and then those of the averages.
    pub rows: Vec<ComparisonRow>,
    /// What is averaged over arms; none where nothing was said.
    pub average: Option<Average>,
    /// The same rows for each value of that variable beside each value that it is compared with.
    pub averages: Vec<ComparisonRow>,
    /// Wins in precision that one should not trust.
    pub warnings: Vec<Warning>,
    /// What the numbers lack: intervals, seeds, prompts or cells, counted; a sentence each.
    #[serde(default)]
    pub cautions: Vec<String>,
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
    /// The arm's name; for an average the variable and its value.
    pub arm: String,
    /// What differences are taken from.
    pub baseline: Option<String>,
    /// The domain, "out-of-domain" or "all-domains".
    pub domain: String,
    /// The measure's name.
    pub measure: String,
    /// How many arms are averaged; 1 for an arm by itself.
    pub arms: usize,
    /// How many seeds there are in which answers count; the fewest of any arm and domain in it.
    pub seeds: usize,
    /// How many answers there are, over all seeds.
    pub answers: usize,
    /// The mean over arms, of the mean over domains, of the mean over seeds, of the mean over answers.
    pub mean: f64,
    /// The lower end of its 95 % interval over seeds and topics; over topics alone where there is one seed, which says nothing
    /// of other seeds. None where it comes from one topic.
    pub low: Option<f64>,
    /// The upper end.
    pub high: Option<f64>,
    /// The mean difference from the baseline of the same seed on the same prompts (those on which both count).
    pub difference: Option<f64>,
    /// The lower end of its 95 % interval over seeds and topics; none where it comes from one topic, or is the same, but not 0,
    /// in all topics and seeds.
    pub difference_low: Option<f64>,
    /// The upper end.
    pub difference_high: Option<f64>,
    /// How probable so large a difference is if there is none (two-sided), by the Student's t of the interval: below .05 exactly
    /// where that excludes 0.
    pub p: Option<f64>,
    /// The same, corrected for the rows of the same domain and measure (Holm 1979).
    pub p_holm: Option<f64>,
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
    /// No cell has the variable.
    #[error("`average` is `{axis}`, but the variables of the scores are only: {known}")]
    UnknownAxis {
        /// What was said.
        axis: String,
        /// The variables.
        known: String,
    },
    /// No cell has the value.
    #[error("`average_from` names `{value}`, but `{axis}` is only: {known}")]
    UnknownValue {
        /// The variable.
        axis: String,
        /// What was said.
        value: String,
        /// Its values.
        known: String,
    },
    /// No two cells differ in the variable alone.
    #[error("no two of the scores differ in nothing but `{0}`, so there is nothing to average")]
    NothingToAverage(String),
    /// Baseline and arm have no prompt in common.
    #[error("`{0}` and its baseline `{1}` have no prompts in common")]
    OtherPrompts(String, String),
}

/// Compares cells: arms by domain and measure, with differences from a baseline. A stage that has several arms is taken in
/// the one that agrees with the compared arm's matrix values.
///
/// # Errors
/// Where the cells do not fit together, or what is asked for is not among them.
pub fn compare(scored: &[Scored], question: &Question) -> Result<Comparison, ComparisonError> {
    let first = scored.first().ok_or(ComparisonError::Nothing)?;
    let labels: Vec<Label> = scored.iter().map(|one| Label::parse(&one.label)).collect();
    check_scores(scored)?;
    if let Some(error) = check_question(&labels, question).into_iter().next() {
        return Err(error);
    }
    let baseline = question.baseline.as_deref();
    let of_baseline = baseline.map_or(Vec::new(), |name| members(name, &labels));
    let mut comparison = Comparison {
        settings: first.scores.settings,
        in_domain: first.scores.in_domain.clone(),
        baseline: baseline.map(str::to_owned),
        arms: Vec::new(),
        rows: Vec::new(),
        average: question.average.clone(),
        averages: Vec::new(),
        warnings: Vec::new(),
        cautions: Vec::new(),
    };
    let mut contrast_by_arm = Vec::new();
    for (name, members) in &arms(&labels) {
        let find = |member: &usize| match baseline {
            Some(name) => find_baseline(&labels[*member], &labels, name, &of_baseline),
            None => Ok(None),
        };
        let against: Vec<Option<usize>> = members.iter().map(find).collect::<Result<_, _>>()?;
        let label = &labels[members[0]];
        let beside = against[0].map(|index| labels[index].arm.clone());
        comparison.arms.push(Arm {
            name: (*name).to_owned(),
            stage: label.stage.clone(),
            cell: label.cell(),
            seeds: members.iter().filter_map(|member| labels[*member].seed.clone()).collect(),
            baseline: beside.clone(),
        });
        let pair = |(seed, (one, other)): (usize, (&usize, &Option<usize>))| Pair {
            seed,
            arm: 0,
            one: &scored[*one],
            other: other.map(|other| &scored[other]),
        };
        let pairs = members.iter().zip(&against).enumerate().map(pair).collect();
        contrast_by_arm.push(Contrast { arm: (*name).to_owned(), baseline: beside, pairs });
    }
    let groups = groups(scored);
    comparison.rows = rows(&contrast_by_arm, &groups)?;
    let averaged = question.average.as_ref().map(|average| contrasts(average, scored, &labels)).transpose()?;
    let averaged = averaged.unwrap_or_default();
    comparison.averages = rows(&averaged, &groups)?;
    comparison.cautions = cautions(&comparison, &contrast_by_arm, &averaged, &labels);
    for rows in [&comparison.rows, &comparison.averages] {
        comparison.warnings.extend(warnings(rows, question.tolerance));
    }
    Ok(comparison)
}

/// What of a question cannot be answered from cells of these names; what else is wrong is seen in their scores only.
pub fn check_question(labels: &[Label], question: &Question) -> Vec<ComparisonError> {
    let mut found = Vec::new();
    let mut names = BTreeSet::new();
    let twice = labels.iter().find(|label| !names.insert(&label.name));
    found.extend(twice.map(|label| ComparisonError::Twice(label.name.clone())));
    if let Some(name) = question.baseline.as_deref() {
        let of = members(name, labels);
        if of.is_empty() {
            let known: Vec<&str> = arms(labels).iter().map(|(name, _)| *name).collect();
            found.push(ComparisonError::UnknownBaseline { baseline: name.to_owned(), known: known.join(", ") });
        } else {
            found.extend(labels.iter().find_map(|label| find_baseline(label, labels, name, &of).err()));
        }
    }
    found.extend(question.average.as_ref().and_then(|average| check_average(average, labels).err()));
    found
}

impl ComparisonError {
    /// The parameter that asks for it.
    pub fn field(&self) -> &'static str {
        match self {
            Self::UnknownBaseline { .. } | Self::NoSingleBaseline { .. } => "baseline",
            Self::UnknownAxis { .. } => "average",
            Self::UnknownValue { .. } | Self::NothingToAverage(_) => "average_from",
            _ => "scores",
        }
    }

    /// What would be right, in a few words.
    pub fn right(&self) -> &'static str {
        match self {
            Self::UnknownBaseline { .. } => "a stage of `scores`, or one arm of it, is expected",
            Self::NoSingleBaseline { .. } => "a baseline with one cell for each cell that is compared is expected",
            Self::UnknownAxis { .. } => "a variable of the matrix on which the scores depend is expected",
            Self::UnknownValue { .. } => "values that the scores have are expected",
            Self::NothingToAverage(_) => "a value beside which the scores have another one is expected",
            _ => "other scores are expected",
        }
    }
}

/// All cells must be scored in the same way.
fn check_scores(scored: &[Scored]) -> Result<(), ComparisonError> {
    let first = &scored[0];
    let defined = |one: &Scored| (one.scores.settings, one.scores.in_domain.clone());
    match scored.iter().find(|other| defined(other) != defined(first)) {
        Some(other) => Err(ComparisonError::Settings(first.label.clone(), other.label.clone())),
        None => Ok(()),
    }
}

/// The cells of each arm, in the order of the recipe.
fn arms(labels: &[Label]) -> Vec<(&str, Vec<usize>)> {
    let mut arms: Vec<(&str, Vec<usize>)> = Vec::new();
    let mut places: BTreeMap<&str, usize> = BTreeMap::new();
    for (index, label) in labels.iter().enumerate() {
        let place = *places.entry(&label.arm).or_insert(arms.len());
        if place == arms.len() {
            arms.push((&label.arm, Vec::new()));
        }
        arms[place].1.push(index);
    }
    arms
}

/// The rows of all contrasts, with what many comparisons cost.
fn rows(contrasts: &[Contrast<'_>], groups: &[Group]) -> Result<Vec<ComparisonRow>, ComparisonError> {
    let mut rows = Vec::new();
    for contrast in contrasts {
        for group in groups {
            rows.extend(contrast.rows(group)?);
        }
    }
    let mut families: BTreeMap<(String, String), Vec<usize>> = BTreeMap::new();
    for (index, row) in rows.iter().enumerate().filter(|(_, row)| row.p.is_some()) {
        families.entry((row.domain.clone(), row.measure.clone())).or_default().push(index);
    }
    for members in families.into_values() {
        let p_values: Vec<f64> = members.iter().filter_map(|member| rows[*member].p).collect();
        for (member, corrected) in members.into_iter().zip(holm(&p_values)) {
            rows[member].p_holm = Some(corrected);
        }
    }
    Ok(rows)
}

/// The domains that tables list, each by itself, then those away from home together, then all.
fn groups(scored: &[Scored]) -> Vec<Group> {
    let mut names: Vec<&str> = Vec::new();
    for name in scored.iter().flat_map(|one| domain_names(&one.answers)) {
        if !names.contains(&name) {
            names.push(name);
        }
    }
    let group = |name: &str, domains: &[&str]| Group {
        name: name.to_owned(),
        domains: domains.iter().map(|domain| (*domain).to_owned()).collect(),
    };
    let mut groups: Vec<Group> = names.iter().map(|name| group(name, &[*name])).collect();
    if let Some(home) = &scored[0].scores.in_domain {
        let away: Vec<&str> = names.iter().copied().filter(|name| name != home).collect();
        if !away.is_empty() {
            groups.push(group(OUT_OF_DOMAIN, &away));
        }
    }
    if names.len() > 1 {
        groups.push(group(ALL_DOMAINS, &names));
    }
    groups
}

/// The cells of a stage or an arm.
fn members(name: &str, labels: &[Label]) -> Vec<usize> {
    (0..labels.len()).filter(|index| labels[*index].is_of(name)).collect()
}

/// Which of the baseline's cells another is compared with; none for the baseline's own cells.
fn find_baseline(
    label: &Label,
    labels: &[Label],
    name: &str,
    of_baseline: &[usize],
) -> Result<Option<usize>, ComparisonError> {
    if of_baseline.iter().any(|index| labels[*index].name == label.name) {
        return Ok(None);
    }
    let agrees = |other: &Label| {
        let same = |(key, value): &(String, String)| label.value(key).is_none_or(|own| own == value);
        other.stage != name || other.coordinates.iter().all(same)
    };
    let is_candidate = |other: &Label| (other.seed.is_none() || other.seed == label.seed) && agrees(other);
    let candidates: Vec<usize> = of_baseline.iter().copied().filter(|index| is_candidate(&labels[*index])).collect();
    if let [only] = candidates.as_slice() {
        return Ok(Some(*only));
    }
    let names: Vec<&str> = candidates.iter().map(|index| labels[*index].name.as_str()).collect();
    let found = if names.is_empty() { "nothing to compare it with".to_owned() } else { names.join(" and ") };
    Err(ComparisonError::NoSingleBaseline { label: label.name.clone(), baseline: name.to_owned(), found })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evaluation::{answer::tests::SETTINGS, scores, scores::tests::answer};

    fn from(baseline: &str) -> Question {
        Question { baseline: Some(baseline.to_owned()), average: None, tolerance: 0.1 }
    }

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
        let comparison = compare(&cells, &from("before")).unwrap();
        assert_eq!(comparison.arms[1].name, "after@algorithm=dpo");
        assert_eq!((comparison.arms[1].seeds.len(), comparison.arms[1].baseline.as_deref()), (2, Some("before")));
        assert_eq!(comparison.arms[0].baseline, None);
        let people = row(&comparison, "after@algorithm=dpo", "people");
        assert_eq!((people.seeds, people.answers), (2, 5));
        assert!((people.mean - (0.75 + 2.0 / 3.0) / 2.0).abs() < 1e-12);
        assert_eq!(
            (people.difference, people.difference_low, people.p),
            (Some(0.5), None, None),
            "the same everywhere: nothing says how it would vary"
        );
        assert_eq!(comparison.cautions.len(), 3, "{:?}", comparison.cautions);
        assert_eq!(
            comparison.cautions[2],
            "1 of 9 prompts are left out of differences, because the baseline has no answer to them"
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
            cell("after@p=general,q=\"x,y\",seed=0", &people),
            cell("after@p=general+atomic,seed=0", &people),
        ];
        let shared = compare(&cells, &from("before")).unwrap();
        assert_eq!(shared.arms[2].cell["q"], "x,y");
        assert!(shared.arms[1..].iter().all(|arm| arm.baseline.as_deref() == Some("before")));
        let arm = compare(&cells, &from("after@p=general")).unwrap_err();
        assert!(arm.to_string().starts_with("`before` has nothing to compare it with in `after@p=general`"), "{arm}");
        assert!(compare(&cells[1..], &from("after@p=general")).is_ok());
        let own = [cell("before@p=a", &people), cell("before@p=b", &people), cell("after@p=b", &people)];
        assert_eq!(compare(&own, &from("before")).unwrap().arms[2].baseline.as_deref(), Some("before@p=b"));
        let torn = [cell("before@p=a", &people), cell("before@p=b", &people), cell("after", &people)];
        assert!(matches!(compare(&torn, &from("before")), Err(ComparisonError::NoSingleBaseline { .. })));
    }

    /// Two algorithms, two kinds of preferences and two seeds: by seed, the right facts of two about Ann and Cuba, and about Bo
    /// and Peru.
    fn grid() -> Vec<Scored> {
        [
            ("dpo", "general", [[0, 1], [0, 0]]),
            ("dpo", "mixed", [[1, 2], [2, 1]]),
            ("kto", "general", [[1, 1], [1, 1]]),
            ("kto", "mixed", [[1, 2], [2, 1]]),
        ]
        .into_iter()
        .flat_map(|(algorithm, preferences, seeds)| {
            seeds.into_iter().enumerate().map(move |(seed, [ann, peru])| {
                let label = format!("after@algorithm={algorithm},preferences={preferences},seed={seed}");
                let people = [("people", "Ann", ann), ("people", "Bo", peru)];
                let countries = [("countries", "Cuba", ann), ("countries", "Peru", peru)];
                cell(&label, &[people, countries].concat())
            })
        })
        .collect()
    }

    fn average(from: &[&str]) -> Question {
        let from = from.iter().map(|value| (*value).to_owned()).collect();
        Question { average: Some(Average { axis: "preferences".to_owned(), from }), ..Question::default() }
    }

    /// By hand: over both algorithms, Ann gains .25 in one seed and .75 in the other, Bo .5 and .25. Seeds and topics have the means
    /// .375 and .5, so that their mean squares are 2 * 2 * .0625^2 = .015625 each; the remainders are +-.1875, their mean square
    /// 4 * .1875^2 = .140625. The variance is at least the remainder's, .140625 / 4 = .1875^2, with one degree of freedom.
    #[test]
    fn values_are_averaged_over_all_arms_that_differ_in_nothing_else() {
        let nothing = [("people", "Ann", 0), ("people", "Bo", 0), ("countries", "Cuba", 0), ("countries", "Peru", 0)];
        let mut cells = vec![cell("before", &nothing)];
        cells.extend(grid());
        let comparison = compare(&cells, &average(&["general"])).unwrap();
        let find = |domain: &str| {
            let of = |row: &&ComparisonRow| row.domain == domain && row.measure == "precision";
            comparison.averages.iter().find(of).unwrap()
        };
        let people = find("people");
        assert_eq!(
            (people.arm.as_str(), people.baseline.as_deref()),
            ("preferences=mixed", Some("preferences=general"))
        );
        assert_eq!((people.arms, people.seeds, people.answers, people.mean), (2, 2, 8, 0.75));
        let reach = 12.706204736174694 * 0.1875;
        let near = |found: Option<f64>, expected: f64| (found.unwrap() - expected).abs() < 1e-9;
        assert!(near(people.difference, 0.4375) && near(people.difference_low, 0.4375 - reach), "{people:?}");
        let p = 1.0 - 2.0 / std::f64::consts::PI * (0.4375_f64 / 0.1875).atan();
        assert!(near(people.p, p) && people.p_holm == people.p, "{people:?}");
        assert!(near(find("out-of-domain").difference, 0.4375) && near(find("all-domains").difference, 0.4375));
        assert!(comparison.cautions.is_empty(), "{:?}", comparison.cautions);
        assert!(comparison.averages.iter().all(|row| row.arm == "preferences=mixed"));
    }

    /// Where one algorithm gains on Ann what it loses on Bo and the other the reverse, no choice of topics moves their average.
    #[test]
    fn arms_that_are_averaged_share_their_topics() {
        let topics = |ann, bo| [("people", "Ann", ann), ("people", "Bo", bo)];
        let cells = [
            cell("after@algorithm=dpo,preferences=general", &topics(1, 1)),
            cell("after@algorithm=dpo,preferences=mixed", &topics(2, 0)),
            cell("after@algorithm=kto,preferences=general", &topics(1, 1)),
            cell("after@algorithm=kto,preferences=mixed", &topics(0, 2)),
        ];
        let comparison = compare(&cells, &average(&["general"])).unwrap();
        let row = comparison.averages.iter().find(|row| row.measure == "precision").unwrap();
        assert_eq!((row.difference, row.difference_low, row.difference_high), (Some(0.0), Some(0.0), Some(0.0)));
    }

    #[test]
    fn wrong_averages_are_told() {
        let told = |question: &Question| compare(&grid(), question).unwrap_err().to_string();
        assert_eq!(
            told(&average(&["generl"])),
            "`average_from` names `generl`, but `preferences` is only: general, mixed"
        );
        let axis = Average { axis: "prefs".to_owned(), from: Vec::new() };
        assert_eq!(
            told(&Question { average: Some(axis), ..Question::default() }),
            "`average` is `prefs`, but the variables of the scores are only: algorithm, preferences"
        );
        let only: Vec<Scored> = grid().into_iter().filter(|one| one.label.contains("general")).collect();
        assert_eq!(
            compare(&only, &average(&["general"])),
            Err(ComparisonError::NothingToAverage("preferences".to_owned()))
        );
    }

    /// An arm that lost a seed, and with it a cell of the averages.
    #[test]
    fn what_is_missing_is_counted() {
        let all = grid();
        let cells: Vec<Scored> =
            all.into_iter().filter(|one| one.label != "after@algorithm=kto,preferences=general,seed=1").collect();
        let comparison = compare(&cells, &average(&["general"])).unwrap();
        expect_test::expect![[r#"
            56 of 280 means have no interval, because they come from one topic, or a domain in them from one of several seeds: an interval of zero width from one topic would say that they are certain (people, countries, out-of-domain, all-domains)
            56 of 56 differences have neither interval nor p-value, because they come from one topic, or a domain in them from one of several seeds, or are the same in all topics and seeds (people, countries, out-of-domain, all-domains)
            56 of 280 means leave out seeds in which no answer counts, or which an arm in them does not have (precision, deduplicated, f1_at_k, facts, supported and 9 more)
            1 of 4 arms lack seeds that others have (after@algorithm=kto,preferences=general: 1 of 2)
            1 of 7 cells are missing from averages over preferences, because no cell with the value that they are compared with differs from them in nothing else"#]].assert_eq(&comparison.cautions.join("\n"));
        let one_topic = [cell("before", &[("people", "Ann", 1)]), cell("after", &[("people", "Ann", 2)])];
        let comparison = compare(&one_topic, &from("before")).unwrap();
        expect_test::expect![[r#"
            28 of 28 means have no interval, because they come from one topic, or a domain in them from one of several seeds: an interval of zero width from one topic would say that they are certain (people)
            14 of 14 differences have neither interval nor p-value, because they come from one topic, or a domain in them from one of several seeds, or are the same in all topics and seeds (people)"#]].assert_eq(&comparison.cautions.join("\n"));
        assert!(comparison.rows.iter().all(|row| row.low.is_none() && row.difference_low.is_none() && row.p.is_none()));
    }

    /// Of three arms compared, the least probable difference counts three times.
    #[test]
    fn many_arms_are_corrected_for() {
        let comparison = compare(&grid(), &from("after@algorithm=dpo,preferences=general")).unwrap();
        let rows = comparison.rows.iter().filter(|row| row.domain == "all-domains" && row.measure == "precision");
        let mut found: Vec<(f64, f64)> = rows.filter_map(|row| Some((row.p?, row.p_holm?))).collect();
        found.sort_by(|one, other| one.0.total_cmp(&other.0));
        assert_eq!(found.len(), 3);
        assert!((found[0].1 - (3.0 * found[0].0).min(1.0)).abs() < 1e-12 && found[0].1 < 1.0, "{found:?}");
    }

    #[test]
    fn wrong_calls_are_told() {
        let people = [("people", "Ann", 1)];
        let cells = [cell("before", &people), cell("after", &[("people", "Bo", 1)])];
        assert_eq!(
            compare(&cells, &from("befor")).unwrap_err().to_string(),
            "`baseline` is `befor`, but there are only: before, after"
        );
        assert_eq!(
            compare(&cells, &from("before")).unwrap_err(),
            ComparisonError::OtherPrompts("after".to_owned(), "before".to_owned())
        );
        assert_eq!(
            compare(&[cells[0].clone(), cells[0].clone()], &Question::default()).unwrap_err(),
            ComparisonError::Twice("before".to_owned())
        );
        let mut other = cells[0].clone();
        other.label = "x".to_owned();
        other.scores.settings.k = 7;
        assert!(matches!(
            compare(&[cells[0].clone(), other], &Question::default()),
            Err(ComparisonError::Settings(..))
        ));
        assert_eq!(compare(&[], &Question::default()), Err(ComparisonError::Nothing));
    }
}
