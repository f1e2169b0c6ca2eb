//! The store as seen by its users: committed artifacts are found, and altered ones are never
//! served.

use std::{
    collections::BTreeSet,
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    sync::atomic::{AtomicUsize, Ordering},
};

use apeft::{
    digest::{Digest, digest_value},
    store::{Artifact, Claims, EVERY_FILE, LiveRoots, Lookup, Store},
};
use serde_json::json;

fn key(name: &str) -> Digest {
    digest_value("key", &json!(name))
}

fn make(store: &Store, name: &str, files: &[(&str, &str)]) -> Artifact {
    let draft = store.draft(store.lock(&key(name), |_| {}).unwrap()).unwrap();
    for (file, content) in files {
        let path = draft.files().join(file);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }
    store.commit(draft, &json!({"kind": "test", "name": name})).unwrap()
}

fn found(store: &Store, name: &str) -> Option<Artifact> {
    match store.find(&key(name)).unwrap() {
        Lookup::Found(artifact) => Some(artifact),
        _ => None,
    }
}

fn all_files(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { files.extend(all_files(&path)) } else { files.push(path) }
    }
    files
}

/// Makes read-only files writable, to damage a store.
fn overwrite(file: &Path, bytes: impl AsRef<[u8]>) {
    if let Ok(metadata) = fs::metadata(file) {
        let mode = metadata.permissions().mode() | 0o200;
        fs::set_permissions(file, fs::Permissions::from_mode(mode)).unwrap();
    }
    fs::write(file, bytes).unwrap();
}

fn small_store(root: &Path) -> Store {
    let store = Store::open(root).unwrap();
    make(
        &store,
        "one",
        &[
            ("pairs.jsonl", "{\"prompt\": \"a\"}\n"),
            ("deep/er/model.bin", "weights"),
            ("empty", ""),
        ],
    );
    make(&store, "two", &[("scores.json", "{}\n")]);
    // Recent files are remembered only once their next change is detectable.
    std::thread::sleep(std::time::Duration::from_millis(100));
    assert!(found(&store, "one").is_some() && found(&store, "two").is_some());
    store.save_memo();
    store
}

#[test]
fn every_flipped_bit_and_every_cut_in_every_file_is_found_and_never_served() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("cache");
    let store = small_store(&root);
    let stale = root.join("v1/locks").join(key("five").to_string());
    let lock = store.lock(&key("five"), |_| {}).unwrap();
    let signature = fs::read(&stale).unwrap();
    drop(lock);
    fs::write(&stale, signature).unwrap();
    assert_eq!(store.verify().unwrap().problems, []);
    let files = all_files(&root);
    assert_eq!(files.len(), 12, "{files:#?}");
    for file in files {
        let good = fs::read(&file).unwrap();
        for position in 0..good.len() {
            let mut bad = good.clone();
            bad[position] ^= 1 << (position % 8);
            overwrite(&file, &bad);
            assert_eq!(
                store.verify().unwrap().problems.len(),
                1,
                "{} flipped at {position}",
                file.display()
            );
            if file == stale && position == 0 {
                continue;
            }
            overwrite(&file, &good[..position]);
            assert_eq!(
                store.verify().unwrap().problems.len(),
                1,
                "{} cut at {position}",
                file.display()
            );
        }
        fs::remove_file(&file).unwrap();
        if !file.ends_with("memo") && file != stale {
            assert_eq!(store.verify().unwrap().problems.len(), 1, "{} removed", file.display());
        }
        overwrite(&file, &good);
    }
    assert_eq!(store.verify().unwrap().problems, []);
}

#[test]
fn a_damaged_artifact_is_moved_aside_whatever_part_of_it_is_damaged() {
    let folder = tempfile::tempdir().unwrap();
    let count = {
        let store = small_store(&folder.path().join("count"));
        all_files(&store.folder_of(&key("one"))).len()
    };
    for index in 0..count {
        for damage in ["flip", "cut", "remove", "extra"] {
            let root = folder.path().join(format!("{index}-{damage}"));
            let store = small_store(&root);
            let mut files = all_files(&store.folder_of(&key("one")));
            files.sort();
            let mut bytes = fs::read(&files[index]).unwrap();
            match damage {
                "remove" => fs::remove_file(&files[index]).unwrap(),
                "extra" => fs::write(files[index].with_extension("extra"), "").unwrap(),
                _ if bytes.is_empty() => continue,
                "flip" => {
                    bytes[0] ^= 4;
                    overwrite(&files[index], &bytes);
                }
                _ => overwrite(&files[index], &bytes[1..]),
            }
            let store = Store::open(&root).unwrap();
            let Lookup::Damaged { moved_to, .. } = store.find(&key("one")).unwrap() else {
                panic!("{} with {damage} was served", files[index].display());
            };
            assert!(moved_to.is_dir());
            assert!(matches!(store.find(&key("one")).unwrap(), Lookup::Absent));
            assert!(found(&store, "two").is_some());
            make(&store, "one", &[("a", "b")]);
            assert!(found(&store, "one").is_some());
        }
    }
}

#[test]
fn a_hit_hashes_nothing_that_looks_as_it_did() {
    let folder = tempfile::tempdir().unwrap();
    let store = small_store(folder.path());
    let memo = fs::read(folder.path().join("v1/memo")).unwrap();
    let again = Store::open(folder.path()).unwrap();
    assert!(found(&again, "one").is_some() && found(&again, "two").is_some());
    assert_eq!(again.learnt(), Vec::<String>::new(), "everything was known");
    again.save_memo();
    assert_eq!(fs::read(folder.path().join("v1/memo")).unwrap(), memo);
    drop(store);
    let verify_on_read = Store::open_verifying(folder.path()).unwrap();
    assert!(found(&verify_on_read, "one").is_some());
}

#[test]
fn an_artifact_that_was_looked_up_is_known_by_one_entry_until_a_stamp_changes() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("cache");
    drop(small_store(&root));
    let memo = fs::read_to_string(root.join("v1/memo")).unwrap();
    assert_eq!(memo.lines().filter(|line| line.contains(" key.json ")).count(), 2, "{memo}");
    // The same contents under another stamp are compared and remembered again.
    let store = Store::open(&root).unwrap();
    let file = store.folder_of(&key("one")).join("key.json");
    fs::set_permissions(&file, fs::Permissions::from_mode(0o400)).unwrap();
    std::thread::sleep(std::time::Duration::from_millis(100));
    assert!(found(&store, "one").is_some());
    assert_eq!(store.learnt().len(), 2, "the file and the artifact");
    store.save_memo();
    // Each is whole, but under the key of the other.
    let [one, two] = ["one", "two"].map(|name| store.folder_of(&key(name)));
    let aside = folder.path().join("aside");
    fs::rename(&one, &aside).unwrap();
    fs::rename(&two, &one).unwrap();
    fs::rename(&aside, &two).unwrap();
    let store = Store::open(&root).unwrap();
    for name in ["one", "two"] {
        let Lookup::Damaged { problem, .. } = store.find(&key(name)).unwrap() else {
            panic!("{name} was served");
        };
        assert_eq!(problem, "manifest.json belongs to another key");
    }
}

#[test]
fn digests_follow_contents_and_the_patterns() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(&folder.path().join("cache")).unwrap();
    let one = make(&store, "one", &[("a.json", "1"), ("b.txt", "2")]);
    let two = make(&store, "two", &[("a.json", "1"), ("b.txt", "3")]);
    assert_eq!(one.digest_of(&["*.json"]), two.digest_of(&["*.json"]));
    assert_ne!(one.digest_of(EVERY_FILE), two.digest_of(&["*"]));
    assert_eq!(one.digest_of(EVERY_FILE), Some(store.digest_path(&one.files(), &["*"]).unwrap()));
    assert_eq!(one.digest_of(&["nothing.json"]), None, "what is not there has no digest");
    let file = folder.path().join("elsewhere");
    fs::write(&file, "1").unwrap();
    let digest = store.digest_path(&file, &["*.json"]).unwrap();
    assert_eq!(digest, store.digest_path(&one.files().join("a.json"), EVERY_FILE).unwrap());
    assert_eq!(digest.to_string(), blake3::hash(b"1").to_string());
    let error = store.digest_path(&one.files(), &["model.safetensors"]).unwrap_err();
    assert!(error.to_string().ends_with("holds no file named model.safetensors"), "{error}");
}

#[test]
fn a_lock_is_exclusive_and_leaves_nothing_behind() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path()).unwrap();
    let (inside, most) = (AtomicUsize::new(0), AtomicUsize::new(0));
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                for _ in 0..50 {
                    let lock = store.lock(&key("one"), |_| {}).unwrap();
                    most.fetch_max(inside.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                    inside.fetch_sub(1, Ordering::SeqCst);
                    drop(lock);
                }
            });
        }
    });
    assert_eq!(most.into_inner(), 1);
    assert_eq!(fs::read_dir(folder.path().join("v1/locks")).unwrap().count(), 0);
    let held = store.try_lock(&key("one")).unwrap();
    assert!(held.is_some() && store.try_lock(&key("one")).unwrap().is_none());
    std::thread::scope(|scope| {
        let mut holder = String::new();
        let waiter = scope.spawn(|| {
            store.lock(&key("one"), |who| holder = who.to_owned()).unwrap();
            holder
        });
        std::thread::sleep(std::time::Duration::from_millis(50));
        drop(held);
        assert!(waiter.join().unwrap().starts_with(&format!("process {} on ", std::process::id())));
    });
}

#[test]
fn work_of_a_finished_key_is_removed_and_other_work_is_not() {
    let folder = tempfile::tempdir().unwrap();
    let store = small_store(folder.path());
    let work = |name: &str| folder.path().join("v1/work").join(key(name).to_string());
    for name in ["one", "two", "three"] {
        fs::create_dir_all(work(name).join("checkpoint")).unwrap();
    }
    let held = store.lock(&key("two"), |_| {}).unwrap();
    store.remove_finished_work().unwrap();
    assert_eq!(["one", "two", "three"].map(|name| work(name).exists()), [false, true, true]);
    drop(held);
    store.remove_finished_work().unwrap();
    assert!(
        !work("two").exists() && work("three").exists(),
        "what is unfinished is kept for whoever goes on"
    );
}

#[test]
fn collecting_garbage_leaves_what_is_kept_and_what_is_being_made() {
    let folder = tempfile::tempdir().unwrap();
    let store = small_store(folder.path());
    let dead = store.draft(store.lock(&key("three"), |_| {}).unwrap()).unwrap();
    fs::write(dead.checkpoint().join("state"), "step 7").unwrap();
    drop(dead);
    let making = store.draft(store.lock(&key("four"), |_| {}).unwrap()).unwrap();
    fs::write(making.files().join("half"), "x").unwrap();
    let claims =
        Claims { kept: BTreeSet::from([key("one")]), unrecorded: true, ..Claims::default() };
    let torn = folder.path().join("v1/.new-x");
    fs::write(&torn, "half a memo").unwrap();
    let young = folder.path().join("v1/.new-y");
    fs::write(&young, "another process is just writing it").unwrap();
    let long_ago = std::time::SystemTime::now() - std::time::Duration::from_secs(7200);
    fs::File::options().write(true).open(&torn).unwrap().set_modified(long_ago).unwrap();
    let closed = store.close(|| panic!("nobody looks anything up")).unwrap();
    let candidates = store.candidates(&claims, LiveRoots::default()).unwrap().candidates;
    let paths: BTreeSet<_> = candidates.iter().map(|candidate| candidate.path.clone()).collect();
    let work = folder.path().join("v1/work").join(key("three").to_string());
    assert_eq!(paths, BTreeSet::from([store.folder_of(&key("two")), work.clone(), torn]));
    assert_eq!(store.remove(candidates, closed).unwrap().len(), 3);
    assert!(young.exists());
    assert!(found(&store, "one").is_some() && found(&store, "two").is_none() && !work.exists());
    assert_eq!(store.verify().unwrap().problems, []);
    store.commit(making, &json!({})).unwrap();
    assert!(found(&store, "four").is_some());
    assert_eq!(store.usage().damaged, 0);
}

#[test]
fn repairing_leaves_a_store_without_problems() {
    let folder = tempfile::tempdir().unwrap();
    let store = small_store(folder.path());
    for file in all_files(folder.path()) {
        let mut bytes = fs::read(&file).unwrap();
        if let Some(first) = bytes.first_mut() {
            *first ^= 1;
            overwrite(&file, &bytes);
        }
    }
    fs::write(folder.path().join("v1/artifacts/stray"), "").unwrap();
    let problems = store.verify().unwrap().problems;
    assert!(problems.len() >= 6, "{problems:#?}");
    store.repair(&problems).unwrap();
    assert_eq!(store.verify().unwrap().problems, []);
}

#[test]
fn repairing_never_removes_a_lock_that_is_held() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path()).unwrap();
    let path = folder.path().join("v1/locks").join(key("one").to_string());
    fs::write(&path, "torn").unwrap();
    let problems = store.verify().unwrap().problems;
    assert_eq!(problems.len(), 1, "{problems:?}");
    // Taken between verification and repair.
    let held = store.lock(&key("one"), |_| {}).unwrap();
    store.repair(&problems).unwrap();
    assert!(
        path.exists() && store.try_lock(&key("one")).unwrap().is_none(),
        "two would make the same artifact"
    );
    drop(held);
    assert!(!path.exists());

    let (inside, most) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let is_over = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while is_over.load(Ordering::SeqCst) < 4 {
                store.repair(&problems).unwrap();
            }
        });
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..200 {
                    let lock = store.lock(&key("one"), |_| {}).unwrap();
                    most.fetch_max(inside.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                    std::thread::yield_now();
                    inside.fetch_sub(1, Ordering::SeqCst);
                    drop(lock);
                }
                is_over.fetch_add(1, Ordering::SeqCst);
            });
        }
    });
    assert_eq!(most.into_inner(), 1);
}

#[test]
fn what_a_pattern_does_not_want_may_be_anything() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(&folder.path().join("cache")).unwrap();
    let model = folder.path().join("model");
    fs::create_dir(&model).unwrap();
    fs::write(model.join("config.json"), "{}").unwrap();
    let expected = store.digest_path(&model, &["*.json"]).unwrap();
    std::os::unix::fs::symlink("nowhere", model.join("link")).unwrap();
    let _socket = std::os::unix::net::UnixListener::bind(model.join("socket")).unwrap();
    assert_eq!(store.digest_path(&model, &["*.json"]).unwrap(), expected);
    let everything = store.digest_path(&model, EVERY_FILE).unwrap_err().to_string();
    assert!(everything.contains("link: No such file"), "{everything}");
    fs::remove_file(model.join("link")).unwrap();
    let everything = store.digest_path(&model, EVERY_FILE).unwrap_err().to_string();
    assert!(everything.contains("socket is neither a file nor a folder"), "{everything}");
}

#[test]
fn links_are_sealed_with_what_they_point_to() {
    let folder = tempfile::tempdir().unwrap();
    let outside = folder.path().join("model.safetensors");
    fs::write(&outside, "16 GB").unwrap();
    let store = Store::open(&folder.path().join("cache")).unwrap();
    let draft = store.draft(store.lock(&key("import"), |_| {}).unwrap()).unwrap();
    std::os::unix::fs::symlink(&outside, draft.files().join("model.safetensors")).unwrap();
    let artifact = store.commit(draft, &json!({})).unwrap();
    assert_eq!(
        artifact.digest_of(EVERY_FILE),
        Some(store.digest_path(&artifact.files(), EVERY_FILE).unwrap())
    );
    assert!(found(&store, "import").is_some());
    fs::write(&outside, "17 GB").unwrap();
    assert!(matches!(store.find(&key("import")).unwrap(), Lookup::Damaged { .. }));
    assert_eq!(fs::read_to_string(&outside).unwrap(), "17 GB", "what it points to is left alone");
}

/// The log of changes has no part in the digest of the database, and would change what is read.
#[test]
fn a_database_with_changes_beside_it_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(&folder.path().join("cache")).unwrap();
    let [database, log, link] =
        ["a.db", "a.db-wal", "link"].map(|name| folder.path().join("data").join(name));
    fs::create_dir(database.parent().unwrap()).unwrap();
    fs::write(&database, "SQLite format 3\0...").unwrap();
    fs::write(&log, "").unwrap();
    std::os::unix::fs::symlink(&database, &link).unwrap();
    let expected = store.digest_path(&database, EVERY_FILE).unwrap();
    assert_eq!(store.digest_path(&link, EVERY_FILE).unwrap(), expected);
    fs::write(&log, "changes").unwrap();
    for path in [&database, &link, &folder.path().join("data")] {
        let error = store.digest_path(path, EVERY_FILE).unwrap_err().to_string();
        assert!(error.contains("a.db-wal holds changes that are not in the database"), "{error}");
    }
    fs::write(&database, "{\"title\": \"no database\"}").unwrap();
    assert!(store.digest_path(&database, EVERY_FILE).is_ok());
}
