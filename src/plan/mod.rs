//! The recipe with everything resolved, as a graph. Pure: no file is opened here.

mod arms;
mod difference;
mod draw;
mod execution_options;
mod executor_settings;
mod expand;
mod fingerprint;
mod graph;
mod order;
mod resolve;
mod resolved;
mod select;
mod space;
mod tables;
#[cfg(test)]
mod test_support;
mod unit;
mod unnamed;

pub use difference::differences;
pub use executor_settings::{ExecutorName, ExecutorSettings, JobSettings};
pub use expand::{plan, plan_without_text};
pub use fingerprint::{Fingerprint, FingerprintInput, InputContent};
pub use graph::{InputSource, Plan, PlannedInput, PlannedStage, Resources};
