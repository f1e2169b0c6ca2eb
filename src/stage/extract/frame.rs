//! The kind's declaration, and what it reads and writes.

use rayon::prelude::*;
use serde::Deserialize;

use super::{
    endpoint::{self, EndpointParameters},
    few_shot::{self, FewShotParameters},
    model::{self, ExtractorParameters},
};

use crate::{
    context::{
        Context, StageError,
        artifact::{ADAPTER, CLAIMS, DEMONSTRATIONS, MODEL, PROMPT_TEMPLATE, RESPONSES},
    },
    endpoint::Call,
    facts::{extract, extract_clauses},
    recipe::schema::{Chosen, Declared, Input, Kind, Mismatch, Sharing},
    rows::{Claim, Response, ResponseId, json_lines},
    stage_support::endpoint_field,
};

/// The kind. Version 1: one claim per sentence, by rules. 2: without markup, labels with their
/// values, subjects in any position; claims carry their topic. 3: a pronoun after a sentence about
/// kin or a friend does not refer to the topic. 4: several claims per sentence, with their pieces,
/// kinds and repetitions. 5: the words that choose a prompt's nearest demonstration are those of
/// retrieval. 6: by a local model too; every special token of its tokenizer is plain text. 7: the
/// answer of a local model ends where it repeats a line. 8: claims of a language model have kinds;
/// `unfaithful` reads other spellings as the same word.
pub(in crate::stage) const KIND: Kind = Kind {
    name: "extract",
    version: 8,
    about: "Extract claims from responses, each understandable on its own.",
    inputs: &[
        Input::one("responses", &RESPONSES, "Responses."),
        Input::optional("extractor", &MODEL, "For `by = \"model\"`: model that is asked."),
        Input::optional(
            "extractor_adapter",
            &ADAPTER,
            "For `by = \"model\"`: adapter of the extractor.",
        ),
        Input::optional(
            "extract_prompt",
            &PROMPT_TEMPLATE,
            "For a language model: prompt in place of recipes/prompts/extract.txt.",
        ),
        Input::optional(
            "demonstrations",
            &DEMONSTRATIONS,
            "For a language model: demonstrations in place of recipes/prompts/extract.jsonl.",
        ),
    ],
    parameters: Parameters::PARAMETERS,
    provides: &[&CLAIMS],
    seeded: false,
    fan_in: false,
    on_device: Some(Sharing::Alone),
    cross_checks: Some(cross_checks),
    lacks: None,
    cell_checks: None,
    redundant: None,
};

#[derive(Debug, Deserialize, apeft_derive::Parameters)]
struct Parameters {
    /// Extractor: rules for each fact of a sentence or whole sentences, or a language model.
    #[parameter(default = "clauses")]
    by: Extractor,
    #[serde(flatten)]
    model: ExtractorParameters,
    #[serde(flatten)]
    endpoint: EndpointParameters,
    #[serde(flatten)]
    few_shot: FewShotParameters,
}

/// How claims are extracted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, strum::VariantNames)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
enum Extractor {
    /// One claim per fact, by rules.
    Clauses,
    /// One claim per sentence, by rules.
    Sentences,
    /// By a local model.
    Model,
    /// By an endpoint.
    Endpoint,
}

/// What only a language model reads has no effect without one.
fn cross_checks(chosen: &Chosen<'_>) -> Vec<Mismatch> {
    let Parameters { by, .. } = chosen.parameters();
    let mut found = model::cross_checks(chosen, by == Extractor::Model);
    found.extend(endpoint_field::cross_checks(chosen, by == Extractor::Endpoint));
    if matches!(by, Extractor::Clauses | Extractor::Sentences) {
        let parameters = FewShotParameters::PARAMETERS.iter().map(|parameter| parameter.name);
        let fields = few_shot::INPUTS.into_iter().chain(parameters);
        let right = "remove it, or set `by = \"model\"` or `by = \"endpoint\"`";
        found.extend(chosen.unused(fields, "rules ask no language model", right));
    }
    found
}

/// The calls that it would make; none without an endpoint.
///
/// # Errors
/// If the responses or the prompt cannot be read.
pub(in crate::stage) fn endpoint_calls(context: &Context) -> Result<Vec<Call>, StageError> {
    let Parameters { by, endpoint, few_shot, .. } = context.parameters()?;
    match by {
        Extractor::Endpoint => {
            endpoint.calls(context, &few_shot, &context.rows::<Response>("responses")?)
        }
        Extractor::Clauses | Extractor::Sentences | Extractor::Model => Ok(Vec::new()),
    }
}

/// Calls for the sentences of a usual response.
///
/// # Errors
/// If the prompt cannot be read.
pub(in crate::stage) fn usual_calls(context: &Context) -> Result<Vec<Call>, StageError> {
    let Parameters { endpoint, few_shot, .. } = context.parameters()?;
    endpoint.calls(context, &few_shot, &[endpoint::usual_response()])
}

/// Writes `claims.jsonl`.
///
/// # Errors
/// If the responses cannot be read, or the language model does not answer.
pub(in crate::stage) fn run(context: &Context) -> Result<(), StageError> {
    let Parameters { by, model, endpoint, few_shot } = context.parameters()?;
    let mut written = WrittenClaims::create(context)?;
    match by {
        Extractor::Clauses => written.by_rules(context, extract_clauses)?,
        Extractor::Sentences => written.by_rules(context, extract)?,
        Extractor::Model | Extractor::Endpoint => {
            let responses: Vec<Response> = context.rows("responses")?;
            let claims = match by {
                Extractor::Model => model::claims(context, &model, &few_shot, &responses)?,
                _ => endpoint::claims(context, &endpoint, &few_shot, &responses)?,
            };
            written.add(responses.len(), &claims)?;
        }
    }
    written.finish(context)
}

/// Number of responses that are in memory at once.
const AT_ONCE: usize = 1024;

/// The file of claims, and how many it has.
struct WrittenClaims {
    rows: json_lines::RowWriter,
    responses: usize,
    claims: usize,
    /// Claims that are no facts.
    others: usize,
    repeats: usize,
}

impl WrittenClaims {
    fn create(context: &Context) -> Result<Self, StageError> {
        let rows = json_lines::RowWriter::create(&context.output("claims.jsonl"))
            .map_err(StageError::doing("write the claims"))?;
        Ok(Self { rows, responses: 0, claims: 0, others: 0, repeats: 0 })
    }

    /// The claims of all responses by a rule for one response.
    fn by_rules(&mut self, context: &Context, claims_of: ClaimsOf) -> Result<(), StageError> {
        let mut responses = context.each_row::<Response>("responses")?;
        loop {
            let some: Vec<Response> = responses.by_ref().take(AT_ONCE).collect::<Result<_, _>>()?;
            if some.is_empty() {
                return Ok(());
            }
            let found = some.par_iter();
            let found = found.flat_map_iter(|one| claims_of(&one.id, &one.topic, &one.output));
            self.add(some.len(), &found.collect::<Vec<Claim>>())?;
        }
    }

    fn add(&mut self, responses: usize, claims: &[Claim]) -> Result<(), StageError> {
        self.responses += responses;
        self.claims += claims.len();
        for claim in claims {
            self.others += usize::from(!claim.kind.is_fact());
            self.repeats += usize::from(claim.duplicate_of.is_some());
            self.rows.write(claim).map_err(StageError::doing("write the claims"))?;
        }
        Ok(())
    }

    fn finish(self, context: &Context) -> Result<(), StageError> {
        let Self { rows, responses, claims, others, repeats } = self;
        rows.finish().map_err(StageError::doing("write the claims"))?;
        let each = claims as f64 / responses.max(1) as f64;
        context.note(format!("{claims} claims in {responses} responses, {each:.2} each"));
        if others + repeats > 0 {
            context.note(format!(
                "{others} of them are no facts (refusals, questions, opinions), {repeats} repeat \
                one"
            ));
        }
        Ok(())
    }
}

/// A rule: the claims of a response from its id, topic and output.
type ClaimsOf = fn(&ResponseId, &str, &str) -> Vec<Claim>;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::context::test_support::{self, Trial};
    use serde_json::json;

    #[test]
    fn defaults_are_understood() {
        let Parameters { by, endpoint, .. } =
            serde_json::from_value(test_support::defaults(&KIND).into()).unwrap();
        assert!(by == Extractor::Clauses && endpoint.endpoint.is_none());
    }

    #[test]
    fn claims_are_written() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("mine.jsonl");
        let row = r#"{"id":"a#0","prompt_id":"a","sample":0,"topic":"France","domain":"countries","prompt":"Tell me about France.","output":" Atlases list: Its capital is Paris. It borders","finish":"length"}"#;
        std::fs::write(&path, row).unwrap();
        let notes = Trial::new(&[("responses", &path)], json!({"by": "sentences"}))
            .run(&KIND, folder.path(), run)
            .unwrap();
        assert_eq!(notes, ["2 claims in 1 responses, 2.00 each"]);
        expect_test::expect![[r#"
            {"id":"a#0/0","response_id":"a#0","topic":"France","text":"France's capital is Paris.","span":[15,36]}
            {"id":"a#0/1","response_id":"a#0","topic":"France","text":"France borders","span":[37,47]}
        "#]]
        .assert_eq(&std::fs::read_to_string(folder.path().join("claims.jsonl")).unwrap());
    }

    #[test]
    fn claims_of_clauses_have_pieces_and_kinds() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("mine.jsonl");
        let row = r#"{"id":"a#0","prompt_id":"a","sample":0,"topic":"Ada Quill","domain":"people","prompt":"Who is she?","output":"Ada Quill sang and danced. She sang. Do you know her?","finish":"stop"}"#;
        std::fs::write(&path, row).unwrap();
        let notes =
            Trial::new(&[("responses", &path)], json!({})).run(&KIND, folder.path(), run).unwrap();
        assert_eq!(
            notes,
            [
                "4 claims in 1 responses, 4.00 each",
                "1 of them are no facts (refusals, questions, opinions), 1 repeat one"
            ]
        );
        expect_test::expect![[r#"
            {"id":"a#0/0","response_id":"a#0","topic":"Ada Quill","text":"Ada Quill sang.","span":[0,14],"spans":[[0,14]],"sentence":[0,26]}
            {"id":"a#0/1","response_id":"a#0","topic":"Ada Quill","text":"Ada Quill danced.","span":[0,25],"spans":[[0,9],[19,25]],"sentence":[0,26]}
            {"id":"a#0/2","response_id":"a#0","topic":"Ada Quill","text":"Ada Quill sang.","span":[27,35],"spans":[[27,35]],"sentence":[27,36],"duplicate_of":"a#0/0"}
            {"id":"a#0/3","response_id":"a#0","topic":"Ada Quill","text":"Do you know Ada Quill?","span":[37,53],"spans":[[37,53]],"sentence":[37,53],"kind":"question"}
        "#]]
            .assert_eq(&std::fs::read_to_string(folder.path().join("claims.jsonl")).unwrap());
    }
}
