//! Parameters of all training stages, with defaults per stage.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use serde::Deserialize;

use crate::{
    context::{Context, StageError, StageEvent, ending},
    model::{Transformer, device, other_devices, with_oom_hint},
    recipe::schema::{Chosen, Mismatch},
    tuning::{Decay, Optimisation, Replicas, Schedule, TrainEvent, Training, train},
};

/// Upper bound of the moments' decay: 1 would divide the bias correction by 0.
const LARGEST_DECAY: f64 = 0.999_999;

/// What other tools let a user choose about the output of training.
const OUTPUT: [(&str, &str); 15] = [
    ("save_strategy", BY_SECONDS),
    ("save_total_limit", BY_SECONDS),
    ("save_only_model", BY_SECONDS),
    ("resume_from_checkpoint", BY_SECONDS),
    ("logging_steps", EVERY_STEP),
    ("logging_strategy", EVERY_STEP),
    ("logging_first_step", EVERY_STEP),
    ("logging_dir", EVERY_STEP),
    ("report_to", "remove it: `apeft run --tensorboard` and `--wandb` write metrics for them"),
    ("disable_tqdm", EVERY_STEP),
    ("run_name", "remove it: a run is named by the `name` of its recipe and the time"),
    ("output_dir", IN_STORE),
    ("overwrite_output_dir", IN_STORE),
    ("push_to_hub", IN_STORE),
    ("hub_model_id", IN_STORE),
];
const BY_SECONDS: &str =
    "remove it: `checkpoint_seconds` has the interval of checkpoints, and a second run resumes";
const EVERY_STEP: &str =
    "remove it: metrics of every step are in `metrics.jsonl`, and their curves in the report";
const IN_STORE: &str = "remove it: the model is in the store; `apeft path` prints its folder";

/// A minimum learning rate is only used if the rate falls.
pub fn cross_checks(chosen: &Chosen<'_>) -> Vec<Mismatch> {
    let OptimisationParameters { lr_scheduler_type, .. } = chosen.parameters();
    // A default that has no effect is nobody's mistake; only a written value is warned of.
    if lr_scheduler_type != Decay::Constant || !chosen.is_changed("min_lr_ratio") {
        return Vec::new();
    }
    let why = "with `lr_scheduler_type = \"constant\"` the learning rate never falls";
    vec![Mismatch::without_effect(
        "min_lr_ratio",
        why,
        "remove it, or choose another `lr_scheduler_type`",
    )]
}

/// Parameters of AdamW, its schedule and checkpoints.
#[derive(Debug, Deserialize, apeft_derive::Parameters)]
pub struct OptimisationParameters {
    /// Peak learning rate of AdamW.
    #[parameter(default = 1e-6, above = 0, max = 1, aliases = ["lr"])]
    learning_rate: f64,
    /// Linear warm-up in steps; the first step has rate 0, as in transformers.
    #[parameter(default = 0, former = "warmup", foreign = [
        ("warmup_ratio", "write `warmup_steps`, a number of steps"),
    ])]
    warmup_steps: usize,
    /// Learning-rate schedule after the warm-up, as in transformers.
    #[parameter(
        default = "linear", former = "decay", aliases = ["lr_schedule", "scheduler"],
        foreign_values = [
            ("constant_with_warmup", "write `lr_scheduler_type = \"constant\"` and `warmup_steps`"),
            ("cosine_with_min_lr", "write `lr_scheduler_type = \"cosine\"` and `min_lr_ratio`"),
        ]
    )]
    lr_scheduler_type: Decay,
    /// Share of the peak learning rate at the end of the schedule (min_lr_rate).
    #[parameter(
        default = 0.0, min = 0, max = 1, former = "floor", aliases = ["min_lr_rate"],
        foreign = [("lr_scheduler_kwargs", "write `min_lr_ratio`")]
    )]
    min_lr_ratio: f64,
    /// Decoupled weight decay of AdamW; biases and norms have none, as in transformers.
    #[parameter(default = 0.0, min = 0, max = 1)]
    weight_decay: f64,
    /// Decay rate of AdamW's first moment.
    #[parameter(default = 0.9, min = 0, max = LARGEST_DECAY, former = "beta1")]
    adam_beta1: f64,
    /// Decay rate of AdamW's second moment.
    #[parameter(default = 0.999, min = 0, max = LARGEST_DECAY, former = "beta2")]
    adam_beta2: f64,
    /// Term added to the root of AdamW's second moment.
    #[parameter(default = 1e-8, above = 0, former = "epsilon", foreign = [
        ("optim", "remove it: the optimizer is always AdamW (`adamw_torch`)"),
    ])]
    adam_epsilon: f64,
    /// Gradient clipping: the largest norm of all gradients together.
    #[parameter(default = 1.0, above = 0, former = "clip", aliases = ["gradient_clipping"])]
    max_grad_norm: f64,
    /// Seconds between checkpoints: the most work that a kill can lose.
    #[parameter(
        default = 10.0, min = 0, max = 1e6, not_in_key, aliases = ["save_steps"], foreign = OUTPUT
    )]
    pub checkpoint_seconds: f64,
}

impl OptimisationParameters {
    /// The optimizer for a number of steps.
    pub fn optimisation(&self, steps: usize) -> Optimisation {
        Optimisation {
            schedule: Schedule::new(
                self.learning_rate,
                self.warmup_steps,
                steps,
                self.lr_scheduler_type,
                self.min_lr_ratio,
            ),
            weight_decay: self.weight_decay,
            betas: [self.adam_beta1, self.adam_beta2],
            epsilon: self.adam_epsilon,
            clip: self.max_grad_norm,
        }
    }
}

/// Trains with progress; returns the trained model, and the file of metrics.
pub fn carry_out(
    context: &Context,
    training: Training,
) -> Result<(Transformer, PathBuf), StageError> {
    let Schedule { warmup, steps, peak, .. } = training.optimisation.schedule;
    if warmup >= steps {
        context.warn(format!(
            "`warmup_steps` takes {warmup} steps, but there are only {steps}: the learning rate \
            never reaches {peak}; lower `warmup_steps`"
        ));
    }
    let device = device(context.device.first()).map_err(|error| StageError(error.to_string()))?;
    // Both together keep the number of rows of an optimizer step, and so the result.
    let lower = "`batch_size`, and raise `gradient_accumulation_steps`";
    let _listener = ending::Listener::begin();
    let trained = with_oom_hint(&device, "train", lower, || train(training, event_sink(context)));
    trained.map_err(StageError)?.map_err(|error| StageError(error.to_string()))
}

/// Copies of a model on all devices of the stage but the first, each served by a thread.
///
/// # Errors
/// If a device is missing, or has too little memory.
pub fn replicas(context: &Context, model: &Transformer) -> Result<Replicas, StageError> {
    let devices = other_devices(context.device).map_err(StageError::doing("use the device"))?;
    let lower = "the number of devices";
    with_oom_hint(&model.device(), "copy the model", lower, || Replicas::new(model, &devices))
        .map_err(StageError)
}

/// Converts training events into stage events.
fn event_sink(context: &Context) -> Arc<dyn Fn(TrainEvent) + Send + Sync> {
    let report = context.report.clone();
    Arc::new(move |event| {
        report(match event {
            TrainEvent::Progress { done, steps } => StageEvent::Progress {
                done: done as u64,
                total: steps as u64,
                unit: "steps".to_owned(),
            },
            TrainEvent::Step { step, values } => StageEvent::Metrics {
                step: step as u64,
                values: values
                    .into_iter()
                    .map(|(metric, value)| (metric.name().to_owned(), value))
                    .collect(),
            },
            TrainEvent::Note(text) => StageEvent::Note { text },
            TrainEvent::Warning(text) => StageEvent::Warning { text },
        });
    })
}

/// Copies a run's metrics into the artifact.
pub fn keep_metrics(context: &Context, metrics: &Path) -> Result<(), StageError> {
    // The checkpoint needs its own file until the artifact is sealed: it holds a digest of it, and
    // an attempt that fails before then resumes from it.
    std::fs::copy(metrics, context.output("metrics.jsonl"))
        .map(drop)
        .map_err(StageError::doing("keep the metrics"))
}
