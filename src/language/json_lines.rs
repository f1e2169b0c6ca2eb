//! Files with one JSON object a line: read with the line of every mistake, written in one piece.

use std::{
    fs::File,
    io::{BufRead, BufReader, BufWriter, Write},
    path::{Path, PathBuf},
};

use serde::{Serialize, de::DeserializeOwned};

/// Why a file of JSON lines could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum JsonLinesError {
    /// The file system said no.
    #[error("{path}: {source}", path = .path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the file system said.
        source: std::io::Error,
    },
    /// A line is not what it should be.
    #[error("{path}:{line}: {source}", path = .path.display())]
    Row {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// What is wrong with it.
        source: serde_json::Error,
    },
}

/// Reads all rows of a file; empty lines are skipped.
///
/// # Errors
/// Names the file, and the line that is not a row of type `T`.
pub fn read<T: DeserializeOwned>(path: &Path) -> Result<Vec<T>, JsonLinesError> {
    let io = |source| JsonLinesError::Io { path: path.to_owned(), source };
    let mut rows = Vec::new();
    for (index, line) in BufReader::new(File::open(path).map_err(io)?).lines().enumerate() {
        let line = line.map_err(io)?;
        if !line.trim().is_empty() {
            let row = serde_json::from_str(&line);
            rows.push(row.map_err(|source| JsonLinesError::Row { path: path.to_owned(), line: index + 1, source })?);
        }
    }
    Ok(rows)
}

/// Writes rows to a new file.
///
/// # Errors
/// Names the file that the file system refused.
pub fn write<T: Serialize>(path: &Path, rows: impl IntoIterator<Item = T>) -> Result<(), JsonLinesError> {
    let io = |source| JsonLinesError::Io { path: path.to_owned(), source };
    let mut file = BufWriter::new(File::create(path).map_err(io)?);
    for row in rows {
        serde_json::to_writer(&mut file, &row).map_err(|error| io(error.into()))?;
        file.write_all(b"\n").map_err(io)?;
    }
    file.flush().map_err(io)
}
