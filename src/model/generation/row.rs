//! A response during generation.

use super::answer::GeneratedAnswer;
use crate::seed::Stream;

/// A response during generation.
pub(super) struct GeneratedRow {
    pub(super) answer: GeneratedAnswer,
    pub(super) stream: Stream,
    /// Tokens of prompt and response, if the repetition penalty needs them.
    pub(super) seen: Vec<u32>,
    /// Position of its last token.
    pub(super) position: usize,
    /// Its maximum number of tokens.
    pub(super) limit: usize,
    pub(super) has_ended: bool,
}

impl GeneratedRow {
    pub(super) fn last_token(&self) -> u32 {
        *self.answer.tokens.last().expect("a response's first token is drawn when it begins")
    }
}
