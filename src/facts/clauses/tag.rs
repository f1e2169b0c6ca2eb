//! Parts of speech of words among their neighbours, by lists and endings.

use crate::facts::{
    number::is_measure,
    object::is_object,
    preposition::PREPOSITIONS,
    verb::{is_copula, is_verb},
};

use super::{
    lexeme::{Lexeme, Tag},
    phrase::{is_adjective, is_demonym},
};

const ARTICLES: &[&str] = &[
    "another", "each", "every", "any", "no", "both", "all", "some", "several", "many", "various",
    "numerous", "multiple", "other", "few", "certain", "these", "those",
];
const OWNERS: &[&str] = &["her", "his", "its", "their", "my", "our", "your"];
const OBJECTS: &[&str] = &["him", "them", "me", "us"];
const SUBJECTS: &[&str] = &["she", "he", "it", "they", "i", "we", "you"];
const RELATIVES: &[&str] = &["who", "which", "whom", "whose", "where"];
const LINKS: &[&str] = &[
    "but", "while", "when", "although", "though", "because", "whereas", "if", "unless", "once",
    "so", "yet", "whether", "how", "why", "what", "until",
];
const AUXILIARIES: &[&str] = &[
    "has", "have", "had", "does", "do", "did", "will", "would", "can", "could", "may", "might",
    "must", "shall", "should",
];
/// Auxiliaries before a base form.
pub(super) const MODALS: &[&str] =
    &["can", "could", "will", "may", "must", "should", "did", "does", "do", "shall", "might"];
const ADVERBS: &[&str] = &[
    "also",
    "later",
    "then",
    "now",
    "still",
    "often",
    "always",
    "soon",
    "best",
    "well",
    "most",
    "more",
    "once",
    "again",
    "since",
    "even",
    "just",
    "too",
    "further",
    "twice",
    "together",
    "currently",
    "thereafter",
    "afterwards",
    "instead",
    "already",
    "first",
    "ever",
    "less",
    "guest",
    "almost",
    "hardly",
    "seldom",
    "rather",
    "barely",
    "scarcely",
];
/// Words in `ly` that are no adverbs, and in `ing` that are no verbs.
const NOT_ADVERBS: &[&str] = &[
    "family",
    "early",
    "only",
    "daily",
    "weekly",
    "monthly",
    "friendly",
    "elderly",
    "likely",
    "lonely",
    "holy",
    "july",
    "italy",
    "assembly",
    "supply",
    "reply",
    "ally",
    "anomaly",
    "bully",
    "costly",
    "deadly",
    "lively",
    "lovely",
    "quarterly",
    "scholarly",
    "yearly",
    "fly",
];
const NOT_GERUNDS: &[&str] = &[
    "during",
    "king",
    "ring",
    "string",
    "thing",
    "spring",
    "nothing",
    "something",
    "everything",
    "evening",
    "morning",
    "wedding",
    "building",
    "wing",
    "sibling",
    "anything",
    "bring",
    "sing",
    "ceiling",
    "offspring",
    "sterling",
    "darling",
    "outstanding",
    "promising",
    "upcoming",
    "following",
    "including",
    "according",
    "being",
    "pioneering",
    "award-winning",
    "enduring",
    "lasting",
    "setting",
    "meeting",
    "painting",
    "recording",
    "beginning",
];
/// Small words of names.
const PARTICLES: &[&str] = &[
    "van", "von", "de", "der", "den", "del", "di", "da", "du", "la", "le", "el", "al", "bin", "ibn",
];
/// Verbs that the general list lacks.
const VERBS: &[&str] = &["include", "split", "cast", "won", "ended", "feature", "fed"];
/// Verbs that are also nouns in the plural, and are verbs only after a subject.
const NOUNS_TOO: &[&str] = &[
    "shows", "works", "plays", "features", "stars", "tours", "leads", "lives", "uses", "forms",
    "dates", "borders", "covers", "acts", "studies", "holds", "runs", "leaves", "lies", "rose",
    "left", "set", "cut", "hit", "read", "spread", "beat", "shot", "shoots", "loves", "starts",
    "helps", "returns", "sets", "founds", "moves", "wed", "lay", "saw", "meets", "wins", "sees",
    "ground", "found", "born", "gains", "travels", "put",
];

/// Part of speech of a word among its neighbours.
pub(super) fn tag(all: &[Lexeme], index: usize) -> Tag {
    let lexeme = &all[index];
    let word = lexeme.word.as_str();
    if lexeme.word.is_empty() && !lexeme.quoted() {
        return lexeme.tag;
    }
    if lexeme.quoted() {
        return Tag::Name;
    }
    let first = index == 0 || all[index - 1].has(&[Tag::Mark]);
    // Only the first word of a sentence has a capital whatever it is.
    if lexeme.capital && !first {
        return capital_tag(all, index);
    }
    if is_small_name(all, index) {
        return Tag::Name;
    }
    match word {
        // `Symphony no. 5`
        "no" if all.get(index + 1).is_some_and(|next| is_measure(&next.word)) => Tag::Word,
        "and" => Tag::And,
        "or" => Tag::Or,
        "to" => Tag::To,
        // `not only a singer but also a dancer` is both.
        "not" if all.get(index + 1).is_some_and(|next| next.word == "only") => Tag::Adverb,
        "but" if all.get(index + 1).is_some_and(|next| next.word == "also") => Tag::And,
        "only" if index > 0 && all[index - 1].word == "not" => Tag::Adverb,
        "not" | "never" => Tag::Not,
        // `no longer` denies the verb, and is no article of what follows.
        "no" if all.get(index + 1).is_some_and(|next| next.word == "longer") => Tag::Not,
        "longer" if index > 0 && all[index - 1].word == "no" => Tag::Not,
        "that" => that(all, index),
        "as" if all.get(index + 1).is_some_and(|next| next.word == "well") => Tag::And,
        "well" if index > 0 && all[index - 1].word == "as" => Tag::And,
        _ if lexeme.tag == Tag::Article || ARTICLES.contains(&word) => Tag::Article,
        "her" if is_her_object(all, index) => Tag::Object,
        _ if OBJECTS.contains(&word) => Tag::Object,
        _ if OWNERS.contains(&word) => Tag::Owner,
        _ if SUBJECTS.contains(&word) => Tag::Pronoun,
        _ if RELATIVES.contains(&word) => Tag::Relative,
        "until" if !begins_clause(all, index + 1) => Tag::Preposition,
        _ if LINKS.contains(&word) => Tag::Link,
        _ if is_copula(word.trim_end_matches(" not")) => Tag::Be,
        _ if AUXILIARIES.contains(&word.trim_end_matches(" not")) => Tag::Auxiliary,
        _ if is_measure(word) => Tag::Number,
        "since" if index > 0 && all[index - 1].tag == Tag::Auxiliary => Tag::Adverb,
        _ if PARTICLES.contains(&word) && all.get(index + 1).is_some_and(|next| next.capital) => {
            Tag::Name
        }
        _ if word.contains('-') => compound(all, index),
        _ if PREPOSITIONS.contains(&word) || word == "of" => Tag::Preposition,
        _ if ADVERBS.contains(&word) || matches!(word, "eg" | "ie") => Tag::Adverb,
        _ if word.ends_with("ly") && word.len() > 4 && !NOT_ADVERBS.contains(&word) => Tag::Adverb,
        _ if word.ends_with("ing") && word.len() > 4 && !NOT_GERUNDS.contains(&word) => {
            gerund(all, index)
        }
        _ => verb_or_word(all, index),
    }
}

/// Part of speech of a word with a capital inside a sentence.
fn capital_tag(all: &[Lexeme], index: usize) -> Tag {
    match all[index].word.as_str() {
        _ if all[index].tag == Tag::Article => Tag::Article,
        // `the 3rd century B.C.`
        "bc" | "bce" | "ce" | "ad" if follows_century(all, index) => Tag::Word,
        word if is_measure(word) => Tag::Number,
        "i" => Tag::Pronoun,
        _ => Tag::Name,
    }
}

/// Whether a small word is inside a name: `Copa do Brasil`, `Roe v. Wade`.
fn is_small_name(all: &[Lexeme], index: usize) -> bool {
    let follows = index > 0 && all[index - 1].tag == Tag::Name;
    match all[index].word.as_str() {
        "and" => is_in_name(all, index),
        "do" | "dos" | "das" => follows && all.get(index + 1).is_some_and(|next| next.capital),
        "v" | "vs" => follows,
        _ => false,
    }
}

/// Whether a number or a century stands before a place.
fn follows_century(all: &[Lexeme], index: usize) -> bool {
    let before = &all[index - 1];
    before.tag == Tag::Number || before.is(&["century", "centuries", "millennium"])
}

/// Whether `her` owns nothing: `defeated her`.
fn is_her_object(all: &[Lexeme], index: usize) -> bool {
    let word = |at: usize| all.get(at).map_or("", |lexeme| lexeme.word.as_str());
    let before = index.checked_sub(1).map_or("", word);
    index > 0 && is_object(before, word(index + 1), word(index + 2))
}

/// `well-known` after `is` is a participle; any other compound is an adjective or a noun.
fn compound(all: &[Lexeme], index: usize) -> Tag {
    let word = all[index].word.as_str();
    let verb = [
        "-known",
        "-starred",
        "-founded",
        "-wrote",
        "-written",
        "-directed",
        "-produced",
        "-hosted",
        "-authored",
        "-created",
        "-edited",
        "-led",
        "-developed",
        "-owned",
    ]
    .iter()
    .any(|ending| word.ends_with(ending));
    let attributive = index
        .checked_sub(1)
        .is_some_and(|at| all[at].has(&[Tag::Article, Tag::Owner, Tag::Preposition, Tag::Number]));
    if verb && !attributive { Tag::Verb } else { Tag::Word }
}

/// Whether a subject with its verb begins at a place, before the next mark, link or preposition.
fn begins_clause(all: &[Lexeme], from: usize) -> bool {
    let ends = |lexeme: &&Lexeme| {
        let word = lexeme.word.as_str();
        word.is_empty()
            || matches!(word, "and" | "or")
            || PREPOSITIONS.contains(&word)
            || RELATIVES.contains(&word)
            || LINKS.contains(&word)
    };
    // `until being elected` has no subject.
    let words = all.get(from..).unwrap_or_default().iter().take_while(|one| !ends(one));
    words.enumerate().any(|(number, one)| {
        !one.capital && (SUBJECTS.contains(&one.word.as_str()) || number > 0 && is_verb(&one.word))
    })
}

/// `that` links a clause, or points (`that year`).
fn that(all: &[Lexeme], index: usize) -> Tag {
    let next = all.get(index + 1).map_or("", |next| next.word.as_str());
    let points = matches!(next, "year" | "time" | "same" | "period" | "of" | "position" | "role");
    if points { Tag::Article } else { Tag::Relative }
}

/// Names that are written with `and`.
const PAIRS: &[[&str; 2]] = &[
    ["bosnia", "herzegovina"],
    ["serbia", "montenegro"],
    ["trinidad", "tobago"],
    ["antigua", "barbuda"],
    ["arts", "crafts"],
    ["law", "order"],
    ["arts", "sciences"],
    ["science", "technology"],
    ["hip", "hop"],
    ["arts", "letters"],
    ["culture", "sports"],
];
/// Names that end with `of` or `for` and several subjects: `Ministry of Culture and Sports`.
const INSTITUTIONS: &[&str] = &[
    "ministry",
    "minister",
    "department",
    "center",
    "centre",
    "institute",
    "faculty",
    "school",
    "college",
    "academy",
    "museum",
    "bachelor",
    "master",
    "secretary",
    "committee",
    "commission",
    "council",
    "house",
    "board",
    "office",
    "bureau",
    "society",
    "association",
    "college",
];

/// Whether an `and` belongs to a name.
fn is_in_name(all: &[Lexeme], index: usize) -> bool {
    let Some(before) = index.checked_sub(1).map(|at| &all[at]) else { return false };
    let Some(after) = all.get(index + 1) else { return false };
    if PAIRS.iter().any(|[one, two]| before.word == *one && after.word == *two) {
        return true;
    }
    if !(before.tag == Tag::Name && after.capital) {
        return false;
    }
    let run = all[..index].iter().rev().take_while(|lexeme| lexeme.tag == Tag::Name).count();
    let tie = index.checked_sub(run + 1).filter(|at| all[*at].is(&["of", "for"]));
    let goes_on = all.get(index + 2).is_some_and(|next| next.capital && next.tag != Tag::Comma);
    tie.and_then(|at| at.checked_sub(1)).is_some_and(|at| all[at].is(INSTITUTIONS)) && !goes_on
}

/// A form in `ing` before a noun is an adjective (`his acting career`), and one without an object
/// a noun (`road cycling`).
fn gerund(all: &[Lexeme], index: usize) -> Tag {
    let before = index.checked_sub(1).map(|at| &all[at]);
    let owned = before.is_some_and(|before| {
        before.has(&[Tag::Article, Tag::Owner, Tag::Number]) || before.possessive
    });
    let object = all.get(index + 1).is_some_and(|next| {
        next.capital
            || next.quoted()
            || next.tag == Tag::Article
            || OWNERS.contains(&next.word.as_str())
            || next.word == "to"
            || is_measure(&next.word)
            || PREPOSITIONS.contains(&next.word.as_str())
    });
    let compound =
        before.is_some_and(|before| before.has(&[Tag::Word, Tag::And, Tag::Preposition]));
    if owned || (compound && !object && before.is_some_and(|before| before.tag == Tag::Word)) {
        Tag::Word
    } else {
        Tag::Gerund
    }
}

fn verb_or_word(all: &[Lexeme], index: usize) -> Tag {
    let word = all[index].word.as_str();
    let before = index.checked_sub(1).map(|at| all[at].tag);
    let after_subject = matches!(
        before,
        Some(Tag::Pronoun | Tag::Relative | Tag::Adverb | Tag::Auxiliary | Tag::Be | Tag::Not)
    ) || (matches!(before, Some(Tag::Name | Tag::Close))
        && !all[index - 1].quoted());
    let next = all.get(index + 1);
    // `he supports`, `which explores`
    let after_pronoun = matches!(before, Some(Tag::Pronoun | Tag::Relative))
        || (before == Some(Tag::Adverb)
            && index > 1
            && matches!(all[index - 2].tag, Tag::Pronoun | Tag::Relative));
    let helper = all[..index].iter().rev().find(|lexeme| lexeme.tag != Tag::Not);
    let modal = index > 0
        && helper.is_some_and(|before| {
            before.tag == Tag::Auxiliary && MODALS.contains(&before.word.trim_end_matches(" not"))
        });
    if (after_pronoun || modal) && !all[index].capital {
        return Tag::Verb;
    }
    // After `to` stands a base form, which `become` and `found` are too: `failed to become mayor`.
    let linked = all[..index].iter().rev().find(|lexeme| lexeme.tag != Tag::Adverb);
    if linked.is_some_and(|before| before.tag == Tag::To) {
        return Tag::Word;
    }
    if NOUNS_TOO.contains(&word) {
        // `TV shows`
        if index > 0 && all[index - 1].is(&["tv", "radio", "television", "stage", "bbc"]) {
            return Tag::Word;
        }
        let is_owner = next.is_some_and(|next| next.has(&[Tag::Preposition]));
        let participle = matches!(word, "born" | "set" | "found" | "shot" | "felt");
        return if after_subject
            || (participle && before != Some(Tag::Article))
            || is_owner && word == "left"
            || next.is_some_and(|next| next.is(&["him", "her", "them"]))
        {
            Tag::Verb
        } else {
            Tag::Word
        };
    }
    if !(is_verb(word) || VERBS.contains(&word)) || all[index].capital && index > 0 {
        return Tag::Word;
    }
    // `an acclaimed actor`, `critically acclaimed albums`
    let noun_next = next.is_some_and(|next| {
        !next.word.is_empty()
            && (!next.capital || is_demonym(&next.word))
            && !next.quoted()
            && next.tag != Tag::Article
            && !is_function(&next.word)
            && !is_verb(&next.word)
            && !next.word.ends_with("ly")
    });
    let participle = word.ends_with("ed") || matches!(word, "written" | "known" | "spoken");
    if participle && noun_next && leads_noun(all, index) { Tag::Word } else { Tag::Verb }
}

/// Whether what comes before a participle shows that it stands before a noun: `an acclaimed actor`.
fn leads_noun(all: &[Lexeme], index: usize) -> bool {
    match index.checked_sub(1).map(|at| all[at].tag) {
        Some(Tag::Article | Tag::Owner | Tag::Number | Tag::Preposition) => true,
        // `a skilled and acclaimed actor`, but `born in Oslo and studied law`
        Some(Tag::And) => {
            index > 1
                && is_adjective(&all[index - 2])
                && !(index > 2 && all[index - 3].tag == Tag::Word)
        }
        _ if index > 0 && all[index - 1].possessive => true,
        Some(Tag::Adverb) => {
            index > 1
                && matches!(
                    all[index - 2].tag,
                    Tag::Article | Tag::Owner | Tag::Number | Tag::Preposition | Tag::Word
                )
        }
        Some(Tag::Word) => index > 1 && matches!(all[index - 2].tag, Tag::Article | Tag::Owner),
        _ => false,
    }
}

/// Whether a word has grammar instead of content.
fn is_function(word: &str) -> bool {
    [ARTICLES, OWNERS, SUBJECTS, RELATIVES, LINKS, AUXILIARIES, ADVERBS]
        .iter()
        .any(|list| list.contains(&word))
        || PREPOSITIONS.contains(&word)
        || is_copula(word)
        || is_measure(word)
        || matches!(word, "and" | "or" | "to" | "that" | "not" | "as")
}
