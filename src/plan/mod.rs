//! What will be done: the recipe with everything resolved, as a graph. Pure: no file is opened here.

mod graph;

pub use graph::{Plan, PlannedInput, PlannedStage, Resources, Source};
