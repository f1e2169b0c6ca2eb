//! Answers of a model: drawn token by token, many at once.

mod batch;
mod generate;
mod memory;
mod row;
mod sampling;
mod stop;

pub use generate::{Answer, Event, GenerateError, Generator, Request};
pub use sampling::Sampling;
pub use stop::Stops;
