//! Where science meets engine: one file per kind of stage.

pub mod artifact;
mod compare;
mod context;
mod extract;
mod facts;
mod mine;
pub mod registry;
mod score;
#[cfg(test)]
mod trial;
mod verify;

pub use context::{Context, InputPath, Report, StageError};
