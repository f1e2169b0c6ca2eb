//! Which stages ask an endpoint, and their calls before they are made.

use std::collections::BTreeMap;

use serde_json::Value;

use super::{extract, verify};
use crate::{
    context::{Context, StageError},
    endpoint::Call,
};

/// Whether a stage with these parameters asks an endpoint.
pub fn asks_endpoint(kind: &str, parameters: &BTreeMap<String, Value>) -> bool {
    let by = parameters.get("by").and_then(Value::as_str);
    ["extract", "verify"].contains(&kind) && by == Some("endpoint")
}

/// Calls of usual length, for a stage whose inputs do not exist yet.
///
/// # Errors
/// If a prompt cannot be read.
pub fn usual_calls(kind: &str, context: &Context) -> Result<Vec<Call>, StageError> {
    match kind {
        "extract" => extract::usual_calls(context),
        "verify" => verify::usual_calls(context),
        _ => Ok(Vec::new()),
    }
}

/// The calls that a stage would make, as far as they do not depend on answers; some may be in the
/// log.
///
/// # Errors
/// If an input cannot be read.
pub fn endpoint_calls(kind: &str, context: &Context) -> Result<Vec<Call>, StageError> {
    match kind {
        "extract" => extract::endpoint_calls(context),
        "verify" => verify::endpoint_calls(context),
        _ => Ok(Vec::new()),
    }
}
