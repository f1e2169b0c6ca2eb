//! Missing weights, or weights in other formats: what was found instead, and what to do.

use std::{
    fs,
    path::{Path, PathBuf},
};

use safetensors::SafeTensorError;
use serde_json::{Map, Value};

use super::WeightsError;
use crate::model::files;

/// The index that maps tensors to files.
pub(super) const INDEX: &str = "model.safetensors.index.json";
/// The file of weights without index.
pub(super) const SINGLE: &str = "model.safetensors";

/// File extensions of weights of PyTorch, llama.cpp, TensorFlow, Flax and ONNX.
const FOREIGN: [&str; 9] =
    [".bin", ".pt", ".pth", ".ckpt", ".gguf", ".ggml", ".h5", ".msgpack", ".onnx"];

/// Files of PyTorch that Trainer writes beside the weights.
const NOT_WEIGHTS: [&str; 3] = ["training_args.bin", "optimizer.pt", "scheduler.pt"];

/// File extensions of incomplete downloads.
const INCOMPLETE: [&str; 5] = [".incomplete", ".part", ".partial", ".aria2", ".crdownload"];

/// The problem of a directory with neither `model.safetensors` nor an index.
pub(super) fn no_weights(directory: &Path) -> WeightsError {
    let path = directory.join(SINGLE);
    let problem = match fs::read_link(&path) {
        // A dangling link, e.g. into a cache that was cleared.
        Ok(target) => Some(format!("it is a link to {}, which does not exist", target.display())),
        Err(_) => found_instead(&names(directory)).map(|found| format!("no such file: {found}")),
    };
    match problem {
        Some(problem) => WeightsError::Malformed { path, problem },
        None => WeightsError::Io {
            path,
            source: std::io::Error::from_raw_os_error(rustix::io::Errno::NOENT.raw_os_error()),
        },
    }
}

/// The names in a directory, in order; none if it cannot be read.
fn names(directory: &Path) -> Vec<String> {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    let mut names: Vec<String> =
        entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

fn found_instead(names: &[String]) -> Option<String> {
    if let Some(name) = names.iter().find(|name| has_ending(name, &INCOMPLETE)) {
        return Some(format!(
            "the directory has {name}: its download is incomplete; download it again"
        ));
    }
    if names.iter().any(|name| name == "adapter_model.safetensors" || name == "adapter_config.json")
    {
        return Some(
            "the directory holds an adapter; give its base model as the model, and the directory \
            as the adapter"
                .to_owned(),
        );
    }
    let mut weights = names.iter().filter(|name| name.ends_with(".safetensors"));
    if let Some(name) = weights.clone().find(|name| name.starts_with("model-")) {
        return Some(format!(
            "the directory has {name}, but no {INDEX}, which maps tensors to files"
        ));
    }
    if let Some(name) = weights.next() {
        return Some(format!(
            "the directory has {name}, but transformers' file of weights is called {SINGLE}"
        ));
    }
    // By format first: where there are several, people know the weights of PyTorch best.
    let name = FOREIGN.iter().find_map(|ending| {
        names.iter().find(|name| name.ends_with(ending) && !NOT_WEIGHTS.contains(&name.as_str()))
    })?;
    if name.ends_with(".gguf") {
        return Some(format!(
            "the directory has {name}; to read a GGUF file, name the file itself as `path` of a \
            stage of kind `import`, or convert it with `apeft convert`"
        ));
    }
    Some(format!(
        "the directory has {name}, but weights must be safetensors; read the model with \
        transformers and write it with `save_pretrained`"
    ))
}

fn has_ending(name: &str, endings: &[&str]) -> bool {
    endings.iter().any(|ending| name.ends_with(ending))
}

/// The actual format of an invalid safetensors file, or what is missing in it.
pub(super) fn not_safetensors(bytes: &[u8], error: &SafeTensorError) -> String {
    if let Some(found) = files::placeholder(bytes) {
        return found.to_owned();
    }
    // By the first bytes, since the name says that it is safetensors.
    if bytes.starts_with(b"GGUF") {
        return "it is a GGUF file; `apeft convert FILE DIR` and a stage of kind `import` read it \
            under its own name, which ends in .gguf"
            .to_owned();
    }
    let foreign = if bytes.starts_with(b"PK\x03\x04") || bytes.starts_with(b"\x80\x02") {
        Some("PyTorch")
    } else if bytes.starts_with(b"\x89HDF") {
        Some("TensorFlow")
    } else {
        None
    };
    if let Some(foreign) = foreign {
        return format!(
            "it is a file of {foreign}, but weights must be safetensors; read the model with \
            transformers and write it with `save_pretrained`"
        );
    }
    match expected_length(bytes).filter(|length| *length > bytes.len() as u64) {
        Some(expected) => format!(
            "it is a truncated safetensors file: it has {} bytes of {expected}; download or copy \
            it again",
            bytes.len()
        ),
        None => format!("it is not a valid safetensors file: {error}"),
    }
}

/// The length that the header of a safetensors file declares.
fn expected_length(bytes: &[u8]) -> Option<u64> {
    let header = u64::from_le_bytes(bytes.get(..8)?.try_into().ok()?);
    let text = bytes.get(8..8usize.checked_add(usize::try_from(header).ok()?)?)?;
    let tensors: Map<String, Value> = serde_json::from_slice(text).ok()?;
    let ends = tensors.values().filter_map(|tensor| tensor.get("data_offsets")?.get(1)?.as_u64());
    // Eight bytes give the length of the header. The header may hold any numbers, hence the checks.
    ends.max()?.checked_add(header)?.checked_add(8)
}

/// Checks that all files of an index exist.
///
/// # Errors
/// Names the missing ones.
pub(super) fn check_shards(index: &Path, shards: &[PathBuf]) -> Result<(), WeightsError> {
    let missing: Vec<_> = shards
        .iter()
        .filter(|shard| !shard.exists())
        .map(|shard| shard.file_name().unwrap_or_default().to_string_lossy())
        .collect();
    if missing.is_empty() {
        return Ok(());
    }
    let problem = format!(
        "it names {} of {} files that do not exist: {}; their download is incomplete",
        missing.len(),
        shards.len(),
        missing.join(", ")
    );
    Err(WeightsError::malformed(index, problem))
}
