//! How much space the store takes, and what of it nothing needs any more.

use std::{collections::BTreeSet, fs, path::PathBuf};

use super::{Store, StoreError, durable};
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

    /// What nothing needs: all that was moved aside, work of dead attempts, and artifacts and checkpoints of keys that are
    /// not in `kept`. What another process is making is not listed.
    ///
    /// # Errors
    /// Where the store cannot be listed.
    pub fn leftovers(&self, kept: &BTreeSet<Digest>) -> Result<Vec<Leftover>, StoreError> {
        let mut leftovers = Vec::new();
        let mut add = |path: PathBuf, why, key| {
            leftovers.push(Leftover { bytes: durable::size_of(&path), path, why, key });
        };
        for (_, path) in durable::entries(&self.damaged())? {
            add(path, "moved aside", None);
        }
        for (name, path) in durable::entries(&self.work())? {
            let Ok(key) = name.parse::<Digest>() else {
                add(path, "no work of ours", None);
                continue;
            };
            if !kept.contains(&key) || self.folder_of(&key).exists() {
                add(path, "unfinished, and no recent run needs it", Some(key));
            } else {
                let attempts = durable::entries(&path)?.into_iter().filter(|(name, _)| name.starts_with("attempt-"));
                attempts.for_each(|(_, attempt)| add(attempt, "left by an attempt that died", Some(key)));
            }
        }
        for key in self.keys()?.into_iter().filter(|key| !kept.contains(key)) {
            add(self.folder_of(&key), "no recent run needs it", Some(key));
        }
        for (name, path) in durable::entries(&self.locks())? {
            if let Ok(key) = name.parse() {
                add(path, "a lock that nobody holds", Some(key));
            }
        }
        for folder in [self.root.clone(), self.root.join("v1")] {
            let unfinished =
                durable::entries(&folder)?.into_iter().filter(|(name, _)| name.starts_with(durable::ASIDE));
            unfinished.for_each(|(_, path)| add(path, "left by a process that died", None));
        }
        let mut free = BTreeSet::new();
        for key in leftovers.iter().filter_map(|leftover| leftover.key) {
            if !free.contains(&key) && self.is_free(&key)? {
                free.insert(key);
            }
        }
        leftovers.retain(|leftover| leftover.key.is_none_or(|key| free.contains(&key)));
        Ok(leftovers)
    }

    /// Removes leftovers; returns those that were removed, since some may be in use by now.
    ///
    /// # Errors
    /// Where something cannot be removed.
    pub fn remove(&self, leftovers: Vec<Leftover>) -> Result<Vec<Leftover>, StoreError> {
        let mut removed = Vec::new();
        for leftover in leftovers {
            let lock = match &leftover.key {
                Some(key) => match self.try_lock(key)? {
                    Some(lock) => Some(lock),
                    None => continue,
                },
                None => None,
            };
            if let Some(lock) = &lock
                && leftover.path == self.folder_of(&lock.key)
                && leftover.path.exists()
            {
                // Out of sight first, so that nobody finds half of it.
                durable::remove_folder(&self.set_aside(lock)?)?;
            } else if leftover.path.is_dir() {
                durable::remove_folder(&leftover.path)?;
            } else if !leftover.path.starts_with(self.locks()) && leftover.path.exists() {
                fs::remove_file(&leftover.path).map_err(StoreError::io("remove", &leftover.path))?;
            }
            removed.push(leftover);
        }
        Ok(removed)
    }

    /// Whether nobody holds the lock of a key.
    fn is_free(&self, key: &Digest) -> Result<bool, StoreError> {
        let path = self.locks().join(key.to_string());
        if !path.exists() {
            return Ok(true);
        }
        let file = fs::File::open(&path).map_err(StoreError::io("read", &path))?;
        Ok(file.try_lock_shared().is_ok())
    }
}
