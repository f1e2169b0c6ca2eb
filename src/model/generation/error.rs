//! Why generation failed.

use crate::model::text::TokenizerError;

/// Why generation failed.
#[derive(Debug, thiserror::Error)]
pub enum GenerateError {
    /// The prompt has no tokens.
    #[error("the prompt `{0}` has no tokens, and the tokenizer adds no BOS")]
    EmptyPrompt(String),
    /// The prompt leaves no room for a response.
    #[error(
        "the prompt `{id}` has {length} tokens, but the model's context is {longest} tokens, \
        response included"
    )]
    PromptTooLong {
        /// The prompt.
        id: String,
        /// Its length in tokens.
        length: usize,
        /// The model's `max_position_embeddings`.
        longest: usize,
    },
    /// A token outside the vocabulary.
    #[error(
        "the prompt `{id}` has the token {token}, but the model's vocabulary has {vocabulary}: \
        the tokenizer belongs to another model"
    )]
    UnknownToken {
        /// The prompt.
        id: String,
        /// The token.
        token: u32,
        /// The model's `vocab_size`.
        vocabulary: usize,
    },
    /// The logits are not finite.
    #[error(
        "after the prompt `{0}` the model's logits are NaN: its weights are damaged or its \
        training diverged"
    )]
    NotANumber(String),
    /// Even the smallest batch does not fit.
    #[error(
        "{0}, even for {1} concurrent responses; lower `max_new_tokens`, or use a smaller model or \
        `dtype`"
    )]
    OutOfMemory(String, usize),
    /// The device failed.
    #[error("the device failed: {0}")]
    Device(String),
    /// The tokenizer failed in the search for stop strings.
    #[error(transparent)]
    Text(#[from] TokenizerError),
}
