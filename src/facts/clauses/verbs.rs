//! The verbs of a predicate.

use super::{
    emit::{Emitter, Verbs},
    lexeme::Tag,
    phrase::View,
    subject::ClaimPart,
    tag::MODALS,
};

/// Adverbs that tie a sentence to the one before.
const EMPTY_ADVERBS: &[&str] = &["also", "additionally", "furthermore", "moreover"];

/// Verbs with an infinitive.
const TAKING_INFINITIVES: &[&str] = &[
    "went",
    "gone",
    "goes",
    "continued",
    "continues",
    "began",
    "begun",
    "begins",
    "started",
    "starts",
    "decided",
    "chose",
    "chosen",
    "wanted",
    "wants",
    "tried",
    "tries",
    "attempted",
    "managed",
    "helped",
    "helps",
    "agreed",
    "refused",
    "failed",
    "used",
    "came",
    "got",
    "sought",
    "planned",
    "hoped",
    "hopes",
    "learned",
    "seemed",
    "appears",
    "grew",
    "intended",
    "vowed",
    "works",
    "aims",
    "strives",
    "aimed",
    "strove",
    "expected",
    "forced",
    "allowed",
    "required",
    "able",
    "inspired",
    "encouraged",
    "moved",
    "proceeded",
    "elected",
    "known",
    "needed",
    "served",
];

impl Emitter<'_> {
    /// The verbs at the beginning of a predicate, one group for each that shares the rest, and how
    /// many words they have.
    pub(super) fn verbs(&self, view: &[usize]) -> (Vec<Verbs>, usize) {
        let tag = |at: usize| view.get(at).map(|place| self.lexemes()[*place].tag);
        let mut end = 0;
        let mut main = None;
        while let Some(found) = tag(end) {
            match found {
                Tag::Be | Tag::Auxiliary | Tag::Not => end += 1,
                Tag::Adverb => end += 1,
                Tag::Verb if main.is_none() => {
                    main = Some(end);
                    end += 1;
                }
                Tag::Gerund if main.is_none() && end > 0 && tag(end - 1) == Some(Tag::Be) => {
                    main = Some(end);
                    end += 1;
                }
                Tag::Word if main.is_none() && end == 0 => {
                    main = Some(end);
                    end += 1;
                }
                _ => break,
            }
            if main == Some(end - 1) {
                end = self.infinitive(view, end);
            }
        }
        let kept = self.without_links(&view[..end]);
        let whole = Verbs {
            parts: vec![ClaimPart::Words(kept)],
            is_copula: main.is_none()
                && view[..end].iter().any(|at| self.lexemes()[*at].tag == Tag::Be),
        };
        let mut groups = vec![whole];
        let Some(main) = main else { return (groups, end) };
        // `has written and directed films`
        while matches!(tag(end), Some(Tag::And | Tag::Comma)) {
            let next = (end..view.len())
                .find(|at| !matches!(tag(*at), Some(Tag::And | Tag::Comma | Tag::Adverb)));
            // `can sing and dance`
            let base = |next: usize| {
                tag(next) == Some(Tag::Word)
                    && view[..main].iter().any(|at| self.is_modal(*at))
                    && !matches!(tag(next + 1), Some(Tag::Word | Tag::Name))
            };
            let Some(next) = next.filter(|next| tag(*next) == Some(Tag::Verb) || base(*next))
            else {
                break;
            };
            // `hardly sang and seldom danced`: each verb has an adverb of its own.
            let own: View = (end..next)
                .map(|at| view[at])
                .filter(|at| self.lexemes()[*at].tag == Tag::Adverb)
                .collect();
            let shared = view[..main].iter().copied();
            let shared: View = shared
                .filter(|at| own.is_empty() || self.lexemes()[*at].tag != Tag::Adverb)
                .collect();
            let kept = self.without_links(&[shared, own].concat());
            let parts = vec![ClaimPart::Words(kept), ClaimPart::Words(vec![view[next]])];
            groups.push(Verbs { parts, is_copula: false });
            end = next + 1;
        }
        (groups, end)
    }

    /// Words without those that only tie a sentence to another, or a phrase to the next one.
    fn without_links(&self, view: &[usize]) -> View {
        let ties = |at: &&usize| {
            let lexeme = &self.lexemes()[**at];
            lexeme.is(EMPTY_ADVERBS)
                || (lexeme.tag == Tag::Adverb && lexeme.is(&["not"]))
                || (lexeme.is(&["only"]) && **at > 0 && self.is(**at - 1, &["not"]))
        };
        view.iter().filter(|at| !ties(at)).copied().collect()
    }

    pub(super) fn is_modal(&self, at: usize) -> bool {
        MODALS.contains(&self.lexemes()[at].word.trim_end_matches(" not"))
    }

    /// The end of an infinitive that belongs to the verb: `went on to work`.
    pub(super) fn infinitive(&self, view: &[usize], end: usize) -> usize {
        let is = |at: usize, tag: Tag| {
            view.get(at).is_some_and(|place| self.lexemes()[*place].tag == tag)
        };
        let particle =
            usize::from(view.get(end).is_some_and(|at| self.is(*at, &["on", "out", "up", "back"])));
        let to = end + particle;
        // `went on to later become mayor`
        let base = (to + 1..view.len()).find(|at| !is(*at, Tag::Adverb)).unwrap_or(view.len());
        let verb = is(to, Tag::To)
            && [Tag::Word, Tag::Verb, Tag::Be, Tag::Auxiliary].iter().any(|tag| is(base, *tag))
            && !self.lexemes()[view[base]].capital
            && end > 0
            && self.is(view[end - 1], TAKING_INFINITIVES);
        if verb { base + 1 } else { end }
    }
}
