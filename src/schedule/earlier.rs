//! Artifacts of earlier runs of a recipe: they explain why a stage runs, and how long cached stages
//! took.

use std::collections::HashMap;

use super::{
    event::AttemptRecord,
    journal::{self, Journal},
};
use crate::{
    digest::Digest,
    plan::{Fingerprint, differences},
    store::Store,
};

/// Maximum number of journals read, newest first.
const ASKED: usize = 16;
/// Maximum total bytes of journals read.
const READ: u64 = 16 << 20;

/// Artifacts named by the newest runs of a recipe.
#[derive(Debug, Default)]
pub(super) struct Earlier {
    /// Key of each stage's last artifact, by stage name.
    keys: HashMap<String, Digest>,
    /// The attempt that made an artifact, by key.
    made: HashMap<Digest, AttemptRecord>,
}

impl Earlier {
    /// Reads the journals of the newest earlier runs; unreadable ones are ignored.
    pub(super) fn read(journal: &Journal) -> Self {
        let mut earlier = Self::default();
        let mut read = 0;
        for run in journal::siblings(&journal.folder).into_iter().take(ASKED) {
            if read > READ {
                break;
            }
            read += journal::size(&run);
            let told = journal::each_artifact(&run, |stage, key, made| {
                let Ok(key) = key.parse::<Digest>() else { return };
                // Newest run first: what is known already is newer.
                earlier.keys.entry(stage).or_insert(key);
                earlier.made.entry(key).or_default().complete(made);
            });
            if let Err(error) = told {
                tracing::debug!("{}: {error}", run.display());
            }
        }
        earlier
    }

    /// The attempt that made an artifact, as far as earlier runs recorded it.
    pub(super) fn made(&self, key: &Digest) -> AttemptRecord {
        self.made.get(key).cloned().unwrap_or_default()
    }

    /// Differences from the stage's last artifact, if it is still in the store.
    pub(super) fn differences(
        &self,
        store: &Store,
        stage: &str,
        wanted: &Fingerprint,
    ) -> Option<Vec<String>> {
        let record = store.record(self.keys.get(stage)?)?;
        let last: Fingerprint = serde_json::from_value(record).ok()?;
        let found = differences(&last, wanted);
        (!found.is_empty()).then_some(found)
    }
}
