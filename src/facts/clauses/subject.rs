//! Parts of a claim's text, and its subject.

use crate::facts::{
    subject::{Pronouns, can_be_meant},
    token::Token,
    topic::Topic,
    unicode::shown,
};

use super::{
    lexeme::{Lexeme, Tag},
    phrase::View,
};

/// A part of a claim's text.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum ClaimPart {
    /// Words of the sentence.
    Words(View),
    /// A text in place of words of the sentence.
    Instead(String, View),
    /// A text that the sentence does not have.
    Text(String),
}

/// What a clause is about.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Subject {
    pub(super) parts: Vec<ClaimPart>,
    /// Whether it is the topic.
    pub(super) is_topic: bool,
    /// Whether its verb is in the plural.
    pub(super) is_plural: bool,
}

/// Whom the words of a sentence mean.
#[derive(Clone, Copy)]
pub(super) struct Meaning<'a> {
    pub(super) about: &'a Topic,
    pub(super) pronouns: Pronouns,
    pub(super) tokens: &'a [Token],
    pub(super) lexemes: &'a [Lexeme],
}

impl Meaning<'_> {
    /// Whether a word stands for the topic, and whether it possesses.
    fn stands(&self, word: &str) -> Option<bool> {
        self.pronouns.stands(word).filter(|_| self.about.is_known())
    }

    /// The subject that these words name.
    pub(super) fn subject(&self, view: &[usize]) -> Subject {
        let words: View =
            view.iter().copied().filter(|at| !self.lexemes[*at].word.is_empty()).collect();
        let is_plural = words.iter().any(|at| self.lexemes[*at].tag == Tag::And)
            || words.last().is_some_and(|at| {
                let last = &self.lexemes[*at];
                last.is(&["they", "these", "those"])
                    || (last.tag == Tag::Word
                        && last.word.ends_with('s')
                        && !last.word.ends_with("ss"))
            });
        if self.is_topic(&words) {
            let parts = vec![ClaimPart::Instead(self.about.name().to_owned(), words)];
            return Subject { parts, is_topic: true, is_plural: false };
        }
        Subject { parts: self.parts(view), is_topic: false, is_plural }
    }

    /// Whether words stand for the topic.
    pub(super) fn is_topic(&self, words: &[usize]) -> bool {
        let Some(first) = words.first() else { return false };
        let lexeme = &self.lexemes[*first];
        let stands = self.stands(&lexeme.word);
        if words.len() == 1 && lexeme.tag == Tag::Pronoun {
            return stands.is_some();
        }
        if words.len() == 1 && self.is_object(lexeme) {
            return true;
        }
        let skips = usize::from(lexeme.tag == Tag::Article);
        let rest = &words[skips..];
        rest.first().is_some_and(|at| {
            let token = self.lexemes[*at].token;
            // A name may be part of a longer one, so that it has to reach to the last word.
            self.about.mention(self.tokens, token).is_some_and(|length| {
                let last = token + length - 1;
                rest.last().is_some_and(|at| self.lexemes[*at].token == last)
                    && !self.tokens[last].possessive
            })
        })
    }

    /// Words with the topic's name in place of what stands for it and owns something.
    pub(super) fn parts(&self, view: &[usize]) -> Vec<ClaimPart> {
        let mut parts = Vec::new();
        let mut run: View = Vec::new();
        let mut index = 0;
        while index < view.len() {
            let lexeme = &self.lexemes[view[index]];
            let owner = (lexeme.tag == Tag::Owner && self.stands(&lexeme.word).is_some())
                .then_some(1)
                .or_else(|| self.owner_named(&view[index..]));
            let object = (owner.is_none() && self.is_object(lexeme)).then_some(1);
            match owner.or(object) {
                Some(length) => {
                    if !run.is_empty() {
                        parts.push(ClaimPart::Words(std::mem::take(&mut run)));
                    }
                    let words = view[index..index + length].to_vec();
                    let ending = if owner.is_some() { "'s" } else { "" };
                    parts.push(ClaimPart::Instead(format!("{}{ending}", self.about.name()), words));
                    index += length;
                }
                None => {
                    run.push(view[index]);
                    index += 1;
                }
            }
        }
        if !run.is_empty() {
            parts.push(ClaimPart::Words(run));
        }
        parts
    }

    /// Whether a word is an object that stands for the topic.
    fn is_object(&self, lexeme: &Lexeme) -> bool {
        lexeme.tag == Tag::Object
            && self.about.is_known()
            && self.pronouns.stands_as_object(&lexeme.word)
            && can_be_meant(&self.tokens[..lexeme.token], self.about)
    }

    /// How many words name the topic as an owner: `Curie's` field.
    fn owner_named(&self, view: &[usize]) -> Option<usize> {
        let first = &self.lexemes[*view.first()?];
        if first.word.is_empty() {
            return None;
        }
        let length = self.about.mention(self.tokens, first.token)?;
        let last = first.token + length - 1;
        let end = view
            .iter()
            .position(|at| self.lexemes[*at].token == last && !self.lexemes[*at].word.is_empty())?;
        self.tokens[last].possessive.then_some(end + 1)
    }
}

/// The text of parts, and the ranges of letters that they take.
pub(super) fn written(
    parts: &[ClaimPart],
    lexemes: &[Lexeme],
    letters: &[char],
) -> (String, Vec<(usize, usize)>) {
    let mut texts: Vec<String> = Vec::new();
    let mut ranges: Vec<(usize, usize)> = Vec::new();
    for part in parts {
        match part {
            ClaimPart::Words(view) => {
                for (start, end) in runs(view, lexemes, letters) {
                    let mut text: String = letters[start..end].iter().collect();
                    // What began the sentence, and is no name, has its capital from there.
                    let first = &lexemes[view[0]];
                    let is_small = first.has(&[Tag::Article, Tag::Verb, Tag::Word]) && view[0] == 0;
                    if is_small && !texts.is_empty() && start == first.start {
                        text = text[..1].to_lowercase() + &text[1..];
                    }
                    // A comma before a closing mark is the sentence's, and not quoted.
                    texts.push(text.replace(",\"", "\"").replace(",\u{201d}", "\u{201d}"));
                    ranges.push((start, end));
                }
            }
            ClaimPart::Instead(text, view) => {
                texts.push(text.clone());
                ranges.extend(runs(view, lexemes, letters));
            }
            ClaimPart::Text(text) => texts.push(text.clone()),
        }
    }
    let text = shown(texts.join(" ").chars()).replace(" ,", ",");
    (text, merged(ranges, letters))
}

/// Runs of neighbouring lexemes as ranges of letters, with their quotation marks.
fn runs(view: &[usize], lexemes: &[Lexeme], letters: &[char]) -> Vec<(usize, usize)> {
    let mut found: Vec<(usize, usize)> = Vec::new();
    for (number, at) in view.iter().enumerate() {
        let (start, end) = (lexemes[*at].start, lexemes[*at].end);
        match found.last_mut() {
            Some(last) if number > 0 && view[number - 1] + 1 == *at => last.1 = end,
            _ => found.push((start, end)),
        }
    }
    found.into_iter().map(|range| with_quotes(range, letters)).collect()
}

/// A range with the quotation marks that belong to it.
fn with_quotes((mut start, mut end): (usize, usize), letters: &[char]) -> (usize, usize) {
    // The sign of an amount belongs to it: `$3.5 million`.
    let signs = ['$', '\u{20ac}', '\u{a3}', '\u{a5}'];
    if start > 0 && letters[start].is_ascii_digit() && signs.contains(&letters[start - 1]) {
        start -= 1;
    }
    let is_quote = |c: &char| matches!(c, '"' | '\u{201c}' | '\u{201d}');
    let count = letters[start..end].iter().filter(|c| is_quote(c)).count();
    let before = start > 0 && is_quote(&letters[start - 1]);
    let after = letters.get(end).is_some_and(is_quote);
    let comma = letters.get(end).is_some_and(|c| matches!(c, ',' | '.'))
        && letters.get(end + 1).is_some_and(is_quote);
    // An odd count means that the partner of a mark inside stands outside.
    if count % 2 == 1 {
        if before && letters[start] != ' ' && !after && !comma {
            start -= 1;
        } else if after {
            end += 1;
        } else if comma {
            end += 2;
        } else if before {
            start -= 1;
        }
    } else if before && after {
        (start, end) = (start - 1, end + 1);
    }
    // A full stop of an initial or abbreviation belongs to its word: `Jr.`, `D.C.`
    let dotted = letters.get(end) == Some(&'.')
        && end > start + 1
        && (letters[end - 1].is_uppercase()
            && !letters[end - 2].is_lowercase()
            && !letters[end - 2].is_uppercase()
            || letters.get(end + 1).is_some_and(|c| !c.is_whitespace() && !is_quote(c)));
    if dotted && end + 1 < letters.len() {
        end += 1;
    }
    (start, end)
}

/// Ranges in order, without overlaps; those with only spaces between them are one.
fn merged(mut ranges: Vec<(usize, usize)>, letters: &[char]) -> Vec<(usize, usize)> {
    ranges.sort_unstable();
    let mut found: Vec<(usize, usize)> = Vec::new();
    for (start, end) in ranges {
        match found.last_mut() {
            Some(last)
                if start <= last.1 || letters[last.1..start].iter().all(|c| c.is_whitespace()) =>
            {
                last.1 = last.1.max(end);
            }
            _ => found.push((start, end)),
        }
    }
    found
}
