//! Agreement of claims and verdicts with the labels of people.

mod annotated;
mod compared;
mod disagreement;
mod found;
mod group;
mod measure;
mod order;
mod rank;
mod resample;
#[cfg(test)]
mod tests;

pub use annotated::{
    AnnotatedResponse, IrrelevantFacts, LabelError, LabelledFact, annotated_responses,
};
pub use compared::{AgreementError, ClaimAgreement, ComparedUnit, ResponseAgreement, ToolOutput};
pub use disagreement::Disagreement;
pub use found::{
    AgreementCounts, AgreementRow, AgreementSettings, AgreementTables, ConfusionRow,
    HumanAgreement, agreement,
};
pub use group::Grouping;
pub use measure::{AGREEMENT_MEASURES, AgreementMeasure, AgreementMeasureName, AgreementSection};
pub use order::{SystemOrder, SystemPrecision};
pub use rank::kendall;
