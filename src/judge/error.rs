//! Why a model cannot be asked.

use crate::model::{EncodeError, TokenizerError};

/// Why a model cannot be asked.
#[derive(Debug, thiserror::Error)]
pub enum JudgeError {
    /// The answers do not differ in their first token.
    #[error(
        "the tokenizer begins `True` and `False` with the same tokens, so that the model's next \
        token cannot tell them apart"
    )]
    SameTokens,
    /// A prompt cannot be encoded.
    #[error("the prompt of a claim cannot be encoded: {0}")]
    Encode(#[from] EncodeError),
    /// The tokenizer failed.
    #[error("{0}")]
    Tokenizer(#[from] TokenizerError),
    /// A claim fills the context.
    #[error(
        "the claim `{claim}` leaves no room for passages: it takes {tokens} tokens with the \
        prompt, and the model's context is {longest} tokens"
    )]
    TooLong {
        /// The beginning of the claim.
        claim: String,
        /// Tokens of its prompt without passages.
        tokens: usize,
        /// The model's context.
        longest: usize,
    },
    /// The model's numbers are not finite.
    #[error(
        "the model's logits of the claim `{0}` are not numbers: its weights are damaged, or \
        `verifier_dtype` is too narrow for them"
    )]
    NotFinite(String),
    /// The device failed.
    #[error("{0}")]
    Device(String),
}
