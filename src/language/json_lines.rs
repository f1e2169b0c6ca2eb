//! Files with one JSON object a line: read row by row with the line of every mistake, written in one piece.

use std::{
    collections::BTreeMap,
    fs::File,
    io::{BufRead, BufReader, BufWriter, Read, Write},
    marker::PhantomData,
    path::{Path, PathBuf},
};

use serde::{Serialize, de::DeserializeOwned};

use super::Row;

/// The longest line in bytes; a longer one is not a row but a whole file without ends of lines.
const LONGEST_LINE: u64 = 256 << 20;
/// What some editors put before the first letter of a file (UTF-8's byte order mark).
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// Why a file of JSON lines could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum JsonLinesError {
    /// The file system said no.
    #[error("{path}: {problem}", path = .path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the file system said.
        problem: std::io::Error,
    },
    /// A line is not what it should be.
    #[error("{path}:{line}: {problem}", path = .path.display())]
    Row {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// What is wrong with it.
        problem: String,
    },
}

/// A row with the line that it stands in.
#[derive(Clone, Debug, PartialEq)]
pub struct Line<T> {
    /// The line, from 1; empty lines count.
    pub number: usize,
    /// The row.
    pub row: T,
}

/// The rows of a file, one after the other; only one of them is in memory.
pub struct Lines<T> {
    path: PathBuf,
    reader: BufReader<File>,
    /// The line that was read last.
    number: usize,
    buffer: Vec<u8>,
    /// Whether nothing more is read: after the last line, and after the first mistake.
    is_over: bool,
    rows: PhantomData<T>,
}

/// The rows of a file, read as they are asked for; empty lines and a byte order mark are skipped.
///
/// # Errors
/// Names the file where it cannot be opened.
pub fn lines<T: DeserializeOwned>(path: &Path) -> Result<Lines<T>, JsonLinesError> {
    let file = File::open(path).map_err(|problem| JsonLinesError::Io { path: path.to_owned(), problem })?;
    Ok(Lines {
        path: path.to_owned(),
        reader: BufReader::with_capacity(1 << 16, file),
        number: 0,
        buffer: Vec::new(),
        is_over: false,
        rows: PhantomData,
    })
}

/// Reads all rows of a file; empty lines are skipped.
///
/// # Errors
/// Names the file, and the line that is not a row of type `T`.
pub fn read<T: DeserializeOwned>(path: &Path) -> Result<Vec<T>, JsonLinesError> {
    lines(path)?.map(|line| line.map(|line| line.row)).collect()
}

/// Reads all rows of a file that have ids and conditions of their own.
///
/// # Errors
/// As [`read`]; and names the line whose id was there before, or in which something cannot be.
pub fn read_rows<T: Row>(path: &Path) -> Result<Vec<T>, JsonLinesError> {
    // What is no row at all is said before what is wrong in a row.
    let found: Vec<Line<T>> = lines(path)?.collect::<Result<_, _>>()?;
    let mut rows = Vec::with_capacity(found.len());
    let mut places: BTreeMap<String, usize> = BTreeMap::new();
    for Line { number, row } in found {
        check_row(path, number, &row, Some(&mut places))?;
        rows.push(row);
    }
    Ok(rows)
}

/// So many ids are compared where rows are only looked through; all are compared where they are read.
const IDS_COMPARED: usize = 1_000_000;

/// Looks through the rows of a file as [`read_rows`] reads them, with one of them in memory, and the ids of the first million.
///
/// # Errors
/// As [`read_rows`].
pub fn check_rows<T: Row>(path: &Path) -> Result<(), JsonLinesError> {
    let mut places: BTreeMap<String, usize> = BTreeMap::new();
    let mut checked = Ok(());
    for line in lines::<T>(path)? {
        let Line { number, row } = line?;
        if checked.is_ok() {
            checked = check_row(path, number, &row, (places.len() < IDS_COMPARED).then_some(&mut places));
        }
    }
    checked
}

fn check_row<T: Row>(
    path: &Path,
    line: usize,
    row: &T,
    places: Option<&mut BTreeMap<String, usize>>,
) -> Result<(), JsonLinesError> {
    let wrong = |problem| JsonLinesError::Row { path: path.to_owned(), line, problem };
    row.check().map_err(wrong)?;
    match places.and_then(|places| places.insert(row.id().to_owned(), line)) {
        Some(first) => {
            let (what, id) = (T::WHAT, row.id());
            Err(wrong(format!("the {what} `{id}` occurs twice, first in line {first}; ids must be unique")))
        }
        None => Ok(()),
    }
}

/// Writes rows to a new file.
///
/// # Errors
/// Names the file that the file system refused.
pub fn write<T: Serialize>(path: &Path, rows: impl IntoIterator<Item = T>) -> Result<(), JsonLinesError> {
    let io = |problem| JsonLinesError::Io { path: path.to_owned(), problem };
    let mut file = BufWriter::new(File::create(path).map_err(io)?);
    for row in rows {
        serde_json::to_writer(&mut file, &row).map_err(|error| io(error.into()))?;
        file.write_all(b"\n").map_err(io)?;
    }
    file.flush().map_err(io)
}

impl<T: DeserializeOwned> Iterator for Lines<T> {
    type Item = Result<Line<T>, JsonLinesError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.is_over {
            return None;
        }
        let found = self.advance().transpose();
        self.is_over = !matches!(found, Some(Ok(_)));
        found
    }
}

impl<T: DeserializeOwned> Lines<T> {
    /// The next row; none at the end of the file.
    fn advance(&mut self) -> Result<Option<Line<T>>, JsonLinesError> {
        loop {
            self.number += 1;
            if self.number == 1 {
                let start = self.reader.fill_buf().map(not_text);
                if let Some(problem) = start.map_err(|problem| self.io(problem))? {
                    return Err(self.wrong(problem));
                }
            }
            self.buffer.clear();
            let mut limited = self.reader.by_ref().take(LONGEST_LINE + 1);
            let read = limited.read_until(b'\n', &mut self.buffer).map_err(|problem| self.io(problem))?;
            if read == 0 {
                return Ok(None);
            }
            if read as u64 > LONGEST_LINE {
                let problem = format!("the line is longer than {} MiB; {ONE_A_LINE}", LONGEST_LINE >> 20);
                return Err(self.wrong(problem));
            }
            let text = self.buffer.strip_prefix(BYTE_ORDER_MARK).unwrap_or(&self.buffer);
            let text = std::str::from_utf8(text).map_err(|error| {
                self.wrong(format!("it is not UTF-8 text from byte {} of the line on", error.valid_up_to() + 1))
            })?;
            if !text.trim().is_empty() {
                let row = parse(text).map_err(|problem| self.wrong(problem))?;
                return Ok(Some(Line { number: self.number, row }));
            }
        }
    }

    fn io(&self, problem: std::io::Error) -> JsonLinesError {
        JsonLinesError::Io { path: self.path.clone(), problem }
    }

    fn wrong(&self, problem: impl Into<String>) -> JsonLinesError {
        JsonLinesError::Row { path: self.path.clone(), line: self.number, problem: problem.into() }
    }
}

/// What every message about the form of a file ends with.
const ONE_A_LINE: &str = "one object a line is expected (`jq -c` writes that)";

/// Why a file that begins so has no lines of text; none where it may have.
fn not_text(start: &[u8]) -> Option<String> {
    let known: [(&[u8], &str); 7] = [
        (b"\xff\xfe", "it is UTF-16 text; save it as UTF-8"),
        (b"\xfe\xff", "it is UTF-16 text; save it as UTF-8"),
        (b"{\0", "it is UTF-16 text; save it as UTF-8"),
        (b"\0{", "it is UTF-16 text; save it as UTF-8"),
        (b"\x1f\x8b", "it is compressed (gzip); decompress it first"),
        (b"\x28\xb5\x2f\xfd", "it is compressed (zstd); decompress it first"),
        (b"PAR1", "it is a Parquet file; write its rows as JSON lines"),
    ];
    if let Some((_, problem)) = known.iter().find(|(first, _)| start.starts_with(first)) {
        return Some((*problem).to_owned());
    }
    let text = start.strip_prefix(BYTE_ORDER_MARK).unwrap_or(start);
    let first = text.iter().find(|byte| !byte.is_ascii_whitespace());
    (first == Some(&b'[')).then(|| format!("it is a JSON array; {ONE_A_LINE}: `jq -c '.[]'`"))
}

/// The row that a line is.
fn parse<T: DeserializeOwned>(text: &str) -> Result<T, String> {
    // Structs could be read from lists of their fields too, which no file of rows means.
    if text.trim_start().starts_with('[') {
        return Err(format!("the line is a JSON array; {ONE_A_LINE}"));
    }
    serde_json::from_str(text).map_err(|error| explained(text, &error))
}

/// What is wrong with a line: the parser's words, its column said once, and what is usually meant.
fn explained(text: &str, error: &serde_json::Error) -> String {
    let (said, column) = (error.to_string(), error.column());
    let place = format!(" at line {} column {column}", error.line());
    let said = said.strip_suffix(&place).unwrap_or(&said);
    if let Some((word, column)) = no_number(text, column) {
        return format!("`{word}` at column {column} is not a number in JSON");
    }
    match error.classify() {
        serde_json::error::Category::Eof => format!("{said}: the line ends inside it; {ONE_A_LINE}"),
        serde_json::error::Category::Syntax if said == "trailing characters" => {
            format!("more follows the object at column {column}; {ONE_A_LINE}")
        }
        _ if column > 0 => format!("{said}, at column {column}"),
        _ => said.to_owned(),
    }
}

/// What Python writes for numbers that JSON has not, where it stands at or just before a column, with its own column.
fn no_number(text: &str, column: usize) -> Option<(&'static str, usize)> {
    // A parser stops at the first letter that does not fit, which for `-Infinity` is the second one, or after it.
    let starts = (1..=3).filter_map(|back| column.checked_sub(back)).chain([column]);
    let found = |start: usize| {
        let rest = text.get(start..)?;
        ["NaN", "-NaN", "-Infinity", "Infinity"].into_iter().find(|word| rest.starts_with(word))
    };
    let mut all: Vec<(&str, usize)> = starts.filter_map(|start| Some((found(start)?, start + 1))).collect();
    all.sort_by_key(|(_, column)| *column);
    all.first().copied()
}

#[cfg(test)]
mod tests {
    use std::fs;

    use serde_json::Value;

    use super::*;
    use crate::language::{Claim, Document, Verdict};

    fn found<T: DeserializeOwned>(bytes: &[u8]) -> Result<Vec<(usize, T)>, String> {
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), bytes).unwrap();
        let name = file.path().display().to_string();
        let lines = lines(file.path()).unwrap().map(|line| line.map(|line| (line.number, line.row)));
        lines.collect::<Result<_, _>>().map_err(|error| error.to_string().replace(&name, "F"))
    }

    fn error(bytes: &[u8]) -> String {
        found::<Value>(bytes).unwrap_err()
    }

    #[test]
    fn marks_ends_of_lines_and_empty_lines_do_not_matter() {
        let rows = found::<Value>(b"\xef\xbb\xbf{\"a\":1}\r\n\r\n  \n\xef\xbb\xbf{\"a\":2}").unwrap();
        assert_eq!(
            rows.iter().map(|(line, row)| (*line, row["a"].as_u64())).collect::<Vec<_>>(),
            [(1, Some(1)), (4, Some(2))]
        );
        assert!(found::<Value>(b"").unwrap().is_empty());
    }

    #[test]
    fn what_is_no_object_a_line_is_called_what_it_is() {
        let array = "F:1: it is a JSON array; one object a line is expected (`jq -c` writes that): `jq -c '.[]'`";
        assert_eq!(error(b"[\n {\"a\": 1}\n]\n"), array);
        assert_eq!(error(b"\xef\xbb\xbf [{\"a\": 1}]"), array);
        assert!(error(b"{\"a\":1}\n[1]").starts_with("F:2: the line is a JSON array; one object a line"));
        assert!(
            error(b"{\n\"a\": 1\n}\n").starts_with("F:1: EOF while parsing an object: the line ends inside it; one")
        );
        assert!(error(b"{\"a\":1}{\"a\":2}\n").starts_with("F:1: more follows the object at column 8; one object"));
        assert!(error(b"{\"a\":1}\n{\"a\":2},\n").starts_with("F:2: more follows the object at column 8"));
        for utf16 in [&b"\xff\xfe{\0\"\0"[..], b"\xfe\xff\0{", b"{\0\"\0a\0"] {
            assert_eq!(error(utf16), "F:1: it is UTF-16 text; save it as UTF-8");
        }
        assert_eq!(error(b"\x1f\x8b\x08\0"), "F:1: it is compressed (gzip); decompress it first");
    }

    #[test]
    fn a_mistake_has_its_line_and_its_column_once() {
        assert_eq!(error(b"{\"a\":1}\n\n{\"a\": NaN}\n"), "F:3: `NaN` at column 7 is not a number in JSON");
        assert_eq!(error(b"{\"a\":-Infinity}\n"), "F:1: `-Infinity` at column 6 is not a number in JSON");
        assert_eq!(error(b"{\"a\":1}\n{\"a\": 'x'}\n"), "F:2: expected value, at column 7");
        assert_eq!(
            error(b"{\"a\":1}\n{\"a\":1}\n{\"a\":\"\xff\"}\n"),
            "F:3: it is not UTF-8 text from byte 7 of the line on"
        );
        let typed = found::<crate::language::PreferenceRow>(br#"{"prompt":"a","weight": NaN}"#).unwrap_err();
        assert_eq!(typed, "F:1: `NaN` at column 25 is not a number in JSON");
        let twice = found::<Verdict>(br#"{"claim_id":"a","claim_id":"b"}"#).unwrap_err();
        assert!(twice.starts_with("F:1: duplicate field `claim_id`, at column"), "{twice}");
        let mut rows = lines::<Value>(Path::new("/")).unwrap();
        assert!(rows.next().unwrap().is_err() && rows.next().is_none(), "nothing follows a mistake");
    }

    #[test]
    fn numbers_and_spans_that_cannot_be_are_refused_where_they_stand() {
        let claim = |span: &str| {
            let row = format!(r#"{{"id":"c","response_id":"r","text":"t","span":{span}}}"#);
            found::<Claim>(row.as_bytes())
        };
        assert!(claim("[1,17]").is_ok() && claim("[3,3]").is_ok());
        assert!(claim("[17,1]").unwrap_err().contains("the span [17, 1] ends before it begins"));
        assert!(claim("[-1,3]").unwrap_err().contains("invalid value: integer `-1`"));
        assert!(claim("[1,2,3]").is_err() && claim("[1]").is_err() && claim("[0.5,1]").is_err());
        let verdict = |probability: &str| {
            let row = format!(r#"{{"claim_id":"c","verdict":"supported","probability":{probability},"evidence":[]}}"#);
            found::<Verdict>(row.as_bytes())
        };
        assert!(verdict("0").is_ok() && verdict("1.0").is_ok());
        assert!(verdict("2.0").unwrap_err().contains("the probability is 2, but must be from 0 to 1"));
        assert!(verdict("-0.1").is_err() && verdict("\"0.5\"").is_err() && verdict("1e999").is_err());
        let document = |weight: &str| {
            let row = format!(r#"{{"prompt":"","text":"t","weight":{weight},"group":"g"}}"#);
            found::<Document>(row.as_bytes())
        };
        assert!(document("0.5").is_ok());
        assert!(document("-5.0").unwrap_err().contains("the weight is -5, but must be from 0 to 1000000"));
        assert!(document("1e300").is_err());
    }

    #[test]
    fn an_id_that_was_there_before_is_named_with_both_lines() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let claim = |id: &str| format!("{{\"id\":\"{id}\",\"response_id\":\"r\",\"text\":\"t\",\"span\":[0,1]}}\n");
        fs::write(file.path(), [claim("a"), "\n".to_owned(), claim("b"), claim("a")].concat()).unwrap();
        let error = read_rows::<Claim>(file.path()).unwrap_err().to_string();
        assert!(error.ends_with(":4: the claim `a` occurs twice, first in line 1; ids must be unique"), "{error}");
        fs::write(file.path(), [claim("a"), claim("b")].concat()).unwrap();
        assert_eq!(read_rows::<Claim>(file.path()).unwrap().len(), 2);
        fs::write(file.path(), [claim("a").as_bytes(), claim("a").as_bytes(), b"\xff\n"].concat()).unwrap();
        for error in [read_rows::<Claim>(file.path()).map(drop), check_rows::<Claim>(file.path())] {
            let error = error.unwrap_err().to_string();
            assert!(error.contains(":3: "), "what is no row at all is said first: {error}");
        }
    }

    proptest::proptest! {
        /// Whatever the texts and numbers: what is written is read again, one row a line.
        #[test]
        fn any_row_survives_a_round_trip(rows in proptest::collection::vec((".*", "(?s).*", 0f64..=1e6), 0..6)) {
            let file = tempfile::NamedTempFile::new().unwrap();
            let row = |(prompt, text, weight): (String, String, f64)| Document { prompt, text, weight, group: String::new() };
            let rows: Vec<Document> = rows.into_iter().map(row).collect();
            write(file.path(), &rows).unwrap();
            proptest::prop_assert_eq!(fs::read_to_string(file.path()).unwrap().matches('\n').count(), rows.len());
            proptest::prop_assert_eq!(read::<Document>(file.path()).unwrap(), rows);
        }

        /// Whatever the bytes: a mistake names its line, and nothing ends in a panic.
        #[test]
        fn any_bytes_are_rows_or_a_mistake_with_its_line(bytes in proptest::collection::vec(proptest::num::u8::ANY, 0..80)) {
            if let Err(error) = found::<Value>(&bytes) {
                let line: usize = error.strip_prefix("F:").unwrap().split(':').next().unwrap().parse().unwrap();
                proptest::prop_assert!(line >= 1 && line <= bytes.iter().filter(|byte| **byte == b'\n').count() + 1);
            }
        }
    }

    #[test]
    fn written_rows_are_read_again() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let row = |text: &str| Document {
            prompt: "p\u{2028}\u{feff}".to_owned(),
            text: text.to_owned(),
            weight: 0.1 + 0.2,
            group: "\n".to_owned(),
        };
        let rows = [row("\u{feff}"), row("\"\\\r\n\u{0}"), row("")];
        write(file.path(), &rows).unwrap();
        assert_eq!(read::<Document>(file.path()).unwrap(), rows);
    }
}
