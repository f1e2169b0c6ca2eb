//! Reading the files of model directories, which come from anywhere.

use std::{
    fs::{self, File},
    io,
    path::Path,
};

/// The bytes of a regular file; opening a pipe would wait for its writer for ever.
pub(super) fn read(path: &Path) -> io::Result<Vec<u8>> {
    if !fs::metadata(path)?.is_file() {
        return Err(io::Error::other("it is not a file"));
    }
    let bytes = fs::read(path)?;
    match placeholder(&bytes) {
        None => Ok(bytes),
        Some(found) => Err(io::Error::new(io::ErrorKind::InvalidData, found)),
    }
}

/// The text of a regular file, without the mark that some editors put before it.
pub(super) fn read_text(path: &Path) -> io::Result<String> {
    let text = String::from_utf8(read(path)?)
        .map_err(|_| io::Error::new(io::ErrorKind::InvalidData, "it is not UTF-8 text"))?;
    Ok(text.strip_prefix('\u{feff}').map(str::to_owned).unwrap_or(text))
}

/// What stands in a file's place where it was not downloaded.
pub(super) fn placeholder(bytes: &[u8]) -> Option<&'static str> {
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

/// Copies what a file says, not who may read it: the copy has the modes of any new file.
pub(super) fn copy(from: &Path, to: &Path) -> io::Result<()> {
    io::copy(&mut File::open(from)?, &mut File::create(to)?).map(|_| ())
}
