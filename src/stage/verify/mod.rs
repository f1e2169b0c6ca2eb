//! The kind `verify`: verdicts on claims. Each way of verifying is a function in its own file.

mod decision;
mod endpoint;
mod kind;
mod model;
mod reading;
mod rules;
mod source;
mod task;
mod words;

pub(super) use decision::{Decision, DecisionRule};
pub(super) use kind::{KIND, endpoint_calls, run, usual_calls};
pub(super) use task::WrittenVerdicts;
