//! Names the subject of a sentence, so that the claim is self-contained.

use std::cmp::Ordering;

use super::{
    number::is_measure,
    object,
    preposition::PREPOSITIONS,
    scan::tokens,
    token::Token,
    topic::Topic,
    unicode::shown,
    verb::{is_auxiliary, is_copula, is_verb},
};

/// Pronouns with their possessives, by whom they stand for.
const PRONOUNS: [[&str; 2]; 4] = [["she", "her"], ["he", "his"], ["it", "its"], ["they", "their"]];

/// Words whose number tells whether the topic is a woman or a man.
const SHE: &[&str] = &["she", "her", "hers", "herself"];
const HE: &[&str] = &["he", "his", "him", "himself"];

/// Words beside prepositions that begin what comes before the subject: `In 1903, she ...`, `Born in
/// Oslo, she ...`, `Some of her ...`.
const LEADING: &[&str] = &[
    "when",
    "while",
    "because",
    "although",
    "though",
    "once",
    "where",
    "if",
    "and",
    "but",
    "however",
    "then",
    "also",
    "later",
    "born",
    "today",
    "there",
    "here",
    "that",
    "this",
    "both",
    "of",
    "instead",
    "some",
    "many",
    "most",
    "several",
    "one",
    "all",
    "much",
    "part",
    "soon",
    "still",
    "aside",
    "apart",
    "prior",
    "due",
    "according",
    "furthermore",
    "moreover",
    "nevertheless",
    "meanwhile",
    "thereafter",
    "afterwards",
    "afterward",
    "overall",
    "perhaps",
    "thanks",
    "not",
    "never",
    "so",
    "yet",
    "even",
    "early",
    "nor",
    "only",
];

/// Whether a word begins what comes before the subject.
pub(super) fn leads(word: &str) -> bool {
    LEADING.contains(&word) || PREPOSITIONS.contains(&word)
}

/// Whether `they` are people in general: `They say that she sang`.
fn is_report(words: &[Token]) -> bool {
    words.get(1).is_some_and(|word| word.is_one_of(&["say", "said", "claim", "claimed", "believe"]))
        && words.iter().any(|word| word.word == "that")
}

/// Auxiliaries of an expletive: `it should be noted that`.
const HELPERS: &[&str] = &["has", "would", "should", "must", "can", "could", "may", "might"];
/// What can come between `it is` and a clause of its own.
const EXPLETIVES: &[&str] = &[
    "possible",
    "likely",
    "unlikely",
    "probable",
    "unclear",
    "unknown",
    "known",
    "believed",
    "said",
    "true",
    "false",
    "untrue",
    "important",
    "worth",
    "reported",
    "rumoured",
    "rumored",
    "estimated",
    "thought",
    "clear",
    "noted",
    "discovered",
    "alleged",
    "announced",
    "claimed",
    "difficult",
    "hard",
    "impossible",
    "easy",
    "necessary",
    "interesting",
    "rare",
    "common",
    "evident",
    "obvious",
    "revealed",
    "suggested",
    "assumed",
    "certain",
    "uncertain",
    "confirmed",
    "agreed",
    "here",
    "there",
    "then",
    "not",
    "also",
    "often",
    "widely",
    "well",
    "generally",
    "sometimes",
    "commonly",
    "only",
];

/// Nouns that can come between `it is a` and a clause of its own.
const EXPLETIVE_NOUNS: &[&str] = &[
    "myth",
    "misconception",
    "fact",
    "lie",
    "falsehood",
    "hoax",
    "rumour",
    "rumor",
    "legend",
    "claim",
    "belief",
    "theory",
    "secret",
    "mystery",
    "coincidence",
    "pity",
    "shame",
    "surprise",
    "wonder",
    "accident",
];

/// The pronouns that mean the topic.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pronouns {
    allowed: [bool; 4],
}

impl Pronouns {
    /// The pronouns that the sentences of a response begin with tell whether its topic is a person;
    /// where they tell neither, any `she` or `he` does. Of those two the more frequent one is the
    /// topic. A capital inside a sentence is no pronoun (`Its symbol is He`).
    pub(super) fn of(sentences: &[Vec<Token>]) -> Self {
        // A capital inside a sentence is a name or a symbol: `Its symbol is He`.
        let said: Vec<&Token> = sentences
            .iter()
            .flat_map(|sentence| sentence.iter().enumerate())
            .filter(|(index, token)| *index == 0 || !token.capital || token.mark.is_some())
            .map(|(_, token)| token)
            .collect();
        // Where both are as frequent, the first one is the topic: `She married Pierre. He sang.`
        let of_person = ["she", "her", "hers", "he", "his", "him"];
        let first =
            said.iter().find_map(|token| of_person.iter().position(|word| *word == token.word));
        let she = said.iter().filter(|token| token.is_one_of(SHE)).count();
        let he = said.iter().filter(|token| token.is_one_of(HE)).count();
        // Sentences begin with their topic; inside them pronouns stand for anybody.
        let leading: Vec<bool> =
            sentences.iter().filter_map(|sentence| leads_with_person(sentence)).collect();
        let persons = leading.iter().filter(|is_person| **is_person).count();
        let person = match persons.cmp(&(leading.len() - persons)) {
            Ordering::Greater => true,
            Ordering::Less => false,
            Ordering::Equal => leading.first().copied().unwrap_or(she + he > 0),
        };
        let (is_she, is_he) = match she.cmp(&he) {
            Ordering::Greater => (true, false),
            Ordering::Less => (false, true),
            Ordering::Equal => {
                (first.is_none_or(|word| word < 3), first.is_none_or(|word| word >= 3))
            }
        };
        Self { allowed: [person && is_she, person && is_he, !person, !person] }
    }

    /// Without `she`, without `he`, or both.
    pub(super) fn without(mut self, masked: [bool; 2]) -> Self {
        self.allowed[0] &= !masked[0];
        self.allowed[1] &= !masked[1];
        self
    }

    /// Whether the response's pronouns treat its topic as a person.
    pub(super) fn are_of_person(self) -> bool {
        self.allowed[0] || self.allowed[1]
    }

    /// Whether a word stands for the topic where it is an object.
    pub(super) fn stands_as_object(self, word: &str) -> bool {
        match word {
            "her" => self.allowed[0],
            "him" => self.allowed[1],
            _ => false,
        }
    }

    /// Whether a word stands for the topic, and whether it possesses.
    pub(super) fn stands(self, word: &str) -> Option<bool> {
        PRONOUNS.iter().zip(self.allowed).filter(|(_, allowed)| *allowed).find_map(
            |([subject, owner], _)| {
                (word == *subject).then_some(false).or_else(|| (word == *owner).then_some(true))
            },
        )
    }
}

/// Whether a sentence begins with the pronoun of a person, or of a thing; none where it begins with
/// neither, or with `they`, who may be others in both cases.
fn leads_with_person(sentence: &[Token]) -> Option<bool> {
    // `Early life: She was born` begins with a frame.
    let framed = sentence.iter().take(6).position(|token| matches!(token.mark, Some(':' | '-')));
    begins_with_person(sentence).or_else(|| begins_with_person(&sentence[framed?..]))
}

/// Whether words begin with the pronoun of a person, or of a thing.
fn begins_with_person(words: &[Token]) -> Option<bool> {
    match words.first()?.word.as_str() {
        "she" | "her" | "he" | "his" => Some(true),
        "it" if is_expletive(words) => None,
        "it" | "its" => Some(false),
        _ => None,
    }
}

/// A sentence with the topic's name in place of the pronoun, or part of its name, that is the
/// subject.
pub(super) fn with_subject(sentence: &str, topic: &Topic, pronouns: Pronouns) -> String {
    let letters: Vec<char> = sentence.chars().collect();
    let words = if topic.is_known() { tokens(sentence) } else { Vec::new() };
    let Some((first, length, form)) = subject(&words, topic, pronouns) else {
        return shown(sentence.chars());
    };
    let (start, end) = (words[first].start, words[first + length - 1].end);
    let name = topic.name();
    // A name may have an apostrophe of its own; only pronouns are contracted.
    let verb = (length == 1).then(|| contraction(&letters[start..end], &words, first)).flatten();
    let named = match (form, verb) {
        (Form::Owner, _) => format!("{name}'s"),
        (Form::Subject, Some(verb)) => format!("{name} {verb}"),
        (Form::Subject, None) => name.to_owned(),
    };
    let before = letters[..start].iter().copied();
    shown(before.chain(named.chars()).chain(letters[end..].iter().copied()))
}

/// Form of the subject.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Form {
    Subject,
    Owner,
}

/// The words to replace: start, number, and replacement.
fn subject(words: &[Token], topic: &Topic, pronouns: Pronouns) -> Option<(usize, usize, Form)> {
    let first = words.iter().position(|token| !token.article && token.word != "late").unwrap_or(0);
    // `The late Ann Lee` has two words before the name.
    if let Some(length) = topic.mention(words, 0).or_else(|| topic.mention(words, first)) {
        let first = if topic.mention(words, 0).is_some() { 0 } else { first };
        let last = &words[first + length - 1];
        let form = if last.possessive { Form::Owner } else { Form::Subject };
        if first > 0 && words[first - 1].word == "late" {
            return Some((0, first + length, form));
        }
        let is_whole = topic.is_whole_name(&words[first..first + length]);
        return (!is_whole).then_some((first, length, form));
    }
    let from = match words.first()?.word.as_str() {
        "it" if is_expletive(words) => clause_after_expletive(words)?,
        "they" if is_report(words) => clause_after_expletive(words)?,
        _ => 0,
    };
    let mentioned = (0..words.len()).any(|index| topic.mention(words, index).is_some());
    let of_topic: Vec<(usize, bool)> = (from..words.len())
        .filter_map(|index| Some((index, pronouns.stands(&words[index].word)?)))
        .collect();
    let leads = from > 0 || is_leading(words);
    let found = match of_topic.first() {
        Some(first) if first.0 == from => first,
        // `A poet, she was born in Oslo`
        Some(first)
            if !first.1 && words[first.0].mark == Some(',') && is_described(words, first.0) =>
        {
            first
        }
        // In `Born to her parents in Oslo, she`, the subject is `she`.
        Some(first) if leads && !mentioned => {
            of_topic.iter().find(|(_, owner)| !owner).unwrap_or(first)
        }
        _ if mentioned => return None,
        _ => return object_of_topic(words, topic, pronouns).map(|at| (at, 1, Form::Subject)),
    };
    let (index, owner) = *found;
    let owns = (owner && !is_object(words, index)) || words[index].possessive;
    Some((index, 1, if owns { Form::Owner } else { Form::Subject }))
}

/// Whether words without a verb describe a subject after them: `A poet, she`.
fn is_described(words: &[Token], subject: usize) -> bool {
    words[0].article && !words[..subject].iter().any(|word| !word.capital && is_verb(&word.word))
}

/// Whether a pronoun is an object and not a possessive: `a street named after her`.
fn is_object(words: &[Token], index: usize) -> bool {
    let next = |at: usize| match words.get(at) {
        Some(token) if token.mark.is_none() => token.word.as_str(),
        _ => "",
    };
    // `Her most famous book` begins with an owner.
    index > 0
        && match words[index].word.as_str() {
            "him" => true,
            "her" => object::is_object(&words[index - 1].word, next(index + 1), next(index + 2)),
            _ => false,
        }
}

/// The first object that stands for the topic: `Bob defeated her`.
fn object_of_topic(words: &[Token], topic: &Topic, pronouns: Pronouns) -> Option<usize> {
    let at = (1..words.len())
        .find(|at| is_object(words, *at) && pronouns.stands_as_object(&words[*at].word))?;
    can_be_meant(&words[..at], topic).then_some(at)
}

/// Whether an object after these words can only be the topic: besides the subject, which it is not,
/// no other name stands free of prepositions.
pub(super) fn can_be_meant(before: &[Token], topic: &Topic) -> bool {
    let is_name = |token: &Token| token.capital && !token.article && !leads(&token.word);
    let begins = |at: &usize| {
        let follows = at
            .checked_sub(1)
            .map(|last| &before[last])
            .is_some_and(|last| is_name(last) || last.is_one_of(PREPOSITIONS));
        is_name(&before[*at])
            // What is quoted is the name of a work.
            && before[*at].mark != Some('"')
            && (before[*at].mark.is_some() || !follows)
            && topic.mention(before, *at).is_none()
    };
    (0..before.len()).filter(begins).count() <= 1
}

/// Whether a sentence begins with something before its subject.
fn is_leading(words: &[Token]) -> bool {
    let first = words[0].word.as_str();
    leads(first)
        // `Recently` and `Having` lead; short words such as `Ely` do not.
        || (first.len() > 4 && (first.ends_with("ly") || first.ends_with("ing")))
        || (words[0].capital && is_verb(first) && !is_auxiliary(first))
        || (first.len() > 3 && first.ends_with("ed"))
        || is_measure(first)
}

/// Whether a sentence begins with an `it` that stands for a clause, or lifts out a part of one: `It
/// is said that she`, `It was in 1903 that she`.
pub fn is_expletive(words: &[Token]) -> bool {
    if words.len() < 2 || words[0].word != "it" {
        return false;
    }
    let after =
        words.iter().skip(1).position(|token| !is_copula(&token.word) && !token.is_one_of(HELPERS));
    let Some(after) = after.map(|index| index + 1) else { return false };
    let seems = matches!(
        words[1].word.as_str(),
        "seems" | "appears" | "seemed" | "appeared" | "turns" | "happens"
    );
    let copula = after > 1;
    let clause = words[after..]
        .iter()
        .any(|token| matches!(token.word.as_str(), "that" | "who" | "whether" | "to" | "if"));
    let supposes = words[1].word == "would" && words.get(2).is_some_and(|token| token.word == "be");
    supposes
        || clause
            && ((copula && (is_lifted(&words[after]) || has_expletive_noun(&words[after..])))
                || seems)
}

/// Whether a word after `it is` belongs to a clause of its own, or is lifted out of one.
fn is_lifted(token: &Token) -> bool {
    token.is_one_of(&["in", "on", "at", "during", "after", "with", "for", "through", "from", "not"])
        || token.is_one_of(EXPLETIVES)
        || (token.capital && !token.article)
        || is_measure(&token.word)
}

/// Whether words begin with a noun that a clause explains: `a common myth that`. A noun of another
/// kind has a relative clause: `It is a novel that she wrote`.
fn has_expletive_noun(words: &[Token]) -> bool {
    let link = words.iter().position(|token| token.is_one_of(&["that", "whether"]));
    let noun = link.and_then(|link| link.checked_sub(1)).map(|at| &words[at]);
    noun.is_some_and(|noun| noun.is_one_of(EXPLETIVE_NOUNS))
}

/// Where the clause begins that an expletive stands for.
fn clause_after_expletive(words: &[Token]) -> Option<usize> {
    let link =
        words.iter().position(|token| matches!(token.word.as_str(), "that" | "whether" | "if"))?;
    (link + 1 < words.len()).then_some(link + 1)
}

/// The verb that a contraction brings along: `it's` says `is`.
fn contraction(letters: &[char], words: &[Token], index: usize) -> Option<&'static str> {
    let spelt: String = letters.iter().collect();
    let spelt = spelt.replace('\u{2019}', "'").to_lowercase();
    let (pronoun, ending) = spelt.split_once('\'')?;
    let stands = PRONOUNS.iter().any(|[subject, _]| *subject == pronoun);
    let next = words.get(index + 1).map_or("", |token| token.word.as_str());
    match ending {
        "s" if stands && (next == "been" || next == "had") => Some("has"),
        "s" if stands => Some("is"),
        "re" => Some("are"),
        "ve" => Some("have"),
        "ll" => Some("will"),
        "d" if next == "been" || next.ends_with("ed") => Some("had"),
        "d" => Some("would"),
        _ => None,
    }
}
