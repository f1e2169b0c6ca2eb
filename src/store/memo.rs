//! Memo of digests by file metadata, so that a hit costs one `stat` per file.

use std::{
    collections::BTreeMap,
    fs::{self, Metadata},
    ops::Range,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    sync::{
        Mutex, OnceLock,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use super::{StoreError, checksum::checksum, durable};
use crate::digest::Digest;

const HEADER: &str = "apeft memo 1";

/// A file may change again within this many nanoseconds without a new time stamp: kernel ticks take
/// up to 10 ms.
const TICK: i128 = 50_000_000;
/// The same for file systems with time stamps of one second, or two as on FAT.
const COARSE_TICK: i128 = 2_100_000_000;
const SECOND: i128 = 1_000_000_000;

/// Identity of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct FileId {
    device: u64,
    inode: u64,
}

/// Metadata that changes with the content; `touch` cannot reset the change time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct MemoStamp {
    size: u64,
    changed: i128,
    modified: i128,
}

/// Digests by place and stamp, loaded on first use and saved as a whole.
#[derive(Debug)]
pub(super) struct Memo {
    path: PathBuf,
    trusted: bool,
    /// The file's text on first use. It is searched and not parsed, since a command may ask for few
    /// of 500,000 files.
    stored: OnceLock<Vec<u8>>,
    /// Where the last file was found in it; the next one is often near.
    last: AtomicUsize,
    state: Mutex<MemoState>,
}

#[derive(Debug, Default)]
struct MemoState {
    /// What is not in the stored text.
    known: BTreeMap<FileId, (MemoStamp, Digest)>,
    /// Lines added since the last call of [`Memo::learnt`].
    learnt: Vec<String>,
    unsaved: bool,
}

impl Memo {
    /// A memo stored in this file. Unless `trusted`, it recalls nothing but still learns.
    pub(super) fn new(path: PathBuf, trusted: bool) -> Self {
        let (stored, last, state) = Default::default();
        Self { path, trusted, stored, last, state }
    }

    /// The digest of an unchanged file. Loads the memo on first use, since attempts that only write
    /// never ask; lines with wrong checksums are skipped.
    pub(super) fn recall(&self, metadata: &Metadata) -> Option<Digest> {
        if !self.trusted {
            return None;
        }
        let (place, stamp) = look(metadata);
        let state = self.state.lock().expect("no thread panics while it holds the memo");
        let learnt = state.known.get(&place).copied();
        // Threads search at once.
        drop(state);
        let text = self.stored.get_or_init(|| fs::read(&self.path).unwrap_or_default());
        let found = learnt.or_else(|| self.find(text, place));
        found.filter(|(known, _)| *known == stamp).map(|(_, digest)| digest)
    }

    /// A file's entry in the stored text.
    fn find(&self, text: &[u8], place: FileId) -> Option<(MemoStamp, Digest)> {
        /// Bytes around the last find that are searched first.
        const NEAR: usize = 2048;
        let last = self.last.load(Ordering::Relaxed).min(text.len());
        let near = start_of_line(text, last.saturating_sub(NEAR))
            ..end_of_line(text, (last + NEAR).min(text.len()));
        let (at, found) =
            search(text, near, place).or_else(|| search(text, 0..text.len(), place))?;
        self.last.store(at, Ordering::Relaxed);
        Some(found)
    }

    /// Remembers a digest, if the file's last change is old enough for the next one to be
    /// detectable.
    pub(super) fn learn(&self, metadata: &Metadata, digest: Digest) {
        let (place, stamp) = look(metadata);
        // A change within the clock's tick would leave the same stamp with another content.
        if is_settled(stamp.changed, now()) {
            let stored = self.stored.get().and_then(|text| self.find(text, place));
            let mut state = self.state.lock().expect("no thread panics while it holds the memo");
            let before = state.known.insert(place, (stamp, digest));
            if before.or(stored) != Some((stamp, digest)) {
                state.unsaved = true;
                state.learnt.push(line(place, stamp, digest));
            }
        }
    }

    /// The lines added since the last call, for [`Memo::accept`] in another process.
    pub(super) fn learnt(&self) -> Vec<String> {
        std::mem::take(
            &mut self.state.lock().expect("no thread panics while it holds the memo").learnt,
        )
    }

    /// Adds lines of another process.
    pub(super) fn accept(&self, lines: &[String]) {
        let mut state = self.state.lock().expect("no thread panics while it holds the memo");
        for (place, known) in lines.iter().filter_map(|line| parse(line.as_bytes())) {
            state.unsaved |= state.known.insert(place, known) != Some(known);
        }
    }

    /// Saves new lines together with those that other processes saved.
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

    /// Rewrites the memo without invalid lines.
    pub(super) fn rewrite(&self) -> Result<(), StoreError> {
        self.state.lock().expect("no thread panics while it holds the memo").unsaved = true;
        self.save()
    }

    /// The problem of the file, if any.
    pub(super) fn problem(path: &Path) -> Option<String> {
        let text = match fs::read(path) {
            Ok(bytes) => String::from_utf8(bytes).ok(),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return None,
            Err(error) => return Some(format!("cannot be read: {error}")),
        };
        let known: BTreeMap<FileId, (MemoStamp, Digest)> = text
            .iter()
            .flat_map(|text| text.split('\n'))
            .filter_map(|line| parse(line.as_bytes()))
            .collect();
        // Written again and compared, since single lines do not show that one is missing.
        (text != Some(write(&known))).then(|| "a line is torn, missing or altered".to_owned())
    }
}

impl MemoState {
    /// Adds the lines of a file for which nothing newer is known.
    fn take_in(&mut self, text: &[u8]) {
        for (place, known) in text.split(|byte| *byte == b'\n').filter_map(parse) {
            // What this process has learnt is newer than the file.
            self.known.entry(place).or_insert(known);
        }
    }
}

/// The beginning of the line at a position.
fn start_of_line(text: &[u8], at: usize) -> usize {
    memchr::memrchr(b'\n', &text[..at]).map_or(0, |newline| newline + 1)
}

/// The end of the line at a position, before its newline.
fn end_of_line(text: &[u8], at: usize) -> usize {
    memchr::memchr(b'\n', &text[at..]).map_or(text.len(), |more| at + more)
}

/// Finds a file's line in a range of whole lines, which are in the order of files. Returns its
/// position and entry.
fn search(
    text: &[u8],
    range: Range<usize>,
    wanted: FileId,
) -> Option<(usize, (MemoStamp, Digest))> {
    let Range { start: mut low, end: mut high } = range;
    while low < high {
        let first = start_of_line(text, low + (high - low) / 2);
        let mut start = first;
        // Lines that name no file are passed over: the first one, the last one and torn ones.
        let (place, end) = loop {
            let end = end_of_line(text, start);
            match place_of(&text[start..end]) {
                Some(place) => break (Some(place), end),
                None if end + 1 >= high => break (None, end),
                None => start = end + 1,
            }
        };
        match place {
            Some(place) if place == wanted => {
                return parse(&text[start..end]).map(|(_, found)| (start, found));
            }
            Some(place) if place < wanted => low = end + 1,
            _ => high = first,
        }
    }
    None
}

/// The file that a line is about.
fn place_of(line: &[u8]) -> Option<FileId> {
    let mut numbers = line.splitn(3, |byte| *byte == b' ').map(|digits| {
        let digits = std::str::from_utf8(digits).ok()?;
        digits.parse::<u64>().ok()
    });
    Some(FileId { device: numbers.next()??, inode: numbers.next()?? })
}

/// Nanoseconds since 1970.
fn now() -> i128 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_nanos() as i128)
}

/// Whether a change now would get another time stamp. Only the change time counts: the modification
/// time can be set, even to the future.
fn is_settled(changed: i128, now: i128) -> bool {
    now - changed > tick(changed)
}

/// Resolution of a time stamp; whole seconds indicate a coarse clock.
fn tick(changed: i128) -> i128 {
    if changed % SECOND == 0 { COARSE_TICK } else { TICK }
}

/// Time until the next change becomes detectable, if at most a coarse tick.
pub(super) fn unsettled_for(changed: i128) -> Duration {
    let left = tick(changed) - (now() - changed);
    // A change time in the future comes from another clock: waiting would not help.
    let is_worth_it = left > 0 && left <= COARSE_TICK;
    if is_worth_it { Duration::from_nanos(left as u64 + 1_000_000) } else { Duration::ZERO }
}

/// Change time in nanoseconds since 1970.
pub(super) fn changed(metadata: &Metadata) -> i128 {
    i128::from(metadata.ctime()) * SECOND + i128::from(metadata.ctime_nsec())
}

/// Modification time in nanoseconds since 1970.
pub(super) fn modified(metadata: &Metadata) -> i128 {
    i128::from(metadata.mtime()) * SECOND + i128::from(metadata.mtime_nsec())
}

fn look(metadata: &Metadata) -> (FileId, MemoStamp) {
    let stamp = MemoStamp {
        size: metadata.size(),
        changed: changed(metadata),
        modified: modified(metadata),
    };
    (FileId { device: metadata.dev(), inode: metadata.ino() }, stamp)
}

fn write(known: &BTreeMap<FileId, (MemoStamp, Digest)>) -> String {
    let mut text = format!("{HEADER}\n");
    for (place, (stamp, digest)) in known {
        text.push_str(&line(*place, *stamp, *digest));
        text.push('\n');
    }
    text.push_str(&format!("end {}\n", known.len()));
    text
}

fn line(place: FileId, stamp: MemoStamp, digest: Digest) -> String {
    let MemoStamp { size, changed, modified } = stamp;
    let text = format!("{} {} {size} {changed} {modified} {digest}", place.device, place.inode);
    format!("{text} {}", checksum(&text))
}

fn parse(line: &[u8]) -> Option<(FileId, (MemoStamp, Digest))> {
    let (text, sum) = std::str::from_utf8(line).ok()?.rsplit_once(' ')?;
    if checksum(text) != sum {
        return None;
    }
    let fields: Vec<&str> = text.split(' ').collect();
    let [device, inode, size, changed, modified, digest] = fields[..] else { return None };
    let place = FileId { device: device.parse().ok()?, inode: inode.parse().ok()? };
    let stamp = MemoStamp {
        size: size.parse().ok()?,
        changed: changed.parse().ok()?,
        modified: modified.parse().ok()?,
    };
    Some((place, (stamp, digest.parse().ok()?)))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Waits until the next change of a file is detectable.
    fn settle(file: &Path) {
        std::thread::sleep(unsettled_for(changed(&fs::metadata(file).unwrap())));
    }

    #[test]
    fn every_flip_and_cut_is_noticed_and_costs_no_more_than_its_line() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("memo");
        let memo = Memo::new(path.clone(), true);
        let files: Vec<PathBuf> =
            (0..3).map(|index| folder.path().join(index.to_string())).collect();
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
            let recalled = files
                .iter()
                .map(|file| memo.recall(&fs::metadata(file).unwrap()))
                .collect::<Vec<_>>();
            assert!(recalled.iter().flatten().count() >= 1, "flip at {position} lost all");
            for (index, digest) in recalled.into_iter().enumerate() {
                assert!(
                    digest.is_none_or(|digest| digest == Digest::from_bytes([index as u8; 32]))
                );
            }
            fs::write(&path, &good[..position]).unwrap();
            assert!(Memo::problem(&path).is_some(), "cut at {position}");
        }
    }

    #[test]
    fn each_file_is_found_in_the_stored_text_and_no_other() {
        let place = |number: u64| FileId { device: number % 3, inode: 7 * number };
        let stamp = |size| MemoStamp { size, changed: -1, modified: 5 };
        let entry = |number: u64| (stamp(number), Digest::from_bytes([number as u8; 32]));
        for count in [0, 1, 2, 3, 50, 400] {
            let known: BTreeMap<FileId, (MemoStamp, Digest)> =
                (0..count).map(|number| (place(number), entry(number))).collect();
            let text = write(&known);
            let memo = Memo::new(PathBuf::new(), true);
            for number in (0..count + 3).chain((0..count).rev()) {
                let expected = (number < count).then(|| entry(number));
                assert_eq!(memo.find(text.as_bytes(), place(number)), expected, "{number}");
            }
            let between = FileId { device: 1, inode: 8 };
            assert_eq!(memo.find(text.as_bytes(), between), None);
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
        assert!(
            !is_settled(second + SECOND / 2, second),
            "the clock of the disk is ahead: nothing is known"
        );
    }
}
