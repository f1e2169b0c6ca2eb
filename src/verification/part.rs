//! Sentences into parts, between marks, conjunctions and links.

use crate::facts::{Token, Topic, is_auxiliary, is_copula, is_expletive, is_measure, is_verb};

use super::{
    grammar::{CONJUNCTIONS, PREPOSITIONS, RELATIVES, SUBORDINATES, is_empty},
    statement::TOPIC,
};

/// The parts of a sentence about a topic; `pronouns` are the words that stand for it.
pub(super) fn parts(tokens: &[Token], topic: &Topic, pronouns: &[&str]) -> Vec<Part> {
    parted(lowered(items(tokens, topic, pronouns)))
}

/// A word or a mention of the topic, before it has its place in a statement.
#[derive(Clone, Debug)]
pub(super) struct Item {
    pub(super) word: String,
    pub(super) mark: Option<char>,
    pub(super) capital: bool,
    pub(super) owner: bool,
    pub(super) article: bool,
    pub(super) joined: bool,
    /// Whether a pronoun stands here as a subject.
    pub(super) nominative: bool,
    /// Whether it is part of a name, or of a number's sign, and so denies nothing.
    pub(super) plain: bool,
}

/// A part of a sentence between marks, conjunctions and links.
#[derive(Clone, Debug, Default)]
pub(super) struct Part {
    pub(super) link: Option<String>,
    /// Whether a mark stands before it.
    pub(super) marked: bool,
    pub(super) items: Vec<Item>,
}

impl Part {
    pub(super) fn verb(&self) -> Option<usize> {
        let after_copula = |index: usize| index > 0 && is_copula(&self.items[index - 1].word);
        self.items.iter().enumerate().position(|(index, item)| {
            !item.capital
                && !item.owner
                && !item.joined
                && (is_verb(&item.word) || (after_copula(index) && is_progressive(&item.word)))
                || (item.capital && index == 0 && self.link.is_none() && is_participle(&item.word) && !item.owner)
        })
    }
}

fn is_progressive(word: &str) -> bool {
    word.len() > 5 && word.ends_with("ing")
}

/// `Born in Oslo, ...`
fn is_participle(word: &str) -> bool {
    word != TOPIC && is_verb(word)
}

/// The words of a sentence with the topic's mentions as one each.
fn items(tokens: &[Token], topic: &Topic, pronouns: &[&str]) -> Vec<Item> {
    let mut items: Vec<Item> = Vec::with_capacity(tokens.len());
    let mut index = 0;
    while index < tokens.len() {
        let token = &tokens[index];
        let length = topic.mention(tokens, index);
        let pronoun = pronouns.contains(&token.word.as_str()) && !(index == 0 && is_expletive(tokens));
        let owner = token.possessive || matches!(token.word.as_str(), "his" | "her" | "its" | "their");
        let item = match length {
            Some(length) => {
                let owner = tokens[index + length - 1].possessive;
                Item { word: TOPIC.to_owned(), owner, ..item(token) }
            }
            None if pronoun && (index == 0 || !token.capital || token.mark.is_some()) => {
                Item { word: TOPIC.to_owned(), owner, nominative: !owner, capital: true, ..item(token) }
            }
            None => Item { plain: is_plain(tokens, index), ..item(token) },
        };
        let repeats = items.last().is_some_and(|last| last.word == TOPIC && !last.owner)
            && item.word == TOPIC
            && item.mark.is_none();
        if repeats {
            items.pop();
        }
        items.push(item);
        index += length.unwrap_or(1);
    }
    own_whole_names(&mut items);
    items
}

/// Whether a word is part of a name (`Paradise Lost`, the symbol `In`), or of a number's sign (`No. 5`). What denies is part
/// of none in other respects, since titles are written in capitals too.
fn is_plain(tokens: &[Token], index: usize) -> bool {
    let (token, next) = (&tokens[index], tokens.get(index + 1));
    let before_name = next.is_some_and(|next| next.capital && next.mark.is_none());
    let is_denial =
        matches!(token.word.as_str(), "not" | "never" | "no" | "neither" | "nor" | "none" | "cannot" | "without");
    match is_denial {
        true => token.word == "no" && next.is_some_and(|next| is_measure(&next.word)),
        false => index > 0 && token.capital && (before_name || token.mark.is_none()),
    }
}

fn item(token: &Token) -> Item {
    Item {
        word: token.word.clone(),
        mark: token.mark,
        capital: token.capital,
        owner: token.possessive,
        article: token.article,
        joined: token.joined,
        nominative: false,
        plain: false,
    }
}

/// All words of a name own what its last word owns: `New York City's mayor`.
fn own_whole_names(items: &mut [Item]) {
    for index in (1..items.len()).rev() {
        let (before, after) = (&items[index - 1], &items[index]);
        let one_name = after.owner && after.capital && after.mark.is_none() && after.word != TOPIC;
        if one_name
            && before.capital
            && before.word != TOPIC
            && !PREPOSITIONS.contains(&before.word.as_str())
            && !before.article
        {
            items[index - 1].owner = true;
        }
    }
}

/// A sentence without what only lifts a part of it: `It was in 1903 that she won` as `In 1903, she won`.
fn lowered(mut items: Vec<Item>) -> Vec<Item> {
    let lifts = items.len() > 4
        && items[0].word == "it"
        && is_copula(&items[1].word)
        && (PREPOSITIONS.contains(&items[2].word.as_str()) || items[2].word == TOPIC || items[2].capital);
    let link = items.iter().skip(3).position(|item| matches!(item.word.as_str(), "that" | "who"));
    if lifts && let Some(link) = link {
        let is_who = items[2].word == TOPIC || !PREPOSITIONS.contains(&items[2].word.as_str());
        items.remove(link + 3);
        if !is_who && let Some(after) = items.get_mut(link + 3) {
            after.mark = Some(',');
        }
        items.drain(..2);
    }
    items
}

/// Where a sentence is parted.
fn parted(items: Vec<Item>) -> Vec<Part> {
    let mut parts = vec![Part::default()];
    for item in items {
        let word = item.word.as_str();
        let is_link =
            !item.plain && (CONJUNCTIONS.contains(&word) || RELATIVES.contains(&word) || SUBORDINATES.contains(&word));
        let parting = item.mark.is_some_and(|mark| mark != '"');
        let last = parts.len() - 1;
        if (is_link || parting) && (!parts[last].items.is_empty() || parts[last].link.is_some()) {
            parts.push(Part { marked: parting, ..Part::default() });
        }
        let last = parts.len() - 1;
        match is_link {
            true if parts[last].link.is_none() || !CONJUNCTIONS.contains(&word) => parts[last].link = Some(item.word),
            true => {}
            false => parts[last].items.push(item),
        }
    }
    parts
}

/// Titles before a name, which is whole without them.
const TITLES: &[&str] = &[
    "president",
    "king",
    "queen",
    "emperor",
    "empress",
    "prince",
    "princess",
    "dr",
    "mr",
    "mrs",
    "ms",
    "miss",
    "sir",
    "lady",
    "lord",
    "dame",
    "professor",
    "prof",
    "general",
    "captain",
    "colonel",
    "major",
    "pope",
    "saint",
    "judge",
    "senator",
    "governor",
    "minister",
    "chancellor",
    "bishop",
    "archbishop",
    "cardinal",
    "count",
    "duke",
    "baron",
    "mayor",
];
/// Units and eras after a number, which says something else without them.
const UNITS: &[&str] = &[
    "km", "m", "cm", "mm", "kg", "g", "ft", "miles", "lb", "ha", "percent", "mph", "inches", "inch", "dollars",
    "euros", "pounds", "yen", "bc", "bce", "degrees", "yards", "tonnes", "tons",
];

/// Whether a word is not whole without the one before it: after a hyphen, in a name, or in a measure of two units.
pub(super) fn is_bound(items: &[Item], index: usize) -> bool {
    let Some(before) = index.checked_sub(1).map(|at| &items[at]) else { return false };
    let item = &items[index];
    let word = before.word.as_str();
    let ends_name = item.capital && item.mark.is_none() && item.word != TOPIC && !item.article && !item.nominative;
    let begins_name = before.capital
        && before.word != TOPIC
        && !before.owner
        && !before.article
        && !before.nominative
        && !is_measure(word)
        && ![TITLES, PREPOSITIONS].iter().any(|list| list.contains(&word))
        && !(is_empty(word) || is_auxiliary(word) || is_verb(word));
    let two_units = is_measure(&item.word) && item.mark.is_none() && UNITS.contains(&word);
    item.joined || (ends_name && begins_name) || two_units
}

/// The unit or era after a number.
pub(super) fn unit_after(items: &[Item], index: usize) -> Option<String> {
    let next = items.get(index + 1).filter(|next| is_measure(&items[index].word) && next.mark.is_none())?;
    UNITS.contains(&next.word.as_str()).then(|| next.word.clone())
}

/// Whether an item becomes a word of a statement.
pub(super) fn words_of(item: &Item) -> bool {
    let word = item.word.as_str();
    let silent = item.article || (!item.plain && (is_empty(word) || is_auxiliary(word))) || word == "of";
    let ties = PREPOSITIONS.contains(&word) && !item.plain;
    let denial = matches!(word, "not" | "never" | "no" | "neither" | "nor" | "cannot" | "without") && !item.plain;
    word == TOPIC || !(silent || ties || denial)
}
