//! Artifacts match the inputs in their keys, and nothing started by a run outlives it.

use std::{
    collections::BTreeMap,
    fs,
    os::unix::{fs::MetadataExt, fs::PermissionsExt, fs::symlink, process::CommandExt},
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    thread,
    time::{Duration, Instant},
};

use apeft::{
    digest::Digest,
    model::arithmetic,
    plan::{Fingerprint, InputContent, Plan, plan},
    recipe::Recipe,
    stage::registry,
};
use burn::tensor::{Device, Tensor, TensorData};
use rustix::process::{Pid, Signal};
use serde_json::Value;

use crate::said;

/// A folder with a recipe, a store and a test's files.
struct Bench {
    folder: tempfile::TempDir,
    program: PathBuf,
}

struct Ran {
    status: Option<i32>,
    json: Value,
    words: String,
}

impl Bench {
    /// `HERE` stands for the folder.
    fn with(stages: &str) -> Self {
        let program = PathBuf::from(env!("CARGO_BIN_EXE_apeft"));
        let bench = Self { folder: tempfile::tempdir().unwrap(), program };
        bench.recipe(stages);
        bench
    }

    fn recipe(&self, stages: &str) {
        let text = format!("name = \"bench\"\n{stages}")
            .replace("HERE", self.folder.path().to_str().unwrap());
        fs::write(self.path("recipe.toml"), text).unwrap();
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn write(&self, name: &str, text: &str) {
        fs::write(self.path(name), text).unwrap();
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.program);
        command
            .args(arguments)
            .current_dir(self.folder.path())
            .env_remove("APEFT_CACHE")
            .env_remove("RUST_LOG");
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    fn start(&self) -> Child {
        self.command(&["run", "recipe.toml", "--json", "-j1"]).spawn().unwrap()
    }

    fn run(&self) -> Ran {
        end(self.start())
    }

    fn wait_for(&self, name: &str) -> String {
        let began = Instant::now();
        loop {
            match fs::read_to_string(self.path(name)) {
                Ok(text) if text.ends_with('\n') => return text.trim().to_owned(),
                _ if began.elapsed() > Duration::from_secs(60) => panic!("{name} never came"),
                _ => thread::sleep(Duration::from_millis(5)),
            }
        }
    }

    fn assert_clean(&self) {
        let verified = self.command(&["cache", "verify"]).output().unwrap();
        assert!(verified.status.success(), "{}", String::from_utf8_lossy(&verified.stderr));
    }
}

fn end(child: Child) -> Ran {
    ran(child.wait_with_output().unwrap())
}

fn ran(output: Output) -> Ran {
    Ran { status: output.status.code(), json: said::json(&output), words: said::words(&output) }
}

fn ran_of(command: &mut Command) -> Ran {
    ran(command.output().unwrap())
}

impl Ran {
    fn stage(&self, name: &str) -> &Value {
        let stages = self.json["stages"].as_array().unwrap_or_else(|| panic!("{}", self.words));
        stages.iter().find(|stage| stage["name"] == name).unwrap()
    }

    fn outcome(&self, name: &str) -> &str {
        self.stage(name)["outcome"].as_str().unwrap()
    }

    fn file(&self, name: &str) -> PathBuf {
        Path::new(self.stage(name)["artifact"].as_str().unwrap_or_else(|| panic!("{}", self.words)))
            .join("o")
    }

    fn left(&self, name: &str) -> String {
        fs::read_to_string(self.file(name)).unwrap().trim().to_owned()
    }
}

/// A stage that runs a shell script and writes the file `o`.
fn stage(name: &str, inputs: &str, script: &str, more: &str) -> String {
    format!(
        "[stage.{name}]\nkind = \"command\"\nprogram = \"sh\"\narguments = [\"-c\", \
        '''{script}''']\noutputs = [\"o\"]\ninputs = [{inputs}]\n{more}\n"
    )
}

/// Signals its start, waits for the test, and copies its input.
const SLOW: &str =
    "echo > HERE/began; while ! [ -e HERE/go ]; do sleep 0.02; done; cat $APEFT_INPUT_0 > o";

#[test]
fn a_file_edited_during_a_run_fails_what_would_read_it_and_a_fresh_run_makes_it_right() {
    let slow = "echo > HERE/began; while ! [ -e HERE/go ]; do sleep 0.02; done; echo 1 > o";
    let stages = [
        stage("slow", "", slow, ""),
        // Its key is computed before the edit; it starts after it.
        stage("waiting", "{ path = \"in.txt\" }", "cat $APEFT_INPUT_0 > o", ""),
        // It is looked up after the edit.
        stage("later", "\"slow\", { path = \"in.txt\" }", "cat $APEFT_INPUT_1 > o", ""),
    ];
    let bench = Bench::with(&stages.concat());
    bench.write("in.txt", "old\n");
    let run =
        bench.command(&["run", "recipe.toml", "--json", "-j1", "--keep-going"]).spawn().unwrap();
    bench.wait_for("began");
    bench.write("in.txt", "new\n");
    bench.write("go", "");
    let first = end(run);
    assert_eq!(first.status, Some(1));
    assert_eq!(
        (first.outcome("slow"), first.outcome("waiting"), first.outcome("later")),
        ("ran", "failed", "failed")
    );
    assert!(
        first.words.contains("in.txt was written after its first use in this run"),
        "{}",
        first.words
    );
    bench.write("in.txt", "old\n");
    let second = bench.run();
    assert_eq!(
        (second.left("waiting"), second.left("later")),
        ("old".to_owned(), "old".to_owned())
    );
    bench.write("in.txt", "new\n");
    let third = bench.run();
    assert_eq!((third.left("waiting"), third.left("later")), ("new".to_owned(), "new".to_owned()));
    bench.assert_clean();
}

/// Changes of a file while a stage reads it, even if reverted before its end, prevent the commit.
fn assert_noticed(
    what: &str,
    prepare: impl Fn(&Bench),
    change: impl Fn(&Bench),
    undo: impl Fn(&Bench),
) {
    let bench = Bench::with(&stage(
        "slow",
        "{ path = \"in\" }",
        &SLOW.replace("cat $APEFT_INPUT_0", "echo made"),
        "",
    ));
    prepare(&bench);
    let run = bench.start();
    bench.wait_for("began");
    change(&bench);
    undo(&bench);
    bench.write("go", "");
    let first = end(run);
    assert_eq!(
        (first.status, first.outcome("slow")),
        (Some(1), "failed"),
        "{what}: {}",
        first.words
    );
    assert!(first.words.contains("changed during the run"), "{what}: {}", first.words);
    let second = bench.run();
    assert_eq!(
        (second.status, second.outcome("slow")),
        (Some(0), "ran"),
        "{what}: {}",
        second.words
    );
}

#[test]
fn contents_that_were_put_back_before_the_stage_ended_are_noticed() {
    let old = |bench: &Bench| bench.write("in", "old\n");
    assert_noticed("written and written back", old, |bench| bench.write("in", "new\n"), old);
    let with_its_time = |bench: &Bench| {
        let file = fs::File::options().write(true).open(bench.path("in")).unwrap();
        let time = file.metadata().unwrap().modified().unwrap();
        bench.write("in", "new\n");
        bench.write("in", "old\n");
        file.set_modified(time).unwrap();
    };
    assert_noticed("with its time put back", old, with_its_time, |_| ());
    assert_noticed(
        "replaced and put back",
        |bench| {
            old(bench);
            bench.write("other", "new\n");
        },
        |bench| {
            fs::rename(bench.path("in"), bench.path("kept")).unwrap();
            fs::rename(bench.path("other"), bench.path("in")).unwrap();
        },
        |bench| fs::rename(bench.path("kept"), bench.path("in")).unwrap(),
    );
    assert_noticed(
        "a link that led elsewhere",
        |bench| {
            bench.write("one", "old\n");
            bench.write("two", "new\n");
            symlink("one", bench.path("in")).unwrap();
        },
        |bench| {
            fs::remove_file(bench.path("in")).unwrap();
            symlink("two", bench.path("in")).unwrap();
        },
        |bench| {
            fs::remove_file(bench.path("in")).unwrap();
            symlink("one", bench.path("in")).unwrap();
        },
    );
    assert_noticed(
        "a file that came and went",
        |bench| {
            fs::create_dir(bench.path("in")).unwrap();
            bench.write("in/a", "old\n");
        },
        |bench| bench.write("in/b", "new\n"),
        |bench| fs::remove_file(bench.path("in/b")).unwrap(),
    );
    assert_noticed(
        "removed",
        old,
        |bench| fs::remove_file(bench.path("in")).unwrap(),
        |bench| {
            bench.write("in", "old\n");
        },
    );
}

#[test]
fn a_new_name_or_mode_of_an_input_is_no_change() {
    let bench = Bench::with(&stage("slow", "{ path = \"in\" }", SLOW, ""));
    bench.write("in", "old\n");
    let run = bench.start();
    bench.wait_for("began");
    fs::hard_link(bench.path("in"), bench.path("also")).unwrap();
    fs::set_permissions(bench.path("in"), fs::Permissions::from_mode(0o640)).unwrap();
    bench.write("go", "");
    let first = end(run);
    assert_eq!((first.status, first.left("slow").as_str()), (Some(0), "old"), "{}", first.words);
}

#[test]
fn a_stage_that_writes_into_what_it_reads_fails_and_poisons_nothing() {
    let bad = "chmod u+w $APEFT_INPUT_0/o; echo evil > $APEFT_INPUT_0/o; echo done > o";
    let victim = stage("victim", "\"data\", \"bad\"", "cat $APEFT_INPUT_0/o > o", "");
    let data = stage("data", "", "echo good > o", "");
    let bench =
        Bench::with(&[data.clone(), stage("bad", "\"data\"", bad, ""), victim.clone()].concat());
    let first = bench.run();
    assert_eq!(
        (first.outcome("data"), first.outcome("bad"), first.outcome("victim")),
        ("ran", "failed", "skipped")
    );
    assert!(first.words.contains("a stage must not write into its inputs"), "{}", first.words);
    bench.recipe(&[data, stage("bad", "\"data\"", "echo done > o", ""), victim].concat());
    let second = bench.run();
    assert_eq!(
        (second.status, second.left("victim").as_str()),
        (Some(0), "good"),
        "{}",
        second.words
    );
    let mode = fs::metadata(second.file("data")).unwrap().permissions().mode();
    assert_eq!(mode & 0o222, 0, "{mode:o}");
    bench.assert_clean();
}

#[test]
fn an_artifact_that_vanishes_while_it_is_read_fails_its_reader() {
    let reader = "echo > HERE/began; while ! [ -e HERE/go ]; do sleep 0.02; done; cat \
    $APEFT_INPUT_0/o > o; true";
    let stages = [stage("a", "", "echo good > o", ""), stage("b", "\"a\"", reader, "")];
    let bench = Bench::with(&stages.concat());
    let run = bench.start();
    bench.wait_for("began");
    fs::remove_dir_all(bench.path("cache/v1/artifacts")).unwrap();
    bench.write("go", "");
    let first = end(run);
    assert_eq!((first.status, first.outcome("b")), (Some(1), "failed"), "{}", first.words);
    let second = bench.run();
    assert_eq!((second.status, second.left("b").as_str()), (Some(0), "good"), "{}", second.words);
}

#[test]
fn weights_that_are_replaced_after_an_import_are_never_read_under_the_old_key() {
    let import = "[stage.base]\nkind = \"import\"\npath = \"model\"\n";
    let reader = SLOW.replace("cat $APEFT_INPUT_0", "cat $APEFT_INPUT_0/model.safetensors | cksum");
    let bench = Bench::with(&[import, &stage("reader", "\"base\"", &reader, "")].concat());
    fs::create_dir(bench.path("model")).unwrap();
    let tiny = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/tiny-llama");
    for entry in fs::read_dir(tiny).unwrap().map(Result::unwrap) {
        if entry.path().is_file() {
            fs::copy(entry.path(), bench.path("model").join(entry.file_name())).unwrap();
        }
    }
    let weights = bench.path("model/model.safetensors");
    let right = fs::read(&weights).unwrap();
    let mut wrong = right.clone();
    *wrong.last_mut().unwrap() ^= 1;
    let run = bench.start();
    bench.wait_for("began");
    fs::write(&weights, &wrong).unwrap();
    bench.write("go", "");
    let first = end(run);
    assert_eq!(
        (first.outcome("base"), first.outcome("reader")),
        ("ran", "failed"),
        "{}",
        first.words
    );
    assert!(first.words.contains("model.safetensors was written"), "{}", first.words);
    let of_wrong = bench.run().left("reader");
    fs::write(&weights, &right).unwrap();
    let again = bench.run();
    assert_ne!(again.left("reader"), of_wrong);
    fs::write(&weights, &wrong).unwrap();
    assert_eq!(bench.run().left("reader"), of_wrong);
}

#[test]
fn what_an_attempt_left_is_not_gone_on_from_where_its_inputs_were_written_since() {
    let script = "if [ -e $APEFT_CHECKPOINT/half ]; then cat $APEFT_CHECKPOINT/half > o; exit; \
    fi; cat $APEFT_INPUT_0 > $APEFT_CHECKPOINT/half; echo > HERE/began; while ! [ -e HERE/go ]; \
    do sleep 0.02; done; cp $APEFT_CHECKPOINT/half o";
    for (edited, warned) in [(false, false), (true, true)] {
        let bench = Bench::with(&stage("a", "{ path = \"in\" }", script, ""));
        bench.write("in", "old\n");
        // Until the edit of the second case, whose contents the killed attempt kept.
        let mut run = bench.start();
        bench.wait_for("began");
        if edited {
            let half =
                fs::read_dir(bench.path("cache/v1/work")).unwrap().next().unwrap().unwrap().path();
            fs::write(half.join("checkpoint/half"), "new\n").unwrap();
            bench.write("in", "new\n");
        }
        run.kill().unwrap();
        end(run);
        if edited {
            bench.write("in", "old\n");
        }
        bench.write("go", "");
        let second = bench.run();
        assert_eq!(
            (second.status, second.left("a").as_str()),
            (Some(0), "old"),
            "{}",
            second.words
        );
        assert_eq!(second.words.contains("are discarded"), warned, "{}", second.words);
    }
}

#[test]
fn an_output_that_is_a_hard_link_becomes_a_file_of_its_own() {
    let bench = Bench::with(&stage("a", "{ path = \"in\" }", "ln $APEFT_INPUT_0 o", ""));
    bench.write("in", "old\n");
    let first = bench.run();
    assert_eq!((first.status, first.left("a").as_str()), (Some(0), "old"), "{}", first.words);
    assert_eq!(fs::metadata(first.file("a")).unwrap().nlink(), 1);
    assert_ne!(
        fs::metadata(bench.path("in")).unwrap().permissions().mode() & 0o200,
        0,
        "the user's file stays as it is"
    );
    bench.write("in", "new\n");
    assert_eq!(first.left("a"), "old");
}

#[test]
fn a_file_that_is_cut_while_it_is_hashed_is_an_error_of_its_stage() {
    let bench = Bench::with(&stage("a", "{ path = \"big\" }", "echo x > o", ""));
    fs::File::create(bench.path("big")).unwrap().set_len(40 << 30).unwrap();
    let run = bench.start();
    let began = Instant::now();
    let is_reading = || {
        let open = fs::read_dir(format!("/proc/{}/fd", run.id())).into_iter().flatten().flatten();
        open.filter_map(|entry| fs::read_link(entry.path()).ok()).any(|file| file.ends_with("big"))
    };
    while !is_reading() {
        assert!(began.elapsed() < Duration::from_secs(30), "it is never read");
        thread::sleep(Duration::from_millis(2));
    }
    bench.write("big", "");
    let first = end(run);
    assert_eq!((first.status, first.outcome("a")), (Some(1), "failed"), "{}", first.words);
    assert!(first.words.contains("changed while it was being read"), "{}", first.words);
}

#[test]
fn a_run_goes_on_with_the_program_that_began_it() {
    let stages: String = (0..3)
        .map(|index| stage(&format!("s{index}"), "", &format!("echo {index} > o"), ""))
        .collect();
    let slow = "echo > HERE/began; while ! [ -e HERE/go ]; do sleep 0.02; done; echo 1 > o";
    let mut bench = Bench::with(&[stage("first", "", slow, ""), stages].concat());
    bench.program = bench.path("apeft");
    fs::copy(env!("CARGO_BIN_EXE_apeft"), &bench.program).unwrap();
    let run = bench.start();
    bench.wait_for("began");
    bench.write("new", "#!/bin/sh\nexit 1\n");
    fs::rename(bench.path("new"), &bench.program).unwrap();
    bench.write("go", "");
    let first = end(run);
    assert_eq!(first.status, Some(0), "{}", first.words);
}

#[test]
fn a_program_with_a_slash_is_relative_to_its_recipe_and_its_content_is_in_the_key() {
    let bench = Bench::with("");
    let recipe = "name = \"r\"\n[stage.a]\nkind = \"command\"\nprogram = \
    \"./bin/make.sh\"\noutputs = [\"o\"]\n";
    for project in ["one", "two"] {
        fs::create_dir_all(bench.path(project).join("bin")).unwrap();
        bench.write(&format!("{project}/recipe.toml"), recipe);
        let program = format!("{project}/bin/make.sh");
        bench.write(
            &program,
            &format!("#!/bin/sh\n# $APEFT_INPUT_0\necho {project} ${{APEFT_INPUT_0-none}} > o\n"),
        );
        fs::set_permissions(bench.path(&program), fs::Permissions::from_mode(0o755)).unwrap();
    }
    let run = |folder: &str, recipe: &str| {
        let mut command = bench.command(&["run", recipe, "--json"]);
        ran(command
            .current_dir(bench.path(folder))
            .env("APEFT_CACHE", bench.path("cache"))
            .output()
            .unwrap())
    };
    let from_above = run("", "one/recipe.toml");
    assert_eq!(
        (from_above.outcome("a"), from_above.left("a").as_str()),
        ("ran", "one none"),
        "{}",
        from_above.words
    );
    let other = run("two", "recipe.toml");
    assert_eq!(
        (other.outcome("a"), other.left("a").as_str()),
        ("ran", "two none"),
        "{}",
        other.words
    );
    let again = run("one", "recipe.toml");
    assert_eq!((again.outcome("a"), again.left("a").as_str()), ("cached", "one none"));
    bench.write("one/bin/make.sh", "#!/bin/sh\necho edited > o\n");
    assert_eq!(run("one", "recipe.toml").left("a"), "edited");
    fs::remove_file(bench.path("one/bin/make.sh")).unwrap();
    let missing = run("one", "recipe.toml");
    assert_eq!(missing.status, Some(2));
    assert!(missing.words.contains("does not exist"), "{}", missing.words);
}

#[test]
fn paths_are_relative_to_where_a_recipe_was_named_and_those_of_settings_to_the_current_folder() {
    let bench = Bench::with("");
    let recipe =
        "name = \"r\"\n[stage.a]\nkind = \"command\"\nprogram = \"./make.sh\"\noutputs = [\"o\"]\n";
    for folder in ["", "named", "target/inner", "target"] {
        fs::create_dir_all(bench.path(folder)).unwrap();
        let program = bench.path(folder).join("make.sh");
        fs::write(&program, format!("#!/bin/sh\necho in {folder} > o\n")).unwrap();
        fs::set_permissions(program, fs::Permissions::from_mode(0o755)).unwrap();
    }
    bench.write("target/inner/recipe.toml", recipe);
    bench.write("target/recipe.toml", recipe);
    std::os::unix::fs::symlink("../target/inner/recipe.toml", bench.path("named/recipe.toml"))
        .unwrap();
    std::os::unix::fs::symlink("target/inner", bench.path("link")).unwrap();
    let left = |arguments: &[&str]| {
        let ran = ran_of(&mut bench.command(&[&["run", "--json"], arguments].concat()));
        assert_eq!(ran.status, Some(0), "{}", ran.words);
        ran.left("a")
    };
    assert_eq!(left(&["named/recipe.toml"]), "in named");
    assert_eq!(left(&["link/recipe.toml"]), "in target/inner");
    assert_eq!(
        left(&["link/../recipe.toml"]),
        "in target",
        "up from where the link leads, as the system reads it"
    );
    assert_eq!(left(&["named/recipe.toml", "--set", "stage.a.program=./make.sh"]), "in");
    assert_eq!(
        left(&["named/recipe.toml", "--set", "stage.a.program=target/make.sh"]),
        "in target"
    );
}

/// The same where the setting replaces the path within a table of the recipe's.
#[test]
fn a_path_that_a_setting_puts_into_a_table_is_relative_to_the_current_folder() {
    let bench = Bench::with("");
    fs::create_dir_all(bench.path("sub")).unwrap();
    for (name, text) in [("x", "here"), ("sub/x", "beside"), ("sub/y", "other")] {
        bench.write(name, text);
    }
    let stage = stage("a", "", "cat $APEFT_INPUT_0 > o", "")
        .replace("inputs = []", "inputs = { path = \"y\" }");
    bench.write("sub/recipe.toml", &format!("name = \"r\"\n{stage}"));
    let left = |arguments: &[&str]| {
        let ran = ran_of(&mut bench.command(&[&["run", "--json"], arguments].concat()));
        assert_eq!(ran.status, Some(0), "{}", ran.words);
        ran.left("a")
    };
    assert_eq!(left(&["sub/recipe.toml"]), "other");
    assert_eq!(left(&["sub/recipe.toml", "--set", "stage.a.inputs={path=\"x\"}"]), "here");
    assert_eq!(left(&["sub/recipe.toml", "--set", "stage.a.inputs.path=x"]), "here");
}

#[test]
fn the_ending_of_a_file_is_part_of_what_it_is() {
    let recipe = |name: &str| {
        stage("a", &format!("{{ path = \"{name}\" }}"), "basename $APEFT_INPUT_0 > o", "")
    };
    let bench = Bench::with(&recipe("one.jsonl"));
    for name in ["one.jsonl", "one.db", "two.db"] {
        bench.write(name, "the same\n");
    }
    assert_eq!(bench.run().outcome("a"), "ran");
    bench.recipe(&recipe("one.db"));
    assert_eq!(bench.run().left("a"), "one.db");
    bench.recipe(&recipe("two.db"));
    assert_eq!(bench.run().outcome("a"), "cached");
}

fn is_alive(process: &str) -> bool {
    let stat = fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
    stat.rsplit_once(") ").is_some_and(|(_, rest)| !rest.starts_with('Z'))
}

fn assert_gone(process: &str) {
    let began = Instant::now();
    while is_alive(process) {
        assert!(began.elapsed() < Duration::from_secs(10), "process {process} lives on");
        thread::sleep(Duration::from_millis(5));
    }
}

fn children(of: u32) -> Vec<Pid> {
    let numbers = fs::read_dir("/proc")
        .unwrap()
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<i32>().ok());
    let is_child = |number: &i32| {
        let stat = fs::read_to_string(format!("/proc/{number}/stat")).unwrap_or_default();
        stat.rsplit_once(") ").and_then(|(_, rest)| rest.split(' ').nth(1))
            == Some(&*of.to_string())
    };
    numbers.filter(is_child).filter_map(Pid::from_raw).collect()
}

#[test]
fn a_program_ends_where_both_its_attempt_and_the_run_are_killed() {
    let script = "echo $$ > HERE/shell; sleep 1000 & echo $! > HERE/sleeper; wait; echo x > o";
    let bench = Bench::with(&stage("a", "", script, ""));
    let mut run = bench.start();
    let processes = [bench.wait_for("shell"), bench.wait_for("sleeper")];
    for attempt in children(run.id()) {
        rustix::process::kill_process(attempt, Signal::KILL).unwrap();
    }
    run.kill().unwrap();
    run.wait().unwrap();
    processes.iter().for_each(|process| assert_gone(process));
}

/// A daemon in its own session, without a parent and with redirected output; it prints its process
/// id.
const DAEMON: &str = "setsid sh -c 'echo $$ > HERE/daemon; sleep 0.7; echo more >> o; sleep \
1000' > HERE/said 2>&1 & while ! [ -s HERE/daemon ]; do sleep 0.02; done";

#[test]
fn a_daemon_ends_with_its_stage_however_that_ends() {
    for (how, more) in [
        ("well", ""),
        ("badly", "exit 3"),
        ("late", "sleep 1000"),
        ("killed", "sleep 1000"),
        ("all", "sleep 1000"),
    ] {
        let timeout = if how == "late" { "timeout = 1" } else { "" };
        let script = format!("echo x > o; {DAEMON}; {more}").replace('\'', "\\\"");
        let text = format!(
            "[stage.a]\nkind = \"command\"\nprogram = \"sh\"\narguments = [\"-c\", \
            \"{script}\"]\noutputs = [\"o\"]\n{timeout}\n"
        );
        let bench = Bench::with(&text);
        let mut run = bench.start();
        let daemon = bench.wait_for("daemon");
        match how {
            "killed" => {
                for attempt in children(run.id()) {
                    rustix::process::kill_process(attempt, Signal::KILL).unwrap();
                }
            }
            "all" => run.kill().unwrap(),
            _ => {}
        }
        let ran = end(run);
        let expected = match how {
            "well" => Some(0),
            "all" => None,
            _ => Some(1),
        };
        assert_eq!(ran.status, expected, "{how}: {}", ran.words);
        if how == "all" {
            assert_gone(&daemon);
        }
        assert!(!is_alive(&daemon), "{how}: the daemon outlives the run");
        thread::sleep(Duration::from_millis(if how == "well" { 900 } else { 0 }));
        bench.assert_clean();
    }
}

#[test]
fn a_program_that_is_not_there_or_dies_is_said_as_before() {
    let missing =
        "[stage.a]\nkind = \"command\"\nprogram = \"no-such-program\"\noutputs = [\"o\"]\n";
    for (text, said) in [
        (missing.to_owned(), "cannot run `no-such-program`: not found on PATH"),
        (stage("a", "", "exit 3", ""), "`sh` failed: exit status: 3"),
        (stage("a", "", "kill -9 $$", ""), "`sh` failed: signal: 9"),
    ] {
        let failed = Bench::with(&text).run();
        assert_eq!(failed.status, Some(1));
        assert!(failed.words.contains(said), "{}", failed.words);
    }
}

#[test]
fn limits_beyond_every_clock_and_counter_are_errors_of_the_recipe() {
    for (field, expected) in [
        ("timeout = 1e19", "1 ms to 36500 d is expected"),
        ("timeout = 1e-9", "1 ms to 36500 d is expected"),
        ("timeout = 1e300", "1 ms to 36500 d is expected"),
        ("retries = 9000000000000000000", "1000"),
        ("retries = 4294967296", "1000"),
    ] {
        let bench = Bench::with(&stage("a", "", "echo x > o", field));
        let ran = bench.run();
        assert_eq!(ran.status, Some(2), "{field}: {}", ran.words);
        assert!(ran.words.contains(expected), "{field}: {}", ran.words);
    }
    assert_eq!(
        Bench::with(&stage("a", "", "echo x > o", "timeout = \"36500 d\"\nretries = 1000"))
            .run()
            .status,
        Some(0)
    );
}

/// Limits on processes and files: errors are reported, nothing hangs or panics, and retries wait
/// for resources.
#[test]
fn few_processes_or_files_are_errors_in_words() {
    let bench = Bench::with(&stage("a", "", "echo x > o", ""));
    for limit in ["-n 6", "-n 9", "-n 12", "-n 16", "-n 24", "-u 1", "-u 2", "-u 3", "-u 5", "-u 8"]
    {
        let folder = tempfile::tempdir().unwrap();
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o777)).unwrap();
        let program = folder.path().join("apeft");
        fs::copy(&bench.program, &program).unwrap();
        fs::copy(bench.path("recipe.toml"), folder.path().join("recipe.toml")).unwrap();
        let mut command = Command::new("bash");
        command
            .args(["-c", &format!("ulimit {limit}; exec ./apeft run recipe.toml")])
            .current_dir(folder.path());
        if rustix::process::getuid().is_root() {
            // Root has no limit on processes; this user id is not in use.
            command.uid(64_321);
        }
        let output = command.stdin(Stdio::null()).env_remove("RUST_LOG").output().unwrap();
        let words = String::from_utf8_lossy(&output.stderr);
        assert!(
            output.status.code().is_some_and(|code| code <= 3),
            "{limit}: {:?} {words}",
            output.status
        );
        assert!(!words.contains("panicked"), "{limit}: {words}");
        let name = format!("`ulimit {}`", limit.split(' ').next().unwrap());
        assert!(output.status.success() || words.contains(&name), "{limit}: {words}");
    }
}

/// An attempt's job is an unnamed file; without a folder for such files no process can be started.
#[test]
fn a_process_that_could_not_be_started_is_tried_again_a_little_later() {
    let bench = Bench::with(&stage("a", "", "echo x > o", "retries = 5"));
    let mut command = bench.command(&["run", "recipe.toml", "--json"]);
    let said = fs::File::create(bench.path("said")).unwrap();
    let run = command.env("TMPDIR", bench.path("tmp")).stderr(said).spawn().unwrap();
    let began = Instant::now();
    while !fs::read_to_string(bench.path("said")).unwrap().contains("could not be started") {
        assert!(began.elapsed() < Duration::from_secs(30));
        thread::sleep(Duration::from_millis(5));
    }
    fs::create_dir(bench.path("tmp")).unwrap();
    let ran = end(run);
    assert_eq!((ran.status, ran.left("a").as_str()), (Some(0), "x"));
    // A process that can never be started is a failure, not an interruption.
    let bench = Bench::with(&stage("a", "", "echo x > o", "retries = 1"));
    let mut command = bench.command(&["run", "recipe.toml", "--json"]);
    let never = ran_of(command.env("TMPDIR", bench.path("tmp")));
    assert_eq!((never.status, never.outcome("a")), (Some(1), "failed"), "{}", never.words);
}

#[test]
fn a_gpu_that_is_not_there_is_refused_before_anything_runs() {
    let first = stage("first", "", "echo x > o; echo > HERE/began", "");
    let model = "[stage.model]\nkind = \"sample\"\nmodel = { path = \"m\" }\nprompts = { path = \
    \"p.jsonl\" }\ndevice = \"cuda:77\"\n";
    let bench = Bench::with(&[first, model.to_owned()].concat());
    symlink(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/tiny-llama"), bench.path("m"))
        .unwrap();
    bench.write(
        "p.jsonl",
        "{\"id\":\"a\",\"prompt\":\"Who?\",\"topic\":\"Ada\",\"domain\":\"people\"}\n",
    );
    let run = bench.run();
    assert_eq!(run.status, Some(1), "{}", run.words);
    assert!(run.words.contains("its device is `cuda:77`"), "{}", run.words);
    assert!(!bench.path("began").exists(), "a stage ran: {}", run.words);
    let validated = bench.command(&["validate", "recipe.toml"]).output().unwrap();
    let expected = if cfg!(feature = "cuda") { Some(0) } else { Some(2) };
    assert_eq!(validated.status.code(), expected, "{}", String::from_utf8_lossy(&validated.stderr));
}

/// Sum of a product's element as the backend name describes it: blocks of equal length, each summed
/// in order with one rounding per step, then added to the previous blocks.
#[test]
fn products_are_added_up_as_the_name_says() {
    const INNER: usize = 5000;
    let (units, most) = arithmetic().split_once("+k").unwrap();
    let most: usize = most.trim_end_matches("+fused3").parse().unwrap();
    assert!(most >= 512, "{most}");
    if !(units.starts_with("avx512") || units.starts_with("avx2")) {
        return;
    }
    // More than 64 rows or columns, below which every processor has blocks of 512.
    let (rows, columns) = (70, 90);
    let value = |index: usize| ((index * 7919 + 13) % 1009) as f32 / 1009.0 - 0.5;
    let left: Vec<f32> = (0..rows * INNER).map(value).collect();
    let right: Vec<f32> = (0..INNER * columns).map(|index| value(index + 31)).collect();
    let tensor = |values: &[f32], shape: [usize; 2]| {
        Tensor::<2>::from_data(TensorData::new(values.to_vec(), shape), &Device::flex())
    };
    let product = tensor(&left, [rows, INNER]).matmul(tensor(&right, [INNER, columns]));
    let found = product.into_data().try_to_vec::<f32>().unwrap();
    let block = INNER.div_ceil(INNER.div_ceil(most));
    for (row, column) in [(0, 0), (1, 3), (69, 89), (35, 88), (63, 6), (64, 0)] {
        let mut sum = 0.0_f32;
        for start in (0..INNER).step_by(block) {
            let mut part = 0.0_f32;
            for inner in start..INNER.min(start + block) {
                part = left[row * INNER + inner].mul_add(right[inner * columns + column], part);
            }
            sum += part;
        }
        let got = found[row * columns + column];
        assert_eq!(got.to_bits(), sum.to_bits(), "{row}, {column}: {got} {sum} ({})", arithmetic());
    }
}

/// All fingerprints of a plan by stage name; every input has the same contents.
fn fingerprints(plan: &Plan) -> BTreeMap<String, Fingerprint> {
    let content = InputContent { digest: Digest::from_bytes([1; 32]), extension: None };
    let stages = plan.order.iter().map(|node| &plan.graph[*node]);
    let fingerprint = |stage: &apeft::plan::PlannedStage| {
        let contents = vec![content.clone(); stage.inputs.len()];
        (stage.name.clone(), Fingerprint::of(stage, &contents))
    };
    stages.map(fingerprint).collect()
}

#[test]
fn the_order_of_a_list_matters_only_where_it_means_something() {
    let read = |arguments: &str, outputs: &str| {
        let bench = Bench::with(&format!(
            "[stage.a]\nkind = \"command\"\nprogram = \"sh\"\narguments = [{arguments}]\noutputs \
            = [{outputs}]\n"
        ));
        let recipe = Recipe::load(&bench.path("recipe.toml"), &[]).unwrap();
        fingerprints(&plan(&recipe, &registry::catalogue(), None).unwrap())
    };
    let first = read("\"-c\", \"true\"", "\"x\", \"y\"");
    assert_eq!(first, read("\"-c\", \"true\"", "\"y\", \"x\", \"y\""));
    assert_ne!(first, read("\"true\", \"-c\"", "\"x\", \"y\""));
    assert_ne!(first, read("\"-c\", \"true\"", "\"x\""));
}

/// The resolved recipe has every default; every kind but `command` and `import` is in these
/// recipes.
#[test]
fn a_default_that_is_written_out_leaves_every_key() {
    let recipes = Path::new(env!("CARGO_MANIFEST_DIR")).join("recipes");
    let mut kinds = std::collections::BTreeSet::new();
    let mut written = 0;
    for entry in fs::read_dir(&recipes).unwrap().map(Result::unwrap) {
        let path = entry.path();
        if path.extension().is_none_or(|end| end != "toml") {
            continue;
        }
        let read = |path: &Path| plan(&Recipe::load(path, &[])?, &registry::catalogue(), None);
        let Ok(first) = read(&path) else { continue };
        let folder = tempfile::tempdir().unwrap();
        let resolved = folder.path().join("resolved.toml");
        fs::write(&resolved, &first.resolved).unwrap();
        written += first.resolved.lines().count();
        let second =
            read(&resolved).unwrap_or_else(|problems| panic!("{}: {problems}", path.display()));
        kinds.extend(first.order.iter().map(|node| first.graph[*node].kind.name));
        assert_eq!(fingerprints(&first), fingerprints(&second), "{}", path.display());
    }
    assert!(kinds.len() >= 14, "{kinds:?}");
    assert!(written > 1000, "{written}");
}
