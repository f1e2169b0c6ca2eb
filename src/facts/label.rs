//! Labels on a line of their own, above their values: `Death place:` and below it `- Oslo`.

use super::{other::is_other_person, token::Token, topic::Topic, verb::is_verb};

/// Maximum words of a label.
pub(super) const LONGEST_LABEL: usize = 5;
/// Maximum words of a value.
const LONGEST_VALUE: usize = 12;
/// Verbs that are nouns in labels.
pub(super) const NOUNS_TOO: &[&str] =
    &["works", "plays", "shows", "tours", "travels", "studies", "lives"];
/// Labels of the answer itself, which say nothing about values.
const OF_THE_ANSWER: &[&str] = &[
    "fact",
    "facts",
    "summary",
    "answer",
    "answers",
    "biography",
    "timeline",
    "overview",
    "note",
    "notes",
    "example",
    "examples",
    "list",
    "detail",
    "details",
    "information",
    "background",
    "life",
    "career",
    "question",
    "points",
    "here",
    "highlights",
    "introduction",
    "conclusion",
    "output",
    "response",
    "result",
    "results",
    "text",
    "key",
    "achievements",
    "accomplishments",
];
/// Labels above the sources of an answer.
const OF_SOURCES: &[&str] =
    &["references", "sources", "citations", "reading", "links", "footnotes"];
/// Words with them.
const WITH_SOURCES: &[&str] =
    &["further", "external", "and", "further", "web", "notes", "see", "also"];

/// A label above the lines that it is for.
#[derive(Clone, Debug)]
pub(super) struct Label {
    /// Its text without the colon.
    text: String,
    /// Whether a line was read as its value.
    used: bool,
    /// Whether what follows are no values of the topic.
    heads_nothing: bool,
    /// Whether what follows are sources of the answer, and no facts.
    pub(super) heads_sources: bool,
}

impl Label {
    /// The label of these words and this text, if they are one.
    pub(super) fn of(words: &[Token], text: &str, topic: &Topic) -> Option<Self> {
        let heads_sources = head_sources(words);
        // `Ada Quill's awards`, `Her awards`
        let owner = match topic.mention(words, 0) {
            Some(length) if words[length - 1].possessive => length,
            Some(_) => return None,
            None => usize::from(
                words.first().is_some_and(|first| first.is_one_of(&["her", "his", "its", "their"])),
            ),
        };
        let rest = &words[owner..];
        let says = rest
            .iter()
            .any(|word| !word.capital && is_verb(&word.word) && !word.is_one_of(NOUNS_TOO))
            || rest.first().is_some_and(|first| first.is_one_of(&["she", "he", "it", "they"]));
        let is_named = (0..rest.len()).any(|at| topic.mention(rest, at).is_some());
        let is_short = !rest.is_empty() && rest.len() <= LONGEST_LABEL && topic.is_known();
        let heads_nothing = is_named
            || rest.iter().any(|word| word.is_one_of(OF_THE_ANSWER))
            || is_other_person(rest, topic);
        let letters = text.trim().trim_end_matches([':', '\u{ff1a}']).trim_end().chars();
        let text = letters.skip(rest.first().map_or(0, |first| first.start)).collect();
        (is_short && !says || heads_sources).then_some(Self {
            text,
            used: false,
            heads_sources,
            heads_nothing,
        })
    }

    /// The label with a line that is its value, `Death place: Oslo`; none where the line is a
    /// sentence.
    pub(super) fn with(&mut self, value: &str, words: &[Token]) -> Option<String> {
        let begins_with_verb = words.first().is_some_and(|first| is_verb(&first.word));
        if self.heads_nothing
            || words.len() > LONGEST_VALUE
            || begins_with_verb
            || value.ends_with(['?', '!', ':'])
        {
            return None;
        }
        self.used = true;
        Some(format!("{}: {value}", self.text))
    }

    /// Whether it is for a paragraph that begins now: as a point of its list, or its first one.
    pub(super) fn goes_on(&self, is_point: bool) -> bool {
        is_point || !self.used
    }

    /// A source of the answer was read.
    pub(super) fn use_up(&mut self) {
        self.used = true;
    }
}

/// Whether words are a heading over sources: `References`, `Further reading`.
pub(super) fn head_sources(words: &[Token]) -> bool {
    words.iter().any(|word| word.is_one_of(OF_SOURCES))
        && words.iter().all(|word| word.is_one_of(OF_SOURCES) || word.is_one_of(WITH_SOURCES))
}
