//! JSON Lines files: one object per line, read row by row with line numbers in errors, written
//! atomically. Parquet files are read as such lines.

use std::{
    collections::BTreeMap,
    fs::File,
    io::{self, BufRead, BufReader, BufWriter, Read, Seek, Write},
    marker::PhantomData,
    path::{Path, PathBuf},
};

use serde::{Serialize, de::DeserializeOwned};

use super::{
    Row,
    line::{ONE_A_LINE, not_text, parse_line},
    parquet_rows::{self, ParquetText},
    unique_ids::UniqueIds,
};

/// Maximum length of a line in bytes; a longer one means a file without line breaks.
const LONGEST_LINE: u64 = 256 << 20;

pub use super::line::other_format;

/// Why a file of JSON lines could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum JsonLinesError {
    /// An error of the file system.
    #[error("{path}: {problem}", path = .path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// The error.
        problem: std::io::Error,
    },
    /// An invalid line.
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

/// A row with its line number.
#[derive(Clone, Debug, PartialEq)]
pub struct Line<T> {
    /// The line, from 1; empty lines count.
    pub number: usize,
    /// The row.
    pub row: T,
}

/// Iterator over the rows of a file, with only one of them in memory.
pub struct Lines<T> {
    path: PathBuf,
    reader: BufReader<Box<dyn Read>>,
    /// The last line read.
    number: usize,
    /// Its first byte.
    start: u64,
    /// The first byte after it.
    end: u64,
    buffer: Vec<u8>,
    /// Whether reading is over: after the last line, and after the first error.
    is_over: bool,
    rows: PhantomData<T>,
}

/// The rows of a file, read on demand; empty lines and a byte order mark are skipped.
///
/// # Errors
/// Names the file that cannot be opened.
pub fn lines<T: DeserializeOwned>(path: &Path) -> Result<Lines<T>, JsonLinesError> {
    let source = source(path).map_err(|problem| io_error(path, problem))?;
    Ok(Lines {
        path: path.to_owned(),
        reader: BufReader::with_capacity(1 << 16, source),
        number: 0,
        start: 0,
        end: 0,
        buffer: Vec::new(),
        is_over: false,
        rows: PhantomData,
    })
}

pub(super) fn io_error(path: &Path, problem: io::Error) -> JsonLinesError {
    JsonLinesError::Io { path: path.to_owned(), problem }
}

/// The text of a file; that of a Parquet file is made of its rows, whose numbers are then those of
/// lines.
fn source(path: &Path) -> io::Result<Box<dyn Read>> {
    let mut file = File::open(path)?;
    let mut start = Vec::with_capacity(parquet_rows::MAGIC.len());
    (&file).take(parquet_rows::MAGIC.len() as u64).read_to_end(&mut start)?;
    if start == parquet_rows::MAGIC {
        return Ok(Box::new(ParquetText::open(file)?));
    }
    // What a file is, is told by more of its first bytes; a pipe cannot be read again.
    if file.metadata()?.is_file() {
        file.rewind()?;
        return Ok(Box::new(file));
    }
    Ok(Box::new(io::Cursor::new(start).chain(file)))
}

/// A text whose lines can be read in any order.
pub(super) trait SeekableText: Read + Seek {}

impl<T: Read + Seek> SeekableText for T {}

/// The same text, for reading in any order; that of a Parquet file is in memory.
pub(super) fn seekable(path: &Path) -> io::Result<Box<dyn SeekableText>> {
    let mut file = File::open(path)?;
    let mut start = Vec::with_capacity(parquet_rows::MAGIC.len());
    (&file).take(parquet_rows::MAGIC.len() as u64).read_to_end(&mut start)?;
    if start != parquet_rows::MAGIC {
        // Places count from the first byte, not from those that were looked at.
        file.rewind()?;
        return Ok(Box::new(file));
    }
    let mut text = Vec::new();
    ParquetText::open(file)?.read_to_end(&mut text)?;
    Ok(Box::new(io::Cursor::new(text)))
}

/// The number of rows of a file: of lines that are not empty.
///
/// # Errors
/// Names the file that cannot be read.
pub fn count(path: &Path) -> Result<usize, JsonLinesError> {
    let mut reader =
        BufReader::with_capacity(1 << 16, source(path).map_err(|problem| io_error(path, problem))?);
    let (mut rows, mut has_text) = (0, false);
    loop {
        let some = reader.fill_buf().map_err(|problem| io_error(path, problem))?;
        if some.is_empty() {
            return Ok(rows + usize::from(has_text));
        }
        // Lines may be longer than what is in memory of them.
        for part in some.split_inclusive(|byte| *byte == b'\n') {
            has_text |= !part.trim_ascii().is_empty();
            if part.ends_with(b"\n") {
                rows += usize::from(std::mem::take(&mut has_text));
            }
        }
        let read = some.len();
        reader.consume(read);
    }
}

/// Reads all rows of a file; empty lines are skipped.
///
/// # Errors
/// Names the file, and the line that is not a row of type `T`.
pub fn read<T: DeserializeOwned>(path: &Path) -> Result<Vec<T>, JsonLinesError> {
    lines(path)?.map(|line| line.map(|line| line.row)).collect()
}

/// Reads all rows of a file with ids and checks.
///
/// # Errors
/// As [`read`]; also names the line with a repeated id or an inconsistent row.
pub fn read_rows<T: Row>(path: &Path) -> Result<Vec<T>, JsonLinesError> {
    // Malformed rows are reported before inconsistent ones.
    let found: Vec<Line<T>> = lines(path)?.collect::<Result<_, _>>()?;
    let mut rows = Vec::with_capacity(found.len());
    let mut places: BTreeMap<String, usize> = BTreeMap::new();
    // All lines are rows by now, whose ids can be compared.
    for Line { number, row } in found {
        check_row(path, number, &row, Some(&mut places))?;
        rows.push(row);
    }
    Ok(rows)
}

/// Iterator over the rows of a file with ids and checks, with only one of them in memory, and 8
/// bytes of each group of numbered ids, or of each id in another order.
pub struct CheckedRows<T> {
    lines: Lines<T>,
    ids: UniqueIds,
    /// Number of rows before the next one.
    rows: usize,
}

/// The rows of a file with ids and checks, read on demand.
///
/// # Errors
/// Names the file that cannot be opened.
pub fn checked_rows<T: Row>(path: &Path) -> Result<CheckedRows<T>, JsonLinesError> {
    Ok(CheckedRows { lines: lines(path)?, ids: UniqueIds::of_groups(), rows: 0 })
}

impl<T: Row> CheckedRows<T> {
    fn check(&mut self, line: Line<T>) -> Result<T, JsonLinesError> {
        let Line { number, row } = line;
        let path = &self.lines.path;
        let mut is_new = self.ids.add(row.id());
        if !is_new && self.ids.is_by_stem() {
            // The ids may be in another order only: from here on each is remembered.
            self.ids = UniqueIds::of_all();
            for before in lines::<T>(path)?.take(self.rows) {
                self.ids.add(before?.row.id());
            }
            is_new = self.ids.add(row.id());
        }
        // Counted here, so that what was read again are the rows before this one.
        self.rows += 1;
        if is_new {
            return check_row(path, number, &row, None).map(|()| row);
        }
        // Two ids may have one hash, so that the file is asked.
        let mut places = BTreeMap::new();
        for before in lines::<T>(path)? {
            let before = before?;
            if before.number == number {
                break;
            }
            if before.row.id() == row.id() {
                places.insert(row.id().to_owned(), before.number);
                break;
            }
        }
        check_row(path, number, &row, Some(&mut places)).map(|()| row)
    }
}

impl<T: Row> Iterator for CheckedRows<T> {
    type Item = Result<T, JsonLinesError>;

    fn next(&mut self) -> Option<Self::Item> {
        let checked = self.lines.next()?.and_then(|line| self.check(line));
        self.lines.is_over |= checked.is_err();
        Some(checked)
    }
}

/// Number of ids that are compared in a scan; a full read compares all.
const IDS_COMPARED: usize = 1_000_000;

/// Checks the rows of a file as [`read_rows`] does, with one of them in memory, and the ids of the
/// first million; returns their number.
///
/// # Errors
/// As [`read_rows`].
pub fn check_rows<T: Row>(path: &Path) -> Result<usize, JsonLinesError> {
    let mut places: BTreeMap<String, usize> = BTreeMap::new();
    let (mut checked, mut count) = (Ok(()), 0);
    for line in lines::<T>(path)? {
        let Line { number, row } = line?;
        count += 1;
        // The first inconsistent row is reported, unless a later line is no row at all.
        if checked.is_ok() {
            checked =
                check_row(path, number, &row, (places.len() < IDS_COMPARED).then_some(&mut places));
        }
    }
    checked.map(|()| count)
}

/// Checks a row, and that its id is new if the places of earlier ones are given.
pub(super) fn check_row<T: Row>(
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
            Err(wrong(format!(
                "the {what} `{id}` occurs twice, first in line {first}; ids must be unique"
            )))
        }
        None => Ok(()),
    }
}

/// Writes rows to a new file.
///
/// # Errors
/// Names the file that could not be written.
pub fn write<T: Serialize>(
    path: &Path,
    rows: impl IntoIterator<Item = T>,
) -> Result<(), JsonLinesError> {
    let mut writer = RowWriter::create(path)?;
    rows.into_iter().try_for_each(|row| writer.write(&row))?;
    writer.finish()
}

/// A file to which rows are written one at a time: the text of all may not fit into memory.
pub struct RowWriter {
    path: PathBuf,
    file: BufWriter<File>,
}

impl RowWriter {
    /// A new file.
    ///
    /// # Errors
    /// Names the file that cannot be made.
    pub fn create(path: &Path) -> Result<Self, JsonLinesError> {
        let made = File::create(path).map_err(|problem| io_error(path, problem));
        Ok(Self { path: path.to_owned(), file: BufWriter::new(made?) })
    }

    /// Writes a row.
    ///
    /// # Errors
    /// Names the file that could not be written.
    pub fn write<T: Serialize>(&mut self, row: &T) -> Result<(), JsonLinesError> {
        let written = serde_json::to_writer(&mut self.file, row).map_err(std::io::Error::from);
        let written = written.and_then(|()| self.file.write_all(b"\n"));
        self.told(written)
    }

    /// Writes what is still in memory.
    ///
    /// # Errors
    /// Names the file that could not be written.
    pub fn finish(mut self) -> Result<(), JsonLinesError> {
        let flushed = self.file.flush();
        self.told(flushed)
    }

    fn told(&self, done: std::io::Result<()>) -> Result<(), JsonLinesError> {
        done.map_err(|problem| io_error(&self.path, problem))
    }
}

impl<T: DeserializeOwned> Iterator for Lines<T> {
    type Item = Result<Line<T>, JsonLinesError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.is_over {
            return None;
        }
        let found = self.advance().transpose();
        // After an error the reader may be in the middle of a line.
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
                // Looked at before lines are read: a compressed file may have none.
                let start = self.reader.fill_buf().map(not_text);
                if let Some(problem) = start.map_err(|problem| self.io(problem))? {
                    return Err(self.wrong(problem));
                }
            }
            self.buffer.clear();
            self.start = self.end;
            // A file without line ends would be read into memory as one line.
            let mut limited = self.reader.by_ref().take(LONGEST_LINE + 1);
            let read =
                limited.read_until(b'\n', &mut self.buffer).map_err(|problem| self.io(problem))?;
            self.end += read as u64;
            if read == 0 {
                return Ok(None);
            }
            if read as u64 > LONGEST_LINE {
                let problem =
                    format!("the line is longer than {} MiB; {ONE_A_LINE}", LONGEST_LINE >> 20);
                return Err(self.wrong(problem));
            }
            let row = parse_line(&self.buffer).map_err(|problem| self.wrong(problem))?;
            if let Some(row) = row {
                return Ok(Some(Line { number: self.number, row }));
            }
        }
    }

    /// The file.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Place of the last line's first byte in the text of the file.
    pub(super) fn start(&self) -> u64 {
        self.start
    }

    fn io(&self, problem: std::io::Error) -> JsonLinesError {
        io_error(&self.path, problem)
    }

    fn wrong(&self, problem: impl Into<String>) -> JsonLinesError {
        JsonLinesError::Row { path: self.path.clone(), line: self.number, problem: problem.into() }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use serde_json::Value;

    use super::*;
    use crate::rows::{Claim, Document, Verdict};

    fn found<T: DeserializeOwned>(bytes: &[u8]) -> Result<Vec<(usize, T)>, String> {
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), bytes).unwrap();
        let name = file.path().display().to_string();
        let lines =
            lines(file.path()).unwrap().map(|line| line.map(|line| (line.number, line.row)));
        lines.collect::<Result<_, _>>().map_err(|error| error.to_string().replace(&name, "F"))
    }

    fn error(bytes: &[u8]) -> String {
        found::<Value>(bytes).unwrap_err()
    }

    #[test]
    fn marks_ends_of_lines_and_empty_lines_do_not_matter() {
        let rows =
            found::<Value>(b"\xef\xbb\xbf{\"a\":1}\r\n\r\n  \n\xef\xbb\xbf{\"a\":2}").unwrap();
        assert_eq!(
            rows.iter().map(|(line, row)| (*line, row["a"].as_u64())).collect::<Vec<_>>(),
            [(1, Some(1)), (4, Some(2))]
        );
        assert!(found::<Value>(b"").unwrap().is_empty());
    }

    #[test]
    fn what_is_no_object_a_line_is_called_what_it_is() {
        let array = "F:1: it is a JSON array; write one object per line, as `jq -c '.[]'` does";
        assert_eq!(error(b"[\n {\"a\": 1}\n]\n"), array);
        assert_eq!(error(b"\xef\xbb\xbf [{\"a\": 1}]"), array);
        assert!(
            error(b"{\"a\":1}\n[1]")
                .starts_with("F:2: the line is a JSON array; write one object per line")
        );
        assert!(
            error(b"{\n\"a\": 1\n}\n").starts_with(
                "F:1: EOF while parsing an object: the line ends inside it; write one"
            )
        );
        assert!(
            error(b"{\"a\":1}{\"a\":2}\n")
                .starts_with("F:1: more follows the object at column 8; write one object")
        );
        assert!(
            error(b"{\"a\":1}\n{\"a\":2},\n")
                .starts_with("F:2: more follows the object at column 8")
        );
        for utf16 in [&b"\xff\xfe{\0\"\0"[..], b"\xfe\xff\0{", b"{\0\"\0a\0"] {
            assert_eq!(error(utf16), "F:1: it is UTF-16 text; save it as UTF-8");
        }
        assert_eq!(error(b"\x1f\x8b\x08\0"), "F:1: it is compressed (gzip); decompress it first");
        for (bytes, said) in [
            (
                &b"version https://git-lfs.github.com/spec/v1\noid"[..],
                "F:1: it is a pointer of Git LFS",
            ),
            (b"<!DOCTYPE html>\n<html>", "F:1: it is an HTML or XML page"),
            (b"\0\0\0\0", "F:1: it begins with zero bytes"),
            (
                b"id,text\n1,a\n",
                "F:1: the line is no JSON object, but begins with `id,text`; write",
            ),
            (
                b"{\"a\":1}\nnull\n",
                "F:2: the line is no JSON object, but begins with `null`; write",
            ),
        ] {
            assert!(error(bytes).starts_with(said), "{}", error(bytes));
        }
    }

    #[test]
    fn a_mistake_has_its_line_and_its_column_once() {
        assert_eq!(
            error(b"{\"a\":1}\n\n{\"a\": NaN}\n"),
            "F:3: `NaN` at column 7 is not a number in JSON"
        );
        assert_eq!(
            error(b"{\"a\":-Infinity}\n"),
            "F:1: `-Infinity` at column 6 is not a number in JSON"
        );
        assert_eq!(error(b"{\"a\":1}\n{\"a\": 'x'}\n"), "F:2: expected value, at column 7");
        assert_eq!(
            error(b"{\"a\":1}\n{\"a\":1}\n{\"a\":\"\xff\"}\n"),
            "F:3: byte 7 of the line is not UTF-8"
        );
        let typed =
            found::<crate::rows::PreferenceRow>(br#"{"prompt":"a","weight": NaN}"#).unwrap_err();
        assert_eq!(typed, "F:1: `NaN` at column 25 is not a number in JSON");
        let number = found::<Claim>(br#"{"id":7,"response_id":"r"}"#).unwrap_err();
        assert_eq!(number, "F:1: `id`: invalid type: integer `7`, expected a string, at column 7");
        let annotated = found::<crate::rows::Response>(br#"{"output":"a","annotations":[]}"#);
        assert_eq!(
            annotated.unwrap_err(),
            "F:1: missing field `id`: it is an annotated response; read its file by the kind \
            `labels`"
        );
        let twice = found::<Verdict>(br#"{"claim_id":"a","claim_id":"b"}"#).unwrap_err();
        assert!(twice.starts_with("F:1: duplicate field `claim_id`, at column"), "{twice}");
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), "[\n{}\n").unwrap();
        let mut rows = lines::<Value>(file.path()).unwrap();
        assert!(
            rows.next().unwrap().is_err() && rows.next().is_none(),
            "nothing follows a mistake"
        );
        assert!(lines::<Value>(Path::new("/")).is_err(), "a folder has no lines");
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
            let row = format!(
                r#"{{"claim_id":"c","verdict":"supported","probability":{probability},"evidence":[]}}"#
            );
            found::<Verdict>(row.as_bytes())
        };
        assert!(verdict("0").is_ok() && verdict("1.0").is_ok());
        assert!(
            verdict("2.0").unwrap_err().contains("the probability is 2, but must be from 0 to 1")
        );
        assert!(
            verdict("-0.1").is_err() && verdict("\"0.5\"").is_err() && verdict("1e999").is_err()
        );
        let document = |weight: &str| {
            let row = format!(r#"{{"prompt":"","text":"t","weight":{weight},"group":"g"}}"#);
            found::<Document>(row.as_bytes())
        };
        assert!(document("0.5").is_ok());
        assert!(
            document("-5.0")
                .unwrap_err()
                .contains("the weight is -5, but must be from 0 to 1000000")
        );
        assert!(document("1e300").is_err());
    }

    #[test]
    fn an_id_that_was_there_before_is_named_with_both_lines() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let claim = |id: &str| {
            format!("{{\"id\":\"{id}\",\"response_id\":\"r\",\"text\":\"t\",\"span\":[0,1]}}\n")
        };
        fs::write(file.path(), [claim("a"), "\n".to_owned(), claim("b"), claim("a")].concat())
            .unwrap();
        let error = read_rows::<Claim>(file.path()).unwrap_err().to_string();
        assert!(
            error.ends_with(":4: the claim `a` occurs twice, first in line 1; ids must be unique"),
            "{error}"
        );
        fs::write(file.path(), [claim("a"), claim("b")].concat()).unwrap();
        assert_eq!(read_rows::<Claim>(file.path()).unwrap().len(), 2);
        fs::write(file.path(), [claim("a").as_bytes(), claim("a").as_bytes(), b"\xff\n"].concat())
            .unwrap();
        for error in
            [read_rows::<Claim>(file.path()).map(drop), check_rows::<Claim>(file.path()).map(drop)]
        {
            let error = error.unwrap_err().to_string();
            assert!(error.contains(":3: "), "what is no row at all is said first: {error}");
        }
    }

    proptest::proptest! {
        /// For all texts and numbers: what is written can be read again, one row per line.
        #[test]
        fn any_row_survives_a_round_trip(rows in proptest::collection::vec((".*", "(?s).*", 0f64..=1e6), 0..6)) {
            let file = tempfile::NamedTempFile::new().unwrap();
            let row = |(prompt, text, weight): (String, String, f64)| Document { prompt, text, weight, group: String::new() };
            let rows: Vec<Document> = rows.into_iter().map(row).collect();
            write(file.path(), &rows).unwrap();
            proptest::prop_assert_eq!(fs::read_to_string(file.path()).unwrap().matches('\n').count(), rows.len());
            proptest::prop_assert_eq!(read::<Document>(file.path()).unwrap(), rows);
        }

        /// For all bytes: an error names its line, and nothing panics.
        #[test]
        fn any_bytes_are_rows_or_a_mistake_with_its_line(bytes in proptest::collection::vec(proptest::num::u8::ANY, 0..80)) {
            if let Err(error) = found::<Value>(&bytes) {
                let line: usize = error.strip_prefix("F:").unwrap().split(':').next().unwrap().parse().unwrap();
                proptest::prop_assert!(line >= 1 && line <= bytes.iter().filter(|byte| **byte == b'\n').count() + 1);
            }
        }
    }

    #[test]
    fn a_repeated_id_is_found_while_rows_are_read_one_at_a_time() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let claim = |id: &str| {
            let id = id.into();
            Claim { id, response_id: "r".into(), text: "Ann is.".to_owned(), ..Claim::default() }
        };
        let read = || -> Result<Vec<Claim>, String> {
            let rows = checked_rows::<Claim>(file.path()).unwrap();
            rows.collect::<Result<_, _>>().map_err(|error| error.to_string())
        };
        write(file.path(), [claim("a"), claim("b")]).unwrap();
        assert_eq!(read().unwrap(), [claim("a"), claim("b")]);
        for [first, second] in [["a", "b"], ["a#0", "a#1"], ["a#1", "b#0"]] {
            let rows = [first, second, first, "c"];
            write(file.path(), rows.map(claim)).unwrap();
            let error = read().unwrap_err();
            assert_eq!(error, read_rows::<Claim>(file.path()).unwrap_err().to_string());
            assert!(error.contains(":3: ") && error.contains("first in line 1"), "{error}");
        }
        // Numbers in descending order, and groups that are apart.
        for ids in [["a#2", "a#1", "a#0", "b#0"], ["a#0", "b#0", "a#1", "b#1"]] {
            write(file.path(), ids.map(claim)).unwrap();
            assert_eq!(read().unwrap(), ids.map(claim));
            let rows = [ids[0], ids[1], ids[2], ids[1]];
            write(file.path(), rows.map(claim)).unwrap();
            assert_eq!(
                read().unwrap_err(),
                read_rows::<Claim>(file.path()).unwrap_err().to_string()
            );
        }
    }

    #[test]
    fn rows_are_counted_without_empty_lines() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let long = format!("{{\"a\":\"{}\"}}", "x".repeat(200_000));
        for (text, rows) in [("", 0), ("\n \r\n", 0), ("{}", 1), ("{}\n\n{}\n", 2), (&long, 1)] {
            fs::write(file.path(), text).unwrap();
            assert_eq!(count(file.path()).unwrap(), rows);
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
