//! Articles of knowledge as JSON lines: a title and a text, or the parts of a text.

use std::path::Path;

use serde::{Deserialize, Deserializer, Serialize};

use crate::language::json_lines::{self, JsonLinesError};

/// A title and what is known of it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Article {
    /// Whom or what it is about.
    pub title: String,
    /// Plain sentences; a list of texts is joined by line ends.
    #[serde(deserialize_with = "text_or_parts")]
    pub text: String,
}

/// Reads a file of `{"title": ..., "text": ...}` rows, whose text may be a list (as FActScore's dumps have it).
///
/// # Errors
/// Names the file, and the line that is no article.
pub fn read_articles(path: &Path) -> Result<Vec<Article>, JsonLinesError> {
    json_lines::read(path)
}

fn text_or_parts<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    match serde_json::Value::deserialize(deserializer)? {
        serde_json::Value::String(text) => Ok(text),
        parts => Vec::<String>::deserialize(parts)
            .map(|parts| parts.join("\n"))
            .map_err(|_| serde::de::Error::custom("`text` must be a text or a list of texts")),
    }
}
