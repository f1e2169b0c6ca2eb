//! Artifacts and their lookup.

use std::{
    fs,
    io::ErrorKind,
    path::{Path, PathBuf},
    sync::Arc,
    time::{SystemTime, UNIX_EPOCH},
};

use rayon::prelude::*;
use serde_json::Value;

use super::{
    Lock, Store, StoreError, durable, hash,
    manifest::{Fault, MANIFEST, Manifest, SealedFile},
    memo,
    patterns::FilePatterns,
};
use crate::digest::Digest;

/// File with an artifact's fingerprint.
pub(super) const KEY_FILE: &str = "key.json";
/// Folder of an artifact's files.
pub(super) const FILES: &str = "files";

/// A sealed folder of files, the result of a stage.
#[derive(Clone, Debug)]
pub struct Artifact {
    /// Key.
    pub key: Digest,
    /// Folder with manifest, key file and files.
    folder: PathBuf,
    manifest: Arc<Manifest>,
}

/// Result of a lookup.
#[derive(Debug)]
pub enum Lookup {
    /// The artifact matches its manifest.
    Found(Artifact),
    /// No artifact.
    Absent,
    /// The artifact did not match its manifest.
    Damaged {
        /// What did not match.
        problem: String,
        /// Path after quarantine, or the old path in a read-only store.
        moved_to: PathBuf,
    },
}

impl Store {
    /// Looks up and verifies the artifact of a key; a damaged one is quarantined unless the store
    /// is read-only. Under a lease it is protected from collection.
    ///
    /// # Errors
    /// If it cannot be read (its state is unknown then), or a damaged one cannot be moved.
    pub fn find(&self, key: &Digest) -> Result<Lookup, StoreError> {
        let problem = match self.rooting(key, || self.examine(key))? {
            Examination::Whole(artifact) => return Ok(Lookup::Found(artifact)),
            Examination::Absent => return Ok(Lookup::Absent),
            Examination::Damaged(problem) => problem,
            Examination::Unreadable(error) => return Err(error),
        };
        if self.only_looked_at {
            return Ok(Lookup::Damaged { problem, moved_to: self.folder_of(key) });
        }
        // The holder of the lock looks it up and remakes it.
        let Some(lock) = self.try_lock(key)? else { return Ok(Lookup::Absent) };
        self.find_locked(&lock).map(|lookup| match lookup {
            Lookup::Absent => Lookup::Damaged { problem, moved_to: self.damaged() },
            lookup => lookup,
        })
    }

    /// The same for the holder of the key's lock.
    ///
    /// # Errors
    /// If it cannot be read, or a damaged one cannot be moved.
    pub fn find_locked(&self, lock: &Lock) -> Result<Lookup, StoreError> {
        self.put_back(lock)?;
        match self.examine(&lock.key) {
            Examination::Whole(artifact) => Ok(Lookup::Found(artifact)),
            Examination::Absent => Ok(Lookup::Absent),
            Examination::Unreadable(error) => Err(error),
            Examination::Damaged(problem) => {
                Ok(Lookup::Damaged { problem, moved_to: self.quarantine(lock)? })
            }
        }
    }

    /// Quarantines the artifact of a key, so that it is remade.
    ///
    /// # Errors
    /// If it cannot be moved.
    pub fn quarantine(&self, lock: &Lock) -> Result<PathBuf, StoreError> {
        let seconds =
            SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
        // The time tells people apart what was quarantined when; a number is added if it is taken.
        let name = format!("{}-{seconds}", lock.key);
        durable::move_aside(&self.folder_of(&lock.key), &self.damaged(), &name)
    }

    /// All artifacts by key, unverified; those without a valid manifest are skipped.
    ///
    /// # Errors
    /// If the store cannot be listed.
    pub fn list(&self) -> Result<Vec<Artifact>, StoreError> {
        let mut artifacts = Vec::new();
        for key in self.keys()? {
            let folder = self.folder_of(&key);
            // A listing must not fail because one artifact is damaged; `cache verify` names it.
            if let Ok(manifest) = Manifest::read(&folder, Some(key)) {
                artifacts.push(Artifact::new(key, folder, manifest));
            }
        }
        Ok(artifacts)
    }

    /// Keys of all folders among the artifacts.
    ///
    /// # Errors
    /// If the store cannot be listed.
    pub fn keys(&self) -> Result<Vec<Digest>, StoreError> {
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

    /// Fingerprints of the newest artifacts, newest first, at most `most`, chosen by the folders
    /// that changed last. Unreadable ones are skipped.
    pub fn newest_records(&self, most: usize) -> Vec<Value> {
        let mut made: Vec<(SystemTime, PathBuf)> = Vec::new();
        // A shelf changes with each artifact that is put on it, so that few need to be listed.
        for (_, shelf) in newest_first(&self.artifacts()) {
            if made.len() >= most {
                break;
            }
            made.extend(newest_first(&shelf));
        }
        made.sort_unstable_by(|one, other| other.cmp(one));
        made.truncate(most);
        let read = |(_, folder): &(SystemTime, PathBuf)| read_record(folder);
        match hash::has_threads() {
            true => made.par_iter().filter_map(read).collect(),
            false => made.iter().filter_map(read).collect(),
        }
    }

    /// Fingerprint of a key, if its artifact exists.
    pub fn record(&self, key: &Digest) -> Option<Value> {
        read_record(&self.folder_of(key))
    }

    fn examine(&self, key: &Digest) -> Examination {
        let folder = self.folder_of(key);
        if let Some(manifest) = Manifest::recall(&folder, key, &self.memo) {
            return Examination::Whole(Artifact::new(*key, folder, manifest));
        }
        match self.check(&folder, key) {
            Ok(manifest) => Examination::Whole(Artifact::new(*key, folder, manifest)),
            Err(Fault::Unreadable(error)) => Examination::Unreadable(error),
            // Without a manifest it is damaged only if there is a folder at all.
            Err(Fault::Damaged(problem)) => match fs::symlink_metadata(&folder) {
                Ok(_) => Examination::Damaged(problem),
                Err(error) if error.kind() == ErrorKind::NotFound => Examination::Absent,
                Err(error) => Examination::Unreadable(StoreError::io("read", &folder)(error)),
            },
        }
    }
}

impl Store {
    /// Reads the manifest of an artifact, compares its files, and remembers it.
    fn check(&self, folder: &Path, key: &Digest) -> Result<Manifest, Fault> {
        // Before it is read, so that a change in between gives another stamp. What is learnt of a
        // read-only store is not saved.
        let before = fs::metadata(folder.join(MANIFEST)).ok();
        let before = before.filter(|before| !self.only_looked_at && memo::is_settled(before));
        let manifest = Manifest::read(folder, Some(*key))?;
        let stamps = before.and_then(|before| manifest.before_check(folder, before));
        manifest.check(folder, Some(&self.memo))?;
        if let Some(stamps) = stamps {
            stamps.learn(&self.memo);
        }
        Ok(manifest)
    }
}

/// The readable entries of a folder by their last change.
fn newest_first(folder: &Path) -> Vec<(SystemTime, PathBuf)> {
    let entries = durable::entries(folder).unwrap_or_default();
    let mut dated: Vec<(SystemTime, PathBuf)> = entries
        .into_iter()
        .filter_map(|(_, path)| Some((fs::metadata(&path).ok()?.modified().ok()?, path)))
        .collect();
    dated.sort_unstable_by(|one, other| other.cmp(one));
    dated
}

fn read_record(folder: &Path) -> Option<Value> {
    serde_json::from_slice(&fs::read(folder.join(KEY_FILE)).ok()?).ok()
}

enum Examination {
    Whole(Artifact),
    Absent,
    Damaged(String),
    Unreadable(StoreError),
}

impl Artifact {
    pub(super) fn new(key: Digest, folder: PathBuf, manifest: Manifest) -> Self {
        Self { key, folder, manifest: Arc::new(manifest) }
    }

    /// Folder of the files.
    pub fn files(&self) -> PathBuf {
        self.folder.join(FILES)
    }

    /// Digest of names and contents of the files that match a pattern; none if no file does.
    pub fn digest_of(&self, patterns: &[&str]) -> Option<Digest> {
        let patterns = FilePatterns::of(patterns);
        let files: Vec<(&str, Digest)> = self
            .listed()
            .filter(|(name, _)| patterns.matches(name))
            .map(|(name, entry)| (name, entry.digest))
            .collect();
        (!files.is_empty()).then(|| hash::digest_list(files.into_iter()))
    }

    /// Bytes of the files that match a pattern.
    pub fn bytes_of(&self, patterns: &[&str]) -> u64 {
        let patterns = FilePatterns::of(patterns);
        self.names().filter(|(name, _)| patterns.matches(name)).map(|(_, bytes)| bytes).sum()
    }

    /// File names and sizes in bytes.
    pub fn names(&self) -> impl Iterator<Item = (&str, u64)> {
        self.listed().map(|(name, entry)| (name, entry.size))
    }

    /// The files, without the key file beside them.
    pub(super) fn listed(&self) -> impl Iterator<Item = (&str, &SealedFile)> {
        let files = self.manifest.files.iter();
        files.filter_map(|entry| Some((entry.path.strip_prefix(FILES)?.strip_prefix('/')?, entry)))
    }

    /// All files, the key file among them.
    pub fn sealed(&self) -> &[SealedFile] {
        &self.manifest.files
    }

    /// Path of one of them.
    pub fn path_of(&self, file: &SealedFile) -> PathBuf {
        self.folder.join(&file.path)
    }

    /// Text of the manifest.
    pub fn manifest_text(&self) -> String {
        self.manifest.text()
    }

    /// Fingerprint.
    ///
    /// # Errors
    /// If it cannot be read.
    pub fn record(&self) -> Result<Value, StoreError> {
        let path = self.folder.join(KEY_FILE);
        let bytes = fs::read(&path).map_err(StoreError::io("read", &path))?;
        serde_json::from_slice(&bytes).map_err(|error| StoreError::io("read", &path)(error.into()))
    }

    /// Bytes of its files on disk, without targets of links.
    pub fn bytes(&self) -> u64 {
        durable::size_of(&self.folder)
    }

    /// Time of the commit.
    pub fn made(&self) -> Option<SystemTime> {
        fs::metadata(self.folder.join(MANIFEST)).and_then(|metadata| metadata.modified()).ok()
    }
}
