//! Passages for a claim: those given, or retrieved from the knowledge as the kind `retrieve` does
//! with its defaults.

use crate::{
    context::StageError,
    knowledge::{Knowledge, RetrievalSettings},
    rows::{Claim, RetrievedPassages, Row, RowsById},
    stage::settled::settle_pages,
};

use super::task::VerifyTask;

/// Where passages are from.
pub(super) enum PassageSource {
    /// Rows of the input `passages`, read along with the claims.
    Given(Box<RowsById<RetrievedPassages>>),
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
            let rows = RowsById::open(&context.input_file("passages", "passages.jsonl")?);
            return Ok(Self::Given(Box::new(rows.map_err(StageError::doing(READING))?)));
        }
        let knowledge = task.knowledge()?;
        settle_pages(context, &knowledge)?;
        Ok(Self::Knowledge(Box::new(knowledge), settings))
    }

    /// The passages for a claim, which is asked for once.
    ///
    /// # Errors
    /// If passages or knowledge cannot be read, or the claim has no row of passages.
    pub(super) fn passages(&mut self, claim: &Claim) -> Result<RetrievedPassages, StageError> {
        match self {
            Self::Given(rows) => {
                let found = rows.get(claim.id()).map_err(StageError::doing(READING))?;
                found.ok_or_else(|| {
                    StageError(format!(
                        "the claim `{}` has no passages; give the passages of these claims",
                        claim.id
                    ))
                })
            }
            Self::Knowledge(knowledge, settings) => {
                knowledge.retrieve(claim, settings).map_err(StageError::doing("read the knowledge"))
            }
        }
    }

    /// Reads the passages of other claims, which may stand behind.
    ///
    /// # Errors
    /// If one of them is invalid.
    pub(super) fn finish(self) -> Result<(), StageError> {
        match self {
            Self::Given(rows) => rows.left().map(drop).map_err(StageError::doing(READING)),
            Self::Knowledge(..) => Ok(()),
        }
    }
}

const READING: &str = "read the passages";
