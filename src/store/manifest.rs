//! Manifest of a sealed folder: size and digest of each file, and a seal over the list.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs::{self, File},
    io::{self, ErrorKind, Read},
    path::Path,
};

use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::{
    StoreError,
    durable::{self, FoundFile},
    hash,
    memo::Memo,
};
use crate::digest::{Digest, digest_value};

/// File name of the manifest.
pub(super) const MANIFEST: &str = "manifest.json";

/// Version of the format.
pub(super) const SCHEMA: u32 = 1;

/// Fewer files are hashed without threads.
pub(super) const FEW: usize = 32;

/// The files of a sealed folder.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Manifest {
    /// Version of the format.
    pub(super) schema: u32,
    /// Key, if the folder is an artifact.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) key: Option<Digest>,
    /// All files but the manifest, by name.
    pub(super) files: Vec<SealedFile>,
}

/// A file of a manifest.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SealedFile {
    /// Relative to the folder, separated by `/`.
    pub path: String,
    /// Bytes.
    pub size: u64,
    /// BLAKE3 of its bytes, as `b3sum` prints it.
    pub digest: Digest,
}

/// Why a sealed folder cannot be used.
#[derive(Debug)]
pub(super) enum Fault {
    /// Its content differs from the manifest.
    Damaged(String),
    /// It could not be read, so its state is unknown: missing permission, or an unavailable network
    /// disk.
    Unreadable(StoreError),
}

impl std::fmt::Display for Fault {
    fn fmt(&self, formatter: &mut std::fmt::Formatter) -> std::fmt::Result {
        match self {
            Self::Damaged(problem) => formatter.write_str(problem),
            Self::Unreadable(error) => error.fmt(formatter),
        }
    }
}

impl Fault {
    /// Classifies an error of the file system for the file `name` at `path` of a sealed folder.
    fn of(name: &str, path: &Path, error: std::io::Error) -> Self {
        match error.kind() {
            ErrorKind::NotFound => Self::Damaged(format!("{name} is missing")),
            ErrorKind::NotADirectory | ErrorKind::IsADirectory | ErrorKind::InvalidData => {
                Self::Damaged(format!("{name} cannot be read: {error}"))
            }
            _ => Self::Unreadable(StoreError::io("read", path)(error)),
        }
    }

    /// The same for an error of the store.
    fn of_store(name: &str, error: StoreError) -> Self {
        match error {
            StoreError::Io { path, cause, .. } => Self::of(name, &path, cause),
            error => Self::Unreadable(error),
        }
    }
}

impl Manifest {
    /// Hashes all files of a folder, writes the manifest and syncs everything.
    pub(super) fn seal(
        folder: &Path,
        key: Option<Digest>,
        memo: Option<&Memo>,
    ) -> Result<Self, StoreError> {
        let found = durable::walk(folder)?;
        // Threads cost more than they save on the few small files of most artifacts.
        let files = if found.len() > FEW && hash::has_threads() {
            found.into_par_iter().map(|found| entry(found, memo)).collect::<Result<_, _>>()?
        } else {
            found.into_iter().map(|found| entry(found, memo)).collect::<Result<_, _>>()?
        };
        let manifest = Self { schema: SCHEMA, key, files };
        let path = folder.join(MANIFEST);
        fs::write(&path, manifest.text()).map_err(StoreError::io("write", &path))?;
        // After the manifest, so that a power failure leaves either a sealed folder or none.
        durable::sync_tree(folder)?;
        Ok(manifest)
    }

    /// Reads the manifest of a folder.
    pub(super) fn read(folder: &Path, key: Option<Digest>) -> Result<Self, Fault> {
        let path = folder.join(MANIFEST);
        let text = read_text(&path).map_err(|error| Fault::of(MANIFEST, &path, error))?;
        Self::parse(&text, key)
    }

    /// Reads the text of a manifest.
    pub(super) fn parse(text: &str, key: Option<Digest>) -> Result<Self, Fault> {
        let manifest: Self = serde_json::from_str(text).map_err(|_| damaged("is incomplete"))?;
        if !is_sealed(text) {
            return Err(damaged("does not match its seal"));
        }
        if manifest.key != key {
            return Err(damaged("belongs to another key"));
        }
        Ok(manifest)
    }

    /// Compares a folder with its manifest, by stamps if the memo knows them.
    pub(super) fn check(&self, folder: &Path, memo: Option<&Memo>) -> Result<(), Fault> {
        for (name, children) in self.listings() {
            let listing = digest_value("listing", &json!(children));
            let path = folder.join(name);
            let shown = if name.is_empty() { "its folder" } else { name };
            let metadata = fs::metadata(&path).map_err(|error| Fault::of(shown, &path, error))?;
            if memo.and_then(|memo| memo.recall(&metadata)) != Some(listing) {
                let found =
                    durable::entries(&path).map_err(|error| Fault::of_store(shown, error))?;
                let found: Vec<&str> = found.iter().map(|(name, _)| name.as_str()).collect();
                if let Some(extra) = found.iter().find(|name| !children.contains(**name)) {
                    let extra = Path::new(name).join(extra);
                    return Err(Fault::Damaged(format!(
                        "{} does not belong there",
                        extra.display()
                    )));
                }
                // Of a listing that lacks a file nothing is remembered; the file itself is
                // reported.
                if found.len() == children.len() && !self.is_remembered_as_whole() {
                    memo.inspect(|memo| memo.learn(&metadata, listing));
                }
            }
        }
        let problem = if self.files.len() > FEW && hash::has_threads() {
            self.files.par_iter().find_map_first(|entry| differs(folder, entry, memo))
        } else {
            self.files.iter().find_map(|entry| differs(folder, entry, memo))
        };
        problem.map_or(Ok(()), Err)
    }

    /// Whether the memo has one entry for all stamps of the artifact, once it was looked up: it has
    /// few files, whose names are words.
    pub(super) fn is_remembered_as_whole(&self) -> bool {
        let is_few = (1..=FEW).contains(&self.files.len());
        let are_words = self.files.iter().all(|entry| entry.path.chars().all(is_of_word));
        self.schema == SCHEMA && self.key.is_some() && is_few && are_words
    }

    /// Remembers the listings of a freshly committed folder.
    pub(super) fn learn_listings(&self, folder: &Path, memo: &Memo) {
        if self.is_remembered_as_whole() {
            return;
        }
        for (name, children) in self.listings() {
            if let Ok(metadata) = fs::metadata(folder.join(name)) {
                memo.learn(&metadata, digest_value("listing", &json!(children)));
            }
        }
    }

    /// Entries of each folder, by name.
    fn listings(&self) -> BTreeMap<&str, BTreeSet<&str>> {
        let mut listings = BTreeMap::from([("", BTreeSet::from([MANIFEST]))]);
        for entry in &self.files {
            let mut path = entry.path.as_str();
            loop {
                let (parent, name) = path.rsplit_once('/').unwrap_or(("", path));
                let new = listings.entry(parent).or_default().insert(name);
                if parent.is_empty() || !new {
                    break;
                }
                path = parent;
            }
        }
        listings
    }

    /// The file's text: the list and a seal over it.
    pub(super) fn text(&self) -> String {
        let list = serde_json::to_string_pretty(self).expect("plain data can be written");
        let list = list
            .strip_suffix("\n}")
            .expect("an object that is not empty ends with a brace on its own line");
        format!("{list}{SEAL}{}{END}", blake3::hash(list.as_bytes()))
    }
}

/// The text of a manifest. Its end shows that it is whole, so that most take a single read.
fn read_text(path: &Path) -> io::Result<String> {
    /// Bytes of the manifest of a few files.
    const USUAL: usize = 4096;
    let mut file = File::open(path)?;
    let mut bytes = vec![0; USUAL];
    let first = match file.read(&mut bytes) {
        Err(error) if error.kind() == ErrorKind::Interrupted => 0,
        read => read?,
    };
    bytes.truncate(first);
    if !bytes.ends_with(END.as_bytes()) || first == USUAL {
        file.read_to_end(&mut bytes)?;
    }
    let no_text = io::Error::new(ErrorKind::InvalidData, "stream did not contain valid UTF-8");
    String::from_utf8(bytes).map_err(|_| no_text)
}

/// What follows the list in a manifest's text, before the digest of the list and after it.
const SEAL: &str = ",\n  \"seal\": \"";
const END: &str = "\"\n}\n";

/// Whether a text ends with the seal of what precedes it, byte by byte: a manifest that is spelt
/// otherwise was edited.
fn is_sealed(text: &str) -> bool {
    let parts = text.strip_suffix(END).and_then(|text| text.rsplit_once(SEAL));
    parts.is_some_and(|(list, seal)| blake3::hash(list.as_bytes()).to_hex().as_str() == seal)
}

fn is_of_word(one: char) -> bool {
    !one.is_whitespace() && !one.is_control()
}

/// The fault of a manifest.
fn damaged(what: &str) -> Fault {
    Fault::Damaged(format!("{MANIFEST} {what}"))
}

fn entry(found: FoundFile, memo: Option<&Memo>) -> Result<SealedFile, StoreError> {
    let (digest, metadata) = hash::digest_bytes(&found.path)?;
    memo.inspect(|memo| memo.learn(&metadata, digest));
    Ok(SealedFile { path: found.name, size: metadata.len(), digest })
}

fn differs(folder: &Path, entry: &SealedFile, memo: Option<&Memo>) -> Option<Fault> {
    let path = folder.join(&entry.path);
    let metadata = match fs::metadata(&path) {
        Ok(metadata) => metadata,
        Err(error) => return Some(Fault::of(&entry.path, &path, error)),
    };
    // The size first: most damage is a file that was cut, and costs no reading.
    if metadata.len() != entry.size {
        let (is, was) = (metadata.len(), entry.size);
        return Some(Fault::Damaged(format!("{} has {is} bytes instead of {was}", entry.path)));
    }
    if memo.and_then(|memo| memo.recall(&metadata)) == Some(entry.digest) {
        return None;
    }
    match hash::digest_bytes(&path) {
        Ok((digest, metadata)) if digest == entry.digest => {
            memo.inspect(|memo| memo.learn(&metadata, digest));
            None
        }
        Ok(_) => Some(Fault::Damaged(format!("{} does not match its digest", entry.path))),
        Err(error) => Some(Fault::of_store(&entry.path, error)),
    }
}
