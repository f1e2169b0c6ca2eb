//! Tidies a line of which markup was cut out: spaces, brackets and marks that are left over.

/// A line with single spaces, without brackets that hold nothing and without marks that part
/// nothing.
pub(super) fn tidy(line: &str) -> String {
    let mut tidy = String::with_capacity(line.len());
    let mut letters = line.chars().peekable();
    while let Some(letter) = letters.next() {
        // `x .5` and `x ...` begin with the mark.
        let begins = letter == '.' && letters.peek().is_some_and(|next| !next.is_whitespace());
        match letter {
            _ if letter.is_whitespace() || letter == '\u{a0}' => push_space(&mut tidy),
            '\u{200b}' | '\u{feff}' | '\u{ad}' | '\u{200e}' | '\u{200f}' => {}
            ',' | ';' | ')' | '.' | ']' if !begins => close(&mut tidy, letter),
            ':' => push_unless_opened(&mut tidy, letter),
            _ => tidy.push(letter),
        }
    }
    let length = tidy.trim_end().len();
    tidy.truncate(length);
    tidy.trim_start().to_owned()
}

fn push_space(text: &mut String) {
    if !text.is_empty() && !text.ends_with([' ', '(']) {
        text.push(' ');
    }
}

/// `(: x` and `(; x` are left where a pronunciation was.
fn push_unless_opened(text: &mut String, mark: char) {
    if !text.trim_end().ends_with('(') {
        text.push(mark);
    }
}

/// Adds a mark that has no space before it.
fn close(text: &mut String, mark: char) {
    let trimmed = text.trim_end().len();
    let before = text[..trimmed].chars().next_back();
    match mark {
        ')' => {
            text.truncate(trimmed);
            while text.ends_with([',', ';', ' ', ':']) {
                text.pop();
            }
            if text.ends_with('(') {
                text.pop();
                if text.ends_with(' ') {
                    text.pop();
                }
                return;
            }
        }
        ',' | ';' if matches!(before, Some('(' | ',' | ';')) || before.is_none() => return,
        _ => text.truncate(trimmed),
    }
    text.push(mark);
}

/// Names of characters in HTML that Wikipedia uses.
const NAMES: &[(&str, &str)] = &[
    ("amp", "&"),
    ("lt", "<"),
    ("gt", ">"),
    ("quot", "\""),
    ("apos", "'"),
    ("nbsp", " "),
    ("ndash", "\u{2013}"),
    ("mdash", "\u{2014}"),
    ("minus", "\u{2212}"),
    ("thinsp", " "),
    ("ensp", " "),
    ("emsp", " "),
    ("hellip", "\u{2026}"),
    ("lsquo", "\u{2018}"),
    ("rsquo", "\u{2019}"),
    ("ldquo", "\u{201c}"),
    ("rdquo", "\u{201d}"),
    ("times", "\u{d7}"),
    ("deg", "\u{b0}"),
    ("middot", "\u{b7}"),
    ("bull", "\u{2022}"),
    ("frac12", "\u{bd}"),
    ("frac14", "\u{bc}"),
    ("frac34", "\u{be}"),
    ("sup2", "\u{b2}"),
    ("sup3", "\u{b3}"),
    ("pound", "\u{a3}"),
    ("euro", "\u{20ac}"),
    ("yen", "\u{a5}"),
    ("cent", "\u{a2}"),
    ("sect", "\u{a7}"),
    ("para", "\u{b6}"),
    ("copy", "\u{a9}"),
    ("reg", "\u{ae}"),
    ("trade", "\u{2122}"),
    ("dagger", "\u{2020}"),
    ("prime", "\u{2032}"),
    ("Prime", "\u{2033}"),
    ("laquo", "\u{ab}"),
    ("raquo", "\u{bb}"),
    ("plusmn", "\u{b1}"),
    ("le", "\u{2264}"),
    ("ge", "\u{2265}"),
    ("ne", "\u{2260}"),
    ("asymp", "\u{2248}"),
    ("infin", "\u{221e}"),
    ("radic", "\u{221a}"),
    ("rarr", "\u{2192}"),
    ("larr", "\u{2190}"),
    ("harr", "\u{2194}"),
    ("alpha", "\u{3b1}"),
    ("beta", "\u{3b2}"),
    ("gamma", "\u{3b3}"),
    ("delta", "\u{3b4}"),
    ("epsilon", "\u{3b5}"),
    ("theta", "\u{3b8}"),
    ("lambda", "\u{3bb}"),
    ("mu", "\u{3bc}"),
    ("pi", "\u{3c0}"),
    ("rho", "\u{3c1}"),
    ("sigma", "\u{3c3}"),
    ("tau", "\u{3c4}"),
    ("phi", "\u{3c6}"),
    ("chi", "\u{3c7}"),
    ("psi", "\u{3c8}"),
    ("omega", "\u{3c9}"),
    ("Delta", "\u{394}"),
    ("Omega", "\u{3a9}"),
    ("Sigma", "\u{3a3}"),
    ("micro", "\u{b5}"),
    ("eacute", "\u{e9}"),
    ("egrave", "\u{e8}"),
    ("agrave", "\u{e0}"),
    ("aacute", "\u{e1}"),
    ("oacute", "\u{f3}"),
    ("iacute", "\u{ed}"),
    ("uacute", "\u{fa}"),
    ("ntilde", "\u{f1}"),
    ("ccedil", "\u{e7}"),
    ("auml", "\u{e4}"),
    ("ouml", "\u{f6}"),
    ("uuml", "\u{fc}"),
    ("szlig", "\u{df}"),
    ("oslash", "\u{f8}"),
    ("aring", "\u{e5}"),
    ("aelig", "\u{e6}"),
    ("zwnj", ""),
    ("zwj", ""),
    ("shy", ""),
    ("lrm", ""),
    ("rlm", ""),
];
/// Longest name of a character.
const LONGEST_NAME: usize = 10;

/// A line with the characters that `&ndash;` and `&#233;` stand for; unknown names stay.
pub(super) fn without_references(line: &str) -> String {
    let mut text = String::with_capacity(line.len());
    let mut rest = line;
    while let Some(start) = rest.find('&') {
        text.push_str(&rest[..start]);
        rest = &rest[start + 1..];
        let end = rest.bytes().take(LONGEST_NAME).position(|byte| byte == b';');
        let shown = end.and_then(|end| shown(&rest[..end]));
        match (end, shown) {
            (Some(end), Some(shown)) => {
                text.push_str(&shown);
                rest = &rest[end + 1..];
            }
            _ => text.push('&'),
        }
    }
    text.push_str(rest);
    text
}

/// What a name or number of a character shows: `ndash`, `#233` or `#xe9`.
fn shown(name: &str) -> Option<String> {
    if let Some((_, shown)) = NAMES.iter().find(|(known, _)| *known == name) {
        return Some((*shown).to_owned());
    }
    let number = name.strip_prefix('#')?;
    let code = match number.strip_prefix(['x', 'X']) {
        Some(digits) => u32::from_str_radix(digits, 16).ok()?,
        None => number.parse().ok()?,
    };
    char::from_u32(code).filter(|letter| !letter.is_control()).map(String::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_left_over() {
        for (line, expected) in [
            ("Ada (; born 1867) sang", "Ada (born 1867) sang"),
            ("Ada ( ) sang", "Ada sang"),
            ("Ada () sang", "Ada sang"),
            ("Ada (, ; ) sang", "Ada sang"),
            ("Ada (born 1867; ) sang", "Ada (born 1867) sang"),
            ("Ada (: 1867) sang", "Ada (1867) sang"),
            ("She sang , danced ; died", "She sang, danced; died"),
            ("a,, b, ; c", "a, b, c"),
            ("  a \u{a0} b  ", "a b"),
            ("at .5 and x.5 ...", "at .5 and x.5 ..."),
            ("f(x) = (a, b)", "f(x) = (a, b)"),
            (", x", "x"),
        ] {
            assert_eq!(tidy(line), expected, "{line}");
        }
    }

    #[test]
    fn characters_are_written_as_they_are() {
        assert_eq!(without_references("&#x41;&#66;&ndash;&&amp;&x;&#0;"), "AB\u{2013}&&&x;&#0;");
    }
}
