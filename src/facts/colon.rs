//! Words before a colon: who speaks, or the label of a value.

use super::{
    label::NOUNS_TOO, number::is_measure, scan::tokens, token::Token, topic::Topic, unicode::shown,
    verb::is_verb,
};

/// Words that stand for the topic at the beginning of a sentence.
const PRONOUNS: &[&str] = &["she", "he", "it", "they", "her", "his", "its", "their"];
/// Maximum words of a frame or a label: `Biographers record:`, `Place of birth:`.
const LONGEST_FRAME: usize = 5;

/// Where the fact begins after words before a colon that name the speaker, or else whether they are
/// a label.
pub(super) fn framed(letters: &[char], start: usize, end: usize, topic: &Topic) -> (usize, bool) {
    // `2001: A Space Odyssey` has a colon of its own.
    let name: Vec<char> = topic.name().chars().collect();
    let begins = !name.is_empty() && letters[start..end].starts_with(&name);
    let from = start + if begins { name.len() } else { 0 };
    let Some(colon) =
        (from..end).find(|at| is_colon(letters[*at]) || (*at > start && is_dash(letters, *at)))
    else {
        return (start, false);
    };
    let words: String = letters[start..colon].iter().collect();
    let frame = tokens(&words);
    let spaces = letters[colon + 1..end].iter().take_while(|c| c.is_whitespace());
    let fact = colon + 1 + spaces.count();
    let spaced = fact > colon + 1 || fact == end || letters[colon] == '\u{ff1a}';
    let is_fact_itself = frame.iter().any(|word| is_verb(&word.word) && !word.capital)
        && fact < end
        && (0..frame.len()).any(|index| {
            topic.mention(&frame, index).is_some() || frame[index].is_one_of(PRONOUNS)
        });
    let about =
        topic.is_known() && topic.mention(&frame, 0).is_some_and(|length| length < frame.len());
    let by_pronoun = frame.first().is_some_and(|word| word.is_one_of(PRONOUNS));
    // Many words before a colon, or such about the topic, are a sentence that ends in a list.
    if frame.len() > LONGEST_FRAME
        || frame.is_empty()
        || about
        || by_pronoun
        || !spaced
        || is_fact_itself
    {
        return (start, false);
    }
    let text: String = letters[fact..end].iter().collect();
    let value = tokens(&text);
    let lower_case = text.starts_with(char::is_lowercase);
    let is_topic = topic.mention(&frame, 0).is_some();
    let states = says_something(&value, topic) || is_topic;
    if is_remark(&frame) {
        return (fact, false);
    }
    if !is_colon(letters[colon]) {
        return (if names_subject(&value, topic) { fact } else { start }, false);
    }
    // Without a topic nobody could be named in front of the value.
    let is_label = topic.is_known()
        && fact < end
        && !states
        && !frame
            .iter()
            .any(|word| !word.capital && is_verb(&word.word) && !word.is_one_of(NOUNS_TOO));
    if is_label {
        (start, true)
    } else if lower_case || (is_topic && fact < end && !says_something(&value, topic)) {
        (start, false)
    } else {
        (fact, false)
    }
}

/// Whether words before a colon only say that something follows: `Please note`, `Disclaimer`.
fn is_remark(frame: &[Token]) -> bool {
    let remarks = ["note", "nb", "disclaimer", "reminder", "apologies", "correction", "sorry"];
    let begins = frame.first().is_some_and(|first| first.word != "please" && first.capital);
    begins && frame[0].is_one_of(&remarks)
        || frame.len() == 2 && frame[0].word == "please" && frame[1].word == "note"
}

/// Names of works of reference, of which a source is one.
const REFERENCES: &[&str] = &[
    "wikipedia",
    "britannica",
    "imdb",
    "http",
    "https",
    "www",
    "encyclopedia",
    "encyclopaedia",
    "wikidata",
];

/// Whether a line names a source of the answer: `Source: Wikipedia`.
pub(super) fn names_source(frame: &[Token], value: &[Token]) -> bool {
    frame.len() == 1
        && frame[0].is_one_of(&["source", "sources", "reference", "references"])
        && value.iter().any(|word| word.is_one_of(REFERENCES))
}

fn is_colon(letter: char) -> bool {
    matches!(letter, ':' | '\u{ff1a}')
}

/// Whether there is a dash between words here, and no hyphen or minus.
fn is_dash(letters: &[char], at: usize) -> bool {
    matches!(letters[at], '-' | '\u{2013}' | '\u{2014}')
        && letters[at - 1].is_whitespace()
        && letters.get(at + 1).is_some_and(|c| c.is_whitespace())
}

/// Whether words are a sentence rather than the value of a label: they name the topic, or have a
/// verb.
pub(super) fn says_something(words: &[Token], topic: &Topic) -> bool {
    names_subject(words, topic)
        || words.iter().enumerate().any(|(index, word)| {
            index > 0 && !word.capital && is_verb(&word.word) && word.word != "born"
        })
}

/// Whether words begin with the topic, or a pronoun that may stand for it.
fn names_subject(words: &[Token], topic: &Topic) -> bool {
    words.first().is_some_and(|first| first.is_one_of(PRONOUNS))
        || topic.mention(words, 0).is_some()
}

/// Whether words are the topic's name and nothing else.
pub(super) fn is_topic_alone(words: &[Token], topic: &Topic) -> bool {
    topic.mention(words, 0) == Some(words.len()) && !words.iter().any(|word| word.possessive)
}

/// A fact as a claim where it is a value with its label; `is_label` is whether a colon shows it.
pub(super) fn with_label(
    fact: &str,
    words: &[Token],
    is_label: bool,
    topic: &Topic,
) -> Option<String> {
    match bare_label(words) {
        _ if is_label => Some(labelled(fact, topic)),
        Some(word) => Some(labelled(&fact.replacen(word, &format!("{word}:"), 1), topic)),
        None => None,
    }
}

/// The label that stands before its value without a colon: `Born Oslo`, `Died 12 May 1934`.
fn bare_label(words: &[Token]) -> Option<&'static str> {
    let label = match words.first()?.word.as_str() {
        "born" => "Born",
        "died" => "Died",
        _ => return None,
    };
    let is_value = |word: &Token| word.capital || word.mark.is_some() || is_measure(&word.word);
    (words[0].capital
        && words.len() > 1
        && words[1].mark.is_none()
        && words[1..].iter().all(is_value))
    .then_some(label)
}

/// A label and its value as a claim of the topic: `Ann Lee's birthplace: Oslo`, `Ann Lee was born
/// in Oslo`.
pub(super) fn labelled(fact: &str, topic: &Topic) -> String {
    let fact = shown(fact.chars());
    if let Some((label, value)) = fact.split_once(": ")
        && let Some(verb) = match label.to_lowercase().as_str() {
            "born" => Some("was born"),
            "died" => Some("died"),
            _ => None,
        }
    {
        let is_day = tokens(value).first().is_some_and(|first| first.word.matches('-').count() > 1);
        return format!("{} {verb} {} {value}", topic.name(), if is_day { "on" } else { "in" });
    }
    let mut letters = fact.chars();
    let first = letters.next();
    // `BSc: Oslo` keeps its capitals, `Birthplace: Oslo` becomes `birthplace`.
    let is_acronym = letters.clone().next().is_some_and(char::is_uppercase);
    let small = first.into_iter().flat_map(|letter| {
        let lower: String =
            if is_acronym { letter.to_string() } else { letter.to_lowercase().collect() };
        lower.chars().collect::<Vec<_>>()
    });
    let label: String = small.chain(letters).collect();
    format!("{}'s {label}", topic.name())
}
