//! Whether a claim holds.

mod agreement;
mod grammar;
mod part;
mod relevance;
mod statement;
mod talk;
mod tally;
mod verifier;

pub use relevance::is_checkable;
pub use tally::{Tally, TallyError, tallies};
pub use verifier::{Matching, verify};
