//! Brackets of a sentence, each with the phrase before it.

use super::{lexeme::Tag, phrase::View, sentence::Splitter};

impl Splitter<'_> {
    /// The view without what stands in brackets, and each bracket with the phrase before it.
    pub(super) fn without_brackets(&self, view: &[usize]) -> (View, Vec<(View, View)>) {
        let mut kept: View = Vec::new();
        let mut brackets = Vec::new();
        let mut inside: Option<View> = None;
        for at in view {
            match (self.lexeme(*at).tag, &mut inside) {
                (Tag::Open, None) => inside = Some(Vec::new()),
                (Tag::Close, Some(words)) => {
                    brackets.push((self.anchor(&kept), std::mem::take(words)));
                    inside = None;
                }
                (_, Some(words)) => words.push(*at),
                (Tag::Close, None) => {}
                (_, None) => kept.push(*at),
            }
        }
        // An opening mark without a closing one brackets nothing.
        kept.extend(inside.into_iter().flatten());
        (kept, brackets)
    }

    /// The name, or else the noun phrase, at the end.
    pub(super) fn anchor(&self, view: &[usize]) -> View {
        let is_name = |at: &&usize| {
            let lexeme = self.lexeme(**at);
            lexeme.tag == Tag::Name || lexeme.is(&["of", "the"]) || (**at == 0 && lexeme.capital)
        };
        let length = view.iter().rev().take_while(is_name).count();
        let name: View = view[view.len() - length..]
            .iter()
            .copied()
            .skip_while(|at| self.lexeme(*at).is(&["of", "the"]) && !self.lexeme(*at).capital)
            .collect();
        // Names of quotations beside each other are several: the last one counts.
        let quoted = name.last().is_some_and(|at| self.lexeme(*at).quoted());
        if quoted {
            return name.into_iter().filter(|at| self.lexeme(*at).quoted()).collect();
        }
        if !name.is_empty() {
            return name;
        }
        let words = view.iter().rev().take_while(|at| {
            self.lexeme(**at).has(&[Tag::Word, Tag::Number, Tag::Article, Tag::Owner])
        });
        let length = words.count();
        view[view.len() - length..].to_vec()
    }

    /// The facts of a bracket: `(born 1867)`, `(1997)`, `(1867-1934)`.
    pub(super) fn bracket(&mut self, anchor: &[usize], inside: &[usize]) {
        let begins_life = |at: &usize| {
            self.tag(inside, *at) == Some(Tag::Mark)
                && inside.get(at + 1).is_some_and(|one| self.lexeme(*one).is(&["born"]))
        };
        match (1..inside.len()).find(begins_life) {
            Some(mark) => {
                self.one_bracket(anchor, &inside[..mark]);
                self.one_bracket(anchor, &inside[mark + 1..]);
            }
            None => self.one_bracket(anchor, inside),
        }
    }

    fn one_bracket(&mut self, anchor: &[usize], inside: &[usize]) {
        let words: View =
            inside.iter().copied().filter(|at| !self.lexeme(*at).word.is_empty()).collect();
        let Some(first) = words.first().filter(|_| !anchor.is_empty()) else { return };
        let subject = self.meaning.subject(anchor);
        let numbers: View =
            words.iter().copied().filter(|at| self.lexeme(*at).tag == Tag::Number).collect();
        let lexeme = self.lexeme(*first);
        let is_years =
            words.iter().all(|at| numbers.contains(at) || self.lexeme(*at).is(&["present"]));
        let spelt: Vec<&str> = words.iter().map(|at| self.lexeme(*at).word.as_str()).collect();
        let before = lexeme.start.checked_sub(1).map(|at| self.emitter.letters[at]);
        let is_spoken = before.is_some_and(|c| matches!(c, '/' | '\u{2c8}' | '\u{2cc}'));
        let is_address = is_spoken || matches!(lexeme.word.as_str(), "http" | "https" | "www");
        if is_address || subject.is_topic && self.meaning.about.is_told_apart_by(&spelt) {
            self.emitter.pass_over(inside);
        } else if subject.is_topic && words.len() > 1 && lexeme.is(&["née", "né", "nee"]) {
            self.emitter.birth_name(&subject, &words);
        } else if lexeme.is(&["born", "died", "b", "d"]) {
            // `born 1867, died 1934` has two facts.
            let turn = inside
                .iter()
                .position(|at| *at != *first && self.lexeme(*at).is(&["died", "d"]))
                .unwrap_or(inside.len());
            self.emitter.life(&subject, &inside[..turn]);
            if turn < inside.len() {
                self.emitter.life(&subject, &inside[turn..]);
            }
        } else if !numbers.is_empty() && subject.is_topic && words.len() <= 2 && is_years {
            self.emitter.years(&subject, &numbers);
        } else if numbers.len() == 1 && words.len() == 1 {
            self.emitter.released(&subject, &words);
        } else {
            self.emitter.remark(&subject, inside);
        }
    }
}
