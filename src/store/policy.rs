//! Policies of a collection: which removable artifacts stay, by age and by size of the store.

use std::{
    path::Path,
    time::{Duration, SystemTime},
};

use super::{Collection, GcCandidate};

/// Limits of a collection; by default it removes all that no root needs.
#[derive(Clone, Copy, Debug, Default)]
pub struct Policy {
    /// Younger artifacts stay, by their last use.
    pub older_than: Option<Duration>,
    /// Artifacts stay while all of them together have at most this many bytes, the last used
    /// first.
    pub keep_bytes: Option<u64>,
}

impl Policy {
    /// Takes out the candidates that stay. `artifacts` is the folder of artifacts, and `total` the
    /// bytes in it.
    pub(super) fn apply(&self, collection: &mut Collection, artifacts: &Path, total: u64) {
        let now = SystemTime::now();
        let mut candidates = std::mem::take(&mut collection.candidates);
        // Those that were used longest ago go first; what has no date is of no use to anybody.
        candidates.sort_by_key(|candidate| candidate.last_used);
        let mut remaining = total;
        for candidate in candidates {
            if self.spares(&candidate, now, remaining) {
                collection.spared += 1;
                collection.spared_bytes += candidate.bytes;
                continue;
            }
            if candidate.path.starts_with(artifacts) {
                remaining = remaining.saturating_sub(candidate.bytes);
            }
            collection.candidates.push(candidate);
        }
        collection.remaining = remaining;
    }

    fn spares(&self, candidate: &GcCandidate, now: SystemTime, remaining: u64) -> bool {
        let Some(used) = candidate.last_used else { return false };
        // A time of the future is no age.
        let age = now.duration_since(used).unwrap_or_default();
        self.older_than.is_some_and(|oldest| age < oldest)
            || self.keep_bytes.is_some_and(|most| remaining <= most)
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;

    const DAY: Duration = Duration::from_secs(86_400);

    /// What a policy removes of three artifacts of 10 bytes, used 1, 2 and 3 days ago, and of a
    /// quarantined one.
    fn removed(policy: Policy) -> String {
        let now = SystemTime::now();
        let candidate = |name: &str, days: Option<u32>| GcCandidate {
            last_used: days.map(|days| now - DAY * days),
            ..GcCandidate::example(PathBuf::from(name), 10)
        };
        let mut collection = Collection {
            candidates: vec![
                candidate("store/a1", Some(1)),
                candidate("store/a3", Some(3)),
                candidate("damaged/d", None),
                candidate("store/a2", Some(2)),
            ],
            ..Collection::default()
        };
        policy.apply(&mut collection, Path::new("store"), 50);
        let names = collection.candidates.iter().map(|left| left.path.display().to_string());
        format!("{} of {}", names.collect::<Vec<_>>().join(" "), collection.remaining)
    }

    #[test]
    fn age_and_size_spare_what_was_used_last() {
        let all = "damaged/d store/a3 store/a2 store/a1 of 20";
        assert_eq!(removed(Policy::default()), all);
        let older = |days| Policy { older_than: Some(DAY * days), keep_bytes: None };
        assert_eq!(removed(older(2)), "damaged/d store/a3 store/a2 of 30");
        assert_eq!(removed(older(9)), "damaged/d of 50");
        let keep = |bytes| Policy { older_than: None, keep_bytes: Some(bytes) };
        assert_eq!(removed(keep(50)), "damaged/d of 50");
        assert_eq!(removed(keep(49)), "damaged/d store/a3 of 40");
        assert_eq!(removed(keep(0)), all);
        // Both: what either spares stays.
        let both = Policy { older_than: Some(DAY * 3), keep_bytes: Some(0) };
        assert_eq!(removed(both), "damaged/d store/a3 of 40");
    }
}
