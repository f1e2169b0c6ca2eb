//! Predicates that deny: each is one fact with all that restricts it.

use super::{
    emit::{Clauses, Emitter, Verbs},
    lexeme::Tag,
    phrase::View,
    predicate::Reader,
    subject::{ClaimPart, Subject},
};

/// Adverbs that deny most of what they are said of.
const RARELY: &[&str] = &["hardly", "seldom", "rarely", "barely", "scarcely"];
/// Words that begin subjects of whom a predicate is denied.
const NOBODY: &[&str] = &["no", "nobody", "none", "nothing", "few", "neither"];

impl Emitter<'_> {
    /// Whether the verbs, or their subject, deny what they say.
    pub(super) fn denies(&self, subject: &Subject, verbs: &[usize]) -> bool {
        let nobody = match subject.parts.first() {
            Some(ClaimPart::Words(view)) => view.first().is_some_and(|at| self.is(*at, NOBODY)),
            _ => false,
        };
        nobody || self.negated(verbs) || verbs.iter().any(|at| self.is(*at, RARELY))
    }

    fn negated(&self, verbs: &[usize]) -> bool {
        verbs.iter().any(|at| self.lexemes()[*at].denies())
    }

    /// The fact of a predicate that denies: `did not sing until 1950` does not say `did not sing`.
    /// Only what follows a comma tells more than is denied, and is returned.
    pub(super) fn denial(
        &mut self,
        subject: &Subject,
        mut groups: Vec<Verbs>,
        (view, rest): (&[usize], usize),
        lead: &[usize],
    ) -> Clauses {
        // `did not sing and danced`: which verbs are denied is open.
        if groups.len() > 1 && self.negated(&view[..rest]) {
            let parts = vec![ClaimPart::Words(view[..rest].to_vec())];
            groups = vec![Verbs { parts, is_copula: false }];
        }
        let mut complement = Reader::read(self.lexemes(), &view[rest..]);
        let follows_comma = |clause: &View| {
            let place = view.iter().position(|at| Some(at) == clause.first());
            place.is_some_and(|at| at > 0 && self.lexemes()[view[at - 1]].tag == Tag::Comma)
        };
        complement.clauses.retain(|(_, clause)| follows_comma(clause));
        let more: View =
            complement.clauses.iter().flat_map(|(_, clause)| clause).copied().collect();
        let denied: View = view[rest..].iter().copied().filter(|at| !more.contains(at)).collect();
        let is_participle = lead.first().is_some_and(|at| self.lexemes()[*at].tag == Tag::Verb);
        for verbs in &groups {
            if lead.is_empty() || is_participle {
                self.fact(subject, verbs, &[&denied]);
            } else {
                self.fact_then(subject, verbs, &[&denied], lead);
            }
        }
        // An infinitive (`to film in Oslo`) is no phrase with a name.
        let infinitive = |at: &usize| self.lexemes()[*at].tag == Tag::To;
        complement.slots.retain(|slot| !slot.preposition.last().is_some_and(infinitive));
        for slot in &complement.slots {
            for item in &slot.items {
                self.kind(item);
            }
        }
        self.extras(&complement);
        complement.clauses
    }
}
