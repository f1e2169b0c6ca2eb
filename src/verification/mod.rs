//! Verification of claims against the knowledge.

mod agreement;
mod grammar;
mod part;
mod quantity;
mod statement;
mod tally;
mod verifier;
mod words;

pub use crate::facts::is_checkable;
pub use tally::{ClaimVerdict, JudgedClaim, Tally, TallyError, VerifiedResponse, tallies};
pub use verifier::{Matching, verify, verify_on_page};
pub use words::{Coefficients, FEATURES, Features, WordsVerifier, stems};
