//! Learning-rate schedules: linear warm-up, then decay, step by step as in transformers.

use burn::lr_scheduler::{LrScheduler, LrSchedulerRecord};
use serde::{Deserialize, Serialize};

/// Shape of the decay.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, strum::VariantNames)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum Decay {
    /// No decay: the peak after the warm-up.
    Constant,
    /// A straight line from the peak to the floor.
    Linear,
    /// Half a cosine (Loshchilov and Hutter 2017, without restarts).
    Cosine,
}

/// The learning rate of every optimizer step; its only state is the step.
#[derive(Clone, Debug, PartialEq)]
pub struct Schedule {
    /// Learning rate at the end of the warm-up.
    pub peak: f64,
    /// Warm-up steps: step 1 has rate 0, step `warmup + 1` the peak.
    pub warmup: usize,
    /// Number of optimizer steps, warm-up included.
    pub steps: usize,
    /// Decay from the peak; it ends one step after the last.
    pub decay: Decay,
    /// Share of the peak at the end of the decay.
    pub floor: f64,
    step: usize,
}

impl Schedule {
    /// A schedule before its first step.
    pub fn new(peak: f64, warmup: usize, steps: usize, decay: Decay, floor: f64) -> Self {
        Self { peak, warmup, steps, decay, floor, step: 0 }
    }

    /// The learning rate at a step, from 1: a function of the steps done before it, as in
    /// transformers.
    pub fn at(&self, step: usize) -> f64 {
        // transformers sets the rate after a step, for the next one: the first has rate 0.
        let done = step.saturating_sub(1);
        if done < self.warmup {
            return self.peak * done as f64 / self.warmup as f64;
        }
        // A warm-up beyond the last step leaves no way to fall, which is no division by 0.
        let way =
            (done - self.warmup) as f64 / (self.steps.saturating_sub(self.warmup)).max(1) as f64;
        let left = match self.decay {
            Decay::Constant => 1.0,
            Decay::Linear => 1.0 - way.min(1.0),
            Decay::Cosine => 0.5 * (1.0 + (std::f64::consts::PI * way.min(1.0)).cos()),
        };
        self.peak * (self.floor + (1.0 - self.floor) * left)
    }
}

impl LrScheduler for Schedule {
    fn step(&mut self) -> f64 {
        self.step += 1;
        self.at(self.step)
    }

    fn to_record(&self) -> LrSchedulerRecord {
        LrSchedulerRecord::new().with_scalar("step", self.step as u64)
    }

    fn load_record(&mut self, record: LrSchedulerRecord) {
        self.step = record.scalar::<u64>("step").expect("a checkpoint of this schedule has a step")
            as usize;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rises_from_zero_in_a_line_and_falls_towards_the_floor() {
        let schedule = Schedule::new(0.1, 10, 110, Decay::Cosine, 0.1);
        assert_eq!((schedule.at(1), schedule.at(2), schedule.at(11)), (0.0, 0.01, 0.1));
        assert!((schedule.at(61) - 0.055).abs() < 1e-12, "half way down a cosine lies the mean");
        assert!(
            (schedule.at(111) - 0.01).abs() < 1e-12,
            "one step after the last it would be there"
        );
        let line = Schedule::new(0.1, 0, 100, Decay::Linear, 0.0);
        assert_eq!(line.at(1), 0.1, "without a warm-up the first step has the peak");
        assert!((line.at(26) - 0.075).abs() < 1e-12);
        assert!((line.at(100) - 0.001).abs() < 1e-12, "the last step still learns");
        assert_eq!(Schedule::new(0.1, 0, 100, Decay::Constant, 0.0).at(100), 0.1);
    }

    /// Values of transformers 5.23 at seven steps for a peak of 1 and a warm-up of 2:
    /// `get_scheduler` of `constant_with_warmup`, `linear`, `cosine` and `cosine_with_min_lr` with
    /// `min_lr_rate` 0.1.
    #[test]
    fn each_step_has_the_rate_of_transformers() {
        let cases: [(Decay, f64, [f64; 7]); 4] = [
            (Decay::Constant, 0.0, [0.0, 0.5, 1.0, 1.0, 1.0, 1.0, 1.0]),
            (Decay::Linear, 0.0, [0.0, 0.5, 1.0, 0.8, 0.6, 0.4, 0.2]),
            (
                Decay::Cosine,
                0.0,
                [
                    0.0,
                    0.5,
                    1.0,
                    0.904_508_497_187,
                    0.654_508_497_187,
                    0.345_491_502_813,
                    0.095_491_502_813,
                ],
            ),
            (
                Decay::Cosine,
                0.1,
                [
                    0.0,
                    0.5,
                    1.0,
                    0.914_057_647_469,
                    0.689_057_647_469,
                    0.410_942_352_531,
                    0.185_942_352_531,
                ],
            ),
        ];
        for (decay, floor, expected) in cases {
            let schedule = Schedule::new(1.0, 2, 7, decay, floor);
            for (step, expected) in (1..).zip(expected) {
                let found = schedule.at(step);
                assert!(
                    (found - expected).abs() < 1e-11,
                    "{decay:?} at step {step}: {found} {expected}"
                );
            }
        }
        let unfinished = Schedule::new(1.0, 5, 3, Decay::Linear, 0.0);
        assert_eq!(
            [1, 2, 3].map(|step| unfinished.at(step)),
            [0.0, 0.2, 0.4],
            "a warm-up beyond the last step"
        );
    }

    #[test]
    fn goes_on_where_its_record_stopped() {
        let mut one = Schedule::new(1.0, 2, 9, Decay::Linear, 0.0);
        for _ in 0..4 {
            one.step();
        }
        let mut two = Schedule::new(1.0, 2, 9, Decay::Linear, 0.0);
        two.load_record(one.to_record());
        assert_eq!(one.step(), two.step());
    }
}
