//! Others whom an answer speaks of: a pronoun after one of them does not stand for the topic.

use super::{
    Topic,
    subject::Pronouns,
    token::{Token, tokens},
    verb::{is_auxiliary, is_copula, is_verb},
};

/// Words of headings and titles that are no names of persons.
const NO_PERSON: &[&str] = &[
    "life",
    "early",
    "later",
    "career",
    "education",
    "work",
    "works",
    "years",
    "death",
    "legacy",
    "awards",
    "award",
    "personal",
    "family",
    "background",
    "prize",
    "prizes",
    "medal",
    "world",
    "war",
    "university",
    "college",
    "school",
    "biography",
    "overview",
    "introduction",
    "summary",
    "history",
    "film",
    "films",
    "music",
    "honors",
    "honours",
    "achievements",
    "politics",
    "political",
    "professional",
    "marriage",
    "childhood",
    "birth",
    "research",
    "notable",
    "key",
    "facts",
    "quick",
    "short",
    "bio",
    "profile",
    "contributions",
    "recognition",
    "conclusion",
    "academy",
    "institute",
    "company",
    "party",
    "league",
    "cup",
    "games",
    "united",
    "states",
    "new",
    "north",
    "south",
    "personality",
    "public",
    "acting",
    "musical",
    "playing",
    "coaching",
    "major",
    "selected",
    "other",
    "final",
    "current",
    "religious",
    "date",
    "place",
    "city",
    "country",
    "geography",
    "economy",
    "culture",
    "physical",
    "chemical",
    "properties",
];
/// A name has at most so many words.
const LONGEST_NAME: usize = 4;

/// Which of `she` and `he` stand for somebody else by now.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Others {
    masked: [bool; 2],
    /// Whether a new paragraph does not end it.
    held: bool,
}

impl Others {
    /// The pronouns that may still stand for the topic.
    pub(super) fn without(self, pronouns: Pronouns) -> Pronouns {
        pronouns.without(self.masked)
    }

    /// A section or point about somebody else begins.
    pub(super) fn begin_section(&mut self) {
        *self = Self { masked: [true, true], held: true };
    }

    /// A new paragraph begins.
    pub(super) fn begin_paragraph(&mut self) {
        if !self.held {
            *self = Self::default();
        }
    }

    /// What a sentence tells of whom the pronouns after it stand for.
    pub(super) fn read(&mut self, words: &[Token], topic: &Topic, pronouns: Pronouns) {
        let names_topic = (0..words.len())
            .any(|at| topic.mention(words, at).is_some_and(|length| !words[at + length - 1].possessive));
        let has = |among: &[&str]| words.iter().any(|token| among.contains(&token.word.as_str()));
        let said = [has(&["she", "her", "hers"]), has(&["he", "his", "him"])];
        let said = [said[0] && pronouns.stands("she").is_some(), said[1] && pronouns.stands("he").is_some()];
        let owned = words.first().is_some_and(|first| matches!(first.word.as_str(), "her" | "his"));
        let length = person(words, topic);
        if length == 0 && !owned {
            if names_topic {
                *self = Self::default();
            }
            return;
        }
        let (man, woman) = equated(&words[length..]);
        match said {
            _ if man || woman => *self = Self { masked: [woman, man], held: false },
            [true, false] => *self = Self { masked: [false, true], held: true },
            [false, true] => *self = Self { masked: [true, false], held: true },
            _ if length > 1 => *self = Self { masked: [true, true], held: false },
            _ => {}
        }
    }
}

/// Whom words like `was her friend` make of somebody: whether a man may be meant, and whether a woman.
fn equated(words: &[Token]) -> (bool, bool) {
    let is_one = words.first().is_some_and(|word| is_copula(&word.word))
        && words.get(1).is_some_and(|word| matches!(word.word.as_str(), "her" | "his"));
    let kin = words.iter().skip(2).take_while(|word| word.mark.is_none()).take(3);
    let named = |list: &[&str]| kin.clone().any(|word| list.contains(&word.word.as_str()));
    let either =
        named(&["friend", "colleague", "teacher", "student", "assistant", "cousin", "rival", "mentor", "partner"]);
    let man = named(&["husband", "father", "son", "brother", "uncle", "nephew", "grandfather", "grandson"]);
    let woman = named(&["wife", "mother", "daughter", "sister", "aunt", "niece", "grandmother", "granddaughter"]);
    (is_one && (man || either), is_one && (woman || either))
}

/// Whether all these words are the name of a person other than the topic: `Lise Meitner`.
pub(super) fn is_other_person(words: &[Token], topic: &Topic) -> bool {
    words.len() > 1 && words.len() <= LONGEST_NAME && name_length(words, topic) == words.len()
}

/// How many words the name of somebody else has who is the subject of a sentence.
fn person(words: &[Token], topic: &Topic) -> usize {
    let length = name_length(words, topic);
    let is_verb_next = words.get(length).is_some_and(|next| {
        !next.capital
            && next.mark.is_none()
            && (is_verb(&next.word) || is_copula(&next.word) || is_auxiliary(&next.word))
    });
    if is_verb_next && length <= LONGEST_NAME { length } else { 0 }
}

fn name_length(words: &[Token], topic: &Topic) -> usize {
    let is_part = |(index, token): &(usize, &Token)| {
        token.capital
            && !token.article
            && !token.possessive
            && (*index == 0 || token.mark.is_none())
            && !NO_PERSON.contains(&token.word.as_str())
            && !matches!(
                token.word.as_str(),
                "she" | "he" | "it" | "they" | "her" | "his" | "its" | "their" | "i" | "we"
            )
            && token.word.chars().all(|c| c.is_alphabetic() || c == '-')
            && topic.mention(words, *index).is_none()
    };
    // `Jagan Mohan Reddy` is still Jagan.
    let given = tokens(topic.name()).into_iter().find(|token| !token.article);
    let is_topic = given.is_some_and(|given| words.first().is_some_and(|first| first.word == given.word));
    if is_topic { 0 } else { words.iter().enumerate().take_while(is_part).count() }
}
