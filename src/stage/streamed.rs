//! Memory of the kinds that map rows to rows or to sums: it must not grow with their files.

use std::{
    fs,
    path::{Path, PathBuf},
};

use serde_json::{Value, json};

use super::{calibrate, classify, combine, mine, mix, questions, retrieve, score, verify};
use crate::{
    context::{Context, StageError, test_memory::most_held, test_support::Trial},
    recipe::schema::Kind,
    rows::json_lines,
};

/// Responses of the small and of the large files.
const SIZES: [usize; 2] = [200, 1200];
/// Responses to a prompt, and claims of a response.
const EACH: usize = 10;
const CLAIMS: usize = 2;
/// Largest share of the additional bytes of input that may be in memory too: hashes and places of
/// rows, names of topics and prompts.
const LARGEST_SHARE: f64 = 0.1;

/// Text that rows have and nobody needs.
fn filler(words: usize) -> String {
    "and so on ".repeat(words / 3)
}

/// Files of this number of responses in the order in which stages write them.
fn written(responses: usize) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    let topic = |prompt: usize| format!("Ada {}", prompt % 7);
    let domain = |prompt: usize| ["people", "cities"][prompt % 2];
    let prompt = |prompt: usize| {
        json!({"id": format!("p{prompt}"), "prompt": "Who?", "topic": topic(prompt),
            "domain": domain(prompt), "split": "tune", "form": "question",
            "answers": [format!("{} sang in {prompt}.", topic(prompt))]})
    };
    json_lines::write(&path.join("prompts.jsonl"), (0..responses / EACH).map(prompt)).unwrap();
    let response = |number: usize| {
        let (asked, sample) = (number / EACH, number % EACH);
        json!({"id": format!("p{asked}#{sample}"), "prompt_id": format!("p{asked}"),
            "sample": sample, "topic": topic(asked), "domain": domain(asked),
            "split": "tune", "prompt": "Who?", "finish": "stop",
            "output": format!("{} sang {number} times. {}", topic(asked), filler(400))})
    };
    json_lines::write(&path.join("responses.jsonl"), (0..responses).map(response)).unwrap();
    let id = |claim: usize| {
        let response = claim / CLAIMS;
        let (asked, sample) = (response / EACH, response % EACH);
        (format!("p{asked}#{sample}"), claim % CLAIMS, topic(asked))
    };
    let claims = 0..responses * CLAIMS;
    let claim = |number: usize| {
        let (response, claim, topic) = id(number);
        // Fields of other programs are ignored: only the file grows by them.
        json!({"id": format!("{response}/{claim}"), "response_id": response, "topic": topic,
            "text": format!("{topic} sang {number} times."), "span": [0, 9],
            "ballast": filler(300)})
    };
    json_lines::write(&path.join("claims.jsonl"), claims.clone().map(claim)).unwrap();
    for (verifier, period) in [("a", 11), ("b", 7)] {
        let verdict = |number: usize| {
            let (response, claim, topic) = id(number);
            let label = ["supported", "unsupported", "irrelevant"][number % 3];
            json!({"claim_id": format!("{response}/{claim}"), "verdict": label,
                "probability": 0.5, "log_odds": (number % period) as f64 - 4.0, "verifier": verifier,
                "evidence": [{"title": topic, "text": filler(300)}]})
        };
        fs::create_dir(path.join(verifier)).unwrap();
        let file = path.join(verifier).join("verdicts.jsonl");
        json_lines::write(&file, claims.clone().map(verdict)).unwrap();
    }
    let passages = |number: usize| {
        let (response, claim, topic) = id(number);
        json!({"claim_id": format!("{response}/{claim}"), "page": {"asked": topic, "found": topic,
            "how": "exact"}, "passages": [{"title": topic, "text": filler(300)}]})
    };
    json_lines::write(&path.join("passages.jsonl"), claims.map(passages)).unwrap();
    write_calibration(path);
    write_labels(path);
    let article = |number| json!({"title": topic(number), "text": "She sang in Oslo."});
    json_lines::write(&path.join("articles.jsonl"), (0..6).map(article)).unwrap();
    folder
}

/// Weights of both verifiers.
pub(super) fn write_calibration(path: &Path) {
    let quality = json!({"auroc": 0.9, "balanced_accuracy": 0.9, "calibration_error": 0.0,
        "brier": 0.0, "reliability": []});
    let part = |verifier| json!({"verifier": verifier, "weight": 0.5, "auroc": 0.5});
    let calibration = json!({"verifier": "a + b",
        "combination": {"intercept": -1.0, "parts": [part("a"), part("b")]},
        "curve": {"method": "platt", "slope": 1.0, "intercept": 0.0}, "threshold": 0.5,
        "claims": 9, "supported": 4, "topics": 2, "folds": 2, "before": quality,
        "after": quality});
    fs::write(path.join("calibration.json"), calibration.to_string()).unwrap();
}

/// Labels of the first claims.
fn write_labels(path: &Path) {
    let label = |number: usize| {
        let (response, claim) = (number / CLAIMS, number % CLAIMS);
        let id = format!("p{}#{}/{claim}", response / EACH, response % EACH);
        let label = if (number / 3).is_multiple_of(2) { "S" } else { "NS" };
        json!({"claim_id": id, "label": label})
    };
    json_lines::write(&path.join("labels.jsonl"), (0..180).map(label)).unwrap();
}

/// A kind with its inputs, named by files of the folder.
struct Case {
    kind: &'static Kind,
    run: fn(&Context) -> Result<(), StageError>,
    inputs: &'static [(&'static str, &'static str)],
    parameters: Value,
}

impl Case {
    /// The most bytes held, and the bytes of all inputs.
    fn measured(&self, folder: &Path, name: &str) -> (usize, u64) {
        let files: Vec<(&str, PathBuf)> =
            self.inputs.iter().map(|(input, file)| (*input, folder.join(file))).collect();
        let inputs: Vec<(&str, &Path)> =
            files.iter().map(|(input, file)| (*input, file.as_path())).collect();
        let trial = Trial::new(&inputs, self.parameters.clone());
        let output = folder.join(name);
        let held = most_held(|| drop(trial.run(self.kind, &output, self.run).unwrap()));
        let bytes = files.iter().map(|(_, file)| fs::metadata(file).unwrap().len()).sum();
        (held, bytes)
    }

    /// Asserts that files of the large folder take hardly more memory than those of the small one.
    #[track_caller]
    fn is_streamed(&self, [small, large]: [&Path; 2], name: &str) {
        // Tables of words are read once, and not counted.
        self.measured(small, name);
        let (least, few) = self.measured(small, name);
        let (most, many) = self.measured(large, name);
        let (held, read) = (most.saturating_sub(least), many - few);
        assert!(
            (held as f64) < LARGEST_SHARE * read as f64,
            "{name}: {held} bytes more are held of {read} bytes more ({least}, {most})"
        );
    }
}

const JUDGED: [(&str, &str); 3] = [
    ("responses", "responses.jsonl"),
    ("claims", "claims.jsonl"),
    ("verdicts", "a/verdicts.jsonl"),
];
const BOTH: [(&str, &str); 2] =
    [("verdicts", "a/verdicts.jsonl"), ("verdicts", "b/verdicts.jsonl")];
const COMBINED: [(&str, &str); 3] = [BOTH[0], BOTH[1], ("calibration", "calibration.json")];
const LABELLED: [(&str, &str); 4] = [BOTH[0], BOTH[1], JUDGED[1], ("labels", "labels.jsonl")];
const PAIRS: &str = "pairs/pairs.jsonl";
const CLAIMED: [(&str, &str); 4] =
    [("pairs", PAIRS), JUDGED[1], JUDGED[2], ("prompts", "prompts.jsonl")];
const ASKED: [(&str, &str); 4] = [JUDGED[0], JUDGED[1], JUDGED[2], ("prompts", "prompts.jsonl")];

fn case(
    kind: &'static Kind,
    run: fn(&Context) -> Result<(), StageError>,
    inputs: &'static [(&'static str, &'static str)],
    parameters: Value,
) -> Case {
    Case { kind, run, inputs, parameters }
}

/// Runs each case on small and on large files.
fn all_are_streamed(cases: &[(&str, Case)]) {
    let [small, large] = SIZES.map(written);
    for (name, case) in cases {
        case.is_streamed([small.path(), large.path()], name);
    }
}

#[test]
fn verified_claims_are_in_memory_one_at_a_time() {
    let given = &[("claims", "claims.jsonl"), ("passages", "passages.jsonl")];
    let known = &[("claims", "claims.jsonl"), ("knowledge", "articles.jsonl")];
    all_are_streamed(&[
        ("retrieved", case(&retrieve::KIND, retrieve::run, known, json!({}))),
        ("words", case(&verify::KIND, verify::run, given, json!({}))),
        ("found", case(&verify::KIND, verify::run, known, json!({}))),
        ("rules", case(&verify::KIND, verify::run, known, json!({"matching": "contained"}))),
    ]);
}

#[test]
fn verified_responses_are_in_memory_one_prompt_at_a_time() {
    let mixture = json!({"preferences": "general", "general_pairs": 500});
    let unpaired = json!({"preference_format": "unpaired"});
    all_are_streamed(&[
        ("scores", case(&score::KIND, score::run, &JUDGED, json!({}))),
        ("classes", case(&classify::KIND, classify::run, &ASKED, json!({}))),
        ("pairs", case(&mine::KIND, mine::run, &ASKED, json!({}))),
        ("drawn", case(&mine::KIND, mine::run, &ASKED, json!({"max_rows": 50}))),
        ("labelled", case(&mine::KIND, mine::run, &ASKED, unpaired)),
        // Of the pairs above.
        ("mixed", case(&mix::KIND, mix::run, &[("general", PAIRS)], mixture)),
        ("questions", case(&questions::KIND, questions::run, &CLAIMED, json!({}))),
    ]);
}

#[test]
fn verdicts_of_several_verifiers_are_in_memory_one_claim_at_a_time() {
    all_are_streamed(&[
        ("combined", case(&combine::KIND, combine::run, &COMBINED, json!({}))),
        ("calibrated", case(&calibrate::KIND, calibrate::run, &LABELLED, json!({}))),
    ]);
}
