//! The kind `questions`: what answers claim, or all that is known, into questions for single facts.

use std::{collections::BTreeMap, path::PathBuf};

use serde::Deserialize;

use super::{
    Context, StageError,
    artifact::{CLAIMS, PAIRS, PROMPTS, VERDICTS},
};
use crate::{
    language::{
        Claim, Pair, Prompt, Verdict,
        json_lines::{self, JsonLinesError, read_rows},
    },
    preference::{Questioning, Questions, all_questions, questions_of_answers},
    recipe::schema::{Chosen, Default, Input, Kind, Mismatch, Parameter, Shape},
};

/// The kind.
pub(super) const KIND: Kind = Kind {
    name: "questions",
    // 1: the first. 2: numbers, dates and letters in one spelling.
    version: 2,
    about: "Asks for each fact that the answers of pairs claim, right or wrong, or for all facts of the prompts.",
    inputs: &[
        Input::optional("pairs", &PAIRS, "The general pairs whose answers claim the facts."),
        Input::optional("claims", &CLAIMS, "What these answers claim."),
        Input::optional("verdicts", &VERDICTS, "What was found of these claims."),
        Input::optional(
            "prompts",
            &PROMPTS,
            "Questions for single facts; without any, each different claim becomes one.",
        ),
    ],
    parameters: &[
        Parameter::new(
            "of",
            Shape::Choice(&["answers", "all"]),
            Default::Text("answers"),
            "Whether facts are asked for that the answers of pairs claim, or all questions of the prompts.",
        ),
        Parameter::new(
            "question",
            Shape::Text,
            Default::Text(
                "Somebody says of {topic}: \"{claim}\" This may be true or false. State the true fact about {topic} in one short sentence that names {topic}.",
            ),
            "How a claim is asked about where the prompts have no questions; {topic} and {claim} are filled in.",
        ),
        Parameter::new(
            "questions",
            Shape::Table(&Shape::Text),
            Default::Absent,
            "Other wordings of the prompts' questions, by attribute; {topic} is filled in.",
        ),
        Parameter::new(
            "splits",
            Shape::List(&Shape::Text),
            Default::Texts(&["tune"]),
            "Only facts of these splits are asked for.",
        )
        .set(),
        Parameter::new(
            "domains",
            Shape::List(&Shape::Text),
            Default::Absent,
            "Only facts of these domains are asked for.",
        )
        .set(),
    ],
    provides: &[&PROMPTS],
    draws: false,
    gathers: false,
    on_device: false,
    fits: Some(fits),
    lacks: None,
    suits: None,
};

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Parameters {
    of: Of,
    question: String,
    #[serde(default)]
    questions: BTreeMap<String, String>,
    splits: Vec<String>,
    domains: Option<Vec<String>>,
}

#[derive(Debug, PartialEq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Of {
    Answers,
    All,
}

/// Facts that answers claim need these answers, judged; all questions are those of the prompts.
fn fits(chosen: &Chosen<'_>) -> Vec<Mismatch> {
    let of = chosen.text("of");
    let judged = ["pairs", "claims", "verdicts"];
    let needed: &[&str] = if of == "answers" { &judged } else { &["prompts"] };
    let mut found = Vec::new();
    for input in needed.iter().filter(|input| !chosen.is_given(input)) {
        let problem = format!("`of` \"{of}\" needs the input `{input}`, which is not given");
        found.push(Mismatch::error("of", problem, format!("a line `{input} = ...` is expected")));
    }
    for input in judged.into_iter().filter(|input| of != "answers" && chosen.is_given(input)) {
        let why = "`of` \"all\" asks all questions of the prompts";
        found.push(Mismatch::of_no_use(input, why, "leave it out, or set `of = \"answers\"`"));
    }
    if chosen.has("questions") && !chosen.is_given("prompts") {
        let why = "without `prompts` there are no questions to word";
        found.push(Mismatch::of_no_use("questions", why, "give `prompts`, or leave it out"));
    }
    if chosen.is_changed("question") && of == "all" {
        let why = "`of` \"all\" asks the questions of the prompts";
        found.push(Mismatch::of_no_use("question", why, "leave it out, or set `of = \"answers\"`"));
    }
    found
}

/// Writes `prompts.jsonl`.
///
/// # Errors
/// Where an input is missing or cannot be read, rows do not belong together, or no question is left.
pub(super) fn run(context: &Context) -> Result<(), StageError> {
    let Parameters { of, question, questions, splits, domains } = context.parameters()?;
    let questioning = Questioning { splits, domains, question, questions };
    let prompts: Vec<Prompt> = match context.inputs("prompts").next() {
        Some(_) => read_rows(&file(context, "prompts", &of)?).map_err(reading("prompts"))?,
        None => Vec::new(),
    };
    let found = match of {
        Of::All => all_questions(&prompts, &questioning),
        Of::Answers => {
            let pairs: Vec<Pair> = json_lines::read(&file(context, "pairs", &of)?).map_err(reading("pairs"))?;
            let claims: Vec<Claim> = read_rows(&file(context, "claims", &of)?).map_err(reading("claims"))?;
            let verdicts: Vec<Verdict> = read_rows(&file(context, "verdicts", &of)?).map_err(reading("verdicts"))?;
            questions_of_answers(&prompts, &pairs, &claims, &verdicts, &questioning)
        }
    };
    let Questions { prompts, claims, unasked } = found.map_err(StageError::doing("ask for facts"))?;
    json_lines::write(&context.output("prompts.jsonl"), &prompts).map_err(StageError::doing("write the questions"))?;
    context.note(match of {
        Of::All => format!("{} questions", prompts.len()),
        Of::Answers => {
            format!("{} questions for what {claims} claims state; {unasked} are of no such fact", prompts.len())
        }
    });
    Ok(())
}

/// The file of an input, which the recipe may have left out.
fn file(context: &Context, input: &str, of: &Of) -> Result<PathBuf, StageError> {
    context.input_file(input, &format!("{input}.jsonl")).map_err(|error| match of {
        Of::Answers => StageError(format!("{error}; facts that answers claim need `pairs`, `claims` and `verdicts`")),
        Of::All => error,
    })
}

fn reading(input: &str) -> impl FnOnce(JsonLinesError) -> StageError {
    StageError::doing(format!("read the {input}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stage::{trial, trial::Trial};
    use serde_json::json;
    use std::fs;

    #[test]
    fn defaults_are_understood() {
        let parameters: Parameters = serde_json::from_value(trial::defaults(&KIND).into()).unwrap();
        assert_eq!((parameters.of, parameters.splits), (Of::Answers, vec!["tune".to_owned()]));
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
            Ok::<_, StageError>((notes.concat(), fs::read_to_string(output.join("prompts.jsonl")).unwrap()))
        };
        let (note, rows) = asked(&all, json!({"questions": {"birthplace": "{topic} comes from?"}})).unwrap();
        assert_eq!(note, "1 questions for what 2 claims state; 1 are of no such fact");
        expect_test::expect![[r#"
            {"id":"q0","prompt":"Ann comes from?","topic":"Ann","domain":"people","split":"tune","form":"question","attribute":"birthplace","answers":["Ann was born in Oslo."]}
        "#]].assert_eq(&rows);
        let (note, rows) = asked(&all[..3], json!({"question": "Is it so? {claim}"})).unwrap();
        assert_eq!(note, "2 questions for what 2 claims state; 0 are of no such fact");
        expect_test::expect![[r#"
            {"id":"people/Ann/ann was born in rome","prompt":"Is it so? Ann was born in Rome.","topic":"Ann","domain":"people","split":"tune","form":"question","claim":"Ann was born in Rome."}
            {"id":"people/Ann/ann ann","prompt":"Is it so? Ann ann.","topic":"Ann","domain":"people","split":"tune","form":"question","claim":"Ann ann."}
        "#]].assert_eq(&rows);
        assert_eq!(asked(&all[3..], json!({"of": "all"})).unwrap().0, "2 questions");
        let missing = asked(&all[1..], json!({})).unwrap_err().to_string();
        assert!(missing.contains("facts that answers claim need `pairs`"), "{missing}");
    }
}
