//! How factual answers are, at home and away.

mod answer;
mod comparison;
mod diagnosis;
mod interval;
mod learnt;
mod measure;
mod scores;
mod shift;

pub use answer::{AnswerScore, Settings, answer_scores};
pub use comparison::{Arm, Comparison, ComparisonError, ComparisonRow, Scored, compare};
pub use diagnosis::{
    ArmDiagnosis, Diagnosis, DiagnosisError, DiagnosisRow, DomainDiagnosis, Matched, Rule, ShiftCell, Verdict, diagnose,
};
pub use interval::{Cell, Estimate, RESAMPLES, Replicate, TopicCells, contrasts, estimates};
pub use learnt::{Learnt, ProbeCell, learnt};
pub use measure::{MEASURES, Measure, f1_at_k, factscore};
pub use scores::{DomainScores, Scores, ScoresError, scores};
pub use shift::{SHIFT_MEASURES, Shift, ShiftError, ShiftMeasure, ShiftRow, shift};
