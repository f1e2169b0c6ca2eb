//! What each way of verifying works on.

use std::fs;

use crate::{
    context::{Context, StageError},
    knowledge::Knowledge,
    prompting::ClaimQuestion,
    rows::{Claim, FactLabel, Verdict},
    stage_support::missing_pages::MissingPages,
};

use super::decision::DecisionRule;

/// Claims to be verified.
pub(super) struct VerifyTask<'a> {
    /// The attempt.
    pub(super) context: &'a Context,
    /// The claims.
    pub(super) claims: &'a [Claim],
    /// How verdicts follow from log-odds.
    pub(super) rule: DecisionRule,
}

/// Number of claims between two progress reports.
const STRIDE: usize = 500;

impl VerifyTask<'_> {
    /// Reports progress now and then, before this claim.
    pub(super) fn before(&self, index: usize) {
        if index.is_multiple_of(STRIDE) {
            self.context.progress(index as u64, self.claims.len() as u64, "claims");
        }
    }

    /// Opens the input `knowledge`, and warns of what it lacks.
    ///
    /// # Errors
    /// If it cannot be read.
    pub(super) fn knowledge(&self) -> Result<Knowledge, StageError> {
        let knowledge = Knowledge::open(self.context.input("knowledge")?)
            .map_err(StageError::doing("open the knowledge"))?;
        let reading = StageError::doing("read the knowledge");
        let summary = knowledge.summary().map_err(reading)?;
        let remarks = summary.remarks().into_iter();
        remarks.for_each(|remark| self.context.warn(format!("the knowledge: {remark}")));
        Ok(knowledge)
    }

    /// The prompt of a model: that of the input `verifier_prompt`, or this program's own.
    ///
    /// # Errors
    /// If it cannot be read.
    pub(super) fn question(&self) -> Result<ClaimQuestion, StageError> {
        let given = self.context.inputs("verifier_prompt").next();
        let reading = given.map_or(String::new(), |given| given.path.display().to_string());
        let reading = format!("read the prompt {reading}");
        let text = given.map(|given| fs::read_to_string(&given.path)).transpose();
        let text = text.map_err(StageError::doing(&reading))?;
        ClaimQuestion::new(text.as_deref()).map_err(StageError::doing(&reading))
    }

    /// Warns of claims without an article, which have no support. Each is given by its topic,
    /// which may be empty.
    pub(super) fn warn_of_missing(&self, topics: &[&str]) {
        let mut missing = MissingPages::default();
        topics.iter().for_each(|topic| missing.add(topic));
        if let Some(warning) = missing.warning(self.claims.len()) {
            self.context.warn(warning);
        }
    }
}

/// The verdict on a claim that states no fact.
pub(super) fn no_fact(claim: &Claim) -> Verdict {
    Verdict::new(claim.id.clone(), FactLabel::Irrelevant, 0.0, Vec::new())
}
