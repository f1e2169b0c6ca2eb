//! The kind `mine-atomic`: atomic pairs of facts that a model potentially knows.

use serde::Deserialize;

use crate::{
    context::{
        Context, StageError,
        artifact::{CLAIMS, PAIRS, PROBE, PROMPTS, RESPONSES, VERDICTS},
    },
    preference::{
        AtomicForm, AtomicMining, AtomicSources, Atoms, FactMentions, Mentions, mine_atomic,
    },
    recipe::schema::{Chosen, Declared, Input, Kind, Mismatch},
    rows::{KnowledgeClass, ProbedFact, Prompt, json_lines},
    stage_support::claim_verdicts::ClaimVerdicts,
};

/// The kind.
pub(super) const KIND: Kind = Kind {
    name: "mine-atomic",
    // 1: first version. 2: protected topics by initial capitals and in any spelling. 3: claims
    // that are parts of sentences.
    version: 3,
    about: "Mine atomic pairs: two sentences of the model about a potentially known fact, right \
    and wrong.",
    inputs: &[
        Input::one("probe", &PROBE, "Knowledge class of each fact."),
        Input::one("prompts", &PROMPTS, "All prompts; topics of other splits are protected."),
        Input::optional(
            "responses",
            &RESPONSES,
            "Long responses, for source \"sentences\" or prompt form \"response\".",
        ),
        Input::optional(
            "rewritings",
            &RESPONSES,
            "Rewritings of facts by a model, for source \"rewritings\".",
        ),
        Input::optional("claims", &CLAIMS, "Claims of these responses or rewritings."),
        Input::optional("verdicts", &VERDICTS, "Verdicts on the claims."),
    ],
    parameters: Parameters::PARAMETERS,
    provides: &[&PAIRS],
    seeded: true,
    fan_in: false,
    on_device: None,
    cross_checks: Some(cross_checks),
    lacks: None,
    cell_checks: None,
    redundant: None,
};

#[derive(Debug, Deserialize, apeft_derive::Parameters)]
#[serde(deny_unknown_fields)]
struct Parameters {
    /// Sentences: the probe's answers, these with values of the knowledge, `responses` or
    /// `rewritings`.
    #[parameter(default = "samples")]
    source: SentenceSource,
    /// Prompt: the question, or the paragraph prompt, with an open sentence or in a whole response.
    #[parameter(default = "question", former = "form")]
    prompt_form: AtomicForm,
    /// Knowledge classes of the facts.
    #[parameter(default = ["potential"], unordered)]
    classes: Vec<KnowledgeClass>,
    /// Maximum pairs of one fact, each with another contradicting sentence if there are enough.
    #[parameter(default = 3, min = 1, max = 100_000, former = "at_most_per_fact")]
    max_pairs_per_fact: usize,
    /// Maximum pairs in all; all by default.
    #[parameter(min = 1, max = 100_000_000, former = "at_most")]
    max_pairs: Option<usize>,
    /// Balanced draw: attributes and topics take turns under `max_pairs`.
    #[parameter(default = true)]
    balance: bool,
    /// Splits of the facts; facts about topics of other splits are errors.
    #[parameter(default = ["tune"], unordered)]
    splits: Vec<String>,
}

#[derive(Debug, Deserialize, strum::Display, strum::VariantNames)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
enum SentenceSource {
    Samples,
    Substituted,
    Sentences,
    Rewritings,
}

/// Sentences of responses, and responses that sentences stand in, need these with verdicts.
fn cross_checks(chosen: &Chosen<'_>) -> Vec<Mismatch> {
    let Parameters { source, prompt_form, .. } = chosen.parameters();
    let (field, value, needed): (&str, String, &[&str]) = match (&source, prompt_form) {
        (SentenceSource::Rewritings, AtomicForm::Response) => {
            let problem = "`source` \"rewritings\" has the claims of the rewritings, and \
                `prompt_form` \"response\" needs those of the responses";
            return vec![Mismatch::error("source", problem.to_owned(), "choose another `source`")];
        }
        (SentenceSource::Rewritings, _) => {
            ("source", source.to_string(), &["rewritings", "claims", "verdicts"])
        }
        (SentenceSource::Sentences, _) => {
            ("source", source.to_string(), &["responses", "claims", "verdicts"])
        }
        (_, AtomicForm::Response) => {
            ("prompt_form", "response".to_owned(), &["responses", "claims", "verdicts"])
        }
        _ => ("source", source.to_string(), &[]),
    };
    let mut found = Vec::new();
    for input in needed.iter().filter(|input| !chosen.is_given(input)) {
        let problem =
            format!("`{field}` \"{value}\" needs the input `{input}`, which is not given");
        found.push(Mismatch::error(field, problem, format!("a line `{input} = ...` is expected")));
    }
    for input in ["responses", "rewritings", "claims", "verdicts"] {
        if chosen.is_given(input) && !needed.contains(&input) {
            let why = format!("`{field}` \"{value}\" does not use it");
            found.push(Mismatch::without_effect(
                input,
                &why,
                "remove it, or choose another `source`",
            ));
        }
    }
    found
}

/// Writes `pairs.jsonl`.
///
/// # Errors
/// If inputs cannot be read or do not belong together, no pair is found, or a test topic would be
/// tuned on.
pub(super) fn run(context: &Context) -> Result<(), StageError> {
    let parameters: Parameters = context.parameters()?;
    let Parameters { source, prompt_form, classes, .. } = parameters;
    let Parameters { max_pairs_per_fact, max_pairs, balance, splits, .. } = parameters;
    let mining =
        AtomicMining { prompt_form, classes, splits, max_pairs_per_fact, max_pairs, balance };
    let facts = read_facts(context, &mining)?;
    let prompts: Vec<Prompt> = context.rows("prompts")?;
    // Sentences and the responses that they stand in may come from the same files.
    let input = match (&source, prompt_form) {
        (SentenceSource::Rewritings, _) => Some("rewritings"),
        (SentenceSource::Sentences, _) | (_, AtomicForm::Response) => Some("responses"),
        _ => None,
    };
    let are_said = matches!(source, SentenceSource::Sentences | SentenceSource::Rewritings);
    let wants = Mentions { sentences: are_said, hosts: prompt_form == AtomicForm::Response };
    let mut mentions = None;
    if let Some(input) = input {
        let mut found = FactMentions::new(&facts, wants, |fact| mining.uses(fact));
        add_mentions(context, input, &mut found)?;
        mentions = Some(found);
    }
    let substituted = matches!(source, SentenceSource::Substituted);
    let sources = AtomicSources { mentions, are_said, substituted };
    let atoms = mine_atomic(&facts, &prompts, sources, &mining, &context.seed)
        .map_err(StageError::doing("mine atomic pairs"))?;
    if atoms.pairs.is_empty() {
        let classes = [KnowledgeClass::Known, KnowledgeClass::Potential, KnowledgeClass::Unknown];
        let [known, potential, unknown] =
            classes.map(|class| facts.iter().filter(|fact| fact.class == class).count());
        return Err(StageError(format!(
            "found no pairs: of {} probed facts {known} are known, {potential} potentially known \
            and {unknown} unknown; raise `num_samples`, or use other `classes`",
            facts.len(),
        )));
    }
    json_lines::write(&context.output("pairs.jsonl"), &atoms.pairs)
        .map_err(StageError::doing("write the pairs"))?;
    let Atoms { pairs, facts, facts_used, topics, left_out } = atoms;
    context.note(format!(
        "{} atomic pairs of {facts_used} of {facts} facts, about {topics} topics",
        pairs.len()
    ));
    if !left_out.is_empty() {
        // Ten show which topics these are; a domain may have thousands.
        let names: Vec<&str> = left_out.keys().take(10).map(String::as_str).collect();
        let count: usize = left_out.values().sum();
        context.note(format!(
            "{count} pairs excluded that name a protected topic: {}",
            names.join(", ")
        ));
    }
    Ok(())
}

/// The facts of the probe. Answers are kept of those that pairs are made of.
fn read_facts(context: &Context, mining: &AtomicMining) -> Result<Vec<ProbedFact>, StageError> {
    let rows = json_lines::checked_rows(&context.input_file("probe", "probe.jsonl")?);
    let mut facts = Vec::new();
    for fact in rows.map_err(StageError::doing("read the probe"))? {
        let mut fact: ProbedFact = fact.map_err(StageError::doing("read the probe"))?;
        // A probe is mostly answers, and its classes decide which of them are of use.
        if !mining.uses(&fact) {
            fact.answers = Vec::new();
        }
        facts.push(fact);
    }
    Ok(facts)
}

/// Reads verified responses, which are optional inputs, one after the other.
fn add_mentions(
    context: &Context,
    input: &str,
    mentions: &mut FactMentions,
) -> Result<(), StageError> {
    for (input, file) in
        [(input, "responses.jsonl"), ("claims", "claims.jsonl"), ("verdicts", "verdicts.jsonl")]
    {
        context.input_file(input, file).map_err(|error| {
            let needs =
                "this `source` or `prompt_form` needs responses with `claims` and `verdicts`";
            StageError(format!("{error}; {needs}"))
        })?;
    }
    let reading = format!("read the {input}");
    let responses = json_lines::checked_rows(&context.input_file(input, "responses.jsonl")?);
    let mut claims = ClaimVerdicts::open(context, "mine atomic pairs")?;
    for response in responses.map_err(StageError::doing(&reading))? {
        let response = response.map_err(StageError::doing(&reading))?;
        mentions.add(&claims.verified(response)?);
    }
    claims.finish()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        context::test_support::{self, Trial},
        stage::{classify, mix},
    };
    use serde_json::{Value, json};
    use std::fs;

    #[test]
    fn defaults_are_understood() {
        let parameters: Parameters =
            serde_json::from_value(test_support::defaults(&KIND).into()).unwrap();
        assert_eq!(
            (parameters.prompt_form, parameters.classes),
            (AtomicForm::Question, vec![KnowledgeClass::Potential])
        );
    }

    /// A probe of Ann (tune) and Peru (test), whose answers are the claims of the test support.
    fn probed() -> tempfile::TempDir {
        let folder = test_support::judged(&[
            ("people", "Ann", "tune", &["S", "N", "N"]),
            ("countries", "Peru", "test", &["S", "N"]),
        ]);
        let path = folder.path();
        let prompt = |id: &str, topic: &str, split: &str, form: &str| {
            format!(
                "{}\n",
                json!({"id": id, "prompt": "?", "topic": topic, "domain": "", "split": split, "prompt_form": form})
            )
        };
        let questions = [
            prompt("people/Ann", "Ann", "tune", "question"),
            prompt("countries/Peru", "Peru", "test", "question"),
        ];
        fs::write(path.join("prompts.jsonl"), questions.concat()).unwrap();
        let inputs = [("prompts", path), ("responses", path), ("claims", path), ("verdicts", path)];
        Trial::new(&inputs, json!({})).run(&classify::KIND, path, classify::run).unwrap();
        folder
    }

    fn mined(folder: &tempfile::TempDir, parameters: Value) -> Result<Vec<String>, StageError> {
        let path = folder.path();
        let inputs =
            ["probe", "prompts", "responses", "claims", "verdicts"].map(|name| (name, path));
        Trial::new(&inputs, parameters).run(&KIND, &path.join("atomic"), run)
    }

    #[test]
    fn pairs_are_written() {
        let folder = probed();
        assert_eq!(
            mined(&folder, json!({})).unwrap(),
            ["1 atomic pairs of 1 of 1 facts, about 1 topics"]
        );
        expect_test::expect![[r#"
            {"prompt":"Tell me about Ann.","chosen":"S","rejected":"N","level":"atomic","topic":"Ann","domain":"","chosen_id":"people/Ann#0","rejected_id":"people/Ann#1","chosen_score":1.0,"rejected_score":0.0,"chosen_facts":[{"span":[0,1],"supported":true}],"rejected_facts":[{"span":[0,1],"supported":false}]}
        "#]].assert_eq(&fs::read_to_string(folder.path().join("atomic/pairs.jsonl")).unwrap());
        let none = mined(&folder, json!({"classes": ["known"]})).unwrap_err().to_string();
        assert!(
            none.contains("of 2 probed facts 0 are known, 2 potentially known and 0 unknown"),
            "{none}"
        );
        let missing = mined(&folder, json!({"source": "rewritings"})).unwrap_err().to_string();
        assert!(
            missing.contains("the input `rewritings` was not given; this `source` or"),
            "{missing}"
        );
    }

    #[test]
    fn forms_and_sources_need_their_inputs() {
        let fields = |inputs: &[&str], parameters| -> Vec<&str> {
            let misfits = test_support::misfits(&KIND, inputs, parameters);
            misfits.into_iter().map(|mismatch| mismatch.field).collect()
        };
        let judged = ["responses", "claims", "verdicts"];
        assert_eq!(fields(&judged, json!({"prompt_form": "response"})), [""; 0]);
        assert_eq!(fields(&judged, json!({"source": "sentences"})), [""; 0]);
        assert_eq!(fields(&judged, json!({"source": "substituted"})), judged);
        assert_eq!(fields(&judged[..2], json!({"prompt_form": "response"})), ["prompt_form"]);
        assert_eq!(
            fields(&["rewritings"], json!({"prompt_form": "response", "source": "rewritings"})),
            ["source"]
        );
    }

    /// A test topic that slips into the tuning data fails the stage with its name.
    #[test]
    fn a_smuggled_topic_of_the_evaluation_stops_mining_and_mixing() {
        let folder = probed();
        let path = folder.path();
        let probe = fs::read_to_string(path.join("probe.jsonl")).unwrap();
        fs::write(
            path.join("probe.jsonl"),
            probe.replace("\"split\":\"test\"", "\"split\":\"tune\""),
        )
        .unwrap();
        let error = mined(&folder, json!({})).unwrap_err().to_string();
        assert!(error.contains("`Peru` is a protected topic"), "{error}");

        fs::write(path.join("probe.jsonl"), probe).unwrap();
        mined(&folder, json!({})).unwrap();
        let atomic = path.join("atomic/pairs.jsonl");
        let inputs =
            [("general", atomic.as_path()), ("atomic", atomic.as_path()), ("prompts", path)];
        let mixed =
            || Trial::new(&inputs, json!({})).run(&mix::KIND, &path.join("mixed"), mix::run);
        mixed().unwrap();
        let pairs = fs::read_to_string(&atomic).unwrap();
        for smuggled in [
            pairs.replace("\"topic\":\"Ann\"", "\"topic\":\"Peru\""),
            pairs.replace("\"chosen\":\"S\"", "\"chosen\":\"In Peru.\""),
        ] {
            assert_ne!(smuggled, pairs);
            fs::write(&atomic, smuggled).unwrap();
            let error = mixed().unwrap_err().to_string();
            assert!(error.contains("names the protected topic `Peru`"), "{error}");
        }
    }
}
