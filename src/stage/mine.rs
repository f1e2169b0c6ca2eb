//! The kind `mine`: judged answers into general preference pairs.

use serde::Deserialize;

use super::{
    Context, StageError,
    artifact::{CLAIMS, PAIRS, PROMPTS, RESPONSES, VERDICTS},
};
use crate::{
    language::{Claim, Prompt, Response, Verdict, json_lines},
    preference::{Answers, Mined, Mining, mine},
    recipe::schema::{Default, Input, Kind, Parameter, Shape},
};

/// The kind.
pub(super) const KIND: Kind = Kind {
    name: "mine",
    // 1: the first. 2: pairs say which facts their answers state.
    version: 2,
    about: "Pairs the answers to each prompt, the more precise one chosen; leaves out pairs that name a topic which tuning must not see.",
    inputs: &[
        Input::one("responses", &RESPONSES, "Several answers to each prompt."),
        Input::one("claims", &CLAIMS, "What the answers claim."),
        Input::one("verdicts", &VERDICTS, "Whether it holds."),
        Input::one("prompts", &PROMPTS, "All prompts: topics that the answers are not about are protected."),
    ],
    parameters: &[
        Parameter::new(
            "margin",
            Shape::Number { least: 0.0, most: 1.0, open: false },
            Default::Number(0.1),
            "By how much the chosen answer's precision is higher at least; it is always higher.",
        ),
        Parameter::new(
            "at_most_per_prompt",
            Shape::Integer { least: 1, most: 1_000_000 },
            Default::Absent,
            "At most so many pairs of one prompt, drawn at random.",
        ),
        Parameter::new(
            "at_most",
            Shape::Integer { least: 1, most: 100_000_000 },
            Default::Absent,
            "At most so many pairs in all, drawn at random.",
        ),
        Parameter::new(
            "splits",
            Shape::List(&Shape::Text),
            Default::Texts(&["tune"]),
            "Only answers to prompts of these splits are used.",
        ),
        Parameter::new(
            "finished",
            Shape::Flag,
            Default::Flag(true),
            "Whether only answers that ended by themselves may be chosen: tuning learns that a chosen answer ends where it ends.",
        ),
        Parameter::new(
            "as_many_facts",
            Shape::Flag,
            Default::Flag(false),
            "Whether a chosen answer must state at least as many facts as the rejected one: precision alone prefers saying less.",
        ),
    ],
    provides: &[&PAIRS],
    draws: true,
    gathers: false,
    on_device: false,
    fits: None,
};

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Parameters {
    margin: f64,
    at_most_per_prompt: Option<usize>,
    at_most: Option<usize>,
    splits: Vec<String>,
    finished: bool,
    as_many_facts: bool,
}

/// Writes `pairs.jsonl`.
///
/// # Errors
/// Where inputs cannot be read or do not belong together, no pair is found, or a topic of the tests would be tuned on.
pub(super) fn run(context: &Context) -> Result<(), StageError> {
    let Parameters { margin, at_most_per_prompt, at_most, splits, finished, as_many_facts } = context.parameters()?;
    let responses: Vec<Response> = json_lines::read(&context.input_file("responses", "responses.jsonl")?)
        .map_err(StageError::doing("read the responses"))?;
    let claims: Vec<Claim> = json_lines::read(&context.input_file("claims", "claims.jsonl")?)
        .map_err(StageError::doing("read the claims"))?;
    let verdicts: Vec<Verdict> = json_lines::read(&context.input_file("verdicts", "verdicts.jsonl")?)
        .map_err(StageError::doing("read the verdicts"))?;
    let prompts: Vec<Prompt> = json_lines::read(&context.input_file("prompts", "prompts.jsonl")?)
        .map_err(StageError::doing("read the prompts"))?;
    let answers = Answers { responses: &responses, claims: &claims, verdicts: &verdicts };
    let mining = Mining { margin, at_most_per_prompt, at_most, splits, finished, as_many_facts };
    let mined = mine(&prompts, answers, &mining, &context.seed).map_err(StageError::doing("mine pairs"))?;
    if mined.pairs.is_empty() {
        return Err(StageError(format!(
            "found no pairs: no two of {} answers to one prompt differ by {margin} in precision; sample more answers, or lower `margin`",
            mined.answers
        )));
    }
    json_lines::write(&context.output("pairs.jsonl"), &mined.pairs).map_err(StageError::doing("write the pairs"))?;
    describe(context, &mined);
    Ok(())
}

fn describe(context: &Context, mined: &Mined) {
    let Mined { answers, prompts, prompts_used, chosen_length, rejected_length, .. } = mined;
    context.note(format!(
        "{} pairs of {prompts} prompts, from {answers} answers to {prompts_used} prompts",
        mined.pairs.len()
    ));
    context.note(format!(
        "chosen answers have {chosen_length:.1} characters on average, rejected ones {rejected_length:.1}"
    ));
    let left_out: usize = mined.left_out.values().sum();
    let names: Vec<&str> = mined.left_out.keys().take(10).map(String::as_str).collect();
    let which = if names.is_empty() { String::new() } else { format!(", among them {}", names.join(", ")) };
    context.note(format!(
        "{left_out} pairs left out since they name one of {} protected topics{which}",
        mined.protected.len()
    ));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        language::{Pair, PromptForm},
        stage::{trial, trial::Trial},
    };
    use serde_json::json;

    #[test]
    fn defaults_are_understood() {
        let parameters: Parameters = serde_json::from_value(trial::defaults(&KIND).into()).unwrap();
        assert_eq!((parameters.margin, parameters.at_most, parameters.splits), (0.1, None, vec!["tune".to_owned()]));
    }

    #[test]
    fn pairs_are_written_and_counted() {
        let folder =
            trial::judged(&[("people", "Ann", "tune", &["SS", "SN", "NN"]), ("countries", "Peru", "test", &["SN"])]);
        let path = folder.path();
        let prompt = |id: &str, topic: &str, split: &str| Prompt {
            id: id.to_owned(),
            prompt: "".into(),
            topic: topic.to_owned(),
            domain: String::new(),
            split: split.to_owned(),
            form: PromptForm::Paragraph,
            attribute: None,
        };
        let prompts = [prompt("people/Ann", "Ann", "tune"), prompt("countries/Peru", "Peru", "test")];
        json_lines::write(&path.join("prompts.jsonl"), &prompts).unwrap();
        let inputs = [("responses", path), ("claims", path), ("verdicts", path), ("prompts", path)];
        let notes = Trial::new(&inputs, json!({})).run(&KIND, path, run).unwrap();
        expect_test::expect![[r#"
            3 pairs of 1 prompts, from 3 answers to 1 prompts
            chosen answers have 2.0 characters on average, rejected ones 2.0
            0 pairs left out since they name one of 1 protected topics"#]]
        .assert_eq(&notes.join("\n"));
        let pairs: Vec<Pair> = json_lines::read(&path.join("pairs.jsonl")).unwrap();
        assert_eq!((pairs[1].chosen_id.as_str(), pairs[1].rejected_id.as_str()), ("people/Ann#0", "people/Ann#2"));
        let none = Trial::new(&inputs, json!({"splits": ["validate"]})).run(&KIND, path, run).unwrap_err();
        assert!(none.to_string().contains("no answer is of the splits `validate`"), "{none}");
    }
}
