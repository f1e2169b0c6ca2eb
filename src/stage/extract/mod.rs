//! The kind `extract`: claims of responses, by rules or by a language model.

mod endpoint;
mod frame;

pub(super) use frame::{KIND, endpoint_calls, run};
