//! Sentences into statements: who is said to have done what, how the parts are tied, and whether it is denied.
//!
//! No grammar of English: words are told apart by lists and endings. Where these do not tell, statements differ rather than
//! agree, so that a claim is supported by what says the same and by nothing else.

use std::collections::BTreeSet;

use crate::facts::{Token, Topic, is_auxiliary, is_copula, is_measure, is_verb};

use super::{
    grammar::{PREPOSITIONS, RELATIVES, SUBORDINATES, denies, hedges, is_empty},
    part::{Item, Part, is_bound, parts, unit_after, words_of},
};

/// Stands for the topic, however it is mentioned.
pub(super) const TOPIC: &str = "\u{1}";
/// Stands for somebody else, who is not named.
const OTHER: &str = "\u{2}";

/// Begins a sign among words that what they belong to is denied or lessened.
const SIGN: char = '\u{3}';

/// After `not`, these deny nothing: `not only a poet`.
const ONLY: &[&str] = &["only", "just", "merely", "simply", "solely"];
/// Whoever or whatever follows `but` after these is left out.
const ALL: &[&str] = &["anything", "everything", "everybody", "everyone"];

/// A word of a statement.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Word {
    pub(super) word: String,
    /// The preposition that ties it to what comes before.
    pub(super) tie: Option<String>,
    /// Whether something is said to be its own: `France's capital`, `the capital of France`.
    pub(super) owner: bool,
    /// Which part between commas and conjunctions it stands in.
    pub(super) group: usize,
    pub(super) verb: bool,
    /// The word before it.
    pub(super) before: Option<String>,
    /// Whether it is not whole without that word: after a hyphen (`Hungarian` in `Austro-Hungarian`), in a name (`York` in
    /// `New York`), in a measure of two units (`10` in `5 feet 10 inches`).
    pub(super) joined: bool,
    /// The unit or era after a number.
    pub(super) unit: Option<String>,
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

/// The statements of a sentence about a topic; `pronouns` are the words that stand for it.
pub(super) fn statements(tokens: &[Token], topic: &Topic, pronouns: &[&str]) -> Vec<Statement> {
    let mut builder = Builder::default();
    for (group, part) in parts(tokens, topic, pronouns).iter().enumerate() {
        builder.add(group, part);
    }
    builder.finish()
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
        let (words, denied, mut hedged) = self.words(part, group, carried);
        // `Without Bo Ray, Ada Quill was lost` does not say that she was.
        if verb.is_none() && self.done.is_empty() && part.items.first().is_some_and(|item| item.word == "without") {
            hedged.insert("without".to_owned());
        }
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
            // `Not: Ada Quill sang.`
            None if denied && words.is_empty() && self.done.is_empty() => self.pending.push(mark_word("not", group)),
            None => {
                let subject = self.inherited();
                let mut hedges = hedged;
                let lessened = self.done.last().filter(|last| leaves_out(last));
                hedges.extend(lessened.map(|_| "anything".to_owned()));
                self.done.push(Statement {
                    subject,
                    said: words,
                    copula: false,
                    denied: denied || link == "nor",
                    hedges,
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
        let (mut denials, mut range) = (0, None);
        let verb_at = part.verb();
        for (index, item) in part.items.iter().enumerate() {
            let word = item.word.as_str();
            let is_verb_here =
                Some(index) == verb_at || (!item.capital && !item.owner && !item.joined && is_verb(word));
            if is_in_not_only(&part.items, index) {
                continue;
            }
            if denies(word) && !item.plain {
                // What is denied twice is neither the denial nor its contrary.
                denials += 1;
                found.extend((denials > 1).then(|| "twice".to_owned()));
                denied = !denied || matches!(word, "not" | "never" | "no");
                if !matches!(word, "not" | "never" | "no" | "neither" | "nor" | "cannot" | "without") {
                    words.push(word_at(&part.items, index, group, tie.as_deref(), false, is_verb_here));
                }
                continue;
            }
            // `A few books` are books.
            let some = matches!(word, "little" | "few") && index > 0 && part.items[index - 1].article;
            if hedges(word) && !item.plain && !some {
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
            // The symbols `He` and `Be` are names.
            let silent = item.article || (!item.plain && (is_empty(word) || is_auxiliary(word)));
            if silent && word != TOPIC {
                continue;
            }
            words.push(word_at(&part.items, index, group, tie.as_deref(), of, is_verb_here));
            if is_measure(&item.word) {
                // The end of a range is tied to its beginning: `between 10 and 20 books`.
                range = tie.filter(|tie| tie == "between").map(|_| "between and".to_owned());
                (tie, of) = (None, false);
            }
        }
        self.tie = tie.or(range);
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
        // `Everybody but Ada Quill won` says nothing of her.
        let excepts = link == "but" && self.done.is_empty() && !self.pending.is_empty();
        let mut kept = Vec::new();
        for word in std::mem::take(&mut self.pending) {
            match word.word.strip_prefix(SIGN) {
                Some("not") => denied = !denied,
                Some(hedge) => drop(hedged.insert(hedge.to_owned())),
                None if word.tie.is_some() => said.push(word),
                // `Ada Quill, whose father ...` goes on with her after the clause.
                None if link == "whose" => {
                    subject.insert(0, Word { owner: true, ..word.clone() });
                    kept.push(word);
                }
                None => subject.push(word),
            }
        }
        self.pending = kept;
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
        let excepts = excepts || (link == "but" && self.done.last().is_some_and(leaves_out));
        if matches!(link, "if" | "unless" | "whether") || excepts {
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
        let other = || vec![Word { word: OTHER.to_owned(), ..Word::default() }];
        match link {
            "who" | "which" | "that" | "whom" | "whose" | "where" if !self.topic_alone => other(),
            _ => self.inherited(),
        }
    }

    fn inherited(&self) -> Vec<Word> {
        self.done.last().map(|last| last.subject.clone()).unwrap_or_default()
    }

    fn finish(mut self) -> Vec<Statement> {
        if !self.pending.is_empty() {
            let mut statement = Statement::default();
            for word in std::mem::take(&mut self.pending) {
                match word.word.strip_prefix(SIGN) {
                    Some("not") => statement.denied = !statement.denied,
                    Some(hedge) => drop(statement.hedges.insert(hedge.to_owned())),
                    None => statement.subject.push(word),
                }
            }
            self.done.push(statement);
        }
        let mut found = Vec::new();
        for mut statement in self.done {
            if statement.subject.is_empty() && !statement.said.is_empty() {
                statement.subject.push(Word { word: TOPIC.to_owned(), ..Word::default() });
            }
            found.extend(apposition(&statement));
            if !statement.subject.is_empty() || !statement.said.is_empty() {
                found.push(statement);
            }
        }
        found
    }
}

/// Whether what follows a statement after `but` is left out of it: `did everything but sing`.
fn leaves_out(statement: &Statement) -> bool {
    ALL.iter().any(|word| statement.hedges.contains(*word))
}

/// Whether a word stands in `not only`, which denies nothing.
fn is_in_not_only(items: &[Item], index: usize) -> bool {
    let is_only = |item: &Item| ONLY.contains(&item.word.as_str());
    match items[index].word.as_str() {
        "not" => items.get(index + 1).is_some_and(is_only),
        _ => is_only(&items[index]) && index > 0 && items[index - 1].word == "not",
    }
}

/// A word with how it is tied to what comes before it; `of` is whether it stands after one.
fn word_at(items: &[Item], index: usize, group: usize, tie: Option<&str>, of: bool, verb: bool) -> Word {
    let item = &items[index];
    Word {
        word: item.word.clone(),
        // `The mayor of Oslo's rival` is no mayor of Oslo.
        tie: if of && item.owner { Some("of's".to_owned()) } else { tie.map(str::to_owned) },
        owner: item.owner || of,
        group,
        verb,
        before: index.checked_sub(1).map(|before| items[before].word.clone()),
        joined: is_bound(items, index),
        unit: unit_after(items, index),
    }
}

/// A sign that a part without a verb denies or lessens what follows.
fn mark_word(word: &str, group: usize) -> Word {
    Word { word: format!("{SIGN}{word}"), group, ..Word::default() }
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
