//! Kinds of statements: facts, and what sources cannot support.

use crate::rows::ClaimKind;

use super::{
    number::is_measure,
    preposition::PREPOSITIONS,
    relevance::{asks, begins_stating},
    token::Token,
    topic::Topic,
    verb::is_auxiliary,
};

/// Words without content beside a topic.
const TRIVIAL: &[&str] = &[
    "person",
    "individual",
    "human",
    "being",
    "someone",
    "somebody",
    "something",
    "thing",
    "name",
    "named",
    "called",
    "figure",
    "exists",
    "existed",
    "lived",
    "life",
    "known",
    "well-known",
    "work",
    "career",
    "subject",
    "topic",
    "and",
    "who",
    "that",
    "his",
    "her",
    "its",
    "their",
    "best",
    "well",
    "born",
    "some",
    "time",
    "once",
    "also",
    "has",
    "have",
    "had",
];
/// Words of judgements.
const JUDGING: &[&str] = &[
    "inspiration",
    "inspiring",
    "inspirational",
    "incredible",
    "incredibly",
    "amazing",
    "wonderful",
    "truly",
    "undoubtedly",
    "testament",
    "fascinating",
    "indelible",
    "admirable",
    "awesome",
    "fantastic",
    "unforgettable",
    "breathtaking",
];

/// The kind of a whole sentence, and the character at which its facts begin.
pub(super) fn of_sentence(sentence: &str, words: &[Token]) -> (ClaimKind, usize) {
    if asks(sentence) {
        return (ClaimKind::Question, 0);
    }
    match begins_stating(words) {
        Some(start) => (ClaimKind::Fact, start),
        None => (ClaimKind::Refusal, 0),
    }
}

/// Whether a sentence asks inside of a bracket that it does not close.
pub(super) fn asks_in_bracket(sentence: &str) -> bool {
    asks(sentence)
        && sentence.rfind('(').is_some_and(|open| open > 0 && !sentence[open..].contains(')'))
}

/// The kind of a claim with these words, by rules or by a language model.
pub(super) fn of_claim(claim: &str, words: &[Token], about: &Topic) -> ClaimKind {
    match of_sentence(claim, words) {
        (ClaimKind::Fact, start) => {
            of_facts(&words[words.partition_point(|word| word.start < start)..], about)
        }
        (kind, _) => kind,
    }
}

/// The kind of what is no question and no refusal.
fn of_facts(words: &[Token], about: &Topic) -> ClaimKind {
    // The topic's name tells nothing about it, so that only the other words count.
    let mut said: Vec<&Token> = Vec::new();
    // Nor does a pronoun as the subject.
    let is_pronoun = |word: &Token| word.is_one_of(&["she", "he", "it", "they"]);
    let mut index = usize::from(words.first().is_some_and(is_pronoun));
    while index < words.len() {
        match about.mention(words, index) {
            Some(length) => index += length,
            None => {
                said.push(&words[index]);
                index += 1;
            }
        }
    }
    // A name or number can be verified, so that a claim with one is no mere opinion.
    let names = said.iter().any(|word| word.capital || is_measure(&word.word));
    let empty = said.len() < words.len()
        && said.iter().all(|word| {
            word.article
                || is_auxiliary(&word.word)
                || word.is_one_of(TRIVIAL)
                || word.is_one_of(PREPOSITIONS)
        });
    if empty && said.iter().any(|word| is_auxiliary(&word.word) || word.is_one_of(TRIVIAL)) {
        ClaimKind::Trivial
    } else if !names && said.iter().any(|word| word.is_one_of(JUDGING)) {
        ClaimKind::Opinion
    } else {
        ClaimKind::Fact
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::facts::scan::tokens;

    #[test]
    fn kinds_of_claims() {
        let about = Topic::of_person("Ada Quill");
        for (text, kind) in [
            ("Ada Quill is a person.", ClaimKind::Trivial),
            ("Ada Quill is known for her work.", ClaimKind::Trivial),
            ("Ada Quill is an inspiration to many.", ClaimKind::Opinion),
            ("Ada Quill is a truly amazing singer.", ClaimKind::Opinion),
            ("Ada Quill is a singer.", ClaimKind::Fact),
            ("Ada Quill won the Inspiration Award.", ClaimKind::Fact),
            ("Ada Quill lived in Oslo.", ClaimKind::Fact),
            ("Ada Quill was born.", ClaimKind::Trivial),
            ("Ada Quill lived at some time.", ClaimKind::Trivial),
            ("Ada Quill died.", ClaimKind::Fact),
            ("Oslo is a city.", ClaimKind::Fact),
            ("He is a person.", ClaimKind::Trivial),
            ("Ada Quill is a name.", ClaimKind::Trivial),
            ("She is an inspiration.", ClaimKind::Opinion),
            ("Her brother is a person.", ClaimKind::Fact),
            ("Ada Quill is one of the greatest singers.", ClaimKind::Fact),
            ("I do not know Ada Quill.", ClaimKind::Refusal),
            ("I am not sure, but she was born.", ClaimKind::Trivial),
            ("Who is Ada Quill?", ClaimKind::Question),
        ] {
            assert_eq!(of_claim(text, &tokens(text), &about), kind, "{text}");
        }
    }

    #[test]
    fn facts_begin_after_a_refusal() {
        let of = |text: &str| of_sentence(text, &tokens(text));
        assert_eq!(of("I'm not sure, but she was born in Paris."), (ClaimKind::Fact, 18));
        assert_eq!(of("I am not sure, but the book is old."), (ClaimKind::Fact, 19));
        assert_eq!(of("She was born in Paris."), (ClaimKind::Fact, 0));
        assert_eq!(of("I do not know Ada Quill."), (ClaimKind::Refusal, 0));
        assert_eq!(of("Who was she?"), (ClaimKind::Question, 0));
    }
}
