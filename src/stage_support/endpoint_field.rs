//! The field `endpoint` of kinds that can ask one with `by = "endpoint"`.

use std::sync::Arc;

use crate::{
    context::{Context, StageError, StageEvent},
    endpoint::{Client, EndpointError, NamedEndpoint},
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

/// A client that warns in the stage's name.
///
/// # Errors
/// If the API key is missing or the log cannot be read.
pub fn client(context: &Context, named: &NamedEndpoint) -> Result<Client, EndpointError> {
    let report = Arc::clone(&context.report);
    let client = Client::open(named, &context.store, &context.seed)?;
    Ok(client.telling(Box::new(move |text| report(StageEvent::Warning { text }))))
}

/// `by = "endpoint"` needs the field, and every other way has no use for it.
pub fn cross_checks(chosen: &Chosen<'_>, asks_endpoint: bool) -> Option<Mismatch> {
    match (asks_endpoint, chosen.values.contains_key("endpoint")) {
        (true, false) => {
            let right = "the name of an `[endpoint.NAME]` table is expected";
            Some(Mismatch::error("endpoint", PROBLEM, right))
        }
        (false, true) if chosen.is_changed("endpoint") => {
            let why = "only `by = \"endpoint\"` asks an endpoint";
            let right = "remove it, or choose `by = \"endpoint\"`";
            Some(Mismatch::without_effect("endpoint", why, right))
        }
        _ => None,
    }
}
