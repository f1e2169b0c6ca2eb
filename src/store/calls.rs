//! Logs of calls to endpoints: append-only JSON lines, synced, shared by all runs of a store.
//!
//! A line is written under the file's lock and counts once it is synced. It begins with its own
//! checksum, so that a changed byte is noticed; an unfinished last line, which a killed process
//! leaves, is cut off by the next writer. Of two lines with one key the first one counts.

use std::{
    collections::BTreeMap,
    fs::{self, File, OpenOptions, Permissions},
    io::{ErrorKind, Read, Seek, SeekFrom, Write},
    os::unix::fs::{FileExt, MetadataExt, PermissionsExt},
    path::{Path, PathBuf},
    sync::{Mutex, MutexGuard, PoisonError},
};

use serde_json::{Value, value::Map};

use super::{FileLock, Lock, Store, StoreError, checksum::checksum, durable, lease_file::leased};
use crate::digest::Digest;

/// Beginning of a line, before 16 digits of its checksum.
const HEAD: &str = "{\"check\":\"";
/// What follows the checksum; the checksum is of all that follows it.
const NECK: &str = "\",\"key\":\"";
/// Bytes of the checksum.
const CHECK: usize = 16;
/// Bytes of a key.
const KEY: usize = 64;
/// File extension of logs.
const ENDING: &str = ".jsonl";

/// The log of one model's calls.
#[derive(Debug)]
pub struct CallLog {
    store: Store,
    path: PathBuf,
    index: Mutex<CallIndex>,
    queue: Mutex<Vec<String>>,
    writer: Mutex<Option<File>>,
}

/// Places of the lines that were read so far.
#[derive(Debug, Default)]
struct CallIndex {
    /// Offset and length by key.
    lines: BTreeMap<Digest, (u64, usize)>,
    /// Inode of the file.
    file: Option<u64>,
    /// Bytes read.
    read: u64,
    /// Number of damaged lines.
    damaged: usize,
}

impl CallLog {
    /// The log of this name in a store, which may be opened read-only. The file need not exist.
    ///
    /// # Errors
    /// If the file exists and cannot be read.
    pub fn open(store: Store, name: &str) -> Result<Self, StoreError> {
        let path = store.calls().join(format!("{name}{ENDING}"));
        let log = Self {
            store,
            path,
            index: Mutex::default(),
            queue: Mutex::default(),
            writer: Mutex::default(),
        };
        log.refresh()?;
        Ok(log)
    }

    /// File of the log.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Number of damaged lines, which count as missing.
    pub fn damaged(&self) -> usize {
        guard(&self.index).damaged
    }

    /// Whether the log has a key.
    pub fn holds(&self, key: &Digest) -> bool {
        guard(&self.index).lines.contains_key(key)
    }

    /// The line of a key as JSON.
    ///
    /// # Errors
    /// If the file cannot be read.
    pub fn find(&self, key: &Digest) -> Result<Option<Value>, StoreError> {
        let Some((offset, length)) = guard(&self.index).lines.get(key).copied() else {
            return Ok(None);
        };
        let mut line = vec![0; length];
        match File::open(&self.path).and_then(|file| file.read_exact_at(&mut line, offset)) {
            // The file is shorter than it was: nothing of the line is there.
            Err(error) if error.kind() == ErrorKind::UnexpectedEof => line.clear(),
            read => read.map_err(StoreError::io("read", &self.path))?,
        }
        // A repair may have rewritten the file since it was indexed.
        let known = std::str::from_utf8(&line).ok().filter(|line| key_of(line) == Some(*key));
        let Some(line) = known else {
            *guard(&self.index) = CallIndex::default();
            self.refresh()?;
            return if self.holds(key) { self.find(key) } else { Ok(None) };
        };
        serde_json::from_str(line)
            .map(Some)
            .map_err(|error| StoreError::io("read", &self.path)(error.into()))
    }

    /// Exclusive right to make a call, among all processes, until dropped. The index is up to date
    /// afterwards: another process may have made the call meanwhile.
    ///
    /// # Errors
    /// If the lock or the log cannot be read or written.
    pub fn claim(&self, key: &Digest) -> Result<Lock, StoreError> {
        let lock = self.store.lock(key, |_| ())?;
        self.refresh()?;
        Ok(lock)
    }

    /// Appends the record of a call and returns once it is synced.
    ///
    /// # Errors
    /// If the log cannot be written.
    pub fn append(&self, key: &Digest, record: Map<String, Value>) -> Result<(), StoreError> {
        let fields = Value::Object(record).to_string();
        let fields = fields.strip_prefix('{').filter(|fields| *fields != "}");
        let rest =
            fields.map_or_else(|| format!("{key}\"}}"), |fields| format!("{key}\",{fields}"));
        let line = format!("{HEAD}{}{NECK}{rest}\n", checksum(&rest));
        guard(&self.queue).push(line);
        // Whoever gets the file writes the lines of all who wait, with one sync.
        let mut writer = guard(&self.writer);
        let lines = std::mem::take(&mut *guard(&self.queue)).concat();
        if !lines.is_empty() {
            self.write(&mut writer, lines.as_bytes())?;
        }
        self.refresh()?;
        match self.holds(key) {
            true => Ok(()),
            // The thread that wrote this line failed.
            false => Err(StoreError::io("write", &self.path)(ErrorKind::WriteZero.into())),
        }
    }

    fn write(&self, writer: &mut Option<File>, lines: &[u8]) -> Result<(), StoreError> {
        let path = &self.path;
        loop {
            let mut file = match writer.take() {
                Some(file) => file,
                None => open(path)?,
            };
            let lock = self.store.lock_file(&file, path)?;
            let held = file.metadata().map_err(StoreError::io("read", path))?;
            // Repaired since it was opened: the file behind the name is another one.
            if !fs::metadata(path).is_ok_and(|named| named.ino() == held.ino()) {
                continue;
            }
            cut_torn_line(&mut file, held.len()).map_err(StoreError::io("write", path))?;
            file.write_all(lines)
                .and_then(|()| file.sync_data())
                .map_err(StoreError::io("write", path))?;
            drop(lock);
            *writer = Some(file);
            return Ok(());
        }
    }

    /// Reads what was appended since the last time.
    fn refresh(&self) -> Result<(), StoreError> {
        let mut index = guard(&self.index);
        let mut file = match File::open(&self.path) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
            opened => opened.map_err(StoreError::io("read", &self.path))?,
        };
        let held = file.metadata().map_err(StoreError::io("read", &self.path))?;
        if index.file != Some(held.ino()) || held.len() < index.read {
            *index = CallIndex { file: Some(held.ino()), ..CallIndex::default() };
        }
        if held.len() == index.read {
            return Ok(());
        }
        let mut new = Vec::new();
        file.seek(SeekFrom::Start(index.read))
            .and_then(|_| file.read_to_end(&mut new))
            .map_err(StoreError::io("read", &self.path))?;
        index.take(&new);
        Ok(())
    }
}

impl CallIndex {
    /// Takes the complete lines of what was appended.
    fn take(&mut self, new: &[u8]) {
        let complete = new.iter().rposition(|byte| *byte == b'\n').map_or(0, |last| last + 1);
        for line in new[..complete].split_inclusive(|byte| *byte == b'\n') {
            let (offset, length) = (self.read, line.len() - 1);
            self.read += line.len() as u64;
            match std::str::from_utf8(&line[..length]).ok().and_then(key_of) {
                Some(key) => drop(self.lines.entry(key).or_insert((offset, length))),
                None => self.damaged += 1,
            }
        }
    }
}

/// The key of a line that is as it was written.
fn key_of(line: &str) -> Option<Digest> {
    let rest = line.strip_prefix(HEAD)?;
    // A damaged line may be too short, or have a letter of several bytes at the split.
    let (check, rest) = rest.split_at_checked(CHECK)?;
    let rest = rest.strip_prefix(NECK)?;
    if checksum(rest) != check {
        return None;
    }
    rest.get(..KEY)?.parse().ok()
}

fn guard<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Opens a log for appending, and creates it for all users of the store.
fn open(path: &Path) -> Result<File, StoreError> {
    let folder = path.parent().expect("logs lie in a folder of the store");
    durable::create_folder(folder)?;
    let is_new = !path.exists();
    let file = OpenOptions::new().read(true).append(true).create(true).open(path);
    let file = file.map_err(StoreError::io("write", path))?;
    if is_new {
        // The umask usually takes the right to write from the other users of the store.
        let _ = file.set_permissions(Permissions::from_mode(0o666));
        // A crash could otherwise lose the file's name, and with it lines that are synced.
        durable::sync(folder)?;
    }
    Ok(file)
}

/// Removes what a killed process left of a line; nobody was told that it was written.
fn cut_torn_line(file: &mut File, length: u64) -> std::io::Result<()> {
    /// Bytes read at a time, from the end.
    const BLOCK: u64 = 1 << 16;
    let mut end = length;
    while end > 0 {
        let begin = end.saturating_sub(BLOCK);
        let mut block = vec![0; (end - begin) as usize];
        file.read_exact_at(&mut block, begin)?;
        if let Some(last) = block.iter().rposition(|byte| *byte == b'\n') {
            let kept = begin + last as u64 + 1;
            return if kept == length { Ok(()) } else { file.set_len(kept) };
        }
        end = begin;
    }
    if length > 0 { file.set_len(0) } else { Ok(()) }
}

/// What a log holds.
#[derive(Debug, Default)]
pub(super) struct CallCount {
    pub(super) calls: usize,
    pub(super) damaged: Vec<usize>,
}

impl CallCount {
    /// Checks every line. An unfinished last line was never counted, and is no damage.
    pub(super) fn of(path: &Path) -> Result<Self, StoreError> {
        let text = fs::read(path).map_err(StoreError::io("read", path))?;
        let mut count = Self::default();
        let lines = text.split_inclusive(|byte| *byte == b'\n').enumerate();
        for (index, line) in lines.filter(|(_, line)| line.ends_with(b"\n")) {
            match std::str::from_utf8(&line[..line.len() - 1]).ok().and_then(key_of) {
                Some(_) => count.calls += 1,
                None => count.damaged.push(index + 1),
            }
        }
        Ok(count)
    }

    /// The problem of a log with damaged lines.
    pub(super) fn problem(&self) -> Option<String> {
        let first = self.damaged.first()?;
        let count = self.damaged.len();
        Some(format!("{count} of its lines are damaged (first: line {first})"))
    }
}

impl Store {
    pub(super) fn calls(&self) -> PathBuf {
        self.root.join("v1/calls")
    }

    /// Paths of all logs, without files that are being written and leases.
    pub(super) fn call_logs(&self) -> Result<Vec<PathBuf>, StoreError> {
        let logs = durable::entries(&self.calls())?.into_iter();
        let logs =
            logs.filter(|(name, _)| !name.starts_with(durable::ASIDE) && leased(name).is_none());
        Ok(logs.map(|(_, path)| path).collect())
    }

    /// Waits for the lock of a file.
    fn lock_file(&self, file: &File, path: &Path) -> Result<FileLock, StoreError> {
        FileLock::take(self.locking().kind, file, path, |_| ())
            .map_err(StoreError::io("lock", path))
    }

    /// Rewrites a log without its damaged lines; the log as it was is set aside.
    pub(super) fn repair_calls(&self, path: &Path) -> Result<(), StoreError> {
        let file = open(path)?;
        // Held until the new file has the name: writers notice that theirs lost it.
        let _lock = self.lock_file(&file, path)?;
        let text = fs::read(path).map_err(StoreError::io("read", path))?;
        let lines = text.split_inclusive(|byte| *byte == b'\n').filter(|line| {
            let complete = line.strip_suffix(b"\n");
            complete.and_then(|line| std::str::from_utf8(line).ok()).and_then(key_of).is_some()
        });
        let kept: Vec<u8> = lines.flatten().copied().collect();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let copy = self.calls().join(format!("{}{name}", durable::ASIDE));
        durable::replace(&copy, &text)?;
        durable::move_aside(&copy, &self.damaged(), &name)?;
        durable::replace(path, &kept)
    }
}

#[cfg(test)]
mod tests {
    use std::{sync::Barrier, thread};

    use serde_json::json;

    use super::*;
    use crate::digest::digest_value;

    fn key(number: usize) -> Digest {
        digest_value("call", &json!(number))
    }

    fn record(number: usize) -> Map<String, Value> {
        let value = json!({"answer": {"text": format!("{number}\n\u{e4}"), "logprob": -0.1}});
        value.as_object().unwrap().clone()
    }

    fn log(root: &Path) -> CallLog {
        CallLog::open(Store::open(root).unwrap(), "gpt").unwrap()
    }

    #[test]
    fn what_was_appended_is_found_by_every_process() {
        let folder = tempfile::tempdir().unwrap();
        let (one, other) = (log(folder.path()), log(folder.path()));
        one.append(&key(1), record(1)).unwrap();
        one.append(&key(1), record(2)).unwrap();
        assert!(!other.holds(&key(1)));
        drop(other.claim(&key(1)).unwrap());
        let found = other.find(&key(1)).unwrap().unwrap();
        assert_eq!(found["answer"], record(1)["answer"], "the first line of a key counts");
        assert_eq!(found["key"], key(1).to_string());
        assert_eq!(log(folder.path()).find(&key(2)).unwrap(), None);
        other.append(&key(3), Map::new()).unwrap();
        assert_eq!(one.find(&key(3)).unwrap(), None, "the index is of the last look");
        one.append(&key(4), Map::new()).unwrap();
        assert_eq!(one.find(&key(3)).unwrap().unwrap()["key"], key(3).to_string());
    }

    #[test]
    fn threads_and_processes_append_at_once() {
        let folder = tempfile::tempdir().unwrap();
        let logs = [log(folder.path()), log(folder.path())];
        let barrier = Barrier::new(8);
        thread::scope(|scope| {
            for thread in 0..8 {
                let (log, barrier) = (&logs[thread % 2], &barrier);
                scope.spawn(move || {
                    barrier.wait();
                    for number in 0..20 {
                        log.append(&key(thread * 20 + number), record(number)).unwrap();
                    }
                });
            }
        });
        let count = CallCount::of(logs[0].path()).unwrap();
        assert_eq!((count.calls, count.damaged.len()), (160, 0));
        let all = log(folder.path());
        assert!((0..160).all(|number| all.holds(&key(number))));
    }

    #[test]
    fn a_torn_line_is_cut_off_and_a_damaged_one_is_missing() {
        let folder = tempfile::tempdir().unwrap();
        let first = log(folder.path());
        (0..3).for_each(|number| first.append(&key(number), record(number)).unwrap());
        let path = first.path().to_owned();
        let whole = fs::read(&path).unwrap();
        for cut in [1, 30, 120] {
            fs::write(&path, &whole[..whole.len() - cut]).unwrap();
            let torn = log(folder.path());
            assert!(torn.holds(&key(1)) && !torn.holds(&key(2)));
            assert_eq!((torn.damaged(), CallCount::of(&path).unwrap().problem()), (0, None));
            torn.append(&key(2), record(2)).unwrap();
            assert_eq!(fs::read(&path).unwrap(), whole);
        }
        let mut damaged = whole.clone();
        damaged[110] ^= 1;
        fs::write(&path, &damaged).unwrap();
        let found = log(folder.path());
        assert!(!found.holds(&key(0)) && found.holds(&key(1)) && found.damaged() == 1);
        let said = CallCount::of(&path).unwrap().problem().unwrap();
        assert_eq!(said, "1 of its lines are damaged (first: line 1)");
        let store = Store::open(folder.path()).unwrap();
        let audit = store.verify().unwrap();
        assert_eq!((audit.calls, audit.problems.len()), (2, 1), "{:?}", audit.problems);
        assert!(audit.problems[0].path == path && audit.problems[0].problem == said);
        store.repair(&audit.problems).unwrap();
        let audit = store.verify().unwrap();
        assert_eq!((audit.calls, audit.problems), (2, Vec::new()));
        assert_eq!(store.usage().calls, fs::metadata(&path).unwrap().len());
        assert_eq!(fs::read(store.damaged().join("gpt.jsonl")).unwrap(), damaged);
        // Those who had it open go on with the new file, in which the last line lies before its
        // former place.
        assert_eq!(found.find(&key(2)).unwrap().unwrap()["answer"], record(2)["answer"]);
        assert!(!found.holds(&key(0)));
        found.append(&key(0), record(0)).unwrap();
        assert!((0..3).all(|number| found.find(&key(number)).unwrap().is_some()));
    }

    #[test]
    fn one_process_at_a_time_makes_a_call() {
        let folder = tempfile::tempdir().unwrap();
        let (one, other) = (log(folder.path()), log(folder.path()));
        let claimed = one.claim(&key(1)).unwrap();
        thread::scope(|scope| {
            let waiting = scope.spawn(|| drop(other.claim(&key(1)).unwrap()));
            one.append(&key(1), record(1)).unwrap();
            drop(claimed);
            waiting.join().unwrap();
        });
        assert!(other.holds(&key(1)), "the one who waited finds the answer");
    }
}
