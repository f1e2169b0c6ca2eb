//! Rows of verdicts on claims, and of the passages that were retrieved for them.

use serde::{Deserialize, Serialize};

use super::{CharSpan, ClaimId, Row, bounds};

/// A row of `verdicts.jsonl`: the verdict on a claim.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Verdict {
    /// Id of the claim.
    pub claim_id: ClaimId,
    /// Whether the knowledge supports the claim.
    pub verdict: FactLabel,
    /// Probability that the claim holds, from 0 to 1.
    #[serde(deserialize_with = "bounds::probability")]
    pub probability: f64,
    /// Passages of the knowledge that decided; may be empty.
    pub evidence: Vec<Evidence>,
    /// Log-odds of support before calibration, in nats.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub log_odds: Option<f64>,
    /// The article that was read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub page: Option<Page>,
    /// Name of the verifier; empty for other programs' verdicts.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub verifier: String,
}

impl Verdict {
    /// A verdict without log-odds, page and verifier.
    pub fn new(
        claim_id: ClaimId,
        verdict: FactLabel,
        probability: f64,
        evidence: Vec<Evidence>,
    ) -> Self {
        Self {
            claim_id,
            verdict,
            probability,
            evidence,
            log_odds: None,
            page: None,
            verifier: String::new(),
        }
    }
}

impl Row for Verdict {
    const WHAT: &'static str = "verdict on";

    fn id(&self) -> &str {
        self.claim_id.as_str()
    }
}

/// Verdict on a claim.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FactLabel {
    /// The knowledge supports it.
    Supported,
    /// The knowledge does not support it.
    Unsupported,
    /// Irrelevant: nothing to verify.
    Irrelevant,
    /// Undecided: the verifier abstains, since its probability is near the threshold.
    Undecided,
}

/// A passage of the knowledge.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Evidence {
    /// Title of the article.
    pub title: String,
    /// The passage.
    pub text: String,
    /// Characters of each of its sentences, if it has several.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub sentences: Vec<CharSpan>,
}

impl Evidence {
    /// A passage of one sentence.
    pub fn new(title: &str, text: &str) -> Self {
        Self { title: title.to_owned(), text: text.to_owned(), sentences: Vec::new() }
    }
}

/// A row of `passages.jsonl`: the passages retrieved for a claim.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RetrievedPassages {
    /// Id of the claim.
    pub claim_id: ClaimId,
    /// The article that they are from.
    pub page: Page,
    /// The passages, best first; empty if the article is missing.
    pub passages: Vec<Evidence>,
}

impl Row for RetrievedPassages {
    const WHAT: &'static str = "passages of";

    fn id(&self) -> &str {
        self.claim_id.as_str()
    }
}

/// The article that was read for a claim.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Page {
    /// The title that was asked for: the claim's topic.
    pub asked: String,
    /// The title of the article; none if it is missing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub found: Option<String>,
    /// How it was found.
    pub how: PageMatch,
}

/// How an article was found for a topic.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PageMatch {
    /// The title is the topic.
    Exact,
    /// A redirect leads from the topic to it.
    Redirect,
    /// The title equals the topic in normal form: case, composed letters, apostrophes, dashes.
    Normal,
    /// Title and topic differ in parentheses at their end.
    Parentheses,
    /// The nearest article that a disambiguation page lists.
    Disambiguation,
    /// The claim's words name it; the claim has no topic.
    Named,
    /// All articles were searched.
    Search,
    /// There is no article.
    Missing,
}
