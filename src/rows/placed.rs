//! Rows of a file by their places, for reading in another order than that of the file.

use std::{
    io::{self, BufRead, BufReader},
    marker::PhantomData,
    path::{Path, PathBuf},
};

use serde::de::DeserializeOwned;

use super::{
    Row,
    json_lines::{
        JsonLinesError, Line, SeekableText, check_row, checked_rows, io_error, lines, seekable,
    },
    line::parse_line,
    unique_ids::hash_of,
};

/// A file whose rows are read in any order, with one of them in memory; of a Parquet file all of
/// its text is.
struct PlacedRows<T> {
    path: PathBuf,
    text: BufReader<Box<dyn SeekableText>>,
    /// Where the reader is.
    at: u64,
    line: Vec<u8>,
    rows: PhantomData<T>,
}

impl<T: DeserializeOwned> PlacedRows<T> {
    fn open(path: &Path) -> Result<Self, JsonLinesError> {
        let text = seekable(path).map_err(|problem| io_error(path, problem))?;
        let (path, text) = (path.to_owned(), BufReader::new(text));
        Ok(Self { path, text, at: 0, line: Vec::new(), rows: PhantomData })
    }

    /// The row whose line begins at this place, where a reading of the whole file has found it.
    fn at(&mut self, place: u64) -> Result<T, JsonLinesError> {
        let row = self.read(place).map_err(|problem| io_error(&self.path, problem))?;
        let changed = || io::Error::other("the file has changed while it was read");
        row.ok_or_else(|| io_error(&self.path, changed()))
    }

    fn read(&mut self, place: u64) -> io::Result<Option<T>> {
        // Relative, so that rows that are near to each other are read from the disk once.
        self.text.seek_relative(place as i64 - self.at as i64)?;
        self.line.clear();
        self.at = place + self.text.read_until(b'\n', &mut self.line)? as u64;
        Ok(parse_line(&self.line).ok().flatten())
    }
}

/// A file whose rows are read by their numbers, in 8 bytes each.
pub struct NumberedRows<T> {
    rows: PlacedRows<T>,
    places: Vec<u64>,
}

impl<T: DeserializeOwned> NumberedRows<T> {
    /// Opens a file and reads all of it once; `visit` sees each row.
    ///
    /// # Errors
    /// Names the file, and the line that is not a row of type `T`.
    pub fn open_each(path: &Path, mut visit: impl FnMut(&T)) -> Result<Self, JsonLinesError> {
        let mut lines = lines::<T>(path)?;
        let mut places = Vec::new();
        while let Some(line) = lines.next() {
            visit(&line?.row);
            places.push(lines.start());
        }
        Ok(Self { rows: PlacedRows::open(path)?, places })
    }

    /// The row of a number, from 0.
    ///
    /// # Errors
    /// Names the file that can no longer be read.
    ///
    /// # Panics
    /// If there is no such row.
    pub fn get(&mut self, number: usize) -> Result<T, JsonLinesError> {
        self.rows.at(self.places[number])
    }
}

/// Which text of a row is looked for: its id, or the id of what it belongs to.
pub(super) type KeyOf<T> = fn(&T) -> &str;

/// Places of all rows by a key, in 17 bytes each.
pub(super) struct RowIndex<T> {
    rows: PlacedRows<T>,
    key: KeyOf<T>,
    /// Hashes of keys with places, in order.
    places: Vec<(u64, u64)>,
    /// Which of them have been taken.
    taken: Vec<bool>,
}

impl<T: Row> RowIndex<T> {
    /// Reads a file. Rows that begin before `begun` have been taken.
    ///
    /// # Errors
    /// Names the line with an invalid row.
    pub(super) fn new(path: &Path, key: KeyOf<T>, begun: u64) -> Result<Self, JsonLinesError> {
        let mut lines = lines::<T>(path)?;
        let mut places = Vec::new();
        while let Some(line) = lines.next() {
            let Line { number, row } = line?;
            check_row(path, number, &row, None)?;
            places.push((hash_of(key(&row)), lines.start()));
        }
        places.sort_unstable();
        let taken = places.iter().map(|(_, place)| *place < begun).collect();
        Ok(Self { rows: PlacedRows::open(path)?, key, places, taken })
    }

    /// Checks that no two rows have one id.
    ///
    /// # Errors
    /// Names the line with a repeated id.
    pub(super) fn check_ids(self, path: &Path) -> Result<Self, JsonLinesError> {
        // Two ids may have one hash: only the ids themselves tell.
        if self.places.windows(2).any(|pair| pair[0].0 == pair[1].0) {
            checked_rows::<T>(path)?.try_for_each(|row| row.map(drop))?;
        }
        Ok(self)
    }

    /// The rows with a key, in the order of the file.
    ///
    /// # Errors
    /// Names the file that cannot be read.
    pub(super) fn take(&mut self, key: &str) -> Result<Vec<T>, JsonLinesError> {
        let hash = hash_of(key);
        let mut found = Vec::new();
        let first = self.places.partition_point(|(other, _)| *other < hash);
        for index in first..self.places.len() {
            let (other, place) = self.places[index];
            if other != hash {
                break;
            }
            let row = self.rows.at(place)?;
            if (self.key)(&row) == key {
                self.taken[index] = true;
                found.push(row);
            }
        }
        Ok(found)
    }

    /// The first row of the file that has not been taken.
    ///
    /// # Errors
    /// Names the file that cannot be read.
    pub(super) fn first_left(mut self) -> Result<Option<T>, JsonLinesError> {
        let left = self.places.iter().zip(&self.taken).filter(|(_, taken)| !**taken);
        let first = left.map(|((_, place), _)| *place).min();
        first.map(|place| self.rows.at(place)).transpose()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    #[test]
    fn rows_are_read_by_number_in_any_order() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let row = |number: usize| format!("{{\"a\":{number},\"b\":\"{}\"}}", "x".repeat(5000));
        let text: String = (0..9).map(|number| format!("{}\r\n \n", row(number))).collect();
        std::fs::write(file.path(), format!("\u{feff}{text}{}", row(9))).unwrap();
        let mut count = 0;
        let mut rows = NumberedRows::<Value>::open_each(file.path(), |_| count += 1).unwrap();
        assert_eq!(count, 10);
        for number in [3, 9, 0, 0, 4, 5, 8, 1] {
            assert_eq!(rows.get(number).unwrap()["a"], number);
        }
        std::fs::write(file.path(), "{}").unwrap();
        let error = rows.get(9).unwrap_err().to_string();
        assert!(error.ends_with(": the file has changed while it was read"), "{error}");
        std::fs::write(file.path(), "{}\n{\n").unwrap();
        let error = NumberedRows::<Value>::open_each(file.path(), |_| ()).err().unwrap();
        assert!(error.to_string().contains(":2: EOF"), "{error}");
    }
}
