//! Prompts that ask a language model for the claims of an answer, and the reading of its lists.
//! Local models and endpoints share them.

mod claims;
mod extraction;
mod few_shot;
mod listing;
mod plain;
mod question;
mod template;
mod window;

pub use extraction::{ClaimAnswer, ClaimPrompts, ClaimRequest, ExtractedClaims};
pub use few_shot::{Demonstration, FewShot, FewShotError};
pub use listing::repeated_line;
pub use question::ClaimQuestion;
pub use template::PlaceError;
pub use window::ClaimTask;
