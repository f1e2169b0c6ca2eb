//! What will be done: the recipe with everything resolved, as a graph. Pure: no file is opened here.

mod fingerprint;
mod graph;

pub use fingerprint::{Fingerprint, FingerprintInput, differences};
pub use graph::{Plan, PlannedInput, PlannedStage, Resources, Source};
