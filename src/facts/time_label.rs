//! Times that label what follows them: `1950: She died.`, `May 1950 - She died.`

use super::{
    number::is_measure, preposition::PREPOSITIONS, scan::tokens, token::Token,
    unicode::capitalised, verb::is_verb,
};

/// Words of times besides numbers and dates.
const OF_TIMES: &[&str] = &[
    "early", "mid", "late", "later", "spring", "summer", "autumn", "fall", "winter", "and", "age",
    "aged", "circa", "c", "ca", "bc", "bce", "ad", "ce", "century", "present",
];
/// Prepositions of times.
const BEFORE_TIMES: &[&str] = &[
    "in",
    "on",
    "at",
    "from",
    "to",
    "until",
    "till",
    "since",
    "by",
    "around",
    "about",
    "between",
    "after",
    "before",
    "during",
    "through",
    "throughout",
];
/// Participles that begin an entry without its `was`: `1950: Elected mayor`.
const PASSIVE: &[&str] = &[
    "born",
    "awarded",
    "elected",
    "appointed",
    "named",
    "knighted",
    "promoted",
    "killed",
    "buried",
    "nominated",
    "selected",
    "inducted",
    "arrested",
    "honored",
    "honoured",
];

/// Whether words are a time and nothing else: `1950`, `in May 1950`, `1950–1960`.
pub(super) fn is_time(words: &[Token]) -> bool {
    // `Step 1` numbers something else, so that a time has a year, a date or an age.
    let tells =
        |word: &Token| is_measure(&word.word) && word.word.len() > 2 && !word.word.ends_with('%');
    let is_age = words.iter().any(|word| word.is_one_of(&["age", "aged", "century"]));
    words.iter().any(|word| tells(word) || is_age && is_measure(&word.word))
        && words.iter().all(|word| {
            is_measure(&word.word)
                || word.article
                || word.is_one_of(OF_TIMES)
                || word.is_one_of(BEFORE_TIMES)
        })
}

/// The preposition before a time that has none.
pub(super) fn preposition_of(words: &[Token]) -> &'static str {
    match words.iter().find(|word| !word.is_one_of(&["early", "late", "later", "mid"])) {
        Some(first) if first.is_one_of(PREPOSITIONS) => "",
        Some(first) if first.is_one_of(&["age", "aged"]) => "at",
        Some(first) if first.word.matches('-').count() > 1 => "on",
        // `1950s`
        Some(first) if first.word.ends_with('s') && is_measure(&first.word) => "in the",
        _ => "in",
    }
}

/// Where a sentence goes on after the time that labels it.
pub(super) fn after_time(letters: &[char]) -> Option<usize> {
    let is_mark = |at: &usize| {
        matches!(letters[*at], ':' | '\u{ff1a}')
            || (matches!(letters[*at], '-' | '\u{2013}' | '\u{2014}')
                && *at > 0
                && letters[*at - 1].is_whitespace()
                && letters.get(at + 1).is_some_and(|c| c.is_whitespace()))
    };
    // `1950 – 1960: She` has a mark inside of its time.
    let marks = (0..letters.len()).filter(is_mark).take(2);
    let ends = |at: &usize| is_time(&tokens(&letters[..*at].iter().collect::<String>()));
    let mark = marks.filter(ends).last()?;
    let spaces = letters[mark + 1..].iter().take_while(|c| c.is_whitespace()).count();
    // `At 10:30`
    (spaces > 0 && mark + 1 + spaces < letters.len()).then_some(mark + 1 + spaces)
}

/// What a label says of a time, as it begins a sentence: `In 1950`.
pub(super) fn time_phrase(label: &str) -> String {
    let label = label.trim_end_matches(|c: char| {
        c.is_whitespace() || matches!(c, ':' | '\u{ff1a}' | '-' | '\u{2013}' | '\u{2014}')
    });
    match preposition_of(&tokens(label)) {
        "" => capitalised(label),
        preposition => {
            let mut letters = label.chars();
            let first = letters.next().into_iter().flat_map(char::to_lowercase);
            let label: String = first.chain(letters).collect();
            // A month keeps its capital.
            let is_word = tokens(&label).first().is_some_and(|first| first.is_one_of(OF_TIMES));
            let label = if is_word { label } else { capitalised(&label) };
            capitalised(&format!("{preposition} {label}"))
        }
    }
}

/// An entry that begins with its verb as words about a subject: `moved to Oslo`, `was elected`.
pub(super) fn predicate_of(entry: &str) -> Option<String> {
    let words = tokens(entry);
    let first = words.first().filter(|first| is_verb(&first.word))?;
    let was = if first.is_one_of(PASSIVE) { "was " } else { "" };
    let mut letters = entry.chars();
    let small: String = letters.next()?.to_lowercase().chain(letters).collect();
    Some(format!("{was}{small}"))
}
