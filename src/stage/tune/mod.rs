//! The kind `tune`: tunes a model on preferences.

mod foreign;
mod memory;
mod parameters;
mod run;
mod settings;

pub(crate) use parameters::{KIND, Parameters};
pub(crate) use run::{beyond_layers, check_targets, run};
