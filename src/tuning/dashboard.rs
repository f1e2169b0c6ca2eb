//! burn-train's own dashboard, fed from the reports of a training that runs in another process.

use std::collections::BTreeSet;
use std::sync::Arc;

use burn_train::{
    Interrupter,
    metric::{
        MetricAttributes, MetricDefinition, MetricEntry, MetricId, NumericAttributes, NumericEntry, SerializedEntry,
    },
    renderer::{MetricState, MetricsRenderer, tui::TuiMetricsRendererWrapper},
};

/// The dashboard of one training stage; the terminal is its own until it is dropped.
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
        use burn_train::logger::TrainingProgressLogger;
        renderer.start(1, 1, None, Some(stage));
        Self { renderer, interrupter, known: BTreeSet::new(), steps: 0 }
    }

    /// Shows how far the training is.
    pub fn progress(&mut self, done: usize, steps: usize) {
        use burn_train::logger::TrainingProgressLogger;
        if self.steps != steps {
            self.steps = steps;
            self.renderer.start_split("train", steps);
        }
        self.renderer.update_split(done);
    }

    /// Shows what was measured at a step.
    pub fn measured(&mut self, values: &[(String, f64)]) {
        use burn_train::renderer::MetricsRendererTraining;
        for (name, value) in values {
            let metric_id = MetricId::new(Arc::new(name.clone()));
            if self.known.insert(name.clone()) {
                let attributes = MetricAttributes::Numeric(NumericAttributes { unit: None, higher_is_better: false });
                let name = Arc::new(name.clone());
                self.renderer.register_metric(MetricDefinition {
                    metric_id: metric_id.clone(),
                    name,
                    description: None,
                    attributes,
                });
            }
            let text = SerializedEntry::new(format!("{value:.4}"), value.to_string());
            let entry = MetricEntry::new(metric_id, text);
            self.renderer.update_train(MetricState::Numeric(entry, Some(NumericEntry::Value(*value))));
        }
    }

    /// Whether the person at the dashboard asked the training to stop.
    pub fn wants_to_stop(&self) -> bool {
        self.interrupter.should_stop()
    }
}
