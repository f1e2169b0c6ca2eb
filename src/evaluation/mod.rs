//! How factual answers are, at home and away.

mod answer;
mod average;
mod comparison;
mod diagnosis;
mod interval;
mod label;
mod learnt;
mod measure;
mod paired;
mod scores;
mod shift;
mod significance;
mod warning;

pub use answer::{AnswerScore, Settings, answer_scores};
pub use average::Average;
pub use comparison::{Arm, Comparison, ComparisonError, ComparisonRow, Question, Scored, compare};
pub use diagnosis::{
    ArmDiagnosis, Diagnosis, DiagnosisError, DiagnosisRow, DomainDiagnosis, Matched, Rule, ShiftCell, Verdict, diagnose,
};
pub use interval::{Cell, Estimate, RESAMPLES, Replicate, TopicCells, contrasts, estimates};
pub use label::Label;
pub use learnt::{Learnt, ProbeCell, learnt};
pub use measure::{MEASURES, Measure, f1_at_k, factscore};
pub use scores::{DomainScores, Scores, ScoresError, scores};
pub use shift::{SHIFT_MEASURES, Shift, ShiftError, ShiftMeasure, ShiftRow, shift};
pub use significance::{holm, p_values};
pub use warning::{Warning, Way};
