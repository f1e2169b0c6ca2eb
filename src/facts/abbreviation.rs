//! Abbreviations: words whose full stop does not end a sentence.

/// What stands before a name, a number or a further word: a sentence goes on after it, unless a word of [`STARTERS`] follows.
const ABBREVIATIONS: &[&str] = &[
    "mr", "mrs", "ms", "mx", "dr", "drs", "prof", "st", "ste", "jr", "sr", "vs", "v", "e.g", "i.e", "eg", "ie", "cf",
    "viz", "vol", "vols", "fig", "figs", "approx", "ca", "inc", "ltd", "co", "corp", "bros", "plc", "llc", "assn",
    "dept", "univ", "inst", "gen", "col", "lt", "sgt", "cpl", "pvt", "maj", "adm", "brig", "cmdr", "cdr", "capt",
    "comdr", "cpt", "rev", "revd", "hon", "gov", "sen", "rep", "reps", "sens", "pres", "supt", "atty", "insp", "det",
    "mme", "mlle", "mons", "messrs", "msgr", "fr", "sra", "srta", "dott", "ing", "mt", "mts", "ft", "op", "opp", "nos",
    "nr", "pp", "pg", "ch", "chap", "sec", "ed", "eds", "trans", "rev", "repr", "abr", "ave", "blvd", "rd", "hwy",
    "sq", "apt", "bldg", "jan", "feb", "mar", "apr", "jun", "jul", "aug", "sep", "sept", "oct", "nov", "dec", "mon",
    "tue", "tues", "wed", "thu", "thur", "thurs", "fri", "b", "d", "c", "r", "fl", "née", "al", "ph.d", "b.sc", "m.sc",
    "d.phil", "d.sc", "b.eng", "m.eng", "m.phil", "ll.b", "ll.m", "ed.d", "est", "incl", "misc", "orig", "pop", "min",
    "max", "tel", "ext", "esq", "calif", "conn", "mass", "penn", "ill", "wash", "colo", "ariz", "fla", "mich", "minn",
    "tenn", "okla", "ont", "que", "lib", "mgr", "dir", "asst", "arr", "feat", "ft", "prod",
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
];

/// Whether a sentence may end after this word and a full stop, with this word after it.
pub(super) fn goes_on(word: &str, next: &str) -> bool {
    let lower = word.to_lowercase();
    let number = |word: &str| !word.is_empty() && word.chars().all(|c| c.is_ascii_digit());
    let starts = STARTERS.contains(&next.to_lowercase().as_str());
    let initials = !word.is_empty()
        && word
            .split('.')
            .all(|part| part.chars().count() == 1 && !number(part) && part.chars().all(char::is_alphabetic));
    match () {
        () if matches!(lower.as_str(), "no" | "art" | "sec" | "p" | "pt") => number(next),
        () if ENDINGS.contains(&lower.as_str()) => number(next),
        () if initials => !starts && !next.is_empty(),
        () => ABBREVIATIONS.contains(&lower.as_str()) && !starts && !next.is_empty(),
    }
}
