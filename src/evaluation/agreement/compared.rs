//! Claims and responses that both people and the tool have judged.
//!
//! Claims with the ids of labels are the labelled facts themselves. All other claims were extracted
//! from the labelled responses: they are compared with the facts that state the same, one to one.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::{
    facts::{ContentWords, one_to_one},
    rows::{Claim, ClaimId, Evidence, FactLabel, Page, Response, ResponseId, Verdict},
};

use super::annotated::{AnnotatedResponse, IrrelevantFacts, LabelledFact};

/// A row of `compared_claims.csv`: a claim with the label of people and the verdict of the tool.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ClaimAgreement {
    /// Id of the claim.
    pub claim_id: ClaimId,
    /// Id of the response.
    pub response_id: ResponseId,
    /// The model that responded.
    pub system: String,
    /// The topic.
    pub topic: String,
    /// The claim.
    pub claim: String,
    /// The fact of people that states the same.
    pub fact: String,
    /// The label.
    pub label: FactLabel,
    /// The verdict.
    pub verdict: FactLabel,
    /// Probability that the claim holds.
    pub probability: f64,
}

impl ClaimAgreement {
    /// Whether people call it supported; none where they call it irrelevant.
    pub fn truth(&self) -> Option<bool> {
        (self.label != FactLabel::Irrelevant).then_some(self.label == FactLabel::Supported)
    }

    /// Whether the tool calls it supported: irrelevant and undecided claims are not.
    pub fn is_called_true(&self) -> bool {
        self.verdict == FactLabel::Supported
    }
}

/// A row of `compared_responses.csv`: a labelled response as people and the tool judge it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ResponseAgreement {
    /// Id of the response.
    pub response_id: ResponseId,
    /// The model that responded.
    pub system: String,
    /// The topic.
    pub topic: String,
    /// Whether people found facts in it.
    pub is_annotated: bool,
    /// Whether the tool found facts in it.
    pub has_claims: bool,
    /// Supported facts of people.
    pub facts_supported: usize,
    /// Unsupported facts of people.
    pub facts_unsupported: usize,
    /// Claims that the tool calls supported.
    pub claims_supported: usize,
    /// Claims that the tool calls unsupported.
    pub claims_unsupported: usize,
    /// Share of supported facts by people; none without facts.
    pub human_precision: Option<f64>,
    /// Share of supported claims by the tool; none without claims.
    pub precision: Option<f64>,
    /// Mean probability of the tool's claims; none without claims.
    pub mean_probability: Option<f64>,
}

/// A response with everything that is compared in it.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct ComparedResponse {
    /// The response.
    pub(super) response: ResponseAgreement,
    /// Categories of its topic.
    pub(super) categories: Vec<String>,
    /// Claims with label and verdict.
    pub(super) claims: Vec<ClaimAgreement>,
    /// Facts of people in relevant sentences.
    pub(super) facts: usize,
    /// Numbers of claims and facts that were matched; none where the facts themselves are judged.
    pub(super) matched: Option<MatchCounts>,
    /// Sentences with supported and unsupported facts.
    pub(super) mixed_sentences: usize,
    /// Sentences with supported or unsupported facts.
    pub(super) judged_sentences: usize,
}

/// Claims of the tool against facts of people.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct MatchCounts {
    /// Claims of the tool.
    pub(super) claims: usize,
    /// Facts of people.
    pub(super) facts: usize,
    /// Claims that state the same as a fact.
    pub(super) both: usize,
}

/// What the claims are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ComparedUnit {
    /// The labelled facts.
    Facts,
    /// Claims of the tool, matched to the labelled facts.
    Claims,
}

/// What the tool made of the labelled responses.
#[derive(Clone, Copy, Debug)]
pub struct ToolOutput<'a> {
    /// The claims.
    pub claims: &'a [Claim],
    /// The verdicts on them, if they were verified.
    pub verdicts: Option<&'a [Verdict]>,
    /// Responses with ids of their own, to find the labelled responses by their text.
    pub responses: &'a [Response],
}

/// Why labels and claims cannot be compared.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AgreementError {
    /// There are no labels.
    #[error("there are no labels")]
    NoLabels,
    /// There are no claims.
    #[error("there are no claims to compare with the labels")]
    NoClaims,
    /// No claim belongs to a labelled response.
    #[error(
        "no claim belongs to a labelled response: the labels are of responses such as \
        `{labelled}`, the claims of responses such as `{claimed}`; extract the claims from the \
        responses that were labelled, or give the `responses`, which are then matched by their \
        text"
    )]
    OtherResponses {
        /// A labelled response.
        labelled: ResponseId,
        /// The response of a claim.
        claimed: ResponseId,
    },
    /// A claim without verdict.
    #[error("the claim `{0}` has no verdict; give the verdicts on these claims")]
    NoVerdict(ClaimId),
}

/// All labelled responses with their claims.
#[derive(Debug)]
pub(super) struct JoinedLabels<'a> {
    pub(super) unit: ComparedUnit,
    pub(super) responses: Vec<ComparedResponse>,
    /// Claims of other responses, or without label.
    pub(super) unlabelled: usize,
    /// Verdicts by claim, if any.
    verdicts: Option<BTreeMap<&'a ClaimId, &'a Verdict>>,
}

/// Evidence of a verdict.
pub(super) struct VerdictSource<'a> {
    pub(super) page: Option<&'a Page>,
    pub(super) evidence: &'a [Evidence],
}

impl<'a> JoinedLabels<'a> {
    /// Compares labels with claims and verdicts.
    ///
    /// # Errors
    /// Fails where they do not belong together.
    pub(super) fn new(
        labelled: &[AnnotatedResponse],
        tool: &ToolOutput<'a>,
        treatment: IrrelevantFacts,
    ) -> Result<Self, AgreementError> {
        let first = labelled.first().ok_or(AgreementError::NoLabels)?;
        let claimed = tool.claims.first().ok_or(AgreementError::NoClaims)?;
        let ids = labelled.iter().flat_map(|response| &response.facts).map(|fact| &fact.id);
        let ids: BTreeSet<&ClaimId> = ids.collect();
        let is_labelled = tool.claims.iter().any(|claim| ids.contains(&claim.id));
        let unit = if is_labelled { ComparedUnit::Facts } else { ComparedUnit::Claims };
        let places = places(labelled, tool.responses);
        let mut by_response: Vec<Vec<&Claim>> = vec![Vec::new(); labelled.len()];
        let mut unlabelled = 0;
        for claim in tool.claims {
            let place = places.get(&claim.response_id).copied();
            match place.filter(|_| !is_labelled || ids.contains(&claim.id)) {
                Some(place) => by_response[place].push(claim),
                None => unlabelled += 1,
            }
        }
        if unlabelled == tool.claims.len() {
            let (labelled, claimed) = (first.id.clone(), claimed.response_id.clone());
            return Err(AgreementError::OtherResponses { labelled, claimed });
        }
        let verdicts = tool
            .verdicts
            .map(|verdicts| verdicts.iter().map(|verdict| (&verdict.claim_id, verdict)).collect());
        let mut found = Self { unit, responses: Vec::new(), unlabelled, verdicts };
        for (response, claims) in labelled.iter().zip(by_response) {
            let response = ResponsePair { response, claims, treatment };
            found.responses.push(found.compare(&response)?);
        }
        Ok(found)
    }

    /// Page and evidence of the verdict on a claim.
    pub(super) fn source(&self, claim: &ClaimId) -> Option<VerdictSource<'a>> {
        let verdict = self.verdicts.as_ref()?.get(claim)?;
        Some(VerdictSource { page: verdict.page.as_ref(), evidence: &verdict.evidence })
    }

    fn verdict(&self, claim: &Claim) -> Result<Option<&'a Verdict>, AgreementError> {
        let Some(verdicts) = &self.verdicts else { return Ok(None) };
        let found = verdicts.get(&claim.id).copied();
        found.map(Some).ok_or_else(|| AgreementError::NoVerdict(claim.id.clone()))
    }

    fn compare(&self, pair: &ResponsePair<'_>) -> Result<ComparedResponse, AgreementError> {
        let (matches, matched) = match self.unit {
            ComparedUnit::Facts => (pair.by_id(), None),
            ComparedUnit::Claims => {
                let (matches, counts) = pair.by_words();
                (matches, Some(counts))
            }
        };
        let mut claims = Vec::new();
        for (claim, fact) in matches {
            if let Some(verdict) = self.verdict(claim)? {
                claims.push(pair.judged(claim, fact, verdict));
            }
        }
        let (mixed_sentences, judged_sentences) = mixed(&pair.response.facts);
        Ok(ComparedResponse {
            response: self.response(pair, &claims)?,
            categories: pair.response.categories.clone(),
            claims,
            facts: pair.facts().count(),
            matched,
            mixed_sentences,
            judged_sentences,
        })
    }

    /// The response as a whole. The tool's precision is of the labelled facts that count for
    /// people, or of all extracted claims that state something.
    fn response(
        &self,
        pair: &ResponsePair<'_>,
        compared: &[ClaimAgreement],
    ) -> Result<ResponseAgreement, AgreementError> {
        let ResponsePair { response, treatment, .. } = pair;
        let (mut human, mut tool) = (PrecisionTally::default(), PrecisionTally::default());
        let facts = response.facts.iter();
        facts.for_each(|fact| human.add(fact.label_under(*treatment), 0.0));
        match self.unit {
            ComparedUnit::Facts => {
                for one in compared.iter().filter(|one| one.truth().is_some()) {
                    tool.add(one.verdict, one.probability);
                }
            }
            ComparedUnit::Claims => {
                for claim in pair.stated() {
                    if let Some(verdict) = self.verdict(claim)? {
                        tool.add(verdict.verdict, verdict.probability);
                    }
                }
            }
        }
        let has_claims = match self.verdicts {
            Some(_) => tool.facts() > 0,
            None => pair.stated().next().is_some(),
        };
        Ok(ResponseAgreement {
            response_id: response.id.clone(),
            system: response.system.clone(),
            topic: pair.topic().to_owned(),
            is_annotated: response.is_annotated,
            has_claims,
            facts_supported: human.supported,
            facts_unsupported: human.unsupported,
            claims_supported: tool.supported,
            claims_unsupported: tool.unsupported,
            human_precision: human.share(human.supported as f64),
            precision: tool.share(tool.supported as f64),
            mean_probability: tool.share(tool.probability),
        })
    }
}

/// Places of the labelled responses by their ids, and by those of responses with the same text.
fn places<'a>(
    labelled: &'a [AnnotatedResponse],
    responses: &'a [Response],
) -> BTreeMap<&'a ResponseId, usize> {
    let mut places: BTreeMap<&ResponseId, usize> =
        labelled.iter().enumerate().map(|(place, response)| (&response.id, place)).collect();
    let by_text: BTreeMap<&str, usize> = labelled
        .iter()
        .enumerate()
        .map(|(place, response)| (response.output.trim(), place))
        // Claims labelled by id alone have no text, which would match any empty response.
        .filter(|(text, _)| !text.is_empty())
        .collect();
    for response in responses {
        // The id wins: two systems may give the same short response.
        if !places.contains_key(&response.id)
            && let Some(place) = by_text.get(response.output.trim())
        {
            places.insert(&response.id, *place);
        }
    }
    places
}

/// A labelled response with the tool's claims.
struct ResponsePair<'a> {
    response: &'a AnnotatedResponse,
    claims: Vec<&'a Claim>,
    treatment: IrrelevantFacts,
}

impl<'a> ResponsePair<'a> {
    /// The topic by the labels, or by the claims.
    fn topic(&self) -> &str {
        let of_claims = self.claims.first().map_or("", |claim| claim.topic.as_str());
        if self.response.topic.is_empty() { of_claims } else { &self.response.topic }
    }

    /// Claims that state a fact for the first time.
    fn stated(&self) -> impl Iterator<Item = &'a Claim> {
        let claims = self.claims.iter().copied();
        claims.filter(|claim| claim.kind.is_fact() && claim.duplicate_of.is_none())
    }

    /// Facts that people found.
    fn facts(&self) -> impl Iterator<Item = &'a LabelledFact> {
        // Those of irrelevant sentences are a model's.
        self.response.facts.iter().filter(|fact| !fact.is_of_irrelevant_sentence)
    }

    /// The facts that are claims.
    fn by_id(&self) -> Vec<(&'a Claim, &'a LabelledFact)> {
        let claims: BTreeMap<&ClaimId, &Claim> =
            self.claims.iter().map(|claim| (&claim.id, *claim)).collect();
        let facts = self.response.facts.iter();
        facts.filter_map(|fact| Some((*claims.get(&fact.id)?, fact))).collect()
    }

    /// The facts that say the same as claims, and the numbers of both.
    fn by_words(&self) -> (Vec<(&'a Claim, &'a LabelledFact)>, MatchCounts) {
        let claims: Vec<&Claim> = self.stated().collect();
        let facts: Vec<&LabelledFact> = self.facts().collect();
        let topic = self.topic();
        let one: Vec<ContentWords> =
            claims.iter().map(|claim| ContentWords::of(&claim.text, topic)).collect();
        let other: Vec<ContentWords> =
            facts.iter().map(|fact| ContentWords::of(&fact.text, topic)).collect();
        let pairs = one_to_one(&one, &other);
        let counts = MatchCounts { claims: claims.len(), facts: facts.len(), both: pairs.len() };
        (pairs.into_iter().map(|(claim, fact)| (claims[claim], facts[fact])).collect(), counts)
    }

    fn judged(&self, claim: &Claim, fact: &LabelledFact, verdict: &Verdict) -> ClaimAgreement {
        ClaimAgreement {
            claim_id: claim.id.clone(),
            response_id: self.response.id.clone(),
            system: self.response.system.clone(),
            topic: self.topic().to_owned(),
            claim: claim.text.clone(),
            fact: if fact.text.is_empty() { &claim.text } else { &fact.text }.clone(),
            label: fact.label_under(self.treatment),
            verdict: verdict.verdict,
            probability: verdict.probability,
        }
    }
}

/// Supported and unsupported facts, with the sum of their probabilities.
#[derive(Default)]
struct PrecisionTally {
    supported: usize,
    unsupported: usize,
    probability: f64,
}

impl PrecisionTally {
    fn add(&mut self, label: FactLabel, probability: f64) {
        match label {
            FactLabel::Supported => self.supported += 1,
            FactLabel::Unsupported => self.unsupported += 1,
            // As in scores: what is irrelevant or undecided counts in no share.
            FactLabel::Irrelevant | FactLabel::Undecided => return,
        }
        self.probability += probability;
    }

    fn facts(&self) -> usize {
        self.supported + self.unsupported
    }

    fn share(&self, part: f64) -> Option<f64> {
        (self.facts() > 0).then(|| part / self.facts() as f64)
    }
}

/// Numbers of sentences with supported *and* unsupported facts, and with any of them.
fn mixed(facts: &[LabelledFact]) -> (usize, usize) {
    let mut sentences: BTreeMap<usize, [bool; 2]> = BTreeMap::new();
    for fact in facts.iter().filter(|fact| fact.label != FactLabel::Irrelevant) {
        if let Some(sentence) = fact.sentence {
            let side = usize::from(fact.label == FactLabel::Supported);
            sentences.entry(sentence).or_default()[side] = true;
        }
    }
    let mixed = sentences.values().filter(|sides| sides.iter().all(|side| *side)).count();
    (mixed, sentences.len())
}
