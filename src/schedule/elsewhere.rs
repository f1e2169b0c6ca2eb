//! Artifacts that another store has: a run copies them in place of making them.

use std::{cell::OnceCell, collections::BTreeSet};

use crate::{
    digest::Digest,
    remote::{Remote, RemoteAddress, RemoteError},
    store::{Lock, Store},
};

/// Another store that a run looks in, if one is named.
pub(super) struct Elsewhere {
    pub(super) address: Option<RemoteAddress>,
    /// What it has, listed at the first question: one request for a thousand stages.
    keys: OnceCell<BTreeSet<Digest>>,
}

impl Elsewhere {
    pub(super) fn new(address: Option<RemoteAddress>) -> Self {
        Self { address, keys: OnceCell::new() }
    }

    /// Whether the other store has an artifact. One that cannot be read has none, as a warning
    /// says.
    pub(super) fn has(&self, key: &Digest) -> bool {
        let Some(address) = &self.address else { return false };
        let keys = self.keys.get_or_init(|| {
            let listed = Remote::open(address, false).and_then(|remote| remote.keys());
            // A run must not depend on a server: what it cannot copy it makes.
            listed.unwrap_or_else(|error| {
                tracing::warn!("the remote store {} is not used: {error}", address.url);
                BTreeSet::new()
            })
        });
        keys.contains(key)
    }
}

/// Copies an artifact under the lock of its key; returns what was done in words.
///
/// # Errors
/// If the other store lacks it by now, or it does not arrive whole.
pub(super) fn pull(address: &RemoteAddress, store: &Store, lock: &Lock) -> Result<String, String> {
    let pulled = Remote::open(address, false).and_then(|remote| remote.pull(store, lock));
    let found = pulled.and_then(|pulled| pulled.ok_or(RemoteError::Absent));
    match found {
        Ok((_, bytes)) => Ok(format!("copied from {}: {bytes} bytes", address.url)),
        Err(error) => Err(format!("it was not copied from {}: {error}", address.url)),
    }
}
