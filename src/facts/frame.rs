//! What an answer says of its own sentences: that they are false, or nothing that counts.

use super::{token::Token, verb::is_copula};

/// Words that say of a sentence that it is false.
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
/// Words that say so where nothing else is said.
const DENIALS_ALONE: &[&str] = &["not", "lie", "lies", "fiction", "fake"];
/// What is said of a true sentence, and denied after `not`.
const TRUTH: &[&str] = &["true", "correct", "right", "accurate", "so", "case", "fact", "facts"];
/// Words of headings over what is false: `Common myths about her`.
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
/// The longest sentence that takes back the one before it.
const LONGEST_RETRACTION: usize = 7;

/// What stands before a fact and adds nothing to it, if a comma follows.
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
    "to be sure",
];
/// The same before a clause without a comma.
const CLAUSE_OPENINGS: &[&str] = &[
    "but",
    "and",
    "it is known that",
    "it is well known that",
    "it is true that",
    "it is a fact that",
    "it is clear that",
    "i am sorry to say that",
    "i regret to say that",
    "i can tell you that",
    "i can confirm that",
    "yes",
    "as you know",
];

/// Whether words say of the sentences after them that they are false: `The following is false`, `Myths`, `Not`.
pub(super) fn denies(words: &[Token]) -> bool {
    let is = |token: &Token, list: &[&str]| list.contains(&token.word.as_str());
    let negated = |index: usize| words[index + 1..].iter().take(4).any(|token| is(token, TRUTH));
    words.iter().any(|token| is(token, DENIALS))
        || (words.len() == 1 && is(&words[0], DENIALS_ALONE))
        || (0..words.len()).any(|index| is(&words[index], &["not", "never", "none"]) && negated(index))
}

/// Whether a heading stands over what is false.
pub(super) fn is_denying_heading(words: &[Token]) -> bool {
    denies(words)
        && words
            .iter()
            .all(|token| [DENIALS, OF_HEADINGS].iter().any(|list| list.contains(&token.word.as_str())) || token.article)
}

/// Whether a sentence takes back the one before it: `That is false.`, `None of this is true.`
pub(super) fn retracts(words: &[Token]) -> bool {
    let leading = words.iter().take_while(|token| matches!(token.word.as_str(), "no" | "but" | "actually")).count();
    let words = &words[leading..];
    let word = |index: usize| words.get(index).map_or("", |token| token.word.as_str());
    let refers = matches!(word(0), "that" | "this" | "it" | "these" | "those" | "both" | "all" | "none" | "nothing");
    // `It was a hoax` may say so of the topic.
    let of_topic =
        word(0) == "it" && words.iter().any(|token| matches!(token.word.as_str(), "hoax" | "myth" | "nonsense"));
    let says = (words.len() <= 3 || words.iter().any(|token| is_copula(&token.word))) && refers && !of_topic;
    let is_lie = words.iter().any(|token| matches!(token.word.as_str(), "lie" | "lies" | "fiction"));
    let is_alone = words.len() == 1 && (word(0) == "not" || DENIALS.contains(&word(0)));
    let jokes = words.len() == 2 && word(0) == "just" && matches!(word(1), "kidding" | "joking");
    words.len() <= LONGEST_RETRACTION && (is_alone || jokes || (says && (denies(words) || is_lie)))
}

/// How many words at the beginning add nothing to the fact: `However,`, `It is known that`.
pub(super) fn opening(words: &[Token]) -> usize {
    let mut from = 0;
    while let Some(length) = one_opening(&words[from..]) {
        from += length;
    }
    from
}

fn one_opening(words: &[Token]) -> Option<usize> {
    let begins = |opening: &str| {
        let parts: Vec<&str> = opening.split(' ').collect();
        let own = words.iter().take(parts.len()).map(|token| token.word.as_str());
        (words.len() > parts.len() && own.eq(parts.iter().copied())).then_some(parts.len())
    };
    let comma = |length: &usize| words[*length].mark == Some(',') && words[1..*length].iter().all(|w| w.mark.is_none());
    let plain =
        |length: &usize| words[1..=*length].iter().all(|token| token.mark.is_none()) && is_subject(&words[*length]);
    let closed = OPENINGS.iter().filter_map(|opening| begins(opening)).find(comma);
    closed.or_else(|| CLAUSE_OPENINGS.iter().filter_map(|opening| begins(opening)).find(plain))
}

/// Whether a clause may begin with this word.
fn is_subject(token: &Token) -> bool {
    token.capital
        || token.article
        || matches!(token.word.as_str(), "she" | "he" | "it" | "they" | "her" | "his" | "its" | "their")
}
