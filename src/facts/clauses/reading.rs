//! Reads the words and marks of a sentence.

use crate::facts::{number::is_measure, token::Token};

use super::{
    lexeme::{Lexeme, Tag},
    tag::tag,
};

/// The words and marks of a range of letters.
pub(super) fn lexemes(letters: &[char], from: usize, said: &[Token], to: usize) -> Vec<Lexeme> {
    let mut found: Vec<Lexeme> = Vec::new();
    let mut last = from;
    let mut quotation = Quotation::default();
    for (index, token) in said.iter().enumerate() {
        let (start, end) = (token.start + from, token.end + from);
        // The second half of a contraction (`wasn't`).
        if start < last {
            if let Some(verb) = found.last_mut().filter(|_| token.word == "not") {
                verb.possessive = false;
                verb.word = format!("{} not", verb.word);
            }
            continue;
        }
        // `award-winning` is one word, `1936-present` two.
        // So is `Node.js`.
        let is_dotted = start == last + 1 && letters[last] == '.' && last > from;
        let joined = found.last_mut().filter(|before| {
            (token.joined || is_dotted) && !before.word.is_empty() && !is_measure(&before.word)
        });
        if let Some(before) = joined {
            before.word = format!("{}-{}", before.word, token.word);
            (before.end, before.possessive) = (end, token.possessive);
            last = end;
            continue;
        }
        marks(letters, (last, start), &mut quotation, &mut found);
        // `Smith, Jr.` is one name.
        if token.capital && token.is_one_of(&["jr", "sr", "esq", "phd", "md"]) {
            found.pop_if(|last| last.tag == Tag::Comma);
        }
        found.push(Lexeme {
            tag: if token.article { Tag::Article } else { Tag::Word },
            word: token.word.clone(),
            start,
            end,
            quotation: quotation.current(),
            capital: token.capital,
            possessive: token.possessive,
            token: index,
        });
        last = end;
    }
    marks(letters, (last, to), &mut quotation, &mut found);
    // An opening mark without a closing one quotes nothing.
    if quotation.is_open {
        let open = quotation.number;
        found
            .iter_mut()
            .filter(|lexeme| lexeme.quotation == open)
            .for_each(|lexeme| lexeme.quotation = 0);
    }
    // A tag depends on the words on both sides, so that all are read first.
    for index in 0..found.len() {
        found[index].tag = tag(&found, index);
    }
    found
}

/// Quotations so far.
#[derive(Default)]
struct Quotation {
    number: usize,
    is_open: bool,
}

impl Quotation {
    fn current(&self) -> usize {
        if self.is_open { self.number } else { 0 }
    }

    fn turn(&mut self) {
        self.number += usize::from(!self.is_open);
        self.is_open = !self.is_open;
    }
}

/// Adds the marks between two words.
fn marks(
    letters: &[char],
    (from, to): (usize, usize),
    quotation: &mut Quotation,
    found: &mut Vec<Lexeme>,
) {
    for at in from..to {
        let space = |place: Option<&char>| place.is_none_or(|c| c.is_whitespace());
        let tag = match letters[at] {
            // `6'7"` is a height.
            '"' if !quotation.is_open && at > 0 && letters[at - 1].is_ascii_digit() => continue,
            '"' | '\u{201c}' | '\u{201d}' => {
                quotation.turn();
                continue;
            }
            ',' => Tag::Comma,
            '(' | '[' => Tag::Open,
            ')' | ']' => Tag::Close,
            ';' | ':' | '\u{2014}' => Tag::Mark,
            '-' | '\u{2013}'
                if at > 0 && space(letters.get(at - 1)) && space(letters.get(at + 1)) =>
            {
                Tag::Mark
            }
            _ => continue,
        };
        found.push(Lexeme {
            tag,
            word: String::new(),
            start: at,
            end: at + 1,
            quotation: quotation.current(),
            capital: false,
            possessive: false,
            token: 0,
        });
    }
}
