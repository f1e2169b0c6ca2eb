//! Who makes an artifact: file locks, which the kernel releases when their process dies.

use std::{
    fs::{self, File, OpenOptions, TryLockError},
    io::{Read, Seek, Write},
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

use super::{Store, StoreError, memo::checksum};
use crate::digest::Digest;

/// The sole right to make the artifact of a key; given back when dropped, and by the kernel when the process dies.
#[derive(Debug)]
pub struct Lock {
    /// The key.
    pub(super) key: Digest,
    file: File,
    path: PathBuf,
}

impl Store {
    /// Waits for the lock of a key; `waiting` is told once who holds it.
    ///
    /// # Errors
    /// Where the lock's file cannot be made.
    pub fn lock(&self, key: &Digest, waiting: impl FnOnce(&str)) -> Result<Lock, StoreError> {
        let mut waiting = Some(waiting);
        loop {
            let (path, mut file) = self.open_lock(key)?;
            match file.try_lock() {
                Ok(()) => {}
                Err(TryLockError::WouldBlock) => {
                    if let Some(waiting) = waiting.take() {
                        waiting(&holder(&mut file).unwrap_or_else(|| "another process".to_owned()));
                    }
                    file.lock().map_err(StoreError::io("lock", &path))?;
                }
                Err(TryLockError::Error(error)) => return Err(StoreError::io("lock", &path)(error)),
            }
            if let Some(lock) = Lock::settle(*key, file, path)? {
                return Ok(lock);
            }
        }
    }

    /// The lock of a key, where nobody holds it.
    ///
    /// # Errors
    /// Where the lock's file cannot be made.
    pub fn try_lock(&self, key: &Digest) -> Result<Option<Lock>, StoreError> {
        loop {
            let (path, file) = self.open_lock(key)?;
            match file.try_lock() {
                Ok(()) => {}
                Err(TryLockError::WouldBlock) => return Ok(None),
                Err(TryLockError::Error(error)) => return Err(StoreError::io("lock", &path)(error)),
            }
            if let Some(lock) = Lock::settle(*key, file, path)? {
                return Ok(Some(lock));
            }
        }
    }

    fn open_lock(&self, key: &Digest) -> Result<(PathBuf, File), StoreError> {
        let path = self.locks().join(key.to_string());
        let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&path);
        Ok((path.clone(), file.map_err(StoreError::io("write", &path))?))
    }
}

impl Lock {
    /// Signs the lock's file, unless its last holder removed it meanwhile.
    fn settle(key: Digest, mut file: File, path: PathBuf) -> Result<Option<Self>, StoreError> {
        let held = file.metadata().map_err(StoreError::io("read", &path))?;
        if !fs::metadata(&path).is_ok_and(|named| (named.dev(), named.ino()) == (held.dev(), held.ino())) {
            return Ok(None);
        }
        let host = fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
        let holder = format!("process {} on {}", std::process::id(), host.trim());
        // In one piece, so that a kill leaves the whole line or none of it.
        let line = format!("{holder}\t{}\n", checksum(&holder));
        file.set_len(0)
            .and_then(|()| file.rewind())
            .and_then(|()| file.write_all(line.as_bytes()))
            .map_err(StoreError::io("write", &path))?;
        Ok(Some(Self { key, file, path }))
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        let removed = fs::remove_file(&self.path).and_then(|()| self.file.unlock());
        if let Err(error) = removed {
            tracing::warn!("cannot give back the lock {}: {error}", self.path.display());
        }
    }
}

fn holder(file: &mut File) -> Option<String> {
    let mut text = String::new();
    file.read_to_string(&mut text).ok()?;
    signed(&text).map(str::to_owned)
}

fn signed(text: &str) -> Option<&str> {
    let (holder, sum) = text.strip_suffix('\n')?.rsplit_once('\t')?;
    (checksum(holder) == sum).then_some(holder)
}

/// What is wrong with a lock's file that nobody holds; one whose process died before it could sign is empty.
pub(super) fn problem(path: &Path) -> Option<String> {
    let mut file = File::open(path).ok()?;
    match file.try_lock_shared() {
        Ok(()) if file.metadata().is_ok_and(|metadata| metadata.len() > 0) && holder(&mut file).is_none() => {
            Some("does not say whose it was".to_owned())
        }
        _ => None,
    }
}
