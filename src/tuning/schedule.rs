//! How the learning rate runs: up in a straight line, then down along a curve.

use burn::lr_scheduler::{LrScheduler, LrSchedulerRecord};
use serde::{Deserialize, Serialize};

/// The shape of the way down.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Decay {
    /// No way down.
    Constant,
    /// A straight line.
    Linear,
    /// Half a cosine (Loshchilov and Hutter 2017, without restarts).
    Cosine,
}

/// The learning rate of every optimizer step; its only state is the step.
#[derive(Clone, Debug, PartialEq)]
pub struct Schedule {
    /// The highest learning rate.
    pub peak: f64,
    /// Steps until the peak; step 1 has `peak / warmup`.
    pub warmup: usize,
    /// All steps.
    pub steps: usize,
    /// The way down, from the end of the warm-up to the last step.
    pub decay: Decay,
    /// The share of the peak that is left at the end.
    pub floor: f64,
    step: usize,
}

impl Schedule {
    /// A schedule at its beginning.
    pub fn new(peak: f64, warmup: usize, steps: usize, decay: Decay, floor: f64) -> Self {
        Self { peak, warmup, steps, decay, floor, step: 0 }
    }

    /// The learning rate at a step, from 1.
    pub fn at(&self, step: usize) -> f64 {
        if step <= self.warmup {
            return self.peak * step as f64 / self.warmup as f64;
        }
        let way = (step - self.warmup) as f64 / (self.steps.saturating_sub(self.warmup)).max(1) as f64;
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
        self.step = record.scalar::<u64>("step").expect("a checkpoint of this schedule has a step") as usize;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rises_in_a_line_and_falls_to_the_floor() {
        let schedule = Schedule::new(0.1, 10, 110, Decay::Cosine, 0.1);
        assert_eq!(schedule.at(1), 0.01);
        assert_eq!(schedule.at(10), 0.1);
        assert!((schedule.at(60) - 0.055).abs() < 1e-12, "half way down a cosine lies the mean");
        assert!((schedule.at(110) - 0.01).abs() < 1e-12);
        let line = Schedule::new(0.1, 0, 100, Decay::Linear, 0.0);
        assert!((line.at(25) - 0.075).abs() < 1e-12);
        assert_eq!(Schedule::new(0.1, 0, 100, Decay::Constant, 0.0).at(100), 0.1);
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
