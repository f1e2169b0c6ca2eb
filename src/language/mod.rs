//! The words exchanged with any model, and the rows of the files between stages.

pub mod json_lines;
mod rows;

pub use rows::{Claim, Document, Evidence, Finish, Judgement, Level, Pair, Prompt, PromptForm, Response, Verdict};
