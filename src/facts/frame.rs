//! Frames: a response's words about its own sentences, such as that they are false.

use super::{
    token::Token,
    verb::{is_copula, is_verb},
};

/// Words that call a sentence false.
const DENIALS: &[&str] = &[
    "false",
    "falsely",
    "untrue",
    "myth",
    "myths",
    "misconception",
    "misconceptions",
    "incorrect",
    "incorrectly",
    "wrong",
    "wrongly",
    "mistaken",
    "mistakenly",
    "erroneous",
    "erroneously",
    "hoax",
    "hoaxes",
    "falsehood",
    "falsehoods",
    "inaccurate",
    "inaccurately",
    "debunked",
    "disproven",
    "refuted",
    "nonsense",
];
/// Words that do so if nothing else is said.
const DENIALS_ALONE: &[&str] = &["not", "lie", "lies", "fiction", "fake"];
/// Words that call a sentence true, and false after `not`.
const TRUTH: &[&str] = &["true", "correct", "right", "accurate", "so", "case", "fact", "facts"];
/// Words that call a sentence uncertain.
const DOUBTS: &[&str] = &[
    "rumour",
    "rumours",
    "rumor",
    "rumors",
    "allegation",
    "allegations",
    "allegedly",
    "speculation",
    "unconfirmed",
    "unverified",
    "hearsay",
    "gossip",
    "supposedly",
    "disputed",
    "hypothetical",
    "hypothesis",
    "satire",
    "joke",
    "conspiracy",
];
/// Words of headings over false statements: `Common myths about her`.
const OF_HEADINGS: &[&str] = &[
    "common",
    "popular",
    "claims",
    "statements",
    "about",
    "not",
    "true",
    "her",
    "him",
    "it",
    "them",
    "and",
    "some",
    "other",
    "beliefs",
    "facts",
];
/// Maximum words of a retraction.
const LONGEST_RETRACTION: usize = 7;

/// Openings without content, if a comma follows.
const OPENINGS: &[&str] = &[
    "however",
    "sadly",
    "unfortunately",
    "fortunately",
    "but",
    "and",
    "in fact",
    "of course",
    "yes",
    "yes and",
    "indeed",
    "moreover",
    "furthermore",
    "additionally",
    "also",
    "well",
    "sure",
    "certainly",
    "tragically",
    "interestingly",
    "notably",
    "as you know",
    "as we know",
    "as far as i know",
    "as far as we know",
    "to my knowledge",
    "to the best of my knowledge",
    "from what i know",
    "to be sure",
];
/// Openings without content before a clause without comma.
const CLAUSE_OPENINGS: &[&str] = &[
    "but",
    "and",
    "it is known that",
    "it is well known that",
    "it is true that",
    "it is a fact that",
    "it is clear that",
    "it is important to note that",
    "it is important to mention that",
    "it is worth noting that",
    "it is worth mentioning that",
    "it should be noted that",
    "it should be mentioned that",
    "it must be noted that",
    "note that",
    "please note that",
    "please note",
    "keep in mind that",
    "please keep in mind that",
    "remember that",
    "i know",
    "i know that",
    "i think",
    "i think that",
    "i believe",
    "i believe that",
    "i am sure",
    "i am sure that",
    "i can tell you",
    "i am sorry to say that",
    "i regret to say that",
    "i can tell you that",
    "i can confirm that",
    "yes",
    "as you know",
];

/// Whether words call the next sentences false or uncertain: `The following is false`, `Myths`,
/// `Not`, `Rumours`.
pub(super) fn denies(words: &[Token]) -> bool {
    words.iter().any(|token| token.is_one_of(DENIALS))
        || calls_uncertain(words)
        || (words.len() == 1 && words[0].is_one_of(DENIALS_ALONE))
        || (0..words.len()).any(|index| negates_truth(&words[index..]))
}

/// Whether words only say that what follows is uncertain: `Rumour`, `Common rumours about her`; a
/// speaker is none of them (`Tabloids gossip`).
fn calls_uncertain(words: &[Token]) -> bool {
    let about = ["common", "popular", "other", "some", "about", "her", "him", "it", "them"];
    words.iter().any(|token| token.is_one_of(DOUBTS))
        && words
            .iter()
            .all(|token| token.is_one_of(DOUBTS) || token.is_one_of(&about) || token.article)
}

/// Whether words begin with a negation of truth: `not entirely true`.
fn negates_truth(words: &[Token]) -> bool {
    words[0].is_one_of(&["not", "never", "none"])
        && words[1..].iter().take(4).any(|token| token.is_one_of(TRUTH))
}

/// Whether a heading is over false statements.
pub(super) fn is_denying_heading(words: &[Token]) -> bool {
    denies(words)
        && words.iter().all(|token| {
            [DENIALS, DOUBTS, OF_HEADINGS].iter().any(|list| token.is_one_of(list)) || token.article
        })
}

/// Whether a sentence retracts the previous one: `That is false.`, `None of this is true.`
pub(super) fn retracts(words: &[Token]) -> bool {
    let leading = words
        .iter()
        .take_while(|token| matches!(token.word.as_str(), "no" | "but" | "actually"))
        .count();
    let words = &words[leading..];
    let first = words.first().map_or("", |token| token.word.as_str());
    let refers = matches!(
        first,
        "that" | "this" | "it" | "these" | "those" | "both" | "all" | "none" | "nothing"
    );
    // `It was a hoax` may say so of the topic.
    let of_topic = first == "it"
        && words.iter().any(|token| matches!(token.word.as_str(), "hoax" | "myth" | "nonsense"));
    let says = (words.len() <= 3 || words.iter().any(|token| is_copula(&token.word)))
        && refers
        && !of_topic;
    let is_lie =
        words.iter().any(|token| matches!(token.word.as_str(), "lie" | "lies" | "fiction"));
    let is_alone = words.len() == 1 && (first == "not" || DENIALS.contains(&first));
    let jokes = words.len() == 2 && first == "just" && words[1].is_one_of(&["kidding", "joking"]);
    // `This may be inaccurate` is no retraction.
    let doubts = words.iter().any(|token| token.is_one_of(&["may", "might", "could"]));
    // A longer sentence says something of its own, which is checked as such.
    words.len() <= LONGEST_RETRACTION
        && !doubts
        && (is_alone || jokes || (says && (denies(words) || is_lie)))
}

/// Number of opening words without content: `However,`, `It is known that`.
pub(super) fn opening(words: &[Token]) -> usize {
    let mut from = 0;
    while let Some(length) = one_opening(&words[from..]) {
        from += length;
    }
    from
}

fn one_opening(words: &[Token]) -> Option<usize> {
    // With a comma any sentence may follow; without one, only what can be a subject.
    let before_comma =
        OPENINGS.iter().filter_map(|opening| length_of(opening, words)).find(|length| {
            words[*length].mark == Some(',') && words[1..*length].iter().all(|w| w.mark.is_none())
        });
    before_comma.or_else(|| {
        CLAUSE_OPENINGS.iter().filter_map(|opening| length_of(opening, words)).find(|length| {
            // `I know Bo Lee`
            let says = *length == 1 || words[*length..].iter().any(|token| is_verb(&token.word));
            words[1..=*length].iter().all(|token| token.mark.is_none())
                && is_subject(&words[*length])
                && says
        })
    })
}

/// Number of words of an opening, if these words begin with it and do not end there.
fn length_of(opening: &str, words: &[Token]) -> Option<usize> {
    let parts = opening.split(' ');
    let length = parts.clone().count();
    let own = words.iter().take(length).map(|token| token.word.as_str());
    (words.len() > length && own.eq(parts)).then_some(length)
}

/// Whether a clause may begin with this word.
fn is_subject(token: &Token) -> bool {
    token.capital
        || token.article
        || matches!(
            token.word.as_str(),
            "she" | "he" | "it" | "they" | "her" | "his" | "its" | "their"
        )
}
