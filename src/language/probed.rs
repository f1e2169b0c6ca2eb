//! What a probe found of one fact, as far as the diagnosis reads it.

use serde::{Deserialize, Serialize};

/// A row of `probe.jsonl`: a fact that a model was asked for many times.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ProbedFact {
    /// Whom or what the fact is about.
    pub topic: String,
    /// The topic's domain.
    pub domain: String,
    /// The attribute that was asked for, where it is known.
    #[serde(default)]
    pub attribute: Option<String>,
    /// The question.
    pub question: String,
    /// "known", "potential" or "unknown".
    pub class: String,
    /// How many answers there are.
    pub n: usize,
    /// How many of them are right.
    pub right: usize,
}
