//! Batches in stretches: what burn-train calls an epoch ends with a checkpoint, so a stretch ends when one is due.

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

use super::trainer::{Batches, Microbatch};

/// Hands out microbatches from a position on that outlives the stretches.
#[derive(Clone)]
pub(super) struct StretchLoader {
    pub batches: Arc<dyn Batches>,
    /// Microbatches handed out so far.
    pub position: Arc<AtomicUsize>,
    /// How long a stretch lasts before it ends at the next optimizer step.
    pub stretch: Duration,
    /// Is stopped once everything is handed out, since the number of stretches is not known beforehand.
    pub interrupter: Interrupter,
    /// Whether nothing more is to be learnt, however many steps there would be.
    pub is_done: Arc<AtomicBool>,
}

struct Stretch<'a> {
    loader: &'a StretchLoader,
    end: Instant,
    first: bool,
}

impl DataLoader<Microbatch> for StretchLoader {
    fn iter<'a>(&'a self) -> Box<dyn DataLoaderIterator<Microbatch> + 'a> {
        Box::new(Stretch { loader: self, end: Instant::now() + self.stretch, first: true })
    }

    fn num_items(&self) -> usize {
        self.batches.steps()
    }

    fn to_device(&self, _: &Device) -> Arc<dyn DataLoader<Microbatch>> {
        Arc::new(self.clone())
    }

    fn slice(&self, _: usize, _: usize) -> Arc<dyn DataLoader<Microbatch>> {
        unreachable!("only training on several devices slices its loader")
    }
}

impl Iterator for Stretch<'_> {
    type Item = Result<Microbatch, DatasetError>;

    fn next(&mut self) -> Option<Self::Item> {
        let StretchLoader { batches, position, interrupter, is_done, .. } = self.loader;
        let accumulation = batches.accumulation();
        let place = position.load(Ordering::SeqCst);
        let at_step = place.is_multiple_of(accumulation);
        if place == batches.steps() * accumulation || at_step && is_done.load(Ordering::SeqCst) {
            interrupter.stop(Some("all steps are done"));
            return None;
        }
        if at_step && !self.first && Instant::now() >= self.end {
            return None;
        }
        self.first = false;
        position.store(place + 1, Ordering::SeqCst);
        Some(Ok(batches.microbatch(place / accumulation, place % accumulation)))
    }
}

impl DataLoaderIterator<Microbatch> for Stretch<'_> {
    fn progress(&self) -> Progress {
        let done = self.loader.position.load(Ordering::SeqCst) / self.loader.batches.accumulation();
        Progress::new(done, self.loader.batches.steps(), Some("steps".to_owned()))
    }
}

/// Validation has no batches: see [`super::learning::Learning`].
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
