//! Who makes an artifact: file locks, which the kernel releases when their process dies.

use std::{
    fs::{self, File, Metadata, OpenOptions, Permissions, TryLockError},
    io::{ErrorKind, Read, Seek, Write},
    os::unix::fs::{MetadataExt, PermissionsExt},
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

    /// Opens the lock's file. A user whose umask shuts others out makes it nevertheless so that all can lock it: it holds
    /// nothing but a name, and the folder says who may use the store.
    fn open_lock(&self, key: &Digest) -> Result<(PathBuf, File), StoreError> {
        let path = self.locks().join(key.to_string());
        loop {
            match OpenOptions::new().read(true).write(true).open(&path) {
                Ok(file) => return Ok((path, file)),
                Err(error) if error.kind() == ErrorKind::NotFound => {}
                // Another user's, from a version that did not open it to all: with nobody behind it, it goes.
                Err(error) if error.kind() == ErrorKind::PermissionDenied => match File::open(&path) {
                    Ok(file) if file.try_lock().is_ok() && remove_held(&path, &file).is_ok() => {}
                    Ok(file) => return Ok((path, file)),
                    Err(_) => return Err(StoreError::io("write", &path)(error)),
                },
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
    /// Signs the lock's file, unless its last holder removed it meanwhile.
    fn settle(key: Digest, mut file: File, path: PathBuf) -> Result<Option<Self>, StoreError> {
        let held = file.metadata().map_err(StoreError::io("read", &path))?;
        if !fs::metadata(&path).is_ok_and(|named| (named.dev(), named.ino()) == (held.dev(), held.ino())) {
            return Ok(None);
        }
        // In one piece, so that a kill leaves the whole line or none of it.
        let line = sign(&this_process());
        file.set_len(0)
            .and_then(|()| file.rewind())
            .and_then(|()| file.write_all(line.as_bytes()))
            .map_err(StoreError::io("write", &path))?;
        Ok(Some(Self { key, file, path }))
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        let removed = remove_held(&self.path, &self.file).and_then(|()| self.file.unlock());
        if let Err(error) = removed {
            tracing::warn!("cannot give back the lock {}: {error}", self.path.display());
        }
    }
}

/// This process, as others know it.
pub(super) fn this_process() -> String {
    let host = fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    format!("process {} on {}", std::process::id(), host.trim())
}

/// Removes a file by name while its lock is held, unless the name means another file by now, or none.
fn remove_held(path: &Path, held: &File) -> std::io::Result<()> {
    let same = |named: Metadata, held: Metadata| (named.dev(), named.ino()) == (held.dev(), held.ino());
    let removed = fs::symlink_metadata(path)
        .and_then(|named| if same(named, held.metadata()?) { fs::remove_file(path) } else { Ok(()) });
    // Its last holder removed it between the look and the lock.
    removed.or_else(|error| if error.kind() == ErrorKind::NotFound { Ok(()) } else { Err(error) })
}

/// Removes a file among the locks that nobody holds. Whoever opened it before and locks it after sees that it is gone.
pub(super) fn remove_unheld(path: &Path) -> Result<(), StoreError> {
    match File::open(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        Err(error) => Err(StoreError::io("read", path)(error)),
        Ok(file) => match file.try_lock() {
            Ok(()) => remove_held(path, &file).map_err(StoreError::io("remove", path)),
            Err(TryLockError::WouldBlock) => Ok(()),
            Err(TryLockError::Error(error)) => Err(StoreError::io("lock", path)(error)),
        },
    }
}

/// A line with its checksum.
pub(super) fn sign(text: &str) -> String {
    format!("{text}\t{}\n", checksum(text))
}

fn holder(file: &mut File) -> Option<String> {
    let mut text = String::new();
    file.read_to_string(&mut text).ok()?;
    signed(&text).map(str::to_owned)
}

/// What a line says, where its checksum is right.
pub(super) fn signed(text: &str) -> Option<&str> {
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
