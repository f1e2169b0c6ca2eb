//! Source texts and spans in them.

use std::{ops::Range, sync::Arc};

/// A text and its name in messages.
#[derive(Debug, PartialEq, Eq)]
pub struct Source {
    /// Path as the user wrote it, or a substitute such as `--set`.
    pub path: String,
    /// The whole text.
    pub text: String,
}

/// A span of a source, marked by carets in messages.
#[derive(Clone, PartialEq, Eq)]
pub struct Span {
    /// The source.
    pub source: Arc<Source>,
    /// First byte, and the one after the last. Half the size of a range, since a recipe of 100,000
    /// stages has millions of spans.
    start: u32,
    end: u32,
}

impl Source {
    /// A source with this name.
    pub fn new(path: impl Into<String>, text: impl Into<String>) -> Arc<Self> {
        Arc::new(Self { path: path.into(), text: text.into() })
    }
}

impl Span {
    /// A span of these bytes, clamped to the source and widened to character boundaries.
    pub fn new(source: &Arc<Source>, range: Range<usize>) -> Self {
        // A range may come from another version of the text, or point into a character.
        let end = source.text.ceil_char_boundary(range.end.min(source.text.len()));
        let start = source.text.floor_char_boundary(range.start.min(end));
        let [start, end] = [start, end].map(|at| u32::try_from(at).unwrap_or(u32::MAX));
        Self { source: Arc::clone(source), start, end }
    }

    /// Byte range.
    pub fn range(&self) -> Range<usize> {
        self.start as usize..self.end as usize
    }

    /// A span of the whole source.
    pub fn whole(source: &Arc<Source>) -> Self {
        Self::new(source, 0..source.text.len())
    }

    /// The text of the span.
    pub fn text(&self) -> &str {
        self.source.text.get(self.range()).unwrap_or_default()
    }

    /// Line and column of the first character, both from 1.
    pub fn position(&self) -> (usize, usize) {
        let before = self.source.text.get(..self.start as usize).unwrap_or_default();
        let line = before.rsplit('\n').next().unwrap_or_default();
        (before.matches('\n').count() + 1, line.chars().count() + 1)
    }

    /// The first occurrence of a text within this span, or the whole span.
    pub fn narrowed(&self, text: &str) -> Self {
        match self.text().find(text) {
            Some(offset) => {
                let start = self.start as usize + offset;
                Self::new(&self.source, start..start + text.len())
            }
            None => self.clone(),
        }
    }
}

impl std::fmt::Debug for Span {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (line, column) = self.position();
        write!(formatter, "{}:{line}:{column}", self.source.path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_are_counted_in_characters_from_1() {
        let source = Source::new("a.toml", "x = 1\nä = \"b\"\n");
        let value = Span::new(&source, 11..14);
        assert_eq!((value.text(), value.position()), ("\"b\"", (2, 5)));
        assert_eq!(value.narrowed("b").position(), (2, 6));
        assert_eq!(value.narrowed("c"), value);
        assert_eq!(Span::new(&source, 90..99).position(), (3, 1));
    }
}
