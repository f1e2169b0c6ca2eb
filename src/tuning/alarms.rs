//! What goes wrong in preference tuning while the loss looks fine: what to look for, what it means, what to do.

use std::collections::BTreeMap;

/// Watches a run's measurements; each alarm is raised once.
#[derive(Debug, Default)]
pub(super) struct Alarms {
    /// The values of each metric so far.
    history: BTreeMap<String, Vec<f64>>,
    raised: Vec<Alarm>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Alarm {
    Displacement,
    Accuracy,
    GradientNorm,
    ZeroLoss,
}

/// The values of some steps: their mean, and its standard error.
#[derive(Clone, Copy, Debug)]
struct Window {
    mean: f64,
    error: f64,
}

/// Steps over which a mean is taken, so that single batches raise no alarm.
const WINDOW: usize = 10;
/// By how many standard errors means must differ; windows are looked at anew at every step, so that two would be too few.
const STANDARD_ERRORS: f64 = 4.0;
/// Steps before which nothing is said of trends.
const PATIENCE: usize = 3 * WINDOW;

impl Alarms {
    /// Takes in what was measured at a step; says what is wrong, in words for people.
    pub(super) fn watch(&mut self, values: &[(String, f64)]) -> Vec<String> {
        for (name, value) in values {
            self.history.entry(name.clone()).or_default().push(*value);
        }
        let all = [Alarm::Displacement, Alarm::Accuracy, Alarm::GradientNorm, Alarm::ZeroLoss];
        let new: Vec<Alarm> =
            all.into_iter().filter(|alarm| !self.raised.contains(alarm) && self.holds(*alarm)).collect();
        self.raised.extend(&new);
        new.into_iter().map(|alarm| alarm.words().to_owned()).collect()
    }

    fn holds(&self, alarm: Alarm) -> bool {
        match alarm {
            Alarm::Displacement => {
                match (self.first_and_last("logps/chosen"), self.first_and_last("rewards/margins")) {
                    (Some((first, last)), Some((margin_first, margin_last))) => {
                        let falls = last.mean < first.mean - 0.05 * first.mean.abs() && last.is_below(&first);
                        falls && margin_first.is_below(&margin_last)
                    }
                    _ => false,
                }
            }
            Alarm::Accuracy => self.later_half("rewards/accuracies").is_some_and(|later| {
                // Chance itself has no error.
                later.is_below(&Window { mean: 0.5, error: 0.0 })
            }),
            Alarm::GradientNorm => self.last("grad_norm").is_some_and(|norm| norm > 100.0),
            Alarm::ZeroLoss => self.first_and_last("loss").is_some_and(|(_, last)| last.mean.abs() < 1e-6),
        }
    }

    fn last(&self, name: &str) -> Option<f64> {
        self.history.get(name)?.last().copied()
    }

    /// The first and the last steps, once there are enough of them.
    fn first_and_last(&self, name: &str) -> Option<(Window, Window)> {
        let values = self.history.get(name).filter(|values| values.len() >= PATIENCE)?;
        Some((Window::of(&values[..WINDOW]), Window::of(&values[values.len() - WINDOW..])))
    }

    /// The later half of all steps, once there are enough of them: of single rows, shares are 0 or 1 at each step.
    fn later_half(&self, name: &str) -> Option<Window> {
        let values = self.history.get(name).filter(|values| values.len() >= PATIENCE)?;
        Some(Window::of(&values[values.len() / 2..]))
    }
}

impl Window {
    fn of(values: &[f64]) -> Self {
        let count = values.len() as f64;
        let mean = values.iter().sum::<f64>() / count;
        let variance = values.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / (count - 1.0);
        Self { mean, error: (variance / count).sqrt() }
    }

    /// Whether its mean is below another's by more than chance: what a batch happens to have in it changes means too, those
    /// over few rows or answers of different lengths most.
    fn is_below(&self, other: &Self) -> bool {
        other.mean - self.mean > STANDARD_ERRORS * self.error.hypot(other.error)
    }
}

impl Alarm {
    fn words(self) -> &'static str {
        match self {
            Self::Displacement => {
                "the chosen answers become less probable while the margin grows (likelihood displacement): the model \
                 unlearns both answers, only the rejected one faster; raise `nll_weight` or `beta`, or lower `learning_rate`"
            }
            Self::Accuracy => {
                "`rewards/accuracies` stays under 0.5, worse than chance: chosen and rejected may be swapped, the pairs be \
                 noise, or the learning rate far too low or high"
            }
            Self::GradientNorm => {
                "`grad_norm` is over 100 before clipping: the steps follow single outliers; lower `learning_rate`, raise \
                 `warmup`, or, with sppo and ipo, raise `beta`"
            }
            Self::ZeroLoss => {
                "the loss is zero: nothing more is learnt from these rows; fewer `epochs` would do, or the answers differ by \
                 something trivial"
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A metric as a function of the step.
    type Curve = (&'static str, fn(f64) -> f64);

    /// The alarms of a run with these metrics.
    fn alarms(metrics: &[Curve]) -> Vec<(usize, String)> {
        let mut alarms = Alarms::default();
        let at = |step: usize| metrics.iter().map(move |(name, value)| ((*name).to_owned(), value(step as f64)));
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
            ("loss", |step| 0.7 - 0.005 * step),
            ("logps/chosen", |step| -100.0 + 0.1 * step),
            ("rewards/margins", |step| 0.01 * step),
            ("rewards/accuracies", |step| 0.4 + 0.005 * step),
            ("grad_norm", |_| 3.0),
        ];
        assert_eq!(alarms(&healthy), []);
    }

    /// What batches of single answers show although nothing is wrong: sums over answers of any length, means over few rows.
    #[test]
    fn chance_raises_no_alarm() {
        let noise = |step: f64, scale: f64| scale * ((step * 12.9898).sin() * 43758.5453).fract();
        for seed in 0..50 {
            let mut watched = Alarms::default();
            for step in 1..=200 {
                let at = f64::from(step + 1000 * seed);
                let values = [
                    ("logps/chosen".to_owned(), -100.0 + noise(at, 60.0)),
                    ("rewards/margins".to_owned(), 0.001 * f64::from(step) + noise(at + 0.5, 0.5)),
                    ("rewards/accuracies".to_owned(), f64::from(u8::from(noise(at + 0.25, 1.0) > -0.2))),
                ];
                let found = watched.watch(&values);
                assert!(found.is_empty(), "seed {seed}, step {step}: {found:?}");
            }
        }
    }

    #[test]
    fn each_wound_raises_its_alarm_once() {
        let displaced: [Curve; 2] = [("logps/chosen", |step| -100.0 - step), ("rewards/margins", |step| 0.1 * step)];
        let found = alarms(&displaced);
        assert_eq!(found.len(), 1);
        assert!(found[0].0 == PATIENCE && found[0].1.contains("likelihood displacement"), "{found:?}");
        for (name, value, word) in [
            ("rewards/accuracies", 0.3, "`rewards/accuracies` stays under 0.5"),
            ("grad_norm", 101.0, "`grad_norm` is over 100"),
            ("loss", 0.0, "the loss is zero"),
        ] {
            let mut watched = Alarms::default();
            let mut found = Vec::new();
            (0..60).for_each(|_| found.extend(watched.watch(&[(name.to_owned(), value)])));
            assert!(found.len() == 1 && found[0].starts_with(word), "{found:?}");
        }
    }
}
