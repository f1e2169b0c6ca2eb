//! Everything that can be known of a recipe before anything runs is said before anything runs.

use std::{fs, path::Path, process::Command, time::Instant};

use apeft::{evaluation::Label, plan, recipe::Recipe, stage::registry};
use proptest::prelude::*;
use serde_json::json;

/// What each case finds beside its recipe.
const FILES: [(&str, &str); 6] = [
    ("model/config.json", "{}"),
    ("adapter/adapter_config.json", "{}"),
    ("prompts.jsonl", ""),
    ("pairs.jsonl", ""),
    ("claims.jsonl", ""),
    ("rows.jsonl", ""),
];

struct Said {
    code: Option<i32>,
    words: String,
}

/// Validates a recipe in a folder of its own; `name` is its first line.
fn validate_with(files: &[(&str, &[u8])], lines: &str, arguments: &[&str]) -> Said {
    let folder = tempfile::tempdir().unwrap();
    let plain = FILES.iter().map(|(name, text)| (*name, text.as_bytes()));
    let recipe = format!("name = \"x\"\n{lines}");
    for (name, bytes) in plain.chain(files.iter().copied()).chain([("r.toml", recipe.as_bytes())]) {
        let path = folder.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }
    let mut command = Command::new(env!("CARGO_BIN_EXE_apeft"));
    command.args(["validate", "r.toml"]).args(arguments).current_dir(folder.path()).env_remove("APEFT_CACHE");
    let output = command.output().unwrap();
    Said { code: output.status.code(), words: String::from_utf8(output.stderr).unwrap() }
}

fn validate(lines: &str) -> Said {
    validate_with(&[], lines, &[])
}

/// The recipe is wrong, and the message has all of these parts.
#[track_caller]
fn refused(said: &Said, parts: &[&str]) {
    assert_eq!(said.code, Some(2), "{}", said.words);
    parts.iter().for_each(|part| assert!(said.words.contains(part), "no {part:?} in:\n{}", said.words));
}

#[track_caller]
fn right(said: &Said) {
    assert_eq!((said.code, said.words.as_str().lines().count()), (Some(0), 1), "{}", said.words);
}

/// A recipe that tunes, with more lines in the tuning stage, and a stage that reads what tuning left.
fn tuned(lines: &str, reader: &str) -> String {
    format!(
        "[stage.base]\nkind = \"import\"\npath = \"model\"\n[stage.tuned]\nkind = \"tune\"\nmodel = \"base\"\n\
         pairs = {{ path = \"pairs.jsonl\" }}\n{lines}\n[stage.answers]\nkind = \"sample\"\n{reader}\n\
         prompts = {{ path = \"prompts.jsonl\" }}\n"
    )
}

#[test]
fn what_a_stage_leaves_follows_from_its_parameters() {
    let model = "model = \"tuned\"";
    right(&validate(&tuned("lora_rank = 2", model)));
    right(&validate(&tuned("", model)));
    let adapter = "model = \"base\"\nadapter = \"tuned\"";
    right(&validate(&tuned("lora_rank = 2\nmerge = false", adapter)));
    right(&validate(&tuned("adapter = { path = \"adapter\" }\nmerge = false", adapter)));
    let said = validate(&tuned("lora_rank = 2\nmerge = false", model));
    refused(&said, &["`model` cannot be `tuned`, which leaves no `model` since `merge` is false", "r.toml:13:9"]);
    let said = validate(&tuned("", adapter));
    refused(&said, &["`adapter` cannot be `tuned`, which leaves no `adapter` since neither `lora_rank` nor `adapter`"]);
    // In one of the cells only.
    let swept =
        format!("[matrix]\nmerge = [true, false]\n{}", tuned("lora_rank = 2\nmerge = \"${matrix.merge}\"", model));
    refused(&validate(&swept), &["which leaves no `model` since `merge` is false"]);
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
        refused(&said, &[&format!("`reward` \"{reward}\" comes from a probe, but the input `probe` is not given")]);
    }
    right(&validate(&stage("mine", &[&judged[..], &["probe"]].concat(), "reward = \"entropy\"")));
    let atomic = ["probe", "prompts"];
    right(&validate(&stage("mine-atomic", &atomic, "")));
    let said = validate(&stage("mine-atomic", &atomic, "source = \"sentences\""));
    for input in ["responses", "claims", "verdicts"] {
        refused(&said, &[&format!("`source` \"sentences\" needs the input `{input}`, which is not given")]);
    }
    let said = validate(&stage("mine-atomic", &[&atomic[..], &["claims"]].concat(), "source = \"rewritings\""));
    refused(&said, &["needs the input `rewritings`", "needs the input `verdicts`"]);
    assert!(!said.words.contains("`claims`, which is not given"));
    for preferences in ["atomic", "general+atomic", "general-matched"] {
        let said = validate(&stage("mix", &["general"], &format!("preferences = \"{preferences}\"")));
        refused(&said, &["counted by atomic pairs, but the input `atomic` is not given"]);
    }
    refused(&validate(&stage("mix", &["general"], "pairs = 9\natomic_share = 0.5")), &["`atomic` is not given"]);
    right(&validate(&stage("mix", &["general"], "preferences = \"general\"")));
    right(&validate(&stage("mix", &["general"], "pairs = 9\natomic_share = 0.0")));
    let said = validate(&stage("questions", &["claims"], ""));
    refused(&said, &["needs the input `pairs`", "needs the input `verdicts`"]);
    refused(&validate(&stage("questions", &[], "of = \"all\"")), &["needs the input `prompts`"]);
    let said = validate(&stage("tune", &["model", "pairs", "adapter"], "lora_rank = 4"));
    refused(&said, &["`adapter` is gone on from with the rank that it has, but `lora_rank` asks for a new one"]);
    let tables = "tables = [{ path = \"rows.jsonl\" }, { path = \"rows.jsonl\" }]";
    refused(&validate(&stage("facts", &["phrases"], tables)), &["there are 2 `tables` but 1 `phrases`"]);
}

/// Scores of two values of `system`, with lines of `compare`.
fn compared(values: &str, lines: &str) -> String {
    format!(
        "seeds = [0, 1]\n[matrix]\nsystem = {values}\n[stage.base]\nkind = \"import\"\npath = \"model\"\n\
         [stage.lead]\nkind = \"evaluate\"\nmodel = \"base\"\nprompts = {{ path = \"prompts.jsonl\" }}\nchat = true\n\
         system = \"${{matrix.system}}\"\nknowledge = {{ path = \"rows.jsonl\" }}\n\
         [stage.table]\nkind = \"compare\"\nscores = \"lead\"\n{lines}\n"
    )
}

#[test]
fn values_with_blanks_commas_and_quotes_are_compared() {
    let values = "[\"Be brief.\", \"Say \\\"no\\\", or a=b.\", \"plain\"]";
    for value in ["Be brief.", "Say \\\"no\\\", or a=b.", "plain"] {
        right(&validate(&compared(values, &format!("average = \"system\"\naverage_from = [\"{value}\"]"))));
    }
    right(&validate(&compared(values, "baseline = \"lead@system=Be brief.\"")));
    let said = validate(&compared(values, "average = \"system\"\naverage_from = [\"Be brief\"]"));
    refused(&said, &["`average_from` names `Be brief`, but `system` is only: Be brief., Say", "r.toml:19:16"]);
    let said = validate(&compared("[\"Be brief.\"]", "average = \"system\"\naverage_from = [\"Be brief.\"]"));
    refused(&said, &["no two of the scores differ in nothing but `system`"]);
    let said = validate(&compared(values, "average = \"sytem\"\naverage_from = [\"Be brief.\"]"));
    refused(&said, &["`average` is `sytem`, but the variables of the scores are only: system"]);
    refused(
        &validate(&compared(values, "baseline = \"before\"")),
        &["`baseline` is `before`, but there are only: lead@"],
    );
    let said = validate(&compared(values, "baseline = \"lead@system=Be long.\""));
    refused(&said, &["`baseline` is `lead@system=Be long.`"]);
}

#[test]
fn options_that_are_passed_over_are_said() {
    let sampled = |lines: &str| {
        let stage =
            "[stage.a]\nkind = \"sample\"\nmodel = { path = \"model\" }\nprompts = { path = \"prompts.jsonl\" }\n";
        format!("{stage}{lines}")
    };
    let warned = |recipe: &str, field: &str| {
        let said = validate(recipe);
        assert_eq!(said.code, Some(0), "{}", said.words);
        assert!(said.words.contains(&format!("warning: `{field}` is of no use: ")), "{field}: {}", said.words);
        assert!(said.words.contains("1 warning"), "{}", said.words);
    };
    for (field, lines) in [("top_k", "top_k = 5"), ("top_p", "top_p = 0.5"), ("min_p", "min_p = 0.1"), ("n", "n = 3")] {
        warned(&sampled(&format!("temperature = 0\n{lines}")), field);
    }
    right(&validate(&sampled("temperature = 0\ntop_p = 1\nn = 1")));
    let tune = |lines: &str| tuned(lines, "model = \"tuned\"");
    for (field, lines) in [
        ("lora_targets", "lora_targets = [\"q_proj\"]"),
        ("rslora", "rslora = true"),
        ("lora_dropout", "lora_dropout = 0.1"),
        ("merge", "merge = false"),
        ("evaluate_every", "evaluate_every = 5"),
        ("floor", "decay = \"constant\"\nfloor = 0.1"),
        ("mismatch", "mismatch = \"batch\""),
        ("reference", "algorithm = \"simpo\"\nreference = { path = \"rows.jsonl\" }"),
        ("lora_targets", "lora_rank = 2\nlora_pattern = \"all-linear\"\nlora_targets = [\"q_proj\"]"),
    ] {
        warned(&tune(lines), field);
    }
    right(&validate(&tune("merge = true\nlora_dropout = 0.0\nmismatch = \"fixed\"")));
    // What some cells have a use for is not passed over.
    let swept = sampled("temperature = \"${matrix.t}\"\ntop_k = 5\nn = 1\n[matrix]\nt = [0, 1]");
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
    refused(&set("defaults.tune.lora_rank=4"), &["no stage takes `lora_rank` from the defaults of `tune`"]);
    refused(&set("defaults.pretrain.hidden=8"), &["no stage takes `hidden` from the defaults of `pretrain`"]);
    refused(&set("matrix.beta=[0.1]"), &["no stage mentions the matrix's `beta`"]);
    right(&set("defaults.tune.beta=0.2"));
    let said = validate_with(&[], &recipe, &["--set", "name=\u{e9}\u{e9}", "--set", "seeds=[0,1,2"]);
    refused(&said, &["--set:1:7", "seeds=[0,1,2"]);
}

#[test]
fn outputs_lie_in_the_folder() {
    for output in ["../x", "/etc/passwd", "", ".", "a/../b", "a\\u0000"] {
        let lines = format!("[stage.a]\nkind = \"command\"\nprogram = \"true\"\noutputs = [\"o\", \"{output}\"]\n");
        refused(&validate(&lines), &["is not a path inside the working folder", "r.toml:5:11"]);
    }
    let nested = "[stage.a]\nkind = \"command\"\nprogram = \"true\"\noutputs = [\"o\", \"o/p\"]\n";
    refused(&validate(nested), &["the output `o/p` lies in the output `o`"]);
    let none = "[stage.a]\nkind = \"command\"\nprogram = \"true\"\noutputs = []\n";
    refused(&validate(none), &["`outputs` names nothing"]);
    right(&validate(&none.replace("[]", "[\"a/b\"]")));
}

#[test]
fn rows_that_are_there_are_read() {
    let sample = "[stage.a]\nkind = \"sample\"\nmodel = { path = \"model\" }\nprompts = { path = \"p.jsonl\" }\n";
    let good = "{\"id\":\"a\",\"prompt\":\"?\",\"topic\":\"T\",\"domain\":\"d\"}\n";
    let said = |text: &str| validate_with(&[("p.jsonl", text.as_bytes())], sample, &[]);
    right(&said(good));
    refused(&said(&format!("{good}{{\"id\":\"b\"}}\n")), &["p.jsonl:2: missing field", "r.toml:5:20"]);
    refused(&said(&format!("{good}{good}")), &["p.jsonl:2: the prompt `a` occurs twice, first in line 1"]);
    refused(&said("[1]\n"), &["p.jsonl:1: "]);
    let mix = "[stage.a]\nkind = \"mix\"\ngeneral = { path = \"p.jsonl\" }\npreferences = \"general\"\n";
    refused(&validate_with(&[("p.jsonl", b"{\"prompt\": 1}\n")], mix, &[]), &["p.jsonl:1: "]);
    let facts = "[stage.a]\nkind = \"facts\"\ntables = { path = \"t.csv\" }\nphrases = { path = \"t.toml\" }\n";
    let files: [(&str, &[u8]); 2] = [("t.csv", b"title,born\n"), ("t.toml", b"domain = 1\n")];
    refused(&validate_with(&files, facts, &[]), &["t.csv: ", "t.toml: ", "2 errors"]);
}

#[test]
fn a_run_reads_its_rows_before_anything_runs() {
    let folder = tempfile::tempdir().unwrap();
    let recipe = "name = \"x\"\n[stage.first]\nkind = \"command\"\nprogram = \"true\"\noutputs = [\"o\"]\n\
                  [stage.last]\nkind = \"extract\"\nresponses = { path = \"r.jsonl\" }\n";
    fs::write(folder.path().join("r.toml"), recipe).unwrap();
    fs::write(folder.path().join("r.jsonl"), "{}\n").unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_apeft"));
    let output = command.args(["run", "r.toml"]).current_dir(folder.path()).env_remove("APEFT_CACHE").output().unwrap();
    let words = String::from_utf8(output.stderr).unwrap();
    assert!(words.contains("r.jsonl:1: missing field") && !words.contains("> first"), "{words}");
    let output = Command::new(env!("CARGO_BIN_EXE_apeft")).args(["plan", "r.toml"]).current_dir(folder.path()).output();
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
    let lines =
        |lines: &str| format!("[stage.a]\nkind = \"command\"\nprogram = \"true\"\noutputs = [\"o\"]\n{lines}\n");
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

/// Each took seconds to minutes when its time grew with the square of its length.
#[test]
fn long_recipes_take_no_longer_than_they_are() {
    let stage = |name: &str, more: &str| {
        format!("[stage.{name}]\nkind = \"command\"\nprogram = \"${{matrix.v}}\"\noutputs = [\"o\"]\n{more}")
    };
    let list = |count: usize, item: fn(usize) -> String| (0..count).map(item).collect::<Vec<_>>().join(",");
    let many = |count: usize, item: &dyn Fn(usize) -> String| (0..count).map(item).collect::<String>();
    let number = |number: usize| number.to_string();
    let matrix = |lines: &str| format!("[matrix]\n{lines}\n{}", stage("a", ""));
    let cases: [(&str, String); 8] = [
        ("values", matrix(&format!("v = [{}]", list(20_000, number)))),
        ("include", matrix(&format!("v = [0]\ninclude = [{}]", list(20_000, |value| format!("{{v={value}}}"))))),
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
            "a circle",
            many(10_000, &|index| stage(&format!("s{index}"), &format!("inputs = [\"s{}\"]\n", (index + 1) % 10_000))),
        ),
        ("a name", stage(&"q".repeat(50_000), "") + &stage("b", &format!("inputs = [\"{}\"]\n", "q".repeat(50_001)))),
        ("stages without a kind", many(4_000, &|index| format!("[stage.s{index}]\nn = 1\n"))),
    ];
    for (what, lines) in cases {
        let began = Instant::now();
        validate(&lines);
        // Seconds even on a busy machine; the square of the length took ten to a hundred times as long.
        assert!(began.elapsed().as_secs() < 20, "{what}: {:?}", began.elapsed());
    }
}

#[test]
fn too_many_cells_are_counted_and_not_made() {
    let list = |count: usize| (0..count).map(|value| value.to_string()).collect::<Vec<_>>().join(",");
    let stage =
        "[stage.a]\nkind = \"command\"\nprogram = \"${matrix.v}\"\narguments = [\"${matrix.w}\"]\noutputs = [\"o\"]\n";
    let recipe = |seeds: usize, values: usize| {
        let (seeds, values) = (list(seeds), list(values));
        format!("seeds = [{seeds}]\n[matrix]\nv = [{values}]\nw = [{values}]\n{stage}")
    };
    refused(&validate(&recipe(100, 1000)), &["1000000 cells of the matrix for 100 seeds are 100000000 cells"]);
    refused(&validate(&recipe(1, 600)), &["this plan has 360000 stages", "at most 250000 stages are possible"]);
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
        assert!(said.words.chars().all(|letter| letter == '\n' || !letter.is_control()), "{:?}", said.words);
    }
}

/// A recipe over one variable, planned with the kinds that there are.
fn planned(values: &[String]) -> plan::Plan {
    let folder = tempfile::tempdir().unwrap();
    let list: Vec<String> = values.iter().map(|value| toml::Value::String(value.clone()).to_string()).collect();
    let recipe = format!(
        "name = \"x\"\nseeds = [0, 7]\n[matrix]\nsystem = [{}]\n[stage.a]\nkind = \"command\"\nprogram = \"true\"\n\
         arguments = [\"${{matrix.system}}\"]\noutputs = [\"o\"]\n",
        list.join(", ")
    );
    let path = folder.path().join("r.toml");
    fs::write(&path, recipe).unwrap();
    let recipe = Recipe::load(&path, &[]).unwrap_or_else(|problems| panic!("{problems}"));
    plan::plan(&recipe, &registry::catalogue(), None).unwrap_or_else(|problems| panic!("{problems}"))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    /// Whatever a value is, the cell's name says it, and the resolved recipe gives the same plan.
    #[test]
    fn names_of_cells_say_their_coordinates(values in prop::collection::btree_set("[ a-c,=@\"\\\\\u{e4}\n.$]{0,6}", 1..4)) {
        let values: Vec<String> = values.into_iter().collect();
        let plan = planned(&values);
        for node in &plan.order {
            let stage = &plan.graph[*node];
            let label = Label::parse(&stage.name);
            prop_assert_eq!(&label.stage, "a");
            prop_assert_eq!(label.value("system").map(|value| json!(value)), stage.cell.get("system").cloned());
            prop_assert_eq!(label.seed.map(|seed| json!(seed.parse::<u64>().unwrap())), stage.cell.get("seed").cloned());
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

    /// A shipped recipe with a stretch of it replaced is read or refused, and never a panic.
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
