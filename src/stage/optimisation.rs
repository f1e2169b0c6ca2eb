//! The parameters that every training stage has, with the defaults that each brings along.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use serde::Deserialize;

use super::{Context, Report, StageError};
use crate::{
    model::{Transformer, device, or_say_what_to_lower},
    recipe::schema::{Chosen, Default, Mismatch, Parameter, Shape},
    tuning::{Decay, News, Optimisation, Schedule, Training, train},
};

const POSITIVE: Shape = Shape::Number { least: 0.0, most: f64::MAX, open: true };
/// A decay of 1 would forget nothing, and the correction of its bias divide by 0.
const DECAY: Shape = Shape::Number { least: 0.0, most: 0.999_999, open: false };
const SHARE: Shape = Shape::Number { least: 0.0, most: 1.0, open: false };

pub(super) const fn learning_rate(default: f64) -> Parameter {
    Parameter::new(
        "learning_rate",
        Shape::Number { least: 0.0, most: 1.0, open: true },
        Default::Number(default),
        "The highest learning rate of AdamW; the first step after the warm-up has it.",
    )
}

pub(super) const fn warmup(default: i64) -> Parameter {
    let shape = Shape::Integer { least: 0, most: i64::MAX };
    Parameter::new(
        "warmup",
        shape,
        Default::Integer(default),
        "Steps before the highest learning rate; the first has rate 0, as in transformers.",
    )
}

pub(super) const fn decay(default: &'static str) -> Parameter {
    let shape = Shape::Choice(&["constant", "linear", "cosine"]);
    Parameter::new(
        "decay",
        shape,
        Default::Text(default),
        "How the learning rate falls after the warm-up, step by step as in transformers.",
    )
}

pub(super) const fn floor(default: f64) -> Parameter {
    let about =
        "The share of the learning rate that is left where the decay ends, one step after the last (min_lr_rate).";
    Parameter::new("floor", SHARE, Default::Number(default), about)
}

pub(super) const fn weight_decay(default: f64) -> Parameter {
    let shape = Shape::Number { least: 0.0, most: 1.0, open: false };
    Parameter::new(
        "weight_decay",
        shape,
        Default::Number(default),
        "Decoupled weight decay of AdamW; biases and norms have none, as in transformers.",
    )
}

pub(super) const fn beta1(default: f64) -> Parameter {
    Parameter::new("beta1", DECAY, Default::Number(default), "Decay of AdamW's first moment.")
}

pub(super) const fn beta2(default: f64) -> Parameter {
    Parameter::new("beta2", DECAY, Default::Number(default), "Decay of AdamW's second moment.")
}

pub(super) const EPSILON: Parameter =
    Parameter::new("epsilon", POSITIVE, Default::Number(1e-8), "Added to the root of AdamW's second moment.");

pub(super) const CLIP: Parameter =
    Parameter::new("clip", POSITIVE, Default::Number(1.0), "The largest Euclidean norm of all gradients together.");

pub(super) const CHECKPOINT_SECONDS: Parameter = Parameter::new(
    "checkpoint_seconds",
    Shape::Number { least: 0.0, most: 1e6, open: false },
    Default::Number(10.0),
    "Seconds between checkpoints: the work that a kill can cost.",
)
.neutral();

/// What is left at the last step is of use only where the learning rate falls.
pub(super) fn fits(chosen: &Chosen<'_>) -> Vec<Mismatch> {
    if chosen.text("decay") != "constant" || !chosen.is_changed("floor") {
        return Vec::new();
    }
    let why = "with `decay = \"constant\"` the learning rate never falls";
    vec![Mismatch::of_no_use("floor", why, "leave it out, or choose another `decay`")]
}

/// The values of these parameters.
#[derive(Debug, Deserialize)]
pub(super) struct OptimisationParameters {
    learning_rate: f64,
    warmup: usize,
    decay: Decay,
    floor: f64,
    weight_decay: f64,
    beta1: f64,
    beta2: f64,
    epsilon: f64,
    clip: f64,
    pub checkpoint_seconds: f64,
}

impl OptimisationParameters {
    pub(super) fn optimisation(&self, steps: usize) -> Optimisation {
        Optimisation {
            schedule: Schedule::new(self.learning_rate, self.warmup, steps, self.decay, self.floor),
            weight_decay: self.weight_decay,
            betas: [self.beta1, self.beta2],
            epsilon: self.epsilon,
            clip: self.clip,
        }
    }
}

/// Trains, and says on the way how it goes; returns the model off the tape, and the file of what was measured.
pub(super) fn carry_out(context: &Context, training: Training) -> Result<(Transformer, PathBuf), StageError> {
    let Schedule { warmup, steps, peak, .. } = training.optimisation.schedule;
    if warmup >= steps {
        context.warn(format!(
            "`warmup` takes {warmup} steps, but there are only {steps}: the learning rate never reaches {peak}; lower `warmup`"
        ));
    }
    let device = device(&context.device).map_err(|error| StageError(error.to_string()))?;
    let train = || train(training, ear(context));
    let trained = or_say_what_to_lower(&device, "train", "`batch`, or raise `accumulation`", train);
    trained.map_err(StageError)?.map_err(|error| StageError(error.to_string()))
}

/// Turns what a training run says into reports of the stage.
fn ear(context: &Context) -> Arc<dyn Fn(News) + Send + Sync> {
    let report = context.report.clone();
    Arc::new(move |news| {
        report(match news {
            News::Progress { done, steps } => {
                Report::Progress { done: done as u64, total: steps as u64, unit: "steps".to_owned() }
            }
            News::Step { step, values } => Report::Metrics { step: step as u64, values },
            News::Warning(text) => Report::Warning { text },
        });
    })
}

/// Copies what a run measured into the artifact.
pub(super) fn keep_metrics(context: &Context, metrics: &Path) -> Result<(), StageError> {
    std::fs::copy(metrics, context.output("metrics.jsonl")).map(drop).map_err(StageError::doing("keep the metrics"))
}
