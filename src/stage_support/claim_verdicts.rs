//! The claims of responses with their verdicts, read along with the responses.

use crate::{
    context::{Context, StageError},
    rows::{Claim, Response, Row, RowGroups, RowsById, Verdict},
    verification::{ClaimVerdict, TallyError, VerifiedResponse},
};

/// Reads the inputs `claims` and `verdicts`. In the order in which stages write them, the claims of
/// one response are in memory.
pub struct ClaimVerdicts {
    claims: RowGroups<Claim>,
    verdicts: RowsById<Verdict>,
    /// What the stage does with them, for errors.
    purpose: &'static str,
}

impl ClaimVerdicts {
    /// Opens both inputs. An error says that the stage cannot do this.
    ///
    /// # Errors
    /// If an input was not given, a claim is invalid, or an id occurs twice.
    pub fn open(context: &Context, purpose: &'static str) -> Result<Self, StageError> {
        let claims = RowGroups::open(&context.input_file("claims", "claims.jsonl")?)
            .map_err(StageError::doing("read the claims"))?;
        let verdicts = RowsById::open(&context.input_file("verdicts", "verdicts.jsonl")?)
            .map_err(StageError::doing("read the verdicts"))?;
        Ok(Self { claims, verdicts, purpose })
    }

    /// The number of all claims.
    pub fn claims(&self) -> usize {
        self.claims.rows()
    }

    /// The claims of a response, which is asked for once.
    ///
    /// # Errors
    /// If a verdict is invalid or missing, or a span does not fit the response.
    pub fn of(&mut self, response: &Response) -> Result<Vec<ClaimVerdict>, StageError> {
        let claims = self.claims.of(response.id());
        let claims = claims.map_err(StageError::doing("read the claims"))?;
        let mut found = Vec::with_capacity(claims.len());
        for claim in claims {
            let verdict = self.verdicts.get(claim.id());
            let verdict = verdict.map_err(StageError::doing("read the verdicts"))?;
            let judged = ClaimVerdict::new(claim, verdict, response);
            found.push(judged.map_err(StageError::doing(self.purpose))?);
        }
        Ok(found)
    }

    /// A response with its claims.
    ///
    /// # Errors
    /// As [`Self::of`].
    pub fn verified(&mut self, response: Response) -> Result<VerifiedResponse, StageError> {
        let claims = self.of(&response)?;
        Ok(VerifiedResponse { response, claims })
    }

    /// Checks that all of them belong to the responses that were asked for.
    ///
    /// # Errors
    /// Names a claim of another response, or a verdict on another claim.
    pub fn finish(self) -> Result<(), StageError> {
        let Self { claims, verdicts, purpose } = self;
        // Before the verdicts, which would be left with their claim.
        let claim = claims.left().map_err(StageError::doing("read the claims"))?;
        let problem = claim.map(|claim| TallyError::UnknownResponse(claim.id, claim.response_id));
        if let Some(problem) = problem {
            return Err(StageError::doing(purpose)(problem));
        }
        let verdict = verdicts.left().map_err(StageError::doing("read the verdicts"))?;
        match verdict.map(|verdict| TallyError::UnknownClaim(verdict.claim_id)) {
            Some(problem) => Err(StageError::doing(purpose)(problem)),
            None => Ok(()),
        }
    }
}
