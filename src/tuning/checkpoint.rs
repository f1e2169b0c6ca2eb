//! Checkpoints that are complete or do not count: three burnpack files, the training state and the
//! metrics so far, sealed by digests.

use std::{
    cmp::Reverse,
    collections::BTreeMap,
    fs::{self, File},
    io::{BufRead, BufReader, Read, Write},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, OnceLock},
    time::{Duration, Instant},
};

use burn_train::checkpoint::{Checkpoint, Checkpointer, CheckpointerError, FileCheckpointer};
use serde::{Deserialize, Serialize};

use super::state::TrainingState;

/// The folder of a run's checkpoints.
#[derive(Clone)]
pub(super) struct CheckpointFolder {
    folder: PathBuf,
}

/// The record that makes a checkpoint valid; `seal-<epoch>.json` is written last.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Seal {
    /// [`FORMAT`] when it was written; 0 where absent.
    #[serde(default)]
    format: usize,
    /// burn-train's epoch number.
    epoch: usize,
    /// The digest of each file.
    files: BTreeMap<String, String>,
    /// The digest of the metrics of all steps done.
    metrics: String,
    /// The digest of all the above.
    #[serde(default)]
    seal: String,
}

/// A checkpoint of which every byte matches its seal.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct SealedCheckpoint {
    /// burn-train's epoch number.
    pub epoch: usize,
    /// The state of the run.
    pub state: TrainingState,
}

/// What a folder of checkpoints holds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct FoundCheckpoints {
    /// The one to resume from.
    pub newest: NewestCheckpoint,
    /// Number of newer ones whose files do not match their seal.
    pub damaged: usize,
}

/// The newest checkpoint of a folder.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum NewestCheckpoint {
    /// The newest of the valid ones.
    Valid(SealedCheckpoint),
    /// Only checkpoints that another version of this program has written.
    OtherFormat,
    /// None, or only damaged ones.
    Missing,
}

/// Seals checkpoints during a run.
pub(super) struct Sealer {
    folder: CheckpointFolder,
    /// The state after the last optimizer step.
    completed: Arc<Mutex<TrainingState>>,
    /// Number of steps in the metrics.
    written: Arc<Mutex<usize>>,
    /// Why the run failed, since burn-train panics where a checkpoint cannot be read.
    failure: Arc<OnceLock<String>>,
    open: Mutex<BTreeMap<usize, OpenCheckpoint>>,
}

/// A checkpoint whose files are being written.
#[derive(Default)]
struct OpenCheckpoint {
    state: TrainingState,
    files: BTreeMap<String, String>,
}

/// One of the files of a checkpoint that burn-train writes.
pub(super) struct CheckpointPart {
    name: &'static str,
    files: FileCheckpointer,
    sealer: Arc<Sealer>,
}

/// The format of checkpoints, to be counted up with every change of their files or of what they
/// mean. 1: the training state is a file.
const FORMAT: usize = 1;

/// The files that burn-train writes.
const PARTS: [&str; 3] = ["model", "optim", "scheduler"];
/// The file that the sealer writes.
const STATE: &str = "state";

impl CheckpointFolder {
    pub(super) fn new(folder: &Path) -> std::io::Result<Self> {
        fs::create_dir_all(folder)?;
        Ok(Self { folder: folder.to_owned() })
    }

    /// The metrics of all steps so far; resuming cuts off lines after the newest seal.
    pub(super) fn metrics(&self) -> PathBuf {
        self.folder.join("metrics.jsonl")
    }

    fn part(&self, name: &str, epoch: usize) -> PathBuf {
        self.folder.join(format!("{name}-{epoch}.bpk"))
    }

    fn state(&self, epoch: usize) -> PathBuf {
        self.folder.join(format!("{STATE}-{epoch}.json"))
    }

    fn seal(&self, epoch: usize) -> PathBuf {
        self.folder.join(format!("seal-{epoch}.json"))
    }

    /// All files of a checkpoint except its seal, by name.
    fn files(&self, epoch: usize) -> impl Iterator<Item = (&'static str, PathBuf)> {
        let parts = PARTS.into_iter().map(move |name| (name, self.part(name, epoch)));
        parts.chain([(STATE, self.state(epoch))])
    }

    /// The newest valid checkpoint, with the metrics cut back to it.
    ///
    /// Files of newer or damaged checkpoints stay until they are overwritten, since their seals do
    /// not match. Without any checkpoint the metrics are removed. An unreadable file is an error:
    /// starting over could cost days.
    pub(super) fn newest(&self) -> std::io::Result<FoundCheckpoints> {
        let (mut seals, mut damaged) = self.seals()?;
        seals.sort_by_key(|seal| Reverse(seal.epoch));
        for seal in &seals {
            // Rows after the checkpoint would be in the metrics twice.
            if let Some(state) = self.sealed_state(seal)? {
                truncate_lines(&self.metrics(), state.step)?;
                let checkpoint = SealedCheckpoint { epoch: seal.epoch, state };
                return Ok(FoundCheckpoints {
                    newest: NewestCheckpoint::Valid(checkpoint),
                    damaged,
                });
            }
            damaged += usize::from(seal.format == FORMAT);
        }
        // Else the first step of the new run would follow the last one of the lost run.
        remove_if_there(&self.metrics())?;
        let newest = if seals.iter().any(|seal| seal.format != FORMAT) {
            NewestCheckpoint::OtherFormat
        } else {
            NewestCheckpoint::Missing
        };
        Ok(FoundCheckpoints { newest, damaged })
    }

    /// All seals that can be read, valid or not, and the number of the others.
    fn seals(&self) -> std::io::Result<(Vec<Seal>, usize)> {
        let (mut seals, mut unreadable) = (Vec::new(), 0);
        for entry in fs::read_dir(&self.folder)? {
            let path = entry?.path();
            if !path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("seal-")) {
                continue;
            }
            match serde_json::from_slice(&fs::read(&path)?) {
                Ok(seal) => seals.push(seal),
                Err(_) => unreadable += 1,
            }
        }
        Ok((seals, unreadable))
    }

    /// The training state of a checkpoint of which every byte matches the seal.
    fn sealed_state(&self, seal: &Seal) -> std::io::Result<Option<TrainingState>> {
        // Of another format, the same files could mean something else.
        if seal.format != FORMAT || seal.seal != seal.digest() {
            return Ok(None);
        }
        for (name, path) in self.files(seal.epoch) {
            let digest = whole(file_digest(&path))?;
            if digest.is_none() || digest.as_ref() != seal.files.get(name) {
                return Ok(None);
            }
        }
        // JSON has no NaN: a mean that is none belongs to a run that had failed.
        let Ok(state) = serde_json::from_slice::<TrainingState>(&fs::read(self.state(seal.epoch))?)
        else {
            return Ok(None);
        };
        let metrics = whole(metrics_digest(&self.metrics(), state.step))?;
        Ok((metrics.as_ref() == Some(&seal.metrics)).then_some(state))
    }

    /// Writes a file that exists as a whole or not at all.
    fn write(&self, path: &Path, bytes: &[u8]) -> std::io::Result<()> {
        let mut file = tempfile::NamedTempFile::new_in(&self.folder)?;
        file.write_all(bytes)?;
        file.as_file().sync_all()?;
        file.persist(path).map(drop).map_err(|error| error.error)
    }
}

impl Seal {
    fn digest(&self) -> String {
        let bare = Self { seal: String::new(), ..self.clone() };
        blake3::hash(&bytes(&bare)).to_hex().to_string()
    }
}

impl Sealer {
    /// `completed`: the state after the last optimizer step; `written`: the number of steps in the
    /// metrics; `failure`: set where a checkpoint cannot be read.
    pub(super) fn new(
        folder: CheckpointFolder,
        completed: Arc<Mutex<TrainingState>>,
        written: Arc<Mutex<usize>>,
        failure: Arc<OnceLock<String>>,
    ) -> Arc<Self> {
        Arc::new(Self { folder, completed, written, failure, open: Mutex::default() })
    }

    /// The checkpointer of one part.
    pub(super) fn part(self: &Arc<Self>, name: &'static str) -> CheckpointPart {
        let files = FileCheckpointer::new(&self.folder.folder, name);
        CheckpointPart { name, files, sealer: Arc::clone(self) }
    }

    /// Records that a part is on disk; the last one writes the state and the seal.
    ///
    /// burn-train writes the parts in separate threads, which may finish after the next interval
    /// has begun. The state was recorded before.
    fn part_is_written(&self, name: &str, epoch: usize) -> std::io::Result<()> {
        let path = self.folder.part(name, epoch);
        // Synced first: after a power cut a seal must not stand for bytes that were lost.
        File::open(&path)?.sync_all()?;
        let digest = file_digest(&path)?;
        let mut open = self.open.lock().expect("no holder panics");
        let checkpoint = open.entry(epoch).or_default();
        checkpoint.files.insert(name.to_owned(), digest);
        if checkpoint.files.len() < PARTS.len() {
            return Ok(());
        }
        let OpenCheckpoint { state, mut files } = open.remove(&epoch).expect("it was just filled");
        // The next interval may end meanwhile.
        drop(open);
        let path = self.folder.state(epoch);
        self.folder.write(&path, &bytes(&state))?;
        files.insert(STATE.to_owned(), file_digest(&path)?);
        self.wait_for_metrics(state.step);
        let metrics = metrics_digest(&self.folder.metrics(), state.step)?;
        let mut seal = Seal { format: FORMAT, epoch, files, metrics, seal: String::new() };
        seal.seal = seal.digest();
        self.folder.write(&self.folder.seal(epoch), &bytes(&seal))
    }

    /// A separate thread writes the metrics, a few lines behind at most.
    fn wait_for_metrics(&self, step: usize) {
        // With an end: a log whose thread has died must not keep the run for ever. The seal then
        // fails, since the metrics lack lines.
        let end = Instant::now() + Duration::from_secs(20);
        while *self.written.lock().expect("no holder panics") < step && Instant::now() < end {
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    /// Records the state of a checkpoint before any of its parts is written.
    pub(super) fn interval_ended(&self, epoch: usize) {
        let state = *self.completed.lock().expect("no holder panics");
        self.open.lock().expect("no holder panics").entry(epoch).or_default().state = state;
    }
}

impl<R: Checkpoint> Checkpointer<R> for CheckpointPart {
    fn save(&self, epoch: usize, record: R) -> Result<(), CheckpointerError> {
        self.files.save(epoch, record)?;
        self.sealer.part_is_written(self.name, epoch).map_err(CheckpointerError::IOError)
    }

    fn delete(&self, epoch: usize) -> Result<(), CheckpointerError> {
        // The seal goes first: a checkpoint without a part must not count.
        let folder = &self.sealer.folder;
        remove_if_there(&folder.seal(epoch)).map_err(CheckpointerError::IOError)?;
        remove_if_there(&folder.state(epoch)).map_err(CheckpointerError::IOError)?;
        Checkpointer::<R>::delete(&self.files, epoch)
    }

    fn restore(&self, epoch: usize) -> Result<R, CheckpointerError> {
        self.files.restore(epoch).inspect_err(|error| {
            // The first reason is the one that counts.
            let _ = self.sealer.failure.set(format!("cannot read the checkpoint: {error}"));
        })
    }
}

/// The digest of a file that exists and is long enough; an error where this is unknown.
fn whole(digest: std::io::Result<String>) -> std::io::Result<Option<String>> {
    use std::io::ErrorKind::{NotFound, UnexpectedEof};
    match digest {
        Err(error) if matches!(error.kind(), NotFound | UnexpectedEof) => Ok(None),
        digest => digest.map(Some),
    }
}

fn bytes(record: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(record).expect("records of checkpoints are plain data")
}

fn file_digest(path: &Path) -> std::io::Result<String> {
    // Mapped and in parallel: with the optimizer's moments a checkpoint is three times the model.
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

/// The size in bytes of the first lines, line breaks included: a last line without line break is
/// incomplete.
fn length_of_lines(path: &Path, lines: usize) -> std::io::Result<u64> {
    let (mut reader, mut line, mut length) = (BufReader::new(File::open(path)?), Vec::new(), 0);
    for _ in 0..lines {
        line.clear();
        length += reader.read_until(b'\n', &mut line)? as u64;
        if line.last() != Some(&b'\n') {
            let problem = "the metrics have fewer lines than steps";
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
