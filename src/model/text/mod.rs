//! Tokenizers and chat templates.

mod calls;
mod chat;
mod encode;
mod error;
mod filters;
mod jinja;
mod loops;
mod notation;
mod python;
#[cfg(test)]
mod recorded;
mod settings;
mod spans;
mod tokenizer;

pub use chat::{ChatError, ChatTemplate};
pub use encode::{EncodedPair, Encoder};
pub use error::EncodeError;
pub use tokenizer::{BEGIN_TOKEN, END_TOKEN, PADDING_TOKEN, Tokenizer, TokenizerError};
