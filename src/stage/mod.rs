//! Where science meets engine: one file per kind of stage.

pub mod artifact;
mod command;
mod compare;
mod context;
mod diagnose;
mod evaluate;
mod extract;
mod facts;
mod import;
mod mine;
mod optimisation;
mod preference_rows;
mod pretrain;
mod reference;
pub mod registry;
mod sample;
mod score;
mod shift;
#[cfg(test)]
mod trial;
mod tune;
mod verify;

pub use context::{Context, InputPath, Report, StageError};
