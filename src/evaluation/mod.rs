//! Factuality metrics, in-domain and out-of-domain.

mod agreement;
mod answer;
mod arms;
mod average;
mod calibration;
mod caution;
mod classification;
mod compare;
mod comparison;
mod comparison_error;
#[cfg(test)]
mod coverage;
mod diagnose;
mod diagnosis;
mod diagnosis_error;
mod domain_set;
mod formula;
mod interval;
mod learnt;
mod logistic;
mod measure;
mod paired;
mod question;
mod reason;
mod sample;
mod scores;
mod shift;
mod significance;
mod warning;

pub use agreement::{
    AGREEMENT_MEASURES, AgreementCounts, AgreementError, AgreementMeasure, AgreementMeasureName,
    AgreementRow, AgreementSection, AgreementSettings, AgreementTables, AnnotatedResponse,
    ClaimAgreement, ComparedUnit, ConfusionRow, Disagreement, Grouping, HumanAgreement,
    IrrelevantFacts, LabelError, LabelledFact, ResponseAgreement, SystemOrder, SystemPrecision,
    ToolOutput, agreement, annotated_responses, kendall,
};
pub use answer::{AnswerScore, ScoreSettings, answer_score};
pub use calibration::{
    CalibrationCurve, CalibrationError, CalibrationMethod, CalibrationQuality, Combination,
    CombinedVerifier, FittedCalibration, LabelledOdds, calibrate,
};
pub use classification::{
    Confusion, ReliabilityBin, Scored, Threshold, auroc, best_threshold, brier_score,
    calibration_error, mean_absolute_error, pearson, reliability, spearman,
};
pub use compare::compare;
pub use comparison::{
    Average, ComparedArm, Comparison, ComparisonRow, NamedContrast, Question, ScoredCell,
    SuspectGain, Warning,
};
pub use comparison_error::ComparisonError;
pub use diagnose::diagnose;
pub use diagnosis::{
    ArmDiagnosis, Away, Diagnosis, DiagnosisRow, DomainDiagnosis, DomainVerdict, Learnt, Matched,
    ProbeCell, Rule, ShiftCell,
};
pub use diagnosis_error::DiagnosisError;
pub use formula::{f1_at_k, factscore};
pub use interval::{Estimate, TestedEstimate, TopicTotals, Total};
pub use learnt::learnt;
pub use logistic::{LogisticFit, fit_logistic, probability_of};
pub use measure::{MEASURES, Measure};
pub use question::check_question;
pub use sample::{Compare, Sample, SampleIndex};
pub use scores::{DomainScores, ScoreSums, Scores, ScoresError, scores};
pub use shift::{SHIFT_MEASURES, Shift, ShiftError, ShiftMeasure, ShiftRow, shift};
pub use significance::holm;
