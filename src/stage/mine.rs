//! The kind `mine`: judged answers into general preferences.

use serde::Deserialize;

use super::{
    Context, StageError,
    artifact::{CLAIMS, PAIRS, PROBE, PROMPTS, RESPONSES, VERDICTS},
};
use crate::{
    language::{Claim, ProbedFact, Prompt, Response, Verdict, json_lines},
    preference::{Answers, Mined, Mining, Reward, Rows, mine},
    recipe::schema::{Chosen, Default, Input, Kind, Mismatch, Parameter, Shape},
};

/// The kind.
pub(super) const KIND: Kind = Kind {
    name: "mine",
    // 1: the first. 2: pairs say which facts their answers state. 3: rewards without a reference, answers by themselves.
    // 4: protected topics by their capitals and in any spelling.
    version: 4,
    about: "Pairs the answers to each prompt, the more precise one chosen; leaves out pairs that name a topic which tuning must not see.",
    inputs: &[
        Input::one("responses", &RESPONSES, "Several answers to each prompt."),
        Input::one("claims", &CLAIMS, "What the answers claim."),
        Input::one("verdicts", &VERDICTS, "Whether it holds."),
        Input::one("prompts", &PROMPTS, "All prompts: topics that the answers are not about are protected."),
        Input::optional("probe", &PROBE, "What rewards without a reference come from."),
    ],
    parameters: &[
        Parameter::new(
            "reward",
            Shape::Choice(&["precision", "confidence", "entropy", "agreement"]),
            Default::Text("precision"),
            "What ranks answers: precision, or of their facts in `probe` the largest bin, minus the entropy, or the share that agrees.",
        ),
        Parameter::new(
            "rows",
            Shape::Choice(&["pairs", "answers"]),
            Default::Text("pairs"),
            "Whether answers become pairs, or rows of their own with a label, for supervised tuning and algorithms without pairs.",
        ),
        Parameter::new(
            "good",
            Shape::Number { least: -1e6, most: 1.0, open: false },
            Default::Number(0.5),
            "With rows of their own: the reward from which on an answer is wanted.",
        ),
        Parameter::new(
            "margin",
            Shape::Number { least: 0.0, most: 1.0, open: false },
            Default::Number(0.1),
            "By how much the chosen answer's reward is higher at least; it is always higher.",
        ),
        Parameter::new(
            "at_most_per_prompt",
            Shape::Integer { least: 1, most: 1_000_000 },
            Default::Absent,
            "At most so many rows of one prompt, drawn at random.",
        ),
        Parameter::new(
            "at_most",
            Shape::Integer { least: 1, most: 100_000_000 },
            Default::Absent,
            "At most so many rows in all, drawn at random.",
        ),
        Parameter::new(
            "splits",
            Shape::List(&Shape::Text),
            Default::Texts(&["tune"]),
            "Only answers to prompts of these splits are used.",
        )
        .set(),
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
    fits: Some(fits),
    lacks: None,
    suits: None,
};

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Parameters {
    reward: Reward,
    rows: RowsOf,
    good: f64,
    margin: f64,
    at_most_per_prompt: Option<usize>,
    at_most: Option<usize>,
    splits: Vec<String>,
    finished: bool,
    as_many_facts: bool,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
enum RowsOf {
    Pairs,
    Answers,
}

/// Rewards without a reference come from a probe, and margins are between pairs.
fn fits(chosen: &Chosen<'_>) -> Vec<Mismatch> {
    let mut found = Vec::new();
    let reward = chosen.text("reward");
    match (reward == "precision", chosen.is_given("probe")) {
        (false, false) => {
            let problem = format!("`reward` \"{reward}\" comes from a probe, but the input `probe` is not given");
            found.push(Mismatch::error("reward", problem, "give `probe`, or choose \"precision\""));
        }
        (true, true) => {
            let why = "`reward` \"precision\" comes from the verdicts alone";
            found.push(Mismatch::of_no_use("probe", why, "choose another `reward`, or leave it out"));
        }
        _ => {}
    }
    let is_pairs = chosen.text("rows") == "pairs";
    for (field, is_unused, why) in [
        ("good", is_pairs, "`rows = \"pairs\"` compares answers with each other"),
        ("margin", !is_pairs, "`rows = \"answers\"` compares no answers"),
        ("as_many_facts", !is_pairs, "`rows = \"answers\"` compares no answers"),
    ] {
        if is_unused && chosen.is_changed(field) {
            found.push(Mismatch::of_no_use(field, why, "leave it out, or choose other `rows`"));
        }
    }
    found
}

/// Writes `pairs.jsonl`.
///
/// # Errors
/// Where inputs cannot be read or do not belong together, no pair is found, or a topic of the tests would be tuned on.
pub(super) fn run(context: &Context) -> Result<(), StageError> {
    let parameters: Parameters = context.parameters()?;
    let Parameters { reward, margin, at_most_per_prompt, at_most, splits, finished, as_many_facts, .. } = parameters;
    let rows = match parameters.rows {
        RowsOf::Pairs => Rows::Pairs,
        RowsOf::Answers => Rows::Answers { good: parameters.good },
    };
    let responses: Vec<Response> = context.rows("responses")?;
    let claims: Vec<Claim> = context.rows("claims")?;
    let verdicts: Vec<Verdict> = context.rows("verdicts")?;
    let prompts: Vec<Prompt> = context.rows("prompts")?;
    let answers = Answers { responses: &responses, claims: &claims, verdicts: &verdicts };
    let probed: Vec<ProbedFact> = match context.inputs("probe").next() {
        Some(_) => json_lines::read_rows(&context.input_file("probe", "probe.jsonl")?)
            .map_err(StageError::doing("read the probe"))?,
        None if reward == Reward::Precision => Vec::new(),
        None => {
            return Err(StageError("this `reward` comes from a probe, but the input `probe` is not given".to_owned()));
        }
    };
    let mining = Mining { reward, rows, margin, at_most_per_prompt, at_most, splits, finished, as_many_facts };
    let mined = mine(&prompts, answers, &probed, &mining, &context.seed).map_err(StageError::doing("mine pairs"))?;
    let path = context.output("pairs.jsonl");
    match rows {
        Rows::Pairs => json_lines::write(&path, &mined.pairs),
        Rows::Answers { .. } => json_lines::write(&path, &mined.labelled),
    }
    .map_err(StageError::doing("write the pairs"))?;
    let Mined { answers, unrewarded, .. } = mined;
    if mined.pairs.is_empty() && mined.labelled.is_empty() {
        return Err(StageError(no_rows(&mined, margin)));
    }
    if mined.factless > 0 {
        let text = format!("{} of {answers} answers state no fact that was checked", mined.factless);
        let counts = if reward == Reward::Precision { "; their precision counts as 0" } else { "" };
        // Some answers say nothing; where most do, claims and verdicts may be of others.
        if 2 * mined.factless > answers { context.warn(text + counts) } else { context.note(text + counts) }
    }
    if unrewarded > 0 {
        context.warn(format!("{unrewarded} of {answers} answers state no probed fact, and so have no reward"));
    }
    describe(context, &mined);
    Ok(())
}

/// Why there is no row: protected topics took all, or no two answers differ.
fn no_rows(mined: &Mined, margin: f64) -> String {
    let answers = mined.answers;
    let taken: usize = mined.left_out.values().sum();
    let most = mined.left_out.iter().max_by_key(|(_, count)| **count);
    match most {
        Some((topic, count)) => format!(
            "found no pairs: all {taken} were left out since they name protected topics, most of them `{topic}` ({count}), which is a topic of another split; rename the topic if it is another thing, or take other answers"
        ),
        None => format!(
            "found no pairs: no two of {answers} answers to one prompt differ by {margin} in their reward; sample more answers, or lower `margin`"
        ),
    }
}

fn describe(context: &Context, mined: &Mined) {
    let Mined { pairs, labelled, answers, prompts, prompts_used, chosen_length, rejected_length, .. } = mined;
    if pairs.is_empty() {
        let (rows, good) = (labelled.len(), labelled.iter().filter(|row| row.label).count());
        context.note(format!("{rows} of {answers} answers to {prompts} prompts, {good} of them good"));
    } else {
        context.note(format!(
            "{} pairs of {prompts} prompts, from {answers} answers to {prompts_used} prompts",
            pairs.len()
        ));
        context.note(format!(
            "chosen answers have {chosen_length:.1} characters on average, rejected ones {rejected_length:.1}"
        ));
    }
    let left_out: usize = mined.left_out.values().sum();
    let names: Vec<&str> = mined.left_out.keys().take(10).map(String::as_str).collect();
    let which = if names.is_empty() { String::new() } else { format!(", among them {}", names.join(", ")) };
    context.note(format!(
        "{left_out} {} left out since they name one of {} protected topics{which}",
        if pairs.is_empty() { "answers" } else { "pairs" },
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
            answers: Vec::new(),
            claim: None,
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
        let single = Trial::new(&inputs, json!({"rows": "answers", "good": 0.6})).run(&KIND, path, run).unwrap();
        assert_eq!(single[0], "3 of 3 answers to 1 prompts, 1 of them good");
        expect_test::expect![[r#"
            {"prompt":"Tell me about Ann.","completion":"SS","label":true,"topic":"Ann","domain":"people","id":"people/Ann#0","score":1.0}
            {"prompt":"Tell me about Ann.","completion":"SN","label":false,"topic":"Ann","domain":"people","id":"people/Ann#1","score":0.5}
            {"prompt":"Tell me about Ann.","completion":"NN","label":false,"topic":"Ann","domain":"people","id":"people/Ann#2","score":0.0}
        "#]]
            .assert_eq(&std::fs::read_to_string(path.join("pairs.jsonl")).unwrap());
        let unprobed = Trial::new(&inputs, json!({"reward": "entropy"})).run(&KIND, path, run).unwrap_err();
        assert!(unprobed.to_string().contains("the input `probe` is not given"), "{unprobed}");
        let none = Trial::new(&inputs, json!({"splits": ["validate"]})).run(&KIND, path, run).unwrap_err();
        assert!(none.to_string().contains("no answer is of the splits `validate`"), "{none}");
    }

    /// SS is 2 of 2 right, SN 1 of 2, NN none: rewards 1, 0.5 and 0, so that a margin of 0.6 leaves one pair.
    #[test]
    fn rewards_are_shares_of_right_facts() {
        let folder = trial::judged(&[("people", "Ann", "tune", &["SS", "SN", "NN"])]);
        let path = folder.path();
        let prompt = r#"{"id":"people/Ann","prompt":"?","topic":"Ann","domain":"people","split":"tune"}"#;
        std::fs::write(path.join("prompts.jsonl"), format!("{prompt}\n")).unwrap();
        let inputs = [("responses", path), ("claims", path), ("verdicts", path), ("prompts", path)];
        let mined = |margin: f64| {
            Trial::new(&inputs, json!({"margin": margin})).run(&KIND, path, run).unwrap();
            let pairs: Vec<Pair> = json_lines::read(&path.join("pairs.jsonl")).unwrap();
            let mut scores: Vec<(f64, f64)> =
                pairs.iter().map(|pair| (pair.chosen_score, pair.rejected_score)).collect();
            scores.sort_by(|one, other| one.partial_cmp(other).unwrap());
            scores
        };
        assert_eq!(mined(0.0), [(0.5, 0.0), (1.0, 0.0), (1.0, 0.5)]);
        assert_eq!(mined(0.6), [(1.0, 0.0)]);
    }
}
