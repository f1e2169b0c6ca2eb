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
}

impl Mismatch {
    /// An error: the stage cannot run.
    pub fn error(
        field: &'static str,
        problem: impl Into<String>,
        right: impl Into<String>,
    ) -> Self {
        Self { field, problem: problem.into(), right: right.into(), is_error: true }
    }

    /// A warning: the parameter is unused: `` `top_k` has no effect: ... ``.
    pub fn without_effect(field: &'static str, why: &str, right: impl Into<String>) -> Self {
        Self {
            field,
            problem: format!("`{field}` has no effect: {why}"),
            right: right.into(),
            is_error: false,
        }
    }
}
