//! Runs as jobs of a Slurm of one node (`tests/slurm/one-node.sh`); skipped where it is not
//! installed.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    net::TcpListener,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    sync::atomic::{AtomicU16, Ordering},
    time::{Duration, Instant},
};

use apeft::seed::{Seed, Stream};

use crate::said;

/// Each Slurm listens at ports of its own.
static PORT: AtomicU16 = AtomicU16::new(27_900);

/// A cluster, and a folder with a recipe, a store and runs.
struct Cluster {
    folder: tempfile::TempDir,
    port: u16,
}

impl Cluster {
    /// A cluster with a recipe; none where Slurm is not installed.
    fn with(recipe: &str) -> Option<Self> {
        let is_there = |name: &str| {
            ["/usr/sbin", "/usr/bin"].iter().any(|folder| Path::new(folder).join(name).exists())
        };
        if !["slurmctld", "slurmd", "munged", "sbatch"].into_iter().all(is_there) {
            eprintln!("Slurm is not installed: its tests are skipped");
            return None;
        }
        let port = free_ports();
        // Sockets have short paths.
        let folder = tempfile::Builder::new().prefix("sl").tempdir_in("/tmp").unwrap();
        let cluster = Self { folder, port };
        if !cluster.daemon("start") {
            eprintln!("Slurm does not start on this machine: its tests are skipped");
            return None;
        }
        fs::write(cluster.path("recipe.toml"), format!("name = \"x\"\n{recipe}")).unwrap();
        fs::write(cluster.path("apeft.toml"), "[executor]\nkind = \"slurm\"\n").unwrap();
        Some(cluster)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn daemon(&self, action: &str) -> bool {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/slurm/one-node.sh");
        let mut command = Command::new(script);
        command.arg(action).arg(self.path("slurm")).arg(self.port.to_string());
        command.stdout(Stdio::null()).status().unwrap().success()
    }

    fn command(&self, program: &str, arguments: &[&str]) -> Command {
        let mut command = Command::new(program);
        command.args(arguments).current_dir(self.folder.path()).env_remove("APEFT_CACHE");
        command.env("SLURM_CONF", self.path("slurm/slurm.conf")).stdin(Stdio::null());
        let path = std::env::var("PATH").unwrap();
        command.env("PATH", format!("{}:{path}", self.path("bin").display()));
        command
    }

    /// Puts a shell script before a program of Slurm; `REAL` is the program, `HERE` this folder.
    fn wrap(&self, program: &str, script: &str) {
        fs::create_dir_all(self.path("bin")).unwrap();
        let here = self.folder.path().to_str().unwrap();
        let script = script.replace("REAL", &format!("/usr/bin/{program}")).replace("HERE", here);
        let wrapper = self.path("bin").join(program);
        // Renamed, since the old one may be running.
        let new = self.path("bin").join("new");
        fs::write(&new, format!("#!/bin/bash\n{script}\n")).unwrap();
        fs::set_permissions(&new, fs::Permissions::from_mode(0o755)).unwrap();
        fs::rename(new, wrapper).unwrap();
    }

    fn unwrap(&self, program: &str) {
        fs::remove_file(self.path("bin").join(program)).unwrap();
    }

    /// Replaces the recipe; `HERE` is this folder.
    fn recipe(&self, stages: &[String]) {
        let text = format!("name = \"x\"\n{}", stages.concat());
        let text = text.replace("HERE", self.folder.path().to_str().unwrap());
        fs::write(self.path("recipe.toml"), text).unwrap();
    }

    /// Numbers of all arrays that were ever submitted.
    fn arrays(&self) -> BTreeSet<String> {
        let queue = self.queue();
        let ours = queue.lines().filter(|line| !line.contains("apeft:run:"));
        ours.filter_map(|line| Some(line.split_once('_')?.0.to_owned())).collect()
    }

    /// The coordinator that has not ended, and its state.
    fn coordinator(&self) -> Option<(String, String)> {
        let open = self.slurm("squeue", &["--noheader", "--format=%i %T %k"]);
        let line = open.lines().find(|line| line.contains("apeft:run:"))?;
        let mut words = line.split(' ').map(str::to_owned);
        Some((words.next()?, words.next()?))
    }

    fn apeft(&self, arguments: &[&str]) -> Output {
        self.command(env!("CARGO_BIN_EXE_apeft"), arguments).output().unwrap()
    }

    fn slurm(&self, program: &str, arguments: &[&str]) -> String {
        let output = self.command(program, arguments).output().unwrap();
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    fn spawn(&self, arguments: &[&str]) -> Child {
        let mut command = self.command(env!("CARGO_BIN_EXE_apeft"), arguments);
        command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
    }

    fn wait_for(&self, what: &str, is_so: impl Fn(&Self) -> bool) {
        let began = Instant::now();
        while !is_so(self) {
            let is_over = began.elapsed() > Duration::from_secs(90);
            assert!(!is_over, "{what}: {}\n{}", self.queue(), self.processes());
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    fn queue(&self) -> String {
        self.slurm("squeue", &["--array", "--noheader", "--states=all", "--format=%i %T %r %k"])
    }

    /// The processes of this cluster.
    fn processes(&self) -> String {
        let all = Command::new("ps").args(["-eo", "pid,ppid,etimes,stat,args"]).output().unwrap();
        let all = String::from_utf8_lossy(&all.stdout).into_owned();
        let here = self.folder.path().to_str().unwrap();
        let own = |line: &&str| line.contains("slurmstepd") || line.contains(here);
        all.lines().filter(own).collect::<Vec<_>>().join("\n")
    }

    /// Jobs that Slurm has not ended.
    fn open_jobs(&self) -> usize {
        self.slurm("squeue", &["--array", "--noheader"]).lines().count()
    }
}

/// The first of two ports at which nobody listens: other tests, or a daemon that one left, may
/// have some.
fn free_ports() -> u16 {
    loop {
        let port = PORT.fetch_add(2, Ordering::Relaxed);
        assert!(port < 32_000, "no two ports are free for Slurm");
        let is_free = |port| TcpListener::bind(("0.0.0.0", port)).is_ok();
        if is_free(port) && is_free(port + 1) {
            return port;
        }
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        self.slurm("scancel", &["--me"]);
        self.daemon("stop");
    }
}

/// All files of all artifacts by path.
fn artifacts(store: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let (root, mut found) = (store.join("v1/artifacts"), BTreeMap::new());
    let mut folders = vec![root.clone()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                let name = path.strip_prefix(&root).unwrap().to_owned();
                found.insert(name, fs::read(&path).unwrap());
            }
        }
    }
    found
}

/// A stage that runs a shell script and writes the file `o`.
fn stage(name: &str, inputs: &str, script: &str, more: &str) -> String {
    format!(
        "[stage.{name}]\nkind = \"command\"\nprogram = \"sh\"\narguments = [\"-c\", \
        '''{script}''']\noutputs = [\"o\"]\ninputs = [{inputs}]\n{more}\n"
    )
}

fn words(output: &Output) -> String {
    said::words(output)
}

const SUCCESS: Option<i32> = Some(0);

#[test]
fn jobs_make_the_bytes_of_children_and_leave_nothing() {
    let chain = [
        stage("a", "", "echo job $SLURM_JOB_ID >&2; echo one > o", ""),
        stage(
            "b",
            "\"a\"",
            "cat $APEFT_INPUT_0/o > o",
            "resources = { cpus = 2, memory = \"100 MB\" }",
        ),
        stage("c", "\"a\"", "tr a-z A-Z < $APEFT_INPUT_0/o > o", ""),
    ];
    let Some(cluster) = Cluster::with(&chain.concat()) else { return };
    let ran = cluster.apeft(&["run", "recipe.toml"]);
    assert_eq!(ran.status.code(), SUCCESS, "{}", words(&ran));
    assert!(words(&ran).contains("3 executed"), "{}", words(&ran));
    let again = cluster.apeft(&["run", "recipe.toml"]);
    assert!(words(&again).contains("3 cached"), "{}", words(&again));
    assert!(!words(&again).contains("job"), "a cached stage has no job: {}", words(&again));
    let log = words(&cluster.apeft(&["logs", "a"]));
    assert!(log.lines().any(|line| line.trim().starts_with("job ")), "no job ran it: {log}");
    let local = cluster.apeft(&["run", "recipe.toml", "--executor", "local", "--cache", "other"]);
    assert_eq!(local.status.code(), SUCCESS, "{}", words(&local));
    assert_eq!(artifacts(&cluster.path("cache")), artifacts(&cluster.path("other")));
    let left = fs::read_dir(cluster.path("cache/v1/jobs")).unwrap();
    let left: Vec<_> = left.map(|entry| entry.unwrap().file_name()).collect();
    let expected = ["arrays", "programs", "submission"];
    assert!(left.iter().all(|name| expected.iter().any(|known| name == known)), "{left:?}");
}

#[test]
fn a_run_with_nothing_to_do_cancels_jobs_that_were_left_behind() {
    let Some(cluster) = Cluster::with(&stage("a", "", "echo one > o", "")) else { return };
    let ran = cluster.apeft(&["run", "recipe.toml"]);
    assert_eq!(ran.status.code(), SUCCESS, "{}", words(&ran));
    assert_eq!(cluster.open_jobs(), 0, "the run saw its job end: {}", cluster.queue());
    // As if Slurm had lost the end of the job and requeued it.
    let queue = cluster.queue();
    let comment = queue.split_whitespace().last().unwrap();
    for comment in [comment, "user"] {
        let comment = format!("--comment={comment}");
        cluster.slurm("sbatch", &["--array=0-0", "--hold", &comment, "--wrap=sleep 600"]);
    }
    assert_eq!(cluster.open_jobs(), 2, "{}", cluster.queue());
    let again = cluster.apeft(&["run", "recipe.toml"]);
    assert!(words(&again).contains("0 executed, 1 cached"), "{}", words(&again));
    cluster.wait_for("the job is cancelled", |cluster| cluster.open_jobs() == 1);
    assert!(cluster.slurm("squeue", &["--noheader", "--format=%k"]).contains("user"));
}

#[test]
fn a_killed_run_leaves_jobs_that_the_next_one_adopts() {
    let slow =
        "echo x >> $HERE/made-$APEFT_KEY; echo said $SLURM_ARRAY_TASK_ID; sleep 4; echo one > o";
    let many: String = (0..6)
        .map(|number| stage(&format!("s{number}"), "", &format!("{slow} # {number}"), ""))
        .collect();
    let Some(cluster) = Cluster::with(&many) else { return };
    let here = cluster.folder.path().to_str().unwrap().to_owned();
    let text = fs::read_to_string(cluster.path("recipe.toml")).unwrap().replace("$HERE", &here);
    let text = text.replace("made-$APEFT_KEY", "made-$SLURM_ARRAY_TASK_ID");
    fs::write(cluster.path("recipe.toml"), text).unwrap();
    let mut run = cluster.spawn(&["run", "recipe.toml"]);
    cluster.wait_for("the jobs run", |cluster| cluster.queue().matches("RUNNING").count() == 6);
    run.kill().unwrap();
    run.wait().unwrap();
    let status = words(&cluster.apeft(&["status"]));
    assert!(status.contains(": detached (") && status.contains("Slurm's job"), "{status}");
    let again = cluster.apeft(&["run", "recipe.toml"]);
    assert_eq!(again.status.code(), SUCCESS, "{}", words(&again));
    assert!(words(&again).contains("is adopted"), "{}", words(&again));
    let log = words(&cluster.apeft(&["logs", "s0"]));
    assert!(log.contains("said 0"), "{log}");
    for number in 0..6 {
        let made = fs::read_to_string(cluster.path(&format!("made-{number}"))).unwrap();
        assert_eq!(made, "x\n", "stage {number} ran twice");
    }
    assert_eq!(cluster.queue().lines().count(), 6, "{}", cluster.queue());
}

#[test]
fn a_detached_run_is_found_again_and_cancelled() {
    let recipe = [stage("a", "", "sleep 2; echo 1 > o", ""), stage("b", "\"a\"", "sleep 600", "")];
    let Some(cluster) = Cluster::with(&recipe.concat()) else { return };
    let detached = cluster.apeft(&["run", "recipe.toml", "--detach"]);
    assert_eq!(detached.status.code(), SUCCESS, "{}", words(&detached));
    assert!(words(&detached).contains("1 job of Slurm continues"), "{}", words(&detached));
    let status = words(&cluster.apeft(&["status"]));
    assert!(status.contains("detached"), "{status}");
    cluster.wait_for("the first stage is made", |cluster| {
        words(&cluster.apeft(&["status"])).lines().any(|line| line.starts_with("a  ran"))
    });
    let second = cluster.apeft(&["run", "recipe.toml", "--detach"]);
    assert_eq!(second.status.code(), SUCCESS, "{}", words(&second));
    cluster.wait_for("the second stage runs", |cluster| cluster.queue().contains("RUNNING"));
    let cancelled = cluster.apeft(&["cancel", "x"]);
    assert_eq!(cancelled.status.code(), SUCCESS, "{}", words(&cancelled));
    let status = words(&cluster.apeft(&["status"]));
    assert!(status.contains("it has no job any more: it was cancelled"), "{status}");
    cluster.wait_for("no job is left", |cluster| cluster.open_jobs() == 0);
}

#[test]
fn a_detached_run_leaves_although_its_jobs_talk_and_slurm_is_slow() {
    let Some(cluster) = Cluster::with(&training(8000)) else { return };
    let data = ["run", "recipe.toml", "--until", "facts", "--executor", "local"];
    assert_eq!(cluster.apeft(&data).status.code(), SUCCESS);
    cluster.wrap("squeue", "sleep 2\nexec REAL \"$@\"");
    let detach = ["run", "recipe.toml", "--until", "base", "--detach", "--json"];
    let detached = cluster.apeft(&detach);
    assert_eq!(detached.status.code(), SUCCESS, "{}", words(&detached));
    let outcome: serde_json::Value = serde_json::from_slice(&detached.stdout).unwrap();
    assert_eq!((&outcome["ok"], &outcome["detached"]), (&false.into(), &1.into()), "{outcome}");
    // Jobs of an earlier run are asked for first, and have not ended.
    let has_steps = |cluster: &Cluster| words(&cluster.apeft(&["logs", "base"])).contains("steps");
    cluster.wait_for("the training takes steps", has_steps);
    let adopted = cluster.apeft(&detach[..5]);
    assert!(words(&adopted).contains("1 job of Slurm continues"), "{}", words(&adopted));
    assert_eq!(cluster.open_jobs(), 1, "{}", cluster.queue());
}

#[test]
fn a_detached_run_waits_for_slurm_until_it_has_submitted_its_jobs() {
    let Some(cluster) = Cluster::with(&stage("a", "", "echo 1 > o", "")) else { return };
    let is_down = "[ -e HERE/up ] || { echo 'Unable to contact slurm controller' >&2; exit 1; }\n\
        exec REAL \"$@\"";
    ["sbatch", "squeue"].iter().for_each(|program| cluster.wrap(program, is_down));
    let mut detached = cluster.spawn(&["run", "recipe.toml", "--detach"]);
    std::thread::sleep(Duration::from_secs(4));
    assert!(detached.try_wait().unwrap().is_none(), "its job is not submitted");
    fs::write(cluster.path("up"), "").unwrap();
    assert!(detached.wait().unwrap().success());
    assert_eq!(cluster.arrays().len(), 1, "{}", cluster.queue());
}

#[test]
fn a_stage_takes_the_time_that_it_ran_not_the_time_in_the_queue() {
    let Some(cluster) = Cluster::with(&stage("a", "", "sleep 1; echo 1 > o", "")) else { return };
    let delayed = "[executor]\nkind = \"slurm\"\nextra = [\"--begin=now+8\"]\n";
    fs::write(cluster.path("apeft.toml"), delayed).unwrap();
    let detached = cluster.apeft(&["run", "recipe.toml", "--detach"]);
    assert_eq!(detached.status.code(), SUCCESS, "{}", words(&detached));
    let ran = cluster.apeft(&["run", "recipe.toml", "--json"]);
    let outcome: serde_json::Value = serde_json::from_slice(&ran.stdout).unwrap();
    let seconds = outcome["stages"][0]["seconds"].as_f64().unwrap();
    assert!((1.0..6.0).contains(&seconds), "{outcome}");
}

#[test]
fn a_program_that_the_signal_of_its_job_ends_has_not_failed() {
    // Slurm's signal reaches the guard of the program before the attempt, its parent.
    let script = "[ -e HERE/was ] && { echo 1 > o; exit; }; touch HERE/was\n\
        setsid scontrol requeue \"$SLURM_ARRAY_JOB_ID\"_$SLURM_ARRAY_TASK_ID &\nkill $PPID";
    let Some(cluster) = Cluster::with("") else { return };
    cluster.recipe(&[stage("a", "", script, "")]);
    let ran = cluster.apeft(&["run", "recipe.toml"]);
    assert_eq!(ran.status.code(), SUCCESS, "{}", words(&ran));
}

#[test]
fn a_stage_is_repeated_after_time_limits_no_more_often_than_its_retries() {
    let Some(cluster) = Cluster::with("") else { return };
    cluster.recipe(&[stage("a", "", "echo x >> HERE/made; sleep 600", "retries = 1")]);
    fs::write(cluster.path("apeft.toml"), "[executor]\nkind = \"slurm\"\ntime = 1\n").unwrap();
    let mut run = cluster.spawn(&["run", "recipe.toml"]);
    for attempt in 1..=2 {
        cluster.wait_for("the stage runs", |cluster| {
            let made = fs::read_to_string(cluster.path("made")).unwrap_or_default();
            made.lines().count() == attempt
        });
        // As Slurm does before the limit, of which less is left than the default.
        let queue = cluster.queue();
        let job = queue.lines().find(|line| line.contains("RUNNING")).unwrap();
        let job = job.split(' ').next().unwrap();
        cluster.slurm("scancel", &["--signal=USR1", "--batch", job]);
    }
    assert_eq!(run.wait().unwrap().code(), Some(1));
    let status = words(&cluster.apeft(&["status"]));
    assert!(status.contains("it reached its time limit 2 times"), "{status}");
    assert_eq!(fs::read_to_string(cluster.path("made")).unwrap(), "x\nx\n");
    let log = words(&cluster.apeft(&["logs", "a"]));
    assert!(!log.contains("No child processes"), "{log}");
}

#[test]
fn failures_are_told_apart_and_retried() {
    let recipe = [
        stage("fails", "", "echo why >&2; exit 3", ""),
        stage(
            "second",
            "",
            "[ -e $HOME_OF_TEST/was ] || { touch $HOME_OF_TEST/was; exit 1; }; echo 1 > o",
            "retries = 1",
        ),
        stage("killed", "", "kill -9 $PPID; sleep 60", ""),
    ];
    let Some(cluster) = Cluster::with(&recipe.concat()) else { return };
    let here = cluster.folder.path().to_str().unwrap().to_owned();
    let text = fs::read_to_string(cluster.path("recipe.toml")).unwrap();
    fs::write(cluster.path("recipe.toml"), text.replace("$HOME_OF_TEST", &here)).unwrap();
    let ran = cluster.apeft(&["run", "recipe.toml", "--keep-going"]);
    let said = words(&ran);
    assert_eq!(ran.status.code(), Some(1), "{said}");
    assert!(said.contains("1 executed") && said.contains("2 failed"), "{said}");
    fs::write(cluster.path("apeft.toml"), "[executor]\nkind = \"slurm\"\npartition = \"no\"\n")
        .unwrap();
    let wrong = words(&cluster.apeft(&["run", "recipe.toml", "--until", "fails"]));
    assert!(wrong.contains("invalid partition") || wrong.contains("Invalid partition"), "{wrong}");
    let extra = "[executor]\nkind = \"slurm\"\nextra = [\"--frobnicate\"]\n";
    fs::write(cluster.path("apeft.toml"), extra).unwrap();
    let wrong = words(&cluster.apeft(&["run", "recipe.toml", "--until", "fails"]));
    assert!(wrong.contains("--frobnicate"), "the answer of sbatch is lost: {wrong}");
}

#[test]
fn a_job_ends_at_its_stages_timeout_and_its_log_is_followed_without_its_run() {
    let script = "for i in 1 2 3; do echo line $i; sleep 1; done; echo 1 > o";
    let recipe = [stage("a", "", script, ""), stage("b", "", "sleep 600", "timeout = 3")];
    let Some(cluster) = Cluster::with(&recipe.concat()) else { return };
    let detached = cluster.apeft(&["run", "recipe.toml", "--detach"]);
    assert_eq!(detached.status.code(), SUCCESS, "{}", words(&detached));
    let log = words(&cluster.apeft(&["logs", "a", "--follow"]));
    assert!(log.contains("line 3"), "{log}");
    let ran = cluster.apeft(&["run", "recipe.toml", "--keep-going"]);
    assert!(words(&ran).contains("it took longer than its timeout of 3 s"), "{}", words(&ran));
    cluster.wait_for("no job is left", |cluster| cluster.open_jobs() == 0);
}

#[test]
fn a_job_that_was_cancelled_behind_a_detached_run_is_submitted_again() {
    let slow = "[ -e HERE/was ] || { touch HERE/was; sleep 600; }; echo 1 > o";
    let Some(cluster) = Cluster::with("") else { return };
    cluster.recipe(&[stage("a", "", slow, "")]);
    let detached = cluster.apeft(&["run", "recipe.toml", "--detach"]);
    assert_eq!(detached.status.code(), SUCCESS, "{}", words(&detached));
    cluster.wait_for("the stage runs", |cluster| cluster.path("was").exists());
    cluster.slurm("scancel", &["--me"]);
    cluster.wait_for("it has ended", |cluster| cluster.open_jobs() == 0);
    let again = cluster.apeft(&["run", "recipe.toml"]);
    assert_eq!(again.status.code(), SUCCESS, "{}", words(&again));
    assert_eq!(cluster.arrays().len(), 2, "{}", cluster.queue());
}

/// Where the run is killed by a program of Slurm that it calls, the first time that it does.
const KILL_POINTS: [(&str, &str, &str); 4] = [
    (
        "after the claim",
        "scontrol",
        "[ -e HERE/killed ] || { touch HERE/killed; kill -9 $PPID; exit 1; }\nexec REAL \"$@\"",
    ),
    (
        "before the submission",
        "sbatch",
        "[ -e HERE/killed ] || { touch HERE/killed; kill -9 $PPID; exit 1; }\nexec REAL \"$@\"",
    ),
    (
        "before the answer",
        "sbatch",
        "answer=$(REAL \"$@\")\n[ -e HERE/killed ] || { touch HERE/killed; kill -9 $PPID; exit 1; }\necho \"$answer\"",
    ),
    (
        "during the submission",
        "sbatch",
        "[ -e HERE/killed ] || { touch HERE/killed; kill -9 $PPID; sleep 4; }\nexec REAL \"$@\"",
    ),
];

#[test]
fn a_run_that_is_killed_while_it_submits_leaves_jobs_that_are_found_or_submitted_once() {
    let Some(cluster) = Cluster::with("") else { return };
    for (count, (point, program, script)) in KILL_POINTS.iter().enumerate() {
        let made = format!("echo x >> HERE/made; sleep 1; echo {count} > o");
        cluster.recipe(&[0, 1].map(|stage_number| {
            stage(&format!("s{stage_number}"), "", &format!("{made} # {stage_number}"), "")
        }));
        cluster.wrap(program, script);
        let killed = cluster.apeft(&["run", "recipe.toml"]);
        assert_eq!(killed.status.code(), None, "{point}: {}", words(&killed));
        let again = cluster.apeft(&["run", "recipe.toml"]);
        assert_eq!(again.status.code(), SUCCESS, "{point}: {}", words(&again));
        assert_eq!(fs::read_to_string(cluster.path("made")).unwrap(), "x\nx\n", "{point}");
        assert_eq!(cluster.arrays().len(), count + 1, "{point}: {}", cluster.queue());
        cluster.unwrap(program);
        for file in ["made", "killed"] {
            fs::remove_file(cluster.path(file)).unwrap();
        }
    }
}

#[test]
fn another_run_waits_for_a_slow_submission_however_old_its_files_seem() {
    let Some(cluster) = Cluster::with("") else { return };
    cluster.recipe(&[stage("a", "", "echo x >> HERE/made; echo 1 > o", "")]);
    cluster.wrap("sbatch", "touch HERE/asked; sleep 10\nexec REAL \"$@\"");
    let mut first = cluster.spawn(&["run", "recipe.toml"]);
    cluster.wait_for("the first run submits", |cluster| cluster.path("asked").exists());
    let age = "find HERE/cache/v1/jobs -type f -exec touch --date '1 hour ago' {} +";
    let age = age.replace("HERE", cluster.folder.path().to_str().unwrap());
    assert!(Command::new("sh").args(["-c", &age]).status().unwrap().success());
    let second = cluster.apeft(&["run", "recipe.toml"]);
    assert_eq!(second.status.code(), SUCCESS, "{}", words(&second));
    assert!(first.wait().unwrap().success());
    assert_eq!(cluster.arrays().len(), 1, "{}", cluster.queue());
    assert_eq!(fs::read_to_string(cluster.path("made")).unwrap(), "x\n");
}

#[test]
fn the_accounts_say_why_a_job_ended_that_the_queue_has_forgotten() {
    let Some(cluster) = Cluster::with("") else { return };
    // The attempt, of which the guard of this script is a child.
    let killed = |number| format!("kill -9 $(ps -o ppid= -p $PPID); sleep 60 # {number}");
    let stages = [0, 1, 2, 3].map(|number| stage(&format!("s{number}"), "", &killed(number), ""));
    cluster.recipe(&stages);
    // As after MinJobAge.
    cluster.wrap(
        "squeue",
        "for word; do [ $word = --states=all ] || words+=(\"$word\"); done\n\
        exec REAL \"${words[@]}\"",
    );
    let answers = "echo Welcome\nfor last; do :; done\necho \"${last}_0|OUT_OF_MEMORY|0:125\"\n\
        echo \"${last}_1|TIMEOUT|0:0\"\necho \"${last}_2|FAILED|3:0\"\n\
        echo \"${last}_3|CANCELLED by 1000|0:9\"\necho asked >> HERE/accounts";
    cluster.wrap("sacct", answers);
    let ran = cluster.apeft(&["run", "recipe.toml", "--keep-going"]);
    let said = words(&ran);
    assert_eq!(ran.status.code(), Some(1), "{said}");
    for expected in [
        "its job ran out of memory; raise `resources.memory` (Slurm: OUT_OF_MEMORY)",
        "its job reached its time limit",
        "(Slurm: FAILED, exit status 3)",
        "its job was cancelled in Slurm (Slurm: CANCELLED, signal 9)",
    ] {
        assert!(said.contains(expected), "{expected}: {said}");
    }
    // One question for all jobs.
    let asked = fs::read_to_string(cluster.path("accounts")).unwrap().lines().count();
    assert!((1..=30).contains(&asked), "{asked}");
    // This cluster keeps no accounts, which is no error.
    cluster.unwrap("sacct");
    let ran = cluster.apeft(&["run", "recipe.toml", "--until", "s0"]);
    let said = words(&ran);
    assert!(said.contains("Slurm no longer knows its job"), "{said}");
    assert!(!said.contains("sacct"), "{said}");
}

/// Three stages, each of which reads the one before and is made once.
fn layers(seconds: u32) -> [String; 3] {
    let script = |name: &str| format!("echo {name} >> HERE/made; sleep {seconds}; echo {name} > o");
    [
        stage("a", "", &script("a"), ""),
        stage("b", "\"a\"", &script("b"), ""),
        stage("c", "\"b\"", &script("c"), ""),
    ]
}

const COORDINATED: &str = "[executor]\nkind = \"slurm\"\n[executor.coordinator]\n";

fn is_done(cluster: &Cluster) -> bool {
    words(&cluster.apeft(&["status"])).contains(": done (")
}

#[test]
fn a_detached_sweep_of_three_layers_ends_without_another_call() {
    let Some(cluster) = Cluster::with("") else { return };
    fs::write(cluster.path("apeft.toml"), COORDINATED).unwrap();
    cluster.recipe(&layers(1));
    let detached = cluster.apeft(&["run", "recipe.toml", "--detach"]);
    assert_eq!(detached.status.code(), SUCCESS, "{}", words(&detached));
    assert!(words(&detached).contains("starts the rest"), "{}", words(&detached));
    // The one that there is goes on with this run too.
    let again = cluster.apeft(&["run", "recipe.toml", "--detach"]);
    assert_eq!(again.status.code(), SUCCESS, "{}", words(&again));
    assert!(cluster.queue().matches("apeft:run:").count() == 1, "{}", cluster.queue());
    cluster.wait_for("the sweep is done", is_done);
    assert_eq!(fs::read_to_string(cluster.path("made")).unwrap(), "a\nb\nc\n");
    assert_eq!(cluster.arrays().len(), 3, "{}", cluster.queue());
    let attached = cluster.apeft(&["run", "recipe.toml"]);
    assert!(words(&attached).contains("0 executed, 3 cached"), "{}", words(&attached));
    cluster.wait_for("no job is left", |cluster| cluster.open_jobs() == 0);
}

#[test]
fn a_coordinator_that_is_requeued_or_killed_loses_nothing() {
    let Some(cluster) = Cluster::with("") else { return };
    fs::write(cluster.path("apeft.toml"), COORDINATED).unwrap();
    cluster.recipe(&layers(4));
    let detached = cluster.apeft(&["run", "recipe.toml", "--detach"]);
    assert_eq!(detached.status.code(), SUCCESS, "{}", words(&detached));
    let runs = |cluster: &Cluster| {
        let running = cluster.coordinator().is_some_and(|(_, state)| state == "RUNNING");
        running && words(&cluster.apeft(&["status"])).contains(": running (")
    };
    cluster.wait_for("the coordinator runs", runs);
    let (number, _) = cluster.coordinator().unwrap();
    cluster.slurm("scontrol", &["requeue", &number]);
    cluster.wait_for("it waits", |cluster| {
        cluster.coordinator().is_some_and(|(_, state)| state == "PENDING")
    });
    cluster.wait_for("it runs again", runs);
    assert_eq!(cluster.coordinator().unwrap().0, number);
    // Killed for good: another call goes on.
    cluster.slurm("scancel", &["--signal=KILL", "--full", &number]);
    cluster.wait_for("it has ended", |cluster| cluster.coordinator().is_none());
    let attached = cluster.apeft(&["run", "recipe.toml"]);
    assert_eq!(attached.status.code(), SUCCESS, "{}", words(&attached));
    assert_eq!(fs::read_to_string(cluster.path("made")).unwrap(), "a\nb\nc\n");
    assert_eq!(cluster.arrays().len(), 3, "{}", cluster.queue());
}

#[test]
fn a_cancelled_sweep_has_no_coordinator() {
    let Some(cluster) = Cluster::with("") else { return };
    fs::write(cluster.path("apeft.toml"), COORDINATED).unwrap();
    cluster.recipe(&layers(600));
    let detached = cluster.apeft(&["run", "recipe.toml", "--detach"]);
    assert_eq!(detached.status.code(), SUCCESS, "{}", words(&detached));
    cluster.wait_for("the coordinator runs", |cluster| {
        words(&cluster.apeft(&["status"])).contains(": running (")
    });
    let cancelled = cluster.apeft(&["cancel", "x"]);
    assert_eq!(cancelled.status.code(), SUCCESS, "{}", words(&cancelled));
    assert!(words(&cancelled).contains("its coordinator"), "{}", words(&cancelled));
    cluster.wait_for("no job is left", |cluster| cluster.open_jobs() == 0);
    assert_eq!(cluster.arrays().len(), 1, "{}", cluster.queue());
}

/// A small training that takes about a minute, with checkpoints only when they are asked for.
fn training(steps: usize) -> String {
    let smoke = Path::new(env!("CARGO_MANIFEST_DIR")).join("recipes/smoke.toml");
    format!(
        "extends = \"{}\"\nseeds = [0]\n[stage.base]\nmax_steps = {steps}\ncheckpoint_seconds = 3600\n",
        smoke.display()
    )
}

#[test]
fn a_preempted_training_goes_on_from_the_checkpoint_that_its_signal_made() {
    let Some(cluster) = Cluster::with(&training(4000)) else { return };
    let arguments = ["run", "recipe.toml", "--until", "base"];
    let mut run = cluster.spawn(&arguments);
    let has_steps = |cluster: &Cluster| {
        let events = cluster.path("experiments/x/latest/events.jsonl");
        fs::read_to_string(events).is_ok_and(|events| events.contains("\"say\":\"metrics\""))
    };
    cluster.wait_for("the training takes steps", has_steps);
    let high = ["--partition=high", "--exclusive", "--wrap=sleep 1", "--output=/dev/null"];
    cluster.slurm("sbatch", &high);
    let status = run.wait().unwrap();
    let log = words(&cluster.apeft(&["logs", "base"]));
    assert!(status.success(), "{log}\n{}", cluster.queue());
    assert!(log.contains("resumes from the checkpoint of step"), "{log}\n{}", cluster.queue());
    let local =
        cluster.apeft(&[&arguments[..], &["--executor", "local", "--cache", "other"]].concat());
    assert_eq!(local.status.code(), SUCCESS, "{}", words(&local));
    assert_eq!(artifacts(&cluster.path("cache")), artifacts(&cluster.path("other")));
}

/// Kills of coordinator, jobs and daemons, preemption and requeuing; `APEFT_SLURM_KILLS` says how
/// many.
#[test]
fn smoke_survives_kills_of_everything() {
    let Some(kills) = std::env::var("APEFT_SLURM_KILLS").ok().and_then(|text| text.parse().ok())
    else {
        return;
    };
    let smoke = Path::new(env!("CARGO_MANIFEST_DIR")).join("recipes/smoke.toml");
    let recipe = format!("extends = \"{}\"\n", smoke.display());
    let Some(cluster) = Cluster::with(&recipe) else { return };
    let local = cluster.apeft(&["run", "recipe.toml", "--executor", "local", "--cache", "other"]);
    assert_eq!(local.status.code(), SUCCESS, "{}", words(&local));
    let mut chance = Seed::root(0).split("slurm").stream();
    let mut run = cluster.spawn(&["run", "recipe.toml", "--keep-going"]);
    for number in 0..kills {
        std::thread::sleep(Duration::from_millis(500 + chance.below(3000) as u64));
        let what = strike(&cluster, &mut run, &mut chance);
        eprintln!("{number}: {what}");
        if run.try_wait().unwrap().is_some() {
            run = cluster.spawn(&["run", "recipe.toml", "--keep-going"]);
        }
    }
    run.wait().unwrap();
    let last = cluster.apeft(&["run", "recipe.toml", "--keep-going"]);
    assert_eq!(last.status.code(), SUCCESS, "{}\n{}", words(&last), cluster.queue());
    assert_eq!(artifacts(&cluster.path("cache")), artifacts(&cluster.path("other")));
    // Slurm may hold one of those that preempted.
    let is_left = |cluster: &Cluster| {
        cluster.slurm("squeue", &["--array", "--noheader", "--format=%k"]).contains("apeft:")
    };
    cluster.wait_for("no job is left", |cluster| !is_left(cluster));
    let verified = cluster.apeft(&["cache", "verify"]);
    assert_eq!(verified.status.code(), SUCCESS, "{}", words(&verified));
}

/// One kill; says of what.
fn strike(cluster: &Cluster, run: &mut Child, chance: &mut Stream) -> &'static str {
    match chance.below(6) {
        0 => {
            run.kill().unwrap();
            run.wait().unwrap();
            "the run"
        }
        1 => {
            restart(cluster, "slurmctld");
            "slurmctld"
        }
        2 => {
            restart(cluster, "slurmd");
            "slurmd"
        }
        3 => {
            let queue =
                cluster.slurm("squeue", &["--array", "--noheader", "--states=R", "--format=%i"]);
            let jobs: Vec<&str> = queue.split_whitespace().collect();
            if !jobs.is_empty() {
                cluster.slurm("scontrol", &["requeue", jobs[chance.below(jobs.len())]]);
            }
            "a job, which is requeued"
        }
        4 => {
            let high = ["--partition=high", "--exclusive", "--wrap=sleep 1", "--output=/dev/null"];
            cluster.slurm("sbatch", &high);
            "all jobs, which are preempted"
        }
        _ => {
            let marks = format!("attempt --array {}", cluster.path("cache").display());
            Command::new("pkill").args(["-KILL", "--newest", "--full", &marks]).status().unwrap();
            "an attempt"
        }
    }
}

/// Kills a daemon and starts it again.
fn restart(cluster: &Cluster, daemon: &str) {
    let pid =
        fs::read_to_string(cluster.path(&format!("slurm/run/{daemon}.pid"))).unwrap_or_default();
    if !pid.trim().is_empty() {
        Command::new("kill").args(["-9", pid.trim()]).status().unwrap();
    }
    std::thread::sleep(Duration::from_secs(1));
    cluster.daemon(daemon);
    cluster.slurm("scontrol", &["update", "nodename=ALL", "state=resume"]);
}
