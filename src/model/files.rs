//! Reading the files of model directories from any source.

use std::{
    fs::{self, File},
    io,
    path::Path,
};

/// The bytes of a regular file; opening a pipe would wait for its writer.
pub(super) fn read(path: &Path) -> io::Result<Vec<u8>> {
    // Opening a pipe would wait for its writer.
    if !fs::metadata(path)?.is_file() {
        return Err(io::Error::other("it is not a file"));
    }
    let bytes = fs::read(path)?;
    match placeholder(&bytes) {
        None => Ok(bytes),
        Some(found) => Err(io::Error::new(io::ErrorKind::InvalidData, found)),
    }
}

/// The text of a regular file, without byte order mark.
pub(super) fn read_text(path: &Path) -> io::Result<String> {
    let text = String::from_utf8(read(path)?)
        .map_err(|_| io::Error::new(io::ErrorKind::InvalidData, "it is not UTF-8 text"))?;
    // Editors on Windows write a byte order mark, which JSON does not allow.
    Ok(text.strip_prefix('\u{feff}').map(str::to_owned).unwrap_or(text))
}

/// The kind of placeholder in place of a file that was not downloaded.
pub(super) fn placeholder(bytes: &[u8]) -> Option<&'static str> {
    // Weights are large, and these placeholders tell in their first line what they are.
    let start = &bytes[..bytes.len().min(64)].to_ascii_lowercase();
    if start.starts_with(b"version https://git-lfs.github.com/spec/") {
        Some("it is a git-lfs pointer: run git lfs pull")
    } else if start.starts_with(b"# xet version") {
        Some("it is a git-xet pointer: run git xet pull")
    } else if start.starts_with(b"<!doctype html") || start.starts_with(b"<html") {
        Some("it is a web page: download the file itself")
    } else {
        None
    }
}

/// Copies a file's content with the permissions of a new file.
pub(super) fn copy(from: &Path, to: &Path) -> io::Result<()> {
    // `fs::copy` would copy the permissions too, and files of artifacts are read-only.
    io::copy(&mut File::open(from)?, &mut File::create(to)?).map(|_| ())
}
