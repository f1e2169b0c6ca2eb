//! Predicates: verbs, their objects, and what is tied to them by prepositions.

use super::{
    lexeme::{Lexeme, Tag},
    phrase::{PhraseShape, Slot, View, shape, tail_name},
};

/// The part of a predicate after its verbs.
#[derive(Debug, Default)]
pub(super) struct Complement {
    pub(super) slots: Vec<Slot>,
    /// Names with what follows them after a comma: `Ghost, a film of 1990`.
    pub(super) appositions: Vec<(View, View)>,
    /// Clauses that tell about a phrase, or (none) about the whole predicate.
    pub(super) clauses: Vec<(Option<View>, View)>,
    /// A place with the region after it: `Oslo, Norway`.
    pub(super) regions: Vec<(View, View)>,
}

/// Reads the part of a predicate after its verbs.
pub(super) struct Reader<'a> {
    pub(super) lexemes: &'a [Lexeme],
    pub(super) view: &'a [usize],
    pub(super) at: usize,
    pub(super) found: Complement,
    /// Whether an item of a list follows.
    pub(super) joined: bool,
    /// The slot that examples are added to, while they are.
    pub(super) examples_of: Option<usize>,
}

impl<'a> Reader<'a> {
    pub(super) fn read(lexemes: &'a [Lexeme], view: &'a [usize]) -> Complement {
        let mut reader = Self {
            lexemes,
            view,
            at: 0,
            found: Complement::default(),
            joined: false,
            examples_of: None,
        };
        while reader.at < view.len() {
            reader.step();
        }
        reader.found
    }

    pub(super) fn lexeme(&self, at: usize) -> Option<&'a Lexeme> {
        self.view.get(at).map(|place| &self.lexemes[*place])
    }

    pub(super) fn tag(&self, at: usize) -> Option<Tag> {
        self.lexeme(at).map(|lexeme| lexeme.tag)
    }

    fn step(&mut self) {
        let Some(lexeme) = self.lexeme(self.at) else { return };
        match lexeme.tag {
            Tag::Comma | Tag::And | Tag::Mark | Tag::Open | Tag::Close => self.separate(),
            Tag::Preposition | Tag::To => self.preposition(),
            // `painted it`
            Tag::Pronoun if !self.verb_after(self.at) => self.noun(),
            Tag::Relative | Tag::Link | Tag::Verb | Tag::Be | Tag::Auxiliary | Tag::Pronoun => {
                self.clause()
            }
            Tag::Gerund if self.is_participial() => self.clause(),
            // `an actor best known for`
            Tag::Adverb if self.adverbs_before_verb() => self.clause(),
            Tag::Word if lexeme.is(&["such"]) && self.next_is(&["as"]) => self.examples(2),
            _ => self.noun(),
        }
    }

    pub(super) fn next_is(&self, words: &[&str]) -> bool {
        self.lexeme(self.at + 1).is_some_and(|next| next.is(words))
    }

    /// Whether a verb follows a pronoun.
    fn verb_after(&self, at: usize) -> bool {
        let next = (at + 1..self.view.len()).find(|at| self.tag(*at) != Some(Tag::Adverb));
        next.is_some_and(|at| matches!(self.tag(at), Some(Tag::Verb | Tag::Be | Tag::Auxiliary)))
    }

    fn adverbs_before_verb(&self) -> bool {
        let next = (self.at..self.view.len()).find(|at| self.tag(*at) != Some(Tag::Adverb));
        next.is_some_and(|at| matches!(self.tag(at), Some(Tag::Verb | Tag::Gerund)))
    }

    /// Whether a form in `ing` begins a clause, and is not the object of a preposition.
    fn is_participial(&self) -> bool {
        let before = self.at.checked_sub(1).and_then(|at| self.tag(at));
        matches!(before, Some(Tag::Comma | Tag::Word | Tag::Name | Tag::Number | Tag::Close))
            && !(self.joined && self.in_gerunds())
    }

    /// Whether the last item is a form in `ing`.
    fn in_gerunds(&self) -> bool {
        let last = self.found.slots.last().and_then(|slot| slot.items.last());
        last.and_then(|item| item.first()).is_some_and(|at| self.lexemes[*at].tag == Tag::Gerund)
    }

    fn separate(&mut self) {
        let is_comma = self.tag(self.at) == Some(Tag::Comma);
        self.at += 1;
        // `A, B, and C`, `A as well as B`, `not only A but also B`
        while matches!(self.tag(self.at), Some(Tag::Comma | Tag::And))
            || (self.lexeme(self.at).is_some_and(|next| next.is(&["also"]))
                && self.tag(self.at - 1) == Some(Tag::And))
        {
            self.at += 1;
        }
        if is_comma && self.apposes() {
            return;
        }
        self.joined = true;
    }

    /// Reads what explains a name after a comma: `Ghost, a film of 1990`.
    fn apposes(&mut self) -> bool {
        let is_article = self
            .lexeme(self.at)
            .is_some_and(|lexeme| lexeme.is(&["a", "an", "the", "one"]) && !(lexeme.capital));
        let after_comma = self.tag(self.at.wrapping_sub(1)) == Some(Tag::Comma);
        let Some(name) = self.last_item().filter(|_| is_article && after_comma) else {
            return false;
        };
        let is_name = name.iter().any(|at| self.lexemes[*at].tag == Tag::Name);
        let next = self.next_apposed(&name);
        let end = next.unwrap_or_else(|| self.end_of_clause(self.at));
        // In a list of names with articles, another one follows: `the Sun, the Moon and Mars`.
        let rest = &self.view[self.at..end];
        let goes_on = rest.iter().any(|at| self.lexemes[*at].tag == Tag::And)
            && shape(&name, self.lexemes) == PhraseShape::Definite;
        if !is_name || goes_on {
            return false;
        }
        self.found.appositions.push((tail_name(&name, self.lexemes), rest.to_vec()));
        self.at = end;
        true
    }

    /// Where an apposition ends before the next name of a list: `Bo, a poet, and Cy, a painter`,
    /// `the son of Bo, a poet, and Cy`.
    fn next_apposed(&self, name: &[usize]) -> Option<usize> {
        let is = |at: usize, tag: Tag| self.tag(at) == Some(tag);
        let is_article = |at: usize| self.lexeme(at).is_some_and(|one| one.is(&["a", "an"]));
        let of_name = is_article(self.at)
            && (name.iter().any(|at| self.lexemes[*at].is(&["of"]))
                || name.iter().all(|at| self.lexemes[*at].tag == Tag::Name));
        let end = (self.at..self.view.len()).find(|at| is(*at, Tag::Comma) || is(*at, Tag::And))?;
        let joins = is(end, Tag::Comma) && is(end + 1, Tag::And);
        let from = end + 1 + usize::from(joins);
        let names = (from..self.view.len()).take_while(|at| is(*at, Tag::Name)).count();
        let apposed = is(from + names, Tag::Comma) && is_article(from + names + 1);
        (names > 0 && is(end, Tag::Comma) && (apposed || joins && of_name)).then_some(end)
    }

    pub(super) fn last_item(&self) -> Option<View> {
        let slot = self.found.slots.last()?;
        slot.examples.last().or(slot.items.last()).cloned()
    }

    fn preposition(&mut self) {
        let start = self.at;
        let word = self.lexemes[self.view[start]].word.as_str();
        if matches!(word, "including" | "like") && !self.found.slots.is_empty() && start > 0 {
            self.examples(1);
            return;
        }
        while matches!(self.tag(self.at), Some(Tag::Preposition | Tag::To)) {
            self.at += 1;
        }
        // An infinitive: `to win a prize`, `to later win one`, up to the end of its clause.
        let base = (self.at..self.view.len()).find(|at| self.tag(*at) != Some(Tag::Adverb));
        let infinitive = self.tag(self.at - 1) == Some(Tag::To)
            && base.and_then(|base| self.lexeme(base)).is_some_and(|next| {
                (next.has(&[Tag::Word, Tag::Verb])
                    && !next.capital
                    && self.is_base(start, &next.word))
                    || next.has(&[Tag::Be, Tag::Auxiliary])
            });
        let parent = self.parent(start);
        // `during which`, `for which`: a clause about what comes before.
        if self.tag(self.at) == Some(Tag::Relative) {
            self.at = start;
            self.clause();
            return;
        }
        let preposition = self.view[start..self.at].to_vec();
        if infinitive {
            let end = self.end_of_clause(self.at);
            let items = vec![self.view[self.at..end].to_vec()];
            self.found.slots.push(Slot { preposition, items, examples: Vec::new(), parent });
            self.at = end;
        } else {
            self.found.slots.push(Slot { preposition, parent, ..Slot::default() });
        }
        self.joined = false;
    }

    /// The slot and the item that a preposition at a place follows.
    fn parent(&self, start: usize) -> Option<(usize, usize)> {
        let last = self.found.slots.len().checked_sub(1)?;
        let slot = &self.found.slots[last];
        // `in Oslo and on Mars` stand beside each other.
        if start > 0 && self.tag(start - 1) == Some(Tag::And) && !slot.is_object() {
            // `in Oslo in 1920 and in Rome in 1930`
            let is_time = self.tag(self.at) == Some(Tag::Number);
            let beside = |slot: &&Slot| !slot.is_object() && slot.is_time(self.lexemes) == is_time;
            return self.found.slots.iter().rev().find(beside).unwrap_or(slot).parent;
        }
        // `a prize in 1903 and a medal in 1904`: the list may have gone on before the last slot.
        let follows = start.checked_sub(1).map(|at| self.view[at]);
        let ends_here = |slot: &Slot| {
            let item = slot.examples.last().or(slot.items.last());
            item.is_some_and(|item| item.last().copied() == follows)
        };
        let last = self.found.slots.iter().rposition(ends_here).unwrap_or(last);
        let slot = &self.found.slots[last];
        Some((last, (slot.items.len() + slot.examples.len()).saturating_sub(1)))
    }

    /// Whether a word after the `to` at a place is a verb, and no noun: `commitment to excellence`.
    fn is_base(&self, to: usize, word: &str) -> bool {
        let takes = [
            "commitment",
            "dedication",
            "contribution",
            "contributions",
            "approach",
            "addition",
            "devotion",
            "due",
            "according",
            "related",
            "married",
            "devoted",
            "dedicated",
            "committed",
            "introduced",
            "similar",
            "thanks",
            "access",
        ];
        let after =
            to.checked_sub(1).and_then(|at| self.lexeme(at)).is_some_and(|word| word.is(&takes));
        let noun = ["ence", "ance", "tion", "sion", "ment", "ity", "ism", "ness", "ics", "ship"];
        let plural = word.ends_with('s') && !word.ends_with("ss");
        !(after || plural || noun.iter().any(|ending| word.ends_with(ending)))
    }

    fn examples(&mut self, length: usize) {
        self.at += length;
        if self.found.slots.is_empty() {
            self.found.slots.push(Slot::default());
        }
        // Examples are of several: `awards for her work, including a medal` are awards.
        let several = self.found.slots.iter().rposition(|slot| {
            slot.items.last().and_then(|item| item.last()).is_some_and(|at| {
                let last = &self.lexemes[*at];
                last.tag == Tag::Word && last.word.ends_with('s') && !last.word.ends_with("ss")
            }) || slot.items.last().is_some_and(|item| {
                item.iter().any(|at| self.lexemes[*at].is(&["of"]))
                    && item.iter().any(|at| {
                        let word = &self.lexemes[*at];
                        word.tag == Tag::Word && word.word.ends_with('s')
                    })
            })
        });
        self.examples_of = Some(several.unwrap_or(self.found.slots.len() - 1));
        self.joined = false;
    }

    /// Reads a clause up to its end.
    fn clause(&mut self) {
        // A link that begins the clause would also end it, so that it is skipped.
        let end = self.end_of_clause(self.at + 1).max(self.at + 1);
        let after_comma = self.tag(self.at.wrapping_sub(1)) == Some(Tag::Comma);
        let tag = self.tag(self.at);
        // `, leading teams` tells about the whole predicate, not about the last phrase.
        let of_whole = tag == Some(Tag::Link)
            || tag == Some(Tag::Pronoun)
            || (tag == Some(Tag::Gerund) && after_comma);
        let about = if of_whole { None } else { self.last_item() };
        self.found.clauses.push((about, self.view[self.at..end].to_vec()));
        self.at = end;
        self.joined = false;
    }

    /// Where a clause ends that begins here: at a link, or at a comma before one of another kind.
    fn end_of_clause(&self, from: usize) -> usize {
        (from..self.view.len())
            .find(|at| {
                let comma = self.tag(*at) == Some(Tag::Comma);
                let next = self.tag(*at + 1);
                (comma
                    && matches!(next, Some(Tag::Relative | Tag::Gerund | Tag::Link | Tag::Pronoun)))
                    || self.tag(*at) == Some(Tag::Link)
                    || self.tag(*at) == Some(Tag::Mark)
            })
            .unwrap_or(self.view.len())
    }

    /// Reads a noun phrase, with phrases tied to it by `of`.
    fn noun(&mut self) {
        // `both` has no content.
        self.at += usize::from(self.lexeme(self.at).is_some_and(|lexeme| lexeme.is(&["both"])));
        let start = self.at;
        let is_gerund = self.tag(start) == Some(Tag::Gerund);
        while let Some(lexeme) = self.lexeme(self.at) {
            let quotation = |at: usize| self.lexeme(at).map_or(0, |lexeme| lexeme.quotation);
            let parts = self.at > start
                && quotation(self.at) > 0
                && quotation(self.at - 1) > 0
                && quotation(self.at) != quotation(self.at - 1);
            let goes_on = !parts
                && match lexeme.tag {
                    _ if lexeme.quoted() => true,
                    // `gave her a medal`
                    Tag::Article | Tag::Owner | Tag::Pronoun | Tag::Object => {
                        self.at == start
                            || self.is_glued()
                            || self.tag(self.at - 1) == Some(Tag::Object)
                    }
                    Tag::Gerund => self.at == start || self.is_glued(),
                    Tag::Preposition => {
                        self.at > start
                            && (lexeme.is(&["of"])
                                || (is_gerund && !lexeme.is(&["including", "like", "as"])))
                    }
                    Tag::Verb => is_gerund && self.tag(self.at - 1) == Some(Tag::Word),
                    Tag::And => {
                        self.tag(self.at.wrapping_sub(1)) == Some(Tag::Gerund)
                            && self.tag(self.at + 1) == Some(Tag::Gerund)
                    }
                    Tag::Adverb => !self.adverbs_before_verb(),
                    Tag::Word if lexeme.is(&["such"]) => !self.next_is(&["as"]),
                    Tag::Word | Tag::Name | Tag::Number | Tag::Or | Tag::Not => true,
                    Tag::To => self.at > start && (is_gerund || self.is_glued()),
                    _ => false,
                };
            if !goes_on {
                break;
            }
            self.at += 1;
        }
        if self.at == start {
            self.at += 1;
            return;
        }
        let item = self.view[start..self.at].to_vec();
        self.add(item);
        self.joined = false;
    }

    /// Whether the word before ties this one to its phrase.
    fn is_glued(&self) -> bool {
        self.at.checked_sub(1).and_then(|at| self.lexeme(at)).is_some_and(|before| {
            before.is(&["of"])
                || before.has(&[Tag::Gerund, Tag::Or, Tag::Preposition, Tag::To, Tag::Not])
                || (before.tag == Tag::And
                    && self.tag(self.at.wrapping_sub(2)) == Some(Tag::Gerund))
        })
    }
}
