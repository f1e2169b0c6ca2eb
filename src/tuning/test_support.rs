//! Test support: small models, rows and runs.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use burn::{module::Module, tensor::Device};

use super::{
    ComputeOptions, Decay, Frozen, GradientCheckpointing, HeldOut, KlPairs, Modifiers,
    MovingReference, Objective, Optimisation, Preference, ReferenceLogProbs, Replicas, RowBatches,
    Schedule, Setting, Task, TokenPreference, TokenRow, TokenizedExample, Training, TrainingError,
    reference, train,
};
use crate::{
    model::{Adapter, ModelConfig, Transformer},
    seed::Seed,
};

/// The smallest model with every component.
pub(super) fn tiny(vocab_size: usize) -> ModelConfig {
    ModelConfig {
        hidden_size: 16,
        intermediate_size: 24,
        num_hidden_layers: 2,
        num_attention_heads: 4,
        num_key_value_heads: 2,
        head_dim: 4,
        vocab_size,
        rms_norm_eps: 1e-5,
        max_position_embeddings: 64,
        tie_word_embeddings: true,
        bos_token_id: Some(0),
        eos_token_id: vec![1],
        pad_token_id: Some(2),
        ..ModelConfig::default()
    }
}

/// Prompts of several lengths, each with two completions.
pub(super) fn texts() -> Vec<TokenizedExample> {
    (1..6)
        .map(|size: u32| TokenizedExample {
            prompt: vec![1; size as usize],
            completions: vec![(3..3 + 2 * size).collect(), (5..12 - size).collect()],
        })
        .collect()
}

pub(super) fn pairs() -> Vec<TokenRow> {
    let answer = |first: u32, length: u32| {
        (first..first + length).map(|token| 3 + token % 20).collect::<Vec<u32>>().into()
    };
    (0..24)
        .map(|id| {
            let answers = [answer(id, 4 + id % 5), answer(5 * id, 3 + id % 4)];
            TokenRow::new(vec![0, 3 + id % 7], TokenPreference::Pair(answers))
        })
        .collect()
}

pub(super) fn training(folder: &Path) -> Training {
    let model = tiny(23).init(&Seed::root(5), &Device::flex());
    with(folder, model, "dpo", 2)
}

/// Training with this algorithm and number of microbatches, against the model before training.
pub(super) fn with(
    folder: &Path,
    model: Transformer,
    algorithm: &str,
    accumulation: usize,
) -> Training {
    let objective = Objective::plain(algorithm, &[(Setting::RpoAlpha, 1.0)]).unwrap();
    let rows = pairs();
    let scored = reference(&model, &rows, 1000, ComputeOptions::default(), |_| ());
    let batches = RowBatches::new(
        &(0..rows.len()).collect::<Vec<_>>(),
        3.0,
        6,
        accumulation,
        Some(&Seed::root(1)),
    );
    let mut preference = Preference {
        objective,
        modifiers: Modifiers::default(),
        reference: ReferenceLogProbs::of_rows(scored, &rows).unwrap(),
        rows,
        mismatch: KlPairs::Fixed,
        moving: None,
        held_out: None,
    };
    let compute = ComputeOptions::default();
    preference.look_at_mismatches((&model).into(), batches.order(), 1000, compute);
    Training {
        frozen: Frozen::named(&["embedding".to_owned()], &model).unwrap(),
        model,
        replicas: Replicas::default(),
        task: Task::Preference(Box::new(preference)),
        batches: Arc::new(batches),
        compute: ComputeOptions::default(),
        gradient_checkpointing: GradientCheckpointing::default(),
        dropout: None,
        optimisation: Optimisation {
            schedule: Schedule::new(1e-2, 3, 12, Decay::Linear, 0.1),
            weight_decay: 0.01,
            betas: [0.9, 0.98],
            epsilon: 1e-8,
            clip: 1.0,
        },
        folder: folder.to_owned(),
        checkpoint_interval: Duration::ZERO,
        ends_now: || false,
    }
}

/// The result of training without a listener.
pub(super) fn trained(training: Training) -> Result<(Transformer, PathBuf), TrainingError> {
    train(training, Arc::new(|_| ()))
}

/// The model after training with these parameters frozen, with strong weight decay.
pub(super) fn trained_with(model: Transformer, frozen: &[String]) -> Transformer {
    let folder = tempfile::tempdir().unwrap();
    let frozen = Frozen::named(frozen, &model).unwrap();
    let training = with(folder.path(), model, "dpo", 2);
    let optimisation = Optimisation { weight_decay: 0.5, ..training.optimisation.clone() };
    trained(Training { frozen, optimisation, ..training }).unwrap().0
}

pub(super) fn bytes(model: &Transformer) -> Vec<u8> {
    let record = model.clone().into_record();
    record.into_bytes().unwrap().to_vec()
}

pub(super) const MOVING: Option<MovingReference> = Some(MovingReference { every: 3, mixup: 0.6 });

pub(super) fn held_out(patience: Option<usize>) -> HeldOut {
    HeldOut { rows: vec![1, 5, 9, 13], every: 2, patience }
}

/// Training with another preference.
pub(super) fn changed(
    folder: &Path,
    algorithm: &str,
    change: impl FnOnce(&mut Preference),
) -> Training {
    let model = tiny(23).init(&Seed::root(5), &Device::flex());
    let mut training = with(folder, model, algorithm, 2);
    let Task::Preference(preference) = &mut training.task else { unreachable!() };
    change(preference);
    training
}

pub(super) fn column(metrics: &Path, name: &str) -> Vec<f64> {
    let text = fs::read_to_string(metrics).unwrap();
    let rows = text.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
    rows.filter_map(|row| row[name].as_f64()).collect()
}

/// A model with a fresh adapter.
pub(super) fn adapted() -> Transformer {
    let mut model = tiny(23).init(&Seed::root(5), &Device::flex());
    add_adapter(&mut model);
    model
}

/// Adds a fresh adapter.
pub(super) fn add_adapter(model: &mut Transformer) {
    let config = r#"{"r": 2, "lora_alpha": 4,
        "target_modules": ["q_proj", "v_proj", "up_proj", "down_proj"]}"#;
    Adapter::begin(serde_json::from_str(config).unwrap(), model, &Seed::root(2)).unwrap();
}
