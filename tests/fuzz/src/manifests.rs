//! Reads damaged manifests of an artifact: one that was changed is never taken for whole, and
//! nothing panics.

#![no_main]

use std::{fs, path::PathBuf, sync::LazyLock};

use apeft::{
    digest::digest_value,
    store::{Lookup, Store},
};
use libfuzzer_sys::fuzz_target;
use tempfile::TempDir;

/// A store with one artifact, the path of its manifest, and the text of it.
struct Sealed {
    folder: TempDir,
    path: PathBuf,
    text: Vec<u8>,
}

static SEALED: LazyLock<Sealed> = LazyLock::new(|| {
    let folder = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap();
    let store = Store::open(folder.path()).unwrap();
    let key = digest_value("key", &"fuzzed".into());
    let draft = store.draft(store.lock(&key, |_| ()).unwrap()).unwrap();
    fs::write(draft.files().join("o"), "x\n").unwrap();
    store.commit(draft, &"fuzzed".into()).unwrap();
    let path = store.folder_of(&key).join("manifest.json");
    let text = fs::read(&path).unwrap();
    Sealed { folder, path, text }
});

fn seed_corpus() {
    fs::write("corpus/manifests/seed", &SEALED.text).unwrap();
}

fuzz_target!(init: seed_corpus(), |input: &[u8]| {
    let Sealed { folder, path, text } = &*SEALED;
    // Read-only, as every file of an artifact, so that it is replaced.
    let _ = fs::remove_file(path);
    fs::write(path, input).unwrap();
    let store = Store::look(folder.path(), false).unwrap();
    let found = store.find(&digest_value("key", &"fuzzed".into())).unwrap();
    assert_eq!(matches!(found, Lookup::Found(_)), input == text, "{found:?}");
    let _ = (store.list(), store.verify());
});
