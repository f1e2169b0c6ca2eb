//! Runs as users see them: exit status, JSON, and files on disk.

use std::{
    collections::BTreeMap,
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal};
use serde_json::Value;

use crate::said;

/// A folder with recipes, a store and runs.
struct Bench {
    folder: tempfile::TempDir,
}

impl Bench {
    fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap() }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn with(recipe: &str) -> Self {
        let bench = Self::new();
        bench.recipe(recipe);
        bench
    }

    /// `HERE` stands for the folder.
    fn recipe(&self, stages: &str) {
        let text = format!("name = \"bench\"\n{stages}")
            .replace("HERE", self.folder.path().to_str().unwrap());
        fs::write(self.path("recipe.toml"), text).unwrap();
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_apeft"));
        command
            .args(arguments)
            .current_dir(self.folder.path())
            .env_remove("APEFT_CACHE")
            .env_remove("RUST_LOG");
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    fn call(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().unwrap()
    }

    fn run(&self, arguments: &[&str]) -> Ran {
        Ran::new(self.call(&[&["run", "recipe.toml", "--json"], arguments].concat()))
    }

    fn spawn(&self, arguments: &[&str]) -> Child {
        self.command(&[&["run", "recipe.toml", "--json"], arguments].concat()).spawn().unwrap()
    }

    fn wait_for(&self, name: &str) -> String {
        let began = Instant::now();
        loop {
            match fs::read_to_string(self.path(name)) {
                Ok(text) if text.ends_with('\n') => return text.trim().to_owned(),
                _ if began.elapsed() > Duration::from_secs(30) => panic!("{name} never came"),
                _ => std::thread::sleep(Duration::from_millis(5)),
            }
        }
    }
}

/// Result of a run.
struct Ran {
    status: Option<i32>,
    json: Value,
    words: String,
}

impl Ran {
    fn new(output: Output) -> Self {
        Self {
            status: output.status.code(),
            json: said::json(&output),
            words: said::words(&output),
        }
    }

    /// `a ran, b cached`.
    fn outcomes(&self) -> String {
        let stages = self.json["stages"].as_array().unwrap_or_else(|| panic!("{}", self.words));
        let outcome = |stage: &Value| {
            format!("{} {}", stage["name"].as_str().unwrap(), stage["outcome"].as_str().unwrap())
        };
        stages.iter().map(outcome).collect::<Vec<_>>().join(", ")
    }

    fn artifact(&self, stage: &str) -> PathBuf {
        let stages = self.json["stages"].as_array().unwrap();
        let stage = stages.iter().find(|found| found["name"] == stage).unwrap();
        PathBuf::from(stage["artifact"].as_str().unwrap_or_else(|| panic!("{}", self.words)))
    }
}

/// A stage that runs a shell script and writes the file `o`.
fn stage(name: &str, inputs: &str, script: &str, more: &str) -> String {
    let inputs = if inputs.is_empty() { String::new() } else { format!("inputs = [{inputs}]\n") };
    format!(
        "[stage.{name}]\nkind = \"command\"\nprogram = \"sh\"\narguments = [\"-c\", \
        '''{script}''']\noutputs = [\"o\"]\n{inputs}{more}\n"
    )
}

/// `a` makes a file, `b` converts it to lower case, `c` adds a line.
fn chain(text: &str) -> String {
    [
        stage("a", "", &format!("echo {text} > o"), ""),
        stage("b", "\"a\"", "tr A-Z a-z < $APEFT_INPUT_0/o > o", ""),
        stage("c", "\"b\"", "cat $APEFT_INPUT_0/o > o; echo end >> o", ""),
    ]
    .concat()
}

fn is_alive(process: &str) -> bool {
    let stat = fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
    // A zombie counts as dead, even if not yet reaped.
    stat.rsplit_once(") ").is_some_and(|(_, rest)| !rest.starts_with('Z'))
}

fn assert_gone(process: &str) {
    let began = Instant::now();
    while is_alive(process) {
        assert!(began.elapsed() < Duration::from_secs(10), "process {process} lives on");
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn send(process: &Child, signal: Signal) {
    rustix::process::kill_process(Pid::from_child(process), signal).unwrap();
}

/// Makes read-only files writable, to damage a store.
fn overwrite(file: &Path, bytes: impl AsRef<[u8]>) {
    if let Ok(metadata) = fs::metadata(file) {
        let mode = metadata.permissions().mode() | 0o200;
        fs::set_permissions(file, fs::Permissions::from_mode(mode)).unwrap();
    }
    fs::write(file, bytes).unwrap();
}

fn files_below(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files_below(&path));
        } else {
            found.insert(path.clone(), fs::read(&path).unwrap());
        }
    }
    found
}

#[test]
fn a_second_run_executes_nothing() {
    let bench = Bench::with(&chain("Hello"));
    let first = bench.run(&[]);
    assert_eq!(
        (first.status, first.outcomes().as_str()),
        (Some(0), "a ran, b ran, c ran"),
        "{}",
        first.words
    );
    assert_eq!(fs::read_to_string(first.artifact("c").join("o")).unwrap(), "hello\nend\n");
    let second = bench.run(&[]);
    assert_eq!(
        (second.status, second.outcomes().as_str()),
        (Some(0), "a cached, b cached, c cached")
    );
    for (field, expected) in [("executed", 0), ("cached", 3), ("failed", 0), ("skipped", 0)] {
        assert_eq!(second.json[field], expected);
    }
    assert_eq!(second.json["ok"], true);
    assert_eq!(second.json["recipe"], "bench");
    assert!(
        bench
            .path("experiments/bench")
            .join(second.json["run"].as_str().unwrap())
            .join("events.jsonl")
            .exists()
    );
    assert!(bench.path("experiments/bench/latest/recipe.toml").exists());
    assert_eq!(fs::read_dir(bench.path("cache/v1/work")).unwrap().count(), 0);
    assert_eq!(fs::read_dir(bench.path("cache/v1/locks")).unwrap().count(), 0);
}

#[test]
fn what_comes_out_the_same_leaves_its_successors_cached() {
    let bench = Bench::with(&chain("Hello"));
    bench.run(&[]);
    bench.recipe(&chain("HELLO"));
    assert_eq!(bench.run(&[]).outcomes(), "a ran, b ran, c cached");
    bench.recipe(&chain("Goodbye"));
    let plan = bench.call(&["plan", "recipe.toml", "--json"]);
    let plan: Value = serde_json::from_slice(&plan.stdout).unwrap();
    let states: Vec<&str> = plan["stages"]
        .as_array()
        .unwrap()
        .iter()
        .map(|stage| stage["state"].as_str().unwrap())
        .collect();
    assert_eq!(states, ["ready", "waiting", "waiting"]);
    assert_eq!(plan["stages"][2]["reason"], "needs `b`");
    assert_eq!(plan["stages"][2]["needs"], serde_json::json!(["b"]));
    assert!(plan["stages"][0]["reason"].as_str().unwrap().contains("arguments"), "{plan}");
    assert_eq!(bench.run(&[]).outcomes(), "a ran, b ran, c ran");
    bench.recipe(&chain("Hello"));
    assert_eq!(bench.run(&[]).outcomes(), "a cached, b cached, c cached");
}

#[test]
fn comments_order_resources_and_the_name_of_the_file_change_nothing() {
    let bench = Bench::with(&stage("a", "", "echo 1 > o", ""));
    bench.run(&[]);
    bench.recipe(
        "# a comment\n[stage.a]\nretries = 2\ntimeout = 100\nresources = { cpus = 1 \
    }\noutputs = [\"o\"]\nprogram = \"sh\"\narguments = [\"-c\", \"echo 1 > o\"]\nkind = \
    \"command\"",
    );
    assert_eq!(bench.run(&[]).outcomes(), "a cached");
    fs::rename(bench.path("recipe.toml"), bench.path("other.toml")).unwrap();
    let ran = Ran::new(bench.call(&["run", "other.toml", "--json"]));
    assert_eq!(ran.outcomes(), "a cached");
}

#[test]
fn a_file_named_in_the_recipe_enters_the_key_by_its_content() {
    let recipe = stage("a", "{ path = \"HERE/input.txt\" }", "cat $APEFT_INPUT_0 > o", "");
    let bench = Bench::with(&recipe);
    fs::write(bench.path("input.txt"), "one").unwrap();
    assert_eq!(bench.run(&[]).outcomes(), "a ran");
    fs::write(bench.path("input.txt"), "two").unwrap();
    assert_eq!(bench.run(&[]).outcomes(), "a ran");
    fs::write(bench.path("input.txt"), "one").unwrap();
    assert_eq!(bench.run(&[]).outcomes(), "a cached");
}

#[test]
fn a_failure_stops_what_needs_it_and_with_keep_going_only_that() {
    let recipe = [
        stage("a", "", "echo oh no >&2; exit 3", ""),
        stage("b", "\"a\"", "touch o", ""),
        stage("c", "", "touch o", ""),
        stage("d", "\"c\"", "touch o", ""),
    ]
    .concat();
    let bench = Bench::with(&recipe);
    let ran = bench.run(&["-j", "1"]);
    assert_eq!(
        (ran.status, ran.outcomes().as_str()),
        (Some(1), "a failed, b skipped, c skipped, d skipped")
    );
    assert!(ran.words.contains("exit status: 3") && ran.words.contains("oh no"), "{}", ran.words);
    let stopped = "not started: the run stopped after a failed";
    let reasons: Vec<&str> =
        (1..4).map(|stage| ran.json["stages"][stage]["reason"].as_str().unwrap()).collect();
    assert_eq!(reasons, ["skipped because of a", stopped, stopped]);
    assert!(
        ran.words.contains("b  skipped because of a") && !ran.words.contains("c  skipped"),
        "{}",
        ran.words
    );
    assert!(
        ran.words.contains(&format!("c  {stopped}"))
            && ran.words.contains(&format!("d  {stopped}"))
    );
    let status = Ran::new(bench.call(&["status", "--json"]));
    let words: Vec<&str> =
        (1..4).map(|stage| status.json["stages"][stage]["words"].as_str().unwrap()).collect();
    assert_eq!(words, ["because of a", stopped, stopped]);
    let report = fs::read_to_string(bench.path("experiments/bench/latest/report.html")).unwrap();
    assert_eq!(
        (report.matches("skipped because of a").count(), report.matches(stopped).count()),
        (1, 2)
    );
    let ran = bench.run(&["-j", "1", "--keep-going"]);
    assert_eq!(
        (ran.status, ran.outcomes().as_str()),
        (Some(1), "a failed, b skipped, c ran, d ran")
    );
    assert_eq!(ran.json["ok"], false);
    let ran = bench.run(&["--until", "d"]);
    assert_eq!((ran.status, ran.outcomes().as_str()), (Some(0), "c cached, d cached"));
}

#[test]
fn a_missing_output_and_a_missing_program_are_named() {
    let bench = Bench::with(&stage("a", "", "touch p", ""));
    let ran = bench.run(&[]);
    assert_eq!(ran.status, Some(1));
    assert!(ran.words.contains("did not write the declared output `o`"), "{}", ran.words);
    bench.recipe("[stage.a]\nkind = \"command\"\nprogram = \"no-such-program\"\noutputs = [\"o\"]");
    let ran = bench.run(&[]);
    assert!(ran.words.contains("cannot run `no-such-program`: not found on PATH"), "{}", ran.words);
    bench.recipe("[stage.a]\nkind = \"command\"\nprogram = \"true\"\noutputs = [\"../o\"]");
    assert!(bench.run(&[]).words.contains("a path inside the working folder is expected"));
}

/// A relative link leads elsewhere from the store than from the working folder.
#[test]
fn links_to_what_is_not_kept_are_no_outputs() {
    let bench = Bench::with("");
    for (script, expected) in [
        ("ln -s /etc/passwd o", Some(1)),
        ("mkdir o; ln -s ../../nowhere o/l", Some(1)),
        ("echo x > p; ln -s $PWD/p o", Some(1)),
        ("echo x > p; ln -s p o", Some(1)),
        ("mkdir o; echo x > o/p; ln -s p o/l", Some(0)),
    ] {
        bench.recipe(&stage("a", "", script, ""));
        let ran = bench.run(&[]);
        assert_eq!(ran.status, expected, "{script}: {}", ran.words);
        assert!(
            expected == Some(0) || ran.words.contains("would not be kept; copy the file instead"),
            "{script}: {}",
            ran.words
        );
    }
}

#[test]
fn a_retry_finds_what_the_attempt_before_left_in_the_checkpoint() {
    let script = "if [ -e $APEFT_CHECKPOINT/m ]; then echo ok > o; else touch half \
    $APEFT_CHECKPOINT/m; exit 1; fi";
    let bench = Bench::with(&stage("a", "", script, "retries = 1"));
    let ran = bench.run(&[]);
    assert_eq!((ran.status, ran.outcomes().as_str()), (Some(0), "a ran"), "{}", ran.words);
    assert_eq!(files_below(&ran.artifact("a")).len(), 1);
    bench.recipe(&stage("a", "", &format!("{script} # again"), ""));
    assert_eq!(bench.run(&[]).status, Some(1));
    assert_eq!(bench.run(&[]).status, Some(0));
}

#[test]
fn a_timeout_ends_the_whole_group() {
    let script = "sleep 1000 & echo $! > HERE/pid; wait";
    let bench = Bench::with(&stage("a", "", script, "timeout = 0.5"));
    let began = Instant::now();
    let ran = bench.run(&[]);
    assert!(began.elapsed() < Duration::from_secs(20));
    assert_eq!(ran.status, Some(1));
    assert!(ran.words.contains("longer than its timeout of 0.5 s"), "{}", ran.words);
    assert_gone(&bench.wait_for("pid"));
}

#[test]
fn what_a_program_leaves_running_is_ended_with_it() {
    let bench = Bench::with(&stage("a", "", "sleep 1000 & echo $! > HERE/pid; touch o", ""));
    assert_eq!(bench.run(&[]).outcomes(), "a ran");
    assert_gone(&bench.wait_for("pid"));
}

/// `a` is quick; `b` sleeps until the file `go` exists.
fn sleeper() -> String {
    let script = "sleep 1000 & echo $! > HERE/sleep; echo $$ > HERE/pid; [ -e HERE/go ] || wait; \
    echo done > o";
    stage("a", "", "echo 1 > o", "") + &stage("b", "\"a\"", script, "")
}

#[test]
fn killing_the_program_leaves_no_process_and_the_next_run_goes_on() {
    let bench = Bench::with(&sleeper());
    let mut run = bench.spawn(&[]);
    let (shell, sleep) = (bench.wait_for("pid"), bench.wait_for("sleep"));
    send(&run, Signal::KILL);
    run.wait().unwrap();
    assert_gone(&shell);
    assert_gone(&sleep);
    let status = Ran::new(bench.call(&["status", "--json"]));
    assert_eq!(status.json["state"], "killed", "{}", status.words);
    fs::write(bench.path("go"), "").unwrap();
    let ran = bench.run(&[]);
    assert_eq!(
        (ran.status, ran.outcomes().as_str()),
        (Some(0), "a cached, b ran"),
        "{}",
        ran.words
    );
    assert_eq!(fs::read_dir(bench.path("cache/v1/work")).unwrap().count(), 0);
}

#[test]
fn killing_an_attempt_is_one_failed_stage() {
    let bench = Bench::with(&sleeper());
    let run = bench.spawn(&[]);
    let (shell, sleep) = (bench.wait_for("pid"), bench.wait_for("sleep"));
    let parent = |process: &str| {
        let stat = fs::read_to_string(format!("/proc/{process}/stat")).unwrap();
        stat.rsplit_once(") ").unwrap().1.split(' ').nth(1).unwrap().to_owned()
    };
    // Between the two is the program's guard.
    let attempt: i32 = parent(&parent(&shell)).parse().unwrap();
    rustix::process::kill_process(Pid::from_raw(attempt).unwrap(), Signal::KILL).unwrap();
    let ran = Ran::new(run.wait_with_output().unwrap());
    assert_eq!((ran.status, ran.outcomes().as_str()), (Some(1), "a ran, b failed"));
    assert!(ran.words.contains("its process was killed (signal 9)"), "{}", ran.words);
    assert_gone(&shell);
    assert_gone(&sleep);
}

#[test]
fn ctrl_c_ends_the_children_and_keeps_what_is_done() {
    let bench = Bench::with(&sleeper());
    let run = bench.spawn(&[]);
    let (shell, sleep) = (bench.wait_for("pid"), bench.wait_for("sleep"));
    let began = Instant::now();
    send(&run, Signal::INT);
    let ran = Ran::new(run.wait_with_output().unwrap());
    assert!(began.elapsed() < Duration::from_secs(4));
    assert_eq!(
        (ran.status, ran.outcomes().as_str()),
        (Some(130), "a ran, b skipped"),
        "{}",
        ran.words
    );
    assert!(!is_alive(&shell) && !is_alive(&sleep));
    let status = Ran::new(bench.call(&["status", "--json"]));
    assert_eq!(status.json["state"], "interrupted");
    assert_eq!(status.json["stages"][1]["state"], "interrupted");
    let page = fs::read_to_string(bench.path("experiments/bench/latest/report.html")).unwrap();
    assert!(
        page.contains("it ran when the run was interrupted") && !page.contains("interruption"),
        "{page}"
    );
    fs::write(bench.path("go"), "").unwrap();
    assert_eq!(bench.run(&[]).outcomes(), "a cached, b ran");
}

#[test]
fn the_first_ctrl_c_is_patient_and_the_second_is_not() {
    let patient = "trap 'sleep 0.3; echo bye > HERE/bye; exit 1' TERM; echo $$ > HERE/pid; while \
    :; do sleep 0.05; done";
    let bench = Bench::with(&stage("a", "", patient, ""));
    let run = bench.spawn(&[]);
    bench.wait_for("pid");
    send(&run, Signal::INT);
    assert_eq!(run.wait_with_output().unwrap().status.code(), Some(130));
    assert_eq!(bench.wait_for("bye"), "bye");

    let deaf = "trap '' TERM; echo $$ > HERE/deaf; while :; do sleep 0.05; done";
    bench.recipe(&stage("a", "", deaf, ""));
    let run = bench.spawn(&[]);
    let shell = bench.wait_for("deaf");
    send(&run, Signal::INT);
    std::thread::sleep(Duration::from_millis(300));
    assert!(is_alive(&shell), "it was given time to end");
    let began = Instant::now();
    send(&run, Signal::INT);
    assert_eq!(run.wait_with_output().unwrap().status.code(), Some(130));
    assert!(began.elapsed() < Duration::from_secs(2));
    assert_gone(&shell);
}

#[test]
fn two_runs_at_once_execute_each_stage_once() {
    let script = "echo x >> HERE/count-NAME; sleep 0.2; echo NAME > o";
    let names = ["a", "b", "c", "d", "e", "f"];
    let recipe: String =
        names.iter().map(|name| stage(name, "", &script.replace("NAME", name), "")).collect();
    let bench = Bench::with(&recipe);
    let runs = [bench.spawn(&["-j", "3"]), bench.spawn(&["-j", "3"])];
    let runs = runs.map(|run| Ran::new(run.wait_with_output().unwrap()));
    let executed: i64 = runs.iter().map(|run| run.json["executed"].as_i64().unwrap()).sum();
    assert!(runs.iter().all(|run| run.status == Some(0)), "{}\n{}", runs[0].words, runs[1].words);
    assert_eq!(executed, 6);
    for name in names {
        assert_eq!(fs::read_to_string(bench.path(&format!("count-{name}"))).unwrap(), "x\n");
    }
}

#[test]
fn stages_of_one_key_run_once() {
    let same = "echo x >> HERE/count; sleep 0.1; echo 1 > o";
    let bench = Bench::with(&(stage("a", "", same, "") + &stage("b", "", same, "")));
    assert_eq!(bench.run(&["-j", "4"]).outcomes(), "a ran, b cached");
    assert_eq!(fs::read_to_string(bench.path("count")).unwrap(), "x\n");
}

#[test]
fn a_damaged_artifact_is_found_moved_aside_and_made_again() {
    let bench = Bench::with(&chain("Hello"));
    let clean = bench.run(&[]);
    let artifact = clean.artifact("b");
    let whole = artifact.parent().unwrap();
    let before = files_below(whole);
    assert_eq!(before.len(), 3);
    for (file, bytes) in &before {
        for damage in ["flip", "cut"] {
            let mut bad = bytes.clone();
            let middle = bytes.len() / 2;
            if damage == "flip" {
                bad[middle] ^= 1
            } else {
                bad.truncate(middle)
            }
            overwrite(file, bad);
            let verify = Ran::new(bench.call(&["cache", "verify", "--json"]));
            assert_eq!(
                (verify.status, verify.json["problems"].as_array().unwrap().len()),
                (Some(3), 1)
            );
            let ran = bench.run(&[]);
            assert_eq!(
                (ran.status, ran.outcomes().as_str()),
                (Some(0), "a cached, b ran, c cached"),
                "{}",
                ran.words
            );
            assert!(ran.words.contains("was damaged"), "{}", ran.words);
            assert_eq!(files_below(whole), before);
            assert_eq!(bench.call(&["cache", "verify"]).status.code(), Some(0));
        }
    }
}

#[test]
fn what_only_looks_changes_nothing_in_a_damaged_store() {
    let bench = Bench::with(&chain("Hello"));
    let file = bench.run(&[]).artifact("b").join("o");
    overwrite(&file, "jello");
    let before = files_below(&bench.path("cache"));
    for command in [
        &["plan", "recipe.toml"][..],
        &["plan", "recipe.toml", "--json"],
        &["plan", "recipe.toml", "--verify"],
        &["explain", "recipe.toml", "b"],
        &["validate", "recipe.toml"],
        &["status"],
        &["report"],
        &["cache", "ls"],
        &["cache", "verify"],
        &["cache", "gc", "--dry-run"],
        &["cache", "du"],
    ] {
        let said = Ran::new(bench.call(command));
        assert!(files_below(&bench.path("cache")) == before, "{command:?}");
        if command[0] == "plan" && said.json.is_null() {
            assert!(
                said.words.contains("is damaged") && said.words.contains("`apeft run`"),
                "{}",
                said.words
            );
            assert!(said.words.contains("> b  ready: its artifact is damaged"), "{}", said.words);
        }
    }
    assert_eq!(bench.run(&[]).outcomes(), "a cached, b ran, c cached");
    assert_eq!(fs::read_dir(bench.path("cache/v1/damaged")).unwrap().count(), 1);
}

#[test]
fn a_folder_that_is_not_there_is_named_and_not_made() {
    let bench = Bench::with(&chain("Hello"));
    bench.run(&[]);
    fs::create_dir(bench.path("other")).unwrap();
    fs::write(bench.path("other/mine.txt"), "").unwrap();
    for place in ["typo", "other", "recipe.toml"] {
        let before = files_below(bench.folder.path());
        for command in [
            &["cache", "ls", "--cache", place][..],
            &["cache", "du", "--cache", place],
            &["cache", "verify", "--cache", place],
            &["cache", "verify", "--repair", "--cache", place],
            &["cache", "gc", "--cache", place],
            &["cache", "gc", "--dry-run", "--cache", place],
            &["cache", "gc", "--experiments", place],
            &["status", "--experiments", place],
            &["logs", "a", "--experiments", place],
            &["report", "--experiments", place],
            &["compare", "bench", "--experiments", place],
        ] {
            let said = Ran::new(bench.call(command));
            assert_eq!(said.status, Some(2), "{command:?}: {}", said.words);
            assert!(said.words.contains(place), "{command:?}: {}", said.words);
            assert!(files_below(bench.folder.path()) == before, "{command:?}");
        }
    }
    let plan = Ran::new(bench.call(&["plan", "recipe.toml", "--cache", "typo"]));
    assert_eq!((plan.status, bench.path("typo").exists()), (Some(0), false), "{}", plan.words);
    assert_eq!(bench.run(&["--cache", "typo", "--experiments", "typos"]).status, Some(0));
}

#[test]
fn a_name_that_is_not_utf_8_is_told() {
    use std::{ffi::OsStr, os::unix::ffi::OsStrExt};
    let bench = Bench::with(&chain("Hello"));
    let strange = OsStr::from_bytes(b"x\xff");
    fs::create_dir(bench.folder.path().join(strange)).unwrap();
    fs::copy(bench.path("recipe.toml"), bench.folder.path().join(strange).join("recipe.toml"))
        .unwrap();
    let told = |command: &mut Command| {
        let said = Ran::new(command.output().unwrap());
        assert_eq!(said.status, Some(2), "{}", said.words);
        assert!(
            said.words.contains("x\u{fffd}") && said.words.contains("is not UTF-8"),
            "{}",
            said.words
        );
    };
    let inside = bench.folder.path().join(strange);
    told(bench.command(&["run", "recipe.toml"]).current_dir(&inside));
    told(bench.command(&["run", "recipe.toml", "--cache"]).arg(strange));
    told(bench.command(&["plan"]).arg(inside.join("recipe.toml")));
    let warned = Ran::new(
        bench.command(&["run", "recipe.toml", "--experiments"]).arg(strange).output().unwrap(),
    );
    assert_eq!(warned.status, Some(0), "{}", warned.words);
    assert!(warned.words.contains("x\u{fffd} is not UTF-8"), "{}", warned.words);
    fs::rename(bench.path("cache"), inside.join("cache")).unwrap();
    let listed =
        Ran::new(bench.command(&["cache", "ls", "--json"]).current_dir(&inside).output().unwrap());
    assert_eq!(
        (listed.status, listed.json.as_array().map(Vec::len)),
        (Some(0), Some(3)),
        "{}",
        listed.words
    );
    fs::write(inside.join("cache/v1/artifacts").join(strange), "").unwrap();
    let checked = Ran::new(
        bench.command(&["cache", "verify", "--json"]).current_dir(&inside).output().unwrap(),
    );
    assert_eq!(checked.status, Some(3), "{}", checked.words);
    assert!(
        checked.json["problems"][0]["path"].as_str().unwrap().ends_with("x\u{fffd}"),
        "{}",
        checked.json
    );
}

#[test]
fn bits_that_rot_without_a_trace_are_found_with_verify() {
    let bench = Bench::with(&chain("Hello"));
    let file = bench.run(&[]).artifact("b").join("o");
    // Recent files are remembered only once their next change is detectable.
    std::thread::sleep(Duration::from_millis(100));
    bench.run(&[]);
    // A memo with the altered file under the old digest simulates silent corruption by the disk.
    let memo = bench.path("cache/v1/memo");
    let digest = blake3::hash(&fs::read(&file).unwrap()).to_string();
    overwrite(&file, "jello\n");
    let metadata = fs::metadata(&file).unwrap();
    use std::os::unix::fs::MetadataExt;
    let stamp = |seconds: i64, rest: i64| i128::from(seconds) * 1_000_000_000 + i128::from(rest);
    let changed = stamp(metadata.ctime(), metadata.ctime_nsec());
    let modified = stamp(metadata.mtime(), metadata.mtime_nsec());
    let line = format!(
        "{} {} {} {changed} {modified} {digest}",
        metadata.dev(),
        metadata.ino(),
        metadata.len()
    );
    let sum = &blake3::hash(line.as_bytes()).to_string()[..16];
    let place = format!("{} {} ", metadata.dev(), metadata.ino());
    let text = fs::read_to_string(&memo).unwrap();
    let lines = text.lines().map(|old| {
        if old.starts_with(&place) { format!("{line} {sum}\n") } else { format!("{old}\n") }
    });
    fs::write(&memo, lines.collect::<String>()).unwrap();
    assert_eq!(bench.run(&[]).outcomes(), "a cached, b cached, c cached");
    assert_eq!(bench.run(&["--verify"]).outcomes(), "a cached, b ran, c cached");
}

#[test]
fn stages_can_be_forced_left_out_and_stopped_at() {
    let bench = Bench::with(&chain("Hello"));
    let ran = bench.run(&["--until", "b"]);
    assert_eq!(ran.outcomes(), "a ran, b ran");
    assert_eq!(bench.run(&["--force", "b"]).outcomes(), "a cached, b ran, c ran");
    assert_eq!(bench.run(&["--force", "c", "--only", "c"]).outcomes(), "c ran");
    assert_eq!(bench.run(&["--only", "c"]).outcomes(), "c cached");
    bench.recipe(&chain("Goodbye"));
    let ran = bench.run(&["--only", "b"]);
    assert_eq!((ran.status, ran.outcomes().as_str()), (Some(1), "b failed"));
    assert!(ran.words.contains("needs `a`, which --only excludes"), "{}", ran.words);
    let wrong = bench.call(&["run", "recipe.toml", "--until", "bb"]);
    assert_eq!(wrong.status.code(), Some(2));
    let words = String::from_utf8_lossy(&wrong.stderr);
    assert!(words.contains("there is no stage `bb`") && words.contains("`b`"), "{words}");
}

#[test]
fn gpus_are_handed_out_by_number() {
    let script = "echo $CUDA_VISIBLE_DEVICES > o; sleep 0.3";
    let recipe: String = ["a", "b", "c"]
        .iter()
        .map(|name| stage(name, "", &format!("{script} # {name}"), "resources = { gpus = 1 }"))
        .collect();
    let bench = Bench::with(&recipe);
    let call = |visible: &str| {
        let mut command = bench.command(&["run", "recipe.toml", "--json", "-j", "8"]);
        Ran::new(command.env("CUDA_VISIBLE_DEVICES", visible).output().unwrap())
    };
    let none = call("");
    assert_eq!(none.status, Some(1));
    assert!(
        none.words.contains("it needs 1 GPU, and this machine offers no GPU"),
        "{}",
        none.words
    );
    let ran = call("5,7");
    let mut given: Vec<String> = ["a", "b"]
        .iter()
        .map(|name| fs::read_to_string(ran.artifact(name).join("o")).unwrap())
        .collect();
    given.sort();
    // On a machine with one core they ran one after the other.
    let cores = std::thread::available_parallelism().unwrap().get();
    assert_eq!(given, if cores > 1 { ["5\n", "7\n"] } else { ["5\n", "5\n"] });
}

#[test]
fn what_a_program_prints_is_in_its_log_and_nowhere_else() {
    let bench = Bench::with(&stage("a", "", "echo said; echo sighed >&2; echo 1 > o", ""));
    let output = bench.call(&["run", "recipe.toml"]);
    assert!(output.stdout.is_empty());
    let logs = bench.call(&["logs", "a"]);
    let text = String::from_utf8(logs.stdout).unwrap();
    assert!(text.contains("said\n") && text.contains("sighed\n"), "{text}");
    assert_eq!(bench.call(&["logs", "nobody"]).status.code(), Some(2));
    let status = String::from_utf8(bench.call(&["status"]).stdout).unwrap();
    assert!(status.contains("done"), "{status}");
}

#[test]
fn garbage_is_what_no_recent_run_used() {
    let bench = Bench::with(&chain("Hello"));
    bench.run(&[]);
    bench.recipe(&chain("Goodbye"));
    bench.run(&[]);
    let plan = bench.call(&["cache", "gc", "--keep", "1", "--dry-run", "--json"]);
    let plan: Value = serde_json::from_slice(&plan.stdout).unwrap();
    assert_eq!(plan["removed"].as_array().unwrap().len(), 3, "{plan}");
    assert_eq!(bench.call(&["cache", "gc", "--keep", "1"]).status.code(), Some(0));
    assert_eq!(bench.run(&[]).outcomes(), "a cached, b cached, c cached");
    let elsewhere = bench.call(&["cache", "gc", "--experiments", "nowhere"]);
    assert_eq!(elsewhere.status.code(), Some(2));
    assert_eq!(bench.run(&[]).outcomes(), "a cached, b cached, c cached");
}

#[test]
fn a_run_whose_journal_cannot_be_written_has_its_results_all_the_same() {
    let bench = Bench::with(&stage("a", "", "echo x > o", ""));
    fs::write(bench.path("file"), "").unwrap();
    for command in ["run", "sweep"] {
        let ended = bench.call(&[command, "recipe.toml", "--experiments", "file/runs"]);
        let words = said::words(&ended);
        assert_eq!(ended.status.code(), Some(0), "{words}");
        assert!(
            words.contains("is not recorded") && words.contains("there is no report"),
            "{words}"
        );
    }
    let again = bench.run(&[]);
    assert_eq!(again.outcomes(), "a cached", "{}", again.words);
}

#[test]
fn a_store_that_cannot_be_made_is_said_so() {
    let bench = Bench::with(&chain("Hello"));
    fs::write(bench.path("cache"), "a file").unwrap();
    let output = bench.call(&["run", "recipe.toml"]);
    assert_eq!(output.status.code(), Some(2));
    let words = String::from_utf8(output.stderr).unwrap();
    assert!(words.contains("the store cache cannot be used: cannot create"), "{words}");
}

#[test]
fn kills_at_any_time_leave_the_bytes_of_a_run_without_kills() {
    let names = ["a", "b", "c", "d", "e"];
    let recipe: String = names
        .iter()
        .enumerate()
        .map(|(index, name)| {
            let needs =
                if index == 0 { String::new() } else { format!("\"{}\"", names[index - 1]) };
            stage(
                name,
                &needs,
                "sleep 0.01; cat $APEFT_INPUT_0/o > o; echo $APEFT_DEVICE >> o; sleep 0.01",
                "",
            )
        })
        .collect();
    let recipe = recipe
        .replace("cat $APEFT_INPUT_0/o", "cat ${APEFT_INPUT_0:-/dev/null}/o 2>/dev/null")
        .replace("${", "$${");
    let (killed, clean) = (Bench::with(&recipe), Bench::with(&recipe));
    for count in 0..20 {
        let mut run = killed.spawn(&[]);
        std::thread::sleep(Duration::from_millis(3 + 7 * count % 60));
        send(&run, Signal::KILL);
        run.wait().unwrap();
        if killed.path("cache").exists() {
            let verify = killed.call(&["cache", "verify"]);
            assert_eq!(
                verify.status.code(),
                Some(0),
                "{}",
                String::from_utf8_lossy(&verify.stderr)
            );
        }
    }
    let (ran, expected) = (killed.run(&[]), clean.run(&[]));
    assert_eq!((ran.status, expected.status), (Some(0), Some(0)), "{}", ran.words);
    assert_eq!(expected.json["executed"], 5);
    for name in names {
        let whole = |ran: &Ran| {
            files_below(ran.artifact(name).parent().unwrap()).into_values().collect::<Vec<_>>()
        };
        assert_eq!(whole(&ran), whole(&expected), "{name}");
    }
    assert_eq!(fs::read_dir(killed.path("cache/v1/work")).unwrap().count(), 0);
}
