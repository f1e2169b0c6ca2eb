//! The language model.

mod config;
pub mod device;
mod tokenizer;
mod transformer;
mod weights;

pub use config::{ConfigError, ModelConfig};
pub use tokenizer::{BEGIN_TOKEN, END_TOKEN, PADDING_TOKEN, Tokenizer, TokenizerError};
pub use transformer::{Block, Transformer, target_log_probabilities};
pub use weights::WeightsError;
