//! Parses sentences into statements: subject, predicate, ties between parts, denial.
//!
//! This is not a grammar of English: lists and endings classify words. In doubt, statements differ
//! rather than agree, so that only equal statements support a claim.

use std::collections::BTreeSet;

use crate::facts::{PREPOSITIONS, Token, Topic, is_auxiliary, is_copula, is_measure, is_verb};

use super::{
    grammar::{RELATIVES, SUBORDINATES, denies, hedges, is_empty},
    part::{OTHER, PartWord, SentencePart, TOPIC, is_bound, is_meaningful, parts, unit_after},
};

/// Prefix of marker words for denied or hedged heads.
const SIGN: char = '\u{3}';

/// After `not`, these are not denials: `not only a poet`.
const ONLY: &[&str] = &["only", "just", "merely", "simply", "solely"];
/// `but` after these excludes what follows.
const ALL: &[&str] = &["anything", "everything", "everybody", "everyone"];

/// A word of a statement.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Word {
    pub(super) word: String,
    /// The preposition that ties it to the words before.
    pub(super) tie: Option<String>,
    /// Whether it has an owner: `France's capital`, `the capital of France`.
    pub(super) owner: bool,
    /// Index of its part between commas and conjunctions.
    pub(super) group: usize,
    pub(super) verb: bool,
    /// The word before it.
    pub(super) before: Option<String>,
    /// Whether it is incomplete without that word: after a hyphen (`Hungarian` in
    /// `Austro-Hungarian`), in a name (`York` in `New York`), in a measure of two units (`10` in `5
    /// feet 10 inches`).
    pub(super) joined: bool,
    /// The unit or era after a number.
    pub(super) unit: Option<String>,
}

impl Word {
    /// Whether it is neither an owner nor tied to other words.
    pub(super) fn is_core(&self) -> bool {
        !self.owner && self.tie.is_none()
    }
}

/// A statement about one subject.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Statement {
    /// The words before the verb.
    pub(super) subject: Vec<Word>,
    /// The verb and the words after it; tied words may come first.
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

/// The statements of a sentence about a topic; `pronouns` are the words that stand for it, where
/// these are known.
pub(super) fn statements(
    tokens: &[Token],
    topic: &Topic,
    pronouns: Option<&[&str]>,
) -> Vec<Statement> {
    let mut builder = StatementBuilder::default();
    for (group, part) in parts(tokens, topic, pronouns).iter().enumerate() {
        builder.add(group, part);
    }
    builder.finish()
}

/// What a part says: its meaningful words, whether it denies, and its hedges.
#[derive(Default)]
struct PartContent {
    words: Vec<Word>,
    denied: bool,
    hedges: BTreeSet<String>,
}

/// What ties a word to the words before it.
#[derive(Default)]
struct Tie {
    preposition: Option<String>,
    /// Whether it follows `of`, and so has an owner.
    of: bool,
}

impl Tie {
    /// Whether it ties a verb too: `to win`, `after winning`.
    fn goes_over_verbs(&self) -> bool {
        matches!(self.preposition.as_deref(), Some("to" | "after" | "before" | "without"))
    }

    fn without_of(&self) -> Self {
        Self { preposition: self.preposition.clone(), of: false }
    }
}

/// Statements under construction.
#[derive(Default)]
struct StatementBuilder {
    done: Vec<Statement>,
    /// Parts without a verb before the first one with it.
    pending: Vec<Word>,
    /// Whether the last statement's subject was not said, but follows.
    waits: bool,
    /// The tie that continues over `and`.
    tie: Option<String>,
    /// Who the last part names, if only the topic.
    topic_alone: bool,
}

impl StatementBuilder {
    fn add(&mut self, group: usize, part: &SentencePart) {
        let link = part.link.as_deref().unwrap_or("");
        let verb = part.verb();
        let carried = self.carried(part, verb.is_some());
        let PartContent { words, denied, mut hedges } = self.content(part, group, carried);
        // `Without Bo Ray, Ada Quill was lost` does not say that she was.
        if verb.is_none()
            && self.done.is_empty()
            && part.items.first().is_some_and(|item| item.word == "without")
        {
            hedges.insert("without".to_owned());
        }
        let contrast = verb.is_none()
            && (link == "but"
                || link == "nor"
                || part.items.first().is_some_and(|item| denies(&item.word) && !item.plain));
        let nominal = words.iter().any(|word| word.tie.is_none());
        // Then a relative clause is about the topic: `Ada Quill, who sang`.
        self.topic_alone = verb.is_none() && {
            let core: Vec<&Word> = words.iter().filter(|word| word.tie.is_none()).collect();
            core.len() == 1 && core[0].word == TOPIC && !core[0].owner
        } || (verb.is_some() && self.topic_alone && RELATIVES.contains(&link));
        match verb {
            // A part without a verb belongs to the statement before it.
            None if !contrast && !RELATIVES.contains(&link) && !SUBORDINATES.contains(&link) => {
                match self.done.last_mut() {
                    Some(last)
                        if self.pending.is_empty() && !(self.waits && nominal && part.marked) =>
                    {
                        // `She won the prize, not the medal` denies a part; the whole is no longer
                        // asserted.
                        last.denied |= denied;
                        last.hedges.extend(hedges);
                        if last.said.is_empty() && last.verb().is_none() && !last.copula {
                            last.subject.extend(words)
                        } else {
                            last.said.extend(words)
                        }
                    }
                    _ => {
                        self.pending.extend(words);
                        if denied || !hedges.is_empty() {
                            self.pending.extend(denied.then(|| mark_word("not", group)));
                            self.pending.extend(hedges.iter().map(|hedge| mark_word(hedge, group)));
                        }
                    }
                }
            }
            // `Not: Ada Quill sang.`
            None if denied && words.is_empty() && self.done.is_empty() => {
                self.pending.push(mark_word("not", group))
            }
            None => {
                let subject = self.inherited();
                let lessened = self.done.last().filter(|last| leaves_out(last));
                hedges.extend(lessened.map(|_| "anything".to_owned()));
                // `Was not born in Bergen but in Oslo` says that she was born in Oslo.
                let denial =
                    self.done.last().filter(|last| link == "but" && last.denied && !denied);
                let verbs = denial.iter().flat_map(|last| &last.said).filter(|word| word.verb);
                let copula = denial.is_some_and(|last| last.copula);
                let said = verbs.map(|verb| Word { group, ..verb.clone() }).chain(words).collect();
                let denied = denied || link == "nor";
                self.done.push(Statement { subject, said, copula, denied, hedges });
            }
            Some(at) => self.clause(part, at, PartContent { words, denied, hedges }),
        }
    }

    /// The tie that a part without its own inherits: `in France and Germany`, `in Cleveland, Ohio`.
    fn carried(&self, part: &SentencePart, has_verb: bool) -> Option<String> {
        let first = part.items.iter().find(|item| !item.article)?;
        let joins = matches!(part.link.as_deref(), Some("and" | "or"))
            || (part.link.is_none() && part.marked && first.capital);
        (joins && !has_verb && first.word != TOPIC).then(|| self.tie.clone()).flatten()
    }

    /// What a part says; `carried` is the tie that it inherits.
    fn content(
        &mut self,
        part: &SentencePart,
        group: usize,
        carried: Option<String>,
    ) -> PartContent {
        let mut found =
            PartContent { denied: part.link.as_deref() == Some("nor"), ..PartContent::default() };
        let mut tie = Tie { preposition: carried, of: false };
        let (mut denials, mut range) = (0, None);
        let verb_at = part.verb();
        for (index, item) in part.items.iter().enumerate() {
            let word = item.word.as_str();
            let is_verb_here = Some(index) == verb_at
                || (!item.capital && !item.owner && !item.joined && is_verb(word));
            if is_in_not_only(&part.items, index) {
                continue;
            }
            if denies(word) && !item.plain {
                // A double denial is neither a denial nor an assertion.
                denials += 1;
                found.hedges.extend((denials > 1).then(|| "twice".to_owned()));
                found.denied = !found.denied || matches!(word, "not" | "never" | "no");
                if !matches!(
                    word,
                    "not" | "never" | "no" | "neither" | "nor" | "cannot" | "without"
                ) {
                    // `Refused` and `lost` deny, and say more than that.
                    let denial = word_at(&part.items, index, &tie.without_of(), is_verb_here);
                    found.words.push(Word { group, ..denial });
                }
                continue;
            }
            // `A few books` are books.
            let some =
                matches!(word, "little" | "few") && index > 0 && part.items[index - 1].article;
            if (hedges(word) && !item.plain && !some) || is_other_kind(&part.items[index..]) {
                found.hedges.insert(item.word.clone());
            }
            if PREPOSITIONS.contains(&word) && !item.plain {
                tie = Tie { preposition: Some(item.word.clone()), of: false };
                continue;
            }
            if word == "of" {
                tie.of = true;
                continue;
            }
            if item.nominative || (is_verb_here && !tie.goes_over_verbs()) {
                tie = Tie::default();
            }
            // The symbols `He` and `Be` are names.
            let silent = item.article || (!item.plain && (is_empty(word) || is_auxiliary(word)));
            if silent && word != TOPIC {
                continue;
            }
            let word = word_at(&part.items, index, &tie, is_verb_here);
            found.words.push(Word { group, ..word });
            if is_measure(&item.word) {
                // The end of a range is tied to its beginning: `between 10 and 20 books`.
                let is_range = tie.preposition.as_deref() == Some("between");
                range = is_range.then(|| "between and".to_owned());
                tie = Tie::default();
            }
        }
        self.tie = tie.preposition.or(range);
        found
    }

    /// A part with a verb: a statement of its own.
    fn clause(
        &mut self,
        part: &SentencePart,
        at: usize,
        PartContent { words, mut denied, mut hedges }: PartContent,
    ) {
        let link = part.link.as_deref().unwrap_or("");
        let first_verb = words.iter().position(|word| word.verb).unwrap_or(words.len());
        // A form of `be` says where the subject ends, though it is no word of the statement.
        let before = part.items[..at].iter().filter(|item| is_meaningful(item)).count();
        // Lists of verbs have gaps: the verb of the words may come before that of the part.
        let (head, rest) = words.split_at(before.min(first_verb).min(words.len()));
        let (adjuncts, mut subject): (Vec<Word>, Vec<Word>) =
            head.iter().cloned().partition(|word| word.tie.is_some());
        let mut said = adjuncts;
        // `Everybody but Ada Quill won` is not about her.
        let excepts = link == "but" && self.done.is_empty() && !self.pending.is_empty();
        let mut kept = Vec::new();
        for word in std::mem::take(&mut self.pending) {
            match word.word.strip_prefix(SIGN) {
                Some("not") => denied = !denied,
                Some(hedge) => drop(hedges.insert(hedge.to_owned())),
                None if word.tie.is_some() => said.push(word),
                // After the clause, `Ada Quill, whose father ...` is about her again.
                None if link == "whose" => {
                    subject.insert(0, Word { owner: true, ..word.clone() });
                    kept.push(word);
                }
                None => subject.push(word),
            }
        }
        self.pending = kept;
        let reported =
            link == "that" && self.done.last().is_some_and(|last| !last.hedges.is_empty());
        if let Some(last) = self.done.last() {
            if link == "that" && (last.denied || last.words().any(|word| denies(&word.word))) {
                denied = !denied;
            }
            if reported {
                hedges.extend(last.hedges.iter().cloned());
            }
            // `She did not sing or dance` denies both.
            if matches!(link, "or" | "nor") && subject.is_empty() && last.denied {
                denied = true;
            }
        }
        let excepts = excepts || (link == "but" && self.done.last().is_some_and(leaves_out));
        if matches!(link, "if" | "unless" | "whether") || excepts {
            hedges.insert(link.to_owned());
        }
        let waits = subject.is_empty() && self.done.is_empty();
        if subject.is_empty() {
            subject = self.relative_or_inherited(link);
        }
        // `Born in Oslo, Ann Lee sang`: the subject of the first part follows in the second.
        if self.waits && !subject.is_empty() {
            for earlier in &mut self.done {
                if earlier.subject.is_empty() {
                    earlier.subject.clone_from(&subject);
                }
            }
        }
        self.waits = waits;
        said.extend(rest.iter().cloned());
        let has_copula = part.items.iter().any(|item| is_copula(&item.word));
        let copula = has_copula && !said.iter().any(|word| word.verb);
        self.share_tail(link, &said);
        self.done.push(Statement { subject, said, copula, denied, hedges });
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
        // `Ada Quill, who sang` is about her; `her teacher, who sang` is not.
        if RELATIVES.contains(&link) && !self.topic_alone {
            vec![Word { word: OTHER.to_owned(), ..Word::default() }]
        } else {
            self.inherited()
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
            // Sentences of an article are about its topic.
            if statement.subject.is_empty() && !statement.said.is_empty() {
                statement.subject.push(Word { word: TOPIC.to_owned(), ..Word::default() });
            }
            // Before the statement itself, as it is written.
            found.extend(apposition(&statement));
            if !statement.subject.is_empty() || !statement.said.is_empty() {
                found.push(statement);
            }
        }
        found
    }
}

/// Whether `but` excludes the words after it: `did everything but sing`.
fn leaves_out(statement: &Statement) -> bool {
    ALL.iter().any(|word| statement.hedges.contains(*word))
}

/// Whether a prefix makes another kind of what follows it: `non-fiction books`, but not `a
/// non-smoker`.
fn is_other_kind(items: &[PartWord]) -> bool {
    let [prefix, kind, noun, ..] = items else { return false };
    prefix.word == "non" && kind.joined && is_meaningful(noun) && !is_verb(&noun.word)
}

/// Whether a word is part of `not only`, which is no denial.
fn is_in_not_only(items: &[PartWord], index: usize) -> bool {
    if items[index].word == "not" {
        items.get(index + 1).is_some_and(|next| next.is_one_of(ONLY))
    } else {
        items[index].is_one_of(ONLY) && index > 0 && items[index - 1].word == "not"
    }
}

/// A word with its tie to the words before.
fn word_at(items: &[PartWord], index: usize, tie: &Tie, verb: bool) -> Word {
    let item = &items[index];
    // `The mayor of Oslo's rival` is not a mayor of Oslo.
    let of_owner = (tie.of && item.owner).then(|| "of's".to_owned());
    Word {
        word: item.word.clone(),
        tie: of_owner.or_else(|| tie.preposition.clone()),
        owner: item.owner || tie.of,
        group: 0,
        verb,
        before: index.checked_sub(1).map(|before| items[before].word.clone()),
        joined: is_bound(items, index),
        unit: unit_after(items, index),
    }
}

/// A marker that a part without a verb denies or hedges what follows.
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
