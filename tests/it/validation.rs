//! Everything that can be checked before a run is checked before the run.

use std::{fs, path::Path, process::Command, time::Instant};

use apeft::{plan, recipe::Recipe, rows::Cell, stage::registry};
use proptest::prelude::*;

use crate::said;

/// A row of all types at once: readers ignore unknown fields.
const ROW: &str = r#"{"id": "a", "prompt": "Who?", "topic": "Ada", "domain": "people", "split": "tune", "prompt_id": "a",
"sample": 0, "output": " A poet.", "finish": "stop", "response_id": "a", "text": "Ada was a poet.", "title": "Ada",
"span": [0, 1], "claim_id": "a", "verdict": "supported", "probability": 1, "evidence": [], "chosen": " A poet.",
"rejected": " A band.", "level": "general", "question": "Who?", "class": "known", "n": 1, "right": 1, "contradicting": 0,
"other": 0, "max_conf": 1, "exp_conf": 1, "neg_ent": 0, "answers": [], "ref_chosen_logps": -1, "tokens": "t"}"#;

/// Files beside each case's recipe, a model with a chat template, and an adapter.
const FILES: [&str; 4] = ["prompts.jsonl", "pairs.jsonl", "claims.jsonl", "rows.jsonl"];

/// Copies a folder of the test data.
fn copy(data: &str, to: &Path) {
    let from = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data").join(data);
    fs::create_dir_all(to).unwrap();
    for entry in
        fs::read_dir(from).unwrap().map(Result::unwrap).filter(|entry| entry.path().is_file())
    {
        fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
    }
}

struct Said {
    code: Option<i32>,
    words: String,
}

/// Validates a recipe in its own folder; `name` is its first line.
fn validate_with(files: &[(&str, &[u8])], lines: &str, arguments: &[&str]) -> Said {
    let folder = tempfile::tempdir().unwrap();
    copy("tiny-llama", &folder.path().join("model"));
    copy("models/llama/adapter", &folder.path().join("adapter"));
    let template = "{% for m in messages %}[{{ m.role }}] {{ m.content }}\n{% endfor %}";
    let row = ROW.replace('\n', " ") + "\n";
    let plain = FILES.iter().map(|name| (*name, row.as_bytes()));
    let recipe = format!("name = \"x\"\n{lines}");
    let own = [("model/chat_template.jinja", template.as_bytes()), ("r.toml", recipe.as_bytes())];
    for (name, bytes) in plain.chain(own).chain(files.iter().copied()) {
        let path = folder.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }
    let mut command = Command::new(env!("CARGO_BIN_EXE_apeft"));
    command
        .args(["validate", "r.toml"])
        .args(arguments)
        .current_dir(folder.path())
        .env_remove("APEFT_CACHE");
    let output = command.output().unwrap();
    Said { code: output.status.code(), words: said::words(&output) }
}

fn validate(lines: &str) -> Said {
    validate_with(&[], lines, &[])
}

/// The recipe is invalid, and the message has all of these parts.
#[track_caller]
fn refused(said: &Said, parts: &[&str]) {
    assert_eq!(said.code, Some(2), "{}", said.words);
    parts
        .iter()
        .for_each(|part| assert!(said.words.contains(part), "no {part:?} in:\n{}", said.words));
}

#[track_caller]
fn right(said: &Said) {
    assert_eq!((said.code, said.words.as_str().lines().count()), (Some(0), 1), "{}", said.words);
}

/// A recipe with a tuning stage with additional lines, and a stage that reads its result.
fn tuned(lines: &str, reader: &str) -> String {
    format!(
        "[stage.base]\nkind = \"import\"\npath = \"model\"\n[stage.tuned]\nkind = \
        \"tune\"\nmodel = \"base\"\n\
         pairs = {{ path = \"pairs.jsonl\" }}\n{lines}\n[stage.answers]\nkind = \
         \"sample\"\n{reader}\n\
         prompts = {{ path = \"prompts.jsonl\" }}\n"
    )
}

#[test]
fn what_a_stage_leaves_follows_from_its_parameters() {
    let model = "model = \"tuned\"";
    right(&validate(&tuned("lora_rank = 2", model)));
    right(&validate(&tuned("", model)));
    let adapter = "model = \"base\"\nadapter = \"tuned\"";
    right(&validate(&tuned("lora_rank = 2\nmerge_adapter = false", adapter)));
    right(&validate(&tuned("adapter = { path = \"adapter\" }\nmerge_adapter = false", adapter)));
    let said = validate(&tuned("lora_rank = 2\nmerge_adapter = false", model));
    refused(
        &said,
        &[
            "`model` cannot be `tuned`, which leaves no `model` since `merge_adapter` is false",
            "r.toml:13:9",
        ],
    );
    let said = validate(&tuned("", adapter));
    refused(
        &said,
        &["`adapter` cannot be `tuned`, which leaves no `adapter` since neither `lora_rank` \
            nor `adapter`"],
    );
    // In one of the cells only.
    let swept = format!(
        "[matrix]\nmerge = [true, false]\n{}",
        tuned("lora_rank = 2\nmerge_adapter = \"${matrix.merge}\"", model)
    );
    refused(&validate(&swept), &["which leaves no `model` since `merge_adapter` is false"]);
}

#[test]
fn parameters_name_the_inputs_that_they_need() {
    let file = |name: &str| format!("{name} = {{ path = \"rows.jsonl\" }}\n");
    let stage = |kind: &str, inputs: &[&str], lines: &str| {
        let inputs: String = inputs.iter().map(|name| file(name)).collect();
        format!("[stage.a]\nkind = \"{kind}\"\n{inputs}{lines}\n")
    };
    let judged = ["responses", "claims", "verdicts", "prompts"];
    right(&validate(&stage("mine", &judged, "")));
    for reward in ["confidence", "entropy", "agreement"] {
        let said = validate(&stage("mine", &judged, &format!("reward = \"{reward}\"")));
        refused(
            &said,
            &[&format!("`reward` \"{reward}\" needs the input `probe`, which is not given")],
        );
    }
    right(&validate(&stage("mine", &[&judged[..], &["probe"]].concat(), "reward = \"entropy\"")));
    let atomic = ["probe", "prompts"];
    right(&validate(&stage("mine-atomic", &atomic, "")));
    let said = validate(&stage("mine-atomic", &atomic, "source = \"sentences\""));
    for input in ["responses", "claims", "verdicts"] {
        refused(
            &said,
            &[&format!("`source` \"sentences\" needs the input `{input}`, which is not given")],
        );
    }
    let said = validate(&stage(
        "mine-atomic",
        &[&atomic[..], &["claims"]].concat(),
        "source = \"rewritings\"",
    ));
    refused(&said, &["needs the input `rewritings`", "needs the input `verdicts`"]);
    assert!(!said.words.contains("`claims`, which is not given"));
    for preferences in ["atomic", "general+atomic", "general-matched"] {
        let said =
            validate(&stage("mix", &["general"], &format!("preferences = \"{preferences}\"")));
        refused(&said, &["need the input `atomic`, which is not given"]);
    }
    refused(
        &validate(&stage("mix", &["general"], "pairs = 9\natomic_share = 0.5")),
        &["need the input `atomic`, which is not given"],
    );
    right(&validate(&stage("mix", &["general"], "preferences = \"general\"")));
    right(&validate(&stage("mix", &["general"], "pairs = 9\natomic_share = 0.0")));
    let said = validate(&stage("questions", &["claims"], ""));
    refused(&said, &["needs the input `pairs`", "needs the input `verdicts`"]);
    refused(
        &validate(&stage("questions", &[], "question_source = \"all\"")),
        &["needs the input `prompts`"],
    );
    let said = validate(&stage("tune", &["model", "pairs", "adapter"], "lora_rank = 4"));
    refused(&said, &["`adapter` has its own rank, but `lora_rank` requests a new adapter"]);
    let tables = "tables = [{ path = \"rows.jsonl\" }, { path = \"rows.jsonl\" }]";
    refused(
        &validate(&stage("facts", &["phrases"], tables)),
        &["there are 2 `tables` but 1 `phrases`"],
    );
}

/// Scores of two values of `system`, with lines of `compare`.
fn compared(values: &str, lines: &str) -> String {
    format!(
        "seeds = [0, 1]\n[matrix]\nsystem = {values}\n[stage.base]\nkind = \"import\"\npath = \
        \"model\"\n\
         [stage.lead]\nkind = \"evaluate\"\nmodel = \"base\"\nprompts = {{ path = \
         \"prompts.jsonl\" }}\napply_chat_template = true\n\
         system_prompt = \"${{matrix.system}}\"\nknowledge = {{ path = \"rows.jsonl\" }}\n\
         [stage.table]\nkind = \"compare\"\nscores = \"lead\"\n{lines}\n"
    )
}

#[test]
fn values_with_blanks_commas_and_quotes_are_compared() {
    let values = "[\"Be brief.\", \"Say \\\"no\\\", or a=b.\", \"plain\"]";
    for value in ["Be brief.", "Say \\\"no\\\", or a=b.", "plain"] {
        right(&validate(&compared(
            values,
            &format!("average_over = \"system\"\naverage_baselines = [\"{value}\"]"),
        )));
    }
    right(&validate(&compared(values, "baseline = \"lead@system=Be brief.\"")));
    let said = validate(&compared(
        values,
        "average_over = \"system\"\naverage_baselines = [\"Be brief\"]",
    ));
    refused(
        &said,
        &[
            "`average_baselines` names `Be brief`, but the values of `system` are: Be brief., Say",
            "r.toml:19:21",
        ],
    );
    let said = validate(&compared(
        "[\"Be brief.\"]",
        "average_over = \"system\"\naverage_baselines = [\"Be brief.\"]",
    ));
    refused(&said, &["no two scores differ only in `system`"]);
    let said = validate(&compared(
        values,
        "average_over = \"sytem\"\naverage_baselines = [\"Be brief.\"]",
    ));
    refused(
        &said,
        &["`average_over` is `sytem`, but the matrix variables of the scores are: system"],
    );
    refused(
        &validate(&compared(values, "baseline = \"before\"")),
        &["`baseline` is `before`, but the stages and arms are: lead@"],
    );
    let said = validate(&compared(values, "baseline = \"lead@system=Be long.\""));
    refused(&said, &["`baseline` is `lead@system=Be long.`"]);
}

#[test]
fn options_that_are_passed_over_are_said() {
    let sampled = |lines: &str| {
        let stage = "[stage.a]\nkind = \"sample\"\nmodel = { path = \"model\" }\nprompts = { \
        path = \"prompts.jsonl\" }\n";
        format!("{stage}{lines}")
    };
    let warned = |recipe: &str, field: &str| {
        let said = validate(recipe);
        assert_eq!(said.code, Some(0), "{}", said.words);
        assert!(
            said.words.contains(&format!("warning: `{field}` has no effect: ")),
            "{field}: {}",
            said.words
        );
        assert!(said.words.contains("1 warning"), "{}", said.words);
    };
    for (field, lines) in [
        ("top_k", "top_k = 5"),
        ("top_p", "top_p = 0.5"),
        ("min_p", "min_p = 0.1"),
        ("num_samples", "num_samples = 3"),
    ] {
        warned(&sampled(&format!("temperature = 0\n{lines}")), field);
    }
    right(&validate(&sampled("temperature = 0\ntop_p = 1\nnum_samples = 1")));
    let tune = |lines: &str| tuned(lines, "model = \"tuned\"");
    for (field, lines) in [
        ("target_modules", "target_modules = [\"q_proj\"]"),
        ("use_rslora", "use_rslora = true"),
        ("lora_dropout", "lora_dropout = 0.1"),
        ("merge_adapter", "merge_adapter = false"),
        ("eval_steps", "eval_steps = 5"),
        ("min_lr_ratio", "lr_scheduler_type = \"constant\"\nmin_lr_ratio = 0.1"),
        ("kl_pairs", "kl_pairs = \"batch\""),
        ("reference", "algorithm = \"simpo\"\nreference = { path = \"rows.jsonl\" }"),
        (
            "target_modules",
            "lora_rank = 2\ntarget_modules_pattern = \"all-linear\"\ntarget_modules = [\"q_proj\"]",
        ),
    ] {
        warned(&tune(lines), field);
    }
    right(&validate(&tune("merge_adapter = true\nlora_dropout = 0.0\nkl_pairs = \"fixed\"")));
    // A field that some cells use is not reported.
    let swept =
        sampled("temperature = \"${matrix.t}\"\ntop_k = 5\nnum_samples = 1\n[matrix]\nt = [0, 1]");
    right(&validate(&swept));
}

#[test]
fn settings_that_mean_nothing_are_refused() {
    let recipe = tuned("lora_rank = 2", "model = \"tuned\"");
    let set = |setting: &str| validate_with(&[], &recipe, &["--set", setting]);
    for setting in ["#=1", "# stage.tuned.beta=1", "   =1", "[stage]#=2", "stage.tuned={}"] {
        refused(&set(setting), &["--set:1:1"]);
    }
    refused(&set("stage.tunde.beta=0.2"), &["there is no stage `tunde`", "did you mean `tuned`?"]);
    refused(&set("stage.tuned.betta=0.2"), &["has no field `betta`", "did you mean `beta`?"]);
    refused(
        &set("defaults.tune.lora_rank=4"),
        &["no stage takes `lora_rank` from the defaults of `tune`"],
    );
    refused(
        &set("defaults.pretrain.hidden_size=8"),
        &["no stage takes `hidden_size` from the defaults of `pretrain`"],
    );
    refused(&set("matrix.beta=[0.1]"), &["no stage mentions the matrix's `beta`"]);
    right(&set("defaults.tune.beta=0.2"));
    let said =
        validate_with(&[], &recipe, &["--set", "name=\u{e9}\u{e9}", "--set", "seeds=[0,1,2"]);
    refused(&said, &["--set:1:7", "seeds=[0,1,2"]);
}

#[test]
fn outputs_lie_in_the_folder() {
    for output in ["../x", "/etc/passwd", "", ".", "a/../b", "a\\u0000"] {
        let lines = format!(
            "[stage.a]\nkind = \"command\"\nprogram = \"true\"\noutputs = [\"o\", \"{output}\"]\n"
        );
        refused(&validate(&lines), &["is not a path inside the working folder", "r.toml:5:11"]);
    }
    let nested = "[stage.a]\nkind = \"command\"\nprogram = \"true\"\noutputs = [\"o\", \"o/p\"]\n";
    refused(&validate(nested), &["the output `o/p` lies in the output `o`"]);
    let none = "[stage.a]\nkind = \"command\"\nprogram = \"true\"\noutputs = []\n";
    refused(&validate(none), &["without `outputs` or `provides` no result would be kept"]);
    right(&validate(&none.replace("[]", "[\"a/b\"]")));
}

#[test]
fn rows_that_are_there_are_read() {
    let sample = "[stage.a]\nkind = \"sample\"\nmodel = { path = \"model\" }\nprompts = { path = \
    \"p.jsonl\" }\n";
    let good = "{\"id\":\"a\",\"prompt\":\"?\",\"topic\":\"T\",\"domain\":\"d\"}\n";
    let said = |text: &str| validate_with(&[("p.jsonl", text.as_bytes())], sample, &[]);
    right(&said(good));
    refused(
        &said(&format!("{good}{{\"id\":\"b\"}}\n")),
        &["p.jsonl:2: missing field", "r.toml:5:20"],
    );
    refused(
        &said(&format!("{good}{good}")),
        &["p.jsonl:2: the prompt `a` occurs twice, first in line 1"],
    );
    refused(&said("[1]\n"), &["p.jsonl:1: "]);
    let mix =
        "[stage.a]\nkind = \"mix\"\ngeneral = { path = \"p.jsonl\" }\npreferences = \"general\"\n";
    refused(&validate_with(&[("p.jsonl", b"{\"prompt\": 1}\n")], mix, &[]), &["p.jsonl:1: "]);
    let facts = "[stage.a]\nkind = \"facts\"\ntables = { path = \"t.csv\" }\nphrases = { path = \
    \"t.toml\" }\n";
    let files: [(&str, &[u8]); 2] = [("t.csv", b"title,born\n"), ("t.toml", b"domain = 1\n")];
    refused(&validate_with(&files, facts, &[]), &["t.csv: ", "t.toml: ", "2 errors"]);
}

/// A recipe of one stage that reads `e.jsonl`.
fn reads(kind: &str, input: &str, others: &[&str], lines: &str) -> String {
    let others: String =
        others.iter().map(|name| format!("{name} = {{ path = \"rows.jsonl\" }}\n")).collect();
    format!("[stage.a]\nkind = \"{kind}\"\n{input} = {{ path = \"e.jsonl\" }}\n{others}{lines}\n")
}

#[test]
fn files_without_rows_are_refused() {
    let model = "model = { path = \"model\" }\n";
    let judged = ["claims", "verdicts"];
    for recipe in [
        reads("sample", "prompts", &[], model),
        reads("tune", "pairs", &[], model),
        reads("reference", "pairs", &[], model),
        reads("extract", "responses", &[], ""),
        reads("score", "responses", &judged, ""),
        reads("mine", "prompts", &["responses", "claims", "verdicts"], ""),
        reads("mix", "general", &[], "preferences = \"general\""),
        reads("verify", "knowledge", &["claims"], ""),
        reads("pretrain", "documents", &[], "batch_composition = { g = 1 }"),
    ] {
        for text in ["", "\n", " \n\t\n\r\n", "\u{feff}\n"] {
            let said = validate_with(&[("e.jsonl", text.as_bytes())], &recipe, &[]);
            assert_eq!(said.code, Some(2), "{recipe}{text:?}: {}", said.words);
            let found = ["it has no rows", "which has no document"];
            assert!(
                found.iter().any(|part| said.words.contains(part)),
                "{recipe}{text:?}: {}",
                said.words
            );
        }
    }
    let said = validate_with(
        &[("e.jsonl", b"")],
        &reads("score", "claims", &["responses", "verdicts"], ""),
        &[],
    );
    right(&said);
}

#[test]
fn rows_are_what_the_algorithm_needs() {
    let model = "model = { path = \"model\" }\n";
    let said = |row: &str, lines: &str| {
        let recipe = reads("tune", "pairs", &[], &format!("{model}{lines}"));
        validate_with(&[("e.jsonl", format!("{row}\n").as_bytes())], &recipe, &[])
    };
    let pair = r#"{"prompt": "Who?", "chosen": " A.", "rejected": " B."}"#;
    let single = r#"{"prompt": "Who?", "completion": " A.", "label": false}"#;
    right(&said(pair, ""));
    right(&said(single, "algorithm = \"kto\""));
    refused(
        &said(single, ""),
        &["e.jsonl:1: a labelled completion, but the algorithm compares pairs"],
    );
    refused(&said(single, "algorithm = \"sft\""), &["none of 1 completions is desirable"]);
    refused(
        &said(pair, "algorithm = \"fact_dpo\""),
        &["e.jsonl:1: `fact_dpo` needs to know which completion errs"],
    );
    refused(
        &said(pair, "algorithm = \"fact_kto\""),
        &["e.jsonl:1: `fact_mask` and `fact_kto` need the facts"],
    );
    refused(
        &said(pair, "fact_mask = true"),
        &["e.jsonl:1: `fact_mask` and `fact_kto` need the facts"],
    );
    let facts = r#"{"prompt": "Who?", "chosen": " A.", "rejected": " B.", "chosen_facts": [{"span": [0, 9], "supported": true}]}"#;
    refused(
        &said(facts, "algorithm = \"fact_kto\""),
        &["the span [0, 9] goes beyond the 3 characters"],
    );
    right(&said(&facts.replace('9', "3"), "algorithm = \"fact_kto\""));
    refused(&said(&pair.replace('}', ", \"weight\": 0}"), ""), &["all rows have `weight` 0"]);
    let message = r#"[{"role": "assistant", "content": "A."}]"#;
    for (row, part) in [
        (
            pair.replace("\" A.\"", message),
            "the prompt is a text, but its completion is a list of messages",
        ),
        (
            pair.replace("\"Who?\"", message),
            "the prompt is a list of messages, but its completion is a text",
        ),
        (pair.replace("\"Who?\"", "[]"), "the prompt is an empty list"),
        (single.replace("\" A.\"", message), "both must be of the same type"),
    ] {
        refused(&said(&row, "algorithm = \"kto\""), &["e.jsonl:1: ", part]);
        let mixed = reads("mix", "general", &[], "preferences = \"general\"");
        let row = row
            .replace('}', ", \"level\": \"general\"}")
            .replace(", \"level\": \"general\"}]", "}]");
        if row.contains("chosen") {
            refused(
                &validate_with(&[("e.jsonl", row.as_bytes())], &mixed, &[]),
                &["e.jsonl:1: ", part],
            );
        }
    }
    let asked = reads("sample", "prompts", &[], model);
    let prompt = ROW.replace('\n', " ").replace("\"Who?\"", "[]");
    refused(
        &validate_with(&[("e.jsonl", prompt.as_bytes())], &asked, &[]),
        &["e.jsonl:1: the prompt is an empty list"],
    );
}

#[test]
fn prompts_and_documents_that_nobody_asks_for_are_said() {
    let sample = |lines: &str| {
        let recipe = "[stage.a]\nkind = \"sample\"\nmodel = { path = \"model\" }\nprompts = { \
        path = \"prompts.jsonl\" }\n";
        validate(&format!("{recipe}{lines}"))
    };
    right(&sample("domains = [\"people\"]\nsplits = [\"tune\"]"));
    refused(
        &sample("domains = [\"animals\"]"),
        &["no prompt is selected", "domain `people`, split `tune`"],
    );
    refused(&sample("prompt_form = \"question\""), &["no prompt is selected"]);
    refused(&sample("splits = []"), &["`splits` is empty"]);
    refused(&sample("stop = [\"\"]"), &["`stop` has an empty text"]);
    refused(&sample("stop = [\"a\", \"\"]"), &["`stop` has an empty text"]);
    right(&sample("stop = [\" \"]"));
    let document = br#"{"prompt": "", "text": "t", "weight": 1, "group": "g"}"#;
    let pretrain = |batch: &str| {
        let recipe = reads("pretrain", "documents", &[], &format!("batch_composition = {batch}"));
        validate_with(&[("e.jsonl", document)], &recipe, &[])
    };
    right(&pretrain("{ g = 1 }"));
    refused(
        &pretrain("{ g = 1, h = 1 }"),
        &["`batch_composition` names the group `h`, which has no document"],
    );
    refused(&pretrain("{ h = 1 }"), &["e.jsonl:1: `batch_composition` has no group `g`"]);
}

#[test]
fn models_are_looked_at_before_anything_runs() {
    let recipe = "[stage.a]\nkind = \"import\"\npath = \"other\"\n";
    let config = br#"{"model_type": "llama", "hidden_size": 8, "intermediate_size": 8, "num_hidden_layers": 1,
        "num_attention_heads": 2, "vocab_size": 300}"#;
    let pointer = b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 9\n";
    let said = |files: &[(&str, &[u8])]| {
        validate_with(&[&[("other/config.json", &config[..])], files].concat(), recipe, &[])
    };
    refused(
        &said(&[("other/pytorch_model.bin", b"x")]),
        &["has pytorch_model.bin, but weights must be safetensors"],
    );
    refused(
        &said(&[("other/model.safetensors", pointer)]),
        &["it is a git-lfs pointer", "r.toml:4:8"],
    );
    refused(&said(&[("other/model.safetensors", b"x")]), &["it is not a valid safetensors file"]);
    refused(&said(&[]), &["model.safetensors"]);
    let broken = |kind: &str, lines: &str| {
        let recipe =
            format!("[stage.a]\nkind = \"{kind}\"\nmodel = {{ path = \"model\" }}\n{lines}");
        validate_with(&[("model/model.safetensors", pointer)], &recipe, &[])
    };
    let parts = ["model.safetensors: it is a git-lfs pointer"];
    refused(&broken("tune", "pairs = { path = \"pairs.jsonl\" }"), &parts);
    refused(&broken("sample", "prompts = { path = \"prompts.jsonl\" }"), &parts);
    let adapter = tuned("adapter = { path = \"adapter\" }", "model = \"tuned\"");
    let files: [(&str, &[u8]); 1] = [("adapter/adapter_model.safetensors", pointer)];
    refused(
        &validate_with(&files, &adapter, &[]),
        &["adapter_model.safetensors: it is a git-lfs pointer"],
    );
    let bare: [(&str, &[u8]); 1] = [("model/chat_template.jinja", b"{{ raise_exception('no') }}")];
    let chat = tuned("", "model = \"tuned\"\napply_chat_template = true");
    right(&validate(&chat));
    refused(
        &validate_with(&bare, &chat, &[]),
        &["`apply_chat_template` cannot be true", "r.toml:12:9"],
    );
}

#[test]
fn programs_are_looked_for() {
    let said = |program: &str| {
        validate_with(
            &[("here", b"#!/bin/sh\n"), ("folder/x", b"")],
            &format!("[stage.a]\nkind = \"command\"\nprogram = \"{program}\"\noutputs = [\"o\"]\n"),
            &[],
        )
    };
    right(&said("sh"));
    let place = "r.toml:4:11";
    refused(&said("no-such-program"), &["cannot run `no-such-program`: not found on PATH", place]);
    refused(&said("here"), &["cannot run `here`", "is written `./here`"]);
    refused(&said("./here"), &["here is not executable", place]);
    refused(&said("./folder"), &["folder is a folder"]);
}

#[test]
fn names_on_a_hub_are_no_paths() {
    let import =
        |path: &str| validate(&format!("[stage.a]\nkind = \"import\"\npath = \"{path}\"\n")).words;
    assert!(import("Qwen/Qwen2-0.5B").contains("hf download"));
    for path in ["Models/x.gguf", "models/base", "./Qwen/Qwen2-0.5B"] {
        let said = import(path);
        assert!(said.contains("does not exist") && !said.contains("hf download"), "{said}");
    }
}

/// Verdicts of labels and agreement with them count irrelevant facts alike, or a warning says so.
#[test]
fn irrelevant_facts_are_counted_alike() {
    let said = |theirs: &str, ours: &str| {
        let row = br#"{"claim_id":"a","claim":"A is.","label":true}"#;
        let recipe = format!(
            "[stage.people]\nkind = \"labels\"\nfiles = [\"own.jsonl\"]\n{theirs}\n\
            [stage.agreed]\nkind = \"agree\"\nlabels = \"people\"\nclaims = \"people\"\n{ours}\n"
        );
        validate_with(&[("own.jsonl", row)], &recipe, &[])
    };
    let other = "irrelevant = \"unsupported\"";
    right(&said("", ""));
    right(&said(other, other));
    for said in [said(other, ""), said("", other)] {
        assert_eq!(said.code, Some(0), "{}", said.words);
        assert!(said.words.contains("`irrelevant` is"), "{}", said.words);
    }
}

/// Log-probabilities of other tokens or digits would shift the loss without a sign of it.
#[test]
fn a_reference_encodes_rows_as_the_tuning_does() {
    let scored = |theirs: &str, ours: &str| {
        let stage = "[stage.scored]\nkind = \"reference\"\nmodel = \"base\"\n\
            pairs = { path = \"pairs.jsonl\" }\n";
        let tuned = tuned(&format!("reference = \"scored\"\n{ours}"), "model = \"tuned\"");
        validate(&format!("{stage}{theirs}\n{tuned}"))
    };
    right(&scored("", ""));
    right(&scored(
        "dtype = \"bfloat16\"\nmax_length = 64",
        "dtype = \"bfloat16\"\nmax_length = 64",
    ));
    for other in ["dtype = \"bfloat16\"", "max_length = 64", "truncation_mode = \"keep_start\""] {
        refused(&scored(other, ""), &["`reference` scored the pairs with another", "r.toml:14:"]);
        refused(&scored("", other), &["`reference` scored the pairs with another"]);
    }
}

#[test]
fn scores_of_other_settings_are_not_compared() {
    let score = |name: &str, lines: &str| {
        let inputs: String = ["responses", "claims", "verdicts"]
            .map(|input| format!("{input} = {{ path = \"rows.jsonl\" }}\n"))
            .concat();
        format!("[stage.{name}]\nkind = \"score\"\n{inputs}{lines}\n")
    };
    let compared = |one: &str, other: &str| {
        let table = "[stage.table]\nkind = \"compare\"\nscores = [\"one\", \"other\"]\n";
        validate(&[&score("one", one), &score("other", other), table].concat())
    };
    right(&compared("k = 4", "k = 4\ngamma = 10"));
    let said = compared("k = 4", "k = 8");
    refused(
        &said,
        &["`one` and `other` were scored with different", "`k` is 4 and 8", "r.toml:16:"],
    );
    refused(&compared("gamma = 2", ""), &["`gamma` is 2.0 and 10.0"]);
    refused(&compared("", "in_domain = \"people\""), &["`in_domain` is null and \"people\""]);
}

#[test]
fn mixtures_of_nothing_are_refused() {
    let mix = |lines: &str| {
        let pools = "general = { path = \"pairs.jsonl\" }\natomic = { path = \"pairs.jsonl\" }\n";
        validate(&format!("[stage.a]\nkind = \"mix\"\n{pools}{lines}\n"))
    };
    right(&mix("general_pairs = 0"));
    refused(&mix("general_pairs = 0\natomic_pairs = 0"), &["would be empty"]);
    refused(&mix("preferences = \"general\"\ngeneral_pairs = 0"), &["would be empty"]);
    refused(&mix("preferences = \"atomic\"\npairs = 9\natomic_share = 0.0"), &["would be empty"]);
}

#[test]
fn single_answers_are_no_pairs() {
    let mine = |rows: &str| {
        let inputs = ["responses", "claims", "verdicts", "prompts"]
            .map(|input| format!("{input} = {{ path = \"rows.jsonl\" }}\n"));
        format!(
            "[stage.mined]\nkind = \"mine\"\npreference_format = \"{rows}\"\n{}",
            inputs.concat()
        )
    };
    let tune = |rows: &str, lines: &str| {
        validate(&format!(
            "{}[stage.tuned]\nkind = \"tune\"\nmodel = {{ path = \"model\" }}\npairs = \
            \"mined\"\n{lines}\n",
            mine(rows)
        ))
    };
    right(&tune("pairs", ""));
    right(&tune("unpaired", "algorithm = \"kto\""));
    refused(
        &tune("unpaired", ""),
        &["`pairs` are labelled completions (`preference_format` is \"unpaired\")", "r.toml:12:9"],
    );
    refused(
        &tune("unpaired", "algorithm = \"fact_kto\""),
        &["the facts of completions are needed"],
    );
    refused(
        &tune("unpaired", "algorithm = \"kto\"\nfact_mask = true"),
        &["the facts of completions are needed"],
    );
    let mix = |rows: &str| {
        validate(&format!(
            "{}[stage.mixed]\nkind = \"mix\"\ngeneral = \"mined\"\npreferences = \"general\"\n",
            mine(rows)
        ))
    };
    right(&mix("pairs"));
    refused(&mix("unpaired"), &["`general` are labelled completions"]);
}

#[test]
fn numbers_that_no_model_can_take_are_refused() {
    let tune = |lines: &str| validate(&tuned(lines, "model = \"tuned\""));
    let nothing = "desirable_weight = 0.0\nundesirable_weight = 0";
    refused(
        &tune(&format!("algorithm = \"kto\"\n{nothing}")),
        &["of the algorithm `kto` are both 0"],
    );
    right(&tune("algorithm = \"kto\"\ndesirable_weight = 0.0"));
    for line in [
        "beta = 1e-300",
        "max_grad_norm = 1e300",
        "adam_epsilon = 1e-320",
        "learning_rate = 1e-200",
    ] {
        refused(&tune(line), &["which float32 cannot hold", "a number from 1.2e-38 to 3.4e38"]);
    }
    refused(&tune("freeze = [\"\"]"), &["`freeze` has an empty name"]);
    refused(&tune("lora_rank = 2\ntarget_modules = []"), &["`target_modules` is empty"]);
    refused(
        &tune("lora_rank = 2\ntarget_modules = [\"vproj\"]"),
        &["`target_modules` names `vproj`", "r.toml:10:"],
    );
    for (rank, count) in [(9, 2), (16, 2), (17, 7), (1 << 20, 7)] {
        let said = tune(&format!("lora_rank = {rank}"));
        assert_eq!(said.code, Some(0), "{}", said.words);
        let part = format!("`lora_rank` {rank} is above the smaller width of {count} of 7 layers");
        assert!(said.words.contains(&part) && said.words.contains("1 warning"), "{}", said.words);
    }
    right(&tune("lora_rank = 8"));
    let sample = "[stage.a]\nkind = \"sample\"\nmodel = { path = \"model\" }\nprompts = { path = \
    \"prompts.jsonl\" }\n";
    for penalty in ["1e-300", "1e-38", "0", "1e300"] {
        let said = validate(&format!("{sample}repetition_penalty = {penalty}"));
        refused(&said, &["`repetition_penalty` is ", "a number from 0.000001 to 100 is expected"]);
    }
    right(&validate(&format!("{sample}repetition_penalty = 0.5")));
}

#[test]
fn models_larger_than_any_memory_are_refused() {
    let pretrain = |lines: &str| {
        let row = br#"{"prompt": "", "text": "t", "weight": 1, "group": "g"}"#;
        let recipe = reads(
            "pretrain",
            "documents",
            &[],
            &format!("batch_composition = {{ g = 1 }}\n{lines}"),
        );
        validate_with(&[("e.jsonl", row)], &recipe, &[])
    };
    right(&pretrain(""));
    // By hand: 2 (2·2^40 + 2·2^39 + 3·2^20·424 + 2·2^20) + 2^20·2048 + 2^20 parameters of 16 bytes.
    refused(
        &pretrain("hidden_size = 1048576"),
        &["`hidden_size` 1048576 makes a model of 6.602e12 parameters", "98376 GiB"],
    );
    refused(
        &pretrain("num_hidden_layers = 1048576"),
        &["`num_hidden_layers` 1048576 makes a model"],
    );
    refused(
        &pretrain("num_hidden_layers = 100000\nintermediate_size = 100000"),
        &["GiB are possible"],
    );
    right(&pretrain("vocab_size = 1048576"));
    let tune = "[stage.tuned]\nkind = \"tune\"\nmodel = \"a\"\npairs = { path = \"pairs.jsonl\" \
    }\nlora_rank = 100\n";
    let said = pretrain(&format!("hidden_size = 64\n{tune}"));
    assert!(
        said.words.contains("`lora_rank` 100 is above the smaller width of 14 of 14 layers"),
        "{}",
        said.words
    );
    let chat = "[stage.b]\nkind = \"sample\"\nmodel = \"a\"\nprompts = { path = \
    \"prompts.jsonl\" }\napply_chat_template = true\n";
    refused(&pretrain(chat), &["`apply_chat_template` needs a chat template"]);
}

#[test]
fn a_run_reads_its_rows_before_anything_runs() {
    let folder = tempfile::tempdir().unwrap();
    let recipe = "name = \"x\"\n[stage.first]\nkind = \"command\"\nprogram = \"true\"\noutputs = \
    [\"o\"]\n\
                  [stage.last]\nkind = \"extract\"\nresponses = { path = \"r.jsonl\" }\n";
    fs::write(folder.path().join("r.toml"), recipe).unwrap();
    fs::write(folder.path().join("r.jsonl"), "{}\n").unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_apeft"));
    let output = command
        .args(["run", "r.toml"])
        .current_dir(folder.path())
        .env_remove("APEFT_CACHE")
        .output()
        .unwrap();
    let words = String::from_utf8(output.stderr).unwrap();
    assert!(words.contains("r.jsonl:1: missing field") && !words.contains("> first"), "{words}");
    let output = Command::new(env!("CARGO_BIN_EXE_apeft"))
        .args(["plan", "r.toml"])
        .current_dir(folder.path())
        .output();
    assert_eq!(output.unwrap().status.code(), Some(2));
}

#[test]
fn what_is_no_file_is_no_recipe() {
    let folder = tempfile::tempdir().unwrap();
    let base = folder.path().join("r.toml");
    fs::write(&base, "name = \"x\"\nextends = \"/dev/zero\"\n").unwrap();
    let large = folder.path().join("large.toml");
    fs::File::create(&large).unwrap().set_len(1 << 33).unwrap();
    for path in [Path::new("/dev/zero"), &base, &large] {
        let problems = Recipe::load(path, &[]).unwrap_err().to_string();
        assert!(problems.contains("a recipe is a TOML file"), "{problems}");
    }
    let device = "[stage.a]\nkind = \"extract\"\nresponses = { path = \"/dev/zero\" }\n";
    refused(&validate(device), &["this is neither a file nor a folder"]);
}

#[test]
fn an_absurd_number_is_refused_with_its_range() {
    let lines = |lines: &str| {
        format!("[stage.a]\nkind = \"command\"\nprogram = \"true\"\noutputs = [\"o\"]\n{lines}\n")
    };
    for (line, range) in [
        ("timeout = 1e19", "1 ms to 36500 d is expected"),
        ("timeout = \"1e400 d\"", "a number of seconds or a text like"),
        ("retries = 9000000000000000000", "from 0 to 1000"),
        ("retries = -1", "from 0 to 1000"),
        ("resources = { cpus = 4000000000 }", "from 1 to 1000000"),
        ("resources = { memory = 1e300 }", "at most 1000 PB"),
    ] {
        refused(&validate(&lines(line)), &[range, "r.toml:6:"]);
    }
}

/// Quadratic time in the length of each would take seconds to minutes.
#[test]
fn long_recipes_take_no_longer_than_they_are() {
    let stage = |name: &str, more: &str| {
        format!(
            "[stage.{name}]\nkind = \"command\"\nprogram = \"${{matrix.v}}\"\noutputs = \
            [\"o\"]\n{more}"
        )
    };
    let list = |count: usize, item: fn(usize) -> String| {
        (0..count).map(item).collect::<Vec<_>>().join(",")
    };
    let many =
        |count: usize, item: &dyn Fn(usize) -> String| (0..count).map(item).collect::<String>();
    let number = |number: usize| number.to_string();
    let matrix = |lines: &str| format!("[matrix]\n{lines}\n{}", stage("a", ""));
    let cases: [(&str, String); 8] = [
        ("values", matrix(&format!("v = [{}]", list(20_000, number)))),
        (
            "include",
            matrix(&format!(
                "v = [0]\ninclude = [{}]",
                list(20_000, |value| format!("{{v={value}}}"))
            )),
        ),
        (
            "exclude",
            matrix(&format!(
                "v = [{}]\nexclude = [{}]",
                list(20_000, number),
                list(19_999, |value| format!("{{v={value}}}"))
            )),
        ),
        ("unknown keys", many(20_000, &|index| format!("k{index} = 1\n")) + &matrix("v = [1]")),
        ("references", many(4_000, &|index| stage(&format!("s{index}"), "inputs = [\"nope\"]\n"))),
        (
            "a cycle",
            many(10_000, &|index| {
                stage(&format!("s{index}"), &format!("inputs = [\"s{}\"]\n", (index + 1) % 10_000))
            }),
        ),
        (
            "a name",
            stage(&"q".repeat(50_000), "")
                + &stage("b", &format!("inputs = [\"{}\"]\n", "q".repeat(50_001))),
        ),
        (
            "stages without a kind",
            many(4_000, &|index| format!("[stage.s{index}]\nnum_samples = 1\n")),
        ),
    ];
    for (what, lines) in cases {
        let began = Instant::now();
        validate(&lines);
        // Seconds even on a busy machine; quadratic time takes ten to a hundred times as long.
        assert!(began.elapsed().as_secs() < 20, "{what}: {:?}", began.elapsed());
    }
}

#[test]
fn too_many_cells_are_counted_and_not_made() {
    let list =
        |count: usize| (0..count).map(|value| value.to_string()).collect::<Vec<_>>().join(",");
    let stage = "[stage.a]\nkind = \"command\"\nprogram = \"${matrix.v}\"\narguments = \
    [\"${matrix.w}\"]\noutputs = [\"o\"]\n";
    let recipe = |seeds: usize, values: usize| {
        let (seeds, values) = (list(seeds), list(values));
        format!("seeds = [{seeds}]\n[matrix]\nv = [{values}]\nw = [{values}]\n{stage}")
    };
    refused(
        &validate(&recipe(100, 1000)),
        &["1000000 cells of the matrix for 100 seeds are 100000000 cells"],
    );
    refused(
        &validate(&recipe(1, 600)),
        &["this plan has 360000 stages", "at most 250000 stages are possible"],
    );
}

#[test]
fn nothing_in_a_recipe_reaches_the_terminal_as_a_command_to_it() {
    let program = "[stage.a]\nkind = \"command\"\nprogram = \"true\"\n";
    for lines in [
        format!("{program}inputs = [{{ path = \"\\u001b[31mx\" }}]\noutputs = [\"o\"]\n"),
        format!("{program}outputs = [\"/\\u001b[31mx\"]\n"),
        format!("{program}outputs = [\"o\"]\ntimeout = \"\\u009b31m\"\n"),
        format!("{program}inputs = [\"\\u001b]0;title\\u0007\"]\noutputs = [\"o\"]\n"),
    ] {
        let said = validate(&lines);
        refused(&said, &[]);
        assert!(
            said.words.chars().all(|letter| letter == '\n' || !letter.is_control()),
            "{:?}",
            said.words
        );
    }
}

/// A recipe with one variable, planned with the real kinds.
fn planned(values: &[String]) -> plan::Plan {
    let folder = tempfile::tempdir().unwrap();
    let list: Vec<String> =
        values.iter().map(|value| toml::Value::String(value.clone()).to_string()).collect();
    let recipe = format!(
        "name = \"x\"\nseeds = [0, 7]\n[matrix]\nsystem = [{}]\n[stage.a]\nkind = \
        \"command\"\nprogram = \"true\"\n\
         arguments = [\"${{matrix.system}}\", \"${{seed}}\"]\noutputs = [\"o\"]\n",
        list.join(", ")
    );
    let path = folder.path().join("r.toml");
    fs::write(&path, recipe).unwrap();
    let recipe = Recipe::load(&path, &[]).unwrap_or_else(|problems| panic!("{problems}"));
    plan::plan(&recipe, &registry::catalogue(), None)
        .unwrap_or_else(|problems| panic!("{problems}"))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    /// Any value appears in the cell's name, and the resolved recipe gives the same plan.
    #[test]
    fn names_of_cells_say_their_coordinates(values in prop::collection::btree_set("[ a-c,=@\"\\\\\u{e4}\n.$]{0,6}", 1..4)) {
        let values: Vec<String> = values.into_iter().collect();
        let plan = planned(&values);
        for node in &plan.order {
            let stage = &plan.graph[*node];
            prop_assert_eq!(&Cell::parse(&stage.name), &*stage.cell);
            prop_assert_eq!(&stage.cell.stage, "a");
            prop_assert!(values.iter().any(|value| stage.cell.value("system") == Some(value.as_str())));
            prop_assert!(["0", "7"].contains(&stage.cell.seed.as_deref().unwrap()));
        }
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("r.toml");
        fs::write(&path, &plan.resolved).unwrap();
        let again = Recipe::load(&path, &[]).and_then(|recipe| plan::plan(&recipe, &registry::catalogue(), None));
        let again = again.unwrap_or_else(|problems| panic!("{problems}"));
        prop_assert_eq!(&again.resolved, &plan.resolved);
        let stages = |plan: &plan::Plan| {
            let all = plan.graph.node_weights();
            all.map(|stage| (stage.name.clone(), stage.parameters.clone(), stage.seed)).collect::<Vec<_>>()
        };
        prop_assert_eq!(stages(&again), stages(&plan));
    }

    /// A shipped recipe with a replaced part is read or rejected without a panic.
    #[test]
    fn damaged_recipes_are_refused(place in 0.0..1.0f64, length in 0usize..40, text in "[ -~\u{e4}\n]{0,12}") {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("recipes/quickstart.toml");
        let mut recipe: Vec<char> = fs::read_to_string(path).unwrap().chars().collect();
        let start = (place * recipe.len() as f64) as usize;
        let end = (start + length).min(recipe.len());
        recipe.splice(start..end, text.chars());
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("r.toml");
        fs::write(&path, recipe.into_iter().collect::<String>()).unwrap();
        let planned = Recipe::load(&path, &[]).and_then(|recipe| plan::plan(&recipe, &registry::catalogue(), None));
        let problems = planned.map(|plan| plan.warnings).unwrap_or_else(|problems| problems);
        problems.render(true);
        problems.to_json();
    }
}
