//! Facts that a model learnt or lost in tuning, from probes before and after.

use std::collections::BTreeMap;

use crate::rows::{KnowledgeClass, ProbedFact};

use super::{
    arms::arms,
    diagnosis::{Learnt, ProbeCell},
    diagnosis_error::DiagnosisError,
    domain_set::{DomainSet, distinct, domain_sets},
    interval::{TopicTotals, Total},
    sample::{Sample, SampleIndex},
};

/// Changes of the facts, by arm and domain: each probe after tuning is paired with the only one
/// before with the same seed and matrix values.
///
/// # Errors
/// Fails without such a probe, or with several.
pub fn learnt(
    before: &[ProbeCell],
    after: &[ProbeCell],
    in_domain: &str,
) -> Result<Vec<Learnt>, DiagnosisError> {
    let mut found = Vec::new();
    for (arm, members) in arms(after.iter().map(|probe| &probe.cell)) {
        let mut changed = Vec::new();
        for probe in members.into_iter().map(|index| &after[index]) {
            changed.push(changes(find_before(probe, before)?, probe));
        }
        let names = distinct(changed.iter().flatten().map(|change: &Change| change.domain));
        for set in domain_sets(&names, Some(in_domain)) {
            found.push(of_set(&arm, set, &changed));
        }
    }
    Ok(found)
}

/// One fact before and after.
struct Change<'a> {
    topic: &'a str,
    domain: &'a str,
    /// Whether it was learnt; only for facts that were wrong although potentially known.
    learnt: Option<bool>,
    /// Whether it was lost; only for facts that were right.
    lost: Option<bool>,
}

fn is_right(fact: &ProbedFact) -> bool {
    2 * fact.right >= fact.n
}

fn find_before<'a>(
    probe: &ProbeCell,
    before: &'a [ProbeCell],
) -> Result<&'a ProbeCell, DiagnosisError> {
    // A probe of the base model without matrix values serves all arms.
    let candidates: Vec<&ProbeCell> = before
        .iter()
        .filter(|other| {
            other.cell.serves_seed_of(&probe.cell) && other.cell.agrees_with(&probe.cell)
        })
        .collect();
    if let [only] = candidates.as_slice() {
        return Ok(only);
    }
    let found = candidates.iter().map(|other| other.cell.to_string()).collect();
    Err(DiagnosisError::NoSingleProbe { label: probe.cell.to_string(), found })
}

/// The facts in both probes.
fn changes<'a>(before: &'a ProbeCell, after: &'a ProbeCell) -> Vec<Change<'a>> {
    // Probes may ask for different facts; only those in both tell a change.
    let afterwards: BTreeMap<_, &ProbedFact> =
        after.facts.iter().map(|fact| (key(fact), fact)).collect();
    let asked = before.facts.iter().filter_map(|fact| Some((fact, *afterwards.get(&key(fact))?)));
    asked
        .map(|(fact, now)| Change {
            topic: &fact.topic,
            domain: &fact.domain,
            // An unknown fact that is right after tuning was guessed, and not learnt.
            learnt: (!is_right(fact) && fact.class == KnowledgeClass::Potential)
                .then(|| is_right(now)),
            lost: is_right(fact).then(|| !is_right(now)),
        })
        .collect()
}

/// What tells facts apart.
fn key(fact: &ProbedFact) -> (&str, &str, &str) {
    (&fact.domain, &fact.topic, &fact.id)
}

fn of_set(arm: &str, set: DomainSet, seeds: &[Vec<Change>]) -> Learnt {
    let mut sample = Sample::new(2);
    let mut counts = [0.0; 2];
    for (seed, changes) in seeds.iter().enumerate() {
        for (domain, name) in set.domains.iter().enumerate() {
            let mut topics: BTreeMap<&str, TopicTotals> = BTreeMap::new();
            for change in changes.iter().filter(|change| change.domain == name) {
                let totals =
                    topics.entry(change.topic).or_insert_with(|| vec![Total::default(); 2]);
                for (total, changed) in totals.iter_mut().zip([change.learnt, change.lost]) {
                    if let Some(changed) = changed {
                        total.add(f64::from(u8::from(changed)));
                    }
                }
            }
            for totals in topics.values() {
                counts[0] += totals[0].count;
                counts[1] += totals[1].count;
            }
            sample.add(SampleIndex { seed, arm: 0, domain }, topics);
        }
    }
    let found = sample.means();
    let [learnt, lost] = [found[0], found[1]].map(|found| Some(found?.bounded(Some(1.0))));
    Learnt {
        arm: arm.to_owned(),
        domain: set.name,
        seeds: seeds.len(),
        wrong_before: counts[0] as usize,
        learnt,
        right_before: counts[1] as usize,
        lost,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rows::{Cell, OUT_OF_DOMAIN};

    fn cell(label: &str, facts: &[(&str, &str, &str, usize)]) -> ProbeCell {
        let fact = |(index, (domain, topic, class, right)): (usize, &(&str, &str, &str, usize))| {
            let class = if *class == "unknown" {
                KnowledgeClass::Unknown
            } else {
                KnowledgeClass::Potential
            };
            ProbedFact { class, ..ProbedFact::answered(domain, topic, index, 10, *right) }
        };
        ProbeCell { cell: Cell::parse(label), facts: facts.iter().enumerate().map(fact).collect() }
    }

    /// Of three facts that were wrong one was not known at all, and of the others one was learnt;
    /// of two that were right one was lost.
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
        assert_eq!(
            (&*found[2].domain, found[2].learnt.unwrap().mean, found[2].lost),
            (OUT_OF_DOMAIN, 0.0, None)
        );
    }

    #[test]
    fn probes_are_compared_seed_by_seed() {
        let fact = [("people", "Ann", "potential", 4)];
        let before = [cell("probe@seed=0", &fact), cell("probe@seed=1", &fact)];
        assert_eq!(
            learnt(&before, &[cell("probed@a=x,seed=1", &fact)], "people").unwrap()[0].wrong_before,
            1
        );
        let error =
            learnt(&before, &[cell("probed@seed=7", &fact)], "people").unwrap_err().to_string();
        assert!(error.starts_with("`probed@seed=7` has no probe in `probes_before`"), "{error}");
    }
}
