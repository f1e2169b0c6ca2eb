//! Snapshots of inputs: digests, and stamps that every change moves.

use std::{
    collections::BTreeMap,
    fs::{self, File, Metadata},
    io::Read,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    time::Duration,
};

use rayon::prelude::*;
use rustix::fs::FileType;
use serde::{Deserialize, Serialize};

use super::{
    EVERY_FILE, Store, StoreError, durable, hash, manifest::FEW, memo, patterns::FilePatterns,
};
use crate::digest::Digest;

/// A file, or the matching files of a folder, at one moment.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Snapshot {
    digest: Digest,
    is_file: bool,
    /// Stamps of each file, of each link on the way, and of each folder if any of its files
    /// matters.
    stamps: BTreeMap<PathBuf, Stamp>,
}

/// Metadata of a file, folder or link.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Stamp {
    device: u64,
    inode: u64,
    size: u64,
    modified: i128,
    /// Change time, which cannot be set.
    changed: i128,
    mode: u32,
    links: u64,
    owner: (u32, u32),
}

/// Modification time and size of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Times {
    size: u64,
    modified: i128,
    changed: i128,
}

impl Store {
    /// Digest of an external file's bytes (without its name), or of names and bytes of a folder's
    /// files that match a pattern.
    ///
    /// # Errors
    /// If it cannot be read, changes meanwhile, or has no matching file.
    pub fn digest_path(&self, path: &Path, patterns: &[&str]) -> Result<Digest, StoreError> {
        Ok(self.snapshot(path, patterns)?.digest())
    }

    /// A snapshot of a file (its name does not enter the digest), or of the files of a folder that
    /// match a pattern, with names.
    ///
    /// # Errors
    /// If it cannot be read, changes meanwhile, or has no matching file.
    pub fn snapshot(&self, path: &Path, patterns: &[&str]) -> Result<Snapshot, StoreError> {
        // Large files take minutes to hash.
        self.leave_gate();
        let mut stamps = BTreeMap::new();
        // A link anywhere on the way can be turned to another folder.
        for ancestor in path.ancestors() {
            note_link(ancestor, &mut stamps);
        }
        let kind = fs::metadata(path).map_err(StoreError::io("read", path))?;
        if kind.is_file() {
            refuse_unmerged(path)?;
            let (digest, metadata) = hash::digest_file(path, &self.memo)?;
            stamps.insert(path.to_owned(), Stamp::of(&metadata));
            return Ok(Snapshot { digest, is_file: true, stamps });
        }
        if !kind.is_dir() {
            return Err(StoreError::Strange(path.to_owned()));
        }
        let mut walk = Walk {
            patterns: FilePatterns::of(patterns),
            reads_all: patterns == EVERY_FILE,
            found: Vec::new(),
            stamps,
        };
        walk.descend(path, "", 0)?;
        let Walk { mut found, mut stamps, .. } = walk;
        if found.is_empty() {
            return Err(StoreError::Nothing { path: path.to_owned(), wanted: patterns.join(", ") });
        }
        // A digest of the list needs one order, and file systems list in any.
        found.sort_by(|one, other| one.0.cmp(&other.0));
        let digest = |(_, path): &(String, PathBuf)| {
            refuse_unmerged(path)?;
            hash::digest_file(path, &self.memo)
        };
        // Threads take longer to start than a few files to hash.
        let hashed: Vec<(Digest, Metadata)> = if found.len() > FEW && hash::has_threads() {
            found.par_iter().map(digest).collect::<Result<_, _>>()?
        } else {
            found.iter().map(digest).collect::<Result<_, _>>()?
        };
        for ((_, path), (_, metadata)) in found.iter().zip(&hashed) {
            stamps.insert(path.clone(), Stamp::of(metadata));
        }
        let digest = hash::digest_list(
            found.iter().map(|(name, _)| name.as_str()).zip(hashed.iter().map(|seen| seen.0)),
        );
        Ok(Snapshot { digest, is_file: false, stamps })
    }
}

/// Refuses an SQLite file with a write-ahead log: its bytes, and so its digest, lack changes that a
/// reader of the database may see.
fn refuse_unmerged(path: &Path) -> Result<(), StoreError> {
    const HEAD: &[u8] = b"SQLite format 3\0";
    // The log lies beside the file and not beside a link to it.
    let path = fs::canonicalize(path).map_err(StoreError::io("read", path))?;
    let mut log = path.clone().into_os_string();
    log.push("-wal");
    if !fs::metadata(&log).is_ok_and(|found| found.len() > 0) {
        return Ok(());
    }
    let mut head = [0; HEAD.len()];
    let read = File::open(&path).and_then(|mut file| file.read_exact(&mut head));
    match read.is_ok() && head == HEAD {
        true => Err(StoreError::Unmerged { path, log: log.into() }),
        false => Ok(()),
    }
}

/// Matching files of a folder with their relative names.
struct Walk {
    patterns: FilePatterns,
    /// Whether every file of the folder is an input.
    reads_all: bool,
    found: Vec<(String, PathBuf)>,
    stamps: BTreeMap<PathBuf, Stamp>,
}

impl Walk {
    fn descend(&mut self, folder: &Path, prefix: &str, depth: usize) -> Result<(), StoreError> {
        // Links can form a circle, which has no end.
        if depth > durable::DEEPEST {
            return Err(StoreError::Strange(folder.to_owned()));
        }
        if self.reads_all {
            // A file that came and went may have been read by a stage that reads all.
            let metadata = fs::metadata(folder).map_err(StoreError::io("read", folder))?;
            self.stamps.insert(folder.to_owned(), Stamp::of(&metadata));
        }
        for (name, path) in durable::entries(folder)? {
            let name = format!("{prefix}{name}");
            let is_wanted = self.patterns.matches(&name);
            let kind = match fs::metadata(&path) {
                Ok(kind) => kind,
                // A dangling link is no input unless a stage would read it.
                Err(_) if !is_wanted => continue,
                Err(error) => return Err(StoreError::io("read", &path)(error)),
            };
            if kind.is_dir() {
                self.descend(&path, &format!("{name}/"), depth + 1)?;
            } else if is_wanted && kind.is_file() {
                note_link(&path, &mut self.stamps);
                self.found.push((name, path));
            } else if is_wanted {
                return Err(StoreError::Strange(path));
            }
        }
        Ok(())
    }
}

/// Adds the stamp of a link itself under its own name, since its path refers to the target.
fn note_link(path: &Path, stamps: &mut BTreeMap<PathBuf, Stamp>) {
    if let Ok(metadata) = fs::symlink_metadata(path)
        && metadata.is_symlink()
    {
        stamps.insert(link_name(path), Stamp::of(&metadata));
    }
}

fn link_name(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(" (the link)");
    PathBuf::from(name)
}

impl Stamp {
    fn of(metadata: &Metadata) -> Self {
        Self {
            device: metadata.dev(),
            inode: metadata.ino(),
            size: metadata.size(),
            modified: memo::modified(metadata),
            changed: memo::changed(metadata),
            mode: metadata.mode(),
            links: metadata.nlink(),
            owner: (metadata.uid(), metadata.gid()),
        }
    }

    fn is_link(&self) -> bool {
        FileType::from_raw_mode(self.mode) == FileType::Symlink
    }

    /// Whether contents may have changed between two snapshots, even if they are equal again. A new
    /// mode, owner or name moves the change time too, and is harmless if the modification time is
    /// unchanged.
    fn is_written(&self, later: &Self) -> bool {
        self.contents() != later.contents()
            || self.changed != later.changed && self.surroundings() == later.surroundings()
    }

    /// What a write moves.
    fn contents(&self) -> (u64, u64, u64, i128) {
        (self.device, self.inode, self.size, self.modified)
    }

    /// What moves the change time without a write.
    fn surroundings(&self) -> (u32, u64, (u32, u32)) {
        (self.mode, self.links, self.owner)
    }
}

impl Snapshot {
    /// Digest of the contents.
    pub fn digest(&self) -> Digest {
        self.digest
    }

    /// Whether it is a single file.
    pub fn is_file(&self) -> bool {
        self.is_file
    }

    /// Bytes of the files.
    pub fn bytes(&self) -> u64 {
        let is_file = |stamp: &&Stamp| FileType::from_raw_mode(stamp.mode) == FileType::RegularFile;
        self.stamps.values().filter(is_file).map(|stamp| stamp.size).sum()
    }

    /// What was written, added or removed until a later snapshot; restored contents count, since a
    /// stage may have read the others.
    pub fn written_since(&self, later: &Self) -> Option<PathBuf> {
        let changed = self.stamps.iter().find(|(path, stamp)| {
            later.stamps.get(*path).is_none_or(|other| stamp.is_written(other))
        });
        let added = later.stamps.keys().find(|path| !self.stamps.contains_key(*path));
        // A folder's stamp only shows that an entry came or went.
        changed
            .map(|(path, _)| path)
            .into_iter()
            .chain(added)
            .max_by_key(|path| path.components().count())
            .cloned()
    }

    /// Stamps that survive restarts and remounts: sizes and times of each file. For artifacts only
    /// the targets of links, which others may write.
    pub fn times(&self, is_artifact: bool) -> Vec<Times> {
        let files = self.stamps.iter().filter(|(path, stamp)| {
            // Files of an artifact are read-only and sealed; only what its links lead to can
            // change.
            !stamp.is_link() && (!is_artifact || self.stamps.contains_key(&link_name(path)))
        });
        files
            .map(|(_, stamp)| Times {
                size: stamp.size,
                modified: stamp.modified,
                changed: stamp.changed,
            })
            .collect()
    }

    /// Time until the next change is detectable; none if always.
    pub fn unsettled_for(&self) -> Duration {
        self.stamps
            .values()
            .map(|stamp| memo::unsettled_for(stamp.changed))
            .max()
            .unwrap_or_default()
    }
}
