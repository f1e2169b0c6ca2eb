//! Where science meets engine: one file per kind of stage.

pub mod artifact;
mod command;
mod context;
pub mod registry;

pub use context::{Context, InputPath, Report, StageError};
