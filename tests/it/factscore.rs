//! Our scorer over the human labels of FActScore (Min et al. 2023) gives the figures that its authors' rules give; and how
//! well rules find the sentences, refusals and topics of its answers, as floors a little below what was measured.

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
};

use apeft::{
    evaluation::{AnswerScore, Settings, answer_scores, scores},
    facts::{Topic, extract, sentences, tokens},
    language::{Claim, Finish, Judgement, Response, Verdict},
    verification::is_checkable,
};
use serde::Deserialize;
use serde_json::Value;

use crate::data_sets::folder;

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
    let Some(folder) = folder("factscore-bios") else { return };
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

/// People found that 157 of ChatGPT's 183 answers (85.8 %) and 182 of InstructGPT's respond. On the day of the measurement
/// all 27 refusals were found, and no answer was taken for one.
#[test]
fn refusals_are_those_that_people_found() {
    let Some(folder) = folder("factscore-bios") else { return };
    let (mut found, mut missed, mut wrong) = (0, Vec::new(), Vec::new());
    for model in ["ChatGPT", "InstructGPT"] {
        let rows: Vec<Row> = apeft::language::json_lines::read(&folder.join(format!("{model}.jsonl"))).unwrap();
        for row in rows {
            let refuses = !extract("r", &row.topic, &row.output).iter().any(|claim| is_checkable(&claim.text));
            match (refuses, row.annotations.is_none()) {
                (true, true) => found += 1,
                (false, true) => missed.push(row.output),
                (true, false) => wrong.push(row.output),
                (false, false) => {}
            }
        }
    }
    assert!(found >= 25, "{found} of 27 refusals: {missed:#?}");
    assert!(wrong.len() <= 1, "{wrong:#?}");
}

/// 50 of 1,241 claims did not name their topic; most of them are about a band, an album or relatives.
#[test]
fn claims_of_biographies_name_their_topic() {
    let Some(folder) = folder("factscore-bios") else { return };
    let rows: Vec<Row> = apeft::language::json_lines::read(&folder.join("ChatGPT.jsonl")).unwrap();
    let (mut claims, mut nameless) = (0, Vec::new());
    for row in rows.iter().filter(|row| row.annotations.is_some()) {
        let topic = Topic::new(&row.topic);
        for claim in extract("r", &row.topic, &row.output) {
            let words = tokens(&claim.text);
            claims += 1;
            if (0..words.len()).all(|index| topic.mention(&words, index).is_none()) {
                nameless.push(claim.text);
            }
        }
    }
    assert!(claims > 1200 && nameless.len() <= 60, "{} of {claims}: {nameless:#?}", nameless.len());
}

/// Ends of sentences in running text, by the share of gold ends that are found and the share of found ends that are gold.
#[test]
fn sentences_end_where_people_end_them() {
    let (Some(rules), Some(gum)) = (folder("sentence-segmentation"), folder("gum")) else { return };
    let rows = |path: PathBuf| apeft::language::json_lines::read::<Value>(&path).unwrap();
    let golden = rows(rules.join("pysbd_golden.jsonl"));
    let texts = |row: &Value| -> Vec<String> {
        row["sentences"].as_array().unwrap().iter().map(|text| text.as_str().unwrap().trim().to_owned()).collect()
    };
    let found = |row: &Value| -> Vec<String> {
        sentences(row["text"].as_str().unwrap()).into_iter().map(|sentence| sentence.text).collect()
    };
    let right = golden.iter().filter(|row| texts(row) == found(row)).count();
    assert!(right >= 46 && golden.len() == 58, "{right} of {} golden rules", golden.len());
    // Web text often ends sentences without any mark, and begins them without a capital.
    for (path, recall, precision) in [
        (rules.join("ewt_dev.jsonl"), 0.85, 0.97),
        (gum.join("bio_dev.jsonl"), 0.96, 0.97),
        (gum.join("news_voyage_speech.jsonl"), 0.97, 0.98),
    ] {
        let (mut gold, mut ends, mut both) = (0, 0, 0);
        for row in rows(path.clone()) {
            let end = |span: &Value| span[1].as_u64().unwrap() as usize;
            let expected: BTreeSet<usize> = row["sentences"].as_array().unwrap().iter().map(end).collect();
            let found: BTreeSet<usize> =
                sentences(row["text"].as_str().unwrap()).iter().map(|sentence| sentence.end).collect();
            (gold, ends) = (gold + expected.len(), ends + found.len());
            both += expected.intersection(&found).count();
        }
        let (is, of) = (both as f64 / gold as f64, both as f64 / ends as f64);
        assert!(is >= recall && of >= precision, "{}: recall {is:.3}, precision {of:.3}", path.display());
    }
}
