//! Names in recipes.

use crate::diagnostic::Problem;

/// Valid top-level keys.
pub(super) const TOP_LEVEL: [&str; 9] =
    ["name", "extends", "seeds", "matrix", "defaults", "endpoint", "executor", "remote", "stage"];

/// Longest name in bytes, since names become file names.
const LONGEST_NAME: usize = 200;

/// Whether a name is valid in file names and within other names.
pub fn is_plain_name(name: &str) -> bool {
    let right = |letter: char| letter.is_alphanumeric() || "-_.+".contains(letter);
    !name.is_empty()
        && name.len() <= LONGEST_NAME
        && !name.starts_with('.')
        && name.chars().all(right)
}

/// What is expected of a name.
pub(super) const PLAIN_NAME: &str = "letters, digits, `-`, `_`, `+` and `.` are expected";

/// The problem of an invalid name.
pub(super) fn name_problem(name: &str, what: &str) -> Problem {
    if name.len() > LONGEST_NAME {
        Problem::error(format!(
            "{what} has a name of {} bytes; at most {LONGEST_NAME} are possible",
            name.len()
        ))
    } else {
        Problem::error(format!("`{name}` cannot be {what}'s name"))
    }
}
