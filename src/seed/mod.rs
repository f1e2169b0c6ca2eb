//! Random numbers: one root seed, split by name into independent streams.

mod stream;

pub use stream::{Seed, Stream};
