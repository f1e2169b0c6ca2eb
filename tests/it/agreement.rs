//! Agreement with people on FActScore's labelled biographies: labels are read back exactly, and the
//! facts that its own model extracted reach the known agreement.

use std::{fs, path::Path, process::Command};

use apeft::{
    evaluation::{
        AgreementMeasureName, AgreementSettings, AgreementTables, AnnotatedResponse,
        IrrelevantFacts, ToolOutput, agreement, annotated_responses,
    },
    rows::{Claim, LabelRow, json_lines},
    seed::Seed,
};
use serde_json::{Value, json};

use crate::{data_sets::folder, said};

const SYSTEMS: [&str; 2] = ["ChatGPT", "InstructGPT"];

fn rows(folder: &Path) -> Vec<(String, LabelRow)> {
    let mut rows = Vec::new();
    for system in SYSTEMS {
        let read: Vec<LabelRow> =
            json_lines::read(&folder.join(format!("{system}.jsonl"))).unwrap();
        rows.extend(read.into_iter().map(|row| (system.to_owned(), row)));
    }
    rows
}

fn compared(
    labelled: &[AnnotatedResponse],
    claims: &[Claim],
    irrelevant: IrrelevantFacts,
) -> AgreementTables {
    let tool = ToolOutput { claims, verdicts: None, responses: &[] };
    agreement(labelled, &tool, AgreementSettings { irrelevant, resamples: 100 }, &Seed::root(0))
        .unwrap()
}

fn digits(tables: &AgreementTables, group: &str, name: AgreementMeasureName) -> String {
    format!("{:.4}", tables.agreement.row(group, name).unwrap().value)
}

/// The facts that InstructGPT extracted while people annotated are the anchor of extraction.
#[test]
fn recorded_facts_of_instructgpt_agree_with_people_as_known() {
    let Some(folder) = folder("factscore-bios") else { return };
    let rows = rows(&folder);
    let labelled = annotated_responses(rows.clone()).unwrap();
    let mut claims = Vec::new();
    for ((_, row), response) in rows.iter().zip(&labelled) {
        let sentences = row.annotations.iter().flatten();
        let facts = sentences.flat_map(|sentence| sentence.model_atomic_facts.iter().flatten());
        claims.extend(facts.enumerate().map(|(number, fact)| Claim {
            id: response.id.claim(number),
            response_id: response.id.clone(),
            topic: response.topic.clone(),
            text: fact.text.clone(),
            ..Claim::default()
        }));
    }
    let tables = compared(&labelled, &claims, IrrelevantFacts::Dropped);
    use AgreementMeasureName as Name;
    let found = |system: &str| {
        [Name::ClaimPrecision, Name::ClaimRecall, Name::ClaimF1]
            .map(|name| format!("{:.3}", tables.agreement.row(system, name).unwrap().value))
    };
    assert_eq!(found("ChatGPT"), ["0.715", "0.741", "0.728"]);
    assert_eq!(found("InstructGPT"), ["0.735", "0.775", "0.754"]);
    // Shares of sentences with right and wrong facts.
    assert_eq!(digits(&tables, "ChatGPT", Name::MixedSentences), "0.4069");
    assert_eq!(digits(&tables, "InstructGPT", Name::MixedSentences), "0.3889");
    let counts = &tables.agreement.counts;
    assert_eq!((counts.responses, counts.annotated, counts.topics), (366, 339, 183));
}

#[test]
fn labels_have_the_known_precision_under_each_treatment() {
    let Some(folder) = folder("factscore-bios") else { return };
    let labelled = annotated_responses(rows(&folder)).unwrap();
    let claims: Vec<Claim> = labelled
        .iter()
        .flat_map(|response| &response.facts)
        .map(|fact| Claim { id: fact.id.clone(), ..Claim::default() })
        .zip(labelled.iter().flat_map(|response| response.facts.iter().map(|_| &response.id)))
        .map(|(claim, response)| Claim { response_id: response.clone(), ..claim })
        .collect();
    for (treatment, chat, instruct) in [
        (IrrelevantFacts::Unsupported, "0.5828", "0.4258"),
        (IrrelevantFacts::SentencesDropped, "0.5830", "0.4281"),
        (IrrelevantFacts::Dropped, "0.6233", "0.4739"),
    ] {
        let tables = compared(&labelled, &claims, treatment);
        let found = |system| digits(&tables, system, AgreementMeasureName::HumanPrecision);
        assert_eq!((found("ChatGPT").as_str(), found("InstructGPT").as_str()), (chat, instruct));
    }
}

/// Runs the recipe with these settings; its stages in JSON, and what it said.
fn run(work: &Path, settings: &[String]) -> (Value, String) {
    let recipe = format!("{}/recipes/agreement.toml", env!("CARGO_MANIFEST_DIR"));
    let mut command = Command::new(env!("CARGO_BIN_EXE_apeft"));
    command.args(["run", &recipe, "--json", "--experiments", "experiments", "--cache", "cache"]);
    settings.iter().for_each(|setting| {
        command.args(["--set", setting]);
    });
    let output = command
        .current_dir(work)
        .env_remove("APEFT_CACHE")
        .env_remove("RUST_LOG")
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", said::words(&output));
    (said::json(&output), said::words(&output))
}

fn artifact(stages: &Value, name: &str, file: &str) -> String {
    let stages = stages["stages"].as_array().unwrap();
    let stage = stages.iter().find(|stage| stage["name"] == name).unwrap();
    fs::read_to_string(Path::new(stage["artifact"].as_str().unwrap()).join(file)).unwrap()
}

/// The recipe as it is: labels and articles written for the tests.
#[test]
fn the_recipe_measures_agreement_and_reports_it() {
    let work = tempfile::tempdir().unwrap();
    let (stages, _) = run(work.path(), &[]);
    let judged: Value =
        serde_json::from_str(&artifact(&stages, "verdicts-agree", "agreement.json")).unwrap();
    assert_eq!(judged["unit"], "facts");
    let row = |group: &str, name: &str| {
        let rows = judged["rows"].as_array().unwrap();
        rows.iter().find(|row| row["group"] == group && row["measure"] == name).unwrap().clone()
    };
    let accuracy = row("all", "accuracy");
    assert_eq!((&accuracy["value"], &accuracy["count"]), (&json!(69.0 / 71.0), &json!(71)));
    // Scores and agreement of one run count irrelevant facts in one way.
    let human: Value = serde_json::from_str(&artifact(&stages, "human", "scores.json")).unwrap();
    for domain in human["domains"].as_array().unwrap().iter().take(2) {
        let by_score = domain["measures"]["precision"]["mean"].as_f64().unwrap();
        let system = domain["domain"].as_str().unwrap();
        let by_agreement = row(system, "human_precision")["value"].as_f64().unwrap();
        assert!((by_score - by_agreement).abs() < 1e-12, "{system}: {by_score} {by_agreement}");
    }
    assert_eq!(judged["order"]["systems"][0]["system"], "North");
    let pipeline: Value =
        serde_json::from_str(&artifact(&stages, "agreement", "agreement.json")).unwrap();
    assert_eq!(pipeline["unit"], "claims");
    let page = fs::read_dir(work.path().join("experiments/agreement")).unwrap();
    let page =
        page.map(|entry| entry.unwrap().path().join("report.html")).find(|path| path.is_file());
    let page = fs::read_to_string(page.unwrap()).unwrap();
    for part in [
        "Agreement with people",
        "Claims against the facts of people",
        "Verdicts against labels",
        "always true",
        "Share of claims that people call supported",
        "Systems by precision",
        "Where people and tool differ most",
    ] {
        assert!(page.contains(part), "the page has no `{part}`");
    }
    assert!(!page.contains("NaN"));
}

/// The recipe on FActScore's files: scores by people are those of its paper.
#[test]
fn the_recipe_reads_factscores_files_back() {
    let Some(folder) = folder("factscore-bios") else { return };
    let work = tempfile::tempdir().unwrap();
    let files: Vec<String> = SYSTEMS
        .iter()
        .map(|system| folder.join(format!("{system}.jsonl")).display().to_string())
        .collect();
    for (treatment, chat, instruct) in
        [("unsupported", "0.5828", "0.4258"), ("sentences_dropped", "0.5830", "0.4281")]
    {
        let settings = [
            format!("stage.people.files={files:?}"),
            format!("stage.people.systems={SYSTEMS:?}"),
            format!("stage.people.irrelevant=\"{treatment}\""),
        ];
        let recipe = format!("{}/recipes/agreement.toml", env!("CARGO_MANIFEST_DIR"));
        let mut command = Command::new(env!("CARGO_BIN_EXE_apeft"));
        command.args(["run", &recipe, "--json", "--until", "human"]);
        settings.iter().for_each(|setting| {
            command.args(["--set", setting]);
        });
        let output = command.current_dir(work.path()).env_remove("APEFT_CACHE").output().unwrap();
        assert!(output.status.success(), "{}", said::words(&output));
        let scores: Value =
            serde_json::from_str(&artifact(&said::json(&output), "human", "scores.json")).unwrap();
        let mean = |system: &str, measure: &str| {
            let domains = scores["domains"].as_array().unwrap();
            let domain = domains.iter().find(|domain| domain["domain"] == system).unwrap();
            domain["measures"][measure]["mean"].as_f64().unwrap()
        };
        assert_eq!(format!("{:.4}", mean("ChatGPT", "precision")), chat);
        assert_eq!(format!("{:.4}", mean("InstructGPT", "precision")), instruct);
        assert_eq!(format!("{:.3}", mean("ChatGPT", "responding")), "0.858");
        if treatment == "unsupported" {
            let per_response = |system| mean(system, "facts") / mean(system, "responding");
            assert_eq!(format!("{:.1}", per_response("ChatGPT")), "34.6");
            assert_eq!(format!("{:.1}", per_response("InstructGPT")), "26.2");
            assert_eq!(format!("{:.3}", mean("InstructGPT", "responding")), "0.995");
        }
    }
}
