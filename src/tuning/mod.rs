//! How training changes a model: from scratch on documents, or on preferences against a frozen start.

mod checkpoint;
mod clipping;
mod dashboard;
mod documents;
mod learning;
mod likelihood;
mod loader;
mod measurement;
mod objective;
mod pairs;
mod schedule;
mod sequences;
mod task;
mod trainer;

pub use dashboard::Dashboard;
pub use documents::DocumentBatches;
pub use likelihood::log_probabilities;
pub use objective::{Algorithm, Objective, ObjectiveError};
pub use pairs::{PairBatches, TokenPair};
pub use schedule::{Decay, Schedule};
pub use sequences::Example;
pub use task::{Preference, Task};
pub use trainer::{Batches, Microbatch, News, Optimisation, Training, TrainingError, train};
