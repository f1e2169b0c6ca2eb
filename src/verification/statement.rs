//! Sentences into statements: who is said to have done what, how the parts are tied, and whether it is denied.
//!
//! No grammar of English: words are told apart by lists and endings. Where these do not tell, statements differ rather than
//! agree, so that a claim is supported by what says the same and by nothing else.

use std::collections::BTreeSet;

use crate::facts::{Token, Topic, is_auxiliary, is_copula, is_measure, is_verb};

use super::grammar::{CONJUNCTIONS, PREPOSITIONS, RELATIVES, SUBORDINATES, denies, hedges, is_empty};

/// Stands for the topic, however it is mentioned.
pub(super) const TOPIC: &str = "\u{1}";
/// Stands for somebody else, who is not named.
const OTHER: &str = "\u{2}";

/// A word of a statement.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Word {
    pub(super) word: String,
    /// The preposition that ties it to what comes before.
    pub(super) tie: Option<String>,
    /// Whether something is said to be its own: `France's capital`, `the capital of France`.
    pub(super) owner: bool,
    /// Which part between commas and conjunctions it stands in.
    pub(super) group: usize,
    pub(super) verb: bool,
}

/// What a sentence says of one subject.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Statement {
    /// The words before the verb.
    pub(super) subject: Vec<Word>,
    /// The verb, and what follows; what is tied to it may come first.
    pub(super) said: Vec<Word>,
    /// Whether a form of `be` is all of its verb.
    pub(super) copula: bool,
    pub(super) denied: bool,
    pub(super) hedges: BTreeSet<String>,
}

impl Statement {
    /// The first verb that is no auxiliary.
    pub(super) fn verb(&self) -> Option<&str> {
        self.said.iter().find(|word| word.verb).map(|word| word.word.as_str())
    }

    /// All its words.
    pub(super) fn words(&self) -> impl Iterator<Item = &Word> {
        self.subject.iter().chain(&self.said)
    }
}

/// A word or a mention of the topic, before it has its place in a statement.
#[derive(Clone, Debug)]
struct Item {
    word: String,
    mark: Option<char>,
    capital: bool,
    owner: bool,
    article: bool,
    /// Whether a pronoun stands here as a subject.
    nominative: bool,
    /// Whether it is part of a name, or of a number's sign, and so denies nothing.
    plain: bool,
}

/// A part of a sentence between marks, conjunctions and links.
#[derive(Clone, Debug, Default)]
struct Part {
    link: Option<String>,
    /// Whether a mark stands before it.
    marked: bool,
    items: Vec<Item>,
}

impl Part {
    fn verb(&self) -> Option<usize> {
        let after_copula = |index: usize| index > 0 && is_copula(&self.items[index - 1].word);
        self.items.iter().enumerate().position(|(index, item)| {
            !item.capital && !item.owner && (is_verb(&item.word) || (after_copula(index) && is_progressive(&item.word)))
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

/// The statements of a sentence about a topic; `pronouns` are the words that stand for it.
pub(super) fn statements(tokens: &[Token], topic: &Topic, pronouns: &[&str]) -> Vec<Statement> {
    let items = lowered(items(tokens, topic, pronouns));
    let parts = parts(items);
    let mut builder = Builder::default();
    for (group, part) in parts.iter().enumerate() {
        builder.add(group, part);
    }
    builder.finish()
}

/// The words of a sentence with the topic's mentions as one each.
fn items(tokens: &[Token], topic: &Topic, pronouns: &[&str]) -> Vec<Item> {
    let mut items: Vec<Item> = Vec::with_capacity(tokens.len());
    let mut index = 0;
    while index < tokens.len() {
        let token = &tokens[index];
        let length = topic.mention(tokens, index);
        let pronoun = pronouns.contains(&token.word.as_str());
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
        false => token.capital && (before_name || (index > 0 && token.mark.is_none())),
    }
}

fn item(token: &Token) -> Item {
    Item {
        word: token.word.clone(),
        mark: token.mark,
        capital: token.capital,
        owner: token.possessive,
        article: token.article,
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
fn parts(items: Vec<Item>) -> Vec<Part> {
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

/// Statements as far as they are built.
#[derive(Default)]
struct Builder {
    done: Vec<Statement>,
    /// Parts without a verb before the first one with it.
    pending: Vec<Word>,
    /// Whether the last statement's subject was not said, but follows.
    waits: bool,
    /// The tie that goes on over `and`.
    tie: Option<String>,
    /// Who the last part names, where it is nobody but the topic.
    topic_alone: bool,
}

impl Builder {
    fn add(&mut self, group: usize, part: &Part) {
        let link = part.link.as_deref().unwrap_or("");
        let verb = part.verb();
        let carried = self.carried(part, verb.is_some());
        let (words, denied, hedged) = self.words(part, group, carried);
        let contrast = verb.is_none()
            && (link == "but"
                || link == "nor"
                || part.items.first().is_some_and(|item| denies(&item.word) && !item.plain));
        let nominal = words.iter().any(|word| word.tie.is_none());
        self.topic_alone = verb.is_none() && {
            let core: Vec<&Word> = words.iter().filter(|word| word.tie.is_none()).collect();
            core.len() == 1 && core[0].word == TOPIC && !core[0].owner
        } || (verb.is_some() && self.topic_alone && RELATIVES.contains(&link));
        match verb {
            None if !contrast && !RELATIVES.contains(&link) && !SUBORDINATES.contains(&link) => {
                match self.done.last_mut() {
                    Some(last) if self.pending.is_empty() && !(self.waits && nominal && part.marked) => {
                        last.denied |= denied;
                        last.hedges.extend(hedged);
                        match last.said.is_empty() && last.verb().is_none() && !last.copula {
                            true => last.subject.extend(words),
                            false => last.said.extend(words),
                        }
                    }
                    _ => {
                        self.pending.extend(words);
                        if denied || !hedged.is_empty() {
                            self.pending.extend(denied.then(|| mark_word("not", group)));
                            self.pending.extend(hedged.iter().map(|hedge| mark_word(hedge, group)));
                        }
                    }
                }
            }
            None => {
                let subject = self.inherited();
                self.done.push(Statement {
                    subject,
                    said: words,
                    copula: false,
                    denied: denied || link == "nor",
                    hedges: hedged,
                });
            }
            Some(at) => self.clause(part, at, words, denied, hedged),
        }
    }

    /// The tie that a part without its own goes on with: `in France and Germany`, `in Cleveland, Ohio`.
    fn carried(&self, part: &Part, has_verb: bool) -> Option<String> {
        let first = part.items.iter().find(|item| !item.article)?;
        let joins =
            matches!(part.link.as_deref(), Some("and" | "or")) || (part.link.is_none() && part.marked && first.capital);
        (joins && !has_verb && first.word != TOPIC).then(|| self.tie.clone()).flatten()
    }

    /// The words of a part that say something, whether it denies, and what lessens it.
    fn words(&mut self, part: &Part, group: usize, carried: Option<String>) -> (Vec<Word>, bool, BTreeSet<String>) {
        let (mut words, mut denied, mut found) = (Vec::new(), part.link.as_deref() == Some("nor"), BTreeSet::new());
        let (mut tie, mut of) = (carried, false);
        let verb_at = part.verb();
        for (index, item) in part.items.iter().enumerate() {
            let word = item.word.as_str();
            let next = part.items.get(index + 1);
            let only = word == "not" && next.is_some_and(|next| next.word == "only");
            let is_verb_here = Some(index) == verb_at || (!item.capital && !item.owner && is_verb(word));
            if only || (word == "only" && index > 0 && part.items[index - 1].word == "not") {
                continue;
            }
            if denies(word) && !item.plain {
                denied = !denied || matches!(word, "not" | "never" | "no");
                if !matches!(word, "not" | "never" | "no" | "neither" | "nor" | "cannot" | "without") {
                    words.push(Word {
                        word: item.word.clone(),
                        tie: tie.clone(),
                        owner: item.owner,
                        group,
                        verb: is_verb_here,
                    });
                }
                continue;
            }
            if hedges(word) && !item.plain {
                found.insert(item.word.clone());
            }
            if PREPOSITIONS.contains(&word) && !item.plain {
                (tie, of) = (Some(item.word.clone()), false);
                continue;
            }
            if word == "of" {
                of = true;
                continue;
            }
            if item.nominative
                || (is_verb_here && !matches!(tie.as_deref(), Some("to" | "after" | "before" | "without")))
            {
                (tie, of) = (None, false);
            }
            let silent = item.article || is_empty(word) || is_auxiliary(word);
            if silent && word != TOPIC {
                continue;
            }
            let owner = item.owner || of;
            words.push(Word { word: item.word.clone(), tie: tie.clone(), owner, group, verb: is_verb_here });
            if is_measure(word) {
                (tie, of) = (None, false);
            }
        }
        self.tie = tie;
        (words, denied, found)
    }

    /// A part with a verb: a statement of its own.
    fn clause(&mut self, part: &Part, at: usize, words: Vec<Word>, mut denied: bool, mut hedged: BTreeSet<String>) {
        let link = part.link.as_deref().unwrap_or("");
        let content: Vec<usize> =
            part.items.iter().enumerate().filter(|(_, item)| is_copula(&item.word)).map(|(at, _)| at).collect();
        let first_verb = words.iter().position(|word| word.verb).unwrap_or(words.len());
        // A form of `be` says where the subject ends, though it is no word of the statement.
        let before = part.items[..at].iter().filter(|item| words_of(item)).count();
        let (head, rest) = words.split_at(before.min(first_verb).min(words.len()));
        let (adjuncts, mut subject): (Vec<Word>, Vec<Word>) = head.iter().cloned().partition(|word| word.tie.is_some());
        let mut said = adjuncts;
        for word in std::mem::take(&mut self.pending) {
            match word.word.as_str() {
                "\u{3}not" => denied = !denied,
                hedge if hedge.starts_with('\u{3}') => hedged.extend([hedge.trim_start_matches('\u{3}').to_owned()]),
                _ if word.tie.is_some() => said.push(word),
                _ => subject.push(word),
            }
        }
        let reported = link == "that" && self.done.last().is_some_and(|last| !last.hedges.is_empty());
        if let Some(last) = self.done.last() {
            if link == "that" && (last.denied || last.words().any(|word| denies(&word.word))) {
                denied = !denied;
            }
            if reported {
                hedged.extend(last.hedges.iter().cloned());
            }
            if matches!(link, "or" | "nor") && subject.is_empty() && last.denied {
                denied = true;
            }
        }
        if matches!(link, "if" | "unless" | "whether") {
            hedged.insert(link.to_owned());
        }
        let waits = subject.is_empty() && self.done.is_empty();
        if subject.is_empty() {
            subject = self.relative_or_inherited(link);
        }
        if self.waits && !subject.is_empty() {
            for earlier in &mut self.done {
                if earlier.subject.is_empty() {
                    earlier.subject.clone_from(&subject);
                }
            }
        }
        self.waits = waits;
        said.extend(rest.iter().cloned());
        let copula = !content.is_empty() && !said.iter().any(|word| word.verb);
        self.share_tail(link, &said);
        self.done.push(Statement { subject, said, copula, denied, hedges: hedged });
    }

    /// `Born and raised in Oslo` says where of both.
    fn share_tail(&mut self, link: &str, said: &[Word]) {
        if let Some(last) = self.done.last_mut()
            && link == "and"
            && last.said.len() == 1
            && last.said[0].verb
            && said.first().is_some_and(|word| word.verb)
        {
            let group = last.said[0].group;
            last.said.extend(said[1..].iter().map(|word| Word { group, ..word.clone() }));
        }
    }

    fn relative_or_inherited(&self, link: &str) -> Vec<Word> {
        let other = || vec![Word { word: OTHER.to_owned(), tie: None, owner: false, group: 0, verb: false }];
        match link {
            "who" | "which" | "that" | "whom" | "whose" | "where" if !self.topic_alone => other(),
            _ => self.inherited(),
        }
    }

    fn inherited(&self) -> Vec<Word> {
        self.done.last().map(|last| last.subject.clone()).unwrap_or_default()
    }

    fn finish(mut self) -> Vec<Statement> {
        let pending = std::mem::take(&mut self.pending);
        if !pending.is_empty() {
            self.done.push(Statement { subject: pending, ..Statement::default() });
        }
        let mut found = Vec::new();
        for mut statement in self.done {
            if statement.subject.is_empty() && !statement.said.is_empty() {
                statement.subject.push(Word { word: TOPIC.to_owned(), tie: None, owner: false, group: 0, verb: false });
            }
            found.extend(apposition(&statement));
            if !statement.subject.is_empty() || !statement.said.is_empty() {
                found.push(statement);
            }
        }
        found
    }
}

/// A sign that a part without a verb denies or lessens what follows.
fn mark_word(word: &str, group: usize) -> Word {
    Word { word: format!("\u{3}{word}"), tie: None, owner: false, group, verb: false }
}

/// Whether an item becomes a word of a statement.
fn words_of(item: &Item) -> bool {
    let word = item.word.as_str();
    let silent = item.article || is_empty(word) || is_auxiliary(word) || word == "of";
    let ties = PREPOSITIONS.contains(&word) && !item.plain;
    let denial = matches!(word, "not" | "never" | "no" | "neither" | "nor" | "cannot" | "without") && !item.plain;
    word == TOPIC || !(silent || ties || denial)
}

/// What is said of a subject between commas: `Ann Lee, a physicist, ...`.
fn apposition(statement: &Statement) -> Option<Statement> {
    let first = statement.subject.first()?.group;
    let has_more = statement.subject.iter().any(|word| word.group != first);
    let spoken = !statement.said.is_empty();
    (has_more && spoken && !statement.denied && statement.hedges.is_empty()).then(|| Statement {
        subject: statement.subject.clone(),
        copula: true,
        ..Statement::default()
    })
}
