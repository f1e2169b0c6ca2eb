//! Similarity of claims by their stemmed content words, and the claims of two lists that state the
//! same.

use std::collections::BTreeSet;

use rust_stemmers::{Algorithm, Stemmer};

/// Words without content: articles, auxiliaries, pronouns, prepositions and links.
const EMPTY: &[&str] = &[
    "the", "a", "an", "is", "was", "are", "were", "be", "been", "being", "has", "have", "had",
    "of", "in", "on", "at", "by", "for", "to", "from", "and", "or", "as", "that", "which", "who",
    "it", "its", "he", "his", "him", "she", "her", "they", "their", "them",
];

/// Similarity from which on two claims state the same.
pub const SAME: f64 = 0.75;

/// The stems (Porter 2) of the content words of a claim, without those of its topic: a claim that
/// names its topic equals one with a pronoun.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct ContentWords(BTreeSet<String>);

impl ContentWords {
    /// The content words of a text about a topic, which may be empty.
    pub fn of(text: &str, topic: &str) -> Self {
        let stemmer = Stemmer::create(Algorithm::English);
        let own: BTreeSet<String> = spelt(topic).map(|word| stem(&stemmer, &word)).collect();
        let words = spelt(text).filter(|word| is_content(word));
        Self(words.map(|word| stem(&stemmer, &word)).filter(|word| !own.contains(word)).collect())
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// How many both have.
    pub fn shared(&self, other: &Self) -> usize {
        self.0.intersection(&other.0).count()
    }

    /// Jaccard similarity from 0 to 1: share of all their words that both have; 0 without words.
    pub fn jaccard(&self, other: &Self) -> f64 {
        let shared = self.shared(other);
        let all = self.len() + other.len() - shared;
        if all == 0 { 0.0 } else { shared as f64 / all as f64 }
    }
}

/// Whether a word, or the stem of one, has content.
pub(super) fn is_content(word: &str) -> bool {
    !EMPTY.contains(&word)
}

/// Stem (Porter 2) of an English word in lower case.
pub fn stem_of(word: &str) -> String {
    stem(&Stemmer::create(Algorithm::English), word)
}

/// Stem of a word.
pub(super) fn stem(stemmer: &Stemmer, word: &str) -> String {
    stemmer.stem(word).into_owned()
}

/// The words of a text in lower case: letters, digits, apostrophes and hyphens.
fn spelt(text: &str) -> impl Iterator<Item = String> {
    let lower = text.to_lowercase();
    let words: Vec<String> = lower
        .split(|c: char| !(c.is_alphanumeric() || matches!(c, '\'' | '\u{2019}' | '-')))
        .filter(|word| !word.is_empty())
        .map(str::to_owned)
        .collect();
    words.into_iter()
}

/// Pairs of claims of two lists that state the same, by their places: similarity of at least
/// [`SAME`], each claim at most once, the most similar pairs first.
pub fn one_to_one(left: &[ContentWords], right: &[ContentWords]) -> Vec<(usize, usize)> {
    let mut pairs: Vec<(f64, usize, usize)> = left
        .iter()
        .enumerate()
        .flat_map(|(one, words)| {
            right.iter().enumerate().map(move |(two, other)| (words.jaccard(other), one, two))
        })
        .filter(|(similarity, _, _)| *similarity >= SAME)
        .collect();
    pairs.sort_by(|one, two| two.0.total_cmp(&one.0).then((one.1, one.2).cmp(&(two.1, two.2))));
    let (mut of_left, mut of_right) = (vec![false; left.len()], vec![false; right.len()]);
    let mut found = Vec::new();
    for (_, one, two) in pairs {
        if !of_left[one] && !of_right[two] {
            (of_left[one], of_right[two]) = (true, true);
            found.push((one, two));
        }
    }
    found.sort_unstable();
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(texts: &[&str]) -> Vec<ContentWords> {
        texts.iter().map(|text| ContentWords::of(text, "Ada Quill")).collect()
    }

    #[test]
    fn forms_of_words_and_names_of_the_topic_do_not_count() {
        let one = ContentWords::of("Ada Quill directed two films.", "Ada Quill");
        assert_eq!(one.len(), 3);
        assert_eq!(one.jaccard(&ContentWords::of("She directs two film", "Ada Quill")), 1.0);
        assert_eq!(one.jaccard(&ContentWords::of("She directed a film", "Ada Quill")), 2.0 / 3.0);
        assert_eq!(ContentWords::of("She was", "").jaccard(&ContentWords::of("", "")), 0.0);
        assert!(ContentWords::of("It is.", "").is_empty());
    }

    #[test]
    fn each_claim_is_matched_once_and_the_most_similar_first() {
        let left = all(&["She sang in Oslo.", "She sang in Oslo.", "She wrote three long books."]);
        let right =
            all(&["She wrote long books.", "She sang at Oslo.", "She wrote three long books"]);
        assert_eq!(one_to_one(&left, &right), [(0, 1), (2, 2)]);
        assert_eq!(one_to_one(&left[2..], &right[..1]), [(0, 0)]);
        assert_eq!(one_to_one(&left, &[]), []);
    }
}
