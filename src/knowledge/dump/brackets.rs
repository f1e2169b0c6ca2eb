//! The brackets of wikitext: which of them belong together.

/// Two brackets that belong together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct BracketPair {
    /// What they enclose.
    pub(super) kind: Bracket,
    /// The first byte of the opening one.
    pub(super) open: usize,
    /// The first byte of the closing one. Both have two bytes.
    pub(super) close: usize,
}

/// What brackets enclose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Bracket {
    /// `{{template}}`
    Template,
    /// `[[link]]`
    Link,
    /// `{| table |}`
    Table,
}

/// The pairs of brackets in a text, in the order of the opening ones. A bracket without its partner
/// is in none. The time is linear in the length of the text.
pub(super) fn pairs(text: &str) -> Vec<BracketPair> {
    let bytes = text.as_bytes();
    let mut open = Open::default();
    let mut pairs = Vec::new();
    let mut at = 0;
    while let Some(found) = next_bracket(bytes, at) {
        at = found;
        let next = bytes.get(at + 1).copied().unwrap_or_default();
        let pair = match (bytes[at], next) {
            (b'{', b'{') => open.push(Bracket::Template, at),
            (b'{', b'|') if starts_line(bytes, at) => open.push(Bracket::Table, at),
            (b'[', b'[') => open.push(Bracket::Link, at),
            (b'}', b'}') => open.close(Bracket::Template, at),
            (b']', b']') => open.close(Bracket::Link, at),
            // `|}}` ends a template whose last argument is empty, and no table.
            (b'|', b'}') if starts_line(bytes, at) && bytes.get(at + 2) != Some(&b'}') => {
                open.close(Bracket::Table, at)
            }
            _ => Step::One,
        };
        if let Step::Closed(pair) = pair {
            pairs.push(pair);
        }
        at += if matches!(pair, Step::One) { 1 } else { 2 };
    }
    pairs.sort_by_key(|pair| pair.open);
    pairs
}

/// How reading continues.
enum Step {
    /// By one byte: there is no bracket.
    One,
    /// By two bytes.
    Opened,
    /// By two bytes, behind a pair.
    Closed(BracketPair),
}

/// The brackets that are open.
#[derive(Default)]
struct Open {
    all: Vec<(Bracket, usize)>,
    /// Places of templates and tables in `all`.
    outer: Vec<usize>,
    /// Number of tables.
    tables: usize,
}

impl Open {
    fn push(&mut self, kind: Bracket, at: usize) -> Step {
        if kind != Bracket::Link {
            self.outer.push(self.all.len());
        }
        self.tables += usize::from(kind == Bracket::Table);
        self.all.push((kind, at));
        Step::Opened
    }

    /// Closes the last open bracket of a kind, and forgets those inside of it that are still open.
    /// A link does not reach over a template or table that began inside of it, and a template not
    /// over a table.
    fn close(&mut self, kind: Bracket, at: usize) -> Step {
        let last = match kind {
            Bracket::Link => self.all.last().map(|(last, _)| *last),
            Bracket::Template => self.outer.last().map(|place| self.all[*place].0),
            Bracket::Table => (self.tables > 0).then_some(kind),
        };
        if last != Some(kind) {
            return Step::One;
        }
        while let Some((other, open)) = self.all.pop() {
            if other != Bracket::Link {
                self.outer.pop();
            }
            self.tables -= usize::from(other == Bracket::Table);
            if other == kind {
                return Step::Closed(BracketPair { kind, open, close: at });
            }
        }
        Step::One
    }
}

fn next_bracket(bytes: &[u8], from: usize) -> Option<usize> {
    let rest = bytes.get(from..)?;
    let is_bracket = |byte: &u8| matches!(byte, b'{' | b'}' | b'[' | b']' | b'|');
    rest.iter().position(is_bracket).map(|found| from + found)
}

/// Whether only indentation is before a place in its line.
fn starts_line(bytes: &[u8], at: usize) -> bool {
    let before = bytes[..at].iter().rev().find(|byte| !matches!(byte, b' ' | b':' | b'*'));
    matches!(before, None | Some(b'\n'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(text: &str) -> Vec<&str> {
        pairs(text).into_iter().map(|pair| &text[pair.open..pair.close + 2]).collect()
    }

    #[test]
    fn brackets_find_their_partners() {
        assert_eq!(found("a {{b|[[c]]}} d"), ["{{b|[[c]]}}", "[[c]]"]);
        assert_eq!(found("{{a|{{b}}}}"), ["{{a|{{b}}}}", "{{b}}"]);
        assert_eq!(found("[[File:x|a [[b]] c]]"), ["[[File:x|a [[b]] c]]", "[[b]]"]);
        assert_eq!(found("{|\n| {{x|}}\n|}\n"), ["{|\n| {{x|}}\n|}", "{{x|}}"]);
        assert_eq!(found("{{a|[[b}} c]]"), ["{{a|[[b}}"]);
        assert!(found("{{a [[b }").is_empty() && found("}} ]] |}").is_empty());
        assert_eq!(found("x {| y |} z"), Vec::<&str>::new());
        // A table that is never closed holds no template's end.
        assert_eq!(found("{{a}}\n{|\n{{b}}"), ["{{a}}", "{{b}}"]);
    }

    #[test]
    fn many_open_brackets_take_no_time() {
        assert!(pairs(&"{{[[".repeat(100_000)).is_empty());
        assert_eq!(pairs(&format!("{}{}", "{{".repeat(9999), "}}".repeat(9999))).len(), 9999);
        assert!(pairs(&"]]}}".repeat(100_000)).is_empty());
    }
}
