//! What the user may ask: one file per command.

use std::process::ExitCode;

/// Reads the command line, does what it asks, and says how that went.
pub fn main() -> ExitCode {
    ExitCode::SUCCESS
}
