//! Ranges of characters in a text.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A range of characters, not bytes, of a text: from `start` up to, but not including, `end`. In
/// JSON it is `[start, end]`.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(into = "[usize; 2]", try_from = "[usize; 2]")]
pub struct CharSpan {
    start: usize,
    end: usize,
}

/// A range that ends before it begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the span [{start}, {end}] ends before it begins")]
pub struct ReversedSpan {
    start: usize,
    end: usize,
}

impl CharSpan {
    /// The range `[start, end)`.
    ///
    /// # Panics
    /// If it ends before it begins. Ranges from a file are read by `TryFrom`.
    pub const fn new(start: usize, end: usize) -> Self {
        assert!(start <= end, "a span ends before it begins");
        Self { start, end }
    }

    /// The empty range before this character.
    pub const fn empty(place: usize) -> Self {
        Self { start: place, end: place }
    }

    /// Its first character.
    pub const fn start(self) -> usize {
        self.start
    }

    /// The character after its last one.
    pub const fn end(self) -> usize {
        self.end
    }

    /// Whether it has no characters.
    pub const fn is_empty(self) -> bool {
        self.start == self.end
    }

    /// Whether both have a character in common; an empty range has none.
    pub fn overlaps(self, other: Self) -> bool {
        // An empty range has no characters, though it may lie inside the other one.
        self.start.max(other.start) < self.end.min(other.end)
    }

    /// The part of it in a text of this many characters.
    pub fn clamped(self, characters: usize) -> Self {
        Self { start: self.start.min(characters), end: self.end.min(characters) }
    }

    /// Its characters in a text.
    pub fn of(self, text: &str) -> String {
        text.chars().skip(self.start).take(self.end - self.start).collect()
    }

    /// Its problem as a range of this text, if any.
    pub fn problem(self, text: &str) -> Option<String> {
        let characters = text.chars().count();
        // Offsets in bytes are the usual mistake of other programs: they may lie within the bytes.
        let bytes = if self.end <= text.len() {
            "; it seems to count bytes; count characters instead"
        } else {
            ""
        };
        (self.end > characters).then(|| {
            format!("the span {self} goes beyond the {characters} characters of the text{bytes}")
        })
    }
}

impl fmt::Display for CharSpan {
    fn fmt(&self, formatter: &mut fmt::Formatter) -> fmt::Result {
        write!(formatter, "[{}, {}]", self.start, self.end)
    }
}

impl From<CharSpan> for [usize; 2] {
    fn from(span: CharSpan) -> Self {
        [span.start, span.end]
    }
}

impl TryFrom<[usize; 2]> for CharSpan {
    type Error = ReversedSpan;

    fn try_from([start, end]: [usize; 2]) -> Result<Self, ReversedSpan> {
        if start <= end { Ok(Self { start, end }) } else { Err(ReversedSpan { start, end }) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_span_counts_characters() {
        assert_eq!(CharSpan::new(0, 6).problem("Göödel"), None);
        assert_eq!(CharSpan::new(1, 4).of("Göödel"), "ööd");
        assert_eq!(
            CharSpan::new(0, 8).problem("Göödel").unwrap(),
            "the span [0, 8] goes beyond the 6 characters of the text; it seems to count bytes; \
            count characters instead"
        );
        assert_eq!(
            CharSpan::new(2, 7).problem("abcdef").unwrap(),
            "the span [2, 7] goes beyond the 6 characters of the text"
        );
    }

    #[test]
    fn a_span_is_a_list_of_two_numbers_in_order() {
        let span: CharSpan = serde_json::from_str("[3,5]").unwrap();
        assert_eq!(serde_json::to_string(&span).unwrap(), "[3,5]");
        let problem = serde_json::from_str::<CharSpan>("[4,3]").unwrap_err().to_string();
        assert_eq!(problem, "the span [4, 3] ends before it begins");
        let problem = serde_json::from_str::<CharSpan>("[4]").unwrap_err().to_string();
        assert!(problem.contains("an array of length 2"), "{problem}");
    }

    #[test]
    fn empty_spans_overlap_nothing() {
        let span = CharSpan::new(2, 5);
        assert!(span.overlaps(CharSpan::new(4, 9)) && !span.overlaps(CharSpan::new(5, 9)));
        assert!(!span.overlaps(CharSpan::empty(3)));
        assert_eq!(span.clamped(3), CharSpan::new(2, 3));
        assert_eq!(span.clamped(1), CharSpan::empty(1));
    }
}
