//! Pins: artifacts that no collection removes, until somebody unpins them.

use std::fs;

use super::{
    Store, StoreError,
    checksum::{sign, signed},
    durable,
};
use crate::digest::Digest;

/// An artifact that stays.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pin {
    /// Key.
    pub key: Digest,
    /// What it was named when it was pinned; empty if the file is damaged, which pins all the same.
    pub name: String,
}

impl Store {
    /// Pins a key under a name; one that is pinned keeps its first name.
    ///
    /// # Errors
    /// If the store cannot be written.
    pub fn pin(&self, key: &Digest, name: &str) -> Result<(), StoreError> {
        let path = self.pins().join(key.to_string());
        // Its first name says why it is kept.
        if path.exists() {
            return Ok(());
        }
        durable::create_folder(&self.pins())?;
        // A name of one line, so that its checksum ends the file.
        durable::replace(&path, sign(&name.replace(['\n', '\t'], " ")).as_bytes())
    }

    /// Unpins a key; returns whether it was pinned.
    ///
    /// # Errors
    /// If the store cannot be written.
    pub fn unpin(&self, key: &Digest) -> Result<bool, StoreError> {
        let path = self.pins().join(key.to_string());
        match fs::remove_file(&path) {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(StoreError::io("remove", &path)(error)),
        }
    }

    /// All pins by key.
    ///
    /// # Errors
    /// If they cannot be listed.
    pub fn pinned(&self) -> Result<Vec<Pin>, StoreError> {
        let listed = durable::entries(&self.pins())?.into_iter();
        let pins = listed.filter_map(|(name, path)| {
            let key = name.parse().ok()?;
            let text = fs::read_to_string(path).unwrap_or_default();
            Some(Pin { key, name: signed(&text).unwrap_or_default().to_owned() })
        });
        Ok(pins.collect())
    }
}
