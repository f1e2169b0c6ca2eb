//! Topics that tuning must not see: those it is tested on, and those of other domains.

use std::collections::BTreeSet;

use crate::{
    facts::{NameIndex, words},
    language::{Content, Pair, Prompt},
};

/// Topics that no pair may be about, nor name in an answer.
#[derive(Clone, Debug, Default)]
pub struct Protection(NameIndex);

/// A pair says something of a protected topic.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("pair {number} (about `{topic}`) names `{protected}`, a topic that tuning must not see: {text}")]
pub struct ProtectionError {
    /// The pair, from 1.
    pub number: usize,
    /// The pair's topic.
    pub topic: String,
    /// The protected topic.
    pub protected: String,
    /// Where it is named.
    pub text: String,
}

impl<S: Into<String>> FromIterator<S> for Protection {
    fn from_iter<I: IntoIterator<Item = S>>(topics: I) -> Self {
        Self(topics.into_iter().collect())
    }
}

impl Protection {
    /// All topics of prompts but those of these splits, which are for tuning.
    pub fn of_other_splits(prompts: &[Prompt], splits: &[String]) -> Self {
        let topics = prompts.iter().filter(|prompt| !splits.contains(&prompt.split)).map(|prompt| &prompt.topic);
        topics.collect::<BTreeSet<_>>().into_iter().cloned().collect()
    }

    /// The protected topic that a text names, whole words only, whatever their case.
    pub fn named(&self, text: &str) -> Option<&str> {
        self.0.find(&words(text)).map(|named| named.names[0].as_str())
    }

    /// Whether this is a protected topic.
    pub fn covers(&self, topic: &str) -> bool {
        let words = words(topic);
        self.0.find(&words).is_some_and(|named| named.start == 0 && named.length == words.len())
    }

    /// The protected topic that a pair is about, or names in either answer, and the text that does so. A prompt may name
    /// more than its topic (a person called Chad), so it counts only where the pair does not say its topic.
    pub fn violated(&self, pair: &Pair) -> Option<(String, String)> {
        if self.covers(&pair.topic) {
            return Some((pair.topic.clone(), pair.prompt.text()));
        }
        let prompt = pair.topic.is_empty().then_some(&pair.prompt);
        let contents = [Some(&pair.chosen), Some(&pair.rejected), prompt].into_iter().flatten();
        contents.map(Content::text).find_map(|text| Some((self.named(&text)?.to_owned(), text)))
    }
}

/// Checks that no pair is about a protected topic, or names one in either answer.
///
/// # Errors
/// Names the first such pair and the topic.
pub fn check_protected(pairs: &[Pair], protected: &Protection) -> Result<(), ProtectionError> {
    pairs.iter().enumerate().try_for_each(|(index, pair)| match protected.violated(pair) {
        None => Ok(()),
        Some((name, text)) => Err(ProtectionError {
            number: index + 1,
            topic: pair.topic.clone(),
            protected: name,
            text: text.trim().to_owned(),
        }),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::language::Level;

    fn pair(topic: &str, chosen: &str, rejected: &str) -> Pair {
        Pair {
            prompt: format!("Tell me about {topic}.").into(),
            chosen: chosen.into(),
            rejected: rejected.into(),
            level: Level::General,
            topic: topic.to_owned(),
            domain: "people".to_owned(),
            chosen_id: String::new(),
            rejected_id: String::new(),
            chosen_score: 1.0,
            rejected_score: 0.0,
            attribute: None,
            chosen_facts: Vec::new(),
            rejected_facts: Vec::new(),
            weight: 1.0,
            ends: true,
        }
    }

    #[test]
    fn topics_are_found_as_whole_words() {
        let protected: Protection = ["radium", "Niger", "Ann Lee", "Chad"].into_iter().collect();
        let clean = [
            pair("Marie Curie", " She held Nigerian citizenship.", " She lived in Annecy with Lee Ann."),
            pair("Chad Varah", " He worked in radiumology.", ""),
        ];
        assert_eq!(check_protected(&clean, &protected), Ok(()));
        for bad in [
            pair("Marie Curie", " She is known for Radium's discovery.", ""),
            pair("Marie Curie", "", " She went to Niger."),
            pair("ann lee", "", ""),
        ] {
            let error = check_protected(&[clean[0].clone(), bad.clone()], &protected).unwrap_err();
            assert_eq!((error.number, error.topic), (2, bad.topic));
        }
        let mut nameless = pair("Ann Lee", "", "");
        nameless.topic = String::new();
        assert_eq!(check_protected(&[nameless], &protected).unwrap_err().protected, "Ann Lee");
    }
}
