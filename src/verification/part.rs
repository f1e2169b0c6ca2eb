//! Splits sentences into parts, at marks, conjunctions and links.

use crate::facts::{
    PREPOSITIONS, Token, Topic, is_auxiliary, is_copula, is_expletive, is_measure, is_verb,
};

use super::grammar::{CONJUNCTIONS, RELATIVES, SUBORDINATES, is_empty};

/// Placeholder of the topic in any mention.
pub(super) const TOPIC: &str = "\u{1}";
/// Stands for somebody else, who is not named.
pub(super) const OTHER: &str = "\u{2}";

/// The parts of a sentence about a topic; `pronouns` are the words that stand for it, where these
/// are known.
pub(super) fn parts(
    tokens: &[Token],
    topic: &Topic,
    pronouns: Option<&[&str]>,
) -> Vec<SentencePart> {
    parted(without_alternatives(lowered(items(tokens, topic, pronouns))))
}

/// A word or a mention of the topic, before it is part of a statement.
#[derive(Clone, Debug)]
pub(super) struct PartWord {
    pub(super) word: String,
    pub(super) mark: Option<char>,
    pub(super) capital: bool,
    pub(super) owner: bool,
    pub(super) article: bool,
    pub(super) joined: bool,
    /// Whether a pronoun is a subject here.
    pub(super) nominative: bool,
    /// Whether it is part of a name or of a number's sign, and so no denial.
    pub(super) plain: bool,
}

impl PartWord {
    /// Whether it is one of these words.
    pub(super) fn is_one_of(&self, words: &[&str]) -> bool {
        words.contains(&self.word.as_str())
    }
}

/// A part of a sentence between marks, conjunctions and links.
#[derive(Clone, Debug, Default)]
pub(super) struct SentencePart {
    pub(super) link: Option<String>,
    /// Whether a mark precedes it.
    pub(super) marked: bool,
    pub(super) items: Vec<PartWord>,
}

impl SentencePart {
    pub(super) fn verb(&self) -> Option<usize> {
        self.items.iter().enumerate().position(|(index, item)| {
            // `Was singing` has a verb, `a king` has not, though both end alike.
            let continues_copula = index > 0 && is_copula(&self.items[index - 1].word);
            !item.capital
                && !item.owner
                && !item.joined
                && (is_verb(&item.word) || (continues_copula && is_progressive(&item.word)))
                || (item.capital
                    && index == 0
                    && self.link.is_none()
                    && is_participle(&item.word)
                    && !item.owner)
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

/// The words of a sentence with the topic's mentions as one each. A `she` or `he` before them who
/// is not the topic is somebody else.
fn items(tokens: &[Token], topic: &Topic, pronouns: Option<&[&str]>) -> Vec<PartWord> {
    let mut items: Vec<PartWord> = Vec::with_capacity(tokens.len());
    let mut index = 0;
    while index < tokens.len() {
        let token = &tokens[index];
        let length = topic.mention(tokens, index);
        let stands = pronouns.is_some_and(|pronouns| pronouns.contains(&token.word.as_str()));
        let pronoun = stands && !(index == 0 && is_expletive(tokens));
        let is_said = index == 0 || !token.capital || token.mark.is_some();
        let is_other = pronouns.is_some() && matches!(token.word.as_str(), "she" | "he");
        let owner =
            token.possessive || matches!(token.word.as_str(), "his" | "her" | "its" | "their");
        let item = match length {
            Some(length) => {
                let owner = tokens[index + length - 1].possessive;
                PartWord { word: TOPIC.to_owned(), owner, ..item(token) }
            }
            None if pronoun && is_said => PartWord {
                word: TOPIC.to_owned(),
                owner,
                nominative: !owner,
                capital: true,
                ..item(token)
            },
            // Only before the topic is mentioned: after it, `she` is more likely the topic.
            None if is_other && is_said && items.iter().all(|item| item.word != TOPIC) => {
                PartWord { word: OTHER.to_owned(), nominative: true, capital: true, ..item(token) }
            }
            None => PartWord { plain: is_plain(tokens, index), ..item(token) },
        };
        // `Ada Quill, she sang` names the topic twice.
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

/// Whether a word is part of a name (`Paradise Lost`, the symbol `In`), or of a number's sign (`No.
/// 5`). Denials are never part of a name otherwise, since titles are capitalised too.
fn is_plain(tokens: &[Token], index: usize) -> bool {
    let (token, next) = (&tokens[index], tokens.get(index + 1));
    let before_name = next.is_some_and(|next| next.capital && next.mark.is_none());
    let is_denial = matches!(
        token.word.as_str(),
        "not" | "never" | "no" | "neither" | "nor" | "none" | "cannot" | "without"
    );
    if is_denial {
        token.word == "no" && next.is_some_and(|next| is_measure(&next.word))
    } else {
        index > 0 && token.capital && (before_name || token.mark.is_none())
    }
}

fn item(token: &Token) -> PartWord {
    PartWord {
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
fn own_whole_names(items: &mut [PartWord]) {
    for index in (1..items.len()).rev() {
        let (before, after) = (&items[index - 1], &items[index]);
        let one_name = after.owner && after.capital && after.mark.is_none() && after.word != TOPIC;
        if one_name
            && before.capital
            && before.word != TOPIC
            && !before.is_one_of(PREPOSITIONS)
            && !before.article
        {
            items[index - 1].owner = true;
        }
    }
}

/// A sentence without clefts: `It was in 1903 that she won` as `In 1903, she won`.
fn lowered(mut items: Vec<PartWord>) -> Vec<PartWord> {
    // Shorter sentences have no room for a cleft: `It is a gas`.
    let lifts = items.len() > 4
        && items[0].word == "it"
        && is_copula(&items[1].word)
        && (items[2].is_one_of(PREPOSITIONS) || items[2].word == TOPIC || items[2].capital);
    let link = items.iter().skip(3).position(|item| matches!(item.word.as_str(), "that" | "who"));
    if lifts && let Some(link) = link {
        let is_who = items[2].word == TOPIC || !items[2].is_one_of(PREPOSITIONS);
        items.remove(link + 3);
        if !is_who && let Some(after) = items.get_mut(link + 3) {
            after.mark = Some(',');
        }
        items.drain(..2);
    }
    items
}

/// Pairs of words before what is not the case: `in Oslo rather than Bergen`.
const ALTERNATIVES: [[&str; 2]; 2] = [["rather", "than"], ["instead", "of"]];

/// A sentence with its alternatives as denials of their own: `in Oslo rather than Bergen` as `in
/// Oslo, not Bergen`.
fn without_alternatives(items: Vec<PartWord>) -> Vec<PartWord> {
    let mut found: Vec<PartWord> = Vec::with_capacity(items.len());
    let mut rest = items.into_iter().peekable();
    while let Some(item) = rest.next() {
        let is_pair = |next: &PartWord| {
            ALTERNATIVES.iter().any(|[one, two]| item.word == *one && next.word == *two)
        };
        if rest.next_if(is_pair).is_none() {
            found.push(item);
            continue;
        }
        found.push(PartWord { word: "not".to_owned(), mark: Some(','), ..item });
        if let Some(next) = rest.peek_mut() {
            next.mark = None;
        }
    }
    found
}

/// Separators of parts.
fn parted(items: Vec<PartWord>) -> Vec<SentencePart> {
    let mut parts = vec![SentencePart::default()];
    for item in items {
        let word = item.word.as_str();
        let is_link = !item.plain
            && (CONJUNCTIONS.contains(&word)
                || RELATIVES.contains(&word)
                || SUBORDINATES.contains(&word));
        let parting = item.mark.is_some_and(|mark| mark != '"');
        let last = parts.len() - 1;
        if (is_link || parting) && (!parts[last].items.is_empty() || parts[last].link.is_some()) {
            parts.push(SentencePart { marked: parting, ..SentencePart::default() });
        }
        let last = parts.len() - 1;
        if !is_link {
            parts[last].items.push(item);
        } else if parts[last].link.is_none() || !CONJUNCTIONS.contains(&word) {
            // In `and when`, the clause is what `when` makes of it.
            parts[last].link = Some(item.word);
        }
    }
    parts
}

/// Titles before a name, which is complete without them.
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
/// Units and eras after a number, which change its meaning.
const UNITS: &[&str] = &[
    "km", "m", "cm", "mm", "kg", "g", "ft", "miles", "lb", "ha", "percent", "mph", "inches",
    "inch", "dollars", "euros", "pounds", "yen", "bc", "bce", "degrees", "yards", "tonnes", "tons",
];

/// Whether a word is incomplete without the previous one: after a hyphen, in a name, or in a
/// measure of two units.
pub(super) fn is_bound(items: &[PartWord], index: usize) -> bool {
    let Some(before) = index.checked_sub(1).map(|at| &items[at]) else { return false };
    let item = &items[index];
    let word = before.word.as_str();
    let ends_name = item.capital
        && item.mark.is_none()
        && item.word != TOPIC
        && !item.article
        && !item.nominative;
    let begins_name = before.capital
        && before.word != TOPIC
        && !before.owner
        && !before.article
        && !before.nominative
        && !is_measure(word)
        && ![TITLES, PREPOSITIONS].iter().any(|list| list.contains(&word))
        && !(is_empty(word) || is_auxiliary(word) || is_verb(word));
    // `10` after `5 feet` is inches, and no ten of anything else.
    let two_units = is_measure(&item.word) && item.mark.is_none() && UNITS.contains(&word);
    item.joined || (ends_name && begins_name) || two_units
}

/// The unit or era after a number.
pub(super) fn unit_after(items: &[PartWord], index: usize) -> Option<String> {
    let next = items
        .get(index + 1)
        .filter(|next| is_measure(&items[index].word) && next.mark.is_none())?;
    next.is_one_of(UNITS).then(|| next.word.clone())
}

/// Whether an item becomes a word of a statement.
pub(super) fn is_meaningful(item: &PartWord) -> bool {
    let word = item.word.as_str();
    let silent =
        item.article || (!item.plain && (is_empty(word) || is_auxiliary(word))) || word == "of";
    let ties = PREPOSITIONS.contains(&word) && !item.plain;
    let denial = matches!(word, "not" | "never" | "no" | "neither" | "nor" | "cannot" | "without")
        && !item.plain;
    word == TOPIC || !(silent || ties || denial)
}
