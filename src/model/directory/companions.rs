//! The files beside config and weights that a model of the same tokens takes over as they are.

use std::{fs, path::Path};

use super::WeightsError;
use crate::model::files;

/// Where transformers looks for further chat templates, one of which may be the default.
const TEMPLATES: &str = "additional_chat_templates";

/// Copies the files that say what a model's tokens are, how it is talked to and how it answers from one model directory to
/// another: tokenizer, chat templates and `generation_config.json`.
///
/// # Errors
/// Names the file that could not be copied.
pub fn copy_companions(from: &Path, to: &Path) -> Result<(), WeightsError> {
    let is_companion = |name: &str| {
        let is_tokenizer = name.starts_with("tokenizer") && (name.ends_with(".json") || name.ends_with(".model"));
        is_tokenizer || ["chat_template.jinja", "generation_config.json", "special_tokens_map.json"].contains(&name)
    };
    copy(from, to, is_companion)?;
    let (from, to) = (from.join(TEMPLATES), to.join(TEMPLATES));
    if !from.is_dir() {
        return Ok(());
    }
    fs::create_dir_all(&to).map_err(|source| WeightsError::Io { path: to.clone(), source })?;
    copy(&from, &to, |name| name.ends_with(".jinja"))
}

fn copy(from: &Path, to: &Path, wanted: impl Fn(&str) -> bool) -> Result<(), WeightsError> {
    let io = |path: &Path| {
        let path = path.to_owned();
        move |source| WeightsError::Io { path, source }
    };
    for entry in fs::read_dir(from).map_err(io(from))? {
        let entry = entry.map_err(io(from))?;
        let name = entry.file_name();
        // What is no file (a dangling link, a folder, a socket) was not read before and is not missed afterwards.
        if wanted(&name.to_string_lossy()) && entry.path().is_file() {
            files::copy(&entry.path(), &to.join(&name)).map_err(io(&entry.path()))?;
        }
    }
    Ok(())
}
