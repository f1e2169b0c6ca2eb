//! Comparisons of an artifact with one that was made again, and the record of them.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs::{self, File},
    io::{BufRead as _, BufReader, Read, Seek, SeekFrom},
    path::Path,
};

use serde::{Deserialize, Serialize};

use super::{
    Artifact, Store, StoreError,
    checksum::{sign, signed},
    durable, hash,
};
use crate::digest::Digest;

/// Letters of a row that are shown.
const SHOWN: usize = 100;

/// The last check of an artifact.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CheckRecord {
    /// Milliseconds since the Unix epoch.
    pub at: u64,
    /// First difference; none if all bytes were the same.
    #[serde(default)]
    pub difference: Option<String>,
}

impl Store {
    /// Records a check, in place of an earlier one.
    ///
    /// # Errors
    /// If the store cannot be written.
    pub fn note_check(&self, key: &Digest, check: &CheckRecord) -> Result<(), StoreError> {
        durable::create_folder(&self.checks())?;
        let text = serde_json::to_string(check).expect("plain data can be written");
        durable::replace(&self.checks().join(key.to_string()), sign(&text).as_bytes())
    }

    /// Keys that have been checked.
    pub fn checked(&self) -> BTreeSet<Digest> {
        let names = durable::entries(&self.checks()).unwrap_or_default().into_iter();
        names.filter_map(|(name, _)| name.parse().ok()).collect()
    }

    /// The last check of a key, if there was one.
    pub fn check_of(&self, key: &Digest) -> Option<CheckRecord> {
        let text = fs::read_to_string(self.checks().join(key.to_string())).ok()?;
        serde_json::from_str(signed(&text)?).ok()
    }
}

impl Artifact {
    /// The first difference from files that were made again, by names and then by bytes.
    ///
    /// # Errors
    /// If a file cannot be read.
    pub fn difference(&self, files: &Path) -> Result<Option<String>, StoreError> {
        let found = durable::walk(files)?;
        let mut again: BTreeMap<&str, &Path> =
            found.iter().map(|found| (found.name.as_str(), found.path.as_path())).collect();
        for (name, entry) in self.listed() {
            let Some(path) = again.remove(name) else {
                return Ok(Some(format!("{name} is missing")));
            };
            // Digests first: most files are the same, and few are read twice.
            if hash::digest_bytes(path)?.0 != entry.digest {
                return first_difference(name, &self.path_of(entry), path).map(Some);
            }
        }
        Ok(again.keys().next().map(|name| format!("{name} is new")))
    }
}

/// Where two versions of a file differ first: the row of a text, or the byte.
fn first_difference(name: &str, old: &Path, new: &Path) -> Result<String, StoreError> {
    let (mut row, mut offset) = (1_u64, 0_u64);
    let (mut olds, mut news) = (open(old)?, open(new)?);
    loop {
        let [one, other] = [(&mut olds, old), (&mut news, new)].map(|(file, path)| {
            let mut line = Vec::new();
            // Files without line ends are compared in pieces.
            let read = file.take(1 << 20).read_until(b'\n', &mut line);
            read.map(|_| line).map_err(StoreError::io("read", path))
        });
        let (one, other) = (one?, other?);
        if one.is_empty() && other.is_empty() {
            return Ok(format!("{name} changed while it was compared"));
        }
        if one != other {
            let same = one.iter().zip(&other).take_while(|(one, other)| one == other).count();
            let texts = [one, other].map(|line| String::from_utf8(line).ok());
            return Ok(match texts {
                [Some(one), Some(other)] if is_text(old)? => {
                    let [one, other] = [one, other].map(|line| excerpt(&line, same));
                    format!("{name}, row {row}: {one} became {other}")
                }
                _ => format!("{name} differs at byte {}", offset + same as u64),
            });
        }
        offset += one.len() as u64;
        row += u64::from(one.ends_with(b"\n"));
    }
}

fn open(path: &Path) -> Result<BufReader<File>, StoreError> {
    File::open(path).map(BufReader::new).map_err(StoreError::io("read", path))
}

/// Whether the first bytes of a file are text.
fn is_text(path: &Path) -> Result<bool, StoreError> {
    let mut head = Vec::new();
    let mut file = File::open(path).map_err(StoreError::io("read", path))?;
    let read = file.seek(SeekFrom::Start(0)).and_then(|_| file.take(512).read_to_end(&mut head));
    read.map_err(StoreError::io("read", path))?;
    Ok(!head.contains(&0))
}

/// The part of a row where the difference begins.
fn excerpt(line: &str, same: usize) -> String {
    let line = line.trim_end_matches('\n');
    if line.is_empty() {
        return "nothing".to_owned();
    }
    let before = line.char_indices().take_while(|(place, _)| *place < same).count();
    let from = before.saturating_sub(SHOWN / 4);
    let shown: String = line.chars().skip(from).take(SHOWN).collect();
    let [head, tail] = [from > 0, line.chars().count() > from + SHOWN];
    format!("`{}{shown}{}`", if head { "…" } else { "" }, if tail { "…" } else { "" })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn difference(old: &[u8], new: &[u8]) -> String {
        let folder = tempfile::tempdir().unwrap();
        let [one, other] = ["one", "other"].map(|name| folder.path().join(name));
        fs::write(&one, old).unwrap();
        fs::write(&other, new).unwrap();
        first_difference("f", &one, &other).unwrap()
    }

    #[test]
    fn rows_of_texts_and_bytes_of_others_are_named() {
        assert_eq!(difference(b"a\nb\nc\n", b"a\nx\nc\n"), "f, row 2: `b` became `x`");
        assert_eq!(difference(b"a\n", b"a\nb\n"), "f, row 2: nothing became `b`");
        assert_eq!(difference(b"a\n", b"a"), "f, row 1: `a` became `a`");
        assert_eq!(difference(b"\0\0\x01\xff", b"\0\0\x02\xff"), "f differs at byte 2");
        let (old, new) = (vec![0; 3 << 20], [vec![0; 2 << 20], vec![7; 1 << 20]].concat());
        assert_eq!(difference(&old, &new), format!("f differs at byte {}", 2 << 20));
        let long = "x".repeat(300);
        let said = difference(format!("{long}1\n").as_bytes(), format!("{long}2\n").as_bytes());
        assert!(said.ends_with("x1` became `…xxxxxxxxxxxxxxxxxxxxxxxxx2`"), "{said}");
    }
}
