//! The format of a file of knowledge, by its content: a `.db` may be the page of a server.

use std::{
    fs::File,
    io::{BufReader, Read},
    path::Path,
};

use super::error::{KnowledgeError, in_file};
use crate::rows::json_lines::other_format;

/// A format of knowledge.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KnowledgeFormat {
    /// An SQLite file.
    Database,
    /// One `{"title": ..., "text": ...}` per line.
    JsonLines,
    /// A dump of MediaWiki, in XML.
    Dump,
    /// The same compressed by bzip2.
    CompressedDump,
}

/// What a file must be.
const EXPECTED: &str = "expected an SQLite file with a table `documents(title, text)`, JSON lines \
    of {title, text}, or a dump of MediaWiki (XML, or XML compressed by bzip2)";

/// Number of bytes that are looked at.
const LOOKED_AT: usize = 4096;

/// Finds the format of a file by its first bytes.
///
/// # Errors
/// Names another format that the file has.
pub fn format_of(path: &Path) -> Result<KnowledgeFormat, KnowledgeError> {
    let file = File::open(path).map_err(in_file(path))?;
    let mut start = Vec::with_capacity(LOOKED_AT);
    let mut reader = BufReader::new(file.take(LOOKED_AT as u64));
    reader.read_to_end(&mut start).map_err(in_file(path))?;
    let wrong = |problem: &str| KnowledgeError::Format {
        path: path.to_owned(),
        problem: problem.to_owned(),
    };
    if start.starts_with(b"SQLite format 3\0") {
        return Ok(KnowledgeFormat::Database);
    }
    if start.starts_with(b"BZh") {
        return Ok(KnowledgeFormat::CompressedDump);
    }
    if let Some(problem) = other_format(&start) {
        return Err(wrong(problem));
    }
    let text = start.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&start).trim_ascii_start();
    let lower: Vec<u8> = text.iter().take(LOOKED_AT).map(u8::to_ascii_lowercase).collect();
    let has = |needle: &[u8]| lower.windows(needle.len()).any(|window| window == needle);
    match text.first() {
        Some(b'<') if has(b"<mediawiki") => Ok(KnowledgeFormat::Dump),
        Some(b'<') if has(b"<html") || has(b"<!doctype html") => Err(wrong(
            "it is an HTML page, as a server sends instead of a missing file; download \
            the file again",
        )),
        Some(b'<') => Err(wrong(
            "it is XML, but no dump of MediaWiki, which begins with \
        `<mediawiki`",
        )),
        // JSON lines name the line of any other problem.
        Some(b'{' | b'[') | None => Ok(KnowledgeFormat::JsonLines),
        _ if start.contains(&0) => Err(wrong(&format!("its format is unknown; {EXPECTED}"))),
        _ => Err(wrong(&format!("it is text of another form; {EXPECTED}"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_content_tells_the_format() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("knowledge.db");
        let format = |bytes: &[u8]| {
            std::fs::write(&path, bytes).unwrap();
            format_of(&path)
        };
        assert_eq!(format(b"SQLite format 3\0...").unwrap(), KnowledgeFormat::Database);
        assert_eq!(format(b"BZh91AY&SY").unwrap(), KnowledgeFormat::CompressedDump);
        assert_eq!(format(b"<mediawiki xmlns=\"x\">").unwrap(), KnowledgeFormat::Dump);
        assert_eq!(format(b"<?xml?>\n<mediawiki>").unwrap(), KnowledgeFormat::Dump);
        assert_eq!(format(b"{\"title\": \"T\"}").unwrap(), KnowledgeFormat::JsonLines);
        assert_eq!(format(b"").unwrap(), KnowledgeFormat::JsonLines);
        for (bytes, said) in [
            (&b"<!DOCTYPE html><html>"[..], "it is an HTML page"),
            (b"\n<HTML><body>404", "it is an HTML page"),
            (b"<rss>", "it is XML, but no dump"),
            (b"\x1f\x8b\x08", "it is compressed (gzip)"),
            (b"PK\x03\x04", "it is a zip archive"),
            (b"\x7fELF\0\0", "its format is unknown"),
            (b"Oslo has trams.", "it is text of another form; expected an SQLite file"),
            (b"title,text\nOslo,x", "it is text of another form"),
            (b"version https://git-lfs", "it is a pointer of Git LFS"),
            (b"\xff\xfe{\0", "it is UTF-16 text"),
        ] {
            let error = format(bytes).unwrap_err().to_string();
            assert!(error.contains("knowledge.db: ") && error.contains(said), "{error}");
        }
    }
}
