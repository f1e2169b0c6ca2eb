//! Text to tokens and back, and messages to text.

mod chat;
mod encode;
mod jinja;
mod loops;
#[cfg(test)]
mod recorded;
mod settings;
mod spans;
mod tokenizer;

pub use chat::{ChatError, ChatTemplate};
pub use encode::{EncodeError, EncodedPair, Encoder};
pub use tokenizer::{BEGIN_TOKEN, END_TOKEN, PADDING_TOKEN, Tokenizer, TokenizerError};
