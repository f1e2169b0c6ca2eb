//! The scorer reproduces FActScore's figures (Min et al. 2023) from its human labels, and rules for
//! sentences, refusals and topics stay above floors slightly below the measured accuracy.

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
};

use apeft::{
    evaluation::{AnswerScore, ScoreSettings, answer_score, scores},
    facts::{ContentWords, Topic, align, extract, extract_clauses, one_to_one, sentences, tokens},
    rows::{Claim, FactLabel, Finish, MeasureName, Response, ResponseId, Verdict},
    verification::{is_checkable, tallies},
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

/// Treatment of facts in sentences labelled irrelevant.
#[derive(Clone, Copy, PartialEq)]
enum Irrelevant {
    Unsupported,
    Dropped,
}

/// Human labels of a model's responses as rows; labels replace the verifier's verdicts.
fn answers(file: &Path, irrelevant: Irrelevant) -> Vec<AnswerScore> {
    let rows: Vec<Row> = apeft::rows::json_lines::read(file).unwrap();
    let (mut responses, mut claims, mut verdicts) = (Vec::new(), Vec::new(), Vec::new());
    for row in rows {
        let id = ResponseId::of_sample(&row.topic, 0);
        for sentence in row.annotations.iter().flatten() {
            let facts = if sentence.is_relevant {
                &sentence.human_atomic_facts
            } else {
                &sentence.model_atomic_facts
            };
            for fact in facts.iter().flatten() {
                let verdict = match fact.label.as_deref() {
                    Some("S") => FactLabel::Supported,
                    None if irrelevant == Irrelevant::Dropped => FactLabel::Irrelevant,
                    _ => FactLabel::Unsupported,
                };
                let claim_id = id.claim(claims.len());
                verdicts.push(Verdict::new(claim_id.clone(), verdict, 0.0, Vec::new()));
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
    let settings = ScoreSettings { gamma: 10.0, k: 64, irrelevant_is_wrong: false };
    let judged = tallies(&responses, &claims, &verdicts).unwrap();
    let scored = responses.iter().zip(&judged);
    scored.map(|(response, judged)| answer_score(response, judged, settings)).collect()
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
        let scores = scores(
            &answers,
            ScoreSettings { gamma: 10.0, k: 64, irrelevant_is_wrong: false },
            Some("people"),
        )
        .unwrap();
        let measures = &scores.domains[0].measures;
        let mean = |name: MeasureName| measures[&name].mean;
        assert_eq!(format!("{:.4}", mean(MeasureName::Precision))[1..], *precision, "{model}");
        assert_eq!(
            format!("{:.4}", mean(MeasureName::Factscore))[1..],
            *precision,
            "{model}: no answer has fewer than ten facts"
        );
        let [low, high] = measures[&MeasureName::Precision].interval().unwrap();
        assert!(
            low < mean(MeasureName::Precision)
                && mean(MeasureName::Precision) < high
                && high - low < 0.1
        );
        if let Some((share, facts, annotated, supported)) = respond {
            assert_eq!(
                answers.iter().filter(|answer| answer.facts > 0).count(),
                annotated,
                "{model}"
            );
            assert_eq!(
                answers.iter().map(|answer| answer.supported).sum::<usize>(),
                supported,
                "{model}"
            );
            assert_eq!(format!("{:.1}", 100.0 * mean(MeasureName::Responding)), share, "{model}");
            assert_eq!(
                format!("{:.1}", mean(MeasureName::Facts) / mean(MeasureName::Responding)),
                facts,
                "{model}"
            );
        }
    }
}

/// Annotators: 157 of ChatGPT's 183 responses (85.8 %) and 182 of InstructGPT's respond. Measured:
/// all 27 refusals were found, without false positives.
#[test]
fn refusals_are_those_that_people_found() {
    let Some(folder) = folder("factscore-bios") else { return };
    let (mut found, mut missed, mut wrong) = (0, Vec::new(), Vec::new());
    for model in ["ChatGPT", "InstructGPT"] {
        let rows: Vec<Row> =
            apeft::rows::json_lines::read(&folder.join(format!("{model}.jsonl"))).unwrap();
        for row in rows {
            let refuses = !extract(&"r".into(), &row.topic, &row.output)
                .iter()
                .any(|claim| is_checkable(&claim.text));
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

/// In both directions: what refuses states no fact, and no annotated answer refuses.
#[test]
fn clauses_of_refusals_are_no_facts() {
    let Some(folder) = folder("factscore-bios") else { return };
    for (model, refusals) in [("ChatGPT", 26), ("InstructGPT", 1)] {
        let rows: Vec<Row> =
            apeft::rows::json_lines::read(&folder.join(format!("{model}.jsonl"))).unwrap();
        let states = |row: &&Row| {
            let claims = extract_clauses(&"r".into(), &row.topic, &row.output);
            claims.iter().any(|claim| claim.kind.is_fact())
        };
        let (annotated, refused): (Vec<&Row>, Vec<&Row>) =
            rows.iter().partition(|row| row.annotations.is_some());
        assert_eq!((annotated.len(), refused.len()), (183 - refusals, refusals));
        assert_eq!(annotated.iter().filter(|row| !states(row)).count(), 0, "{model}");
        assert_eq!(refused.iter().filter(|row| states(row)).count(), 0, "{model}");
    }
}

/// Precision, recall and F1 of facts against those of people, one to one over an answer.
fn agreement(rows: &[Row], facts: fn(&Row) -> Vec<String>) -> [f64; 3] {
    let (mut found, mut expected, mut both) = (0, 0, 0);
    for row in rows.iter().filter(|row| row.annotations.is_some()) {
        let content = |text: &String| ContentWords::of(text, &row.topic);
        let own: Vec<ContentWords> = facts(row).iter().map(content).collect();
        let human = row.annotations.iter().flatten().flat_map(|s| s.human_atomic_facts.iter());
        let human: Vec<ContentWords> = human.flatten().map(|fact| content(&fact.text)).collect();
        (found, expected) = (found + own.len(), expected + human.len());
        both += one_to_one(&own, &human).len();
    }
    let (precision, recall) = (both as f64 / found as f64, both as f64 / expected as f64);
    [precision, recall, 2.0 * precision * recall / (precision + recall)]
}

/// The rules were made on InstructGPT's responses and tested on ChatGPT's. Measured: precision
/// .583, recall .627, F1 .604; and .549, .593, .570. Whole sentences: F1 .042 and .019.
#[test]
fn clauses_are_the_facts_that_people_find() {
    let Some(folder) = folder("factscore-bios") else { return };
    for (model, least, anchor) in [("InstructGPT", 0.59, ".754"), ("ChatGPT", 0.55, ".728")] {
        let rows: Vec<Row> =
            apeft::rows::json_lines::read(&folder.join(format!("{model}.jsonl"))).unwrap();
        let [precision, recall, f1] = agreement(&rows, |row| {
            let claims = extract_clauses(&"r".into(), &row.topic, &row.output);
            let facts = claims.into_iter().filter(|claim| claim.kind.is_fact());
            facts.filter(|claim| claim.duplicate_of.is_none()).map(|claim| claim.text).collect()
        });
        println!("{model}: precision {precision:.3}, recall {recall:.3}, F1 {f1:.3}");
        assert!(f1 >= least, "{model}: F1 {f1:.3}");
        // The facts that InstructGPT itself wrote for these sentences.
        let [_, _, f1] = agreement(&rows, |row| {
            let facts = row.annotations.iter().flatten();
            let facts = facts.flat_map(|sentence| sentence.model_atomic_facts.iter().flatten());
            facts.map(|fact| fact.text.clone()).collect()
        });
        assert_eq!(format!("{f1:.3}")[1..], *anchor, "{model}");
    }
}

/// Of sentences with right and wrong facts: whether some wrong fact has no word that no right fact
/// has. Measured: 2.6 % and 1.4 %; with intervals in place of pieces 44 and 43 %.
#[test]
fn wrong_facts_have_words_of_their_own() {
    let Some(folder) = folder("factscore-bios") else { return };
    for model in ["ChatGPT", "InstructGPT"] {
        let rows: Vec<Value> =
            apeft::rows::json_lines::read(&folder.join(format!("{model}.jsonl"))).unwrap();
        let (mut mixed, mut without) = (0, 0);
        let sentences = rows.iter().filter_map(|row| row["annotations"].as_array()).flatten();
        for sentence in sentences {
            let text = sentence["text"].as_str().unwrap();
            let facts = sentence["human-atomic-facts"].as_array().into_iter().flatten();
            let places = |label: &str| -> Vec<BTreeSet<usize>> {
                let facts = facts.clone().filter(|fact| fact["label"] == *label);
                let pieces = facts.map(|fact| align(fact["text"].as_str().unwrap(), text));
                let places = pieces.map(|pieces| {
                    pieces.iter().flat_map(|piece| piece.start()..piece.end()).collect()
                });
                places.collect()
            };
            let (right, wrong) = (places("S"), places("NS"));
            if right.is_empty() || wrong.is_empty() {
                continue;
            }
            let letters: Vec<char> = text.chars().collect();
            let right: BTreeSet<usize> = right.into_iter().flatten().collect();
            let lost = wrong
                .iter()
                .any(|own| !own.difference(&right).any(|place| letters[*place].is_alphanumeric()));
            mixed += 1;
            without += usize::from(lost);
        }
        let share = without as f64 / mixed as f64;
        assert!(mixed > 400 && share <= 0.04, "{model}: {without} of {mixed}");
    }
}

/// No markup and no citation stays in a claim about 2,547 answers of many kinds, and no heading is
/// a claim.
#[test]
fn claims_of_answers_of_all_kinds_are_plain() {
    let citation = |text: &str| {
        text.split('[').skip(1).any(|rest| {
            rest.split_once(']').is_some_and(|(inside, _)| {
                !inside.is_empty() && inside.chars().all(|letter| letter.is_ascii_digit())
            })
        })
    };
    for (set, file, field) in [
        ("halueval-general", "responses.jsonl", "response"),
        ("refchecker", "zero_context_dev.jsonl", "response"),
        ("expertqa", "dev.jsonl", "answer"),
    ] {
        let Some(folder) = folder(set) else { return };
        let rows: Vec<Value> = apeft::rows::json_lines::read(&folder.join(file)).unwrap();
        for row in rows {
            let output = row[field].as_str().unwrap();
            let headings: BTreeSet<&str> = output
                .lines()
                .filter(|line| line.starts_with("# ") || line.starts_with("## "))
                .map(|line| line.trim_start_matches('#').trim())
                .collect();
            for claim in extract_clauses(&"r".into(), "", output) {
                let text = claim.text.as_str();
                // A box of asterisks in a drawing is no emphasis.
                let bold = text.contains("**") && !text.contains("***");
                assert!(!bold && !citation(text) && !headings.contains(text), "{set}: {text}");
            }
        }
    }
}

/// 50 of 1,241 claims did not name their topic; most are about a band, an album or relatives.
#[test]
fn claims_of_biographies_name_their_topic() {
    let Some(folder) = folder("factscore-bios") else { return };
    let rows: Vec<Row> = apeft::rows::json_lines::read(&folder.join("ChatGPT.jsonl")).unwrap();
    let (mut claims, mut nameless) = (0, Vec::new());
    for row in rows.iter().filter(|row| row.annotations.is_some()) {
        let topic = Topic::new(&row.topic);
        for claim in extract(&"r".into(), &row.topic, &row.output) {
            let words = tokens(&claim.text);
            claims += 1;
            if (0..words.len()).all(|index| topic.mention(&words, index).is_none()) {
                nameless.push(claim.text);
            }
        }
    }
    assert!(claims > 1200 && nameless.len() <= 60, "{} of {claims}: {nameless:#?}", nameless.len());
}

/// Recall and precision of sentence ends in running text.
#[test]
fn sentences_end_where_people_end_them() {
    let (Some(rules), Some(gum)) = (folder("sentence-segmentation"), folder("gum")) else { return };
    let rows = |path: PathBuf| apeft::rows::json_lines::read::<Value>(&path).unwrap();
    let golden = rows(rules.join("pysbd_golden.jsonl"));
    let texts = |row: &Value| -> Vec<String> {
        row["sentences"]
            .as_array()
            .unwrap()
            .iter()
            .map(|text| text.as_str().unwrap().trim().to_owned())
            .collect()
    };
    let found = |row: &Value| -> Vec<String> {
        sentences(row["text"].as_str().unwrap()).into_iter().map(|sentence| sentence.text).collect()
    };
    let right = golden.iter().filter(|row| texts(row) == found(row)).count();
    assert!(right >= 46 && golden.len() == 58, "{right} of {} golden rules", golden.len());
    // Web text often ends sentences without a mark and begins them in lower case.
    for (path, recall, precision) in [
        (rules.join("ewt_dev.jsonl"), 0.85, 0.97),
        (gum.join("bio_dev.jsonl"), 0.96, 0.97),
        (gum.join("news_voyage_speech.jsonl"), 0.97, 0.98),
    ] {
        let (mut gold, mut ends, mut both) = (0, 0, 0);
        for row in rows(path.clone()) {
            let end = |span: &Value| span[1].as_u64().unwrap() as usize;
            let expected: BTreeSet<usize> =
                row["sentences"].as_array().unwrap().iter().map(end).collect();
            let found: BTreeSet<usize> = sentences(row["text"].as_str().unwrap())
                .iter()
                .map(|sentence| sentence.end)
                .collect();
            (gold, ends) = (gold + expected.len(), ends + found.len());
            both += expected.intersection(&found).count();
        }
        let (is, of) = (both as f64 / gold as f64, both as f64 / ends as f64);
        assert!(
            is >= recall && of >= precision,
            "{}: recall {is:.3}, precision {of:.3}",
            path.display()
        );
    }
}
