//! Loops of templates: guards their iterables, since Python cannot iterate over `none` and
//! minijinja can.

/// Name of the filter on iterables.
pub(super) const THINGS: &str = "__things";

/// Adds the filter to a loop's iterable.
pub(super) fn guard_loop(tag: &str) -> String {
    let Some(start) = find_word(tag, "in").map(|place| place + 2) else { return tag.to_owned() };
    let (head, rest) = tag.split_at(start);
    let written = rest.trim_end_matches(|c: char| "-+".contains(c) || c.is_whitespace()).len();
    let ends = [find_word(rest, "if"), find_word(rest, "recursive"), Some(written)];
    let (things, tail) = rest.split_at(ends.into_iter().flatten().min().unwrap_or(written));
    format!("{head} ({})|{THINGS} {tail}", things.trim())
}

/// Position of a word outside of quotes and brackets.
fn find_word(text: &str, word: &str) -> Option<usize> {
    let (mut depth, mut quote, mut before) = (0, None, ' ');
    for (place, c) in text.char_indices() {
        let after = text[place..].strip_prefix(word).map(|rest| rest.chars().next().unwrap_or(' '));
        match (quote, c) {
            (Some(open), _) if c == open && before != '\\' => quote = None,
            (Some(_), _) => {}
            (None, '\'' | '"') => quote = Some(c),
            (None, '(' | '[' | '{') => depth += 1,
            (None, ')' | ']' | '}') => depth -= 1,
            // The tag itself begins with a bracket.
            _ if depth <= i32::from(text.starts_with("{%"))
                && before.is_whitespace()
                && after.is_some_and(|after| after.is_whitespace() || "-+".contains(after)) =>
            {
                return Some(place);
            }
            _ => {}
        }
        before = c;
    }
    None
}
