//! What an attempt is handed: its parameters, inputs and folders, its seed, its device and an ear.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::Value;

use crate::{
    language::{Row, json_lines},
    seed::Seed,
};

/// Everything that one attempt at a stage may see.
pub struct Context {
    /// The kind's parameters as a JSON object, defaults filled in.
    pub parameters: Value,
    /// What it reads.
    pub inputs: Vec<InputPath>,
    /// An empty folder for the artifact's files.
    pub output: PathBuf,
    /// A folder that outlives the attempt: what is left here is found by the next attempt at the same key.
    pub checkpoint: PathBuf,
    /// Where its chance comes from; the same for kinds that draw nothing.
    pub seed: Seed,
    /// `cpu` or `cuda:N`.
    pub device: String,
    /// Is told of progress and measurements.
    pub report: Arc<dyn Fn(Report) + Send + Sync>,
}

/// One input of an attempt.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct InputPath {
    /// The field's name.
    pub name: String,
    /// The artifact's folder, or the file or folder that the recipe names.
    pub path: PathBuf,
    /// For a kind that gathers: the name of the cell it comes from.
    pub label: Option<String>,
}

/// What a stage says while it runs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "say", rename_all = "snake_case")]
pub enum Report {
    /// How far it is.
    Progress {
        /// Units done, those of earlier attempts included.
        done: u64,
        /// Units in all.
        total: u64,
        /// What is counted: "steps", "answers", ...
        unit: String,
    },
    /// What was measured at a step of training.
    Metrics {
        /// The optimizer step, from 1.
        step: u64,
        /// Name and value, under TRL's names.
        values: Vec<(String, f64)>,
    },
    /// A sentence worth keeping, e.g. "kept 1,234 pairs of 90 people".
    Note {
        /// The sentence.
        text: String,
    },
    /// A sentence that a person should read before trusting the result.
    Warning {
        /// The sentence.
        text: String,
    },
}

/// Why an attempt failed, in words for the user.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct StageError(pub String);

impl StageError {
    /// Wraps any error, with what was being done: `cannot read prompts.jsonl: no such file`.
    pub fn doing<E: std::fmt::Display>(what: impl std::fmt::Display) -> impl FnOnce(E) -> Self {
        move |error| Self(format!("cannot {what}: {error}"))
    }
}

impl Context {
    /// The parameters as the kind's own struct.
    ///
    /// # Errors
    /// Where registry and struct disagree, which a test over the registry rules out.
    pub fn parameters<T: DeserializeOwned>(&self) -> Result<T, StageError> {
        serde_json::from_value(self.parameters.clone()).map_err(StageError::doing("understand the parameters"))
    }

    /// The path of an input that takes exactly one.
    ///
    /// # Errors
    /// Where the input was not given.
    pub fn input(&self, name: &str) -> Result<&Path, StageError> {
        self.inputs
            .iter()
            .find(|input| input.name == name)
            .map(|input| input.path.as_path())
            .ok_or_else(|| StageError(format!("the input `{name}` was not given")))
    }

    /// A file of an input that takes exactly one: of this name in the artifact's folder, or the very file that the recipe names.
    ///
    /// # Errors
    /// Where the input was not given.
    pub fn input_file(&self, name: &str, file: &str) -> Result<PathBuf, StageError> {
        let path = self.input(name)?;
        Ok(if path.is_file() { path.to_owned() } else { path.join(file) })
    }

    /// The rows of an input of this name that is a file of JSON lines of this name: `claims`, of `claims.jsonl`.
    ///
    /// # Errors
    /// Where the input was not given, its rows are others, or two of them have one id.
    pub fn rows<T: Row>(&self, name: &str) -> Result<Vec<T>, StageError> {
        let path = self.input_file(name, &format!("{name}.jsonl"))?;
        json_lines::read_rows(&path).map_err(StageError::doing(format!("read the {name}")))
    }

    /// All paths of an input that takes many, in the order of the recipe.
    pub fn inputs<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a InputPath> {
        self.inputs.iter().filter(move |input| input.name == name)
    }

    /// A file of the artifact.
    pub fn output(&self, file: &str) -> PathBuf {
        self.output.join(file)
    }

    /// Says how far it is.
    pub fn progress(&self, done: u64, total: u64, unit: &str) {
        (self.report)(Report::Progress { done, total, unit: unit.to_owned() });
    }

    /// Says a sentence worth keeping.
    pub fn note(&self, text: impl Into<String>) {
        (self.report)(Report::Note { text: text.into() });
    }

    /// Says a sentence that a person should read before trusting the result.
    pub fn warn(&self, text: impl Into<String>) {
        (self.report)(Report::Warning { text: text.into() });
    }
}
