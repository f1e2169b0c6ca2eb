//! Why tuning helps at home and not away: under-alignment or over-alignment (Sun et al. 2024, arXiv 2406.12416), by a rule
//! on figures.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::language::{Part, ShiftedAnswer};

use super::{
    Arm, Compare, Comparison, Estimate, Finding, Learnt, Place, SHIFT_MEASURES, Sample, TopicCells,
    label::Label,
    shift::{domains, groups, topics},
};

/// The shift of one cell of a recipe.
#[derive(Clone, Debug)]
pub struct ShiftCell {
    /// The cell: `shift@algorithm=dpo,seed=0`.
    pub label: String,
    /// The domain that was tuned on.
    pub in_domain: Option<String>,
    /// Its `tokens.jsonl`.
    pub answers: Vec<ShiftedAnswer>,
}

/// What a verdict depends on.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Rule {
    /// The measure of shift: "kl" or "moved".
    pub by: String,
    /// Less than this share of the in-domain shift is little.
    pub little: f64,
}

/// What `diagnosis.json` holds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Diagnosis {
    /// The domain that was tuned on.
    pub in_domain: String,
    /// What verdicts depend on.
    pub rule: Rule,
    /// The arms, in the order of the recipe.
    pub arms: Vec<ArmDiagnosis>,
    /// What became of single facts, where they were probed.
    pub facts: Vec<Learnt>,
}

/// One arm: the cells that differ in nothing but the seed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ArmDiagnosis {
    /// Its name among the shifts.
    pub name: String,
    /// Its name in the comparison.
    pub scores: String,
    /// How many seeds there are.
    pub seeds: usize,
    /// Each domain, then "out-of-domain", the mean over all but the in-domain one.
    pub domains: Vec<DomainDiagnosis>,
}

/// One arm in one domain, or in several.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DomainDiagnosis {
    /// The domain, or "out-of-domain".
    pub domain: String,
    /// Tokens, over all seeds.
    pub tokens: usize,
    /// Each measure of [`SHIFT_MEASURES`] by name.
    pub shift: BTreeMap<String, Estimate>,
    /// The difference of precision from the comparison's baseline; none where there is none.
    pub change: Option<Estimate>,
    /// What follows; none for the in-domain domain.
    pub away: Option<Away>,
}

/// What is said of an out-of-domain set.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Away {
    /// Its shift beside the in-domain one.
    pub matched: Matched,
    /// The verdict.
    pub verdict: Verdict,
    /// The figures that led to it, in words.
    pub reason: String,
}

/// Shift in-domain and away at matched positions: only positions count that answers of all these domains reach, and the
/// tokens at a position together weigh as much in each domain, namely the least number of them for each answer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Matched {
    /// How many positions all domains have, in the seed that has fewest.
    pub positions: usize,
    /// Each measure in-domain.
    pub in_domain: BTreeMap<String, Estimate>,
    /// Each measure here.
    pub here: BTreeMap<String, Estimate>,
    /// In-domain less here.
    pub difference: BTreeMap<String, Estimate>,
    /// Here as a share of in-domain: how much of the change reaches this set; a measure that is 0 in-domain is missing. Its
    /// interval is that of its linearisation.
    pub ratio: BTreeMap<String, Estimate>,
}

/// What is said of an out-of-domain set. It shifts little where the ratio of its shift to the in-domain one, at matched
/// positions, has a 95 % interval below [`Rule::little`], and shifts where the interval is not below it at either end. It
/// improves where the interval of its difference of precision is above zero, and gets worse where it is below.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// It shifts little and does not improve.
    UnderAligned,
    /// It shifts and gets worse.
    OverAligned,
    /// It shifts and improves.
    Reached,
    /// It shifts little and improves.
    ImprovesWithoutShift,
    /// It shifts, and neither improves nor gets worse.
    ShiftsWithoutGain,
    /// The interval of the ratio has the limit in it, or a figure or its interval is missing.
    Undecided,
}

/// A row of `diagnosis.csv`.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct DiagnosisRow {
    /// The arm.
    pub arm: String,
    /// The domain, or "out-of-domain".
    pub domain: String,
    /// What is told: a measure of shift, with "matched here", "matched in-domain", "difference" or "ratio" behind it where
    /// positions are matched; "precision change", "learnt" or "lost".
    pub quantity: String,
    /// The mean.
    pub mean: f64,
    /// The lower end of its 95 % interval; none where a domain has one topic.
    pub low: Option<f64>,
    /// The upper end.
    pub high: Option<f64>,
    /// The set's verdict, where it has one.
    pub verdict: Option<Verdict>,
}

/// Why there is no diagnosis.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DiagnosisError {
    /// A shift does not say what is in-domain, or another one says otherwise.
    #[error("the shifts of `{0}` and `{1}` must name the same `in_domain`")]
    InDomain(String, String),
    /// `arms` names a stage that is none of the shifts.
    #[error("`arms` names `{stage}`, but there are only shifts of: {known}")]
    UnknownStage {
        /// What was said.
        stage: String,
        /// The stages.
        known: String,
    },
    /// An arm has no scores, or several.
    #[error(
        "the shift `{arm}` belongs to {found} of the comparison, whose arms are {known}; say in `arms` which stage scores \
         the same model, e.g. arms = {{ shift = \"after\" }}"
    )]
    NoSingleArm {
        /// The arm.
        arm: String,
        /// What was found.
        found: String,
        /// All arms.
        known: String,
    },
    /// A probe after tuning has none before it, or several.
    #[error("`{label}` has {} in `probes_before` with its seed and matrix values; exactly one is needed",
            if found.is_empty() { "no probe".to_owned() } else { found.join(" and ") })]
    NoSingleProbe {
        /// The cell.
        label: String,
        /// What was found.
        found: Vec<String>,
    },
}

/// Diagnoses each arm of the shifts, with the change of its score from `comparison`; `arms` says which stage of the
/// comparison scores the model of which stage of the shifts, where this is not the only one with a baseline.
///
/// # Errors
/// Where shifts do not fit together, or an arm is not in the comparison.
pub fn diagnose(
    cells: &[ShiftCell],
    comparison: &Comparison,
    arms: &BTreeMap<String, String>,
    rule: &Rule,
) -> Result<Diagnosis, DiagnosisError> {
    let stages: Vec<String> = cells.iter().map(|cell| Label::parse(&cell.label).stage).collect();
    if let Some(stage) = arms.keys().find(|stage| !stages.contains(stage)) {
        let mut known = stages.clone();
        known.dedup();
        return Err(DiagnosisError::UnknownStage { stage: stage.clone(), known: known.join(", ") });
    }
    let mut grouped: Vec<(String, Vec<&ShiftCell>)> = Vec::new();
    for cell in cells {
        let arm = Label::parse(&cell.label).arm;
        match grouped.iter_mut().find(|(name, _)| *name == arm) {
            Some((_, members)) => members.push(cell),
            None => grouped.push((arm, vec![cell])),
        }
    }
    let home = cells.first().and_then(|cell| cell.in_domain.clone()).unwrap_or_default();
    if let Some(other) = cells.iter().find(|cell| cell.in_domain.as_ref() != Some(&home)) {
        return Err(DiagnosisError::InDomain(cells[0].label.clone(), other.label.clone()));
    }
    let mut diagnosed = Vec::new();
    for (name, members) in grouped {
        let scores = find_arm(&name, comparison, arms)?;
        let names = domains(&members[0].answers);
        let mut found: Vec<DomainDiagnosis> = Vec::new();
        for (group, domains) in groups(&names, Some(&home)) {
            let change = change(comparison, &scores.name, &group);
            let (tokens, shift) = by_domain(&members, &domains);
            let changes = [change, self::change(comparison, &scores.name, &home)];
            let away = (group != home).then(|| away(&members, (&home, &domains), changes, rule));
            found.push(DomainDiagnosis { domain: group, tokens, shift, change, away });
        }
        diagnosed.push(ArmDiagnosis { name, scores: scores.name.clone(), seeds: members.len(), domains: found });
    }
    Ok(Diagnosis { in_domain: home, rule: rule.clone(), arms: diagnosed, facts: Vec::new() })
}

/// The arm of the comparison that scores the model of an arm of the shifts.
fn find_arm<'a>(
    name: &str,
    comparison: &'a Comparison,
    arms: &BTreeMap<String, String>,
) -> Result<&'a Arm, DiagnosisError> {
    let label = Label::parse(name);
    let is_meant = |arm: &&Arm| match arms.get(&label.stage) {
        Some(stage) => arm.stage == *stage,
        None => arm.baseline.is_some(),
    };
    let candidates: Vec<&Arm> =
        comparison.arms.iter().filter(|arm| arm.cell == label.cell()).filter(is_meant).collect();
    let names = |arms: &mut dyn Iterator<Item = &Arm>| arms.map(|arm| arm.name.clone()).collect::<Vec<_>>().join(", ");
    if let [only] = candidates.as_slice() {
        return Ok(only);
    }
    let found = if candidates.is_empty() { "no arm".to_owned() } else { names(&mut candidates.into_iter()) };
    let known = names(&mut comparison.arms.iter());
    Err(DiagnosisError::NoSingleArm { arm: name.to_owned(), found, known })
}

fn change(comparison: &Comparison, arm: &str, domain: &str) -> Option<Estimate> {
    let row =
        comparison.rows.iter().find(|row| (&*row.arm, &*row.domain, &*row.measure) == (arm, domain, "precision"))?;
    Some(Estimate { mean: row.difference?, low: row.difference_low, high: row.difference_high })
}

fn named(found: Vec<Option<Finding>>) -> BTreeMap<String, Estimate> {
    let named = SHIFT_MEASURES.iter().zip(found);
    named.filter_map(|(measure, found)| Some((measure.name.to_owned(), found?.estimate))).collect()
}

/// Tokens, and each measure over them.
fn by_domain(members: &[&ShiftCell], domains: &[String]) -> (usize, BTreeMap<String, Estimate>) {
    let mut sample = Sample::new(SHIFT_MEASURES.len());
    let mut tokens = 0.0;
    for (seed, cell) in members.iter().enumerate() {
        for (domain, name) in domains.iter().enumerate() {
            let topics = topics(&cell.answers, name, &|_, _| 1.0);
            tokens += topics.values().map(|cells| cells[0].count).sum::<f64>();
            sample.add(Place { seed, arm: 0, domain }, topics);
        }
    }
    (tokens as usize, named(sample.means()))
}

fn away(
    members: &[&ShiftCell],
    (home, domains): (&str, &[String]),
    changes: [Option<Estimate>; 2],
    rule: &Rule,
) -> Away {
    let mut sample = Sample::new(SHIFT_MEASURES.len());
    let mut positions = Vec::new();
    for (seed, cell) in members.iter().enumerate() {
        let (shared, matched) = matched(&cell.answers, home, domains);
        positions.push(shared);
        for (domain, topics) in matched.into_iter().enumerate() {
            sample.add(Place { seed, arm: 0, domain }, topics);
        }
    }
    let contrast = |compare| named(sample.contrasts(|domain| domain.min(1), compare));
    let matched = Matched {
        positions: positions.into_iter().min().unwrap_or(0),
        in_domain: contrast(AT_HOME),
        here: contrast(HERE),
        difference: contrast(DIFFERENCE),
        ratio: contrast(RATIO),
    };
    let verdict = rule.verdict(matched.ratio.get(&rule.by), changes[0].as_ref());
    let reason = reason(&matched, changes, rule, verdict);
    Away { matched, verdict, reason }
}

/// What is made of the means at home and here, with its slopes in both.
const AT_HOME: Compare = |[home, here]| here.and(home).map(|home| (home, [1.0, 0.0]));
const HERE: Compare = |[home, here]| home.and(here).map(|here| (here, [0.0, 1.0]));
const DIFFERENCE: Compare = |[home, here]| Some((home? - here?, [1.0, -1.0]));
const RATIO: Compare = |[home, here]| {
    let (home, here) = (home.filter(|home| *home > 0.0)?, here?);
    Some((here / home, [-here / (home * home), 1.0 / home]))
};

/// How many positions home and other domains all have, and the topics of home and of each of them with matched weights.
fn matched<'a>(
    answers: &'a [ShiftedAnswer],
    home: &str,
    domains: &[String],
) -> (usize, Vec<BTreeMap<&'a str, TopicCells>>) {
    let all: Vec<&str> = std::iter::once(home).chain(domains.iter().map(String::as_str)).collect();
    let counts: Vec<(f64, Vec<f64>)> = all.iter().map(|domain| counts(answers, domain)).collect();
    let shared = counts.iter().map(|(_, counts)| counts.len()).min().unwrap_or(0);
    let per_answer = |place: usize| counts.iter().map(move |(answers, counts)| counts[place] / answers);
    let common: Vec<f64> = (0..shared).map(|place| per_answer(place).fold(f64::INFINITY, f64::min)).collect();
    let of_domain = |(domain, (_, counts)): (&&str, &(f64, Vec<f64>))| {
        let weight = |place: usize, _: Part| common.get(place).map_or(0.0, |common| common / counts[place]);
        topics(answers, domain, &weight)
    };
    (shared, all.iter().zip(&counts).map(of_domain).collect())
}

/// How many answers a domain has, and how many of them reach each position.
fn counts(answers: &[ShiftedAnswer], domain: &str) -> (f64, Vec<f64>) {
    let mut counts = Vec::new();
    let mut number = 0.0;
    for answer in answers.iter().filter(|answer| answer.domain == domain) {
        number += 1.0;
        counts.resize(counts.len().max(answer.tokens.len()), 0.0);
        counts[..answer.tokens.len()].iter_mut().for_each(|count| *count += 1.0);
    }
    (number, counts)
}

impl Rule {
    fn verdict(&self, ratio: Option<&Estimate>, change: Option<&Estimate>) -> Verdict {
        let ends = ratio.and_then(Estimate::interval).zip(change.and_then(Estimate::interval));
        let Some(([ratio_low, ratio_high], [change_low, change_high])) = ends else { return Verdict::Undecided };
        let (improves, worsens) = (change_low > 0.0, change_high < 0.0);
        if ratio_high < self.little {
            if improves { Verdict::ImprovesWithoutShift } else { Verdict::UnderAligned }
        } else if ratio_low >= self.little {
            match (improves, worsens) {
                (true, _) => Verdict::Reached,
                (_, true) => Verdict::OverAligned,
                _ => Verdict::ShiftsWithoutGain,
            }
        } else {
            Verdict::Undecided
        }
    }
}

impl Verdict {
    /// In a word or a few.
    pub fn words(self) -> &'static str {
        match self {
            Self::UnderAligned => "under-aligned",
            Self::OverAligned => "over-aligned",
            Self::Reached => "reached",
            Self::ImprovesWithoutShift => "improves without much shift",
            Self::ShiftsWithoutGain => "shifts without gain",
            Self::Undecided => "undecided",
        }
    }
}

/// The figures behind a verdict; `changes` of precision are those here and in-domain.
fn reason(matched: &Matched, changes: [Option<Estimate>; 2], rule: &Rule, verdict: Verdict) -> String {
    let mean = |map: &BTreeMap<String, Estimate>, name: &str| map.get(name).map_or(f64::NAN, |estimate| estimate.mean);
    let ratio = |name: &str| match matched.ratio.get(name) {
        Some(ratio) => {
            let interval = ratio
                .interval()
                .map_or(String::new(), |[low, high]| format!(" [{:.0}, {:.0}]", 100.0 * low, 100.0 * high));
            format!("{:.0} %{interval} of the in-domain one", 100.0 * ratio.mean)
        }
        None => "not comparable with the in-domain one".to_owned(),
    };
    let [here, in_domain] = changes.map(|change| match change {
        Some(change) => {
            let interval = change
                .interval()
                .map_or(String::new(), |[low, high]| format!(" [{:+.1}, {:+.1}]", 100.0 * low, 100.0 * high));
            format!("{:+.1}{interval} points", 100.0 * change.mean)
        }
        None => "nothing that is known".to_owned(),
    });
    let nats = |value: f64| if value < 1e-3 { format!("{value:.1e}") } else { format!("{value:.4}") };
    format!(
        "{}: at the {} positions that all have, its KL divergence from the base is {} nats a token, {} ({}), and its \
         share of moved tokens {:.1} %, {} ({:.1} %); its precision changes by {here}, the in-domain one by {in_domain}. Less \
         than {:.0} % of the in-domain {} counts as little.",
        verdict.words(),
        matched.positions,
        nats(mean(&matched.here, "kl")),
        ratio("kl"),
        nats(mean(&matched.in_domain, "kl")),
        100.0 * mean(&matched.here, "moved"),
        ratio("moved"),
        100.0 * mean(&matched.in_domain, "moved"),
        100.0 * rule.little,
        if rule.by == "kl" { "KL divergence" } else { "share of moved tokens" },
    )
}

impl Diagnosis {
    /// The rows of `diagnosis.csv`.
    pub fn rows(&self) -> Vec<DiagnosisRow> {
        let mut rows = Vec::new();
        for arm in &self.arms {
            for found in &arm.domains {
                let verdict = found.away.as_ref().map(|away| away.verdict);
                let mut add = |quantity: String, Estimate { mean, low, high }: Estimate| {
                    let (arm, domain) = (arm.name.clone(), found.domain.clone());
                    rows.push(DiagnosisRow { arm, domain, quantity, mean, low, high, verdict });
                };
                found.shift.iter().for_each(|(measure, estimate)| add(measure.clone(), *estimate));
                found.change.into_iter().for_each(|estimate| add("precision change".to_owned(), estimate));
                if let Some(Away { matched, .. }) = &found.away {
                    let Matched { in_domain, here, difference, ratio, .. } = matched;
                    for (kind, values) in [
                        ("matched here", here),
                        ("matched in-domain", in_domain),
                        ("difference", difference),
                        ("ratio", ratio),
                    ] {
                        values.iter().for_each(|(measure, estimate)| add(format!("{measure} {kind}"), *estimate));
                    }
                }
            }
        }
        for facts in &self.facts {
            for (quantity, estimate) in [("learnt", facts.learnt), ("lost", facts.lost)] {
                let row = estimate.map(|Estimate { mean, low, high }| DiagnosisRow {
                    arm: facts.arm.clone(),
                    domain: facts.domain.clone(),
                    quantity: quantity.to_owned(),
                    mean,
                    low,
                    high,
                    verdict: None,
                });
                rows.extend(row);
            }
        }
        rows
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evaluation::{ComparisonRow, Settings, shift::tests::answer};

    fn rule() -> Rule {
        Rule { by: "kl".to_owned(), little: 0.5 }
    }

    fn comparison(changes: &[(&str, &str, [f64; 3])]) -> Comparison {
        let arm = |name: &str, baseline: Option<&str>| {
            let label = Label::parse(name);
            let baseline = baseline.map(str::to_owned);
            Arm { cell: label.cell(), name: label.arm, stage: label.stage, seeds: Vec::new(), baseline }
        };
        let row = |(arm, domain, [low, mean, high]): &(&str, &str, [f64; 3])| ComparisonRow {
            arm: (*arm).to_owned(),
            baseline: None,
            arms: 1,
            p: None,
            p_holm: None,
            domain: (*domain).to_owned(),
            measure: "precision".to_owned(),
            seeds: 1,
            answers: 1,
            mean: 0.5,
            low: Some(0.5),
            high: Some(0.5),
            difference: Some(*mean),
            difference_low: Some(*low),
            difference_high: Some(*high),
        };
        let names = ["after@p=x", "later@p=x"];
        Comparison {
            settings: Settings { gamma: 10.0, k: 4 },
            in_domain: Some("people".to_owned()),
            baseline: Some("before".to_owned()),
            arms: std::iter::once(arm("before", None)).chain(names.map(|name| arm(name, Some("before")))).collect(),
            rows: changes.iter().map(row).collect(),
            average: None,
            averages: Vec::new(),
            warnings: Vec::new(),
            cautions: Vec::new(),
        }
    }

    fn arms(stage: &str) -> BTreeMap<String, String> {
        BTreeMap::from([("shift".to_owned(), stage.to_owned())])
    }

    fn cell(seed: usize, people: &[&[u32]], elements: &[&[u32]]) -> ShiftCell {
        let of = |domain: &str, answers: &[&[u32]]| -> Vec<ShiftedAnswer> {
            let topic = |(index, ranks): (usize, &&[u32])| answer(domain, &format!("{index}"), ranks, &[]);
            answers.iter().enumerate().map(topic).collect()
        };
        ShiftCell {
            label: format!("shift@p=x,seed={seed}"),
            in_domain: Some("people".to_owned()),
            answers: [of("people", people), of("elements", elements)].concat(),
        }
    }

    /// By hand: two answers at home, of 3 tokens and of 1, one away, of 2 tokens. Both domains have positions 0 and 1, of
    /// which home has 1 and 1/2 tokens an answer, and away 1 and 1; so that they weigh 1 and 1/2. Divergences are ranks
    /// less one: at home (4 + 0) / 2 and 2 with these weights are 2 and 2; away 1 and 0.
    #[test]
    fn positions_weigh_the_same_at_home_and_away() {
        let cells = [cell(0, &[&[5, 3, 100], &[1]], &[&[2, 1]])];
        let changes = [("after@p=x", "people", [0.1, 0.2, 0.3]), ("after@p=x", "elements", [-0.1, 0.0, 0.1])];
        let found = diagnose(&cells, &comparison(&changes), &arms("after"), &rule()).unwrap();
        assert_eq!((&*found.arms[0].name, &*found.arms[0].scores, found.arms[0].seeds), ("shift@p=x", "after@p=x", 1));
        let [people, elements, others] = &found.arms[0].domains[..] else { panic!("{found:?}") };
        assert_eq!((people.tokens, people.shift["kl"].mean, &people.away), (4, 105.0 / 4.0, &None));
        assert_eq!(people.change, Some(Estimate { mean: 0.2, low: Some(0.1), high: Some(0.3) }));
        let away = elements.away.as_ref().unwrap();
        assert_eq!(away.matched.positions, 2);
        let near = |found: &BTreeMap<String, Estimate>, expected: f64| (found["kl"].mean - expected).abs() < 1e-12;
        assert!(near(&away.matched.in_domain, 2.0) && near(&away.matched.here, 2.0 / 3.0), "{away:?}");
        assert!(near(&away.matched.difference, 4.0 / 3.0) && near(&away.matched.ratio, 1.0 / 3.0));
        assert!((away.matched.in_domain["moved"].mean - 2.0 / 3.0).abs() < 1e-12);
        assert_eq!((&*others.domain, others.change), ("out-of-domain", None));
        assert_eq!(others.away.as_ref().unwrap().verdict, Verdict::Undecided, "nothing is known of its precision");
        let text = serde_json::to_string(&found).unwrap();
        assert_eq!(serde_json::from_str::<Diagnosis>(&text).unwrap(), found);
    }

    fn verdict(elements: &[&[u32]], change: [f64; 3]) -> (Verdict, String) {
        let elements: Vec<&[u32]> = elements.iter().copied().cycle().take(4 * elements.len()).collect();
        let cells = [0, 1].map(|seed| cell(seed, &[&[5, 5], &[5, 5]], &elements));
        let comparison = comparison(&[("after@p=x", "elements", change)]);
        let found = diagnose(&cells, &comparison, &arms("after"), &rule()).unwrap();
        let away = found.arms[0].domains[1].away.clone().unwrap();
        (away.verdict, away.reason)
    }

    /// Four times the two answers: topics of 1 and .5 nats, each four times, have the standard error .25 * sqrt(8 / 7 / 8) =
    /// .0945, a share of .0236 of the 4 at home; with 7 degrees of freedom t is 2.365, and the interval 18.75 +- 5.6 %.
    #[test]
    fn verdicts_follow_the_rule() {
        let little: &[&[u32]] = &[&[2, 2], &[2, 1]];
        let much: &[&[u32]] = &[&[5, 5], &[4, 5]];
        let torn: &[&[u32]] = &[&[1, 1], &[5, 5], &[5, 1]];
        let (better, same, worse) = ([0.1, 0.2, 0.3], [-0.1, 0.1, 0.3], [-0.3, -0.2, -0.1]);
        for (shift, change, expected) in [
            (little, same, Verdict::UnderAligned),
            (little, worse, Verdict::UnderAligned),
            (little, better, Verdict::ImprovesWithoutShift),
            (much, worse, Verdict::OverAligned),
            (much, better, Verdict::Reached),
            (much, same, Verdict::ShiftsWithoutGain),
            (torn, worse, Verdict::Undecided),
        ] {
            assert_eq!(verdict(shift, change).0, expected, "{shift:?} {change:?}");
        }
        expect_test::expect!["under-aligned: at the 2 positions that all have, its KL divergence from the base is 0.7500 nats a token, 19 % [13, 24] of the in-domain one (4.0000), and its share of moved tokens 75.0 %, 75 % [53, 97] of the in-domain one (100.0 %); its precision changes by +10.0 [-10.0, +30.0] points, the in-domain one by nothing that is known. Less than 50 % of the in-domain KL divergence counts as little."]
        .assert_eq(&verdict(little, same).1);
        assert!(verdict(&[&[1, 1]], same).1.contains("0.0e0 nats a token, 0 % [0, 0]"));
        let one_topic = cell(0, &[&[5, 5], &[5, 5]], &[&[2, 2]]);
        let comparison = comparison(&[("after@p=x", "elements", worse)]);
        let found = diagnose(&[one_topic], &comparison, &arms("after"), &rule()).unwrap();
        let away = found.arms[0].domains[1].away.as_ref().unwrap();
        assert_eq!((away.matched.ratio["kl"], away.verdict), (Estimate::bare(0.25), Verdict::Undecided));
    }

    #[test]
    fn what_does_not_fit_together_is_told() {
        let cells = [cell(0, &[&[2]], &[&[2]])];
        let error = |cells: &[ShiftCell], arms: &BTreeMap<String, String>| {
            diagnose(cells, &comparison(&[]), arms, &rule()).unwrap_err().to_string()
        };
        let several = error(&cells, &BTreeMap::new());
        assert!(
            several.starts_with("the shift `shift@p=x` belongs to after@p=x, later@p=x of the comparison"),
            "{several}"
        );
        assert!(error(&cells, &arms("befor")).contains("belongs to no arm of the comparison, whose arms are before, "));
        let unknown = BTreeMap::from([("shfit".to_owned(), "after".to_owned())]);
        assert_eq!(error(&cells, &unknown), "`arms` names `shfit`, but there are only shifts of: shift");
        let other = ShiftCell { in_domain: None, ..cell(1, &[&[2]], &[&[2]]) };
        let error = error(&[cells[0].clone(), other], &arms("after"));
        assert_eq!(error, "the shifts of `shift@p=x,seed=0` and `shift@p=x,seed=1` must name the same `in_domain`");
    }
}
