//! Reads damaged journals: errors are fine, panics are not, and readable events survive.

#![no_main]

use std::{fs, sync::LazyLock};

use apeft::schedule::journal;
use libfuzzer_sys::fuzz_target;
use tempfile::TempDir;

static EXPERIMENTS: LazyLock<TempDir> = LazyLock::new(|| {
    let folder = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap();
    fs::create_dir_all(folder.path().join("recipe/run")).unwrap();
    folder
});

fn seed_corpus() {
    let journal = concat!(
        r#"{"time":1.5,"event":"run_started","run":"20260101-000000","recipe":"smoke","process":1}"#,
        "\n",
        r#"{"time":2.0,"event":"stage_started","stage":"base","attempt":1}"#,
        "\n",
        r#"{"time":3.0,"event":"stage_finished","stage":"base","seconds":1.0}"#,
        "\n"
    );
    fs::write("corpus/journals/seed", journal).unwrap();
}

fuzz_target!(init: seed_corpus(), |input: &[u8]| {
    let run = EXPERIMENTS.path().join("recipe/run");
    fs::write(run.join("events.jsonl"), input).unwrap();
    let _ = journal::read(&run);
    let _ = journal::runs(EXPERIMENTS.path());
    let _ = journal::is_alive(&run);
});
