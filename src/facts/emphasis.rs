//! Marks inside lines: emphasis, code, links, citations, tags and entities.

/// Hands on the letters of a line, from and up to these places, that are no marks, each with its
/// place.
pub(super) fn inline(
    letters: &[char],
    start: usize,
    end: usize,
    push: &mut impl FnMut(char, usize),
) {
    let mut index = start;
    while index < end {
        let rest = &letters[index..end];
        let before = (index > start).then(|| letters[index - 1]);
        if let Some(length) = footnote(&letters[start..end], index - start) {
            index += length;
            continue;
        }
        match mark(rest, before) {
            Some(Mark::Skip(length)) => index += length,
            Some(Mark::Break(length)) => {
                push('\n', index);
                index += length;
            }
            Some(Mark::Letter(letter, length)) => {
                push(letter, index);
                index += length;
            }
            Some(Mark::Shown { from, to, length }) => {
                inline(letters, index + from, index + to, push);
                index += length;
            }
            None => {
                push(letters[index], index);
                index += 1;
            }
        }
    }
}

/// The length of a footnote's number after a full stop: `in Oslo.1 She died`.
fn footnote(line: &[char], at: usize) -> Option<usize> {
    let length = line[at..].iter().take_while(|c| c.is_ascii_digit()).count();
    if at == 0 || line[at - 1] != '.' || !(1..=2).contains(&length) {
        return None;
    }
    let word = line[..at - 1].iter().rev().take_while(|c| c.is_alphabetic());
    let small = word.clone().take(2).all(|c| c.is_lowercase());
    let word: String = word.collect();
    let numbers = ["lov", "gif", "tra", "ces", "pahc"].contains(&word.to_lowercase().as_str());
    let after = &line[at + length..];
    let ends = after.is_empty()
        || after[0].is_whitespace() && after.get(1).is_none_or(|c| c.is_uppercase());
    (word.chars().count() > 2 && small && !numbers && ends).then_some(length)
}

/// What begins at a place.
enum Mark {
    /// Nothing that is shown.
    Skip(usize),
    /// The end of a line.
    Break(usize),
    /// Another letter.
    Letter(char, usize),
    /// A part of it is shown.
    Shown { from: usize, to: usize, length: usize },
}

fn mark(rest: &[char], before: Option<char>) -> Option<Mark> {
    match rest[0] {
        '\\' if rest.get(1).is_some_and(char::is_ascii_punctuation) => {
            Some(Mark::Letter(rest[1], 2))
        }
        '!' if rest.get(1) == Some(&'[') => match link(&rest[1..])? {
            Mark::Shown { length, .. } => Some(Mark::Skip(length + 1)),
            _ => None,
        },
        '[' | '\u{3010}' => citation(rest).or_else(|| link(rest)),
        '<' => tag(rest),
        '&' => entity(rest),
        // Code in a sentence is a word of it, unlike a block of code.
        '`' => Some(Mark::Skip(1)),
        '~' if rest.get(1) == Some(&'~') => Some(Mark::Skip(2)),
        mark @ ('*' | '_') => emphasis(rest, before, mark),
        _ => None,
    }
}

/// A citation: `[1]`, `[2, 3]`, `[^4]`, `[citation needed]`, `【5†source】`.
fn citation(rest: &[char]) -> Option<Mark> {
    let close = if rest[0] == '[' { ']' } else { '\u{3011}' };
    let length = rest.iter().take(40).position(|c| *c == close)?;
    let inner: String = rest[1..length].iter().collect();
    let numbers = inner.chars().any(|c| c.is_ascii_digit())
        && inner
            .chars()
            .all(|c| c.is_ascii_digit() || matches!(c, ',' | ' ' | '-' | '\u{2013}' | '^' | ';'));
    let note =
        inner.starts_with('^') || matches!(inner.as_str(), "citation needed" | "source" | "note");
    // A citation may be a link itself: `[1](https://...)`.
    let followed = rest.get(length + 1) == Some(&'(');
    ((numbers || note || close == '\u{3011}') && inner.len() < 40).then_some(())?;
    let target = followed.then(|| link(rest)).flatten();
    Some(Mark::Skip(match target {
        Some(Mark::Shown { length, .. }) => length,
        _ => length + 1,
    }))
}

/// A link: `[text](address)`, `[text][1]`, of which the text is shown.
fn link(rest: &[char]) -> Option<Mark> {
    let mut depth = 0_usize;
    let close = rest.iter().position(|c| {
        match c {
            '[' => depth += 1,
            ']' => depth -= 1,
            _ => {}
        }
        depth == 0
    })?;
    let ends = match rest.get(close + 1)? {
        '(' => ')',
        '[' => ']',
        _ => return None,
    };
    let address = rest[close + 2..].iter().position(|c| *c == ends)?;
    Some(Mark::Shown { from: 1, to: close, length: close + 2 + address + 1 })
}

fn tag(rest: &[char]) -> Option<Mark> {
    let named = rest.get(1).is_some_and(|c| c.is_ascii_alphabetic())
        || (rest.get(1) == Some(&'/') && rest.get(2).is_some_and(char::is_ascii_alphabetic));
    // A lone `<` must not swallow the rest of a response.
    let length = rest.iter().take(120).position(|c| *c == '>').filter(|_| named)?;
    let name: String =
        rest[1..length].iter().take_while(|c| c.is_ascii_alphanumeric() || **c == '/').collect();
    let breaks = ["br", "br/", "p", "/p", "li", "/li", "div", "/div", "/h1", "/h2", "/h3"];
    Some(if breaks.contains(&name.to_lowercase().as_str()) {
        Mark::Break(length + 1)
    } else {
        Mark::Skip(length + 1)
    })
}

fn entity(rest: &[char]) -> Option<Mark> {
    let length = rest.iter().take(8).position(|c| *c == ';')?;
    let name: String = rest[1..length].iter().collect();
    let letter = match name.as_str() {
        "amp" => '&',
        "lt" => '<',
        "gt" => '>',
        "quot" => '"',
        "apos" | "#39" => '\'',
        "nbsp" => ' ',
        "ndash" => '\u{2013}',
        "mdash" => '\u{2014}',
        _ => return None,
    };
    Some(Mark::Letter(letter, length + 1))
}

/// A run of stars or underlines that touches a word on one side: not `5 * 3`, `snake_case` or `A*`.
fn emphasis(rest: &[char], before: Option<char>, mark: char) -> Option<Mark> {
    let length = rest.iter().take_while(|c| **c == mark).count();
    let after = rest.get(length);
    let touches =
        before.is_some_and(|c| !c.is_whitespace()) || after.is_some_and(|c| !c.is_whitespace());
    let inside_word =
        before.is_some_and(char::is_alphanumeric) && after.is_some_and(|c| c.is_alphanumeric());
    let is_mark = touches && (length >= 2 || !inside_word) && !(mark == '_' && inside_word);
    // At the end of a line a star after a capital is a grade: `A*`.
    let is_grade = length == 1
        && mark == '*'
        && before.is_some_and(|c| c.is_ascii_uppercase())
        && !rest.contains(&' ');
    (is_mark && !is_grade).then_some(Mark::Skip(length))
}
