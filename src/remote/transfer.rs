//! Pushes and pulls artifacts by key.

use std::{
    collections::BTreeSet,
    fs::{self, File},
    io::{self, Seek, SeekFrom},
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    thread,
};

use super::{
    address::{RemoteAddress, RemotePlace},
    bucket::Bucket,
    upload::Upload,
};
use crate::{
    digest::Digest,
    store::{Arrival, ArrivalError, Artifact, Lease, Lock, Lookup, SealedFile, Store, StoreError},
};

/// Another store.
#[derive(Debug)]
pub struct Remote(RemoteKind);

#[derive(Debug)]
enum RemoteKind {
    /// A store in a folder.
    Folder(Box<Store>),
    /// One in S3-compatible storage.
    Bucket(Box<Bucket>),
}

/// Why a transfer failed.
#[derive(Debug, thiserror::Error)]
pub enum RemoteError {
    /// The address is wrong, or the other store cannot be used.
    #[error("{0}")]
    Remote(String),
    /// The artifact is in neither store.
    #[error("the artifact is missing")]
    Absent,
    /// A store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// What arrived cannot be used.
    #[error(transparent)]
    Arrival(#[from] ArrivalError),
}

/// What a transfer did with an artifact.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moved {
    /// It was there.
    Present,
    /// It was copied: bytes that were sent or received.
    Copied(u64),
}

/// Transfers of many artifacts.
pub struct Transfer<'a> {
    /// The own store.
    pub store: &'a Store,
    /// The other one.
    pub remote: &'a Remote,
    /// Number of artifacts on the way at once.
    pub jobs: usize,
    /// Is told each result, in the order of the ends.
    pub told: &'a (dyn Fn(&Digest, &Result<Moved, RemoteError>) + Sync),
}

impl Remote {
    /// Opens a remote store. To write, a folder becomes a store if it is none; to read, it must be.
    ///
    /// # Errors
    /// If the address is wrong or the folder cannot be used.
    pub fn open(address: &RemoteAddress, to_write: bool) -> Result<Self, RemoteError> {
        Ok(Self(match address.place().map_err(RemoteError::Remote)? {
            RemotePlace::Folder(folder) if to_write => {
                RemoteKind::Folder(Box::new(Store::open(&folder)?))
            }
            RemotePlace::Folder(folder) => match Store::none_at(&folder) {
                Some(why) => {
                    let folder = folder.display();
                    return Err(RemoteError::Remote(format!("no store is in {folder}: {why}")));
                }
                None => RemoteKind::Folder(Box::new(Store::look(&folder, true)?)),
            },
            RemotePlace::Bucket { bucket, prefix } => {
                let opened = Bucket::new(&bucket, prefix, address.endpoint.as_deref());
                RemoteKind::Bucket(Box::new(opened.map_err(RemoteError::Remote)?))
            }
        }))
    }

    /// Asks whether it can be used: otherwise each artifact would fail for the same reason.
    ///
    /// # Errors
    /// If its server does not answer or refuses, or has no such bucket.
    pub fn greet(&self) -> Result<(), RemoteError> {
        match &self.0 {
            RemoteKind::Folder(_) => Ok(()),
            RemoteKind::Bucket(bucket) => bucket.greet().map_err(RemoteError::Remote),
        }
    }

    /// Keys of all artifacts.
    ///
    /// # Errors
    /// If they cannot be listed.
    pub fn keys(&self) -> Result<BTreeSet<Digest>, RemoteError> {
        match &self.0 {
            RemoteKind::Folder(store) => Ok(store.keys()?.into_iter().collect()),
            RemoteKind::Bucket(bucket) => bucket.keys().map_err(RemoteError::Remote),
        }
    }

    /// Files of an artifact; none if it is missing.
    ///
    /// # Errors
    /// If its manifest cannot be read or is damaged.
    pub fn look_up(&self, key: &Digest) -> Result<Option<Arrival>, RemoteError> {
        match &self.0 {
            RemoteKind::Folder(store) => match store.find(key)? {
                Lookup::Found(artifact) => Ok(Some(Arrival::of(&artifact)?)),
                Lookup::Absent => Ok(None),
                Lookup::Damaged { problem, .. } => {
                    Err(RemoteError::Remote(format!("the artifact is damaged there: {problem}")))
                }
            },
            RemoteKind::Bucket(bucket) => {
                let text = bucket.read_manifest(key).map_err(RemoteError::Remote)?;
                Ok(text.map(|text| Arrival::read(*key, &text)).transpose()?)
            }
        }
    }

    /// Pulls an artifact into a store that lacks it, under the lock of its key; none if it is not
    /// there.
    ///
    /// # Errors
    /// If it cannot be read, does not arrive whole, or the disk is full.
    pub fn pull(&self, store: &Store, lock: &Lock) -> Result<Option<(Artifact, u64)>, RemoteError> {
        let Some(arrival) = self.look_up(&lock.key())? else { return Ok(None) };
        let read = AtomicU64::new(0);
        let fetch = |file: &SealedFile, offset: u64, to: &mut File| {
            read.fetch_add(file.size - offset, Ordering::Relaxed);
            match &self.0 {
                RemoteKind::Folder(from) => copy(from, &arrival.key(), file, offset, to),
                RemoteKind::Bucket(bucket) => bucket.read(file, offset, to),
            }
        };
        let artifact = store.receive(lock, &arrival, &fetch)?;
        Ok(Some((artifact, read.into_inner())))
    }

    /// Pushes an artifact of a store.
    fn push(&self, store: &Store, artifact: &Artifact) -> Result<Moved, RemoteError> {
        match &self.0 {
            RemoteKind::Folder(to) => {
                let lock = to.lock(&artifact.key, |holder| {
                    tracing::warn!("waiting for {holder}, which makes the artifact there");
                })?;
                // Under the lock: another push may have brought it meanwhile.
                if let Lookup::Found(_) = to.find_locked(&lock)? {
                    return Ok(Moved::Present);
                }
                let sent = AtomicU64::new(0);
                let fetch = |file: &SealedFile, offset: u64, into: &mut File| {
                    sent.fetch_add(file.size - offset, Ordering::Relaxed);
                    copy(store, &artifact.key, file, offset, into)
                };
                to.receive(&lock, &Arrival::of(artifact)?, &fetch)?;
                Ok(Moved::Copied(sent.into_inner()))
            }
            RemoteKind::Bucket(bucket) => {
                // An artifact is there once its manifest is.
                let failed = RemoteError::Remote;
                if bucket.read_manifest(&artifact.key).map_err(failed)?.is_some() {
                    return Ok(Moved::Present);
                }
                let notes = store.transfers();
                let mut sent = 0;
                for file in artifact.sealed() {
                    let path = artifact.path_of(file);
                    let upload = Upload { bucket, path: &path, file, notes: &notes };
                    sent += upload.send().map_err(failed)?;
                }
                // Last, so that a key is there only with all of its files.
                bucket.write_manifest(&artifact.key, artifact.manifest_text()).map_err(failed)?;
                Ok(Moved::Copied(sent))
            }
        }
    }

    /// Protects what is read from a folder, where it may be written, from a collection there.
    fn hold(&self) -> Option<Lease<'_>> {
        let RemoteKind::Folder(store) = &self.0 else { return None };
        // A store that is only read, from a share without write access, has no list of users.
        let writable = fs::metadata(store.root().join("v1"))
            .is_ok_and(|folder| !folder.permissions().readonly());
        let lease = writable.then(|| store.hold(|| tracing::warn!("waiting for `cache gc` there")));
        lease?.ok()
    }
}

/// Appends the bytes of an artifact's file in a folder from an offset on.
fn copy(
    from: &Store,
    key: &Digest,
    file: &SealedFile,
    offset: u64,
    to: &mut File,
) -> Result<(), String> {
    let path = from.folder_of(key).join(&file.path);
    let copied = File::open(&path).and_then(|mut from| {
        from.seek(SeekFrom::Start(offset))?;
        io::copy(&mut from, to)
    });
    copied.map(drop).map_err(|error| format!("cannot copy {}: {error}", path.display()))
}

impl Transfer<'_> {
    /// Pulls artifacts by key.
    ///
    /// # Errors
    /// If the own store cannot be locked; what happens to each artifact is told.
    pub fn pull(&self, keys: &[Digest]) -> Result<(), StoreError> {
        let _leases = (self.hold()?, self.remote.hold());
        self.each(keys, |key| {
            if let Lookup::Found(_) = self.store.find(key)? {
                return Ok(Moved::Present);
            }
            let lock = self.store.lock(key, |holder| {
                tracing::warn!("waiting for {holder}, which makes the artifact {}", key.short());
            })?;
            if let Lookup::Found(_) = self.store.find_locked(&lock)? {
                return Ok(Moved::Present);
            }
            match self.remote.pull(self.store, &lock)? {
                Some((_, bytes)) => Ok(Moved::Copied(bytes)),
                None => Err(RemoteError::Absent),
            }
        });
        Ok(())
    }

    /// Pushes artifacts by key. Damaged ones are not sent.
    ///
    /// # Errors
    /// If the own store cannot be locked; what happens to each artifact is told.
    pub fn push(&self, keys: &[Digest]) -> Result<(), StoreError> {
        let _leases = (self.hold()?, self.remote.hold());
        self.each(keys, |key| match self.store.find(key)? {
            Lookup::Found(artifact) => self.remote.push(self.store, &artifact),
            Lookup::Absent => Err(RemoteError::Absent),
            Lookup::Damaged { problem, .. } => {
                Err(RemoteError::Remote(format!("the artifact is damaged: {problem}")))
            }
        });
        Ok(())
    }

    fn hold(&self) -> Result<Lease<'_>, StoreError> {
        self.store.hold(|| tracing::warn!("waiting for `cache gc` in the store"))
    }

    /// Moves each artifact, several at once.
    fn each(&self, keys: &[Digest], carry: impl Fn(&Digest) -> Result<Moved, RemoteError> + Sync) {
        let (next, told) = (AtomicUsize::new(0), Mutex::new(()));
        let work = || {
            while let Some(key) = keys.get(next.fetch_add(1, Ordering::Relaxed)) {
                let done = carry(key);
                let _one_at_a_time = told.lock().unwrap_or_else(PoisonError::into_inner);
                (self.told)(key, &done);
            }
        };
        thread::scope(|scope| {
            for _ in 1..self.jobs.min(keys.len()) {
                // Where no more threads are granted, the others carry all.
                let _ = thread::Builder::new().spawn_scoped(scope, work);
            }
            work();
        });
    }
}
