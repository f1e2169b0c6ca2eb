//! The context of an attempt: parameters, inputs, folders, seed, device and event sink.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::Value;

use crate::{
    device::DeviceNames,
    rows::{Cell, Row, json_lines},
    seed::Seed,
};

/// Everything that an attempt may access.
pub struct Context {
    /// Parameters of the kind as a JSON object, defaults filled in.
    pub parameters: Value,
    /// Inputs.
    pub inputs: Vec<InputPath>,
    /// Empty folder for the artifact's files.
    pub output: PathBuf,
    /// Folder of checkpoints, shared by all attempts at the same key.
    pub checkpoint: PathBuf,
    /// Folder of the store, which has the logs of calls to endpoints.
    pub store: PathBuf,
    /// Random seed; constant for kinds without random numbers.
    pub seed: Seed,
    /// Devices that models run on; several for kinds that share their work.
    pub device: DeviceNames,
    /// Receives progress and metrics.
    pub report: EventSink,
}

/// Receives the events of a stage.
pub type EventSink = Arc<dyn Fn(StageEvent) + Send + Sync>;

/// One input of an attempt.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct InputPath {
    /// Field name.
    pub name: String,
    /// Folder of the artifact, or the recipe's file or folder.
    pub path: PathBuf,
    /// The source cell, for a fan-in kind.
    pub cell: Option<Cell>,
}

impl InputPath {
    /// The source cell; for a folder that the recipe names, the one that the folder's name says.
    pub fn source_cell(&self) -> Cell {
        self.cell.clone().unwrap_or_else(|| {
            Cell::parse(&self.path.file_name().unwrap_or_default().to_string_lossy())
        })
    }
}

/// An event of a running stage.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "say", rename_all = "snake_case")]
pub enum StageEvent {
    /// Progress.
    Progress {
        /// Units done, including earlier attempts.
        done: u64,
        /// Total units.
        total: u64,
        /// Name of the unit: "steps", "responses", ...
        unit: String,
    },
    /// Metrics of a training step.
    Metrics {
        /// Optimizer step, from 1.
        step: u64,
        /// Names (TRL's) and values.
        values: Vec<(String, f64)>,
    },
    /// A note, e.g. "kept 1,234 pairs of 90 people".
    Note {
        /// The text.
        text: String,
    },
    /// A warning to read before trusting the result.
    Warning {
        /// The text.
        text: String,
    },
}

/// Why an attempt failed.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct StageError(pub String);

impl StageError {
    /// Wraps an error with the failed operation: `cannot read prompts.jsonl: no such file`.
    pub fn doing<E: std::fmt::Display>(what: impl std::fmt::Display) -> impl FnOnce(E) -> Self {
        move |error| Self(format!("cannot {what}: {error}"))
    }
}

impl Context {
    /// The parameters as the kind's struct.
    ///
    /// # Errors
    /// If declaration and struct disagree, which a test of the registry excludes.
    pub fn parameters<T: DeserializeOwned>(&self) -> Result<T, StageError> {
        serde_json::from_value(self.parameters.clone())
            .map_err(StageError::doing("parse the parameters"))
    }

    /// Path of an input that takes exactly one artifact.
    ///
    /// # Errors
    /// If the input was not given.
    pub fn input(&self, name: &str) -> Result<&Path, StageError> {
        self.inputs
            .iter()
            .find(|input| input.name == name)
            .map(|input| input.path.as_path())
            .ok_or_else(|| StageError(format!("the input `{name}` was not given")))
    }

    /// A file of an input that takes exactly one artifact: the named file of the folder, or the
    /// recipe's file itself.
    ///
    /// # Errors
    /// If the input was not given.
    pub fn input_file(&self, name: &str, file: &str) -> Result<PathBuf, StageError> {
        Ok(file_of(self.input(name)?, file))
    }

    /// Rows of an input whose file has its name: `claims` in `claims.jsonl`.
    ///
    /// # Errors
    /// If the input was not given, a row is invalid, or an id occurs twice.
    pub fn rows<T: Row>(&self, name: &str) -> Result<Vec<T>, StageError> {
        let path = self.input_file(name, &format!("{name}.jsonl"))?;
        json_lines::read_rows(&path).map_err(StageError::doing(format!("read the {name}")))
    }

    /// The same, read on demand.
    ///
    /// # Errors
    /// If the input was not given or cannot be opened; each row has errors of its own.
    pub fn each_row<T: Row>(
        &self,
        name: &str,
    ) -> Result<impl Iterator<Item = Result<T, StageError>>, StageError> {
        let path = self.input_file(name, &format!("{name}.jsonl"))?;
        let what = format!("read the {name}");
        let rows = json_lines::checked_rows(&path).map_err(StageError::doing(&what))?;
        Ok(rows.map(move |row| row.map_err(StageError::doing(&what))))
    }

    /// The number of rows of such an input.
    ///
    /// # Errors
    /// If the input was not given or cannot be read.
    pub fn count_rows(&self, name: &str) -> Result<usize, StageError> {
        let path = self.input_file(name, &format!("{name}.jsonl"))?;
        json_lines::count(&path).map_err(StageError::doing(format!("read the {name}")))
    }

    /// All paths of an input that takes many artifacts, in recipe order.
    pub fn inputs<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a InputPath> {
        self.inputs.iter().filter(move |input| input.name == name)
    }

    /// A file of the artifact.
    pub fn output(&self, file: &str) -> PathBuf {
        self.output.join(file)
    }

    /// Reports progress.
    pub fn progress(&self, done: u64, total: u64, unit: &str) {
        (self.report)(StageEvent::Progress { done, total, unit: unit.to_owned() });
    }

    /// Reports a note.
    pub fn note(&self, text: impl Into<String>) {
        (self.report)(StageEvent::Note { text: text.into() });
    }

    /// Reports a warning.
    pub fn warn(&self, text: impl Into<String>) {
        (self.report)(StageEvent::Warning { text: text.into() });
    }
}

/// The named file of a folder, or the recipe's file itself.
pub fn file_of(path: &Path, file: &str) -> PathBuf {
    // A recipe may name the file alone; stages leave folders.
    if path.is_file() { path.to_owned() } else { path.join(file) }
}
