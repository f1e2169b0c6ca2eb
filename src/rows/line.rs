//! One line of a file of rows: its row, or what is wrong with it.

use serde::{
    Deserialize,
    de::{DeserializeOwned, IgnoredAny},
};

/// UTF-8's byte order mark.
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";
/// Letters of a line in a message.
const SHOWN: usize = 40;
/// End of every message about the form of a file.
pub(super) const ONE_A_LINE: &str = "write one object per line (`jq -c` does)";

/// The problem of a file that begins with these bytes, if it cannot be lines of text.
pub(super) fn not_text(start: &[u8]) -> Option<String> {
    if let Some(problem) = other_format(start) {
        return Some(problem.to_owned());
    }
    let text = start.strip_prefix(BYTE_ORDER_MARK).unwrap_or(start).trim_ascii_start();
    match text.first() {
        Some(b'[') => {
            Some("it is a JSON array; write one object per line, as `jq -c '.[]'` does".to_owned())
        }
        Some(b'<') => Some(
            "it is an HTML or XML page, as a server sends instead of a missing file; download the \
            file again"
                .to_owned(),
        ),
        _ => None,
    }
}

/// What a file of another format is by its first bytes, and what to do with it.
pub fn other_format(start: &[u8]) -> Option<&'static str> {
    const WIDE: &str = "it is UTF-16 text; save it as UTF-8";
    const KNOWN: [(&[u8], &str); 15] = [
        (b"\xff\xfe", WIDE),
        (b"\xfe\xff", WIDE),
        // Without a byte order mark every other byte of ASCII is 0.
        (b"{\0", WIDE),
        (b"\0{", WIDE),
        (
            b"\0\0",
            "it begins with zero bytes, as a file that was not written to its end; make it again",
        ),
        (b"\x1f\x8b", "it is compressed (gzip); decompress it first"),
        (b"\x28\xb5\x2f\xfd", "it is compressed (zstd); decompress it first"),
        (b"\xfd7zXZ", "it is compressed (xz); decompress it first"),
        (b"7z\xbc\xaf", "it is a 7z archive; extract it first"),
        (b"PK\x03\x04", "it is a zip archive; extract it first"),
        (b"PAR1", "it is a Parquet file, which is read only where rows are expected"),
        (b"%PDF", "it is a PDF; write its text as JSON lines"),
        (
            b"# xet version",
            "it is a pointer of git-xet and not the file itself; fetch that by `git xet pull`",
        ),
        (b"SQLite format 3", "it is an SQLite file; write its rows as JSON lines"),
        (
            b"version https://git-lfs",
            "it is a pointer of Git LFS and not the file itself; fetch that by `git lfs pull`",
        ),
    ];
    KNOWN.iter().find(|(first, _)| start.starts_with(first)).map(|(_, problem)| *problem)
}

/// The row of a line; none if it is empty.
pub(super) fn parse_line<T: DeserializeOwned>(line: &[u8]) -> Result<Option<T>, String> {
    // Also in later lines: concatenated files have a mark in the middle.
    let text = line.strip_prefix(BYTE_ORDER_MARK).unwrap_or(line);
    let text = std::str::from_utf8(text)
        .map_err(|error| format!("byte {} of the line is not UTF-8", error.valid_up_to() + 1))?;
    if text.trim().is_empty() { Ok(None) } else { parse(text).map(Some) }
}

/// Parses a text.
fn parse<T: DeserializeOwned>(text: &str) -> Result<T, String> {
    let start = text.trim_start();
    match start.chars().next() {
        // Structs could be read from lists of their fields too, which no file of rows uses.
        Some('[') => return Err(format!("the line is a JSON array; {ONE_A_LINE}")),
        Some('{') => {}
        _ => {
            let begun: String = start.trim_end().chars().take(SHOWN).collect();
            let begun = crate::diagnostic::printable(&begun);
            return Err(format!(
                "the line is no JSON object, but begins with `{begun}`; {ONE_A_LINE}"
            ));
        }
    }
    serde_json::from_str(text).map_err(|error| explained(text, &error))
}

/// The problem of a line: the parser's message with its column, and the likely cause.
fn explained(text: &str, error: &serde_json::Error) -> String {
    let (said, column) = (error.to_string(), error.column());
    let place = format!(" at line {} column {column}", error.line());
    let said = said.strip_suffix(&place).unwrap_or(&said);
    // The parser calls Python's `NaN` an expected value, which helps nobody.
    if let Some((word, column)) = no_number(text, column) {
        return format!("`{word}` at column {column} is not a number in JSON");
    }
    if said.starts_with("missing field") && is_annotated(text) {
        return format!("{said}: it is an annotated response; read its file by the kind `labels`");
    }
    match error.classify() {
        serde_json::error::Category::Eof => {
            format!("{said}: the line ends inside it; {ONE_A_LINE}")
        }
        serde_json::error::Category::Syntax if said == "trailing characters" => {
            format!("more follows the object at column {column}; {ONE_A_LINE}")
        }
        _ if column > 0 => {
            // Some rows name the field themselves.
            let is_value = said.starts_with("invalid ") || said.starts_with("unknown variant ");
            let field = is_value.then(|| field_before(text, column)).flatten();
            let field = field.map(|field| format!("`{field}`: ")).unwrap_or_default();
            format!("{field}{said}, at column {column}")
        }
        _ => said.to_owned(),
    }
}

/// Whether an object is a response that people annotated, in FActScore's format.
fn is_annotated(text: &str) -> bool {
    #[derive(Deserialize)]
    struct FactScoreFields {
        #[serde(rename = "output")]
        _output: IgnoredAny,
        #[serde(rename = "annotations")]
        _annotations: IgnoredAny,
    }
    serde_json::from_str::<FactScoreFields>(text).is_ok()
}

/// The name of the field whose value is at a column, from 1.
fn field_before(text: &str, column: usize) -> Option<String> {
    let bytes = text.as_bytes();
    // The name of the current field of each object and list that is open.
    let mut open: Vec<Option<&str>> = Vec::new();
    let (mut last, mut at) = ("", 0);
    while at < bytes.len().min(column) {
        match bytes[at] {
            b'"' => {
                let start = at + 1;
                at = start;
                while at < bytes.len() && bytes[at] != b'"' {
                    at += if bytes[at] == b'\\' { 2 } else { 1 };
                }
                last = text.get(start..at)?;
            }
            b':' => *open.last_mut()? = Some(last),
            b'{' | b'[' => open.push(None),
            b'}' | b']' => drop(open.pop()),
            b',' if at + 1 < column => {
                // In a list the field around it goes on.
                if let Some(field) = open.last_mut() {
                    *field = None;
                }
            }
            _ => {}
        }
        at += 1;
    }
    open.into_iter().rev().flatten().next().map(str::to_owned)
}

/// Python's spelling of numbers that JSON lacks, at or just before a column, with its own column.
fn no_number(text: &str, column: usize) -> Option<(&'static str, usize)> {
    // A parser stops at the first wrong letter, which for `-Infinity` is the second one, or later.
    let starts = (1..=3).filter_map(|back| column.checked_sub(back)).chain([column]);
    let found = |start: usize| {
        let rest = text.get(start..)?;
        ["NaN", "-NaN", "-Infinity", "Infinity"].into_iter().find(|word| rest.starts_with(word))
    };
    let mut all: Vec<(&str, usize)> =
        starts.filter_map(|start| Some((found(start)?, start + 1))).collect();
    // `-NaN` and the `NaN` in it are both found; the earlier one is the word.
    all.sort_by_key(|(_, column)| *column);
    all.first().copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_field_of_a_value_is_found() {
        let place = |text: &str| field_before(text, text.len() + 1);
        assert_eq!(place(r#"{"a": [{"b": "x\",y"}, 3"#).as_deref(), Some("a"));
        assert_eq!(place(r#"{"a": {"b": "x\",y"#).as_deref(), Some("b"));
        assert_eq!(place(r#"{"a": 1}"#), None);
    }
}
