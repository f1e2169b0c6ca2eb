//! Failures of preference tuning that the loss does not show: what to watch, what it means, what to
//! do.

use std::collections::BTreeMap;

use super::metric::TrainMetric;

/// Watches the metrics of a run; raises each alarm once.
#[derive(Debug, Default)]
pub(super) struct Alarms {
    /// The values of each metric so far.
    history: BTreeMap<TrainMetric, Vec<f64>>,
    raised: Vec<Alarm>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Alarm {
    Displacement,
    Accuracy,
    GradientNorm,
    ZeroLoss,
}

/// Mean and standard error of a metric over some steps.
#[derive(Clone, Copy, Debug)]
struct Window {
    mean: f64,
    error: f64,
}

/// Steps per mean, so that single batches raise no alarm.
const WINDOW: usize = 10;
/// Standard errors by which means must differ. Windows are compared at every step, so that two
/// would be too few.
const STANDARD_ERRORS: f64 = 4.0;
/// Steps before any trend is reported.
const PATIENCE: usize = 3 * WINDOW;
/// Share of its first mean by which the chosen completions' log-probability must fall.
const FALL: f64 = 0.05;
/// Gradient norm before clipping above which outliers dominate.
const LARGE_NORM: f64 = 100.0;
/// Mean loss that counts as zero.
const SMALL_LOSS: f64 = 1e-6;

impl Alarms {
    /// Takes in the metrics of a step; returns a message for each new problem.
    pub(super) fn watch(&mut self, values: &[(TrainMetric, f64)]) -> Vec<&'static str> {
        for (metric, value) in values {
            self.history.entry(*metric).or_default().push(*value);
        }
        // Each once: at every later step again, one would hide the others.
        let all = [Alarm::Displacement, Alarm::Accuracy, Alarm::GradientNorm, Alarm::ZeroLoss];
        let new: Vec<Alarm> = all
            .into_iter()
            .filter(|alarm| !self.raised.contains(alarm) && self.holds(*alarm))
            .collect();
        self.raised.extend(&new);
        new.into_iter().map(Alarm::words).collect()
    }

    fn holds(&self, alarm: Alarm) -> bool {
        match alarm {
            Alarm::Displacement => self.is_displaced(),
            // Chance level has no error.
            Alarm::Accuracy => self
                .later_half(TrainMetric::RewardsAccuracies)
                .is_some_and(|later| later.is_below(&Window { mean: 0.5, error: 0.0 })),
            Alarm::GradientNorm => {
                self.last(TrainMetric::GradNorm).is_some_and(|norm| norm > LARGE_NORM)
            }
            Alarm::ZeroLoss => self
                .first_and_last(TrainMetric::Loss)
                .is_some_and(|(_, last)| last.mean.abs() < SMALL_LOSS),
        }
    }

    /// Whether chosen completions become less probable while the margin grows. A fall by chance, as
    /// over completions of different lengths, is no trend.
    fn is_displaced(&self) -> bool {
        let chosen = self.first_and_last(TrainMetric::LogpsChosen);
        let margins = self.first_and_last(TrainMetric::RewardsMargins);
        let (Some((first, last)), Some((first_margin, last_margin))) = (chosen, margins) else {
            return false;
        };
        // Beyond chance alone is too little: over many steps any drift is.
        last.mean < first.mean - FALL * first.mean.abs()
            && last.is_below(&first)
            && first_margin.is_below(&last_margin)
    }

    fn last(&self, metric: TrainMetric) -> Option<f64> {
        self.history.get(&metric)?.last().copied()
    }

    /// The first and the last steps, once there are enough.
    fn first_and_last(&self, metric: TrainMetric) -> Option<(Window, Window)> {
        let values = self.history.get(&metric).filter(|values| values.len() >= PATIENCE)?;
        Some((Window::of(&values[..WINDOW]), Window::of(&values[values.len() - WINDOW..])))
    }

    /// The later half of all steps, once there are enough: shares over single rows are 0 or 1 at
    /// each step.
    fn later_half(&self, metric: TrainMetric) -> Option<Window> {
        let values = self.history.get(&metric).filter(|values| values.len() >= PATIENCE)?;
        Some(Window::of(&values[values.len() / 2..]))
    }
}

impl Window {
    fn of(values: &[f64]) -> Self {
        let count = values.len() as f64;
        let mean = values.iter().sum::<f64>() / count;
        let variance =
            values.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / (count - 1.0);
        Self { mean, error: (variance / count).sqrt() }
    }

    /// Whether this mean is below another's by more than chance. Batch composition changes means
    /// too, most of all over few rows or completions of different lengths.
    fn is_below(&self, other: &Self) -> bool {
        other.mean - self.mean > STANDARD_ERRORS * self.error.hypot(other.error)
    }
}

impl Alarm {
    fn words(self) -> &'static str {
        match self {
            Self::Displacement => {
                "the chosen completions become less probable while the margin grows (likelihood \
                displacement): the model \
                 unlearns both completions, the rejected one faster; raise `rpo_alpha` or `beta`, \
                 or lower `learning_rate`"
            }
            Self::Accuracy => {
                "`rewards/accuracies` stays under 0.5, worse than chance: chosen and rejected \
                may be swapped, \
                 the pairs may be noise, or `learning_rate` is far too low or too high"
            }
            Self::GradientNorm => {
                "`grad_norm` before clipping is above 100: outliers dominate the steps; lower \
                `learning_rate`, raise \
                 `warmup_steps`, or, with sppo and ipo, raise `beta`"
            }
            Self::ZeroLoss => {
                "the loss is zero: these rows have no gradient left; lower `num_train_epochs`, \
                or check whether the \
                 completions differ in something trivial"
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A metric as a function of the step.
    type Curve = (TrainMetric, fn(f64) -> f64);

    /// The alarms of a run with these metrics.
    fn alarms(metrics: &[Curve]) -> Vec<(usize, String)> {
        let mut alarms = Alarms::default();
        let at =
            |step: usize| metrics.iter().map(move |(metric, value)| (*metric, value(step as f64)));
        (1..=60)
            .flat_map(|step| {
                let found = alarms.watch(&at(step).collect::<Vec<_>>());
                found
                    .into_iter()
                    .map(|words| (step, words.split([':', ',']).next().unwrap().to_owned()))
                    .collect::<Vec<_>>()
            })
            .collect()
    }

    #[test]
    fn a_healthy_run_is_left_in_peace() {
        let healthy: [Curve; 5] = [
            (TrainMetric::Loss, |step| 0.7 - 0.005 * step),
            (TrainMetric::LogpsChosen, |step| -100.0 + 0.1 * step),
            (TrainMetric::RewardsMargins, |step| 0.01 * step),
            (TrainMetric::RewardsAccuracies, |step| 0.4 + 0.005 * step),
            (TrainMetric::GradNorm, |_| 3.0),
        ];
        assert_eq!(alarms(&healthy), []);
    }

    /// Batches of single completions look like this without any problem: sums over completions of
    /// any length, means over few rows.
    #[test]
    fn chance_raises_no_alarm() {
        let noise = |step: f64, scale: f64| scale * ((step * 12.9898).sin() * 43758.5453).fract();
        for seed in 0..50 {
            let mut watched = Alarms::default();
            for step in 1..=200 {
                let at = f64::from(step + 1000 * seed);
                let values = [
                    (TrainMetric::LogpsChosen, -100.0 + noise(at, 60.0)),
                    (TrainMetric::RewardsMargins, 0.001 * f64::from(step) + noise(at + 0.5, 0.5)),
                    (
                        TrainMetric::RewardsAccuracies,
                        f64::from(u8::from(noise(at + 0.25, 1.0) > -0.2)),
                    ),
                ];
                let found = watched.watch(&values);
                assert!(found.is_empty(), "seed {seed}, step {step}: {found:?}");
            }
        }
    }

    #[test]
    fn each_wound_raises_its_alarm_once() {
        let displaced: [Curve; 2] = [
            (TrainMetric::LogpsChosen, |step| -100.0 - step),
            (TrainMetric::RewardsMargins, |step| 0.1 * step),
        ];
        let found = alarms(&displaced);
        assert_eq!(found.len(), 1);
        assert!(
            found[0].0 == PATIENCE && found[0].1.contains("likelihood displacement"),
            "{found:?}"
        );
        for (metric, value, word) in [
            (TrainMetric::RewardsAccuracies, 0.3, "`rewards/accuracies` stays under 0.5"),
            (TrainMetric::GradNorm, 101.0, "`grad_norm` before clipping is above 100"),
            (TrainMetric::Loss, 0.0, "the loss is zero"),
        ] {
            let mut watched = Alarms::default();
            let mut found = Vec::new();
            (0..60).for_each(|_| found.extend(watched.watch(&[(metric, value)])));
            assert!(found.len() == 1 && found[0].starts_with(word), "{found:?}");
        }
    }
}
