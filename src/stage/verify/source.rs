//! Passages for a claim: those given, or retrieved from the knowledge as the kind `retrieve` does
//! with its defaults.

use std::{borrow::Cow, collections::BTreeMap};

use crate::{
    context::StageError,
    knowledge::{Knowledge, RetrievalSettings},
    rows::{Claim, ClaimId, RetrievedPassages},
};

use super::task::VerifyTask;

/// Where passages are from.
pub(super) enum PassageSource {
    /// Rows of the input `passages`.
    Given(BTreeMap<ClaimId, RetrievedPassages>),
    /// The input `knowledge`.
    Knowledge(Box<Knowledge>, RetrievalSettings),
}

impl PassageSource {
    /// Opens the input that is given. Knowledge is searched with these settings.
    ///
    /// # Errors
    /// If it cannot be read.
    pub(super) fn open(
        task: &VerifyTask<'_>,
        settings: RetrievalSettings,
    ) -> Result<Self, StageError> {
        let context = task.context;
        if context.inputs("passages").next().is_some() {
            let rows: Vec<RetrievedPassages> = context.rows("passages")?;
            let by_claim = rows.into_iter().map(|row| (row.claim_id.clone(), row));
            return Ok(Self::Given(by_claim.collect()));
        }
        let knowledge = task.knowledge()?;
        knowledge.settle_pages(task.claims).map_err(StageError::doing("read the knowledge"))?;
        Ok(Self::Knowledge(Box::new(knowledge), settings))
    }

    /// The passages for a claim.
    ///
    /// # Errors
    /// If the knowledge cannot be read, or the claim has no row of passages.
    pub(super) fn passages(&self, claim: &Claim) -> Result<Cow<'_, RetrievedPassages>, StageError> {
        match self {
            Self::Given(rows) => rows.get(&claim.id).map(Cow::Borrowed).ok_or_else(|| {
                StageError(format!(
                    "the claim `{}` has no passages; give the passages of these claims",
                    claim.id
                ))
            }),
            Self::Knowledge(knowledge, settings) => knowledge
                .retrieve(claim, settings)
                .map(Cow::Owned)
                .map_err(StageError::doing("read the knowledge")),
        }
    }
}
