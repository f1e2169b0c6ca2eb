//! The gate of a store: lookups of runs pass it together, and a collection closes it alone.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, ErrorKind},
    path::{Path, PathBuf},
    thread,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use super::{
    durable,
    error::StoreError,
    file_lock::wait_for,
    lease_file::{self, LeaseFile, lease_of},
    lock_kind::LockKind,
};

/// Time between two looks of a closing gate at those inside.
const PAUSE: Duration = Duration::from_millis(20);
/// Beginning of the names of leases of those inside, which lie beside the gate: a machine that
/// changes a folder learns what others have changed in it.
const INSIDE: &str = "gate.inside-";

/// A gate, and whether this process is inside.
#[derive(Debug)]
pub(super) enum Gate {
    /// Locked by the kernel, shared or exclusively.
    Flock { file: File, path: PathBuf },
    /// A lease for each of those inside, and one for whoever enters or closes.
    Lease { path: PathBuf, held: Option<LeaseFile> },
}

impl Gate {
    /// Opens the gate at a path.
    pub(super) fn open(kind: LockKind, path: PathBuf) -> Result<Self, StoreError> {
        Ok(match kind {
            LockKind::Lease => Self::Lease { path, held: None },
            LockKind::Flock => Self::Flock { file: open(&path)?, path },
        })
    }

    /// Enters together with others, after a collection; `waiting` is called once if one is running.
    pub(super) fn enter(&mut self, waiting: impl FnOnce()) -> Result<(), StoreError> {
        let (path, entered) = match self {
            Self::Flock { file, path } => {
                let tried = file.try_lock_shared();
                (&*path, wait_for(tried, waiting, || file.lock_shared()))
            }
            Self::Lease { path, held } => {
                (&*path, enter(path, waiting).map(|inside| *held = Some(inside)))
            }
        };
        entered.map_err(StoreError::io("lock", path))
    }

    /// Closes the gate after all inside have left; `waiting` is called once if there are any.
    pub(super) fn close(&mut self, waiting: impl FnOnce()) -> Result<(), StoreError> {
        let (path, closed) = match self {
            Self::Flock { file, path } => {
                (&*path, wait_for(file.try_lock(), waiting, || file.lock()))
            }
            Self::Lease { path, held } => {
                (&*path, close(path, waiting).map(|closed| *held = Some(closed)))
            }
        };
        closed.map_err(StoreError::io("lock", path))
    }

    /// Leaves or opens the gate.
    pub(super) fn leave(&mut self) -> Result<(), StoreError> {
        match self {
            Self::Flock { file, path } => file.unlock().map_err(StoreError::io("unlock", path)),
            Self::Lease { held, .. } => {
                *held = None;
                Ok(())
            }
        }
    }
}

/// Takes a lease of those inside, while nobody can close the gate.
fn enter(gate: &Path, waiting: impl FnOnce()) -> io::Result<LeaseFile> {
    let _door = LeaseFile::take(&lease_of(gate), |_| waiting())?;
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let name = format!("{INSIDE}{}-{}", since.as_nanos(), std::process::id());
    LeaseFile::take(&lease_of(&gate.with_file_name(name)), |_| ())
}

/// Takes the lease of the gate, and waits for those inside.
fn close(gate: &Path, waiting: impl FnOnce()) -> io::Result<LeaseFile> {
    let mut waiting = Some(waiting);
    let closed = LeaseFile::take(&lease_of(gate), |_| waiting.take().into_iter().for_each(call))?;
    let folder = gate.parent().expect("the gate lies in a folder");
    loop {
        let mut inside = 0;
        for entry in fs::read_dir(folder)? {
            let entry = entry?;
            if !entry.file_name().to_string_lossy().starts_with(INSIDE) {
                continue;
            }
            match lease_file::is_held(&entry.path())? {
                Some(true) => inside += 1,
                // Left by a process that was killed.
                Some(false) => fs::remove_file(entry.path())?,
                None => {}
            }
        }
        if inside == 0 {
            return Ok(closed);
        }
        waiting.take().into_iter().for_each(call);
        thread::sleep(PAUSE);
    }
}

fn call(waiting: impl FnOnce()) {
    waiting();
}

/// Opens the file of a gate. A network file system locks only what is opened for writing, so that
/// all users of the store may write it; it is empty.
fn open(path: &Path) -> Result<File, StoreError> {
    match OpenOptions::new().read(true).append(true).open(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => match create(path) {
            Err(StoreError::Io { cause, .. }) if cause.kind() == ErrorKind::AlreadyExists => {
                open(path)
            }
            created => created,
        },
        // Made by another user with an older version.
        Err(error) if error.kind() == ErrorKind::PermissionDenied => {
            File::open(path).map_err(StoreError::io("read", path))
        }
        opened => opened.map_err(StoreError::io("write", path)),
    }
}

fn create(path: &Path) -> Result<File, StoreError> {
    durable::create_shared(path, 0o666)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};

    use super::*;

    #[test]
    fn many_are_inside_together_and_none_while_it_is_closed() {
        for kind in [LockKind::Flock, LockKind::Lease] {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("gate");
            let gate = || Gate::open(kind, path.clone()).unwrap();
            let [mut one, mut other] = [gate(), gate()];
            one.enter(|| panic!("nobody closed it")).unwrap();
            other.enter(|| panic!("nobody closed it")).unwrap();
            let (is_closed, is_inside) = (AtomicBool::new(false), AtomicBool::new(true));
            thread::scope(|scope| {
                scope.spawn(|| {
                    let mut closing = gate();
                    closing.close(|| ()).unwrap();
                    assert!(!is_inside.load(Ordering::SeqCst), "{kind:?}");
                    is_closed.store(true, Ordering::SeqCst);
                    thread::sleep(Duration::from_millis(200));
                    is_closed.store(false, Ordering::SeqCst);
                    closing.leave().unwrap();
                });
                thread::sleep(Duration::from_millis(200));
                assert!(!is_closed.load(Ordering::SeqCst), "{kind:?}");
                other.leave().unwrap();
                is_inside.store(false, Ordering::SeqCst);
                one.leave().unwrap();
                while !is_closed.load(Ordering::SeqCst) {
                    thread::sleep(Duration::from_millis(1));
                }
                let mut said = false;
                one.enter(|| said = true).unwrap();
                assert!(said && !is_closed.load(Ordering::SeqCst), "{kind:?}");
                one.leave().unwrap();
            });
            let left: Vec<_> = fs::read_dir(folder.path()).unwrap().collect();
            assert_eq!(left.len(), usize::from(kind == LockKind::Flock));
        }
    }

    #[test]
    fn those_who_were_killed_inside_keep_nobody_out() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("gate");
        let mut gate = Gate::open(LockKind::Lease, path.clone()).unwrap();
        gate.enter(|| ()).unwrap();
        // Of a process with the same number that began at another time.
        let inside = fs::read_dir(folder.path()).unwrap().next().unwrap().unwrap().path();
        let text = fs::read_to_string(&inside).unwrap();
        let (holder, _) = text.split_once('\t').unwrap();
        let mut holder: serde_json::Value = serde_json::from_str(holder).unwrap();
        holder["began"] = 1.into();
        fs::write(&inside, super::super::checksum::sign(&holder.to_string())).unwrap();
        let mut closing = Gate::open(LockKind::Lease, path).unwrap();
        closing.close(|| panic!("nobody is inside")).unwrap();
    }
}
