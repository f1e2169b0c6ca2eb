//! Generation of responses: batches, KV cache, sampling, stop strings.

mod answer;
mod batch;
mod error;
mod generate;
mod host_logits;
mod memory;
mod prepared;
mod row;
mod sampling;
mod shared;
mod stop;

pub use answer::{GeneratedAnswer, GenerationEvent, Request};
pub use error::GenerateError;
pub use generate::Generator;
pub use sampling::Sampling;
pub use stop::{EndOfLines, Stops};
