//! Chat templates in the metadata of a GGUF file.

use super::{metadata::GgufMetadata, reader::GgufFile};

/// The default template, as chat_template.jinja, and those with a name, by the name of their file
/// in transformers' folder.
///
/// # Errors
/// Names a key with a value of another type.
pub(super) fn chat_templates<'a>(file: &GgufFile<'a>) -> Result<Vec<(String, &'a str)>, String> {
    let metadata: &GgufMetadata<'a> = &file.metadata;
    let mut found = Vec::new();
    if let Some(template) = metadata.text("tokenizer.chat_template")? {
        found.push(("chat_template.jinja".to_owned(), template));
    }
    for (key, _) in metadata.entries() {
        let Some(name) = key.strip_prefix("tokenizer.chat_template.") else { continue };
        // The name becomes the name of a file, and comes from anywhere.
        let is_name =
            name.chars().all(|letter| letter.is_ascii_alphanumeric() || "_-".contains(letter));
        if let Some(template) = metadata.text(key)?.filter(|_| is_name && !name.is_empty()) {
            found.push((format!("additional_chat_templates/{name}.jinja"), template));
        }
    }
    Ok(found)
}
