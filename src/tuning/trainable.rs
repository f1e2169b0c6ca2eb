//! The model for burn-train: a module with a training step.

use std::{
    fmt,
    sync::{
        Arc, Mutex, MutexGuard, OnceLock,
        atomic::{AtomicBool, Ordering},
    },
};

use burn::{
    lr_scheduler::module_lr_scheduler::ModuleLearningRate,
    module::Module,
    optim::{GradientsParams, ModuleOptimizer},
};
use burn_train::{InferenceStep, TrainOutput, TrainStep};

use super::{
    backward::{ForwardOutputs, GradientCheckpointing},
    clipping::clip,
    frozen::Frozen,
    measurement::Measured,
    metric::{Measurements, TrainMetric},
    moving::mixed,
    objective::{RowLoss, Statistics},
    preference::{
        Evaluation, MovingReference, PolicyView, Preference, ViewedRows, derivative, measured,
    },
    protocol::Microbatch,
    replicas::Replicas,
    scorer::Scorer,
    shared_pass::{PassOptions, SharedPass},
    start_check::disagreement,
    state::TrainingState,
    task::{Task, documents},
    tokenized::{ComputeOptions, TokenizedExample},
};
use crate::{model::Transformer, seed::Seed};

/// A model in training.
#[derive(Module, Debug)]
pub(super) struct TrainableModel {
    model: Transformer,
    /// The reference model, where it follows the policy; part of every checkpoint.
    reference: Option<Transformer>,
    /// The best model on held-out rows so far, if there are any; part of every checkpoint.
    best: Option<Transformer>,
    #[module(skip)]
    config: TrainConfig,
}

/// What is constant during a run.
#[derive(Clone)]
pub(super) struct TrainConfig {
    /// The loss and its data.
    pub task: Arc<Task>,
    /// Maximum global gradient norm.
    pub clip: f64,
    /// Whether the head (with tied weights: the embedding) is trained.
    pub learn_head: bool,
    /// Options that save time or memory.
    pub compute: ComputeOptions,
    /// Which intermediate states are kept for the backward pass.
    pub gradient_checkpointing: GradientCheckpointing,
    /// LoRA dropout: rate and seed.
    pub dropout: Option<(f64, Seed)>,
    /// Parameters and columns that keep their values.
    pub frozen: Frozen,
    /// The models on further devices.
    pub replicas: Arc<Replicas>,
    /// What changes from microbatch to microbatch.
    pub progress: Arc<Mutex<StepProgress>>,
    /// The state after the last optimizer step, for checkpoints.
    pub completed: Arc<Mutex<TrainingState>>,
    /// Receives the reason why the result is invalid.
    pub failure: Arc<OnceLock<String>>,
    /// Whether early stopping has ended training.
    pub is_done: Arc<AtomicBool>,
}

/// What changes from microbatch to microbatch.
#[derive(Default)]
pub(super) struct StepProgress {
    /// Receives the gradient norm of the optimizer step, for the metrics of its batch.
    norm: Arc<OnceLock<f64>>,
    /// The current batch, where its rows depend on each other.
    whole: Option<WholeBatch>,
    /// The state so far, with the microbatches of an unfinished step.
    state: TrainingState,
}

impl StepProgress {
    /// Before the first microbatch after a state.
    pub(super) fn from_state(state: TrainingState) -> Self {
        Self { state, ..Self::default() }
    }
}

/// A batch whose rows depend on each other.
struct WholeBatch {
    losses: Vec<RowLoss>,
    statistics: Statistics,
}

/// Rows of a microbatch within their batch.
#[derive(Clone, Copy)]
struct RowsInBatch<'a> {
    preference: &'a Preference,
    /// The step, from 0.
    step: usize,
    /// All rows of the batch, by index.
    batch: &'a [usize],
    /// Place in the batch of the first row of the microbatch.
    first: usize,
    /// The rows of the microbatch.
    rows: &'a [usize],
}

// Modules print their fields, and a task is all training data.
impl fmt::Debug for TrainConfig {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("TrainConfig")
            .field("clip", &self.clip)
            .field("learn_head", &self.learn_head)
            .finish()
    }
}

impl TrainableModel {
    /// `start`: the model without autodiff.
    pub(super) fn new(model: Transformer, start: &Transformer, config: TrainConfig) -> Self {
        let (moves, holds_out) = match config.task.as_ref() {
            Task::Preference(preference) => {
                (preference.moving.is_some(), preference.held_out.is_some())
            }
            Task::Documents => (false, false),
        };
        // Also the best model is there from the start: a checkpoint is restored into a module with
        // the same parts.
        Self {
            model,
            reference: moves.then(|| start.clone()),
            best: holds_out.then(|| start.clone()),
            config,
        }
    }

    /// The resulting model: the last one, or the best one on held-out rows; without autodiff.
    pub(super) fn finish(self) -> Transformer {
        let is_best = match self.config.task.as_ref() {
            // The last model has not been evaluated: evaluations come before steps.
            Task::Preference(preference) => preference.held_out.as_ref().is_none_or(|held_out| {
                self.update_replicas();
                let shift = self.progress().state.rewards.mean;
                let last = self.scorer(preference).evaluation(&held_out.rows, shift);
                self.progress().state.held_out.is_beaten_by(last.loss)
            }),
            Task::Documents => true,
        };
        match self.best {
            Some(best) if !is_best => best,
            _ => self.model,
        }
    }

    /// The metrics and gradients of a batch of documents.
    ///
    /// # Shapes
    /// `scales` has one entry per text.
    fn step_documents(
        &self,
        texts: &[TokenizedExample],
        scales: &[f64],
    ) -> (Measurements, GradientsParams) {
        let pass = self.pass(texts, ForwardOutputs::default(), None);
        let (by_token, measured) = documents(texts, scales, &pass.log_probabilities());
        (measured, pass.backward(&by_token.concat()))
    }

    /// The metrics and gradients of a microbatch of rows.
    fn step_rows(&self, part: RowsInBatch<'_>) -> (Measurements, GradientsParams) {
        // The last batch of a run may have fewer rows than microbatches.
        if part.rows.is_empty() {
            return (Measurements::default(), GradientsParams::new());
        }
        let preference = part.preference;
        let outputs = ForwardOutputs {
            prompts: preference.scores_prompts(),
            collisions: preference.modifiers.max_weight.is_some(),
        };
        let dropout = self.config.dropout.as_ref().map(|(rate, seed)| {
            // The seed names the place, so that a resumed run drops the same values.
            (*rate, seed.split(&format!("step {} from {}", part.step, part.first)))
        });
        let texts = preference.tokenized(part.rows);
        let pass = self.pass(&texts, outputs, dropout);
        let views = pass
            .shares()
            .flat_map(|(rows, pass)| PolicyView::of_pass(preference, &part.rows[rows], pass));
        let mut views: Vec<PolicyView> = views.collect();
        self.scorer(preference).add_reference(&texts, &mut views);
        let viewed = part.viewed(&views);
        let (losses, statistics) = if preference.objective.spans_batch() {
            self.whole_batch(&part, &viewed)
        } else {
            let statistics = Statistics::default();
            (preference.objective.losses(&viewed.scored(), &statistics), statistics)
        };
        if part.step == 0 && preference.objective.needs_reference() {
            self.check_start(&viewed, &losses, &statistics);
        }
        let found = derivative(&viewed, &losses, &statistics);
        let measured = measured(&viewed, &statistics, &found);
        (measured, pass.backward(&found.by_token.concat()))
    }

    fn pass(
        &self,
        texts: &[TokenizedExample],
        outputs: ForwardOutputs,
        dropout: Option<(f64, Seed)>,
    ) -> SharedPass<'_> {
        let TrainConfig { gradient_checkpointing, compute, learn_head, .. } = self.config;
        let options = PassOptions { gradient_checkpointing, compute, outputs, dropout, learn_head };
        SharedPass::new(&self.model, &self.config.replicas, texts, &options)
    }

    /// Sends what the last optimizer step has changed to the other devices.
    fn update_replicas(&self) {
        let moving = match self.config.task.as_ref() {
            Task::Preference(preference) => preference.moving,
            Task::Documents => None,
        };
        let reference = self.reference.as_ref().zip(moving.map(|moving| moving.every));
        let step = self.progress().state.step;
        self.config.replicas.update(step, &self.model, reference);
    }

    /// The losses of a microbatch's rows, and the statistics. Where rows depend on the whole batch,
    /// it is computed without autodiff at the first microbatch.
    fn whole_batch(
        &self,
        part: &RowsInBatch<'_>,
        viewed: &ViewedRows<'_>,
    ) -> (Vec<RowLoss>, Statistics) {
        let RowsInBatch { preference, batch, first, rows, .. } = *part;
        if first == 0 {
            let scorer = self.scorer(preference);
            let scored = if rows.len() == batch.len() {
                viewed.scored()
            } else {
                ViewedRows::whole(preference, batch, &scorer.views(batch)).scored()
            };
            let (sum, count) = preference.objective.rewards(&scored);
            // The mean includes this batch, so that not even the first one is compared with 0.
            let shift = self.progress().state.rewards.add(sum, count);
            let statistics = scorer.statistics(batch, shift);
            let losses = preference.objective.losses(&scored, &statistics);
            self.progress().whole = Some(WholeBatch { losses, statistics });
        }
        let progress = self.progress();
        let whole = progress.whole.as_ref().expect("it was filled with the first part");
        (whole.losses[first..first + rows.len()].to_vec(), whole.statistics)
    }

    /// Evaluates held-out rows when due; keeps the best model, and decides about early stopping.
    fn evaluate(&self, preference: &Preference, step: usize) -> Option<Evaluation> {
        let held_out = preference.held_out.as_ref().filter(|held_out| held_out.is_due(step))?;
        let shift = self.progress().state.rewards.mean;
        let evaluation = self.scorer(preference).evaluation(&held_out.rows, shift);
        if !evaluation.loss.is_finite() {
            self.fail(format!("the loss on held-out rows before step {} is not finite", step + 1));
        }
        // The loader ends the run before the next step.
        if self.progress().state.held_out.follow(evaluation.loss, held_out.patience) {
            self.config.is_done.store(true, Ordering::SeqCst);
        }
        Some(evaluation)
    }

    /// Checks the reference before the first step, when it must be the policy.
    fn check_start(&self, part: &ViewedRows<'_>, losses: &[RowLoss], statistics: &Statistics) {
        // The reference is computed without dropout, and a moving reference is the policy itself.
        if self.config.dropout.is_some() || self.reference.is_some() {
            return;
        }
        if let Some(problem) = disagreement(part, losses, statistics, self.model.computes_in) {
            self.fail(problem);
        }
    }

    /// Ends the run at the end of the step; the first reason counts.
    fn fail(&self, reason: String) {
        self.config.failure.get_or_init(|| reason);
    }

    fn scorer<'a>(&'a self, preference: &'a Preference) -> Scorer<'a> {
        Scorer {
            preference,
            policy: &self.model,
            reference: self.reference.as_ref(),
            replicas: &self.config.replicas,
            compute: self.config.compute,
        }
    }

    fn progress(&self) -> MutexGuard<'_, StepProgress> {
        self.config.progress.lock().expect("no holder panics")
    }

    /// The metrics and gradients of a microbatch.
    fn metrics_and_gradients(&self, microbatch: Microbatch) -> (Measurements, GradientsParams) {
        match (self.config.task.as_ref(), microbatch) {
            (Task::Documents, Microbatch::Documents { documents, scales }) => {
                self.step_documents(&documents, &scales)
            }
            (Task::Preference(preference), Microbatch::Rows { step, rows, batch }) => {
                // Empty microbatches of a short batch come last, so that only one begins at 0.
                let is_first = rows.start == 0;
                let evaluation = if is_first { self.evaluate(preference, step) } else { None };
                let (mut measured, gradients) = self.step_rows(RowsInBatch {
                    preference,
                    step,
                    batch: &batch,
                    first: rows.start,
                    rows: &batch[rows],
                });
                if is_first {
                    Evaluation::note(evaluation, &mut measured);
                }
                (measured, gradients)
            }
            _ => unreachable!("a task has batches of its own form"),
        }
    }
}

impl<'a> RowsInBatch<'a> {
    fn viewed(&self, views: &'a [PolicyView]) -> ViewedRows<'a> {
        ViewedRows { preference: self.preference, batch: self.batch, first: self.first, views }
    }
}

impl TrainStep for TrainableModel {
    type Input = Microbatch;
    type Output = Measured;

    fn step(&self, microbatch: Microbatch) -> TrainOutput<Measured> {
        // The norm is known when the optimizer steps, after the batch's last microbatch.
        let norm = Arc::new(OnceLock::new());
        self.progress().norm = Arc::clone(&norm);
        self.update_replicas();
        let (mut values, grads) = if self.model.is_on_cpu() && self.config.replicas.count() == 0 {
            // On a thread of the pool, which begins its part of each operation at once. Waiting for
            // other devices there could leave none to compute with.
            rayon::scope(|_| self.metrics_and_gradients(microbatch))
        } else {
            self.metrics_and_gradients(microbatch)
        };
        // Counted here and not in the log, which is a thread behind: checkpoints need the count.
        let mut progress = self.progress();
        progress.state.tokens += values[TrainMetric::NumTokens];
        values[TrainMetric::NumTokens] = progress.state.tokens;
        TrainOutput { grads, item: Measured { values, norm } }
    }

    fn optimize(
        self,
        optimizer: &mut ModuleOptimizer,
        learning_rate: ModuleLearningRate,
        mut gradients: GradientsParams,
    ) -> Self {
        self.config.frozen.mask(&self.model, &mut gradients);
        let norm = clip(&self.model, &mut gradients, self.config.clip);
        let (state, is_best) = self.complete_step(norm);
        let Self { model, mut reference, mut best, config } = self;
        if is_best {
            // The model that was evaluated: the optimizer has not stepped yet.
            best = best.map(|best| mixed(best, &model, 1.0));
        }
        // Weight decay moves frozen columns too, although they have no gradient.
        let kept = config.frozen.kept(&model);
        let model = config.frozen.put_back(kept, optimizer.step(learning_rate, model, gradients));
        if let Task::Preference(preference) = config.task.as_ref()
            && let Some(MovingReference { every, mixup }) = preference.moving
            && state.step.is_multiple_of(every)
        {
            reference = reference.map(|reference| mixed(reference, &model, mixup));
        }
        Self { model, reference, best, config }
    }
}

impl TrainableModel {
    /// Notes the end of a step and the norm of its gradient; returns the state after it, and
    /// whether the last evaluation found the best model.
    fn complete_step(&self, norm: f64) -> (TrainingState, bool) {
        let mut progress = self.progress();
        progress.norm.set(norm).ok();
        progress.state.step += 1;
        let is_best = progress.state.held_out.take_best();
        // A checkpoint that is due takes this copy: it never sees half a step.
        *self.config.completed.lock().expect("no holder panics") = progress.state;
        (progress.state, is_best)
    }
}

impl InferenceStep for TrainableModel {
    type Input = Microbatch;
    type Output = ();

    /// burn-train validates nothing: held-out rows are evaluated between two steps, whenever a
    /// checkpoint is due.
    fn step(&self, _: Microbatch) {}
}
