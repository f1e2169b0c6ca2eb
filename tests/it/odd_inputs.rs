//! Unexpected inputs of every command: each ends with a message and a status listed in the README.

use std::{
    fs,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

/// A folder with files and folders of unexpected types.
struct Odd {
    folder: tempfile::TempDir,
    names: Vec<String>,
}

fn tiny() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/tiny-llama")
}

fn contents() -> Vec<(&'static str, Vec<u8>)> {
    let utf16 = "name = \"x\"".encode_utf16().flat_map(u16::to_le_bytes).collect();
    vec![
        ("empty", Vec::new()),
        ("zeros", vec![0; 100]),
        ("bytes", (0..=255).collect()),
        ("utf16", utf16),
        ("object", b"{}\n".to_vec()),
        ("list", b"[]\n".to_vec()),
        ("null", b"null\n".to_vec()),
        ("number", b"1e999\n".to_vec()),
        ("deep", vec![b'['; 100_000]),
        ("deep_object", b"{\"a\":".repeat(50_000)),
        ("cut", b"{\"prompt\": \"a\", \"chosen\"".to_vec()),
        ("lines", b"\n\n\n".to_vec()),
        (
            "half_a_letter",
            b"{\"prompt\":\"\\ud800\",\"chosen\":\"b\",\"rejected\":\"c\"}\n".to_vec(),
        ),
        ("large_number", b"{\"prompt\": 1e400}\n".to_vec()),
    ]
}

impl Odd {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut names = Vec::new();
        for (name, bytes) in contents() {
            fs::write(folder.path().join(name), bytes).unwrap();
            names.push(name.to_owned());
        }
        fs::create_dir(folder.path().join("folder")).unwrap();
        symlink("nowhere", folder.path().join("dangling")).unwrap();
        symlink("circle", folder.path().join("circle")).unwrap();
        names.extend(["folder", "dangling", "circle", "missing"].map(str::to_owned));
        let recipe = "name = \"good\"\n[stage.a]\nkind = \"command\"\nprogram = \
        \"sh\"\narguments = [\"-c\", \"echo x > o\"]\noutputs = [\"o\"]\n";
        fs::write(folder.path().join("good.toml"), recipe).unwrap();
        let pair = "{\"prompt\":\"Who?\",\"chosen\":\"A\",\"rejected\":\"B\"}\n";
        fs::write(folder.path().join("pairs.jsonl"), pair).unwrap();
        Self { folder, names }
    }

    /// Runs a command; it must end with a message.
    fn call(&self, arguments: &[&str]) -> i32 {
        let mut command = Command::new(env!("CARGO_BIN_EXE_apeft"));
        command.args(arguments).current_dir(self.folder.path()).stdin(Stdio::null());
        let output = command.env_remove("APEFT_CACHE").env_remove("RUST_LOG").output().unwrap();
        let words = String::from_utf8_lossy(&output.stderr);
        let status = output
            .status
            .code()
            .unwrap_or_else(|| panic!("{arguments:?}: {:?} {words}", output.status));
        assert!([0, 1, 2, 3].contains(&status), "{arguments:?}: {status} {words}");
        assert!(
            !words.contains("panicked") && !words.contains("internal error"),
            "{arguments:?}: {words}"
        );
        assert!(status == 0 || !words.trim().is_empty(), "{arguments:?}: {status} without a word");
        status
    }

    /// Runs a command that must reject its input.
    fn refuses(&self, arguments: &[&str]) {
        let status = self.call(arguments);
        assert_ne!(status, 0, "{arguments:?}");
    }
}

#[test]
fn files_of_any_content_are_refused_in_words() {
    let odd = Odd::new();
    let model = tiny();
    let model = model.to_str().unwrap();
    for name in &odd.names {
        for command in ["run", "sweep", "plan", "validate", "dag"] {
            odd.refuses(&[command, name]);
        }
        odd.refuses(&["explain", name, "a"]);
        odd.refuses(&["generate", name, "--prompt", "x"]);
        odd.refuses(&["generate", model, "--prompt", "x", "--adapter", name]);
        odd.refuses(&["convert", name, "converted"]);
        odd.refuses(&["bench", "--model", name]);
        odd.refuses(&["logprobs", name, "--pairs", "pairs.jsonl"]);
        odd.refuses(&["logprobs", model, "--pairs", name]);
        for command in [
            &["run", "good.toml"][..],
            &["plan", "good.toml"],
            &["cache", "ls"],
            &["cache", "verify"],
        ] {
            odd.call(&[command, &["--cache", name]].concat());
        }
        for command in
            [&["status"][..], &["logs", "a"], &["report"], &["compare", "good"], &["cache", "gc"]]
        {
            odd.call(&[command, &["--experiments", name]].concat());
        }
        for command in [
            &["status"][..],
            &["logs"],
            &["report"],
            &["compare", "good"],
            &["explain", "good.toml"],
        ] {
            odd.refuses(&[command, &[name.as_str()]].concat());
        }
    }
}

#[test]
fn numbers_beyond_all_bounds_are_refused_in_words() {
    let odd = Odd::new();
    let model = tiny();
    let generate = ["generate", model.to_str().unwrap(), "--prompt", "x", "--max-new", "1"];
    let bench = ["bench", "--seconds", "0.001", "--shape", "quickstart"];
    let beyond = ["-1", "18446744073709551616", "1e30", "nan", "inf", "", "x", "٣"];
    for value in beyond {
        for option in [
            "--n",
            "--batch",
            "--top-k",
            "--seed",
            "--top-p",
            "--min-p",
            "--temperature",
            "--repetition-penalty",
        ] {
            odd.refuses(&[&generate[..], &[option, value]].concat());
        }
        for option in ["--batch", "--new", "--rounds"] {
            odd.refuses(&[&bench[..], &[option, value]].concat());
        }
        odd.refuses(&["bench", "--rounds", "1", "--batch", "1", "--new", "1", "--seconds", value]);
        odd.refuses(&[
            "logprobs",
            model.to_str().unwrap(),
            "--pairs",
            "pairs.jsonl",
            "--batch-tokens",
            value,
        ]);
        odd.refuses(&["convert", model.to_str().unwrap(), "converted", "--shard-mb", value]);
        odd.refuses(&["cache", "gc", "--keep", value]);
        for option in
            ["--jobs", "--seeds", "--device", "--until", "--only", "--force", "--executor"]
        {
            odd.refuses(&["run", "good.toml", option, value]);
        }
        for field in ["timeout", "retries", "resources.cpus", "resources.gpus"] {
            odd.refuses(&["run", "good.toml", "--set", &format!("stage.a.{field}={value}")]);
        }
    }
    // More answers, or concurrent texts, than fit into memory.
    odd.refuses(&[&generate[..], &["--n", "4294967295"]].concat());
    odd.refuses(&[&bench[..], &["--batch", "18446744073709551615"]].concat());
    odd.refuses(&[&bench[..], &["--new", "18446744073709551615"]].concat());
}
