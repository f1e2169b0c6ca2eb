//! Where science meets engine: one file per kind of stage.

pub mod artifact;
mod backend;
mod classify;
mod command;
mod compare;
mod context;
mod diagnose;
mod evaluate;
mod extract;
mod facts;
pub mod guard;
mod import;
mod input_rows;
mod label_balance;
mod mine;
mod mine_atomic;
mod mix;
mod model_remarks;
mod optimisation;
mod preference_rows;
mod pretrain;
mod probe;
mod questions;
mod reference;
pub mod registry;
mod row_findings;
mod sample;
mod score;
mod shift;
#[cfg(test)]
mod trial;
mod tune;
mod tune_parameters;
mod verify;

pub use backend::{HostMemory, backend, gpus, host_memory, is_built_for_gpus};
pub use context::{Context, InputPath, Report, StageError};
pub use input_rows::check_input;
