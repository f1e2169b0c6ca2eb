//! What can be wrong with a model directory or an adapter.

use std::path::PathBuf;

use crate::model::architecture::ConfigError;

/// Why a model directory or an adapter could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum WeightsError {
    /// The file system said no.
    #[error("{path}: {source}", path = .path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the file system said.
        source: std::io::Error,
    },
    /// The config is not one of ours.
    #[error("{path}: {source}", path = .path.display())]
    Config {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: ConfigError,
    },
    /// A file is damaged.
    #[error("{path}: {problem}", path = .path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        problem: String,
    },
    /// A tensor that the config asks for is in none of the files.
    #[error("{path}: the tensor `{name}` is missing", path = .path.display())]
    Missing {
        /// The file, or the index of several.
        path: PathBuf,
        /// The tensor.
        name: String,
    },
    /// A tensor that no part of the model takes.
    #[error("{path}: the tensor `{name}` belongs to no part of the model that config.json describes", path = .path.display())]
    Extra {
        /// The file.
        path: PathBuf,
        /// The tensor.
        name: String,
    },
    /// A tensor of another shape than the config asks for.
    #[error("{path}: the tensor `{name}` has the shape {found:?}, but {expected:?} is expected", path = .path.display())]
    Shape {
        /// The file.
        path: PathBuf,
        /// The tensor.
        name: String,
        /// Its shape.
        found: Vec<usize>,
        /// What the config asks for.
        expected: Vec<usize>,
    },
    /// A tensor with values that are no numbers, or too large for the format to compute in.
    #[error("{path}: the tensor `{name}` has values that are not finite in {format}", path = .path.display())]
    NotFinite {
        /// The file.
        path: PathBuf,
        /// The tensor.
        name: String,
        /// The format.
        format: &'static str,
    },
    /// An adapter or a generation config that asks for something that we do not have.
    #[error("{path}: the field `{field}` is {found}, which is not supported: {supported}", path = .path.display())]
    Adapter {
        /// The file.
        path: PathBuf,
        /// The field.
        field: String,
        /// Its value.
        found: String,
        /// What is supported.
        supported: &'static str,
    },
}
