//! Digests of contents: of a file, and of those files of a folder that matter.

use std::{
    fs::{self, Metadata},
    os::unix::fs::MetadataExt,
    path::Path,
};

use rayon::prelude::*;
use serde_json::json;

use super::{Store, StoreError, durable, memo::Memo};
use crate::digest::{Digest, digest_value};

/// Smaller files are hashed sooner than threads are started.
const SMALL: u64 = 1 << 20;

impl Store {
    /// The digest of what lies outside the store: of a file's bytes (its name does not matter), or of the names and bytes
    /// of those files of a folder that match one of the patterns.
    ///
    /// # Errors
    /// Where it cannot be read, changes meanwhile, or holds nothing of what is wanted.
    pub fn digest_path(&self, path: &Path, patterns: &[&str]) -> Result<Digest, StoreError> {
        let kind = fs::metadata(path).map_err(StoreError::io("read", path))?;
        if kind.is_file() {
            return digest_file(path, &self.memo);
        }
        if !kind.is_dir() {
            return Err(StoreError::Strange(path.to_owned()));
        }
        let found = durable::walk(path, &|name| matches(patterns, name))?;
        if found.is_empty() {
            return Err(StoreError::Nothing { path: path.to_owned(), wanted: patterns.join(", ") });
        }
        let digests: Vec<Digest> =
            found.par_iter().map(|found| digest_file(&found.path, &self.memo)).collect::<Result<_, _>>()?;
        Ok(digest_list(found.iter().map(|found| found.name.as_str()).zip(digests)))
    }
}

/// The digest of names and contents.
pub(super) fn digest_list<'a>(files: impl Iterator<Item = (&'a str, Digest)>) -> Digest {
    digest_value("files", &files.map(|(name, digest)| json!([name, digest])).collect())
}

/// Whether a name matches one of the patterns, in which `*` stands for any run of characters.
pub(super) fn matches(patterns: &[&str], name: &str) -> bool {
    patterns.iter().any(|pattern| matches_one(pattern, name))
}

fn matches_one(pattern: &str, name: &str) -> bool {
    let Some((head, tail)) = pattern.split_once('*') else { return pattern == name };
    let Some(rest) = name.strip_prefix(head) else { return false };
    (0..=rest.len()).any(|start| rest.is_char_boundary(start) && matches_one(tail, &rest[start..]))
}

/// The digest of a file, from the memo where it has not changed.
fn digest_file(path: &Path, memo: &Memo) -> Result<Digest, StoreError> {
    let metadata = fs::metadata(path).map_err(StoreError::io("read", path))?;
    if let Some(digest) = memo.recall(&metadata) {
        return Ok(digest);
    }
    let (digest, metadata) = digest_bytes(path)?;
    memo.learn(&metadata, digest, false);
    Ok(digest)
}

/// BLAKE3 of a file's bytes on all cores, and what the file system said of it before and after.
pub(super) fn digest_bytes(path: &Path) -> Result<(Digest, Metadata), StoreError> {
    let before = fs::metadata(path).map_err(StoreError::io("read", path))?;
    let mut hasher = blake3::Hasher::new();
    let hashed = if before.len() < SMALL { hasher.update_mmap(path) } else { hasher.update_mmap_rayon(path) };
    hashed.map_err(StoreError::io("read", path))?;
    let after = fs::metadata(path).map_err(StoreError::io("read", path))?;
    let look = |metadata: &Metadata| {
        (
            metadata.ino(),
            metadata.len(),
            metadata.ctime(),
            metadata.ctime_nsec(),
            metadata.mtime(),
            metadata.mtime_nsec(),
        )
    };
    if look(&before) != look(&after) {
        return Err(StoreError::Unsteady(path.to_owned()));
    }
    Ok((Digest::from_bytes(*hasher.finalize().as_bytes()), after))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stars_stand_for_any_run_of_characters() {
        for (pattern, name, expected) in [
            ("config.json", "config.json", true),
            ("config.json", "config.jsonl", false),
            ("*.safetensors", "model-00001-of-00002.safetensors", true),
            ("*.safetensors", "model.safetensors.index.json", false),
            ("tokenizer*.json", "tokenizer.json", true),
            ("tokenizer*.json", "tokenizer_config.json", true),
            ("*", "any/thing", true),
            ("a*b*c", "aXbYbZc", true),
            ("a*b*c", "aXbY", false),
            ("*é", "né", true),
        ] {
            assert_eq!(matches(&[pattern], name), expected, "{pattern} {name}");
        }
    }
}
