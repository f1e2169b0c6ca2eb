//! What several kinds of stage share: parameters of optimisation, preference rows as tokens, models
//! and remarks on them, claims with verdicts, rows kept for the next attempt, warnings of missing
//! articles, endpoints that are asked.

pub mod claim_verdicts;
mod cycles;
pub mod encoding;
pub mod endpoint_field;
pub mod kept_rows;
pub mod label_balance;
pub mod loaded_model;
pub mod missing_pages;
pub mod model_remarks;
pub mod optimisation;
pub mod preference_rows;
mod row_findings;
