//! Interrupted runs end as uninterrupted ones.

use std::{
    fs,
    path::Path,
    sync::{Arc, Mutex},
};

use burn::tensor::Device;

use crate::{
    seed::Seed,
    tuning::{
        Replicas, TrainEvent, Training,
        checkpoint::{CheckpointFolder, NewestCheckpoint, SealedCheckpoint},
        protocol::Ear,
        test_support::{
            MOVING, adapted, bytes, changed, column, held_out, tiny, trained, training, with,
        },
        train,
    },
};

fn copy(from: &Path, to: &Path) {
    for entry in fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        // A file may vanish meanwhile, as when a process is killed.
        fs::copy(&path, to.join(path.file_name().unwrap())).ok();
    }
}

#[test]
fn a_run_that_is_killed_anywhere_leaves_the_same_bytes() {
    // The last two have statistics over the whole batch, and train an adapter beside a frozen
    // model.
    for (algorithm, is_adapter) in [("dpo", false), ("dpo", true), ("bco", false), ("kto", false)] {
        killed_anywhere(&|folder| {
            let model =
                if is_adapter { adapted() } else { tiny(23).init(&Seed::root(5), &Device::flex()) };
            with(folder, model, algorithm, 2)
        });
    }
}

#[test]
fn so_does_one_whose_reference_moves_or_which_holds_rows_out() {
    killed_anywhere(&|folder| changed(folder, "kto", |preference| preference.moving = MOVING));
    killed_anywhere(&|folder| {
        let model = adapted();
        Training {
            model,
            ..changed(folder, "dpo", |preference| preference.held_out = Some(held_out(None)))
        }
    });
    // Early stopping, with a running mean of rewards in the losses that it compares.
    killed_anywhere(&|folder| {
        changed(folder, "bco", |preference| preference.held_out = Some(held_out(Some(1))))
    });
    killed_anywhere(&|folder| {
        let dropout = Some((0.2, Seed::root(3)));
        Training { model: adapted(), dropout, ..changed(folder, "dpo", |_| ()) }
    });
}

#[test]
fn so_does_one_on_two_devices() {
    for moving in [None, MOVING] {
        killed_anywhere(&|folder| {
            let training = changed(folder, "kto", |preference| preference.moving = moving);
            let replicas = Replicas::new(&training.model, &[Device::flex()]);
            Training { replicas, ..training }
        });
    }
}

fn killed_anywhere(training: &dyn Fn(&Path) -> Training) {
    let whole = tempfile::tempdir().unwrap();
    let snapshots: Arc<Mutex<Vec<tempfile::TempDir>>> = Arc::default();
    let (seen, source) = (snapshots.clone(), whole.path().to_owned());
    let ear: Ear = Arc::new(move |news| {
        if matches!(news, TrainEvent::Step { .. }) {
            let snapshot = tempfile::tempdir().unwrap();
            copy(&source, snapshot.path());
            seen.lock().unwrap().push(snapshot);
        }
    });
    let (expected, metrics) = train(training(whole.path()), ear).unwrap();
    let expected_metrics = fs::read_to_string(metrics).unwrap();
    assert!(expected_metrics.lines().count() >= 7);
    for snapshot in snapshots.lock().unwrap().iter() {
        let first = Arc::new(Mutex::new(None));
        let heard = first.clone();
        let ear: Ear = Arc::new(move |news| {
            if let TrainEvent::Step { step, .. } = news {
                heard.lock().unwrap().get_or_insert(step);
            }
        });
        let (found, metrics) = train(training(snapshot.path()), ear).unwrap();
        assert_eq!(
            bytes(&found),
            bytes(&expected),
            "resumed before step {:?}",
            first.lock().unwrap()
        );
        assert_eq!(fs::read_to_string(metrics).unwrap(), expected_metrics);
    }
}

#[test]
fn a_damaged_checkpoint_does_not_count() {
    let folder = tempfile::tempdir().unwrap();
    for name in ["optim-{}.bpk", "state-{}.json", "seal-{}.json"] {
        let (expected, _) = trained(training(folder.path())).unwrap();
        let newest = valid(folder.path());
        let file = folder.path().join(name.replace("{}", &newest.epoch.to_string()));
        let mut damaged = fs::read(&file).unwrap();
        let place = damaged.len() - 3;
        damaged[place] ^= 1;
        fs::write(&file, damaged).unwrap();
        let found = CheckpointFolder::new(folder.path()).unwrap().newest().unwrap();
        assert_eq!(found.damaged, 1, "{name}");
        assert!(valid(folder.path()).epoch < newest.epoch, "{name}");
        assert_eq!(bytes(&trained(training(folder.path())).unwrap().0), bytes(&expected));
    }
}

/// As with a disk that fails between the check of the seals and the restoration.
#[test]
fn a_checkpoint_that_vanishes_after_its_check_is_an_error_and_costs_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let (expected, _) = trained(training(folder.path())).unwrap();
    for part in ["model", "optim", "scheduler"] {
        let epoch = valid(folder.path()).epoch;
        let file = folder.path().join(format!("{part}-{epoch}.bpk"));
        let hidden = file.with_extension("hidden");
        let [from, to] = [file.clone(), hidden.clone()];
        let ear: Ear = Arc::new(move |event| {
            if matches!(event, TrainEvent::Note(text) if text.contains("resumes from")) {
                fs::rename(&from, &to).unwrap();
            }
        });
        let error = match train(training(folder.path()), ear) {
            Err(error) => error.to_string(),
            Ok(_) => panic!("{part} was not read"),
        };
        assert!(error.contains("cannot read the checkpoint"), "{part}: {error}");
        fs::rename(&hidden, &file).unwrap();
        assert_eq!(valid(folder.path()).epoch, epoch, "{part}");
        assert_eq!(bytes(&trained(training(folder.path())).unwrap().0), bytes(&expected), "{part}");
    }
}

fn valid(folder: &Path) -> SealedCheckpoint {
    match CheckpointFolder::new(folder).unwrap().newest().unwrap().newest {
        NewestCheckpoint::Valid(checkpoint) => checkpoint,
        other => panic!("{other:?}"),
    }
}

/// A checkpoint's state is that of its step, whatever the metrics of later steps.
#[test]
fn a_checkpoint_holds_the_state_of_its_step() {
    let folder = tempfile::tempdir().unwrap();
    let (_, metrics) = trained(changed(folder.path(), "bco", |preference| {
        preference.held_out = Some(held_out(None));
    }))
    .unwrap();
    let SealedCheckpoint { state, .. } = valid(folder.path());
    // The last interval ends with the run, which needs no checkpoint any more.
    assert_eq!(state.step, 11);
    assert_eq!(column(&metrics, "num_tokens").last(), Some(&state.tokens));
    assert_eq!(column(&metrics, "shift").last(), Some(&state.rewards.mean));
    let losses = column(&metrics, "eval_loss");
    assert!(losses.iter().all(|loss| !state.held_out.is_beaten_by(*loss)), "{losses:?}");
}

/// Seals of earlier versions have no format and name no state; the state was read from the metrics.
#[test]
fn checkpoints_of_an_earlier_version_are_refused_aloud() {
    let folder = tempfile::tempdir().unwrap();
    let (expected, _) = trained(training(folder.path())).unwrap();
    for entry in fs::read_dir(folder.path()).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap();
        if name.starts_with("state-") {
            fs::remove_file(&path).unwrap();
        } else if name.starts_with("seal-") {
            let mut seal: serde_json::Value =
                serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
            let fields = seal.as_object_mut().unwrap();
            fields.remove("format");
            fields["files"].as_object_mut().unwrap().remove("state");
            fields.insert("step".to_owned(), 3.into());
            fs::write(&path, seal.to_string()).unwrap();
        }
    }
    let heard = Arc::new(Mutex::new(Vec::new()));
    let warnings = Arc::clone(&heard);
    let ear: Ear = Arc::new(move |event| {
        if let TrainEvent::Warning(text) = event {
            warnings.lock().unwrap().push(text);
        }
    });
    let (found, _) = train(training(folder.path()), ear).unwrap();
    assert_eq!(bytes(&found), bytes(&expected));
    let heard = heard.lock().unwrap();
    assert!(heard[0].contains("training starts over"), "{heard:?}");
}

#[test]
fn metrics_that_lack_any_byte_are_measured_again() {
    let folder = tempfile::tempdir().unwrap();
    let (_, metrics) = trained(training(folder.path())).unwrap();
    let expected = fs::read(&metrics).unwrap();
    // Including the last line break: without it, resuming would fill its place with a zero
    // byte.
    for position in [expected.len() - 1, expected.len() / 2, 0] {
        for damage in [
            &expected[..position],
            &[&expected[..position], b" ", &expected[position + 1..]].concat(),
        ] {
            fs::write(&metrics, damage).unwrap();
            trained(training(folder.path())).unwrap();
            assert_eq!(fs::read(&metrics).unwrap(), expected, "damaged at {position}");
        }
    }
}
