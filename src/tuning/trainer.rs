//! A training run on burn-train: interrupted anywhere and started again, it leaves the same bytes.

use std::{
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, OnceLock,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use burn::{
    module::{Module, ModuleVisitor, Param, ParamGroup, ParamId},
    optim::{AdamWConfig, ModuleOptimizer},
    tensor::Tensor,
};
use burn_train::{
    Interrupter, Learner, SupervisedTraining,
    checkpoint::{CheckpointingAction, CheckpointingStrategy},
    metric::store::EventStoreClient,
};

use super::{
    answered::{Answered, Savings},
    backward::Tape,
    checkpoint::{CheckpointFolder, Seal, Sealer},
    frozen::Frozen,
    held_out::{self, HeldOutProgress},
    learning::{How, Learning, Progress},
    loader::{NoBatches, StretchLoader},
    measurement::{Ear, Measurement, Origin, Relay, StepLog, StepLogStart},
    schedule::Schedule,
    task::Task,
};
use crate::{model::Transformer, seed::Seed};

/// What a run needs.
pub struct Training {
    /// The model to start from, off the tape.
    pub model: Transformer,
    /// What is minimised.
    pub task: Task,
    /// On what.
    pub batches: Arc<dyn Batches>,
    /// How.
    pub optimisation: Optimisation,
    /// What stays as it is.
    pub frozen: Frozen,
    /// What spares work and memory.
    pub savings: Savings,
    /// What is remembered for the backward pass.
    pub tape: Tape,
    /// The share of what goes into an adapter's updates that is left out, and where its chance comes from.
    pub dropout: Option<(f64, Seed)>,
    /// A folder that outlives interruptions.
    pub folder: PathBuf,
    /// How long a stretch between two checkpoints lasts.
    pub stretch: Duration,
}

/// AdamW (Loshchilov and Hutter 2019, arXiv 1711.05101) with PyTorch's meaning of every number.
#[derive(Clone, Debug)]
pub struct Optimisation {
    /// The learning rate of each step.
    pub schedule: Schedule,
    /// Decoupled weight decay of matrices; biases and scales of norms have none, as in transformers.
    pub weight_decay: f64,
    /// Decay of the first and the second moment.
    pub betas: [f64; 2],
    /// Added to the root of the second moment.
    pub epsilon: f64,
    /// The largest norm of all gradients together.
    pub clip: f64,
}

/// Training data in a fixed order: any microbatch can be asked for at any time, so that a run can go on anywhere.
pub trait Batches: Send + Sync {
    /// Optimizer steps.
    fn steps(&self) -> usize;

    /// Microbatches a step.
    fn accumulation(&self) -> usize;

    /// A part of the batch of a step, both from 0.
    fn microbatch(&self, step: usize, part: usize) -> Microbatch;
}

/// What goes through the model at once.
#[derive(Clone, Debug, PartialEq)]
pub enum Microbatch {
    /// Documents.
    Documents {
        /// Each with what comes before it.
        documents: Vec<Answered>,
        /// What each one's log-likelihood counts.
        scales: Vec<f64>,
    },
    /// Rows of preference data, by their numbers.
    Rows {
        /// The step, from 0.
        step: usize,
        /// Which rows of the batch.
        rows: std::ops::Range<usize>,
        /// All rows of the batch.
        batch: Arc<[usize]>,
    },
}

/// What a run says while it goes on.
#[derive(Clone, Debug, PartialEq)]
pub enum News {
    /// How far it is.
    Progress {
        /// Optimizer steps done.
        done: usize,
        /// All of them.
        steps: usize,
    },
    /// What was measured at a step.
    Step {
        /// The step, from 1.
        step: usize,
        /// Name and value.
        values: Vec<(String, f64)>,
    },
    /// A sentence that a person should read.
    Warning(String),
}

/// What the paths of an adapter's parameters contain.
const UPDATES: &str = "updates";

/// Why a run left no model.
#[derive(Debug, thiserror::Error)]
pub enum TrainingError {
    /// The file system said no.
    #[error("cannot keep checkpoints in {folder}: {source}", folder = .folder.display())]
    Checkpoints {
        /// The folder of the checkpoints.
        folder: PathBuf,
        /// What the file system said.
        source: std::io::Error,
    },
    /// It stopped before its last step.
    #[error("training stopped at step {step} of {steps}: {reason}")]
    Stopped {
        /// Steps done.
        step: usize,
        /// All of them.
        steps: usize,
        /// Why.
        reason: String,
    },
    /// There is nothing to train on.
    #[error("there are no training steps: the data are empty")]
    Empty,
}

/// Trains; returns the model off the tape, and the file of what was measured.
///
/// # Errors
/// Where the checkpoints' folder cannot be used, or training stops before its end.
pub fn train(training: Training, ear: Ear) -> Result<(Transformer, PathBuf), TrainingError> {
    let Training { model, task, batches, optimisation, frozen, savings, tape, dropout, folder, stretch } = training;
    if batches.steps() == 0 {
        return Err(TrainingError::Empty);
    }
    let io = |source| TrainingError::Checkpoints { folder: folder.clone(), source };
    let checkpoints = CheckpointFolder::new(&folder).map_err(io)?;
    let resumed = checkpoints.newest().map_err(io)?;
    let interrupter = Interrupter::new();
    let (accumulation, steps) = (batches.accumulation(), batches.steps());
    let done = resumed.as_ref().map_or(0, |seal| seal.step);
    let position = Arc::new(AtomicUsize::new(done * accumulation));
    let origins = origins(&task);
    let failure: Arc<OnceLock<String>> = Arc::default();
    let start = step_log_start(&checkpoints, resumed.as_ref(), accumulation, failure.clone()).map_err(io)?;
    let rewards = rewards_so_far(&start, &task, batches.as_ref()).map_err(io)?;
    let held_out = HeldOutProgress::after(looks_so_far(&start).map_err(io)?.into_iter());
    let is_done = Arc::new(AtomicBool::new(held_out.is_over(task.patience())));
    let log = StepLog::open(start, origins.clone(), ear.clone(), interrupter.clone()).map_err(io)?;
    let sealer = Sealer::new(checkpoints.clone(), position.clone(), accumulation, log.written.clone());
    let loader = StretchLoader {
        batches,
        position: position.clone(),
        stretch,
        interrupter: interrupter.clone(),
        is_done: is_done.clone(),
    };
    let mut run = SupervisedTraining::new(&folder, Arc::new(loader), Arc::new(NoBatches))
        .with_interrupter(interrupter)
        .with_application_logger(None)
        .with_metric_logger(log)
        .renderer(Box::new(Relay { ear, steps }))
        .with_custom_checkpointers(sealer.part("model"), sealer.part("optim"), sealer.part("scheduler"))
        .with_checkpointing_strategy(EveryStretch(sealer))
        .grads_accumulation(accumulation)
        .num_epochs(usize::MAX - 1);
    for (name, origin) in &origins {
        run = run.metric_train_numeric(Measurement::new(name, *origin));
    }
    if let Some(seal) = resumed {
        run = run.checkpoint(seal.epoch);
    }
    let how = How {
        task: Arc::new(task),
        clip: optimisation.clip,
        learn_head: false,
        savings,
        tape,
        dropout,
        progress: Arc::new(Mutex::new(Progress::after(rewards, held_out))),
        failure: failure.clone(),
        is_done: is_done.clone(),
        frozen,
    };
    let result = run.launch(learner(model, how, optimisation));
    let step = position.load(Ordering::SeqCst) / accumulation;
    let reason = result.error.map(|error| error.to_string()).or_else(|| failure.get().cloned()).or_else(|| {
        let stopped = result.interrupted.filter(|_| step < steps && !is_done.load(Ordering::SeqCst))?;
        Some(stopped.reason.unwrap_or_else(|| "it was interrupted".to_owned()))
    });
    match reason {
        Some(reason) => Err(TrainingError::Stopped { step, steps, reason }),
        None => Ok((result.model.finish(), checkpoints.metrics())),
    }
}

fn learner(model: Transformer, how: How, optimisation: Optimisation) -> Learner<Learning> {
    // Beside an adapter's updates everything else stays as it is.
    let trained = if model.has_updates() { ParamGroup::from_predicate(UPDATES) } else { ParamGroup::all() };
    let start = model.clone();
    let mut model = model.train().set_require_grad_group(ParamGroup::all(), false);
    model = model.set_require_grad_group(trained, true);
    model = model.set_require_grad_group(how.frozen.whole(), false);
    let how = How { learn_head: model.head_is_trained(), ..how };
    let optimizer = optimizer(&model, &optimisation);
    Learner::new(Learning::new(model, &start, how), optimizer, optimisation.schedule)
}

/// AdamW that decays matrices and leaves out what is one-dimensional: biases, and scales of norms.
fn optimizer(model: &Transformer, optimisation: &Optimisation) -> ModuleOptimizer {
    let adam = AdamWConfig::new()
        .with_beta_1(optimisation.betas[0] as f32)
        .with_beta_2(optimisation.betas[1] as f32)
        .with_epsilon(optimisation.epsilon as f32);
    let mut undecayed = OneDimensional::default();
    model.visit(&mut undecayed);
    let decaying = adam.clone().with_weight_decay(optimisation.weight_decay as f32).init();
    decaying.with_group(ParamGroup::from_ids(undecayed.0), adam.with_weight_decay(0.0).build(), None)
}

/// The parameters that are no matrices.
#[derive(Default)]
struct OneDimensional(Vec<ParamId>);

impl ModuleVisitor for OneDimensional {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        if D == 1 {
            self.0.push(param.id);
        }
    }
}

/// What is measured at each step, in the order of `metrics.jsonl`.
fn origins(task: &Task) -> Vec<(String, Origin)> {
    let measured = task.measurements().into_iter().enumerate();
    let mut origins: Vec<_> = measured.map(|(index, name)| (name.to_owned(), Origin::Measured(index))).collect();
    origins.push(("grad_norm".to_owned(), Origin::GradientNorm));
    origins.push(("learning_rate".to_owned(), Origin::LearningRate));
    origins
}

fn step_log_start(
    checkpoints: &CheckpointFolder,
    resumed: Option<&Seal>,
    accumulation: usize,
    failure: Arc<OnceLock<String>>,
) -> std::io::Result<StepLogStart> {
    let path = checkpoints.metrics();
    let step = resumed.map_or(0, |seal| seal.step);
    Ok(StepLogStart { step, tokens: last_value(&path, step, "num_tokens")?, path, accumulation, failure })
}

/// What the metrics say at a step; 0 before the first.
fn last_value(metrics: &Path, step: usize, name: &str) -> std::io::Result<f64> {
    if step == 0 {
        return Ok(0.0);
    }
    let text = std::fs::read_to_string(metrics)?;
    let row: serde_json::Value = serde_json::from_str(text.lines().last().unwrap_or_default())?;
    row[name].as_f64().ok_or_else(|| std::io::Error::other(format!("the metrics have no `{name}`")))
}

/// The losses of held-out rows that were looked at up to a step.
fn looks_so_far(start: &StepLogStart) -> std::io::Result<Vec<f64>> {
    if start.step == 0 {
        return Ok(Vec::new());
    }
    let text = std::fs::read_to_string(&start.path)?;
    let loss = |line: &str| serde_json::from_str::<serde_json::Value>(line).ok()?[held_out::MEASURED[0]].as_f64();
    Ok(text.lines().filter_map(loss).collect())
}

/// Mean and number of all rewards up to a step, for losses that compare with it.
fn rewards_so_far(start: &StepLogStart, task: &Task, batches: &dyn Batches) -> std::io::Result<(f64, f64)> {
    let Task::Preference(preference) = task else { return Ok((0.0, 0.0)) };
    if !preference.objective.has_running_shift() {
        return Ok((0.0, 0.0));
    }
    let answers = |step| match batches.microbatch(step, 0) {
        Microbatch::Rows { batch, .. } => batch.iter().map(|row| preference.rows[*row].answers().len()).sum(),
        Microbatch::Documents { .. } => 0,
    };
    let count = (0..start.step).map(answers).sum::<usize>();
    Ok((last_value(&start.path, start.step, "shift")?, count as f64))
}

/// A checkpoint at the end of every stretch; two are kept.
struct EveryStretch(Arc<Sealer>);

impl CheckpointingStrategy for EveryStretch {
    fn checkpointing(&mut self, epoch: usize, _store: &EventStoreClient) -> Vec<CheckpointingAction> {
        self.0.stretch_ended(epoch);
        let mut actions = vec![CheckpointingAction::Save];
        actions.extend(epoch.checked_sub(2).filter(|old| *old > 0).map(CheckpointingAction::Delete));
        actions
    }
}

#[cfg(test)]
pub(super) mod tests {
    use std::fs;

    use burn::tensor::Device;

    use super::*;
    use crate::{
        model::{Adapter, ModelConfig, NumberFormat},
        tuning::{
            Decay, HeldOut, Mismatch, Modifiers, MovingReference, Objective, Preference, Reference, RowBatches,
            Setting, TokenPreference, TokenRow, reference,
        },
    };

    /// The smallest model in which nothing is left out.
    pub(in crate::tuning) fn tiny(vocab_size: usize) -> ModelConfig {
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

    fn pairs() -> Vec<TokenRow> {
        let answer =
            |first: u32, length: u32| (first..first + length).map(|token| 3 + token % 20).collect::<Vec<u32>>().into();
        (0..24)
            .map(|id| {
                let answers = [answer(id, 4 + id % 5), answer(5 * id, 3 + id % 4)];
                TokenRow::new(vec![0, 3 + id % 7], TokenPreference::Pair(answers))
            })
            .collect()
    }

    fn training(folder: &Path) -> Training {
        let model = tiny(23).init(&Seed::root(5), &Device::flex());
        with(folder, model, "dpo", 2)
    }

    /// Training of this algorithm and in so many parts, against the model before.
    fn with(folder: &Path, model: Transformer, algorithm: &str, accumulation: usize) -> Training {
        let objective = Objective::plain(algorithm, &[(Setting::NllWeight, 1.0)]).unwrap();
        let rows = pairs();
        let scored = reference(&model, &rows, 1000, Savings::default(), |_| ());
        let batches = RowBatches::new(&(0..rows.len()).collect::<Vec<_>>(), 3.0, 6, accumulation, Some(&Seed::root(1)));
        let mut preference = Preference {
            objective,
            modifiers: Modifiers::default(),
            reference: Reference::of_rows(scored, &rows).unwrap(),
            rows,
            mismatch: Mismatch::Fixed,
            moving: None,
            held_out: None,
        };
        preference.look_at_mismatches(&model, batches.order(), 1000, Savings::default(), |_| ());
        Training {
            frozen: Frozen::named(&["embedding".to_owned()], &model).unwrap(),
            model,
            task: Task::Preference(Box::new(preference)),
            batches: Arc::new(batches),
            savings: Savings::default(),
            tape: Tape::default(),
            dropout: None,
            optimisation: Optimisation {
                schedule: Schedule::new(1e-2, 3, 12, Decay::Linear, 0.1),
                weight_decay: 0.01,
                betas: [0.9, 0.98],
                epsilon: 1e-8,
                clip: 1.0,
            },
            folder: folder.to_owned(),
            stretch: Duration::ZERO,
        }
    }

    /// The model after training with this left as it is, with strong weight decay.
    pub(in crate::tuning) fn trained_with(model: Transformer, frozen: &[String]) -> Transformer {
        let folder = tempfile::tempdir().unwrap();
        let frozen = Frozen::named(frozen, &model).unwrap();
        let training = with(folder.path(), model, "dpo", 2);
        let optimisation = Optimisation { weight_decay: 0.5, ..training.optimisation.clone() };
        train(Training { frozen, optimisation, ..training }, Arc::new(|_| ())).unwrap().0
    }

    fn bytes(model: &Transformer) -> Vec<u8> {
        let record = model.clone().into_record();
        record.into_bytes().unwrap().to_vec()
    }

    fn copy(from: &Path, to: &Path) {
        for entry in fs::read_dir(from).unwrap() {
            let path = entry.unwrap().path();
            // A file may vanish meanwhile, as it may when a process is killed.
            fs::copy(&path, to.join(path.file_name().unwrap())).ok();
        }
    }

    #[test]
    fn a_run_that_is_killed_anywhere_leaves_the_same_bytes() {
        // The last two have statistics that span batches, and an adapter is trained beside a frozen model.
        for (algorithm, is_adapter) in [("dpo", false), ("dpo", true), ("bco", false), ("kto", false)] {
            killed_anywhere(&|folder| {
                let model = if is_adapter { adapted() } else { tiny(23).init(&Seed::root(5), &Device::flex()) };
                with(folder, model, algorithm, 2)
            });
        }
    }

    #[test]
    fn so_does_one_whose_reference_moves_or_which_holds_rows_out() {
        killed_anywhere(&|folder| changed(folder, "kto", |preference| preference.moving = MOVING));
        killed_anywhere(&|folder| {
            let model = adapted();
            Training { model, ..changed(folder, "dpo", |preference| preference.held_out = Some(held_out(None))) }
        });
        killed_anywhere(&|folder| {
            let dropout = Some((0.2, Seed::root(3)));
            Training { model: adapted(), dropout, ..changed(folder, "dpo", |_| ()) }
        });
    }

    #[test]
    fn in_bfloat16_what_is_trained_keeps_its_digits() {
        let trained = |format: NumberFormat, tape: Tape| {
            let folder = tempfile::tempdir().unwrap();
            let start = training(folder.path()).model;
            let training = with(folder.path(), Transformer { computes_in: format, ..start }, "dpo", 2);
            let (model, metrics) = train(Training { tape, ..training }, Arc::new(|_| ())).unwrap();
            assert_eq!(model.blocks[0].down.weight.val().dtype(), burn::tensor::DType::F32);
            (column(&metrics, "loss"), model.blocks[1].down.weight.val().into_data().try_to_vec::<f32>().unwrap())
        };
        let (losses, weights) = trained(NumberFormat::Float32, Tape::Whole);
        for tape in [Tape::Whole, Tape::Blocks] {
            let (half_losses, half_weights) = trained(NumberFormat::BFloat16, tape);
            assert!(
                losses.iter().zip(&half_losses).all(|(one, other)| (one - other).abs() < 0.03 * one),
                "{half_losses:?}"
            );
            assert!(losses != half_losses, "it did compute in fewer digits");
            let exact = half_weights.iter().filter(|weight| (weight.to_bits() & 0xffff) == 0).count();
            assert!(exact * 4 < half_weights.len(), "weights would lose what a step adds: {exact}");
            let apart = weights.iter().zip(&half_weights).map(|(one, other)| (one - other).abs());
            assert!(apart.fold(0.0, f32::max) < 0.05);
        }
    }

    const MOVING: Option<MovingReference> = Some(MovingReference { every: 3, mixup: 0.6 });

    fn held_out(patience: Option<usize>) -> HeldOut {
        HeldOut { rows: vec![1, 5, 9, 13], every: 2, patience }
    }

    /// Training with another preference.
    fn changed(folder: &Path, algorithm: &str, change: impl FnOnce(&mut Preference)) -> Training {
        let model = tiny(23).init(&Seed::root(5), &Device::flex());
        let mut training = with(folder, model, algorithm, 2);
        let Task::Preference(preference) = &mut training.task else { unreachable!() };
        change(preference);
        training
    }

    fn column(metrics: &Path, name: &str) -> Vec<f64> {
        let text = fs::read_to_string(metrics).unwrap();
        let rows = text.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
        rows.filter_map(|row| row[name].as_f64()).collect()
    }

    /// A reference that is replaced after every step is the policy, so that rewards vanish and each step is the first.
    #[test]
    fn a_reference_that_follows_at_once_leaves_no_rewards() {
        let rewards = |moving| {
            let folder = tempfile::tempdir().unwrap();
            let training = changed(folder.path(), "dpo", |preference| preference.moving = moving);
            let (_, metrics) = train(training, Arc::new(|_| ())).unwrap();
            column(&metrics, "rewards/margins")
        };
        let follows = rewards(Some(MovingReference { every: 1, mixup: 1.0 }));
        assert!(follows.iter().all(|margin| margin.abs() < 1e-5), "{follows:?}");
        let (stays, moves) = (rewards(None), rewards(MOVING));
        // Reference and policy are computed in passes of other layouts, so that the last digits may differ.
        let same = stays[..3].iter().zip(&moves[..3]).all(|(stays, moves)| (stays - moves).abs() < 1e-5);
        assert!(same, "it moves after the third step: {stays:?} {moves:?}");
        assert!(stays[11] > 2.0 * moves[11].abs(), "{} {}", stays[11], moves[11]);
    }

    #[test]
    fn the_model_that_does_best_on_held_out_rows_is_kept() {
        let folder = tempfile::tempdir().unwrap();
        // Held-out rows say the contrary of those that are learnt from.
        let learnt = [0, 4, 8, 12];
        let contrary = |preference: &mut Preference| {
            preference.objective = Objective::plain("dpo", &[]).unwrap();
            for row in learnt {
                preference.rows[row + 1] = preference.rows[row].clone();
                preference.rows[row + 1].answers_mut().reverse();
                let mut reference = preference.reference.answers[row].clone();
                reference.reverse();
                preference.reference.answers[row + 1] = reference;
            }
            preference.held_out = Some(held_out(Some(2)));
        };
        let training = changed(folder.path(), "dpo", contrary);
        let batches = Arc::new(RowBatches::new(&learnt, 12.0, 4, 1, None));
        let before = bytes(&training.model);
        let (found, metrics) = train(Training { batches, ..training }, Arc::new(|_| ())).unwrap();
        let losses = column(&metrics, "eval_loss");
        assert!(
            losses.len() == 3 && losses[0] < losses[1] && losses[1] < losses[2],
            "two worse looks end it: {losses:?}"
        );
        assert_eq!(column(&metrics, "loss").len(), 7, "it stops before its last step");
        assert_ne!(bytes(&found), before);
        assert_eq!(column(&metrics, "eval_rewards/accuracies")[1..], [0.0; 2]);
        let shorter = tempfile::tempdir().unwrap();
        let training = changed(shorter.path(), "dpo", contrary);
        let batches = Arc::new(RowBatches::new(&learnt, 2.0, 4, 1, None));
        let optimisation =
            Optimisation { schedule: Schedule::new(1e-2, 3, 12, Decay::Linear, 0.1), ..training.optimisation.clone() };
        let training = Training { batches, optimisation, ..training };
        assert_eq!(
            bytes(&train(training, Arc::new(|_| ())).unwrap().0),
            bytes(&found),
            "the best was that of the first look"
        );
    }

    /// A gradient of 0 for each parameter: what moves then is weight decay alone.
    #[derive(Default)]
    struct Zeros(burn::optim::GradientsParams);

    impl ModuleVisitor for Zeros {
        fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
            self.0.register(param.id, param.val().inner().zeros_like());
        }
    }

    /// transformers leaves biases and the weights of norms out; at rate 0.1 a decay of 0.5 leaves 0.95 of all else.
    #[test]
    fn matrices_decay_and_biases_and_norms_do_not() {
        let config = ModelConfig {
            query_key_value_bias: true,
            attention_output_bias: true,
            feed_forward_bias: true,
            query_key_norm: true,
            tie_word_embeddings: false,
            ..tiny(23)
        };
        let mut model = config.init(&Seed::root(5), &Device::flex());
        for block in &mut model.blocks {
            let linears =
                [&mut block.query_key_value, &mut block.attention_output, &mut block.gate_up, &mut block.down];
            for linear in linears {
                linear.bias = linear.bias.take().map(|bias| bias.map(|bias| bias + 1.0));
            }
        }
        let adapter = r#"{"r": 2, "lora_alpha": 4, "target_modules": ["q_proj", "v_proj", "up_proj", "down_proj"]}"#;
        Adapter::begin(serde_json::from_str(adapter).unwrap(), &mut model, &Seed::root(2)).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let optimisation = Optimisation { weight_decay: 0.5, ..training(folder.path()).optimisation };
        let model = model.train();
        let (mut before, mut zeros) = (Values::default(), Zeros::default());
        model.visit(&mut before);
        model.visit(&mut zeros);
        let mut after = Values::default();
        optimizer(&model, &optimisation).step(0.1, model, zeros.0).visit(&mut after);
        assert!(before.0.iter().any(|(dimensions, values)| *dimensions == 1 && values.contains(&1.0)));
        assert_eq!(before.0.len(), after.0.len());
        for ((dimensions, before), (_, after)) in before.0.iter().zip(&after.0) {
            let share = if *dimensions == 1 { 1.0 } else { 0.95 };
            for (before, after) in before.iter().zip(after) {
                assert!((after - share * before).abs() < 1e-6, "{dimensions} dimensions: {before} became {after}");
            }
        }
    }

    /// The values of all parameters, with their dimensions.
    #[derive(Default)]
    struct Values(Vec<(usize, Vec<f32>)>);

    impl ModuleVisitor for Values {
        fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
            self.0.push((D, param.val().inner().into_data().try_to_vec::<f32>().unwrap()));
        }
    }

    /// A model with a fresh adapter.
    fn adapted() -> Transformer {
        let mut model = tiny(23).init(&Seed::root(5), &Device::flex());
        let config = r#"{"r": 2, "lora_alpha": 4, "target_modules": ["q_proj", "v_proj", "up_proj", "down_proj"]}"#;
        Adapter::begin(serde_json::from_str(config).unwrap(), &mut model, &Seed::root(2)).unwrap();
        model
    }

    fn killed_anywhere(training: &dyn Fn(&Path) -> Training) {
        let whole = tempfile::tempdir().unwrap();
        let snapshots: Arc<Mutex<Vec<tempfile::TempDir>>> = Arc::default();
        let (seen, source) = (snapshots.clone(), whole.path().to_owned());
        let ear: Ear = Arc::new(move |news| {
            if matches!(news, News::Step { .. }) {
                let snapshot = tempfile::tempdir().unwrap();
                copy(&source, snapshot.path());
                seen.lock().unwrap().push(snapshot);
            }
        });
        let (expected, metrics) = train(training(whole.path()), ear).unwrap();
        let expected_metrics = fs::read_to_string(metrics).unwrap();
        assert_eq!(expected_metrics.lines().count(), 12);
        for snapshot in snapshots.lock().unwrap().iter() {
            let first = Arc::new(Mutex::new(None));
            let heard = first.clone();
            let ear: Ear = Arc::new(move |news| {
                if let News::Step { step, .. } = news {
                    heard.lock().unwrap().get_or_insert(step);
                }
            });
            let (found, metrics) = train(training(snapshot.path()), ear).unwrap();
            assert_eq!(bytes(&found), bytes(&expected), "resumed before step {:?}", first.lock().unwrap());
            assert_eq!(fs::read_to_string(metrics).unwrap(), expected_metrics);
        }
    }

    #[test]
    fn a_number_that_is_none_stops_the_run_even_at_its_last_step() {
        for passes in [0.25, 3.0] {
            let folder = tempfile::tempdir().unwrap();
            let training = training(folder.path());
            let model = burn::module::Module::map(training.model.clone(), &mut Diverged);
            let batches = Arc::new(RowBatches::new(&(0..pairs().len()).collect::<Vec<_>>(), passes, 6, 1, None));
            let result = train(Training { model, batches, ..training }, Arc::new(|_| ()));
            let error = result.expect_err("a model of infinities has no loss").to_string();
            assert!(error.contains("is not a finite number at step 1"), "{error}");
        }
    }

    /// A model whose training went wrong.
    struct Diverged;

    impl burn::module::ModuleMapper for Diverged {
        fn map_float<const D: usize>(
            &mut self,
            param: burn::module::Param<burn::tensor::Tensor<D>>,
        ) -> burn::module::Param<burn::tensor::Tensor<D>> {
            param.map(|tensor| tensor * f32::INFINITY)
        }
    }

    #[test]
    fn parts_of_a_batch_add_up_to_the_batch() {
        for algorithm in ["dpo", "kto", "aot", "bco"] {
            parts_add_up(algorithm);
        }
    }

    fn parts_add_up(algorithm: &str) {
        let tuned = |accumulation| {
            let folder = tempfile::tempdir().unwrap();
            let start = training(folder.path()).model;
            let training = with(folder.path(), start, algorithm, accumulation);
            let (model, metrics) = train(training, Arc::new(|_| ())).unwrap();
            let weights = model.blocks[1].down.weight.val().into_data();
            (weights.try_to_vec::<f32>().unwrap(), fs::read_to_string(metrics).unwrap())
        };
        let ((whole, whole_metrics), (parts, parts_metrics)) = (tuned(1), tuned(3));
        for (whole, parts) in whole.iter().zip(&parts) {
            assert!((whole - parts).abs() < 1e-4, "{whole} {parts}");
        }
        let column = |metrics: &str, name: &str| -> Vec<f64> {
            let rows = metrics.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
            rows.map(|row| row[name].as_f64().unwrap()).collect()
        };
        for name in ["loss", "rewards/margins", "grad_norm", "num_tokens", "learning_rate"] {
            for (whole, parts) in column(&whole_metrics, name).into_iter().zip(column(&parts_metrics, name)) {
                assert!((whole - parts).abs() <= 1e-3 * whole.abs().max(1e-2), "{name}: {whole} {parts}");
            }
        }
    }

    #[test]
    fn a_damaged_checkpoint_does_not_count() {
        let folder = tempfile::tempdir().unwrap();
        let (expected, _) = train(training(folder.path()), Arc::new(|_| ())).unwrap();
        let checkpoints = CheckpointFolder::new(folder.path()).unwrap();
        let newest = checkpoints.newest().unwrap().unwrap();
        let file = folder.path().join(format!("optim-{}.bpk", newest.epoch));
        let mut damaged = fs::read(&file).unwrap();
        *damaged.last_mut().unwrap() ^= 1;
        fs::write(&file, damaged).unwrap();
        let older = checkpoints.newest().unwrap().unwrap();
        assert!(older.epoch < newest.epoch);
        assert_eq!(bytes(&train(training(folder.path()), Arc::new(|_| ())).unwrap().0), bytes(&expected));
    }

    #[test]
    fn metrics_that_lack_any_byte_are_measured_again() {
        let folder = tempfile::tempdir().unwrap();
        let (_, metrics) = train(training(folder.path()), Arc::new(|_| ())).unwrap();
        let expected = fs::read(&metrics).unwrap();
        // Even the last line break: with it lost, resuming has filled its place with a zero byte.
        for position in [expected.len() - 1, expected.len() / 2, 0] {
            for damage in [&expected[..position], &[&expected[..position], b" ", &expected[position + 1..]].concat()] {
                fs::write(&metrics, damage).unwrap();
                train(training(folder.path()), Arc::new(|_| ())).unwrap();
                assert_eq!(fs::read(&metrics).unwrap(), expected, "damaged at {position}");
            }
        }
    }

    #[test]
    fn only_the_adapter_is_trained() {
        let folder = tempfile::tempdir().unwrap();
        let training = with(folder.path(), adapted(), "dpo", 1);
        let before = training.model.clone();
        let (after, _) = train(training, Arc::new(|_| ())).unwrap();
        let (one, other) = (&before.blocks[1].query_key_value, &after.blocks[1].query_key_value);
        assert_eq!(one.weight.val().into_data(), other.weight.val().into_data());
        assert_eq!(before.embedding.val().into_data(), after.embedding.val().into_data());
        assert_ne!(one.updates[0].b.val().into_data(), other.updates[0].b.val().into_data());
        assert_eq!(one.updates.len(), 2, "queries and values");
    }

    #[test]
    fn a_reference_of_another_model_stops_the_run() {
        let folder = tempfile::tempdir().unwrap();
        let training = training(folder.path());
        let model = tiny(23).init(&Seed::root(6), &Device::flex());
        let error = train(Training { model, ..training }, Arc::new(|_| ())).unwrap_err().to_string();
        assert!(error.contains("at the start policy and reference must agree, and the loss be 0.6931"), "{error}");
    }

    /// Whatever the loss: where it is sorted over the batch, flat, or sees only differences, the tokens tell.
    #[test]
    fn a_foreign_reference_stops_every_algorithm() {
        for algorithm in ["aot", "aot_unpaired", "kto", "bco", "ipo", "hinge"] {
            let folder = tempfile::tempdir().unwrap();
            let training = changed(folder.path(), algorithm, |_| ());
            let model = tiny(23).init(&Seed::root(6), &Device::flex());
            let error = train(Training { model, ..training }, Arc::new(|_| ())).expect_err(algorithm).to_string();
            assert!(error.contains("at the start policy and reference must agree"), "{algorithm}: {error}");
        }
        let folder = tempfile::tempdir().unwrap();
        // Both answers are as much too probable, so that DPO's margin is right.
        let training = changed(folder.path(), "dpo", |preference| {
            preference.reference.answers.iter_mut().flatten().for_each(|answer| answer[0] += 0.5);
        });
        let error = train(training, Arc::new(|_| ())).unwrap_err().to_string();
        assert!(error.contains("but the log-probabilities of tokens are"), "{error}");
    }

    /// The last batch has one row: held-out rows are looked at once before it, in however many parts it goes.
    #[test]
    fn held_out_rows_are_looked_at_once_a_batch() {
        let looked = |accumulation| {
            let folder = tempfile::tempdir().unwrap();
            let training = changed(folder.path(), "dpo", |preference| preference.held_out = Some(held_out(Some(100))));
            let batches = Arc::new(RowBatches::new(&[0, 4, 8, 12, 16], 5.0, 4, accumulation, None));
            let (_, metrics) = train(Training { batches, ..training }, Arc::new(|_| ())).unwrap();
            ["loss", "eval_loss", "eval_rewards/accuracies"].map(|name| column(&metrics, name))
        };
        let (whole, parts) = (looked(1), looked(4));
        assert_eq!((whole[0].len(), whole[1].len()), (7, 3), "before steps 3, 5 and 7");
        for (whole, parts) in whole.iter().zip(&parts) {
            assert_eq!(whole.len(), parts.len());
            let near = |(one, other): (&f64, &f64)| (one - other).abs() < 1e-3 * one.abs().max(0.1);
            assert!(whole.iter().zip(parts).all(near), "{whole:?} {parts:?}");
        }
        assert!(parts[2].iter().all(|accuracy| *accuracy <= 1.0), "{:?}", parts[2]);
    }

    #[test]
    fn starts_at_the_closed_form_and_leaves_frozen_parameters_alone() {
        let folder = tempfile::tempdir().unwrap();
        let training = training(folder.path());
        let before = training.model.clone();
        let losses = Arc::new(Mutex::new(Vec::new()));
        let heard = losses.clone();
        let ear: Ear = Arc::new(move |news| {
            if let News::Step { values, .. } = news {
                let value = |name: &str| values.iter().find(|(known, _)| known == name).unwrap().1;
                heard.lock().unwrap().push((value("loss"), value("nll_loss"), value("rewards/accuracies")));
            }
        });
        let (after, _) = train(training, ear).unwrap();
        let losses = losses.lock().unwrap();
        let (loss, nll, accuracy) = losses[0];
        assert!((loss - nll - std::f64::consts::LN_2).abs() < 1e-6, "policy and reference are equal: {loss} {nll}");
        assert_eq!(accuracy, 0.0, "a tie is no win");
        assert!(losses.last().unwrap().0 < loss);
        assert_eq!(before.embedding.val().into_data(), after.embedding.val().into_data());
        assert_ne!(before.blocks[0].down.weight.val().into_data(), after.blocks[0].down.weight.val().into_data());
    }
}
