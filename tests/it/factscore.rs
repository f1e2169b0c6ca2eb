//! Our scorer over the human labels of FActScore (Min et al. 2023) gives the figures that its authors' rules give.

use std::path::{Path, PathBuf};

use apeft::{
    evaluation::{AnswerScore, Settings, answer_scores, scores},
    language::{Claim, Finish, Judgement, Response, Verdict},
};
use serde::Deserialize;

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Sentence {
    is_relevant: bool,
    model_atomic_facts: Option<Vec<Fact>>,
    human_atomic_facts: Option<Vec<Fact>>,
}

#[derive(Deserialize)]
struct Fact {
    text: String,
    label: Option<String>,
}

#[derive(Deserialize)]
struct Row {
    input: String,
    output: String,
    topic: String,
    annotations: Option<Vec<Sentence>>,
}

/// What becomes of the facts of a sentence that people found irrelevant.
#[derive(Clone, Copy, PartialEq)]
enum Irrelevant {
    Unsupported,
    Dropped,
}

/// The labelled answers; where `APEFT_DATA` says where data sets are, they must be there.
fn folder() -> Option<PathBuf> {
    let named = std::env::var_os("APEFT_DATA").map(PathBuf::from);
    let data = named.clone().unwrap_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/data"));
    let folder = data.join("factscore-bios");
    assert!(named.is_none() || folder.is_dir(), "APEFT_DATA has no {}", folder.display());
    folder.is_dir().then_some(folder)
}

/// The labels of a model's answers as our rows: people's judgements stand in for the verifier's.
fn answers(file: &Path, irrelevant: Irrelevant) -> Vec<AnswerScore> {
    let rows: Vec<Row> = apeft::language::json_lines::read(file).unwrap();
    let (mut responses, mut claims, mut verdicts) = (Vec::new(), Vec::new(), Vec::new());
    for row in rows {
        let id = format!("{}#0", row.topic);
        for sentence in row.annotations.iter().flatten() {
            let facts = if sentence.is_relevant { &sentence.human_atomic_facts } else { &sentence.model_atomic_facts };
            for fact in facts.iter().flatten() {
                let verdict = match fact.label.as_deref() {
                    Some("S") => Judgement::Supported,
                    None if irrelevant == Irrelevant::Dropped => Judgement::Irrelevant,
                    _ => Judgement::Unsupported,
                };
                let claim_id = format!("{id}/{}", claims.len());
                verdicts.push(Verdict { claim_id: claim_id.clone(), verdict, probability: 0.0, evidence: Vec::new() });
                claims.push(Claim {
                    id: claim_id,
                    response_id: id.clone(),
                    text: fact.text.clone(),
                    ..Claim::default()
                });
            }
        }
        responses.push(Response {
            id,
            prompt_id: row.topic.clone(),
            sample: 0,
            topic: row.topic,
            domain: "people".to_owned(),
            split: "test".to_owned(),
            prompt: row.input.into(),
            output: row.output,
            finish: Finish::Stop,
        });
    }
    answer_scores(&responses, &claims, &verdicts, Settings { gamma: 10.0, k: 64 }).unwrap()
}

#[test]
fn human_labels_give_the_known_scores() {
    let Some(folder) = folder() else {
        println!("skipped: neither ../shared/data nor APEFT_DATA holds factscore-bios");
        return;
    };
    let known = [
        ("InstructGPT", Irrelevant::Unsupported, ".4258", Some(("99.5", "26.2", 182, 2100))),
        ("InstructGPT", Irrelevant::Dropped, ".4281", None),
        ("ChatGPT", Irrelevant::Unsupported, ".5828", Some(("85.8", "34.6", 157, 3194))),
        ("ChatGPT", Irrelevant::Dropped, ".5830", None),
    ];
    for (model, irrelevant, precision, respond) in known {
        let answers = answers(&folder.join(format!("{model}.jsonl")), irrelevant);
        assert_eq!(answers.len(), 183);
        let scores = scores(&answers, Settings { gamma: 10.0, k: 64 }, Some("people")).unwrap();
        let measures = &scores.domains[0].measures;
        let mean = |name: &str| measures[name].mean;
        assert_eq!(format!("{:.4}", mean("precision"))[1..], *precision, "{model}");
        assert_eq!(format!("{:.4}", mean("factscore"))[1..], *precision, "{model}: no answer has fewer than ten facts");
        let [low, high] = measures["precision"].interval().unwrap();
        assert!(low < mean("precision") && mean("precision") < high && high - low < 0.1);
        if let Some((share, facts, annotated, supported)) = respond {
            assert_eq!(answers.iter().filter(|answer| answer.facts > 0).count(), annotated, "{model}");
            assert_eq!(answers.iter().map(|answer| answer.supported).sum::<usize>(), supported, "{model}");
            assert_eq!(format!("{:.1}", 100.0 * mean("responding")), share, "{model}");
            assert_eq!(format!("{:.1}", mean("facts") / mean("responding")), facts, "{model}");
        }
    }
}
