//! The model card of an artifact with weights: what the hub shows of a directory.

use std::{fmt::Write as _, fs, io, path::Path};

use serde_json::Value;

use crate::plan::Fingerprint;

/// File name of a model card.
pub const CARD: &str = "README.md";

/// The card of an artifact, with more sections, such as the scores that a run found; none if its
/// key cannot be read.
pub fn card(artifact: &Path, more: &str) -> Option<String> {
    let record = fs::read(artifact.with_file_name("key.json")).ok()?;
    let fingerprint: Fingerprint = serde_json::from_slice(&record).ok()?;
    Some(text(&fingerprint, base_model(artifact).as_deref()) + more)
}

/// The card by the fingerprint of its stage alone: the same for the same artifact.
fn text(fingerprint: &Fingerprint, base: Option<&str>) -> String {
    let Fingerprint { kind, parameters, inputs, seed, backend, .. } = fingerprint;
    let algorithm = parameters.get("algorithm").and_then(Value::as_str);
    let tags: Vec<&str> = ["apeft", kind].into_iter().chain(algorithm).collect();
    let mut text = "---\n".to_owned();
    // Only people know which licences base model and data have.
    text.push_str("license: other\nlicense_name: to-be-named\npipeline_tag: text-generation\n");
    if let Some(base) = base {
        let _ = writeln!(text, "base_model: {}", Value::from(base));
    }
    let _ = writeln!(text, "tags: [{}]\n---\n", tags.join(", "));
    let _ = writeln!(text, "# Model by `{kind}`\n");
    text.push_str(
        "Written by [apeft](https://arxiv.org/abs/2406.12416). Name the licence above: it follows \
        from those of the base model and the data.\n\n| parameter | value |\n| --- | --- |\n",
    );
    for (name, value) in parameters.iter().filter(|(_, value)| !value.is_null()) {
        let _ = writeln!(text, "| `{name}` | {} |", cell(value));
    }
    if let Some(seed) = seed {
        let _ = writeln!(text, "| seed | {seed} |");
    }
    if let Some(backend) = backend {
        let _ = writeln!(text, "| backend | {backend} |");
    }
    text.push_str("\n| input | type | digest (BLAKE3) |\n| --- | --- | --- |\n");
    for input in inputs {
        let _ = writeln!(text, "| `{}` | {} | `{}` |", input.name, input.r#type, input.digest);
    }
    let _ = writeln!(text, "\nKey of the artifact: `{}`", fingerprint.key());
    text
}

/// A value in a table of Markdown, on one line.
fn cell(value: &Value) -> String {
    let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    text.replace('|', "\\|").replace(['\n', '\r'], " ")
}

/// Writes the card of a trained model beside its weights; an imported one has its publisher's.
pub(super) fn write(folder: &Path, record: &Value) -> io::Result<()> {
    let Ok(fingerprint) = serde_json::from_value::<Fingerprint>(record.clone()) else {
        return Ok(());
    };
    if !["pretrain", "tune"].contains(&fingerprint.kind.as_str()) {
        return Ok(());
    }
    fs::write(folder.join(CARD), text(&fingerprint, base_model(folder).as_deref()))
}

/// The name of the base model that a directory tells, by its adapter or its own config.
fn base_model(folder: &Path) -> Option<String> {
    let named = [
        ("adapter/adapter_config.json", "base_model_name_or_path"),
        ("adapter_config.json", "base_model_name_or_path"),
        ("config.json", "_name_or_path"),
    ];
    named.into_iter().find_map(|(file, field)| {
        let text = fs::read(folder.join(file)).ok()?;
        let config: Value = serde_json::from_slice(&text).ok()?;
        config.get(field)?.as_str().filter(|name| !name.is_empty()).map(str::to_owned)
    })
}
