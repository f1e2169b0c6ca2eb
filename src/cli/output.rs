//! What commands write: results to stdout, everything that is said to people to stderr.

use std::io::{self, ErrorKind, Write};

use anyhow::Context as _;

/// Says a line on stderr, in which nothing is left that a terminal would obey. Where nobody can read it (a closed pipe, a
/// full disk), the command goes on: `eprintln!` would panic.
macro_rules! say {
    ($($words:tt)*) => {
        $crate::cli::output::say_text(&($crate::diagnostic::printable(&format!($($words)*)).into_owned() + "\n"))
    };
}

/// Says a text on stderr in one piece, as [`say!`] does a line.
pub(super) fn say_text(text: &str) {
    let _ = io::stderr().write_all(text.as_bytes());
}

/// Puts a machine-readable value on stdout.
///
/// # Errors
/// Where stdout cannot be written, as on a full disk.
pub(super) fn print_json(value: &impl serde::Serialize) -> anyhow::Result<()> {
    print_text(&(serde_json::to_string(value)? + "\n"))
}

/// Puts a text on stdout. Whoever has stopped reading wants no more of it: that is no error, and changes no exit status.
///
/// # Errors
/// Where stdout cannot be written, as on a full disk.
pub(super) fn print_text(text: &str) -> anyhow::Result<()> {
    let mut output = io::stdout().lock();
    match output.write_all(text.as_bytes()).and_then(|()| output.flush()) {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
        written => written.context("cannot write to stdout"),
    }
}
