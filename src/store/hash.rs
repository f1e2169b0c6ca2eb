//! Digests of contents: of a file, and of those files of a folder that matter.

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
    Store, StoreError,
    memo::{self, Memo},
};
use crate::digest::{Digest, digest_value};

/// Smaller files are hashed sooner than threads are started.
const SMALL: u64 = 1 << 20;
/// What else this process starts threads for: to hear signals, and to hear and bury an attempt.
const SPARE_THREADS: usize = 3;
/// Larger files are read in pieces of so many bytes, one while the last one is hashed.
const BLOCK: u64 = 8 << 20;

impl Store {
    /// The digest of what lies outside the store: of a file's bytes (its name does not matter), or of the names and bytes
    /// of those files of a folder that match one of the patterns.
    ///
    /// # Errors
    /// Where it cannot be read, changes meanwhile, or holds nothing of what is wanted.
    pub fn digest_path(&self, path: &Path, patterns: &[&str]) -> Result<Digest, StoreError> {
        Ok(self.snapshot(path, patterns)?.digest())
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

/// The digest of a file, from the memo where it has not changed, and what the file system said of it then.
pub(super) fn digest_file(path: &Path, memo: &Memo) -> Result<(Digest, Metadata), StoreError> {
    let metadata = fs::metadata(path).map_err(StoreError::io("read", path))?;
    if let Some(digest) = memo.recall(&metadata) {
        return Ok((digest, metadata));
    }
    let (digest, metadata) = digest_bytes(path)?;
    memo.learn(&metadata, digest);
    Ok((digest, metadata))
}

/// BLAKE3 of a file's bytes on all cores, and what the file system said of it before and after.
///
/// The bytes are read and not mapped: a mapped file that is cut short meanwhile ends the whole process.
pub(super) fn digest_bytes(path: &Path) -> Result<(Digest, Metadata), StoreError> {
    let io = || StoreError::io("read", path);
    let mut file = File::open(path).map_err(io())?;
    let before = file.metadata().map_err(io())?;
    if !before.is_file() {
        return Err(StoreError::Strange(path.to_owned()));
    }
    let mut hasher = blake3::Hasher::new();
    let mut left = before.len();
    let mut block = read_block(&mut file, left).map_err(io())?;
    while !block.is_empty() {
        left -= block.len() as u64;
        if before.len() < SMALL {
            hasher.update(&block);
            block = read_block(&mut file, left).map_err(io())?;
        } else {
            let hash = || {
                hasher.update_rayon(&block);
            };
            let ((), next) = rayon::join(hash, || read_block(&mut file, left));
            block = next.map_err(io())?;
        }
    }
    let after = fs::metadata(path).map_err(io())?;
    let look = |metadata: &Metadata| {
        (metadata.dev(), metadata.ino(), metadata.len(), memo::changed(metadata), memo::modified(metadata))
    };
    if left > 0 || look(&before) != look(&after) {
        return Err(StoreError::Unsteady(path.to_owned()));
    }
    Ok((Digest::from_bytes(*hasher.finalize().as_bytes()), after))
}

/// The next bytes of a file, at most as many as are left; fewer only at its end.
fn read_block(file: &mut File, left: u64) -> std::io::Result<Vec<u8>> {
    let mut block = Vec::with_capacity(left.min(BLOCK) as usize);
    file.take(left.min(BLOCK)).read_to_end(&mut block)?;
    Ok(block)
}

/// Sees to it that the threads which hash and compute can be started. Where the system grants fewer processes than there are
/// cores, fewer threads share the work; rayon's own pool would end the process with a panic.
///
/// # Errors
/// Where not even one thread can be started.
pub(super) fn ready_threads() -> std::io::Result<()> {
    static ONCE: OnceLock<Result<(), i32>> = OnceLock::new();
    let ready = ONCE.get_or_init(|| {
        let wanted = std::env::var("RAYON_NUM_THREADS").ok().and_then(|number| number.parse().ok());
        let wanted = wanted.filter(|number| *number > 0);
        let wanted = wanted.unwrap_or_else(|| std::thread::available_parallelism().map_or(1, NonZero::get));
        let (granted, problem) = granted_threads(wanted + SPARE_THREADS);
        let threads = match granted {
            0 => return Err(problem),
            granted if granted == wanted + SPARE_THREADS => wanted,
            granted => (granted / 2).clamp(1, wanted),
        };
        if threads < wanted {
            tracing::warn!("the system grants {granted} more threads only, so that {threads} of {wanted} compute");
        }
        let built = rayon::ThreadPoolBuilder::new().num_threads(threads).build_global();
        // Without a cause it only says that the threads are there already.
        built.or_else(|error| if error.source().is_some() { Err(problem) } else { Ok(()) })
    });
    ready.map_err(std::io::Error::from_raw_os_error)
}

/// How many of the wanted threads can live at once, and the error that the next one met.
fn granted_threads(wanted: usize) -> (usize, i32) {
    let gate = Arc::new(Mutex::new(()));
    let closed = gate.lock();
    let mut threads = Vec::new();
    let mut problem = rustix::io::Errno::AGAIN.raw_os_error();
    for _ in 0..wanted {
        let gate = gate.clone();
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
