//! Clauses that stand side by side, and predicates that share a subject.

use super::{
    lexeme::Tag,
    phrase::{View, trimmed},
    sentence::Splitter,
};

/// Forms that are verbs of a sentence only after an auxiliary.
const NOT_FINITE: &[&str] = &[
    "become", "written", "gone", "taken", "given", "seen", "sung", "begun", "chosen", "broken",
    "driven", "drawn", "spoken", "worn", "thrown", "grown", "flown", "fallen", "risen", "sworn",
];

impl Splitter<'_> {
    /// The clauses that stand side by side, each with a subject of its own.
    pub(super) fn coordinated(&self, view: &[usize]) -> Vec<View> {
        let mut found = Vec::new();
        let mut from = 0;
        for at in 1..view.len() {
            let links = match self.tag(view, at) {
                Some(Tag::Mark) => self.subject_then_verb(view, at + 1, false),
                Some(Tag::And) => {
                    self.subject_then_verb(view, at + 1, self.tag(view, at - 1) != Some(Tag::Comma))
                        || self.names_next_subject(&view[from..], at - from)
                }
                Some(Tag::Link) => {
                    self.lexeme(view[at]).is(&["but", "so", "while", "whereas", "although"])
                        && self.subject_then_verb(view, at + 1, false)
                }
                Some(Tag::Comma) => {
                    self.tag(view, at + 1) == Some(Tag::Pronoun)
                        && at > from + 3
                        && self.has_verb(&view[from..at])
                        && self.leading(&view[from..]).is_none()
                }
                _ => false,
            };
            if links && self.has_verb(&view[from..at]) {
                found.push(trimmed(&view[from..at], self.meaning.lexemes));
                from = at + 1;
            }
        }
        found.push(trimmed(&view[from..], self.meaning.lexemes));
        found.retain(|part| !part.is_empty());
        found
    }

    /// Whether a name with its verb follows `, and`, and no list comes before: `She sang, and Bo
    /// Holm danced`.
    fn names_next_subject(&self, view: &[usize], and: usize) -> bool {
        let start = self.leading(view).unwrap_or(0);
        let lists = view.get(start..and - 1).is_none_or(|before| {
            before.iter().any(|at| self.lexeme(*at).has(&[Tag::Comma, Tag::And]))
        });
        let verb = self.plain_subject(view, and + 1);
        self.tag(view, and - 1) == Some(Tag::Comma)
            && !lists
            && verb.is_some_and(|verb| {
                view[and + 1..verb].iter().all(|at| self.lexeme(*at).tag == Tag::Name)
            })
    }

    /// Whether a subject with its verb begins here; only a pronoun where `only_pronoun`.
    pub(super) fn subject_then_verb(
        &self,
        view: &[usize],
        from: usize,
        only_pronoun: bool,
    ) -> bool {
        let Some(verb) = self.plain_subject(view, from) else { return false };
        let first = self.lexeme(view[from]);
        let strong = first.has(&[Tag::Pronoun, Tag::Owner])
            || self.tag(view, verb).is_some_and(|tag| tag != Tag::Verb);
        // Without a comma, `and` joins phrases unless a verb follows at once: `and her mother was`.
        let short =
            first.tag == Tag::Owner && verb <= from + 3 && self.tag(view, verb) != Some(Tag::Verb);
        strong && (!only_pronoun || first.tag == Tag::Pronoun || short)
    }

    /// Where the verb is of a subject that begins here, with nothing between but its own words.
    pub(super) fn plain_subject(&self, view: &[usize], from: usize) -> Option<usize> {
        let first = view.get(from).map(|at| self.lexeme(*at))?;
        let is_subject = first.has(&[Tag::Pronoun, Tag::Owner, Tag::Article, Tag::Name]);
        let verb = (from + 1..view.len().min(from + 8)).find(|at| {
            self.tag(view, *at)
                .is_some_and(|tag| matches!(tag, Tag::Be | Tag::Auxiliary | Tag::Verb))
        })?;
        let plain = view[from..verb].iter().all(|at| {
            self.lexeme(*at).has(&[
                Tag::Pronoun,
                Tag::Owner,
                Tag::Article,
                Tag::Name,
                Tag::Word,
                Tag::Adverb,
                Tag::Number,
                Tag::Gerund,
            ]) || self.lexeme(*at).is(&["of"])
        });
        (is_subject && plain).then_some(verb)
    }

    /// The predicates of one subject: `sang in Oslo` and `wrote books`.
    pub(super) fn predicates(&self, view: &[usize]) -> Vec<View> {
        let mut found: Vec<View> = Vec::new();
        let mut from = 0;
        // What comes back before a second infinitive: `planned to marry and move`.
        let mut prefix = View::new();
        let mut nested = false;
        for at in 1..view.len() {
            let tag = self.tag(view, at);
            nested |= matches!(tag, Some(Tag::Relative | Tag::Gerund));
            if tag == Some(Tag::Comma) {
                nested =
                    matches!(self.tag(view, at + 1), Some(Tag::Relative | Tag::Gerund | Tag::Link));
            }
            let is_link = tag == Some(Tag::And)
                || (tag == Some(Tag::Link) && self.lexeme(view[at]).is(&["but"]));
            let listed = tag == Some(Tag::Comma) && self.lists_verbs(view, at + 1);
            if !(is_link || listed) {
                continue;
            }
            let next = (at + 1..view.len()).find(|next| {
                !matches!(self.tag(view, *next), Some(Tag::Adverb | Tag::Comma | Tag::Not))
            });
            let Some(next) = next else { continue };
            let strong = matches!(self.tag(view, next), Some(Tag::Be | Tag::Auxiliary));
            let verb = self.tag(view, next) == Some(Tag::Verb) || self.is_present(view, next, from);
            let shares = self.are_verbs(&view[from..at]);
            let infinitive = (from..(from + 5).min(at)).find(|to| {
                self.tag(view, *to) == Some(Tag::To) && self.tag(view, *to - 1) == Some(Tag::Verb)
            });
            if let Some(to) = infinitive
                && (self.is_base(view, next) || self.lexeme(view[next]).is(&["become"]))
                && tag == Some(Tag::And)
            {
                found.push([&prefix, &trimmed(&view[from..at], self.meaning.lexemes)[..]].concat());
                prefix = view[from..=to].to_vec();
                from = at + 1;
                continue;
            }
            let spread = self.is_present(view, next, from) && nested;
            if !shares && (strong || (verb && !nested)) && !spread {
                let said = [&prefix, &trimmed(&view[from..at], self.meaning.lexemes)[..]].concat();
                let shared = self.shared_helpers(&said, view[next]);
                // `has not won a prize and become mayor` denies both together.
                if shared.iter().any(|at| self.lexeme(*at).denies()) {
                    continue;
                }
                found.push(said);
                prefix = shared;
                from = at + 1;
            }
        }
        found.push([&prefix, &trimmed(&view[from..], self.meaning.lexemes)[..]].concat());
        found.retain(|part| !part.is_empty());
        found
    }

    /// Whether words are verbs alone, which share what follows: `written and directed`.
    fn are_verbs(&self, view: &[usize]) -> bool {
        let verbs =
            [Tag::Be, Tag::Auxiliary, Tag::Verb, Tag::Adverb, Tag::Not, Tag::And, Tag::Comma];
        view.iter().all(|at| self.lexeme(*at).has(&verbs))
    }

    /// The auxiliaries before a verb that a later one without any shares: `could have won the prize
    /// and become mayor` does not say that she became mayor.
    fn shared_helpers(&self, said: &[usize], next: usize) -> View {
        let helper = [Tag::Be, Tag::Auxiliary, Tag::Adverb, Tag::Not];
        let helpers: View =
            said.iter().copied().take_while(|at| self.lexeme(*at).has(&helper)).collect();
        let helps = |at: &usize| self.lexeme(*at).has(&[Tag::Be, Tag::Auxiliary]);
        let supposes = helpers.iter().any(|at| self.lexeme(*at).is(&["have"]))
            && helpers.iter().any(|at| self.emitter.is_modal(*at));
        let needs = self.lexeme(next).is(NOT_FINITE);
        let goes_on = needs || (supposes && self.lexeme(next).tag == Tag::Verb);
        if goes_on && helpers.iter().any(helps) { helpers } else { View::new() }
    }

    /// Whether a word after `and` is the base form of a verb: something follows that it acts on.
    pub(super) fn is_base(&self, view: &[usize], at: usize) -> bool {
        let lexeme = self.lexeme(view[at]);
        lexeme.tag == Tag::Word
            && !lexeme.capital
            && !lexeme.word.ends_with('s')
            && matches!(self.tag(view, at + 1), Some(Tag::To | Tag::Article | Tag::Owner))
    }

    /// Whether a word after `and` is a verb in the present: `is a singer and supports charities`.
    pub(super) fn is_present(&self, view: &[usize], at: usize, from: usize) -> bool {
        let lexeme = self.lexeme(view[at]);
        let after_adverb = self.tag(view, at - 1) == Some(Tag::Adverb);
        let main = self.lexeme(view[from]);
        lexeme.tag == Tag::Word
            && !lexeme.capital
            && lexeme.word.ends_with('s')
            && (main.is(&["is", "has"]) || main.word.ends_with('s'))
            && (after_adverb || matches!(self.tag(view, at + 1), Some(Tag::Article | Tag::Owner)))
    }

    /// Whether a comma parts two verbs of a list: `sang, danced, and acted`.
    pub(super) fn lists_verbs(&self, view: &[usize], at: usize) -> bool {
        let reduced = [
            "born",
            "known",
            "based",
            "called",
            "named",
            "titled",
            "considered",
            "held",
            "located",
            "released",
            "directed",
            "written",
            "published",
            "formed",
            "produced",
        ];
        self.tag(view, at) == Some(Tag::Verb)
            && !self.lexeme(view[at]).is(&reduced)
            && (at + 1..view.len()).any(|later| {
                self.tag(view, later) == Some(Tag::And)
                    && matches!(self.tag(view, later + 1), Some(Tag::Verb | Tag::Adverb))
            })
    }
}
