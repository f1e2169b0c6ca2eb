//! Whether everything in the store is as it was left: each bit of each file.

use std::{fs, path::PathBuf};

use rayon::prelude::*;

use super::{
    Store, StoreError,
    bucket::{IGNORE, TAG},
    durable, lock,
    manifest::Manifest,
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

    /// Moves damaged artifacts aside, removes stale locks, and writes the store's own small files anew. What a run needs of it is made again by that run.
    ///
    /// # Errors
    /// Where the store cannot be written; an artifact that is being made is left to its maker.
    pub fn repair(&self, problems: &[Problem]) -> Result<(), StoreError> {
        for problem in problems {
            if let Some(key) = &problem.key {
                if let Some(lock) = self.try_lock(key)?
                    && self.folder_of(key).exists()
                {
                    self.set_aside(&lock)?;
                }
            } else if let Some((_, content)) =
                [TAG, IGNORE].iter().find(|(name, _)| self.root.join(name) == problem.path)
            {
                durable::replace(&problem.path, content.as_bytes())?;
            } else if problem.path.starts_with(self.locks()) {
                fs::remove_file(&problem.path).map_err(StoreError::io("remove", &problem.path))?;
            } else if problem.path == self.root.join("v1/memo") {
                self.memo.rewrite()?;
            } else if problem.path.starts_with(self.artifacts()) {
                let name = problem.path.file_name().expect("what was listed has a name");
                let target = self.damaged().join(name);
                fs::rename(&problem.path, &target).map_err(StoreError::io("move aside", &problem.path))?;
            }
        }
        Ok(())
    }

    fn verify_artifact(&self, key: Digest) -> Result<(usize, u64), Problem> {
        let folder = self.folder_of(&key);
        let checked = Manifest::read(&folder, Some(key)).and_then(|manifest| {
            manifest.check(&folder, None)?;
            Ok((manifest.files.len() + 1, manifest.files.iter().map(|entry| entry.size).sum()))
        });
        checked.map_err(|problem| Problem { path: folder, problem, key: Some(key) })
    }

    fn verify_surroundings(&self, problems: &mut Vec<Problem>) -> Result<(), StoreError> {
        let mut report = |path: PathBuf, problem: &str| {
            problems.push(Problem { path, problem: problem.to_owned(), key: None });
        };
        for (name, content) in [TAG, IGNORE] {
            let path = self.root.join(name);
            if fs::read(&path).ok().as_deref() != Some(content.as_bytes()) {
                report(path, "is not what was written there");
            }
        }
        for (name, shelf) in durable::entries(&self.artifacts())? {
            let strays = durable::entries(&shelf).unwrap_or_default().into_iter();
            strays
                .filter(|(key, _)| key.parse::<Digest>().is_err() || !key.starts_with(&name))
                .for_each(|(_, path)| report(path, "does not belong there"));
            if !shelf.is_dir() {
                report(shelf, "does not belong there");
            }
        }
        for (_, path) in durable::entries(&self.locks())? {
            if let Some(problem) = lock::problem(&path) {
                report(path, &problem);
            }
        }
        let memo = self.root.join("v1/memo");
        if let Some(problem) = Memo::problem(&memo) {
            report(memo, &problem);
        }
        Ok(())
    }
}
