//! Prompts and completions: a text, or the messages of a conversation.

use std::fmt;

use serde::{
    Deserialize, Deserializer, Serialize,
    de::{SeqAccess, Visitor},
};

/// One turn of a conversation.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Message {
    /// Role of the speaker: "system", "user", "assistant".
    pub role: String,
    /// Text of the message.
    pub content: String,
}

impl Message {
    fn new(role: &str, content: impl Into<String>) -> Self {
        Self { role: role.to_owned(), content: content.into() }
    }
}

/// A text, or the messages of a conversation for a model's chat template.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(untagged)]
pub enum Content {
    /// Plain text.
    Text(String),
    /// Messages in order.
    Messages(Vec<Message>),
}

impl Content {
    /// A user's message, after a system message if any.
    pub fn from_user(text: impl Into<String>, system: Option<&str>) -> Self {
        let system = system.map(|text| Message::new("system", text));
        Self::Messages(system.into_iter().chain([Message::new("user", text)]).collect())
    }

    /// Messages of these roles and texts.
    pub fn from_turns(turns: Vec<(&str, String)>) -> Self {
        Self::Messages(turns.into_iter().map(|(role, text)| Message::new(role, text)).collect())
    }

    /// A completion of the same type as this prompt: a text, or a message of the assistant.
    pub fn answer(&self, text: impl Into<String>) -> Self {
        match self {
            Self::Text(_) => Self::Text(text.into()),
            Self::Messages(_) => Self::Messages(vec![Message::new("assistant", text)]),
        }
    }

    /// The problem of this as a prompt, or of these completions to it, if any: no messages, or
    /// completions of another type than the prompt.
    pub fn problem(&self, answers: &[&Self]) -> Option<String> {
        // A template may fail on it, or render a prompt that asks nothing.
        if self.is_bare() {
            return Some(
                "the prompt is an empty list; give a text or at least one message".to_owned(),
            );
        }
        // A template has no place for a bare text, nor a text for roles.
        if let Some(other) = answers.iter().find(|answer| answer.kind() != self.kind()) {
            let (prompt, answer) = (self.kind(), other.kind());
            return Some(format!(
                "the prompt is a {prompt}, but its completion is a {answer}; both must be of the \
                same type"
            ));
        }
        let bare = answers.iter().any(|answer| answer.is_bare());
        bare.then(|| "a completion is an empty list; give at least one message".to_owned())
    }

    /// The common beginning of two completions, and what follows in each: as TRL takes the prompt
    /// from completions. A blank before the first difference begins the completions.
    ///
    /// # Errors
    /// If they begin differently, or are of different types.
    pub fn split_common(one: &Self, other: &Self) -> Result<[Self; 3], String> {
        let none = "the row has no `prompt`, and `chosen` and `rejected` have no common beginning \
            that could be it";
        match (one, other) {
            (Self::Text(one), Self::Text(other)) => {
                let common = one.char_indices().zip(other.chars());
                let differs = common.clone().find(|((_, letter), other)| letter != other);
                // Of equal texts, or if one begins the other, the last letter is the completion.
                let place = differs.or_else(|| common.last()).map_or(0, |((place, _), _)| place);
                // As TRL: of equal texts no blank is moved.
                let is_new = differs.is_some() && one[..place].ends_with(' ');
                let place = if is_new { place - 1 } else { place };
                if place == 0 {
                    return Err(none.to_owned());
                }
                let [prompt, one, other] = [&one[..place], &one[place..], &other[place..]];
                Ok([prompt, one, other].map(Self::from))
            }
            (Self::Messages(one), Self::Messages(other)) => {
                let length = one.len().min(other.len());
                let pairs = one.iter().zip(other);
                let place = pairs.take_while(|(one, other)| one == other).count();
                let place = place.min(length.saturating_sub(1));
                if place == 0 {
                    return Err(none.to_owned());
                }
                let [prompt, one, other] = [&one[..place], &one[place..], &other[place..]];
                Ok([prompt, one, other].map(|turns| Self::Messages(turns.to_vec())))
            }
            _ => Err(format!("{none}: one is a {}, the other a {}", one.kind(), other.kind())),
        }
    }

    /// Its type in words.
    fn kind(&self) -> &'static str {
        match self {
            Self::Text(_) => "text",
            Self::Messages(_) => "list of messages",
        }
    }

    /// Whether it is an empty list of messages.
    fn is_bare(&self) -> bool {
        matches!(self, Self::Messages(messages) if messages.is_empty())
    }

    /// The text, or those of all messages on separate lines.
    pub fn text(&self) -> String {
        match self {
            Self::Text(text) => text.clone(),
            Self::Messages(messages) => messages
                .iter()
                .map(|message| message.content.as_str())
                .collect::<Vec<_>>()
                // Positions of facts count this line end: it must not change.
                .join("\n"),
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
        // An untagged enum would report that no variant matched, without saying what is wrong.
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
            "invalid type: integer `5`, expected a text, or a list of messages with `role` and \
            `content` at line 1 column 1"
        );
        assert!(error(r#"[{"role": "user"}]"#).contains("missing field `content`"));
    }
}
