//! Measurements: burn-train metrics under TRL's names, a logger that writes them, a renderer that
//! forwards progress.

use std::{
    fs::File,
    io::Write,
    path::PathBuf,
    sync::{Arc, Mutex, OnceLock},
};

use burn::tensor::{ExecutionError, TensorReadError};
use burn_train::{
    Interrupter, ItemLazy,
    logger::{EvaluationProgressLogger, MetricLogger, TrainingProgressLogger},
    metric::{
        Adaptor, Metric, MetricAttributes, MetricDefinition, MetricMetadata, MetricName, Numeric,
        NumericAttributes, NumericEntry, SerializedEntry,
        state::{FormatOptions, NumericMetricState},
        store::{EpochSummary, MetricsUpdate, NumericMetricUpdate, Split},
    },
    renderer::{
        EvaluationName, MetricState, MetricsRenderer, MetricsRendererEvaluation,
        MetricsRendererTraining,
    },
};

use super::{
    alarms::Alarms,
    metric::{Measurements, TrainMetric},
    protocol::{Ear, TrainEvent},
};

/// Metrics of a microbatch; the gradient norm follows with the optimizer step.
pub(super) struct Measured {
    pub values: Measurements,
    pub norm: Arc<OnceLock<f64>>,
}

impl ItemLazy for Measured {
    fn sync(self) -> Result<Self, ExecutionError> {
        Ok(self)
    }
}

/// What burn-train passes to every [`Measurement`].
pub(super) struct StepValues {
    values: Measurements,
    norm: f64,
}

impl Adaptor<StepValues> for Measured {
    fn adapt(&self) -> StepValues {
        StepValues { values: self.values, norm: self.norm.get().copied().unwrap_or(f64::NAN) }
    }
}

/// One metric, as burn-train takes it.
#[derive(Clone)]
pub(super) struct Measurement {
    metric: TrainMetric,
    name: MetricName,
    state: NumericMetricState,
}

impl Measurement {
    pub(super) fn new(metric: TrainMetric) -> Self {
        let name = Arc::new(metric.name().to_owned());
        Self { metric, name, state: NumericMetricState::new() }
    }

    fn format(&self) -> FormatOptions {
        FormatOptions::new(self.name.clone()).precision(4)
    }
}

impl Metric for Measurement {
    type Input = StepValues;

    fn name(&self) -> MetricName {
        self.name.clone()
    }

    fn attributes(&self) -> MetricAttributes {
        NumericAttributes { unit: None, higher_is_better: false }.into()
    }

    fn update(
        &mut self,
        item: &StepValues,
        metadata: &MetricMetadata,
    ) -> Result<SerializedEntry, TensorReadError> {
        let value = match self.metric {
            TrainMetric::GradNorm => item.norm,
            TrainMetric::LearningRate => metadata.lr.as_ref().map_or(f64::NAN, |rate| rate.base()),
            measured => item.values[measured],
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

/// Writes `metrics.jsonl`: one object per optimizer step.
pub(super) struct StepLog {
    path: PathBuf,
    file: File,
    metrics: &'static [TrainMetric],
    accumulation: usize,
    step: usize,
    microbatches: Vec<Measurements>,
    alarms: Alarms,
    ear: Ear,
    interrupter: Interrupter,
    /// Number of steps written so far, for the sealer.
    pub written: Arc<Mutex<usize>>,
    /// Why the result is invalid. burn-train reports a stop too late where it is the last step.
    failure: Arc<OnceLock<String>>,
}

/// The state from which a [`StepLog`] resumes.
pub(super) struct StepLogStart {
    /// The file; opened for appending.
    pub path: PathBuf,
    /// Steps in the file.
    pub step: usize,
    /// Microbatches per step.
    pub accumulation: usize,
    /// The metrics of each microbatch, in the order in which burn-train passes them.
    pub metrics: &'static [TrainMetric],
    /// Receives the reason why the result is invalid.
    pub failure: Arc<OnceLock<String>>,
}

impl StepLog {
    pub(super) fn open(
        start: StepLogStart,
        ear: Ear,
        interrupter: Interrupter,
    ) -> std::io::Result<Self> {
        let file = File::options().create(true).append(true).open(&start.path)?;
        Ok(Self {
            path: start.path,
            file,
            metrics: start.metrics,
            accumulation: start.accumulation,
            step: start.step,
            microbatches: Vec::new(),
            alarms: Alarms::default(),
            ear,
            interrupter,
            written: Arc::new(Mutex::new(start.step)),
            failure: start.failure,
        })
    }

    /// One optimizer step from its microbatches.
    fn finish_step(&mut self) {
        self.step += 1;
        let values = self.step_values();
        self.microbatches.clear();
        // Also where the training thread has failed, which has no interrupter.
        if let Some(reason) = self.failure.get() {
            self.interrupter.stop(Some(reason));
        }
        if let Err(error) = self.write(&values) {
            self.fail(format!("cannot write {}: {error}", self.path.display()));
        }
        // Also after an error: the sealer waits for this number.
        *self.written.lock().expect("no holder panics") = self.step;
        for words in self.alarms.watch(&values) {
            (self.ear)(TrainEvent::Warning(format!("step {}: {words}", self.step)));
        }
        (self.ear)(TrainEvent::Step { step: self.step, values });
    }

    /// The values of the step; fails where one of them shows that it has gone wrong.
    fn step_values(&self) -> Vec<(TrainMetric, f64)> {
        let mut values = Vec::with_capacity(self.metrics.len());
        for metric in self.metrics {
            let value = metric.of_step(&self.microbatches);
            if metric.must_be_finite() && !value.is_finite() {
                self.fail(format!("`{}` at step {} is not finite", metric.name(), self.step));
            }
            // Values that this batch cannot have are left out, such as a mean over no completion.
            if metric.must_be_finite() || value.is_finite() {
                values.push((*metric, value));
            }
        }
        values
    }

    fn write(&mut self, values: &[(TrainMetric, f64)]) -> std::io::Result<()> {
        let mut row = serde_json::Map::new();
        row.insert("step".to_owned(), self.step.into());
        row.extend(
            values.iter().map(|(metric, value)| (metric.name().to_owned(), (*value).into())),
        );
        // One call: a kill between two would leave half a line, which costs the checkpoint.
        self.file.write_all((serde_json::Value::Object(row).to_string() + "\n").as_bytes())
    }

    /// Stops the run permanently.
    fn fail(&self, reason: String) {
        self.interrupter.stop(Some(&reason));
        self.failure.get_or_init(|| reason);
    }
}

/// None after an epoch: then burn-train logs its averages, which are not steps.
fn value_of_microbatch(update: &NumericMetricUpdate) -> Option<f64> {
    match update.numeric_entry.as_ref()? {
        NumericEntry::Final(_) => None,
        entry => Some(entry.current()),
    }
}

impl MetricLogger for StepLog {
    fn log(&mut self, update: MetricsUpdate, _epoch: usize, _split: &Split) {
        if update.entries_numeric.len() != self.metrics.len() {
            return;
        }
        let mut measured = Measurements::default();
        for (metric, entry) in self.metrics.iter().zip(&update.entries_numeric) {
            let Some(value) = value_of_microbatch(entry) else { return };
            measured[*metric] = value;
        }
        self.microbatches.push(measured);
        if self.microbatches.len() == self.accumulation {
            self.finish_step();
        }
    }

    fn read_numeric(
        &mut self,
        _name: &str,
        _epoch: usize,
        _split: &Split,
    ) -> Result<Vec<NumericEntry>, String> {
        Err("the step log is written, not read".to_owned())
    }

    fn log_metric_definition(&mut self, _definition: MetricDefinition) {}

    fn log_epoch_summary(&mut self, _summary: EpochSummary) {}
}

// burn-train asks for a renderer of everything. Metrics come from the step log instead, which knows
// optimizer steps; burn-train's are those of microbatches.
/// Forwards burn-train's progress.
pub(super) struct Relay {
    pub ear: Ear,
    pub steps: usize,
}

impl TrainingProgressLogger for Relay {
    fn start(
        &mut self,
        _epochs: usize,
        _first: usize,
        _items: Option<usize>,
        _label: Option<&str>,
    ) {
    }

    fn update_epoch(&mut self, _epoch: usize) {}

    fn start_split(&mut self, _split: &str, _total_items: usize) {}

    fn update_split(&mut self, items_processed: usize) {
        (self.ear)(TrainEvent::Progress { done: items_processed, steps: self.steps });
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
