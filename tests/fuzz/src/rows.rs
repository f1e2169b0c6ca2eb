//! Reads damaged rows of each type: errors with a line are fine, panics are not.
//!
//! The first byte of an input selects the type of rows, the rest is the file.

#![no_main]

use std::{fs, path::Path, sync::LazyLock};

use apeft::rows::{Claim, Document, LabelledAnswer, Pair, Prompt, Response, Verdict, json_lines};
use libfuzzer_sys::fuzz_target;
use serde::{Serialize, de::DeserializeOwned};
use tempfile::TempDir;

static FOLDER: LazyLock<TempDir> =
    LazyLock::new(|| tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap());

const SEEDS: [&str; 7] = [
    r#"{"id":"p","prompt":"Who was Ada?","topic":"Ada","domain":"people"}"#,
    r#"{"id":"r","prompt_id":"p","sample":0,"topic":"Ada","domain":"people","prompt":"Who?","output":"Ada was born.","finish":"stop"}"#,
    r#"{"id":"c","response_id":"r","text":"Ada was born.","span":[0,13]}"#,
    r#"{"claim_id":"c","verdict":"supported","probability":1.0,"evidence":[{"title":"Ada","text":"Ada was born."}]}"#,
    r#"{"prompt":"Who?","chosen":"Ada.","rejected":[{"role":"assistant","content":"Bob."}],"level":"atomic"}"#,
    r#"{"prompt":"Who?","completion":"Ada.","label":true}"#,
    r#"{"text":"Ada was born.","group":"a","weight":0.5}"#,
];

fn seed_corpus() {
    for (choice, seed) in SEEDS.iter().enumerate() {
        fs::write(
            format!("corpus/rows/seed-{choice}"),
            [&[choice as u8], seed.as_bytes()].concat(),
        )
        .unwrap();
    }
}

fuzz_target!(init: seed_corpus(), |input: &[u8]| {
    let Some((choice, bytes)) = input.split_first() else { return };
    let path = FOLDER.path().join("rows.jsonl");
    fs::write(&path, bytes).unwrap();
    match *choice as usize % SEEDS.len() {
        0 => round_trip::<Prompt>(&path),
        1 => round_trip::<Response>(&path),
        2 => round_trip::<Claim>(&path),
        3 => round_trip::<Verdict>(&path),
        4 => round_trip::<Pair>(&path),
        5 => round_trip::<LabelledAnswer>(&path),
        _ => round_trip::<Document>(&path),
    }
});

/// Rows survive a round trip.
fn round_trip<T: DeserializeOwned + Serialize>(path: &Path) {
    let Ok(rows) = json_lines::read::<T>(path) else { return };
    json_lines::write(path, &rows).unwrap();
    assert_eq!(json_lines::read::<T>(path).unwrap().len(), rows.len());
}
