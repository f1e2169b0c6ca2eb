//! burn-train's dashboard, fed from the events of a training process.

use std::{collections::BTreeSet, sync::Arc};

use burn_train::{
    Interrupter,
    logger::TrainingProgressLogger,
    metric::{
        MetricAttributes, MetricDefinition, MetricEntry, MetricId, NumericAttributes, NumericEntry,
        SerializedEntry,
    },
    renderer::{
        MetricState, MetricsRenderer, MetricsRendererTraining, tui::TuiMetricsRendererWrapper,
    },
};

/// The dashboard of one training stage; it owns the terminal until it is dropped.
pub struct Dashboard {
    renderer: TuiMetricsRendererWrapper,
    interrupter: Interrupter,
    known: BTreeSet<String>,
    steps: usize,
}

impl Dashboard {
    /// Takes over the terminal for the stage of this name.
    pub fn open(stage: &str) -> Self {
        let interrupter = Interrupter::new();
        let mut renderer = TuiMetricsRendererWrapper::new(interrupter.clone(), None);
        // It counts epochs, which here are only the intervals between checkpoints.
        renderer.start(1, 1, None, Some(stage));
        Self { renderer, interrupter, known: BTreeSet::new(), steps: 0 }
    }

    /// Shows the progress of training.
    pub fn progress(&mut self, done: usize, steps: usize) {
        // The number of steps comes with the first event, after the dashboard is open.
        if self.steps != steps {
            self.steps = steps;
            self.renderer.start_split("train", steps);
        }
        self.renderer.update_split(done);
    }

    /// Shows the metrics of a step.
    pub fn measured(&mut self, values: &[(String, f64)]) {
        for (name, value) in values {
            let metric_id = self.metric_id(name);
            let text = SerializedEntry::new(format!("{value:.4}"), value.to_string());
            let entry = MetricEntry::new(metric_id, text);
            self.renderer
                .update_train(MetricState::Numeric(entry, Some(NumericEntry::Value(*value))));
        }
    }

    /// The renderer's id of a metric, which is registered when it first occurs: only the training
    /// process knows which metrics its task has.
    fn metric_id(&mut self, name: &str) -> MetricId {
        let shared = Arc::new(name.to_owned());
        let metric_id = MetricId::new(Arc::clone(&shared));
        if self.known.insert(name.to_owned()) {
            let attributes = NumericAttributes { unit: None, higher_is_better: false };
            self.renderer.register_metric(MetricDefinition {
                metric_id: metric_id.clone(),
                name: shared,
                description: None,
                attributes: MetricAttributes::Numeric(attributes),
            });
        }
        metric_id
    }

    /// Whether the user asked to stop training.
    pub fn wants_to_stop(&self) -> bool {
        self.interrupter.should_stop()
    }
}
