//! Artifacts of earlier runs of a recipe: they explain why a stage runs, and how long cached stages
//! took.

use std::collections::BTreeMap;

use super::journal::{self, Journal};
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
    keys: BTreeMap<String, Digest>,
    /// Seconds of the attempt that made an artifact, by key.
    seconds: BTreeMap<Digest, f64>,
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
            let told = journal::each_artifact(&run, |stage, key, seconds| {
                let Ok(key) = key.parse::<Digest>() else { return };
                // Newest run first: what is known already is newer.
                earlier.keys.entry(stage).or_insert(key);
                if let Some(seconds) = seconds {
                    earlier.seconds.entry(key).or_insert(seconds);
                }
            });
            if let Err(error) = told {
                tracing::debug!("{}: {error}", run.display());
            }
        }
        earlier
    }

    /// Seconds of the attempt that made an artifact, if an earlier run recorded them.
    pub(super) fn seconds(&self, key: &Digest) -> Option<f64> {
        self.seconds.get(key).copied()
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
