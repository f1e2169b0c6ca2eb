//! The kind `mine-atomic`: facts that a model potentially knows into preference pairs of single sentences.

use serde::Deserialize;

use super::{
    Context, StageError,
    artifact::{CLAIMS, PAIRS, PROBE, PROMPTS, RESPONSES, VERDICTS},
};
use crate::{
    language::{Claim, Knowing, ProbedFact, Prompt, Response, Verdict, json_lines},
    preference::{Answers, AtomicForm, AtomicMining, Atoms, mine_atomic},
    recipe::schema::{Chosen, Default, Input, Kind, Mismatch, Parameter, Shape},
};

/// The kind.
pub(super) const KIND: Kind = Kind {
    name: "mine-atomic",
    // 1: the first. 2: protected topics by their capitals and in any spelling.
    version: 2,
    about: "Pairs sentences that state a fact which the model potentially knows with sentences that contradict it, both its own.",
    inputs: &[
        Input::one("probe", &PROBE, "How well the model knows each fact."),
        Input::one("prompts", &PROMPTS, "All prompts: topics of other splits are protected."),
        Input::optional("responses", &RESPONSES, "Long answers, where their sentences are used."),
        Input::optional("rewritings", &RESPONSES, "Rewritings of facts by a model, where these are used."),
        Input::optional("claims", &CLAIMS, "What the long answers or the rewritings claim."),
        Input::optional("verdicts", &VERDICTS, "Whether it holds."),
    ],
    parameters: &[
        Parameter::new(
            "source",
            Shape::Choice(&["samples", "sentences", "rewritings"]),
            Default::Text("samples"),
            "Where sentences come from: the probe's answers, the long answers (`responses`), or `rewritings`.",
        ),
        Parameter::new(
            "form",
            Shape::Choice(&["question", "paragraph"]),
            Default::Text("question"),
            "What a sentence answers: the question, or the prompt for a paragraph, which it begins without ending it.",
        ),
        Parameter::new(
            "classes",
            Shape::List(&Shape::Choice(&["known", "potential", "unknown"])),
            Default::Texts(&["potential"]),
            "Only facts of these classes are used.",
        )
        .set(),
        // As many contradicting answers as the prototype of the quickstart's world had of one fact.
        Parameter::new(
            "at_most_per_fact",
            Shape::Integer { least: 1, most: 100_000 },
            Default::Integer(3),
            "At most so many pairs of one fact, each of a different contradicting sentence where there are so many.",
        ),
        Parameter::new(
            "at_most",
            Shape::Integer { least: 1, most: 100_000_000 },
            Default::Absent,
            "At most so many pairs in all.",
        ),
        Parameter::new(
            "balance",
            Shape::Flag,
            Default::Flag(true),
            "Whether these take turns by attribute and topic, rather than being drawn from all pairs alike.",
        ),
        Parameter::new(
            "splits",
            Shape::List(&Shape::Text),
            Default::Texts(&["tune"]),
            "Only facts of these splits are used; a fact about a topic of another split is an error.",
        )
        .set(),
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
    source: Source,
    form: AtomicForm,
    classes: Vec<Knowing>,
    at_most_per_fact: usize,
    at_most: Option<usize>,
    balance: bool,
    splits: Vec<String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Source {
    Samples,
    Sentences,
    Rewritings,
}

/// Sentences of answers need these answers, judged.
fn fits(chosen: &Chosen<'_>) -> Vec<Mismatch> {
    let source = chosen.text("source");
    let needed: &[&str] = match source {
        "sentences" => &["responses", "claims", "verdicts"],
        "rewritings" => &["rewritings", "claims", "verdicts"],
        _ => &[],
    };
    let mut found = Vec::new();
    for input in needed.iter().filter(|input| !chosen.is_given(input)) {
        let problem = format!("`source` \"{source}\" needs the input `{input}`, which is not given");
        found.push(Mismatch::error("source", problem, format!("a line `{input} = ...` is expected")));
    }
    for input in ["responses", "rewritings", "claims", "verdicts"] {
        if chosen.is_given(input) && !needed.contains(&input) {
            let why = format!("`source` \"{source}\" does not read it");
            found.push(Mismatch::of_no_use(input, &why, "leave it out, or choose another `source`"));
        }
    }
    found
}

/// Answers with their claims and verdicts.
struct Judged {
    responses: Vec<Response>,
    claims: Vec<Claim>,
    verdicts: Vec<Verdict>,
}

/// Writes `pairs.jsonl`.
///
/// # Errors
/// Where inputs cannot be read or do not belong together, no pair is found, or a topic of the evaluation would be tuned on.
pub(super) fn run(context: &Context) -> Result<(), StageError> {
    let Parameters { source, form, classes, at_most_per_fact, at_most, balance, splits } = context.parameters()?;
    let facts: Vec<ProbedFact> = json_lines::read_rows(&context.input_file("probe", "probe.jsonl")?)
        .map_err(StageError::doing("read the probe"))?;
    let prompts: Vec<Prompt> = context.rows("prompts")?;
    let said = match source {
        Source::Samples => None,
        Source::Sentences => Some(judged(context, "responses")?),
        Source::Rewritings => Some(judged(context, "rewritings")?),
    };
    let sentences = said.as_ref().map(|Judged { responses, claims, verdicts }| Answers { responses, claims, verdicts });
    let mining = AtomicMining { form, classes, splits, at_most_per_fact, at_most, balance };
    let atoms = mine_atomic(&facts, &prompts, sentences, &mining, &context.seed)
        .map_err(StageError::doing("mine atomic pairs"))?;
    if atoms.pairs.is_empty() {
        let of_class = |class| facts.iter().filter(|fact| fact.class == class).count();
        return Err(StageError(format!(
            "found no pairs: of {} probed facts {} are known, {} potentially known and {} unknown; ask more often (`n`), or use other `classes`",
            facts.len(),
            of_class(Knowing::Known),
            of_class(Knowing::Potential),
            of_class(Knowing::Unknown),
        )));
    }
    json_lines::write(&context.output("pairs.jsonl"), &atoms.pairs).map_err(StageError::doing("write the pairs"))?;
    let Atoms { pairs, facts, facts_used, topics, left_out } = atoms;
    context.note(format!("{} atomic pairs of {facts_used} of {facts} facts, about {topics} topics", pairs.len()));
    if !left_out.is_empty() {
        let names: Vec<&str> = left_out.keys().take(10).map(String::as_str).collect();
        let count: usize = left_out.values().sum();
        context.note(format!("{count} pairs left out since a sentence names a protected topic: {}", names.join(", ")));
    }
    Ok(())
}

/// Reads judged answers, which the recipe may have left out.
fn judged(context: &Context, input: &str) -> Result<Judged, StageError> {
    let file = |input: &str, file: &str| {
        let needs = "this `source` needs the answers with their `claims` and `verdicts`";
        context.input_file(input, file).map_err(|error| StageError(format!("{error}; {needs}")))
    };
    let read = format!("read the {input}");
    Ok(Judged {
        responses: json_lines::read_rows(&file(input, "responses.jsonl")?).map_err(StageError::doing(read))?,
        claims: json_lines::read_rows(&file("claims", "claims.jsonl")?)
            .map_err(StageError::doing("read the claims"))?,
        verdicts: json_lines::read_rows(&file("verdicts", "verdicts.jsonl")?)
            .map_err(StageError::doing("read the verdicts"))?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stage::{classify, mix, trial, trial::Trial};
    use serde_json::{Value, json};
    use std::fs;

    #[test]
    fn defaults_are_understood() {
        let parameters: Parameters = serde_json::from_value(trial::defaults(&KIND).into()).unwrap();
        assert_eq!((parameters.form, parameters.classes), (AtomicForm::Question, vec![Knowing::Potential]));
    }

    /// A probe of Ann (tuned on) and Peru (evaluated on), whose answers are the trial's claims.
    fn probed() -> tempfile::TempDir {
        let folder =
            trial::judged(&[("people", "Ann", "tune", &["S", "N", "N"]), ("countries", "Peru", "test", &["S", "N"])]);
        let path = folder.path();
        let prompt = |id: &str, topic: &str, split: &str, form: &str| {
            format!(
                "{}\n",
                json!({"id": id, "prompt": "?", "topic": topic, "domain": "", "split": split, "form": form})
            )
        };
        let questions =
            [prompt("people/Ann", "Ann", "tune", "question"), prompt("countries/Peru", "Peru", "test", "question")];
        fs::write(path.join("prompts.jsonl"), questions.concat()).unwrap();
        let inputs = [("prompts", path), ("responses", path), ("claims", path), ("verdicts", path)];
        Trial::new(&inputs, json!({})).run(&classify::KIND, path, classify::run).unwrap();
        folder
    }

    fn mined(folder: &tempfile::TempDir, parameters: Value) -> Result<Vec<String>, StageError> {
        let path = folder.path();
        let inputs = ["probe", "prompts", "responses", "claims", "verdicts"].map(|name| (name, path));
        Trial::new(&inputs, parameters).run(&KIND, &path.join("atomic"), run)
    }

    #[test]
    fn pairs_are_written() {
        let folder = probed();
        assert_eq!(mined(&folder, json!({})).unwrap(), ["1 atomic pairs of 1 of 1 facts, about 1 topics"]);
        expect_test::expect![[r#"
            {"prompt":"Tell me about Ann.","chosen":"S","rejected":"N","level":"atomic","topic":"Ann","domain":"","chosen_id":"people/Ann#0","rejected_id":"people/Ann#1","chosen_score":1.0,"rejected_score":0.0,"chosen_facts":[{"span":[0,1],"supported":true}],"rejected_facts":[{"span":[0,1],"supported":false}]}
        "#]].assert_eq(&fs::read_to_string(folder.path().join("atomic/pairs.jsonl")).unwrap());
        let none = mined(&folder, json!({"classes": ["known"]})).unwrap_err().to_string();
        assert!(none.contains("of 2 probed facts 0 are known, 2 potentially known and 0 unknown"), "{none}");
        let missing = mined(&folder, json!({"source": "rewritings"})).unwrap_err().to_string();
        assert!(missing.contains("the input `rewritings` was not given; this `source` needs"), "{missing}");
    }

    /// An entity of the evaluation, smuggled into what is tuned on, stops the run with its name.
    #[test]
    fn a_smuggled_topic_of_the_evaluation_stops_mining_and_mixing() {
        let folder = probed();
        let path = folder.path();
        let probe = fs::read_to_string(path.join("probe.jsonl")).unwrap();
        fs::write(path.join("probe.jsonl"), probe.replace("\"split\":\"test\"", "\"split\":\"tune\"")).unwrap();
        let error = mined(&folder, json!({})).unwrap_err().to_string();
        assert!(error.contains("`Peru` is a topic of a split that is not tuned on"), "{error}");

        fs::write(path.join("probe.jsonl"), probe).unwrap();
        mined(&folder, json!({})).unwrap();
        let atomic = path.join("atomic/pairs.jsonl");
        let inputs = [("general", atomic.as_path()), ("atomic", atomic.as_path()), ("prompts", path)];
        let mixed = || Trial::new(&inputs, json!({})).run(&mix::KIND, &path.join("mixed"), mix::run);
        mixed().unwrap();
        let pairs = fs::read_to_string(&atomic).unwrap();
        for smuggled in [
            pairs.replace("\"topic\":\"Ann\"", "\"topic\":\"Peru\""),
            pairs.replace("\"chosen\":\"S\"", "\"chosen\":\"In Peru.\""),
        ] {
            assert_ne!(smuggled, pairs);
            fs::write(&atomic, smuggled).unwrap();
            let error = mixed().unwrap_err().to_string();
            assert!(error.contains("names `Peru`, a topic that tuning must not see"), "{error}");
        }
    }
}
