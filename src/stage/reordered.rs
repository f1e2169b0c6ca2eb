//! Inputs whose rows are in another order than stages write them: the same artifacts and the same
//! errors.

use std::{
    fs,
    path::{Path, PathBuf},
};

use serde_json::{Value, json};

use super::{
    calibrate, classify, combine, mine, questions, score, streamed::write_calibration, verify,
};
use crate::{
    context::{Context, StageError, test_support::Trial},
    recipe::schema::Kind,
    rows::json_lines,
};

/// Prompts, and responses to each.
const PROMPTS: usize = 5;
const EACH: usize = 4;

/// Order of the rows of a file.
#[derive(Clone, Copy)]
enum FileOrder {
    /// As stages write them.
    Written,
    /// The groups of rows of one response, or of one prompt, backwards.
    Groups,
    /// The first rows of all groups, then the second ones, so that no group stands together.
    Apart,
}

/// Rows in groups, in an order that leaves the rows of each group in theirs.
fn ordered(groups: Vec<Vec<Value>>, order: FileOrder) -> Vec<Value> {
    let longest = groups.iter().map(Vec::len).max().unwrap_or(0);
    match order {
        FileOrder::Written => groups.concat(),
        FileOrder::Groups => groups.into_iter().rev().flatten().collect(),
        FileOrder::Apart => {
            let nth = |number: usize| groups.iter().filter_map(move |group| group.get(number));
            (0..longest).flat_map(nth).cloned().collect()
        }
    }
}

/// Ids of the claims of a response, of which every third one has none.
fn claims(prompt: usize, sample: usize) -> Vec<String> {
    let count = (prompt + sample) % 3;
    (0..count).map(|claim| format!("p{prompt}#{sample}/{claim}")).collect()
}

fn claim_rows(prompt: usize, sample: usize) -> Vec<Value> {
    let claim = |id: String| {
        json!({"id": id, "response_id": format!("p{prompt}#{sample}"), "span": [0, 3],
            "topic": format!("Ada {prompt}"), "text": format!("Ada {prompt} sang {id}.")})
    };
    claims(prompt, sample).into_iter().map(claim).collect()
}

/// Writes a file: `rows` makes those of a response to a prompt.
fn write(path: &Path, order: FileOrder, rows: impl Fn(usize, usize) -> Vec<Value>) {
    let responses = (0..PROMPTS).flat_map(|prompt| (0..EACH).map(move |sample| (prompt, sample)));
    let groups = responses.map(|(prompt, sample)| rows(prompt, sample)).collect();
    json_lines::write(path, ordered(groups, order)).unwrap();
}

fn domain(prompt: usize) -> &'static str {
    ["people", "cities"][prompt % 2]
}

/// Files whose responses, and whose claims and verdicts, are in these orders.
fn written(responses: FileOrder, judged: FileOrder) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    let prompt = |prompt: usize| {
        json!({"id": format!("p{prompt}"), "prompt": "Who?", "topic": format!("Ada {prompt}"),
            "domain": domain(prompt), "split": "tune", "form": "question",
            "answers": [format!("Ada {prompt} sang.")]})
    };
    json_lines::write(&path.join("prompts.jsonl"), (0..PROMPTS).map(prompt)).unwrap();
    let response = |prompt: usize, sample: usize| {
        json!({"id": format!("p{prompt}#{sample}"), "prompt_id": format!("p{prompt}"),
            "sample": sample, "topic": format!("Ada {prompt}"), "prompt": "Who?",
            "domain": domain(prompt), "split": "tune", "finish": "stop",
            "output": format!("She sang {sample} times.")})
    };
    let of_prompt = |prompt: usize| (0..EACH).map(|sample| response(prompt, sample)).collect();
    let groups = (0..PROMPTS).map(of_prompt).collect();
    json_lines::write(&path.join("responses.jsonl"), ordered(groups, responses)).unwrap();
    write(&path.join("claims.jsonl"), judged, claim_rows);
    write(&path.join("asked.jsonl"), FileOrder::Written, claim_rows);
    for (verifier, period) in [("a", 5), ("b", 3)] {
        let verdict = |(number, id): (usize, String), sample: usize| {
            let label = ["supported", "unsupported", "irrelevant"][(2 * sample + number) % 3];
            json!({"claim_id": id, "verdict": label, "probability": 0.5, "verifier": verifier,
                "log_odds": ((7 * sample + number) % period) as f64 - 1.5, "evidence": []})
        };
        let rows = |prompt, sample| {
            claims(prompt, sample).into_iter().enumerate().map(|id| verdict(id, sample)).collect()
        };
        fs::create_dir(path.join(verifier)).unwrap();
        // The first verifier's order is that of combined verdicts.
        let order = if verifier == "a" { FileOrder::Written } else { judged };
        write(&path.join(verifier).join("verdicts.jsonl"), order, rows);
        write(&path.join(format!("{verifier}.jsonl")), judged, rows);
    }
    write(&path.join("passages.jsonl"), judged, |prompt, sample| {
        let page = format!("Ada {prompt}");
        let passages = |id: String| {
            json!({"claim_id": id, "page": {"asked": page, "found": page, "how": "exact"},
                "passages": [{"title": page, "text": format!("She sang {id}.")}]})
        };
        claims(prompt, sample).into_iter().map(passages).collect()
    });
    write(&path.join("labels.jsonl"), FileOrder::Written, |prompt, sample| {
        let label = ["S", "NS"][(prompt + sample / 2) % 2];
        let row = |id: String| json!({"claim_id": id, "label": label});
        claims(prompt, sample).into_iter().map(row).collect()
    });
    write_calibration(path);
    folder
}

type RunKind = fn(&Context) -> Result<(), StageError>;
type NamedFiles = &'static [(&'static str, &'static str)];

/// What a kind notes and writes.
fn made(
    (kind, run): (&'static Kind, RunKind),
    inputs: NamedFiles,
    parameters: &Value,
    folder: &Path,
) -> Result<Vec<String>, String> {
    let files: Vec<(&str, PathBuf)> =
        inputs.iter().map(|(input, file)| (*input, folder.join(file))).collect();
    let inputs: Vec<(&str, &Path)> =
        files.iter().map(|(input, file)| (*input, file.as_path())).collect();
    let output = tempfile::tempdir().unwrap();
    let (notes, warnings) = Trial::new(&inputs, parameters.clone())
        .said(kind, output.path(), run)
        .map_err(|error| error.to_string())?;
    let mut found: Vec<PathBuf> =
        fs::read_dir(output.path()).unwrap().map(|entry| entry.unwrap().path()).collect();
    found.sort();
    let name = |path: &PathBuf| path.file_name().unwrap().to_string_lossy().into_owned();
    let texts = found.iter().flat_map(|path| [name(path), fs::read_to_string(path).unwrap()]);
    Ok(notes.into_iter().chain(warnings).chain(texts).collect())
}

const JUDGED: NamedFiles =
    &[("responses", "responses.jsonl"), ("claims", "claims.jsonl"), ("verdicts", "a.jsonl")];
const ASKED: NamedFiles = &[JUDGED[0], JUDGED[1], JUDGED[2], ("prompts", "prompts.jsonl")];
const BOTH: [(&str, &str); 2] =
    [("verdicts", "a/verdicts.jsonl"), ("verdicts", "b/verdicts.jsonl")];
const COMBINED: NamedFiles = &[BOTH[0], BOTH[1], ("calibration", "calibration.json")];
const LABELLED: NamedFiles = &[BOTH[0], BOTH[1], JUDGED[1], ("labels", "labels.jsonl")];

/// Asserts that a kind makes the same of files in each of these orders.
#[track_caller]
fn is_same(
    kind: (&'static Kind, RunKind),
    inputs: NamedFiles,
    parameters: Value,
    orders: &[(FileOrder, FileOrder)],
) {
    let folder = written(FileOrder::Written, FileOrder::Written);
    let expected = made(kind, inputs, &parameters, folder.path()).unwrap();
    for (responses, judged) in orders {
        let folder = written(*responses, *judged);
        assert_eq!(made(kind, inputs, &parameters, folder.path()).unwrap(), expected);
    }
}

const JUDGED_APART: [(FileOrder, FileOrder); 2] =
    [(FileOrder::Written, FileOrder::Groups), (FileOrder::Written, FileOrder::Apart)];
const ALL_APART: [(FileOrder, FileOrder); 4] = [
    JUDGED_APART[0],
    JUDGED_APART[1],
    (FileOrder::Apart, FileOrder::Written),
    (FileOrder::Apart, FileOrder::Apart),
];

#[test]
fn responses_are_judged_by_their_own_claims_in_any_order() {
    is_same((&score::KIND, score::run), JUDGED, json!({}), &JUDGED_APART);
    is_same((&classify::KIND, classify::run), ASKED, json!({}), &ALL_APART);
    for parameters in [
        json!({}),
        json!({"max_rows": 3}),
        json!({"max_rows_per_prompt": 1, "min_margin": 0.2}),
        json!({"preference_format": "unpaired", "max_rows": 7}),
    ] {
        is_same((&mine::KIND, mine::run), ASKED, parameters, &ALL_APART);
    }
}

#[test]
fn claims_are_judged_by_their_own_rows_in_any_order() {
    let given: NamedFiles = &[("claims", "asked.jsonl"), ("passages", "passages.jsonl")];
    is_same((&verify::KIND, verify::run), given, json!({}), &JUDGED_APART);
    is_same((&combine::KIND, combine::run), COMBINED, json!({}), &JUDGED_APART);
    let folds = json!({"folds": 2});
    is_same((&calibrate::KIND, calibrate::run), LABELLED, folds, &JUDGED_APART);
}

#[test]
fn questions_are_those_of_claims_whatever_the_order_of_verdicts() {
    let folder = written(FileOrder::Written, FileOrder::Written);
    let path = folder.path();
    let pairs = made((&mine::KIND, mine::run), ASKED, &json!({}), path).unwrap();
    let pairs = pairs.iter().find(|text| text.starts_with('{')).unwrap();
    let inputs: NamedFiles = &[
        ("pairs", "pairs.jsonl"),
        ("claims", "asked.jsonl"),
        ("verdicts", "a.jsonl"),
        ("prompts", "prompts.jsonl"),
    ];
    let mut found = Vec::new();
    for order in [FileOrder::Written, FileOrder::Groups, FileOrder::Apart] {
        let folder = written(FileOrder::Written, order);
        fs::write(folder.path().join("pairs.jsonl"), pairs).unwrap();
        let kind: (_, RunKind) = (&questions::KIND, questions::run);
        found.push(made(kind, inputs, &json!({}), folder.path()).unwrap());
    }
    assert!(found[0] == found[1] && found[0] == found[2], "{found:#?}");
}

/// Changes lines of a file.
fn change(path: &Path, changed: impl FnOnce(&mut Vec<String>)) {
    let text = fs::read_to_string(path).unwrap();
    let mut lines: Vec<String> = text.lines().map(|line| format!("{line}\n")).collect();
    changed(&mut lines);
    fs::write(path, lines.concat()).unwrap();
}

#[test]
fn rows_that_do_not_belong_together_are_told_in_any_order() {
    let kinds: [(&'static Kind, RunKind); 3] =
        [(&score::KIND, score::run), (&classify::KIND, classify::run), (&mine::KIND, mine::run)];
    for ((kind, run), order) in kinds.into_iter().flat_map(|kind| {
        [FileOrder::Written, FileOrder::Groups, FileOrder::Apart].map(|order| (kind, order))
    }) {
        let error = |file: &str, changed: fn(&mut Vec<String>)| {
            let folder = written(order, order);
            change(&folder.path().join(file), changed);
            let inputs = if kind.name == "score" { JUDGED } else { ASKED };
            made((kind, run), inputs, &json!({}), folder.path()).unwrap_err()
        };
        let twice = error("a.jsonl", |lines| lines.push(lines[1].clone()));
        assert!(twice.contains("occurs twice, first in line 2; ids must be unique"), "{twice}");
        let twice = error("claims.jsonl", |lines| lines.push(lines[1].clone()));
        assert!(twice.contains("occurs twice, first in line 2; ids must be unique"), "{twice}");
        let twice = error("responses.jsonl", |lines| lines.push(lines[1].clone()));
        assert!(twice.contains("occurs twice, first in line 2; ids must be unique"), "{twice}");
        let without = error("a.jsonl", |lines| drop(lines.remove(2)));
        assert!(without.contains("has no verdict"), "{without}");
        let without = error("a.jsonl", Vec::clear);
        assert!(without.contains("has no verdict"), "{without}");
        let unknown = error("claims.jsonl", |lines| drop(lines.remove(2)));
        assert!(unknown.contains("verdict on"), "{unknown}");
        let unknown = error("responses.jsonl", |lines| drop(lines.remove(1)));
        assert!(unknown.contains("belongs to"), "{unknown}");
        let torn = error("a.jsonl", |lines| lines.push("{\n".to_owned()));
        assert!(torn.contains("a.jsonl:20: "), "{torn}");
    }
}
