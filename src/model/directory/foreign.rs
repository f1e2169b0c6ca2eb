//! Weights that are not there, or are something else than safetensors: what was found instead, and what to do.

use std::{
    fs,
    path::{Path, PathBuf},
};

use safetensors::SafeTensorError;
use serde_json::{Map, Value};

use super::{
    WeightsError,
    load::{INDEX, SINGLE},
};
use crate::model::files;

/// How files of weights in other formats end, and what wrote them.
const FOREIGN: [(&str, &str); 9] = [
    (".bin", "PyTorch"),
    (".pt", "PyTorch"),
    (".pth", "PyTorch"),
    (".ckpt", "PyTorch"),
    (".gguf", "llama.cpp"),
    (".ggml", "llama.cpp"),
    (".h5", "TensorFlow"),
    (".msgpack", "Flax"),
    (".onnx", "ONNX"),
];

/// How files end that are still being downloaded.
const INCOMPLETE: [&str; 5] = [".incomplete", ".part", ".partial", ".aria2", ".crdownload"];

/// What is wrong with a directory that has neither `model.safetensors` nor an index.
pub(super) fn no_weights(directory: &Path) -> WeightsError {
    let path = directory.join(SINGLE);
    let problem = match fs::read_link(&path) {
        // A dangling link, e.g. into a cache that was cleared.
        Ok(target) => Some(format!("it is a link to {}, which is not there", target.display())),
        Err(_) => found_instead(&names(directory)).map(|found| format!("there is no such file: {found}")),
    };
    match problem {
        Some(problem) => WeightsError::Malformed { path, problem },
        None => WeightsError::Io {
            path,
            source: std::io::Error::from_raw_os_error(rustix::io::Errno::NOENT.raw_os_error()),
        },
    }
}

/// The names in a directory, in order; none where it cannot be read.
fn names(directory: &Path) -> Vec<String> {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    let mut names: Vec<String> = entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

fn found_instead(names: &[String]) -> Option<String> {
    let first = |wanted: &dyn Fn(&str) -> bool| names.iter().find(|name| wanted(name.as_str()));
    if let Some(name) = first(&|name| INCOMPLETE.iter().any(|ending| name.ends_with(ending))) {
        return Some(format!("the directory has {name}, so that its download is not complete; download it again"));
    }
    if names.iter().any(|name| name == "adapter_model.safetensors" || name == "adapter_config.json") {
        return Some("the directory holds an adapter; name its model, and the directory as its adapter".to_owned());
    }
    if let Some(name) = first(&|name| name.starts_with("model-") && name.ends_with(".safetensors")) {
        return Some(format!("the directory has {name}, but no {INDEX}, which says what stands in which file"));
    }
    if let Some(name) = first(&|name| name.ends_with(".safetensors")) {
        return Some(format!("the directory has {name}, but transformers' file of weights is called {SINGLE}"));
    }
    let is_weights = |name: &str| !["training_args.bin", "optimizer.pt", "scheduler.pt"].contains(&name);
    FOREIGN.iter().find_map(|(ending, _)| {
        let name = first(&|name| name.ends_with(ending) && is_weights(name))?;
        Some(format!(
            "the directory has {name}, but weights must be safetensors; read the model with transformers and write it \
             with `save_pretrained`"
        ))
    })
}

/// What a file is that is no safetensors file, or what it lacks.
pub(super) fn not_safetensors(bytes: &[u8], error: &SafeTensorError) -> String {
    if let Some(found) = files::placeholder(bytes) {
        return found.to_owned();
    }
    let foreign = if bytes.starts_with(b"PK\x03\x04") || bytes.starts_with(b"\x80\x02") {
        Some("PyTorch")
    } else if bytes.starts_with(b"GGUF") {
        Some("llama.cpp")
    } else if bytes.starts_with(b"\x89HDF") {
        Some("TensorFlow")
    } else {
        None
    };
    if let Some(foreign) = foreign {
        return format!(
            "it is a file of {foreign}, but weights must be safetensors; read the model with transformers and write it \
             with `save_pretrained`"
        );
    }
    match expected_length(bytes).filter(|length| *length > bytes.len() as u64) {
        Some(expected) => format!(
            "it is not a whole safetensors file: it has {} bytes of {expected}; its download or copy is not complete",
            bytes.len()
        ),
        None => format!("it is not a whole safetensors file: {error}"),
    }
}

/// The length that the header of a safetensors file speaks of.
fn expected_length(bytes: &[u8]) -> Option<u64> {
    let header = u64::from_le_bytes(bytes.get(..8)?.try_into().ok()?);
    let text = bytes.get(8..8usize.checked_add(usize::try_from(header).ok()?)?)?;
    let tensors: Map<String, Value> = serde_json::from_slice(text).ok()?;
    let end = |tensor: &Value| tensor.get("data_offsets")?.get(1)?.as_u64();
    tensors.values().filter_map(end).max()?.checked_add(header)?.checked_add(8)
}

/// The files that an index names are all there.
///
/// # Errors
/// Names those that are not.
pub(super) fn check_shards(index: &Path, shards: &[PathBuf]) -> Result<(), WeightsError> {
    let is_missing = |shard: &&PathBuf| !shard.exists();
    let name = |shard: &PathBuf| shard.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let missing: Vec<String> = shards.iter().filter(is_missing).map(name).collect();
    if missing.is_empty() {
        return Ok(());
    }
    let problem = format!(
        "it names {} of {} files that are not there: {}; their download is not complete",
        missing.len(),
        shards.len(),
        missing.join(", ")
    );
    Err(WeightsError::Malformed { path: index.to_owned(), problem })
}
