//! The work folder of an attempt, and its commit as an artifact.

use std::{
    fs::{self, Permissions},
    io::ErrorKind,
    os::unix::fs::{MetadataExt, PermissionsExt},
    path::{Path, PathBuf},
};

use serde_json::Value;

use super::{
    Artifact, Lock, Store, StoreError,
    bucket::{FILES, KEY_FILE},
    durable,
    manifest::{MANIFEST, Manifest},
    patterns::FilePatterns,
    snapshot::Times,
};
use crate::digest::Digest;

/// Record of the attempt's inputs, beside its checkpoints.
const INPUTS: &str = "inputs.json";

/// Work folder of an attempt. Dropped without a commit, it removes its files but keeps checkpoints.
#[derive(Debug)]
pub struct Draft {
    lock: Lock,
    work: PathBuf,
    folder: PathBuf,
}

impl Store {
    /// Opens a work folder for a key whose lock is held; folders of dead attempts are removed.
    ///
    /// # Errors
    /// If the folder cannot be created.
    pub fn draft(&self, lock: Lock) -> Result<Draft, StoreError> {
        let work = self.work().join(lock.key.to_string());
        let mut last = 0;
        for (name, path) in durable::entries(&work)? {
            if let Some(number) = name.strip_prefix("attempt-") {
                // Under the key's lock nobody works here: what lies here was left by the dead.
                last = last.max(number.parse().unwrap_or(0));
                durable::remove_folder(&path)?;
            }
        }
        let folder = work.join(format!("attempt-{}", last + 1));
        durable::create_folder(&folder.join(FILES))?;
        durable::create_folder(&work.join("checkpoint"))?;
        Ok(Draft { lock, work, folder })
    }

    /// Seals an attempt's files and renames them into place, which creates the artifact. An
    /// existing artifact that is remade stays until then.
    ///
    /// # Errors
    /// If there is no file, or the disk is full.
    pub fn commit(&self, draft: Draft, record: &Value) -> Result<Artifact, StoreError> {
        let key = draft.lock.key;
        remove_empty_folders(&draft.files())?;
        if !draft.files().is_dir() {
            return Err(StoreError::Empty);
        }
        // Before the seal, since a file that others can write may change after its digest was
        // taken.
        own_files(&draft.files())?;
        let path = draft.folder.join(KEY_FILE);
        let text =
            serde_json::to_string_pretty(record).expect("a JSON value can be written") + "\n";
        fs::write(&path, text).map_err(StoreError::io("write", &path))?;
        protect(&path)?;
        let manifest = Manifest::seal(&draft.folder, Some(key), Some(&self.memo))?;
        protect(&draft.folder.join(MANIFEST))?;
        draft.lock.check()?;
        self.place(key, &draft.folder, manifest)
    }

    /// Renames a sealed and synced folder into place, which creates the artifact, and removes the
    /// key's work.
    pub(super) fn place(
        &self,
        key: Digest,
        sealed: &Path,
        manifest: Manifest,
    ) -> Result<Artifact, StoreError> {
        let target = self.folder_of(&key);
        let shelf = target.parent().expect("an artifact lies on a shelf");
        if !shelf.is_dir() {
            durable::create_folder(shelf)?;
            durable::sync(&self.artifacts())?;
        }
        durable::put_in_place(sealed, &target, &self.replaced(&key))?;
        durable::sync(shelf)?;
        manifest.learn_listings(&target, &self.memo);
        // The artifact exists; remaining work files only take space.
        if let Err(error) = durable::remove_folder(&self.work().join(key.to_string())) {
            tracing::warn!("{error}");
        }
        Ok(Artifact::new(key, target, manifest))
    }
}

impl Store {
    /// Temporary path of a replaced artifact, on file systems that cannot exchange folders
    /// atomically.
    fn replaced(&self, key: &Digest) -> PathBuf {
        self.work().join(key.to_string()).join("replaced")
    }

    /// Restores a replaced artifact if the process was killed before its successor was in place.
    pub(super) fn put_back(&self, lock: &Lock) -> Result<(), StoreError> {
        let (replaced, target) = (self.replaced(&lock.key), self.folder_of(&lock.key));
        if replaced.is_dir() && fs::symlink_metadata(&target).is_err() {
            fs::rename(&replaced, &target).map_err(StoreError::io("put in place", &target))?;
        }
        Ok(())
    }
}

impl Draft {
    /// Folder for the artifact's files.
    pub fn files(&self) -> PathBuf {
        self.folder.join(FILES)
    }

    /// Whether the attempt wrote a file that matches a pattern.
    ///
    /// # Errors
    /// If a folder cannot be listed.
    pub fn holds(&self, patterns: &[&str]) -> Result<bool, StoreError> {
        holds(&self.files(), "", &FilePatterns::of(patterns))
    }

    /// Folder of checkpoints, which outlives the attempt.
    pub fn checkpoint(&self) -> PathBuf {
        self.work.join("checkpoint")
    }

    /// Records the attempt's inputs. Checkpoints of an earlier attempt are kept only if no input
    /// was written since it began: it may have read contents that were restored meanwhile. Returns
    /// whether checkpoints were discarded.
    ///
    /// # Errors
    /// If the folder cannot be read or written.
    pub fn begin(&self, inputs: &[Vec<Times>]) -> Result<bool, StoreError> {
        let path = self.work.join(INPUTS);
        let earlier: Option<Vec<Vec<Times>>> = match fs::read(&path) {
            Ok(bytes) => serde_json::from_slice(&bytes).ok(),
            Err(error) if error.kind() == ErrorKind::NotFound => None,
            Err(error) => return Err(StoreError::io("read", &path)(error)),
        };
        // Times and not digests: contents that were changed and restored may have been read
        // meanwhile.
        if earlier.as_deref() == Some(inputs) {
            return Ok(false);
        }
        let is_lost = !durable::entries(&self.checkpoint())?.is_empty();
        self.forget_checkpoint()?;
        let text = serde_json::to_string(inputs).expect("plain data can be written");
        durable::replace(&path, text.as_bytes())?;
        Ok(is_lost)
    }

    /// Removes the checkpoints.
    ///
    /// # Errors
    /// If they cannot be removed.
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
        // Fails for folders that are not empty, which are kept.
        let _ = fs::remove_dir(self.checkpoint())
            .and_then(|()| fs::remove_file(self.work.join(INPUTS)))
            .and_then(|()| fs::remove_dir(&self.work));
    }
}

fn holds(folder: &Path, above: &str, patterns: &FilePatterns) -> Result<bool, StoreError> {
    for (name, path) in durable::entries(folder)? {
        let name = format!("{above}{name}");
        // A link counts as a file: what it leads to is not the attempt's own.
        let is_folder = fs::symlink_metadata(&path).is_ok_and(|kind| kind.is_dir());
        let is_held = if is_folder {
            holds(&path, &format!("{name}/"), patterns)?
        } else {
            patterns.matches(&name)
        };
        if is_held {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Makes each file read-only and unshared: hard links share contents with files that others may
/// write. Symbolic links are left alone.
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

/// Removes all write permissions of a file.
pub(super) fn protect(path: &Path) -> Result<(), StoreError> {
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
    // Fails for folders that are not empty, which are kept.
    let _ = fs::remove_dir(folder);
    Ok(())
}
