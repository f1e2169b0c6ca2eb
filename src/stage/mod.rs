//! Where science meets engine: one file per kind of stage.

pub mod artifact;
mod context;
mod import;
pub mod registry;
mod sample;

pub use context::{Context, InputPath, Report, StageError};
