//! Hugging Face directories: reading and writing models and adapters under transformers' and PEFT's
//! names.

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
mod reading;
mod save;
mod tensors;
mod weight_files;

pub use adapter::Adapter;
pub use adapter_config::{AdapterConfig, Targets};
pub use companions::copy_companions;
pub use error::WeightsError;
pub use generation_config::generation_settings;
pub use names::NamedTensor;
pub use save::LARGEST_FILE;

pub(in crate::model) use layout::{EMBEDDING, expected_tensors};
pub(in crate::model) use save::{write_configs, write_text, write_weights};
pub(in crate::model) use tensors::{map, release};

#[cfg(test)]
pub(in crate::model) use load::tests;
