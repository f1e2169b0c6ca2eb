//! The files of a directory's weights: one, or several with an index.

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
};

use serde_json::Value;

use super::{
    WeightsError,
    foreign::{INDEX, SINGLE, check_shards, no_weights},
    reading::read_json,
    tensors::MappedFiles,
};
use crate::model::architecture::Transformer;

impl Transformer {
    /// The files of a directory's weights, its index included.
    ///
    /// # Errors
    /// Names the file that is missing and what was found instead, or a damaged index.
    pub fn weight_files(directory: &Path) -> Result<Vec<PathBuf>, WeightsError> {
        let (single, index) = (directory.join(SINGLE), directory.join(INDEX));
        // As transformers, which does not look at an index beside it.
        if single.exists() {
            return Ok(vec![single]);
        }
        if !index.exists() {
            return Err(no_weights(directory));
        }
        let mut files = shards(directory, &index)?;
        check_shards(&index, &files)?;
        files.push(index);
        Ok(files)
    }
}

impl MappedFiles {
    /// A directory's weights, and the path that stands for them: the only file, or the index.
    pub(super) fn of_model(directory: &Path) -> Result<(Self, PathBuf), WeightsError> {
        let mut files = Transformer::weight_files(directory)?;
        let all = match files.as_slice() {
            [only] => only.clone(),
            _ => files.pop().expect("the index stands last"),
        };
        Ok((Self::open(files)?, all))
    }
}

/// The files that an index names.
fn shards(directory: &Path, index: &Path) -> Result<Vec<PathBuf>, WeightsError> {
    let value = read_json(index)?;
    let Some(names) = value.get("weight_map").and_then(Value::as_object) else {
        return Err(WeightsError::malformed(index, "the table `weight_map` is missing"));
    };
    let mut files = BTreeSet::new();
    for (tensor, file) in names {
        // Only names: a path would read weights from anywhere on the machine.
        let name = file
            .as_str()
            .filter(|name| Path::new(name).file_name().is_some_and(|only| only == *name));
        let Some(name) = name else {
            let problem = format!("`{tensor}` must be in a file of this directory, not in {file}");
            return Err(WeightsError::malformed(index, problem));
        };
        files.insert(directory.join(name));
    }
    Ok(files.into_iter().collect())
}
