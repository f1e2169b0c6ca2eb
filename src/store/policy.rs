//! Policies of a collection: which removable artifacts stay, by age and by size of the store.

use std::time::{Duration, SystemTime};

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
    /// Whether an artifact stays that was last used then, with this many bytes in the store.
    pub(super) fn spares(&self, used: SystemTime, now: SystemTime, remaining: u64) -> bool {
        // A time of the future is no age.
        let age = now.duration_since(used).unwrap_or_default();
        // Either suffices: a policy only ever spares more than the roots do.
        self.older_than.is_some_and(|oldest| age < oldest)
            || self.keep_bytes.is_some_and(|most| remaining <= most)
    }
}
