//! Whether an id of a file is new, in 8 bytes of each group of ids.

use std::{
    collections::HashSet,
    hash::{BuildHasher, BuildHasherDefault, DefaultHasher},
};

/// The hash that ids and keys are compared by; where two agree, the ids themselves are compared.
pub(super) fn hash_of<K: std::hash::Hash + ?Sized>(key: &K) -> u64 {
    BuildHasherDefault::<DefaultHasher>::default().hash_one(key)
}

/// Longest number at the end of an id; all numbers of this length fit 64 bits.
const LONGEST_NUMBER: usize = 18;

/// The ids of a file so far. As stages write them, ids are numbered in ascending order behind a
/// common stem (`p#0/0`, `p#0/1`), of which only the stem is remembered.
pub(super) struct UniqueIds {
    /// Hashes of stems, or of whole ids.
    seen: HashSet<u64, BuildHasherDefault<DefaultHasher>>,
    /// Stem and number of the last id, if it was numbered.
    last: Option<(String, u64)>,
    by_stem: bool,
}

impl UniqueIds {
    /// Ids in groups, until one is in another order.
    pub(super) fn of_groups() -> Self {
        Self { seen: HashSet::default(), last: None, by_stem: true }
    }

    /// Ids in any order, of which each is remembered.
    pub(super) fn of_all() -> Self {
        Self { by_stem: false, ..Self::of_groups() }
    }

    /// Whether stems are remembered, so that an id may seem to be known that is in another order
    /// only.
    pub(super) fn is_by_stem(&self) -> bool {
        self.by_stem
    }

    /// Remembers an id; whether it is surely new.
    pub(super) fn add(&mut self, id: &str) -> bool {
        if !self.by_stem {
            return self.seen.insert(hash_of(id));
        }
        // What kind of id it is is hashed too: `a` is another id than the stem of `a1`.
        let Some((stem, number)) = numbered(id) else {
            self.last = None;
            return self.seen.insert(hash_of(&(id, false)));
        };
        match &mut self.last {
            // Ascending numbers behind one stem are different ids.
            Some((last, before)) if last == stem && *before < number => {
                *before = number;
                true
            }
            last => {
                *last = Some((stem.to_owned(), number));
                self.seen.insert(hash_of(&(stem, true)))
            }
        }
    }
}

/// An id up to the number at its end, and this number; none without one that has a single
/// spelling: `a1` and `a01` are different ids.
fn numbered(id: &str) -> Option<(&str, u64)> {
    let stem = id.trim_end_matches(|letter: char| letter.is_ascii_digit());
    let digits = &id[stem.len()..];
    let has_zero = digits.len() > 1 && digits.starts_with('0');
    let number = (digits.len() <= LONGEST_NUMBER && !has_zero).then(|| digits.parse().ok());
    Some((stem, number.flatten()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Number of hashes that are kept of these ids, which are all new.
    fn kept(ids: impl Iterator<Item = String>) -> usize {
        let mut known = UniqueIds::of_groups();
        ids.for_each(|id| assert!(known.add(&id), "{id}"));
        known.seen.len()
    }

    #[test]
    fn numbered_ids_take_the_memory_of_their_groups() {
        let claims = |response: usize| (0..500).map(move |claim| format!("p#{response}/{claim}"));
        assert_eq!(kept((0..20).flat_map(claims)), 20);
        assert_eq!(kept((0..1000).map(|sample| format!("p#{sample}"))), 1);
        assert_eq!(kept(["a", "b", "a1", "a01", "a1x", ""].map(str::to_owned).into_iter()), 6);
    }

    #[test]
    fn ids_that_may_be_known_are_never_called_new() {
        for (before, id) in [
            (&["a#0", "a#1"][..], "a#1"),
            (&["a#0", "b#0"], "a#0"),
            (&["a#0", "b#0"], "a#1"),
            (&["a", "b"], "a"),
            (&["a#7"], "a#2"),
            (&["7"], "7"),
        ] {
            let mut known = UniqueIds::of_groups();
            before.iter().for_each(|id| assert!(known.add(id), "{id}"));
            assert!(!known.add(id), "{id} after {before:?}");
        }
        let mut all = UniqueIds::of_all();
        assert!(all.add("a#1") && all.add("a#0") && !all.add("a#1") && !all.is_by_stem());
    }

    #[test]
    fn only_numbers_of_one_spelling_are_numbers() {
        assert_eq!(numbered("a#12"), Some(("a#", 12)));
        assert_eq!(numbered("0"), Some(("", 0)));
        for id in ["a", "", "a00", "a01", "a1234567890123456789", "a\u{661}"] {
            assert_eq!(numbered(id), None, "{id}");
        }
    }
}
