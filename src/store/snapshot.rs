//! What a stage reads, as it was at one moment: its contents by their digest, and the stamps that every change moves.

use std::{
    collections::BTreeMap,
    fs::{self, Metadata},
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    time::Duration,
};

use rayon::prelude::*;
use rustix::fs::FileType;
use serde::{Deserialize, Serialize};

use super::{Store, StoreError, durable, hash, memo};
use crate::digest::Digest;

/// A file, or those files of a folder that matter, at one moment.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Snapshot {
    digest: Digest,
    is_file: bool,
    /// Of each file; of each link on the way, before it is followed; of each folder, where any file in it matters.
    stamps: BTreeMap<PathBuf, Stamp>,
}

/// What the file system says of a file, a folder or a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Stamp {
    device: u64,
    inode: u64,
    size: u64,
    modified: i128,
    /// Nobody can set this one back.
    changed: i128,
    mode: u32,
    links: u64,
    owner: (u32, u32),
}

/// When a file was written, and how long it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Times {
    size: u64,
    modified: i128,
    changed: i128,
}

impl Store {
    /// Looks at what lies outside the store or in it: a file (whose name does not matter to the digest), or those files of a
    /// folder that match one of the patterns, with their names.
    ///
    /// # Errors
    /// Where it cannot be read, changes meanwhile, or holds nothing of what is wanted.
    pub fn snapshot(&self, path: &Path, patterns: &[&str]) -> Result<Snapshot, StoreError> {
        let mut stamps = BTreeMap::new();
        for ancestor in path.ancestors() {
            note_link(ancestor, &mut stamps);
        }
        let kind = fs::metadata(path).map_err(StoreError::io("read", path))?;
        if kind.is_file() {
            let (digest, metadata) = hash::digest_file(path, &self.memo)?;
            stamps.insert(path.to_owned(), Stamp::of(&metadata));
            return Ok(Snapshot { digest, is_file: true, stamps });
        }
        if !kind.is_dir() {
            return Err(StoreError::Strange(path.to_owned()));
        }
        let mut walk = Walk { patterns, found: Vec::new(), stamps };
        walk.descend(path, "", 0)?;
        let Walk { mut found, mut stamps, .. } = walk;
        if found.is_empty() {
            return Err(StoreError::Nothing { path: path.to_owned(), wanted: patterns.join(", ") });
        }
        found.sort_by(|one, other| one.0.cmp(&other.0));
        let hashed: Vec<(Digest, Metadata)> =
            found.par_iter().map(|(_, path)| hash::digest_file(path, &self.memo)).collect::<Result<_, _>>()?;
        for ((_, path), (_, metadata)) in found.iter().zip(&hashed) {
            stamps.insert(path.clone(), Stamp::of(metadata));
        }
        let digest =
            hash::digest_list(found.iter().map(|(name, _)| name.as_str()).zip(hashed.iter().map(|seen| seen.0)));
        Ok(Snapshot { digest, is_file: false, stamps })
    }
}

/// The files of a folder that matter, with their names below it.
struct Walk<'a> {
    patterns: &'a [&'a str],
    found: Vec<(String, PathBuf)>,
    stamps: BTreeMap<PathBuf, Stamp>,
}

impl Walk<'_> {
    fn descend(&mut self, folder: &Path, prefix: &str, depth: usize) -> Result<(), StoreError> {
        if depth > durable::DEEPEST {
            return Err(StoreError::Strange(folder.to_owned()));
        }
        if self.patterns.contains(&"*") {
            // A file that came and went again was read by whoever reads all.
            let metadata = fs::metadata(folder).map_err(StoreError::io("read", folder))?;
            self.stamps.insert(folder.to_owned(), Stamp::of(&metadata));
        }
        for (name, path) in durable::entries(folder)? {
            let name = format!("{prefix}{name}");
            let is_wanted = hash::matches(self.patterns, &name);
            let kind = match fs::metadata(&path) {
                Ok(kind) => kind,
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

/// Keeps the stamp of a link itself, under a name of its own, since the path stands for what it leads to.
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

    /// Whether contents may have been written between two looks, even if they are the same again by now. A new mode, owner
    /// or name of a file changes its time too, and is harmless where the time of writing is still the same.
    fn is_written(&self, later: &Self) -> bool {
        let contents = |stamp: &Self| (stamp.device, stamp.inode, stamp.size, stamp.modified);
        let surroundings = |stamp: &Self| (stamp.mode, stamp.links, stamp.owner);
        contents(self) != contents(later) || self.changed != later.changed && surroundings(self) == surroundings(later)
    }
}

impl Snapshot {
    /// The digest of the contents.
    pub fn digest(&self) -> Digest {
        self.digest
    }

    /// Whether it is a single file and no folder.
    pub fn is_file(&self) -> bool {
        self.is_file
    }

    /// What was written, removed or added between this look and a later one, if anything was; contents that were put back
    /// count, since somebody may have read the others.
    pub fn written_since(&self, later: &Self) -> Option<PathBuf> {
        let changed = self
            .stamps
            .iter()
            .find(|(path, stamp)| later.stamps.get(*path).is_none_or(|other| stamp.is_written(other)));
        let added = later.stamps.keys().find(|path| !self.stamps.contains_key(*path));
        // A folder only says that something in it came or went.
        changed.map(|(path, _)| path).into_iter().chain(added).max_by_key(|path| path.components().count()).cloned()
    }

    /// What of the stamps survives a restart and another mount: sizes and times of each file. Of an artifact only files that it
    /// links to, which are others' to write.
    pub fn times(&self, is_artifact: bool) -> Vec<Times> {
        let files = self
            .stamps
            .iter()
            .filter(|(path, stamp)| !stamp.is_link() && (!is_artifact || self.stamps.contains_key(&link_name(path))));
        files.map(|(_, stamp)| Times { size: stamp.size, modified: stamp.modified, changed: stamp.changed }).collect()
    }

    /// How long the next change may leave no trace in the stamps; nothing where it always shows.
    pub fn unsettled_for(&self) -> Duration {
        self.stamps.values().map(|stamp| memo::unsettled_for(stamp.changed)).max().unwrap_or_default()
    }
}
