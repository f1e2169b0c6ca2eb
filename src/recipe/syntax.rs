//! Errors of the TOML parser as problems.

use std::sync::Arc;

use crate::diagnostic::{Problem, Source, Span};

/// The parser's message for a duplicate key.
pub(super) const DUPLICATE: &str = "duplicate key";

/// A parser error in a text that begins at this byte of a source.
pub(super) fn syntax_problem(
    source: &Arc<Source>,
    offset: usize,
    error: &toml::de::Error,
) -> Problem {
    let place = error.span().unwrap_or_default();
    let span = Span::new(source, place.start + offset..place.end + offset);
    if error.message() == DUPLICATE {
        let problem = Problem::error(format!("`{}` is defined twice", span.text()));
        let problem = problem.at(&span, "the second time; give it another name, or remove one");
        return match first_definition(&span) {
            Some(first) => problem.beside(&first, "the first time"),
            None => problem,
        };
    }
    let rest = source
        .text
        .get(span.range().start..)
        .unwrap_or_default()
        .lines()
        .next()
        .unwrap_or_default();
    let word = rest.split([',', ']', '}', '#']).next().unwrap_or_default().trim();
    if error.message().starts_with("string values must be quoted") {
        return if word.is_empty() {
            Problem::error("a value is missing")
                .at(&span, "a value is expected, or nothing of this line")
        } else {
            let span = Span::new(source, span.range().start..span.range().start + word.len());
            Problem::error(format!("`{word}` is not TOML"))
                .at(&span, format!("a text needs quotes: \"{word}\""))
        };
    }
    match error.message().split_once(", expected ") {
        Some((what, "nothing")) => {
            Problem::error(format!("this is not TOML: {what}")).at(&span, "one too many")
        }
        Some((what, expected)) => {
            let expected = expected.replace("newline, ", "the end of the line or ");
            Problem::error(format!("this is not TOML: {what}"))
                .at(&span, format!("{expected} is expected"))
        }
        None => Problem::error(format!("this is not TOML: {}", error.message())).at(&span, ""),
    }
}

/// The nearest earlier line that begins with the same key.
fn first_definition(second: &Span) -> Option<Span> {
    let text = &second.source.text;
    let line_start = text[..second.range().start].rfind('\n').map_or(0, |newline| newline + 1);
    let wanted = text[line_start..second.range().end].trim_start();
    let mut end = line_start;
    while end > 0 {
        let start = text[..end - 1].rfind('\n').map_or(0, |newline| newline + 1);
        let line = &text[start..end];
        if line.starts_with('[') && !wanted.starts_with('[') {
            return None;
        }
        let indent = line.len() - line.trim_start().len();
        let rest = line.trim_start().strip_prefix(wanted);
        if rest.is_some_and(|rest| rest.trim_start().starts_with(['=', ']', '.'])) {
            let key_end = start + indent + wanted.len();
            return Some(Span::new(&second.source, key_end - second.range().len()..key_end));
        }
        end = start;
    }
    None
}
