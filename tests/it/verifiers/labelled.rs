//! Public data sets as claims with passages and labels, and the figures of a verifier on them.

use std::{collections::BTreeMap, path::Path};

use apeft::{
    evaluation::{
        Confusion, Scored, auroc, calibration_error, mean_absolute_error, pearson, probability_of,
    },
    knowledge::{Article, Knowledge, RetrievalSettings, write},
    rows::{Claim, Evidence, Page, PageMatch, RetrievedPassages, json_lines},
    seed::Seed,
    verification::WordsVerifier,
};
use serde_json::Value;

/// A claim with passages and people's label.
pub(super) struct Labelled {
    pub(super) claim: Claim,
    pub(super) retrieved: RetrievedPassages,
    pub(super) is_supported: bool,
    /// The topic, page or pair; intervals resample these.
    pub(super) group: String,
}

fn text<'a>(value: &'a Value, field: &str) -> &'a str {
    value[field].as_str().unwrap_or_else(|| panic!("no text `{field}` in {value}"))
}

fn rows(path: &Path) -> Vec<Value> {
    json_lines::read(path).unwrap()
}

impl Labelled {
    fn new(topic: &str, claim: &str, label: bool, passages: &[&str]) -> Self {
        let claim = Claim { topic: topic.to_owned(), text: claim.to_owned(), ..Claim::default() };
        let page = Page { asked: topic.to_owned(), found: None, how: PageMatch::Exact };
        let passages = passages.iter().map(|text| Evidence::new(topic, text)).collect();
        let retrieved = RetrievedPassages { claim_id: claim.id.clone(), page, passages };
        Self { claim, retrieved, is_supported: label, group: topic.to_owned() }
    }
}

/// FActScore's passages as a database of articles.
pub(super) fn wikipedia(folder: &Path, work: &Path) -> Knowledge {
    let mut articles: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for row in rows(&folder.join("passages.jsonl")) {
        articles
            .entry(text(&row, "title").to_owned())
            .or_default()
            .push(text(&row, "text").to_owned());
    }
    let articles = articles.into_iter().map(|(title, passages)| {
        Article::new(&title, &passages.join("####SPECIAL####SEPARATOR####"))
    });
    let path = work.join("wikipedia.db");
    write(&path, articles).unwrap();
    Knowledge::open(&path).unwrap()
}

/// The facts of a model's biographies that people called supported or not, with passages retrieved
/// from the articles of FActScore; people without an article are left out.
pub(super) fn biographies(folder: &Path, model: &str, knowledge: &Knowledge) -> Vec<Labelled> {
    let mut found = Vec::new();
    for row in rows(&folder.join(format!("{model}.jsonl"))) {
        let topic = text(&row, "topic");
        if knowledge.title_of(topic).unwrap().as_deref() != Some(topic) {
            continue;
        }
        let sentences = row["annotations"].as_array().into_iter().flatten();
        for fact in sentences
            .flat_map(|sentence| sentence["human-atomic-facts"].as_array().into_iter().flatten())
        {
            let label = text(fact, "label");
            if label == "IR" {
                continue;
            }
            let mut labelled = Labelled::new(topic, text(fact, "text"), label == "S", &[]);
            labelled.retrieved =
                knowledge.retrieve(&labelled.claim, &RetrievalSettings::default()).unwrap();
            found.push(labelled);
        }
    }
    found
}

/// ChatGPT's facts with the passages that FActScore's BM25 found.
pub(super) fn with_recorded_passages(folder: &Path) -> Vec<Labelled> {
    let passages: BTreeMap<String, String> = rows(&folder.join("passages.jsonl"))
        .iter()
        .map(|row| (text(row, "id").to_owned(), text(row, "text").to_owned()))
        .collect();
    let of_fact = |row: &Value| {
        let ids = row["passages"].as_array().unwrap().iter();
        let texts: Vec<&str> = ids.map(|id| passages[id.as_str().unwrap()].as_str()).collect();
        Labelled::new(text(row, "topic"), text(row, "fact"), row["label"] == "S", &texts)
    };
    let facts = rows(&folder.join("facts.jsonl"));
    facts.iter().filter(|row| row["label"] != "IR").map(of_fact).collect()
}

/// Data sets of claims with evidence; the claim's topic is known in some.
pub(super) fn claims_with_evidence(name: &str, folder: &Path) -> Vec<Labelled> {
    let read = |file: &str| rows(&folder.join(file));
    let with = |row: &Value, topic: &str, label: bool, evidence: &[&str], group: &str| Labelled {
        group: group.to_owned(),
        ..Labelled::new(topic, text(row, "claim"), label, evidence)
    };
    match name {
        "fm2" => read("dev.jsonl")
            .iter()
            .map(|row| {
                let parts = ["gold_evidence", "retrieved_evidence"]
                    .map(|field| row[field].as_array().unwrap());
                let texts: Vec<&str> =
                    parts.into_iter().flatten().map(|part| text(part, "text")).collect();
                let page = text(row, "page");
                with(row, page, row["label"] == "SUPPORTS", &texts, page)
            })
            .collect(),
        "fever-symmetric" => read("dev.jsonl")
            .iter()
            .map(|row| {
                let evidence = [text(row, "evidence")];
                with(row, "", row["label"] == "SUPPORTS", &evidence, text(row, "id"))
            })
            .collect(),
        "wice" => read("claim_dev.jsonl")
            .iter()
            .map(|row| {
                let lines = row["evidence"].as_array().unwrap().iter();
                let lines: Vec<&str> = lines.map(|line| line.as_str().unwrap()).collect();
                let (topic, evidence) = (text(&row["meta"], "claim_title"), lines.join("\n"));
                with(row, topic, row["label"] == "supported", &[&evidence], topic)
            })
            .collect(),
        "begin-wow" => read("dev.jsonl")
            .iter()
            .map(|row| {
                let label = row["label"] == "Fully attributable";
                with(row, "", label, &[text(row, "evidence")], text(row, "id"))
            })
            .collect(),
        "openfactcheck" => read("claims.jsonl")
            .iter()
            .filter(|row| row["passages"].as_array().is_some_and(|passages| !passages.is_empty()))
            .map(|row| {
                let passages = row["passages"].as_array().unwrap().iter();
                let texts: Vec<&str> = passages.map(|passage| text(passage, "text")).collect();
                let topic = text(row, "topic");
                with(row, topic, row["label"] == true, &texts, topic)
            })
            .collect(),
        _ => panic!("{name} is not known"),
    }
}

/// Figures of probabilities beside labels.
#[derive(Clone, Copy, Debug)]
pub(super) struct Figures {
    pub(super) auroc: f64,
    pub(super) balanced_accuracy: f64,
    pub(super) macro_f1: f64,
    pub(super) calibration_error: f64,
    /// Of the share of supported claims by group, by verdicts.
    pub(super) absolute_error: f64,
    pub(super) pearson: f64,
}

/// The verdicts' log-odds.
pub(super) fn log_odds(verifier: &WordsVerifier, labelled: &[Labelled]) -> Vec<f64> {
    let odds = labelled.iter().map(|one| {
        let verdict = verifier.verdict(&one.claim, &one.retrieved);
        // A claim that states nothing to verify is as good as unsupported here.
        verdict.log_odds.unwrap_or(-10.0)
    });
    odds.collect()
}

pub(super) fn figures(labelled: &[&Labelled], odds: &[f64]) -> Figures {
    let items = labelled.iter().zip(odds);
    let scored: Vec<Scored> = items
        .clone()
        .map(|(one, odds)| Scored::new(probability_of(*odds), one.is_supported))
        .collect();
    let mut groups: BTreeMap<&str, [f64; 3]> = BTreeMap::new();
    for (one, odds) in items {
        let sums = groups.entry(&one.group).or_default();
        sums[0] += f64::from(u8::from(one.is_supported));
        sums[1] += f64::from(u8::from(*odds >= 0.0));
        sums[2] += 1.0;
    }
    let shares: Vec<[f64; 2]> =
        groups.values().map(|[people, tool, count]| [people / count, tool / count]).collect();
    let confusion = Confusion::at(&scored, 0.5);
    Figures {
        auroc: auroc(&scored).unwrap_or(f64::NAN),
        balanced_accuracy: confusion.balanced_accuracy().unwrap_or(f64::NAN),
        macro_f1: confusion.macro_f1().unwrap_or(f64::NAN),
        calibration_error: calibration_error(&scored, 10).unwrap_or(f64::NAN),
        absolute_error: mean_absolute_error(&shares).unwrap_or(f64::NAN),
        pearson: pearson(&shares).unwrap_or(f64::NAN),
    }
}

/// The 95 % intervals of AUROC and balanced accuracy over groups (cluster bootstrap).
pub(super) fn intervals(labelled: &[Labelled], odds: &[f64]) -> [[f64; 2]; 2] {
    let mut groups: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
    for (index, one) in labelled.iter().enumerate() {
        groups.entry(&one.group).or_default().push(index);
    }
    let groups: Vec<&Vec<usize>> = groups.values().collect();
    let mut stream = Seed::root(14).split("intervals").stream();
    let mut drawn: [Vec<f64>; 2] = Default::default();
    for _ in 0..500 {
        let sample: Vec<usize> = (0..groups.len())
            .flat_map(|_| groups[stream.below(groups.len())].iter().copied())
            .collect();
        let own: Vec<&Labelled> = sample.iter().map(|index| &labelled[*index]).collect();
        let odds: Vec<f64> = sample.iter().map(|index| odds[*index]).collect();
        let found = figures(&own, &odds);
        drawn[0].push(found.auroc);
        drawn[1].push(found.balanced_accuracy);
    }
    drawn.map(|mut values| {
        values.sort_by(f64::total_cmp);
        [values[12], values[487]]
    })
}
