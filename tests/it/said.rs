//! Output of the program, shared by all tests that run it.

use std::{
    path::Path,
    process::{Command, Output, Stdio},
};

use serde_json::Value;

/// Output of the program in a folder, without settings of the caller's environment.
pub(crate) fn apeft(folder: &Path, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_apeft"))
        .args(arguments)
        .current_dir(folder)
        .env_remove("APEFT_CACHE")
        .env_remove("RUST_LOG")
        .stdin(Stdio::null())
        .output()
        .unwrap()
}

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
