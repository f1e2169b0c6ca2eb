//! Passages as words that can be looked up.

use std::collections::{BTreeMap, BTreeSet};

use crate::{
    facts::{sentences, tells},
    rows::Evidence,
};

use super::{
    lexicon::{begin_alike, groups},
    question::{ReadWord, WordKind, words_of},
};

/// A sentence of a passage.
#[derive(Clone, Debug)]
pub(super) struct ReadSentence {
    /// The sentence.
    pub(super) text: String,
    /// Its words.
    pub(super) words: Vec<ReadWord>,
    /// Where its words are, by stem.
    pub(super) places: BTreeMap<String, Vec<usize>>,
    /// The stems of words that often state the same as one of its words.
    related: BTreeSet<String>,
}

/// A passage, sentence by sentence.
#[derive(Clone, Debug)]
pub(super) struct ReadPassage {
    /// Title of its article.
    pub(super) title: String,
    /// Its sentences with words.
    pub(super) sentences: Vec<ReadSentence>,
}

/// How strongly a sentence has a word.
pub(super) const SAME_WORD: f64 = 1.0;
const RELATED: f64 = 0.7;
const BEGINS_ALIKE: f64 = 0.6;

impl ReadPassage {
    /// Reads a passage, without FActScore's marks.
    pub(super) fn new(passage: &Evidence) -> Self {
        let letters: Vec<char> = passage.text.chars().collect();
        let texts: Vec<String> = if passage.sentences.is_empty() {
            let plain = passage.text.replace("<s>", " ").replace("</s>", "\n");
            sentences(&plain).into_iter().map(|sentence| sentence.text).collect()
        } else {
            let spans = passage.sentences.iter();
            spans
                .map(|span| {
                    let end = span.end().min(letters.len());
                    letters[span.start().min(end)..end].iter().collect()
                })
                .collect()
        };
        let read = texts.into_iter().map(ReadSentence::new);
        let sentences = read.filter(|sentence| !sentence.words.is_empty()).collect();
        Self { title: passage.title.clone(), sentences }
    }
}

impl ReadSentence {
    fn new(text: String) -> Self {
        let words = words_of(&text);
        let mut places: BTreeMap<String, Vec<usize>> = BTreeMap::new();
        for (place, word) in words.iter().enumerate() {
            places.entry(word.stem.clone()).or_default().push(place);
        }
        let mut related = BTreeSet::new();
        for group in stems_of_groups() {
            if group.iter().any(|stem| places.contains_key(stem)) {
                related.extend(group.iter().cloned());
            }
        }
        Self { text, words, places, related }
    }

    /// How strongly the sentence has a word: 1 for the same word, less for related ones. A number
    /// counts by its value: a day tells its year.
    pub(super) fn strength(&self, word: &ReadWord) -> f64 {
        if word.kind == WordKind::Number {
            return f64::from(u8::from(self.numbers().any(|known| states(known, &word.form))));
        }
        if self.places.contains_key(&word.stem) {
            SAME_WORD
        } else if self.related.contains(&word.stem) {
            RELATED
            // Last, since every stem of the sentence is compared.
        } else if self.places.keys().any(|stem| begin_alike(stem, &word.stem)) {
            BEGINS_ALIKE
        } else {
            0.0
        }
    }

    /// Its numbers, years and dates.
    pub(super) fn numbers(&self) -> impl Iterator<Item = &str> {
        let numbers = self.words.iter().filter(|word| word.kind == WordKind::Number);
        numbers.map(|word| word.form.as_str())
    }

    /// Where the sentence has a word, itself or one that tells it.
    pub(super) fn places_of(&self, word: &ReadWord) -> Vec<usize> {
        if word.kind == WordKind::Number {
            let words = self.words.iter().enumerate();
            let told = words.filter(|(_, known)| {
                known.kind == WordKind::Number && states(&known.form, &word.form)
            });
            return told.map(|(place, _)| place).collect();
        }
        self.places.get(&word.stem).cloned().unwrap_or_default()
    }
}

/// Whether a number or date in a text states this one: a day states its year, a year its decade.
fn states(known: &str, claimed: &str) -> bool {
    let decade = claimed.strip_suffix("0s").filter(|decade| decade.len() == 3);
    tells(known, claimed)
        || decade.is_some_and(|decade| known.len() >= 4 && known.starts_with(decade))
}

/// The groups of words that often state the same, as stems.
fn stems_of_groups() -> &'static [Vec<String>] {
    use std::sync::LazyLock;
    static STEMS: LazyLock<Vec<Vec<String>>> = LazyLock::new(|| {
        let groups = groups().iter();
        groups
            .map(|group| group.iter().map(|word| words_of(word)[0].stem.clone()).collect())
            .collect()
    });
    &STEMS
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rows::CharSpan;

    fn read(text: &str) -> ReadPassage {
        ReadPassage::new(&Evidence::new("Ada Quill", text))
    }

    fn strength(claimed: &str, sentence: &str) -> f64 {
        read(sentence).sentences[0].strength(&words_of(claimed)[0])
    }

    #[test]
    fn words_are_found_by_stem_relation_beginning_and_value() {
        assert_eq!(strength("wrote", "She writes."), SAME_WORD);
        assert_eq!(strength("movie", "She made a film."), RELATED);
        assert_eq!(strength("Canadian", "She lived in Canada."), BEGINS_ALIKE);
        assert_eq!(strength("Oslo", "She lived in Rome."), 0.0);
        assert_eq!(strength("1867", "She was born on 7 November 1867."), 1.0);
        assert_eq!(strength("1860s", "She was born on 7 November 1867."), 1.0);
        assert_eq!(strength("1868", "She was born on 7 November 1867."), 0.0);
    }

    #[test]
    fn sentences_are_given_or_found_and_marks_are_dropped() {
        let found = read("<s>Ada Quill wrote.</s><s>She died.</s>");
        let texts: Vec<&str> = found.sentences.iter().map(|one| one.text.as_str()).collect();
        assert_eq!(texts, ["Ada Quill wrote.", "She died."]);
        let given = Evidence {
            title: "Ada Quill".to_owned(),
            text: "Ada wrote. She died.".to_owned(),
            sentences: vec![CharSpan::new(0, 10), CharSpan::new(11, 99)],
        };
        let given = ReadPassage::new(&given);
        assert_eq!((given.sentences.len(), given.sentences[1].text.as_str()), (2, "She died."));
    }
}
