//! The model as burn-train sees it: a module with a training step.

use std::{
    fmt,
    sync::{Arc, Mutex, OnceLock},
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
    likelihood::log_probabilities,
    objective::{RowLoss, Statistics},
    preference::{Derivative, MEASURED, PolicyView, Preference},
    task::{Task, documents},
    trainer::Microbatch,
};
use crate::model::Transformer;

/// A model in training.
#[derive(Module, Debug)]
pub(super) struct Learning {
    pub model: Transformer,
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
    /// What changes from step to step.
    pub progress: Arc<Mutex<Progress>>,
    /// Where it is said why the run's result must not be used.
    pub failure: Arc<OnceLock<String>>,
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
}

impl Progress {
    /// With so many rewards of this mean so far.
    pub(super) fn after(rewards: (f64, f64)) -> Self {
        Self { rewards, ..Self::default() }
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
/// Tokens that are looked at at once, off the tape.
const LOOK_AT_TOKENS: usize = 8192;

impl Learning {
    pub(super) fn new(model: Transformer, how: How) -> Self {
        Self { model, how }
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
        let wishes = Wishes { prompts: preference.scores_prompts(), collisions: preference.modifiers.weighting };
        let pass = Pass::new(&self.model, &preference.answered(rows), self.how.tape, self.how.savings, wishes);
        let views = views(preference, rows, &pass);
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
        (measured, pass.backward(&self.model, &by_token.concat(), self.how.learn_head))
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
        // A part can be empty where a batch has fewer rows than parts.
        if place.first == 0 {
            let scored = match rows.len() == batch.len() {
                true => preference.scored(batch, views, false),
                false => {
                    let views = self.look_at(&preference.answered(batch));
                    let view = |answers| PolicyView { answers, ..PolicyView::default() };
                    preference.scored(batch, &views.into_iter().map(view).collect::<Vec<_>>(), false)
                }
            };
            let reference_point = self.reference_point(preference, batch);
            let mut progress = self.progress();
            let ((sum, count), (mean, before)) = (preference.rewards(&scored), progress.rewards);
            progress.rewards = (mean + (sum - count * mean) / (before + count), before + count);
            let statistics = Statistics { reference_point, shift: progress.rewards.0 };
            progress.whole = Some(WholeBatch { losses: preference.objective.losses(&scored, &statistics), statistics });
        }
        let progress = self.progress();
        let whole = progress.whole.as_ref().expect("it was filled with the first part");
        (whole.losses[place.first..place.first + rows.len()].to_vec(), whole.statistics)
    }

    /// How far the policy has moved on answers to other prompts; 0 where no loss asks for it.
    fn reference_point(&self, preference: &Preference, batch: &[usize]) -> f64 {
        if !preference.objective.needs_reference_point() {
            return 0.0;
        }
        let mismatches = preference.mismatches(batch);
        let texts: Vec<Answered> = mismatches.iter().map(|mismatch| preference.mismatched(*mismatch)).collect();
        let sum = |tokens: &Vec<f32>| tokens.iter().map(|value| f64::from(*value)).sum();
        let policy: Vec<Vec<f64>> =
            self.look_at(&texts).iter().map(|answers| answers.iter().map(sum).collect()).collect();
        preference.reference_point(&mismatches, &policy)
    }

    /// The log-probabilities of texts, off the tape.
    fn look_at(&self, texts: &[Answered]) -> Vec<Vec<Vec<f32>>> {
        log_probabilities(&self.model.valid(), texts, LOOK_AT_TOKENS, self.how.savings, |_| ())
    }

    /// Before the first step policy and reference are one, so that the loss has a closed form; says where it is another.
    fn check_start(
        &self,
        preference: &Preference,
        rows: &[usize],
        views: &[PolicyView],
        losses: &[RowLoss],
        statistics: &Statistics,
    ) {
        let mean = |losses: &[RowLoss]| losses.iter().map(|loss| loss.value).sum::<f64>() / losses.len() as f64;
        if preference.objective.sorts() {
            return;
        }
        let (found, expected) =
            (mean(losses), mean(&preference.objective.losses(&preference.scored(rows, views, true), statistics)));
        if (found - expected).abs() > NEAR_THE_START * expected.abs().max(1.0) {
            self.how.failure.get_or_init(|| {
                format!(
                    "at the start policy and reference must agree, and the loss be {expected:.4}, but it is {found:.4}: \
                     the reference log-probabilities are of another model, other tokens or another number format"
                )
            });
        }
    }

    fn progress(&self) -> std::sync::MutexGuard<'_, Progress> {
        self.how.progress.lock().expect("no holder panics")
    }
}

/// What the policy thinks of the rows of a part.
fn views(preference: &Preference, rows: &[usize], pass: &Pass) -> Vec<PolicyView> {
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
        };
        collisions.by_ref().take(prompts).for_each(drop);
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
                self.step_rows(preference, place, &batch[rows], &batch)
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
        let norm = clip(&self, &mut gradients, self.how.clip);
        self.progress().norm.set(norm).ok();
        optimizer.step(learning_rate, self, gradients)
    }
}

impl InferenceStep for Learning {
    type Input = Microbatch;
    type Output = ();

    /// Nothing is validated during a run: factuality is measured by the stages after it.
    fn step(&self, _: Microbatch) {}
}
