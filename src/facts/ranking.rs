//! BM25 over passages of an article or demonstrations of a prompt (Robertson and Zaragoza 2009),
//! with the IDF that Lucene uses, which is never negative.

use std::collections::HashMap;

use unicode_normalization::{UnicodeNormalization, char::is_combining_mark};

use super::unicode::is_unspaced;

/// Saturation of a word's frequency.
const K1: f64 = 1.2;
/// Weight of a passage's length.
const B: f64 = 0.75;

/// The words of some passages, for ranking them by queries.
#[derive(Clone, Debug)]
pub struct Ranking {
    /// For each word the passages that have it, with its frequency.
    places: HashMap<String, Vec<(usize, u32)>>,
    /// Length of each passage in words.
    lengths: Vec<usize>,
}

impl Ranking {
    /// Counts the words of passages.
    pub fn new<'a>(passages: impl Iterator<Item = &'a str>) -> Self {
        let mut places: HashMap<String, Vec<(usize, u32)>> = HashMap::new();
        let mut lengths = Vec::new();
        for (index, passage) in passages.enumerate() {
            let mut length = 0;
            for_each_word(passage, |word| {
                length += 1;
                // `entry` would copy every word, though most of them are known already.
                if !places.contains_key(word) {
                    places.insert(word.to_owned(), Vec::new());
                }
                let Some(found) = places.get_mut(word) else { return };
                match found.last_mut() {
                    Some((last, count)) if *last == index => *count += 1,
                    _ => found.push((index, 1)),
                }
            });
            lengths.push(length);
        }
        Self { places, lengths }
    }

    /// The passages in the order of their scores, the best first; equal ones in their own order.
    pub fn order(&self, query: &str) -> Vec<usize> {
        let scores = self.scores(query);
        let mut order: Vec<usize> = (0..scores.len()).collect();
        order.sort_by(|one, other| scores[*other].total_cmp(&scores[*one]));
        order
    }

    /// The score of each passage. A word that occurs twice in the query counts twice.
    pub fn scores(&self, query: &str) -> Vec<f64> {
        let count = self.lengths.len() as f64;
        let average = self.lengths.iter().sum::<usize>() as f64 / count.max(1.0);
        let mut scores = vec![0.0; self.lengths.len()];
        for_each_word(query, |word| {
            let Some(found) = self.places.get(word) else { return };
            let with = found.len() as f64;
            let rarity = (1.0 + (count - with + 0.5) / (with + 0.5)).ln();
            for (index, frequency) in found {
                let frequency = f64::from(*frequency);
                let length = self.lengths[*index] as f64 / average;
                scores[*index] +=
                    rarity * frequency * (K1 + 1.0) / (frequency + K1 * (1.0 - B + B * length));
            }
        });
        scores
    }
}

/// The words of a text as a ranking counts them: letters and digits in lower case, without accents;
/// each letter of a script without spaces is a word.
fn for_each_word(text: &str, mut each: impl FnMut(&str)) {
    let mut word = String::new();
    let mut push = |letter: char| {
        if letter.is_alphanumeric() {
            if is_unspaced(letter) && !word.is_empty() {
                each(&word);
                word.clear();
            }
            if letter.is_ascii() {
                word.push(letter.to_ascii_lowercase());
            } else {
                word.extend(letter.to_lowercase().filter(|small| !is_combining_mark(*small)));
            }
            if is_unspaced(letter) {
                each(&word);
                word.clear();
            }
        } else if !is_combining_mark(letter) && !word.is_empty() {
            each(&word);
            word.clear();
        }
    };
    if text.is_ascii() {
        text.chars().for_each(&mut push);
    } else {
        text.nfkd().for_each(&mut push);
    }
    // The text may end within a word, which nothing else would end.
    push(' ');
}

/// The words of a text as a ranking counts them.
pub fn ranked_words(text: &str) -> Vec<String> {
    let mut words = Vec::new();
    for_each_word(text, |word| words.push(word.to_owned()));
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_compared_without_case_and_accents() {
        assert_eq!(
            ranked_words("G\u{f6}del's 1931 PROOF, e\u{301}."),
            ["godel", "s", "1931", "proof", "e"]
        );
        assert_eq!(ranked_words("\u{739b}\u{4e3d} x"), ["\u{739b}", "\u{4e3d}", "x"]);
        assert!(ranked_words(" ... ").is_empty());
    }

    /// The scores of a hand calculation.
    #[test]
    fn scores_are_those_of_the_formula() {
        let ranking = Ranking::new(["a b a", "b c", "d"].into_iter());
        let scores = ranking.scores("a b");
        // a: in 1 of 3, twice in a passage of 3 words, 2 on average.
        let rare = (1.0_f64 + 2.5 / 1.5).ln();
        let frequent = (1.0_f64 + 1.5 / 2.5).ln();
        let weight = |frequency: f64, length: f64| {
            frequency * 2.2 / (frequency + 1.2 * (0.25 + 0.75 * length / 2.0))
        };
        let expected = [
            rare * weight(2.0, 3.0) + frequent * weight(1.0, 3.0),
            frequent * weight(1.0, 2.0),
            0.0,
        ];
        for (found, expected) in scores.iter().zip(expected) {
            assert!((found - expected).abs() < 1e-12, "{found} {expected}");
        }
        assert_eq!(ranking.order("c d"), [2, 1, 0]);
        assert_eq!(ranking.order("nothing"), [0, 1, 2]);
        assert!(Ranking::new([].into_iter()).order("a").is_empty());
    }
}
