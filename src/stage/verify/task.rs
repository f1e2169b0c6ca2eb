//! What each way of verifying works on, and writes.

use std::fs;

use crate::{
    context::{Context, StageError},
    knowledge::Knowledge,
    prompting::ClaimQuestion,
    rows::{Claim, FactLabel, Verdict, json_lines::RowWriter},
    verification::Tally,
};

use super::decision::DecisionRule;

/// Claims to be verified: those of the input `claims`.
pub(super) struct VerifyTask<'a> {
    /// The attempt.
    pub(super) context: &'a Context,
    /// How verdicts follow from log-odds.
    pub(super) rule: DecisionRule,
}

/// Number of claims between two progress reports.
const STRIDE: usize = 500;

impl VerifyTask<'_> {
    /// The claims one after the other, with progress now and then.
    ///
    /// # Errors
    /// If they cannot be read; each claim has errors of its own.
    pub(super) fn each_claim(
        &self,
    ) -> Result<impl Iterator<Item = Result<Claim, StageError>>, StageError> {
        let context = self.context;
        // Lines are counted much faster than they are parsed.
        let total = context.count_rows("claims")? as u64;
        let claims = context.each_row("claims")?.enumerate();
        Ok(claims.map(move |(index, claim)| {
            if index.is_multiple_of(STRIDE) {
                context.progress(index as u64, total, "claims");
            }
            claim
        }))
    }

    /// All claims.
    ///
    /// # Errors
    /// If they cannot be read.
    pub(super) fn all_claims(&self) -> Result<Vec<Claim>, StageError> {
        self.context.rows("claims")
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
}

/// The file of verdicts, in the order of the claims.
pub(in crate::stage) struct WrittenVerdicts {
    rows: RowWriter,
    tally: Tally,
    count: usize,
}

impl WrittenVerdicts {
    /// A new `verdicts.jsonl`.
    ///
    /// # Errors
    /// If it cannot be made.
    pub(in crate::stage) fn create(context: &Context) -> Result<Self, StageError> {
        let rows = RowWriter::create(&context.output("verdicts.jsonl"));
        let rows = rows.map_err(StageError::doing("write the verdicts"))?;
        Ok(Self { rows, tally: Tally::default(), count: 0 })
    }

    /// Writes a verdict.
    ///
    /// # Errors
    /// If it cannot be written.
    pub(in crate::stage) fn add(&mut self, verdict: &Verdict) -> Result<(), StageError> {
        self.tally.add(verdict.verdict);
        self.count += 1;
        self.rows.write(verdict).map_err(StageError::doing("write the verdicts"))
    }

    /// The number of verdicts so far.
    pub(in crate::stage) fn count(&self) -> usize {
        self.count
    }

    /// Writes what is still in memory, and notes how many verdicts there are.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub(in crate::stage) fn finish(self, context: &Context) -> Result<(), StageError> {
        let Self { rows, tally, count } = self;
        context.progress(count as u64, count as u64, "claims");
        rows.finish().map_err(StageError::doing("write the verdicts"))?;
        context.note(tally.to_string());
        Ok(())
    }
}

/// The verdict on a claim that states no fact.
pub(super) fn no_fact(claim: &Claim) -> Verdict {
    Verdict::new(claim.id.clone(), FactLabel::Irrelevant, 0.0, Vec::new())
}
