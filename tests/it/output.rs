//! Unreadable or full outputs do not change how a command ends.

use std::{
    fs,
    io::{BufRead, BufReader, Seek, SeekFrom, Write},
    path::PathBuf,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use serde_json::{Value, json};

/// A folder with a recipe that runs, one that fails, one that is invalid, and two runs.
struct Bench {
    folder: tempfile::TempDir,
}

impl Bench {
    fn new() -> Self {
        let bench = Self { folder: tempfile::tempdir().unwrap() };
        let stage = |name: &str, script: &str| {
            format!(
                "name = \"{name}\"\n[stage.a]\nkind = \"command\"\nprogram = \"sh\"\narguments = \
                [\"-c\", \"{script}\"]\noutputs = [\"o\"]\n"
            )
        };
        bench.write("good.toml", &stage("good", "echo printed; echo x > o"));
        bench.write("failing.toml", &stage("failing", "exit 3"));
        bench.write("wrong.toml", "name = \"wrong\"\n[stage.a]\nkind = \"comand\"\n");
        bench.write(
            "pairs.jsonl",
            &format!("{}\n", json!({"prompt": "Who?", "chosen": "A", "rejected": "B"})),
        );
        for recipe in ["failing.toml", "good.toml"] {
            bench.command("run", &[recipe]).output().unwrap();
        }
        bench
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn write(&self, name: &str, text: &str) {
        fs::write(self.path(name), text).unwrap();
    }

    /// `MODEL` stands for a small model, `NEW` for a new folder.
    fn command(&self, name: &str, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_apeft"));
        let _ = fs::remove_dir_all(self.path("new"));
        let filled = arguments.iter().map(|argument| match *argument {
            "MODEL" => concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/tiny-llama"),
            "NEW" => "new",
            other => other,
        });
        command.arg(name).args(filled).current_dir(self.folder.path());
        command.env_remove("APEFT_CACHE").env_remove("RUST_LOG").stdin(Stdio::null());
        command
    }
}

/// A pipe without a reader.
fn unread() -> Stdio {
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    writer.into()
}

/// A file on a full disk.
fn full() -> Stdio {
    fs::File::options().write(true).open("/dev/full").unwrap().into()
}

#[test]
fn commands_end_alike_whoever_reads_what_they_say() {
    let bench = Bench::new();
    let commands: &[(&str, &[&str], i32)] = &[
        ("run", &["good.toml"], 0),
        ("run", &["good.toml", "--force", "a", "--json"], 0),
        ("run", &["failing.toml", "--json"], 1),
        ("run", &["wrong.toml"], 2),
        ("sweep", &["good.toml"], 0),
        ("plan", &["good.toml", "--json"], 0),
        ("plan", &["failing.toml"], 0),
        ("validate", &["good.toml", "--json"], 0),
        ("validate", &["wrong.toml", "--json"], 2),
        ("explain", &["failing.toml", "a"], 0),
        ("explain", &["good.toml", "a", "--json"], 0),
        ("dag", &["good.toml"], 0),
        ("status", &["good"], 0),
        ("status", &["failing", "--json"], 0),
        ("status", &["nothing"], 2),
        ("logs", &["a"], 0),
        ("logs", &["b"], 2),
        ("report", &["good"], 0),
        ("report", &["good:a"], 0),
        ("runs", &[], 0),
        ("runs", &["good", "--json"], 0),
        ("path", &["good"], 0),
        ("path", &["good:a"], 0),
        ("path", &["good", "b"], 2),
        ("completions", &["bash"], 0),
        ("man", &[], 0),
        ("compare", &["good", "failing"], 0),
        ("compare", &["good", "failing", "--csv"], 0),
        ("compare", &["good", "failing", "--json"], 0),
        ("compare", &["good"], 2),
        ("cache", &["ls"], 0),
        ("cache", &["ls", "--json"], 0),
        ("cache", &["verify"], 0),
        ("cache", &["gc", "--dry-run"], 0),
        ("schema", &[], 0),
        ("init", &["NEW"], 0),
        ("generate", &["MODEL", "--prompt", "Who?", "--max-new-tokens", "2"], 0),
        ("generate", &["MODEL", "--prompt", "Who?", "--max-new-tokens", "2", "--json"], 0),
        ("generate", &["nowhere", "--prompt", "Who?"], 2),
        ("logprobs", &["MODEL", "--pairs", "pairs.jsonl"], 0),
        ("convert", &["MODEL", "NEW"], 0),
        ("doctor", &[], 0),
        ("doctor", &["--json"], 0),
        ("bench", &["--rounds", "1", "--seconds", "0.001", "--batch", "1", "--new", "1"], 0),
        ("--help", &[], 0),
        ("no-such-command", &[], 2),
    ];
    for (name, arguments, expected) in commands {
        let ended = |stdout: Stdio, stderr: Stdio| {
            let output =
                bench.command(name, arguments).stdout(stdout).stderr(stderr).output().unwrap();
            let words = String::from_utf8_lossy(&output.stderr).into_owned();
            assert!(!words.contains("panicked"), "{name} {arguments:?}: {words}");
            (output.status.code(), output.stdout, words)
        };
        let heard = ended(Stdio::piped(), Stdio::piped());
        assert_eq!(heard.0, Some(*expected), "{name} {arguments:?}: {}", heard.2);
        for (what, stdout, stderr) in [
            ("nobody hears it", Stdio::piped(), unread()),
            ("stderr is full", Stdio::piped(), full()),
            ("nobody reads its results", unread(), Stdio::piped()),
            ("nobody reads anything", unread(), unread()),
        ] {
            let (status, ..) = ended(stdout, stderr);
            assert_eq!(status, Some(*expected), "{name} {arguments:?}, {what}");
        }
        // Lost results are an error, unless there were none; clap handles its own texts.
        let (status, _, words) = ended(full(), Stdio::piped());
        let is_lost = !heard.1.is_empty() && *name != "--help";
        assert_eq!(
            status,
            Some(if is_lost { 2 } else { *expected }),
            "{name} {arguments:?}: {words}"
        );
        assert_eq!(
            words.contains("cannot write to stdout: No space left on device"),
            is_lost,
            "{name}: {words}"
        );
    }
}

/// `apeft plan recipe.toml > plan.txt` keeps the plan, and nothing else is printed.
#[test]
fn results_are_on_stdout_and_messages_are_not() {
    let bench = Bench::new();
    assert!(bench.command("run", &["good.toml"]).output().unwrap().status.success());
    for (name, arguments, expected) in [
        ("plan", &["good.toml"][..], "cached"),
        ("validate", &["good.toml"], "ok"),
        ("explain", &["good.toml", "a"], "a: cached in"),
        ("status", &["good"], "done"),
        ("cache", &["ls"], "artifacts in"),
        ("cache", &["verify"], "everything matches"),
        ("cache", &["du"], "total"),
        ("cache", &["gc", "--dry-run"], "would be freed"),
    ] {
        let output = bench.command(name, arguments).output().unwrap();
        let [result, messages] =
            [output.stdout, output.stderr].map(|bytes| String::from_utf8(bytes).unwrap());
        assert!(result.contains(expected), "{name} {arguments:?}: {result}");
        assert_eq!(messages, "", "{name} {arguments:?}");
    }
}

/// More than fits into memory or could be read in time: the requested part must come quickly.
#[test]
fn a_log_without_end_is_shown_from_its_beginning() {
    let bench = Bench::new();
    let status = bench.command("status", &["good", "--json"]).output().unwrap();
    let folder = serde_json::from_slice::<Value>(&status.stdout).unwrap()["folder"]
        .as_str()
        .unwrap()
        .to_owned();
    let logs = fs::read_dir(bench.path(&folder).join("logs")).unwrap();
    let log = logs.map(|entry| entry.unwrap().path()).next().unwrap();
    let mut file = fs::File::options().write(true).open(&log).unwrap();
    file.seek(SeekFrom::Start(1 << 41)).unwrap();
    file.write_all(b"the end\n").unwrap();
    let mut child = bench
        .command("logs", &["a", "--run", "good"])
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut reader = BufReader::new(child.stdout.take().unwrap());
    let mut first = String::new();
    reader.read_line(&mut first).unwrap();
    drop(reader);
    assert_eq!((first.as_str(), child.wait().unwrap().code()), ("printed\n", Some(0)));
}

#[test]
fn logs_that_are_followed_go_on_through_all_attempts() {
    let bench = Bench::new();
    let script = "n=$(cat HERE/n || echo 0); echo $((n + 1)) > HERE/n; echo attempt $n; sleep \
    0.4; [ $n = 2 ] && echo x > o";
    let script = script.replace("HERE", bench.folder.path().to_str().unwrap());
    bench.write(
        "retried.toml",
        &format!(
            "name = \"retried\"\n[stage.r]\nkind = \"command\"\nprogram = \"sh\"\narguments = \
            [\"-c\", \"{script}\"]\noutputs = [\"o\"]\nretries = 2\n"
        ),
    );
    let mut run = bench.command("run", &["retried.toml"]).stderr(Stdio::null()).spawn().unwrap();
    let began = Instant::now();
    while !bench.path("n").exists() {
        assert!(began.elapsed() < Duration::from_secs(60));
        std::thread::sleep(Duration::from_millis(5));
    }
    let followed = bench.command("logs", &["r", "--follow"]).output().unwrap();
    let said = String::from_utf8(followed.stdout).unwrap();
    let attempts: Vec<&str> = said.lines().filter(|line| line.starts_with("attempt")).collect();
    assert_eq!(attempts, ["attempt 0", "attempt 1", "attempt 2"], "{said}");
    assert_eq!((followed.status.code(), run.wait().unwrap().code()), (Some(0), Some(0)));
}

/// `doctor` names the arithmetic that is part of keys, as the README says.
#[test]
fn doctor_names_the_arithmetic_that_is_in_keys() {
    let bench = Bench::new();
    let output = bench.command("doctor", &["--json"]).output().unwrap();
    let said: Value = serde_json::from_slice(&output.stdout).unwrap();
    let backend = said["backend"].as_str().unwrap();
    assert_eq!(backend, format!("cpu+{}", apeft::model::arithmetic()));
    let stage = "kind = \"sample\"\nmodel = { path = \"MODEL\" }\nprompts = { path = \
    \"prompts.jsonl\" }\nmax_new_tokens = 1\n";
    let model = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/tiny-llama");
    bench.write(
        "model.toml",
        &format!("name = \"model\"\nseeds = [0]\n[stage.s]\n{}", stage.replace("MODEL", model)),
    );
    let prompt = json!({"id": "ada", "prompt": "Who?", "topic": "Ada", "domain": "people"});
    bench.write("prompts.jsonl", &format!("{prompt}\n"));
    let output = bench.command("run", &["model.toml", "--json"]).output().unwrap();
    let outcome: Value = serde_json::from_slice(&output.stdout).unwrap();
    let files = PathBuf::from(outcome["stages"][0]["artifact"].as_str().unwrap());
    let key =
        fs::read_to_string(bench.folder.path().join(files).with_file_name("key.json")).unwrap();
    assert_eq!(serde_json::from_str::<Value>(&key).unwrap()["backend"], backend, "{key}");
}
