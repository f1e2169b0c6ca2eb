//! Claims on which people and the tool differ most.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::rows::{Evidence, Page};

use super::compared::{ClaimAgreement, JoinedLabels};

/// Claims of each kind of error.
const SHOWN: usize = 10;

/// Passages of evidence that are kept.
const MOST_EVIDENCE: usize = 3;

/// A claim with a wrong verdict.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Disagreement {
    /// The claim.
    #[serde(flatten)]
    pub claim: ClaimAgreement,
    /// The article that was read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub page: Option<Page>,
    /// Passages that decided.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub evidence: Vec<Evidence>,
}

/// The ten claims of most different topics that the tool calls supported with the highest
/// probability though people do not, and the ten that it rejects with the lowest probability though
/// people call them supported.
pub(super) fn disagreements(
    joined: &JoinedLabels<'_>,
    claims: &[ClaimAgreement],
) -> Vec<Disagreement> {
    let mut found = Vec::new();
    for called in [true, false] {
        let is_wrong = |claim: &&ClaimAgreement| {
            claim.truth() == Some(!called) && claim.is_called_true() == called
        };
        let mut wrong: Vec<&ClaimAgreement> = claims.iter().filter(is_wrong).collect();
        wrong.sort_by(|one, other| {
            let order = other.probability.total_cmp(&one.probability);
            if called { order } else { order.reverse() }
        });
        found.extend(of_most_topics(&wrong).into_iter().map(|claim| with_evidence(joined, claim)));
    }
    found
}

/// The first claim of each topic, then the others, in their order.
fn of_most_topics<'a>(sorted: &[&'a ClaimAgreement]) -> Vec<&'a ClaimAgreement> {
    let mut topics = BTreeSet::new();
    let (first, further): (Vec<&ClaimAgreement>, Vec<&ClaimAgreement>) =
        sorted.iter().partition(|claim| topics.insert(&claim.topic));
    first.into_iter().chain(further).take(SHOWN).collect()
}

fn with_evidence(joined: &JoinedLabels<'_>, claim: &ClaimAgreement) -> Disagreement {
    let source = joined.source(&claim.claim_id);
    let page = source.as_ref().and_then(|source| source.page.cloned());
    let evidence = source.map_or(&[][..], |source| source.evidence);
    Disagreement {
        claim: claim.clone(),
        page,
        evidence: evidence.iter().take(MOST_EVIDENCE).cloned().collect(),
    }
}
