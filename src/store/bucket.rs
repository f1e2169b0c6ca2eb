//! The store itself: where everything lies, and looking up what is there.

use std::{
    fs,
    io::ErrorKind,
    path::{Path, PathBuf},
    sync::Mutex,
    time::{SystemTime, UNIX_EPOCH},
};

use rayon::prelude::*;
use serde_json::Value;

use super::{
    Lock, StoreError, durable, hash,
    lease::Pins,
    manifest::{Fault, MANIFEST, Manifest},
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
    /// Where this process is a run: what it has looked up, which nobody may collect meanwhile.
    pub(super) pins: Mutex<Option<Pins>>,
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

    /// Opens a store only to look at it: nothing is made where there is none, and one that may not be written to can be
    /// looked at all the same.
    ///
    /// # Errors
    /// Where something else than a folder lies there.
    pub fn look(root: &Path, trusted: bool) -> Result<Self, StoreError> {
        let store = Self::at(root, trusted)?;
        if fs::metadata(&store.root).is_ok_and(|kind| !kind.is_dir()) {
            return Err(StoreError::io("list", root)(ErrorKind::NotADirectory.into()));
        }
        Ok(store)
    }

    fn at(root: &Path, trusted: bool) -> Result<Self, StoreError> {
        let root = std::path::absolute(root).map_err(StoreError::io("find", root))?;
        let memo = Memo::new(root.join("v1/memo"), trusted);
        Ok(Self { root, memo, pins: Mutex::new(None) })
    }

    fn open_with(root: &Path, trusted: bool) -> Result<Self, StoreError> {
        let store = Self::at(root, trusted)?;
        hash::ready_threads().map_err(StoreError::io("start threads to read", &store.root))?;
        durable::create_folder(&store.root)?;
        for (name, content) in [TAG, IGNORE] {
            let path = store.root.join(name);
            if !path.exists() {
                durable::replace(&path, content.as_bytes())?;
            }
        }
        // Last, so that a process which is killed here leaves no store at all.
        for folder in [store.artifacts(), store.locks(), store.work(), store.damaged()] {
            if !folder.is_dir() {
                durable::create_folder(&folder)?;
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

    /// Looks for the artifact of a key and checks it; one that does not match its manifest is moved aside. Under a lease it
    /// is not collected from then on.
    ///
    /// # Errors
    /// Where it cannot be read, which says nothing of what it is, or a damaged one cannot be moved aside.
    pub fn find(&self, key: &Digest) -> Result<Lookup, StoreError> {
        let problem = match self.pinning(key, || self.examine(key))? {
            Examined::Whole(artifact) => return Ok(Lookup::Found(artifact)),
            Examined::Absent => return Ok(Lookup::Absent),
            Examined::Damaged(problem) => problem,
            Examined::Unreadable(error) => return Err(error),
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
    /// Where it cannot be read, or a damaged one cannot be moved aside.
    pub fn find_locked(&self, lock: &Lock) -> Result<Lookup, StoreError> {
        self.put_back(lock)?;
        match self.examine(&lock.key) {
            Examined::Whole(artifact) => Ok(Lookup::Found(artifact)),
            Examined::Absent => Ok(Lookup::Absent),
            Examined::Unreadable(error) => Err(error),
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
        durable::move_aside(&self.folder_of(&lock.key), &self.damaged(), &name)
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
        for (name, shelf) in durable::entries(&self.artifacts())? {
            if shelf.is_dir() {
                let listed = durable::entries(&shelf).unwrap_or_else(|error| {
                    tracing::warn!("what lies there is left out: {error}");
                    Vec::new()
                });
                let belongs = listed.iter().filter(|(key, _)| key.starts_with(&name));
                keys.extend(belongs.filter_map(|(key, _)| key.parse::<Digest>().ok()));
            }
        }
        Ok(keys)
    }

    /// The structs whose hashes are the keys of the newest artifacts, newest first, at most `most` of them: where there are
    /// more, those on the shelves that were added to last. What cannot be read is left out.
    pub fn newest_records(&self, most: usize) -> Vec<Value> {
        let modified = |(_, path): (String, PathBuf)| Some((fs::metadata(&path).ok()?.modified().ok()?, path));
        let listed = |folder: &Path| durable::entries(folder).unwrap_or_default().into_iter();
        let mut shelves: Vec<(SystemTime, PathBuf)> = listed(&self.artifacts()).filter_map(modified).collect();
        shelves.sort_unstable_by(|one, other| other.cmp(one));
        let mut made: Vec<(SystemTime, PathBuf)> = Vec::new();
        for (_, shelf) in shelves {
            if made.len() >= most {
                break;
            }
            made.extend(listed(&shelf).filter_map(modified));
        }
        made.sort_unstable_by(|one, other| other.cmp(one));
        made.truncate(most);
        made.par_iter().filter_map(|(_, folder)| read_record(folder)).collect()
    }

    /// The struct whose hash is a key, where there is an artifact of it.
    pub fn record(&self, key: &Digest) -> Option<Value> {
        read_record(&self.folder_of(key))
    }

    /// What was hashed since the last call, as lines for [`Store::accept`] in the process that keeps the memo.
    pub fn learnt(&self) -> Vec<String> {
        self.memo.learnt()
    }

    /// Takes over what another process hashed.
    pub fn accept(&self, learnt: &[String]) {
        self.memo.accept(learnt);
    }

    /// Saves what was hashed; without it the next run hashes again, so that a failure is only worth a warning, and none
    /// where the store is there to be read only.
    pub fn save_memo(&self) {
        if !self.root.join("v1").is_dir() {
            return;
        }
        match self.memo.save() {
            Err(StoreError::Io { cause, .. })
                if matches!(cause.kind(), ErrorKind::ReadOnlyFilesystem | ErrorKind::PermissionDenied) =>
            {
                tracing::debug!("the digests of this run are not remembered: {cause}");
            }
            Err(error) => tracing::warn!("{error}"),
            Ok(()) => {}
        }
    }

    fn examine(&self, key: &Digest) -> Examined {
        let folder = self.folder_of(key);
        let checked = Manifest::read(&folder, Some(*key)).and_then(|manifest| {
            manifest.check(&folder, Some(&self.memo))?;
            Ok(manifest)
        });
        match checked {
            Ok(manifest) => Examined::Whole(Artifact { key: *key, folder, manifest }),
            Err(Fault::Unreadable(error)) => Examined::Unreadable(error),
            Err(Fault::Damaged(problem)) => match fs::symlink_metadata(&folder) {
                Ok(_) => Examined::Damaged(problem),
                Err(error) if error.kind() == ErrorKind::NotFound => Examined::Absent,
                Err(error) => Examined::Unreadable(StoreError::io("read", &folder)(error)),
            },
        }
    }
}

fn read_record(folder: &Path) -> Option<Value> {
    serde_json::from_slice(&fs::read(folder.join(RECORD)).ok()?).ok()
}

enum Examined {
    Whole(Artifact),
    Absent,
    Damaged(String),
    Unreadable(StoreError),
}

impl Artifact {
    pub(super) fn new(key: Digest, folder: PathBuf, manifest: Manifest) -> Self {
        Self { key, folder, manifest }
    }

    /// The folder of its files.
    pub fn files(&self) -> PathBuf {
        self.folder.join(FILES)
    }

    /// The digest of the names and contents of those files that match one of the patterns; none where no file does.
    pub fn digest_of(&self, patterns: &[&str]) -> Option<Digest> {
        let files = self.manifest.files.iter().filter_map(|entry| {
            let name = entry.path.strip_prefix(FILES)?.strip_prefix('/')?;
            hash::matches(patterns, name).then_some((name, entry.digest))
        });
        let files: Vec<(&str, Digest)> = files.collect();
        (!files.is_empty()).then(|| hash::digest_list(files.into_iter()))
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
