//! The content of `agreement.json`: all measures for all responses, by system and by category of
//! topics.

use serde::{Deserialize, Serialize};

use crate::{
    evaluation::{
        classification::{ReliabilityBin, reliability},
        interval::Estimate,
    },
    rows::FactLabel,
    seed::Seed,
};

use super::{
    annotated::{AnnotatedResponse, IrrelevantFacts},
    compared::{
        AgreementError, ClaimAgreement, ComparedResponse, ComparedUnit, JoinedLabels,
        ResponseAgreement, ToolOutput,
    },
    disagreement::{Disagreement, disagreements},
    group::{Grouping, ResponseGroup, groups},
    measure::{AGREEMENT_MEASURES, AgreementMeasureName, AgreementSection, BINS, Summary},
    order::{SystemOrder, order},
    resample::{clusters, estimates},
};

/// Parameters of an agreement.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AgreementSettings {
    /// Treatment of facts that people called irrelevant.
    pub irrelevant: IrrelevantFacts,
    /// Draws of the bootstrap.
    pub resamples: usize,
}

/// Content of `agreement.json`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct HumanAgreement {
    /// Its parameters.
    pub settings: AgreementSettings,
    /// Whether the labelled facts were verified, or claims of the tool.
    pub unit: ComparedUnit,
    /// Numbers of what was compared.
    pub counts: AgreementCounts,
    /// Verdicts by label.
    pub confusion: Vec<ConfusionRow>,
    /// Every measure of every group.
    pub rows: Vec<AgreementRow>,
    /// Systems in the order of their factual precision; none of a single one.
    pub order: Option<SystemOrder>,
    /// Ranges of the reliability diagram.
    pub reliability: Vec<ReliabilityBin>,
    /// Claims on which people and tool differ most.
    pub disagreements: Vec<Disagreement>,
}

/// Numbers of what was compared.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AgreementCounts {
    /// Labelled responses.
    pub responses: usize,
    /// Responses in which people found facts.
    pub annotated: usize,
    /// Topics.
    pub topics: usize,
    /// Facts of people.
    pub facts: usize,
    /// Claims with label and verdict.
    pub compared: usize,
    /// Claims of other responses, or without label.
    pub unlabelled: usize,
}

/// The verdicts on claims with one label.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConfusionRow {
    /// The label.
    pub label: FactLabel,
    /// Claims that the tool calls supported.
    pub supported: usize,
    /// Claims that the tool calls unsupported.
    pub unsupported: usize,
    /// Claims that the tool calls irrelevant.
    pub irrelevant: usize,
    /// Claims on which the tool abstains.
    #[serde(default)]
    pub undecided: usize,
}

/// A row of `agreement.csv`: a measure of a group of responses.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AgreementRow {
    /// What the responses have in common.
    pub grouping: Grouping,
    /// The system or category; `all` for all responses.
    pub group: String,
    /// What the measure is about.
    pub section: AgreementSection,
    /// The measure.
    pub measure: AgreementMeasureName,
    /// Number of claims or responses.
    pub count: usize,
    /// Its value.
    pub value: f64,
    /// Lower end of the 95 % interval over topics.
    pub low: Option<f64>,
    /// Upper end.
    pub high: Option<f64>,
    /// The value for a tool that calls every claim supported.
    pub always_true: Option<f64>,
}

impl AgreementRow {
    /// The value with its interval.
    pub fn estimate(&self) -> Estimate {
        Estimate { mean: self.value, low: self.low, high: self.high }
    }
}

impl HumanAgreement {
    /// A measure of a group.
    pub fn row(&self, group: &str, measure: AgreementMeasureName) -> Option<&AgreementRow> {
        self.rows.iter().find(|row| row.group == group && row.measure == measure)
    }

    /// The groups in the order of the rows.
    pub fn groups(&self) -> Vec<(Grouping, &str)> {
        let mut found: Vec<(Grouping, &str)> = Vec::new();
        for row in &self.rows {
            if !found.contains(&(row.grouping, &row.group)) {
                found.push((row.grouping, &row.group));
            }
        }
        found
    }
}

/// An agreement with its tables.
#[derive(Debug)]
pub struct AgreementTables {
    /// The measures.
    pub agreement: HumanAgreement,
    /// Every labelled response.
    pub responses: Vec<ResponseAgreement>,
    /// Every claim with label and verdict.
    pub claims: Vec<ClaimAgreement>,
}

/// Measures how far the tool agrees with people.
///
/// # Errors
/// Fails where labels, claims and verdicts do not belong together.
pub fn agreement(
    labelled: &[AnnotatedResponse],
    tool: &ToolOutput<'_>,
    settings: AgreementSettings,
    seed: &Seed,
) -> Result<AgreementTables, AgreementError> {
    let joined = JoinedLabels::new(labelled, tool, settings.irrelevant)?;
    let all: Vec<&ComparedResponse> = joined.responses.iter().collect();
    let claims: Vec<ClaimAgreement> =
        joined.responses.iter().flat_map(|response| &response.claims).cloned().collect();
    let rows =
        groups(&all).iter().flat_map(|group| rows(group, seed, settings.resamples)).collect();
    let whole = Summary::of(all.iter().copied());
    let agreement = HumanAgreement {
        settings,
        unit: joined.unit,
        counts: AgreementCounts {
            responses: all.len(),
            annotated: whole.annotated,
            topics: clusters(all.iter().copied()).len(),
            facts: whole.facts,
            compared: claims.len(),
            unlabelled: joined.unlabelled,
        },
        confusion: confusion(&claims),
        rows,
        order: order(&all, seed, settings.resamples),
        reliability: reliability(&whole.scored, BINS),
        disagreements: disagreements(&joined, &claims),
    };
    let responses = joined.responses.into_iter().map(|response| response.response).collect();
    Ok(AgreementTables { agreement, responses, claims })
}

/// All measures of one group.
fn rows(group: &ResponseGroup<'_>, seed: &Seed, resamples: usize) -> Vec<AgreementRow> {
    let summary = Summary::of(group.responses.iter().copied());
    let always_true = summary.always_true();
    let clusters = clusters(group.responses.iter().copied());
    let found = AGREEMENT_MEASURES.iter().zip(estimates(&clusters, seed, resamples));
    let rows = found.filter_map(|(measure, estimate)| {
        let Estimate { mean, low, high } = estimate?;
        Some(AgreementRow {
            grouping: group.grouping,
            group: group.name.clone(),
            section: measure.section,
            measure: measure.name,
            count: summary.count(measure.section),
            value: mean,
            low,
            high,
            always_true: (measure.value)(&always_true),
        })
    });
    rows.collect()
}

/// Numbers of verdicts by label.
fn confusion(claims: &[ClaimAgreement]) -> Vec<ConfusionRow> {
    let labels = [FactLabel::Supported, FactLabel::Unsupported, FactLabel::Irrelevant];
    let count = |label: FactLabel, verdict: FactLabel| {
        claims.iter().filter(|claim| (claim.label, claim.verdict) == (label, verdict)).count()
    };
    let rows = labels.into_iter().map(|label| ConfusionRow {
        label,
        supported: count(label, FactLabel::Supported),
        unsupported: count(label, FactLabel::Unsupported),
        irrelevant: count(label, FactLabel::Irrelevant),
        undecided: count(label, FactLabel::Undecided),
    });
    rows.collect()
}
