//! Disk usage and garbage collection of the store.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    io::ErrorKind,
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use super::{Closed, LiveRoots, Policy, Store, StoreError, durable, lease_file::leased};
use crate::digest::Digest;

/// Bytes on disk.
#[derive(Clone, Copy, Debug, Default, PartialEq, serde::Serialize)]
pub struct Usage {
    /// Of artifacts.
    pub artifacts: u64,
    /// Of attempts and checkpoints.
    pub work: u64,
    /// Of quarantined artifacts.
    pub damaged: u64,
    /// Of logs of calls to endpoints, which are never collected.
    pub calls: u64,
    /// Total.
    pub total: u64,
}

/// A path that garbage collection may remove.
#[derive(Clone, Debug)]
pub struct GcCandidate {
    /// File or folder.
    pub path: PathBuf,
    /// Bytes on disk.
    pub bytes: u64,
    /// Why it is not needed.
    pub why: &'static str,
    /// Last use, of an artifact and the work of one; what else lies there is of no use.
    pub last_used: Option<SystemTime>,
    key: Option<Digest>,
}

/// Which artifacts are needed, and which may be removed.
#[derive(Clone, Debug, Default)]
pub struct Claims {
    /// Keys to keep.
    pub kept: BTreeSet<Digest>,
    /// Keys made or used by own runs: removable unless kept.
    pub known: BTreeSet<Digest>,
    /// Whether keys of unknown origin, possibly of other users, are removable too.
    pub unrecorded: bool,
    /// Last run that used a key, where one is recorded.
    pub used: BTreeMap<Digest, SystemTime>,
    /// Which of the removable artifacts stay nevertheless.
    pub policy: Policy,
}

/// Result of a search for garbage.
#[derive(Debug, Default)]
pub struct Collection {
    /// Removable paths.
    pub candidates: Vec<GcCandidate>,
    /// Number of artifacts and work folders of unknown origin, which are kept.
    pub unrecorded: usize,
    /// Their bytes on disk.
    pub unrecorded_bytes: u64,
    /// Number of artifacts and work folders kept only by running runs.
    pub in_use: usize,
    /// Pinned keys.
    pub pinned: BTreeSet<Digest>,
    /// Number of artifacts and work folders that the policy leaves.
    pub spared: usize,
    /// Their bytes on disk.
    pub spared_bytes: u64,
    /// Bytes of artifacts that would remain.
    pub remaining: u64,
    /// Keys looked up by running runs.
    pub live: LiveRoots,
}

/// Younger temporary files may be in use.
const YOUNG: Duration = Duration::from_secs(3600);
/// Servers keep an unfinished upload for a week, as is usual.
const GIVEN_UP: Duration = Duration::from_secs(7 * 86_400);

impl Store {
    /// Bytes on disk.
    pub fn usage(&self) -> Usage {
        Usage {
            artifacts: durable::size_of(&self.artifacts()),
            work: durable::size_of(&self.work()),
            damaged: durable::size_of(&self.damaged()),
            calls: durable::size_of(&self.calls()),
            total: durable::size_of(&self.root),
        }
    }

    /// Free bytes on the disk of the store, for users without privileges.
    pub fn free_bytes(&self) -> Option<u64> {
        // The folder may not exist yet.
        let there = self.root.ancestors().find(|folder| folder.is_dir())?;
        let disk = rustix::fs::statvfs(there).ok()?;
        Some(disk.f_bavail * disk.f_frsize)
    }

    /// Removes work folders of keys whose artifacts exist, as a process killed after the commit
    /// leaves one.
    ///
    /// # Errors
    /// If the store cannot be read or written.
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

    /// Garbage: quarantined artifacts, work of dead attempts, and the artifacts and checkpoints
    /// that the claims release. Artifacts in progress are excluded. The roots of running runs must
    /// have been read before the claims: a run that ends in between has its keys in its journal.
    ///
    /// # Errors
    /// If the store cannot be listed.
    pub fn candidates(&self, claims: &Claims, live: LiveRoots) -> Result<Collection, StoreError> {
        // After the roots, for the same reason: who pins a key holds it meanwhile.
        let pinned = self.pinned()?.into_iter().map(|pin| pin.key).collect();
        let mut collection = Collection { live, pinned, ..Collection::default() };
        self.list_small_candidates(&mut collection)?;
        for (name, path) in durable::entries(&self.work())? {
            let Ok(key) = name.parse::<Digest>() else {
                collection.add(path, "not a work folder", None);
                continue;
            };
            // The artifact exists, so its work is done.
            if fs::symlink_metadata(self.folder_of(&key)).is_ok() {
                collection.add(path, "unfinished, but its artifact exists", Some(key));
            } else if collection.gives_up(claims, key, &path) {
                let used = claims.last_use(&key, &path);
                collection.add(path, "unfinished, and no recent run needs it", Some(key));
                collection.mark(used);
            } else {
                let attempts = durable::entries(&path)?
                    .into_iter()
                    .filter(|(name, _)| name.starts_with("attempt-"));
                attempts.for_each(|(_, attempt)| {
                    collection.add(attempt, "left by an attempt that died", Some(key))
                });
            }
        }
        for key in self.keys()? {
            let folder = self.folder_of(&key);
            if collection.gives_up(claims, key, &folder) {
                let used = claims.last_use(&key, &folder);
                collection.add(folder, "no recent run needs it", Some(key));
                collection.mark(used);
            }
        }
        // Asked once for each key: opening a lock for each path takes long on network disks.
        let mut free = BTreeSet::new();
        for key in collection.candidates.iter().filter_map(|candidate| candidate.key) {
            if !free.contains(&key) && self.is_free(&key)? {
                free.insert(key);
            }
        }
        collection
            .candidates
            .retain(|candidate| candidate.key.is_none_or(|key| free.contains(&key)));
        collection.apply(&claims.policy, &self.artifacts());
        Ok(collection)
    }

    /// Adds quarantined artifacts, unused locks, and files of dead processes.
    fn list_small_candidates(&self, collection: &mut Collection) -> Result<(), StoreError> {
        for (_, path) in durable::entries(&self.damaged())? {
            collection.add(path, "quarantined", None);
        }
        for (name, path) in durable::entries(&self.locks())? {
            if let Ok(key) = leased(&name).unwrap_or(&name).parse() {
                collection.add(path, "unused lock", Some(key));
            }
        }
        for (name, path) in durable::entries(&self.checks())? {
            if let Ok(key) = name.parse()
                && !self.folder_of(&key).exists()
            {
                collection.add(path, "the check of an artifact that is gone", None);
            }
        }
        for (_, path) in durable::entries(&self.transfers())? {
            if is_older(&path, GIVEN_UP) {
                collection.add(path, "an upload that was given up", None);
            }
        }
        let (v1, pins, checks) = (self.root.join("v1"), self.pins(), self.checks());
        let (root, uses, locks) = (self.root.clone(), self.uses(), self.locks());
        let (projects, calls) = (self.registrations(), self.calls());
        for folder in [root, v1, projects, calls, pins, checks, uses, locks] {
            let unfinished = durable::entries(&folder)?
                .into_iter()
                .filter(|(name, _)| name.starts_with(durable::ASIDE));
            let old = unfinished.filter(|(_, path)| is_old(path));
            old.for_each(|(_, path)| collection.add(path, "left by a process that died", None));
        }
        for path in std::mem::take(&mut collection.live.dead) {
            collection.add(path, "left by a run that was killed", None);
        }
        Ok(())
    }

    /// Removes garbage; returns what was removed, since some may be in use by now. Artifacts are
    /// moved out of sight while the gate is closed, and deleted after it opens.
    ///
    /// # Errors
    /// If something cannot be removed.
    pub fn remove(
        &self,
        candidates: Vec<GcCandidate>,
        closed: Closed,
    ) -> Result<Vec<GcCandidate>, StoreError> {
        let (mut removed, mut hidden) = (Vec::new(), Vec::new());
        let mut others = Vec::new();
        for candidate in candidates {
            match &candidate.key {
                Some(key) if candidate.path == self.folder_of(key) => {
                    let Some(lock) = self.try_lock(key)? else { continue };
                    if fs::symlink_metadata(&candidate.path).is_ok() {
                        // Renamed while the gate is closed, which takes no time; deleting large
                        // files does.
                        hidden.push(self.quarantine(&lock)?);
                        removed.push(candidate);
                    }
                }
                _ => others.push(candidate),
            }
        }
        drop(closed);
        for folder in hidden {
            remove_any(&folder)?;
        }
        for candidate in others {
            let lock = match &candidate.key {
                Some(key) => match self.try_lock(key)? {
                    Some(lock) => Some(lock),
                    None => continue,
                },
                None => None,
            };
            // A lock is removed when it is released.
            if lock.as_ref().is_none_or(|lock| !lock.is_at(&candidate.path)) {
                remove_any(&candidate.path)?;
            }
            drop(lock);
            removed.push(candidate);
        }
        Ok(removed)
    }
}

impl Claims {
    /// When a key was last used: by a recorded run, or by its maker.
    fn last_use(&self, key: &Digest, path: &Path) -> SystemTime {
        let made = fs::symlink_metadata(path).and_then(|metadata| metadata.modified());
        let made = made.unwrap_or(SystemTime::UNIX_EPOCH);
        self.used.get(key).map_or(made, |used| made.max(*used))
    }
}

impl Collection {
    fn add(&mut self, path: PathBuf, why: &'static str, key: Option<Digest>) {
        let bytes = durable::size_of(&path);
        self.candidates.push(GcCandidate { bytes, path, why, last_used: None, key });
    }

    /// Takes out the candidates that stay by a policy.
    fn apply(&mut self, policy: &Policy, artifacts: &Path) {
        let now = SystemTime::now();
        let mut candidates = std::mem::take(&mut self.candidates);
        // Those that were used longest ago go first; what has no date is of no use to anybody.
        candidates.sort_by_key(|candidate| candidate.last_used);
        self.remaining = durable::size_of(artifacts);
        for candidate in candidates {
            if candidate.last_used.is_some_and(|used| policy.spares(used, now, self.remaining)) {
                self.spared += 1;
                self.spared_bytes += candidate.bytes;
                continue;
            }
            // Work folders lie elsewhere, and do not count.
            if candidate.path.starts_with(artifacts) {
                self.remaining = self.remaining.saturating_sub(candidate.bytes);
            }
            self.candidates.push(candidate);
        }
    }

    /// Dates the last candidate, which a policy may spare then.
    fn mark(&mut self, used: SystemTime) {
        if let Some(last) = self.candidates.last_mut() {
            last.last_used = Some(used);
        }
    }

    /// Whether an artifact or its work may be removed; those kept without an own claim are counted.
    fn gives_up(&mut self, claims: &Claims, key: Digest, path: &Path) -> bool {
        if claims.kept.contains(&key) || self.pinned.contains(&key) {
            return false;
        }
        let known = claims.known.contains(&key);
        if self.live.keys.contains(&key) {
            self.in_use += 1;
            return false;
        }
        if !known && !claims.unrecorded {
            self.unrecorded += 1;
            self.unrecorded_bytes += durable::size_of(path);
        }
        // Without a record nobody knows whose it is, and others may share the store.
        known || claims.unrecorded
    }
}

fn remove_any(path: &Path) -> Result<(), StoreError> {
    match fs::symlink_metadata(path) {
        Ok(kind) if kind.is_dir() => durable::remove_folder(path),
        Ok(_) => match fs::remove_file(path) {
            Err(error) if error.kind() != ErrorKind::NotFound => {
                Err(StoreError::io("remove", path)(error))
            }
            _ => Ok(()),
        },
        // It is gone already: removed by another collection.
        Err(_) => Ok(()),
    }
}

/// Whether a temporary file is too old to be in use.
fn is_old(path: &Path) -> bool {
    is_older(path, YOUNG)
}

fn is_older(path: &Path, than: Duration) -> bool {
    let modified = fs::symlink_metadata(path).and_then(|metadata| metadata.modified()).ok();
    modified.and_then(|at| at.elapsed().ok()).is_some_and(|age| age > than)
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: Duration = Duration::from_secs(86_400);

    /// What a policy removes of three artifacts of 10 bytes, used 1, 2 and 3 days ago, and of a
    /// quarantined one.
    fn removed(policy: Policy) -> String {
        let folder = tempfile::tempdir().unwrap();
        let artifacts = folder.path().join("artifacts");
        fs::create_dir(&artifacts).unwrap();
        let now = SystemTime::now();
        let mut collection = Collection::default();
        for (name, days) in [("artifacts/1", 1), ("artifacts/3", 3), ("d", 0), ("artifacts/2", 2)] {
            let path = folder.path().join(name);
            fs::write(&path, "0123456789").unwrap();
            collection.add(path, "", None);
            if days > 0 {
                collection.mark(now - DAY * days);
            }
        }
        collection.apply(&policy, &artifacts);
        let names = collection.candidates.iter().map(|left| left.path.file_name().unwrap());
        let names: Vec<_> = names.map(|name| name.to_str().unwrap()).collect();
        format!("{} of {}", names.join(" "), collection.remaining)
    }

    #[test]
    fn age_and_size_spare_what_was_used_last() {
        let all = "d 3 2 1 of 0";
        assert_eq!(removed(Policy::default()), all);
        let older = |days| Policy { older_than: Some(DAY * days), keep_bytes: None };
        assert_eq!(removed(older(2)), "d 3 2 of 10");
        assert_eq!(removed(older(9)), "d of 30");
        let keep = |bytes| Policy { older_than: None, keep_bytes: Some(bytes) };
        assert_eq!(removed(keep(30)), "d of 30");
        assert_eq!(removed(keep(29)), "d 3 of 20");
        assert_eq!(removed(keep(0)), all);
        // Both: what either spares stays.
        let both = Policy { older_than: Some(DAY * 3), keep_bytes: Some(0) };
        assert_eq!(removed(both), "d 3 of 20");
    }
}
