//! What is said to a model or by it: a text, or the messages of a conversation.

use std::fmt;

use serde::{
    Deserialize, Deserializer, Serialize,
    de::{SeqAccess, Visitor},
};

/// One turn of a conversation.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Message {
    /// Who speaks: "system", "user", "assistant".
    pub role: String,
    /// What is said.
    pub content: String,
}

/// A text, or the messages of a conversation, for a model's chat template.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(untagged)]
pub enum Content {
    /// A text as it is.
    Text(String),
    /// Messages, the first one first.
    Messages(Vec<Message>),
}

impl Content {
    /// The message of a user, after that of a system where there is one.
    pub fn from_user(text: impl Into<String>, system: Option<&str>) -> Self {
        let message = |role: &str, content: String| Message { role: role.to_owned(), content };
        let system = system.map(|text| message("system", text.to_owned()));
        Self::Messages(system.into_iter().chain([message("user", text.into())]).collect())
    }

    /// An answer to this: a text to a text, a message of the assistant to messages.
    pub fn answer(&self, text: String) -> Self {
        match self {
            Self::Text(_) => Self::Text(text),
            Self::Messages(_) => Self::Messages(vec![Message { role: "assistant".to_owned(), content: text }]),
        }
    }

    /// The text, or those of all messages, one below the other.
    pub fn text(&self) -> String {
        match self {
            Self::Text(text) => text.clone(),
            Self::Messages(messages) => {
                messages.iter().map(|message| message.content.as_str()).collect::<Vec<_>>().join("\n")
            }
        }
    }
}

impl From<&str> for Content {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<String> for Content {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

impl<'de> Deserialize<'de> for Content {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Either;
        impl<'de> Visitor<'de> for Either {
            type Value = Content;

            fn expecting(&self, formatter: &mut fmt::Formatter) -> fmt::Result {
                formatter.write_str("a text, or a list of messages with `role` and `content`")
            }

            fn visit_str<E>(self, text: &str) -> Result<Content, E> {
                Ok(text.into())
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Content, A::Error> {
                let mut messages = Vec::new();
                while let Some(message) = seq.next_element()? {
                    messages.push(message);
                }
                Ok(Content::Messages(messages))
            }
        }
        deserializer.deserialize_any(Either)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_and_messages_are_read_and_written_as_they_are() {
        for text in [r#""Who?""#, r#"[{"role":"user","content":"Who?"}]"#, "[]"] {
            let content: Content = serde_json::from_str(text).unwrap();
            assert_eq!(serde_json::to_string(&content).unwrap(), text);
        }
        let error = |text| serde_json::from_str::<Content>(text).unwrap_err().to_string();
        assert_eq!(
            error("5"),
            "invalid type: integer `5`, expected a text, or a list of messages with `role` and `content` at line 1 column 1"
        );
        assert!(error(r#"[{"role": "user"}]"#).contains("missing field `content`"));
    }
}
