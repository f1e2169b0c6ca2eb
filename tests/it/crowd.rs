//! Eight runs on one store, with kills, collections and checks beside them: each key is made once,
//! nothing that is needed is removed, and no process is left.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
    sync::atomic::{AtomicUsize, Ordering},
    thread,
    time::{Duration, Instant},
};

use apeft::{
    schedule::{event::RunEvent, journal},
    seed::{Seed, Stream},
};
use serde_json::Value;

use crate::said;

const RUNS: usize = 8;
/// Kills of each run, few enough that `cache gc` keeps what the killed ones named.
const KILLS: usize = 2;
const MARK: &str = "APEFT_CROWD_MARK";

/// A store, and a folder of its own for each run.
struct Bench {
    folder: tempfile::TempDir,
    /// Kind of its locks.
    locks: &'static str,
}

/// A root, stages that read it, and one that reads all of these.
fn recipe() -> String {
    let stage = |name: &str, inputs: &str| {
        format!(
            "[stage.{name}]\nkind = \"command\"\nprogram = \"sh\"\narguments = [\"-c\", \"sleep \
            0.05; echo {name} > o\"]\noutputs = [\"o\"]\ninputs = [{inputs}]\n"
        )
    };
    let middle: Vec<String> = (0..12).map(|number| format!("m{number}")).collect();
    let all = middle.iter().map(|name| format!("\"{name}\"")).collect::<Vec<_>>().join(", ");
    let middle: String = middle.iter().map(|name| stage(name, "\"root\"")).collect();
    ["name = \"r\"\n", &stage("root", ""), &middle, &stage("last", &all)].concat()
}

impl Bench {
    fn new(locks: &'static str) -> Self {
        let bench = Self { folder: tempfile::tempdir().unwrap(), locks };
        for run in 0..RUNS {
            fs::create_dir(bench.home(run)).unwrap();
            fs::write(bench.home(run).join("r.toml"), recipe()).unwrap();
        }
        bench
    }

    fn home(&self, run: usize) -> PathBuf {
        self.folder.path().join(run.to_string())
    }

    fn command(&self, run: usize, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_apeft"));
        command.args(arguments).current_dir(self.home(run)).env_remove("RUST_LOG");
        command.env("APEFT_CACHE", self.folder.path().join("store"));
        command.env(MARK, self.folder.path()).env("APEFT_LOCKS", self.locks).stdin(Stdio::null());
        command
    }

    fn call(&self, run: usize, arguments: &[&str]) -> Output {
        self.command(run, arguments).output().unwrap()
    }

    /// Runs the recipe, kills it some times on the way, and returns the outcome of the last time.
    fn run(&self, run: usize, chance: &mut Stream) -> Value {
        for _ in 0..KILLS {
            let mut command = self.command(run, &["run", "r.toml", "-j2"]);
            let mut running = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
            thread::sleep(Duration::from_millis(20 + chance.below(300) as u64));
            let _ = running.kill();
            running.wait().unwrap();
        }
        let ran = self.call(run, &["run", "r.toml", "-j2", "--json"]);
        assert!(ran.status.success(), "run {run}: {}", said::words(&ran));
        said::json(&ran)
    }

    /// Command lines of living processes with the mark.
    fn processes(&self) -> Vec<String> {
        let mark = format!("{MARK}={}", self.folder.path().display());
        let folders = fs::read_dir("/proc").unwrap().flatten().map(|entry| entry.path());
        let carries = |folder: &PathBuf| {
            let variables = fs::read(folder.join("environ")).unwrap_or_default();
            variables.split(|byte| *byte == 0).any(|variable| variable == mark.as_bytes())
        };
        let marked = folders.filter(carries);
        marked.filter_map(|folder| fs::read_to_string(folder.join("cmdline")).ok()).collect()
    }

    /// How often the journals of all runs say that a key was made.
    fn made(&self) -> BTreeMap<String, usize> {
        let mut made = BTreeMap::new();
        for recorded in (0..RUNS).flat_map(|run| journal::runs(&self.home(run).join("experiments")))
        {
            for timed in journal::read(&recorded.folder).unwrap() {
                if let RunEvent::StageFinished { key, .. } = timed.event {
                    *made.entry(key).or_default() += 1;
                }
            }
        }
        made
    }
}

/// Collects and checks the store until all runs have ended; returns how often.
fn disturb(bench: &Bench, ended: &AtomicUsize) -> usize {
    let mut count = 0;
    while ended.load(Ordering::Relaxed) < RUNS {
        for arguments in [&["cache", "gc"][..], &["cache", "verify"]] {
            let said = bench.call(count % RUNS, arguments);
            // Before the first run there is no store, and no folder of runs.
            let is_early = ["no run is recorded", "there is no store"]
                .iter()
                .any(|words| said::words(&said).contains(words));
            assert!(said.status.success() || is_early, "{arguments:?}: {}", said::words(&said));
        }
        count += 1;
    }
    count
}

fn contents(outcome: &Value) -> BTreeMap<String, String> {
    let stages = outcome["stages"].as_array().unwrap().iter();
    let text = |stage: &Value| {
        let folder = Path::new(stage["artifact"].as_str().unwrap());
        fs::read_to_string(folder.join("o")).unwrap()
    };
    stages.map(|stage| (stage["name"].as_str().unwrap().to_owned(), text(stage))).collect()
}

#[test]
fn a_crowd_on_one_store_makes_each_key_once_and_loses_nothing() {
    crowd("flock");
}

#[test]
fn a_crowd_on_a_store_with_leases_makes_each_key_once_and_loses_nothing() {
    crowd("lease");
}

fn crowd(locks: &'static str) {
    let bench = Bench::new(locks);
    let ended = AtomicUsize::new(0);
    let (outcomes, disturbed) = thread::scope(|scope| {
        let runs: Vec<_> = (0..RUNS)
            .map(|run| {
                let (bench, ended) = (&bench, &ended);
                scope.spawn(move || {
                    let mut chance = Seed::root(0).split(&format!("crowd {run}")).stream();
                    let outcome = std::panic::catch_unwind(move || bench.run(run, &mut chance));
                    ended.fetch_add(1, Ordering::Relaxed);
                    outcome.unwrap_or_else(|words| std::panic::resume_unwind(words))
                })
            })
            .collect();
        let disturbed = disturb(&bench, &ended);
        (runs.into_iter().map(|run| run.join().unwrap()).collect::<Vec<_>>(), disturbed)
    });
    assert!(disturbed > 0);
    let began = Instant::now();
    while !bench.processes().is_empty() {
        assert!(began.elapsed() < Duration::from_secs(10), "left: {:?}", bench.processes());
        thread::sleep(Duration::from_millis(20));
    }
    for outcome in &outcomes {
        let expected = outcome["stages"].as_array().unwrap().iter().map(|stage| {
            let name = stage["name"].as_str().unwrap().to_owned();
            (name.clone(), format!("{name}\n"))
        });
        assert_eq!(contents(outcome), expected.collect());
    }
    let made = bench.made();
    assert!(made.values().all(|times| *times == 1), "{made:?}");
    let verified = bench.call(0, &["cache", "verify"]);
    assert!(verified.status.success(), "{}", said::words(&verified));
    assert_eq!(fs::read_dir(bench.folder.path().join("store/v1/damaged")).unwrap().count(), 0);
    let store = bench.folder.path().join("store/v1");
    assert!(fs::read_dir(store.join("locks")).unwrap().flatten().all(|left| {
        // Killed just then; the next collection removes it.
        left.file_name().to_string_lossy().starts_with(".new-")
    }));
    eprintln!("{} keys made once, beside {disturbed} collections and checks", made.len());
}
