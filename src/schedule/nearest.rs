//! Explains why a stage runs by the differences from the most similar artifact.

use std::{collections::BTreeMap, hash::BuildHasher};

use serde_json::Value;

use crate::{
    plan::{Fingerprint, differences},
    store::Store,
};

/// Maximum number of artifacts of a kind that are compared field by field, newest first.
const COMPARED: usize = 50;

/// Maximum number of artifacts that are read for the reason, so that a large store does not delay
/// the first stage.
pub(super) const LOOKED_AT: usize = 1000;

/// The same for `apeft explain`, which a person waits for.
pub(super) const EXPLAINED_BY: usize = 10_000;

/// Fingerprints of all artifacts, indexed to find those that differ in one field.
#[derive(Debug, Default)]
pub(super) struct Nearest {
    known: Vec<Fingerprint>,
    by_kind: BTreeMap<String, Vec<usize>>,
    /// By the sum of the hashes of all fields but one.
    all_but_one: BTreeMap<u64, usize>,
}

impl Nearest {
    /// Fingerprints of at most `most` newest artifacts of a store; unreadable ones are skipped.
    pub(super) fn read(store: &Store, most: usize) -> Self {
        Self::arrange(
            store
                .newest_records(most)
                .into_iter()
                .filter_map(|record| serde_json::from_value(record).ok()),
        )
    }

    /// Indexes fingerprints, given newest first.
    fn arrange(found: impl Iterator<Item = Fingerprint>) -> Self {
        let mut nearest = Self::default();
        for (index, fingerprint) in found.enumerate() {
            let hashes = hashes(&fingerprint);
            let sum = sum(&hashes);
            // A sum does not depend on the order of fields, so that one can be taken out of it.
            for hash in hashes {
                nearest.all_but_one.entry(sum.wrapping_sub(hash)).or_insert(index);
            }
            nearest.by_kind.entry(fingerprint.kind.clone()).or_default().push(index);
            nearest.known.push(fingerprint);
        }
        nearest
    }

    /// Differences from the most similar artifact of the same kind; none unless it shares at least
    /// half of the fields.
    pub(super) fn differences(&self, wanted: &Fingerprint) -> Option<Vec<String>> {
        let wanted_hashes = hashes(wanted);
        let sum = sum(&wanted_hashes);
        let by_one = wanted_hashes.iter().find_map(|hash| {
            let known = &self.known[*self.all_but_one.get(&sum.wrapping_sub(*hash))?];
            // If only the kind differs, another kind would match.
            (known.kind == wanted.kind).then_some(known)
        });
        let near = by_one.or_else(|| self.most_shared(&wanted.kind, &wanted_hashes))?;
        let found = differences(near, wanted);
        (!found.is_empty()).then_some(found)
    }

    /// The artifact of a kind that shares most fields, if at least half of them.
    fn most_shared(&self, kind: &str, wanted: &[u64]) -> Option<&Fingerprint> {
        let same = self.by_kind.get(kind)?.iter().take(COMPARED).map(|index| &self.known[*index]);
        let counted = same.map(|known| {
            (hashes(known).iter().filter(|hash| wanted.contains(hash)).count(), known)
        });
        // Reversed, since `max_by_key` takes the last of equals and the first is the newest.
        let (most, known) = counted.rev().max_by_key(|(shared, _)| *shared)?;
        (most * 2 >= wanted.len()).then_some(known)
    }
}

/// A hash of each field with its name, for comparisons within one process.
fn hashes(fingerprint: &Fingerprint) -> Vec<u64> {
    let record = serde_json::to_value(fingerprint).expect("plain data can be written");
    let mut fields = Vec::new();
    flatten("", &record, &mut fields);
    let hasher = std::hash::BuildHasherDefault::<std::hash::DefaultHasher>::default();
    fields.iter().map(|field| hasher.hash_one(field)).collect()
}

fn flatten(name: &str, value: &Value, fields: &mut Vec<(String, String)>) {
    match value {
        Value::Object(table) => {
            table.iter().for_each(|(key, value)| flatten(&format!("{name}.{key}"), value, fields))
        }
        // An input with another digest and extension differs in one field.
        Value::Array(list) if name == ".inputs" => {
            list.iter().enumerate().for_each(|(index, value)| {
                fields.push((format!("{name}.{index}"), value.to_string()))
            });
        }
        value => fields.push((name.to_owned(), value.to_string())),
    }
}

fn sum(hashes: &[u64]) -> u64 {
    hashes.iter().fold(0, |sum, hash| sum.wrapping_add(*hash))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn fingerprint(kind: &str, beta: f64, steps: u64, seed: u64) -> Fingerprint {
        let record = json!({
            "schema": 1, "kind": kind, "version": 1, "seed": seed,
            "parameters": {"beta": beta, "steps": steps, "loss": "dpo"}, "inputs": [],
        });
        serde_json::from_value(record).unwrap()
    }

    #[test]
    fn the_nearest_is_of_the_same_kind_and_differs_in_least() {
        let many = (0..500).map(|steps| fingerprint("tune", 0.5, 1000 + steps, 7));
        let known = [fingerprint("tune", 0.1, 100, 0), fingerprint("probe", 0.2, 100, 0)];
        // The artifact that differs in one field is older than all that are compared field by
        // field.
        let nearest = Nearest::arrange(many.chain(known));
        assert_eq!(
            nearest.differences(&fingerprint("tune", 0.2, 100, 0)).unwrap(),
            ["`beta` 0.1 -> 0.2"]
        );
        assert_eq!(nearest.differences(&fingerprint("mine", 0.2, 100, 0)), None);
        let two = nearest.differences(&fingerprint("tune", 0.5, 10, 1)).unwrap();
        assert_eq!(two.len(), 2, "{two:?}");
    }

    #[test]
    fn without_artifacts_nothing_is_near() {
        assert_eq!(
            Nearest::arrange(std::iter::empty()).differences(&fingerprint("tune", 0.1, 1, 0)),
            None
        );
    }
}
