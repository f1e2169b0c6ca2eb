//! Why a prompt or a completion could not be encoded.

use std::path::PathBuf;

use super::{ChatError, TokenizerError};

/// Why a prompt or a completion could not be encoded.
#[derive(Debug, thiserror::Error)]
pub enum EncodeError {
    /// The tokenizer failed, or its file is damaged.
    #[error(transparent)]
    Tokenizer(#[from] TokenizerError),
    /// The chat template failed, or there is none.
    #[error(transparent)]
    Chat(#[from] ChatError),
    /// The tokenizer has a token outside the model's vocabulary.
    #[error(
        "{path}: the token `{token}` has the id {number}, but the model of config.json has \
        {vocabulary} tokens: its embedding must be enlarged, or the tokenizer belongs to another \
        model",
        path = .path.display()
    )]
    Beyond {
        /// The tokenizer's file.
        path: PathBuf,
        /// The token.
        token: String,
        /// Its id.
        number: u32,
        /// The model's `vocab_size`.
        vocabulary: usize,
    },
    /// Prompt and completion are of different types.
    #[error(
        "the prompt is a {prompt}, but its completion is a {answer}; both must be of the same type"
    )]
    Mixed {
        /// Type of the prompt.
        prompt: &'static str,
        /// Type of the completion.
        answer: &'static str,
    },
}
