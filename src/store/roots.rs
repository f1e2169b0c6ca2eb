//! The keys that a run has looked up, and its place at the gate of lookups.

use std::{collections::BTreeSet, fs::File, io::Write, path::PathBuf};

use super::StoreError;
use crate::digest::Digest;

/// Keys looked up by a run.
#[derive(Debug)]
pub(super) struct Roots {
    /// Locked while the run lives.
    file: File,
    pub(super) path: PathBuf,
    gate: File,
    written: BTreeSet<Digest>,
    /// Number of concurrent lookups; the first one enters the gate and the last one leaves it.
    looks: usize,
    /// A key could not be recorded: the gate stays held to the end of the run, which prevents
    /// collections.
    blocks: bool,
}

impl Roots {
    /// The roots of a run with its locked file and its gate.
    pub(super) fn new(file: File, path: PathBuf, gate: File) -> Self {
        Self { file, path, gate, written: BTreeSet::new(), looks: 0, blocks: false }
    }

    /// Enters the gate and records a key.
    pub(super) fn begin_look(&mut self, key: &Digest) -> Result<(), StoreError> {
        // The lock belongs to the open file: only the first of several threads takes it.
        if self.looks == 0 && !self.blocks {
            self.gate.lock_shared().map_err(StoreError::io("lock", &self.path))?;
        }
        self.looks += 1;
        // Before the lookup: a collection that follows it must find the key recorded.
        if self.written.insert(*key)
            && let Err(error) = self.file.write_all(format!("{key}\n").as_bytes())
            && !self.blocks
        {
            tracing::warn!(
                "`cache gc` must wait for the end of this run, since its keys cannot be \
                recorded: {error}"
            );
            self.blocks = true;
        }
        Ok(())
    }

    /// Leaves the gate, unless another lookup is in progress.
    pub(super) fn end_look(&mut self) {
        self.looks -= 1;
        if self.looks == 0
            && !self.blocks
            && let Err(error) = self.gate.unlock()
        {
            tracing::warn!("`cache gc` must wait for the end of this run: {error}");
        }
    }
}
