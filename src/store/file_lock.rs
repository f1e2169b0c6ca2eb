//! Exclusive locks of open files, of either kind.

use std::{
    fs::{File, TryLockError},
    io,
    path::Path,
};

use super::{
    lease_file::{self, LeaseFile, Taking, lease_of},
    lock_kind::{LockKind, Locking},
};

/// An exclusive lock on a file, until dropped or until its process dies.
#[derive(Debug)]
pub enum FileLock {
    /// By the kernel.
    Flock(File),
    /// By a lease file beside it.
    Lease(LeaseFile),
}

impl FileLock {
    /// Waits for the lock of an open file; `waiting` is called once with the holder, if it is
    /// known.
    ///
    /// # Errors
    /// If the file system refuses.
    pub fn take(
        kind: LockKind,
        file: &File,
        path: &Path,
        waiting: impl FnOnce(&str),
    ) -> io::Result<Self> {
        match kind {
            LockKind::Lease => LeaseFile::take(&lease_of(path), waiting).map(Self::Lease),
            LockKind::Flock => {
                wait_for(file.try_lock(), || waiting("another process"), || file.lock())?;
                // The same open file: what is locked here is locked there.
                file.try_clone().map(Self::Flock)
            }
        }
    }

    /// Waits for the lock of an open file that belongs to no store.
    ///
    /// # Errors
    /// If its file system has no locks, and no lease can be written.
    pub fn outside(file: &File, path: &Path) -> io::Result<Self> {
        let kind = Locking::of_folder(path.parent().unwrap_or(path)).kind;
        let taken = Self::take(kind, file, path, |_| ());
        taken.or_else(|_| Self::take(LockKind::Lease, file, path, |_| ()))
    }

    /// The lock of an open file, unless another process holds it.
    ///
    /// # Errors
    /// If the file system refuses.
    pub fn try_take(kind: LockKind, file: &File, path: &Path) -> io::Result<Option<Self>> {
        match kind {
            LockKind::Lease => match LeaseFile::try_take(&lease_of(path))? {
                Taking::Taken(lease) => Ok(Some(Self::Lease(lease))),
                Taking::Held(_) => Ok(None),
            },
            LockKind::Flock => match file.try_lock() {
                Ok(()) => file.try_clone().map(|same| Some(Self::Flock(same))),
                Err(TryLockError::WouldBlock) => Ok(None),
                Err(TryLockError::Error(error)) => Err(error),
            },
        }
    }

    /// Whether a live process holds the lock of a file, of either kind: one that began before a
    /// store got leases has a lock of the kernel.
    ///
    /// # Errors
    /// If there is no lease, and the file system has no other locks.
    pub fn is_held(file: &File, path: &Path) -> io::Result<bool> {
        if let Some(is_held) = lease_file::is_held(&lease_of(path))? {
            return Ok(is_held);
        }
        // Shared, so that two who look do not take each other for the holder.
        match file.try_lock_shared() {
            Ok(()) => file.unlock().map(|()| false),
            Err(TryLockError::WouldBlock) => Ok(true),
            Err(TryLockError::Error(error)) => Err(error),
        }
    }

    /// Lets processes that this one starts hold the lock until they end, even if this one is
    /// killed; a lease cannot be held that way.
    ///
    /// # Errors
    /// If the file system refuses.
    pub fn share_with_children(&self) -> io::Result<()> {
        match self {
            Self::Flock(file) => Ok(rustix::io::fcntl_setfd(file, rustix::io::FdFlags::empty())?),
            Self::Lease(_) => Ok(()),
        }
    }
}

/// Waits for a lock of the kernel that was tried, unless it was free; `waiting` is called before.
pub(super) fn wait_for(
    tried: Result<(), TryLockError>,
    waiting: impl FnOnce(),
    wait: impl FnOnce() -> io::Result<()>,
) -> io::Result<()> {
    match tried {
        Ok(()) => Ok(()),
        Err(TryLockError::WouldBlock) => {
            waiting();
            wait()
        }
        Err(TryLockError::Error(error)) => Err(error),
    }
}

impl Drop for FileLock {
    fn drop(&mut self) {
        // Others of this process may have the same open file.
        if let Self::Flock(file) = self
            && let Err(error) = file.unlock()
        {
            tracing::warn!("cannot release a lock: {error}");
        }
    }
}
