//! What was hashed before: digests by what the file system says of a file, so that a hit costs one `stat` a file.

use std::{
    collections::BTreeMap,
    fs::{self, Metadata},
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    sync::Mutex,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use super::{StoreError, durable};
use crate::digest::Digest;

const HEADER: &str = "apeft memo 1";

/// A file that changed less than this many nanoseconds ago may change again without a new time stamp: kernels count time
/// in ticks of up to 10 ms.
const TICK: i128 = 50_000_000;
/// The same where the file system keeps whole seconds, or every other second as FAT does.
const COARSE_TICK: i128 = 2_100_000_000;
const SECOND: i128 = 1_000_000_000;

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

    /// Remembers a digest, once the file's last change is old enough for the next one to show.
    pub(super) fn learn(&self, metadata: &Metadata, digest: Digest) {
        let (place, stamp) = look(metadata);
        if is_settled(stamp.changed, now()) {
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

/// Nanoseconds since 1970.
fn now() -> i128 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_nanos() as i128)
}

/// Whether a file that changed then would have another time if it changed now. Only the time that nobody can set counts: a
/// file may say that it was modified next year.
fn is_settled(changed: i128, now: i128) -> bool {
    now - changed > tick(changed)
}

/// How long a time may stay the same; that it is a whole second to the nanosecond tells a coarse clock.
fn tick(changed: i128) -> i128 {
    if changed % SECOND == 0 { COARSE_TICK } else { TICK }
}

/// How long it takes until the next change of a file would show, if it is worth the wait: at most a coarse tick.
pub(super) fn unsettled_for(changed: i128) -> Duration {
    let left = tick(changed) - (now() - changed);
    let is_worth_it = left > 0 && left <= COARSE_TICK;
    if is_worth_it { Duration::from_nanos(left as u64 + 1_000_000) } else { Duration::ZERO }
}

/// When a file was last changed, in nanoseconds since 1970.
pub(super) fn changed(metadata: &Metadata) -> i128 {
    i128::from(metadata.ctime()) * SECOND + i128::from(metadata.ctime_nsec())
}

/// When its contents were last written, as far as it says so.
pub(super) fn modified(metadata: &Metadata) -> i128 {
    i128::from(metadata.mtime()) * SECOND + i128::from(metadata.mtime_nsec())
}

fn look(metadata: &Metadata) -> (Place, Stamp) {
    let stamp = Stamp { size: metadata.size(), changed: changed(metadata), modified: modified(metadata) };
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

    /// Waits until the next change of a file would show.
    fn settle(file: &Path) {
        std::thread::sleep(unsettled_for(changed(&fs::metadata(file).unwrap())));
    }

    #[test]
    fn every_flip_and_cut_is_noticed_and_costs_no_more_than_its_line() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("memo");
        let memo = Memo::new(path.clone(), true);
        let files: Vec<PathBuf> = (0..3).map(|index| folder.path().join(index.to_string())).collect();
        for (index, file) in files.iter().enumerate() {
            fs::write(file, "x").unwrap();
            settle(file);
            memo.learn(&fs::metadata(file).unwrap(), Digest::from_bytes([index as u8; 32]));
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
        memo.learn(&metadata, Digest::from_bytes([1; 32]));
        assert_eq!(memo.recall(&metadata), None);
    }

    #[test]
    fn a_file_of_the_future_is_remembered_and_one_of_a_coarse_clock_only_after_seconds() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        let file = fs::File::create(&path).unwrap();
        file.set_modified(SystemTime::now() + Duration::from_secs(1_000_000)).unwrap();
        settle(&path);
        let memo = Memo::new(folder.path().join("memo"), true);
        let (metadata, digest) = (fs::metadata(&path).unwrap(), Digest::from_bytes([1; 32]));
        memo.learn(&metadata, digest);
        assert_eq!(memo.recall(&metadata), Some(digest));

        let second = 1_700_000_000 * SECOND;
        assert!(!is_settled(second, second + 2 * SECOND), "FAT has even seconds only");
        assert!(is_settled(second, second + 3 * SECOND));
        assert!(!is_settled(second + 1, second + TICK));
        assert!(is_settled(second + 1, second + SECOND));
        assert!(!is_settled(second + SECOND / 2, second), "the clock of the disk is ahead: nothing is known");
    }
}
