//! Escapes control characters of foreign texts before they reach a terminal.

use std::borrow::Cow;

/// The text with control characters (except newline and tab) and bidirectional overrides escaped,
/// as `\\u{1b}`.
pub fn printable(text: &str) -> Cow<'_, str> {
    if !text.contains(is_obeyed) {
        return Cow::Borrowed(text);
    }
    let mut shown = String::with_capacity(text.len() + 8);
    for letter in text.chars() {
        if is_obeyed(letter) {
            shown.extend(letter.escape_unicode());
        } else {
            shown.push(letter);
        }
    }
    Cow::Owned(shown)
}

fn is_obeyed(letter: char) -> bool {
    // These turn the direction of what follows, so that a reader sees another text than the
    // program.
    let turns_round = matches!(letter, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    letter.is_control() && letter != '\n' && letter != '\t' || turns_round
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_terminal_obeys_is_written_out() {
        assert!(matches!(printable("plain, \u{e4}\n\tand so on"), Cow::Borrowed(_)));
        assert_eq!(printable("\u{1b}[31mred\r\u{7}\u{9b}"), "\\u{1b}[31mred\\u{d}\\u{7}\\u{9b}");
        assert_eq!(printable("a\u{202e}b"), "a\\u{202e}b");
    }
}
