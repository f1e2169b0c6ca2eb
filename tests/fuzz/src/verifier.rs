//! Extracts and verifies claims of arbitrary responses: spans stay inside the response, and nothing
//! panics.
//!
//! The first line of an input is the topic, the rest the response.

#![no_main]

use std::fs;

use apeft::{
    facts,
    knowledge::{self, Article, Knowledge},
    verification::{self, Matching},
};
use libfuzzer_sys::fuzz_target;
use tempfile::TempDir;

const SENTENCES: [&str; 5] = [
    "Marie Curie was born in Warsaw on 7 November 1867.",
    "In 1903, she shared the Nobel Prize in Physics.",
    "She was not born in Paris.",
    "Prince (musician) sold 1,000 records, didn't he?",
    "## Early life\n- **Born:** Zoe\u{308}ville [1][2]\n| a | b |",
];

thread_local! {
    static KNOWLEDGE: (TempDir, Knowledge) = three_articles();
}

/// Articles with one text under three titles, and their folder.
fn three_articles() -> (TempDir, Knowledge) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("knowledge.db");
    let articles = ["Marie Curie", "Prince (musician)", "Focus..."];
    let article = |title: &str| Article::new(title, &SENTENCES.join(" "));
    knowledge::write(&path, articles.map(article)).unwrap();
    let knowledge = Knowledge::open(&path).unwrap();
    (folder, knowledge)
}

fn seed_corpus() {
    for (number, sentence) in SENTENCES.iter().enumerate() {
        fs::write(format!("corpus/verifier/seed-{number}"), format!("Marie Curie\n{sentence}"))
            .unwrap();
    }
}

fuzz_target!(init: seed_corpus(), |input: &[u8]| {
    let Ok(text) = std::str::from_utf8(input) else { return };
    let (topic, answer) = text.split_once('\n').unwrap_or(("Marie Curie", text));
    let length = answer.chars().count();
    for claim in facts::extract(&"r".into(), topic, answer) {
        let end = claim.span.end();
        assert!(end <= length, "{:?} is beyond an answer of {length} characters", claim.span);
        for matching in [Matching::Exact, Matching::Contained] {
            let verdict = KNOWLEDGE.with(|(_, knowledge)| verification::verify(&claim, knowledge, matching).unwrap());
            assert!((0.0..=1.0).contains(&verdict.probability));
        }
    }
});
