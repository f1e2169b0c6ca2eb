//! How factual answers are, at home and away.

mod answer;
mod average;
mod caution;
mod comparison;
#[cfg(test)]
mod coverage;
mod diagnosis;
mod interval;
mod label;
mod learnt;
mod measure;
mod paired;
mod sample;
mod scores;
mod shift;
mod significance;
mod warning;

pub use answer::{AnswerScore, Settings, answer_scores};
pub use average::Average;
pub use comparison::{Arm, Comparison, ComparisonError, ComparisonRow, Question, Scored, check_question, compare};
pub use diagnosis::{
    ArmDiagnosis, Diagnosis, DiagnosisError, DiagnosisRow, DomainDiagnosis, Matched, Rule, ShiftCell, Verdict, diagnose,
};
pub use interval::{Cell, Estimate, Finding, TopicCells};
pub use label::Label;
pub use learnt::{Learnt, ProbeCell, learnt};
pub use measure::{MEASURES, Measure, f1_at_k, factscore};
pub use sample::{Compare, Place, Sample};
pub use scores::{DomainScores, Scores, ScoresError, scores};
pub use shift::{SHIFT_MEASURES, Shift, ShiftError, ShiftMeasure, ShiftRow, shift};
pub use significance::holm;
pub use warning::{Warning, Way};
