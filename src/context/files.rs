//! JSON and CSV files of artifacts.

use std::path::Path;

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
    let mut writer = csv::Writer::from_path(path)
        .map_err(StageError::doing(format!("write {}", path.display())))?;
    // Flushed here, because a writer that is dropped ignores a full disk.
    rows.iter()
        .try_for_each(|row| writer.serialize(row))
        .and_then(|()| writer.flush().map_err(csv::Error::from))
        .map_err(StageError::doing(format!("write {}", path.display())))
}
