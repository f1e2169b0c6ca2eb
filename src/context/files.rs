//! JSON and CSV files of artifacts.

use std::{
    fs::File,
    path::{Path, PathBuf},
};

use serde::{Serialize, de::DeserializeOwned};

use super::StageError;
use crate::{recipe::schema::ArtifactType, store::FilePatterns};

/// Whether a file of a folder, named relative to it, belongs to a type.
pub fn is_file_of(artifact: &ArtifactType, name: &str) -> bool {
    FilePatterns::of(artifact.files).matches(name)
}

/// Reads a JSON file.
///
/// # Errors
/// If it cannot be read or has another form.
pub fn read_json<T: DeserializeOwned>(path: &Path) -> Result<T, StageError> {
    let reading = format!("read {}", path.display());
    let text = std::fs::read_to_string(path).map_err(StageError::doing(&reading))?;
    serde_json::from_str(&text).map_err(StageError::doing(&reading))
}

/// Writes a value as indented JSON with a final newline.
///
/// # Errors
/// If the file cannot be written.
pub fn write_json<T: Serialize>(path: &Path, value: &T) -> Result<(), StageError> {
    let mut text = serde_json::to_string_pretty(value)
        .map_err(StageError::doing(format!("write {}", path.display())))?;
    text.push('\n');
    std::fs::write(path, text).map_err(StageError::doing(format!("write {}", path.display())))
}

/// Writes rows as CSV with a header.
///
/// # Errors
/// If the file cannot be written.
pub fn write_csv<T: Serialize>(path: &Path, rows: &[T]) -> Result<(), StageError> {
    let mut writer = CsvWriter::create(path)?;
    rows.iter().try_for_each(|row| writer.write(row))?;
    writer.finish()
}

/// A CSV file to which rows are written one at a time.
pub struct CsvWriter {
    path: PathBuf,
    file: csv::Writer<File>,
}

impl CsvWriter {
    /// A new file.
    ///
    /// # Errors
    /// Names the file that cannot be made.
    pub fn create(path: &Path) -> Result<Self, StageError> {
        let made = csv::Writer::from_path(path);
        let file = made.map_err(StageError::doing(format!("write {}", path.display())))?;
        Ok(Self { path: path.to_owned(), file })
    }

    /// Writes a row; the first one after a header.
    ///
    /// # Errors
    /// Names the file that cannot be written.
    pub fn write<T: Serialize>(&mut self, row: &T) -> Result<(), StageError> {
        let written = self.file.serialize(row);
        written.map_err(StageError::doing(format!("write {}", self.path.display())))
    }

    /// Writes what is still in memory: a writer that is dropped ignores a full disk.
    ///
    /// # Errors
    /// Names the file that cannot be written.
    pub fn finish(mut self) -> Result<(), StageError> {
        let flushed = self.file.flush();
        flushed.map_err(StageError::doing(format!("write {}", self.path.display())))
    }
}
