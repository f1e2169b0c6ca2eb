//! The kind `questions`: single-fact questions from claims or prompts.

use std::{collections::BTreeMap, path::PathBuf};

use serde::Deserialize;

use crate::{
    context::{
        Context, StageError,
        artifact::{CLAIMS, PAIRS, PROMPTS, VERDICTS},
    },
    preference::{
        ClaimQuestions, CompletionTopics, Questioning, Questions, QuestionsError, all_questions,
    },
    recipe::schema::{Chosen, Declared, Input, Kind, Mismatch},
    rows::{
        Claim, Pair, Prompt, Row, RowsById, Verdict,
        json_lines::{self, JsonLinesError, checked_rows},
    },
};

/// The kind.
pub(super) const KIND: Kind = Kind {
    name: "questions",
    // 1: first version. 2: numbers, dates and letters normalised.
    version: 2,
    about: "Make a question for each fact that pairs claim, right or wrong, or for all facts of \
    the prompts.",
    inputs: &[
        Input::optional("pairs", &PAIRS, "General pairs whose completions claim the facts."),
        Input::optional("claims", &CLAIMS, "Claims of these completions."),
        Input::optional("verdicts", &VERDICTS, "Verdicts on these claims."),
        Input::optional(
            "prompts",
            &PROMPTS,
            "Single-fact questions; without them, each distinct claim becomes a question.",
        ),
    ],
    parameters: Parameters::PARAMETERS,
    provides: &[&PROMPTS],
    seeded: false,
    fan_in: false,
    on_device: None,
    cross_checks: Some(cross_checks),
    lacks: None,
    cell_checks: None,
    redundant: None,
};

/// Default question for a claim.
const QUESTION: &str = "Somebody says of {topic}: \"{claim}\" This may be true or false. State \
the true fact about {topic} in one \
     short sentence that names {topic}.";

#[derive(Debug, Deserialize, apeft_derive::Parameters)]
#[serde(deny_unknown_fields)]
struct Parameters {
    /// Facts to ask for: those that the completions of `pairs` claim, or all questions of
    /// `prompts`.
    #[parameter(default = "pairs", former = "of", foreign_values = [
        ("answers", "write `question_source = \"pairs\"`"),
    ])]
    question_source: QuestionSource,
    /// Question for a claim where `prompts` has none; {topic} and {claim} are filled in.
    #[parameter(default = QUESTION, former = "question")]
    question_template: String,
    /// Other wordings of the questions in `prompts`, by attribute; {topic} is filled in.
    #[serde(default)]
    #[parameter(former = "questions")]
    question_templates: BTreeMap<String, String>,
    /// Splits of the facts.
    #[parameter(default = ["tune"], unordered)]
    splits: Vec<String>,
    /// Domains of the facts; all by default.
    #[parameter(unordered)]
    domains: Option<Vec<String>>,
    /// Maximum questions, evenly spaced among all of them; all by default.
    #[parameter(min = 1, max = 1 << 40)]
    max_questions: Option<usize>,
}

#[derive(Debug, PartialEq, Deserialize, strum::Display, strum::VariantNames)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
enum QuestionSource {
    Pairs,
    All,
}

/// Facts of claims need verified responses; otherwise the questions come from the prompts.
fn cross_checks(chosen: &Chosen<'_>) -> Vec<Mismatch> {
    let Parameters { question_source, question_templates, .. } = chosen.parameters();
    let judged = ["pairs", "claims", "verdicts"];
    let needed: &[&str] = match question_source {
        QuestionSource::Pairs => &judged,
        QuestionSource::All => &["prompts"],
    };
    let mut found = Vec::new();
    for input in needed.iter().filter(|input| !chosen.is_given(input)) {
        let problem = format!(
            "`question_source` \"{question_source}\" needs the input `{input}`, which is not given"
        );
        let right = format!("a line `{input} = ...` is expected");
        found.push(Mismatch::error("question_source", problem, right));
    }
    if !question_templates.is_empty() && !chosen.is_given("prompts") {
        let why = "without `prompts` there are no questions to reword";
        let right = "give `prompts`, or remove it";
        found.push(Mismatch::without_effect("question_templates", why, right));
    }
    if question_source == QuestionSource::All {
        let right = "remove it, or set `question_source = \"pairs\"`";
        for input in judged.into_iter().filter(|input| chosen.is_given(input)) {
            let why = "`question_source` \"all\" uses all questions of the prompts";
            found.push(Mismatch::without_effect(input, why, right));
        }
        if chosen.is_changed("question_template") {
            let why = "`question_source` \"all\" uses the questions of the prompts";
            found.push(Mismatch::without_effect("question_template", why, right));
        }
    }
    found
}

/// Writes `prompts.jsonl`.
///
/// # Errors
/// If an input is missing or cannot be read, rows do not belong together, or no question is left.
pub(super) fn run(context: &Context) -> Result<(), StageError> {
    let Parameters {
        question_source,
        question_template,
        question_templates,
        splits,
        domains,
        max_questions,
    } = context.parameters()?;
    let questioning =
        Questioning { splits, domains, question_template, question_templates, max_questions };
    let prompts: Vec<Prompt> = match context.inputs("prompts").next() {
        Some(_) => context.rows("prompts")?,
        None => Vec::new(),
    };
    let found = match question_source {
        QuestionSource::All => all_questions(&prompts, &questioning).map_err(making()),
        QuestionSource::Pairs => questions_of_pairs(context, &prompts, &questioning),
    };
    let Questions { prompts, claims, unasked } = found?;
    json_lines::write(&context.output("prompts.jsonl"), &prompts)
        .map_err(StageError::doing("write the questions"))?;
    context.note(match question_source {
        QuestionSource::All => format!("{} questions", prompts.len()),
        QuestionSource::Pairs => {
            format!(
                "{} questions for {claims} claims; {unasked} claims match no question",
                prompts.len()
            )
        }
    });
    Ok(())
}

/// Questions for the claims of pairs: claims and verdicts are read side by side.
fn questions_of_pairs(
    context: &Context,
    prompts: &[Prompt],
    questioning: &Questioning,
) -> Result<Questions, StageError> {
    let mut completions = CompletionTopics::default();
    for line in
        json_lines::lines::<Pair>(&judged_file(context, "pairs")?).map_err(reading("pairs"))?
    {
        completions.add(&line.map_err(reading("pairs"))?.row);
    }
    let claims =
        checked_rows::<Claim>(&judged_file(context, "claims")?).map_err(reading("claims"))?;
    let verdicts = RowsById::<Verdict>::open(&judged_file(context, "verdicts")?);
    let mut verdicts = verdicts.map_err(reading("verdicts"))?;
    let mut found = ClaimQuestions::new(prompts, completions, questioning).map_err(making())?;
    for claim in claims {
        let claim = claim.map_err(reading("claims"))?;
        let verdict = verdicts.get(claim.id()).map_err(reading("verdicts"))?;
        found.add(&claim, verdict.as_ref()).map_err(making())?;
    }
    // Verdicts on other claims are no mistake, but must be verdicts.
    verdicts.left().map_err(reading("verdicts"))?;
    found.finish().map_err(making())
}

fn making() -> impl FnOnce(QuestionsError) -> StageError {
    StageError::doing("make questions")
}

/// File of an optional input that facts of claims need.
fn judged_file(context: &Context, input: &str) -> Result<PathBuf, StageError> {
    context.input_file(input, &format!("{input}.jsonl")).map_err(|error| {
        StageError(format!(
            "{error}; facts that completions claim need `pairs`, `claims` and `verdicts`"
        ))
    })
}

fn reading(input: &str) -> impl FnOnce(JsonLinesError) -> StageError {
    StageError::doing(format!("read the {input}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::context::test_support::{self, Trial};
    use serde_json::json;
    use std::fs;

    #[test]
    fn defaults_are_understood() {
        let parameters: Parameters =
            serde_json::from_value(test_support::defaults(&KIND).into()).unwrap();
        assert_eq!(
            (parameters.question_source, parameters.splits),
            (QuestionSource::Pairs, vec!["tune".to_owned()])
        );
    }

    #[test]
    fn questions_are_written() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path();
        let prompts = r#"{"id":"q0","prompt":"Where was Ann born?","topic":"Ann","domain":"people","split":"tune","form":"question","attribute":"birthplace","answers":["Ann was born in Oslo."]}
{"id":"q1","prompt":"When was Ann born?","topic":"Ann","domain":"people","split":"tune","form":"question","attribute":"year","answers":["Ann was born in 1900."]}"#;
        fs::write(path.join("prompts.jsonl"), prompts).unwrap();
        let pair = r#"{"prompt":"Tell me about Ann.","chosen":"x","rejected":"y","level":"general","topic":"Ann","domain":"people","chosen_id":"a","rejected_id":"b"}"#;
        fs::write(path.join("pairs.jsonl"), pair).unwrap();
        let claims = r#"{"id":"0","response_id":"a","text":"Ann was born in Rome.","span":[0,1]}
{"id":"1","response_id":"b","text":"Ann ann.","span":[0,1]}"#;
        fs::write(path.join("claims.jsonl"), claims).unwrap();
        let verdicts = r#"{"claim_id":"0","verdict":"unsupported","probability":0,"evidence":[{"title":"Ann","text":"Ann was born in Oslo."}]}
{"claim_id":"1","verdict":"unsupported","probability":0,"evidence":[]}"#;
        fs::write(path.join("verdicts.jsonl"), verdicts).unwrap();
        let all = [("pairs", path), ("claims", path), ("verdicts", path), ("prompts", path)];
        let output = path.join("output");
        let asked = |inputs: &[(&str, &std::path::Path)], parameters| {
            let notes = Trial::new(inputs, parameters).run(&KIND, &output, run)?;
            Ok::<_, StageError>((
                notes.concat(),
                fs::read_to_string(output.join("prompts.jsonl")).unwrap(),
            ))
        };
        let (note, rows) =
            asked(&all, json!({"question_templates": {"birthplace": "{topic} comes from?"}}))
                .unwrap();
        assert_eq!(note, "1 questions for 2 claims; 1 claims match no question");
        expect_test::expect![[r#"
            {"id":"q0","prompt":"Ann comes from?","topic":"Ann","domain":"people","split":"tune","form":"question","attribute":"birthplace","answers":["Ann was born in Oslo."]}
        "#]].assert_eq(&rows);
        let (note, rows) =
            asked(&all[..3], json!({"question_template": "Is it so? {claim}"})).unwrap();
        assert_eq!(note, "2 questions for 2 claims; 0 claims match no question");
        expect_test::expect![[r#"
            {"id":"people/Ann/ann was born in rome","prompt":"Is it so? Ann was born in Rome.","topic":"Ann","domain":"people","split":"tune","form":"question","claim":"Ann was born in Rome."}
            {"id":"people/Ann/ann ann","prompt":"Is it so? Ann ann.","topic":"Ann","domain":"people","split":"tune","form":"question","claim":"Ann ann."}
        "#]].assert_eq(&rows);
        assert_eq!(asked(&all[3..], json!({"question_source": "all"})).unwrap().0, "2 questions");
        let missing = asked(&all[1..], json!({})).unwrap_err().to_string();
        assert!(missing.contains("facts that completions claim need `pairs`"), "{missing}");
    }
}
