//! How factual answers are, at home and away.

mod answer;
mod average;
mod comparison;
mod interval;
mod label;
mod measure;
mod paired;
mod scores;
mod significance;
mod warning;

pub use answer::{AnswerScore, Settings, answer_scores};
pub use average::Average;
pub use comparison::{Arm, Comparison, ComparisonError, ComparisonRow, Question, Scored, compare};
pub use interval::{Cell, Estimate, RESAMPLES, Replicate, TopicCells, estimates};
pub use label::Label;
pub use measure::{MEASURES, Measure, f1_at_k, factscore};
pub use scores::{DomainScores, Scores, ScoresError, scores};
pub use significance::{holm, p_values};
pub use warning::{Warning, Way};
