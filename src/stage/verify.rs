//! The kind `verify`: claims against knowledge.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::{
    Context, StageError,
    artifact::{CLAIMS, KNOWLEDGE, VERDICTS},
};
use crate::{
    knowledge::Knowledge,
    language::{Claim, json_lines},
    recipe::schema::{Default, Input, Kind, Parameter, Shape},
    verification::{Matching, Tally, verify},
};

/// The kind. Version 1: exact and contained matching of words. 2: the topic's article; what is denied, or said of something
/// else, is no support; dates, numbers and letters in one spelling; refusals are irrelevant.
pub(super) const KIND: Kind = Kind {
    name: "verify",
    version: 2,
    about: "Judges each claim by the sentences of the document about its topic; it sees the claim's text and topic and the knowledge only.",
    inputs: &[
        Input::one("claims", &CLAIMS, "The claims."),
        Input::one("knowledge", &KNOWLEDGE, "What is true: FActScore's SQLite file, or JSON lines of {title, text}."),
    ],
    parameters: &[Parameter::new(
        "matching",
        Shape::Choice(&["exact", "contained"]),
        Default::Text("exact"),
        "When a claim is supported: `exact` where a sentence equals it but for case, punctuation, articles and forms of dates; `contained` where one says all its words of the same.",
    )],
    provides: &[&VERDICTS],
    draws: false,
    gathers: false,
    on_device: false,
    fits: None,
    lacks: None,
    suits: None,
};

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Parameters {
    matching: MatchingBy,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
enum MatchingBy {
    Exact,
    Contained,
}

/// How many claims lie between two reports of progress.
const STRIDE: usize = 500;

/// Writes `verdicts.jsonl`.
///
/// # Errors
/// Where claims or knowledge cannot be read.
pub(super) fn run(context: &Context) -> Result<(), StageError> {
    let parameters: Parameters = context.parameters()?;
    let matching = match parameters.matching {
        MatchingBy::Exact => Matching::Exact,
        MatchingBy::Contained => Matching::Contained,
    };
    let claims: Vec<Claim> = context.rows("claims")?;
    let knowledge = Knowledge::open(&context.input_file("knowledge", "knowledge.db")?)
        .map_err(StageError::doing("open the knowledge"))?;
    let mut verdicts = Vec::with_capacity(claims.len());
    let mut tally = Tally::default();
    for (index, claim) in claims.iter().enumerate() {
        if index % STRIDE == 0 {
            context.progress(index as u64, claims.len() as u64, "claims");
        }
        let verdict = verify(claim, &knowledge, matching).map_err(StageError::doing("read the knowledge"))?;
        tally.add(verdict.verdict);
        verdicts.push(verdict);
    }
    context.progress(claims.len() as u64, claims.len() as u64, "claims");
    json_lines::write(&context.output("verdicts.jsonl"), &verdicts).map_err(StageError::doing("write the verdicts"))?;
    let Tally { supported, unsupported, irrelevant } = tally;
    context.note(format!("{supported} claims supported, {unsupported} unsupported, {irrelevant} irrelevant"));
    warn_of_unknown_topics(context, &claims, &knowledge)
}

/// Counts the claims whose topic has no article: they count as unsupported, whether they hold or not.
fn warn_of_unknown_topics(context: &Context, claims: &[Claim], knowledge: &Knowledge) -> Result<(), StageError> {
    let mut missing: BTreeMap<&str, usize> = BTreeMap::new();
    for claim in claims.iter().filter(|claim| !claim.topic.is_empty()) {
        let title = knowledge.title_of(&claim.topic).map_err(StageError::doing("read the knowledge"))?;
        if title.is_none() {
            *missing.entry(&claim.topic).or_default() += 1;
        }
    }
    let count: usize = missing.values().sum();
    if let Some(first) = missing.keys().next() {
        context.warn(format!(
            "{count} of {} claims are of {} topics without an article of their own in the knowledge, `{first}` among them",
            claims.len(),
            missing.len()
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stage::{trial, trial::Trial};
    use serde_json::json;

    #[test]
    fn defaults_are_understood() {
        let parameters: Parameters = serde_json::from_value(trial::defaults(&KIND).into()).unwrap();
        assert!(matches!(parameters.matching, MatchingBy::Exact));
    }

    #[test]
    fn verdicts_are_written() {
        let folder = tempfile::tempdir().unwrap();
        let (claims, knowledge) = (folder.path().join("claims.jsonl"), folder.path().join("articles.jsonl"));
        let claim = |id: u8, text: &str| {
            format!("{{\"id\":\"{id}\",\"response_id\":\"a\",\"text\":\"{text}\",\"span\":[0,1]}}\n")
        };
        let rows =
            [claim(0, "France's capital is Paris."), claim(1, "Paris, the capital of France."), claim(2, "Why?")];
        std::fs::write(&claims, rows.concat()).unwrap();
        std::fs::write(&knowledge, r#"{"title":"France","text":"France's capital is Paris."}"#).unwrap();
        let judged = |matching: &str| {
            let inputs = [("claims", claims.as_path()), ("knowledge", knowledge.as_path())];
            Trial::new(&inputs, json!({"matching": matching})).run(&KIND, folder.path(), run).unwrap().concat()
        };
        assert_eq!(judged("contained"), "2 claims supported, 0 unsupported, 1 irrelevant");
        assert_eq!(judged("exact"), "1 claims supported, 1 unsupported, 1 irrelevant");
        expect_test::expect![[r#"
            {"claim_id":"0","verdict":"supported","probability":1.0,"evidence":[{"title":"France","text":"France's capital is Paris."}]}
            {"claim_id":"1","verdict":"unsupported","probability":0.0,"evidence":[{"title":"France","text":"France's capital is Paris."}]}
            {"claim_id":"2","verdict":"irrelevant","probability":0.0,"evidence":[]}
        "#]]
            .assert_eq(&std::fs::read_to_string(folder.path().join("verdicts.jsonl")).unwrap());
    }
}
