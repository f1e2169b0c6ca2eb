//! Declaration of the kind `verify`: its ways of verifying, and their checks.

use serde::Deserialize;

use crate::{
    context::{
        Context, StageError,
        artifact::{
            ADAPTER, CALIBRATION, CLAIMS, KNOWLEDGE, MODEL, PASSAGES, PROMPT_TEMPLATE, VERDICTS,
        },
    },
    endpoint::Call,
    recipe::schema::{Chosen, Declared, Input, Kind, Mismatch, Sharing},
    stage_support::endpoint_field,
    verification::Matching,
};

use super::{
    decision::DecisionRule,
    endpoint::{self, EndpointVerifierParameters},
    model::{self, ModelParameters},
    rules,
    task::{VerifyTask, WrittenVerdicts},
    words,
};

/// The kind. Version 1: exact and contained matching of words. 2: the topic's article; negated or
/// other statements are no support; dates, numbers and letters normalised; refusals are irrelevant.
/// 3: a number is a whole quantity, spans of years are equal in every spelling; pronouns after a
/// sentence about others do not refer to the topic. 4: by words of retrieved passages, calibrated,
/// with undecided claims; claims that are no facts are irrelevant. 5: a model's name in verdicts
/// follows from its adapter's configuration and its chat template too. 6: rules read the article
/// that the claims of an ambiguous topic choose. 7: by an endpoint; the budget of all
/// passages has a name of its own. 8: rules read no other article than the topic's.
/// 9: by words, a claim without passages is unsupported, whatever the threshold; reasoning of an
/// endpoint's model is no answer, and answers that deny or say both words are undecided.
pub(in crate::stage) const KIND: Kind = Kind {
    name: "verify",
    version: 9,
    about: "Verify each claim by its topic's article in the knowledge, or by retrieved passages.",
    inputs: &[
        Input::one("claims", &CLAIMS, "Claims."),
        Input::optional(
            "knowledge",
            &KNOWLEDGE,
            "Knowledge: FActScore's SQLite file, or JSON lines of {title, text}.",
        ),
        Input::optional(
            "passages",
            &PASSAGES,
            "Passages retrieved for the claims, in place of `knowledge`.",
        ),
        Input::optional(
            "calibration",
            &CALIBRATION,
            "Calibration of the same verifier, by a stage of kind `calibrate`.",
        ),
        Input::optional("verifier", &MODEL, "For `by = \"model\"`: model that is asked."),
        Input::optional(
            "verifier_adapter",
            &ADAPTER,
            "For `by = \"model\"`: adapter of the verifier.",
        ),
        Input::optional(
            "verifier_prompt",
            &PROMPT_TEMPLATE,
            "For `model` and `endpoint`: prompt in place of recipes/prompts/verify.txt.",
        ),
    ],
    parameters: Parameters::PARAMETERS,
    provides: &[&VERDICTS],
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
    /// Verifier of retrieved passages: their words with fitted weights, a model, or an endpoint.
    #[parameter(default = "words")]
    by: By,
    /// Rule on whole articles, in place of `by`: an equal sentence, or one with all content words.
    matching: Option<Matching>,
    #[serde(flatten)]
    rule: DecisionRule,
    #[serde(flatten)]
    model: ModelParameters,
    #[serde(flatten)]
    endpoint: EndpointVerifierParameters,
}

/// Ways of verifying by retrieved passages; each gives log-odds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, strum::VariantNames, strum::Display)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
enum By {
    /// Words, names, numbers and dates of retrieved passages, weighed by fitted coefficients.
    Words,
    /// A local model that is asked whether retrieved passages support the claim.
    Model,
    /// A language model behind an endpoint that is asked the same.
    Endpoint,
}

/// Either knowledge or passages; a rule reads whole articles and answers yes or no.
fn cross_checks(chosen: &Chosen<'_>) -> Vec<Mismatch> {
    let Parameters { by, matching, .. } = chosen.parameters();
    let mut found = model::cross_checks(chosen, by == By::Model);
    found.extend(endpoint_field::cross_checks(chosen, by == By::Endpoint));
    if by == By::Words && chosen.is_given("verifier_prompt") {
        let why = "only `by = \"model\"` and `by = \"endpoint\"` ask a language model";
        let right = "remove it, or choose one of them";
        found.push(Mismatch::without_effect("verifier_prompt", why, right));
    }
    if matching.is_some() && chosen.is_changed("by") {
        found.push(Mismatch::error(
            "matching",
            format!("both `matching` and `by = \"{by}\"` are given"),
            "give one of them: a rule on whole articles, or a verifier of retrieved passages",
        ));
    }
    match (chosen.is_given("knowledge"), chosen.is_given("passages")) {
        (false, false) => found.push(Mismatch::error(
            "knowledge",
            "neither `knowledge` nor `passages` is given",
            "give one of them",
        )),
        (true, true) => found.push(Mismatch::error(
            "passages",
            "both `knowledge` and `passages` are given",
            "give one of them; passages are read as they are",
        )),
        (false, true) if matching.is_some() => found.push(Mismatch::error(
            "passages",
            "`matching` reads whole articles, but only `passages` are given",
            "give `knowledge`, or remove `matching`",
        )),
        _ => {}
    }
    if matching.is_none() {
        return found;
    }
    if chosen.is_given("calibration") {
        let problem = "a rule of `matching` has no log-odds to calibrate";
        let right = "remove `calibration`, or remove `matching`";
        found.push(Mismatch::error("calibration", problem, right));
    }
    for field in ["threshold", "abstain_margin"] {
        if chosen.is_changed(field) {
            let right = "remove it, or remove `matching`";
            found.push(Mismatch::without_effect(field, "`matching` answers yes or no", right));
        }
    }
    found
}

/// The calls that it would make; none without an endpoint.
///
/// # Errors
/// If claims, passages or the prompt cannot be read.
pub(in crate::stage) fn endpoint_calls(context: &Context) -> Result<Vec<Call>, StageError> {
    let Parameters { by, rule, endpoint, .. } = context.parameters()?;
    if by != By::Endpoint {
        return Ok(Vec::new());
    }
    endpoint.calls(&VerifyTask { context, rule })
}

/// Calls for a usual claim.
///
/// # Errors
/// If the prompt cannot be read.
pub(in crate::stage) fn usual_calls(context: &Context) -> Result<Vec<Call>, StageError> {
    let Parameters { rule, endpoint, .. } = context.parameters()?;
    endpoint.usual_calls(&VerifyTask { context, rule })
}

/// Writes `verdicts.jsonl`.
///
/// # Errors
/// If inputs cannot be read or do not belong together.
pub(in crate::stage) fn run(context: &Context) -> Result<(), StageError> {
    let Parameters { by, matching, rule, model, endpoint } = context.parameters()?;
    let task = VerifyTask { context, rule };
    let mut written = WrittenVerdicts::create(context)?;
    match (matching, by) {
        (Some(matching), _) => rules::verify(&task, matching, &mut written)?,
        (None, By::Words) => words::verify(&task, &mut written)?,
        (None, By::Model) => model::verify(&task, &model, &mut written)?,
        (None, By::Endpoint) => endpoint::verify(&task, &endpoint, &mut written)?,
    }
    written.finish(context)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::context::test_support::{self, Trial};
    use serde_json::json;

    #[test]
    fn defaults_are_understood() {
        let parameters: Parameters =
            serde_json::from_value(test_support::defaults(&KIND).into()).unwrap();
        let Parameters { by, matching, rule, .. } = parameters;
        let DecisionRule { threshold, abstain_margin } = rule;
        assert_eq!((by, matching, threshold, abstain_margin), (By::Words, None, None, 0.0));
    }

    fn misfit(inputs: &[&str], parameters: serde_json::Value) -> Vec<(&'static str, bool)> {
        let found = test_support::misfits(&KIND, inputs, parameters);
        found.into_iter().map(|misfit| (misfit.field, misfit.is_error)).collect()
    }

    #[test]
    fn inputs_and_parameters_that_do_not_fit_are_named() {
        let exact = json!({"matching": "exact"});
        assert_eq!(misfit(&["claims", "knowledge"], json!({})), []);
        assert_eq!(misfit(&["claims", "passages", "calibration"], json!({})), []);
        assert_eq!(misfit(&["claims", "knowledge"], exact.clone()), []);
        assert_eq!(misfit(&["claims"], json!({})), [("knowledge", true)]);
        assert_eq!(misfit(&["claims", "knowledge", "passages"], json!({})), [("passages", true)]);
        assert_eq!(misfit(&["claims", "passages"], exact.clone()), [("passages", true)]);
        assert_eq!(misfit(&["claims", "knowledge", "calibration"], exact), [("calibration", true)]);
        assert_eq!(
            misfit(&["claims", "knowledge"], json!({"matching": "contained", "threshold": 0.4})),
            [("threshold", false)]
        );
        let both = json!({"matching": "contained", "by": "model"});
        assert_eq!(misfit(&["claims", "knowledge", "verifier"], both), [("matching", true)]);
    }

    #[test]
    fn a_verifier_is_for_models_and_models_need_one() {
        let model = json!({"by": "model"});
        let (given, asked) = (["claims", "passages", "verifier"], ["claims", "passages"]);
        assert_eq!(misfit(&given, model.clone()), []);
        assert_eq!(misfit(&asked, model), [("verifier", true)]);
        let found = misfit(&given, json!({"verifier_dtype": "bfloat16"}));
        assert_eq!(found, [("verifier", false), ("verifier_dtype", false)]);
        for (by, uses_device) in [("model", true), ("words", false), ("endpoint", false)] {
            let parameters = [("by".to_owned(), by.into())].into_iter().collect();
            assert_eq!(KIND.uses_device(&parameters), uses_device, "{by}");
        }
    }

    fn written(path: &Path, texts: &[(&str, &str)]) {
        let rows = texts.iter().enumerate().map(|(id, (text, kind))| {
            format!(
                "{{\"id\":\"{id}\",\"response_id\":\"a\",\"topic\":\"France\",\"text\":\"{text}\",\
                \"span\":[0,1],\"kind\":\"{kind}\"}}\n"
            )
        });
        std::fs::write(path, rows.collect::<String>()).unwrap();
    }

    #[test]
    fn rules_read_the_article_and_other_statements_than_facts_are_irrelevant() {
        let folder = tempfile::tempdir().unwrap();
        let (claims, knowledge) =
            (folder.path().join("claims.jsonl"), folder.path().join("articles.jsonl"));
        let texts = [
            ("France's capital is Paris.", "fact"),
            ("Paris, the capital of France.", "fact"),
            ("Why?", "fact"),
            ("France's capital is Paris.", "heading"),
        ];
        written(&claims, &texts);
        std::fs::write(&knowledge, r#"{"title":"France","text":"France's capital is Paris."}"#)
            .unwrap();
        let judged = |matching: &str| {
            let inputs = [("claims", claims.as_path()), ("knowledge", knowledge.as_path())];
            let trial = Trial::new(&inputs, json!({"matching": matching}));
            trial.run(&KIND, folder.path(), run).unwrap().concat()
        };
        assert_eq!(judged("contained"), "2 claims supported, 0 unsupported, 2 irrelevant");
        assert_eq!(judged("exact"), "1 claims supported, 1 unsupported, 2 irrelevant");
        expect_test::expect![[r#"
            {"claim_id":"0","verdict":"supported","probability":1.0,"evidence":[{"title":"France","text":"France's capital is Paris."}]}
            {"claim_id":"1","verdict":"unsupported","probability":0.0,"evidence":[{"title":"France","text":"France's capital is Paris."}]}
            {"claim_id":"2","verdict":"irrelevant","probability":0.0,"evidence":[]}
            {"claim_id":"3","verdict":"irrelevant","probability":0.0,"evidence":[]}
        "#]]
            .assert_eq(&std::fs::read_to_string(folder.path().join("verdicts.jsonl")).unwrap());
    }
}
