//! Results of a run that answer its questions: comparisons, diagnoses and agreements with people.

use serde::de::DeserializeOwned;

use super::history::{History, StageHistory};
use crate::evaluation::{Comparison, Diagnosis, HumanAgreement};

/// Results by stage, in the order of the plan.
#[derive(Debug, Default)]
pub struct Results<'a> {
    /// Comparisons of arms.
    pub comparisons: Vec<(&'a StageHistory, Comparison)>,
    /// Diagnoses of under-alignment and over-alignment.
    pub diagnoses: Vec<(&'a StageHistory, Diagnosis)>,
    /// Agreements with people.
    pub agreements: Vec<(&'a StageHistory, HumanAgreement)>,
    /// Errors of results that cannot be read.
    pub problems: Vec<String>,
}

impl<'a> Results<'a> {
    /// The results of a run.
    pub fn read(history: &'a History) -> Self {
        let mut results = Self::default();
        let problems = &mut results.problems;
        results.comparisons = parsed(history, "comparison.json", problems);
        results.diagnoses = parsed(history, "diagnosis.json", problems);
        results.agreements = parsed(history, "agreement.json", problems);
        results
    }
}

/// The files of this name of all stages.
pub(super) fn parsed<'a, T: DeserializeOwned>(
    history: &'a History,
    file: &str,
    problems: &mut Vec<String>,
) -> Vec<(&'a StageHistory, T)> {
    let mut found = Vec::new();
    for stage in &history.stages {
        match stage.parse(file) {
            Some(Ok(value)) => found.push((stage, value)),
            Some(Err(problem)) => problems.push(problem),
            None => {}
        }
    }
    found
}
