//! Questions to a local model: whether passages support a claim.

mod answers;
mod error;
mod local_model;

pub use error::JudgeError;
pub use local_model::{BATCH_PARAMETER, ClaimWithPassages, Judge, JudgedUnit};
