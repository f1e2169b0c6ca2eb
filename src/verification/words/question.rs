//! A claim as the words that passages must have.

use std::collections::BTreeSet;

use crate::facts::{Token, Topic, bare, sentences, stem_of, tokens};

use super::{
    lexicon::{basic_form, has_content, is_denial, is_verdict},
    rarity::rarity,
};

/// A kind of word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum WordKind {
    /// A number, year or date.
    Number,
    /// Written with a capital inside a sentence.
    Name,
    /// Any other word.
    Plain,
}

/// A word of a text.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct ReadWord {
    /// Its normal form.
    pub(super) form: String,
    /// The stem of its basic form.
    pub(super) stem: String,
    /// Its kind.
    pub(super) kind: WordKind,
}

impl ReadWord {
    fn new(token: &Token, is_first: bool) -> Self {
        let is_number = token.word.contains(|c: char| c.is_ascii_digit());
        let kind = match (is_number, token.capital && !is_first) {
            (true, _) => WordKind::Number,
            (_, true) => WordKind::Name,
            _ => WordKind::Plain,
        };
        // `1990s` has no stem, and a date is a number with hyphens.
        let stem = if is_number { token.word.clone() } else { stem_of(basic_form(&token.word)) };
        Self { form: token.word.clone(), stem, kind }
    }

    /// Whether it has content.
    pub(super) fn has_content(&self) -> bool {
        has_content(&self.form)
    }
}

/// The words of a sentence, without articles.
pub(super) fn words_of(sentence: &str) -> Vec<ReadWord> {
    let tokens = tokens(sentence);
    let own = tokens.iter().enumerate().filter(|(_, token)| !token.article);
    own.map(|(place, token)| ReadWord::new(token, place == 0)).collect()
}

/// The different stems of a text's words with content, as `rarity.txt` counts them.
pub fn stems(text: &str) -> BTreeSet<String> {
    let words = sentences(text).into_iter().flat_map(|sentence| words_of(&sentence.text));
    let own = words.filter(|word| word.kind != WordKind::Number && word.has_content());
    own.map(|word| word.stem).collect()
}

/// What a claim asks of passages.
#[derive(Clone, Debug)]
pub(super) struct AskedWords {
    /// Its different content words without those of the topic, in order.
    pub(super) content: Vec<ReadWord>,
    /// How much each of them weighs.
    pub(super) weights: Vec<f64>,
    /// Pairs of neighbours, at least one with content, as stems.
    pub(super) pairs: Vec<[String; 2]>,
    /// Whether it denies something.
    pub(super) denies: bool,
}

impl AskedWords {
    /// The words of a claim about a topic, which may be empty.
    pub(super) fn new(claim: &str, topic: &str) -> Self {
        let own: BTreeSet<String> =
            words_of(Topic::new(bare(topic)).name()).into_iter().map(|word| word.stem).collect();
        // A set, since a claim may be a whole text: a search in `content` would be quadratic.
        let mut known = BTreeSet::new();
        let mut asked =
            Self { content: Vec::new(), weights: Vec::new(), pairs: Vec::new(), denies: false };
        for sentence in sentences(&without_references(claim)) {
            let words = words_of(&sentence.text);
            // A sentence such as `True.` is an instruction to a judge, which nothing supports.
            let is_verdict = words.iter().all(|word| is_verdict(&word.form));
            asked.denies |= words.iter().any(|word| is_denial(&word.form));
            let kept: Vec<ReadWord> =
                words.into_iter().filter(|word| !own.contains(&word.stem)).collect();
            for pair in kept.windows(2) {
                if pair.iter().any(ReadWord::has_content) {
                    asked.pairs.push([pair[0].stem.clone(), pair[1].stem.clone()]);
                }
            }
            for mut word in kept.into_iter().filter(ReadWord::has_content) {
                // No stem begins with this mark, so that no passage has the word.
                if is_verdict {
                    word.stem = format!("!{}", word.stem);
                }
                // A repeated word is no further support.
                if known.insert(word.stem.clone()) {
                    asked.weights.push(rarity(&word.stem));
                    asked.content.push(word);
                }
            }
        }
        asked
    }

    /// The weight of the words found with these strengths (one per content word, from 0 to 1).
    pub(super) fn found(&self, strengths: impl Iterator<Item = f64>) -> f64 {
        self.weights.iter().zip(strengths).map(|(weight, strength)| weight * strength).sum()
    }

    /// The share of the claim's weight that this is.
    pub(super) fn share(&self, strengths: impl Iterator<Item = f64>) -> f64 {
        let whole: f64 = self.weights.iter().sum();
        if whole > 0.0 { self.found(strengths) / whole } else { 0.0 }
    }
}

/// A text without references such as `[1]` or `[2, 3]`.
pub(super) fn without_references(text: &str) -> String {
    let mut found = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(open) = rest.find('[') {
        let close = rest[open..].find(']').map(|length| open + length);
        let Some(close) = close else { break };
        let inner = &rest[open + 1..close];
        let is_reference = inner.contains(|c: char| c.is_ascii_digit())
            && inner.chars().all(|c| c.is_ascii_digit() || ", -\u{2013}".contains(c));
        found.push_str(&rest[..if is_reference { open } else { close + 1 }]);
        rest = &rest[close + 1..];
    }
    found + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    fn content(claim: &str, topic: &str) -> Vec<String> {
        let asked = AskedWords::new(claim, topic);
        asked.content.into_iter().map(|word| word.form).collect()
    }

    #[test]
    fn the_topic_references_and_repeated_words_are_not_asked_for() {
        assert_eq!(
            content("Ada Quill wrote books [1][2, 3] in 1903.", "Ada Quill (poet)"),
            ["wrote", "books", "1903"]
        );
        assert_eq!(content("She won, won and has won.", ""), ["won"]);
        assert_eq!(content("It was [sic] his.", ""), ["sic"]);
        assert_eq!(content("She was. [4]", "Ada Quill"), [""; 0]);
    }

    /// Comparing each word with all before it took half a minute.
    #[test]
    fn a_claim_of_many_different_words_is_read_at_once() {
        let letter = |number: usize| char::from(b'a' + (number % 26) as u8);
        let words: Vec<String> = (0..60_000)
            .map(|number| {
                [number, number / 26, number / 676, number / 17_576].map(letter).iter().collect()
            })
            .collect();
        let began = std::time::Instant::now();
        let found = content(&words.join(" "), "");
        assert!(found.len() > 40_000, "{}", found.len());
        assert!(began.elapsed().as_secs() < 10, "{:?}", began.elapsed());
    }

    #[test]
    fn kinds_pairs_denials_and_verdicts() {
        let asked = AskedWords::new("Quill never lived in Oslo until 1903. True.", "Ada Quill");
        let kinds: Vec<WordKind> = asked.content.iter().map(|word| word.kind).collect();
        assert_eq!(kinds, [WordKind::Plain, WordKind::Name, WordKind::Number, WordKind::Plain]);
        assert!(asked.denies);
        assert_eq!(asked.content[3].stem, "!true");
        assert_eq!(asked.pairs[1], ["live", "in"]);
    }
}
