//! Invalid or misleading rows of data: each is an error or a counted warning with its line.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use serde_json::{Value, json};

/// A folder for recipes with its own store.
struct Bench {
    folder: tempfile::TempDir,
}

/// Result of a run.
struct Said {
    status: i32,
    text: String,
}

impl Bench {
    fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap() }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Writes rows as JSON lines.
    fn rows(&self, name: &str, rows: &[Value]) {
        self.write(name, &rows.iter().map(|row| format!("{row}\n")).collect::<String>());
    }

    fn write(&self, name: &str, text: &str) {
        fs::write(self.path(name), text).unwrap();
    }

    /// A copy of the tests' small model with changed settings.
    fn model(&self, change: fn(&mut Value, &str)) {
        let (from, to) = (
            Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/tiny-llama"),
            self.path("model"),
        );
        fs::create_dir_all(&to).unwrap();
        for entry in fs::read_dir(from).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_str().unwrap();
            if ["config.json", "generation_config.json", "tokenizer_config.json"].contains(&name) {
                let mut fields: Value =
                    serde_json::from_str(&fs::read_to_string(&path).unwrap()).unwrap();
                change(&mut fields, name);
                fs::write(to.join(name), fields.to_string()).unwrap();
            } else {
                fs::copy(&path, to.join(name)).unwrap();
            }
        }
    }

    /// Runs a recipe of one stage.
    fn run(&self, kind: &str, fields: &str) -> Said {
        self.write(
            "r.toml",
            &format!("name = \"rows\"\n[stage.it]\nkind = \"{kind}\"\n{fields}\n"),
        );
        let output = Command::new(env!("CARGO_BIN_EXE_apeft"))
            .args(["run", "r.toml"])
            .current_dir(self.folder.path())
            .env("APEFT_CACHE", self.path("cache"))
            .env_remove("RUST_LOG")
            .output()
            .unwrap();
        let text = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
        assert!(!text.contains("panicked"), "{text}");
        Said { status: output.status.code().unwrap(), text }
    }

    /// Tunes the small model on `pairs.jsonl`.
    fn tune(&self, rows: &[Value], fields: &str) -> Said {
        self.rows("pairs.jsonl", rows);
        if !self.path("model").exists() {
            self.model(|_, _| ());
        }
        let inputs = "model = { path = \"model\" }\npairs = { path = \"pairs.jsonl\" }\n";
        self.run("tune", &format!("{inputs}{fields}"))
    }
}

impl Said {
    /// The warnings.
    fn warnings(&self) -> Vec<&str> {
        self.text.lines().filter_map(|line| line.strip_prefix("! it: ")).collect()
    }

    /// Asserts success with exactly these warnings.
    #[track_caller]
    fn warns(&self, expected: &[&str]) {
        assert_eq!(self.status, 0, "{}", self.text);
        let warnings = self.warnings();
        assert_eq!(warnings.len(), expected.len(), "{warnings:#?}");
        for (warning, expected) in warnings.iter().zip(expected) {
            assert!(warning.contains(expected), "{warning}\ndoes not contain\n{expected}");
        }
    }

    /// Asserts failure with this message.
    #[track_caller]
    fn fails(&self, expected: &str) {
        assert_ne!(self.status, 0, "{}", self.text);
        assert!(self.text.contains(expected), "{}\ndoes not contain\n{expected}", self.text);
    }
}

fn pair(prompt: &str, chosen: &str, rejected: &str) -> Value {
    json!({"prompt": prompt, "chosen": chosen, "rejected": rejected})
}

fn single(prompt: &str, completion: &str, label: bool) -> Value {
    json!({"prompt": prompt, "completion": completion, "label": label})
}

/// Pairs without peculiarities.
fn sound() -> Vec<Value> {
    ["Ada", "Bo", "Cy", "Di"]
        .map(|name| pair(&format!("Who was {name}?"), &format!(" {name} was a poet."), " A band."))
        .to_vec()
}

fn said(role: &str, content: &str) -> Value {
    json!([{"role": role, "content": content}])
}

/// With a chat template that adds EOS.
fn chat(fields: &mut Value, name: &str) {
    if name == "tokenizer_config.json" {
        fields["chat_template"] = json!(
            "{% for m in messages %}[{{ m.role }}] {{ m.content }}{{ eos_token if m.role == \
            'assistant' else '\n' }}\
             {% endfor %}{% if add_generation_prompt %}[assistant] {% endif %}"
        );
    }
}

#[test]
fn sound_rows_are_left_in_peace() {
    Bench::new().tune(&sound(), "").warns(&[]);
}

#[test]
fn pairs_whose_answers_are_the_same_are_counted_and_reported() {
    let bench = Bench::new();
    let mut rows = sound();
    rows.push(pair("Who was Eve?", " A poet.", " A poet."));
    rows.push(pair("Who was Flo?", " A poet.", " A poet. "));
    bench
        .tune(&rows, "")
        .warns(&["in 2 of 6 rows (first: pairs.jsonl:5) chosen and rejected are equal"]);
    let report = fs::read_to_string(bench.path("experiments/rows/latest/report.html")).unwrap();
    assert!(report.contains("in 2 of 6 rows (first: pairs.jsonl:5) chosen and rejected are equal"));
}

#[test]
fn answers_that_bring_their_prompt_along_are_counted() {
    let rows = [
        pair("Who was Ada?", "Who was Ada? A poet.", "Who was Ada? A band."),
        pair("Ada", " Ada was a poet.", " B."),
    ];
    Bench::new()
        .tune(&rows, "")
        .warns(&["in 1 of 2 rows (first: pairs.jsonl:1) a completion begins with its prompt"]);
}

#[test]
fn conversations_in_answers_are_counted() {
    let bench = Bench::new();
    bench.model(chat);
    let asked = said("user", "Who was Ada?");
    let with = |answer: &str| json!([asked[0], said("assistant", answer)[0]]);
    let rows = [
        json!({"prompt": asked, "chosen": with("A poet."), "rejected": with("A band.")}),
        json!({"prompt": asked, "chosen": said("assistant", "A poet."), "rejected": said("assistant", "A bird.")}),
    ];
    let found = bench.tune(&rows, "");
    let warnings = found.warnings();
    assert!(
        warnings.iter().any(|text| text.starts_with(
            "in 1 of 2 rows (first: pairs.jsonl:1) a completion begins with messages"
        )),
        "{warnings:#?}"
    );
}

#[test]
fn answers_by_the_user_are_counted() {
    let bench = Bench::new();
    bench.model(chat);
    let asked = said("user", "Who was Ada?");
    let answered = |role: &str, other: &str| json!({"prompt": asked, "chosen": said("assistant", other), "rejected": said(role, "A band.")});
    let found = bench.tune(&[answered("user", "A poet."), answered("gpt", "A bird.")], "");
    let warnings = found.warnings();
    let has = |text: &str| warnings.iter().any(|warning| warning.starts_with(text));
    assert!(
        has("in 2 of 2 rows (first: pairs.jsonl:1) the last message of a completion is not the \
            assistant's"),
        "{warnings:#?}"
    );
    assert!(
        has("in 1 of 2 rows (first: pairs.jsonl:2) a message has a role other than"),
        "{warnings:#?}"
    );
}

#[test]
fn empty_answers_are_counted() {
    let rows = [pair("Who was Ada?", "", " "), pair("Who was Bo?", " A poet.", "")];
    Bench::new().tune(&rows, "").warns(&[
        "in 1 of 2 rows (first: pairs.jsonl:1) all completions are empty",
        "in 1 of 2 rows (first: pairs.jsonl:2) a completion is empty",
    ]);
}

#[test]
fn pairs_of_one_text_in_other_code_points_are_counted() {
    let rows =
        [pair("Who?", " Zo\u{eb}.", " Zoe\u{308}."), pair("Who was Bo?", " A poet.", " Zo\u{eb}.")];
    Bench::new().tune(&rows, "").warns(&[
        "in 1 of 2 rows (first: pairs.jsonl:1) chosen and rejected differ in Unicode composition",
    ]);
}

#[test]
fn pairs_that_contradict_each_other_are_counted() {
    let mut rows = sound();
    rows.push(pair("Who was Bo?", " A band.", " Bo was a poet."));
    Bench::new().tune(&rows, "").warns(&[
        "in 1 of 5 rows (first: pairs.jsonl:5) the preference is the reverse of an earlier row",
    ]);
    let rows = [single("A?", " a", true), single("B?", " b", false), single("A?", " a", false)];
    Bench::new()
        .tune(&rows, "algorithm = \"bco\"")
        .warns(&["in 1 of 3 rows (first: pairs.jsonl:3) the preference is the reverse"]);
}

#[test]
fn preferences_that_go_round_in_a_circle_are_counted() {
    let circle = |answers: &[&str]| -> Vec<Value> {
        let next = answers.iter().cycle().skip(1);
        answers.iter().zip(next).map(|(one, other)| pair("Who was Eve?", one, other)).collect()
    };
    let tune =
        |more: Vec<Value>, fields: &str| Bench::new().tune(&[sound(), more].concat(), fields);
    let expected = |count: usize, all: usize| {
        format!(
            "in {count} of {all} rows (first: pairs.jsonl:5) the preferences of a prompt are cyclic"
        )
    };
    tune(circle(&[" A.", " B.", " C."]), "").warns(&[&expected(3, 7)]);
    tune(circle(&[" A.", " B.", " C.", " D.", " E."]), "").warns(&[&expected(5, 9)]);
    tune(circle(&[" A.", " B.", " C."]), "algorithm = \"kto\"").warns(&[&expected(3, 7)]);
    let mut rows = circle(&[" A.", " B.", " C."]);
    rows[1]["chosen"] = json!("B. ");
    tune(rows.clone(), "").warns(&[&expected(3, 7)]);
    rows[2]["prompt"] = json!("Who was Flo?");
    tune(rows, "").warns(&[]);
    let bench = Bench::new();
    bench.tune(&circle(&[" A.", " B.", " C."]), "");
    let report = fs::read_to_string(bench.path("experiments/rows/latest/report.html")).unwrap();
    assert!(
        report.contains(
            "in 3 of 3 rows (first: pairs.jsonl:1) the preferences of a prompt are cyclic"
        )
    );
}

#[test]
fn what_does_not_compare_answers_does_not_mind_equal_ones() {
    let mut rows = sound();
    rows.push(pair("Who was Eve?", " A poet.", " A poet."));
    rows.push(pair("Who was Flo?", " A poet.", ""));
    Bench::new().tune(&rows, "algorithm = \"sft\"").warns(&[]);
    let long = |end: &str| format!(" Ada was {}{end}.", "a poet and ".repeat(20));
    let rows = [
        pair("Who was Ada?", &long("born"), &long("lost")),
        pair("Who was Cy?", " A poet.", " A band."),
    ];
    let found = Bench::new().tune(&rows, "algorithm = \"sft\"\nmax_length = 24");
    let warnings = found.warnings();
    assert!(
        !warnings.is_empty()
            && warnings.iter().all(|text| !text.contains("are equal after truncation")),
        "{warnings:#?}"
    );
    let found = Bench::new().tune(&rows, "additional_losses = { sft = 1.0 }\nmax_length = 24");
    assert!(
        found.warnings().iter().any(|text| text.contains("are equal after truncation")),
        "{:#?}",
        found.warnings()
    );
}

#[test]
fn texts_that_are_empty_are_counted() {
    let bench = Bench::new();
    bench.rows(
        "claims.jsonl",
        &[json!({"id": "a", "response_id": "r", "text": "Ada was a poet.", "span": [0, 1]})],
    );
    let verify = |texts: [&str; 3]| {
        let row = |(title, text): (&str, &str)| json!({"title": title, "text": text});
        bench.rows(
            "k.jsonl",
            &["Ada", "Bo", "Cy"].into_iter().zip(texts).map(row).collect::<Vec<_>>(),
        );
        bench.run(
            "verify",
            "claims = { path = \"claims.jsonl\" }\nknowledge = { path = \"k.jsonl\" }",
        )
    };
    verify(["Ada was a poet.", "x", "y"]).warns(&[]);
    verify(["Ada was a poet.", "", " \n"])
        .warns(&["the knowledge: 2 of 3 articles (first: `Bo`) are empty"]);
    let document = |text: &str| json!({"prompt": "Who?", "text": text, "weight": 1, "group": "g"});
    bench.rows("documents.jsonl", &[document(" A poet."), document(" ")]);
    let size = "vocab_size = 300\nhidden_size = 16\nnum_hidden_layers = 1\nnum_attention_heads = \
    2\nnum_key_value_heads = 1\nintermediate_size = 32\nwarmup_steps = 0\n";
    let trained = bench.run(
        "pretrain",
        &format!(
            "documents = {{ path = \"documents.jsonl\" }}\nmax_steps = 2\nbatch_composition = {{ \
            g = 2 }}\n{size}"
        ),
    );
    trained.warns(&["in 1 of 2 documents (first: line 2) the text is empty"]);
    bench.model(|_, _| ());
    let prompt = |id: &str, text: &str| json!({"id": id, "prompt": text, "topic": "Ada", "domain": "people"});
    bench.rows("prompts.jsonl", &[prompt("a", "Who?"), prompt("b", " ")]);
    let fields = "model = { path = \"model\" }\nprompts = { path = \"prompts.jsonl\" \
    }\nnum_samples = 1\nmax_new_tokens = 2";
    bench.run("sample", fields).warns(&["1 of 2 prompts (first: `b`) are empty"]);
}

#[test]
fn a_rank_above_the_width_of_layers_is_said() {
    Bench::new().tune(&sound(), "lora_rank = 8").warns(&[]);
    Bench::new()
        .tune(&sound(), "lora_rank = 9")
        .warns(&["`lora_rank` 9 is above the smaller width of 2 of 7 layers"]);
}

#[test]
fn empty_prompts_and_scores_that_say_the_contrary_are_counted() {
    let mut rows = sound();
    rows[1]["prompt"] = json!("");
    rows[2]["chosen_score"] = json!(0.25);
    rows[2]["rejected_score"] = json!(0.75);
    Bench::new().tune(&rows, "").warns(&[
        "in 1 of 4 rows (first: pairs.jsonl:3) `chosen_score` is below `rejected_score`",
        "in 1 of 4 rows (first: pairs.jsonl:2) the prompt is empty",
    ]);
}

#[test]
fn repeats_and_weights_are_counted() {
    let mut rows = sound();
    rows.extend(sound());
    Bench::new().tune(&rows, "").warns(&["4 of 8 rows repeat earlier ones"]);
    let weighted = |weights: [f64; 4]| {
        let rows = sound().into_iter().zip(weights).map(|(mut row, weight)| {
            row["weight"] = json!(weight);
            row
        });
        Bench::new().tune(&rows.collect::<Vec<_>>(), "")
    };
    weighted([1.0, 0.0, 0.5, 1.0]).warns(&["in 1 of 4 rows (first: pairs.jsonl:2) `weight` is 0"]);
    weighted([0.01, 0.01, 0.01, 0.1]).warns(&["one of 4 rows has 77 % of the total `weight`"]);
    weighted([0.0; 4]).fails("pairs.jsonl: all rows have `weight` 0: there is nothing to learn");
    weighted([1.0, 1.0, -1.0, 1.0])
        .fails("pairs.jsonl:3: `weight`: the weight is -1, but must be from 0 to 1000000");
}

#[test]
fn fields_that_may_be_misspelt_are_named() {
    let mut rows = sound();
    rows[1]["wieght"] = json!(0.5);
    rows[2]["tools"] = json!([]);
    rows[3]["source"] = json!("web");
    Bench::new().tune(&rows, "").warns(&[
        "in 1 of 4 rows (first: pairs.jsonl:3) the field `tools` is not read",
        "in 1 of 4 rows (first: pairs.jsonl:2) the field `wieght` is not read; did you mean \
        `weight`?",
    ]);
}

#[test]
fn labels_that_tell_too_little_are_said() {
    let rows = |labels: &[bool]| -> Vec<Value> {
        let row = |(number, label): (usize, &bool)| {
            single(&format!("Who was {number}?"), &format!(" {number}."), *label)
        };
        labels.iter().enumerate().map(row).collect()
    };
    let kto = |rows: &[Value], fields: &str| {
        Bench::new().tune(rows, &format!("algorithm = \"kto\"\n{fields}"))
    };
    kto(&rows(&[true; 4]), "")
        .warns(&["all 4 completions are desirable (`label` true), none is undesirable"]);
    kto(&rows(&[false; 4]), "")
        .warns(&["all 4 completions are undesirable (`label` false), none is desirable"]);
    let one = ["a", "b", "c", "d"].map(|text| single("Who?", &format!(" {text}."), text < "c"));
    kto(&one, "").warns(&["4 of 4 prompts have no completion of another prompt beside them"]);
    let mut labels = vec![false; 24];
    labels[0] = true;
    kto(&rows(&labels), "").warns(&[
        "1 desirable and 23 undesirable completions, with `desirable_weight` 1 and \
        `undesirable_weight` 1; KTO's paper asks for \
         `desirable_weight` from 23.00 to 30.59, or `undesirable_weight` from 0.03 to 0.04",
    ]);
    kto(&rows(&labels), "desirable_weight = 25.0").warns(&[]);
    kto(&rows(&[true, false, true, false]), "").warns(&[]);
    kto(&rows(&[true; 4]), "desirable_weight = 0.0")
        .fails("`kto` learns nothing from 4 desirable and 0 undesirable completions");
    let sft = |rows: &[Value]| Bench::new().tune(rows, "algorithm = \"sft\"");
    sft(&rows(&[true; 3])).warns(&[]);
    sft(&rows(&[false; 3]))
        .fails("none of 3 completions is desirable (`label` true): `sft` learns from these only");
}

#[test]
fn answers_that_lose_their_ends_are_counted() {
    let long = |name: &str| format!(" {name} was {}born in London.", "a poet and ".repeat(20));
    let rows = [
        pair("Who was Ada? Who was Bo?", &long("Ada"), &format!("{} No.", long("Ada"))),
        pair("Who was Cy?", " A poet.", " A band."),
    ];
    for (length, cut) in [(24, 1), (1, 2)] {
        let found = Bench::new().tune(&rows, &format!("max_length = {length}"));
        found.warns(&[
            &format!(
                "in {cut} of 2 rows (first: pairs.jsonl:1) prompt and completion are longer \
            than `max_length`"
            ),
            &format!(
                "in {cut} of 2 rows (first: pairs.jsonl:1) a completion is longer than \
            `max_length`: its last"
            ),
            &format!(
                "in {cut} of 2 rows (first: pairs.jsonl:1) the completions are equal after \
            truncation"
            ),
        ]);
    }
}

#[test]
fn texts_beyond_what_the_model_was_made_for_are_counted() {
    let mut rows = sound();
    rows.push(pair("Who was Eve?", &" A poet and a band.".repeat(60), " A band."));
    let found = Bench::new().tune(&rows, "");
    found.warns(&[
        "in 1 of 5 rows (first: pairs.jsonl:5) there are more tokens than the model has positions",
    ]);
}

#[test]
fn a_model_without_an_end_token_is_told() {
    let bench = Bench::new();
    bench.model(|fields, _| {
        let fields = fields.as_object_mut().unwrap();
        fields.remove("eos_token");
        fields.remove("eos_token_id");
    });
    bench
        .tune(&sound(), "")
        .warns(&["in 4 of 4 rows (first: pairs.jsonl:1) no completion has an EOS token"]);
    let open: Vec<Value> = sound()
        .into_iter()
        .map(|mut row| {
            row["ends"] = json!(false);
            row
        })
        .collect();
    bench.tune(&open, "").warns(&[]);
}

#[test]
fn runs_without_a_step_say_why() {
    let tune = |rows: &[Value], fields: &str| Bench::new().tune(rows, fields);
    tune(&sound(), "num_train_epochs = 0.1")
        .fails("`num_train_epochs` 0.1 of 4 rows gives no step");
    tune(&sound(), "eval_share = 0.9")
        .fails("`eval_share` 0.9 holds out all 4 rows (4 different prompts)");
    tune(&[], "").fails("pairs.jsonl: it has no rows");
    tune(&sound(), "eval_share = 0.1")
        .warns(&["`eval_share` 0.1 of 4 different prompts rounds to 0: no row is held out"]);
    tune(&sound(), "eval_share = 0.5")
        .warns(&["held-out rows are evaluated every 20 steps, but there are only 1"]);
}

#[test]
fn fact_dpo_must_know_which_answer_errs() {
    let with = |fields: Value| {
        let rows = sound().into_iter().map(|mut row| {
            row.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
            row
        });
        Bench::new().tune(&rows.collect::<Vec<_>>(), "algorithm = \"fact_dpo\"")
    };
    with(json!({})).fails("pairs.jsonl:1: `fact_dpo` needs to know which completion errs");
    with(json!({"chosen_score": 8.5, "rejected_score": 3.0})).fails("the scores are 8.5 and 3");
    with(json!({"chosen_score": 1.0, "rejected_score": 0.5}))
        .warns(&["in 4 of 4 rows (first: pairs.jsonl:1) only scores tell"]);
    let fact = |supported: bool| json!([{"span": [1, 3], "supported": supported}]);
    let entropies = json!({"chosen_score": -0.1, "rejected_score": -0.9});
    let mut judged = entropies.clone();
    judged["chosen_facts"] = fact(true);
    judged["rejected_facts"] = fact(false);
    with(judged.clone()).warns(&[]);
    judged["chosen_facts"] = fact(false);
    with(judged).warns(&["none of 4 pairs has exactly one completion with errors"]);
}

/// The losses differ, since facts take precedence over scores.
/// As in TRL, `max_steps` counts optimizer steps, of `gradient_accumulation_steps` batches each.
#[test]
fn the_number_of_steps_does_not_depend_on_the_rows() {
    for (steps, lines) in [(7, 1), (7, 4)] {
        let bench = Bench::new();
        let rows: Vec<Value> = sound().into_iter().take(lines).collect();
        let batch = "batch_size = 1\ngradient_accumulation_steps = 2\n";
        bench.tune(&rows, &format!("{batch}max_steps = {steps}")).warns(&[]);
        let metrics = fs::read_to_string(find(&bench.path("cache"), "metrics.jsonl").unwrap());
        assert_eq!(metrics.unwrap().lines().count(), steps, "{lines} rows");
    }
}

#[test]
fn fact_dpo_is_not_dpo_where_facts_say_who_errs() {
    let rows: Vec<Value> = sound()
        .into_iter()
        .map(|mut row| {
            row["chosen_score"] = json!(-0.1);
            row["rejected_score"] = json!(-0.9);
            row["chosen_facts"] = json!([{"span": [1, 3], "supported": true}]);
            row["rejected_facts"] = json!([{"span": [1, 3], "supported": false}]);
            row
        })
        .collect();
    let losses = |algorithm: &str| {
        let bench = Bench::new();
        bench.tune(&rows, &format!("algorithm = \"{algorithm}\"")).warns(&[]);
        let found =
            find(&bench.path("cache"), "metrics.jsonl").expect("the stage leaves its metrics");
        let first: Value =
            serde_json::from_str(fs::read_to_string(found).unwrap().lines().next().unwrap())
                .unwrap();
        first["loss"].as_f64().unwrap()
    };
    // By hand, with equal policy and reference: -log σ(0), and with beta 0.1 and margin 10, -log
    // σ(0.1 * (0 - 10)).
    assert!((losses("dpo") - std::f64::consts::LN_2).abs() < 1e-5);
    assert!((losses("fact_dpo") - (1.0 + std::f64::consts::E).ln()).abs() < 1e-5);
}

fn find(folder: &Path, name: &str) -> Option<PathBuf> {
    fs::read_dir(folder).unwrap().find_map(|entry| {
        let path = entry.unwrap().path();
        if path.is_dir() { find(&path, name) } else { path.ends_with(name).then_some(path) }
    })
}

#[test]
fn names_of_layers_that_are_none_are_errors() {
    let tune = |fields: &str| Bench::new().tune(&sound(), fields);
    tune("freeze = [\"embed_tokns\"]")
        .fails("`freeze` names `embed_tokns`, which matches no parameter");
    tune("lora_rank = 2\ntarget_modules = [\"q_proj\", \"vproj\"]")
        .fails("`target_modules` names `vproj`");
    tune("freeze = [\"embed_tokens\", \"lm_head\", \"q_proj\"]").warns(&[]);
}

#[test]
fn files_that_are_no_json_lines_say_what_they_are() {
    let read = |bytes: &[u8]| {
        let bench = Bench::new();
        bench.rows("pairs.jsonl", &[]);
        bench.model(|_, _| ());
        fs::write(bench.path("pairs.jsonl"), bytes).unwrap();
        bench.run("tune", "model = { path = \"model\" }\npairs = { path = \"pairs.jsonl\" }\n")
    };
    let row = pair("Who was Ada?", " A poet.", " A band.").to_string();
    read(format!("\u{feff}{row}\r\n\r\n").as_bytes()).warns(&[]);
    read(format!("[\n{row}\n]\n").as_bytes())
        .fails("pairs.jsonl:1: it is a JSON array; write one object per line");
    let nan = format!("{row}\n{}\n", row.replace('}', ", \"weight\": NaN}"));
    let found = read(nan.as_bytes());
    found.fails("pairs.jsonl:2: `NaN` at column");
    assert_eq!(found.text.matches("line 1").count(), 0, "{}", found.text);
    read(format!("{row}{row}\n").as_bytes())
        .fails("pairs.jsonl:1: more follows the object at column");
    read(format!("{row}\n{{\"prompt\": \"\"").as_bytes()).fails("pairs.jsonl:2: EOF while parsing");
    let utf16: Vec<u8> = row.encode_utf16().flat_map(u16::to_le_bytes).collect();
    read(&[b"\xff\xfe", utf16.as_slice()].concat())
        .fails("pairs.jsonl:1: it is UTF-16 text; save it as UTF-8");
    read(format!("{row}\n{{\"prompt\": \"a\", \"prompt\": \"b\"}}\n").as_bytes())
        .fails("pairs.jsonl:2: the field `prompt` occurs twice");
    read(&[row.as_bytes(), b"\n{\"prompt\": \"\xff\"}\n"].concat())
        .fails("pairs.jsonl:2: byte 13 of the line is not UTF-8");
}

#[test]
fn logprobs_say_a_mistake_once() {
    let bench = Bench::new();
    let row = pair("Who was Ada?", " A poet.", " A band.").to_string();
    bench.write("pairs.jsonl", &format!("{row}\n{}\n", row.replace('}', ", \"weight\": NaN}")));
    bench.model(|_, _| ());
    let output = Command::new(env!("CARGO_BIN_EXE_apeft"))
        .args(["logprobs", "model", "--pairs", "pairs.jsonl"])
        .current_dir(bench.folder.path())
        .output()
        .unwrap();
    let text = String::from_utf8(output.stderr).unwrap();
    assert_eq!(text.matches("is not a number in JSON").count(), 1, "{text}");
    assert!(text.contains("pairs.jsonl:2: `NaN` at column"), "{text}");
}

/// Verified responses: `responses.jsonl`, `claims.jsonl` and `verdicts.jsonl`, after a change.
fn judged(change: impl Fn(&mut [Value; 3])) -> Bench {
    let bench = Bench::new();
    let response = |sample: usize, output: &str| {
        json!({"id": format!("a#{sample}"), "prompt_id": "a", "sample": sample, "topic": "Göd", "domain": "people",
            "split": "tune", "prompt": "Who?", "output": output, "finish": "stop"})
    };
    let claim = |sample: usize| json!({"id": format!("a#{sample}/0"), "response_id": format!("a#{sample}"), "text": "Göd was.", "span": [0, 8]});
    let verdict = |sample: usize| json!({"claim_id": format!("a#{sample}/0"), "verdict": "supported", "probability": 1.0, "evidence": []});
    let mut files = [
        json!([response(0, "Göd was."), response(1, "Göd was not.")]),
        json!([claim(0), claim(1)]),
        json!([verdict(0), verdict(1)]),
    ];
    change(&mut files);
    for (name, rows) in ["responses.jsonl", "claims.jsonl", "verdicts.jsonl"].into_iter().zip(files)
    {
        bench.rows(name, rows.as_array().unwrap());
    }
    bench
}

const JUDGED: &str = "responses = { path = \"responses.jsonl\" }\nclaims = { path = \
\"claims.jsonl\" }\n\
                      verdicts = { path = \"verdicts.jsonl\" }\n";

#[test]
fn spans_probabilities_and_ids_of_judged_answers_are_checked() {
    let score = |change: fn(&mut [Value; 3])| judged(change).run("score", JUDGED);
    assert_eq!(score(|_| ()).status, 0);
    score(|files| files[1][0]["span"] = json!([0, 1_000_000_000])).fails(
        "the span of the claim `a#0/0` does not fit the response `a#0`: the span [0, 1000000000] \
        goes beyond the 8 characters",
    );
    score(|files| files[1][0]["span"] = json!([0, 9]))
        .fails("it seems to count bytes; count characters instead");
    score(|files| files[1][1]["span"] = json!([7, 1]))
        .fails("claims.jsonl:2: the span [7, 1] ends before it begins");
    score(|files| files[2][1]["probability"] = json!(2.0))
        .fails("verdicts.jsonl:2: the probability is 2, but must be");
    score(|files| files[2][1]["probability"] = json!(-0.5))
        .fails("verdicts.jsonl:2: the probability is -0.5");
    score(|files| files[1][1]["id"] = json!("a#0/0"))
        .fails("claims.jsonl:2: the claim `a#0/0` occurs twice, first in line 1");
    score(|files| files[2][1]["claim_id"] = json!("a#0/0"))
        .fails("verdicts.jsonl:2: the verdict on `a#0/0` occurs twice");
    score(|files| files[2][1]["claim_id"] = json!("b")).fails("the claim `a#1/0` has no verdict");
    score(|files| drop(files[1].as_array_mut().unwrap().pop()))
        .fails("the verdict on `a#1/0` belongs to no claim");
    score(|files| drop(files[2].as_array_mut().unwrap().pop()))
        .fails("the claim `a#1/0` has no verdict");
    let silent = score(|files| (files[1], files[2]) = (json!([]), json!([])));
    silent.warns(&["none of 2 responses has a relevant claim", "12 of 12 means have no interval"]);
    score(|files| files[1][1]["response_id"] = json!("b"))
        .fails("belongs to the response `b`, which is missing");
}

#[test]
fn rows_of_one_id_are_refused_wherever_they_are_read() {
    let extract = |change: fn(&mut [Value; 3])| {
        judged(change).run("extract", "responses = { path = \"responses.jsonl\" }")
    };
    assert_eq!(extract(|_| ()).status, 0);
    extract(|files| files[0][1]["id"] = json!("a#0"))
        .fails("responses.jsonl:2: the response `a#0` occurs twice, first in line 1");
    let verify = |change: fn(&mut [Value; 3])| {
        let bench = judged(change);
        bench.rows("knowledge.jsonl", &[json!({"title": "Göd", "text": "Göd was."})]);
        bench.run(
            "verify",
            "claims = { path = \"claims.jsonl\" }\nknowledge = { path = \"knowledge.jsonl\" }",
        )
    };
    verify(|files| files[1][1]["id"] = json!("a#0/0"))
        .fails("claims.jsonl:2: the claim `a#0/0` occurs twice");
}

#[test]
fn documents_have_weights_that_can_be() {
    let train = |weights: [f64; 2]| {
        let bench = Bench::new();
        let rows = weights.map(
            |weight| json!({"prompt": "Who?", "text": " A poet.", "weight": weight, "group": "g"}),
        );
        bench.rows("documents.jsonl", &rows);
        let size = "vocab_size = 300\nhidden_size = 16\nnum_hidden_layers = \
        1\nnum_attention_heads = 2\nnum_key_value_heads = 1\nintermediate_size = 32\n";
        let fields = format!(
            "documents = {{ path = \"documents.jsonl\" }}\nmax_steps = 2\nbatch_composition = {{ \
            g = 2 }}\n{size}"
        );
        bench.run("pretrain", &fields)
    };
    assert_eq!(train([1.0, 0.1]).status, 0);
    train([1.0, -5.0]).fails("documents.jsonl:2: the weight is -5, but must be from 0 to 1000000");
    train([0.0, 0.0]).fails("all documents of the group `g` have `weight` 0");
}

#[test]
fn facts_must_stand_in_their_answers() {
    let tune = |span: [usize; 2]| {
        let rows = sound().into_iter().map(|mut row| {
            row["chosen_facts"] = json!([{"span": span, "supported": true}]);
            row
        });
        Bench::new().tune(&rows.collect::<Vec<_>>(), "fact_mask = true")
    };
    tune([1, 8]).warns(&[]);
    tune([9, 2]).fails("pairs.jsonl:1: `chosen_facts`: the span [9, 2] ends before it begins");
    tune([1, 500])
        .fails("pairs.jsonl:1: a fact is outside its completion: the span [1, 500] goes beyond");
    tune([3, 3]).warns(&["in 4 of 4 rows (first: pairs.jsonl:1) a fact has no token"]);
}

#[test]
fn a_probe_whose_spans_or_counts_cannot_be_is_refused() {
    let mine = |change: fn(&mut Value)| {
        let bench = Bench::new();
        let answer = |number: usize, reply: &str, output: &str| {
            json!({"id": format!("q#{number}"), "output": output, "finish": "stop", "reply": reply, "claims": 1,
                "claim": format!("Ada{output}"), "span": [0, output.len()]})
        };
        let mut fact = json!({"id": "q", "topic": "Ada", "domain": "people", "split": "tune", "question": "Who was Ada?",
            "truth": ["Ada was a \
            poet."], "class": "potential", "n": 2, "right": 1, "contradicting": 1, "other": 0,
            "max_conf": 0.5, "exp_conf": 0.5, "neg_ent": -0.6,
            "answers": [answer(0, "right", " was a \
            poet."), answer(1, "contradicting", " was a band.")]});
        change(&mut fact);
        bench.rows("probe.jsonl", &[fact]);
        bench.rows(
            "prompts.jsonl",
            &[json!({"id": "q", "prompt": "Who?", "topic": "Ada", "domain": "people", "split": "tune"})],
        );
        bench.run(
            "mine-atomic",
            "probe = { path = \"probe.jsonl\" }\nprompts = { path = \"prompts.jsonl\" }",
        )
    };
    assert_eq!(mine(|_| ()).status, 0);
    mine(|fact| fact["answers"][0]["span"] = json!([9, 3]))
        .fails("probe.jsonl:1: the span [9, 3] ends before it begins");
    mine(|fact| fact["answers"][1]["span"] = json!([0, 99]))
        .fails("probe.jsonl:1: the answer `q#1`: the span [0, 99] goes");
    mine(|fact| fact["n"] = json!(5))
        .fails("probe.jsonl:1: the fact has n = 5, but 2 counted answers");
    mine(|fact| fact["max_conf"] = json!(1.5))
        .fails("probe.jsonl:1: `max_conf` is 1.5, but must be from 0 to 1");
}
