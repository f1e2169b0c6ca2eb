//! API keys: read from the environment, and kept out of every text.

use std::fmt;

use serde_json::Value;

/// An API key. It has no `Display`, and its `Debug` is masked.
#[derive(Clone)]
pub(super) struct ApiKey(String);

const NO_HEADER: &str =
    "has letters outside of ASCII, or line ends, which no key has; copy it again";
/// What stands in place of a key.
const MASK: &str = "***";
/// Servers repeat parts of a wrong key; shorter ones are words like any other.
const SHORTEST_PART: usize = 8;
/// Shorter keys are placeholders such as "none", and words of answers.
const SHORTEST_SECRET: usize = 12;

impl fmt::Debug for ApiKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(MASK)
    }
}

impl ApiKey {
    /// The key in an environment variable, without white space around it.
    ///
    /// # Errors
    /// What is wrong with the variable.
    pub(super) fn from_environment(variable: &str) -> Result<Self, &'static str> {
        Self::of(&std::env::var(variable).map_err(|error| match error {
            std::env::VarError::NotPresent => "is not set",
            std::env::VarError::NotUnicode(_) => NO_HEADER,
        })?)
    }

    fn of(value: &str) -> Result<Self, &'static str> {
        let key = value.trim();
        // A header cannot carry other letters, and the client would repeat them in its error.
        let is_header = key.chars().all(|letter| letter.is_ascii_graphic() || letter == ' ');
        match (key.is_empty(), is_header) {
            (true, _) => Err("is empty"),
            (false, false) => Err(NO_HEADER),
            (false, true) => Ok(Self(key.to_owned())),
        }
    }

    /// The value of the header `Authorization`.
    pub(super) fn header(&self) -> String {
        format!("Bearer {}", self.0)
    }

    /// A message without the key and without longer parts of it.
    pub(super) fn masked(&self, text: &str) -> String {
        let mut masked = text.replace(&self.0, MASK);
        let key: Vec<char> = self.0.chars().collect();
        // From the longest part, so that none of a masked one is left. No part of a text is longer
        // than the text.
        let longest = key.len().min(masked.chars().count() + 1);
        for length in (SHORTEST_PART..longest).rev() {
            for part in key.windows(length) {
                let part: String = part.iter().collect();
                if masked.contains(&part) {
                    masked = masked.replace(&part, MASK);
                }
            }
        }
        masked
    }

    /// An answer without the key, which an echoing server may have put into it. Its texts are
    /// searched and not its JSON, whose escapes can spell the key in other letters.
    pub(super) fn removed_from(&self, answer: Value) -> Value {
        if self.0.len() < SHORTEST_SECRET {
            return answer;
        }
        match answer {
            Value::String(text) => Value::String(self.removed_from_text(text)),
            Value::Array(values) => {
                values.into_iter().map(|value| self.removed_from(value)).collect()
            }
            Value::Object(fields) => {
                let fields = fields.into_iter();
                fields
                    .map(|(name, value)| (self.removed_from_text(name), self.removed_from(value)))
                    .collect()
            }
            other => other,
        }
    }

    fn removed_from_text(&self, text: String) -> String {
        if text.contains(&self.0) { text.replace(&self.0, MASK) } else { text }
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use serde_json::json;

    use super::*;

    #[test]
    fn no_text_shows_the_key_or_a_long_part_of_it() {
        let key = ApiKey("sk-abcdef-0123456789-wxyz".to_owned());
        let said = "Incorrect API key: sk-abcdef-01**6789-wxyz, sk-abcdef-0123456789-wxyz";
        assert_eq!(key.masked(said), "Incorrect API key: ********, ***");
        assert_eq!(format!("{key:?}"), "***");
        let placeholder = ApiKey("none".to_owned());
        assert_eq!(placeholder.removed_from(json!("none of them")), json!("none of them"));
    }

    #[test]
    fn what_is_no_key_is_told_without_it() {
        assert_eq!(ApiKey::of(" sk-1\n").unwrap().header(), "Bearer sk-1");
        assert_eq!(ApiKey::of(" \n").unwrap_err(), "is empty");
        for key in ["sk-\u{e4}", "sk-1\nsk-2", "\u{201c}sk-1\u{201d}"] {
            assert!(ApiKey::of(key).unwrap_err().starts_with("has letters outside"), "{key}");
        }
        assert_eq!(ApiKey::from_environment("APEFT_NO_SUCH_KEY").unwrap_err(), "is not set");
    }

    #[test]
    fn escapes_of_json_do_not_hide_the_key() {
        let key = ApiKey("sk-abc/def-0123456789".to_owned());
        let echo = r#"{"a": ["x sk-abc\/def-0123456789"], "sk-abc/def-012345678\u0039": {"b": 1},
            "c": "\u0073k-abc\u002fdef-0123456789 y", "d": 2}"#;
        assert_eq!(
            key.removed_from(serde_json::from_str(echo).unwrap()),
            json!({"a": ["x ***"], "***": {"b": 1}, "c": "*** y", "d": 2})
        );
    }

    #[test]
    fn a_key_that_is_longer_than_a_message_takes_no_longer_than_the_message() {
        let long: String = (0..30_000).map(|number| char::from(b'a' + number as u8 % 26)).collect();
        let began = Instant::now();
        let key = ApiKey(long);
        assert_eq!(key.masked("no letters: abcdefghijkl, 123"), "no letters: ***, 123");
        assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
    }
}
