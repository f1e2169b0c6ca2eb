//! Pronouns that are objects: `her` owns nothing in `Bob defeated her`, and `him` never does.

use super::{
    preposition::PREPOSITIONS,
    verb::{is_auxiliary, is_copula},
};

/// Words that no noun phrase goes on with, so that `her` before them owns nothing.
const ENDING: &[&str] = &[
    "a", "an", "the", "and", "or", "but", "when", "while", "because", "although", "though", "who",
    "whom", "which", "that", "where", "if", "how", "why", "what", "whether", "back", "away",
    "alone", "once", "again", "twice", "so", "then", "not", "he", "they", "she", "it", "his",
    "their",
];
/// Prepositions that are adjectives too: `her following album`.
const ADJECTIVES_TOO: &[&str] = &["following", "opposite", "outside", "inside", "near", "like"];
/// Adverbs that are adjectives too, and are adverbs at the end of a phrase: `met her later`.
const AT_ENDS: &[&str] = &["later", "first", "there", "here", "too", "often", "early"];
/// Nouns that end like adverbs.
const NOUNS: &[&str] =
    &["family", "belly", "bully", "assembly", "anomaly", "homily", "reply", "supply"];
/// Verbs of which an adjective after an object tells the outcome: `made her famous`.
const MAKING: &[&str] = &["made", "make", "makes", "making", "left", "rendered", "considered"];
/// Adjectives that follow them.
const MADE: &[&str] = &["rich", "ill", "pregnant", "alone", "popular", "wealthy", "sick", "happy"];

/// Whether `her` is an object, given the words before and after it; a mark or the end is empty.
pub(super) fn is_object(before: &str, next: &str, after: &str) -> bool {
    let parts = |word: &str| PREPOSITIONS.contains(&word) && !ADJECTIVES_TOO.contains(&word);
    let ends =
        |word: &str| word.is_empty() || ENDING.contains(&word) || parts(word) || is_auxiliary(word);
    let is_made = MAKING.contains(&before)
        && (MADE.contains(&next)
            || ["ous", "ful", "able", "less"].iter().any(|ending| next.ends_with(ending)));
    let is_adverb = next.len() > 4 && next.ends_with("ly") && !NOUNS.contains(&next);
    if is_adverb && after.is_empty() {
        return true;
    }
    ends(next) || is_copula(next) || ((AT_ENDS.contains(&next) || is_made) && ends(after))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn her_before_a_noun_is_an_owner() {
        for [before, next, after] in [
            ["defeated", "", ""],
            ["gave", "a", "medal"],
            ["married", "and", "left"],
            ["named", "after", "the"],
            ["met", "later", "in"],
            ["loved", "deeply", ""],
            ["made", "famous", ""],
        ] {
            assert!(is_object(before, next, after), "{before} her {next} {after}");
        }
        for [before, next, after] in [
            ["published", "first", "book"],
            ["after", "early", "works"],
            ["made", "famous", "film"],
            ["of", "most", "famous"],
            ["met", "family", ""],
            ["released", "following", "album"],
        ] {
            assert!(!is_object(before, next, after), "{before} her {next} {after}");
        }
    }
}
