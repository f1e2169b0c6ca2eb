//! The keys that a run has looked up, and its place at the gate of lookups.

use std::{collections::HashSet, fs::File, io::Write, path::PathBuf};

use super::{FileLock, StoreError, gate::Gate};
use crate::digest::Digest;

/// Maximum number of lookups at one passage of the gate, so that a collection can begin between.
const MOST_AT_ONCE: usize = 1000;

/// Keys looked up by a run.
#[derive(Debug)]
pub(super) struct Roots {
    file: File,
    /// Held while the run lives.
    _lock: FileLock,
    pub(super) path: PathBuf,
    gate: Gate,
    pinned: HashSet<Digest>,
    /// Lines of keys that are to be recorded before the gate is left.
    unwritten: String,
    /// Whether it is inside the gate.
    is_inside: bool,
    /// Number of concurrent lookups; the last one leaves the gate.
    looks: usize,
    /// Whether lookups that follow find it inside the gate.
    stays: bool,
    /// Number of lookups since it entered the gate.
    since_entry: usize,
    /// A key could not be recorded: the gate stays held to the end of the run, which prevents
    /// collections.
    blocks: bool,
}

impl Roots {
    /// The roots of a run with its locked file and its gate.
    pub(super) fn new((file, lock): (File, FileLock), path: PathBuf, gate: Gate) -> Self {
        Self {
            file,
            _lock: lock,
            path,
            gate,
            pinned: HashSet::new(),
            unwritten: String::new(),
            is_inside: false,
            looks: 0,
            stays: false,
            since_entry: 0,
            blocks: false,
        }
    }

    /// Enters the gate and pins a key.
    pub(super) fn begin_look(&mut self, key: &Digest) -> Result<(), StoreError> {
        // The lock belongs to the open file: only the first of several threads takes it.
        if !self.is_inside {
            self.gate.enter(|| ())?;
            (self.is_inside, self.since_entry) = (true, 0);
        }
        (self.looks, self.since_entry) = (self.looks + 1, self.since_entry + 1);
        if self.pinned.insert(*key) {
            self.unwritten.push_str(&format!("{key}\n"));
        }
        Ok(())
    }

    /// Ends a lookup, and leaves the gate unless others are in progress or follow at once.
    pub(super) fn end_look(&mut self) {
        self.looks -= 1;
        if !self.stays || self.since_entry >= MOST_AT_ONCE {
            self.leave();
        }
    }

    /// Whether the gate is kept after a lookup, for others that follow at once.
    pub(super) fn stay(&mut self, stays: bool) {
        self.stays = stays;
        if !stays {
            self.leave();
        }
    }

    /// Records the keys and leaves the gate, unless a lookup is in progress.
    pub(super) fn leave(&mut self) {
        if self.looks > 0 || !self.is_inside {
            return;
        }
        // Before the gate opens: a collection that follows must find the keys recorded.
        let lines = std::mem::take(&mut self.unwritten);
        if let Err(error) = self.file.write_all(lines.as_bytes())
            && !self.blocks
        {
            tracing::warn!(
                "`cache gc` must wait for the end of this run, since its keys cannot be \
                recorded: {error}"
            );
            self.blocks = true;
        }
        if self.blocks {
            return;
        }
        self.is_inside = false;
        if let Err(error) = self.gate.leave() {
            tracing::warn!("`cache gc` must wait for the end of this run: {error}");
        }
    }
}
