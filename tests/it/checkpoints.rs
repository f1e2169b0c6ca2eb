//! Logits of model directories and adapters, compared with transformers and PEFT
//! (`benches/transformers_goldens.py`).

use std::{
    fs,
    path::{Path, PathBuf},
};

use apeft::{
    device::DeviceName,
    model::{
        Adapter, GenerateError, GenerationEvent, Generator, LARGEST_FILE, ModelConfig, Placement,
        Request, Sampling, Transformer,
    },
    seed::Seed,
};
use burn::tensor::{Int, Tensor, TensorData};
use safetensors::{Dtype, SafeTensors};
use serde::Deserialize;

#[derive(Deserialize)]
pub(crate) struct Reference {
    pub(crate) rows: Vec<Vec<u32>>,
    pub(crate) logits: Vec<Vec<Vec<f32>>>,
    pub(crate) adapted: Vec<Vec<Vec<f32>>>,
    pub(crate) greedy: Vec<u32>,
}

/// All directories with their references.
pub(crate) fn models() -> Vec<(PathBuf, Reference)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/models");
    let mut directories: Vec<PathBuf> =
        fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    directories.sort();
    assert_eq!(directories.len(), 6);
    let read = |directory: &PathBuf| {
        serde_json::from_str(&fs::read_to_string(directory.join("reference.json")).unwrap())
            .unwrap()
    };
    directories.iter().map(|directory| (directory.clone(), read(directory))).collect()
}

/// Largest difference from the expected logits, relative to the largest of them.
pub(crate) fn difference(
    model: &Transformer,
    rows: &[Vec<u32>],
    expected: &[Vec<Vec<f32>>],
) -> f32 {
    let (mut largest, mut scale): (f32, f32) = (0.0, 0.0);
    for (row, expected) in rows.iter().zip(expected) {
        let tokens: Vec<i32> = row.iter().map(|token| *token as i32).collect();
        let tokens = TensorData::new(tokens, [1, row.len()]);
        let tokens = Tensor::<2, Int>::from_data(tokens, &model.device());
        let found: Vec<f32> = model.logits(model.hidden(tokens)).into_data().try_to_vec().unwrap();
        for (found, expected) in found.iter().zip(expected.iter().flatten()) {
            largest = largest.max((found - expected).abs());
            scale = scale.max(expected.abs());
        }
    }
    largest / scale
}

#[test]
fn logits_are_those_of_transformers() {
    for (directory, reference) in models() {
        let model = Transformer::load(&directory, &Placement::cpu()).unwrap();
        let difference = difference(&model, &reference.rows, &reference.logits);
        assert!(difference < 1e-5, "{}: {difference}", directory.display());
    }
}

#[test]
fn adapters_are_those_of_peft_before_and_after_merging() {
    for (directory, reference) in models() {
        let mut model = Transformer::load(&directory, &Placement::cpu()).unwrap();
        Adapter::load(&directory.join("adapter"), &mut model).unwrap();
        let adapted = difference(&model, &reference.rows, &reference.adapted);
        let merged = difference(&model.merge(), &reference.rows, &reference.adapted);
        assert!(adapted < 1e-5 && merged < 1e-5, "{}: {adapted} {merged}", directory.display());
        let plain = Transformer::load(&directory, &Placement::cpu()).unwrap();
        assert!(
            difference(&plain, &reference.rows, &reference.adapted) > 0.01,
            "the adapter does something"
        );
    }
}

#[test]
fn greedy_tokens_are_those_of_transformers() {
    for (directory, reference) in models() {
        let model = Transformer::load(&directory, &Placement::cpu()).unwrap();
        assert_eq!(greedy(&model, &reference.rows[0]), reference.greedy, "{}", directory.display());
    }
}

/// 16 greedy tokens after a prompt.
pub(crate) fn greedy(model: &Transformer, prompt: &[u32]) -> Vec<u32> {
    let generator = Generator {
        model,
        sampling: Sampling { temperature: 0.0, max_new: 16, ..Sampling::default() },
        batch: 4,
        seed: Seed::root(0),
        stops: None,
        share_beginning: false,
    };
    let request = Request { id: String::new(), prompt: prompt.to_vec(), samples: vec![0] };
    let mut tokens = Vec::new();
    let keep = |event| {
        if let GenerationEvent::Answer(answer) = event {
            tokens = answer.tokens;
        }
        Ok::<_, GenerateError>(())
    };
    generator.run(&[request], keep).unwrap();
    tokens
}

#[test]
fn a_directory_that_is_read_and_written_has_the_same_tensors() {
    for (directory, _) in models() {
        let stored = Transformer::stored_format(&directory).unwrap();
        let place = Placement::named(DeviceName::Cpu, stored.name()).unwrap();
        let copy = tempfile::tempdir().unwrap();
        Transformer::load(&directory, &place).unwrap().save(copy.path(), LARGEST_FILE).unwrap();
        assert_eq!(tensors(copy.path()), tensors(&directory), "{}", directory.display());
        let config = |directory: &Path| ModelConfig::load(directory).unwrap();
        assert_eq!(config(copy.path()), config(&directory));
    }
}

/// Name, format, shape and bytes of all tensors of a directory.
fn tensors(directory: &Path) -> Vec<(String, Dtype, Vec<usize>, Vec<u8>)> {
    let mut found = Vec::new();
    for path in Transformer::weight_files(directory).unwrap() {
        if path.extension().is_some_and(|extension| extension == "safetensors") {
            let bytes = fs::read(path).unwrap();
            let file = SafeTensors::deserialize(&bytes).unwrap();
            found.extend(file.tensors().into_iter().map(|(name, view)| {
                (name, view.dtype(), view.shape().to_vec(), view.data().to_vec())
            }));
        }
    }
    found.sort_by(|one, other| one.0.cmp(&other.0));
    found
}
