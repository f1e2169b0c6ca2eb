//! Who uses the store: runs under way, and the projects that share it. Collection asks here before it takes anything.
//!
//! A run holds a file of its own locked, and writes into it every key that it looks up. It does so while it passes a gate
//! that is open to all runs at once and shut while a collection decides what to take: what a run has found is either written
//! down by then or not found at all. So neither waits for the other's work, only for its looks.

use std::{
    collections::BTreeSet,
    fs::{self, File, OpenOptions, Permissions, TryLockError},
    io::{ErrorKind, Read, Write},
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    sync::MutexGuard,
    time::{SystemTime, UNIX_EPOCH},
};

use super::{
    Store, StoreError, durable,
    lock::{sign, signed, this_process},
};
use crate::digest::Digest;

/// A run's hold on the store until it is dropped: what it looks up meanwhile stays.
#[derive(Debug)]
pub struct Lease<'a> {
    store: &'a Store,
}

/// What a run under way has looked up.
#[derive(Debug)]
pub(super) struct Pins {
    /// Locked as long as the run lives.
    file: File,
    path: PathBuf,
    gate: File,
    written: BTreeSet<Digest>,
    /// How many looks are under way; the gate is passed by the first and left by the last.
    looks: usize,
    /// A key could not be written down: the gate stays passed to the end of the run, and no collection begins.
    blocks: bool,
}

/// The gate, shut: no run looks anything up until this is dropped.
#[derive(Debug)]
pub struct Closed {
    _gate: File,
}

/// What runs under way need.
#[derive(Debug, Default)]
pub struct Pinned {
    /// What they have looked up.
    pub keys: BTreeSet<Digest>,
    /// Who they are.
    pub holders: Vec<String>,
    /// What runs left that were killed.
    pub(super) dead: Vec<PathBuf>,
}

/// A folder of runs whose artifacts lie in this store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Project {
    /// Where its runs are recorded; nothing where that cannot be read any more.
    pub journals: Option<PathBuf>,
    /// Where the store remembers it.
    pub(super) file: PathBuf,
}

impl Store {
    fn uses(&self) -> PathBuf {
        self.root.join("v1/uses")
    }

    fn gate(&self) -> PathBuf {
        self.root.join("v1/gate")
    }

    pub(super) fn registrations(&self) -> PathBuf {
        self.root.join("v1/projects")
    }

    /// Begins to use the store for a run that is recorded in this folder. `waiting` is told once where a collection is
    /// at work, which comes first.
    ///
    /// # Errors
    /// Where the file system offers no locks.
    pub fn lease(&self, journals: &Path, waiting: impl FnOnce()) -> Result<Lease<'_>, StoreError> {
        match self.begin_use(journals, waiting) {
            Ok(pins) => *self.pins() = Some(pins),
            Err(StoreError::Io { doing: "lock", path, cause }) => return Err(StoreError::io("lock", &path)(cause)),
            // A store that is only read, or a full disk: the run may need nothing but what is there.
            Err(error) => tracing::warn!("a collection of garbage will not know of this run: {error}"),
        }
        Ok(Lease { store: self })
    }

    fn begin_use(&self, journals: &Path, waiting: impl FnOnce()) -> Result<Pins, StoreError> {
        let gate = self.open_gate()?;
        pass(&gate, &self.gate(), true, waiting)?;
        self.register(journals)?;
        durable::create_folder(&self.uses())?;
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let name = format!("{}-{}", since.as_nanos(), std::process::id());
        let path = self.uses().join(name);
        let mut file = open_new(&path)?;
        file.lock().map_err(StoreError::io("lock", &path))?;
        let said = format!("{}, recorded in {}\n", this_process(), journals.display());
        file.write_all(said.as_bytes()).map_err(StoreError::io("write", &path))?;
        gate.unlock().map_err(StoreError::io("unlock", &self.gate()))?;
        Ok(Pins { file, path, gate, written: BTreeSet::new(), looks: 0, blocks: false })
    }

    fn open_gate(&self) -> Result<File, StoreError> {
        let path = self.gate();
        match OpenOptions::new().read(true).open(&path) {
            Err(error) if error.kind() == ErrorKind::NotFound => match open_new(&path) {
                Err(StoreError::Io { cause, .. }) if cause.kind() == ErrorKind::AlreadyExists => {
                    File::open(&path).map_err(StoreError::io("read", &path))
                }
                opened => opened,
            },
            opened => opened.map_err(StoreError::io("read", &path)),
        }
    }

    fn pins(&self) -> MutexGuard<'_, Option<Pins>> {
        self.pins.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// Looks something up; under a lease the key is written down first.
    pub(super) fn pinning<T>(&self, key: &Digest, look: impl FnOnce() -> T) -> Result<T, StoreError> {
        let passed = match &mut *self.pins() {
            Some(pins) => pins.begin_look(key).map(|()| true)?,
            None => false,
        };
        let found = look();
        if passed && let Some(pins) = &mut *self.pins() {
            pins.end_look();
        }
        Ok(found)
    }

    /// Shuts the gate for a collection, once no run is looking anything up; `waiting` is told once where one is.
    ///
    /// # Errors
    /// Where the gate cannot be made, or the file system offers no locks.
    pub fn close(&self, waiting: impl FnOnce()) -> Result<Closed, StoreError> {
        let gate = self.open_gate()?;
        pass(&gate, &self.gate(), false, waiting)?;
        Ok(Closed { _gate: gate })
    }

    /// What runs under way have looked up so far.
    ///
    /// # Errors
    /// Where what they wrote cannot be read.
    pub fn pinned(&self) -> Result<Pinned, StoreError> {
        let mut pinned = Pinned::default();
        for (_, path) in durable::entries(&self.uses())? {
            let mut file = match File::open(&path) {
                Err(error) if error.kind() == ErrorKind::NotFound => continue,
                opened => opened.map_err(StoreError::io("read", &path))?,
            };
            match file.try_lock_shared() {
                Ok(()) => pinned.dead.push(path),
                Err(TryLockError::Error(error)) => return Err(StoreError::io("lock", &path)(error)),
                Err(TryLockError::WouldBlock) => {
                    let mut text = String::new();
                    file.read_to_string(&mut text).map_err(StoreError::io("read", &path))?;
                    let mut lines = text.lines();
                    pinned.holders.extend(lines.next().map(str::to_owned));
                    pinned.keys.extend(lines.filter_map(|line| line.parse::<Digest>().ok()));
                }
            }
        }
        Ok(pinned)
    }

    /// Remembers that the runs recorded in a folder use this store.
    ///
    /// # Errors
    /// Where that cannot be written down.
    pub fn register(&self, journals: &Path) -> Result<(), StoreError> {
        let journals = std::path::absolute(journals).map_err(StoreError::io("find", journals))?;
        let path = self.relative(&journals);
        let text = path.to_str().ok_or_else(|| StoreError::Name(journals.clone()))?;
        let file = self.registrations().join(&blake3::hash(text.as_bytes()).to_hex()[..16]);
        let line = sign(text);
        if fs::read(&file).is_ok_and(|known| known == line.as_bytes()) {
            return Ok(());
        }
        durable::create_folder(&self.registrations())?;
        durable::replace(&file, line.as_bytes())
    }

    /// A folder beside the store is remembered by its way from there, so that both can move together.
    fn relative(&self, journals: &Path) -> PathBuf {
        let beside = self.root.parent().and_then(|parent| journals.strip_prefix(parent).ok());
        beside.map_or_else(|| journals.to_owned(), |way| Path::new("..").join(way))
    }

    /// All projects that are known to use this store.
    ///
    /// # Errors
    /// Where they cannot be listed.
    pub fn projects(&self) -> Result<Vec<Project>, StoreError> {
        let known = durable::entries(&self.registrations())?.into_iter();
        let known = known.filter(|(name, _)| !name.starts_with(durable::ASIDE));
        Ok(known.map(|(_, file)| Project { journals: self.registered(&file), file }).collect())
    }

    /// Where the runs of a registered project are recorded; nothing where its line is torn.
    pub(super) fn registered(&self, file: &Path) -> Option<PathBuf> {
        let text = fs::read_to_string(file).ok()?;
        let path = Path::new(signed(&text)?);
        Some(match path.strip_prefix("..") {
            Ok(way) => self.root.parent()?.join(way),
            Err(_) => path.to_owned(),
        })
    }

    /// Forgets a project; what only its runs used is nobody's from then on.
    ///
    /// # Errors
    /// Where the store cannot be written.
    pub fn forget(&self, project: &Project) -> Result<(), StoreError> {
        fs::remove_file(&project.file).map_err(StoreError::io("remove", &project.file))
    }
}

impl Pins {
    fn begin_look(&mut self, key: &Digest) -> Result<(), StoreError> {
        if self.looks == 0 && !self.blocks {
            self.gate.lock_shared().map_err(StoreError::io("lock", &self.path))?;
        }
        self.looks += 1;
        if self.written.insert(*key)
            && let Err(error) = self.file.write_all(format!("{key}\n").as_bytes())
            && !self.blocks
        {
            tracing::warn!(
                "no garbage is collected before this run ends, since what it needs cannot be noted: {error}"
            );
            self.blocks = true;
        }
        Ok(())
    }

    fn end_look(&mut self) {
        self.looks -= 1;
        if self.looks == 0
            && !self.blocks
            && let Err(error) = self.gate.unlock()
        {
            tracing::warn!("no garbage is collected before this run ends: {error}");
        }
    }
}

impl Drop for Lease<'_> {
    fn drop(&mut self) {
        if let Some(pins) = self.store.pins().take()
            && let Err(error) = fs::remove_file(&pins.path)
        {
            tracing::warn!("cannot remove {}: {error}", pins.path.display());
        }
    }
}

/// A new file that all who share the store can read and lock, whatever the umask: it holds no more than keys.
fn open_new(path: &Path) -> Result<File, StoreError> {
    let file = OpenOptions::new().read(true).append(true).create_new(true).open(path);
    let file = file.map_err(StoreError::io("write", path))?;
    let _ = file.set_permissions(Permissions::from_mode(0o644));
    Ok(file)
}

/// Passes the gate together with others, or alone.
fn pass(gate: &File, path: &Path, together: bool, waiting: impl FnOnce()) -> Result<(), StoreError> {
    let tried = if together { gate.try_lock_shared() } else { gate.try_lock() };
    match tried {
        Ok(()) => Ok(()),
        Err(TryLockError::Error(error)) => Err(StoreError::io("lock", path)(error)),
        Err(TryLockError::WouldBlock) => {
            waiting();
            let waited = if together { gate.lock_shared() } else { gate.lock() };
            waited.map_err(StoreError::io("lock", path))
        }
    }
}
