//! The store's folder: its layout, opening it, and what it remembers of files.

use std::{
    fs,
    io::ErrorKind,
    path::{Path, PathBuf},
    sync::{Mutex, OnceLock},
};

use super::{
    StoreError, durable, hash,
    lock_kind::{LockReport, Locking},
    memo::Memo,
    roots::Roots,
};
use crate::digest::Digest;

/// Excludes the store from backups (bford.info/cachedir).
pub(super) const TAG: (&str, &str) = (
    "CACHEDIR.TAG",
    "Signature: 8a477f597d28d172789f06886806bc55\n# This folder holds what apeft can compute \
    again.\n",
);
/// Excludes the store from git.
pub(super) const IGNORE: (&str, &str) = (".gitignore", "*\n!README.md\n");

/// Artifacts by key, in a folder.
#[derive(Debug)]
pub struct Store {
    pub(super) root: PathBuf,
    pub(super) memo: Memo,
    /// Whether the store is read-only.
    pub(super) only_looked_at: bool,
    /// Lease of a run: keys that it looked up must not be collected.
    pub(super) roots: Mutex<Option<Roots>>,
    /// How it is locked, once it is.
    locking: OnceLock<Locking>,
}

impl Store {
    /// Opens a store, creating it if missing.
    ///
    /// # Errors
    /// If the folder cannot be created.
    pub fn open(root: &Path) -> Result<Self, StoreError> {
        Self::open_with(root, true)
    }

    /// Opens a store that ignores its memo: every lookup hashes all files.
    ///
    /// # Errors
    /// If the folder cannot be created.
    pub fn open_verifying(root: &Path) -> Result<Self, StoreError> {
        Self::open_with(root, false)
    }

    /// Opens a store read-only: nothing is created or changed, so that a write-protected store
    /// works too.
    ///
    /// # Errors
    /// If the path is not a folder.
    pub fn look(root: &Path, trusted: bool) -> Result<Self, StoreError> {
        let store = Self { only_looked_at: true, ..Self::at(root, trusted)? };
        if fs::metadata(&store.root).is_ok_and(|kind| !kind.is_dir()) {
            return Err(StoreError::io("list", root)(ErrorKind::NotADirectory.into()));
        }
        Ok(store)
    }

    /// Why a folder holds no store. An empty folder is an empty store.
    pub fn none_at(root: &Path) -> Option<String> {
        let kind = match fs::metadata(root) {
            Err(error) if error.kind() == ErrorKind::NotFound => {
                return Some("there is no such folder".to_owned());
            }
            Err(error) => return Some(error.to_string()),
            Ok(kind) => kind,
        };
        if !kind.is_dir() {
            return Some("it is not a folder".to_owned());
        }
        match durable::entries(root) {
            Ok(entries) if entries.is_empty() => None,
            Ok(entries) if entries.iter().any(|(name, _)| is_own(name)) => None,
            Ok(_) => Some("it is not a store, but holds other files".to_owned()),
            Err(error) => Some(error.to_string()),
        }
    }

    fn at(root: &Path, trusted: bool) -> Result<Self, StoreError> {
        let root = std::path::absolute(root).map_err(StoreError::io("find", root))?;
        // The version of the layout stands in the path, so that a later program does not misread
        // it.
        let memo = Memo::new(root.join("v1/memo"), trusted);
        let (roots, locking) = Default::default();
        Ok(Self { root, memo, only_looked_at: false, roots, locking })
    }

    fn open_with(root: &Path, trusted: bool) -> Result<Self, StoreError> {
        let store = Self::at(root, trusted)?;
        // Paths are passed to stages and printed as text.
        if store.root.to_str().is_none() {
            return Err(StoreError::Name(store.root));
        }
        durable::create_folder(&store.root)?;
        for (name, content) in [TAG, IGNORE] {
            let path = store.root.join(name);
            // Not at every opening, of which a run has one for each attempt.
            if !path.exists() {
                durable::replace(&path, content.as_bytes())?;
            }
        }
        // Last, so that a process killed here leaves no partial store.
        for folder in [store.artifacts(), store.locks(), store.work(), store.damaged()] {
            if !folder.is_dir() {
                durable::create_folder(&folder)?;
            }
        }
        Ok(store)
    }

    /// How the store is locked.
    pub fn locking(&self) -> &Locking {
        let tried = self.root.join(TAG.0);
        self.locking.get_or_init(|| Locking::of_store(&self.root, &tried, !self.only_looked_at))
    }

    /// How a store at a path is or would be locked, and whether file locks work there.
    pub fn locks_at(root: &Path) -> LockReport {
        LockReport::of(root, Locking::of_store(root, &root.join(TAG.0), false))
    }

    /// Starts the threads for hashing and computing, which work on a few small files does without.
    ///
    /// # Errors
    /// If the system grants none.
    pub fn ready_threads(&self) -> Result<(), StoreError> {
        hash::ready_threads().map_err(StoreError::io("start threads to read", &self.root))
    }

    /// Folder of the store.
    pub fn root(&self) -> &Path {
        &self.root
    }

    pub(super) fn artifacts(&self) -> PathBuf {
        self.root.join("v1/artifacts")
    }

    pub(super) fn locks(&self) -> PathBuf {
        self.root.join("v1/locks")
    }

    pub(super) fn work(&self) -> PathBuf {
        self.root.join("v1/work")
    }

    pub(super) fn damaged(&self) -> PathBuf {
        self.root.join("v1/damaged")
    }

    pub(super) fn pins(&self) -> PathBuf {
        self.root.join("v1/pins")
    }

    pub(super) fn checks(&self) -> PathBuf {
        self.root.join("v1/checks")
    }

    /// Folder of notes on unfinished uploads.
    pub fn transfers(&self) -> PathBuf {
        self.root.join("v1/transfers")
    }

    /// Folder of the artifact of a key.
    pub fn folder_of(&self, key: &Digest) -> PathBuf {
        let name = key.to_string();
        self.artifacts().join(&name[..2]).join(name)
    }

    /// New digests since the last call, as lines for [`Store::accept`] in the process that saves
    /// the memo.
    pub fn learnt(&self) -> Vec<String> {
        self.memo.learnt()
    }

    /// Adds digests of another process.
    pub fn accept(&self, learnt: &[String]) {
        self.memo.accept(learnt);
    }

    /// Saves new digests unless the store is read-only. A failure is only warned of, since the next
    /// run hashes again.
    pub fn save_memo(&self) {
        if self.only_looked_at || !self.root.join("v1").is_dir() {
            return;
        }
        match self.memo.save() {
            Err(StoreError::Io { cause, .. })
                if matches!(
                    cause.kind(),
                    ErrorKind::ReadOnlyFilesystem | ErrorKind::PermissionDenied
                ) =>
            {
                tracing::debug!("the digests of this run are not remembered: {cause}");
            }
            Err(error) => tracing::warn!("{error}"),
            Ok(()) => {}
        }
    }
}

/// Whether a name in a folder shows that it is a store, if only one that was begun.
fn is_own(name: &str) -> bool {
    name.starts_with(durable::ASIDE) || name == TAG.0 || name == "v1"
}
