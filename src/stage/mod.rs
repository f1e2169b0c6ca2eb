//! Where science meets engine: one file per kind of stage.

pub mod artifact;
mod command;
mod context;
mod optimisation;
pub mod pretrain;
pub mod registry;
pub mod tune;

pub use context::{Context, InputPath, Report, StageError};
