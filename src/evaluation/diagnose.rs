//! Under-alignment and over-alignment out-of-domain (Sun et al. 2024, arXiv 2406.12416), by a rule
//! on figures.

use std::collections::BTreeMap;

use crate::rows::{Cell, MeasureName, ShiftMeasureName, ShiftedAnswer};

use super::{
    Compare, SHIFT_MEASURES,
    arms::arms,
    comparison::{ComparedArm, Comparison},
    diagnosis::{
        ArmDiagnosis, Away, Diagnosis, DomainDiagnosis, DomainVerdict, Matched, Rule, ShiftCell,
    },
    diagnosis_error::DiagnosisError,
    domain_set::{DomainSet, distinct, domain_sets},
    interval::{Estimate, TestedEstimate, TopicTotals},
    reason::{Changes, reason},
    sample::{Sample, SampleIndex},
    shift::{domains, topics},
};

/// Diagnoses each arm of the shifts, with the change of its score from `comparison`. `arm_stages`
/// maps each stage of shifts to the stage that scores its model; it is needed unless only one stage
/// has a baseline.
///
/// # Errors
/// Fails where shifts do not fit together, or the comparison lacks an arm.
pub fn diagnose(
    shifts: &[ShiftCell],
    comparison: &Comparison,
    arm_stages: &BTreeMap<String, String>,
    rule: &Rule,
) -> Result<Diagnosis, DiagnosisError> {
    let stages = distinct(shifts.iter().map(|shift| shift.cell.stage.as_str()));
    if let Some(stage) = arm_stages.keys().find(|stage| !stages.contains(&stage.as_str())) {
        let known = stages.join(", ");
        return Err(DiagnosisError::UnknownStage { stage: stage.clone(), known });
    }
    // Shift is little in relation to the in-domain one; without that there is no diagnosis.
    let home = shifts.first().and_then(|shift| shift.in_domain.clone()).unwrap_or_default();
    if let Some(other) = shifts.iter().find(|shift| shift.in_domain.as_ref() != Some(&home)) {
        return Err(DiagnosisError::InDomain(shifts[0].cell.to_string(), other.cell.to_string()));
    }
    let mut diagnosed = Vec::new();
    for (name, members) in arms(shifts.iter().map(|shift| &shift.cell)) {
        let members: Vec<&ShiftCell> = members.into_iter().map(|index| &shifts[index]).collect();
        let arm = ShiftedArm {
            scores: find_arm(&members[0].cell, comparison, arm_stages)?,
            members,
            comparison,
            home: &home,
            rule,
        };
        // All seeds of an arm answer the same prompts.
        let names = domains(&arm.members[0].answers);
        let sets = domain_sets(&names, Some(&home));
        diagnosed.push(ArmDiagnosis {
            name,
            scores: arm.scores.name.clone(),
            seeds: arm.members.len(),
            domains: sets.into_iter().map(|set| arm.diagnosis(set)).collect(),
        });
    }
    Ok(Diagnosis { in_domain: home, rule: rule.clone(), arms: diagnosed, facts: Vec::new() })
}

/// The arm of the comparison that scores the model of a cell of the shifts.
fn find_arm<'a>(
    cell: &Cell,
    comparison: &'a Comparison,
    arm_stages: &BTreeMap<String, String>,
) -> Result<&'a ComparedArm, DiagnosisError> {
    let values = cell.values_by_name();
    let candidates: Vec<&ComparedArm> = comparison
        .arms
        .iter()
        .filter(|arm| arm.cell == values)
        .filter(|arm| match arm_stages.get(&cell.stage) {
            Some(stage) => arm.stage == *stage,
            // Without a name given, the arm that was tuned is the one that has a baseline.
            None => arm.baseline.is_some(),
        })
        .collect();
    if let [only] = candidates.as_slice() {
        return Ok(only);
    }
    Err(DiagnosisError::NoSingleArm {
        arm: cell.arm(),
        found: if candidates.is_empty() {
            "no arm".to_owned()
        } else {
            names(candidates.into_iter())
        },
        known: names(comparison.arms.iter()),
    })
}

fn names<'a>(arms: impl Iterator<Item = &'a ComparedArm>) -> String {
    arms.map(|arm| arm.name.as_str()).collect::<Vec<_>>().join(", ")
}

/// The shifts of one arm, with what they are diagnosed by.
struct ShiftedArm<'a> {
    members: Vec<&'a ShiftCell>,
    /// The arm of the comparison that scores the same model.
    scores: &'a ComparedArm,
    comparison: &'a Comparison,
    /// The in-domain domain.
    home: &'a str,
    rule: &'a Rule,
}

impl ShiftedArm<'_> {
    fn diagnosis(&self, set: DomainSet) -> DomainDiagnosis {
        let change = self.change(&set.name);
        let (tokens, shift) = self.shift(&set);
        // The in-domain set is what the others are compared with.
        let away = (set.name != self.home).then(|| self.away(&set, change));
        DomainDiagnosis { domain: set.name, tokens, shift, change, away }
    }

    /// Difference of precision from the comparison's baseline.
    fn change(&self, domain: &str) -> Option<Estimate> {
        let row = self.comparison.rows.iter().find(|row| {
            row.arm == self.scores.name
                && row.domain == domain
                && row.measure == MeasureName::Precision
        })?;
        Some(Estimate { mean: row.difference?, low: row.difference_low, high: row.difference_high })
    }

    /// Tokens of a set of domains, and each measure over them.
    fn shift(&self, set: &DomainSet) -> (usize, BTreeMap<ShiftMeasureName, Estimate>) {
        let mut sample = Sample::new(SHIFT_MEASURES.len());
        let mut tokens = 0.0;
        for (seed, shift) in self.members.iter().enumerate() {
            for (domain, name) in set.domains.iter().enumerate() {
                let topics = topics(&shift.answers, name, |_, _| 1.0);
                tokens += topics.values().map(|totals| totals[0].count).sum::<f64>();
                sample.add(SampleIndex { seed, arm: 0, domain }, topics);
            }
        }
        (tokens as usize, bounded(sample.means()))
    }

    fn away(&self, set: &DomainSet, change: Option<Estimate>) -> Away {
        let mut sample = Sample::new(SHIFT_MEASURES.len());
        let mut positions = Vec::new();
        for (seed, shift) in self.members.iter().enumerate() {
            let (shared, matched) = matched(&shift.answers, self.home, &set.domains);
            // Each seed is matched alone: its responses have lengths of their own.
            positions.push(shared);
            for (domain, topics) in matched.into_iter().enumerate() {
                sample.add(SampleIndex { seed, arm: 0, domain }, topics);
            }
        }
        let matched = Matched {
            positions: positions.into_iter().min().unwrap_or(0),
            in_domain: bounded(sample.contrasts(side, AT_HOME)),
            here: bounded(sample.contrasts(side, HERE)),
            difference: unbounded(sample.contrasts(side, DIFFERENCE)),
            ratio: unbounded(sample.contrasts(side, RATIO)),
        };
        // The ratio is matched, the change of precision is not: scores are of whole responses.
        let verdict =
            self.rule.verdict(matched.ratio.get(&self.rule.shift_measure), change.as_ref());
        let changes = Changes { here: change, in_domain: self.change(self.home) };
        let reason = reason(&matched, changes, self.rule, verdict);
        Away { matched, verdict, reason }
    }
}

/// The in-domain domain comes first in a matched sample; all others are on the other side.
fn side(domain: usize) -> usize {
    domain.min(1)
}

/// Functions of the in-domain mean and this set's mean, with slopes in both.
const AT_HOME: Compare = |[home, here]| here.and(home).map(|home| (home, [1.0, 0.0]));
const HERE: Compare = |[home, here]| home.and(here).map(|here| (here, [0.0, 1.0]));
const DIFFERENCE: Compare = |[home, here]| Some((home? - here?, [1.0, -1.0]));
const RATIO: Compare = |[home, here]| {
    let (home, here) = (home.filter(|home| *home > 0.0)?, here?);
    Some((here / home, [-here / (home * home), 1.0 / home]))
};

/// Each measure that counts, by name.
fn unbounded(found: Vec<Option<TestedEstimate>>) -> BTreeMap<ShiftMeasureName, Estimate> {
    let named = SHIFT_MEASURES.iter().zip(found);
    named.filter_map(|(measure, found)| Some((measure.name, found?.estimate))).collect()
}

/// The same for means, with intervals within the measures' bounds.
fn bounded(found: Vec<Option<TestedEstimate>>) -> BTreeMap<ShiftMeasureName, Estimate> {
    let named = SHIFT_MEASURES.iter().zip(found);
    named
        .filter_map(|(measure, found)| Some((measure.name, found?.bounded(measure.most))))
        .collect()
}

/// Responses of a domain, and how many of them reach each position.
struct Reach {
    answers: f64,
    at: Vec<f64>,
}

impl Reach {
    fn of(answers: &[ShiftedAnswer], domain: &str) -> Self {
        let mut reach = Self { answers: 0.0, at: Vec::new() };
        for answer in answers.iter().filter(|answer| answer.domain == domain) {
            reach.answers += 1.0;
            // Responses have different lengths; the longest one decides how far the counts go.
            reach.at.resize(reach.at.len().max(answer.tokens.len()), 0.0);
            reach.at[..answer.tokens.len()].iter_mut().for_each(|count| *count += 1.0);
        }
        reach
    }
}

/// Number of positions that the in-domain domain and the others share, and the topics of each with
/// matched weights.
fn matched<'a>(
    answers: &'a [ShiftedAnswer],
    home: &str,
    domains: &[String],
) -> (usize, Vec<BTreeMap<&'a str, TopicTotals>>) {
    let all: Vec<&str> = std::iter::once(home).chain(domains.iter().map(String::as_str)).collect();
    let reaches: Vec<Reach> = all.iter().map(|domain| Reach::of(answers, domain)).collect();
    let shared = reaches.iter().map(|reach| reach.at.len()).min().unwrap_or(0);
    // A position counts in each domain as much as in the one whose responses reach it the least, so
    // that longer responses do not make a domain seem to shift more.
    let common: Vec<f64> = (0..shared)
        .map(|place| {
            let per_answer = reaches.iter().map(|reach| reach.at[place] / reach.answers);
            per_answer.fold(f64::INFINITY, f64::min)
        })
        .collect();
    let topics = all.iter().zip(&reaches).map(|(domain, reach)| {
        topics(answers, domain, |place, _| {
            common.get(place).map_or(0.0, |common| common / reach.at[place])
        })
    });
    (shared, topics.collect())
}

impl Rule {
    fn verdict(&self, ratio: Option<&Estimate>, change: Option<&Estimate>) -> DomainVerdict {
        let ends = ratio.and_then(Estimate::interval).zip(change.and_then(Estimate::interval));
        // Without an interval nothing is certain, and a verdict would be a guess.
        let Some(([ratio_low, ratio_high], [change_low, change_high])) = ends else {
            return DomainVerdict::Undecided;
        };
        let (improves, worsens) = (change_low > 0.0, change_high < 0.0);
        // The whole interval must be on one side of the threshold.
        if ratio_high < self.shift_threshold {
            if improves { DomainVerdict::ImprovesWithoutShift } else { DomainVerdict::UnderAligned }
        } else if ratio_low >= self.shift_threshold {
            match (improves, worsens) {
                (true, _) => DomainVerdict::Reached,
                (_, true) => DomainVerdict::OverAligned,
                _ => DomainVerdict::ShiftsWithoutGain,
            }
        } else {
            DomainVerdict::Undecided
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        evaluation::{ComparisonRow, ScoreSettings, shift::tests::answer},
        rows::OUT_OF_DOMAIN,
    };

    fn rule() -> Rule {
        Rule { shift_measure: ShiftMeasureName::Kl, shift_threshold: 0.5 }
    }

    fn comparison(changes: &[(&str, &str, [f64; 3])]) -> Comparison {
        let arm = |name: &str, baseline: Option<&str>| {
            let cell = Cell::parse(name);
            ComparedArm {
                name: name.to_owned(),
                cell: cell.values_by_name(),
                stage: cell.stage,
                seeds: Vec::new(),
                baseline: baseline.map(str::to_owned),
            }
        };
        let row = |(arm, domain, [low, mean, high]): &(&str, &str, [f64; 3])| ComparisonRow {
            arm: (*arm).to_owned(),
            baseline: None,
            arms: 1,
            p: None,
            p_holm: None,
            domain: (*domain).to_owned(),
            measure: MeasureName::Precision,
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
            settings: ScoreSettings { gamma: 10.0, k: 4, irrelevant_is_wrong: false },
            in_domain: Some("people".to_owned()),
            baseline: Some("before".to_owned()),
            arms: std::iter::once(arm("before", None))
                .chain(names.map(|name| arm(name, Some("before"))))
                .collect(),
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
            let topic =
                |(index, ranks): (usize, &&[u32])| answer(domain, &format!("{index}"), ranks, &[]);
            answers.iter().enumerate().map(topic).collect()
        };
        ShiftCell {
            cell: Cell::parse(&format!("shift@p=x,seed={seed}")),
            in_domain: Some("people".to_owned()),
            answers: [of("people", people), of("elements", elements)].concat(),
        }
    }

    /// By hand: two responses in-domain, of 3 tokens and of 1, one out-of-domain, of 2 tokens. Both
    /// domains have positions 0 and 1, with 1 and 1/2 tokens per response in-domain, and 1 and 1
    /// out-of-domain; so that they weigh 1 and 1/2. Divergences are ranks minus one: in-domain (4 +
    /// 0) / 2 and 2 with these weights are 2 and 2; out-of-domain 1 and 0.
    #[test]
    fn positions_weigh_the_same_at_home_and_away() {
        let cells = [cell(0, &[&[5, 3, 100], &[1]], &[&[2, 1]])];
        let changes =
            [("after@p=x", "people", [0.1, 0.2, 0.3]), ("after@p=x", "elements", [-0.1, 0.0, 0.1])];
        let found = diagnose(&cells, &comparison(&changes), &arms("after"), &rule()).unwrap();
        assert_eq!(
            (&*found.arms[0].name, &*found.arms[0].scores, found.arms[0].seeds),
            ("shift@p=x", "after@p=x", 1)
        );
        let [people, elements, others] = &found.arms[0].domains[..] else { panic!("{found:?}") };
        assert_eq!(
            (people.tokens, people.shift[&ShiftMeasureName::Kl].mean, &people.away),
            (4, 105.0 / 4.0, &None)
        );
        assert_eq!(people.change, Some(Estimate { mean: 0.2, low: Some(0.1), high: Some(0.3) }));
        let away = elements.away.as_ref().unwrap();
        assert_eq!(away.matched.positions, 2);
        let near = |found: &BTreeMap<ShiftMeasureName, Estimate>, expected: f64| {
            (found[&ShiftMeasureName::Kl].mean - expected).abs() < 1e-12
        };
        assert!(
            near(&away.matched.in_domain, 2.0) && near(&away.matched.here, 2.0 / 3.0),
            "{away:?}"
        );
        assert!(near(&away.matched.difference, 4.0 / 3.0) && near(&away.matched.ratio, 1.0 / 3.0));
        assert!((away.matched.in_domain[&ShiftMeasureName::Moved].mean - 2.0 / 3.0).abs() < 1e-12);
        assert_eq!((&*others.domain, others.change), (OUT_OF_DOMAIN, None));
        assert_eq!(
            others.away.as_ref().unwrap().verdict,
            DomainVerdict::Undecided,
            "nothing is known of its precision"
        );
        let text = serde_json::to_string(&found).unwrap();
        assert_eq!(serde_json::from_str::<Diagnosis>(&text).unwrap(), found);
    }

    fn verdict(elements: &[&[u32]], change: [f64; 3]) -> (DomainVerdict, String) {
        let elements: Vec<&[u32]> =
            elements.iter().copied().cycle().take(4 * elements.len()).collect();
        let cells = [0, 1].map(|seed| cell(seed, &[&[5, 5], &[5, 5]], &elements));
        let comparison = comparison(&[("after@p=x", "elements", change)]);
        let found = diagnose(&cells, &comparison, &arms("after"), &rule()).unwrap();
        let away = found.arms[0].domains[1].away.clone().unwrap();
        (away.verdict, away.reason)
    }

    /// Four times the two responses: topics of 1 and .5 nats, each four times, have the standard
    /// error .25 * sqrt(8 / 7 / 8) = .0945, a share of .0236 of the in-domain 4; with 7 degrees of
    /// freedom t is 2.365, and the interval 18.75 +- 5.6 %.
    #[test]
    fn verdicts_follow_the_rule() {
        let little: &[&[u32]] = &[&[2, 2], &[2, 1]];
        let much: &[&[u32]] = &[&[5, 5], &[4, 5]];
        let torn: &[&[u32]] = &[&[1, 1], &[5, 5], &[5, 1]];
        let (better, same, worse) = ([0.1, 0.2, 0.3], [-0.1, 0.1, 0.3], [-0.3, -0.2, -0.1]);
        for (shift, change, expected) in [
            (little, same, DomainVerdict::UnderAligned),
            (little, worse, DomainVerdict::UnderAligned),
            (little, better, DomainVerdict::ImprovesWithoutShift),
            (much, worse, DomainVerdict::OverAligned),
            (much, better, DomainVerdict::Reached),
            (much, same, DomainVerdict::ShiftsWithoutGain),
            (torn, worse, DomainVerdict::Undecided),
        ] {
            assert_eq!(verdict(shift, change).0, expected, "{shift:?} {change:?}");
        }
        expect_test::expect![
            "under-aligned: at the 2 shared positions, its KL divergence from \
        the base model is 0.7500 nats per token, 19 % [13, 24] of the in-domain one (4.0000), \
        and its share of moved tokens 75.0 %, 75 % [53, 97] of the in-domain one (100.0 %); its \
        precision changes by +10.0 [-10.0, +30.0] points, the in-domain one by an unknown \
        amount. Less than 50 % of the in-domain KL divergence counts as little shift."
        ]
        .assert_eq(&verdict(little, same).1);
        assert!(verdict(&[&[1, 1]], same).1.contains("0.0e0 nats per token, 0 % [0, 0]"));
        let one_topic = cell(0, &[&[5, 5], &[5, 5]], &[&[2, 2]]);
        let comparison = comparison(&[("after@p=x", "elements", worse)]);
        let found = diagnose(&[one_topic], &comparison, &arms("after"), &rule()).unwrap();
        let away = found.arms[0].domains[1].away.as_ref().unwrap();
        assert_eq!(
            (away.matched.ratio[&ShiftMeasureName::Kl], away.verdict),
            (Estimate::bare(0.25), DomainVerdict::Undecided)
        );
    }

    #[test]
    fn what_does_not_fit_together_is_told() {
        let cells = [cell(0, &[&[2]], &[&[2]])];
        let error = |cells: &[ShiftCell], arms: &BTreeMap<String, String>| {
            diagnose(cells, &comparison(&[]), arms, &rule()).unwrap_err().to_string()
        };
        let several = error(&cells, &BTreeMap::new());
        assert!(
            several.starts_with(
                "the shift `shift@p=x` belongs to after@p=x, later@p=x of the comparison"
            ),
            "{several}"
        );
        assert!(
            error(&cells, &arms("befor"))
                .contains("belongs to no arm of the comparison, whose arms are before, ")
        );
        let unknown = BTreeMap::from([("shfit".to_owned(), "after".to_owned())]);
        assert_eq!(error(&cells, &unknown), "`arms` names `shfit`, but the shifts are of: shift");
        let other = ShiftCell { in_domain: None, ..cell(1, &[&[2]], &[&[2]]) };
        let error = error(&[cells[0].clone(), other], &arms("after"));
        assert_eq!(
            error,
            "the shifts of `shift@p=x,seed=0` and `shift@p=x,seed=1` must name the same `in_domain`"
        );
    }
}
