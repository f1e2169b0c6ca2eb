//! What earlier runs of a recipe made or found: from it follows why a stage runs, and how long it took to make what is there.

use std::collections::BTreeMap;

use super::journal::{self, Journal};
use crate::{
    digest::Digest,
    plan::{Fingerprint, differences},
    store::Store,
};

/// At most so many of the newest runs are asked, lest a recipe become slower with each of its runs.
const ASKED: usize = 16;
/// And no more of them once so many bytes of their journals were read.
const READ: u64 = 16 << 20;

/// What the newest runs of a recipe said of their artifacts.
#[derive(Debug, Default)]
pub(super) struct Earlier {
    /// The key of each stage's last artifact, by the stage's name.
    keys: BTreeMap<String, Digest>,
    /// How long an attempt took, by the key of what it made.
    seconds: BTreeMap<Digest, f64>,
}

impl Earlier {
    /// Reads the journals of the newest runs before this one; what cannot be read is left out.
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

    /// How long the attempt took that made an artifact, where an earlier run knows.
    pub(super) fn seconds(&self, key: &Digest) -> Option<f64> {
        self.seconds.get(key).copied()
    }

    /// What differs from the stage's last artifact; nothing where it had none, or the store has it no more.
    pub(super) fn differences(&self, store: &Store, stage: &str, wanted: &Fingerprint) -> Option<Vec<String>> {
        let record = store.record(self.keys.get(stage)?)?;
        let last: Fingerprint = serde_json::from_value(record).ok()?;
        let found = differences(&last, wanted);
        (!found.is_empty()).then_some(found)
    }
}
