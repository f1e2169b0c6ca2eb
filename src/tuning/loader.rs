//! Batches between checkpoints: burn-train writes a checkpoint after each epoch, so an epoch ends
//! when one is due.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use burn::{
    data::{
        dataloader::{DataLoader, DataLoaderIterator, Progress},
        dataset::DatasetError,
    },
    tensor::Device,
};
use burn_train::Interrupter;

use super::protocol::{Batches, Microbatch};

/// Hands out microbatches from a position that survives epochs.
#[derive(Clone)]
pub(super) struct CheckpointedLoader {
    pub batches: Arc<dyn Batches>,
    /// Microbatches handed out so far.
    pub position: Arc<AtomicUsize>,
    /// Time after which an epoch ends, at the next optimizer step.
    pub checkpoint_interval: Duration,
    /// Whether an epoch ends at the next optimizer step, and training after it.
    pub ends_now: fn() -> bool,
    /// Stopped after the last microbatch, since the number of epochs is not known in advance.
    pub interrupter: Interrupter,
    /// Whether training is over before the last step.
    pub is_done: Arc<AtomicBool>,
}

struct Interval<'a> {
    loader: &'a CheckpointedLoader,
    end: Instant,
    first: bool,
}

impl DataLoader<Microbatch> for CheckpointedLoader {
    fn iter<'a>(&'a self) -> Box<dyn DataLoaderIterator<Microbatch> + 'a> {
        Box::new(Interval {
            loader: self,
            end: Instant::now() + self.checkpoint_interval,
            first: true,
        })
    }

    fn num_items(&self) -> usize {
        self.batches.steps()
    }

    fn to_device(&self, _: &Device) -> Arc<dyn DataLoader<Microbatch>> {
        Arc::new(self.clone())
    }

    fn slice(&self, _: usize, _: usize) -> Arc<dyn DataLoader<Microbatch>> {
        // Shares of a batch on several devices would change its numbers.
        unreachable!("only training on several devices slices its loader")
    }
}

impl Iterator for Interval<'_> {
    type Item = Result<Microbatch, DatasetError>;

    fn next(&mut self) -> Option<Self::Item> {
        let CheckpointedLoader { batches, position, interrupter, is_done, .. } = self.loader;
        let accumulation = batches.accumulation();
        let place = position.load(Ordering::SeqCst);
        let at_step = place.is_multiple_of(accumulation);
        // Early stopping waits for the end of the step, whose gradients are half accumulated.
        if place == batches.steps() * accumulation || at_step && is_done.load(Ordering::SeqCst) {
            interrupter.stop(Some("all steps are done"));
            return None;
        }
        // The checkpoint of the interval before is written.
        if at_step && self.first && (self.loader.ends_now)() {
            interrupter.stop(Some("a signal asked for its end"));
            return None;
        }
        // At least one step an interval: with an interval of 0 seconds no step would ever be taken.
        if at_step && !self.first && (Instant::now() >= self.end || (self.loader.ends_now)()) {
            return None;
        }
        self.first = false;
        // Counted when it is handed out: an interval ends only after all of them have been used.
        position.store(place + 1, Ordering::SeqCst);
        Some(Ok(batches.microbatch(place / accumulation, place % accumulation)))
    }
}

impl DataLoaderIterator<Microbatch> for Interval<'_> {
    fn progress(&self) -> Progress {
        let done = self.loader.position.load(Ordering::SeqCst) / self.loader.batches.accumulation();
        Progress::new(done, self.loader.batches.steps(), Some("steps".to_owned()))
    }
}

/// Validation has no batches: held-out rows are evaluated between two steps instead.
#[derive(Clone)]
pub(super) struct NoBatches;

struct Nothing;

impl DataLoader<Microbatch> for NoBatches {
    fn iter<'a>(&'a self) -> Box<dyn DataLoaderIterator<Microbatch> + 'a> {
        Box::new(Nothing)
    }

    fn num_items(&self) -> usize {
        0
    }

    fn to_device(&self, _: &Device) -> Arc<dyn DataLoader<Microbatch>> {
        Arc::new(Self)
    }

    fn slice(&self, _: usize, _: usize) -> Arc<dyn DataLoader<Microbatch>> {
        Arc::new(Self)
    }
}

impl Iterator for Nothing {
    type Item = Result<Microbatch, DatasetError>;

    fn next(&mut self) -> Option<Self::Item> {
        None
    }
}

impl DataLoaderIterator<Microbatch> for Nothing {
    fn progress(&self) -> Progress {
        Progress::new(0, 0, None)
    }
}
