//! Locks of keys, which end with their process.

use std::{
    fs::{self, File, Metadata, OpenOptions, Permissions, TryLockError},
    io::{ErrorKind, Read, Seek, Write},
    os::unix::fs::{MetadataExt, PermissionsExt},
    path::{Path, PathBuf},
};

use super::{
    Store, StoreError,
    checksum::{sign, signed},
    lease_file::{self, LeaseFile, Taking, lease_of},
    lock_kind::LockKind,
};
use crate::digest::Digest;

/// Exclusive right to make the artifact of a key, until dropped or the process dies.
#[derive(Debug)]
pub struct Lock {
    /// Key.
    pub(super) key: Digest,
    held: Held,
}

/// What keeps others out.
#[derive(Debug)]
enum Held {
    /// A lock of the kernel on a file that names the holder.
    Flock { file: File, path: PathBuf },
    /// A lease.
    Lease { lease: LeaseFile, path: PathBuf },
}

impl Store {
    /// Waits for the lock of a key; `waiting` is called once with its holder.
    ///
    /// # Errors
    /// If the lock file cannot be created.
    pub fn lock(&self, key: &Digest, waiting: impl FnOnce(&str)) -> Result<Lock, StoreError> {
        if self.locking().kind == LockKind::Lease {
            let path = self.lease_path(key);
            let lease = LeaseFile::take(&path, waiting).map_err(StoreError::io("lock", &path))?;
            return Ok(Lock { key: *key, held: Held::Lease { lease, path } });
        }
        let mut waiting = Some(waiting);
        loop {
            let (path, mut file) = self.open_lock(key)?;
            match file.try_lock() {
                Ok(()) => {}
                Err(TryLockError::WouldBlock) => {
                    if let Some(waiting) = waiting.take() {
                        // Read before the wait, after which the file may be gone.
                        waiting(&holder(&mut file).unwrap_or_else(|| "another process".to_owned()));
                    }
                    file.lock().map_err(StoreError::io("lock", &path))?;
                }
                Err(TryLockError::Error(error)) => {
                    return Err(StoreError::io("lock", &path)(error));
                }
            }
            if let Some(lock) = Lock::settle(*key, file, path)? {
                return Ok(lock);
            }
        }
    }

    /// The lock of a key, if free.
    ///
    /// # Errors
    /// If the lock file cannot be created.
    pub fn try_lock(&self, key: &Digest) -> Result<Option<Lock>, StoreError> {
        if self.locking().kind == LockKind::Lease {
            let path = self.lease_path(key);
            let taking = LeaseFile::try_take(&path).map_err(StoreError::io("lock", &path))?;
            return Ok(match taking {
                Taking::Taken(lease) => Some(Lock { key: *key, held: Held::Lease { lease, path } }),
                Taking::Held(_) => None,
            });
        }
        loop {
            let (path, file) = self.open_lock(key)?;
            match file.try_lock() {
                Ok(()) => {}
                Err(TryLockError::WouldBlock) => return Ok(None),
                Err(TryLockError::Error(error)) => {
                    return Err(StoreError::io("lock", &path)(error));
                }
            }
            if let Some(lock) = Lock::settle(*key, file, path)? {
                return Ok(Some(lock));
            }
        }
    }

    /// Whether the lock of a key is free.
    pub(super) fn is_free(&self, key: &Digest) -> Result<bool, StoreError> {
        if self.locking().kind == LockKind::Lease {
            let path = self.lease_path(key);
            let held = lease_file::is_held(&path).map_err(StoreError::io("lock", &path))?;
            return Ok(held != Some(true));
        }
        let path = self.locks().join(key.to_string());
        match File::open(&path) {
            Ok(file) => Ok(file.try_lock_shared().is_ok()),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(true),
            Err(error) => Err(StoreError::io("read", &path)(error)),
        }
    }

    fn lease_path(&self, key: &Digest) -> PathBuf {
        lease_of(&self.locks().join(key.to_string()))
    }

    /// Opens the lock file, lockable for all users despite the umask: it holds only a name, and the
    /// folder's permissions decide who uses the store.
    fn open_lock(&self, key: &Digest) -> Result<(PathBuf, File), StoreError> {
        let path = self.locks().join(key.to_string());
        loop {
            match OpenOptions::new().read(true).write(true).open(&path) {
                Ok(file) => return Ok((path, file)),
                Err(error) if error.kind() == ErrorKind::NotFound => {}
                // An unlocked file of another user, created by an older version with closed
                // permissions, is removed.
                Err(error) if error.kind() == ErrorKind::PermissionDenied => {
                    match File::open(&path) {
                        Ok(file)
                            if file.try_lock().is_ok() && remove_held(&path, &file).is_ok() => {}
                        Ok(file) => return Ok((path, file)),
                        Err(_) => return Err(StoreError::io("write", &path)(error)),
                    }
                }
                Err(error) => return Err(StoreError::io("write", &path)(error)),
            }
            match OpenOptions::new().read(true).write(true).create_new(true).open(&path) {
                Ok(file) => {
                    let _ = file.set_permissions(Permissions::from_mode(0o666));
                    return Ok((path, file));
                }
                Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
                Err(error) => return Err(StoreError::io("write", &path)(error)),
            }
        }
    }
}

impl Lock {
    /// The key.
    pub fn key(&self) -> Digest {
        self.key
    }

    /// Writes the holder into the lock file, unless its last holder removed it meanwhile.
    fn settle(key: Digest, mut file: File, path: PathBuf) -> Result<Option<Self>, StoreError> {
        // The last holder may have removed the file after it was opened here: its lock protects
        // nothing.
        let held = file.metadata().map_err(StoreError::io("read", &path))?;
        if !fs::metadata(&path).is_ok_and(|named| is_same_file(&named, &held)) {
            return Ok(None);
        }
        // One write, so that a kill leaves either the whole line or nothing.
        let line = sign(&this_process());
        file.set_len(0)
            .and_then(|()| file.rewind())
            .and_then(|()| file.write_all(line.as_bytes()))
            .map_err(StoreError::io("write", &path))?;
        Ok(Some(Self { key, held: Held::Flock { file, path } }))
    }

    /// Whether a file of the store is what holds the lock.
    pub(super) fn is_at(&self, file: &Path) -> bool {
        match &self.held {
            Held::Flock { path, .. } | Held::Lease { path, .. } => path == file,
        }
    }

    /// An error if a lease was taken over while this process stood still.
    pub(super) fn check(&self) -> Result<(), StoreError> {
        match &self.held {
            Held::Lease { lease, path } if !lease.is_held() => Err(StoreError::Lost(path.clone())),
            _ => Ok(()),
        }
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        // A lease is released when it is dropped.
        if let Held::Flock { file, path } = &self.held
            && let Err(error) = remove_held(path, file).and_then(|()| file.unlock())
        {
            tracing::warn!("cannot release the lock {}: {error}", path.display());
        }
    }
}

/// This process, as shown to others.
pub(super) fn this_process() -> String {
    let host = fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    format!("process {} on {}", std::process::id(), host.trim())
}

fn is_same_file(one: &Metadata, other: &Metadata) -> bool {
    (one.dev(), one.ino()) == (other.dev(), other.ino())
}

/// Removes a file whose lock is held, if the path still refers to it.
fn remove_held(path: &Path, held: &File) -> std::io::Result<()> {
    let removed = fs::symlink_metadata(path).and_then(|named| {
        if is_same_file(&named, &held.metadata()?) { fs::remove_file(path) } else { Ok(()) }
    });
    // The last holder removed it in between.
    removed.or_else(|error| if error.kind() == ErrorKind::NotFound { Ok(()) } else { Err(error) })
}

/// Removes an unlocked lock file. A process that opened it before and locks it later detects the
/// removal.
pub(super) fn remove_unheld(path: &Path) -> Result<(), StoreError> {
    // Network file systems lock only what is opened for writing.
    match OpenOptions::new().read(true).append(true).open(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        Err(error) => Err(StoreError::io("read", path)(error)),
        Ok(file) => match file.try_lock() {
            Ok(()) => remove_held(path, &file).map_err(StoreError::io("remove", path)),
            Err(TryLockError::WouldBlock) => Ok(()),
            Err(TryLockError::Error(error)) => Err(StoreError::io("lock", path)(error)),
        },
    }
}

fn holder(file: &mut File) -> Option<String> {
    let mut text = String::new();
    file.read_to_string(&mut text).ok()?;
    signed(&text).map(str::to_owned)
}

/// The problem of an unlocked lock file; an empty one was not yet signed.
pub(super) fn problem(path: &Path) -> Option<String> {
    let mut file = File::open(path).ok()?;
    // Shared, so that two who look do not take each other for the holder.
    match file.try_lock_shared() {
        Ok(())
            if file.metadata().is_ok_and(|metadata| metadata.len() > 0)
                && holder(&mut file).is_none() =>
        {
            Some("names no holder".to_owned())
        }
        _ => None,
    }
}
