//! Artifacts that arrive from elsewhere: copied file by file, checked, and committed as a whole.
//!
//! Files arrive in the work folder of the key. Files that a killed copy left are checked and not
//! copied again, and a file that was begun is continued at its end.

use std::{
    collections::BTreeSet,
    fs::{self, File, OpenOptions},
    path::{Component, Path},
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
};

use serde::Deserialize as _;
use serde_json::Value;

use super::{
    Artifact, Lock, SealedFile, Store, StoreError,
    bucket::{FILES, KEY_FILE},
    draft::protect,
    durable, hash,
    manifest::{MANIFEST, Manifest},
    memo::Memo,
};
use crate::digest::{Digest, digest_value};

/// Files of one artifact that are copied at once.
const AT_ONCE: usize = 4;

/// An artifact that is to arrive: its manifest, which names all files.
#[derive(Clone, Debug)]
pub struct Arrival {
    key: Digest,
    manifest: Manifest,
}

/// Why an artifact did not arrive.
#[derive(Debug, thiserror::Error)]
pub enum ArrivalError {
    /// The own store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The source failed.
    #[error("{0}")]
    Source(String),
    /// What arrived is not what its manifest says.
    #[error("what arrived is damaged: {0}")]
    Damaged(String),
}

/// Appends the bytes of a file from an offset on.
pub type Fetch<'a> = dyn Fn(&SealedFile, u64, &mut File) -> Result<(), String> + Sync + 'a;

impl Arrival {
    /// Reads the manifest of a key.
    ///
    /// # Errors
    /// If it does not match its seal or belongs to another key, or if a name leads out of the
    /// artifact's folder.
    pub fn read(key: Digest, text: &str) -> Result<Self, ArrivalError> {
        let manifest = Manifest::parse(text, Some(key));
        Self::checked(key, manifest.map_err(|fault| ArrivalError::Damaged(fault.to_string()))?)
    }

    /// Reads a manifest whose layout as a text was lost.
    ///
    /// # Errors
    /// As of [`Arrival::read`].
    pub fn listed(key: Digest, list: &Value) -> Result<Self, ArrivalError> {
        let manifest = Manifest::deserialize(list).ok();
        let manifest = manifest.filter(|manifest| manifest.key == Some(key));
        Self::checked(key, manifest.ok_or_else(|| ArrivalError::Damaged("its list".to_owned()))?)
    }

    fn checked(key: Digest, manifest: Manifest) -> Result<Self, ArrivalError> {
        let mut paths = BTreeSet::new();
        for SealedFile { path, .. } in &manifest.files {
            let mut parts = Path::new(path).components();
            let is_plain = parts.all(|part| matches!(part, Component::Normal(_)));
            // The manifest comes from elsewhere, and its names become paths here.
            let is_ours = path == KEY_FILE || path.starts_with("files/");
            if !is_plain || !is_ours || !paths.insert(path) {
                return Err(ArrivalError::Damaged(format!("no artifact has a file `{path}`")));
            }
        }
        Ok(Self { key, manifest })
    }

    /// Of an artifact of another store.
    ///
    /// # Errors
    /// If it has a file that no artifact has.
    pub fn of(artifact: &Artifact) -> Result<Self, ArrivalError> {
        Self::read(artifact.key, &artifact.manifest_text())
    }

    /// Key.
    pub fn key(&self) -> Digest {
        self.key
    }

    /// Files.
    pub fn files(&self) -> &[SealedFile] {
        &self.manifest.files
    }

    /// Bytes of all files.
    pub fn bytes(&self) -> u64 {
        self.manifest.files.iter().map(|file| file.size).sum()
    }
}

impl Store {
    /// Takes in an artifact under the lock of its key, whose files `fetch` copies. What is left of
    /// an interrupted arrival of the same files is used.
    ///
    /// # Errors
    /// If the source or the disk fails, or what arrives does not match the manifest.
    pub fn receive(
        &self,
        lock: &Lock,
        arrival: &Arrival,
        fetch: &Fetch<'_>,
    ) -> Result<Artifact, ArrivalError> {
        let work = self.work().join(lock.key.to_string());
        let (folder, begun) = (work.join("arrival"), work.join("arrival.json"));
        let text = arrival.manifest.text();
        // Of an artifact with other bytes nothing is used: another machine may have made it.
        if !fs::read_to_string(&begun).is_ok_and(|known| known == text) {
            durable::remove_folder(&folder)?;
            durable::create_folder(&work)?;
            durable::replace(&begun, text.as_bytes())?;
        }
        durable::create_folder(&folder.join(FILES))?;
        copy_all(&folder, arrival, &Copier { fetch, memo: &self.memo })?;
        // The digests of the files say nothing about whether the key is theirs.
        check_record(&folder, arrival.key)?;
        let path = folder.join(MANIFEST);
        fs::write(&path, &text).map_err(StoreError::io("write", &path))?;
        protect(&path)?;
        let checked = arrival.manifest.check(&folder, Some(&self.memo));
        checked.map_err(|fault| ArrivalError::Damaged(fault.to_string()))?;
        durable::sync_tree(&folder)?;
        Ok(self.place(arrival.key, &folder, arrival.manifest.clone())?)
    }
}

/// Copies all files, several at once; the first failure ends the others after their file.
fn copy_all(folder: &Path, arrival: &Arrival, copier: &Copier<'_>) -> Result<(), ArrivalError> {
    let (next, failure) = (AtomicUsize::new(0), Mutex::new(None));
    let files = arrival.files();
    let copy = || {
        while let Some(file) = files.get(next.fetch_add(1, Ordering::Relaxed)) {
            if let Err(error) = copier.copy(&folder.join(&file.path), file) {
                failure.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(error);
                next.store(files.len(), Ordering::Relaxed);
            }
        }
    };
    thread::scope(|scope| {
        for _ in 1..files.len().min(AT_ONCE) {
            // Where no more threads are granted, this one copies alone.
            let _ = thread::Builder::new().spawn_scoped(scope, copy);
        }
        copy();
    });
    failure.into_inner().unwrap_or_else(PoisonError::into_inner).map_or(Ok(()), Err)
}

struct Copier<'a> {
    fetch: &'a Fetch<'a>,
    memo: &'a Memo,
}

impl Copier<'_> {
    /// Copies what is missing of a file.
    fn copy(&self, path: &Path, file: &SealedFile) -> Result<(), ArrivalError> {
        let there = fs::symlink_metadata(path).map(|metadata| metadata.len()).ok();
        if there == Some(file.size) && self.is_whole(path, file)? {
            return Ok(());
        }
        durable::create_folder(path.parent().expect("files lie in a folder"))?;
        // From where it ends, and if that does not fit together, from its beginning.
        let begun = there.filter(|length| *length < file.size).unwrap_or(0);
        for offset in BTreeSet::from([begun, 0]).into_iter().rev() {
            if offset == 0 && path.exists() {
                fs::remove_file(path).map_err(StoreError::io("remove", path))?;
            }
            let opened = OpenOptions::new().append(true).create(true).open(path);
            let mut opened = opened.map_err(StoreError::io("write", path))?;
            (self.fetch)(file, offset, &mut opened).map_err(ArrivalError::Source)?;
            if self.is_whole(path, file)? {
                return Ok(());
            }
        }
        Err(ArrivalError::Damaged(format!("{} does not match its digest", file.path)))
    }

    /// Whether a file is complete, which is read-only then and remembered.
    fn is_whole(&self, path: &Path, file: &SealedFile) -> Result<bool, StoreError> {
        // Before it is hashed, since a change of permissions makes the memo forget the digest.
        protect(path)?;
        let (digest, metadata) = hash::digest_file(path, self.memo)?;
        Ok(metadata.len() == file.size && digest == file.digest)
    }
}

/// The key must be the digest of the key file, or the artifact would be served for other inputs.
fn check_record(folder: &Path, key: Digest) -> Result<(), ArrivalError> {
    let path = folder.join(KEY_FILE);
    let bytes = fs::read(&path).map_err(StoreError::io("read", &path))?;
    let record: Option<Value> = serde_json::from_slice(&bytes).ok();
    match record.is_some_and(|record| digest_value("key", &record) == key) {
        true => Ok(()),
        false => Err(ArrivalError::Damaged(format!("{KEY_FILE} is not that of the key {key}"))),
    }
}
