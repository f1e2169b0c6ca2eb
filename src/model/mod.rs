//! The language model.

mod config;
mod device;
mod generate;
mod memory;
mod sampling;
pub mod speed;
mod tokenizer;
mod transformer;
mod weights;

pub use config::{ConfigError, ModelConfig};
pub use device::{DeviceError, device};
pub use generate::{Answer, GenerateError, Generator, Request};
pub use sampling::Sampling;
pub use tokenizer::{BEGIN_TOKEN, END_TOKEN, PADDING_TOKEN, Tokenizer, TokenizerError};
pub use transformer::{Block, Transformer, target_log_probabilities};
pub use weights::WeightsError;
