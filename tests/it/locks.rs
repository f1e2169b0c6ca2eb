//! Stores that are locked by lease files: where `flock` fails, and where the user asks for them.

use std::{
    fs,
    os::unix::process::CommandExt as _,
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    time::{Duration, Instant},
};

use serde_json::Value;

use crate::said;

/// Two projects with one recipe, and one store.
struct Bench {
    folder: tempfile::TempDir,
}

impl Bench {
    /// Stages that run shell scripts; `HERE` is the bench's folder.
    fn new(stages: &[(&str, &str)]) -> Self {
        let bench = Self { folder: tempfile::tempdir().unwrap() };
        let stages = stages.iter().map(|(name, script)| {
            format!(
                "[stage.{name}]\nkind = \"command\"\nprogram = \"sh\"\narguments = [\"-c\", \
                '''{script}''']\noutputs = [\"o\"]\n"
            )
        });
        let text = format!("name = \"r\"\n{}", stages.collect::<String>());
        let text = text.replace("HERE", bench.folder.path().to_str().unwrap());
        for project in ["one", "other"] {
            fs::create_dir(bench.path(project)).unwrap();
            fs::write(bench.path(project).join("r.toml"), &text).unwrap();
        }
        bench
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn command(&self, project: &str, program: &str, arguments: &[&str]) -> Command {
        let mut command = Command::new(program);
        command.args(arguments).current_dir(self.path(project)).env_remove("RUST_LOG");
        command.env("APEFT_CACHE", self.path("store")).env("APEFT_LOCKS", "lease");
        command.stdin(Stdio::null());
        command
    }

    fn apeft(&self, project: &str, arguments: &[&str]) -> Command {
        self.command(project, env!("CARGO_BIN_EXE_apeft"), arguments)
    }

    fn call(&self, project: &str, arguments: &[&str]) -> Output {
        self.apeft(project, arguments).output().unwrap()
    }

    /// Starts a run, and waits until its stage has begun.
    fn begin(&self, project: &str) -> Child {
        let mut command = self.apeft(project, &["run", "r.toml", "--json"]);
        command.stdout(Stdio::piped()).stderr(Stdio::null()).process_group(0);
        let child = command.spawn().unwrap();
        let end = Instant::now() + Duration::from_secs(30);
        while !self.path("begun").exists() {
            assert!(Instant::now() < end, "the stage does not begin");
            std::thread::sleep(Duration::from_millis(5));
        }
        child
    }

    fn leases(&self) -> Vec<String> {
        let entries = fs::read_dir(self.path("store/v1/locks")).unwrap();
        let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        names.filter(|name| name.ends_with(".lease")).collect()
    }
}

fn outcome(output: &Output) -> Value {
    assert!(output.status.success(), "{}", said::words(output));
    said::json(output)
}

#[test]
fn two_runs_under_leases_make_a_key_once() {
    let bench = Bench::new(&[("a", "echo x >> HERE/made; touch HERE/begun; sleep 1; echo 1 > o")]);
    let first = bench.begin("one");
    assert_eq!(bench.leases().len(), 1);
    let second = outcome(&bench.call("other", &["run", "r.toml", "--json"]));
    let first = outcome(&first.wait_with_output().unwrap());
    assert_eq!((&first["executed"], &second["cached"]), (&1.into(), &1.into()));
    assert_eq!(fs::read_to_string(bench.path("made")).unwrap(), "x\n");
    assert!(bench.leases().is_empty());
    let status = said::words(&bench.call("one", &["status"]));
    assert!(status.contains("done"), "{status}");
}

#[test]
fn a_killed_holder_on_this_machine_holds_nothing() {
    let script = "[ -e HERE/begun ] || { touch HERE/begun; sleep 60; }; echo 1 > o";
    let bench = Bench::new(&[("a", script)]);
    let mut first = bench.begin("one");
    let status = said::words(&bench.call("one", &["status"]));
    assert!(status.contains(": running"), "{status}");
    first.kill().unwrap();
    first.wait().unwrap();
    let began = Instant::now();
    let second = outcome(&bench.call("other", &["run", "r.toml", "--json"]));
    assert_eq!(second["executed"], 1);
    // A machine that nobody hears of is waited for two minutes.
    assert!(began.elapsed() < Duration::from_secs(30), "{:?}", began.elapsed());
    let status = said::words(&bench.call("one", &["status"]));
    assert!(status.contains(": killed"), "{status}");
    assert!(status.contains("a  killed") && status.contains("the run was killed"), "{status}");
    let collected = bench.call("other", &["cache", "gc"]);
    assert!(collected.status.success(), "{}", said::words(&collected));
    let uses: Vec<_> = fs::read_dir(bench.path("store/v1/uses")).unwrap().flatten().collect();
    assert!(uses.is_empty(), "{uses:?}");
}

#[test]
fn a_collection_spares_what_a_run_under_leases_uses() {
    let script = "touch HERE/begun; while [ ! -e HERE/go ]; do sleep 0.05; done; echo 1 > o";
    let bench = Bench::new(&[("quick", "echo 0 > o"), ("slow", script)]);
    outcome(&bench.call("one", &["run", "r.toml", "--json", "--until", "quick"]));
    let run = bench.begin("one");
    let runs = said::words(&bench.call("one", &["runs"]));
    assert!(runs.contains("running") && runs.contains("0 ran    1 cached"), "{runs}");
    let another = "name = \"z\"\n[stage.z]\nkind = \"command\"\nprogram = \"sh\"\narguments = [\"-c\", \
        \"echo z > o\"]\noutputs = [\"o\"]\n";
    fs::write(bench.path("other/r.toml"), another).unwrap();
    outcome(&bench.call("other", &["run", "r.toml", "--json"]));
    // No journal that is read names what the run uses.
    let collect = ["cache", "gc", "--unrecorded", "--forget", "../one/experiments"];
    let collected = bench.call("other", &collect);
    assert!(collected.status.success(), "{}", said::words(&collected));
    fs::write(bench.path("go"), "").unwrap();
    outcome(&run.wait_with_output().unwrap());
    let again = outcome(&bench.call("one", &["run", "r.toml", "--json"]));
    assert_eq!(again["cached"], 2);
}

#[test]
fn a_store_without_flock_is_locked_by_leases_and_says_so_once() {
    if Command::new("strace").arg("-V").stdout(Stdio::null()).status().is_err() {
        eprintln!("skipped: there is no strace");
        return;
    }
    for error in ["ENOLCK", "EOPNOTSUPP", "ENOSYS"] {
        let bench = Bench::new(&[("a", "echo 1 > o"), ("b", "echo 2 > o")]);
        let inject = format!("inject=flock:error={error}");
        let strace = ["-f", "-qq", "-o", "/dev/null", "-e", "trace=flock", "-e", &inject];
        let run = [env!("CARGO_BIN_EXE_apeft"), "run", "r.toml", "--json"];
        let without = |project: &str| {
            let mut command = bench.command(project, "strace", &[&strace[..], &run].concat());
            command.env_remove("APEFT_LOCKS").output().unwrap()
        };
        let ran = without("one");
        if said::words(&ran).contains("ptrace") {
            eprintln!("skipped: processes cannot be traced here");
            return;
        }
        assert_eq!(outcome(&ran)["executed"], 2, "{}", said::words(&ran));
        let warned = |output: &Output| said::words(output).matches("locked by lease files").count();
        assert_eq!(warned(&ran), 1, "{error}: {}", said::words(&ran));
        // Other machines, on which it works, must not use it either.
        let mut elsewhere = bench.apeft("other", &["run", "r.toml", "--json"]);
        let elsewhere = elsewhere.env_remove("APEFT_LOCKS").output().unwrap();
        assert_eq!((outcome(&elsewhere)["cached"].as_u64(), warned(&elsewhere)), (Some(2), 1));
        let verified = bench.call("one", &["cache", "verify"]);
        assert!(verified.status.success(), "{}", said::words(&verified));
        let forced = {
            let mut command = bench.command("one", "strace", &[&strace[..], &run].concat());
            command.env("APEFT_LOCKS", "flock").output().unwrap()
        };
        assert!(!forced.status.success());
        assert!(said::words(&forced).contains("unset APEFT_LOCKS"), "{}", said::words(&forced));
    }
}

#[test]
fn doctor_tries_the_locks_of_the_store() {
    let folder = tempfile::tempdir().unwrap();
    let asked = said::apeft(folder.path(), &["doctor", "--json", "--cache", "not-yet"]);
    let found = &outcome(&asked)["store"];
    assert!(found["tried"].as_str().unwrap().contains("excludes a second holder"), "{found}");
    assert!(Path::new(found["path"].as_str().unwrap()).ends_with("not-yet"), "{found}");
    assert!(!folder.path().join("not-yet").exists());
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    let bench = Bench::new(&[]);
    let found = said::words(&bench.call("one", &["doctor"]));
    assert!(found.contains("lease files: APEFT_LOCKS asks for them"), "{found}");
    let mistaken = bench.apeft("one", &["doctor"]).env("APEFT_LOCKS", "leases").output().unwrap();
    let said = said::words(&mistaken);
    assert_eq!(said.matches("APEFT_LOCKS=leases is ignored").count(), 1, "{said}");
}
