//! Sentence splitting by rules: abbreviations, initials and decimals do not end a sentence.

use super::{
    abbreviation::{goes_on, is_number, starts},
    unicode::is_unspaced,
    verb::is_verb,
};

/// A sentence of a text, without the white space around it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sentence {
    /// Its first character (not byte) in the text.
    pub start: usize,
    /// The character after its last one.
    pub end: usize,
    /// Its text.
    pub text: String,
}

/// Separator of blocks, such as two points of a list; no sentence crosses it.
pub(super) const BLOCK: char = '\u{2029}';

/// Marks that close a quotation, a bracket or an emphasis after a sentence.
const CLOSING: &[char] = &[
    '"', '\'', '\u{201d}', '\u{2019}', ')', ']', '\u{bb}', '\u{300d}', '\u{300f}', '\u{ff09}', '*',
    '_',
];
/// Marks that open one.
const OPENING: &[char] =
    &['"', '\'', '(', '[', '\u{201c}', '\u{2018}', '\u{ab}', '\u{300c}', '\u{300e}', '*', '_'];

/// Splits a text at line ends and after full stops, question and exclamation marks that end a
/// sentence.
pub fn sentences(text: &str) -> Vec<Sentence> {
    let letters: Vec<char> = text.chars().collect();
    ranges(&letters)
        .into_iter()
        .map(|(start, end)| Sentence { start, end, text: letters[start..end].iter().collect() })
        .collect()
}

/// Where the sentences of a text are.
pub(super) fn ranges(letters: &[char]) -> Vec<(usize, usize)> {
    // In a text without capitals they do not mark the beginning of sentences.
    let cased = letters.iter().any(|letter| letter.is_uppercase());
    let mut ranges = Vec::new();
    let mut start = 0;
    let mut index = 0;
    while index < letters.len() {
        let mut end = index + 1;
        let mut ends =
            letters[index] == BLOCK || (letters[index] == '\n' && !is_wrapped(letters, index));
        if is_full(letters[index]) {
            while letters.get(end).is_some_and(|c| CLOSING.contains(c)) {
                end += 1;
            }
            push_trimmed(letters, start, end, &mut ranges);
            start = end;
        } else if is_stop(letters[index]) {
            end = after_stops(letters, end);
            end = without_opening(letters, index, end);
            ends = ends_sentence(letters, start, index, end, cased);
            end = after_citations(letters, end);
        }
        if ends {
            push_trimmed(letters, start, end, &mut ranges);
            start = end;
        }
        index = end;
    }
    push_trimmed(letters, start, letters.len(), &mut ranges);
    ranges
}

/// Whether this always ends a sentence, as in Chinese and Japanese.
fn is_full(letter: char) -> bool {
    matches!(
        letter,
        '\u{3002}'
            | '\u{ff0e}'
            | '\u{ff61}'
            | '\u{ff01}'
            | '\u{ff1f}'
            | '\u{964}'
            | '\u{6d4}'
            | '\u{61f}'
    )
}

fn is_stop(letter: char) -> bool {
    matches!(letter, '.' | '!' | '?' | '\u{2026}')
}

/// The end of stops and closing marks, those of an ellipsis with spaces (`. . .`) among them.
fn after_stops(letters: &[char], mut end: usize) -> usize {
    loop {
        let spaces = letters[end..].iter().take_while(|c| matches!(c, ' ' | '\u{a0}')).count();
        match letters.get(end) {
            Some(c) if is_stop(*c) || CLOSING.contains(c) => end += 1,
            // `. . .` is one mark, written with spaces.
            Some(_) if spaces > 0 && letters.get(end + spaces).is_some_and(|c| is_stop(*c)) => {
                end += spaces + 1
            }
            _ => return end,
        }
    }
}

/// The end of citations that follow a stop: `in Oslo.[2] [3]`.
fn after_citations(letters: &[char], mut end: usize) -> usize {
    loop {
        let open = end + letters[end..].iter().take_while(|c| matches!(c, ' ' | '\u{a0}')).count();
        let digits = letters[(open + 1).min(letters.len())..]
            .iter()
            .take_while(|c| c.is_ascii_digit())
            .count();
        let close = open + 1 + digits;
        if letters.get(open) != Some(&'[')
            || !(1..=3).contains(&digits)
            || letters.get(close) != Some(&']')
        {
            return end;
        }
        end = close + 1;
    }
}

/// Approximate minimum length of a line that is wrapped.
const WRAPPED_FROM: usize = 40;
/// Words that no line of its own begins with.
const GOING_ON: &[&str] = &[
    "in", "on", "at", "of", "and", "or", "but", "to", "for", "from", "by", "with", "as", "that",
    "who", "which",
];
/// Words that no sentence ends with.
const UNFINISHED: &[&str] = &[
    "a", "an", "the", "of", "in", "at", "and", "or", "but", "to", "for", "from", "by", "with",
    "as", "is", "was", "are", "were", "has", "have", "had", "not", "did", "his", "their", "its",
    "who", "which", "into", "during", "between", "under", "than", "most", "very",
];
/// Words that begin a sentence.
const SUBJECTS: &[&str] = &["she", "he", "it", "they", "her", "his", "its", "their", "i", "we"];

/// Whether a line end is inside a sentence: one line end, before it a word or a comma, after it a
/// line that is no sentence of its own.
fn is_wrapped(letters: &[char], at: usize) -> bool {
    let line = |from: usize| -> String {
        letters[from..].iter().take_while(|c| !matches!(**c, '\n' | BLOCK)).collect()
    };
    let length = letters[..at].iter().rev().take_while(|c| !matches!(**c, '\n' | BLOCK)).count();
    let (above, below) = (line(at - length), line(at + 1));
    let (above, below) = (above.trim_end(), below.trim());
    if !above.ends_with(|c: char| c.is_alphanumeric() || c == ',') || below.is_empty() {
        return false;
    }
    let word = |word: &str| word.trim_matches(|c: char| !c.is_alphanumeric()).to_lowercase();
    let last = above.split_whitespace().last().map(word).unwrap_or_default();
    let first = below.split_whitespace().next().map(word).unwrap_or_default();
    // The first sentence below, up to a label's colon.
    let next = below.split_inclusive(['.', '!', '?', ':']).next().unwrap_or_default();
    if next.ends_with(':') || SUBJECTS.contains(&first.as_str()) {
        return false;
    }
    // Above, what follows the last stop goes on.
    let open = above.rsplit(['.', '!', '?', ':']).next().unwrap_or_default();
    let says = |text: &str| text.split_whitespace().any(|one| is_verb(&word(one)));
    let is_rest = says(open) && next.ends_with('.') && !says(next);
    let is_small = below.starts_with(char::is_lowercase)
        && (length >= WRAPPED_FROM || GOING_ON.contains(&first.as_str()));
    is_small || UNFINISHED.contains(&last.as_str()) && !open.trim().is_empty() || is_rest
}

/// The end of a sentence without a quotation mark that opens the next one: `Oslo."She` closes,
/// `Oslo. "She` does not come here.
fn without_opening(letters: &[char], mark: usize, end: usize) -> usize {
    // A mark before a space closes; one that touches the next word may open it.
    let touches = letters.get(end).is_some_and(|c| c.is_alphanumeric());
    let opens = touches
        && end > mark + 1
        && may_open(letters[end - 1])
        // Of two marks, as in `."*She`, one closes; which one cannot be told.
        && letters[mark + 1..end].iter().filter(|c| may_open(**c)).count() == 1
        && !is_open(letters, mark, letters[end - 1]);
    if opens { end - 1 } else { end }
}

/// Whether a mark looks the same where it opens and where it closes.
fn may_open(letter: char) -> bool {
    matches!(letter, '"' | '\'' | '*' | '_')
}

/// Whether this mark was opened, and not closed, in the line before.
fn is_open(letters: &[char], before: usize, mark: char) -> bool {
    let line = letters[..before].iter().rev().take_while(|c| **c != '\n' && **c != BLOCK);
    line.filter(|c| **c == mark).count() % 2 == 1
}

fn push_trimmed(
    letters: &[char],
    mut start: usize,
    mut end: usize,
    ranges: &mut Vec<(usize, usize)>,
) {
    while start < end && letters[start].is_whitespace() {
        start += 1;
    }
    while end > start && letters[end - 1].is_whitespace() {
        end -= 1;
    }
    if start < end {
        ranges.push((start, end));
    }
}

/// Whether the mark at `mark`, whose closing quotes and brackets reach up to `end`, ends the
/// sentence begun at `start`.
fn ends_sentence(letters: &[char], start: usize, mark: usize, end: usize, cased: bool) -> bool {
    let Some(&after) = letters.get(end) else { return true };
    let next: String = letters[end..]
        .iter()
        .skip_while(|c| {
            c.is_whitespace() || OPENING.contains(c) || matches!(c, '-' | '\u{2013}' | '\u{2014}')
        })
        .take_while(|c| c.is_alphanumeric())
        .collect();
    if !after.is_whitespace() {
        return after == '[' && after_citations(letters, end) > end
            || ends_without_space(letters, start, mark, end, &next);
    }
    // `[...]` leaves words out, and the sentence goes on.
    let is_left_out = letters[..mark]
        .iter()
        .rev()
        .find(|c| !is_stop(**c))
        .is_some_and(|c| matches!(c, '[' | '('));
    if is_left_out || (cased && next.chars().next().is_some_and(char::is_lowercase)) {
        return false;
    }
    // `Yahoo! Inc.`, `Viva Maria! (1965)`
    if letters[mark] != '.' {
        if matches!(next.as_str(), "Inc" | "Corp" | "Ltd") {
            return false;
        }
        let year =
            letters[end..].iter().skip_while(|c| c.is_whitespace()).take(2).collect::<String>();
        return !(year.starts_with('(') && year.ends_with(|c: char| c.is_ascii_digit()));
    }
    let token = word_before(letters, start, mark);
    // `Mr. & Mrs. Smith`
    if letters[end..].iter().find(|c| !c.is_whitespace()) == Some(&'&') {
        return false;
    }
    if is_before_time(&token, &letters[end..]) {
        return false;
    }
    let first_word =
        letters[start..mark].iter().skip_while(|c| c.is_whitespace()).all(|c| !c.is_whitespace());
    let numbered_item = is_number(&token) && first_word && !next.is_empty();
    // Without capitals, no word shows that it begins a sentence after an abbreviation.
    let next = if cased || is_number(&next) { &next } else { "x" };
    !numbered_item && !goes_on(&second_last(letters, start, mark), &token, next)
}

/// Whether a sentence continues after an hour: `5 p.m. Paris time`.
fn is_before_time(word: &str, after: &[char]) -> bool {
    let next: String = after.iter().take(40).collect();
    let words: Vec<&str> = next.split_whitespace().take(3).collect();
    // The first word is the zone: `Paris time`, `Central European time`.
    let ends_in_time = words
        .iter()
        .skip(1)
        .any(|word| word.trim_end_matches(['.', ',']).eq_ignore_ascii_case("time"));
    matches!(word.to_lowercase().as_str(), "p.m" | "a.m") && ends_in_time
}

/// The word before the one that ends at a full stop.
fn second_last(letters: &[char], start: usize, mark: usize) -> String {
    let last = letters[start..mark].iter().rev().take_while(|c| !c.is_whitespace()).count();
    let space = letters[start..mark - last].iter().rev().take_while(|c| c.is_whitespace()).count();
    word_before(letters, start, mark - last - space)
}

/// The word that ends at a full stop, with the full stops inside it.
fn word_before(letters: &[char], start: usize, mark: usize) -> String {
    let before: String =
        letters[start..mark].iter().rev().take_while(|c| !c.is_whitespace()).collect();
    let token: String = before.chars().rev().collect();
    let from = token.rfind(|c: char| !(c.is_alphanumeric() || c == '.')).map_or(0, |at| at + 1);
    let from = (from..token.len()).find(|at| token.is_char_boundary(*at)).unwrap_or(token.len());
    token[from..].trim_start_matches('.').to_owned()
}

/// Whether a sentence ends where no space follows: `in Oslo.She died`. A small letter or digit
/// comes before and a capital with small letters after, so that initials, addresses and decimals
/// stay whole.
fn ends_without_space(letters: &[char], start: usize, mark: usize, end: usize, next: &str) -> bool {
    if letters.get(end).is_some_and(|c| is_unspaced(*c)) {
        return true;
    }
    let Some(before) = mark.checked_sub(1).map(|at| letters[at]) else { return false };
    let token = word_before(letters, start, mark);
    let opens = letters.get(end).is_some_and(|c| OPENING.contains(c));
    let mut follows = next.chars();
    let is_word = follows.next().is_some_and(char::is_uppercase)
        && follows.next().is_none_or(char::is_lowercase);
    // `U.S.A` has single letters after its stops.
    let is_short = next.chars().count() == 1 && !matches!(next, "A" | "I");
    // `AT&T.She`
    let spelt = letters[start..mark].iter().rev().take_while(|c| c.is_alphanumeric() || **c == '&');
    let is_acronym = !token.contains('.')
        && spelt.clone().count() > 1
        && spelt.clone().all(|c| !c.is_lowercase());
    // `U.S.A.She`
    let is_dotted = token.contains('.')
        && token.split('.').all(|part| part.len() == 1 && part.chars().all(char::is_uppercase));
    let ends_acronym = (is_acronym || is_dotted) && starts(next);
    // `Oslo .She`
    if before == ' ' && letters[mark] == '.' && end == mark + 1 {
        return starts(next) && is_word;
    }
    let ends_word = ends_acronym
        || before.is_lowercase()
        || before.is_ascii_digit()
        || CLOSING.contains(&before);
    let is_plain = (!token.contains('.') || ends_acronym)
        && (ends_acronym
            || token.chars().count() > 2
            || letters[mark] != '.'
            || before.is_ascii_digit()
            || end > mark + 1);
    let in_address =
        letters[end..].iter().take_while(|c| !c.is_whitespace()).any(|c| matches!(c, '/' | '@'))
            || letters[start..mark]
                .iter()
                .rev()
                .take_while(|c| !c.is_whitespace())
                .any(|c| matches!(c, '/' | '@'));
    let marked = letters[mark] != '.' || ends_acronym || !goes_on("", &token, next);
    is_word
        && !is_short
        && ends_word
        && is_plain
        && !in_address
        && marked
        && (!opens || letters[mark] == '.')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: &[&str]) {
        let found = sentences(text);
        let texts: Vec<&str> = found.iter().map(|sentence| sentence.text.as_str()).collect();
        assert_eq!(texts, expected);
        let letters: Vec<char> = text.chars().collect();
        for sentence in &found {
            assert_eq!(
                letters[sentence.start..sentence.end].iter().collect::<String>(),
                sentence.text
            );
        }
    }

    #[test]
    fn plain_sentences() {
        check(
            " She was born in 1867. She died in 1934.",
            &["She was born in 1867.", "She died in 1934."],
        );
        check("One!  Two? Three", &["One!", "Two?", "Three"]);
        check(
            "É vrai. \u{201c}Ça va.\u{201d} Oui.",
            &["É vrai.", "\u{201c}Ça va.\u{201d}", "Oui."],
        );
        check(" \n \n", &[]);
        check("", &[]);
        check("first line\nsecond line", &["first line", "second line"]);
    }

    #[test]
    fn abbreviations_initials_and_decimals() {
        check("Dr. J. K. Rowling met Mr. Smith.", &["Dr. J. K. Rowling met Mr. Smith."]);
        check("It weighs 3.5 kg. It is No. 5.", &["It weighs 3.5 kg.", "It is No. 5."]);
        check(
            "Its capital is Washington D.C. Its currency is the US dollar.",
            &["Its capital is Washington D.C.", "Its currency is the US dollar."],
        );
        check("Its symbol is Cf. It is rare.", &["Its symbol is Cf.", "It is rare."]);
        check("Its symbol is H. It is a gas.", &["Its symbol is H.", "It is a gas."]);
        check("Its symbol is Mt. Its group is 9.", &["Its symbol is Mt.", "Its group is 9."]);
        check("Its symbol is No. It is solid.", &["Its symbol is No.", "It is solid."]);
        check(
            "Its capital is St. George's. It has no land border.",
            &["Its capital is St. George's.", "It has no land border."],
        );
        check("He lives in the U.S. state of Ohio.", &["He lives in the U.S. state of Ohio."]);
        check("1. She was born. 2. She died.", &["1. She was born.", "2. She died."]);
    }

    #[test]
    fn more_abbreviations() {
        for one in [
            "She worked for Warner Bros. Pictures in 1931.",
            "She composed Op. 27 in 1901.",
            "She was promoted by Adm. Halsey in 1943.",
            "She joined Acme Corp. Holdings in 1931.",
            "She lived on Fifth Ave. North.",
            "She served under Maj. Gen. Lee.",
            "She met Mme. Blanc in Paris.",
            "She earned a Ph.D. Mathematics degree.",
            "It rose at 5 p.m. 20 people came.",
            "It rose at 5 p.m. Paris time.",
            "She met Sen. Daniel P. Moynihan in 1970.",
            "She led Yahoo! Inc. in 2010.",
            "She ran Acme Intl. Trading in Oslo.",
            "He wrote No. 5 for Lt. Col. Hay and Sgt. Ray.",
            "She married Wm. Roe and met Geo. Ray.",
            "She published in Phys. Rev. Lett. in 1990.",
            "She starred in Mr. & Mrs. Smith.",
            "She wrote e.g. The Sea.",
        ] {
            check(one, &[one]);
        }
        check("She earned a Ph.D. She left.", &["She earned a Ph.D.", "She left."]);
        check("It rose at 5 a.m. Monday. It set.", &["It rose at 5 a.m. Monday.", "It set."]);
        check("It rose at 5 a.m. It set.", &["It rose at 5 a.m.", "It set."]);
        check("She left AT&T.She ran NASA.In it", &["She left AT&T.", "She ran NASA.", "In it"]);
        check("F. W. (Bill) Holm sang.", &["F. W. (Bill) Holm sang."]);
        check("She ran U.S.A. Inc. in AT&T.net.", &["She ran U.S.A. Inc. in AT&T.net."]);
        check(
            "She sang, danced, etc. Later she left.",
            &["She sang, danced, etc.", "Later she left."],
        );
    }

    #[test]
    fn ordinals_ellipses_and_citations() {
        for one in [
            "Sie wurde am 5. Mai 1934 in Wien geboren.",
            "She was . . . a poet ... and a painter.",
            "She said \"[...] Oslo is a town [...]\" of it.",
            "Malle made Viva Maria! (1965) in Mexico.",
            "She was born at N. 5 Elm St. near Oslo.",
        ] {
            check(one, &[one]);
        }
        check("She was a poet . . . She died.", &["She was a poet . . .", "She died."]);
        check(
            "She was born in Oslo. [2] [3] She died.[4] It rained.",
            &["She was born in Oslo. [2] [3]", "She died.[4]", "It rained."],
        );
        check(
            "She fell ill. Bo left. She sang at mass. Bo slept.",
            &["She fell ill.", "Bo left.", "She sang at mass.", "Bo slept."],
        );
        check(
            "She fought in World War I. Quill died. He took vitamin C. Quill did not.",
            &["She fought in World War I.", "Quill died.", "He took vitamin C.", "Quill did not."],
        );
        check(
            "she was born in oslo. she died in no. 5 elm st. at 90.",
            &["she was born in oslo.", "she died in no. 5 elm st. at 90."],
        );
    }

    #[test]
    fn no_space_after_the_stop() {
        check("Born in Oslo.She died.She is.", &["Born in Oslo.", "She died.", "She is."]);
        check(
            "It ended in 1934.She left!He stayed?Yes.",
            &["It ended in 1934.", "She left!", "He stayed?", "Yes."],
        );
        check("Born in Oslo .She left .", &["Born in Oslo .", "She left ."]);
        check("It is in the U.S.A.She left.", &["It is in the U.S.A.", "She left."]);
        check("She said \"No.\"He left.", &["She said \"No.\"", "He left."]);
        for whole in [
            "See www.Example.com/About.Us now.",
            "A U.S.Army base.",
            "Version 3.5.1 of Node.js ran.",
            "J.R.Stone sang.",
        ] {
            check(whole, &[whole]);
        }
    }

    #[test]
    fn other_scripts() {
        check(
            "\u{739b}\u{4e3d}\u{3002}\u{5979}\u{ff01}",
            &["\u{739b}\u{4e3d}\u{3002}", "\u{5979}\u{ff01}"],
        );
        check(
            "\u{300c}\u{739b}\u{3002}\u{300d}\u{4e3d}",
            &["\u{300c}\u{739b}\u{3002}\u{300d}", "\u{4e3d}"],
        );
        check("Wrapped\nin lines.\nNext", &["Wrapped\nin lines.", "Next"]);
        for wrapped in [
            "She was born in\nOslo.",
            "She did not visit\nRome.",
            "She did not\nvisit Rome.",
            "She won the Nobel\nPrize in 1903.",
        ] {
            check(wrapped, &[wrapped]);
        }
        for lines in [
            ["She sang in Oslo", "She died in Rome."],
            ["Ann Lee", "Bo Holm."],
            ["She sang in Oslo", "Prizes: a medal."],
            ["She sang in Oslo", "Bo Holm died."],
        ] {
            check(&lines.join("\n"), &lines);
        }
    }
}
