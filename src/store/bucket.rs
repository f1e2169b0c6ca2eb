//! The store itself: where everything lies, and looking up what is there.

use std::{
    fs,
    io::ErrorKind,
    path::{Path, PathBuf},
    time::{SystemTime, UNIX_EPOCH},
};

use serde_json::Value;

use super::{
    Lock, StoreError, durable, hash,
    manifest::{MANIFEST, Manifest},
    memo::Memo,
};
use crate::digest::Digest;

/// Tells backup programs to pass over the store (bford.info/cachedir).
pub(super) const TAG: (&str, &str) = (
    "CACHEDIR.TAG",
    "Signature: 8a477f597d28d172789f06886806bc55\n# This folder holds what apeft can compute again.\n",
);
/// Tells git to pass over it, but for a note on what it is.
pub(super) const IGNORE: (&str, &str) = (".gitignore", "*\n!README.md\n");
/// The name of the struct whose hash is the key, beside the files.
pub(super) const RECORD: &str = "key.json";
/// The folder of an artifact's own files.
pub(super) const FILES: &str = "files";

/// Artifacts by key, in a folder.
#[derive(Debug)]
pub struct Store {
    pub(super) root: PathBuf,
    pub(super) memo: Memo,
}

/// What a stage left: a sealed folder of ordinary files.
#[derive(Clone, Debug)]
pub struct Artifact {
    /// Its key.
    pub key: Digest,
    /// The folder with manifest, key and files.
    folder: PathBuf,
    manifest: Manifest,
}

/// What is known of a key.
#[derive(Debug)]
pub enum Lookup {
    /// The artifact, checked against its manifest.
    Found(Artifact),
    /// There is none.
    Absent,
    /// There was one that did not match its manifest.
    Damaged {
        /// What did not match.
        problem: String,
        /// Where it lies now.
        moved_to: PathBuf,
    },
}

impl Store {
    /// Opens a store, and makes one where there is none.
    ///
    /// # Errors
    /// Where the folder cannot be made.
    pub fn open(root: &Path) -> Result<Self, StoreError> {
        Self::open_with(root, true)
    }

    /// Opens a store whose memo is not trusted: every hit is hashed anew.
    ///
    /// # Errors
    /// Where the folder cannot be made.
    pub fn open_distrustful(root: &Path) -> Result<Self, StoreError> {
        Self::open_with(root, false)
    }

    fn open_with(root: &Path, trusted: bool) -> Result<Self, StoreError> {
        let root = std::path::absolute(root).map_err(StoreError::io("find", root))?;
        let memo = Memo::new(root.join("v1/memo"), trusted);
        let store = Self { root, memo };
        hash::ready_threads().map_err(StoreError::io("start threads to read", &store.root))?;
        for folder in [store.artifacts(), store.locks(), store.work(), store.damaged()] {
            if !folder.is_dir() {
                durable::create_folder(&folder)?;
            }
        }
        for (name, content) in [TAG, IGNORE] {
            let path = store.root.join(name);
            if !path.exists() {
                durable::replace(&path, content.as_bytes())?;
            }
        }
        Ok(store)
    }

    /// The folder of the store.
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

    /// Where the artifact of a key lies, or would lie.
    pub fn folder_of(&self, key: &Digest) -> PathBuf {
        let name = key.to_string();
        self.artifacts().join(&name[..2]).join(name)
    }

    /// Looks for the artifact of a key and checks it; one that does not match its manifest is moved aside.
    ///
    /// # Errors
    /// Where a damaged one cannot be moved aside.
    pub fn find(&self, key: &Digest) -> Result<Lookup, StoreError> {
        let problem = match self.examine(key) {
            Examined::Whole(artifact) => return Ok(Lookup::Found(artifact)),
            Examined::Absent => return Ok(Lookup::Absent),
            Examined::Damaged(problem) => problem,
        };
        // Whoever holds the lock looks for himself and makes it anew.
        let Some(lock) = self.try_lock(key)? else { return Ok(Lookup::Absent) };
        self.find_locked(&lock).map(|lookup| match lookup {
            Lookup::Absent => Lookup::Damaged { problem, moved_to: self.damaged() },
            lookup => lookup,
        })
    }

    /// The same for who holds the lock of the key.
    ///
    /// # Errors
    /// Where a damaged one cannot be moved aside.
    pub fn find_locked(&self, lock: &Lock) -> Result<Lookup, StoreError> {
        match self.examine(&lock.key) {
            Examined::Whole(artifact) => Ok(Lookup::Found(artifact)),
            Examined::Absent => Ok(Lookup::Absent),
            Examined::Damaged(problem) => Ok(Lookup::Damaged { problem, moved_to: self.set_aside(lock)? }),
        }
    }

    /// Moves the artifact of a key aside, so that it is made again.
    ///
    /// # Errors
    /// Where it cannot be moved.
    pub fn set_aside(&self, lock: &Lock) -> Result<PathBuf, StoreError> {
        let seconds = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
        let name = format!("{}-{seconds}", lock.key);
        let target = (0..)
            .map(|count| self.damaged().join(if count == 0 { name.clone() } else { format!("{name}-{count}") }))
            .find(|path| !path.exists())
            .expect("numbers do not run out");
        let folder = self.folder_of(&lock.key);
        fs::rename(&folder, &target).map_err(StoreError::io("move aside", &folder))?;
        durable::sync(&self.damaged())?;
        Ok(target)
    }

    /// All artifacts in the order of their keys, unchecked; what has no right manifest is left out.
    ///
    /// # Errors
    /// Where the store cannot be listed.
    pub fn list(&self) -> Result<Vec<Artifact>, StoreError> {
        let mut artifacts = Vec::new();
        for key in self.keys()? {
            let folder = self.folder_of(&key);
            if let Ok(manifest) = Manifest::read(&folder, Some(key)) {
                artifacts.push(Artifact { key, folder, manifest });
            }
        }
        Ok(artifacts)
    }

    /// The keys of all folders that stand where artifacts stand.
    pub(super) fn keys(&self) -> Result<Vec<Digest>, StoreError> {
        let mut keys = Vec::new();
        for (_, shelf) in durable::entries(&self.artifacts())? {
            if shelf.is_dir() {
                keys.extend(durable::entries(&shelf)?.iter().filter_map(|(name, _)| name.parse::<Digest>().ok()));
            }
        }
        Ok(keys)
    }

    /// What was hashed since the last call, as lines for [`Store::accept`] in the process that keeps the memo.
    pub fn learnt(&self) -> Vec<String> {
        self.memo.learnt()
    }

    /// Takes over what another process hashed.
    pub fn accept(&self, learnt: &[String]) {
        self.memo.accept(learnt);
    }

    /// Saves what was hashed; without it the next run hashes again, so that a failure is only worth a warning.
    pub fn save_memo(&self) {
        if let Err(error) = self.memo.save() {
            tracing::warn!("{error}");
        }
    }

    fn examine(&self, key: &Digest) -> Examined {
        let folder = self.folder_of(key);
        let manifest = match Manifest::read(&folder, Some(*key)) {
            Ok(manifest) => manifest,
            Err(_) if fs::metadata(&folder).is_err_and(|error| error.kind() == ErrorKind::NotFound) => {
                return Examined::Absent;
            }
            Err(problem) => return Examined::Damaged(problem),
        };
        match manifest.check(&folder, Some(&self.memo)) {
            Ok(()) => Examined::Whole(Artifact { key: *key, folder, manifest }),
            Err(problem) => Examined::Damaged(problem),
        }
    }
}

enum Examined {
    Whole(Artifact),
    Absent,
    Damaged(String),
}

impl Artifact {
    pub(super) fn new(key: Digest, folder: PathBuf, manifest: Manifest) -> Self {
        Self { key, folder, manifest }
    }

    /// The folder of its files.
    pub fn files(&self) -> PathBuf {
        self.folder.join(FILES)
    }

    /// The digest of the names and contents of those files that match one of the patterns.
    pub fn digest_of(&self, patterns: &[&str]) -> Digest {
        let files = self.manifest.files.iter().filter_map(|entry| {
            let name = entry.path.strip_prefix(FILES)?.strip_prefix('/')?;
            hash::matches(patterns, name).then_some((name, entry.digest))
        });
        hash::digest_list(files)
    }

    /// The names of its files, with their sizes in bytes.
    pub fn names(&self) -> impl Iterator<Item = (&str, u64)> {
        let files = self.manifest.files.iter();
        files.filter_map(|entry| Some((entry.path.strip_prefix(FILES)?.strip_prefix('/')?, entry.size)))
    }

    /// The struct whose hash is the key.
    ///
    /// # Errors
    /// Where it cannot be read.
    pub fn record(&self) -> Result<Value, StoreError> {
        let path = self.folder.join(RECORD);
        let bytes = fs::read(&path).map_err(StoreError::io("read", &path))?;
        serde_json::from_slice(&bytes).map_err(|error| StoreError::io("read", &path)(error.into()))
    }

    /// Bytes of its files on disk, those that it only points to left out.
    pub fn bytes(&self) -> u64 {
        durable::size_of(&self.folder)
    }

    /// When it was put in place.
    pub fn made(&self) -> Option<SystemTime> {
        fs::metadata(self.folder.join(MANIFEST)).and_then(|metadata| metadata.modified()).ok()
    }
}
