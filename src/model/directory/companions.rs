//! Files beside config and weights that are copied unchanged to a model with the same tokens.

use std::{fs, path::Path};

use super::WeightsError;
use crate::model::files;

/// Where transformers looks for additional chat templates, one of which may be the default.
const TEMPLATES: &str = "additional_chat_templates";

/// Copies tokenizer, chat templates and `generation_config.json` from one model directory to
/// another.
///
/// # Errors
/// Names the file that could not be copied.
pub fn copy_companions(from: &Path, to: &Path) -> Result<(), WeightsError> {
    copy(from, to, is_companion)?;
    let (from, to) = (from.join(TEMPLATES), to.join(TEMPLATES));
    if !from.is_dir() {
        return Ok(());
    }
    fs::create_dir_all(&to).map_err(WeightsError::io(&to))?;
    copy(&from, &to, |name| name.ends_with(".jinja"))
}

fn is_companion(name: &str) -> bool {
    let is_tokenizer =
        name.starts_with("tokenizer") && (name.ends_with(".json") || name.ends_with(".model"));
    is_tokenizer
        || ["chat_template.jinja", "generation_config.json", "special_tokens_map.json"]
            .contains(&name)
}

fn copy(from: &Path, to: &Path, wanted: impl Fn(&str) -> bool) -> Result<(), WeightsError> {
    for entry in fs::read_dir(from).map_err(WeightsError::io(from))? {
        let entry = entry.map_err(WeightsError::io(from))?;
        let name = entry.file_name();
        // Entries that are not files (dangling links, folders, sockets) were not read before and
        // are not needed afterwards.
        if wanted(&name.to_string_lossy()) && entry.path().is_file() {
            files::copy(&entry.path(), &to.join(&name)).map_err(WeightsError::io(&entry.path()))?;
        }
    }
    Ok(())
}
