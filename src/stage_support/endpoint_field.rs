//! The field `endpoint` of kinds that can ask one with `by = "endpoint"`.

use crate::{
    context::StageError,
    endpoint::{EndpointError, NamedEndpoint},
    recipe::schema::{Chosen, Mismatch},
};

const PROBLEM: &str = "`by = \"endpoint\"` needs an `endpoint`";

impl From<EndpointError> for StageError {
    fn from(error: EndpointError) -> Self {
        Self(error.to_string())
    }
}

/// The endpoint that a stage asks.
///
/// # Errors
/// If it names none.
pub fn given(endpoint: Option<&NamedEndpoint>) -> Result<&NamedEndpoint, StageError> {
    endpoint.ok_or_else(|| StageError(PROBLEM.to_owned()))
}

/// The endpoint that is missing.
pub fn missing(chosen: &Chosen<'_>) -> Option<Mismatch> {
    let right = "the name of an `[endpoint.NAME]` table is expected";
    let is_missing = !chosen.values.contains_key("endpoint");
    is_missing.then(|| Mismatch::error("endpoint", PROBLEM, right))
}
