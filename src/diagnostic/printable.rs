//! Texts of other people on a terminal: what a terminal would obey is shown, and not done.

use std::borrow::Cow;

/// The text with every control character but the end of a line and the tabulator written out, as `\\u{1b}`; so are the
/// characters that turn the direction of writing round, with which a text can look like another.
pub fn printable(text: &str) -> Cow<'_, str> {
    if !text.contains(is_obeyed) {
        return Cow::Borrowed(text);
    }
    let mut shown = String::with_capacity(text.len() + 8);
    for letter in text.chars() {
        match is_obeyed(letter) {
            true => shown.extend(letter.escape_unicode()),
            false => shown.push(letter),
        }
    }
    Cow::Owned(shown)
}

fn is_obeyed(letter: char) -> bool {
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
