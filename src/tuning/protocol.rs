//! What a training run is given and what it reports: batches, optimizer, events.

use std::{ops::Range, sync::Arc};

use super::{metric::TrainMetric, schedule::Schedule, tokenized::TokenizedExample};

/// AdamW (Loshchilov and Hutter 2019, arXiv 1711.05101) with PyTorch's parameters.
#[derive(Clone, Debug)]
pub struct Optimisation {
    /// The learning rate of each step.
    pub schedule: Schedule,
    /// Decoupled weight decay of matrices; biases and norm weights have none, as in transformers.
    pub weight_decay: f64,
    /// Decay rates of first and second moment.
    pub betas: [f64; 2],
    /// Added to the root of the second moment.
    pub epsilon: f64,
    /// Maximum global gradient norm.
    pub clip: f64,
}

/// Training data in a fixed order. Any microbatch can be requested at any time, so that a run can
/// resume anywhere.
pub trait Batches: Send + Sync {
    /// Number of optimizer steps.
    fn steps(&self) -> usize;

    /// Number of microbatches per optimizer step.
    fn accumulation(&self) -> usize;

    /// A microbatch of a step, both from 0.
    fn microbatch(&self, step: usize, part: usize) -> Microbatch;
}

/// The data of one forward pass.
#[derive(Clone, Debug, PartialEq)]
pub enum Microbatch {
    /// Documents for training from scratch.
    Documents {
        /// Prompts with one completion, whose tokens are learnt.
        documents: Vec<TokenizedExample>,
        /// Factor of each one's negative log-likelihood.
        scales: Vec<f64>,
    },
    /// Rows of preference data, by index.
    Rows {
        /// The step, from 0.
        step: usize,
        /// Range of rows within the batch.
        rows: Range<usize>,
        /// All rows of the batch, on which the loss of each of them may depend.
        batch: Arc<[usize]>,
    },
}

/// Events of a training run.
#[derive(Clone, Debug, PartialEq)]
pub enum TrainEvent {
    /// A microbatch has been handed out.
    Progress {
        /// Optimizer steps done.
        done: usize,
        /// Total steps.
        steps: usize,
    },
    /// Metrics of a step.
    Step {
        /// The step, from 1.
        step: usize,
        /// Those that the step has.
        values: Vec<(TrainMetric, f64)>,
    },
    /// A remark for the user.
    Note(String),
    /// A warning for the user.
    Warning(String),
}

/// Receiver of training events.
pub(super) type Ear = Arc<dyn Fn(TrainEvent) + Send + Sync>;
