//! Comments and HTML elements of wikitext: what they hide is dropped, other tags are.

use memchr::{memchr, memmem};

/// Elements that are dropped with what they hold.
const DROPPED: &[&str] = &[
    "ref",
    "references",
    "gallery",
    "math",
    "chem",
    "ce",
    "timeline",
    "score",
    "imagemap",
    "hiero",
    "syntaxhighlight",
    "source",
    "templatestyles",
    "graph",
    "mapframe",
    "maplink",
    "table",
    "includeonly",
    "noinclude",
    "inputbox",
    "categorytree",
    "style",
    "script",
    "indicator",
    "section",
    "phonos",
];
/// Elements that end a line.
const BREAKS: &[&str] = &[
    "br",
    "p",
    "div",
    "li",
    "ul",
    "ol",
    "tr",
    "td",
    "hr",
    "blockquote",
    "dl",
    "dd",
    "dt",
    "center",
];
/// Characters with a meaning in wikitext, and their stand-ins inside `<nowiki>`.
const PROTECTED: &[(char, char)] = &[
    ('[', '\u{e000}'),
    (']', '\u{e001}'),
    ('{', '\u{e002}'),
    ('}', '\u{e003}'),
    ('|', '\u{e004}'),
    ('\'', '\u{e005}'),
    ('=', '\u{e006}'),
    ('*', '\u{e007}'),
    ('#', '\u{e008}'),
    (':', '\u{e009}'),
    (';', '\u{e00a}'),
    ('!', '\u{e00b}'),
    ('<', '\u{e00c}'),
    ('_', '\u{e00d}'),
    ('&', '\u{e00e}'),
];

/// A text without comments and tags. What `<nowiki>` protects has stand-ins, see [`unprotected`].
pub(super) fn without_elements(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    let mut unclosed: Vec<String> = Vec::new();
    let mut place = 0;
    while let Some(found) = memchr(b'<', &text.as_bytes()[place..]) {
        let start = place + found;
        shown.push_str(&text[place..start]);
        let rest = &text[start..];
        if rest.starts_with("<!--") {
            let end = memmem::find(rest.as_bytes(), b"-->").map_or(rest.len(), |end| end + 3);
            place = start + end;
            drop_line_of_comment(&mut shown, text, place);
            continue;
        }
        let Some(tag) = MarkupTag::at(rest) else {
            shown.push('<');
            place = start + 1;
            continue;
        };
        place = start + tag.length;
        let is_held = !tag.is_end && !tag.is_empty;
        if is_held && DROPPED.contains(&tag.name.as_str()) {
            place += dropped(&text[place..], &tag.name, &mut unclosed);
        } else if is_held && matches!(tag.name.as_str(), "nowiki" | "pre") {
            let (inside, after) = held(&text[place..], &tag.name, &mut unclosed);
            shown.extend(inside.chars().map(protected));
            place += after;
        } else if BREAKS.contains(&tag.name.as_str()) {
            shown.push('\n');
        }
    }
    shown.push_str(&text[place..]);
    shown
}

/// A comment alone in its line leaves no empty line.
fn drop_line_of_comment(shown: &mut String, text: &str, after: usize) {
    if text[after..].starts_with('\n') && shown.ends_with('\n') {
        shown.pop();
    }
}

/// The text in which stand-ins are the characters that they stand for.
pub(super) fn unprotected(text: &str) -> String {
    if !text.contains(|letter| matches!(letter, '\u{e000}'..='\u{e00e}')) {
        return text.to_owned();
    }
    let plain = |letter| PROTECTED.iter().find(|(_, other)| *other == letter);
    text.chars().map(|letter| plain(letter).map_or(letter, |(letter, _)| *letter)).collect()
}

fn protected(letter: char) -> char {
    PROTECTED.iter().find(|(other, _)| *other == letter).map_or(letter, |(_, other)| *other)
}

/// Bytes up to the end of an element that is dropped.
fn dropped(rest: &str, name: &str, unclosed: &mut Vec<String>) -> usize {
    held(rest, name, unclosed).1
}

/// What an element holds, and the bytes up to its end; nothing if it is not closed.
fn held<'a>(rest: &'a str, name: &str, unclosed: &mut Vec<String>) -> (&'a str, usize) {
    // An end that is missing once is missing for all that follow: each text is searched once.
    if unclosed.iter().any(|known| known == name) {
        return ("", 0);
    }
    let mut from = 0;
    while let Some(found) = memmem::find(&rest.as_bytes()[from..], b"</") {
        let start = from + found;
        if let Some(tag) = MarkupTag::at(&rest[start..])
            && tag.name == name
        {
            return (&rest[..start], start + tag.length);
        }
        from = start + 2;
    }
    unclosed.push(name.to_owned());
    ("", 0)
}

/// A tag of HTML.
struct MarkupTag {
    /// Its name in lower case.
    name: String,
    /// Bytes of the tag.
    length: usize,
    /// Whether it ends an element.
    is_end: bool,
    /// Whether it is an element without content: `<ref name="x" />`.
    is_empty: bool,
}

/// Longest tag in bytes; a `<` without an end within it is a sign.
const LONGEST_TAG: usize = 2000;

impl MarkupTag {
    fn at(text: &str) -> Option<Self> {
        let bytes = text.as_bytes();
        let is_end = bytes.get(1) == Some(&b'/');
        let start = 1 + usize::from(is_end);
        let letters = bytes[start.min(bytes.len())..].iter();
        let length = letters.take_while(|byte| byte.is_ascii_alphanumeric()).count();
        let first = bytes.get(start)?;
        if length == 0 || !first.is_ascii_alphabetic() {
            return None;
        }
        let after = bytes.get(start + length)?;
        if !(after.is_ascii_whitespace() || matches!(after, b'>' | b'/' | b'-')) {
            return None;
        }
        let end = memchr(b'>', &bytes[..bytes.len().min(LONGEST_TAG)])?;
        // `a < b and c > d` has no tag; neither has one a `<` inside of it.
        if memchr(b'<', &bytes[1..end]).is_some() {
            return None;
        }
        Some(Self {
            name: text[start..start + length].to_ascii_lowercase(),
            length: end + 1,
            is_end,
            is_empty: bytes[end - 1] == b'/',
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_shown_is_dropped() {
        for (text, shown) in [
            ("a<!-- b -->c", "ac"),
            ("a\n<!-- b -->\nc", "a\nc"),
            ("a<!-- never closed", "a"),
            ("a<ref>b</ref>c<ref name=\"x\" />d<REF name=y>e</Ref>f", "acdf"),
            ("a<ref>never closed", "anever closed"),
            ("a<ref name=x>b<ref name=y>c", "abc"),
            ("H<sub>2</sub>O <span style=\"x\">y</span>", "H2O y"),
            ("a<br/>b<br>c", "a\nb\nc"),
            ("1 < 2 and 3 > 2, x<y, <3", "1 < 2 and 3 > 2, x<y, <3"),
            ("a<gallery>\nFile:x.jpg|y\n</gallery>b", "ab"),
            ("\u{e9}<math>x^2</math>\u{e9}", "\u{e9}\u{e9}"),
            ("<references/>", ""),
        ] {
            assert_eq!(without_elements(text), shown, "{text}");
        }
    }

    #[test]
    fn what_is_protected_stays() {
        let text = without_elements("<nowiki>[[x]] '' {{y}}</nowiki> [[z]]");
        assert!(!text.starts_with('['), "{text}");
        assert_eq!(unprotected(&text), "[[x]] '' {{y}} [[z]]");
    }
}
