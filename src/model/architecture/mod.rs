//! The decoder of the Llama family: what it is made of, and what it computes.

mod attention;
pub(in crate::model) mod config;
mod config_file;
mod known_fields;
mod linear;
mod number_format;
mod packed;
mod rotary;
mod transformer;

pub use config::{Architecture, ModelConfig, SlidingWindow};
pub use config_file::ConfigError;
pub use linear::{Dropout, Linear, LowRank};
pub use number_format::NumberFormat;
pub use packed::{Packed, Text};
pub use rotary::{Rotary, RotaryScaling, Yarn};
pub use transformer::{Block, Transformer, target_log_probabilities};

pub(in crate::model) use attention::{KeysAndValues, Positions, hidden_keys, visible_keys};
pub(in crate::model) use config_file::{remarks, tokens};
pub(in crate::model) use known_fields::is_nothing;
pub(in crate::model) use rotary::rotary_tables;
pub(in crate::model) use transformer::parameter;
