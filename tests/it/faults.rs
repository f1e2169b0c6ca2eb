//! Faults of the file system, or kills, at any call of any process that opens or changes a file:
//! everything stays consistent, and the next run ends with the bytes of an undisturbed run. `tests/faults/strike.c`
//! injects them; it needs Linux on x86-64 and a C compiler.
//!
//! A sample of the calls is tested each time; with APEFT_FAULTS=all (`just faults`) every one is,
//! with APEFT_FAULTS="a run" every one of this scenario.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
    sync::atomic::{AtomicUsize, Ordering},
};

use apeft::seed::Seed;
use serde_json::Value;

use crate::said;

const ACTIONS: [&str; 5] = ["EIO", "ENOSPC", "EINTR", "kill", "killall"];

/// Number of faults per scenario if only a sample is tested.
const SAMPLE: usize = 20;

/// A folder with a recipe, a store and runs, copied for each fault.
struct Bench {
    folder: tempfile::TempDir,
}

/// The fault injector, built for this test.
struct Striker {
    folder: tempfile::TempDir,
}

/// A scenario: the faulty command and the recovery.
struct Scenario {
    name: &'static str,
    /// Initial state.
    prepare: fn(&Bench, &Striker),
    /// A shell line in which `$APEFT` is the program.
    command: &'static str,
    /// Arguments of the recovery command before the last run; it must succeed.
    then: &'static [&'static str],
}

const SCENARIOS: [Scenario; 5] = [
    Scenario {
        name: "a run",
        prepare: write_chain,
        command: "$APEFT run recipe.toml -j2",
        then: &[],
    },
    Scenario {
        name: "two runs at once",
        prepare: write_chain,
        command: "$APEFT run recipe.toml -j2 & $APEFT run recipe.toml -j2; ended=$?; wait; exit \
        $ended",
        then: &[],
    },
    Scenario {
        name: "a collection",
        prepare: leave_garbage,
        command: "$APEFT cache gc --keep 1",
        then: &["cache", "gc", "--keep", "1"],
    },
    Scenario {
        name: "a repair",
        prepare: leave_damage,
        command: "$APEFT cache verify --repair",
        then: &["cache", "verify", "--repair"],
    },
    Scenario {
        name: "a resumed tuning",
        prepare: leave_half_a_tuning,
        command: "$APEFT run recipe.toml",
        then: &[],
    },
];

/// A stage that runs a shell script and writes the file `o`.
fn stage(name: &str, inputs: &str, script: &str) -> String {
    format!(
        "[stage.{name}]\nkind = \"command\"\nprogram = \"sh\"\narguments = [\"-c\", \
        '''{script}''']\noutputs = [\"o\"]\ninputs = [{inputs}]\n"
    )
}

fn chain(text: &str) -> String {
    [
        "name = \"bench\"\n",
        &stage("a", "", &format!("echo {text} > o; echo said")),
        &stage("b", "\"a\"", "tr A-Z a-z < $APEFT_INPUT_0/o > o"),
    ]
    .concat()
}

fn write_chain(bench: &Bench, _: &Striker) {
    fs::write(bench.path("recipe.toml"), chain("Hello")).unwrap();
}

/// Artifacts and a run to be collected, and some to be kept.
fn leave_garbage(bench: &Bench, _: &Striker) {
    for text in ["Goodbye", "Hello"] {
        fs::write(bench.path("recipe.toml"), chain(text)).unwrap();
        bench.succeed(&["run", "recipe.toml"]);
    }
    fs::create_dir_all(bench.path("cache/v1/damaged/moved/files")).unwrap();
    fs::create_dir_all(bench.path("cache/v1/work").join("ab".repeat(32)).join("attempt-1/files"))
        .unwrap();
}

/// Damage of each kind: to an artifact, to the store's own files, and foreign files.
fn leave_damage(bench: &Bench, _: &Striker) {
    fs::write(bench.path("recipe.toml"), chain("Hello")).unwrap();
    let b = bench.artifacts(&bench.succeed(&["run", "recipe.toml", "--json"]))["b"].0.clone();
    fs::remove_file(b.join("o")).unwrap();
    fs::write(b.join("o"), "jello\n").unwrap();
    fs::write(bench.path("cache/v1/locks").join("ab".repeat(32)), "torn").unwrap();
    fs::write(bench.path("cache/v1/artifacts/stray"), "").unwrap();
    fs::write(bench.path("cache/v1/memo"), "apeft memo 1\ntorn").unwrap();
    fs::write(bench.path("cache/CACHEDIR.TAG"), "").unwrap();
}

/// A tuning killed at about its fourth checkpoint.
fn leave_half_a_tuning(bench: &Bench, striker: &Striker) {
    let data = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/trl");
    let (model, pairs) = (data.join("model"), data.join("pairs.jsonl"));
    let recipe = format!(
        "name = \"bench\"\nseeds = [0]\n[stage.tuned]\nkind = \"tune\"\nmodel = {{ path = \
        {model:?} }}\npairs = {{ path = {pairs:?} }}\nnum_train_epochs = 1\nbatch_size = \
        8\ncheckpoint_seconds = 0.0\n"
    );
    fs::write(bench.path("recipe.toml"), recipe).unwrap();
    let whole = bench.copy();
    striker.strike(&whole, "$APEFT run recipe.toml", 0, "count");
    let calls = fs::read_to_string(whole.path("calls")).unwrap();
    let third = calls
        .lines()
        .position(|line| line.ends_with("seal-3.json"))
        .expect("it made no three checkpoints");
    striker.strike(bench, "$APEFT run recipe.toml", third + 1, "killall");
    let work = fs::read_dir(bench.path("cache/v1/work"))
        .unwrap()
        .next()
        .expect("it was killed too early")
        .unwrap();
    let left = contents(&work.path().join("checkpoint")).into_keys();
    assert!(
        left.into_iter().any(|name| name.to_string_lossy().starts_with("seal-")),
        "there is no checkpoint to go on from"
    );
}

impl Bench {
    fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap() }
    }

    fn copy(&self) -> Self {
        let copy = Self::new();
        let from = self.path(".");
        let copied =
            Command::new("cp").arg("-a").arg(from).arg(copy.folder.path()).status().unwrap();
        assert!(copied.success());
        copy
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// How many calls of each name the injector has logged.
    fn counted(&self) -> String {
        let mut counts: BTreeMap<String, usize> = BTreeMap::new();
        for line in fs::read_to_string(self.path("calls")).unwrap().lines() {
            let name = line.split(' ').nth(1).unwrap_or_default();
            *counts.entry(name.to_owned()).or_default() += 1;
        }
        let counts = counts.into_iter().map(|(name, count)| format!("{count} {name}"));
        counts.collect::<Vec<_>>().join(", ")
    }

    fn command(&self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        let mut command = Command::new(program);
        command.current_dir(self.folder.path()).env_remove("APEFT_CACHE").env_remove("RUST_LOG");
        command
            .env("APEFT", env!("CARGO_BIN_EXE_apeft"))
            .env("RAYON_NUM_THREADS", "2")
            .stdin(Stdio::null());
        command
    }

    fn call(&self, arguments: &[&str]) -> Output {
        self.command(env!("CARGO_BIN_EXE_apeft")).args(arguments).output().unwrap()
    }

    fn succeed(&self, arguments: &[&str]) -> Output {
        let output = self.call(arguments);
        assert!(output.status.success(), "{arguments:?}: {}", words(&output));
        output
    }

    /// Folder and contents of each stage's artifact of a run.
    fn artifacts(&self, run: &Output) -> BTreeMap<String, (PathBuf, BTreeMap<PathBuf, Vec<u8>>)> {
        let outcome: Value = serde_json::from_slice(&run.stdout).unwrap();
        let stages = outcome["stages"].as_array().unwrap().iter();
        let artifact = |stage: &Value| PathBuf::from(stage["artifact"].as_str().unwrap());
        let named = |stage: &Value| stage["name"].as_str().unwrap().to_owned();
        stages.map(|stage| (named(stage), (artifact(stage), contents(&artifact(stage))))).collect()
    }

    /// Contents of each stage's artifact of an undisturbed run.
    fn bytes(&self) -> BTreeMap<String, BTreeMap<PathBuf, Vec<u8>>> {
        let ran = self.succeed(&["run", "recipe.toml", "--json"]);
        self.artifacts(&ran).into_iter().map(|(stage, (_, bytes))| (stage, bytes)).collect()
    }
}

/// Names below a folder, and contents of the files.
fn contents(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(folder).unwrap() {
        let (path, name) =
            entry.map(|entry| (entry.path(), PathBuf::from(entry.file_name()))).unwrap();
        if path.is_dir() {
            found.extend(
                contents(&path).into_iter().map(|(below, bytes)| (name.join(below), bytes)),
            );
        } else {
            found.insert(name, fs::read(path).unwrap());
        }
    }
    found
}

fn words(output: &Output) -> String {
    format!("{:?}: {}", output.status, said::words(output))
}

impl Striker {
    /// Builds the injector and tests it; returns why it does not work.
    fn build() -> Result<Self, String> {
        let striker = Self { folder: tempfile::tempdir().unwrap() };
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/faults/strike.c");
        let mut compiler = Command::new("cc");
        let built = compiler
            .args(["-O2", "-Wall", "-Wextra", "-Werror", "-o"])
            .arg(striker.tool())
            .arg(source)
            .output();
        let built = built.map_err(|error| format!("there is no C compiler `cc`: {error}"))?;
        if !built.status.success() {
            return Err(format!("the tool cannot be built here: {}", words(&built)));
        }
        let bench = Bench::new();
        let tried = striker.strike(&bench, "$APEFT schema > schema", 0, "count");
        if tried.status.success() && striker.calls(&bench) > 0 {
            Ok(striker)
        } else {
            Err(format!("processes cannot be traced here: {}", words(&tried)))
        }
    }

    /// The injector, or none with a message; with APEFT_FAULTS it must work.
    fn get() -> Option<Self> {
        match Self::build() {
            Ok(striker) => Some(striker),
            Err(why) if std::env::var_os("APEFT_FAULTS").is_none() => {
                eprintln!("skipped, no faults are tried: {why}");
                None
            }
            Err(why) => panic!("{why}"),
        }
    }

    fn tool(&self) -> PathBuf {
        self.folder.path().join("strike")
    }

    /// Runs a shell line with a fault at one of its calls, counted from 1.
    fn strike(&self, bench: &Bench, line: &str, at: usize, action: &str) -> Output {
        let mut command = bench.command(self.tool());
        command.arg(at.to_string()).arg(action).arg(bench.path("calls")).args(["sh", "-c", line]);
        command.output().unwrap()
    }

    /// Number of calls of the last command in a folder.
    fn calls(&self, bench: &Bench) -> usize {
        fs::read_to_string(bench.path("calls")).unwrap().lines().count()
    }
}

impl Scenario {
    /// Injects faults into the command and checks the result of each.
    fn walk(&self, striker: &Striker) {
        let before = Bench::new();
        (self.prepare)(&before, striker);
        let expected = before.copy().bytes();
        let whole = before.copy();
        let clean = striker.strike(&whole, self.command, 0, "count");
        assert!(clean.status.success(), "{}: {}", self.name, words(&clean));
        let strikes = self.choose(striker.calls(&whole));
        let next = AtomicUsize::new(0);
        let workers = std::thread::available_parallelism().map_or(1, usize::from);
        std::thread::scope(|scope| {
            for _ in 0..workers {
                scope.spawn(|| {
                    while let Some((at, action)) = strikes.get(next.fetch_add(1, Ordering::Relaxed))
                    {
                        self.strike(striker, &before, *at, action, &expected);
                    }
                });
            }
        });
        let counted = whole.counted();
        eprintln!(
            "{}: {} strikes at {} calls: {counted}",
            self.name,
            strikes.len(),
            striker.calls(&whole)
        );
    }

    /// Tested calls and faults: all of them, or some of each part of the command.
    fn choose(&self, calls: usize) -> Vec<(usize, &'static str)> {
        if std::env::var("APEFT_FAULTS").is_ok_and(|which| which == "all" || which == self.name) {
            return (1..=calls).flat_map(|at| ACTIONS.map(|action| (at, action))).collect();
        }
        let mut chance = Seed::root(0).split(self.name).stream();
        let part = calls.div_ceil(SAMPLE).max(1);
        let places = (0..calls).step_by(part).map(|first| first + 1 + chance.below(part));
        places.enumerate().map(|(index, at)| (at, ACTIONS[index % ACTIONS.len()])).collect()
    }

    fn strike(
        &self,
        striker: &Striker,
        before: &Bench,
        at: usize,
        action: &str,
        expected: &BTreeMap<String, BTreeMap<PathBuf, Vec<u8>>>,
    ) {
        let bench = before.copy();
        let struck = striker.strike(&bench, self.command, at, action);
        let calls = fs::read_to_string(bench.path("calls")).unwrap_or_default();
        let call = calls.lines().find(|line| line.ends_with("<- struck")).unwrap_or("no call");
        let story = format!("{}, {action} at {at} ({call}): {}", self.name, words(&struck));
        assert_ne!(struck.status.code(), Some(101), "{story}");
        assert!(!story.contains("panicked") && !story.contains("internal error"), "{story}");
        if !self.then.is_empty() {
            let next = bench.call(self.then);
            assert!(next.status.success(), "{story}\nand then {:?}: {}", self.then, words(&next));
        }
        let run = bench.call(&["run", "recipe.toml", "--json"]);
        assert!(run.status.success(), "{story}\nand then a run: {}", words(&run));
        let found: BTreeMap<_, _> =
            bench.artifacts(&run).into_iter().map(|(stage, (_, bytes))| (stage, bytes)).collect();
        assert!(found == *expected, "other bytes: {story}");
        let verified = bench.call(&["cache", "verify"]);
        assert!(verified.status.success(), "{story}\nand then a look: {}", words(&verified));
    }
}

#[test]
fn a_fault_anywhere_leaves_a_whole_store_and_the_right_bytes() {
    let Some(striker) = Striker::get() else { return };
    let which = std::env::var("APEFT_FAULTS").unwrap_or_else(|_| "all".to_owned());
    let chosen = SCENARIOS.iter().filter(|scenario| which == "all" || which == scenario.name);
    let walked = chosen.map(|scenario| scenario.walk(&striker)).count();
    assert!(walked > 0, "APEFT_FAULTS is neither `all` nor a scenario: {which}");
}

/// Simulates a temporarily unavailable network disk.
#[test]
fn what_cannot_be_read_is_no_damage() {
    let Some(striker) = Striker::get() else { return };
    let bench = Bench::new();
    write_chain(&bench, &striker);
    let expected = bench.bytes();
    // Otherwise the contents would not be read at all.
    let _ = fs::remove_file(bench.path("cache/v1/memo"));
    for part in ["/manifest.json", "/files/o"] {
        for line in
            ["$APEFT run recipe.toml", "$APEFT cache verify --repair", "$APEFT plan recipe.toml"]
        {
            let mut command = bench.command(striker.tool());
            command
                .args(["1", "EIO"])
                .arg(bench.path("calls"))
                .args(["sh", "-c", line])
                .env("STRIKE_OPEN", part);
            let said = command.output().unwrap();
            let expected = if line.contains("run") {
                1
            } else if line.contains("verify") {
                3
            } else {
                0
            };
            assert_eq!(said.status.code(), Some(expected), "{line}, {part}: {}", words(&said));
            assert!(
                words(&said).contains("Input/output error"),
                "{line}, {part}: {}",
                words(&said)
            );
            assert_eq!(
                fs::read_dir(bench.path("cache/v1/damaged")).unwrap().count(),
                0,
                "{line}, {part}"
            );
        }
    }
    let ran = bench.succeed(&["run", "recipe.toml", "--json"]);
    let outcome: Value = serde_json::from_slice(&ran.stdout).unwrap();
    assert_eq!(outcome["cached"], 2, "{}", words(&ran));
    assert_eq!(bench.bytes(), expected);
}
