//! An answer that is being written.

use super::generate::Answer;
use crate::seed::Stream;

/// An answer that is being written.
pub(super) struct Row {
    pub(super) answer: Answer,
    pub(super) stream: Stream,
    /// The tokens of prompt and answer, where a repetition penalty asks for them.
    pub(super) seen: Vec<u32>,
    /// Where its last token goes.
    pub(super) position: usize,
    /// The most tokens that it may have.
    pub(super) limit: usize,
    pub(super) has_ended: bool,
}

impl Row {
    pub(super) fn last_token(&self) -> u32 {
        *self.answer.tokens.last().expect("an answer's first token is drawn when it begins")
    }
}
