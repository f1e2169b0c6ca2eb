//! What is written can be read again, for any content: recipes and their plans, labels, rows and
//! journals. (Settings: `recipe/setting.rs`; lines of rows: `rows/json_lines.rs`.)

use std::{collections::BTreeMap, fs};

use apeft::{
    context::StageEvent,
    plan::{self, Plan},
    recipe::Recipe,
    rows::{
        Cell, Claim, HumanLabel, LabelRow, LabelledAnswer, Pair, Prompt, Response, Verdict,
        json_lines,
    },
    schedule::{
        event::{AttemptRecord, Provenance, RunEvent, StageOutline, Timed},
        journal::{self, Journal},
    },
    stage::registry,
};
use proptest::{collection::vec, option, prelude::*};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Value, json};

/// Any text, often with letters that file formats treat in their own way.
fn text() -> impl Strategy<Value = String> {
    prop_oneof![any::<String>(), "[ a-c,=@\"'\\\\\u{e4}\u{2028}\n\r\t.$#{}\\[\\]]{0,12}"]
}

fn as_toml(text: &str) -> String {
    toml::Value::String(text.to_owned()).to_string()
}

/// A recipe's stages: for each one its inputs among the earlier ones, an argument, and whether the
/// argument mentions the matrix.
type Shape = Vec<(Vec<prop::sample::Index>, String, bool)>;

fn recipe(shape: &Shape, values: &[String], seeds: &[u8], default: &str) -> String {
    let list = |texts: Vec<String>| texts.join(", ");
    let mut recipe = format!("name = \"x\"\nseeds = {seeds:?}\n[matrix]\nv = [");
    recipe += &list(values.iter().map(|value| as_toml(&value.replace("${", "$${"))).collect());
    recipe +=
        &format!("]\n[defaults.command]\nprogram = \"true\"\narguments = [{}]\n", as_toml(default));
    for (place, (inputs, argument, is_swept)) in shape.iter().enumerate() {
        let names = inputs.iter().filter(|_| place > 0).map(|input| input.index(place));
        let names: std::collections::BTreeSet<usize> = names.collect();
        let inputs = list(names.iter().map(|name| format!("\"s{name}\"")).collect());
        recipe += &format!(
            "[stage.s{place}]\nkind = \"command\"\noutputs = [\"o\"]\ninputs = [{inputs}]\n"
        );
        // The first one mentions the variable in any case, or the recipe is warned of.
        if *is_swept || place == 0 {
            let argument = format!("${{matrix.v}}{}", argument.replace("${", "$${"));
            recipe += &format!("arguments = [{}]\n", as_toml(&argument));
        }
    }
    recipe
}

fn planned(text: &str) -> Plan {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("r.toml");
    fs::write(&path, text).unwrap();
    let planned = Recipe::load(&path, &[])
        .and_then(|recipe| plan::plan(&recipe, &registry::catalogue(), None));
    planned.unwrap_or_else(|problems| panic!("{problems}\n{text}"))
}

/// What a plan says of its stages, and the edges between them.
fn told(plan: &Plan) -> Vec<Value> {
    let stages = plan.order.iter().map(|node| {
        let stage = &plan.graph[*node];
        let inputs = stage.inputs.iter().filter_map(|input| input.source.stage());
        let inputs: Vec<String> = inputs.map(|input| plan.graph[input].name.clone()).collect();
        json!([stage.name, *stage.cell, *stage.parameters, stage.seed, inputs])
    });
    stages.collect()
}

/// An event of each kind with these texts.
fn event(kind: u8, texts: [String; 3], number: u32, seconds: Option<f64>) -> RunEvent {
    let [stage, key, other] = texts;
    let known = seconds.unwrap_or(0.5);
    match kind {
        0 => RunEvent::StageCached {
            stage,
            key,
            artifact: other.clone(),
            made: AttemptRecord { seconds, ..AttemptRecord::default() },
            files: Some(vec![other]),
            check: None,
        },
        1 => RunEvent::StageStarted {
            stage,
            key,
            attempt: number,
            pid: number,
            log: other.clone(),
            reason: other,
        },
        2 => RunEvent::StageReported { stage, report: StageEvent::Note { text: other } },
        3 => RunEvent::StageReported { stage, report: StageEvent::Warning { text: other } },
        4 => {
            let (step, values) = (u64::from(number), vec![(key, known)]);
            RunEvent::StageReported { stage, report: StageEvent::Metrics { step, values } }
        }
        5 => RunEvent::StageFinished {
            stage,
            key,
            artifact: other,
            seconds: known,
            files: None,
            cost: None,
        },
        6 => RunEvent::StageFailed {
            stage,
            attempt: number,
            error: other,
            retry: number > 7,
            seconds: known,
        },
        7 => RunEvent::StageSkipped {
            stage,
            because: other,
            needs_it: seconds.map(|seconds| seconds > 1.0),
        },
        11 => RunEvent::StagePlaced { stage, text: other },
        8 => RunEvent::ArtifactDamaged { key, problem: stage, moved_to: other },
        9 => RunEvent::Interrupted,
        10 => RunEvent::RunStarted {
            run: key,
            recipe: stage.clone(),
            command: vec![other.clone()],
            version: other.clone(),
            store: other.clone(),
            provenance: seconds.map(|_| Provenance {
                description: other.clone(),
                host: String::new(),
                processor: other.clone(),
            }),
            stages: vec![StageOutline { name: stage, kind: other.clone(), needs: vec![other] }],
        },
        _ => RunEvent::RunFinished {
            ok: number > 7,
            executed: number as usize,
            cached: 1,
            failed: 2,
            skipped: 3,
            seconds: known,
        },
    }
}

fn events() -> impl Strategy<Value = Vec<Timed>> {
    let one =
        (any::<u64>(), 0u8..13, [text(), text(), text()], any::<u32>(), option::of(0.0..1e9f64));
    vec(one, 0..6).prop_map(|all| {
        let timed = |(at, kind, texts, number, seconds)| Timed {
            at,
            event: event(kind, texts, number, seconds),
        };
        all.into_iter().map(timed).collect()
    })
}

fn as_json<T: Serialize>(values: &[T]) -> Vec<Value> {
    values.iter().map(|value| serde_json::to_value(value).unwrap()).collect()
}

/// A row that is read from any JSON with these fields equals itself after it was written and read.
fn comes_back<T>(fields: Value) -> Result<(), TestCaseError>
where
    T: DeserializeOwned + Serialize + PartialEq + std::fmt::Debug,
{
    let row: T = serde_json::from_value(fields).unwrap();
    let file = tempfile::NamedTempFile::new().unwrap();
    json_lines::write(file.path(), [&row, &row]).unwrap();
    let rows: Vec<T> = json_lines::read(file.path()).unwrap();
    prop_assert_eq!(rows.len(), 2);
    prop_assert!(rows.iter().all(|read| *read == row), "{:?} for {:?}", rows, row);
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn a_resolved_recipe_has_the_plan_of_the_recipe(
        shape in vec((vec(any::<prop::sample::Index>(), 0..3), text(), any::<bool>()), 1..7),
        values in prop::collection::btree_set("[ a-c,=@\"\\\\\u{e4}\n.$]{0,6}", 1..4),
        seeds in prop::collection::btree_set(0u8..9, 1..3),
        default in "[ -~\u{e4}\n]{0,12}",
    ) {
        let values: Vec<String> = values.into_iter().collect();
        let seeds: Vec<u8> = seeds.into_iter().collect();
        // A text without zero bytes, which no program can take, and without the start of a variable.
        let shape = shape.into_iter().map(|(inputs, argument, is_swept)| (inputs, argument.replace('\0', ""), is_swept));
        let plan = planned(&recipe(&shape.collect(), &values, &seeds, &default.replace("${", "$${")));
        let again = planned(&plan.resolved);
        prop_assert_eq!(told(&again), told(&plan));
        prop_assert_eq!(again.resolved, plan.resolved);
    }

    #[test]
    fn the_name_of_a_cell_gives_the_cell(
        values in prop::collection::btree_map("[a-z_]{1,6}", text(), 0..4), seed in option::of("[0-9]{1,4}"),
    ) {
        let values: BTreeMap<String, String> = values.into_iter().filter(|(name, _)| name != "seed").collect();
        let cell = Cell { stage: "s/t".to_owned(), values: values.into_iter().collect(), seed };
        prop_assert_eq!(Cell::parse(&cell.to_string()), cell.clone());
        prop_assert_eq!(Cell::parse(&cell.arm()), Cell { seed: None, ..cell });
    }

    #[test]
    fn labels_come_back(
        texts in [text(), text(), text()], label in prop::sample::select(&["S", "NS", "IR"]), is_relevant in any::<bool>(),
    ) {
        let [topic, output, fact] = texts;
        let read: HumanLabel = serde_json::from_value(json!(label)).unwrap();
        prop_assert_eq!(serde_json::to_value(read).unwrap(), json!(label));
        let facts = json!([{"text": &fact, "label": label}]);
        comes_back::<LabelRow>(json!({
            "topic": &topic, "input": &fact, "output": &output, "cat": [&topic, &fact],
            "annotations": [{"text": &output, "is-relevant": is_relevant, "human-atomic-facts": facts}],
        }))?;
        comes_back::<LabelRow>(json!({"claim": &fact, "claim_id": "r#0/1", "label": label}))?;
    }

    #[test]
    fn rows_of_each_type_come_back(
        texts in [text(), text(), text()], start in 0usize..9, length in 1usize..9, chance in 0.0..=1.0f64,
    ) {
        let [one, two, three] = texts;
        let span = json!([start, start + length]);
        comes_back::<Prompt>(json!({"id": "p", "prompt": &one, "topic": &two, "domain": &three}))?;
        comes_back::<Response>(json!({
            "id": "p#0", "prompt_id": "p", "sample": start, "topic": &one, "domain": &two, "split": &three,
            "prompt": [{"role": "user", "content": &two}], "output": &three, "finish": "stop",
        }))?;
        comes_back::<Claim>(json!({
            "id": "p#0/1", "response_id": "p#0", "topic": &one, "text": &two, "span": span, "spans": [span],
            "sentence": span, "kind": "opinion", "duplicate_of": "p#0/0", "unfaithful": true,
        }))?;
        comes_back::<Verdict>(json!({
            "claim_id": "p#0/1", "verdict": "supported", "probability": chance, "log_odds": chance * -30.0,
            "evidence": [{"title": &one, "text": &two}], "verifier": &three,
        }))?;
        comes_back::<Pair>(json!({"level": "general", "topic": &two, "domain": &three, "prompt": &one, "chosen": &two, "rejected": format!("{two}{three}.")}))?;
        comes_back::<LabelledAnswer>(json!({"topic": &two, "domain": &three, "id": "a/0", "score": chance, "prompt": &one, "completion": &two, "label": chance > 0.5}))?;
    }

    #[test]
    fn a_journal_comes_back_and_its_beginning_is_that_of_its_events(events in events(), cut in any::<prop::sample::Index>()) {
        let folder = tempfile::tempdir().unwrap();
        let mut journal = Journal::create(folder.path(), "r", "");
        events.iter().for_each(|event| journal.record(event));
        let read = journal::read(&journal.folder).unwrap();
        prop_assert_eq!(as_json(&read), as_json(&events));
        let path = journal.folder.join("events.jsonl");
        let bytes = fs::read(&path).unwrap();
        fs::write(&path, &bytes[..cut.index(bytes.len() + 1)]).unwrap();
        let left = as_json(&journal::read(&journal.folder).unwrap());
        prop_assert_eq!(&left[..], &as_json(&events)[..left.len()]);
    }
}
