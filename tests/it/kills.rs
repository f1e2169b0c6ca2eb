//! The smoke recipe under kills, other thread counts, damage and edits.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
    time::{Duration, Instant},
};

use apeft::seed::{Seed, Stream};
use rustix::process::{Pid, Signal};
use serde_json::Value;

use crate::said;

const KILLS: usize = 50;
const MARK: &str = "APEFT_TEST_MARK";

/// A store, a folder for runs and one for temporary files.
struct Bench {
    folder: tempfile::TempDir,
}

/// Result of a command.
struct Said {
    status: Option<i32>,
    json: Value,
    words: String,
}

/// Makes read-only files writable, to damage a store.
fn overwrite(file: &Path, bytes: impl AsRef<[u8]>) {
    if let Ok(metadata) = fs::metadata(file) {
        let mode = metadata.permissions().mode() | 0o200;
        fs::set_permissions(file, fs::Permissions::from_mode(mode)).unwrap();
    }
    fs::write(file, bytes).unwrap();
}

fn recipes() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("recipes")
}

fn chance(name: &str) -> Stream {
    Seed::root(0).split(name).stream()
}

impl Bench {
    fn new() -> Self {
        let bench = Self { folder: tempfile::tempdir().unwrap() };
        fs::create_dir(bench.path("tmp")).unwrap();
        bench
    }

    /// A complete, undisturbed store.
    fn finished() -> Self {
        let bench = Self::new();
        let ran = bench.run(&[]);
        assert_eq!((ran.status, ran.executed().len()), (Some(0), 106), "{}", ran.words);
        bench
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// A command whose processes and their descendants carry a mark in the environment.
    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_apeft"));
        command.args(arguments).current_dir(self.folder.path()).env_remove("RUST_LOG");
        command.env("APEFT_CACHE", self.path("cache")).env("TMPDIR", self.path("tmp"));
        command.env(MARK, self.folder.path()).stdin(Stdio::null());
        command
    }

    fn call(&self, arguments: &[&str]) -> Said {
        Said::new(self.command(arguments).output().unwrap())
    }

    fn run_command(&self, arguments: &[&str]) -> Command {
        let recipe = recipes().join("smoke.toml");
        self.command(&[&["run", recipe.to_str().unwrap(), "--json"], arguments].concat())
    }

    fn run(&self, arguments: &[&str]) -> Said {
        Said::new(self.run_command(arguments).output().unwrap())
    }

    /// All files of all artifacts by path.
    fn artifacts(&self) -> BTreeMap<PathBuf, Vec<u8>> {
        let root = self.path("cache/v1/artifacts");
        files_below(&root)
            .into_iter()
            .map(|path| (path.strip_prefix(&root).unwrap().to_owned(), read(&path)))
            .collect()
    }

    /// Process and parent ids of all marked processes.
    fn processes(&self) -> Vec<(i32, i32)> {
        let mark = format!("{MARK}={}", self.folder.path().display());
        let carries = |process: &i32| {
            let variables = fs::read(format!("/proc/{process}/environ")).unwrap_or_default();
            variables.split(|byte| *byte == 0).any(|variable| variable == mark.as_bytes())
        };
        let names = fs::read_dir("/proc")
            .unwrap()
            .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
        let marked = names.filter(carries);
        marked.filter_map(|process| Some((process, parent(process)?))).collect()
    }

    fn assert_nothing_runs(&self) {
        let began = Instant::now();
        loop {
            let left = self.processes();
            if left.is_empty() {
                return;
            }
            assert!(began.elapsed() < Duration::from_secs(10), "these live on: {left:?}");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    fn assert_whole(&self) {
        if self.path("cache").exists() {
            let verified = self.call(&["cache", "verify"]);
            assert_eq!(verified.status, Some(0), "{}", verified.words);
        }
    }
}

impl Said {
    fn new(output: Output) -> Self {
        Self {
            status: output.status.code(),
            json: said::json(&output),
            words: said::words(&output),
        }
    }

    fn executed(&self) -> BTreeSet<&str> {
        let stages = self.json["stages"].as_array().unwrap_or_else(|| panic!("{}", self.words));
        let ran = stages.iter().filter(|stage| stage["outcome"] == "ran");
        ran.map(|stage| stage["name"].as_str().unwrap()).collect()
    }
}

/// Parent of a process that is no zombie.
fn parent(process: i32) -> Option<i32> {
    let stat = fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
    let (_, rest) = stat.rsplit_once(") ")?;
    let mut fields = rest.split(' ');
    (fields.next()? != "Z").then_some(())?;
    fields.next()?.parse().ok()
}

fn read(path: &Path) -> Vec<u8> {
    fs::read(path).unwrap()
}

fn files_below(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { found.extend(files_below(&path)) } else { found.push(path) }
    }
    found.sort();
    found
}

fn assert_same(found: &BTreeMap<PathBuf, Vec<u8>>, expected: &BTreeMap<PathBuf, Vec<u8>>) {
    let names: BTreeSet<&PathBuf> = found.keys().chain(expected.keys()).collect();
    let different: Vec<_> =
        names.into_iter().filter(|name| found.get(*name) != expected.get(*name)).collect();
    assert!(different.is_empty(), "these differ: {different:#?}");
}

/// Kills the coordinator or one of its children; returns whether there was one.
fn kill(bench: &Bench, run: &mut std::process::Child, child: bool, chance: &mut Stream) -> bool {
    let pid = run.id() as i32;
    if child {
        let children: Vec<i32> = bench
            .processes()
            .into_iter()
            .filter(|(_, parent)| *parent == pid)
            .map(|(process, _)| process)
            .collect();
        if children.is_empty() {
            return false;
        }
        let chosen = children[chance.below(children.len())];
        return rustix::process::kill_process(Pid::from_raw(chosen).unwrap(), Signal::KILL).is_ok();
    }
    run.try_wait().unwrap().is_none() && run.kill().is_ok()
}

/// Removes half of all artifacts.
fn remove_half(bench: &Bench, chance: &mut Stream) {
    for shelf in fs::read_dir(bench.path("cache/v1/artifacts")).unwrap() {
        for artifact in fs::read_dir(shelf.unwrap().path()).unwrap() {
            if chance.below(2) == 0 {
                fs::remove_dir_all(artifact.unwrap().path()).unwrap();
            }
        }
    }
}

#[test]
fn kills_at_any_time_leave_the_same_bytes() {
    let expected = Bench::finished().artifacts();
    let killed = Bench::new();
    let mut chance = chance("kills");
    let (mut kills, mut rounds) = ([0, 0], 0);
    while kills[0] + kills[1] < KILLS {
        rounds += 1;
        assert!(rounds < 4 * KILLS, "{kills:?} kills in {rounds} rounds");
        let seconds = ["0", "0.05", "0.3"][chance.below(3)];
        let set = |stage: &str| format!("stage.{stage}.checkpoint_seconds={seconds}");
        let (base, tuned) = (set("base"), set("tuned"));
        let command =
            &mut killed.run_command(&["--set", &base, "--set", &tuned, "-j", "2", "--keep-going"]);
        let mut run = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let end = Instant::now() + Duration::from_millis(30 + chance.below(670) as u64);
        let child = kills[1] < kills[0];
        while run.try_wait().unwrap().is_none() {
            if Instant::now() >= end && kill(&killed, &mut run, child, &mut chance) {
                kills[usize::from(child)] += 1;
                break;
            }
            std::thread::sleep(Duration::from_millis(2));
        }
        let said = Said::new(run.wait_with_output().unwrap());
        assert!(matches!(said.status, None | Some(0 | 1)), "{:?}: {}", said.status, said.words);
        killed.assert_nothing_runs();
        killed.assert_whole();
        if said.status == Some(0) {
            assert_same(&killed.artifacts(), &expected);
            remove_half(&killed, &mut chance);
        }
    }
    let last = killed.run(&[]);
    assert_eq!(last.status, Some(0), "{}", last.words);
    assert_same(&killed.artifacts(), &expected);
    killed.assert_nothing_runs();
    for lock in fs::read_dir(killed.path("cache/v1/locks")).unwrap() {
        let path = lock.unwrap().path();
        assert!(fs::File::open(&path).unwrap().try_lock().is_ok(), "{} is held", path.display());
    }
    assert_eq!(files_below(&killed.path("cache/v1/damaged")), Vec::<PathBuf>::new());
    assert_eq!(files_below(&killed.path("tmp")), Vec::<PathBuf>::new());
    assert_eq!(killed.call(&["cache", "gc"]).status, Some(0));
    assert_eq!(files_below(&killed.path("cache/v1/work")), Vec::<PathBuf>::new());
    assert_eq!(files_below(&killed.path("cache/v1/locks")), Vec::<PathBuf>::new());
    assert_same(&killed.artifacts(), &expected);
    eprintln!("{kills:?} kills in {rounds} rounds");
}

#[test]
fn threads_and_batches_do_not_matter() {
    let mut expected = None;
    for (threads, jobs, batch) in [("1", "1", "1"), ("2", "4", "64"), ("3", "2", "7")] {
        let bench = Bench::new();
        let (answers, evaluations) = (
            format!("stage.responses.batch_size={batch}"),
            format!("defaults.evaluate.batch_size={batch}"),
        );
        let output = bench
            .run_command(&["-j", jobs, "--set", &answers, "--set", &evaluations])
            .env("RAYON_NUM_THREADS", threads)
            .output()
            .unwrap();
        let ran = Said::new(output);
        assert_eq!((ran.status, ran.executed().len()), (Some(0), 106), "{}", ran.words);
        let artifacts = bench.artifacts();
        assert_same(&artifacts, expected.get_or_insert_with(|| artifacts.clone()));
    }
}

/// A file's bytes with one bit flipped, or truncated.
fn damaged(good: &[u8], cut: bool, chance: &mut Stream) -> Vec<u8> {
    let at = chance.below(good.len());
    if cut {
        return good[..at].to_vec();
    }
    let mut bad = good.to_vec();
    bad[at] ^= 1 << chance.below(8);
    bad
}

/// Files written by the store itself, except empty ones and link targets.
fn own_files(bench: &Bench) -> Vec<PathBuf> {
    let own = |path: &PathBuf| {
        fs::symlink_metadata(path).is_ok_and(|found| found.is_file() && found.len() > 0)
    };
    files_below(&bench.path("cache")).into_iter().filter(own).collect()
}

/// Folder of the artifact that a file belongs to.
fn artifact_of(bench: &Bench, file: &Path) -> Option<PathBuf> {
    let inside = file.strip_prefix(bench.path("cache/v1/artifacts")).ok()?;
    Some(bench.path("cache/v1/artifacts").join(inside.iter().take(2).collect::<PathBuf>()))
}

#[test]
fn every_damaged_file_is_found_and_never_served() {
    let bench = Bench::finished();
    let expected = bench.artifacts();
    let files = own_files(&bench);
    assert!(files.len() > 150, "{}", files.len());
    let mut chance = chance("damage");
    for cut in [false, true] {
        for file in &files {
            let good = read(file);
            overwrite(file, damaged(&good, cut, &mut chance));
            let verified = bench.call(&["cache", "verify", "--json"]);
            overwrite(file, good);
            assert_eq!(
                verified.status,
                Some(3),
                "{}, cut: {cut}: {}",
                file.display(),
                verified.words
            );
            assert_eq!(
                verified.json["problems"].as_array().unwrap().len(),
                1,
                "{}",
                verified.words
            );
            let folder = artifact_of(&bench, file).unwrap_or_else(|| file.clone());
            assert_eq!(verified.json["problems"][0]["path"], folder.to_str().unwrap());
            let name = file.strip_prefix(&folder).unwrap().to_str().unwrap();
            let problem = verified.json["problems"][0]["problem"].as_str().unwrap();
            assert!(problem.contains(name), "{name}: {problem}");
        }
    }
    bench.assert_whole();

    // One file of each name, changed in place, where the memo knows the old digest.
    let mut shuffled = files;
    chance.shuffle(&mut shuffled);
    let samples: BTreeMap<_, _> =
        shuffled.iter().map(|path| (path.file_name().unwrap(), path)).collect();
    assert!(samples.len() > 15, "{samples:?}");
    for (count, file) in samples.into_values().enumerate() {
        let good = read(file);
        overwrite(file, damaged(&good, count % 2 == 0, &mut chance));
        let ran = bench.run(&[]);
        assert_eq!(ran.status, Some(0), "{}", ran.words);
        let executed = if artifact_of(&bench, file).is_some() {
            assert!(ran.words.contains("was damaged"), "{}: {}", file.display(), ran.words);
            1
        } else {
            overwrite(file, good);
            0
        };
        assert_eq!(ran.executed().len(), executed, "{}: {}", file.display(), ran.words);
        assert_same(&bench.artifacts(), &expected);
        assert_eq!(bench.run(&[]).executed().len(), 0, "{}", file.display());
    }
}

/// Copies a folder of ordinary files.
fn copy(from: &Path, to: &Path) {
    for path in files_below(from) {
        let target = to.join(path.strip_prefix(from).unwrap());
        fs::create_dir_all(target.parent().unwrap()).unwrap();
        fs::copy(&path, target).unwrap();
    }
}

#[test]
fn a_damaged_checkpoint_is_not_resumed() {
    const UNTIL: [&str; 4] =
        ["--until", "base@seed=0", "--set", "stage.base.checkpoint_seconds=0.02"];
    let (clean, half) = (Bench::new(), Bench::new());
    assert_eq!(clean.run(&UNTIL).status, Some(0));
    let expected = clean.artifacts();
    let mut run =
        half.run_command(&UNTIL).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let work = half.path("cache/v1/work");
    // Files come and go during the search.
    let is_there = || {
        let folders = fs::read_dir(&work).into_iter().flatten().flatten();
        folders.map(|folder| folder.path().join("checkpoint/seal-3.json")).any(|path| path.exists())
    };
    while !is_there() {
        assert!(run.try_wait().unwrap().is_none(), "it ended before its third checkpoint");
        std::thread::sleep(Duration::from_millis(1));
    }
    run.kill().unwrap();
    run.wait().unwrap();
    half.assert_nothing_runs();
    let checkpoint = |path: &PathBuf| path.parent().unwrap().ends_with("checkpoint");
    let files: Vec<PathBuf> = files_below(&work).into_iter().filter(checkpoint).collect();
    assert!(files.len() >= 9, "{files:?}");
    let mut chance = chance("checkpoint");
    let mut warned = 0;
    for (count, file) in files.iter().enumerate() {
        let bench = Bench::new();
        copy(&half.path("cache"), &bench.path("cache"));
        let good = read(file);
        if !good.is_empty() {
            let inside = file.strip_prefix(half.folder.path()).unwrap();
            fs::write(bench.path("").join(inside), damaged(&good, count % 2 == 0, &mut chance))
                .unwrap();
        }
        let ran = bench.run(&UNTIL);
        assert_eq!(ran.status, Some(0), "{}: {}", file.display(), ran.words);
        assert_same(&bench.artifacts(), &expected);
        warned += usize::from(ran.words.contains("do not match their seals"));
    }
    // Older checkpoints than the newest valid one do not matter.
    assert!((1..files.len()).contains(&warned), "{warned} of {}", files.len());
}

#[test]
fn a_changed_number_runs_exactly_what_follows() {
    let bench = Bench::finished();
    let smoke = recipes().join("smoke.toml");
    let plan = bench.call(&[
        "plan",
        smoke.to_str().unwrap(),
        "--json",
        "--set",
        "stage.tuned.ld_alpha=0.0",
    ]);
    let planned = |state: &str| -> BTreeMap<String, String> {
        let stages =
            plan.json["stages"].as_array().unwrap().iter().filter(|stage| stage["state"] == state);
        stages.map(|stage| (text(&stage["name"]), text(&stage["reason"]))).collect()
    };
    let ready = planned("ready");
    assert_eq!(ready.keys().collect::<Vec<_>>(), [TUNED[0], TUNED[1], TUNED[2], TUNED[3]]);
    assert!(ready.values().all(|reason| reason == "`ld_alpha` 1.0 -> 0.0"), "{ready:?}");
    assert_eq!(planned("cached").len(), 109 - 4 - 56);

    // Without a preference term all tokens count as before: the tuned model is the same, and its
    // consumers are cached.
    let changed = bench.run(&["--set", "stage.tuned.ld_alpha=0.0"]);
    assert_eq!(changed.status, Some(0), "{}", changed.words);
    let mut expected = BTreeSet::from(TUNED);
    expected.extend(AFTER);
    expected.extend(SHIFTED);
    expected.extend(["comparison", "counted", "diagnosis"]);
    assert_eq!(changed.executed(), expected);
    assert_eq!(bench.run(&[]).executed(), BTreeSet::new());

    let rewritten = bench.path("elsewhere.toml");
    fs::write(&rewritten, rearranged(&fs::read_to_string(&smoke).unwrap())).unwrap();
    let ran = bench.call(&["run", "elsewhere.toml", "--json"]);
    assert_eq!((ran.status, ran.executed()), (Some(0), BTreeSet::new()), "{}", ran.words);
    assert_eq!(ran.json["cached"], 108);
}

const TUNED: [&str; 4] = [
    "tuned@preferences=general+atomic,algorithm=dpo,seed=0",
    "tuned@preferences=general+atomic,algorithm=dpo,seed=1",
    "tuned@preferences=general+atomic,algorithm=sft,seed=0",
    "tuned@preferences=general+atomic,algorithm=sft,seed=1",
];

const AFTER: [&str; 24] = [
    "after/answers@preferences=general+atomic,algorithm=dpo,seed=0",
    "after/answers@preferences=general+atomic,algorithm=dpo,seed=1",
    "after/claims@preferences=general+atomic,algorithm=dpo,seed=0",
    "after/claims@preferences=general+atomic,algorithm=dpo,seed=1",
    "after/verdicts@preferences=general+atomic,algorithm=dpo,seed=0",
    "after/verdicts@preferences=general+atomic,algorithm=dpo,seed=1",
    "after@preferences=general+atomic,algorithm=dpo,seed=0",
    "after@preferences=general+atomic,algorithm=dpo,seed=1",
    "greedy/answers@preferences=general+atomic,algorithm=dpo,seed=0",
    "greedy/answers@preferences=general+atomic,algorithm=dpo,seed=1",
    "greedy/claims@preferences=general+atomic,algorithm=dpo,seed=0",
    "greedy/claims@preferences=general+atomic,algorithm=dpo,seed=1",
    "greedy/verdicts@preferences=general+atomic,algorithm=dpo,seed=0",
    "greedy/verdicts@preferences=general+atomic,algorithm=dpo,seed=1",
    "greedy@preferences=general+atomic,algorithm=dpo,seed=0",
    "greedy@preferences=general+atomic,algorithm=dpo,seed=1",
    "knows/answers@preferences=general+atomic,algorithm=dpo,seed=0",
    "knows/answers@preferences=general+atomic,algorithm=dpo,seed=1",
    "knows/claims@preferences=general+atomic,algorithm=dpo,seed=0",
    "knows/claims@preferences=general+atomic,algorithm=dpo,seed=1",
    "knows/verdicts@preferences=general+atomic,algorithm=dpo,seed=0",
    "knows/verdicts@preferences=general+atomic,algorithm=dpo,seed=1",
    "knows@preferences=general+atomic,algorithm=dpo,seed=0",
    "knows@preferences=general+atomic,algorithm=dpo,seed=1",
];

const SHIFTED: [&str; 2] = [
    "shift@preferences=general+atomic,algorithm=dpo,seed=0",
    "shift@preferences=general+atomic,algorithm=dpo,seed=1",
];

fn text(value: &Value) -> String {
    value.as_str().unwrap().to_owned()
}

/// The same recipe with sorted keys, another name, comments and other resources.
fn rearranged(recipe: &str) -> String {
    let recipes = recipes();
    let mut table: toml::Table = toml::from_str(recipe).unwrap();
    table.insert("name".to_owned(), "another".into());
    table.insert("extends".to_owned(), recipes.join("quickstart.toml").to_str().unwrap().into());
    for (_, stage) in table["stage"].as_table_mut().unwrap() {
        let stage = stage.as_table_mut().unwrap();
        stage.insert(
            "resources".to_owned(),
            toml::Table::from_iter([("cpus".to_owned(), 2.into())]).into(),
        );
        stage.insert("retries".to_owned(), 3.into());
        if stage.contains_key("path") {
            let model = recipes.join("../tests/data/tiny-llama");
            stage.insert("path".to_owned(), model.to_str().unwrap().into());
        }
    }
    let lines = toml::to_string(&table).unwrap();
    lines.lines().map(|line| format!("# a comment\n{line}  # another\n")).collect()
}
