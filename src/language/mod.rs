//! The words exchanged with any model, and the rows of the files between stages.

mod checks;
mod content;
pub mod json_lines;
mod preference;
mod probe;
mod rows;
mod shift;

pub use checks::{Row, span_problem};
pub use content::{Content, Message};
pub use preference::{JudgedAnswer, PreferenceAnswers, PreferenceRow};
pub use probe::{Knowing, ProbedAnswer, ProbedFact, Reply};
pub use rows::{
    Claim, Document, Evidence, Finish, Judgement, LabelledAnswer, Level, Pair, Prompt, PromptForm, Response,
    StatedFact, Verdict,
};
pub use shift::{Part, ShiftedAnswer, TokenShift};
