//! Failed checks of fields together.

/// A failed check of a parameter or input.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mismatch {
    /// Parameter or input.
    pub field: &'static str,
    /// The problem: `` `hidden_size` 100 is not an even multiple of `num_attention_heads` 3 ``.
    pub problem: String,
    /// The fix, in a few words.
    pub right: String,
    /// Whether the stage cannot run; otherwise the parameter is unused.
    pub is_error: bool,
    /// Whether the line of the field is not shown, since its value may be secret.
    pub is_secret: bool,
}

impl Mismatch {
    /// An error: the stage cannot run.
    pub fn error(
        field: &'static str,
        problem: impl Into<String>,
        right: impl Into<String>,
    ) -> Self {
        let (problem, right) = (problem.into(), right.into());
        Self { field, problem, right, is_error: true, is_secret: false }
    }

    /// An error in a value that may be secret: its place is told, and its line is not shown.
    pub fn secret(field: &'static str, problem: impl Into<String>, right: &str) -> Self {
        Self { is_secret: true, ..Self::error(field, problem, right) }
    }

    /// A warning: the parameter is unused: `` `top_k` has no effect: ... ``.
    pub fn without_effect(field: &'static str, why: &str, right: impl Into<String>) -> Self {
        Self {
            field,
            problem: format!("`{field}` has no effect: {why}"),
            right: right.into(),
            is_error: false,
            is_secret: false,
        }
    }
}
