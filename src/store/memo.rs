//! Memo of digests by file metadata, so that a hit costs one `stat` per file.

use std::{
    collections::BTreeMap,
    fs::{self, Metadata},
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    sync::{Mutex, MutexGuard},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use super::{
    StoreError,
    checksum::checksum,
    durable,
    memo_text::{FileId, HEADER, MemoText, last_line, replaced},
};
use crate::digest::Digest;

/// A file may change again within this many nanoseconds without a new time stamp: kernel ticks take
/// up to 10 ms.
const TICK: i128 = 50_000_000;
/// The same for file systems with time stamps of one second, or two as on FAT.
const COARSE_TICK: i128 = 2_100_000_000;
const SECOND: i128 = 1_000_000_000;

/// Metadata that changes with the content; `touch` cannot reset the change time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct MemoStamp {
    size: u64,
    changed: i128,
    modified: i128,
}

/// What is known of a file with a stamp.
#[derive(Clone, Debug, PartialEq)]
struct MemoEntry {
    stamp: MemoStamp,
    /// Of its content; of the manifest of an artifact that was checked, of all stamps of the
    /// artifact.
    digest: Digest,
    /// The files that such a manifest lists; empty for all other files.
    listed: String,
}

/// Digests by place and stamp, searched in the file and saved as a whole.
#[derive(Debug)]
pub(super) struct Memo {
    path: PathBuf,
    trusted: bool,
    stored: MemoText,
    state: Mutex<MemoState>,
}

#[derive(Debug, Default)]
struct MemoState {
    /// What is not in the stored text.
    known: BTreeMap<FileId, MemoEntry>,
    /// Files of the entries added since the last call of [`Memo::learnt`].
    learnt: Vec<FileId>,
    unsaved: bool,
}

impl Memo {
    /// A memo stored in this file. Unless `trusted`, it recalls nothing but still learns.
    pub(super) fn new(path: PathBuf, trusted: bool) -> Self {
        let (stored, state) = Default::default();
        Self { path, trusted, stored, state }
    }

    /// The digest of an unchanged file. Opens the memo on first use, since attempts that only write
    /// never ask; lines with wrong checksums are skipped.
    pub(super) fn recall(&self, metadata: &Metadata) -> Option<Digest> {
        let entry = self.recall_entry(metadata).filter(|entry| entry.listed.is_empty());
        entry.map(|entry| entry.digest)
    }

    /// The digest of an artifact's stamps, with the files that its unchanged manifest lists, if the
    /// artifact was checked.
    pub(super) fn recall_artifact(&self, manifest: &Metadata) -> Option<(Digest, String)> {
        let entry = self.recall_entry(manifest).filter(|entry| !entry.listed.is_empty());
        entry.map(|entry| (entry.digest, entry.listed))
    }

    fn recall_entry(&self, metadata: &Metadata) -> Option<MemoEntry> {
        if !self.trusted {
            return None;
        }
        let (place, stamp) = look(metadata);
        // Threads search at once.
        let learnt = self.state().known.get(&place).cloned();
        let found = learnt.or_else(|| Some(parse(&self.stored.line(&self.path, place)?)?.1));
        found.filter(|entry| entry.stamp == stamp)
    }

    fn state(&self) -> MutexGuard<'_, MemoState> {
        self.state.lock().expect("no thread panics while it holds the memo")
    }

    /// Remembers a digest, if the file's last change is old enough for the next one to be
    /// detectable.
    pub(super) fn learn(&self, metadata: &Metadata, digest: Digest) {
        self.learn_artifact(metadata, digest, String::new());
    }

    /// The same for the manifest of an artifact that was checked, with the files that it lists.
    pub(super) fn learn_artifact(&self, metadata: &Metadata, digest: Digest, listed: String) {
        // A change within the clock's tick would leave the same stamp with another content.
        if !is_settled(metadata) {
            return;
        }
        let (place, stamp) = look(metadata);
        let entry = MemoEntry { stamp, digest, listed };
        let stored = self.stored.line_if_read(place).and_then(|line| parse(&line));
        let mut state = self.state();
        let before = state.known.insert(place, entry.clone());
        if before.or(stored.map(|(_, stored)| stored)) != Some(entry) {
            state.unsaved = true;
            state.learnt.push(place);
        }
    }

    /// The lines added since the last call, for [`Memo::accept`] in another process.
    pub(super) fn learnt(&self) -> Vec<String> {
        let mut state = self.state();
        let learnt = std::mem::take(&mut state.learnt);
        let known = learnt.iter().filter_map(|place| Some((place, state.known.get(place)?)));
        known.map(|(place, entry)| line(*place, entry)).collect()
    }

    /// Adds lines of another process.
    pub(super) fn accept(&self, lines: &[String]) {
        let mut state = self.state();
        for (place, entry) in lines.iter().filter_map(|line| parse(line.as_bytes())) {
            state.unsaved |= state.known.insert(place, entry.clone()) != Some(entry);
        }
    }

    /// Saves new lines together with those that other processes saved.
    pub(super) fn save(&self) -> Result<(), StoreError> {
        let mut state = self.state();
        if !state.unsaved {
            return Ok(());
        }
        let text = fs::read(&self.path).unwrap_or_default();
        let new = replaced(&text, state.lines());
        durable::replace(&self.path, &new.unwrap_or_else(|| state.rewritten(&text)))?;
        state.unsaved = false;
        Ok(())
    }

    /// Rewrites the memo without invalid lines.
    pub(super) fn rewrite(&self) -> Result<(), StoreError> {
        let text = fs::read(&self.path).unwrap_or_default();
        durable::replace(&self.path, &self.state().rewritten(&text))
    }

    /// The problem of the file, if any.
    pub(super) fn problem(path: &Path) -> Option<String> {
        let text = match fs::read(path) {
            Ok(bytes) => String::from_utf8(bytes).ok(),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return None,
            Err(error) => return Some(format!("cannot be read: {error}")),
        };
        // Written again and compared, since single lines do not show that one is missing.
        let is_right = text.is_some_and(|text| valid_part(text.as_bytes()) == text);
        (!is_right).then(|| "a line is torn, missing or altered".to_owned())
    }
}

impl MemoState {
    fn lines(&self) -> impl Iterator<Item = (FileId, String)> {
        self.known.iter().map(|(place, entry)| (*place, line(*place, entry)))
    }

    /// The valid lines of a text, and what is known, which is newer.
    fn rewritten(&self, text: &[u8]) -> Vec<u8> {
        replaced(valid_part(text).as_bytes(), self.lines()).expect("valid lines are not torn")
    }
}

/// Nanoseconds since 1970.
fn now() -> i128 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_nanos() as i128)
}

/// Whether a change of a file now would get another time stamp.
pub(super) fn is_settled(metadata: &Metadata) -> bool {
    is_settled_at(changed(metadata), now())
}

/// Whether a change at a time would get another time stamp. Only the change time counts: the
/// modification time can be set, even to the future.
fn is_settled_at(changed: i128, now: i128) -> bool {
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

/// Appends identity and stamp of a file.
pub(super) fn write_stamp(metadata: &Metadata, bytes: &mut Vec<u8>) {
    let (FileId { device, inode }, MemoStamp { size, changed, modified }) = look(metadata);
    [device, inode, size].iter().for_each(|number| bytes.extend(number.to_le_bytes()));
    [changed, modified].iter().for_each(|time| bytes.extend(time.to_le_bytes()));
}

/// A text of the valid lines of another one.
fn valid_part(text: &[u8]) -> String {
    let lines = text.split(|byte| *byte == b'\n');
    let entries: BTreeMap<FileId, MemoEntry> = lines.filter_map(parse).collect();
    let lines = entries.iter().map(|(place, entry)| line(*place, entry) + "\n");
    format!("{HEADER}{}{}", lines.collect::<String>(), last_line(entries.len()))
}

fn line(place: FileId, entry: &MemoEntry) -> String {
    let MemoEntry { stamp: MemoStamp { size, changed, modified }, digest, listed } = entry;
    let mut text = format!("{} {} {size} {changed} {modified} {digest}", place.device, place.inode);
    if !listed.is_empty() {
        text = format!("{text} {listed}");
    }
    format!("{text} {}", checksum(&text))
}

fn parse(line: &[u8]) -> Option<(FileId, MemoEntry)> {
    let (text, sum) = std::str::from_utf8(line).ok()?.rsplit_once(' ')?;
    if checksum(text) != sum {
        return None;
    }
    let mut fields = text.splitn(7, ' ');
    let place =
        FileId { device: fields.next()?.parse().ok()?, inode: fields.next()?.parse().ok()? };
    let stamp = MemoStamp {
        size: fields.next()?.parse().ok()?,
        changed: fields.next()?.parse().ok()?,
        modified: fields.next()?.parse().ok()?,
    };
    let digest = fields.next()?.parse().ok()?;
    let listed = fields.next().unwrap_or_default().to_owned();
    Some((place, MemoEntry { stamp, digest, listed }))
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
    fn digests_of_several_processes_are_saved_together_and_the_newest_counts() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("memo");
        let [one, other] = ["one", "other"].map(|name| folder.path().join(name));
        let learn = |file: &Path, number: u8| {
            fs::write(file, [number]).unwrap();
            settle(file);
            let (memo, metadata) = (Memo::new(path.clone(), true), fs::metadata(file).unwrap());
            memo.learn_artifact(&metadata, Digest::from_bytes([number; 32]), "1 a b".to_owned());
            assert_eq!(memo.learnt().len(), 1);
            memo.save().unwrap();
            assert_eq!(Memo::problem(&path), None);
        };
        learn(&one, 1);
        learn(&other, 2);
        learn(&one, 3);
        let memo = Memo::new(path, true);
        for (file, number) in [(&one, 3), (&other, 2)] {
            let metadata = fs::metadata(file).unwrap();
            let expected = (Digest::from_bytes([number; 32]), "1 a b".to_owned());
            assert_eq!(memo.recall_artifact(&metadata), Some(expected));
            assert_eq!(memo.recall(&metadata), None, "the digest is not that of the content");
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
        assert!(!is_settled_at(second, second + 2 * SECOND), "FAT has even seconds only");
        assert!(is_settled_at(second, second + 3 * SECOND));
        assert!(!is_settled_at(second + 1, second + TICK));
        assert!(is_settled_at(second + 1, second + SECOND));
        assert!(
            !is_settled_at(second + SECOND / 2, second),
            "the clock of the disk is ahead: nothing is known"
        );
    }
}
