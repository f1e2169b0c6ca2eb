//! What will be done: the recipe with everything resolved, as a graph. Pure: no file is opened here.

mod common;
mod difference;
mod draw;
#[cfg(test)]
mod example;
mod expand;
mod fingerprint;
mod graph;
mod order;
mod resolved;
mod select;
mod settle;
mod space;
mod unit;

pub use difference::differences;
pub use expand::plan;
pub use fingerprint::{Content, Fingerprint, FingerprintInput};
pub use graph::{Plan, PlannedInput, PlannedStage, Resources, Source};
