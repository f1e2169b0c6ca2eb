//! Whether everything in the store is as it was left: each bit of each file.

use std::{
    fs,
    io::ErrorKind,
    path::{Path, PathBuf},
};

use rayon::prelude::*;

use super::{
    Store, StoreError,
    bucket::{IGNORE, TAG},
    durable, lock,
    manifest::{Fault, Manifest},
    memo::Memo,
};
use crate::digest::Digest;

/// What a look at every file found.
#[derive(Debug)]
pub struct Audit {
    /// Artifacts that were looked at.
    pub artifacts: usize,
    /// Their files.
    pub files: usize,
    /// Bytes of those.
    pub bytes: u64,
    /// What is not as it was left.
    pub problems: Vec<Problem>,
}

/// Something that is not as it was left.
#[derive(Clone, Debug, PartialEq)]
pub struct Problem {
    /// The file or folder.
    pub path: PathBuf,
    /// What is wrong with it, in words.
    pub problem: String,
    /// Whose artifact it is, if it is one.
    pub key: Option<Digest>,
}

impl Store {
    /// Hashes every file of the store and compares; nothing is changed. Work folders are left out: what an attempt left
    /// there is no result, and whoever goes on from it checks it.
    ///
    /// # Errors
    /// Where the store cannot be listed.
    pub fn verify(&self) -> Result<Audit, StoreError> {
        let keys = self.keys()?;
        let looked: Vec<Result<(usize, u64), Problem>> =
            keys.par_iter().map(|key| self.verify_artifact(*key)).collect();
        let mut audit = Audit { artifacts: keys.len(), files: 0, bytes: 0, problems: Vec::new() };
        for result in looked {
            match result {
                Ok((files, bytes)) => {
                    audit.files += files;
                    audit.bytes += bytes;
                }
                Err(problem) => audit.problems.push(problem),
            }
        }
        self.verify_surroundings(&mut audit.problems)?;
        Ok(audit)
    }

    /// Moves damaged artifacts aside, removes stale locks, and writes the store's own small files anew. What a run needs of
    /// it is made again by that run. What could not be read is left as it is: that says nothing of what it holds.
    ///
    /// # Errors
    /// Where the store cannot be written; an artifact that is being made is left to its maker.
    pub fn repair(&self, problems: &[Problem]) -> Result<(), StoreError> {
        for problem in problems {
            if let Some(key) = &problem.key {
                // Looked at once more under the lock: it may have been made again meanwhile.
                if let Some(lock) = self.try_lock(key)?
                    && let Err(Fault::Damaged(_)) = self.check_artifact(*key)
                    && fs::symlink_metadata(self.folder_of(key)).is_ok()
                {
                    self.set_aside(&lock)?;
                }
            } else {
                self.repair_surroundings(&problem.path)?;
            }
        }
        Ok(())
    }

    fn repair_surroundings(&self, path: &Path) -> Result<(), StoreError> {
        if let Some((_, content)) = [TAG, IGNORE].iter().find(|(name, _)| self.root.join(name) == path) {
            return durable::replace(path, content.as_bytes());
        }
        if path == self.root.join("v1/memo") {
            return self.memo.rewrite();
        }
        let Ok(kind) = fs::symlink_metadata(path) else { return Ok(()) };
        if path.starts_with(self.locks()) && kind.is_file() {
            return lock::remove_unheld(path);
        }
        if path.starts_with(self.registrations()) && kind.is_file() {
            // One that cannot be read may be whole.
            let is_read = fs::read(path).is_ok();
            return if is_read { fs::remove_file(path).map_err(StoreError::io("remove", path)) } else { Ok(()) };
        }
        let stray =
            [self.artifacts(), self.locks(), self.registrations()].iter().any(|folder| path.starts_with(folder));
        if stray && self.listing_problem(path).is_none() {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            durable::move_aside(path, &self.damaged(), &name)?;
        }
        Ok(())
    }

    /// Why a shelf of artifacts cannot be listed, if so.
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

    fn verify_artifact(&self, key: Digest) -> Result<(usize, u64), Problem> {
        let path = self.folder_of(&key);
        match self.check_artifact(key) {
            // Collected while it was looked at.
            Err(_) if fs::symlink_metadata(&path).is_err_and(|error| error.kind() == ErrorKind::NotFound) => Ok((0, 0)),
            checked => checked.map_err(|fault| Problem { path, problem: fault.to_string(), key: Some(key) }),
        }
    }

    fn verify_surroundings(&self, problems: &mut Vec<Problem>) -> Result<(), StoreError> {
        let mut report = |path: PathBuf, problem: &str| {
            problems.push(Problem { path, problem: problem.to_owned(), key: None });
        };
        let begun = self.artifacts().is_dir();
        for (name, content) in [TAG, IGNORE].into_iter().filter(|_| begun) {
            let path = self.root.join(name);
            if fs::read(&path).ok().as_deref() != Some(content.as_bytes()) {
                report(path, "is not what was written there");
            }
        }
        for (name, shelf) in durable::entries(&self.artifacts())? {
            if let Some(problem) = self.listing_problem(&shelf) {
                report(shelf, &problem);
                continue;
            }
            let strays = durable::entries(&shelf).unwrap_or_default().into_iter();
            strays
                .filter(|(key, _)| key.parse::<Digest>().is_err() || !key.starts_with(&name))
                .for_each(|(_, path)| report(path, "does not belong there"));
            if !shelf.is_dir() {
                report(shelf, "does not belong there");
            }
        }
        for (name, path) in durable::entries(&self.locks())? {
            if name.parse::<Digest>().is_err() {
                report(path, "does not belong there");
            } else if let Some(problem) = lock::problem(&path) {
                report(path, &problem);
            }
        }
        for project in self.projects()?.into_iter().filter(|project| project.journals.is_none()) {
            report(project.file, "does not say which project it means");
        }
        let memo = self.root.join("v1/memo");
        if let Some(problem) = Memo::problem(&memo) {
            report(memo, &problem);
        }
        Ok(())
    }
}
