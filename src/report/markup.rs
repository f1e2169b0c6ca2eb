//! Pieces of a page: links to files of the store, and texts with code in backticks.

use std::path::{Component, Path, PathBuf};

use maud::{Markup, html};

use super::history::{History, StageHistory};

/// A link to the folder of a stage's artifact; plain text where there is none.
pub(super) fn stage_link(history: &History, stage: &StageHistory) -> Markup {
    let words = html! { code { (stage.name()) } };
    match &stage.artifact {
        Some(artifact) => html! { a href=(address(&history.folder, artifact)) { (words) } },
        None => words,
    }
}

/// A link to a file of a stage, if it has it.
pub(super) fn file_link(history: &History, stage: &StageHistory, file: &str) -> Markup {
    html! {
        @if let Some(path) = stage.file(file) {
            a href=(address(&history.folder, &path)) { (file) }
        }
    }
}

/// A text in which backticks mark code.
pub(super) fn prose(text: &str) -> Markup {
    // An odd number of backticks marks nothing.
    let is_marked = text.matches('`').count().is_multiple_of(2);
    html! {
        @if is_marked {
            @for (index, piece) in text.split('`').enumerate() {
                @if index % 2 == 1 { code { (piece) } } @else { (piece) }
            }
        } @else { (text) }
    }
}

/// Address of a file as seen from a page in a folder; both paths are absolute.
fn address(folder: &Path, file: &Path) -> String {
    let file = std::path::absolute(file).unwrap_or_else(|_| file.to_owned());
    encoded(&relative(folder, &file).to_string_lossy())
}

/// The way from a folder to a file, so that links hold where a project is moved as a whole.
fn relative(folder: &Path, file: &Path) -> PathBuf {
    let common = folder.components().zip(file.components()).take_while(|(one, other)| one == other);
    let common = common.count();
    let up = folder.components().skip(common).map(|_| Component::ParentDir);
    up.chain(file.components().skip(common)).collect()
}

/// A path in which no character has a meaning in addresses.
fn encoded(path: &str) -> String {
    let mut encoded = String::new();
    for byte in path.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'/' | b'.' | b'-' | b'_' | b'~' => {
                encoded.push(char::from(byte));
            }
            byte => encoded.push_str(&format!("%{byte:02X}")),
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_are_relative_and_escaped() {
        let folder = Path::new("/p/experiments/quick/2026");
        let file = Path::new("/p/cache/v1/artifacts/ab/abc/files/50 % + é.csv");
        assert_eq!(
            address(folder, file),
            "../../../cache/v1/artifacts/ab/abc/files/50%20%25%20%2B%20%C3%A9.csv"
        );
        assert_eq!(address(folder, Path::new("/p/experiments/quick/2026/a")), "a");
    }

    #[test]
    fn backticks_are_code() {
        assert_eq!(prose("raise `beta` <").into_string(), "raise <code>beta</code> &lt;");
        assert_eq!(prose("a ` b").into_string(), "a ` b");
    }
}
