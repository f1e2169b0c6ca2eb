//! Splits a sentence: brackets, what leads to the subject, the subject, and its predicates.

use crate::facts::{
    subject::{Pronouns, is_expletive, leads},
    time_label::is_time,
    token::Token,
    topic::Topic,
};

use super::{
    emit::{Emitter, FactText},
    lexeme::{Lexeme, Tag},
    phrase::{View, named, trimmed},
    reading::lexemes,
    report::{is_plain, report},
    subject::{Meaning, Subject},
};

/// Maximum words of a sentence that is split; longer ones are lists or no language.
const LONGEST: usize = 150;

/// Forms of the past that are no participles.
const FINITE: &[&str] = &[
    "died", "became", "went", "came", "began", "wrote", "took", "sang", "gave", "grew", "fell",
    "rose", "drew", "flew", "knew", "ran", "spoke", "chose", "broke", "drove", "ate", "appeared",
    "arrived", "remained", "resided",
];

/// Verbs whose passive has an object: `made a peer`.
const OF_TWO_OBJECTS: &[&str] = &[
    "made",
    "awarded",
    "given",
    "named",
    "elected",
    "called",
    "appointed",
    "offered",
    "granted",
    "paid",
    "taught",
    "considered",
    "voted",
    "crowned",
    "declared",
    "titled",
    "nicknamed",
    "born",
    "dubbed",
    "deemed",
    "known",
    "entitled",
    "ranked",
    "aged",
    "rated",
    "sold",
    "priced",
    "asked",
];

/// Adverbs that link a sentence to the one before.
const LINKING: &[&str] = &[
    "however",
    "therefore",
    "moreover",
    "furthermore",
    "though",
    "nevertheless",
    "consequently",
    "thus",
    "indeed",
];

/// A sentence, or a part of one.
pub(super) struct Stretch<'a> {
    /// Its letters, and where it begins and ends among them.
    pub(super) letters: &'a [char],
    pub(super) start: usize,
    pub(super) end: usize,
    /// Its words, placed from its beginning on.
    pub(super) words: &'a [Token],
    /// Whom it is about.
    pub(super) about: &'a Topic,
    /// The pronouns that mean the topic.
    pub(super) pronouns: Pronouns,
}

impl Stretch<'_> {
    /// The facts that it states, and whether words are in none of them; none where it cannot be
    /// split safely.
    pub(super) fn split(&self) -> Option<(Vec<FactText>, bool)> {
        let Self { letters, words, about, pronouns, .. } = *self;
        if words.len() > LONGEST {
            return None;
        }
        let lexemes = lexemes(letters, self.start, words, self.end);
        let report = report(&lexemes, is_expletive(words));
        if !is_plain(&lexemes[report..]) || (report == 0 && is_expletive(words)) {
            return None;
        }
        let meaning = Meaning { about, pronouns, tokens: words, lexemes: &lexemes };
        let mut splitter = Splitter { meaning, emitter: Emitter::new(meaning, letters, report) };
        let view = splitter.without_parentheses((report..lexemes.len()).collect());
        splitter.clause(&view, None).then(|| splitter.emitter.drafts())
    }
}

/// A sentence on its way to facts.
pub(super) struct Splitter<'a> {
    pub(super) meaning: Meaning<'a>,
    pub(super) emitter: Emitter<'a>,
}

impl<'a> Splitter<'a> {
    pub(super) fn lexeme(&self, at: usize) -> &'a Lexeme {
        &self.meaning.lexemes[at]
    }

    pub(super) fn tag(&self, view: &[usize], at: usize) -> Option<Tag> {
        view.get(at).map(|place| self.meaning.lexemes[*place].tag)
    }

    /// A view without adverbs between commas that only link sentences: `was, however, born`.
    fn without_parentheses(&mut self, view: View) -> View {
        let is_link = |at: usize| {
            let is = |at: usize, tag: Tag| self.tag(&view, at) == Some(tag);
            let is_adverb = view.get(at + 1).is_some_and(|one| self.lexeme(*one).is(LINKING));
            // `Bo sang, however, she danced`
            let goes_on = !matches!(
                self.tag(&view, at + 3),
                Some(Tag::Pronoun | Tag::Name | Tag::Article | Tag::Owner) | None
            );
            is(at, Tag::Comma) && is_adverb && is(at + 2, Tag::Comma) && goes_on
        };
        let Some(at) = (1..view.len()).find(|at| is_link(*at)) else { return view };
        self.emitter.pass_over(&view[at..at + 3]);
        [&view[..at], &view[at + 3..]].concat()
    }

    /// Splits a clause with brackets; whether it has a verb.
    fn clause(&mut self, view: &[usize], inherited: Option<&Subject>) -> bool {
        let (view, brackets) = self.without_brackets(view);
        let mut subject: Option<Subject> = inherited.cloned();
        let mut done = false;
        for part in self.coordinated(&view) {
            match self.simple(&part, subject.as_ref()) {
                Some(found) => {
                    subject = Some(found);
                    done = true;
                }
                // Facts of earlier parts are written already, so that this part is kept unsplit.
                None if done => self.emitter.whole(&part, subject.as_ref()),
                None => return false,
            }
        }
        for (anchor, inside) in brackets {
            self.bracket(&anchor, &inside);
        }
        done
    }

    pub(super) fn has_verb(&self, view: &[usize]) -> bool {
        view.iter().any(|at| self.lexeme(*at).has(&[Tag::Verb, Tag::Be, Tag::Auxiliary]))
    }

    /// Where what leads to the subject ends: the place of the subject.
    pub(super) fn leading(&self, view: &[usize]) -> Option<usize> {
        let first = self.lexeme(*view.first()?);
        if let Some(label) = self.time_label(view) {
            return Some(label);
        }
        let begins = leads(&first.word)
            || first.has(&[Tag::Adverb, Tag::Gerund, Tag::Preposition, Tag::Link])
            || (first.tag == Tag::Verb)
            || first.tag == Tag::To;
        // What stands for the topic is the subject, even if it looks like a lead.
        if !begins || self.meaning.is_topic(&view[..1]) {
            return None;
        }
        let comma = (1..view.len()).find(|at| {
            self.tag(view, *at) == Some(Tag::Comma)
                && (self.subject_then_verb_anywhere(view, at + 1)
                    // `In 1920, the king gave her a medal`
                    || first.tag == Tag::Preposition
                        && !self.has_verb(&view[..*at])
                        && self.plain_subject(view, at + 1).is_some())
        });
        // `In 2013 he transferred`
        let from = if first.tag == Tag::Preposition { 2 } else { 1 };
        // `After she left, she died` has its subject after the comma.
        let pronoun = (from..view.len().min(8)).find(|at| {
            self.lexeme(view[*at]).tag == Tag::Pronoun
                && self.meaning.is_topic(&view[*at..at + 1])
                && first.has(&[Tag::Preposition, Tag::Adverb])
        });
        match (comma.map(|at| at + 1), pronoun) {
            (Some(comma), Some(pronoun)) => Some(comma.min(pronoun)),
            (comma, pronoun) => comma.or(pronoun),
        }
    }

    /// Where a sentence goes on after the time that labels it: `1950: She died`.
    fn time_label(&self, view: &[usize]) -> Option<usize> {
        let labels = |mark: &usize| {
            let last = view[..*mark].last().map(|at| self.lexeme(*at).token);
            view[0] == 0
                && self.tag(view, *mark) == Some(Tag::Mark)
                && last.is_some_and(|last| is_time(&self.meaning.tokens[..=last]))
        };
        // `2001: A Space Odyssey` is a name.
        let name: Vec<char> = self.meaning.about.name().chars().collect();
        let start = self.lexeme(*view.first()?).start;
        let is_name = !name.is_empty() && self.emitter.letters[start..].starts_with(&name);
        let mark = (1..view.len().saturating_sub(1)).rfind(labels).filter(|_| !is_name)?;
        Some(mark + 1)
    }

    fn subject_then_verb_anywhere(&self, view: &[usize], from: usize) -> bool {
        let Some(first) = view.get(from).map(|at| self.lexeme(*at)) else { return false };
        let named = self.meaning.about.mention(self.meaning.tokens, first.token).is_some();
        named
            || first.tag == Tag::Pronoun
            || first.tag == Tag::Owner
            || self.subject_then_verb(view, from, false)
    }

    /// Splits a clause with one subject, and returns that subject.
    fn simple(&mut self, view: &[usize], inherited: Option<&Subject>) -> Option<Subject> {
        let start = self.leading(view).unwrap_or(0);
        let (lead, rest) = view.split_at(start);
        let lead = trimmed(lead, self.meaning.lexemes);
        let verb = self.verb(rest)?;
        let head = &rest[..verb];
        let adverbs =
            head.iter().rev().take_while(|at| self.lexeme(**at).has(&[Tag::Adverb, Tag::Not]));
        let adverbs = adverbs.count();
        let (head, group) = (&head[..head.len() - adverbs], &rest[verb - adverbs..]);
        let (head, about) = self.apposition(head);
        let subject = match (head.is_empty(), inherited) {
            (true, Some(subject)) => subject.clone(),
            (true, None) => return None,
            // `Some of her books sold well, and they were translated.`
            (false, Some(subject)) if subject.is_plural && self.is_they(&head) => subject.clone(),
            (false, _) => self.meaning.subject(&head),
        };
        if let Some(about) = about {
            self.emitter.aside(&subject, &about);
        }
        let predicates = self.predicates(group);
        for (number, predicate) in predicates.iter().enumerate() {
            let clauses =
                self.emitter.predicate(&subject, predicate, if number == 0 { &lead } else { &[] });
            self.subclauses(&subject, clauses);
        }
        self.lead(&subject, &lead);
        Some(subject)
    }

    /// Whether a subject is `they`, and not the topic.
    fn is_they(&self, head: &[usize]) -> bool {
        head.len() == 1 && self.lexeme(head[0]).is(&["they"]) && !self.meaning.is_topic(head)
    }

    /// The facts in what leads to the subject: `Born in Oslo`, `After he left`.
    fn lead(&mut self, subject: &Subject, lead: &[usize]) {
        let Some(first) = lead.first().map(|at| self.lexeme(*at)) else { return };
        if first.tag == Tag::Verb || first.is(&["born"]) {
            let clauses = self.emitter.participle(subject, lead);
            self.subclauses(subject, clauses);
        } else if (first.tag == Tag::Link || first.is(&["after", "before", "since", "as"]))
            && self.has_verb(lead)
        {
            let rest = lead[1..].to_vec();
            self.simple(&rest, None);
        }
    }

    /// Splits clauses inside of a predicate.
    fn subclauses(&mut self, subject: &Subject, clauses: Vec<(Option<View>, View)>) {
        for (about, view) in clauses {
            self.subclause(subject, about.as_deref(), &view);
        }
    }

    fn subclause(&mut self, subject: &Subject, about: Option<&[usize]>, view: &[usize]) {
        let skip = view
            .iter()
            .take_while(|at| self.lexeme(**at).has(&[Tag::Preposition, Tag::To]))
            .count();
        let Some(first) = view.get(skip).map(|at| self.lexeme(*at)) else { return };
        let of = match about {
            Some(about) => {
                let name = named(about, self.meaning.lexemes).map(|(_, name)| name);
                self.meaning.subject(name.as_deref().unwrap_or(about))
            }
            None => subject.clone(),
        };
        let rest = trimmed(&view[skip + 1..], self.meaning.lexemes);
        match first.tag {
            Tag::Relative if first.is(&["who", "which", "that", "whom"]) => {
                let verb = self.verb(&rest);
                let at_once = verb.is_some_and(|verb| {
                    rest[..verb].iter().all(|at| self.lexeme(*at).tag == Tag::Adverb)
                });
                if at_once && skip == 0 {
                    for predicate in self.predicates(&rest) {
                        let clauses = self.emitter.predicate(&of, &predicate, &[]);
                        self.subclauses(&of, clauses);
                    }
                } else if self.object_relative(about, &view[..skip], &rest).is_none() {
                    self.unsplit(&of, view);
                }
            }
            Tag::Relative | Tag::Link => {
                if self.simple(&rest, Some(subject)).is_none() {
                    self.unsplit(subject, view);
                }
            }
            Tag::Pronoun => {
                if self.simple(view, None).is_none() {
                    self.unsplit(subject, view);
                }
            }
            // `was born in Oslo, died in 1934`: no participle of the place.
            _ if self.is_finite(view) => {
                for predicate in self.predicates(view) {
                    let clauses = self.emitter.predicate(subject, &predicate, &[]);
                    self.subclauses(subject, clauses);
                }
            }
            _ => {
                for predicate in self.predicates(view) {
                    let clauses = self.emitter.participle(&of, &predicate);
                    self.subclauses(&of, clauses);
                }
            }
        }
    }

    /// Whether a clause without a subject begins with a verb that is no participle: `and currently
    /// resides in Oslo`, `and made her debut`.
    fn is_finite(&self, view: &[usize]) -> bool {
        let adverbs = view.iter().take_while(|at| self.lexeme(**at).tag == Tag::Adverb).count();
        let Some(verb) = view.get(adverbs).map(|at| self.lexeme(*at)) else { return false };
        let is_present = verb.word.ends_with('s') && !verb.word.ends_with("ss");
        let takes = match self.tag(view, adverbs + 1) {
            Some(Tag::Owner) => true,
            Some(Tag::Article | Tag::Number) => !verb.is(OF_TWO_OBJECTS),
            _ => false,
        };
        verb.tag == Tag::Verb && (verb.is(FINITE) || is_present || takes)
            || verb.has(&[Tag::Auxiliary])
    }

    /// A clause as one fact. Words without a verb state none, and are left to the claim of the
    /// whole sentence.
    fn unsplit(&mut self, subject: &Subject, view: &[usize]) {
        if self.has_verb(view) {
            self.emitter.whole(view, Some(subject));
        }
    }

    /// A relative clause with a subject of its own, and what it is about in its place: `whom she
    /// married in 1923`, `for which she won a prize`.
    fn object_relative(
        &mut self,
        about: Option<&[usize]>,
        preposition: &[usize],
        rest: &[usize],
    ) -> Option<Subject> {
        let verb = self.verb(rest)?;
        let verbs = rest[verb..].iter().take_while(|at| {
            self.lexeme(**at).has(&[Tag::Be, Tag::Auxiliary, Tag::Verb, Tag::Not])
        });
        let place = if preposition.is_empty() { verb + verbs.count() } else { rest.len() };
        let about = about.unwrap_or_default();
        let view = [&rest[..place], preposition, about, &rest[place..]].concat();
        self.simple(&view, None)
    }

    /// The subject before a comma, and what is said of it between commas.
    fn apposition(&self, head: &[usize]) -> (View, Option<View>) {
        let comma = head.iter().position(|at| self.lexeme(*at).tag == Tag::Comma);
        match comma {
            Some(comma) if comma > 0 => {
                let about = trimmed(&head[comma + 1..], self.meaning.lexemes);
                // `A poet, she was born in Oslo`, but `The album, Quill, was released`
                let closes = self.tag(head, head.len() - 1) == Some(Tag::Comma);
                if !closes
                    && self.meaning.is_topic(&about)
                    && !self.meaning.is_topic(&head[..comma])
                {
                    return (about, Some(head[..comma].to_vec()));
                }
                // `Bo, Cy and Di sang` has three subjects, and no description of the first.
                let listed = about.iter().any(|at| self.lexeme(*at).tag == Tag::And)
                    && !self.meaning.is_topic(&head[..comma]);
                if listed || about.is_empty() {
                    return (head.to_vec(), None);
                }
                (head[..comma].to_vec(), Some(about))
            }
            _ => (trimmed(head, self.meaning.lexemes), None),
        }
    }

    /// Where the verbs of a clause begin, after its subject.
    fn verb(&self, view: &[usize]) -> Option<usize> {
        let mut at = 0;
        // A relative clause between commas belongs to the subject.
        if let Some(comma) =
            (1..view.len().min(12)).find(|at| self.tag(view, *at) == Some(Tag::Comma))
            && matches!(
                (self.tag(view, comma + 1), self.tag(view, comma + 2)),
                (Some(Tag::Relative | Tag::Verb | Tag::Article), _)
                    | (Some(Tag::Adverb), Some(Tag::Verb))
            )
            && !self.has_verb(&view[..comma])
            && let Some(close) = (comma + 2..view.len()).find(|at| {
                self.tag(view, *at) == Some(Tag::Comma)
                    && matches!(
                        self.tag(view, at + 1),
                        Some(Tag::Be | Tag::Auxiliary | Tag::Verb | Tag::Adverb)
                    )
            })
        {
            at = close;
        }
        (at..view.len())
            .find(|at| matches!(self.tag(view, *at), Some(Tag::Be | Tag::Auxiliary | Tag::Verb)))
    }
}
