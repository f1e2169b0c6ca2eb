//! Hugging Face directories: models and adapters in and out, under transformers' and PEFT's names.

mod adapter;
mod adapter_config;
mod adapter_remarks;
mod companions;
mod error;
mod foreign;
mod generation_config;
mod layout;
mod load;
mod names;
mod save;
mod tensors;

pub use adapter::Adapter;
pub use adapter_config::{AdapterConfig, Targets};
pub use companions::copy_companions;
pub use error::WeightsError;
pub use generation_config::generation_settings;
pub use names::NamedTensor;
pub use save::LARGEST_FILE;

#[cfg(test)]
pub(in crate::model) use load::tests;
