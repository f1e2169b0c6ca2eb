//! Output: results to stdout, messages to stderr.

use std::io::{self, ErrorKind, Write};

use anyhow::Context as _;

use crate::diagnostic::printable;

/// Prints a line to stderr with control characters escaped. Write errors (closed pipe, full disk)
/// are ignored, where `eprintln!` would panic.
macro_rules! say {
    ($($words:tt)*) => {
        $crate::cli::output::say_text(&$crate::cli::output::line(&format!($($words)*)))
    };
}

/// Prints a line of a result to stdout with control characters escaped; fails as [`print_text`]
/// does.
macro_rules! print_line {
    ($($words:tt)*) => {
        $crate::cli::output::print_text(&$crate::cli::output::line(&format!($($words)*)))
    };
}

/// A line in which no name of a recipe or file commands the terminal.
pub(super) fn line(text: &str) -> String {
    printable(text).into_owned() + "\n"
}

/// Prints a text to stderr as [`say!`] does a line.
pub(super) fn say_text(text: &str) {
    let _ = io::stderr().write_all(text.as_bytes());
}

/// Prints a JSON value to stdout.
///
/// # Errors
/// If stdout cannot be written, e.g. on a full disk.
pub(super) fn print_json(value: &impl serde::Serialize) -> anyhow::Result<()> {
    print_text(&(serde_json::to_string(value)? + "\n"))
}

/// Prints a text to stdout. A closed pipe is no error: its reader has seen enough.
///
/// # Errors
/// If stdout cannot be written, e.g. on a full disk.
pub(super) fn print_text(text: &str) -> anyhow::Result<()> {
    let mut output = io::stdout().lock();
    // Flushed here, where an error still changes the exit status.
    match output.write_all(text.as_bytes()).and_then(|()| output.flush()) {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
        written => written.context("cannot write to stdout"),
    }
}
