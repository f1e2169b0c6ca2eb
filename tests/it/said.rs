//! Output of the program, shared by all tests that run it.

use std::process::Output;

use serde_json::Value;

/// JSON value on stdout, or null for text.
pub(crate) fn json(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout).unwrap_or_default()
}

/// Text output: stderr, and stdout unless it is JSON.
pub(crate) fn words(output: &Output) -> String {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    let result = if json(output).is_null() { text(&output.stdout) } else { String::new() };
    text(&output.stderr) + &result
}
