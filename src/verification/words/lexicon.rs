//! Words without content, irregular forms, and words that often state the same fact of a life or a
//! work. The lists were written by hand from general knowledge of biographies, and come from no
//! data set.

/// Words without content of their own, besides articles.
const EMPTY: &[&str] = &[
    "about",
    "after",
    "all",
    "also",
    "although",
    "among",
    "an",
    "and",
    "another",
    "any",
    "are",
    "as",
    "at",
    "be",
    "because",
    "been",
    "before",
    "being",
    "between",
    "both",
    "but",
    "by",
    "can",
    "could",
    "did",
    "do",
    "does",
    "during",
    "each",
    "even",
    "every",
    "for",
    "from",
    "had",
    "has",
    "have",
    "he",
    "her",
    "herself",
    "him",
    "himself",
    "his",
    "how",
    "however",
    "i",
    "if",
    "in",
    "include",
    "included",
    "includes",
    "including",
    "into",
    "is",
    "it",
    "its",
    "itself",
    "just",
    "many",
    "may",
    "me",
    "might",
    "more",
    "most",
    "much",
    "must",
    "my",
    "of",
    "off",
    "on",
    "one",
    "only",
    "onto",
    "or",
    "other",
    "our",
    "out",
    "over",
    "own",
    "per",
    "same",
    "several",
    "shall",
    "she",
    "should",
    "since",
    "so",
    "some",
    "such",
    "than",
    "that",
    "the",
    "their",
    "theirs",
    "them",
    "themselves",
    "then",
    "there",
    "these",
    "they",
    "this",
    "those",
    "though",
    "through",
    "to",
    "under",
    "until",
    "up",
    "upon",
    "us",
    "various",
    "very",
    "via",
    "was",
    "we",
    "were",
    "what",
    "when",
    "where",
    "which",
    "while",
    "who",
    "whom",
    "whose",
    "why",
    "will",
    "with",
    "within",
    "would",
    "you",
    "your",
];

/// Denials, which are compared apart from the other words.
const DENIALS: &[&str] =
    &["not", "no", "never", "neither", "nor", "without", "cannot", "none", "nobody"];

/// Irregular forms, the basic form first.
const FORMS: &[&[&str]] = &[
    &["become", "became"],
    &["begin", "began", "begun"],
    &["birth", "bear", "born"],
    &["bring", "brought"],
    &["build", "built"],
    &["buy", "bought"],
    &["catch", "caught"],
    &["child", "children"],
    &["choose", "chose", "chosen"],
    &["come", "came"],
    &["die", "died", "death", "dead"],
    &["draw", "drew", "drawn"],
    &["drive", "drove", "driven"],
    &["fall", "fell", "fallen"],
    &["fight", "fought"],
    &["find", "found"],
    &["fly", "flew", "flown"],
    &["get", "got", "gotten"],
    &["give", "gave", "given"],
    &["go", "went", "gone"],
    &["grow", "grew", "grown"],
    &["hear", "heard"],
    &["hold", "held"],
    &["keep", "kept"],
    &["know", "knew", "known"],
    &["lead", "led"],
    &["leave", "left"],
    &["lose", "lost"],
    &["make", "made"],
    &["man", "men"],
    &["marry", "married", "marriage"],
    &["meet", "met"],
    &["pay", "paid"],
    &["rise", "rose", "risen"],
    &["run", "ran"],
    &["say", "said"],
    &["see", "saw", "seen"],
    &["seek", "sought"],
    &["sell", "sold"],
    &["send", "sent"],
    &["shoot", "shot"],
    &["show", "shown"],
    &["sing", "sang", "sung"],
    &["speak", "spoke", "spoken"],
    &["spend", "spent"],
    &["stand", "stood"],
    &["steal", "stole", "stolen"],
    &["swim", "swam", "swum"],
    &["take", "took", "taken"],
    &["teach", "taught"],
    &["tell", "told"],
    &["think", "thought"],
    &["throw", "threw", "thrown"],
    &["wear", "wore", "worn"],
    &["wife", "wives"],
    &["win", "won"],
    &["woman", "women"],
    &["write", "wrote", "written"],
];

/// Words that often state the same fact; a word may stand in several groups.
const GROUPS: &[&[&str]] = &[
    &["actor", "actress", "act"],
    &["album", "release", "record", "song", "single"],
    &["american", "us", "usa", "america"],
    &["appear", "star", "role", "portray", "play", "feature", "cast"],
    &["army", "military"],
    &["band", "group"],
    &["begin", "start", "debut"],
    &["british", "uk", "britain"],
    &["brother", "sister", "sibling"],
    &["career", "professional", "work"],
    &["chief", "head", "leader", "lead"],
    &["child", "son", "daughter", "kid"],
    &["club", "team"],
    &["coach", "manager", "head"],
    &["compete", "competition", "participate"],
    &["country", "nation"],
    &["die", "kill"],
    &["english", "england"],
    &["film", "movie", "picture"],
    &["found", "establish", "create", "cofounder", "founder"],
    &["inductee", "induct"],
    &["join", "sign", "move"],
    &["know", "famous", "notable", "noted", "renowned"],
    &["later", "subsequent"],
    &["lawyer", "attorney", "law"],
    &["magazine", "newspaper", "journal"],
    &["mp", "parliament"],
    &["nominate", "nomination"],
    &["parent", "father", "mother"],
    &["physician", "doctor", "medicine"],
    &["politician", "political", "politics"],
    &["publish", "book", "author", "novel", "write", "writer"],
    &["raise", "grow"],
    &["receive", "award", "win", "honor", "honour", "earn", "recipient"],
    &["retire", "end"],
    &["series", "show", "program", "programme"],
    &["serve", "work", "position"],
    &["study", "educate", "attend", "graduate", "school", "degree"],
    &["success", "successful", "acclaim", "praise"],
    &["teach", "teacher", "professor", "lecturer"],
    &["television", "tv"],
    &["university", "college"],
    &["wife", "husband", "spouse", "marry", "wed"],
];

/// Words that stand for a verdict where they are a sentence alone, as an instruction to a judge.
const VERDICTS: &[&str] = &["true", "false", "supported", "correct", "verified", "yes"];

/// Shortest beginning that related words share.
const BEGINNING: usize = 4;
/// Smallest share of the longer word that this beginning is.
const BEGINNING_SHARE: f64 = 0.6;

/// Whether a word has content.
pub(super) fn has_content(word: &str) -> bool {
    EMPTY.binary_search(&word).is_err() && !is_denial(word)
}

/// Whether a word denies.
pub(super) fn is_denial(word: &str) -> bool {
    DENIALS.contains(&word)
}

/// Whether a word alone is a verdict.
pub(super) fn is_verdict(word: &str) -> bool {
    VERDICTS.contains(&word)
}

/// The basic form of an irregular form, else the word.
pub(super) fn basic_form(word: &str) -> &str {
    FORMS.iter().find(|forms| forms.contains(&word)).map_or(word, |forms| forms[0])
}

/// Groups of words that often state the same.
pub(super) fn groups() -> &'static [&'static [&'static str]] {
    GROUPS
}

/// Whether two stems begin alike and so are related, such as `canada` and `canadian`.
pub(super) fn begin_alike(one: &str, other: &str) -> bool {
    let common = one.bytes().zip(other.bytes()).take_while(|(one, other)| one == other).count();
    let longer = one.len().max(other.len());
    common >= BEGINNING && common as f64 >= BEGINNING_SHARE * longer as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_of_empty_words_is_sorted() {
        assert!(EMPTY.is_sorted());
        assert!(!has_content("of") && !has_content("never") && has_content("field"));
    }

    #[test]
    fn forms_and_beginnings() {
        assert_eq!((basic_form("written"), basic_form("died")), ("write", "die"));
        assert_eq!(basic_form("field"), "field");
        assert!(begin_alike("canada", "canadian") && begin_alike("physic", "physicist"));
        assert!(!begin_alike("car", "cart") && !begin_alike("warsaw", "warrior"));
    }
}
