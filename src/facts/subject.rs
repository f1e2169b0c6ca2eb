//! The subject of a sentence named, so that it can be judged without the answer.

use std::cmp::Ordering;

use super::{
    Topic,
    token::{Token, tokens},
    unicode::shown,
    verb::{is_auxiliary, is_copula, is_verb},
};

/// Pronouns with their possessives, by whom they stand for.
const PRONOUNS: [[&str; 2]; 4] = [["she", "her"], ["he", "his"], ["it", "its"], ["they", "their"]];

/// Words that begin what comes before the subject: `In 1903, she ...`, `Born in Oslo, she ...`, `Some of her ...`.
const LEADING: &[&str] = &[
    "in",
    "on",
    "at",
    "by",
    "for",
    "from",
    "with",
    "after",
    "before",
    "during",
    "when",
    "while",
    "as",
    "since",
    "until",
    "throughout",
    "under",
    "over",
    "among",
    "between",
    "despite",
    "besides",
    "beyond",
    "following",
    "upon",
    "through",
    "towards",
    "without",
    "within",
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
    "to",
    "of",
    "like",
    "unlike",
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
    "along",
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
    "while",
    "about",
    "around",
    "nor",
    "only",
];

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
    "generally",
    "sometimes",
    "commonly",
    "only",
];

/// Who the pronouns of an answer stand for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pronouns {
    allowed: [bool; 4],
}

impl Pronouns {
    /// The pronouns that the sentences of an answer begin with tell whether its topic is a person; where they tell neither,
    /// any `she` or `he` does. Of those two the more frequent one is the topic. A capital inside a sentence is no pronoun
    /// (`Its symbol is He`).
    pub(super) fn of(sentences: &[Vec<Token>]) -> Self {
        let is_said = |index: usize, token: &Token| index == 0 || !token.capital || token.mark.is_some();
        let count = |words: &[&str]| -> usize {
            let said = sentences.iter().flat_map(|sentence| sentence.iter().enumerate());
            said.filter(|(index, token)| is_said(*index, token) && words.contains(&token.word.as_str())).count()
        };
        // Where both are as frequent, the first one is the topic: `She married Pierre. He sang.`
        let of_person = ["she", "her", "hers", "he", "his", "him"];
        let said = sentences.iter().flat_map(|sentence| sentence.iter().enumerate());
        let first = said
            .filter(|(index, token)| is_said(*index, token))
            .find_map(|(_, token)| of_person.iter().position(|word| *word == token.word));
        let (she, he) = (count(&["she", "her", "hers", "herself"]), count(&["he", "his", "him", "himself"]));
        let leading: Vec<bool> = sentences.iter().filter_map(|sentence| leads_with_person(sentence)).collect();
        let persons = leading.iter().filter(|is_person| **is_person).count();
        let person = match persons.cmp(&(leading.len() - persons)) {
            Ordering::Greater => true,
            Ordering::Less => false,
            Ordering::Equal => leading.first().copied().unwrap_or(she + he > 0),
        };
        let (is_she, is_he) = match she.cmp(&he) {
            Ordering::Greater => (true, false),
            Ordering::Less => (false, true),
            Ordering::Equal => (first.is_none_or(|word| word < 3), first.is_none_or(|word| word >= 3)),
        };
        Self { allowed: [person && is_she, person && is_he, !person, !person] }
    }

    /// Without `she`, without `he`, or both.
    pub(super) fn without(mut self, masked: [bool; 2]) -> Self {
        self.allowed[0] &= !masked[0];
        self.allowed[1] &= !masked[1];
        self
    }

    /// Whether the answer speaks of its topic as of a person.
    pub(super) fn are_of_person(self) -> bool {
        self.allowed[0] || self.allowed[1]
    }

    /// Whether a word stands for the topic, and whether it possesses.
    pub(super) fn stands(self, word: &str) -> Option<bool> {
        PRONOUNS.iter().zip(self.allowed).filter(|(_, allowed)| *allowed).find_map(|([subject, owner], _)| {
            (word == *subject).then_some(false).or_else(|| (word == *owner).then_some(true))
        })
    }
}

/// Whether a sentence begins with the pronoun of a person, or of a thing; none where it begins with neither, or with
/// `they`, who may be others in both cases.
fn leads_with_person(sentence: &[Token]) -> Option<bool> {
    let framed = sentence.iter().take(6).position(|token| matches!(token.mark, Some(':' | '-')));
    let said = |from: usize| match sentence.get(from)?.word.as_str() {
        "she" | "her" | "he" | "his" => Some(true),
        "it" if is_expletive(&sentence[from..]) => None,
        "it" | "its" => Some(false),
        _ => None,
    };
    said(0).or_else(|| said(framed?))
}

/// A sentence with the topic's name in place of the pronoun, or part of its name, that is the subject.
pub(super) fn with_subject(sentence: &str, topic: &Topic, pronouns: Pronouns) -> String {
    let letters: Vec<char> = sentence.chars().collect();
    let unchanged = || shown(letters.iter().copied());
    if !topic.is_known() {
        return unchanged();
    }
    let words = tokens(sentence);
    let Some((first, length, form)) = subject(&words, topic, pronouns) else { return unchanged() };
    let (start, end) = (words[first].start, words[first + length - 1].end);
    let name = topic.name();
    let verb = (length == 1).then(|| contraction(&letters[start..end], &words, first)).flatten();
    let named = match (form, verb) {
        (Form::Owner, _) => format!("{name}'s"),
        (Form::Subject, Some(verb)) => format!("{name} {verb}"),
        (Form::Subject, None) => name.to_owned(),
    };
    let before = letters[..start].iter().copied();
    shown(before.chain(named.chars()).chain(letters[end..].iter().copied()))
}

/// How the subject is said.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Form {
    Subject,
    Owner,
}

/// The words to be replaced: where they begin, how many they are, and what stands for them.
fn subject(words: &[Token], topic: &Topic, pronouns: Pronouns) -> Option<(usize, usize, Form)> {
    let first = words.iter().position(|token| !token.article && token.word != "late").unwrap_or(0);
    if let Some(length) = topic.mention(words, 0).or_else(|| topic.mention(words, first)) {
        let first = if topic.mention(words, 0).is_some() { 0 } else { first };
        let last = &words[first + length - 1];
        let form = if last.possessive { Form::Owner } else { Form::Subject };
        if first > 0 && words[first - 1].word == "late" {
            return Some((0, first + length, form));
        }
        let whole = Topic::whole(topic, &words[first..first + length]);
        return (!whole).then_some((first, length, form));
    }
    let from = match words.first()?.word.as_str() {
        "it" if is_expletive(words) => clause_after_expletive(words)?,
        _ => 0,
    };
    let mentioned = (0..words.len()).any(|index| topic.mention(words, index).is_some());
    let stands = |index: usize| pronouns.stands(&words[index].word).map(|owner| (index, owner));
    let form = |(index, owner): (usize, bool)| {
        let owns = (owner && !is_object(words, index)) || words[index].possessive;
        (index, 1, if owns { Form::Owner } else { Form::Subject })
    };
    if let Some(found) = stands(from) {
        return Some(form(found));
    }
    let leads = from > 0 || is_leading(words);
    if !leads || mentioned {
        return None;
    }
    let nominative = (from..words.len()).filter_map(stands).find(|(_, owner)| !owner);
    nominative.or_else(|| (from..words.len()).find_map(stands)).map(form)
}

/// Whether `her` stands for herself, and not before what is hers: `a street named after her`.
fn is_object(words: &[Token], index: usize) -> bool {
    words[index].word == "her"
        && words.get(index + 1).is_none_or(|next| {
            next.mark.is_some()
                || next.article
                || is_auxiliary(&next.word)
                || LEADING.contains(&next.word.as_str())
                || matches!(next.word.as_str(), "down" | "up" | "back" | "away" | "off" | "out" | "into")
        })
}

/// Whether a sentence begins with something before its subject.
fn is_leading(words: &[Token]) -> bool {
    let first = words[0].word.as_str();
    LEADING.contains(&first)
        || (first.len() > 4 && (first.ends_with("ly") || first.ends_with("ing")))
        || (words[0].capital && is_verb(first) && !is_auxiliary(first))
        || (first.len() > 3 && first.ends_with("ed"))
        || super::number::is_measure(first)
}

/// Whether a sentence begins with an `it` that stands for a clause, or lifts out a part of one: `It is said that she`,
/// `It was in 1903 that she`.
pub fn is_expletive(words: &[Token]) -> bool {
    if words.len() < 2 || words[0].word != "it" {
        return false;
    }
    let after =
        words.iter().skip(1).position(|token| !is_copula(&token.word) && token.word != "has" && token.word != "would");
    let Some(after) = after.map(|index| index + 1) else { return false };
    let seems = matches!(words[1].word.as_str(), "seems" | "appears" | "seemed" | "appeared" | "turns" | "happens");
    let copula = after > 1;
    let clause =
        words[after..].iter().any(|token| matches!(token.word.as_str(), "that" | "who" | "whether" | "to" | "if"));
    let lifted = |token: &Token| {
        matches!(
            token.word.as_str(),
            "in" | "on" | "at" | "during" | "after" | "with" | "for" | "through" | "from" | "not"
        ) || EXPLETIVES.contains(&token.word.as_str())
            || (token.capital && !token.article)
            || super::number::is_measure(&token.word)
    };
    let supposes = words[1].word == "would" && words.get(2).is_some_and(|token| token.word == "be");
    supposes || clause && ((copula && lifted(&words[after])) || seems)
}

/// Where the clause begins that an expletive stands for.
fn clause_after_expletive(words: &[Token]) -> Option<usize> {
    let link = words.iter().position(|token| matches!(token.word.as_str(), "that" | "whether" | "if"))?;
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

impl Topic {
    /// Whether these words are its whole name, or a spelling of it with other initials or articles.
    fn whole(&self, words: &[Token]) -> bool {
        let own: Vec<&str> = words.iter().filter(|token| !token.article).map(|token| token.word.as_str()).collect();
        own.join(" ") == super::normalise(self.name())
    }
}
