//! How factual answers are, at home and away.

mod answer;
mod comparison;
mod interval;
mod measure;
mod scores;

pub use answer::{AnswerScore, Settings, answer_scores};
pub use comparison::{Arm, Comparison, ComparisonError, ComparisonRow, Scored, compare};
pub use interval::{Cell, Estimate, RESAMPLES, Replicate, TopicCells, estimates};
pub use measure::{MEASURES, Measure, f1_at_k, factscore};
pub use scores::{DomainScores, Scores, ScoresError, scores};
