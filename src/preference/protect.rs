//! Protected topics: those of the test split, and those of other domains.

use std::collections::{BTreeMap, BTreeSet};

use crate::{
    facts::{Token, bare, tokens, unaccented},
    rows::{Content, Pair, Prompt},
};

/// Topics that no pair may be about or name in a completion.
///
/// Names match with any accents and composition, with or without the part in parentheses, as whole
/// words only. A capitalised name of one word matches only in capitals, and only with its article
/// if it has one (`focus` is not the band Focus, nor `May` The May). In a text without any capitals
/// every word matches.
#[derive(Clone, Debug, Default)]
pub struct Protection {
    /// Words to the topics of this name.
    names: BTreeMap<String, Vec<Protected>>,
    /// The number of words of the longest name.
    longest: usize,
}

/// A protected topic.
#[derive(Clone, Debug)]
struct Protected {
    topic: String,
    /// Whether it is one capitalised word, which in lower case is another word.
    in_capitals: bool,
    /// Whether an article belongs to it.
    with_article: bool,
}

/// A pair names a protected topic.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("pair {number} (about `{topic}`) names the protected topic `{protected}`: {text}")]
pub struct ProtectionError {
    /// Number of the pair, from 1.
    pub number: usize,
    /// The pair's topic.
    pub topic: String,
    /// The protected topic.
    pub protected: String,
    /// The text that names it.
    pub text: String,
}

impl<S: Into<String>> FromIterator<S> for Protection {
    fn from_iter<I: IntoIterator<Item = S>>(topics: I) -> Self {
        let mut protection = Self::default();
        topics.into_iter().for_each(|topic| protection.add(&topic.into()));
        protection
    }
}

impl Protection {
    /// All topics of prompts except those of the splits for tuning.
    pub fn of_other_splits(prompts: &[Prompt], splits: &[String]) -> Self {
        let topics = prompts
            .iter()
            .filter(|prompt| !splits.contains(&prompt.split))
            .map(|prompt| &prompt.topic);
        topics.collect::<BTreeSet<_>>().into_iter().cloned().collect()
    }

    fn add(&mut self, topic: &str) {
        // Completions name `Ann Lee`, also where the topic is `Ann Lee (painter)`.
        for name in [topic.trim(), bare(topic)] {
            let spelt = tokens(&unaccented(name));
            let has_capital = spelt.iter().any(|token| !token.article && token.capital);
            let has_article = spelt.first().is_some_and(|token| token.article);
            let words = named_words(spelt);
            if words.is_empty() {
                continue;
            }
            self.longest = self.longest.max(words.len());
            let protected = Protected {
                topic: topic.to_owned(),
                in_capitals: words.len() == 1 && has_capital,
                with_article: words.len() == 1 && has_article,
            };
            let known = self.names.entry(words.join(" ")).or_default();
            if known.iter().all(|other| other.topic != topic) {
                known.push(protected);
            }
        }
    }

    /// The protected topic that a completion names, apart from words of its own topic's name.
    pub fn named(&self, text: &str, own: &str) -> Option<&str> {
        let plain = unaccented(text);
        let cased = plain.chars().any(char::is_uppercase);
        // Spellings with and without accents are both in use.
        let spelt = tokens(&plain);
        let own = named_words(tokens(&unaccented(bare(own))));
        let mut start = 0;
        while start < spelt.len() {
            // The own topic may have a protected name in its own (`Guinea-Bissau`, `Guinea`).
            let length = matched(&spelt, start, &own);
            if let Some(length) = length.filter(|_| !self.names.contains_key(&own.join(" "))) {
                start += length;
                continue;
            }
            if let Some(topic) = self.at(&spelt, start, cased) {
                return Some(topic);
            }
            start += 1;
        }
        None
    }

    /// The longest protected name at a word.
    fn at(&self, spelt: &[Token], start: usize, cased: bool) -> Option<&str> {
        let mut words: Vec<&str> = Vec::new();
        let mut found = None;
        for token in spelt[start..].iter() {
            if token.article {
                if words.is_empty() {
                    return None;
                }
                continue;
            }
            words.push(&token.word);
            if words.len() > self.longest {
                break;
            }
            let articled = start.checked_sub(1).is_some_and(|before| spelt[before].article);
            let longer = self.names.get(&words.join(" ")).and_then(|names| {
                // A text in lower case does not tell a name from a word; then every word counts.
                names.iter().find(|protected| {
                    !cased
                        || ((!protected.in_capitals || spelt[start].capital)
                            && (!protected.with_article || articled))
                })
            });
            found = longer.map(|protected| protected.topic.as_str()).or(found);
        }
        found
    }

    /// Whether this is a protected topic.
    pub fn covers(&self, topic: &str) -> bool {
        let spelt = spelling(topic);
        let known = self.names.get(&spelt);
        // Two topics of one name, told apart by their parentheses, are different.
        known.is_some_and(|names| names.iter().any(|name| spelling(&name.topic) == spelt))
    }

    /// The protected topic that a pair is about or names in either completion, and the text that
    /// names it. A prompt may name more than its topic (a person called Chad), so it counts only if
    /// the pair has no topic.
    pub fn violated<'a>(&'a self, pair: &'a Pair) -> Option<(&'a str, String)> {
        // Words are split to find names, which takes most of the time of a mixture.
        if self.names.is_empty() {
            return None;
        }
        if self.covers(&pair.topic) {
            return Some((&pair.topic, pair.prompt.text()));
        }
        let prompt = pair.topic.is_empty().then_some(&pair.prompt);
        let contents = [Some(&pair.chosen), Some(&pair.rejected), prompt].into_iter().flatten();
        contents.map(Content::text).find_map(|text| Some((self.named(&text, &pair.topic)?, text)))
    }

    /// Checks that a pair is about no protected topic and names none in either completion. Pairs
    /// are numbered from 1.
    ///
    /// # Errors
    /// Names the pair and the topic.
    pub fn check(&self, number: usize, pair: &Pair) -> Result<(), ProtectionError> {
        match self.violated(pair) {
            None => Ok(()),
            Some((name, text)) => Err(ProtectionError {
                number,
                topic: pair.topic.clone(),
                protected: name.to_owned(),
                text: text.trim().to_owned(),
            }),
        }
    }
}

/// The words of a name, the same in all its spellings.
fn spelling(name: &str) -> String {
    named_words(tokens(&unaccented(name))).join(" ")
}

fn named_words(spelt: Vec<Token>) -> Vec<String> {
    spelt.into_iter().filter(|token| !token.article).map(|token| token.word).collect()
}

/// Number of words from here on that match these, skipping articles between them.
fn matched(spelt: &[Token], start: usize, words: &[String]) -> Option<usize> {
    let mut wanted = words.iter();
    let mut next = wanted.next()?;
    for (index, token) in spelt[start..].iter().enumerate() {
        if token.article && index > 0 {
            continue;
        }
        if token.article || token.word != *next {
            return None;
        }
        match wanted.next() {
            Some(word) => next = word,
            None => return Some(index + 1),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rows::Level;

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
            pair(
                "Marie Curie",
                " She held Nigerian citizenship.",
                " She lived in Annecy with Lee Ann.",
            ),
            pair("Chad Varah", " He worked in radiumology.", ""),
        ];
        for (index, pair) in clean.iter().enumerate() {
            assert_eq!(protected.check(index + 1, pair), Ok(()));
        }
        for bad in [
            pair("Marie Curie", " She is known for Radium's discovery.", ""),
            pair("Marie Curie", "", " She went to Niger."),
            pair("ann lee", "", ""),
        ] {
            let error = protected.check(2, &bad).unwrap_err();
            assert_eq!((error.number, error.topic), (2, bad.topic));
        }
        let mut nameless = pair("Ann Lee", "", "");
        nameless.topic = String::new();
        assert_eq!(protected.check(1, &nameless).unwrap_err().protected, "Ann Lee");
    }

    #[test]
    fn common_words_are_no_names_but_names_are_found_however_they_are_written() {
        let protected: Protection = [
            "Focus",
            "The May",
            "Prince",
            "The Band",
            "Kurt G\u{f6}del",
            "Michael Holm (painter)",
            "\u{739b}\u{4e3d}",
            "Focus...",
        ]
        .into_iter()
        .collect();
        let named = |text: &str| protected.named(text, "Ada Quill");
        for clean in [
            "Her main focus was physics.",
            "In May 1934 she met a prince and the band played on.",
            "The band played.",
            "Kurt Vonnegut and Michael Ray.",
        ] {
            assert_eq!(named(clean), None, "{clean}");
        }
        for (leak, topic) in [
            ("She played in Focus.", "Focus"),
            ("She played with the Band.", "The Band"),
            ("She sang with The May.", "The May"),
            ("She met Kurt Go\u{308}del.", "Kurt G\u{f6}del"),
            ("She met Kurt Godel's wife.", "Kurt G\u{f6}del"),
            ("She met Kurt G\u{f6}\u{ad}del.", "Kurt G\u{f6}del"),
            ("She met michael holm there.", "Michael Holm (painter)"),
            ("\u{5979}\u{662f}\u{739b}\u{4e3d}\u{7684}\u{670b}\u{53cb}", "\u{739b}\u{4e3d}"),
            ("she played in focus.", "Focus"),
        ] {
            assert_eq!(named(leak), Some(topic), "{leak}");
        }
        assert_eq!(protected.named("Prince Albert was born in Oslo.", "Prince Albert"), None);
        assert_eq!(protected.named("Prince was born in Oslo.", "Prince Albert"), Some("Prince"));
        assert!(
            protected.covers("kurt go\u{308}del") && protected.covers("Michael Holm (painter)")
        );
        assert!(!protected.covers("Michael Holm (boxer)") && !protected.covers("Ada Quill"));
    }
}
