//! Verdicts counted per response.

use std::{collections::BTreeMap, fmt};

use crate::rows::{Claim, ClaimId, Evidence, FactLabel, Response, ResponseId, Verdict};

/// Numbers of claims of one response by verdict.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Supported claims.
    pub supported: usize,
    /// Unsupported claims.
    pub unsupported: usize,
    /// Irrelevant claims.
    pub irrelevant: usize,
    /// Undecided claims.
    pub undecided: usize,
}

/// Why rows do not fit together.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TallyError {
    /// A claim's response is missing.
    #[error(
        "the claim `{0}` belongs to the response `{1}`, which is missing; give the claims of \
        these responses"
    )]
    UnknownResponse(ClaimId, ResponseId),
    /// A claim without verdict.
    #[error("the claim `{0}` has no verdict; give the verdicts on these claims")]
    NoVerdict(ClaimId),
    /// A verdict's claim is missing.
    #[error("the verdict on `{0}` belongs to no claim; give the verdicts on these claims")]
    UnknownClaim(ClaimId),
    /// A claim's span is outside its response.
    #[error("the span of the claim `{claim}` does not fit the response `{response}`: {problem}")]
    Span {
        /// The claim.
        claim: ClaimId,
        /// The response.
        response: ResponseId,
        /// The problem of its span.
        problem: String,
    },
    /// Two rows have one id.
    #[error("the {0} `{1}` occurs twice")]
    Duplicate(&'static str, String),
}

impl Tally {
    /// Facts with a decision: supported and unsupported ones.
    pub fn facts(&self) -> usize {
        self.supported + self.unsupported
    }

    /// Factual precision (FActScore without length penalty), the share of supported facts among
    /// those with a decision; none without.
    pub fn precision(&self) -> Option<f64> {
        (self.facts() > 0).then(|| self.supported as f64 / self.facts() as f64)
    }

    /// Counts one verdict.
    pub fn add(&mut self, judgement: FactLabel) {
        match judgement {
            FactLabel::Supported => self.supported += 1,
            FactLabel::Unsupported => self.unsupported += 1,
            FactLabel::Irrelevant => self.irrelevant += 1,
            FactLabel::Undecided => self.undecided += 1,
        }
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, formatter: &mut fmt::Formatter) -> fmt::Result {
        let Self { supported, unsupported, irrelevant, undecided } = self;
        write!(formatter, "{supported} claims supported, {unsupported} unsupported, ")?;
        write!(formatter, "{irrelevant} irrelevant")?;
        // Most verifiers abstain from nothing.
        match undecided {
            0 => Ok(()),
            _ => write!(formatter, ", {undecided} undecided"),
        }
    }
}

/// A claim with its verdict.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct JudgedClaim<'a> {
    /// The claim.
    pub claim: &'a Claim,
    /// The verdict.
    pub label: FactLabel,
    /// The evidence.
    pub evidence: &'a [Evidence],
}

impl JudgedClaim<'_> {
    /// Whether it is a fact with a decision: there was something to verify, and the verifier did
    /// not abstain.
    pub fn is_fact(&self) -> bool {
        matches!(self.label, FactLabel::Supported | FactLabel::Unsupported)
    }

    /// Whether it is a fact that its answer has stated before.
    pub fn is_repeat(&self) -> bool {
        self.is_fact() && self.claim.duplicate_of.is_some()
    }
}

/// A claim with its verdict, read from files.
#[derive(Clone, Debug, PartialEq)]
pub struct ClaimVerdict {
    /// The claim.
    pub claim: Claim,
    /// The verdict.
    pub verdict: Verdict,
}

impl ClaimVerdict {
    /// A claim of a response with its verdict, if any.
    ///
    /// # Errors
    /// Fails without a verdict, or where the claim's span is outside the response.
    pub fn new(
        claim: Claim,
        verdict: Option<Verdict>,
        response: &Response,
    ) -> Result<Self, TallyError> {
        check_spans(&claim, response)?;
        match verdict {
            Some(verdict) => Ok(Self { claim, verdict }),
            None => Err(TallyError::NoVerdict(claim.id)),
        }
    }

    /// The same, borrowed.
    pub fn judged(&self) -> JudgedClaim<'_> {
        let Self { claim, verdict } = self;
        JudgedClaim { claim, label: verdict.verdict, evidence: &verdict.evidence }
    }
}

/// A response with its claims and their verdicts, read from files.
#[derive(Clone, Debug, PartialEq)]
pub struct VerifiedResponse {
    /// The response.
    pub response: Response,
    /// Its claims in their order.
    pub claims: Vec<ClaimVerdict>,
}

impl VerifiedResponse {
    /// The claims, borrowed.
    pub fn judged(&self) -> Vec<JudgedClaim<'_>> {
        self.claims.iter().map(ClaimVerdict::judged).collect()
    }
}

/// Checks that what a claim was read from lies within the response.
fn check_spans(claim: &Claim, response: &Response) -> Result<(), TallyError> {
    let mut spans = claim.spans.iter().chain(&claim.sentence).chain([&claim.span]);
    match spans.find_map(|span| span.problem(&response.output)) {
        None => Ok(()),
        Some(problem) => {
            let (claim, response) = (claim.id.clone(), response.id.clone());
            Err(TallyError::Span { claim, response, problem })
        }
    }
}

/// The claims of each response with verdicts, in the order of the responses and of the claims.
///
/// # Errors
/// Fails where claims, verdicts and responses do not belong together.
pub fn tallies<'a>(
    responses: &[Response],
    claims: &'a [Claim],
    verdicts: &'a [Verdict],
) -> Result<Vec<Vec<JudgedClaim<'a>>>, TallyError> {
    let mut by_claim: BTreeMap<&ClaimId, &Verdict> = BTreeMap::new();
    for verdict in verdicts {
        if by_claim.insert(&verdict.claim_id, verdict).is_some() {
            return Err(TallyError::Duplicate("verdict on", verdict.claim_id.to_string()));
        }
    }
    let mut indices: BTreeMap<&ResponseId, usize> = BTreeMap::new();
    for (index, response) in responses.iter().enumerate() {
        if indices.insert(&response.id, index).is_some() {
            return Err(TallyError::Duplicate("response", response.id.to_string()));
        }
    }
    // Responses without claims have an entry too: they count as responses without facts.
    let mut judged = vec![Vec::new(); responses.len()];
    for claim in claims {
        let index = *indices.get(&claim.response_id).ok_or_else(|| {
            TallyError::UnknownResponse(claim.id.clone(), claim.response_id.clone())
        })?;
        check_spans(claim, &responses[index])?;
        let verdict =
            by_claim.remove(&claim.id).ok_or_else(|| TallyError::NoVerdict(claim.id.clone()))?;
        judged[index].push(JudgedClaim {
            claim,
            label: verdict.verdict,
            evidence: &verdict.evidence,
        });
    }
    match by_claim.into_keys().next() {
        Some(claim) => Err(TallyError::UnknownClaim(claim.clone())),
        None => Ok(judged),
    }
}
