//! What is measured: burn-train metrics under TRL's names, a logger that writes them, a renderer that passes them on.

use std::{
    fs::File,
    io::Write,
    path::PathBuf,
    sync::{Arc, Mutex, OnceLock},
};

use burn::tensor::TensorReadError;
use burn_train::{
    Interrupter,
    logger::{EvaluationProgressLogger, MetricLogger, TrainingProgressLogger},
    metric::{
        Adaptor, Metric, MetricAttributes, MetricDefinition, MetricMetadata, MetricName, Numeric, NumericAttributes,
        NumericEntry, SerializedEntry,
        state::{FormatOptions, NumericMetricState},
        store::{EpochSummary, MetricsUpdate, Split},
    },
    renderer::{EvaluationName, MetricState, MetricsRenderer, MetricsRendererEvaluation, MetricsRendererTraining},
};

use super::{alarms::Alarms, learning::Measured, trainer::News};

/// Who is told how a run goes.
pub(super) type Ear = Arc<dyn Fn(News) + Send + Sync>;

/// Where a metric's value comes from.
#[derive(Clone, Copy, Debug)]
pub(super) enum Origin {
    /// Measured in each microbatch; a batch's value is the sum.
    Measured(usize),
    /// The norm of all gradients before clipping.
    GradientNorm,
    /// The schedule.
    LearningRate,
}

/// One number a step, under TRL's name for it.
#[derive(Clone)]
pub(super) struct Measurement {
    name: MetricName,
    origin: Origin,
    state: NumericMetricState,
}

/// What burn-train hands to every [`Measurement`].
pub(super) struct Values {
    values: Vec<f64>,
    norm: f64,
}

impl Adaptor<Values> for Measured {
    fn adapt(&self) -> Values {
        Values { values: self.values.clone(), norm: self.norm.get().copied().unwrap_or(f64::NAN) }
    }
}

impl Measurement {
    pub(super) fn new(name: &str, origin: Origin) -> Self {
        Self { name: Arc::new(name.to_owned()), origin, state: NumericMetricState::new() }
    }

    fn format(&self) -> FormatOptions {
        FormatOptions::new(self.name.clone()).precision(4)
    }
}

impl Metric for Measurement {
    type Input = Values;

    fn name(&self) -> MetricName {
        self.name.clone()
    }

    fn attributes(&self) -> MetricAttributes {
        NumericAttributes { unit: None, higher_is_better: false }.into()
    }

    fn update(&mut self, item: &Values, metadata: &MetricMetadata) -> Result<SerializedEntry, TensorReadError> {
        let value = match self.origin {
            Origin::Measured(index) => item.values[index],
            Origin::GradientNorm => item.norm,
            Origin::LearningRate => metadata.lr.as_ref().map_or(f64::NAN, |rate| rate.base()),
        };
        self.state.update(value, 1);
        Ok(self.state.compute_update(self.format()))
    }

    fn compute(&mut self) -> Result<SerializedEntry, TensorReadError> {
        Ok(self.state.compute_final(self.format()))
    }

    fn clear(&mut self) {
        self.state.reset();
    }
}

impl Numeric for Measurement {
    fn value(&self) -> Option<NumericEntry> {
        Some(self.state.current_value())
    }

    fn running_value(&self) -> Option<NumericEntry> {
        Some(self.state.running_value())
    }

    fn final_value(&self) -> NumericEntry {
        self.state.final_value()
    }
}

/// Writes `metrics.jsonl`: one object an optimizer step.
pub(super) struct StepLog {
    path: PathBuf,
    file: File,
    origins: Vec<(String, Origin)>,
    accumulation: usize,
    step: usize,
    tokens: f64,
    microbatches: Vec<Vec<f64>>,
    alarms: Alarms,
    ear: Ear,
    interrupter: Interrupter,
    /// The number of steps written so far, for whoever seals a checkpoint.
    pub written: Arc<Mutex<usize>>,
    /// Why the run's result must not be used; what burn-train says of a stop comes too late where it is the last step.
    failure: Arc<OnceLock<String>>,
}

/// What a [`StepLog`] goes on from.
pub(super) struct StepLogStart {
    /// The file; opened for appending.
    pub path: PathBuf,
    /// Steps that it holds.
    pub step: usize,
    /// Tokens seen in these steps.
    pub tokens: f64,
    /// Microbatches a step.
    pub accumulation: usize,
    /// Where it is said why the run's result must not be used.
    pub failure: Arc<OnceLock<String>>,
}

impl StepLog {
    pub(super) fn open(
        start: StepLogStart,
        origins: Vec<(String, Origin)>,
        ear: Ear,
        interrupter: Interrupter,
    ) -> std::io::Result<Self> {
        let file = File::options().create(true).append(true).open(&start.path)?;
        Ok(Self {
            path: start.path,
            file,
            origins,
            accumulation: start.accumulation,
            step: start.step,
            tokens: start.tokens,
            microbatches: Vec::new(),
            alarms: Alarms::default(),
            ear,
            interrupter,
            written: Arc::new(Mutex::new(start.step)),
            failure: start.failure,
        })
    }

    /// One optimizer step from its microbatches: sums of what was measured, the last norm and rate.
    fn finish_step(&mut self) {
        self.step += 1;
        let mut row = serde_json::Map::new();
        row.insert("step".to_owned(), self.step.into());
        let mut values = Vec::new();
        for (index, (name, origin)) in self.origins.iter().enumerate() {
            let mut column = self.microbatches.iter().map(|values| values[index]);
            let mut value = match origin {
                Origin::Measured(_) => column.sum(),
                Origin::GradientNorm | Origin::LearningRate => column.next_back().unwrap_or(f64::NAN),
            };
            if name == "num_tokens" {
                self.tokens += value;
                value = self.tokens;
            }
            let must_be_finite = ["loss", "grad_norm"].contains(&name.as_str());
            if must_be_finite && !value.is_finite() {
                self.fail(format!("`{name}` is not a finite number at step {}", self.step));
            }
            // What cannot be measured in this batch is left out, as a mean over no answer.
            if must_be_finite || value.is_finite() {
                row.insert(name.clone(), value.into());
                values.push((name.clone(), value));
            }
        }
        self.microbatches.clear();
        if let Some(reason) = self.failure.get() {
            self.interrupter.stop(Some(reason));
        }
        let line = serde_json::Value::Object(row).to_string() + "\n";
        if let Err(error) = self.file.write_all(line.as_bytes()) {
            self.fail(format!("cannot write {}: {error}", self.path.display()));
        }
        *self.written.lock().expect("no holder panics") = self.step;
        for words in self.alarms.watch(&values) {
            (self.ear)(News::Warning(format!("step {}: {words}", self.step)));
        }
        (self.ear)(News::Step { step: self.step, values });
    }

    /// Stops the run for good.
    fn fail(&self, reason: String) {
        self.interrupter.stop(Some(&reason));
        self.failure.get_or_init(|| reason);
    }
}

impl MetricLogger for StepLog {
    fn log(&mut self, update: MetricsUpdate, _epoch: usize, _split: &Split) {
        let of_batch = update.entries_numeric.iter().map(|numeric| match &numeric.numeric_entry {
            Some(NumericEntry::Final(_)) | None => None,
            Some(entry) => Some(entry.current()),
        });
        // At the end of a stretch burn-train logs its averages, which are none of our steps.
        if let Some(values) = of_batch.collect::<Option<Vec<f64>>>()
            && !values.is_empty()
        {
            self.microbatches.push(values);
            if self.microbatches.len() == self.accumulation {
                self.finish_step();
            }
        }
    }

    fn read_numeric(&mut self, _name: &str, _epoch: usize, _split: &Split) -> Result<Vec<NumericEntry>, String> {
        Err("the step log is written, not read".to_owned())
    }

    fn log_metric_definition(&mut self, _definition: MetricDefinition) {}

    fn log_epoch_summary(&mut self, _summary: EpochSummary) {}
}

/// Passes burn-train's progress on.
pub(super) struct Relay {
    pub ear: Ear,
    pub steps: usize,
}

impl TrainingProgressLogger for Relay {
    fn start(&mut self, _epochs: usize, _first: usize, _items: Option<usize>, _label: Option<&str>) {}

    fn update_epoch(&mut self, _epoch: usize) {}

    fn start_split(&mut self, _split: &str, _total_items: usize) {}

    fn update_split(&mut self, items_processed: usize) {
        (self.ear)(News::Progress { done: items_processed, steps: self.steps });
    }

    fn end_split(&mut self) {}

    fn end(&mut self) {}

    fn log_event_training(&mut self, _event: String) {}
}

impl EvaluationProgressLogger for Relay {
    fn start_global_progress(&mut self, _total_tests: usize) {}

    fn start_test(&mut self, _name: &str, _total_items: usize) {}

    fn update_test_progress(&mut self, _items_processed: usize) {}

    fn end_test(&mut self) {}

    fn end_global_progress(&mut self) {}

    fn log_event_evaluation(&mut self, _event: String) {}
}

impl MetricsRendererTraining for Relay {
    fn update_train(&mut self, _state: MetricState) {}

    fn update_valid(&mut self, _state: MetricState) {}
}

impl MetricsRendererEvaluation for Relay {
    fn update_test(&mut self, _name: EvaluationName, _state: MetricState) {}
}

impl MetricsRenderer for Relay {
    fn manual_close(&mut self) {}

    fn register_metric(&mut self, _definition: MetricDefinition) {}
}
