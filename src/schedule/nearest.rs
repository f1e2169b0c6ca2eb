//! Why a stage runs: what differs from the artifact that is nearest to what it would leave.

use std::{collections::BTreeMap, hash::BuildHasher};

use serde_json::Value;

use crate::{
    plan::{Fingerprint, differences},
    store::Store,
};

/// Of a kind's artifacts at most so many are compared field by field, the newest first.
const COMPARED: usize = 50;

/// So many of the newest artifacts are looked at for the reason why a stage runs, lest a large store delay the first stage.
pub(super) const LOOKED_AT: usize = 1000;

/// The fingerprints of all artifacts, arranged so that those which differ in one field are found at once.
#[derive(Debug, Default)]
pub(super) struct Nearest {
    known: Vec<Fingerprint>,
    by_kind: BTreeMap<String, Vec<usize>>,
    /// By the sum of the hashes of all fields but one.
    all_but_one: BTreeMap<u64, usize>,
}

impl Nearest {
    /// The fingerprints of the newest artifacts of a store, at most `most`; what cannot be read is passed over.
    pub(super) fn read(store: &Store, most: usize) -> Self {
        Self::arrange(store.newest_records(most).into_iter().filter_map(|record| serde_json::from_value(record).ok()))
    }

    /// Arranges fingerprints, the newest first.
    fn arrange(found: impl Iterator<Item = Fingerprint>) -> Self {
        let mut nearest = Self::default();
        for (index, fingerprint) in found.enumerate() {
            let hashes = hashes(&fingerprint);
            let sum = sum(&hashes);
            for hash in hashes {
                nearest.all_but_one.entry(sum.wrapping_sub(hash)).or_insert(index);
            }
            nearest.by_kind.entry(fingerprint.kind.clone()).or_default().push(index);
            nearest.known.push(fingerprint);
        }
        nearest
    }

    /// What differs from the nearest artifact of the same kind; nothing where no artifact is near, which is one that shares
    /// at least half of its fields.
    pub(super) fn differences(&self, wanted: &Fingerprint) -> Option<Vec<String>> {
        let wanted_hashes = hashes(wanted);
        let sum = sum(&wanted_hashes);
        // Where only the kind differs, another kind would be found.
        let of_kind = |index: &&usize| self.known[**index].kind == wanted.kind;
        let by_one =
            wanted_hashes.iter().find_map(|hash| self.all_but_one.get(&sum.wrapping_sub(*hash)).filter(of_kind));
        let near = by_one.copied().or_else(|| {
            let same = self.by_kind.get(&wanted.kind)?.iter().take(COMPARED);
            let shared =
                |index: &usize| hashes(&self.known[*index]).iter().filter(|hash| wanted_hashes.contains(hash)).count();
            let (most, index) = same.map(|index| (shared(index), index)).rev().max_by_key(|(shared, _)| *shared)?;
            (most * 2 >= wanted_hashes.len()).then_some(*index)
        })?;
        let found = differences(&self.known[near], wanted);
        (!found.is_empty()).then_some(found)
    }
}

/// A hash of each field with its name; they only serve to compare within one process.
fn hashes(fingerprint: &Fingerprint) -> Vec<u64> {
    let record = serde_json::to_value(fingerprint).expect("plain data can be written");
    let mut fields = Vec::new();
    flatten("", &record, &mut fields);
    let hasher = std::hash::BuildHasherDefault::<std::hash::DefaultHasher>::default();
    fields.iter().map(|field| hasher.hash_one(field)).collect()
}

fn flatten(name: &str, value: &Value, fields: &mut Vec<(String, String)>) {
    match value {
        Value::Object(table) => table.iter().for_each(|(key, value)| flatten(&format!("{name}.{key}"), value, fields)),
        Value::Array(list) if name == ".inputs" => {
            list.iter()
                .enumerate()
                .for_each(|(index, value)| fields.push((format!("{name}.{index}"), value.to_string())));
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
        // The one that differs in one field is the oldest, far behind those that are compared field by field.
        let nearest = Nearest::arrange(many.chain(known));
        assert_eq!(nearest.differences(&fingerprint("tune", 0.2, 100, 0)).unwrap(), ["`beta` 0.1 -> 0.2"]);
        assert_eq!(nearest.differences(&fingerprint("mine", 0.2, 100, 0)), None);
        let two = nearest.differences(&fingerprint("tune", 0.5, 10, 1)).unwrap();
        assert_eq!(two.len(), 2, "{two:?}");
    }

    #[test]
    fn without_artifacts_nothing_is_near() {
        assert_eq!(Nearest::arrange(std::iter::empty()).differences(&fingerprint("tune", 0.1, 1, 0)), None);
    }
}
