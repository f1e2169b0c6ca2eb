//! Verifies every byte of the store.

use std::{
    fs,
    io::ErrorKind,
    path::{Path, PathBuf},
};

use rayon::prelude::*;

use super::{
    Store, StoreError,
    calls::CallCount,
    durable,
    layout::{IGNORE, TAG},
    lease_file::leased,
    lock,
    manifest::{Fault, Manifest},
    memo::Memo,
};
use crate::digest::Digest;

/// Result of a verification.
#[derive(Debug)]
pub struct Audit {
    /// Number of artifacts.
    pub artifacts: usize,
    /// Number of their files.
    pub files: usize,
    /// Their bytes.
    pub bytes: u64,
    /// Number of logged calls to endpoints.
    pub calls: usize,
    /// Findings.
    pub problems: Vec<AuditFinding>,
}

/// A damaged or foreign file.
#[derive(Clone, Debug, PartialEq)]
pub struct AuditFinding {
    /// File or folder.
    pub path: PathBuf,
    /// The problem.
    pub problem: String,
    /// Key, if it belongs to an artifact.
    pub key: Option<Digest>,
}

impl AuditFinding {
    /// A finding that belongs to no artifact.
    fn outside(path: PathBuf, problem: &str) -> Self {
        Self { path, problem: problem.to_owned(), key: None }
    }
}

impl Store {
    /// Hashes and compares every file of the store, read-only. Work folders are skipped: they hold
    /// no results, and attempts verify their checkpoints on resuming.
    ///
    /// # Errors
    /// If the store cannot be listed.
    pub fn verify(&self) -> Result<Audit, StoreError> {
        let keys = self.keys()?;
        self.ready_threads()?;
        let looked: Vec<Result<(usize, u64), AuditFinding>> =
            keys.par_iter().map(|key| self.verify_artifact(*key)).collect();
        let mut audit =
            Audit { artifacts: keys.len(), files: 0, bytes: 0, calls: 0, problems: Vec::new() };
        for result in looked {
            match result {
                Ok((files, bytes)) => {
                    audit.files += files;
                    audit.bytes += bytes;
                }
                Err(problem) => audit.problems.push(problem),
            }
        }
        self.verify_calls(&mut audit)?;
        self.verify_surroundings(&mut audit.problems)?;
        Ok(audit)
    }

    /// Quarantines damaged artifacts, removes stale locks, and rewrites the store's own small
    /// files. Later runs remake what they need. Unreadable files are kept, since they may be
    /// intact.
    ///
    /// # Errors
    /// If the store cannot be written; artifacts in progress are left alone.
    pub fn repair(&self, problems: &[AuditFinding]) -> Result<(), StoreError> {
        for problem in problems {
            if let Some(key) = &problem.key {
                // Verified again under the lock, since it may have been remade.
                if let Some(lock) = self.try_lock(key)?
                    && let Err(Fault::Damaged(_)) = self.check_artifact(*key)
                    && fs::symlink_metadata(self.folder_of(key)).is_ok()
                {
                    self.quarantine(&lock)?;
                }
            } else {
                self.repair_surroundings(&problem.path)?;
            }
        }
        Ok(())
    }

    fn repair_surroundings(&self, path: &Path) -> Result<(), StoreError> {
        if let Some((_, content)) =
            [TAG, IGNORE].iter().find(|(name, _)| self.root.join(name) == path)
        {
            return durable::replace(path, content.as_bytes());
        }
        if path == self.root.join("v1/memo") {
            return self.memo.rewrite();
        }
        let Ok(kind) = fs::symlink_metadata(path) else { return Ok(()) };
        if path.starts_with(self.calls()) && kind.is_file() {
            return self.repair_calls(path);
        }
        if path.starts_with(self.locks()) && kind.is_file() {
            return lock::remove_unheld(path);
        }
        if path.starts_with(self.registrations()) && kind.is_file() {
            // An unreadable file may be intact.
            let is_read = fs::read(path).is_ok();
            return if is_read {
                fs::remove_file(path).map_err(StoreError::io("remove", path))
            } else {
                Ok(())
            };
        }
        let own =
            [self.artifacts(), self.locks(), self.registrations(), self.pins(), self.checks()];
        let stray = own.iter().any(|folder| path.starts_with(folder));
        if stray && self.listing_problem(path).is_none() {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            durable::move_aside(path, &self.damaged(), &name)?;
        }
        Ok(())
    }

    /// Why a folder of artifacts cannot be listed.
    fn listing_problem(&self, path: &Path) -> Option<String> {
        let is_shelf = path.parent() == Some(&self.artifacts()) && path.is_dir();
        is_shelf.then(|| durable::entries(path).err()).flatten().map(|error| error.to_string())
    }

    fn check_artifact(&self, key: Digest) -> Result<(usize, u64), Fault> {
        let folder = self.folder_of(&key);
        let manifest = Manifest::read(&folder, Some(key))?;
        manifest.check(&folder, None)?;
        Ok((manifest.files.len() + 1, manifest.files.iter().map(|entry| entry.size).sum()))
    }

    fn verify_artifact(&self, key: Digest) -> Result<(usize, u64), AuditFinding> {
        let path = self.folder_of(&key);
        match self.check_artifact(key) {
            // Collected during the verification.
            Err(_)
                if fs::symlink_metadata(&path)
                    .is_err_and(|error| error.kind() == ErrorKind::NotFound) =>
            {
                Ok((0, 0))
            }
            checked => checked.map_err(|fault| AuditFinding {
                path,
                problem: fault.to_string(),
                key: Some(key),
            }),
        }
    }

    fn verify_calls(&self, audit: &mut Audit) -> Result<(), StoreError> {
        for path in self.call_logs()? {
            match CallCount::of(&path) {
                Ok(count) => {
                    audit.calls += count.calls;
                    let problem = count.problem();
                    audit
                        .problems
                        .extend(problem.map(|problem| AuditFinding::outside(path, &problem)));
                }
                Err(error) => audit.problems.push(AuditFinding::outside(path, &error.to_string())),
            }
        }
        Ok(())
    }

    fn verify_surroundings(&self, problems: &mut Vec<AuditFinding>) -> Result<(), StoreError> {
        // A store that was only looked at has none of its own files yet.
        let begun = self.artifacts().is_dir();
        for (name, content) in [TAG, IGNORE].into_iter().filter(|_| begun) {
            let path = self.root.join(name);
            if fs::read(&path).ok().as_deref() != Some(content.as_bytes()) {
                problems.push(AuditFinding::outside(path, "does not match what apeft wrote"));
            }
        }
        for (name, shelf) in durable::entries(&self.artifacts())? {
            if let Some(problem) = self.listing_problem(&shelf) {
                problems.push(AuditFinding::outside(shelf, &problem));
                continue;
            }
            for (key, path) in durable::entries(&shelf).unwrap_or_default() {
                if key.parse::<Digest>().is_err() || !key.starts_with(&name) {
                    problems.push(AuditFinding::outside(path, "does not belong there"));
                }
            }
            if !shelf.is_dir() {
                problems.push(AuditFinding::outside(shelf, "does not belong there"));
            }
        }
        for (name, path) in durable::entries(&self.locks())? {
            // A lease that its process is about to take.
            if name.starts_with(durable::ASIDE) {
                continue;
            }
            let leased = leased(&name);
            if leased.unwrap_or(&name).parse::<Digest>().is_err() {
                problems.push(AuditFinding::outside(path, "does not belong there"));
            } else if leased.is_none()
                && let Some(problem) = lock::problem(&path)
            {
                problems.push(AuditFinding::outside(path, &problem));
            }
        }
        for folder in [self.pins(), self.checks()] {
            let named = durable::entries(&folder)?.into_iter();
            let strays = named.filter(|(name, _)| {
                name.parse::<Digest>().is_err() && !name.starts_with(durable::ASIDE)
            });
            problems.extend(
                strays.map(|(_, path)| AuditFinding::outside(path, "does not belong there")),
            );
        }
        for project in self.projects()?.into_iter().filter(|project| project.journals.is_none()) {
            problems.push(AuditFinding::outside(project.file, "names no project"));
        }
        let memo = self.root.join("v1/memo");
        if let Some(problem) = Memo::problem(&memo) {
            problems.push(AuditFinding::outside(memo, &problem));
        }
        Ok(())
    }
}
