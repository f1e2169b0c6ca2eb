//! Training: from scratch on documents, or on preferences against a frozen reference model.

mod alarms;
mod backward;
mod checkpoint;
mod clipping;
#[cfg(feature = "dashboard")]
mod dashboard;
mod documents;
mod frozen;
mod likelihood;
mod loader;
mod measurement;
mod metric;
mod moving;
mod objective;
mod preference;
mod protocol;
mod reference;
mod replicas;
mod rows;
mod schedule;
mod scorer;
mod shared_model;
mod shared_pass;
mod shift;
mod start_check;
mod state;
mod task;
#[cfg(test)]
mod test_support;
mod tokenized;
mod trainable;
mod trainer;
mod transfer;

pub use backward::GradientCheckpointing;
#[cfg(feature = "dashboard")]
pub use dashboard::Dashboard;
pub use documents::DocumentBatches;
pub use frozen::{FreezeError, Frozen};
pub use likelihood::log_probabilities;
pub use metric::TrainMetric;
pub use objective::{
    ALGORITHMS, Algorithm, Divergence, Objective, ObjectiveError, Setting, algorithms_table,
};
pub use preference::{HeldOut, KlPairs, Modifiers, MovingReference, NllReduction, Preference};
pub use protocol::{Batches, Microbatch, Optimisation, TrainEvent};
pub use reference::{ReferenceLogProbs, ReferenceRow, reference};
pub use replicas::Replicas;
pub use rows::{RowBatches, TokenAnswer, TokenFact, TokenPreference, TokenRow, Truncation};
pub use schedule::{Decay, Schedule};
pub use shared_model::SharedModel;
pub use shift::BaseAndTuned;
pub use task::Task;
pub use tokenized::{ComputeOptions, LOGITS_BYTES, TokenizedExample};
pub use trainer::{Training, TrainingError, train};
