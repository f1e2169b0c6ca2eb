//! Verdicts counted by answer.

use std::collections::BTreeMap;

use crate::language::{Claim, Judgement, Response, Verdict, span_problem};

/// How many claims of one answer are what.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Supported claims.
    pub supported: usize,
    /// Unsupported claims.
    pub unsupported: usize,
    /// Claims with nothing to check.
    pub irrelevant: usize,
}

/// Why rows do not fit together.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TallyError {
    /// A claim's answer is missing.
    #[error(
        "the claim `{0}` belongs to the answer `{1}`, which is not among the responses; claims must be those of these responses"
    )]
    UnknownResponse(String, String),
    /// A claim was not judged.
    #[error("there is no verdict on the claim `{0}`; verdicts must be those of these claims")]
    NoVerdict(String),
    /// A verdict's claim is missing.
    #[error("the verdict on `{0}` belongs to no claim; verdicts must be those of these claims")]
    UnknownClaim(String),
    /// A claim stands where its answer has no text.
    #[error("the claim `{claim}` does not stand in the answer `{response}`: {problem}")]
    Span {
        /// The claim.
        claim: String,
        /// The answer.
        response: String,
        /// What is wrong with its span.
        problem: String,
    },
    /// Two rows have one id.
    #[error("the {0} `{1}` occurs twice")]
    Duplicate(&'static str, String),
}

impl Tally {
    /// Facts that were checked.
    pub fn facts(&self) -> usize {
        self.supported + self.unsupported
    }

    /// The share of supported facts (FActScore without its penalty); none without facts.
    pub fn precision(&self) -> Option<f64> {
        (self.facts() > 0).then(|| self.supported as f64 / self.facts() as f64)
    }

    /// Counts one judgement.
    pub fn add(&mut self, judgement: Judgement) {
        match judgement {
            Judgement::Supported => self.supported += 1,
            Judgement::Unsupported => self.unsupported += 1,
            Judgement::Irrelevant => self.irrelevant += 1,
        }
    }
}

/// The claims of each answer with what was found, in the order of the responses and of the claims.
///
/// # Errors
/// Where claims, verdicts and responses do not belong together.
pub fn tallies<'a>(
    responses: &[Response],
    claims: &'a [Claim],
    verdicts: &[Verdict],
) -> Result<Vec<Vec<(&'a Claim, Judgement)>>, TallyError> {
    let mut judgements: BTreeMap<&str, Judgement> = BTreeMap::new();
    for verdict in verdicts {
        if judgements.insert(&verdict.claim_id, verdict.verdict).is_some() {
            return Err(TallyError::Duplicate("verdict on", verdict.claim_id.clone()));
        }
    }
    let mut indices: BTreeMap<&str, usize> = BTreeMap::new();
    for (index, response) in responses.iter().enumerate() {
        if indices.insert(&response.id, index).is_some() {
            return Err(TallyError::Duplicate("response", response.id.clone()));
        }
    }
    let mut judged = vec![Vec::new(); responses.len()];
    for claim in claims {
        let unknown = || TallyError::UnknownResponse(claim.id.clone(), claim.response_id.clone());
        let index = *indices.get(claim.response_id.as_str()).ok_or_else(unknown)?;
        if let Some(problem) = span_problem(claim.span, &responses[index].output) {
            return Err(TallyError::Span { claim: claim.id.clone(), response: claim.response_id.clone(), problem });
        }
        let judgement = judgements.remove(claim.id.as_str()).ok_or_else(|| TallyError::NoVerdict(claim.id.clone()))?;
        judged[index].push((claim, judgement));
    }
    match judgements.keys().next() {
        Some(claim) => Err(TallyError::UnknownClaim((*claim).to_owned())),
        None => Ok(judged),
    }
}
