//! An artifact in the making: the work folder of an attempt, and its commit.

use std::{
    fs::{self, Permissions},
    io::ErrorKind,
    os::unix::fs::{MetadataExt, PermissionsExt},
    path::{Path, PathBuf},
};

use serde_json::Value;

use super::{
    Artifact, Lock, Store, StoreError,
    bucket::{FILES, RECORD},
    durable, hash,
    manifest::{MANIFEST, Manifest},
    snapshot::Times,
};
use crate::digest::Digest;

/// From what an attempt works, beside its checkpoints.
const INPUTS: &str = "inputs.json";

/// An attempt's work folder. Dropped without a commit it takes its files with it, but leaves checkpoints.
#[derive(Debug)]
pub struct Draft {
    lock: Lock,
    work: PathBuf,
    folder: PathBuf,
}

impl Store {
    /// Opens a work folder for a key whose lock is held; leftovers of attempts that died are removed.
    ///
    /// # Errors
    /// Where the folder cannot be made.
    pub fn draft(&self, lock: Lock) -> Result<Draft, StoreError> {
        let work = self.work().join(lock.key.to_string());
        let mut last = 0;
        for (name, path) in durable::entries(&work)? {
            if let Some(number) = name.strip_prefix("attempt-") {
                last = last.max(number.parse().unwrap_or(0));
                durable::remove_folder(&path)?;
            }
        }
        let folder = work.join(format!("attempt-{}", last + 1));
        durable::create_folder(&folder.join(FILES))?;
        durable::create_folder(&work.join("checkpoint"))?;
        Ok(Draft { lock, work, folder })
    }

    /// Seals an attempt's files and renames them into place: from then on the artifact exists. One that stood there, since
    /// it was to be made anew, stays until that moment.
    ///
    /// # Errors
    /// Where there is no file, or the disk is full.
    pub fn commit(&self, draft: Draft, record: &Value) -> Result<Artifact, StoreError> {
        let key = draft.lock.key;
        remove_empty_folders(&draft.files())?;
        if !draft.files().is_dir() {
            return Err(StoreError::Empty);
        }
        own_files(&draft.files())?;
        let path = draft.folder.join(RECORD);
        let text = serde_json::to_string_pretty(record).expect("a JSON value can be written") + "\n";
        fs::write(&path, text).map_err(StoreError::io("write", &path))?;
        protect(&path)?;
        let manifest = Manifest::seal(&draft.folder, Some(key), Some(&self.memo))?;
        protect(&draft.folder.join(MANIFEST))?;
        let target = self.folder_of(&key);
        let shelf = target.parent().expect("an artifact lies on a shelf");
        if !shelf.is_dir() {
            durable::create_folder(shelf)?;
            durable::sync(&self.artifacts())?;
        }
        durable::put_in_place(&draft.folder, &target, &self.replaced(&key))?;
        durable::sync(shelf)?;
        manifest.learn_listings(&target, &self.memo);
        // The artifact stands; what is left of the work is only a matter of space.
        if let Err(error) = durable::remove_folder(&draft.work) {
            tracing::warn!("{error}");
        }
        Ok(Artifact::new(key, target, manifest))
    }
}

impl Store {
    /// Where an artifact that is made anew waits for its successor, on file systems that cannot exchange the two in one step.
    fn replaced(&self, key: &Digest) -> PathBuf {
        self.work().join(key.to_string()).join("replaced")
    }

    /// Puts an artifact back whose successor did not come, since its process was killed between two steps.
    pub(super) fn put_back(&self, lock: &Lock) -> Result<(), StoreError> {
        let (replaced, target) = (self.replaced(&lock.key), self.folder_of(&lock.key));
        if replaced.is_dir() && fs::symlink_metadata(&target).is_err() {
            fs::rename(&replaced, &target).map_err(StoreError::io("put in place", &target))?;
        }
        Ok(())
    }
}

impl Draft {
    /// The empty folder for the artifact's files.
    pub fn files(&self) -> PathBuf {
        self.folder.join(FILES)
    }

    /// Whether the attempt left a file whose name matches one of the patterns.
    ///
    /// # Errors
    /// Where a folder cannot be listed.
    pub fn holds(&self, patterns: &[&str]) -> Result<bool, StoreError> {
        holds(&self.files(), "", patterns)
    }

    /// The folder that outlives the attempt.
    pub fn checkpoint(&self) -> PathBuf {
        self.work.join("checkpoint")
    }

    /// Notes from what the attempt works. What an earlier one left in the checkpoint folder is kept only if nothing of its
    /// inputs was written since it began: one that was killed may have seen contents that were put back meanwhile. Says
    /// whether something had to go.
    ///
    /// # Errors
    /// Where the folder cannot be read or written.
    pub fn begin(&self, inputs: &[Vec<Times>]) -> Result<bool, StoreError> {
        let path = self.work.join(INPUTS);
        let earlier: Option<Vec<Vec<Times>>> = match fs::read(&path) {
            Ok(bytes) => serde_json::from_slice(&bytes).ok(),
            Err(error) if error.kind() == ErrorKind::NotFound => None,
            Err(error) => return Err(StoreError::io("read", &path)(error)),
        };
        if earlier.as_deref() == Some(inputs) {
            return Ok(false);
        }
        let is_lost = !durable::entries(&self.checkpoint())?.is_empty();
        self.forget_checkpoint()?;
        let text = serde_json::to_string(inputs).expect("plain data can be written");
        durable::replace(&path, text.as_bytes())?;
        Ok(is_lost)
    }

    /// Removes what the attempt left for the next one.
    ///
    /// # Errors
    /// Where it cannot be removed.
    pub fn forget_checkpoint(&self) -> Result<(), StoreError> {
        durable::remove_folder(&self.checkpoint())?;
        durable::create_folder(&self.checkpoint())
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        if let Err(error) = durable::remove_folder(&self.folder) {
            tracing::warn!("{error}");
        }
        // Each fails where something is left in the folder, which is then kept.
        let _ = fs::remove_dir(self.checkpoint())
            .and_then(|()| fs::remove_file(self.work.join(INPUTS)))
            .and_then(|()| fs::remove_dir(&self.work));
    }
}

fn holds(folder: &Path, above: &str, patterns: &[&str]) -> Result<bool, StoreError> {
    for (name, path) in durable::entries(folder)? {
        let name = format!("{above}{name}");
        let is_folder = fs::symlink_metadata(&path).is_ok_and(|kind| kind.is_dir());
        if if is_folder { holds(&path, &format!("{name}/"), patterns)? } else { hash::matches(patterns, &name) } {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Makes each file the artifact's own and read-only: a hard link would share its contents with a file that somebody else may
/// write, and one that may be written is soon written by mistake. Links point to what others keep, and are left alone.
fn own_files(folder: &Path) -> Result<(), StoreError> {
    for (_, path) in durable::entries(folder)? {
        let kind = fs::symlink_metadata(&path).map_err(StoreError::io("read", &path))?;
        if kind.is_dir() {
            own_files(&path)?;
        } else if kind.is_file() {
            if kind.nlink() > 1 {
                copy_in_place(&path)?;
            }
            protect(&path)?;
        }
    }
    Ok(())
}

fn copy_in_place(path: &Path) -> Result<(), StoreError> {
    let mut name = path.file_name().expect("what was listed has a name").to_owned();
    name.push(".own");
    let copy = path.with_file_name(name);
    let copied = fs::copy(path, &copy).and_then(|_| fs::rename(&copy, path));
    copied.map_err(StoreError::io("copy", path))
}

/// Takes away everybody's right to write a file.
fn protect(path: &Path) -> Result<(), StoreError> {
    let mode = fs::metadata(path).map_err(StoreError::io("read", path))?.permissions().mode();
    let readable = Permissions::from_mode(mode & 0o777 & !0o222);
    fs::set_permissions(path, readable).map_err(StoreError::io("protect", path))
}

fn remove_empty_folders(folder: &Path) -> Result<(), StoreError> {
    for (_, path) in durable::entries(folder)? {
        if fs::symlink_metadata(&path).is_ok_and(|kind| kind.is_dir()) {
            remove_empty_folders(&path)?;
        }
    }
    // Fails where something is left in it, which is then kept.
    let _ = fs::remove_dir(folder);
    Ok(())
}
