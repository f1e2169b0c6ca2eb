//! The model as burn-train sees it: a module with a training step.

use std::{
    fmt,
    sync::{
        Arc, Mutex, OnceLock,
        atomic::{AtomicBool, Ordering},
    },
};

use burn::{
    lr_scheduler::module_lr_scheduler::ModuleLearningRate,
    module::Module,
    optim::{GradientsParams, ModuleOptimizer},
    tensor::ExecutionError,
};
use burn_train::{InferenceStep, ItemLazy, TrainOutput, TrainStep};

use super::{
    answered::{Answered, Savings},
    backward::{Pass, Tape, Wishes},
    clipping::clip,
    frozen::Frozen,
    held_out::{Evaluation, HeldOutProgress},
    likelihood::log_probabilities,
    moving::mixed,
    objective::{RowLoss, Statistics},
    preference::{Derivative, MEASURED, MovingReference, PolicyView, Preference},
    task::{Task, documents},
    trainer::Microbatch,
};
use crate::{
    model::{NumberFormat, Transformer},
    seed::Seed,
};

/// A model in training.
#[derive(Module, Debug)]
pub(super) struct Learning {
    pub model: Transformer,
    /// The reference, where it follows the policy; it is part of every checkpoint.
    reference: Option<Transformer>,
    /// The model that did best on held-out rows so far, where there are any; likewise.
    best: Option<Transformer>,
    #[module(skip)]
    how: How,
}

/// What does not change during a run.
#[derive(Clone)]
pub(super) struct How {
    /// What is minimised.
    pub task: Arc<Task>,
    /// The largest norm of all gradients together.
    pub clip: f64,
    /// Whether the head (for tied weights: the embedding) is trained.
    pub learn_head: bool,
    /// What spares work.
    pub savings: Savings,
    /// What is remembered for the backward pass.
    pub tape: Tape,
    /// The share of what goes into an adapter's updates that is left out, and where its chance comes from.
    pub dropout: Option<(f64, Seed)>,
    /// What stays as it is.
    pub frozen: Frozen,
    /// What changes from step to step.
    pub progress: Arc<Mutex<Progress>>,
    /// Where it is said why the run's result must not be used.
    pub failure: Arc<OnceLock<String>>,
    /// Whether nothing more is to be learnt, since held-out rows no longer do better.
    pub is_done: Arc<AtomicBool>,
}

/// What changes from step to step.
#[derive(Default)]
pub(super) struct Progress {
    /// Where the optimizer step leaves the gradients' norm for the measurements of its batch.
    norm: Arc<OnceLock<f64>>,
    /// The batch that is being worked on, where its rows depend on each other.
    whole: Option<WholeBatch>,
    /// Mean and number of all rewards so far, for losses that compare with it.
    rewards: (f64, f64),
    /// The step that is being taken, from 0.
    step: usize,
    /// How held-out rows did.
    held_out: HeldOutProgress,
}

impl Progress {
    /// With so many rewards of this mean so far, and what held-out rows did.
    pub(super) fn after(rewards: (f64, f64), held_out: HeldOutProgress) -> Self {
        Self { rewards, held_out, ..Self::default() }
    }
}

/// A batch whose rows depend on each other.
struct WholeBatch {
    losses: Vec<RowLoss>,
    statistics: Statistics,
}

/// Which part of which step.
#[derive(Clone, Copy, Debug)]
struct Place {
    step: usize,
    /// Where in its batch the part begins.
    first: usize,
}

impl fmt::Debug for How {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("How").field("clip", &self.clip).field("learn_head", &self.learn_head).finish()
    }
}

/// What was measured in a microbatch; the gradients' norm comes later, with the optimizer step.
pub(super) struct Measured {
    pub values: Vec<f64>,
    pub norm: Arc<OnceLock<f64>>,
}

impl ItemLazy for Measured {
    fn sync(self) -> Result<Self, ExecutionError> {
        Ok(self)
    }
}

/// At the start the loss must be what it is where policy and reference are one; relative where that is above 1.
const NEAR_THE_START: f64 = 1e-3;
/// The same where states have 16 bits: batches are laid out otherwise than the reference's were, and rounded so.
const NEAR_IN_HALF: f64 = 3e-2;
/// Tokens that are looked at at once, off the tape.
const LOOK_AT_TOKENS: usize = 8192;

impl Learning {
    /// `start`: the model off the tape.
    pub(super) fn new(model: Transformer, start: &Transformer, how: How) -> Self {
        let (moves, holds_out) = match how.task.as_ref() {
            Task::Preference(preference) => (preference.moving.is_some(), preference.held_out.is_some()),
            Task::Documents => (false, false),
        };
        Self { model, reference: moves.then(|| start.clone()), best: holds_out.then(|| start.clone()), how }
    }

    /// The model that is handed on: the last one, or the one that did best on held-out rows; off the tape.
    pub(super) fn finish(self) -> Transformer {
        let Task::Preference(preference) = self.how.task.as_ref() else { return self.model };
        let (Some(held_out), Some(best)) = (&preference.held_out, &self.best) else { return self.model };
        let last = self.loss_of_held_out(preference, &held_out.rows).loss;
        if self.progress().held_out.is_beaten_by(last) { self.model.clone() } else { best.clone() }
    }

    fn step_documents(&self, texts: &[Answered], scales: &[f64]) -> (Vec<f64>, GradientsParams) {
        let pass = Pass::new(&self.model, texts, self.how.tape, self.how.savings, Wishes::default());
        let scored = pass.scoring.split(&pass.forward.log_probabilities);
        let Derivative { by_token, measured } = documents(texts, scales, &scored);
        (measured, pass.backward(&self.model, &by_token.concat(), self.how.learn_head))
    }

    fn step_rows(
        &self,
        preference: &Preference,
        place: Place,
        rows: &[usize],
        batch: &[usize],
    ) -> (Vec<f64>, GradientsParams) {
        if rows.is_empty() {
            return (vec![0.0; MEASURED.len()], GradientsParams::new());
        }
        let wishes =
            Wishes { prompts: preference.scores_prompts(), collisions: preference.modifiers.weighting.is_some() };
        let dropped = self.how.dropout.as_ref().map(|(rate, seed)| {
            let part = seed.split(&format!("step {} from {}", place.step, place.first));
            self.model.clone().with_dropout(*rate, &part)
        });
        let model = dropped.as_ref().unwrap_or(&self.model);
        let pass = Pass::new(model, &preference.answered(rows), self.how.tape, self.how.savings, wishes);
        let mut views = views(preference, rows, &pass);
        self.ask_reference(&preference.answered(rows), &mut views);
        let (losses, statistics) = match preference.objective.spans_batch() {
            false => {
                let scored = preference.scored(rows, &views, false);
                (preference.objective.losses(&scored, &Statistics::default()), Statistics::default())
            }
            true => self.whole_batch(preference, place, rows, batch, &views),
        };
        if place.step == 0 && preference.objective.needs_reference() {
            self.check_start(preference, rows, &views, &losses, &statistics);
        }
        let Derivative { by_token, measured } = preference.derivative(batch, place.first, &views, &losses, &statistics);
        (measured, pass.backward(model, &by_token.concat(), self.how.learn_head))
    }

    /// The losses of the rows of a part, and the statistics, where they depend on the whole batch; this is looked at, off
    /// the tape, when its first part comes.
    fn whole_batch(
        &self,
        preference: &Preference,
        place: Place,
        rows: &[usize],
        batch: &[usize],
        views: &[PolicyView],
    ) -> (Vec<RowLoss>, Statistics) {
        if place.first == 0 {
            let scored = match rows.len() == batch.len() {
                true => preference.scored(batch, views, false),
                false => preference.scored(batch, &self.look_at_rows(preference, batch), false),
            };
            let [reference_point, fact_point] = self.reference_points(preference, batch);
            let mut progress = self.progress();
            let ((sum, count), (mean, before)) = (preference.rewards(&scored), progress.rewards);
            progress.rewards = (mean + (sum - count * mean) / (before + count), before + count);
            let statistics = Statistics { reference_point, fact_point, shift: progress.rewards.0 };
            progress.whole = Some(WholeBatch { losses: preference.objective.losses(&scored, &statistics), statistics });
        }
        let progress = self.progress();
        let whole = progress.whole.as_ref().expect("it was filled with the first part");
        (whole.losses[place.first..place.first + rows.len()].to_vec(), whole.statistics)
    }

    /// How far the policy has moved on answers to other prompts, and on the facts in them; 0 where no loss asks for it.
    fn reference_points(&self, preference: &Preference, batch: &[usize]) -> [f64; 2] {
        if !preference.objective.needs_reference_point() {
            return [0.0; 2];
        }
        let mismatches = preference.mismatches(batch);
        let texts: Vec<Answered> = mismatches.iter().map(|mismatch| preference.mismatched(*mismatch)).collect();
        let sum = |tokens: &Vec<f32>| tokens.iter().map(|value| f64::from(*value)).sum();
        let sums = |model: &Transformer| -> Vec<Vec<f64>> {
            self.look_at(model, &texts).iter().map(|answers| answers.iter().map(sum).collect()).collect()
        };
        let reference = match &self.reference {
            Some(reference) => sums(reference),
            None => mismatches.iter().map(|mismatch| preference.reference.mismatched[mismatch].clone()).collect(),
        };
        preference.reference_points(&mismatches, &sums(&self.model), &reference)
    }

    /// What policy and reference think of rows, off the tape.
    fn look_at_rows(&self, preference: &Preference, rows: &[usize]) -> Vec<PolicyView> {
        let texts = preference.answered(rows);
        let view = |answers| PolicyView { answers, ..PolicyView::default() };
        let mut views: Vec<PolicyView> = self.look_at(&self.model, &texts).into_iter().map(view).collect();
        self.ask_reference(&texts, &mut views);
        views
    }

    /// Where the reference moves, what it thinks by now is added.
    fn ask_reference(&self, texts: &[Answered], views: &mut [PolicyView]) {
        let Some(reference) = &self.reference else { return };
        let found = self.look_at(reference, texts);
        views.iter_mut().zip(found).for_each(|(view, found)| view.reference = found);
    }

    /// The log-probabilities of texts, off the tape.
    fn look_at(&self, model: &Transformer, texts: &[Answered]) -> Vec<Vec<Vec<f32>>> {
        log_probabilities(&model.valid(), texts, LOOK_AT_TOKENS, self.how.savings, |_| ())
    }

    /// Evaluates held-out rows where it is time to; remembers the best model, and says when to stop.
    fn evaluate(&self, preference: &Preference, step: usize) -> Option<Evaluation> {
        let held_out =
            preference.held_out.as_ref().filter(|held_out| step > 0 && step.is_multiple_of(held_out.every))?;
        let evaluation = self.loss_of_held_out(preference, &held_out.rows);
        if !evaluation.loss.is_finite() {
            let problem = || format!("the loss of held-out rows is not a finite number before step {}", step + 1);
            self.how.failure.get_or_init(problem);
        }
        if self.progress().held_out.follow(evaluation.loss, held_out.patience) {
            self.how.is_done.store(true, Ordering::SeqCst);
        }
        Some(evaluation)
    }

    fn loss_of_held_out(&self, preference: &Preference, rows: &[usize]) -> Evaluation {
        let views = self.look_at_rows(preference, rows);
        let [reference_point, fact_point] = self.reference_points(preference, rows);
        let statistics = Statistics { reference_point, fact_point, shift: self.progress().rewards.0 };
        preference.evaluation(rows, &views, &statistics)
    }

    /// Before the first step policy and reference are one: the log-probability of every token must be the same, and the loss
    /// has a closed form. The former holds for any algorithm, also where a loss is flat, or errors of the two answers cancel
    /// out; the latter sees what weights and settings make of it.
    fn check_start(
        &self,
        preference: &Preference,
        rows: &[usize],
        views: &[PolicyView],
        losses: &[RowLoss],
        statistics: &Statistics,
    ) {
        let mean = |losses: &[RowLoss]| losses.iter().map(|loss| loss.value).sum::<f64>() / losses.len() as f64;
        // Dropout is off where the reference is computed, and a moving reference is the policy itself.
        if self.how.dropout.is_some() || self.reference.is_some() {
            return;
        }
        let near = if self.model.computes_in == NumberFormat::Float32 { NEAR_THE_START } else { NEAR_IN_HALF };
        // Margins are sorted over the batch, so that those of a part are none of its own rows.
        if !preference.objective.sorts() {
            let expected = mean(&preference.objective.losses(&preference.scored(rows, views, true), statistics));
            let found = mean(losses);
            if (found - expected).abs() > near * expected.abs().max(1.0) {
                self.disagree(&format!("and the loss be {expected:.4}, but it is {found:.4}"));
            }
        }
        let apart = preference.apart(rows, views);
        if apart > near {
            self.disagree(&format!("but the log-probabilities of tokens are {:.2} % apart on average", 100.0 * apart));
        }
    }

    /// Ends the run, since its reference is none.
    fn disagree(&self, how: &str) {
        self.how.failure.get_or_init(|| {
            format!(
                "at the start policy and reference must agree, {how}: the reference log-probabilities are of another model, \
                 other tokens or another number format"
            )
        });
    }

    fn progress(&self) -> std::sync::MutexGuard<'_, Progress> {
        self.how.progress.lock().expect("no holder panics")
    }
}

/// What the policy thinks of the rows of a part.
fn views(preference: &Preference, rows: &[usize], pass: &Pass) -> Vec<PolicyView> {
    let sum = |values: &Vec<f32>| values.iter().map(|value| f64::from(*value)).sum::<f64>();
    let mut entropies = pass.scoring.split(&pass.forward.entropies).into_iter();
    let mut logits = pass.scoring.split(&pass.forward.mean_logits).into_iter();
    let mut scored = pass.scoring.split(&pass.forward.log_probabilities).into_iter();
    let mut likeliest = pass.scoring.split(&pass.forward.is_likeliest).into_iter();
    let mut collisions = match pass.forward.collisions.is_empty() {
        true => Vec::new().into_iter(),
        false => pass.scoring.split(&pass.forward.collisions).into_iter(),
    };
    let view = |row: &usize| {
        let answers = preference.rows[*row].answers().len();
        let prompts = usize::from(preference.scores_prompts());
        let hits = likeliest.by_ref().take(answers + prompts).next().expect("a row has an answer");
        likeliest.by_ref().take(answers + prompts - 1).for_each(drop);
        let view = PolicyView {
            answers: scored.by_ref().take(answers).collect(),
            prompt: if prompts > 0 { scored.next().unwrap_or_default() } else { Vec::new() },
            collisions: collisions.by_ref().take(answers).collect(),
            hits: hits.into_iter().filter(|is_likeliest| *is_likeliest).count(),
            entropy: entropies.by_ref().take(answers).map(|values| sum(&values)).sum(),
            logits: logits.by_ref().take(answers).map(|values| sum(&values)).collect(),
            reference: Vec::new(),
        };
        collisions.by_ref().take(prompts).for_each(drop);
        entropies.by_ref().take(prompts).for_each(drop);
        logits.by_ref().take(prompts).for_each(drop);
        view
    };
    rows.iter().map(view).collect()
}

impl TrainStep for Learning {
    type Input = Microbatch;
    type Output = Measured;

    fn step(&self, microbatch: Microbatch) -> TrainOutput<Measured> {
        let norm = Arc::new(OnceLock::new());
        self.progress().norm = norm.clone();
        let (values, grads) = match (self.how.task.as_ref(), microbatch) {
            (Task::Documents, Microbatch::Documents { documents, scales }) => self.step_documents(&documents, &scales),
            (Task::Preference(preference), Microbatch::Rows { step, rows, batch }) => {
                let place = Place { step, first: rows.start };
                self.progress().step = step;
                // A batch of fewer rows than parts has its empty parts at its end, so that only one begins at 0.
                let is_first = rows.start == 0;
                let evaluation = if is_first { self.evaluate(preference, step) } else { None };
                let (mut measured, gradients) = self.step_rows(preference, place, &batch[rows.clone()], &batch);
                measured.extend(Evaluation::measured(evaluation, is_first));
                (measured, gradients)
            }
            _ => unreachable!("a task has batches of its own form"),
        };
        TrainOutput { grads, item: Measured { values, norm } }
    }

    fn optimize(
        self,
        optimizer: &mut ModuleOptimizer,
        learning_rate: ModuleLearningRate,
        mut gradients: GradientsParams,
    ) -> Self {
        self.how.frozen.mask(&self.model, &mut gradients);
        let norm = clip(&self.model, &mut gradients, self.how.clip);
        self.progress().norm.set(norm).ok();
        let Self { model, mut reference, mut best, how } = self;
        let (step, is_best) = {
            let mut progress = how.progress.lock().expect("no holder panics");
            (progress.step, progress.held_out.take_best())
        };
        if is_best {
            best = best.map(|best| mixed(best, &model, 1.0));
        }
        let kept = how.frozen.kept(&model);
        let model = how.frozen.put_back(kept, optimizer.step(learning_rate, model, gradients));
        if let Task::Preference(preference) = how.task.as_ref()
            && let Some(MovingReference { every, mixup }) = preference.moving
            && (step + 1).is_multiple_of(every)
        {
            reference = reference.map(|reference| mixed(reference, &model, mixup));
        }
        Self { model, reference, best, how }
    }
}

impl InferenceStep for Learning {
    type Input = Microbatch;
    type Output = ();

    /// burn-train validates nothing: held-out rows are looked at between two steps, wherever a stretch ends.
    fn step(&self, _: Microbatch) {}
}
