//! Calls to a faulty server by processes that are killed: none is asked twice but those in flight.

use std::{
    collections::BTreeMap,
    env, fs,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use apeft::{
    endpoint::{Api, Call, Client, Endpoint, NamedEndpoint, Replay},
    facts::{ContentWords, answer_sentences, one_to_one},
    rows::{Claim, Content, json_lines},
    seed::Seed,
};
use serde_json::{Value, json};

use crate::{
    data_sets,
    server::{Asked, Reaction, Server, chat, faulty},
};

/// With this variable, the test [`calls_of_a_child`] makes the calls that it describes.
const CHILD: &str = "APEFT_TEST_CALLS";
/// With this variable, all 10,000 calls with 50 kills are made, in about two minutes.
const WHOLE: &str = "APEFT_WHOLE";

fn endpoint(url: &str, replay: Replay) -> NamedEndpoint {
    let table = Endpoint {
        url: url.to_owned(),
        model: "m".to_owned(),
        api: Api::Chat,
        revision: None,
        top_logprobs: 5,
        extra_body: None,
        api_key_env: None,
        concurrency: 16,
        requests_per_minute: None,
        timeout: 2.0,
        max_retries: 30,
        backoff: 0.01,
        input_price: None,
        output_price: None,
        max_cost: None,
        replay,
    };
    NamedEndpoint { name: "judge".to_owned(), table }
}

/// The texts of all answers, in the order of the calls.
fn ask(named: &NamedEndpoint, store: &Path, count: usize) -> Vec<String> {
    let calls: Vec<Call> = (0..count)
        .map(|number| {
            let prompt = Content::Text(format!("Number {number}?"));
            Call::new(&named.table, format!("claim `{number}`"), &prompt, 20)
        })
        .collect();
    let client = Client::open(named, store, &Seed::root(0)).unwrap();
    let replies = client.ask(&calls, &|_| ()).unwrap();
    replies.into_iter().map(|reply| reply.text).collect()
}

#[test]
fn calls_of_a_child() {
    let Ok(job) = env::var(CHILD) else { return };
    let job: Value = serde_json::from_str(&job).unwrap();
    let texts = ask(
        &endpoint(job["url"].as_str().unwrap(), Replay::Record),
        Path::new(job["store"].as_str().unwrap()),
        job["calls"].as_u64().unwrap() as usize,
    );
    fs::write(job["result"].as_str().unwrap(), json!(texts).to_string()).unwrap();
}

fn start(job: &Value) -> Child {
    Command::new(env::current_exe().unwrap())
        .args(["--exact", "endpoint::calls_of_a_child"])
        .env(CHILD, job.to_string())
        .stdout(Stdio::null())
        .spawn()
        .unwrap()
}

/// How many times each request is in the log.
fn logged(store: &Path) -> BTreeMap<String, usize> {
    let mut logged = BTreeMap::new();
    let Ok(logs) = fs::read_dir(store.join("v1/calls")) else { return logged };
    for log in logs {
        let text = fs::read_to_string(log.unwrap().path()).unwrap();
        // The last line may be torn.
        for line in text.split_inclusive('\n').filter(|line| line.ends_with('\n')) {
            let line: Value = serde_json::from_str(line).unwrap();
            *logged.entry(line["request"].to_string()).or_default() += 1;
        }
    }
    logged
}

#[test]
fn no_call_is_asked_twice_but_those_under_way_at_a_kill() {
    let (calls, kills) = if env::var_os(WHOLE).is_some() { (10_000, 50) } else { (300, 6) };
    let server = Server::start(|asked| {
        // Long enough that each kill meets calls in flight.
        thread::sleep(Duration::from_millis(10));
        let text = asked.body["messages"][0]["content"].as_str().unwrap();
        faulty(asked, &chat(&format!("Answer to {text}")))
    });
    let folder = tempfile::tempdir().unwrap();
    let (store, result) = (folder.path().join("store"), folder.path().join("result.json"));
    let job = json!({"url": server.url, "store": store, "calls": calls, "result": result});
    let began = Instant::now();
    // Answers that a killed process had not logged; they may be asked once more each.
    let mut lost: BTreeMap<String, usize> = BTreeMap::new();
    for kill in 1..=kills {
        let mut child = start(&job);
        while server.answered() < calls * kill / (kills + 1) {
            assert_eq!(child.try_wait().unwrap(), None, "a child ended before its kill");
            thread::sleep(Duration::from_millis(1));
        }
        // SIGKILL.
        child.kill().unwrap();
        child.wait().unwrap();
        server.settle();
        let logged = logged(&store);
        for (body, count) in server.counts() {
            let known = logged.contains_key(&body);
            let all = if known { count.answered - 1 } else { count.answered };
            if all > 0 {
                lost.insert(body, all);
            }
        }
    }
    assert!(start(&job).wait().unwrap().success());
    let counts = server.counts();
    let logged = logged(&store);
    assert_eq!((counts.len(), logged.len()), (calls, calls));
    assert!(logged.values().all(|times| *times == 1), "a call is logged twice");
    for (body, count) in &counts {
        let again = lost.get(body).copied().unwrap_or(0);
        assert_eq!(count.answered, 1 + again, "asked again without a kill: {body}");
    }
    let twice = lost.values().sum::<usize>();
    assert!(twice <= kills * 16, "{twice} answers lost at {kills} kills");
    let requests = server.requests();
    drop(server);
    let texts: Vec<String> = serde_json::from_slice(&fs::read(&result).unwrap()).unwrap();
    assert_eq!(texts[7], "Answer to Number 7?");
    // Without the server, the log repeats the same.
    let replayed = ask(&endpoint("http://127.0.0.1:9/v1", Replay::Only), &store, calls);
    assert_eq!(json!(replayed).to_string().into_bytes(), fs::read(&result).unwrap());
    println!(
        "{calls} calls, {requests} requests, {kills} kills: {twice} calls in flight were asked \
        again; {:.1} s",
        began.elapsed().as_secs_f64()
    );
}

/// Facts that InstructGPT found in a sentence, by topic and by the sentence with those before it.
type Recorded = BTreeMap<(String, String), Vec<String>>;

/// Rows of FActScore's labelled file as responses, with the facts of a model and of people.
struct Labelled {
    responses: String,
    recorded: Recorded,
    /// By topic.
    human: BTreeMap<String, Vec<String>>,
}

fn texts(facts: &Value) -> Vec<String> {
    let facts = facts.as_array().into_iter().flatten();
    facts.map(|fact| fact["text"].as_str().unwrap().to_owned()).collect()
}

impl Labelled {
    fn read(path: &Path) -> Self {
        let mut found =
            Self { responses: String::new(), recorded: BTreeMap::new(), human: BTreeMap::new() };
        for line in fs::read_to_string(path).unwrap().lines() {
            let row: Value = serde_json::from_str(line).unwrap();
            let Some(annotations) = row["annotations"].as_array() else { continue };
            let (topic, output) = (row["topic"].as_str().unwrap(), row["output"].as_str().unwrap());
            let response = json!({"id": format!("{topic}#0"), "prompt_id": topic, "sample": 0,
                "topic": topic, "domain": "people", "prompt": row["input"], "output": output,
                "finish": "stop"});
            found.responses.push_str(&format!("{response}\n"));
            let sentences = answer_sentences(output);
            let mut read = 0;
            for annotation in annotations {
                let text = annotation["text"].as_str().unwrap();
                read += output[read..].find(text).unwrap();
                // People's sentences are split otherwise here and there: the one that has the end.
                let end = output[..read].chars().count() + text.chars().count();
                let index = sentences.iter().rposition(|sentence| sentence.span().start() < end);
                let index = index.unwrap();
                let before = index.saturating_sub(3);
                let window: Vec<&str> =
                    sentences[before..=index].iter().map(|sentence| &*sentence.text).collect();
                let key = (one_line(topic), one_line(&window.join(" ")));
                found
                    .recorded
                    .entry(key)
                    .or_default()
                    .extend(texts(&annotation["model-atomic-facts"]));
                let human = texts(&annotation["human-atomic-facts"]);
                found.human.entry(topic.to_owned()).or_default().extend(human);
            }
        }
        found
    }
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// What a server answers that has only recorded facts.
fn recorded(asked: &Asked, recorded: &Recorded) -> Value {
    let messages = asked.body["messages"].as_array().unwrap();
    let task = messages.last().unwrap()["content"].as_str().unwrap();
    let field = |name: &str| {
        let line = task.lines().find_map(|line| line.strip_prefix(name)).unwrap();
        line.trim().trim_start_matches("(nothing)").to_owned()
    };
    let window = one_line(&format!("{} {}", field("Before:"), field("Sentence:")));
    let facts = recorded.get(&(field("Topic:"), window)).cloned().unwrap_or_default();
    let lines: Vec<String> = facts.iter().map(|fact| format!("- {fact}")).collect();
    chat(if lines.is_empty() { "- none".to_owned() } else { lines.join("\n") }.as_str())
}

/// InstructGPT's own facts against people's (FActScore's labelled biographies): F1 .728 and .754.
#[test]
fn recorded_facts_come_through_an_endpoint_unchanged() {
    let Some(data) = data_sets::folder("factscore-bios") else { return };
    for (file, counts) in
        [("ChatGPT.jsonl", (4021, 5622, 5426)), ("InstructGPT.jsonl", (3663, 4987, 4726))]
    {
        let labelled = Labelled::read(&data.join(file));
        let facts = labelled.recorded;
        let server = Server::start(move |asked| Reaction::json(200, &recorded(asked, &facts)));
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("responses.jsonl"), labelled.responses).unwrap();
        let recipe = format!(
            "name = \"recorded\"\n[endpoint.gpt]\nurl = \"{}\"\nmodel = \"text-davinci-003\"\n\
            concurrency = 16\n[stage.claims]\nkind = \"extract\"\nby = \"endpoint\"\n\
            endpoint = \"gpt\"\nresponses = {{ path = \"responses.jsonl\" }}\n",
            server.url
        );
        fs::write(folder.path().join("recipe.toml"), recipe).unwrap();
        let done = Command::new(env!("CARGO_BIN_EXE_apeft"))
            .args(["run", "recipe.toml", "--cache", "cache"])
            .current_dir(folder.path())
            .output()
            .unwrap();
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
        let mut found: BTreeMap<String, Vec<ContentWords>> = BTreeMap::new();
        for claim in json_lines::read::<Claim>(&claims_file(folder.path())).unwrap() {
            let words = ContentWords::of(&claim.text, &claim.topic);
            found.entry(claim.topic).or_default().push(words);
        }
        let (mut matched, mut claims, mut people) = (0, 0, 0);
        for (topic, human) in &labelled.human {
            let own = found.remove(topic).unwrap_or_default();
            let human: Vec<ContentWords> =
                human.iter().map(|text| ContentWords::of(text, topic)).collect();
            matched += one_to_one(&own, &human).len();
            claims += own.len();
            people += human.len();
        }
        assert_eq!((matched, claims, people), counts, "{file}");
        let f1 = 2.0 * matched as f64 / (claims + people) as f64;
        println!("{file}: F1 {f1:.3}");
    }
}

/// The only `claims.jsonl` of a store.
fn claims_file(folder: &Path) -> PathBuf {
    let shelves = fs::read_dir(folder.join("cache/v1/artifacts")).unwrap();
    let keys = shelves.flat_map(|shelf| fs::read_dir(shelf.unwrap().path()).unwrap());
    let mut files = keys.flat_map(|key| {
        let key = key.unwrap().path();
        [key.join("claims.jsonl"), key.join("files/claims.jsonl")]
    });
    files.find(|file| file.is_file()).unwrap()
}

#[test]
fn messages_show_no_secret_of_a_url() {
    let folder = tempfile::tempdir().unwrap();
    let said = |table: &str, setting: Option<&str>| {
        let recipe = format!(
            "name = \"secret\"\n{table}\n[stage.claims]\nkind = \"extract\"\nby = \"endpoint\"\n\
            endpoint = \"gpt\"\nresponses = {{ path = \"responses.jsonl\" }}\n"
        );
        fs::write(folder.path().join("responses.jsonl"), "").unwrap();
        fs::write(folder.path().join("recipe.toml"), recipe).unwrap();
        let done = Command::new(env!("CARGO_BIN_EXE_apeft"))
            .args(["run", "recipe.toml", "--cache", "cache"])
            .args(setting.into_iter().flat_map(|setting| ["--set", setting]))
            .current_dir(folder.path())
            .output()
            .unwrap();
        assert!(!done.status.success());
        String::from_utf8(done.stdout).unwrap() + &String::from_utf8(done.stderr).unwrap()
    };
    for url in ["https://user:hidden1@x/v1", "https://x/v1?api_key=hidden1", "hidden1"] {
        let table = format!("[endpoint.gpt]\nurl = \"{url}\"\nmodel = \"m\"");
        let inline = format!("[endpoint]\ngpt = {{ url = \"{url}\", model = \"m\" }}");
        let right = "[endpoint.gpt]\nurl = \"http://x/v1\"\nmodel = \"m\"";
        let setting = format!("endpoint.gpt.url={url}");
        for text in [said(&table, None), said(&inline, None), said(right, Some(&setting))] {
            assert!(text.contains("`url`") && text.contains("[endpoint.gpt]"), "{text}");
            assert!(!text.contains("hidden1"), "{text}");
        }
    }
}

/// What `plan` says of the calls of each stage, and its lines for people.
fn planned(recipe: &str, prompts: usize) -> (Vec<Value>, String) {
    let folder = tempfile::tempdir().unwrap();
    let prompts = (0..prompts).map(|number| {
        let id = number.to_string();
        json!({"id": id, "prompt": "Who is Ada?", "topic": "Ada", "domain": "d"})
    });
    json_lines::write(&folder.path().join("prompts.jsonl"), prompts).unwrap();
    fs::write(folder.path().join("articles.jsonl"), "{\"title\":\"Ada\",\"text\":\"Ada.\"}\n")
        .unwrap();
    let model = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/tiny-llama");
    let recipe = recipe.replace("MODEL", &model.display().to_string());
    fs::write(folder.path().join("r.toml"), recipe).unwrap();
    let said = |arguments: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_apeft"));
        command.args(["plan", "r.toml", "--cache", "cache"]).args(arguments);
        let done = command.current_dir(folder.path()).output().unwrap();
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
        String::from_utf8(done.stdout).unwrap()
    };
    let plan: Value = serde_json::from_str(&said(&["--json"])).unwrap();
    let stages = plan["stages"].as_array().unwrap();
    let calls = stages.iter().map(|stage| stage["calls"].clone());
    (calls.filter(|calls| !calls.is_null()).collect(), said(&[]))
}

const PLANNED: &str = r#"
name = "planned"
[endpoint.judge]
url = "http://127.0.0.1:9/v1"
model = "m"
input_price = 1
output_price = 0
[stage.answers]
kind = "sample"
model = { path = "MODEL" }
prompts = { path = "prompts.jsonl" }
num_samples = 4
max_new_tokens = 200
[stage.claims]
kind = "extract"
responses = "answers"
by = "endpoint"
endpoint = "judge"
[stage.verdicts]
kind = "verify"
claims = "claims"
knowledge = { path = "articles.jsonl" }
by = "endpoint"
endpoint = "judge"
"#;

#[test]
fn calls_of_stages_whose_inputs_do_not_exist_are_estimated_with_what_that_rests_on() {
    let (calls, said) = planned(PLANNED, 3);
    let told: Vec<(u64, &str)> = calls
        .iter()
        .map(|calls| (calls["calls"].as_u64().unwrap(), calls["about"].as_str().unwrap()))
        .collect();
    let sentences = "3 prompts \u{d7} 4 responses \u{d7} 7 sentences";
    assert_eq!(told, [(84, sentences), (370, &*format!("{sentences} \u{d7} 4.4 claims"))]);
    let line = format!("about 84 calls of the endpoint `judge` (m), from {sentences}, which cost");
    assert!(said.contains(&line), "{said}");
    // Five passages of 256 tokens and the question, at one for a million tokens.
    let cost = calls[1]["cost"].as_f64().unwrap() * 1e6 / 369.6;
    assert!((1280.0..1480.0).contains(&cost), "{cost}");

    let shorter = PLANNED.replace("max_new_tokens = 200", "max_new_tokens = 64");
    let (calls, _) = planned(&shorter, 2);
    assert_eq!(calls[0]["about"], "2 prompts \u{d7} 4 responses \u{d7} 2.5 sentences");
    assert_eq!(calls[0]["calls"], 20);

    let rules =
        PLANNED.replacen("by = \"endpoint\"\nendpoint = \"judge\"", "by = \"sentences\"", 1);
    let (calls, _) = planned(&rules, 3);
    assert_eq!((calls.len(), &calls[0]["about"]), (1, &json!(sentences)));

    let later = PLANNED.replace("{ path = \"prompts.jsonl\" }", "\"made\"");
    let facts = Path::new(env!("CARGO_MANIFEST_DIR")).join("recipes/facts");
    let later = format!(
        "{later}\n[stage.made]\nkind = \"facts\"\n\
        tables = [{{ path = \"{0}/countries.csv\" }}]\n\
        phrases = [{{ path = \"{0}/countries.toml\" }}]\n",
        facts.display()
    );
    let (calls, said) = planned(&later, 3);
    assert!(calls.iter().all(|calls| calls["calls"].is_null()), "{calls:?}");
    let line = "calls of the endpoint `judge` (m): unknown until `made` has run";
    assert_eq!(said.matches(line).count(), 2, "{said}");
}
