//! Errors of model directories and adapters.

use std::{
    io,
    path::{Path, PathBuf},
};

use crate::model::architecture::ConfigError;

/// Why a model directory or an adapter could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum WeightsError {
    /// An error of the file system.
    #[error("{path}: {source}", path = .path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// The error.
        source: io::Error,
    },
    /// The config is not supported.
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
        /// The problem.
        problem: String,
    },
    /// A required tensor is missing.
    #[error("{path}: the tensor `{name}` is missing", path = .path.display())]
    Missing {
        /// The file, or the index of several.
        path: PathBuf,
        /// The tensor.
        name: String,
    },
    /// A superfluous tensor.
    #[error("{path}: the tensor `{name}` is not part of the model that config.json \
    describes", path = .path.display())]
    Extra {
        /// The file.
        path: PathBuf,
        /// The tensor.
        name: String,
    },
    /// A tensor with the wrong shape.
    #[error("{path}: the tensor `{name}` has the shape {found:?}, but {expected:?} is \
    expected", path = .path.display())]
    Shape {
        /// The file.
        path: PathBuf,
        /// The tensor.
        name: String,
        /// Its shape.
        found: Vec<usize>,
        /// The expected shape.
        expected: Vec<usize>,
    },
    /// A tensor with NaN or infinite values, or values too large for the format.
    #[error("{path}: the tensor `{name}` has values that {format} cannot represent (infinite or \
    NaN)", path = .path.display())]
    NotFinite {
        /// The file.
        path: PathBuf,
        /// The tensor.
        name: String,
        /// The format.
        format: &'static str,
    },
    /// An unsupported field of an adapter or a generation config.
    #[error("{path}: the field `{field}` is {found}, which is not supported: \
    {supported}", path = .path.display())]
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

impl WeightsError {
    /// Wraps an error of the file system: `.map_err(WeightsError::io(path))`.
    pub(in crate::model) fn io(path: &Path) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Io { path: path.to_owned(), source }
    }

    /// A file is damaged.
    pub(in crate::model) fn malformed(path: &Path, problem: impl Into<String>) -> Self {
        Self::Malformed { path: path.to_owned(), problem: problem.into() }
    }
}
