//! What was hashed before: digests by what the file system says of a file, so that a hit costs one `stat` a file.

use std::{
    collections::BTreeMap,
    fs::{self, Metadata},
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    sync::Mutex,
    time::{SystemTime, UNIX_EPOCH},
};

use super::{StoreError, durable};
use crate::digest::Digest;

const HEADER: &str = "apeft memo 1";

/// A file that changed less than this many nanoseconds ago may change again without a new time stamp.
const TOO_FRESH: i128 = 50_000_000;

/// A file's identity.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Place {
    device: u64,
    inode: u64,
}

/// What changes when a file is written; `touch` cannot set the first of the two times back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stamp {
    size: u64,
    changed: i128,
    modified: i128,
}

/// Digests by place and stamp, loaded when first asked and saved in one piece.
#[derive(Debug)]
pub(super) struct Memo {
    path: PathBuf,
    trusted: bool,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    loaded: bool,
    known: BTreeMap<Place, (Stamp, Digest)>,
    /// Lines learnt since the last call of [`Memo::learnt`].
    learnt: Vec<String>,
    unsaved: bool,
}

impl Memo {
    /// A memo in this file. One that is not `trusted` recalls nothing, but still learns.
    pub(super) fn new(path: PathBuf, trusted: bool) -> Self {
        Self { path, trusted, state: Mutex::new(State::default()) }
    }

    /// The digest of a file that looks as it did then. The file is read at the first call, since an attempt that only
    /// writes never asks; lines that are torn or do not match their checksum are left out.
    pub(super) fn recall(&self, metadata: &Metadata) -> Option<Digest> {
        if !self.trusted {
            return None;
        }
        let (place, stamp) = look(metadata);
        let mut state = self.state.lock().expect("no thread panics while it holds the memo");
        if !state.loaded {
            state.loaded = true;
            state.take_in(&fs::read(&self.path).unwrap_or_default());
        }
        state.known.get(&place).filter(|(known, _)| *known == stamp).map(|(_, digest)| *digest)
    }

    /// Remembers a digest. `settled`: nobody writes to the file any more; others are remembered only once they are old
    /// enough for their next change to show.
    pub(super) fn learn(&self, metadata: &Metadata, digest: Digest, settled: bool) {
        let (place, stamp) = look(metadata);
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_nanos() as i128);
        if settled || now - stamp.changed.max(stamp.modified) > TOO_FRESH {
            let mut state = self.state.lock().expect("no thread panics while it holds the memo");
            if state.known.insert(place, (stamp, digest)) != Some((stamp, digest)) {
                state.unsaved = true;
                state.learnt.push(line(place, stamp, digest));
            }
        }
    }

    /// The lines learnt since the last call, for another process to [`Memo::accept`].
    pub(super) fn learnt(&self) -> Vec<String> {
        std::mem::take(&mut self.state.lock().expect("no thread panics while it holds the memo").learnt)
    }

    /// Takes over what another process learnt.
    pub(super) fn accept(&self, lines: &[String]) {
        let mut state = self.state.lock().expect("no thread panics while it holds the memo");
        for (place, known) in lines.iter().filter_map(|line| parse(line.as_bytes())) {
            state.unsaved |= state.known.insert(place, known) != Some(known);
        }
    }

    /// Writes the memo where something is new, together with what other processes wrote meanwhile.
    pub(super) fn save(&self) -> Result<(), StoreError> {
        let mut state = self.state.lock().expect("no thread panics while it holds the memo");
        if !state.unsaved {
            return Ok(());
        }
        state.take_in(&fs::read(&self.path).unwrap_or_default());
        durable::replace(&self.path, write(&state.known).as_bytes())?;
        state.unsaved = false;
        Ok(())
    }

    /// Writes the memo anew, without the lines that did not match.
    pub(super) fn rewrite(&self) -> Result<(), StoreError> {
        self.state.lock().expect("no thread panics while it holds the memo").unsaved = true;
        self.save()
    }

    /// What is wrong with the file, if anything is.
    pub(super) fn problem(path: &Path) -> Option<String> {
        let text = match fs::read(path) {
            Ok(bytes) => String::from_utf8(bytes).ok(),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return None,
            Err(error) => return Some(format!("cannot be read: {error}")),
        };
        let known: BTreeMap<Place, (Stamp, Digest)> =
            text.iter().flat_map(|text| text.split('\n')).filter_map(|line| parse(line.as_bytes())).collect();
        (text != Some(write(&known))).then(|| "a line is torn, missing or altered".to_owned())
    }
}

impl State {
    /// Adds the lines of a file where nothing newer is known.
    fn take_in(&mut self, text: &[u8]) {
        for (place, known) in text.split(|byte| *byte == b'\n').filter_map(parse) {
            self.known.entry(place).or_insert(known);
        }
    }
}

fn look(metadata: &Metadata) -> (Place, Stamp) {
    let nanoseconds = |seconds: i64, rest: i64| i128::from(seconds) * 1_000_000_000 + i128::from(rest);
    let stamp = Stamp {
        size: metadata.size(),
        changed: nanoseconds(metadata.ctime(), metadata.ctime_nsec()),
        modified: nanoseconds(metadata.mtime(), metadata.mtime_nsec()),
    };
    (Place { device: metadata.dev(), inode: metadata.ino() }, stamp)
}

fn write(known: &BTreeMap<Place, (Stamp, Digest)>) -> String {
    let mut text = format!("{HEADER}\n");
    for (place, (stamp, digest)) in known {
        text.push_str(&line(*place, *stamp, *digest));
        text.push('\n');
    }
    text.push_str(&format!("end {}\n", known.len()));
    text
}

fn line(place: Place, stamp: Stamp, digest: Digest) -> String {
    let Stamp { size, changed, modified } = stamp;
    let text = format!("{} {} {size} {changed} {modified} {digest}", place.device, place.inode);
    format!("{text} {}", checksum(&text))
}

fn parse(line: &[u8]) -> Option<(Place, (Stamp, Digest))> {
    let (text, sum) = std::str::from_utf8(line).ok()?.rsplit_once(' ')?;
    if checksum(text) != sum {
        return None;
    }
    let fields: Vec<&str> = text.split(' ').collect();
    let [device, inode, size, changed, modified, digest] = fields[..] else { return None };
    let place = Place { device: device.parse().ok()?, inode: inode.parse().ok()? };
    let stamp = Stamp { size: size.parse().ok()?, changed: changed.parse().ok()?, modified: modified.parse().ok()? };
    Some((place, (stamp, digest.parse().ok()?)))
}

/// The first 16 digits of the BLAKE3 digest of a text.
pub(super) fn checksum(text: &str) -> String {
    blake3::hash(text.as_bytes()).to_hex()[..16].to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_flip_and_cut_is_noticed_and_costs_no_more_than_its_line() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("memo");
        let memo = Memo::new(path.clone(), true);
        let files: Vec<PathBuf> = (0..3).map(|index| folder.path().join(index.to_string())).collect();
        for (index, file) in files.iter().enumerate() {
            fs::write(file, "x").unwrap();
            memo.learn(&fs::metadata(file).unwrap(), Digest::from_bytes([index as u8; 32]), true);
        }
        memo.save().unwrap();
        assert_eq!(Memo::problem(&path), None);
        let good = fs::read(&path).unwrap();
        for position in 0..good.len() {
            let mut bad = good.clone();
            bad[position] ^= 1;
            fs::write(&path, &bad).unwrap();
            assert!(Memo::problem(&path).is_some(), "flip at {position}");
            let memo = Memo::new(path.clone(), true);
            let recalled = files.iter().map(|file| memo.recall(&fs::metadata(file).unwrap())).collect::<Vec<_>>();
            assert!(recalled.iter().flatten().count() >= 1, "flip at {position} lost all");
            for (index, digest) in recalled.into_iter().enumerate() {
                assert!(digest.is_none_or(|digest| digest == Digest::from_bytes([index as u8; 32])));
            }
            fs::write(&path, &good[..position]).unwrap();
            assert!(Memo::problem(&path).is_some(), "cut at {position}");
        }
    }

    #[test]
    fn a_file_that_was_just_written_is_not_trusted_to_stay() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("file");
        fs::write(&file, "x").unwrap();
        let metadata = fs::metadata(&file).unwrap();
        let memo = Memo::new(folder.path().join("memo"), true);
        memo.learn(&metadata, Digest::from_bytes([1; 32]), false);
        assert_eq!(memo.recall(&metadata), None);
    }
}
