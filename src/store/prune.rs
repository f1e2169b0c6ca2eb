//! How much space the store takes, and what of it nothing needs any more.

use std::{
    collections::BTreeSet,
    fs,
    io::ErrorKind,
    path::{Path, PathBuf},
    time::Duration,
};

use super::{Closed, Pinned, Store, StoreError, durable};
use crate::digest::Digest;

/// Bytes on disk.
#[derive(Clone, Copy, Debug, Default, PartialEq, serde::Serialize)]
pub struct Usage {
    /// Of artifacts.
    pub artifacts: u64,
    /// Of attempts and checkpoints.
    pub work: u64,
    /// Of what was moved aside.
    pub damaged: u64,
    /// Of everything.
    pub total: u64,
}

/// Something that nothing needs any more.
#[derive(Clone, Debug)]
pub struct Leftover {
    /// The folder or file.
    pub path: PathBuf,
    /// Bytes on disk.
    pub bytes: u64,
    /// Why it is not needed, in words.
    pub why: &'static str,
    key: Option<Digest>,
}

/// Whose artifacts are whose.
#[derive(Clone, Debug, Default)]
pub struct Claims {
    /// Keys that stay.
    pub kept: BTreeSet<Digest>,
    /// Keys that a run of one's own made or used: those that are not kept may go.
    pub known: BTreeSet<Digest>,
    /// Whether those may go, too, of which nothing is known; they may be other people's.
    pub unrecorded: bool,
}

/// What a look for garbage found.
#[derive(Debug, Default)]
pub struct Collection {
    /// What can go.
    pub leftovers: Vec<Leftover>,
    /// Artifacts and unfinished work of which nothing is known, and which therefore stay.
    pub unrecorded: usize,
    /// Bytes of those on disk.
    pub unrecorded_bytes: u64,
    /// Artifacts and unfinished work that only a run under way keeps.
    pub in_use: usize,
    /// What runs under way have looked up.
    pub pinned: Pinned,
}

/// A file that is younger may be in the making.
const YOUNG: Duration = Duration::from_secs(3600);

impl Store {
    /// Bytes on disk.
    pub fn usage(&self) -> Usage {
        Usage {
            artifacts: durable::size_of(&self.artifacts()),
            work: durable::size_of(&self.work()),
            damaged: durable::size_of(&self.damaged()),
            total: durable::size_of(&self.root),
        }
    }

    /// Removes the work folders of keys whose artifacts stand: a process killed between the two leaves one.
    ///
    /// # Errors
    /// Where the store cannot be read or written.
    pub fn remove_finished_work(&self) -> Result<(), StoreError> {
        for (name, path) in durable::entries(&self.work())? {
            if let Ok(key) = name.parse::<Digest>()
                && self.folder_of(&key).exists()
                && let Some(_lock) = self.try_lock(&key)?
            {
                durable::remove_folder(&path)?;
            }
        }
        Ok(())
    }

    /// What nothing needs: all that was moved aside, work of dead attempts, and of the artifacts and checkpoints those that
    /// the claims give up. What another process is making is not listed.
    ///
    /// # Errors
    /// Where the store cannot be listed.
    pub fn leftovers(&self, claims: &Claims) -> Result<Collection, StoreError> {
        let mut collection = Collection { pinned: self.pinned()?, ..Collection::default() };
        self.list_small_leftovers(&mut collection)?;
        for (name, path) in durable::entries(&self.work())? {
            let Ok(key) = name.parse::<Digest>() else {
                collection.add(path, "no work of ours", None);
                continue;
            };
            // Where the artifact stands, its work is done.
            if fs::symlink_metadata(self.folder_of(&key)).is_ok() {
                collection.add(path, "unfinished, and its artifact is there", Some(key));
            } else if collection.gives_up(claims, key, &path) {
                collection.add(path, "unfinished, and no recent run needs it", Some(key));
            } else {
                let attempts = durable::entries(&path)?.into_iter().filter(|(name, _)| name.starts_with("attempt-"));
                attempts.for_each(|(_, attempt)| collection.add(attempt, "left by an attempt that died", Some(key)));
            }
        }
        for key in self.keys()? {
            let folder = self.folder_of(&key);
            if collection.gives_up(claims, key, &folder) {
                collection.add(folder, "no recent run needs it", Some(key));
            }
        }
        let mut free = BTreeSet::new();
        for key in collection.leftovers.iter().filter_map(|leftover| leftover.key) {
            if !free.contains(&key) && self.is_free(&key)? {
                free.insert(key);
            }
        }
        collection.leftovers.retain(|leftover| leftover.key.is_none_or(|key| free.contains(&key)));
        Ok(collection)
    }

    /// What was moved aside, locks that nobody holds, and what processes left that died.
    fn list_small_leftovers(&self, collection: &mut Collection) -> Result<(), StoreError> {
        for (_, path) in durable::entries(&self.damaged())? {
            collection.add(path, "moved aside", None);
        }
        for (name, path) in durable::entries(&self.locks())? {
            if let Ok(key) = name.parse() {
                collection.add(path, "a lock that nobody holds", Some(key));
            }
        }
        for folder in [self.root.clone(), self.root.join("v1"), self.registrations()] {
            let unfinished =
                durable::entries(&folder)?.into_iter().filter(|(name, _)| name.starts_with(durable::ASIDE));
            let old = unfinished.filter(|(_, path)| is_old(path));
            old.for_each(|(_, path)| collection.add(path, "left by a process that died", None));
        }
        for path in std::mem::take(&mut collection.pinned.dead) {
            collection.add(path, "left by a run that was killed", None);
        }
        Ok(())
    }

    /// Removes leftovers; returns those that were removed, since some may be in use by now. Artifacts go out of sight first,
    /// all of them while the gate is shut; only then runs may look things up again, and what is out of sight is deleted.
    ///
    /// # Errors
    /// Where something cannot be removed.
    pub fn remove(&self, leftovers: Vec<Leftover>, closed: Closed) -> Result<Vec<Leftover>, StoreError> {
        let (mut removed, mut hidden) = (Vec::new(), Vec::new());
        let mut others = Vec::new();
        for leftover in leftovers {
            match &leftover.key {
                Some(key) if leftover.path == self.folder_of(key) => {
                    let Some(lock) = self.try_lock(key)? else { continue };
                    if fs::symlink_metadata(&leftover.path).is_ok() {
                        hidden.push(self.set_aside(&lock)?);
                        removed.push(leftover);
                    }
                }
                _ => others.push(leftover),
            }
        }
        drop(closed);
        for folder in hidden {
            remove_any(&folder)?;
        }
        for leftover in others {
            let lock = match &leftover.key {
                Some(key) => match self.try_lock(key)? {
                    Some(lock) => Some(lock),
                    None => continue,
                },
                None => None,
            };
            // A lock's own file goes when the lock is given back.
            if !leftover.path.starts_with(self.locks()) {
                remove_any(&leftover.path)?;
            }
            drop(lock);
            removed.push(leftover);
        }
        Ok(removed)
    }

    /// Whether nobody holds the lock of a key.
    fn is_free(&self, key: &Digest) -> Result<bool, StoreError> {
        let path = self.locks().join(key.to_string());
        match fs::File::open(&path) {
            Ok(file) => Ok(file.try_lock_shared().is_ok()),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(true),
            Err(error) => Err(StoreError::io("read", &path)(error)),
        }
    }
}

impl Collection {
    fn add(&mut self, path: PathBuf, why: &'static str, key: Option<Digest>) {
        self.leftovers.push(Leftover { bytes: durable::size_of(&path), path, why, key });
    }

    /// Whether an artifact or its unfinished work may go; what stays although no claim of one's own keeps it is counted.
    fn gives_up(&mut self, claims: &Claims, key: Digest, path: &Path) -> bool {
        if claims.kept.contains(&key) {
            return false;
        }
        let known = claims.known.contains(&key);
        if self.pinned.keys.contains(&key) {
            self.in_use += 1;
            return false;
        }
        if !known && !claims.unrecorded {
            self.unrecorded += 1;
            self.unrecorded_bytes += durable::size_of(path);
        }
        known || claims.unrecorded
    }
}

fn remove_any(path: &Path) -> Result<(), StoreError> {
    match fs::symlink_metadata(path) {
        Ok(kind) if kind.is_dir() => durable::remove_folder(path),
        Ok(_) => match fs::remove_file(path) {
            Err(error) if error.kind() != ErrorKind::NotFound => Err(StoreError::io("remove", path)(error)),
            _ => Ok(()),
        },
        Err(_) => Ok(()),
    }
}

/// Whether a file that is not in place yet cannot be another process's that is just writing it.
fn is_old(path: &Path) -> bool {
    let modified = fs::symlink_metadata(path).and_then(|metadata| metadata.modified()).ok();
    modified.and_then(|at| at.elapsed().ok()).is_some_and(|age| age > YOUNG)
}
