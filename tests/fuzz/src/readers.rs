//! Reads damaged files of model directories: errors are fine, panics are not.
//!
//! The first byte of an input selects the file that the rest replaces.

#![no_main]

use std::{fs, path::Path, sync::LazyLock};

use apeft::{
    model::{Adapter, Encoder, GgufModel, LARGEST_FILE, ModelConfig, Placement, Transformer},
    rows::Content,
};
use libfuzzer_sys::fuzz_target;
use tempfile::TempDir;

/// Files that may be damaged.
const FILES: [&str; 9] = [
    "model.safetensors",
    "config.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "generation_config.json",
    "adapter_config.json",
    "adapter_model.safetensors",
    "chat_template.jinja",
    "model.gguf",
];

/// An intact directory, in memory if the system has such a file system.
static WHOLE: LazyLock<TempDir> = LazyLock::new(|| {
    let folder = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap();
    for from in ["../data/tiny-llama", "../data/models/llama/adapter"] {
        for entry in fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join(from)).unwrap() {
            let path = entry.unwrap().path();
            fs::copy(&path, folder.path().join(path.file_name().unwrap())).unwrap();
        }
    }
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../data/gguf/llama.gguf");
    fs::copy(file, folder.path().join("model.gguf")).unwrap();
    folder
});

/// Writes each intact file to the corpus as a seed.
fn seed_corpus() {
    for (choice, name) in FILES.iter().enumerate() {
        if let Ok(bytes) = fs::read(WHOLE.path().join(name)) {
            fs::write(
                format!("corpus/readers/whole-{name}"),
                [&[choice as u8], bytes.as_slice()].concat(),
            )
            .unwrap();
        }
    }
    let template =
        b"\x07{% for m in messages %}{{ m.role | upper }}: {{ m.content.strip() }}{% endfor %}";
    fs::write("corpus/readers/whole-template", template).unwrap();
}

fuzz_target!(init: seed_corpus(), |input: &[u8]| {
    let Some((choice, bytes)) = input.split_first() else { return };
    let directory = WHOLE.path();
    let name = FILES[*choice as usize % FILES.len()];
    let path = directory.join(name);
    let whole = fs::read(&path).ok();
    fs::write(&path, bytes).unwrap();
    read(directory, name);
    match whole {
        Some(whole) => fs::write(&path, whole).unwrap(),
        None => fs::remove_file(&path).unwrap(),
    }
});

/// Reads everything that a file of this name affects.
fn read(directory: &Path, name: &str) {
    match name {
        "model.safetensors" | "config.json" | "generation_config.json" => {
            let _ = Transformer::load(directory, &Placement::cpu());
        }
        "model.gguf" => {
            let out = tempfile::tempdir_in(directory).unwrap();
            if let Ok(model) = GgufModel::open(&directory.join(name)) {
                let _ = model.write(out.path(), "auto", LARGEST_FILE);
            }
        }
        "adapter_config.json" | "adapter_model.safetensors" => {
            if let Ok(mut model) = Transformer::load(directory, &Placement::cpu()) {
                let _ = Adapter::load(directory, &mut model);
            }
        }
        _ => {
            let config = ModelConfig::load(directory).unwrap();
            if let Ok(encoder) = Encoder::load(directory, &config) {
                let _ = encoder.prompt(&"Who was Ada? naïve café 42".into());
                let _ = encoder.prompt(&Content::from_user("Who was Ada?", Some("Be brief.")));
                let _ = encoder.tokenizer.decode(&[0, 5, 260, u32::MAX]);
            }
        }
    }
}
