//! Texts that a person wrote, and stretches of them.

use std::{ops::Range, sync::Arc};

/// A text with the name under which a person knows it.
#[derive(Debug, PartialEq, Eq)]
pub struct Source {
    /// A file's path as the user wrote it, or what stands for one: `--set`.
    pub path: String,
    /// All of its text.
    pub text: String,
}

/// A stretch of a source: what a caret points at.
#[derive(Clone, PartialEq, Eq)]
pub struct Span {
    /// Where it was written.
    pub source: Arc<Source>,
    /// From and up to these bytes.
    pub range: Range<usize>,
}

impl Source {
    /// A text under a name.
    pub fn new(path: impl Into<String>, text: impl Into<String>) -> Arc<Self> {
        Arc::new(Self { path: path.into(), text: text.into() })
    }
}

impl Span {
    /// These bytes of a source; cut where the source ends, and widened to whole letters.
    pub fn new(source: &Arc<Source>, range: Range<usize>) -> Self {
        let end = source.text.ceil_char_boundary(range.end.min(source.text.len()));
        let start = source.text.floor_char_boundary(range.start.min(end));
        Self { source: Arc::clone(source), range: start..end }
    }

    /// All of a source.
    pub fn whole(source: &Arc<Source>) -> Self {
        Self::new(source, 0..source.text.len())
    }

    /// What was written there.
    pub fn text(&self) -> &str {
        self.source.text.get(self.range.clone()).unwrap_or_default()
    }

    /// Line and column of its beginning, in characters, both from 1.
    pub fn position(&self) -> (usize, usize) {
        let before = self.source.text.get(..self.range.start).unwrap_or_default();
        let line = before.rsplit('\n').next().unwrap_or_default();
        (before.matches('\n').count() + 1, line.chars().count() + 1)
    }

    /// The first place within this one where exactly this text stands, or else all of it.
    pub fn narrowed(&self, text: &str) -> Self {
        match self.text().find(text) {
            Some(offset) => {
                let start = self.range.start + offset;
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
