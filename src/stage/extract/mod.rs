//! The kind `extract`: claims of responses, by rules or by a language model.

mod endpoint;
mod few_shot;
mod frame;
mod model;

pub(super) use frame::{KIND, endpoint_calls, run, usual_calls};
