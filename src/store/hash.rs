//! Digests of files and folders.

use std::{
    error::Error,
    fs::{self, File, Metadata},
    io::Read,
    num::NonZero,
    os::unix::fs::MetadataExt,
    path::Path,
    sync::{Arc, Mutex, OnceLock},
};

use serde_json::json;

use super::{
    StoreError,
    memo::{self, Memo},
};
use crate::digest::{Digest, digest_value};

/// Smaller files are hashed without threads.
const SMALL: u64 = 1 << 20;
/// Threads that this process needs besides hashing: signals, and messages and end of an attempt.
const SPARE_THREADS: usize = 3;
/// Larger files are read in chunks of this size while the previous chunk is hashed.
const BLOCK: u64 = 8 << 20;

/// Digest of names and contents.
pub(super) fn digest_list<'a>(files: impl Iterator<Item = (&'a str, Digest)>) -> Digest {
    digest_value("files", &files.map(|(name, digest)| json!([name, digest])).collect())
}

/// Digest of a file, from the memo if unchanged, and its metadata.
pub(super) fn digest_file(path: &Path, memo: &Memo) -> Result<(Digest, Metadata), StoreError> {
    let metadata = fs::metadata(path).map_err(StoreError::io("read", path))?;
    if let Some(digest) = memo.recall(&metadata) {
        return Ok((digest, metadata));
    }
    let (digest, metadata) = digest_bytes(path)?;
    memo.learn(&metadata, digest);
    Ok((digest, metadata))
}

/// BLAKE3 of a file's bytes on all cores, and its metadata.
pub(super) fn digest_bytes(path: &Path) -> Result<(Digest, Metadata), StoreError> {
    let mut file = File::open(path).map_err(StoreError::io("read", path))?;
    let before = file.metadata().map_err(StoreError::io("read", path))?;
    if !before.is_file() {
        return Err(StoreError::Strange(path.to_owned()));
    }
    // Read, not mapped: truncation of a mapped file would kill the process.
    let mut hasher = blake3::Hasher::new();
    let mut left = before.len();
    let mut block = read_block(&mut file, left).map_err(StoreError::io("read", path))?;
    while !block.is_empty() {
        left -= block.len() as u64;
        let next = if before.len() < SMALL || !has_threads() {
            hasher.update(&block);
            read_block(&mut file, left)
        } else {
            rayon::join(|| hasher.update_rayon(&block), || read_block(&mut file, left)).1
        };
        block = next.map_err(StoreError::io("read", path))?;
    }
    // By the path, not the open file: a file that was replaced by another is another input.
    let after = fs::metadata(path).map_err(StoreError::io("read", path))?;
    if left > 0 || !is_unchanged(&before, &after) {
        return Err(StoreError::Unsteady(path.to_owned()));
    }
    Ok((Digest::from_bytes(*hasher.finalize().as_bytes()), after))
}

/// Whether a path had the same content at two times: the change time cannot be set back.
fn is_unchanged(before: &Metadata, after: &Metadata) -> bool {
    (before.dev(), before.ino(), before.len()) == (after.dev(), after.ino(), after.len())
        && memo::changed(before) == memo::changed(after)
        && memo::modified(before) == memo::modified(after)
}

/// The next chunk of a file, at most `left` bytes; shorter only at the end.
fn read_block(file: &mut File, left: u64) -> std::io::Result<Vec<u8>> {
    let mut block = Vec::with_capacity(left.min(BLOCK) as usize);
    file.take(left.min(BLOCK)).read_to_end(&mut block)?;
    Ok(block)
}

/// Whether work can be spread over threads; where the system grants none, one does it.
pub(super) fn has_threads() -> bool {
    ready_threads().is_ok()
}

/// Starts the thread pool for hashing and computing, with fewer threads if the system's limit
/// requires; rayon's own pool would panic.
///
/// # Errors
/// If no thread can be started.
pub(super) fn ready_threads() -> std::io::Result<()> {
    static ONCE: OnceLock<Result<(), i32>> = OnceLock::new();
    let ready = ONCE.get_or_init(|| {
        let wanted = std::env::var("RAYON_NUM_THREADS").ok().and_then(|number| number.parse().ok());
        let wanted = wanted.filter(|number| *number > 0);
        let wanted =
            wanted.unwrap_or_else(|| std::thread::available_parallelism().map_or(1, NonZero::get));
        let (granted, problem) = granted_threads(wanted + SPARE_THREADS);
        // Half of a tight limit stays free, since every attempt needs threads of its own.
        let threads = match granted {
            0 => return Err(problem),
            granted if granted == wanted + SPARE_THREADS => wanted,
            granted => (granted / 2).clamp(1, wanted),
        };
        if threads < wanted {
            tracing::warn!(
                "the system allows only {granted} more threads, so {threads} of {wanted} are used"
            );
        }
        let built = rayon::ThreadPoolBuilder::new().num_threads(threads).build_global();
        // An error without a cause means that the pool exists.
        built.or_else(|error| if error.source().is_some() { Err(problem) } else { Ok(()) })
    });
    ready.map_err(std::io::Error::from_raw_os_error)
}

/// Number of threads that can run at once, and the error of the next one.
fn granted_threads(wanted: usize) -> (usize, i32) {
    // Each thread waits at the gate, so that all of them exist at the same time.
    let gate = Arc::new(Mutex::new(()));
    let closed = gate.lock();
    let mut threads = Vec::new();
    let mut problem = rustix::io::Errno::AGAIN.raw_os_error();
    for _ in 0..wanted {
        let gate = Arc::clone(&gate);
        match std::thread::Builder::new().spawn(move || drop(gate.lock())) {
            Ok(thread) => threads.push(thread),
            Err(error) => {
                problem = error.raw_os_error().unwrap_or(problem);
                break;
            }
        }
    }
    drop(closed);
    let granted = threads.len();
    threads.into_iter().for_each(|thread| drop(thread.join()));
    (granted, problem)
}
