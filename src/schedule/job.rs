//! What an attempt is told and what it says: its job and its messages.

use std::{
    fs::File,
    io::{Seek, Write},
    path::PathBuf,
};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{
    context::{InputPath, StageEvent},
    device::DeviceNames,
    digest::Digest,
    remote::RemoteAddress,
};

/// Job of a child process.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct AttemptJob {
    /// Process id of the parent, with which the child ends; 0: none, in a job of a cluster.
    pub parent: u32,
    /// Folder of the store.
    pub store: PathBuf,
    /// Name of the kind.
    pub kind: String,
    /// Key.
    pub key: Digest,
    /// Fingerprint that the key is the digest of.
    pub record: Value,
    /// Parameters of the kind.
    pub parameters: Value,
    /// Inputs.
    pub inputs: Vec<InputPath>,
    /// Seed, or 0.
    pub seed: u64,
    /// Devices, in the numbering of the child.
    pub device: DeviceNames,
    /// Whether to remake an existing artifact, which stays until it is replaced.
    #[serde(default)]
    pub forced: bool,
    /// Whether to make an existing artifact a second time and compare, which stays then.
    #[serde(default)]
    pub check: bool,
    /// Store that has the artifact, which is copied and not made.
    #[serde(default)]
    pub remote: Option<RemoteAddress>,
}

/// Messages of a child, one JSON object per line; `Finished` or `Failed` is the last.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(tag = "message", rename_all = "snake_case")]
pub enum WorkerMessage {
    /// Another run makes the same artifact.
    Waiting {
        /// Holder of the lock.
        holder: String,
    },
    /// The work began.
    Began,
    /// Where the attempt waits or runs.
    Placed {
        /// The place.
        text: String,
    },
    /// Duration of the attempt, right before its last message.
    Took {
        /// Seconds.
        seconds: f64,
    },
    /// An existing artifact was damaged.
    Damaged {
        /// What did not match.
        problem: String,
        /// Path after quarantine.
        moved_to: PathBuf,
    },
    /// An event of the stage.
    Reported {
        /// The event.
        report: StageEvent,
    },
    /// An existing artifact was made again.
    Checked {
        /// The first difference; none if all bytes are the same.
        difference: Option<String>,
    },
    /// The artifact is in the store.
    Finished {
        /// Whether another run made it.
        cached: bool,
        /// Digests for the store's memo.
        learnt: Vec<String>,
    },
    /// The attempt failed.
    Failed {
        /// Error message.
        error: String,
    },
}

impl AttemptJob {
    /// The job as an unnamed temporary file for the child's standard input, so that nothing remains
    /// after a kill.
    ///
    /// # Errors
    /// If the disk is full.
    pub fn write(&self) -> std::io::Result<File> {
        let mut file = tempfile::tempfile().map_err(|error| {
            let folder = std::env::temp_dir();
            let problem = format!("no file can be made in {} (TMPDIR): {error}", folder.display());
            std::io::Error::new(error.kind(), problem)
        })?;
        file.write_all(&serde_json::to_vec(self)?)?;
        file.rewind()?;
        Ok(file)
    }

    /// Reads the job.
    ///
    /// # Errors
    /// If it is not a valid job.
    pub fn read(from: impl std::io::Read) -> std::io::Result<Self> {
        Ok(serde_json::from_reader(from)?)
    }
}
