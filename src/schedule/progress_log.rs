//! Lines of progress in the log of an attempt, for whoever follows it.

use std::time::{Duration, Instant};

use crate::context::StageEvent;

/// Interval between lines.
const PAUSE: Duration = Duration::from_secs(10);
/// Metrics of a line.
const SHOWN: usize = 3;

/// Decides which events become a line.
#[derive(Debug)]
pub(super) struct ProgressLog {
    said: Instant,
    metrics: String,
}

impl ProgressLog {
    /// For an attempt that begins.
    pub(super) fn new() -> Self {
        Self { said: Instant::now(), metrics: String::new() }
    }

    /// The line for an event, if one is due; the last one of a unit always is.
    pub(super) fn line(&mut self, event: &StageEvent) -> Option<String> {
        match event {
            StageEvent::Metrics { values, .. } => {
                let shown = values.iter().take(SHOWN);
                self.metrics = shown.map(|(name, value)| shown_metric(name, *value)).collect();
                None
            }
            StageEvent::Progress { done, total, unit } => {
                if done < total && self.said.elapsed() < PAUSE {
                    return None;
                }
                self.said = Instant::now();
                Some(format!("{done} of {total} {unit}{}", self.metrics))
            }
            StageEvent::Note { .. } | StageEvent::Warning { .. } => None,
        }
    }
}

/// A metric behind a comma; counts, such as tokens, have no decimals.
fn shown_metric(name: &str, value: f64) -> String {
    match value.fract() {
        0.0 => format!(", {name} {value:.0}"),
        _ => format!(", {name} {value:.4}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_due_after_a_while_and_at_the_end() {
        let mut log = ProgressLog::new();
        let progress = |done| StageEvent::Progress { done, total: 30, unit: "steps".to_owned() };
        assert_eq!(log.line(&progress(1)), None);
        let values = [("loss", 0.5), ("a", 1.25), ("tokens", 14592.0), ("c", 3.0)];
        let values = values.map(|(name, value)| (name.to_owned(), value)).to_vec();
        assert_eq!(log.line(&StageEvent::Metrics { step: 1, values }), None);
        let due = |seconds| ProgressLog {
            said: Instant::now().checked_sub(Duration::from_secs(seconds)).unwrap(),
            metrics: log.metrics.clone(),
        };
        let expected = "7 of 30 steps, loss 0.5000, a 1.2500, tokens 14592";
        assert_eq!(due(11).line(&progress(7)).as_deref(), Some(expected));
        assert_eq!(due(5).line(&progress(7)), None);
        assert!(due(0).line(&progress(30)).is_some());
    }
}
