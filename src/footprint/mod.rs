//! Bytes of memory that training, scoring and generation need, from a model's sizes.

mod generation;
mod need;
mod scoring;
mod training;

pub use generation::GenerationMemory;
pub use need::{MemoryNeed, size_in_words};
pub use scoring::ScoringMemory;
pub use training::{PassSize, TrainingMemory};
