//! A claim with the passages that are read for it, as a language model is asked about it.

use super::{
    source::PassageSource,
    task::{VerifyTask, no_fact},
};
use crate::{
    context::StageError,
    rows::{Claim, Evidence, FactLabel, PageMatch, RetrievedPassages, Verdict},
    stage_support::missing_pages::MissingPages,
    verification::is_checkable,
};

/// A claim with its passages.
pub(super) struct ClaimReading {
    pub(super) claim: Claim,
    retrieved: RetrievedPassages,
}

impl ClaimReading {
    /// All claims of a task with their passages. Warns of topics without an article.
    ///
    /// # Errors
    /// If claims or passages cannot be read.
    pub(super) fn all(
        task: &VerifyTask<'_>,
        mut source: PassageSource,
    ) -> Result<Vec<Self>, StageError> {
        let read = task.all_claims()?.into_iter().map(|claim| {
            let retrieved = source.passages(&claim)?;
            Ok(Self { claim, retrieved })
        });
        let readings: Vec<Self> = read.collect::<Result<_, StageError>>()?;
        source.finish()?;
        let mut missing = MissingPages::default();
        let without_page = readings.iter().filter(|reading| {
            reading.retrieved.page.how == PageMatch::Missing && reading.states_fact()
        });
        without_page.for_each(|reading| missing.add(&reading.claim.topic));
        missing.warn(task.context, readings.len());
        Ok(readings)
    }

    /// Its passages, best first.
    pub(super) fn passages(&self) -> &[Evidence] {
        &self.retrieved.passages
    }

    /// Drops its worst passage; false if it has no other one.
    pub(super) fn drop_worst(&mut self) -> bool {
        let has_others = self.passages().len() > 1;
        if has_others {
            self.retrieved.passages.pop();
        }
        has_others
    }

    /// Whether there is anything to ask: a fact, and passages that may support it.
    pub(super) fn is_asked(&self) -> bool {
        self.states_fact() && !self.passages().is_empty()
    }

    fn states_fact(&self) -> bool {
        self.claim.kind.is_fact() && is_checkable(&self.claim.text)
    }

    /// The verdict by log-odds; label and probability are decided later.
    pub(super) fn with_log_odds(&self, log_odds: f64, verifier: &str) -> Verdict {
        let label = FactLabel::Unsupported;
        Verdict { log_odds: Some(log_odds), ..self.labelled(label, 0.0, verifier) }
    }

    /// The verdict without log-odds.
    pub(super) fn labelled(&self, label: FactLabel, probability: f64, verifier: &str) -> Verdict {
        Verdict {
            page: Some(self.retrieved.page.clone()),
            verifier: verifier.to_owned(),
            ..Verdict::new(self.claim.id.clone(), label, probability, self.passages().to_vec())
        }
    }

    /// The verdict on a claim that nobody was asked about: without passages, a fact is unsupported.
    pub(super) fn unasked(&self, verifier: &str) -> Verdict {
        match self.states_fact() {
            true => self.labelled(FactLabel::Unsupported, 0.0, verifier),
            false => no_fact(&self.claim),
        }
    }
}
