//! The same from the other side: facts that a model got wrong before tuning and right after, and the other way round.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::language::{Knowing, ProbedFact};

use super::{Cell, DiagnosisError, Estimate, Place, Sample, TopicCells, label::Label, shift::groups};

/// What one probe found.
#[derive(Clone, Debug)]
pub struct ProbeCell {
    /// The cell: `probe@algorithm=dpo,seed=0`.
    pub label: String,
    /// Its `probe.jsonl`.
    pub facts: Vec<ProbedFact>,
}

/// What became of one domain's facts in one arm; a fact is right where at least half of the answers are.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Learnt {
    /// The arm of the probes after tuning.
    pub arm: String,
    /// The domain, or "out-of-domain".
    pub domain: String,
    /// Seeds.
    pub seeds: usize,
    /// Facts, over all seeds, that were wrong before although the base potentially knew them.
    pub wrong_before: usize,
    /// The share of these that are right after; none where there are none.
    pub learnt: Option<Estimate>,
    /// Facts, over all seeds, that were right before.
    pub right_before: usize,
    /// The share of these that are wrong after; none where there are none.
    pub lost: Option<Estimate>,
}

/// What became of the facts, by arm and domain: each probe after tuning beside the only one before that agrees with its seed
/// and matrix values.
///
/// # Errors
/// Where there is no such probe, or several.
pub fn learnt(before: &[ProbeCell], after: &[ProbeCell], in_domain: &str) -> Result<Vec<Learnt>, DiagnosisError> {
    let mut arms: Vec<(String, Vec<&ProbeCell>)> = Vec::new();
    for cell in after {
        let arm = Label::parse(&cell.label).arm;
        match arms.iter_mut().find(|(name, _)| *name == arm) {
            Some((_, cells)) => cells.push(cell),
            None => arms.push((arm, vec![cell])),
        }
    }
    let mut found = Vec::new();
    for (arm, cells) in arms {
        let changes = cells.iter().map(|cell| Ok(changes(find_before(cell, before)?, cell)));
        let changes: Vec<Vec<Change>> = changes.collect::<Result<_, DiagnosisError>>()?;
        let mut names: Vec<&str> = Vec::new();
        for change in changes.iter().flatten() {
            if !names.contains(&change.domain) {
                names.push(change.domain);
            }
        }
        for (group, domains) in groups(&names, Some(in_domain)) {
            found.push(of_group(&arm, &group, &domains, &changes));
        }
    }
    Ok(found)
}

/// One fact before and after.
struct Change<'a> {
    topic: &'a str,
    domain: &'a str,
    /// Whether it was learnt: only of facts that were wrong although potentially known.
    learnt: Option<bool>,
    /// Whether it was lost: only of facts that were right.
    lost: Option<bool>,
}

fn is_right(fact: &ProbedFact) -> bool {
    2 * fact.right >= fact.n
}

fn find_before<'a>(cell: &ProbeCell, before: &'a [ProbeCell]) -> Result<&'a ProbeCell, DiagnosisError> {
    let own = Label::parse(&cell.label);
    let agrees = |other: &&ProbeCell| {
        let other = Label::parse(&other.label);
        let same = |(name, value): &(String, String)| own.value(name).is_none_or(|own| own == value);
        (other.seed.is_none() || other.seed == own.seed) && other.coordinates.iter().all(same)
    };
    let candidates: Vec<&ProbeCell> = before.iter().filter(agrees).collect();
    match candidates.as_slice() {
        [only] => Ok(only),
        _ => {
            let found = candidates.iter().map(|cell| cell.label.clone()).collect();
            Err(DiagnosisError::NoSingleProbe { label: cell.label.clone(), found })
        }
    }
}

/// The facts that both were asked for.
fn changes<'a>(before: &'a ProbeCell, after: &'a ProbeCell) -> Vec<Change<'a>> {
    let key = |fact: &'a ProbedFact| (&fact.domain, &fact.topic, &fact.id);
    let afterwards: BTreeMap<_, &ProbedFact> = after.facts.iter().map(|fact| (key(fact), fact)).collect();
    let asked = before.facts.iter().filter_map(|fact| Some((fact, *afterwards.get(&key(fact))?)));
    asked
        .map(|(fact, now)| Change {
            topic: &fact.topic,
            domain: &fact.domain,
            learnt: (!is_right(fact) && fact.class == Knowing::Potential).then(|| is_right(now)),
            lost: is_right(fact).then(|| !is_right(now)),
        })
        .collect()
}

fn of_group(arm: &str, group: &str, domains: &[String], seeds: &[Vec<Change>]) -> Learnt {
    let mut sample = Sample::new(2);
    let mut counts = [0.0; 2];
    for (seed, changes) in seeds.iter().enumerate() {
        for (domain, name) in domains.iter().enumerate() {
            let mut topics: BTreeMap<&str, TopicCells> = BTreeMap::new();
            for change in changes.iter().filter(|change| change.domain == name) {
                let cells = topics.entry(change.topic).or_insert_with(|| vec![Cell::default(); 2]);
                for (cell, changed) in cells.iter_mut().zip([change.learnt, change.lost]) {
                    changed.into_iter().for_each(|changed| cell.add(f64::from(u8::from(changed))));
                }
            }
            topics.values().flat_map(|cells| cells.iter().enumerate()).for_each(|(of, cell)| counts[of] += cell.count);
            sample.add(Place { seed, arm: 0, domain }, topics);
        }
    }
    let found = sample.means();
    let estimate = |index: usize| found[index].map(|found| found.estimate);
    Learnt {
        arm: arm.to_owned(),
        domain: group.to_owned(),
        seeds: seeds.len(),
        wrong_before: counts[0] as usize,
        learnt: estimate(0),
        right_before: counts[1] as usize,
        lost: estimate(1),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cell(label: &str, facts: &[(&str, &str, &str, usize)]) -> ProbeCell {
        let fact = |(index, (domain, topic, class, right)): (usize, &(&str, &str, &str, usize))| {
            let class = if *class == "unknown" { Knowing::Unknown } else { Knowing::Potential };
            ProbedFact { class, ..ProbedFact::answered(domain, topic, index, 10, *right) }
        };
        ProbeCell { label: label.to_owned(), facts: facts.iter().enumerate().map(fact).collect() }
    }

    /// Of three facts that were wrong one was not known at all, and of the others one was learnt; of two that were right
    /// one was lost.
    #[test]
    fn what_was_potentially_known_is_learnt_and_what_was_right_can_be_lost() {
        let before = [cell(
            "probe",
            &[
                ("people", "Ann", "potential", 4),
                ("people", "Ann", "potential", 1),
                ("people", "Bo", "unknown", 0),
                ("people", "Bo", "known", 10),
                ("people", "Cy", "potential", 5),
                ("elements", "tin", "potential", 0),
            ],
        )];
        let after = [cell(
            "probed@a=x,seed=1",
            &[
                ("people", "Ann", "known", 5),
                ("people", "Ann", "potential", 4),
                ("people", "Bo", "known", 9),
                ("people", "Bo", "known", 9),
                ("people", "Cy", "potential", 4),
                ("elements", "tin", "potential", 4),
            ],
        )];
        let found = learnt(&before, &after, "people").unwrap();
        let people = &found[0];
        assert_eq!((&*people.arm, &*people.domain, people.seeds), ("probed@a=x", "people", 1));
        assert_eq!((people.wrong_before, people.right_before), (2, 2));
        assert_eq!((people.learnt.unwrap().mean, people.lost.unwrap().mean), (0.5, 0.5));
        assert_eq!((&*found[2].domain, found[2].learnt.unwrap().mean, found[2].lost), ("out-of-domain", 0.0, None));
    }

    #[test]
    fn probes_are_compared_seed_by_seed() {
        let fact = [("people", "Ann", "potential", 4)];
        let before = [cell("probe@seed=0", &fact), cell("probe@seed=1", &fact)];
        assert_eq!(learnt(&before, &[cell("probed@a=x,seed=1", &fact)], "people").unwrap()[0].wrong_before, 1);
        let error = learnt(&before, &[cell("probed@seed=7", &fact)], "people").unwrap_err().to_string();
        assert!(error.starts_with("`probed@seed=7` has no probe in `probes_before`"), "{error}");
    }
}
