//! Writes the facts of a predicate.

use std::collections::BTreeSet;

use crate::facts::time_label::{is_time, preposition_of};

use super::{
    lexeme::{Lexeme, Tag},
    past::past,
    phrase::{
        Slot, View, article, is_demonym, is_work, join_spans, named, share_nouns, share_tails,
    },
    predicate::{Complement, Reader},
    subject::{ClaimPart, Meaning, Subject, written},
};

/// Clauses inside of a predicate, with the phrase that each is about.
pub(super) type Clauses = Vec<(Option<View>, View)>;

/// A claim's text with the ranges of letters that state it.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct FactText {
    pub(super) text: String,
    pub(super) pieces: Vec<(usize, usize)>,
}

/// Facts of a sentence as they are found.
pub(super) struct Emitter<'a> {
    pub(super) meaning: Meaning<'a>,
    pub(super) letters: &'a [char],
    /// What comes back before each fact.
    report: Vec<ClaimPart>,
    drafts: Vec<FactText>,
    pub(super) covered: BTreeSet<usize>,
}

/// The verbs of a predicate.
#[derive(Clone, Debug, Default)]
pub(super) struct Verbs {
    pub(super) parts: Vec<ClaimPart>,
    /// Whether it is `is` or `was` alone.
    pub(super) is_copula: bool,
}

impl<'a> Emitter<'a> {
    /// Nothing is found yet; the first words, up to `report`, come back before each fact.
    pub(super) fn new(meaning: Meaning<'a>, letters: &'a [char], report: usize) -> Self {
        let said: View = (0..report).collect();
        // `It is a fact that she sang`: this `it` stands for the clause.
        let expletive =
            report > 1 && meaning.lexemes[0].is(&["it"]) && meaning.lexemes[1].tag == Tag::Be;
        let named = report > 0 && !expletive && meaning.is_topic(&said[..1]);
        let mut parts = Vec::new();
        if named {
            parts.push(ClaimPart::Instead(meaning.about.name().to_owned(), vec![0]));
        }
        parts.extend(meaning.parts(&said[usize::from(named)..]));
        Self { meaning, letters, report: parts, drafts: Vec::new(), covered: BTreeSet::new() }
    }

    pub(super) fn lexemes(&self) -> &'a [Lexeme] {
        self.meaning.lexemes
    }

    pub(super) fn is(&self, at: usize, words: &[&str]) -> bool {
        self.lexemes()[at].is(words)
    }

    /// The facts, and whether words with content are in none of them.
    pub(super) fn drafts(self) -> (Vec<FactText>, bool) {
        let missing = self.lexemes().iter().enumerate().any(|(at, lexeme)| {
            !self.covered.contains(&at)
                && !lexeme.is(&["such", "including", "as", "well"])
                && lexeme.has(&[
                    Tag::Name,
                    Tag::Number,
                    Tag::Word,
                    Tag::Verb,
                    Tag::Gerund,
                    Tag::Not,
                ])
        });
        (self.drafts, missing)
    }

    pub(super) fn push(&mut self, parts: &[ClaimPart]) {
        let parts = &[&self.report, parts].concat();
        for part in parts {
            if let ClaimPart::Words(view) | ClaimPart::Instead(_, view) = part {
                self.covered.extend(view);
            }
        }
        let (text, pieces) = written(parts, self.lexemes(), self.letters);
        let text = text.trim_end_matches([',', ';', ':', ' ']);
        // A claim stands alone, so that it needs an ending and a capital of its own.
        let ends = text.ends_with(['.', '!', '?']) || text.ends_with(".\"");
        let mut letters = text.chars();
        let first: String = letters.next().into_iter().flat_map(char::to_uppercase).collect();
        let text = format!("{first}{}{}", letters.as_str(), if ends { "" } else { "." });
        // Two ways through a sentence may lead to the same text, which is one fact.
        if !pieces.is_empty() && !self.drafts.iter().any(|draft| draft.text == text) {
            self.drafts.push(FactText { text, pieces });
        }
    }

    /// A fact of a subject, its verbs and further words.
    pub(super) fn fact(&mut self, subject: &Subject, verbs: &Verbs, rest: &[&[usize]]) {
        let mut parts = subject.parts.clone();
        parts.extend(verbs.parts.iter().cloned());
        for view in rest.iter().filter(|view| !view.is_empty()) {
            parts.extend(self.meant(subject, view));
        }
        self.push(&parts);
    }

    /// A fact that ends with what led to its subject.
    pub(super) fn fact_then(
        &mut self,
        subject: &Subject,
        verbs: &Verbs,
        rest: &[&[usize]],
        lead: &[usize],
    ) {
        let mut parts = subject.parts.clone();
        parts.extend(verbs.parts.iter().cloned());
        for view in rest.iter().filter(|view| !view.is_empty()) {
            parts.extend(self.meant(subject, view));
        }
        let first = &self.lexemes()[lead[0]];
        let spelt: String = self.letters[first.start..first.end].iter().collect();
        // A lead may begin the sentence, where a capital alone makes no name.
        let small = if first.has(&[Tag::Name, Tag::Number]) { spelt } else { spelt.to_lowercase() };
        // `1950: She died`
        let last = self.lexemes()[lead[lead.len() - 1]].token;
        let words = self.meaning.tokens.get(first.token..=last).unwrap_or_default();
        if is_time(words) {
            parts.push(ClaimPart::Text(preposition_of(words).to_owned()));
        }
        if first.tag == Tag::Number {
            parts.push(ClaimPart::Words(lead.to_vec()));
        } else {
            parts.push(ClaimPart::Instead(small, lead[..1].to_vec()));
            parts.extend(self.meaning.parts(&lead[1..]));
        }
        self.push(&parts);
    }

    /// Words after a subject: after the topic's name `her` is clear, after another one it needs the
    /// name.
    fn meant(&self, subject: &Subject, view: &[usize]) -> Vec<ClaimPart> {
        if subject.is_topic {
            vec![ClaimPart::Words(view.to_vec())]
        } else {
            self.meaning.parts(view)
        }
    }

    /// A clause as one fact.
    pub(super) fn whole(&mut self, view: &[usize], subject: Option<&Subject>) {
        let starts =
            view.first().is_some_and(|at| self.lexemes()[*at].has(&[Tag::Pronoun, Tag::Name]));
        let mut parts = match subject {
            Some(subject) if !starts => subject.parts.clone(),
            _ => Vec::new(),
        };
        parts.extend(self.meaning.parts(view));
        self.push(&parts);
    }

    /// The facts of a participle: `born in Oslo`, `leading teams`.
    pub(super) fn participle(&mut self, subject: &Subject, view: &[usize]) -> Clauses {
        let adverbs = view.iter().take_while(|at| self.lexemes()[**at].tag == Tag::Adverb).count();
        let Some(verb) = view.get(adverbs).map(|at| &self.lexemes()[*at]) else {
            return Vec::new();
        };
        let (verbs, rest) = if verb.tag == Tag::Gerund {
            let spelt = past(&verb.word);
            let at = view[adverbs];
            let mut parts = Vec::new();
            if adverbs > 0 {
                parts.push(ClaimPart::Words(view[..adverbs].to_vec()));
            }
            parts.push(ClaimPart::Instead(spelt, vec![at]));
            (Verbs { parts, is_copula: false }, adverbs + 1)
        } else {
            // What is known or based somewhere still is, so that the past would be wrong.
            let stays = verb.is(&[
                "known",
                "based",
                "considered",
                "located",
                "regarded",
                "called",
                "named",
            ]);
            let copula = match (stays, subject.is_plural) {
                (true, false) => "is",
                (true, true) => "are",
                (false, false) => "was",
                (false, true) => "were",
            };
            let parts = vec![
                ClaimPart::Text(copula.to_owned()),
                ClaimPart::Words(view[..=adverbs].to_vec()),
            ];
            (Verbs { parts, is_copula: false }, adverbs + 1)
        };
        let mut complement = Reader::read(self.lexemes(), &view[rest..]);
        self.emit(subject, &verbs, &mut complement, &[]);
        complement.clauses
    }

    /// The facts of a predicate, with what leads to its subject.
    pub(super) fn predicate(
        &mut self,
        subject: &Subject,
        view: &[usize],
        lead: &[usize],
    ) -> Clauses {
        let (groups, rest) = self.verbs(view);
        if self.denies(subject, &view[..rest]) {
            return self.denial(subject, groups, (view, rest), lead);
        }
        let mut complement = Reader::read(self.lexemes(), &view[rest..]);
        for verbs in &groups {
            self.emit(subject, verbs, &mut complement, lead);
        }
        // What follows `is an actor` is about the subject of the clause.
        let is_copula = groups.first().is_some_and(|verbs| verbs.is_copula);
        let objects: Vec<View> = complement
            .slots
            .first()
            .filter(|slot| is_copula && slot.is_object())
            .map(|slot| slot.items.clone())
            .unwrap_or_default();
        complement
            .clauses
            .into_iter()
            .map(|(about, clause)| {
                let thing = self.is(clause[0], &["which"]) && self.meaning.pronouns.are_of_person();
                (about.filter(|about| thing || !objects.contains(about)), clause)
            })
            .collect()
    }

    /// The facts of a subject, its verbs and what follows them.
    pub(super) fn emit(
        &mut self,
        subject: &Subject,
        verbs: &Verbs,
        complement: &mut Complement,
        lead: &[usize],
    ) {
        for slot in &mut complement.slots {
            share_nouns(&mut slot.items, self.lexemes());
            share_tails(&mut slot.items, self.lexemes());
        }
        join_spans(&mut complement.slots, self.lexemes());
        let before = self.drafts.len();
        let slots = &complement.slots;
        let objects = slots.first().filter(|slot| slot.is_object());
        let from = usize::from(objects.is_some());
        if let Some(objects) = objects {
            let restricted = self.restricted(objects, complement);
            self.objects(subject, verbs, objects, &restricted);
        }
        for number in from..slots.len() {
            self.slot(subject, verbs, slots, number);
        }
        if slots.is_empty() {
            self.fact(subject, verbs, &[]);
        }
        if !lead.is_empty() && !self.is_clause(lead) {
            let first =
                slots.iter().find(|slot| !slot.is_time(self.lexemes()) && !slot.items.is_empty());
            match first {
                Some(slot) => {
                    let item = self.short(&slot.items[0]);
                    self.fact_then(subject, verbs, &[&slot.preposition, &item], lead);
                }
                None => self.fact_then(subject, verbs, &[], lead),
            }
        }
        if self.drafts.len() > before || !slots.is_empty() {
            self.extras(complement);
        }
    }

    /// Whether what leads to the subject has a verb of its own.
    fn is_clause(&self, lead: &[usize]) -> bool {
        let first = &self.lexemes()[lead[0]];
        first.tag == Tag::Verb
            || first.has(&[Tag::Link])
            || (first.is(&["after", "before", "since", "as"])
                && lead
                    .iter()
                    .any(|at| self.lexemes()[*at].has(&[Tag::Verb, Tag::Be, Tag::Auxiliary])))
    }

    /// A phrase, or the name in it that stands for it: `the film Ghost`.
    fn short(&self, item: &[usize]) -> View {
        match named(item, self.lexemes()) {
            Some((kind, name)) if is_work(&kind, self.lexemes()) => name,
            _ => item.to_vec(),
        }
    }

    fn objects(
        &mut self,
        subject: &Subject,
        verbs: &Verbs,
        slot: &Slot,
        restricted: &[(View, View)],
    ) {
        let indefinite = slot.items.first().is_some_and(|item| self.is(item[0], &["a", "an"]));
        for (number, item) in slot.items.iter().enumerate() {
            if let Some((_, clause)) = restricted.iter().find(|(other, _)| other == item) {
                if !clause.is_empty() {
                    self.fact(subject, verbs, &[item, clause]);
                }
                continue;
            }
            if verbs.is_copula {
                self.attribute(subject, verbs, item, indefinite, number);
            } else {
                let short = self.short(item);
                self.fact(subject, verbs, &[&short]);
                self.kind(item);
            }
        }
        for example in &slot.examples {
            let short = self.short(example);
            self.fact(subject, verbs, &[&short]);
            self.kind(example);
            self.example_of(example, slot.items.last());
        }
    }

    /// `is an American actor`: `is American`, `is an actor`.
    fn attribute(
        &mut self,
        subject: &Subject,
        verbs: &Verbs,
        item: &[usize],
        indefinite: bool,
        number: usize,
    ) {
        let start = item.iter().take_while(|at| self.lexemes()[**at].has(&[Tag::Article])).count();
        let rest = &item[start..];
        let demonym = rest.iter().take_while(|at| {
            let lexeme = &self.lexemes()[**at];
            lexeme.tag == Tag::Name && !lexeme.quoted() && is_demonym(&lexeme.word)
        });
        let demonym = demonym.count();
        let noun_follows =
            rest.get(demonym).is_some_and(|at| self.lexemes()[*at].has(&[Tag::Word, Tag::Gerund]));
        let noun: &[usize] = if demonym > 0 && noun_follows {
            if self.meaning.pronouns.are_of_person() {
                self.fact(subject, verbs, &[&rest[..demonym]]);
            } else if let Some(last) = rest.last() {
                self.fact(subject, verbs, &[&item[..start], &rest[..demonym], &[*last]]);
            }
            &rest[demonym..]
        } else {
            rest
        };
        let small = noun.first().is_some_and(|at| self.lexemes()[*at].tag == Tag::Word);
        if small && indefinite && (start > 0 || number > 0) && noun.len() <= 8 {
            let word = self.lexemes()[noun[0]].word.as_str();
            let mut verbs = verbs.clone();
            let text = article(word).to_owned();
            verbs.parts.push(ClaimPart::Text(text));
            if start > 0 {
                self.covered.extend(&item[..start]);
            }
            self.fact(subject, &verbs, &[noun]);
        } else if demonym > 0 && noun_follows {
            self.fact(subject, verbs, &[&item[..start], noun]);
        } else {
            self.fact(subject, verbs, &[item]);
        }
    }

    /// What stands between the verbs and a slot of the same fact: the objects, and what the slot
    /// follows.
    fn before(&self, slots: &[Slot], number: usize) -> Vec<Vec<View>> {
        let slot = &slots[number];
        let time = slot.is_time(self.lexemes());
        let objects = slots[0].is_object();
        let Some((mut parent, mut item)) = slot.parent else { return vec![Vec::new()] };
        let mut chain: Vec<View> = Vec::new();
        loop {
            let above = &slots[parent];
            // A time belongs to the verb, so that phrases around it are no part of it.
            let skips = (time && parent > 0) || above.is_time(self.lexemes());
            if above.is_object() && objects {
                // All objects have what follows the last of a short list.
                let last = above.items.len().saturating_sub(1);
                // `a prize in 1903 and a medal in 1904` has one for each.
                let one_each = slots
                    .iter()
                    .any(|slot| slot.parent.is_some_and(|(of, at)| of == parent && at < last));
                let all = item == last
                    && above.items.len() <= 2
                    && above.examples.is_empty()
                    && !one_each;
                let heads: Vec<View> = if all {
                    above.items.clone()
                } else {
                    above.item(item).cloned().into_iter().collect()
                };
                return heads
                    .iter()
                    .map(|head| {
                        let mut whole = vec![self.short(head)];
                        whole.extend(chain.iter().rev().cloned());
                        whole
                    })
                    .collect();
            }
            let is_left_out = skips || (time && !objects);
            if !is_left_out {
                let said = above.item(item).cloned().unwrap_or_default();
                chain.push(self.short(&said));
                chain.push(above.preposition.clone());
            }
            match above.parent {
                Some(next) => (parent, item) = next,
                None => break,
            }
        }
        chain.reverse();
        vec![chain]
    }

    /// What a preposition ties to the verbs, and to what comes before it.
    fn slot(&mut self, subject: &Subject, verbs: &Verbs, slots: &[Slot], number: usize) {
        let slot = &slots[number];
        let befores = self.before(slots, number);
        for before in &befores {
            let mut items: Vec<View> =
                slot.items.iter().chain(&slot.examples).map(|item| self.short(item)).collect();
            if items.is_empty() {
                items.push(View::new());
            }
            for item in items {
                let mut rest: Vec<&[usize]> = before.iter().map(Vec::as_slice).collect();
                rest.push(&slot.preposition);
                rest.push(&item);
                self.fact(subject, verbs, &rest);
            }
        }
        for item in &slot.items {
            self.kind(item);
        }
        self.kinds(&slot.items);
        for example in &slot.examples {
            self.kind(example);
            self.example_of(example, slot.items.last());
        }
    }
}
