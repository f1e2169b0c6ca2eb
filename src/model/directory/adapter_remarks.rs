//! Remarks for the user on an adapter: another base model, ignored fields.

use std::{
    fs,
    path::{Path, PathBuf},
};

use serde_json::{Map, Value};

use super::{
    Adapter, WeightsError,
    adapter::CONFIG,
    adapter_config::is_known_field,
    reading::{read_json, read_text},
};
use crate::model::{Transformer, architecture::is_nothing};

impl Adapter {
    /// Remarks for the user on loading an adapter onto the model of another directory.
    ///
    /// # Errors
    /// Names a file that cannot be read or is damaged.
    pub fn remarks(directory: &Path, base: &Path) -> Result<Vec<String>, WeightsError> {
        let directory = Self::folder(directory);
        let path = directory.join(CONFIG);
        let fields: Map<String, Value> = serde_json::from_str(&read_text(&path)?)
            .map_err(|error| WeightsError::malformed(&path, format!("it is not JSON: {error}")))?;
        let mut remarks = Vec::new();
        let named =
            fields.get("base_model_name_or_path").and_then(Value::as_str).unwrap_or_default();
        if !named.is_empty() && !is_base(named, &directory, base) {
            remarks.push(format!(
                "{} names the base model `{named}`, but the adapter is loaded onto {}: make sure \
                that they are the same model",
                path.display(),
                base.display()
            ));
        }
        let unknown: Vec<String> = fields
            .iter()
            .filter(|(name, value)| !is_nothing(value) && !is_known_field(name))
            .map(|(name, _)| format!("`{name}`"))
            .collect();
        if !unknown.is_empty() {
            remarks.push(format!(
                "{} has unknown fields, which are ignored: {}",
                path.display(),
                unknown.join(", ")
            ));
        }
        Ok(remarks)
    }
}

/// Whether a base model's name or path can mean the model of a directory.
fn is_base(named: &str, adapter: &Path, base: &Path) -> bool {
    // Imported models refer to their weights by path.
    let weights = Transformer::weight_files(base)
        .ok()
        .and_then(|files| fs::canonicalize(files.first()?).ok());
    let weights_folder = weights.as_deref().and_then(Path::parent).map(Path::to_owned);
    let folders: Vec<PathBuf> =
        fs::canonicalize(base).ok().into_iter().chain(weights_folder).collect();
    let paths = [PathBuf::from(named), adapter.join(named)];
    let meant: Vec<PathBuf> = paths.iter().filter_map(|path| fs::canonicalize(path).ok()).collect();
    if !meant.is_empty() {
        return meant.iter().any(|path| folders.contains(path));
    }
    // A name on the Hub: a folder of that name, the Hub's cache, or the config's `_name_or_path`.
    let last = named.trim_end_matches('/').rsplit('/').next().unwrap_or(named);
    let cached = format!("models--{}", named.replace('/', "--"));
    let parts = folders.iter().flat_map(|folder| folder.components());
    let has_name = parts
        .map(|part| part.as_os_str().to_string_lossy())
        .any(|part| part == last || part == cached);
    let config = read_json(&base.join("config.json")).ok();
    has_name
        || config.is_some_and(|config| {
            config.get("_name_or_path").and_then(Value::as_str) == Some(named)
        })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::model::{LARGEST_FILE, Placement, architecture::config::tests::tiny};
    use crate::seed::Seed;

    /// A base called `llama` and an adapter beside it that names this as its base; the sentences
    /// about it.
    fn said_of(named: &str, more: Value) -> Vec<String> {
        let folder = tempfile::tempdir().unwrap();
        let (base, adapter) = (folder.path().join("llama"), folder.path().join("adapter"));
        fs::create_dir(&base).unwrap();
        fs::create_dir(&adapter).unwrap();
        fs::create_dir(folder.path().join("other")).unwrap();
        tiny().init(&Seed::root(1), &Placement::cpu().device).save(&base, LARGEST_FILE).unwrap();
        let mut fields = json!({"peft_type": "LORA", "r": 2, "lora_alpha": 4, "target_modules": ["q_proj"],
            "base_model_name_or_path": named.replace("HERE", &folder.path().display().to_string())});
        fields.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        fs::write(adapter.join(CONFIG), fields.to_string()).unwrap();
        let remarks = Adapter::remarks(&adapter, &base).unwrap();
        remarks
            .iter()
            .map(|remark| remark.replace(&folder.path().display().to_string(), "HERE"))
            .collect()
    }

    #[test]
    fn the_base_that_an_adapter_names_must_be_the_one_that_is_used() {
        for named in ["", "HERE/llama", "HERE/other/../llama", "../llama", "meta-llama/llama"] {
            assert_eq!(said_of(named, json!({})), Vec::<String>::new(), "{named}");
        }
        for named in ["HERE/other", "../other", "meta-llama/Llama-2-7b-hf", "/nowhere/else"] {
            assert_eq!(
                said_of(named, json!({})),
                [format!(
                    "HERE/adapter/adapter_config.json names the base model `{named}`, but the \
                    adapter is loaded onto HERE/llama: \
                     make sure that they are the same model"
                )]
            );
        }
    }

    #[test]
    fn fields_that_nobody_knows_are_named() {
        let said = said_of(
            "",
            json!({"use_new_method": true, "new_number": 0, "megatron_core": "megatron.core"}),
        );
        let expected = "HERE/adapter/adapter_config.json has unknown fields, which are ignored: \
        `use_new_method`";
        assert_eq!(said, [expected]);
    }
}
