//! Rows that an unfinished stage keeps for its next attempt.

use std::{
    collections::BTreeMap,
    fs::{File, OpenOptions},
    io::{self, BufRead, BufReader, Write},
    marker::PhantomData,
    os::unix::fs::FileExt,
    path::Path,
};

use serde::{Serialize, de::DeserializeOwned};

use crate::{context::StageError, rows::Row};

/// Rows so far, in the file that keeps them for the next attempt: each line is the first 16 digits
/// of a row's BLAKE3 digest, a space and the row. In memory are their ids and places.
pub struct KeptRows<R> {
    places: BTreeMap<String, LinePlace>,
    file: File,
    /// Length of the file.
    length: u64,
    what: &'static str,
    rows: PhantomData<R>,
}

/// First byte and length of a line.
#[derive(Clone, Copy)]
struct LinePlace(u64, usize);

impl<R: Row + Serialize + DeserializeOwned> KeptRows<R> {
    /// Reads the rows of earlier attempts up to the first torn or damaged line; later ones are made
    /// again. `what` names the rows in errors.
    ///
    /// # Errors
    /// If the file cannot be opened.
    pub fn open(path: &Path, what: &'static str) -> Result<Self, StageError> {
        let keeping = format!("keep {what} in {}", path.display());
        let file =
            OpenOptions::new().create(true).truncate(false).read(true).append(true).open(path);
        let file = file.map_err(StageError::doing(&keeping))?;
        let mut kept = Self { places: BTreeMap::new(), file, length: 0, what, rows: PhantomData };
        kept.read().map_err(StageError::doing(&keeping))?;
        // Rows are appended, so what follows a torn line would never be read.
        kept.file.set_len(kept.length).map_err(StageError::doing(&keeping))?;
        Ok(kept)
    }

    fn read(&mut self) -> io::Result<()> {
        let mut reader = BufReader::new(self.file.try_clone()?);
        let mut line = Vec::new();
        while reader.read_until(b'\n', &mut line)? > 0 {
            let Some(row) = parse_line::<R>(&line) else { break };
            self.note(row.id().to_owned(), line.len());
            line.clear();
        }
        Ok(())
    }

    /// Notes the place of the next line.
    fn note(&mut self, id: String, length: usize) {
        self.places.insert(id, LinePlace(self.length, length));
        self.length += length as u64;
    }

    /// The number of rows.
    pub fn len(&self) -> usize {
        self.places.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.places.is_empty()
    }

    /// Whether the row with this id is kept.
    pub fn has(&self, id: &str) -> bool {
        self.places.contains_key(id)
    }

    /// The row with this id.
    ///
    /// # Errors
    /// If the file can no longer be read.
    pub fn get(&self, id: &str) -> Result<Option<R>, StageError> {
        let Some(LinePlace(start, length)) = self.places.get(id).copied() else { return Ok(None) };
        let reading = format!("read the kept {}", self.what);
        // By its place, since rows are added meanwhile.
        let mut line = vec![0; length];
        self.file.read_exact_at(&mut line, start).map_err(StageError::doing(&reading))?;
        let damaged = || StageError(format!("cannot {reading}: they were damaged meanwhile"));
        parse_line(&line).map(Some).ok_or_else(damaged)
    }

    /// Keeps a row.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn add(&mut self, row: R) -> Result<(), StageError> {
        let keeping = format!("keep {}", self.what);
        let text = serde_json::to_string(&row).map_err(StageError::doing(&keeping))?;
        // Not synced: a lost line is made again to the same bytes.
        let line = format!("{} {text}\n", checksum(text.as_bytes()));
        self.file.write_all(line.as_bytes()).map_err(StageError::doing(&keeping))?;
        self.note(row.id().to_owned(), line.len());
        Ok(())
    }
}

fn parse_line<R: DeserializeOwned>(line: &[u8]) -> Option<R> {
    let (sum, text) = std::str::from_utf8(line).ok()?.strip_suffix('\n')?.split_once(' ')?;
    (sum == checksum(text.as_bytes())).then(|| serde_json::from_str(text).ok()).flatten()
}

fn checksum(bytes: &[u8]) -> String {
    // 64 bits tell torn and damaged lines; nobody forges their own.
    blake3::hash(bytes).to_hex()[..16].to_owned()
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::rows::{FactLabel, Verdict};

    #[test]
    fn rows_after_a_torn_or_damaged_line_are_forgotten() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("verdicts");
        let row = |number: usize| {
            let id = format!("a#0/{number}").as_str().into();
            Verdict::new(id, FactLabel::Supported, 0.1 + number as f64, Vec::new())
        };
        let mut kept = KeptRows::open(&path, "verdicts").unwrap();
        assert!(kept.is_empty());
        (0..3).for_each(|number| kept.add(row(number)).unwrap());
        assert_eq!(kept.get(row(0).id()).unwrap(), Some(row(0)), "while others are added");
        let bytes = fs::read(&path).unwrap();
        let known = |bytes: &[u8]| {
            fs::write(&path, bytes).unwrap();
            let kept = KeptRows::<Verdict>::open(&path, "verdicts").unwrap();
            assert!((0..kept.len()).all(|number| {
                let expected = row(number);
                kept.get(expected.id()).unwrap() == Some(expected)
            }));
            assert!(kept.get("b").unwrap().is_none() && !kept.has("b"));
            kept.len()
        };
        // A probability above 1 is no verdict, though its line is whole.
        assert_eq!(known(&bytes), 1);
        let line = bytes.split_inclusive(|byte| *byte == b'\n').next().unwrap();
        assert_eq!(known(&line[..line.len() - 1]), 0);
        let mut damaged = line.to_vec();
        damaged[30] ^= 1;
        assert_eq!(known(&damaged), 0);
        assert_eq!(fs::read(&path).unwrap(), b"");
    }
}
