//! Several devices: two and three threads on the CPU, each with a model of its own.

use std::{
    fs,
    path::Path,
    sync::{Arc, Mutex},
};

use burn::{
    module::{Module, ModuleVisitor, Param},
    tensor::{Device, Tensor},
};

use crate::{
    seed::Seed,
    tuning::{
        ComputeOptions, DocumentBatches, Frozen, GradientCheckpointing, Replicas, SharedModel,
        Task, TokenizedExample, TrainEvent, Training, log_probabilities,
        protocol::Ear,
        test_support::{
            MOVING, adapted, bytes, changed, column, held_out, texts, tiny, trained, with,
        },
        train,
    },
};

/// The same training, shared out between devices.
fn on_devices(count: usize, training: Training) -> Training {
    let replicas = Replicas::new(&training.model, &vec![Device::flex(); count - 1]);
    Training { replicas, ..training }
}

#[derive(Default)]
struct AllWeights(Vec<f32>);

impl ModuleVisitor for AllWeights {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        self.0.extend(param.val().into_data().iter::<f32>());
    }
}

/// On one, two and three devices weights and metrics are the same within rounding, and on as many
/// devices they are the same to the bit.
fn same_on_any_number_of_devices(what: &str, training: &dyn Fn(&Path) -> Training) {
    let tuned = |devices| {
        let folder = tempfile::tempdir().unwrap();
        let (model, metrics) = trained(on_devices(devices, training(folder.path()))).unwrap();
        let mut weights = AllWeights::default();
        model.visit(&mut weights);
        let names = ["loss", "rewards/margins", "eval_loss", "grad_norm", "num_tokens", "entropy"];
        let columns = names.map(|name| (name, column(&metrics, name)));
        (weights.0, columns, fs::read_to_string(metrics).unwrap(), bytes(&model))
    };
    let (one, columns, _, _) = tuned(1);
    for devices in [2, 3] {
        let (weights, found, metrics, model) = tuned(devices);
        for (one, other) in one.iter().zip(&weights) {
            assert!((one - other).abs() < 1e-4, "{what} on {devices}: {one} {other}");
        }
        for ((name, one), (_, other)) in columns.iter().zip(&found) {
            assert_eq!(one.len(), other.len(), "{what}: {name}");
            let near =
                |(one, other): (&f64, &f64)| (one - other).abs() <= 1e-3 * one.abs().max(0.01);
            assert!(
                one.iter().zip(other).all(near),
                "{what} on {devices}: {name} {one:?} {other:?}"
            );
        }
        let (_, _, again, same) = tuned(devices);
        assert!(again == metrics && same == model, "{what} on {devices}");
    }
}

/// Three rows at once: with three devices one each, with two a row too many.
#[test]
fn all_weights_are_trained_as_on_one_device() {
    // Losses of rows alone, of differences, of sorted margins, and with statistics of the batch.
    for algorithm in ["dpo", "orpo", "aot", "aot_unpaired", "kto", "bco"] {
        same_on_any_number_of_devices(algorithm, &|folder| {
            with(folder, tiny(23).init(&Seed::root(5), &Device::flex()), algorithm, 2)
        });
    }
}

#[test]
fn adapters_are_trained_as_on_one_device() {
    let dropout = Some((0.2, Seed::root(3)));
    same_on_any_number_of_devices("dropout", &|folder| {
        let training = with(folder, adapted(), "dpo", 2);
        Training { frozen: Frozen::default(), dropout: dropout.clone(), ..training }
    });
    // The backward pass computes each block again, and prompts are read once per completion.
    same_on_any_number_of_devices("checkpointing", &|folder| Training {
        frozen: Frozen::default(),
        dropout: dropout.clone(),
        gradient_checkpointing: GradientCheckpointing::PerBlock,
        compute: ComputeOptions { share_prompts: false, ..ComputeOptions::default() },
        ..with(folder, adapted(), "kto", 1)
    });
}

#[test]
fn a_reference_that_moves_and_rows_that_are_held_out_are_looked_at_by_all_devices() {
    same_on_any_number_of_devices("moving", &|folder| {
        changed(folder, "kto", |preference| {
            preference.moving = MOVING;
            preference.held_out = Some(held_out(None));
        })
    });
}

#[test]
fn documents_are_shared_out() {
    same_on_any_number_of_devices("documents", &|folder| {
        let documents = texts().into_iter().map(|text| {
            let completions = vec![text.completions[0].clone()];
            (TokenizedExample { completions, ..text }, 1.0)
        });
        let groups = [("all".to_owned(), (5, documents.collect()))].into();
        Training {
            task: Task::Documents,
            batches: Arc::new(DocumentBatches::new(groups, 12, Seed::root(1))),
            ..with(folder, tiny(23).init(&Seed::root(5), &Device::flex()), "dpo", 1)
        }
    });
}

/// To the bit, since devices share groups of texts, which are passes on one device too.
#[test]
fn texts_are_scored_as_on_one_device() {
    let model = adapted();
    let examples: Vec<TokenizedExample> = (0..9).flat_map(|_| texts()).collect();
    let compute = ComputeOptions::default();
    let expected = log_probabilities(&model, &examples, 60, compute, |_| ());
    for others in [0, 1, 4] {
        let replicas = Replicas::new(&model, &vec![Device::flex(); others]);
        let mut done = Vec::new();
        let shared = SharedModel::new(&model, &replicas);
        let found = shared.log_probabilities(&examples, 60, compute, |count| done.push(count));
        assert_eq!(found, expected, "{others}");
        assert!(done.is_sorted() && done.last() == Some(&examples.len()), "{done:?}");
    }
}

#[test]
fn what_devices_cost_and_whether_they_have_work_is_said() {
    let said = |training: Training, devices| {
        let heard: Arc<Mutex<Vec<String>>> = Arc::default();
        let told = Arc::clone(&heard);
        let ear: Ear = Arc::new(move |event| {
            if let TrainEvent::Note(text) | TrainEvent::Warning(text) = event {
                told.lock().unwrap().push(text);
            }
        });
        train(on_devices(devices, training), ear).unwrap();
        let heard = heard.lock().unwrap();
        heard.join("\n")
    };
    let folder = tempfile::tempdir().unwrap();
    let all = || tiny(23).init(&Seed::root(5), &Device::flex());
    let text = said(with(&folder.path().join("all"), all(), "dpo", 1), 2);
    assert!(text.starts_with("each step sends 0.0 MB of weights to each further"), "{text}");
    let adapter = || Training {
        frozen: Frozen::default(),
        ..with(&folder.path().join("a"), adapted(), "dpo", 6)
    };
    assert_eq!(
        said(adapter(), 2),
        "2 devices share the rows of a microbatch, which has 1, so that some have no work; raise \
        `batch_size` to a multiple of 2"
    );
    assert_eq!(said(with(&folder.path().join("one"), all(), "dpo", 6), 1), "");
}
