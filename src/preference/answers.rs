//! Responses with what they claim and whether it holds.

use crate::{
    rows::{Claim, Response, Verdict},
    verification::{JudgedClaim, TallyError, tallies},
};

/// Responses with claims and verdicts.
#[derive(Clone, Copy, Debug)]
pub struct Answers<'a> {
    /// The responses.
    pub responses: &'a [Response],
    /// What they claim.
    pub claims: &'a [Claim],
    /// Whether it holds.
    pub verdicts: &'a [Verdict],
}

impl<'a> Answers<'a> {
    /// The claims of each response with their verdicts.
    ///
    /// # Errors
    /// Fails where responses, claims and verdicts do not belong together.
    pub(super) fn judged(self) -> Result<Vec<Vec<JudgedClaim<'a>>>, TallyError> {
        tallies(self.responses, self.claims, self.verdicts)
    }
}
