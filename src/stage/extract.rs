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

/// The kind. Version 1: one claim a sentence, by rules. 2: without markup, labels with their values, subjects that do not
/// come first; a claim says its topic.
pub(super) const KIND: Kind = Kind {
    name: "extract",
    version: 2,
    about: "Splits answers into single facts, each understandable without the answer, by rules.",
    inputs: &[Input::one("responses", &RESPONSES, "The answers.")],
    parameters: &[],
    provides: &[&CLAIMS],
    draws: false,
    gathers: false,
    on_device: false,
    fits: None,
    lacks: None,
    suits: None,
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
    let responses: Vec<Response> = context.rows("responses")?;
    let claims: Vec<Claim> =
        responses.iter().flat_map(|response| extract(&response.id, &response.topic, &response.output)).collect();
    json_lines::write(&context.output("claims.jsonl"), &claims).map_err(StageError::doing("write the claims"))?;
    let each = claims.len() as f64 / responses.len().max(1) as f64;
    context.note(format!("{} claims in {} answers, {each:.2} each", claims.len(), responses.len()));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stage::{trial, trial::Trial};
    use serde_json::json;

    #[test]
    fn defaults_are_understood() {
        let Parameters {} = serde_json::from_value(trial::defaults(&KIND).into()).unwrap();
    }

    #[test]
    fn claims_are_written() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("mine.jsonl");
        let row = r#"{"id":"a#0","prompt_id":"a","sample":0,"topic":"France","domain":"countries","prompt":"Tell me about France.","output":" Atlases list: Its capital is Paris. It borders","finish":"length"}"#;
        std::fs::write(&path, row).unwrap();
        let notes = Trial::new(&[("responses", &path)], json!({})).run(&KIND, folder.path(), run).unwrap();
        assert_eq!(notes, ["2 claims in 1 answers, 2.00 each"]);
        expect_test::expect![[r#"
            {"id":"a#0/0","response_id":"a#0","topic":"France","text":"France's capital is Paris.","span":[15,36]}
            {"id":"a#0/1","response_id":"a#0","topic":"France","text":"France borders","span":[37,47]}
        "#]]
        .assert_eq(&std::fs::read_to_string(folder.path().join("claims.jsonl")).unwrap());
    }
}
