//! The steps whose kernels, launches, waits and copies `check` counts: sampling, scoring and LoRA
//! training at the shapes of large models, with random weights, on `cuda:0`; at the end on two devices.
//!
//! A line `mark STEPS NUMBERS NAME` in the stand-in's log ends a part. A part with more steps follows
//! one with fewer, so that their difference is what a step costs. Without steps a part is not
//! counted. NUMBERS: how many a block's keys in the cache have.

use std::{error::Error, fs::OpenOptions, io::Write, sync::Arc, time::Duration};

use burn::tensor::Device;

use apeft::{
    bench::{random_model, sampling_work, shape},
    device::DeviceName,
    model::{
        Adapter, AdapterConfig, GenerateError, Generator, ModelConfig, Placement, Request,
        Sampling, Targets, Transformer, other_devices,
    },
    seed::Seed,
    tuning::{
        ComputeOptions, Decay, Frozen, GradientCheckpointing, KlPairs, Modifiers, Objective,
        Optimisation, Preference, ReferenceLogProbs, Replicas, RowBatches, Schedule, SharedModel,
        Task, TokenPreference, TokenRow, Training, log_probabilities, reference, train,
    },
};

type Done = Result<(), Box<dyn Error>>;

/// Blocks of the shape of 8 billion weights: each launches the same kernels.
const BLOCKS: usize = 4;
/// Tokens of a prompt, and of each completion.
const LENGTH: usize = 100;
/// Sequences at once.
const BATCH: usize = 16;

fn main() -> Done {
    let place = Placement::named(DeviceName::Cuda(0), "auto")?;
    let whole = shape("llama-1.1b").expect("it is a shape of `bench`");
    let large = shape("llama-3-8b").expect("it is a shape of `bench`");
    let cut = ModelConfig { num_hidden_layers: BLOCKS, ..large };
    for (name, config) in [("llama-1.1b", &whole), ("llama-3-8b", &cut)] {
        let model = random_model(config, &place);
        sampling(name, &model, &place)?;
        scoring(name, &model, &place)?;
    }
    tuning("llama-3-8b", &cut, &place)?;
    // One block: what is copied to the second device takes this machine's memory.
    two_devices(&ModelConfig { num_hidden_layers: 1, ..whole }, &place)
}

/// Ends a part of the log, when all that was started is done.
fn mark(name: &str, steps: usize, numbers: usize, place: &Placement) -> Done {
    place.device.sync()?;
    let path = std::env::var("STANDIN_LOG")?;
    Ok(writeln!(OpenOptions::new().append(true).open(path)?, "mark {steps} {numbers} {name}")?)
}

fn sampling(name: &str, model: &Transformer, place: &Placement) -> Done {
    let prompt = tokens(0, LENGTH, &model.config);
    let generate = |max_new| {
        sampling_work(model, &prompt, BATCH, &Sampling { max_new, ..Sampling::default() })
    };
    // Compiles and tunes kernels.
    generate(4)?;
    mark("warm-up", 0, 0, place)?;
    generate(1)?;
    mark(&format!("prompt {name}"), 1, 0, place)?;
    let keys = BATCH * LENGTH * model.config.num_key_value_heads * model.config.head_dim;
    for steps in [3, 11] {
        // The prompt's logits give the first token.
        generate(steps + 1)?;
        mark(&format!("sampling {name}"), steps, keys, place)?;
    }
    Ok(())
}

fn scoring(name: &str, model: &Transformer, place: &Placement) -> Done {
    let texts: Vec<_> = rows(4, &model.config).iter().map(|row| row.tokenized(row)).collect();
    let score = || log_probabilities(model, &texts, 8192, ComputeOptions::default(), |_| ());
    score();
    mark("warm-up", 0, 0, place)?;
    score();
    mark(&format!("scoring {name}"), 1, 0, place)
}

/// DPO of an adapter of rank 16 on all linear layers, four pairs a step.
fn tuning(name: &str, config: &ModelConfig, place: &Placement) -> Done {
    let learn = |steps| train_adapter(config, place, &[], steps);
    learn(2)?;
    mark("warm-up", 0, 0, place)?;
    for steps in [2, 4] {
        learn(steps)?;
        mark(&format!("tuning {name}"), steps, 0, place)?;
    }
    Ok(())
}

/// Training and sampling on both devices of the stand-in. Nothing is counted: they share the log.
fn two_devices(config: &ModelConfig, place: &Placement) -> Done {
    let others = other_devices("cuda:0,1".parse()?)?;
    train_adapter(config, place, &others, 2)?;
    let model = random_model(config, place);
    let copies: Vec<Transformer> = others.iter().map(|device| model.copy_on(device)).collect();
    let generator = Generator {
        model: &model,
        sampling: Sampling { max_new: 3, ..Sampling::default() },
        batch: 2,
        seed: Seed::root(0),
        stops: None,
        share_beginning: false,
    };
    let request = |text: usize| Request {
        id: text.to_string(),
        prompt: tokens(text, LENGTH, config),
        samples: vec![0],
    };
    let requests: Vec<Request> = (0..4).map(request).collect();
    let mut answers = 0;
    generator.run_with(&copies, &requests, |_| {
        answers += 1;
        Ok::<_, GenerateError>(())
    })?;
    assert_eq!(answers, requests.len());
    mark("two devices", 0, 0, place)
}

fn train_adapter(config: &ModelConfig, place: &Placement, others: &[Device], steps: usize) -> Done {
    let mut model = random_model(config, place);
    let adapter = AdapterConfig {
        base_model_name_or_path: String::new(),
        r: 16,
        lora_alpha: 32.0,
        lora_dropout: 0.0,
        target_modules: Targets::Pattern("all-linear".to_owned()),
        rank_pattern: Default::default(),
        alpha_pattern: Default::default(),
        use_rslora: false,
        layers_to_transform: None,
    };
    Adapter::begin(adapter, &mut model, &Seed::root(0))?;
    let rows = rows(4, config);
    let replicas = Replicas::new(&model, others);
    let shared = SharedModel::new(&model, &replicas);
    let known = reference(shared, &rows, 8192, ComputeOptions::default(), |_| ());
    let preference = Preference {
        objective: Objective::plain("dpo", &[])?,
        modifiers: Modifiers::default(),
        reference: ReferenceLogProbs::of_rows(known, &rows)?,
        mismatch: KlPairs::default(),
        moving: None,
        held_out: None,
        rows,
    };
    let folder = tempfile::tempdir()?;
    let training = Training {
        model,
        replicas,
        task: Task::Preference(Box::new(preference)),
        batches: Arc::new(RowBatches::new(&[0, 1, 2, 3], steps as f64, 4, 1, None)),
        optimisation: Optimisation {
            schedule: Schedule::new(1e-4, 0, steps, Decay::Constant, 0.0),
            weight_decay: 0.0,
            betas: [0.9, 0.999],
            epsilon: 1e-8,
            clip: 1.0,
        },
        frozen: Frozen::default(),
        compute: ComputeOptions::default(),
        gradient_checkpointing: GradientCheckpointing::Off,
        dropout: None,
        folder: folder.path().to_owned(),
        checkpoint_interval: Duration::from_secs(3600),
        ends_now: || false,
    };
    train(training, Arc::new(|_| ()))?;
    Ok(())
}

/// Pairs of different texts.
fn rows(count: usize, config: &ModelConfig) -> Vec<TokenRow> {
    (0..count)
        .map(|row| {
            let answers = [1, 2].map(|part| tokens(3 * row + part, LENGTH, config).into());
            TokenRow::new(tokens(3 * row, LENGTH, config), TokenPreference::Pair(answers))
        })
        .collect()
}

/// Tokens that repeat late.
fn tokens(text: usize, count: usize, config: &ModelConfig) -> Vec<u32> {
    (0..count).map(|place| ((text * 31 + place * 7919) % config.vocab_size) as u32).collect()
}
