//! The methods of Python's strings that `pycompat` lacks or implements differently.

use std::sync::Arc;

use minijinja::{
    Error, State, Value, filters,
    value::{Kwargs, from_args},
};
use minijinja_contrib::pycompat;

use super::calls::{argument, failed};

/// Line ends in Python, besides `\r\n`.
pub(super) const LINE_ENDS: [char; 10] =
    ['\n', '\r', '\x0b', '\x0c', '\x1c', '\x1d', '\x1e', '\u{85}', '\u{2028}', '\u{2029}'];

/// The methods of Python's types; first those of strings that `pycompat` lacks or implements
/// differently.
pub(super) fn method(
    state: &mut State,
    value: &Value,
    name: &str,
    arguments: &[Value],
) -> Result<Value, Error> {
    let Some(string) = value.as_str() else {
        return pycompat::unknown_method_callback(state, value, name, arguments);
    };
    match name {
        "strip" | "lstrip" | "rstrip" => {
            let (characters,) = from_args(arguments)?;
            Ok(strip(string, characters, name != "rstrip", name != "lstrip").into())
        }
        "split" | "rsplit" => split(value, arguments, name == "rsplit"),
        "partition" => {
            let (separator,) = from_args(arguments)?;
            let (before, after) = string.split_once::<&str>(separator).unwrap_or((string, ""));
            // Not found, Python gives the whole text and two empty ones.
            let found = if before.len() == string.len() { "" } else { separator };
            Ok((before, found, after).into())
        }
        "rpartition" => {
            let (separator,) = from_args(arguments)?;
            let (before, after) = string.rsplit_once::<&str>(separator).unwrap_or(("", string));
            let found = if after.len() == string.len() { "" } else { separator };
            Ok((before, found, after).into())
        }
        "removeprefix" => {
            let (prefix,) = from_args(arguments)?;
            Ok(string.strip_prefix::<&str>(prefix).unwrap_or(string).into())
        }
        "removesuffix" => {
            let (suffix,) = from_args(arguments)?;
            Ok(string.strip_suffix::<&str>(suffix).unwrap_or(string).into())
        }
        "splitlines" => lines(string, arguments),
        "title" if arguments.is_empty() => Ok(title(string).into()),
        _ => pycompat::unknown_method_callback(state, value, name, arguments),
    }
}

pub(super) fn strip<'a>(
    text: &'a str,
    characters: Option<&str>,
    start: bool,
    end: bool,
) -> &'a str {
    let text = if start { text.trim_start_matches(|c| is_stripped(c, characters)) } else { text };
    if end { text.trim_end_matches(|c| is_stripped(c, characters)) } else { text }
}

/// Python counts the separators of files, groups, records and units as whitespace, Unicode does
/// not.
fn is_stripped(c: char, characters: Option<&str>) -> bool {
    match characters {
        Some(characters) => characters.contains(c),
        None => c.is_whitespace() || ('\x1c'..='\x1f').contains(&c),
    }
}

fn split(value: &Value, arguments: &[Value], from_end: bool) -> Result<Value, Error> {
    let (separator, limit, named): (Option<Arc<str>>, Option<i64>, Kwargs) = from_args(arguments)?;
    let separator = argument(separator, &named, "sep")?;
    let limit = argument(limit, &named, "maxsplit")?;
    named.assert_all_used()?;
    match (separator, limit.and_then(|limit| usize::try_from(limit).ok())) {
        // Python refuses it, while Rust would split between all characters.
        (Some(separator), _) if separator.is_empty() => Err(failed("empty separator")),
        (Some(separator), Some(limit)) if from_end => {
            let string = value.as_str().unwrap_or_default();
            let mut parts: Vec<&str> =
                string.rsplitn(limit.saturating_add(1), &*separator).collect();
            parts.reverse();
            Ok(Value::from_iter(parts))
        }
        (None, Some(_)) if from_end => Err(failed("rsplit needs a separator")),
        (separator, _) => filters::split(value, separator, limit),
    }
}

fn lines(text: &str, arguments: &[Value]) -> Result<Value, Error> {
    let (keep, named): (Option<bool>, Kwargs) = from_args(arguments)?;
    let keep = argument(keep, &named, "keepends")?.unwrap_or(false);
    let mut lines = Vec::new();
    let mut rest = text;
    while !rest.is_empty() {
        let end = rest.find(LINE_ENDS).unwrap_or(rest.len());
        // These two are one line end, all others one each.
        let next = match rest[end..].strip_prefix("\r\n") {
            Some(next) => next,
            None => rest[end..].strip_prefix(LINE_ENDS).unwrap_or_default(),
        };
        lines.push(if keep { &rest[..rest.len() - next.len()] } else { &rest[..end] });
        rest = next;
    }
    Ok(Value::from_iter(lines))
}

/// Capital letters where the letter before has no case, or there is none; the filter `title` goes
/// by spaces instead.
fn title(text: &str) -> String {
    let mut titled = String::with_capacity(text.len());
    let mut is_inside = false;
    for c in text.chars() {
        if is_inside {
            titled.extend(c.to_lowercase());
        } else {
            titled.extend(c.to_uppercase());
        }
        is_inside = c.is_lowercase() || c.is_uppercase();
    }
    titled
}
