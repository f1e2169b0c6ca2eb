//! How a store is locked: by `flock`, or by lease files where that fails or holds on one machine
//! only.

use std::{
    fs::{self, File, TryLockError},
    io,
    path::{Path, PathBuf},
    sync::Once,
};

use super::{
    durable::{self, ASIDE},
    error::has_no_locks,
    file_system::FileSystem,
};

/// Names a kind of lock for all stores, `flock` or `lease`.
pub(super) const VARIABLE: &str = "APEFT_LOCKS";

/// A kind of lock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LockKind {
    /// Of open files, by the kernel.
    Flock,
    /// Lease files.
    Lease,
}

/// How a folder is locked.
#[derive(Clone, Debug)]
pub struct Locking {
    /// The kind of its locks.
    pub kind: LockKind,
    /// Why they are lease files.
    pub why: Option<String>,
}

/// What `doctor` finds out about the locks of a folder.
#[derive(Clone, Debug)]
pub struct LockReport {
    /// Name of its file system.
    pub file_system: String,
    /// Kind of lock that a store there gets.
    pub locking: Locking,
    /// What `flock` did when it was tried.
    pub tried: String,
}

impl Locking {
    /// How files of a folder outside of a store are locked.
    pub fn of_folder(folder: &Path) -> Self {
        named().unwrap_or_else(|| match FileSystem::of(folder) {
            FileSystem { name, lacks: Some(lacks) } => Self::leases(format!("{lacks} ({name})")),
            _ => Self { kind: LockKind::Flock, why: None },
        })
    }

    /// How a store is locked: all its users must agree, so that it is recorded in the store.
    /// `flock` is tried on a file that nobody locks.
    pub(super) fn of_store(root: &Path, tried: &Path, writes: bool) -> Self {
        if let Some(named) = named() {
            return named;
        }
        let record = record_of(root);
        if let Ok(why) = fs::read_to_string(&record) {
            return Self::leases(why.trim().to_owned());
        }
        let mut found = Self::of_folder(root);
        if found.kind == LockKind::Flock
            && let Ok(file) = File::open(tried)
            && let Some(error) = refusal(&file)
        {
            let name = FileSystem::of(root).name;
            found = Self::leases(format!("`flock` fails on {name}: {error}"));
        }
        if writes && let Some(why) = &found.why {
            let kept = durable::replace(&record, format!("{why}\n").as_bytes());
            kept.unwrap_or_else(|error| tracing::warn!("other machines may use flock: {error}"));
        }
        found
    }

    fn leases(why: String) -> Self {
        Self { kind: LockKind::Lease, why: Some(why) }
    }
}

impl LockReport {
    /// Tries the locks of the file system that a store is on, or would be.
    pub(super) fn of(root: &Path, locking: Locking) -> Self {
        let there = root.ancestors().find(|folder| folder.is_dir()).unwrap_or(Path::new("."));
        Self {
            file_system: FileSystem::of(root).name,
            locking,
            tried: match try_flock(there) {
                Ok(true) => "`flock` excludes a second holder".to_owned(),
                Ok(false) => "`flock` lets two hold one lock".to_owned(),
                Err(error) => format!("`flock` fails: {error}"),
            },
        }
    }
}

/// Whether a lock excludes a second open file of this machine.
fn try_flock(folder: &Path) -> io::Result<bool> {
    let file = tempfile::Builder::new().prefix(ASIDE).tempfile_in(folder)?;
    if let Err(TryLockError::Error(error)) = file.as_file().try_lock() {
        return Err(error);
    }
    match file.reopen()?.try_lock() {
        Ok(()) => Ok(false),
        Err(TryLockError::WouldBlock) => Ok(true),
        Err(TryLockError::Error(error)) => Err(error),
    }
}

/// Where a store says that it is locked by lease files, and why.
pub(super) fn record_of(root: &Path) -> PathBuf {
    root.join("v1/leases")
}

/// The kind that the environment names.
fn named() -> Option<Locking> {
    match std::env::var(VARIABLE).ok()?.as_str() {
        "flock" => Some(Locking { kind: LockKind::Flock, why: None }),
        "lease" => Some(Locking::leases(format!("{VARIABLE} asks for them"))),
        other => {
            static SAID: Once = Once::new();
            SAID.call_once(|| {
                tracing::warn!("{VARIABLE}={other} is ignored: `flock` or `lease` is expected");
            });
            None
        }
    }
}

/// The error of a file system without locks.
fn refusal(file: &File) -> Option<io::Error> {
    match file.try_lock_shared() {
        Err(TryLockError::Error(error)) if has_no_locks(&error) => Some(error),
        _ => None,
    }
}
