//! Checkpoints that are whole or do not count: three burnpack files and the metrics so far, sealed by their digests.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    io::{BufRead, BufReader, Read, Write},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, atomic::AtomicUsize, atomic::Ordering},
    time::{Duration, Instant},
};

use burn_train::checkpoint::{Checkpoint, Checkpointer, CheckpointerError, FileCheckpointer};
use serde::{Deserialize, Serialize};

/// The folder of a run's checkpoints.
#[derive(Clone)]
pub(super) struct CheckpointFolder {
    folder: PathBuf,
}

/// What makes a checkpoint count; `seal-<epoch>.json` is written last.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Seal {
    /// burn-train's number of the stretch.
    pub epoch: usize,
    /// Optimizer steps done.
    pub step: usize,
    /// The digest of each file.
    files: BTreeMap<String, String>,
    /// The digest of the first `step` lines of the metrics.
    metrics: String,
    /// The digest of all the above.
    #[serde(default)]
    seal: String,
}

/// What seals checkpoints while a run goes on.
pub(super) struct Sealer {
    folder: CheckpointFolder,
    /// Microbatches handed out so far.
    position: Arc<AtomicUsize>,
    accumulation: usize,
    written: Arc<Mutex<usize>>,
    open: Mutex<BTreeMap<usize, Parts>>,
}

#[derive(Default)]
struct Parts {
    step: usize,
    files: BTreeMap<String, String>,
}

/// One of the three files of a checkpoint.
pub(super) struct Part {
    name: &'static str,
    files: FileCheckpointer,
    sealer: Arc<Sealer>,
}

const PARTS: [&str; 3] = ["model", "optim", "scheduler"];

impl CheckpointFolder {
    pub(super) fn new(folder: &Path) -> std::io::Result<Self> {
        fs::create_dir_all(folder)?;
        Ok(Self { folder: folder.to_owned() })
    }

    /// The metrics of all steps so far; lines after the newest seal are cut off on resuming.
    pub(super) fn metrics(&self) -> PathBuf {
        self.folder.join("metrics.jsonl")
    }

    fn part(&self, name: &str, epoch: usize) -> PathBuf {
        self.folder.join(format!("{name}-{epoch}.bpk"))
    }

    fn seal(&self, epoch: usize) -> PathBuf {
        self.folder.join(format!("seal-{epoch}.json"))
    }

    /// The newest checkpoint whose every byte is as it was sealed, with the metrics cut back to it.
    ///
    /// Files of newer or damaged ones stay, since their seals do not hold, until others take their names; without any
    /// checkpoint, the metrics are removed. What cannot be read is an error: to begin anew could cost days.
    pub(super) fn newest(&self) -> std::io::Result<Option<Seal>> {
        let mut seals: Vec<Seal> = Vec::new();
        for entry in fs::read_dir(&self.folder)? {
            let path = entry?.path();
            let is_seal = path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("seal-"));
            if is_seal && let Ok(seal) = serde_json::from_slice::<Seal>(&fs::read(&path)?) {
                seals.push(seal);
            }
        }
        seals.sort_by_key(|seal| seal.epoch);
        let mut newest = None;
        for seal in seals.into_iter().rev() {
            if self.holds(&seal)? {
                newest = Some(seal);
                break;
            }
        }
        let lines = newest.as_ref().map_or(0, |seal| seal.step);
        match newest {
            Some(_) => truncate_lines(&self.metrics(), lines)?,
            None => remove_if_there(&self.metrics())?,
        }
        Ok(newest)
    }

    /// Whether every byte is as it was sealed.
    fn holds(&self, seal: &Seal) -> std::io::Result<bool> {
        if seal.seal != seal.digest() {
            return Ok(false);
        }
        for name in PARTS {
            let digest = whole(file_digest(&self.part(name, seal.epoch)))?;
            if digest.is_none() || digest.as_ref() != seal.files.get(name) {
                return Ok(false);
            }
        }
        Ok(whole(metrics_digest(&self.metrics(), seal.step))?.is_some_and(|digest| digest == seal.metrics))
    }
}

impl Seal {
    fn digest(&self) -> String {
        let bare = Self { seal: String::new(), ..self.clone() };
        blake3::hash(&serde_json::to_vec(&bare).expect("a seal is plain data")).to_hex().to_string()
    }
}

impl Sealer {
    pub(super) fn new(
        folder: CheckpointFolder,
        position: Arc<AtomicUsize>,
        accumulation: usize,
        written: Arc<Mutex<usize>>,
    ) -> Arc<Self> {
        Arc::new(Self { folder, position, accumulation, written, open: Mutex::default() })
    }

    /// The checkpointer of one part.
    pub(super) fn part(self: &Arc<Self>, name: &'static str) -> Part {
        Part { name, files: FileCheckpointer::new(&self.folder.folder, name), sealer: self.clone() }
    }

    /// Notes that a part is on disk; the last one seals.
    ///
    /// burn-train writes the parts in threads of their own, which may end after the next stretch has begun: where this
    /// stretch ended was noted before.
    fn part_is_written(&self, name: &str, epoch: usize) -> std::io::Result<()> {
        let path = self.folder.part(name, epoch);
        File::open(&path)?.sync_all()?;
        let digest = file_digest(&path)?;
        let mut open = self.open.lock().expect("no holder panics");
        let parts = open.entry(epoch).or_default();
        parts.files.insert(name.to_owned(), digest);
        if parts.files.len() < PARTS.len() {
            return Ok(());
        }
        let Parts { step, files } = open.remove(&epoch).expect("it was just filled");
        drop(open);
        self.wait_for_metrics(step);
        let metrics = metrics_digest(&self.folder.metrics(), step)?;
        let mut seal = Seal { epoch, step, files, metrics, seal: String::new() };
        seal.seal = seal.digest();
        let mut file = tempfile::NamedTempFile::new_in(&self.folder.folder)?;
        file.write_all(&serde_json::to_vec(&seal).expect("a seal is plain data"))?;
        file.as_file().sync_all()?;
        file.persist(self.folder.seal(epoch)).map_err(|error| error.error)?;
        Ok(())
    }

    /// The metrics are written in a thread of their own, which is a few lines behind at most.
    fn wait_for_metrics(&self, step: usize) {
        let end = Instant::now() + Duration::from_secs(20);
        while *self.written.lock().expect("no holder panics") < step && Instant::now() < end {
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    /// Notes where a stretch ended, before any of its parts is written.
    pub(super) fn stretch_ended(&self, epoch: usize) {
        let step = self.position.load(Ordering::SeqCst) / self.accumulation;
        self.open.lock().expect("no holder panics").entry(epoch).or_default().step = step;
    }
}

impl<R: Checkpoint> Checkpointer<R> for Part {
    fn save(&self, epoch: usize, record: R) -> Result<(), CheckpointerError> {
        self.files.save(epoch, record)?;
        self.sealer.part_is_written(self.name, epoch).map_err(CheckpointerError::IOError)
    }

    fn delete(&self, epoch: usize) -> Result<(), CheckpointerError> {
        // The seal goes first: a checkpoint without a part must not count.
        remove_if_there(&self.sealer.folder.seal(epoch)).map_err(CheckpointerError::IOError)?;
        Checkpointer::<R>::delete(&self.files, epoch)
    }

    fn restore(&self, epoch: usize) -> Result<R, CheckpointerError> {
        self.files.restore(epoch)
    }
}

/// The digest of what is there and long enough; an error where that cannot be told.
fn whole(digest: std::io::Result<String>) -> std::io::Result<Option<String>> {
    use std::io::ErrorKind::{NotFound, UnexpectedEof};
    match digest {
        Err(error) if matches!(error.kind(), NotFound | UnexpectedEof) => Ok(None),
        digest => digest.map(Some),
    }
}

fn file_digest(path: &Path) -> std::io::Result<String> {
    Ok(blake3::Hasher::new().update_mmap_rayon(path)?.finalize().to_hex().to_string())
}

/// The digest of the first lines of a file.
fn metrics_digest(path: &Path, lines: usize) -> std::io::Result<String> {
    let mut first = File::open(path)?.take(length_of_lines(path, lines)?);
    Ok(blake3::Hasher::new().update_reader(&mut first)?.finalize().to_hex().to_string())
}

fn truncate_lines(path: &Path, lines: usize) -> std::io::Result<()> {
    let length = length_of_lines(path, lines)?;
    File::options().write(true).open(path)?.set_len(length)
}

/// Bytes of the first lines of a file, each with its line break: a last line without one is not whole.
fn length_of_lines(path: &Path, lines: usize) -> std::io::Result<u64> {
    let (mut reader, mut line, mut length) = (BufReader::new(File::open(path)?), Vec::new(), 0);
    for _ in 0..lines {
        line.clear();
        length += reader.read_until(b'\n', &mut line)? as u64;
        if line.last() != Some(&b'\n') {
            let problem = "there are fewer lines of metrics than steps";
            return Err(std::io::Error::new(std::io::ErrorKind::UnexpectedEof, problem));
        }
    }
    Ok(length)
}

fn remove_if_there(path: &Path) -> std::io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}
