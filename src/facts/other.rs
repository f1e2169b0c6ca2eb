//! Other persons in a response: a pronoun after one of them may not mean the topic.

use super::{
    number::is_measure,
    preposition::PREPOSITIONS,
    scan::tokens,
    subject::{Pronouns, leads},
    token::Token,
    topic::Topic,
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
/// Maximum words of a name.
const LONGEST_NAME: usize = 4;

/// Men and women by what they are to somebody, and who may be either.
const MEN: &[&str] = &[
    "husband",
    "father",
    "son",
    "brother",
    "uncle",
    "nephew",
    "grandfather",
    "grandson",
    "stepfather",
    "stepson",
    "stepbrother",
    "half-brother",
    "widower",
    "boyfriend",
    "dad",
    "grandpa",
    "godfather",
    "godson",
];
const WOMEN: &[&str] = &[
    "wife",
    "mother",
    "daughter",
    "sister",
    "aunt",
    "niece",
    "grandmother",
    "granddaughter",
    "stepmother",
    "stepdaughter",
    "stepsister",
    "half-sister",
    "widow",
    "girlfriend",
    "mum",
    "mom",
    "grandma",
    "godmother",
    "goddaughter",
];
const EITHER: &[&str] = &[
    "friend",
    "colleague",
    "teacher",
    "student",
    "assistant",
    "cousin",
    "rival",
    "mentor",
    "partner",
    "child",
    "parent",
    "sibling",
    "spouse",
    "twin",
    "grandchild",
    "grandparent",
    "fianc\u{e9}",
    "fianc\u{e9}e",
    "fiance",
    "fiancee",
    "lover",
    "pupil",
    "collaborator",
    "successor",
    "predecessor",
    "heir",
    "biographer",
    "secretary",
    "manager",
    "boss",
    "tutor",
    "professor",
    "coach",
    "agent",
    "neighbour",
    "neighbor",
    "ancestor",
    "descendant",
    "namesake",
    "in-law",
    "companion",
];
/// Several of them, of whom one is meant: `one of her daughters`.
const SEVERAL: [(&[&str], [bool; 2]); 3] = [
    (&["sons", "brothers", "uncles", "nephews", "grandsons", "stepsons"], [false, true]),
    (
        &["daughters", "sisters", "aunts", "nieces", "granddaughters", "stepdaughters"],
        [true, false],
    ),
    (
        &[
            "children",
            "friends",
            "colleagues",
            "teachers",
            "students",
            "cousins",
            "grandchildren",
            "siblings",
            "pupils",
        ],
        [true, true],
    ),
];

/// Which of `she` and `he` stand for somebody else by now.
#[derive(Clone, Copy, Debug, Default)]
pub struct Others {
    masked: [bool; 2],
    /// Whether a new paragraph does not end it.
    held: bool,
}

impl Others {
    /// The pronouns that may still mean the topic.
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

    /// Whether a pronoun stands for somebody else.
    pub fn are_meant_by(self, pronoun: &str) -> bool {
        match pronoun {
            "she" | "her" => self.masked[0],
            "he" | "his" => self.masked[1],
            _ => false,
        }
    }

    /// What a sentence tells of whom the pronouns after it stand for; `stands` is whether `she` and
    /// `he` stand for the topic in the text.
    pub fn read(&mut self, words: &[Token], topic: &Topic, stands: [bool; 2]) {
        let said = [
            stands[0] && words.iter().any(|token| token.is_one_of(&["she", "her", "hers"])),
            stands[1] && words.iter().any(|token| token.is_one_of(&["he", "his", "him"])),
        ];
        let owned = words.first().is_some_and(|first| matches!(first.word.as_str(), "her" | "his"));
        let length = person(words, topic);
        let kin = kin(words, topic);
        // Only subjects count: `She met Bo Ray. She` is still the topic.
        if length == 0 && !owned && kin.is_none() {
            // `Her brother left Ann Lee's house` still speaks of him.
            let names_topic = (0..words.len()).any(|at| {
                topic.mention(words, at).is_some_and(|length| !words[at + length - 1].possessive)
            });
            if names_topic {
                *self = Self::default();
            }
            return;
        }
        match (kin.or_else(|| equated(&words[length..])), said) {
            (Some(masked), _) => *self = Self { masked, held: false },
            // In `Bo sang, and she danced` the topic is she, so that `he` is Bo from here on.
            (None, [true, false]) => *self = Self { masked: [false, true], held: true },
            (None, [false, true]) => *self = Self { masked: [true, false], held: true },
            _ if length > 1 => *self = Self { masked: [true, true], held: false },
            _ => {}
        }
    }
}

/// Whether a word for what somebody is to others can mean a woman, and whether a man.
fn relation(word: &str) -> Option<[bool; 2]> {
    match word {
        _ if MEN.contains(&word) => Some([false, true]),
        _ if WOMEN.contains(&word) => Some([true, false]),
        _ if EITHER.contains(&word) => Some([true, true]),
        _ => None,
    }
}

/// Whom words like `was her friend` make of somebody.
fn equated(words: &[Token]) -> Option<[bool; 2]> {
    let is_one = words.first().is_some_and(|word| is_copula(&word.word))
        && words.get(1).is_some_and(|word| matches!(word.word.as_str(), "her" | "his"));
    let named = words.iter().skip(2).take_while(|word| word.mark.is_none()).take(3);
    named.filter(|_| is_one).find_map(|word| relation(&word.word))
}

/// Who is the subject of a sentence by what they are to the topic: `Her daughter Irene`, `Ann Lee's
/// brother, Paul,`, `Irene, the daughter of Ann Lee,`. Where the topic is the subject itself, there
/// is nobody else.
fn kin(words: &[Token], topic: &Topic) -> Option<[bool; 2]> {
    let words = &words[subject_start(words)..];
    // Up to the verb: an object is nobody whom the next pronoun means.
    let end = words.iter().position(|word| {
        !word.capital && (is_verb(&word.word) || is_copula(&word.word) || is_auxiliary(&word.word))
    });
    let subject = &words[..end?];
    let mut owns = false;
    let mut found = None;
    let mut index = 0;
    while index < subject.len() {
        let word = subject[index].word.as_str();
        let mention = topic.mention(subject, index);
        let is_owner = match mention {
            Some(length) => {
                subject[index + length - 1].possessive
                    || index > 0 && subject[index - 1].word == "of"
            }
            None => matches!(word, "her" | "his" | "their"),
        };
        // The topic is the subject itself.
        if (mention.is_some() && !is_owner) || matches!(word, "she" | "he" | "they") {
            return None;
        }
        // `Her work with her daughter` is hers.
        if PREPOSITIONS.contains(&word) {
            break;
        }
        owns |= is_owner || subject[index].possessive;
        let is_named = !subject[index].possessive
            || subject.get(index + 1).is_some_and(|next| next.word == "name");
        found = relation(word)
            .or_else(|| one_of_several(&subject[..index], word))
            .filter(|_| is_named)
            .or(found);
        index += mention.unwrap_or(1);
    }
    found.filter(|_| owns)
}

/// Whether the one of several who is meant can be a woman, and whether a man: `one of her sons`.
fn one_of_several(before: &[Token], word: &str) -> Option<[bool; 2]> {
    let is_one = before.len() > 1 && before.iter().any(|word| word.word == "of");
    let found = SEVERAL.iter().find(|(several, _)| is_one && several.contains(&word));
    found.map(|(_, who)| *who)
}

/// Where the subject of a sentence begins: after what leads to it (`In 1935, her daughter ...`).
fn subject_start(words: &[Token]) -> usize {
    if !words.first().is_some_and(|first| leads(&first.word) && first.word != "one") {
        return 0;
    }
    // `In 1935, her daughter` has its subject after the comma; `In 1935 her daughter` after the
    // year.
    let comma = words.iter().skip(1).position(|word| word.mark == Some(',')).map(|at| at + 1);
    comma.unwrap_or_else(|| {
        words.iter().skip(1).take_while(|word| is_measure(&word.word)).count() + 1
    })
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
    let length = words
        .iter()
        .enumerate()
        .take_while(|(index, token)| {
            is_name_part(token)
                && (*index == 0 || token.mark.is_none())
                && topic.mention(words, *index).is_none()
        })
        .count();
    // `Jagan Mohan Reddy` is still Jagan.
    if length > 0 && is_given_name(&words[0], topic) { 0 } else { length }
}

/// Whether a word can be part of a person's name.
fn is_name_part(token: &Token) -> bool {
    token.capital
        && !token.article
        && !token.possessive
        && !token.is_one_of(NO_PERSON)
        && !token.is_one_of(&["she", "he", "it", "they", "her", "his", "its", "their", "i", "we"])
        && token.word.chars().all(|c| c.is_alphabetic() || c == '-')
}

/// Whether a word is the first word of the topic's name.
fn is_given_name(word: &Token, topic: &Topic) -> bool {
    let given = tokens(topic.name()).into_iter().find(|token| !token.article);
    given.is_some_and(|given| word.word == given.word)
}
