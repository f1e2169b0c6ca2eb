//! Whether a claim holds.

mod relevance;
mod tally;
mod verifier;

pub use relevance::is_checkable;
pub use tally::{Tally, TallyError, tallies};
pub use verifier::{Matching, verify};
