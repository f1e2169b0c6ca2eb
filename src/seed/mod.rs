//! Where chance comes from: one root seed, split by name into streams that never depend on each other's use.

mod stream;

pub use stream::{Seed, Stream};
