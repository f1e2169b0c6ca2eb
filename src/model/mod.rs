//! The language model.

mod config;
mod transformer;

pub use config::{ConfigError, ModelConfig};
pub use transformer::{Block, Transformer, target_log_probabilities};
