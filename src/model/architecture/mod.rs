//! The decoder of the Llama family: configuration and computation.

mod attention;
pub(in crate::model) mod config;
mod config_error;
mod config_fields;
mod config_file;
mod dropout;
mod initial_weights;
mod known_fields;
mod linear;
mod number_format;
mod packed;
mod rotary;
mod rotary_fields;
mod transformer;
mod window_fields;

pub use config::{Architecture, ModelConfig, SlidingWindow};
pub use config_error::ConfigError;
pub use dropout::Dropout;
pub use linear::{Linear, LowRank};
pub use number_format::NumberFormat;
pub use packed::{Packed, SharedPrefix};
pub use rotary::{Rotary, RotaryScaling, Yarn};
pub use transformer::{Block, Transformer, parameter, target_log_probabilities};

pub(in crate::model) use attention::{
    ComposedPositions, KeysAndValues, Positions, RotaryRows, key_positions,
};
pub(in crate::model) use config_fields::tokens;
pub(in crate::model) use config_file::remarks;
pub(in crate::model) use known_fields::is_nothing;
