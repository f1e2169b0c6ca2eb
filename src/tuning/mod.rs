//! How training changes a model: from scratch on documents, or on preferences against a frozen start.

mod alarms;
mod answered;
mod backward;
mod checkpoint;
mod clipping;
mod dashboard;
mod documents;
mod facts;
mod held_out;
mod learning;
mod likelihood;
mod loader;
mod measurement;
mod moving;
mod objective;
mod preference;
mod reference;
mod rows;
mod schedule;
mod shift;
mod task;
mod trainer;

pub use answered::{Answered, Savings};
pub use backward::Tape;
pub use dashboard::Dashboard;
pub use documents::DocumentBatches;
pub use held_out::HeldOut;
pub use likelihood::log_probabilities;
pub use objective::{ALGORITHMS, Algorithm, Divergence, Objective, ObjectiveError, Setting, algorithms_table};
pub use preference::{Mismatch, Modifiers, MovingReference, NllMean, Preference, Reference};
pub use reference::{ReferenceRow, reference};
pub use rows::{RowBatches, TokenAnswer, TokenFact, TokenPreference, TokenRow};
pub use schedule::{Decay, Schedule};
pub use shift::shift;
pub use task::Task;
pub use trainer::{Batches, Microbatch, News, Optimisation, Training, TrainingError, train};
