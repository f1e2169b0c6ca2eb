//! Reading the small files of a directory.

use std::path::Path;

use serde_json::Value;

use super::WeightsError;
use crate::model::files;

pub(super) fn read_text(path: &Path) -> Result<String, WeightsError> {
    files::read_text(path).map_err(WeightsError::io(path))
}

pub(super) fn read_json(path: &Path) -> Result<Value, WeightsError> {
    serde_json::from_str(&read_text(path)?)
        .map_err(|error| WeightsError::malformed(path, format!("it is not JSON: {error}")))
}

/// A JSON file that a directory need not have.
pub(super) fn read_optional_json(path: &Path) -> Result<Option<Value>, WeightsError> {
    match read_json(path) {
        Err(WeightsError::Io { source, .. }) if source.kind() == std::io::ErrorKind::NotFound => {
            Ok(None)
        }
        read => read.map(Some),
    }
}
