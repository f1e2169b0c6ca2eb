//! Users of the store: running runs and registered projects, which garbage collection respects.
//!
//! A run locks a file of its own and records every key that it looks up. Lookups pass a gate that
//! is shared by runs and closed while a collection decides: a key is either recorded by then or not
//! found. Neither waits for the other's work, only for lookups.

use std::{
    collections::BTreeSet,
    fs::{self, File},
    io::{ErrorKind, Read, Write},
    path::{Path, PathBuf},
    sync::MutexGuard,
    time::{SystemTime, UNIX_EPOCH},
};

use super::{
    FileLock, Store, StoreError,
    checksum::{sign, signed},
    durable,
    gate::Gate,
    lease_file::{STALE, lease_of, leased},
    lock::this_process,
    lock_kind::LockKind,
    roots::Roots,
};
use crate::digest::Digest;

/// A run's lease, until dropped: artifacts that it looks up are not collected.
#[derive(Debug)]
pub struct Lease<'a> {
    store: &'a Store,
}

/// Lookups that pass the gate together, until dropped.
#[derive(Debug)]
pub struct Lookups<'a> {
    store: &'a Store,
}

/// The closed gate: no lookups until dropped.
#[derive(Debug)]
pub struct Closed {
    _gate: Gate,
}

/// Needs of running runs.
#[derive(Debug, Default)]
pub struct LiveRoots {
    /// Keys looked up.
    pub keys: BTreeSet<Digest>,
    /// The runs.
    pub holders: Vec<String>,
    /// Files of killed runs.
    pub(super) dead: Vec<PathBuf>,
}

/// A folder of runs whose artifacts lie in this store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Project {
    /// Folder of the journals; none if the registration is unreadable.
    pub journals: Option<PathBuf>,
    /// Beginning of its last run.
    pub last_seen: Option<SystemTime>,
    /// Registration file.
    pub(super) file: PathBuf,
}

impl Store {
    pub(super) fn uses(&self) -> PathBuf {
        self.root.join("v1/uses")
    }

    fn gate(&self) -> Result<Gate, StoreError> {
        Gate::open(self.locking().kind, self.root.join("v1/gate"))
    }

    pub(super) fn registrations(&self) -> PathBuf {
        self.root.join("v1/projects")
    }

    /// Takes a lease for a run recorded in this folder. `waiting` is called once if a collection is
    /// running, which is awaited.
    ///
    /// # Errors
    /// If the file system has no locks.
    pub fn lease(&self, journals: &Path, waiting: impl FnOnce()) -> Result<Lease<'_>, StoreError> {
        self.take_lease(Some(journals), waiting)
    }

    /// Takes a lease for a command that is no run and reads or adds artifacts.
    ///
    /// # Errors
    /// If the file system has no locks.
    pub fn hold(&self, waiting: impl FnOnce()) -> Result<Lease<'_>, StoreError> {
        self.take_lease(None, waiting)
    }

    fn take_lease(
        &self,
        journals: Option<&Path>,
        waiting: impl FnOnce(),
    ) -> Result<Lease<'_>, StoreError> {
        if let Some(why) = &self.locking().why {
            tracing::warn!(
                "the store {} is locked by lease files: {why}; a process that dies on another \
                machine is noticed after {} s",
                self.root.display(),
                STALE.as_secs()
            );
        }
        match self.begin_use(journals, waiting) {
            Ok(roots) => *self.roots() = Some(roots),
            Err(StoreError::Io { doing: "lock", path, cause }) => {
                return Err(StoreError::io("lock", &path)(cause));
            }
            // With a read-only store or a full disk, the run may still find all it needs.
            Err(error) => tracing::warn!("`cache gc` will not know of this run: {error}"),
        }
        Ok(Lease { store: self })
    }

    fn begin_use(
        &self,
        journals: Option<&Path>,
        waiting: impl FnOnce(),
    ) -> Result<Roots, StoreError> {
        let mut gate = self.gate()?;
        gate.enter(waiting)?;
        // Inside the gate, so that no collection begins between registration and lease.
        if let Some(journals) = journals {
            // A collection takes a registered folder that does not exist for one that was moved. A
            // failure is told by the journal.
            let _ = fs::create_dir_all(journals);
            self.register(journals)?;
        }
        durable::create_folder(&self.uses())?;
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        // The process alone is not unique on a store that several machines share.
        let name = format!("{}-{}", since.as_nanos(), std::process::id());
        let path = self.uses().join(name);
        let mut file = durable::create_shared(&path, 0o644)?;
        let lock = FileLock::take(self.locking().kind, &file, &path, |_| ());
        let lock = lock.map_err(StoreError::io("lock", &path))?;
        let place = journals.map_or_else(
            || "not recorded".to_owned(),
            |journals| format!("recorded in {}", journals.display()),
        );
        let said = format!("{}, {place}\n", this_process());
        file.write_all(said.as_bytes()).map_err(StoreError::io("write", &path))?;
        gate.leave()?;
        Ok(Roots::new((file, lock), path, gate))
    }

    fn roots(&self) -> MutexGuard<'_, Option<Roots>> {
        self.roots.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// Looks up a key; under a lease, it is recorded first.
    pub(super) fn rooting<T>(
        &self,
        key: &Digest,
        look: impl FnOnce() -> T,
    ) -> Result<T, StoreError> {
        let passed = match &mut *self.roots() {
            Some(roots) => roots.begin_look(key).map(|()| true)?,
            None => false,
        };
        // The lock of the roots is not held meanwhile, so that lookups run in parallel.
        let found = look();
        if passed && let Some(roots) = &mut *self.roots() {
            roots.end_look();
        }
        Ok(found)
    }

    /// Lookups that follow each other, until dropped: they pass the gate together.
    pub fn lookups(&self) -> Lookups<'_> {
        if let Some(roots) = &mut *self.roots() {
            roots.stay(true);
        }
        Lookups { store: self }
    }

    /// Leaves the gate, since what follows may take long.
    pub(super) fn leave_gate(&self) {
        if let Some(roots) = &mut *self.roots() {
            roots.leave();
        }
    }

    /// Closes the gate for a collection after all lookups; `waiting` is called once if one is
    /// running.
    ///
    /// # Errors
    /// If the gate cannot be created, or the file system has no locks.
    pub fn close(&self, waiting: impl FnOnce()) -> Result<Closed, StoreError> {
        let mut gate = self.gate()?;
        gate.close(waiting)?;
        Ok(Closed { _gate: gate })
    }

    /// Keys looked up by running runs.
    ///
    /// # Errors
    /// If their files cannot be read.
    pub fn live_roots(&self) -> Result<LiveRoots, StoreError> {
        let mut live = LiveRoots::default();
        let kind = self.locking().kind;
        for (name, path) in durable::entries(&self.uses())? {
            if leased(&name).is_some() || name.starts_with(durable::ASIDE) {
                continue;
            }
            let mut file = match File::open(&path) {
                Err(error) if error.kind() == ErrorKind::NotFound => continue,
                opened => opened.map_err(StoreError::io("read", &path))?,
            };
            // A run holds the lock of its file as long as it lives.
            let is_held = match FileLock::is_held(&file, &path) {
                // One of a time or a machine with locks, whose end cannot be known here.
                Err(_) if kind == LockKind::Lease => true,
                is_held => is_held.map_err(StoreError::io("lock", &path))?,
            };
            if is_held {
                let mut text = String::new();
                file.read_to_string(&mut text).map_err(StoreError::io("read", &path))?;
                let mut lines = text.lines();
                live.holders.extend(lines.next().map(str::to_owned));
                live.keys.extend(lines.filter_map(|line| line.parse::<Digest>().ok()));
            } else {
                let lease = lease_of(&path);
                live.dead.extend(lease.exists().then_some(lease));
                live.dead.push(path);
            }
        }
        Ok(live)
    }

    /// Registers a folder of runs that use this store; one that is registered was seen again.
    ///
    /// # Errors
    /// If the registration cannot be written.
    pub fn register(&self, journals: &Path) -> Result<(), StoreError> {
        let journals = std::path::absolute(journals).map_err(StoreError::io("find", journals))?;
        let path = self.relative(&journals);
        let text = path.to_str().ok_or_else(|| StoreError::Name(journals.clone()))?;
        let file = self.registrations().join(&blake3::hash(text.as_bytes()).to_hex()[..16]);
        let line = sign(text);
        if fs::read(&file).is_ok_and(|known| known == line.as_bytes()) {
            // Its time is that of the last run, which another user's file does not let others set.
            let seen = File::options().append(true).open(&file);
            let _ = seen.and_then(|file| file.set_modified(SystemTime::now()));
            return Ok(());
        }
        durable::create_folder(&self.registrations())?;
        durable::replace(&file, line.as_bytes())
    }

    /// A folder beside the store is stored as a relative path, so that both can be moved together.
    fn relative(&self, journals: &Path) -> PathBuf {
        let beside = self.root.parent().and_then(|parent| journals.strip_prefix(parent).ok());
        beside.map_or_else(|| journals.to_owned(), |way| Path::new("..").join(way))
    }

    /// All registered projects.
    ///
    /// # Errors
    /// If they cannot be listed.
    pub fn projects(&self) -> Result<Vec<Project>, StoreError> {
        let known = durable::entries(&self.registrations())?.into_iter();
        let known = known.filter(|(name, _)| !name.starts_with(durable::ASIDE));
        let projects = known.map(|(_, file)| Project {
            journals: self.registered(&file),
            last_seen: fs::metadata(&file).and_then(|metadata| metadata.modified()).ok(),
            file,
        });
        Ok(projects.collect())
    }

    /// Folder of the runs of a registered project; none if its line is torn.
    pub(super) fn registered(&self, file: &Path) -> Option<PathBuf> {
        let text = fs::read_to_string(file).ok()?;
        let path = Path::new(signed(&text)?);
        // Written relative to the store if both lie in one folder: they may have been moved
        // together.
        Some(match path.strip_prefix("..") {
            Ok(way) => self.root.parent()?.join(way),
            Err(_) => path.to_owned(),
        })
    }

    /// Unregisters a project; artifacts that only its runs used have no user then.
    ///
    /// # Errors
    /// If the store cannot be written.
    pub fn forget(&self, project: &Project) -> Result<(), StoreError> {
        fs::remove_file(&project.file).map_err(StoreError::io("remove", &project.file))
    }
}

impl Drop for Lease<'_> {
    fn drop(&mut self) {
        if let Some(roots) = self.store.roots().take()
            && let Err(error) = fs::remove_file(&roots.path)
        {
            tracing::warn!("cannot remove {}: {error}", roots.path.display());
        }
    }
}

impl Drop for Lookups<'_> {
    fn drop(&mut self) {
        if let Some(roots) = &mut *self.store.roots() {
            roots.stay(false);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_project_whose_first_run_has_just_begun_is_not_taken_for_a_removed_one() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(&folder.path().join("store")).unwrap();
        let journals = folder.path().join("project/experiments");
        let _lease = store.lease(&journals, || ()).unwrap();
        let projects = store.projects().unwrap();
        assert_eq!(projects.len(), 1);
        assert!(projects[0].journals.as_ref().unwrap().is_dir());
    }
}
