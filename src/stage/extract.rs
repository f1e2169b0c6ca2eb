//! The kind `extract`: answers into claims.

use serde::Deserialize;

use super::{
    Context, StageError,
    artifact::{CLAIMS, RESPONSES},
};
use crate::{
    facts::extract,
    language::{Claim, Response, json_lines},
    recipe::schema::{Input, Kind},
};

/// The kind. Version 1: one claim a sentence, by rules.
pub(super) const KIND: Kind = Kind {
    name: "extract",
    version: 1,
    about: "Splits answers into single facts, each understandable without the answer, by rules.",
    inputs: &[Input::one("responses", &RESPONSES, "The answers.")],
    parameters: &[],
    provides: &[&CLAIMS],
    draws: false,
    gathers: false,
    on_device: false,
};

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Parameters {}

/// Writes `claims.jsonl`.
///
/// # Errors
/// Where the responses cannot be read.
pub(super) fn run(context: &Context) -> Result<(), StageError> {
    let Parameters {} = context.parameters()?;
    let path = context.input_file("responses", "responses.jsonl")?;
    let responses: Vec<Response> = json_lines::read(&path).map_err(StageError::doing("read the responses"))?;
    let claims: Vec<Claim> =
        responses.iter().flat_map(|response| extract(&response.id, &response.topic, &response.output)).collect();
    json_lines::write(&context.output("claims.jsonl"), &claims).map_err(StageError::doing("write the claims"))?;
    let each = claims.len() as f64 / responses.len().max(1) as f64;
    context.note(format!("{} claims in {} answers, {each:.2} each", claims.len(), responses.len()));
    Ok(())
}
