//! Stores that people share: collections beside runs, pins, copies in other stores, exports and
//! checks. APEFT_SHARING=all runs 100 rounds and 10 interruptions of each transfer; with
//! APEFT_S3=URL of a server (`moto_server`), buckets are tested as well.

use std::{
    collections::BTreeMap,
    fs,
    io::Read as _,
    os::unix::process::ExitStatusExt as _,
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    thread,
    time::{Duration, Instant},
};

use apeft::seed::Seed;
use serde_json::{Value, json};

use crate::{bucket::BucketServer, said};

/// A folder with projects and stores.
struct Bench {
    folder: tempfile::TempDir,
}

/// Result of a command.
struct Said {
    status: Option<i32>,
    json: Value,
    words: String,
}

impl Said {
    fn new(output: &Output) -> Self {
        Self { status: output.status.code(), json: said::json(output), words: said::words(output) }
    }

    /// The same if the command succeeded.
    #[track_caller]
    fn ok(self) -> Self {
        assert_eq!(self.status, Some(0), "{} {}", self.words, self.json);
        self
    }

    /// A stage of a run.
    fn stage(&self, name: &str) -> &Value {
        let stages = self.json["stages"].as_array().unwrap_or_else(|| panic!("{}", self.words));
        stages.iter().find(|stage| stage["name"] == name).unwrap()
    }

    /// `a ran, b cached`.
    fn outcomes(&self) -> String {
        let stages = self.json["stages"].as_array().unwrap_or_else(|| panic!("{}", self.words));
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        let outcome =
            |stage: &Value| format!("{} {}", text(&stage["name"]), text(&stage["outcome"]));
        stages.iter().map(outcome).collect::<Vec<_>>().join(", ")
    }
}

impl Bench {
    fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap() }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn recipe(&self, project: &str, stages: &str) {
        fs::create_dir_all(self.path(project)).unwrap();
        let text = format!("name = \"bench\"\n{stages}")
            .replace("HERE", self.folder.path().to_str().unwrap());
        fs::write(self.path(project).join("recipe.toml"), text).unwrap();
    }

    /// A command in a project, by default on the store `one`.
    fn command(&self, project: &str, arguments: &[&str]) -> Command {
        fs::create_dir_all(self.path(project)).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_apeft"));
        command.args(arguments).current_dir(self.path(project)).env_remove("RUST_LOG");
        command.env("APEFT_CACHE", self.path("one")).stdin(Stdio::null());
        // Of the standard tools, so that no credentials of the user's are used.
        command.env("AWS_ACCESS_KEY_ID", "test").env("AWS_SECRET_ACCESS_KEY", "test");
        command.env("AWS_REGION", "us-east-1").env_remove("AWS_ENDPOINT_URL");
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    fn call(&self, project: &str, arguments: &[&str]) -> Said {
        Said::new(&self.command(project, arguments).output().unwrap())
    }

    fn run(&self, project: &str, arguments: &[&str]) -> Said {
        self.call(project, &[&["run", "recipe.toml", "--json"], arguments].concat())
    }

    /// All files of a store's artifacts with their contents' digests.
    fn contents(&self, store: &str) -> BTreeMap<String, String> {
        let root = self.path(store).join("v1/artifacts");
        let mut found = BTreeMap::new();
        let mut folders = vec![root.clone()];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(&folder).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    folders.push(path);
                } else {
                    let name = path.strip_prefix(&root).unwrap().display().to_string();
                    found.insert(name, blake3::hash(&fs::read(&path).unwrap()).to_string());
                }
            }
        }
        found
    }
}

fn is_long() -> bool {
    std::env::var("APEFT_SHARING").is_ok_and(|value| value == "all")
}

/// A stage that runs a shell script and writes the file `o`.
fn stage(name: &str, inputs: &str, script: &str) -> String {
    format!(
        "[stage.{name}]\nkind = \"command\"\nprogram = \"sh\"\narguments = [\"-c\", \
        '''{script}''']\noutputs = [\"o\"]\ninputs = [{inputs}]\n"
    )
}

/// Two stages, of which `b` reads `a`.
fn chain(text: &str) -> String {
    stage("a", "", &format!("echo {text} > o"))
        + &stage("b", "\"a\"", "cat $APEFT_INPUT_0/o > o; echo end >> o")
}

/// Stages of some megabytes, so that a transfer takes a while.
fn large(count: usize, megabytes: usize) -> String {
    let script =
        |index| format!("yes {index}-of-large | head -c {}M > o; echo {index} > small", megabytes);
    let stages = (0..count).map(|index| stage(&format!("s{index}"), "", &script(index)));
    stages.collect::<String>().replace("[\"o\"]", "[\"o\", \"small\"]")
}

/// Kills a process after a while; returns whether it was still running.
fn kill_after(mut child: Child, wait: Duration) -> bool {
    thread::sleep(wait);
    let _ = child.kill();
    let status = child.wait().unwrap();
    let mut words = String::new();
    child.stderr.take().unwrap().read_to_string(&mut words).unwrap();
    assert!(!words.contains("panicked"), "{words}");
    status.signal().is_some()
}

#[test]
fn collections_of_two_projects_lose_nothing() {
    let (bench, rounds) = (Bench::new(), if is_long() { 100 } else { 6 });
    let projects = ["first", "second"];
    // Texts come back after a few rounds, when their artifacts may have been collected.
    let recipe = |project: &str, round: usize| {
        let own = format!("{project}-{}", round % 5);
        let slow = stage("c", "\"b\"", "sleep 0.05; cat $APEFT_INPUT_0/o > o");
        chain(&own) + &slow + &stage("d", "", &format!("echo shared-{} > o", round % 3))
    };
    bench.recipe("first", &stage("pinned", "", "echo pinned > o"));
    bench.run("first", &[]).ok();
    bench.call("first", &["pin", "pinned"]).ok();
    let (mut removed, mut killed, mut collections) = (0, 0, 0);
    let mut chance = Seed::root(16).split("kills").stream();
    for round in 0..rounds {
        projects.iter().for_each(|project| bench.recipe(project, &recipe(project, round)));
        // A run that is killed somewhere, beside a collection of the other project.
        let victim = bench.command("first", &["run", "recipe.toml"]).spawn().unwrap();
        let gc = ["cache", "gc", "--keep-runs", "1", "--all-projects", "--unrecorded", "--json"];
        let beside = bench.command("second", &gc).spawn().unwrap();
        let wait = Duration::from_millis(chance.below(250) as u64);
        killed += usize::from(kill_after(victim, wait));
        let mut collected = vec![Said::new(&beside.wait_with_output().unwrap())];
        // Runs of both projects, and collections of both while they go on.
        let runs = projects.map(|project| {
            bench.command(project, &["run", "recipe.toml", "--json"]).spawn().unwrap()
        });
        for project in projects {
            let policy = ["--keep-bytes", "0"];
            let gc = bench.command(project, &[&gc[..], &policy].concat()).output().unwrap();
            collected.push(Said::new(&gc));
        }
        for run in runs {
            let ran = Said::new(&run.wait_with_output().unwrap()).ok();
            assert_eq!(ran.json["ok"], true, "{round}: {}", ran.words);
        }
        for project in projects {
            collected.push(bench.call(project, &gc));
        }
        for collected in collected {
            // A project without a finished run refuses, and everything else succeeds.
            let refused = collected.words.contains("no run is recorded");
            assert!(refused || collected.status == Some(0), "{}", collected.words);
            removed += collected.json["removed"].as_array().map_or(0, Vec::len);
            collections += 1;
        }
        for project in projects {
            let plan = bench.call(project, &["plan", "recipe.toml", "--json"]).ok();
            let stages = plan.json["stages"].as_array().unwrap();
            let lost = stages.iter().filter(|stage| stage["state"] != "cached").count();
            assert_eq!(lost, 0, "round {round}: {project} lost {}", plan.json);
        }
    }
    let verified = bench.call("first", &["cache", "verify", "--json"]).ok();
    bench.recipe("first", &stage("pinned", "", "echo pinned > o"));
    assert_eq!(bench.run("first", &[]).outcomes(), "pinned cached");
    println!(
        "{rounds} rounds, {collections} collections, {killed} killed runs, {removed} paths \
        removed, {} artifacts left",
        verified.json["artifacts"]
    );
    assert!(removed > 0, "nothing was ever removed");
}

#[test]
fn policies_spare_what_is_young_or_fits_and_never_a_root() {
    let bench = Bench::new();
    for text in ["old", "middle", "new"] {
        bench.recipe("p", &stage("a", "", &format!("yes {text} | head -c 100000 > o")));
        bench.run("p", &[]).ok();
    }
    let removed = |arguments: &[&str]| {
        let gc = ["cache", "gc", "--keep-runs", "1", "--dry-run", "--json"];
        let collected = bench.call("p", &[&gc, arguments].concat()).ok();
        collected.json["removed"].as_array().unwrap().len()
    };
    assert_eq!(removed(&[]), 2);
    assert_eq!(removed(&["--older-than", "1d"]), 0);
    assert_eq!(removed(&["--older-than", "0s"]), 2);
    assert_eq!(removed(&["--keep-bytes", "1MB"]), 0);
    assert_eq!(removed(&["--keep-bytes", "250kB"]), 1);
    assert_eq!(removed(&["--keep-bytes", "0"]), 2, "the last run is a root");
    let first = journal_keys(&bench, "p").remove(0);
    bench.call("p", &["pin", &first[..12]]).ok();
    assert_eq!(removed(&[]), 1, "{first} is pinned");
    let listed = bench.call("p", &["pin", "--json"]).ok();
    assert_eq!(listed.json[0]["key"], first);
    bench.call("p", &["unpin", &first[..12]]).ok();
    assert_eq!(removed(&[]), 2);
    let wrong = bench.call("p", &["cache", "gc", "--older-than", "soon"]);
    assert!(wrong.status == Some(2) && wrong.words.contains("30d"), "{}", wrong.words);
    // Each registered project has the time of its last run.
    let collected = bench.call("p", &["cache", "gc", "--dry-run", "--json"]).ok();
    assert!(collected.json["projects"][0]["last_seen"].as_u64().unwrap() > 1_700_000_000_000);
}

/// Keys of all runs of a project, oldest first.
fn journal_keys(bench: &Bench, project: &str) -> Vec<String> {
    let mut runs: Vec<PathBuf> = fs::read_dir(bench.path(project).join("experiments/bench"))
        .unwrap()
        .map(|run| run.unwrap().path())
        .filter(|path| !path.ends_with("latest"))
        .collect();
    runs.sort();
    let keys = runs.iter().flat_map(|run| {
        let text = fs::read_to_string(run.join("events.jsonl")).unwrap();
        let lines: Vec<Value> =
            text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        lines
    });
    let keys = keys.filter(|event| event["event"] == "stage_finished");
    keys.map(|event| event["key"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn usage_is_told_by_kind_recipe_and_run() {
    let bench = Bench::new();
    bench.recipe("p", &chain("x"));
    bench.run("p", &[]).ok();
    bench.recipe("p", &chain("y"));
    bench.run("p", &[]).ok();
    let arguments = ["cache", "du", "--json", "--by", "kind", "--by", "recipe", "--by", "run"];
    let usage = bench.call("p", &arguments).ok().json;
    assert_eq!(usage["kind"][0]["name"], "command");
    assert_eq!(usage["kind"][0]["artifacts"], 4);
    assert_eq!(usage["recipe"][0]["artifacts"], 4);
    let runs = usage["run"].as_array().unwrap();
    assert_eq!(runs.iter().map(|run| &run["artifacts"]).collect::<Vec<_>>(), [2, 2]);
    assert_eq!(runs[0]["bytes"], runs[0]["alone"], "no artifact is shared");
    let shown = bench.call("p", &["cache", "du", "--by", "run"]).ok().words;
    assert!(shown.contains("artifacts      size     alone"), "{shown}");
}

/// Pushes to a store and pulls from it with interruptions; returns what was counted.
fn transfer(remote: &str, endpoint: Option<&str>, interruptions: usize) -> String {
    let bench = Bench::new();
    let (stages, megabytes) = if is_long() { (12, 60) } else { (4, 8) };
    bench.recipe("p", &large(stages, megabytes));
    bench.run("p", &[]).ok();
    let address = if endpoint.is_some() {
        remote.to_owned()
    } else {
        bench.path(remote).display().to_string()
    };
    let with = |arguments: &[&str]| {
        let mut all: Vec<String> = arguments.iter().map(|word| (*word).to_owned()).collect();
        all.extend(endpoint.iter().flat_map(|url| ["--endpoint".to_owned(), (*url).to_owned()]));
        all
    };
    let call = |arguments: &[String]| {
        let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
        bench.command("p", &words)
    };
    let mut counted = Vec::new();
    let stores = ["two", "scratch"].map(|store| bench.path(store).display().to_string());
    let scratch = format!("{address}-scratch");
    let push = |to: &str| with(&["cache", "push", "--to", to, "--json", "-j2"]);
    let pull =
        |to: &str| with(&["cache", "pull", "--from", &address, "--json", "-j2", "--cache", to]);
    for (verb, arguments, undisturbed) in
        [("pushed", push(&address), push(&scratch)), ("pulled", pull(&stores[0]), pull(&stores[1]))]
    {
        // How long it takes, so that each try gets a little further than the one before.
        let began = Instant::now();
        Said::new(&call(&undisturbed).output().unwrap()).ok();
        let whole = began.elapsed();
        let (mut killed, mut tries) = (0, 0);
        while killed < interruptions && tries < 2 * interruptions {
            let wait = whole * (tries as u32 * 3 % 4 + 2) / 40;
            killed += usize::from(kill_after(call(&arguments).spawn().unwrap(), wait));
            tries += 1;
            if endpoint.is_none() || verb == "pulled" {
                let store = if verb == "pushed" { &address } else { &stores[0] };
                if Path::new(store).exists() {
                    bench.call("p", &["cache", "verify", "--cache", store, "--json"]).ok();
                }
            }
        }
        let done = Said::new(&call(&arguments).output().unwrap()).ok();
        let (moved, present) = (&done.json[verb], &done.json["present"]);
        let all = moved.as_u64().unwrap() + present.as_u64().unwrap();
        assert_eq!(all, stages as u64, "{}", done.json);
        assert!(killed > 0, "{tries} tries ended before they were killed");
        let again = Said::new(&call(&arguments).output().unwrap()).ok();
        assert_eq!((&again.json[verb], &again.json["bytes"]), (&json!(0), &json!(0)));
        let bytes = done.json["bytes"].as_u64().unwrap() / 1_000_000;
        counted.push(format!(
            "{killed} kills in {tries} tries of {:.1} s, then {moved} {verb} ({bytes} MB) and \
            {present} there",
            whole.as_secs_f64()
        ));
    }
    assert_eq!(bench.contents("one"), bench.contents("two"));
    // Everything is used from there, without being made again.
    let two = bench.path("two").display().to_string();
    let ran = bench.run("p", &["--cache", &two]).ok();
    assert!(!ran.outcomes().contains("ran"), "{}", ran.outcomes());
    counted.join("; ")
}

#[test]
fn pushes_and_pulls_between_folders_go_on_after_kills() {
    println!("{}", transfer("other", None, if is_long() { 10 } else { 2 }));
}

#[test]
fn pushes_and_pulls_with_a_bucket_go_on_after_kills() {
    let own = BucketServer::start();
    let endpoint = std::env::var("APEFT_S3").unwrap_or(own.url);
    let interruptions = if is_long() { 10 } else { 2 };
    println!("{}", transfer("s3://apeft/some/where", Some(&endpoint), interruptions));
}

#[test]
fn a_bucket_holds_files_by_digest_and_large_ones_go_on_in_the_middle() {
    let (bench, server) = (Bench::new(), BucketServer::start());
    // Two stages with the same large file, of three parts.
    let script = |name: &str| format!("yes same | head -c 40000000 > o; echo {name} > small");
    let stages = stage("a", "", &script("a")) + &stage("b", "", &script("b"));
    bench.recipe("p", &stages.replace("[\"o\"]", "[\"o\", \"small\"]"));
    bench.run("p", &[]).ok();
    let push = ["cache", "push", "--to", "s3://lab", "--endpoint", &server.url, "--json", "-j1"];
    // Killed before its first part, and after it: the next push knows of both.
    server.hold_parts(true);
    let mut killed = bench.command("p", &push).spawn().unwrap();
    let notes = bench.path("one/v1/transfers");
    let is_noted = || {
        let mut names = fs::read_dir(&notes).into_iter().flatten().flatten();
        names.any(|note| note.path().extension().is_some_and(|end| end == "json"))
    };
    let began = Instant::now();
    while !is_noted() {
        assert!(began.elapsed() < Duration::from_secs(60), "no note before the first part");
        thread::sleep(Duration::from_millis(5));
    }
    killed.kill().unwrap();
    killed.wait().unwrap();
    server.hold_parts(false);
    let mut killed = bench.command("p", &push).spawn().unwrap();
    let began = Instant::now();
    while server.parts_sent() == 0 && began.elapsed() < Duration::from_secs(60) {
        thread::sleep(Duration::from_millis(1));
    }
    killed.kill().unwrap();
    killed.wait().unwrap();
    let sent = server.parts_sent();
    let pushed = bench.call("p", &push).ok();
    assert_eq!(pushed.json["pushed"], 2, "{}", pushed.words);
    // A part that was on its way when the process was killed is sent twice.
    assert!(sent < 3 && server.parts_sent() <= 4, "{sent} and then {} parts", server.parts_sent());
    assert_eq!(server.uploads(), 1, "an upload that was begun is left behind");
    let names = server.names();
    let files = names.iter().filter(|name| name.starts_with("lab/v1/files/")).count();
    assert_eq!((files, names.len()), (5, 7), "the large file is there once: {names:?}");
    // What was changed there does not arrive.
    let small = blake3::hash(b"a\n");
    server.overwrite(&format!("lab/v1/files/{small}"), b"b\n");
    let two = bench.path("two").display().to_string();
    let pull = ["cache", "pull", "--from", "s3://lab", "--endpoint", &server.url, "--json"];
    let pulled = bench.call("p", &[&pull[..], &["--cache", &two]].concat());
    assert_eq!((pulled.status, &pulled.json["pulled"]), (Some(1), &json!(1)), "{}", pulled.words);
    assert!(pulled.words.contains("small does not match its digest"), "{}", pulled.words);
    server.overwrite(&format!("lab/v1/files/{small}"), b"a\n");
    let pulled = bench.call("p", &[&pull[..], &["--cache", &two]].concat()).ok();
    assert_eq!((&pulled.json["pulled"], &pulled.json["bytes"]), (&json!(1), &json!(2)));
    assert_eq!(bench.contents("one"), bench.contents("two"));
    let three = bench.path("three").display().to_string();
    let from = ["--cache", &three, "--remote", "s3://lab", "--endpoint", &server.url];
    assert_eq!(bench.run("p", &from).ok().outcomes(), "a cached, b cached");
}

#[test]
fn a_bucket_that_cannot_be_used_is_refused_at_once() {
    let (bench, server) = (Bench::new(), BucketServer::start());
    bench.recipe("p", &chain("x"));
    bench.run("p", &[]).ok();
    let push = ["cache", "push", "--to", "s3://lab"];
    // Nobody listens at this port.
    let nowhere = "http://127.0.0.1:1";
    for (endpoint, expected) in [(nowhere, "Connection refused"), ("localhost:9000", "is no URL")] {
        for more in [&[][..], &["--dry-run"]] {
            let arguments = [&push[..], &["--endpoint", endpoint], more].concat();
            let refused = bench.call("p", &arguments);
            let errors = refused.words.lines().filter(|line| line.starts_with("error:")).count();
            assert_eq!((refused.status, errors), (Some(2), 1), "{}", refused.words);
            assert!(refused.words.contains(expected), "{}", refused.words);
        }
    }
    let folder = bench.call("p", &["cache", "push", "--to", "s3:/lab"]);
    assert!(folder.status == Some(2) && folder.words.contains("s3://BUCKET"), "{}", folder.words);
    let run = bench.run("p", &["--remote", "s3:/lab"]);
    assert!(run.status == Some(2) && run.words.contains("s3://BUCKET"), "{}", run.words);
    // An empty variable is none.
    let remote = format!("[remote]\nurl = \"s3://lab\"\nendpoint = \"{}\"\n", server.url);
    fs::write(bench.path("p/apeft.toml"), remote).unwrap();
    let mut command = bench.command("p", &["cache", "push", "--json"]);
    let pushed = Said::new(&command.env("AWS_ENDPOINT_URL", "").output().unwrap()).ok();
    assert_eq!(pushed.json["pushed"], 2, "{}", pushed.words);
}

#[test]
fn what_arrives_damaged_is_not_kept() {
    let bench = Bench::new();
    bench.recipe("p", &chain("x"));
    let made = bench.run("p", &[]).ok();
    let other = bench.path("other").display().to_string();
    bench.call("p", &["cache", "push", "--to", &other]).ok();
    // A file of the other store is changed behind its back.
    let artifact = made.json["stages"][0]["artifact"].as_str().unwrap();
    let there = artifact.replace(bench.path("one").to_str().unwrap(), &other);
    let file = Path::new(&there).join("o");
    fs::remove_file(&file).unwrap();
    fs::write(&file, "y\n").unwrap();
    let two = bench.path("two").display().to_string();
    let pulled = bench.call("p", &["cache", "pull", "--from", &other, "--cache", &two, "--json"]);
    assert_eq!(pulled.status, Some(1), "{}", pulled.words);
    assert_eq!(
        (&pulled.json["pulled"], pulled.json["failed"].as_array().unwrap().len()),
        (&json!(1), 1)
    );
    let kept = bench.call("p", &["cache", "verify", "--cache", &two, "--json"]).ok();
    assert_eq!(kept.json["artifacts"], 1);
    let nowhere = bench.call("p", &["cache", "pull", "--from", "nowhere"]);
    assert!(nowhere.status == Some(2) && nowhere.words.contains("no such folder"));
}

#[test]
fn a_run_takes_from_the_remote_store_what_it_has_and_makes_the_rest() {
    let bench = Bench::new();
    bench.recipe("p", &chain("x"));
    bench.run("p", &[]).ok();
    let other = bench.path("other").display().to_string();
    bench.call("p", &["cache", "push", "--to", &other]).ok();
    let more = chain("x") + &stage("c", "\"b\"", "cat $APEFT_INPUT_0/o > o");
    // A machine that cannot make a stage still copies it.
    let impossible = more.replace("inputs = []", "inputs = []\nresources = { gpus = 99 }");
    bench.recipe("q", &impossible);
    let two = bench.path("two").display().to_string();
    let ran = bench.run("q", &["--cache", &two, "--remote", &other]).ok();
    assert_eq!(ran.outcomes(), "a cached, b cached, c ran");
    // Without it the stage is refused.
    let three = bench.path("three").display().to_string();
    let refused = bench.run("q", &["--cache", &three]);
    assert!(refused.words.contains("99 GPUs"), "{}", refused.words);
    // A store that cannot be read is warned of, and everything is made.
    bench.recipe("q", &more);
    let ran = bench.run("q", &["--cache", &three, "--remote", "nowhere"]).ok();
    assert_eq!(ran.outcomes(), "a ran, b ran, c ran");
    assert!(ran.words.contains("is not used"), "{}", ran.words);
    // What it lists and does not have is made here.
    let four = bench.path("four").display().to_string();
    let shelf = fs::read_dir(bench.path("other/v1/artifacts")).unwrap().next().unwrap().unwrap();
    let folder = fs::read_dir(shelf.path()).unwrap().next().unwrap().unwrap().path();
    fs::remove_file(folder.join("key.json")).unwrap();
    let ran = bench.run("q", &["--cache", &four, "--remote", &other]).ok();
    assert!(ran.outcomes().contains("cached") && ran.outcomes().contains("ran"));
}

#[test]
fn the_remote_store_of_a_project_is_used_without_being_named() {
    let bench = Bench::new();
    bench.recipe("p", &chain("x"));
    bench.run("p", &[]).ok();
    let unnamed = bench.call("p", &["cache", "push"]);
    assert!(unnamed.status == Some(2) && unnamed.words.contains("--to STORE"), "{}", unnamed.words);
    fs::write(bench.path("p/apeft.toml"), "[remote]\nurl = \"../other\"\n").unwrap();
    assert_eq!(bench.call("p", &["cache", "push", "--json"]).ok().json["pushed"], 2);
    let two = bench.path("two").display().to_string();
    let ran = bench.run("p", &["--cache", &two, "--no-remote", "--until", "a"]).ok();
    assert_eq!(ran.outcomes(), "a ran");
    assert_eq!(bench.run("p", &["--cache", &two]).ok().outcomes(), "a cached, b cached");
    let wrong = "[remote]\nurl = 3\n";
    fs::write(bench.path("p/apeft.toml"), wrong).unwrap();
    for arguments in [&["run", "recipe.toml"][..], &["cache", "pull"]] {
        let refused = bench.call("p", arguments);
        assert!(refused.status == Some(2) && refused.words.contains("apeft.toml:2:7"));
    }
}

#[test]
fn an_artifact_is_exported_with_its_provenance_and_taken_back() {
    let bench = Bench::new();
    bench.recipe("p", &chain("x"));
    bench.run("p", &[]).ok();
    bench.call("p", &["export", "b", "out"]).ok();
    let out = bench.path("p/out");
    assert_eq!(fs::read_to_string(out.join("o")).unwrap(), "x\nend\n");
    let provenance: Value =
        serde_json::from_slice(&fs::read(out.join("provenance.json")).unwrap()).unwrap();
    assert_eq!(provenance["run"]["stage"], "b");
    assert_eq!(provenance["key_of"]["kind"], "command");
    assert!(provenance["run"]["resolved_recipe"].as_str().unwrap().contains("[stage.b]"));
    let refused = bench.call("p", &["export", "b", "out"]);
    assert!(refused.status == Some(2) && refused.words.contains("exists already"));
    let two = bench.path("two").display().to_string();
    let taken = bench.call("p", &["import-artifact", "out", "--cache", &two, "--json"]).ok();
    assert_eq!((&taken.json["new"], &taken.json["key"]), (&json!(true), &provenance["key"]));
    let again = bench.call("p", &["import-artifact", "out", "--cache", &two, "--json"]).ok();
    assert_eq!(again.json["new"], false);
    bench.call("p", &["cache", "verify", "--cache", &two]).ok();
    let ran = bench.run("p", &["--cache", &two]).ok();
    assert_eq!(ran.outcomes(), "a ran, b cached");
    // A file that was changed does not come in.
    fs::write(out.join("o"), "z\nend\n").unwrap();
    let three = bench.path("three").display().to_string();
    let wrong = bench.call("p", &["import-artifact", "out", "--cache", &three]);
    assert!(wrong.status == Some(2) && wrong.words.contains("does not match"), "{}", wrong.words);
    // Nor does a key that is not that of the inputs.
    let text = fs::read_to_string(out.join("provenance.json")).unwrap();
    fs::write(out.join("o"), "x\nend\n").unwrap();
    let changed = text.replace("\"kind\": \"command\"", "\"kind\": \"sample\"");
    fs::write(out.join("provenance.json"), changed).unwrap();
    // Into a store in which nothing of it has arrived.
    let four = bench.path("four").display().to_string();
    assert_eq!(bench.call("p", &["import-artifact", "out", "--cache", &four]).status, Some(2));
}

#[test]
fn a_check_makes_a_stage_again_and_shows_the_first_difference() {
    let bench = Bench::new();
    let random = "printf 'same\\n%s\\n' $(date +%N) > o";
    bench.recipe("p", &(chain("x") + &stage("r", "", random)));
    let made = bench.run("p", &[]).ok();
    assert!(made.stage("a")["checked"].is_null());
    let before = bench.contents("one");
    let same = bench.run("p", &["--check", "a", "--check", "b"]).ok();
    for name in ["a", "b"] {
        assert_eq!(same.stage(name)["outcome"], "cached");
        assert_eq!(same.stage(name)["checked"], true);
    }
    let differs = bench.run("p", &["--check", "r"]);
    assert_eq!((differs.status, &differs.stage("r")["outcome"]), (Some(1), &json!("failed")));
    let reason = differs.stage("r")["reason"].as_str().unwrap();
    assert!(reason.contains("o, row 2: `") && reason.contains("became"), "{reason}");
    assert_eq!(bench.contents("one"), before, "the artifacts stay");
    // Later runs and their reports know it.
    let later = bench.run("p", &[]).ok();
    let checked = ["a", "b", "r"].map(|name| later.stage(name)["checked"].clone());
    assert_eq!(checked, [json!(true), json!(true), json!(false)]);
    let report = bench.call("p", &["report"]).ok();
    let page = fs::read_to_string(bench.path("p").join(report.words.trim())).unwrap();
    assert!(page.contains("3 of them were made again"), "the report tells");
    assert_eq!(page.matches("the same bytes, ").count(), 2);
}

#[test]
fn a_plan_estimates_time_and_space_from_earlier_runs() {
    let bench = Bench::new();
    let recipe = |rows: usize| {
        stage("a", "", &format!("yes x | head -c {rows} > o"))
            + &stage("b", "\"a\"", "sleep 0.2; cat $APEFT_INPUT_0/o $APEFT_INPUT_0/o > o")
    };
    bench.recipe("p", &recipe(10_000));
    let unknown = bench.call("p", &["plan", "recipe.toml", "--json"]).ok().json;
    assert_eq!(
        (&unknown["estimate"]["unknown"], &unknown["stages"][0]["estimate"]),
        (&json!(2), &Value::Null)
    );
    bench.run("p", &[]).ok();
    let b = "rm -rf experiments-none; sleep 0.2; cat $APEFT_INPUT_0/o $APEFT_INPUT_0/o > o";
    let changed = stage("a", "", "yes x | head -c 10000 > o") + &stage("b", "\"a\"", b);
    bench.recipe("p", &changed);
    let plan = bench.call("p", &["plan", "recipe.toml", "--json"]).ok().json;
    let estimate = &plan["stages"][1]["estimate"];
    let bytes = estimate["bytes"].as_f64().unwrap();
    assert!(estimate["seconds"].as_f64().unwrap() > 0.0 && bytes > 9_000.0, "{plan}");
    let about = estimate["about"].as_str().unwrap();
    assert!(about.contains("of `command` on this machine"), "{about}");
    assert!(plan["estimate"]["free"].as_u64().unwrap() > 0);
    let words = bench.call("p", &["plan", "recipe.toml"]).ok().words;
    assert!(words.contains("takes about") && words.contains("free"), "{words}");
}
