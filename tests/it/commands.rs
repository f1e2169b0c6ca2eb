//! The commands that run a model, as a user calls them.

use std::{fs, path::Path, process::Command};

use serde_json::{Value, json};

/// A small model of the test data.
fn tiny() -> String {
    format!("{}/tests/data/tiny-llama", env!("CARGO_MANIFEST_DIR"))
}

struct Said {
    status: i32,
    out: String,
    errors: String,
}

fn apeft(arguments: &[&str]) -> Said {
    let output = Command::new(env!("CARGO_BIN_EXE_apeft"))
        .args(arguments)
        .env_remove("RUST_LOG")
        .output()
        .unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    Said {
        status: output.status.code().unwrap(),
        out: text(output.stdout),
        errors: text(output.stderr),
    }
}

fn generate(arguments: &[&str]) -> Value {
    let said = apeft(&[&["generate", &tiny(), "--json"], arguments].concat());
    assert_eq!(said.status, 0, "{}", said.errors);
    serde_json::from_str(&said.out).unwrap()
}

#[test]
fn answers_depend_on_the_seed_and_not_on_the_batch() {
    let prompts = [
        "--prompt",
        "Who was Ada?",
        "--prompt",
        "A",
        "--num-samples",
        "9",
        "--max-new-tokens",
        "20",
    ];
    let answers = generate(&[prompts.as_slice(), &["--batch", "1"]].concat());
    assert_eq!(answers.as_array().unwrap().len(), 18);
    assert_eq!(generate(&[prompts.as_slice(), &["--batch", "64"]].concat()), answers);
    assert_ne!(generate(&[prompts.as_slice(), &["--seed", "1"]].concat()), answers);
    for answer in answers.as_array().unwrap() {
        let count = |field: &str| answer[field].as_array().unwrap().len();
        assert_eq!(count("token_ids"), count("logprobs"));
        assert_eq!(
            answer["finish"] == "length",
            count("token_ids") == 20 && answer["token_ids"][19] != 1
        );
        assert_eq!(answer["prompt_ids"][0], 0);
    }
}

#[test]
fn what_is_generated_is_scored_alike() {
    let answer =
        &generate(&["--prompt", "Who was Ada?", "--temperature", "0", "--max-new-tokens", "12"])[0];
    let folder = tempfile::tempdir().unwrap();
    let pairs = folder.path().join("pairs.jsonl");
    let chosen = answer["text"].as_str().unwrap();
    let row = json!({"prompt": "Who was \
    Ada?", "chosen": chosen, "rejected": " Nobody.", "level": "general"});
    fs::write(&pairs, format!("{row}\n{row}\n")).unwrap();
    let pairs = pairs.to_str().unwrap();
    let said = apeft(&["logprobs", &tiny(), "--pairs", pairs]);
    assert_eq!((said.status, said.errors.as_str()), (0, ""));
    let rows: Vec<Value> =
        said.out.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(rows.len(), 2);
    assert_eq!(rows[0], rows[1]);
    let tokens: Vec<i64> = serde_json::from_value(answer["token_ids"].clone()).unwrap();
    let logprobs: Vec<f64> = serde_json::from_value(answer["logprobs"].clone()).unwrap();
    // EOS, which the answer has not reached, is scored too.
    assert_eq!(rows[0]["chosen_tokens"], tokens.len() + 1);
    let found = rows[0]["chosen_logp"].as_f64().unwrap();
    let sum: f64 = logprobs.iter().sum();
    assert!(found < sum && found > sum - 20.0, "{found} {sum}");
    let small = apeft(&["logprobs", &tiny(), "--pairs", pairs, "--batch-tokens", "1"]);
    let again: Value = serde_json::from_str(small.out.lines().next().unwrap()).unwrap();
    assert!((again["chosen_logp"].as_f64().unwrap() - found).abs() < 1e-4);
}

#[test]
fn stop_strings_and_the_other_options_of_sampling_work() {
    let base = ["--prompt", "Who was Ada?", "--max-new-tokens", "40", "--seed", "3"];
    let whole = generate(&base)[0]["text"].as_str().unwrap().to_owned();
    let letter = whole.chars().nth(5).unwrap().to_string();
    let stopped = &generate(&[base.as_slice(), &["--stop", &letter]].concat())[0];
    assert_eq!(stopped["text"], whole.split(&letter).next().unwrap());
    assert_eq!(stopped["finish"], "stop");
    let greedy = generate(&[base.as_slice(), &["--temperature", "0"]].concat());
    for same in [["--top-k", "1"], ["--top-p", "1e-9"], ["--min-p", "1"]] {
        assert_eq!(
            generate(&[base.as_slice(), &same].concat())[0]["token_ids"],
            greedy[0]["token_ids"],
            "{same:?}"
        );
    }
    let penalised = generate(
        &[base.as_slice(), &["--temperature", "0", "--repetition-penalty", "100"]].concat(),
    );
    let tokens: Vec<i64> = serde_json::from_value(penalised[0]["token_ids"].clone()).unwrap();
    let repeated = |tokens: &[i64]| tokens.windows(2).filter(|pair| pair[0] == pair[1]).count();
    assert_eq!(repeated(&tokens), 0, "{tokens:?}");
    assert_ne!(
        generate(&[base.as_slice(), &["--dtype", "bfloat16"]].concat())[0]["logprobs"],
        greedy[0]["logprobs"]
    );
}

#[test]
fn a_chat_needs_a_template() {
    let said = apeft(&["generate", &tiny(), "--chat", "--prompt", "Who?"]);
    assert_eq!((said.status, said.out.as_str()), (2, ""));
    assert!(
        said.errors.contains("has no chat template; give a text instead of messages"),
        "{}",
        said.errors
    );
    let folder = tempfile::tempdir().unwrap();
    copy(Path::new(&tiny()), folder.path());
    let template =
        "{{ bos_token }}{% for m in messages %}[{{ m.role }}] {{ m.content }}\n{% endfor %}";
    fs::write(folder.path().join("chat_template.jinja"), template).unwrap();
    let directory = folder.path().to_str().unwrap();
    let chat = [
        "generate",
        directory,
        "--chat",
        "--system",
        "Be brief.",
        "--prompt",
        "Who?",
        "--max-new-tokens",
        "1",
        "--json",
    ];
    let said: Value = serde_json::from_str(&apeft(&chat).out).unwrap();
    let text =
        generate(&["--prompt", "[system] Be brief.\n[user] Who?\n", "--max-new-tokens", "1"]);
    assert_eq!(said[0]["prompt_ids"], text[0]["prompt_ids"], "the beginning stands once");
}

fn copy(from: &Path, to: &Path) {
    for entry in fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        fs::copy(&path, to.join(path.file_name().unwrap())).unwrap();
    }
}

#[test]
fn an_adapter_speaks_alike_beside_its_model_and_merged_into_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let models = format!("{}/tests/data/models", env!("CARGO_MANIFEST_DIR"));
    let model = path("model");
    fs::create_dir(&model).unwrap();
    for file in ["config.json", "model.safetensors", "generation_config.json"] {
        fs::copy(format!("{models}/qwen3/{file}"), Path::new(&model).join(file)).unwrap();
    }
    // A byte tokenizer would have more tokens than the model, so prompts use the first ones.
    for file in ["tokenizer.json", "tokenizer_config.json"] {
        fs::copy(format!("{}/{file}", tiny()), Path::new(&model).join(file)).unwrap();
    }
    let adapter = format!("{models}/qwen3/adapter");
    let ask = |model: &str, more: &[&str]| {
        let question = [
            "generate",
            model,
            "--prompt",
            "!$",
            "--temperature",
            "0",
            "--max-new-tokens",
            "8",
            "--json",
        ];
        let said = apeft(&[question.as_slice(), more].concat());
        assert_eq!(said.status, 0, "{}", said.errors);
        serde_json::from_str::<Value>(&said.out).unwrap()[0]["token_ids"].clone()
    };
    let merged = path("merged");
    let said = apeft(&["convert", &model, &merged, "--adapter", &adapter, "--shard-mb", "1"]);
    // The adapter names the folder that this model was copied from, and the tokenizer has more
    // tokens.
    let warned = said.errors.lines().all(|line| line.starts_with("warning: "));
    assert!(
        said.status == 0 && warned && said.errors.contains("names the base model"),
        "{}",
        said.errors
    );
    assert_eq!(ask(&merged, &[]), ask(&model, &["--adapter", &adapter]));
    assert_ne!(ask(&merged, &[]), ask(&model, &[]));
    let again = apeft(&["convert", &model, &merged]);
    assert_eq!(again.status, 2);
    assert!(again.errors.contains("merged is not empty; name a new directory"), "{}", again.errors);
}

#[test]
fn what_is_wrong_with_a_pair_is_said_with_its_number() {
    let folder = tempfile::tempdir().unwrap();
    let pairs = folder.path().join("pairs.jsonl");
    let good = json!({"prompt": "Who?", "chosen": " Ada.", "rejected": " Bob."});
    let long = json!({"prompt": "Who? ".repeat(300), "chosen": " Ada.", "rejected": " Bob."});
    let chat = json!({"prompt": [{"role": "user", "content": "Who?"}], "chosen": " Ada.", "rejected": " Bob."});
    for (row, expected) in [
        (long.to_string(), "pairs.jsonl: pair 2: it has "),
        (
            chat.to_string(),
            "pairs.jsonl:2: the prompt is a list of messages, but its completion is",
        ),
        (
            "{\"prompt\": \"Who?\"}".to_owned(),
            "pairs.jsonl:2: the row has no `chosen`, but `prompt`",
        ),
        ("{".to_owned(), "pairs.jsonl:2: EOF while parsing"),
        (
            "{\"prompt\": 5}".to_owned(),
            "expected a text, or a list of messages with `role` and `content`",
        ),
    ] {
        fs::write(&pairs, format!("{good}\n{row}\n")).unwrap();
        let said = apeft(&["logprobs", &tiny(), "--pairs", pairs.to_str().unwrap()]);
        assert_eq!((said.status, said.out.as_str()), (2, ""));
        assert!(said.errors.contains(expected), "{}", said.errors);
    }
}

/// Two seeds and an average over algorithms, to cover all output of `sweep` and `compare`.
#[test]
fn a_sweep_is_shown_as_text_markdown_csv_and_json() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let recipe = format!("{}/recipes/smoke.toml", env!("CARGO_MANIFEST_DIR"));
    let (cache, experiments) = (path("cache"), path("experiments"));
    let average = [
        "--set",
        "stage.comparison.average_over=\"algorithm\"",
        "--set",
        "stage.comparison.average_baselines=[\"sft\"]",
    ];
    let places = [
        "--cache",
        &cache,
        "--experiments",
        &experiments,
        "--seeds",
        "4,5",
        "--until",
        "comparison",
    ];
    let said = apeft(&[&["sweep", &recipe], &places[..], &average].concat());
    assert_eq!(said.status, 0, "{}", said.errors);
    let shown: Vec<&str> =
        said.errors.lines().skip_while(|line| !line.starts_with("Which arm gains most")).collect();
    assert!(shown.iter().any(|line| line.contains("over 2 seeds")), "{}", said.errors);
    assert!(shown.iter().any(|line| line.contains("dpo over sft")), "{}", said.errors);
    // The end of a run fits a screen.
    assert!(
        shown.len() > 10
            && shown.len() < 50
            && shown[..shown.len() - 1].iter().all(|line| line.chars().count() <= 100),
        "{}",
        said.errors
    );
    let page = fs::read_to_string(path("experiments/smoke/latest/report.html")).unwrap();
    for part in [
        "<summary>Comparison of arms</summary>",
        "<td>general+atomic</td>",
        "dpo over sft",
        "algorithm=dpo",
        "figures/forest-comparison.svg",
    ] {
        assert!(page.contains(part), "{part}");
    }

    let compare = |format: &[&str]| {
        let said = apeft(&[&["compare", "smoke", "--experiments", &experiments], format].concat());
        assert_eq!((said.status, said.errors.as_str()), (0, ""));
        said.out
    };
    let text = compare(&[]);
    assert!(text.starts_with("Which arm gains most") && text.contains("dpo over sft"), "{text}");
    assert!(compare(&["--markdown"]).contains("| --- |"));
    let latex = compare(&["--latex"]);
    for part in ["\\begin{tabular}{lll", "\\toprule", "\\cmidrule", "dpo & ", "\\end{table}"] {
        assert!(latex.contains(part), "{part} {latex}");
    }
    let csv = compare(&["--csv"]);
    let mut table = csv::Reader::from_reader(csv.as_bytes());
    let head = table.headers().unwrap().clone();
    assert!(head.iter().take(3).eq(["stage", "arm", "baseline"]));
    let rows: Vec<csv::StringRecord> = table.records().collect::<Result<_, _>>().unwrap();
    // A column for each variable, also of averages.
    let column = |name: &str| head.iter().position(|one| one == name).unwrap();
    let (arm, algorithm) = (column("arm"), column("algorithm"));
    for row in rows.iter().filter(|row| row[arm].contains("algorithm=")) {
        assert!(row[arm].contains(&format!("algorithm={}", &row[algorithm])), "{row:?}");
    }
    assert!(rows.iter().any(|row| row[arm] == *"algorithm=dpo" && row[algorithm] == *"dpo"));
    let json: Value = serde_json::from_str(&compare(&["--json"])).unwrap();
    let lengths =
        ["rows", "averages"].map(|name| json[0]["comparison"][name].as_array().unwrap().len());
    assert!(rows.len() == lengths[0] + lengths[1] && lengths[1] > 0, "{lengths:?}");
    assert_eq!(json[0]["comparison"]["arms"][1]["seeds"], json!(["4", "5"]));

    check_findings(&page, &json[0]["comparison"]);
    check_figures(Path::new(&path("experiments/smoke/latest/figures")), &page);

    let wrong = apeft(&["compare", "smoke", "--csv", "--json", "--experiments", &experiments]);
    assert_eq!(wrong.status, 2);
    assert!(wrong.errors.contains("cannot be used with"), "{}", wrong.errors);
    let run = fs::canonicalize(path("experiments/smoke/latest")).unwrap();
    let run = run.file_name().unwrap().to_str().unwrap();
    let both = apeft(&["compare", "smoke", run, "--csv", "--experiments", &experiments]);
    assert!(
        both.out.starts_with("stage,one,other,same,fields,domain,precision_one,precision_other\n"),
        "{}",
        both.out
    );
}

/// The sentences on the first screen have the figures of `comparison.json`.
fn check_findings(page: &str, comparison: &Value) {
    let rows = comparison["rows"].as_array().unwrap().iter();
    let gains = rows.filter(|row| {
        row["measure"] == "precision"
            && row["domain"] == "out-of-domain"
            && row["difference"].is_number()
    });
    let suspect = |arm: &Value| {
        let warnings = comparison["warnings"].as_array().unwrap().iter();
        warnings
            .filter(|one| one["arm"] == *arm)
            .any(|one| one["domains"].as_array().unwrap().contains(&Value::from("out-of-domain")))
    };
    let difference = |row: &Value| row["difference"].as_f64().unwrap();
    let best = gains.filter(|row| !suspect(&row["arm"]));
    let best = best.max_by(|one, other| difference(one).total_cmp(&difference(other))).unwrap();
    let points = |name: &str| format!("{:+.1}", 100.0 * best[name].as_f64().unwrap());
    let sentence = page.split("Out-of-domain: ").nth(1).expect("a finding out-of-domain");
    let sentence = sentence.split("</li>").next().unwrap();
    let said = format!(
        "{} points [{}, {}]",
        points("difference"),
        points("difference_low"),
        points("difference_high")
    );
    let arm = best["arm"].as_str().unwrap();
    let (_, cell) = arm.split_once('@').unwrap();
    let values: Vec<&str> = cell.split(',').map(|one| one.split_once('=').unwrap().1).collect();
    let values = values.join(", ");
    assert!(sentence.starts_with(&values) && sentence.contains(&said), "{arm}: {sentence}");
}

/// Each figure of the page is there as SVG, well formed, and as PNG, with rows of its size.
fn check_figures(folder: &Path, page: &str) {
    let mut names: Vec<&str> = page.split("href=\"figures/").skip(1).collect();
    names.iter_mut().for_each(|name| *name = name.split('"').next().unwrap());
    for name in
        ["forest-comparison.svg", "gains-comparison.png", "curves-tuned.svg", "timeline.png"]
    {
        assert!(names.contains(&name), "{name} {names:?}");
    }
    for name in names {
        let file = fs::read(folder.join(name)).unwrap();
        if name.ends_with(".svg") {
            let mut reader = quick_xml::Reader::from_reader(file.as_slice());
            let mut depth = 0;
            loop {
                match reader.read_event().unwrap() {
                    quick_xml::events::Event::Start(_) => depth += 1,
                    quick_xml::events::Event::End(_) => depth -= 1,
                    quick_xml::events::Event::Eof => break,
                    _ => {}
                }
            }
            let text = String::from_utf8(file).unwrap();
            assert!(depth == 0 && text.contains("fill=\"#ffffff\""), "{name}");
            assert!(!text.contains("NaN") && !text.contains("var("), "{name}");
        } else {
            let number = |at: usize| u32::from_be_bytes(file[at..at + 4].try_into().unwrap());
            let (width, height, length) = (number(16), number(20), number(33) as usize);
            assert_eq!((&file[1..4], &file[37..41]), (b"PNG".as_slice(), b"IDAT".as_slice()));
            let rows = fdeflate::decompress_to_vec(&file[41..41 + length]).unwrap();
            assert_eq!(rows.len(), (3 * width as usize + 1) * height as usize, "{name}");
        }
    }
}
