//! A training run on burn-train; an interrupted run resumes and gives the same bytes.

use std::{
    panic::{self, AssertUnwindSafe},
    path::PathBuf,
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
    backward::GradientCheckpointing,
    checkpoint::{CheckpointFolder, FoundCheckpoints, NewestCheckpoint, SealedCheckpoint, Sealer},
    frozen::Frozen,
    loader::{CheckpointedLoader, NoBatches},
    measurement::{Measurement, Relay, StepLog, StepLogStart},
    protocol::{Batches, Ear, Microbatch, Optimisation, TrainEvent},
    replicas::Replicas,
    state::TrainingState,
    task::Task,
    tokenized::ComputeOptions,
    trainable::{StepProgress, TrainConfig, TrainableModel},
    transfer::TrainedParameters,
};
use crate::{diagnostic::panic_text, model::Transformer, seed::Seed};

/// All that a run needs.
pub struct Training {
    /// The model to train, without autodiff.
    pub model: Transformer,
    /// Its copies on further devices, which share the rows of each microbatch.
    pub replicas: Replicas,
    /// The loss and its data.
    pub task: Task,
    /// The order of the data, in batches.
    pub batches: Arc<dyn Batches>,
    /// Optimizer and schedule.
    pub optimisation: Optimisation,
    /// Parameters and columns that keep their values.
    pub frozen: Frozen,
    /// Options that save time or memory.
    pub compute: ComputeOptions,
    /// Which intermediate states are kept for the backward pass.
    pub gradient_checkpointing: GradientCheckpointing,
    /// LoRA dropout: rate and seed.
    pub dropout: Option<(f64, Seed)>,
    /// Folder of checkpoints, kept over interruptions.
    pub folder: PathBuf,
    /// Time between two checkpoints.
    pub checkpoint_interval: Duration,
    /// Whether to write a checkpoint now, and stop.
    pub ends_now: fn() -> bool,
}

/// Part of the paths of an adapter's parameters.
const UPDATES: &str = "updates";

/// What Burn says of a tensor whose file cannot be read.
const UNREADABLE: &str = "host access failed";

/// Warning before a run starts over.
const OTHER_FORMAT: &str = "the checkpoints of the last attempt were written by another version of \
    apeft and cannot be resumed: training starts over";

/// Why a run gave no model.
#[derive(Debug, thiserror::Error)]
pub enum TrainingError {
    /// The folder of checkpoints cannot be used.
    #[error("cannot write checkpoints to {folder}: {source}", folder = .folder.display())]
    Checkpoints {
        /// The folder of the checkpoints.
        folder: PathBuf,
        /// The error of the file system.
        source: std::io::Error,
    },
    /// Training stopped before its last step.
    #[error("training stopped at step {step} of {steps}: {reason}")]
    Stopped {
        /// Optimizer steps done.
        step: usize,
        /// Optimizer steps of the whole run.
        steps: usize,
        /// Why it stopped, in words.
        reason: String,
    },
    /// The data are empty.
    #[error("there are no training steps: the data are empty")]
    Empty,
}

/// What the threads of a run share.
struct Shared {
    /// Microbatches handed out so far.
    position: Arc<AtomicUsize>,
    /// The state after the last optimizer step.
    completed: Arc<Mutex<TrainingState>>,
    /// Whether early stopping has ended training.
    is_done: Arc<AtomicBool>,
    /// Why the result is invalid.
    failure: Arc<OnceLock<String>>,
    interrupter: Interrupter,
}

/// Trains; returns the model without autodiff, and the path of the metrics.
///
/// # Errors
/// Fails where the folder of checkpoints cannot be used, or training stops early.
pub fn train(training: Training, ear: Ear) -> Result<(Transformer, PathBuf), TrainingError> {
    let (steps, accumulation) = (training.batches.steps(), training.batches.accumulation());
    if steps == 0 {
        return Err(TrainingError::Empty);
    }
    let checkpoints =
        CheckpointFolder::new(&training.folder).map_err(|source| training.unusable(source))?;
    let resumed = resumed(&checkpoints, &ear).map_err(|source| training.unusable(source))?;
    remarks_on_devices(&training).into_iter().for_each(|remark| ear(remark));
    let state = resumed.map_or_else(TrainingState::default, |checkpoint| checkpoint.state);
    let shared = Shared::new(state, accumulation, training.task.patience());
    let mut run = supervised(&training, &checkpoints, &shared, ear)
        .map_err(|source| training.unusable(source))?;
    if let Some(checkpoint) = resumed {
        run = run.checkpoint(checkpoint.epoch);
    }
    // burn-train panics where a checkpoint cannot be read.
    let launched = panic::catch_unwind(AssertUnwindSafe(|| run.launch(learner(training, &shared))));
    let step = shared.position.load(Ordering::SeqCst) / accumulation;
    let result = match (launched, shared.failure.get()) {
        (Ok(result), _) => result,
        (Err(_), Some(reason)) => {
            return Err(TrainingError::Stopped { step, steps, reason: reason.clone() });
        }
        // Its tensors are read when they are first needed.
        (Err(panicked), None)
            if resumed.is_some() && panic_text(&*panicked).contains(UNREADABLE) =>
        {
            let reason = format!("cannot read the checkpoint: {}", panic_text(&*panicked));
            return Err(TrainingError::Stopped { step, steps, reason });
        }
        (Err(panicked), None) => panic::resume_unwind(panicked),
    };
    let is_cut_short = step < steps && !shared.is_done.load(Ordering::SeqCst);
    let reason = match (result.error, shared.failure.get()) {
        (Some(error), _) => Some(error.to_string()),
        (None, Some(failure)) => Some(failure.clone()),
        // The loader ends every run by an interruption, which is no reason after the last step.
        (None, None) => result
            .interrupted
            .filter(|_| is_cut_short)
            .map(|stopped| stopped.reason.unwrap_or_else(|| "it was interrupted".to_owned())),
    };
    match reason {
        Some(reason) => Err(TrainingError::Stopped { step, steps, reason }),
        None => Ok((result.model.finish(), checkpoints.metrics())),
    }
}

impl Training {
    fn unusable(&self, source: std::io::Error) -> TrainingError {
        TrainingError::Checkpoints { folder: self.folder.clone(), source }
    }
}

impl Shared {
    /// At the beginning of a run from a state.
    fn new(state: TrainingState, accumulation: usize, patience: Option<usize>) -> Self {
        Self {
            position: Arc::new(AtomicUsize::new(state.step * accumulation)),
            completed: Arc::new(Mutex::new(state)),
            // A run that was killed after its last evaluation has no step left to take.
            is_done: Arc::new(AtomicBool::new(state.held_out.is_over(patience))),
            failure: Arc::default(),
            interrupter: Interrupter::new(),
        }
    }
}

/// What several devices cost, and whether all of them have work.
fn remarks_on_devices(training: &Training) -> Vec<TrainEvent> {
    let others = training.replicas.count();
    let mut remarks = Vec::new();
    if others > 0 && !training.model.has_updates() {
        let trained = trainable(training.model.clone(), &training.frozen);
        let megabytes = TrainedParameters::of(&trained).numbers as f64 * 4e-6;
        remarks.push(TrainEvent::Note(format!(
            "each step sends {megabytes:.1} MB of weights to each further device, and as many of \
            gradients back; training an adapter sends the adapter only"
        )));
    }
    let rows = match training.batches.microbatch(0, 0) {
        Microbatch::Documents { documents, .. } => documents.len(),
        Microbatch::Rows { rows, .. } => rows.len(),
    };
    let devices = others + 1;
    if rows < devices {
        remarks.push(TrainEvent::Warning(format!(
            "{devices} devices share the rows of a microbatch, which has {rows}, so that some have \
            no work; raise `batch_size` to a multiple of {devices}"
        )));
    }
    remarks
}

/// The checkpoint from which the run resumes, if any.
fn resumed(checkpoints: &CheckpointFolder, ear: &Ear) -> std::io::Result<Option<SealedCheckpoint>> {
    let FoundCheckpoints { newest, damaged } = checkpoints.newest()?;
    if damaged > 0 {
        ear(TrainEvent::Warning(format!(
            "{damaged} newer checkpoints do not match their seals and are not used; check the disk"
        )));
    }
    match newest {
        NewestCheckpoint::Valid(checkpoint) => {
            let step = checkpoint.state.step;
            ear(TrainEvent::Note(format!("resumes from the checkpoint of step {step}")));
            Ok(Some(checkpoint))
        }
        NewestCheckpoint::OtherFormat => {
            ear(TrainEvent::Warning(OTHER_FORMAT.to_owned()));
            Ok(None)
        }
        NewestCheckpoint::Missing => {
            if damaged > 0 {
                ear(TrainEvent::Note("restarts at the first step".to_owned()));
            }
            Ok(None)
        }
    }
}

/// The run as burn-train has it: loader, metrics and checkpoints, but no model yet.
fn supervised(
    training: &Training,
    checkpoints: &CheckpointFolder,
    shared: &Shared,
    ear: Ear,
) -> std::io::Result<SupervisedTraining<TrainableModel>> {
    let (steps, accumulation) = (training.batches.steps(), training.batches.accumulation());
    let metrics = training.task.metrics();
    let start = StepLogStart {
        path: checkpoints.metrics(),
        step: shared.position.load(Ordering::SeqCst) / accumulation,
        accumulation,
        metrics,
        failure: Arc::clone(&shared.failure),
    };
    let log = StepLog::open(start, Arc::clone(&ear), shared.interrupter.clone())?;
    let completed = Arc::clone(&shared.completed);
    let failure = Arc::clone(&shared.failure);
    let sealer = Sealer::new(checkpoints.clone(), completed, Arc::clone(&log.written), failure);
    let loader = CheckpointedLoader {
        batches: Arc::clone(&training.batches),
        position: Arc::clone(&shared.position),
        checkpoint_interval: training.checkpoint_interval,
        ends_now: training.ends_now,
        interrupter: shared.interrupter.clone(),
        is_done: Arc::clone(&shared.is_done),
    };
    let mut run = SupervisedTraining::new(&training.folder, Arc::new(loader), Arc::new(NoBatches))
        .with_interrupter(shared.interrupter.clone())
        // Else it would write a log of its own among the checkpoints.
        .with_application_logger(None)
        .with_metric_logger(log)
        .renderer(Box::new(Relay { ear, steps }))
        .with_custom_checkpointers(
            sealer.part("model"),
            sealer.part("optim"),
            sealer.part("scheduler"),
        )
        .with_checkpointing_strategy(EveryInterval(sealer))
        .grads_accumulation(accumulation)
        // The number of intervals is not known before: the loader ends the run.
        .num_epochs(usize::MAX - 1);
    for metric in metrics {
        run = run.metric_train_numeric(Measurement::new(*metric));
    }
    Ok(run)
}

fn learner(training: Training, shared: &Shared) -> Learner<TrainableModel> {
    let Training { model, replicas, task, optimisation, frozen, compute, .. } = training;
    let start = model.clone();
    let model = trainable(model, &frozen);
    let moves = matches!(&task, Task::Preference(preference) if preference.moving.is_some());
    let theirs = frozen.clone();
    replicas.prepare(TrainedParameters::of(&model), moves, move |model| trainable(model, &theirs));
    let state = *shared.completed.lock().expect("no holder panics");
    let config = TrainConfig {
        task: Arc::new(task),
        clip: optimisation.clip,
        learn_head: model.head_is_trained(),
        compute,
        gradient_checkpointing: training.gradient_checkpointing,
        dropout: training.dropout,
        frozen,
        replicas: Arc::new(replicas),
        progress: Arc::new(Mutex::new(StepProgress::from_state(state))),
        completed: Arc::clone(&shared.completed),
        failure: Arc::clone(&shared.failure),
        is_done: Arc::clone(&shared.is_done),
    };
    let optimizer = optimizer(&model, &optimisation);
    Learner::new(TrainableModel::new(model, &start, config), optimizer, optimisation.schedule)
}

/// The model with autodiff, of which only the parameters that are trained have gradients.
fn trainable(model: Transformer, frozen: &Frozen) -> Transformer {
    // With an adapter, all other parameters are frozen.
    let trained =
        if model.has_updates() { ParamGroup::from_predicate(UPDATES) } else { ParamGroup::all() };
    // First none, then the trained ones, then not the frozen ones: a call changes its group only.
    let mut model = model.train().set_require_grad_group(ParamGroup::all(), false);
    model = model.set_require_grad_group(trained, true);
    model.set_require_grad_group(frozen.whole(), false)
}

/// AdamW with weight decay for matrices only, not for biases and norm weights.
fn optimizer(model: &Transformer, optimisation: &Optimisation) -> ModuleOptimizer {
    let adam = AdamWConfig::new()
        .with_beta_1(optimisation.betas[0] as f32)
        .with_beta_2(optimisation.betas[1] as f32)
        .with_epsilon(optimisation.epsilon as f32);
    let mut undecayed = OneDimensional::default();
    model.visit(&mut undecayed);
    let decaying = adam.clone().with_weight_decay(optimisation.weight_decay as f32).init();
    decaying.with_group(
        ParamGroup::from_ids(undecayed.0),
        adam.with_weight_decay(0.0).build(),
        None,
    )
}

/// Collects the one-dimensional parameters.
#[derive(Default)]
struct OneDimensional(Vec<ParamId>);

impl ModuleVisitor for OneDimensional {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        // Biases and norm weights are vectors, and nothing else is.
        if D == 1 {
            self.0.push(param.id);
        }
    }
}

/// A checkpoint after every interval; two are kept.
struct EveryInterval(Arc<Sealer>);

impl CheckpointingStrategy for EveryInterval {
    fn checkpointing(
        &mut self,
        epoch: usize,
        _store: &EventStoreClient,
    ) -> Vec<CheckpointingAction> {
        self.0.interval_ended(epoch);
        // The one before stays until the newest is sealed, which a kill can prevent.
        let mut actions = vec![CheckpointingAction::Save];
        actions
            .extend(epoch.checked_sub(2).filter(|old| *old > 0).map(CheckpointingAction::Delete));
        actions
    }
}

#[cfg(test)]
mod tests {
    mod devices;
    mod reference_model;
    mod results;
    mod resuming;
}
