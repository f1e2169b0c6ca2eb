//! Abbreviations: words whose full stop does not end a sentence.

/// Words before a name, a number or a further word: the sentence continues, unless a word of
/// [`STARTERS`] follows.
const ABBREVIATIONS: &[&str] = &[
    "mr", "mrs", "ms", "mx", "dr", "drs", "prof", "st", "ste", "jr", "sr", "vs", "v", "e.g", "i.e",
    "eg", "ie", "cf", "viz", "vol", "vols", "fig", "figs", "approx", "ca", "inc", "ltd", "co",
    "corp", "bros", "plc", "llc", "assn", "dept", "univ", "inst", "gen", "col", "lt", "sgt", "cpl",
    "pvt", "maj", "adm", "brig", "cmdr", "cdr", "capt", "comdr", "cpt", "rev", "revd", "hon",
    "gov", "sen", "rep", "reps", "sens", "pres", "supt", "atty", "insp", "det", "mme", "mlle",
    "mons", "messrs", "msgr", "fr", "sra", "srta", "dott", "ing", "mt", "mts", "ft", "op", "opp",
    "nos", "pp", "pg", "ch", "chap", "sec", "ed", "eds", "trans", "rev", "repr", "abr", "ave",
    "blvd", "rd", "hwy", "sq", "apt", "bldg", "jan", "feb", "mar", "apr", "jun", "jul", "aug",
    "sep", "sept", "oct", "nov", "dec", "mon", "tue", "tues", "wed", "thu", "thur", "thurs", "fri",
    "b", "d", "c", "r", "fl", "née", "al", "ph.d", "b.sc", "m.sc", "d.phil", "d.sc", "b.eng",
    "m.eng", "m.phil", "ll.b", "ll.m", "ed.d", "est", "incl", "misc", "orig", "pop", "min", "max",
    "tel", "ext", "esq", "calif", "conn", "mass", "penn", "ill", "wash", "colo", "ariz", "fla",
    "mich", "minn", "tenn", "okla", "ont", "que", "lib", "mgr", "dir", "asst", "intl", "natl",
    "arr", "feat", "ft", "prod", "wm", "geo", "chas", "jas", "thos", "robt", "phys", "lett",
    "proc",
];

/// Abbreviations that no sentence ends with, whatever follows them.
const BEFORE_ANYTHING: &[&str] = &["e.g", "i.e", "eg", "ie", "viz", "cf", "vs"];

/// Abbreviations before a number only, since they are also words or initials.
const BEFORE_NUMBERS: &[&str] = &["no", "art", "sec", "p", "pt", "rs", "n", "nr", "para", "rn"];

/// Abbreviations that may end a sentence: it continues if a lower-case word or a number follows.
const ENDINGS: &[&str] = &["etc", "a.m", "p.m", "bc", "ad"];

/// Words after an hour that belong to it: `5 a.m. Monday`.
const AFTER_HOURS: &[&str] = &[
    "monday",
    "tuesday",
    "wednesday",
    "thursday",
    "friday",
    "saturday",
    "sunday",
    "est",
    "edt",
    "cst",
    "pst",
    "pdt",
    "gmt",
    "utc",
    "cet",
    "bst",
    "eastern",
    "pacific",
];

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

/// Abbreviations that are also words in lower case; the sentence continues only before a number.
const WORDS_TOO: &[&str] = &[
    "ill", "mass", "wash", "fig", "pop", "max", "min", "ed", "mar", "mon", "gen", "rep", "trans",
    "ext", "det", "dir", "lib", "arr", "ing", "prod", "col", "co", "sen", "ch", "inst", "fri",
];

/// Words numbered by a single letter, which is then no initial: `World War I`, `vitamin C`.
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

/// Whether a sentence continues after this word and a full stop, given the words before and after.
pub(super) fn goes_on(before: &str, word: &str, next: &str) -> bool {
    // Capitals tell nothing about the abbreviation itself: `St.`, `st.` and `ST.` are one.
    let (lower, next_lower) = (word.to_lowercase(), next.to_lowercase());
    let starts = STARTERS.contains(&next_lower.as_str());
    let small = word.chars().all(char::is_lowercase);
    // `Ph.D` has two letters in a part, and stands in the list instead.
    let initials = !word.is_empty()
        && word.split('.').all(|part| {
            part.chars().count() == 1 && !is_number(part) && part.chars().all(char::is_alphabetic)
        });
    let lower = lower.as_str();
    // `Cf` is californium.
    if BEFORE_ANYTHING.contains(&word) {
        !next.is_empty()
    } else if is_number(word) {
        // `in 1905. May`: years are no ordinals.
        word.len() <= 2 && AFTER_ORDINALS.contains(&next_lower.as_str())
    } else if BEFORE_NUMBERS.contains(&lower) {
        // `No. 5`, but `No. It is`; in capitals they may be initials as well: `P. Ray`.
        is_number(next)
            || (initials && word.chars().all(char::is_uppercase) && !starts && !next.is_empty())
    } else if ENDINGS.contains(&lower) || (small && WORDS_TOO.contains(&lower)) {
        let hour = matches!(lower, "a.m" | "p.m");
        is_number(next) || (hour && AFTER_HOURS.contains(&next_lower.as_str()))
    // `World War I.` ends a sentence that `J. I.` would not.
    } else if initials && NUMBERED.contains(&before.to_lowercase().as_str()) {
        false
    } else {
        (initials || ABBREVIATIONS.contains(&lower)) && !starts && !next.is_empty()
    }
}

/// Whether a word with a capital begins a sentence whatever comes before.
pub(super) fn starts(word: &str) -> bool {
    word.chars().count() > 1 && STARTERS.contains(&word.to_lowercase().as_str())
}

/// Whether a word is digits only.
pub(super) fn is_number(word: &str) -> bool {
    !word.is_empty() && word.chars().all(|c| c.is_ascii_digit())
}
