//! Abbreviations: words whose full stop does not end a sentence.

/// What stands before a name, a number or a further word: a sentence goes on after it, unless a word of [`STARTERS`] follows.
const ABBREVIATIONS: &[&str] = &[
    "mr", "mrs", "ms", "mx", "dr", "drs", "prof", "st", "ste", "jr", "sr", "vs", "v", "e.g", "i.e", "eg", "ie", "cf",
    "viz", "vol", "vols", "fig", "figs", "approx", "ca", "inc", "ltd", "co", "corp", "bros", "plc", "llc", "assn",
    "dept", "univ", "inst", "gen", "col", "lt", "sgt", "cpl", "pvt", "maj", "adm", "brig", "cmdr", "cdr", "capt",
    "comdr", "cpt", "rev", "revd", "hon", "gov", "sen", "rep", "reps", "sens", "pres", "supt", "atty", "insp", "det",
    "mme", "mlle", "mons", "messrs", "msgr", "fr", "sra", "srta", "dott", "ing", "mt", "mts", "ft", "op", "opp", "nos",
    "pp", "pg", "ch", "chap", "sec", "ed", "eds", "trans", "rev", "repr", "abr", "ave", "blvd", "rd", "hwy", "sq",
    "apt", "bldg", "jan", "feb", "mar", "apr", "jun", "jul", "aug", "sep", "sept", "oct", "nov", "dec", "mon", "tue",
    "tues", "wed", "thu", "thur", "thurs", "fri", "b", "d", "c", "r", "fl", "née", "al", "ph.d", "b.sc", "m.sc",
    "d.phil", "d.sc", "b.eng", "m.eng", "m.phil", "ll.b", "ll.m", "ed.d", "est", "incl", "misc", "orig", "pop", "min",
    "max", "tel", "ext", "esq", "calif", "conn", "mass", "penn", "ill", "wash", "colo", "ariz", "fla", "mich", "minn",
    "tenn", "okla", "ont", "que", "lib", "mgr", "dir", "asst", "intl", "natl", "arr", "feat", "ft", "prod",
];

/// Abbreviations that end a sentence as often as not: one goes on where a lower-case word or a number follows.
const ENDINGS: &[&str] = &["etc", "a.m", "p.m", "bc", "ad"];

/// Words that, with a capital, begin a sentence even after an abbreviation or an initial.
const STARTERS: &[&str] = &[
    "it",
    "its",
    "he",
    "his",
    "she",
    "her",
    "they",
    "their",
    "the",
    "this",
    "these",
    "that",
    "those",
    "in",
    "on",
    "at",
    "after",
    "during",
    "as",
    "a",
    "an",
    "however",
    "there",
    "i",
    "we",
    "you",
    "my",
    "our",
    "when",
    "while",
    "since",
    "although",
    "from",
    "by",
    "for",
    "with",
    "to",
    "but",
    "and",
    "so",
    "then",
    "later",
    "some",
    "many",
    "one",
    "both",
    "what",
    "who",
    "where",
    "why",
    "how",
    "is",
    "was",
    "if",
    "no",
    "yes",
    "not",
    "all",
    "other",
    "another",
    "since",
    "before",
    "until",
    "despite",
    "among",
    "additionally",
    "born",
    "throughout",
    "following",
    "under",
    "also",
    "prior",
    "did",
    "does",
    "do",
    "are",
    "were",
    "has",
    "have",
    "had",
    "will",
    "would",
    "can",
    "could",
];

/// Abbreviations that in lower case are words as well, and go on only where a number follows.
const WORDS_TOO: &[&str] = &[
    "ill", "mass", "wash", "fig", "pop", "max", "min", "ed", "mar", "mon", "gen", "rep", "trans", "ext", "det", "dir",
    "lib", "arr", "ing", "prod", "col", "co", "sen", "ch", "inst", "fri",
];

/// What a single letter numbers, rather than begins a name: `World War I`, `vitamin C`.
const NUMBERED: &[&str] = &[
    "war",
    "vitamin",
    "hepatitis",
    "type",
    "grade",
    "plan",
    "class",
    "group",
    "phase",
    "part",
    "appendix",
    "section",
    "schedule",
    "level",
    "category",
    "chapter",
    "division",
    "symbol",
    "letter",
    "exhibit",
    "serie",
    "series",
];

/// Months and centuries that follow an ordinal with a full stop, as in German: `5. Mai`.
const AFTER_ORDINALS: &[&str] = &[
    "januar",
    "j\u{e4}nner",
    "februar",
    "m\u{e4}rz",
    "april",
    "mai",
    "juni",
    "juli",
    "august",
    "september",
    "oktober",
    "november",
    "dezember",
    "january",
    "february",
    "march",
    "may",
    "june",
    "july",
    "october",
    "december",
    "jahrhundert",
    "jahrhunderts",
];

/// Whether a sentence goes on after this word and a full stop, with these words before and after it.
pub(super) fn goes_on(before: &str, word: &str, next: &str) -> bool {
    let (lower, next_lower) = (word.to_lowercase(), next.to_lowercase());
    let number = |word: &str| !word.is_empty() && word.chars().all(|c| c.is_ascii_digit());
    let starts = STARTERS.contains(&next_lower.as_str());
    let small = word.chars().all(char::is_lowercase);
    let initials = !word.is_empty()
        && word
            .split('.')
            .all(|part| part.chars().count() == 1 && !number(part) && part.chars().all(char::is_alphabetic));
    match () {
        () if number(word) => word.len() <= 2 && AFTER_ORDINALS.contains(&next_lower.as_str()),
        () if matches!(lower.as_str(), "no" | "art" | "sec" | "p" | "pt" | "rs" | "n" | "nr" | "para" | "rn") => {
            number(next) || (initials && word.chars().all(char::is_uppercase) && !starts && !next.is_empty())
        }
        () if ENDINGS.contains(&lower.as_str()) => number(next),
        () if small && WORDS_TOO.contains(&lower.as_str()) => number(next),
        () if initials && NUMBERED.contains(&before.to_lowercase().as_str()) => false,
        () if initials => !starts && !next.is_empty(),
        () => ABBREVIATIONS.contains(&lower.as_str()) && !starts && !next.is_empty(),
    }
}
