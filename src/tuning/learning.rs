//! The model as burn-train sees it: a module with a training step.

use std::{
    fmt,
    sync::{Arc, Mutex, OnceLock},
};

use burn::{
    lr_scheduler::module_lr_scheduler::ModuleLearningRate,
    module::Module,
    optim::{GradientsParams, ModuleOptimizer},
    tensor::{ExecutionError, Tensor},
};
use burn_train::{InferenceStep, ItemLazy, TrainOutput, TrainStep};

use super::{clipping::clip, likelihood::forward, sequences::pad, task::Task, trainer::Microbatch};
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
    /// Where the optimizer step leaves the gradients' norm for the measurements of its batch.
    norm: Arc<Mutex<Arc<OnceLock<f64>>>>,
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

impl Learning {
    pub(super) fn new(model: Transformer, task: Task, clip: f64, learn_head: bool) -> Self {
        Self { model, how: How { task: Arc::new(task), clip, learn_head, norm: Arc::default() } }
    }

    /// The loss's derivative by each sequence, and a scalar with the loss's gradient.
    fn differentiate(&self, microbatch: &Microbatch) -> (Vec<f64>, Option<Tensor<1>>) {
        let device = self.model.head().device();
        let passes = pad(&microbatch.examples, &device);
        let mut sums = vec![0.0; microbatch.examples.len()];
        let forwards: Vec<_> = passes.iter().map(|padded| forward(&self.model, padded)).collect();
        for (padded, forward) in passes.iter().zip(&forwards) {
            add_up(&padded.examples, &forward.log_probabilities, &mut sums);
        }
        let derivative = match self.how.task.as_ref() {
            Task::Documents => Task::documents(&microbatch.examples, &microbatch.scales, &sums),
            Task::Preference(preference) => {
                let mut reference = sums.clone();
                if preference.objective.needs_reference() {
                    reference.fill(0.0);
                    for padded in pad(&microbatch.examples, &preference.reference.head().device()) {
                        let scored = forward(&preference.reference, &padded);
                        add_up(&padded.examples, &scored.log_probabilities, &mut reference);
                    }
                }
                preference.pairs(&microbatch.examples, &sums, &reference, microbatch.batch)
            }
        };
        let surrogate = passes.iter().zip(forwards).map(|(padded, forward)| {
            let coefficients = padded.examples.iter().map(|&example| derivative.by_sequence[example] as f32).collect();
            forward.surrogate(&self.model, coefficients, self.how.learn_head)
        });
        (derivative.measured, surrogate.reduce(|sum, pass| sum + pass))
    }
}

fn add_up(examples: &[usize], log_probabilities: &[f32], sums: &mut [f64]) {
    for (&example, &log_probability) in examples.iter().zip(log_probabilities) {
        sums[example] += f64::from(log_probability);
    }
}

impl TrainStep for Learning {
    type Input = Microbatch;
    type Output = Measured;

    fn step(&self, microbatch: Microbatch) -> TrainOutput<Measured> {
        let norm = Arc::new(OnceLock::new());
        *self.how.norm.lock().expect("no holder panics") = norm.clone();
        let (values, surrogate) = self.differentiate(&microbatch);
        let item = Measured { values, norm };
        match surrogate {
            Some(surrogate) => TrainOutput::new(self, surrogate.backward(), item),
            None => TrainOutput { grads: GradientsParams::new(), item },
        }
    }

    fn optimize(
        self,
        optimizer: &mut ModuleOptimizer,
        learning_rate: ModuleLearningRate,
        mut gradients: GradientsParams,
    ) -> Self {
        let norm = clip(&self, &mut gradients, self.how.clip);
        self.how.norm.lock().expect("no holder panics").set(norm).ok();
        optimizer.step(learning_rate, self, gradients)
    }
}

impl InferenceStep for Learning {
    type Input = Microbatch;
    type Output = ();

    /// Nothing is validated during a run: factuality is measured by the stages after it.
    fn step(&self, _: Microbatch) {}
}
