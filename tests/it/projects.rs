//! Projects that share a store, are moved, are queried while they run, or have users with few
//! permissions.

use std::{
    collections::BTreeSet,
    fs,
    io::{BufRead, BufReader, Read},
    os::unix::{ffi::OsStrExt, fs::PermissionsExt},
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
    time::{Duration, Instant},
};

use apeft::{
    digest::digest_value,
    store::{Lookup, Store},
};
use serde_json::{Value, json};

use crate::said;

/// A folder with projects, each with a recipe and its runs, and a shared store.
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

    /// Writes a project's recipe; `HERE` stands for the folder of all projects.
    fn recipe(&self, project: &str, stages: &str) {
        fs::create_dir_all(self.path(project)).unwrap();
        let text = format!("name = \"bench\"\n{stages}")
            .replace("HERE", self.folder.path().to_str().unwrap());
        fs::write(self.path(project).join("recipe.toml"), text).unwrap();
    }

    fn command(&self, project: &str, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_apeft"));
        command.args(arguments).current_dir(self.path(project)).env_remove("RUST_LOG");
        command.env("APEFT_CACHE", self.path("shared")).stdin(Stdio::null());
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    fn call(&self, project: &str, arguments: &[&str]) -> Said {
        Said::new(&self.command(project, arguments).output().unwrap())
    }

    fn run(&self, project: &str, arguments: &[&str]) -> Said {
        self.call(project, &[&["run", "recipe.toml", "--json"], arguments].concat())
    }

    fn wait_for(&self, name: &str) {
        let began = Instant::now();
        while !self.path(name).exists() {
            assert!(began.elapsed() < Duration::from_secs(60), "{name} never came");
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

/// A stage that runs a shell script and writes the file `o`.
fn stage(name: &str, inputs: &str, script: &str, more: &str) -> String {
    format!(
        "[stage.{name}]\nkind = \"command\"\nprogram = \"sh\"\narguments = [\"-c\", \
        '''{script}''']\noutputs = [\"o\"]\ninputs = [{inputs}]\n{more}\n"
    )
}

fn echo(text: &str) -> String {
    stage("a", "", &format!("echo {text} > o"), "")
}

/// A run that failed at once must not cost the artifacts of the last good one, and runs that always
/// fail must not be kept forever.
#[test]
fn failed_runs_displace_no_finished_one() {
    let bench = Bench::new();
    let collected = || bench.call("one", &["cache", "gc", "--keep", "1"]);
    let fails = |text: &str| echo(text) + &stage("b", "\"a\"", "false", "");
    bench.recipe("one", &echo("good"));
    assert_eq!(bench.run("one", &[]).outcomes(), "a ran");
    for text in ["bad", "worse"] {
        bench.recipe("one", &fails(text));
        assert_eq!(bench.run("one", &[]).outcomes(), "a ran, b failed");
    }
    assert_eq!(collected().status, Some(0));
    for (text, outcome) in [("good", "cached"), ("worse", "cached"), ("bad", "ran")] {
        bench.recipe("one", &echo(text));
        let ran = bench.call("one", &["plan", "recipe.toml"]).words;
        assert_eq!(ran.contains("= a "), outcome == "cached", "{text}: {ran}");
    }
}

#[test]
fn what_other_projects_use_is_not_collected() {
    let bench = Bench::new();
    for project in ["one", "two"] {
        bench.recipe(project, &echo(project));
        assert_eq!(bench.run(project, &[]).outcomes(), "a ran");
    }
    // From a store version without projects, or copied there by hand.
    let store = Store::open(&bench.path("shared")).unwrap();
    let key = digest_value("key", &json!("another's"));
    let draft = store.draft(store.lock(&key, |_| {}).unwrap()).unwrap();
    fs::write(draft.files().join("o"), "x").unwrap();
    store.commit(draft, &json!({})).unwrap();

    let collected = bench.call("one", &["cache", "gc", "--keep", "0"]);
    assert_eq!(collected.status, Some(0), "{}", collected.words);
    assert!(
        collected.words.contains("kept: 1 artifact") && collected.words.contains("--unrecorded"),
        "{}",
        collected.words
    );
    assert_eq!(bench.run("one", &[]).outcomes(), "a ran", "its own is gone");
    assert_eq!(bench.run("two", &[]).outcomes(), "a cached");
    assert!(matches!(store.find(&key).unwrap(), Lookup::Found(_)));

    // A removed project: its needs are unknown, so nothing is collected until it is forgotten.
    fs::rename(bench.path("two"), bench.path("three")).unwrap();
    let refused = bench.call("one", &["cache", "gc", "--unrecorded"]);
    assert!(refused.status == Some(2) && refused.words.contains("--forget"), "{}", refused.words);
    assert_eq!(
        bench.run("three", &[]).outcomes(),
        "a cached",
        "where it lies now it is known again"
    );
    let gone = bench.path("two/experiments");
    let collected =
        bench.call("one", &["cache", "gc", "--unrecorded", "--forget", gone.to_str().unwrap()]);
    assert_eq!(collected.status, Some(0), "{}", collected.words);
    assert_eq!(
        (bench.run("one", &[]).outcomes().as_str(), bench.run("three", &[]).outcomes().as_str()),
        ("a cached", "a cached")
    );
    assert!(matches!(store.find(&key).unwrap(), Lookup::Absent));
}

#[test]
fn what_a_run_under_way_needs_is_not_collected_even_if_it_found_it_a_moment_ago() {
    let bench = Bench::new();
    bench.recipe("one", &echo("good"));
    bench.run("one", &[]);
    let script =
        "touch HERE/begun; while ! [ -e HERE/go ]; do sleep 0.01; done; cat $APEFT_INPUT_0/o > o";
    bench.recipe("two", &(echo("good") + &stage("b", "\"a\"", script, "")));
    let run = bench.command("two", &["run", "recipe.toml", "--json"]).spawn().unwrap();
    bench.wait_for("begun");
    // Its project is forgotten and everything is removable, but a running run holds what it looked
    // up.
    let everything = [
        "cache",
        "gc",
        "--keep",
        "0",
        "--all-projects",
        "--unrecorded",
        "--forget",
        "../two/experiments",
        "--json",
    ];
    let collected = bench.call("one", &everything);
    assert_eq!(
        (collected.status, &collected.json["kept"]["in_use"]),
        (Some(0), &json!(2)),
        "{}",
        collected.words
    );
    assert_eq!(collected.json["removed"], json!([]));
    fs::write(bench.path("go"), "").unwrap();
    assert_eq!(Said::new(&run.wait_with_output().unwrap()).outcomes(), "a cached, b ran");
    let collected = bench.call("one", &everything[..6]);
    assert_eq!(collected.status, Some(0), "{}", collected.words);
    assert_eq!(bench.run("one", &[]).outcomes(), "a ran", "once it is over, it goes");
}

#[test]
fn a_collection_waits_until_a_look_is_over_and_a_look_until_the_collection_is() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path()).unwrap();
    let other = Store::open(folder.path()).unwrap();
    let lease =
        store.lease(&folder.path().join("experiments"), || panic!("nobody collects")).unwrap();
    let closed = other.close(|| panic!("nobody looks")).unwrap();
    let key = digest_value("key", &json!("one"));
    std::thread::scope(|scope| {
        let look = scope.spawn(|| store.find(&key).unwrap());
        std::thread::sleep(Duration::from_millis(100));
        assert!(!look.is_finished(), "the gate is shut");
        assert!(!other.live_roots().unwrap().keys.contains(&key));
        drop(closed);
        assert!(matches!(look.join().unwrap(), Lookup::Absent));
    });
    let closed = other.close(|| {}).unwrap();
    assert!(other.live_roots().unwrap().keys.contains(&key), "what it has found is written down");
    drop((closed, lease));
    assert!(other.live_roots().unwrap().keys.is_empty());
}

#[test]
fn a_forced_stage_that_fails_loses_nothing() {
    let bench = Bench::new();
    bench.recipe("one", &stage("a", "", "[ -e HERE/broken ] && exit 1; date +%N > o", ""));
    bench.run("one", &[]);
    let kept = |said: &Said| {
        fs::read(Path::new(said.json["stages"][0]["artifact"].as_str().unwrap()).join("o")).unwrap()
    };
    let good = kept(&bench.run("one", &[]));
    fs::write(bench.path("broken"), "").unwrap();
    let failed = bench.run("one", &["--force", "a"]);
    assert_eq!((failed.status, failed.outcomes().as_str()), (Some(1), "a failed"));
    let again = bench.run("one", &[]);
    assert_eq!((again.outcomes().as_str(), kept(&again)), ("a cached", good.clone()));
    fs::remove_file(bench.path("broken")).unwrap();
    let forced = bench.run("one", &["--force", "a"]);
    assert_eq!(forced.outcomes(), "a ran");
    assert_ne!(kept(&forced), good);
    assert_eq!(kept(&bench.run("one", &[])), kept(&forced));
    assert_eq!(fs::read_dir(bench.path("shared/v1/damaged")).unwrap().count(), 0);
}

/// Runs the program as a user without root's permissions.
fn as_nobody(mut command: Command) -> Option<Output> {
    if !rustix::process::geteuid().is_root() {
        return Some(command.output().unwrap());
    }
    let program = command.get_program().to_owned();
    let mut other = Command::new("setpriv");
    other
        .args(["--reuid=65534", "--regid=65534", "--clear-groups"])
        .arg(program)
        .args(command.get_args());
    other.current_dir(command.get_current_dir().unwrap()).stdin(Stdio::null());
    for (name, value) in command.get_envs() {
        if let Some(value) = value {
            other.env(name, value)
        } else {
            other.env_remove(name)
        };
    }
    other.output().ok()
}

fn open_to_all(path: &Path) {
    let mode = if path.is_dir() { 0o777 } else { 0o666 };
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    for entry in fs::read_dir(path).into_iter().flatten() {
        open_to_all(&entry.unwrap().path());
    }
}

#[test]
fn what_may_not_be_read_is_no_damage() {
    let bench = Bench::new();
    bench.recipe("one", &echo("good"));
    let ran = bench.run("one", &[]);
    let artifact = PathBuf::from(ran.json["stages"][0]["artifact"].as_str().unwrap());
    open_to_all(bench.folder.path());
    if !as_nobody(bench.command("one", &["--version"]))
        .is_some_and(|output| output.status.success())
    {
        eprintln!(
            "skipped: root may read everything, and nobody else can start the program here \
            (`setpriv`)"
        );
        return;
    }
    let hidden = artifact.parent().unwrap();
    for closed in [
        hidden.to_owned(),
        hidden.parent().unwrap().to_owned(),
        hidden.join("manifest.json"),
        artifact.join("o"),
    ] {
        let mode = fs::metadata(&closed).unwrap().permissions().mode();
        fs::set_permissions(&closed, fs::Permissions::from_mode(0o000)).unwrap();
        // Otherwise a file with a known digest need not be read.
        let _ = fs::remove_file(bench.path("shared/v1/memo"));
        for (arguments, status) in [
            (&["run", "recipe.toml"][..], 1),
            (&["plan", "recipe.toml"], 0),
            (&["cache", "verify", "--repair"], 3),
        ] {
            let said = Said::new(&as_nobody(bench.command("one", arguments)).unwrap());
            assert_eq!(
                said.status,
                Some(status),
                "{arguments:?}, {}: {}",
                closed.display(),
                said.words
            );
            assert!(said.words.contains("ermission denied"), "{}", said.words);
            assert!(!said.words.contains("was damaged"), "{}", said.words);
            assert_eq!(
                fs::read_dir(bench.path("shared/v1/damaged")).unwrap().count(),
                0,
                "{}",
                said.words
            );
        }
        fs::set_permissions(&closed, fs::Permissions::from_mode(mode)).unwrap();
    }
    assert_eq!(bench.run("one", &[]).outcomes(), "a cached");
}

#[test]
fn a_log_that_is_followed_goes_on_through_all_attempts() {
    let bench = Bench::new();
    let script = "n=$(ls $APEFT_CHECKPOINT | wc -l); touch $APEFT_CHECKPOINT/$n HERE/begun; echo \
    begin $n; while ! [ -e HERE/go$n ]; do sleep 0.01; done; echo end $n; [ $n = 2 ] || exit 1; \
    touch o";
    bench.recipe("one", &stage("a", "", script, "retries = 2"));
    let run = bench.command("one", &["run", "recipe.toml"]).spawn().unwrap();
    bench.wait_for("begun");
    let mut logs = bench.command("one", &["logs", "-f", "a"]).spawn().unwrap();
    let mut lines = BufReader::new(logs.stdout.take().unwrap()).lines();
    for attempt in 0..3 {
        assert_eq!(lines.next().unwrap().unwrap(), format!("begin {attempt}"));
        fs::write(bench.path(&format!("go{attempt}")), "").unwrap();
        assert_eq!(lines.next().unwrap().unwrap(), format!("end {attempt}"));
    }
    assert!(lines.next().is_none());
    assert_eq!(logs.wait().unwrap().code(), Some(0));
    assert!(run.wait_with_output().unwrap().status.success());
    let one = bench.command("one", &["logs", "-f", "a", "--attempt", "1"]).output().unwrap();
    assert_eq!(String::from_utf8(one.stdout).unwrap(), "begin 0\nend 0\n");
}

#[test]
fn a_project_that_was_moved_finds_its_logs_and_artifacts() {
    let bench = Bench::new();
    let comparison = r#"echo said; echo 1 > o; echo '{"not": "a comparison"}' > comparison.json"#;
    let recipe = stage("a", "", comparison, "");
    bench.recipe("one", &recipe.replace("[\"o\"]", "[\"o\", \"comparison.json\"]"));
    let cache = bench.path("one/cache");
    let command = |project: &str, arguments: &[&str]| {
        let mut command = bench.command(project, arguments);
        command.env_remove("APEFT_CACHE").output().unwrap()
    };
    assert!(command("one", &["run", "recipe.toml"]).status.success() && cache.is_dir());
    fs::rename(bench.path("one"), bench.path("two")).unwrap();
    let logs = command("two", &["logs", "a"]);
    assert_eq!(String::from_utf8(logs.stdout).unwrap(), "said\n");
    assert!(command("two", &["report", "bench"]).status.success());
    let page = fs::read_to_string(bench.path("two/experiments/bench/latest/report.html")).unwrap();
    // Also shows that an unreadable result is not ignored.
    assert!(
        page.contains("cannot show the result of <code>a</code>: ")
            && page.contains("missing field"),
        "{page}"
    );
    let compared = command("two", &["compare", "bench"]);
    let words = String::from_utf8(compared.stderr).unwrap();
    assert!(
        compared.status.code() == Some(2) && words.contains("comparison.json: missing field"),
        "{words}"
    );
}

fn files_named(folder: &Path, name: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_symlink() {
            continue;
        }
        if path.is_dir() {
            found.extend(files_named(&path, name));
        } else if path.file_name().unwrap() == name {
            found.push(path);
        }
    }
    found
}

#[test]
fn names_that_nobody_gave_stop_nothing() {
    let bench = Bench::new();
    bench.recipe("one", &echo("good"));
    bench.run("one", &[]);
    let strange = std::ffi::OsStr::from_bytes(b"x\xff");
    for folder in ["artifacts", "locks", "work", "damaged", "projects", "uses"] {
        fs::write(bench.path("shared/v1").join(folder).join(strange), "").unwrap();
        fs::create_dir(bench.path("shared/v1").join(folder).join("a folder")).unwrap();
    }
    for (arguments, status) in [
        (&["cache", "ls"][..], 0),
        (&["cache", "verify"], 3),
        (&["cache", "gc"], 0),
        (&["cache", "verify", "--repair"], 0),
        (&["cache", "verify"], 0),
        (&["cache", "du"], 0),
    ] {
        let said = bench.call("one", arguments);
        assert_eq!(said.status, Some(status), "{arguments:?}: {}", said.words);
    }
    assert_eq!(bench.run("one", &[]).outcomes(), "a cached");
}

#[test]
fn the_reason_is_what_changed_since_the_last_run_of_this_recipe() {
    let bench = Bench::new();
    let text = |text: &str| stage("a", "", &format!("echo {text} > o"), "");
    bench.recipe("one", &text("first"));
    bench.run("one", &[]);
    // Newer and equally similar.
    bench.recipe("two", &text("other"));
    bench.run("two", &[]);
    bench.recipe("one", &text("second"));
    let words = bench.run("one", &[]).words;
    assert!(
        words.contains("first") && words.contains("second") && !words.contains("other"),
        "{words}"
    );
}

#[test]
fn how_long_it_took_is_handed_on_from_run_to_run() {
    let bench = Bench::new();
    bench.recipe("one", &stage("a", "", "sleep 0.1; echo 1 > o", ""));
    bench.run("one", &[]);
    let journals: BTreeSet<PathBuf> =
        files_named(&bench.path("one"), "events.jsonl").into_iter().collect();
    bench.run("one", &[]);
    journals.iter().for_each(|journal| fs::remove_file(journal).unwrap());
    bench.run("one", &[]);
    let mut text = String::new();
    let latest = fs::canonicalize(bench.path("one/experiments/bench/latest")).unwrap();
    fs::File::open(latest.join("events.jsonl")).unwrap().read_to_string(&mut text).unwrap();
    let cached = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let cached = cached.filter(|event| event["event"] == "stage_cached").collect::<Vec<_>>();
    assert!(cached.len() == 1 && cached[0]["seconds"].as_f64().unwrap() >= 0.1, "{text}");
}

#[test]
fn a_new_store_beside_another_one_is_told() {
    let bench = Bench::new();
    bench.recipe("one", &stage("a", "", "echo 1 > o", ""));
    fs::create_dir(bench.path("one/below")).unwrap();
    let run = |folder: &str, recipe: &str, more: &[&str]| {
        let arguments = [&["run", recipe, "--json"], more].concat();
        let mut command = bench.command(folder, &arguments);
        Said::new(&command.env_remove("APEFT_CACHE").output().unwrap())
    };
    let warning = "this run makes a new store, `cache`";
    let first = run("one", "recipe.toml", &[]);
    assert!(first.status == Some(0) && !first.words.contains(warning), "{}", first.words);
    let store = fs::canonicalize(bench.path("one/cache")).unwrap();
    let store = store.to_str().unwrap();
    let named = run("one/below", "../recipe.toml", &["--cache", store]);
    assert_eq!(named.outcomes(), "a cached");
    assert!(!named.words.contains(warning), "{}", named.words);
    let below = run("one/below", "../recipe.toml", &[]);
    assert_eq!(below.outcomes(), "a ran");
    assert!(below.words.contains(&format!("{warning}; --cache {store} uses")), "{}", below.words);
    let again = run("one/below", "../recipe.toml", &[]);
    assert!(!again.words.contains(warning), "{}", again.words);
}
