//! Articles of knowledge as JSON lines: a title and a text, or the parts of a text.

use serde::{Deserialize, Deserializer, Serialize};

/// A row of `knowledge.jsonl`: a title and what is known of it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Article {
    /// The topic.
    pub title: String,
    /// Plain sentences; a list of texts is joined by line ends.
    #[serde(deserialize_with = "text_or_parts")]
    pub text: String,
    /// Other titles that lead to it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub redirects: Vec<String>,
}

impl Article {
    /// An article without redirects.
    pub fn new(title: &str, text: &str) -> Self {
        Self { title: title.to_owned(), text: text.to_owned(), redirects: Vec::new() }
    }
}

fn text_or_parts<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    match serde_json::Value::deserialize(deserializer)? {
        serde_json::Value::String(text) => Ok(text),
        parts => Vec::<String>::deserialize(parts)
            .map(|parts| parts.join("\n"))
            .map_err(|_| serde::de::Error::custom("`text` must be a text or a list of texts")),
    }
}
