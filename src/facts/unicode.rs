//! One letter for all the ways that Unicode writes it: composed or not, full-width, ligatures,
//! curly, invisible.

use unicode_normalization::{UnicodeNormalization, char::is_combining_mark};

/// A letter in its plain form, with the place of what it stands for in the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Letter {
    /// The plain letter.
    pub(super) letter: char,
    /// The first character (not byte) of the text that it comes from.
    pub(super) start: usize,
    /// The character after the last one.
    pub(super) end: usize,
}

/// Whether a character is never seen: soft hyphens, joiners, marks of direction and variants.
pub(super) fn is_invisible(letter: char) -> bool {
    matches!(letter, '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}'
        | '\u{202a}'..='\u{202e}'
        | '\u{2060}'..='\u{2064}' | '\u{2066}'..='\u{206f}' | '\u{fe00}'..='\u{fe0f}' | '\u{feff}')
}

/// Whether a character joins or parts letters of a script, or pictures, that look otherwise without
/// it.
pub(super) fn shapes(letter: char, before: Option<char>) -> bool {
    matches!(letter, '\u{200c}' | '\u{200d}') && before.is_some_and(|before| !before.is_ascii())
}

/// Whether words of this script follow each other without spaces, so that each of its letters
/// counts as a word.
pub fn is_unspaced(letter: char) -> bool {
    matches!(letter, '\u{3005}' | '\u{3040}'..='\u{30ff}' | '\u{3400}'..='\u{4dbf}'
        | '\u{4e00}'..='\u{9fff}'
        | '\u{f900}'..='\u{faff}' | '\u{20000}'..='\u{323af}')
}

/// Whether a letter belongs inside a word.
pub(super) fn is_letter(letter: char) -> bool {
    letter.is_alphanumeric() || (letter >= FIRST_MARK && is_combining_mark(letter))
}

/// The first combining mark of Unicode.
const FIRST_MARK: char = '\u{300}';

/// A text in its plain letters (NFKC), each with its place: invisible characters and trademark
/// signs are gone, quotes and hyphens are those of a keyboard. What NFKC would run together with a
/// digit before it (a fraction, a raised digit) is parted from it by a space.
pub(super) fn letters(text: &str) -> Vec<Letter> {
    let raw: Vec<char> = text.chars().collect();
    let mut letters = Vec::with_capacity(raw.len());
    let mut start = 0;
    while start < raw.len() {
        let mut end = start + 1;
        while end < raw.len() && continues(raw[end]) {
            end += 1;
        }
        // Most letters are their own plain form.
        if end == start + 1 && raw[start].is_ascii() {
            letters.push(Letter { letter: plain(raw[start]), start, end });
            start = end;
            continue;
        }
        let cluster = &raw[start..end];
        // NFKC writes `10²` as `102`, which is another number.
        let is_small_digit = matches!(cluster[0], '\u{b2}' | '\u{b3}' | '\u{b9}'
            | '\u{bc}'..='\u{be}' | '\u{2070}'..='\u{2089}' | '\u{2150}'..='\u{215f}');
        if is_small_digit
            && letters.last().is_some_and(|last: &Letter| last.letter.is_ascii_digit())
        {
            letters.push(Letter { letter: ' ', start, end: start });
        }
        let shown = cluster
            .iter()
            .copied()
            .filter(|letter| !is_invisible(*letter) && !is_trade_mark(*letter));
        // By clusters, so that each letter knows all characters that it stands for.
        letters.extend(shown.nfkc().map(plain).map(|letter| Letter { letter, start, end }));
        start = end;
    }
    letters
}

/// Whether a character belongs to the letter before it.
fn continues(letter: char) -> bool {
    letter >= FIRST_MARK && is_combining_mark(letter) || matches!(letter, '\u{1160}'..='\u{11ff}')
}

fn is_trade_mark(letter: char) -> bool {
    matches!(letter, '\u{2122}' | '\u{ae}' | '\u{a9}' | '\u{2120}')
}

/// Quotes and hyphens as a keyboard has them.
fn plain(letter: char) -> char {
    match letter {
        '\u{2018}' | '\u{2019}' | '\u{201a}' | '\u{201b}' | '\u{2032}' | '\u{2bc}' | '\u{b4}'
        | '`' => '\'',
        '\u{201c}'..='\u{201f}' | '\u{2033}' | '\u{ab}' | '\u{bb}' | '\u{300c}'..='\u{300f}' => '"',
        '\u{2010}' | '\u{2011}' | '\u{2212}' => '-',
        letter => letter,
    }
}

/// A text with its first letter in upper case.
pub fn capitalised(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}

/// A text in lower case for comparison: `ß` as `ss`, one sigma.
pub(super) fn lower(text: &str) -> String {
    if text.is_ascii() {
        return text.to_ascii_lowercase();
    }
    text.to_lowercase().replace('\u{df}', "ss").replace('\u{3c2}', "\u{3c3}")
}

/// A text without accents, for looking out for a name however it is written.
pub fn unaccented(text: &str) -> String {
    text.nfd().filter(|letter| !is_combining_mark(*letter)).nfc().collect()
}

/// A text as it is shown: composed letters (NFC), single spaces, nothing invisible.
pub(super) fn shown(text: impl Iterator<Item = char>) -> String {
    let mut visible = String::new();
    for letter in text {
        if !is_invisible(letter) || shapes(letter, visible.chars().next_back()) {
            visible.push(letter);
        }
    }
    if !visible.is_ascii() {
        visible = visible.nfc().collect();
    }
    visible.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Spellings of a name that mean the same to a reader, the name itself first: composed and
/// decomposed letters, other apostrophes and hyphens, other upper and lower case.
pub fn spellings(name: &str) -> Vec<String> {
    let name = name.replace('_', " ");
    let name = name.trim();
    let composed: String = letters(name).iter().map(|letter| letter.letter).collect();
    let mut cased = vec![
        name.to_owned(),
        name.nfc().collect(),
        composed.clone(),
        capitalised(&composed),
        composed.to_lowercase(),
    ];
    cased.extend([words_capitalised(&composed, &[]), words_capitalised(&composed, SMALL)]);
    let mut found: Vec<String> = Vec::new();
    // A title in a store is found by equality: all ways to write it are tried.
    for spelling in cased {
        let curly = spelling.replace('\'', "\u{2019}");
        let dashed = spelling.replace('-', "\u{2013}");
        let decomposed: String = spelling.nfd().collect();
        for spelling in [spelling, decomposed, curly, dashed] {
            if !spelling.is_empty() && !found.contains(&spelling) {
                found.push(spelling);
            }
        }
    }
    found
}

/// A name with its words in capitals, except these inside it.
fn words_capitalised(name: &str, small: &[&str]) -> String {
    let lower = name.to_lowercase();
    let words = lower.split(' ').enumerate().map(|(index, word)| {
        if index > 0 && small.contains(&word) { word.to_owned() } else { capitalised(word) }
    });
    words.collect::<Vec<_>>().join(" ")
}

/// Words that stay small inside a name.
const SMALL: &[&str] = &[
    "of", "the", "and", "in", "on", "at", "for", "to", "a", "an", "van", "von", "der", "den", "de",
    "del", "di", "da", "du", "la", "le", "el", "al", "bin", "ibn", "y",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_those_of_the_text() {
        let found = letters("a\u{308}b\u{ad}\u{fb01}1\u{bd}");
        let plain: String = found.iter().map(|letter| letter.letter).collect();
        assert_eq!(plain, "\u{e4}bfi1 1\u{2044}2");
        assert_eq!((found[0].start, found[0].end), (0, 2));
        assert_eq!((found[2].start, found[3].start, found[4].start), (4, 4, 5));
    }

    #[test]
    fn names_are_spelt_in_many_ways() {
        let spelt = |name: &str, other: &str| spellings(name).contains(&other.to_owned());
        assert!(
            spelt("Kurt Go\u{308}del", "Kurt G\u{f6}del")
                && spelt("Kurt G\u{f6}del", "Kurt Go\u{308}del")
        );
        assert!(
            spelt("ludwig van beethoven", "Ludwig van Beethoven") && spelt("HYDROGEN", "hydrogen")
        );
        assert!(spelt("Sam O'Dell", "Sam O\u{2019}Dell") && spelt("Marie_Curie", "Marie Curie"));
        assert!(!spelt("Ann Lee", "Ann"));
        assert_eq!(unaccented("G\u{f6}del"), "Godel");
    }
}
