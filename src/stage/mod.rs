//! Kinds of stage, one file each.

mod agree;
mod asked;
mod calibrate;
mod classify;
mod combine;
pub(crate) mod command;
mod compare;
pub(crate) mod diagnose;
mod evaluate;
mod extract;
pub(crate) mod facts;
pub(crate) mod import;
pub(crate) mod knowledge;
mod labels;
pub(crate) mod mine;
mod mine_atomic;
mod mix;
pub(crate) mod pretrain;
mod probe;
mod questions;
pub(crate) mod reference;
pub mod registry;
#[cfg(test)]
mod reordered;
mod retrieve;
pub(crate) mod sample;
pub(crate) mod score;
mod settled;
pub(crate) mod shift;
#[cfg(test)]
mod streamed;
pub(crate) mod tune;
mod verifiers;
mod verify;

pub use asked::{asks_endpoint, endpoint_calls, usual_calls};
pub use pretrain::least_memory;
