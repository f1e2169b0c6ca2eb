//! The answers that are written at once: slots that are filled, advanced together, and emptied.

use rayon::prelude::*;

use super::{
    generate::GenerateError,
    memory::{Memory, Prefilled},
    row::Row,
};
use crate::model::{
    architecture::Transformer,
    device::is_cpu,
    room::{Exhausted, guarded},
};

/// A share of a batch for a thread of its own is worth it from so many rows on, while the weights stay in the cache.
const ROWS_OF_A_SHARE: usize = 8;
/// Weights up to this size stay in the cache of a processor, in bytes.
const CACHED_WEIGHTS: usize = 1 << 26;

/// Slots for answers, in shares that advance side by side.
pub(super) struct Batch<'a> {
    pub(super) model: &'a Transformer,
    shares: Vec<Share>,
}

/// Slots with a memory of their own.
struct Share {
    memory: Memory,
    rows: Vec<Option<Row>>,
}

impl<'a> Batch<'a> {
    /// Products with a single row take another path in the CPU backend, whose sums run in another order; beyond that, a
    /// row's numbers do not depend on how many rows there are.
    pub(super) const FEWEST: usize = 2;

    /// Empty slots for texts of up to this length.
    pub(super) fn new(model: &'a Transformer, slots: usize, length: usize) -> Self {
        let device = model.embedding.val().device();
        let is_small = model.config.parameters() * model.format().size() <= CACHED_WEIGHTS;
        let most = if is_cpu(&device) && is_small { rayon::current_num_threads() } else { 1 };
        let shares = most.min(slots / ROWS_OF_A_SHARE).max(1);
        let share = |number: usize| {
            let slots = slots / shares + usize::from(number < slots % shares);
            Share { memory: Memory::new(model, slots, length), rows: (0..slots).map(|_| None).collect() }
        };
        Self { model, shares: (0..shares).map(share).collect() }
    }

    pub(super) fn rows(&self) -> impl Iterator<Item = &Row> {
        self.shares.iter().flat_map(|share| share.rows.iter().flatten())
    }

    pub(super) fn is_empty(&self) -> bool {
        self.rows().next().is_none()
    }

    /// The number of empty slots.
    pub(super) fn free(&self) -> usize {
        self.shares.iter().flat_map(|share| &share.rows).filter(|place| place.is_none()).count()
    }

    /// Puts an answer, whose prompt the model has read, into an empty slot, where there are most of them.
    pub(super) fn put(&mut self, row: Row, prompt: &Prefilled) {
        let free = |share: &&mut Share| share.rows.iter().filter(|place| place.is_none()).count();
        let share = self.shares.iter_mut().max_by_key(free).expect("a batch has shares");
        let slot = share.rows.iter().position(Option::is_none).expect("only as many are admitted as there are slots");
        share.memory.fill(slot, prompt);
        share.rows[slot] = Some(row);
    }

    /// Adds one token to each answer; `draw` is given an answer and the logits after it.
    pub(super) fn step(
        &mut self,
        draw: impl Fn(&mut Row, &[f32]) -> Result<(), GenerateError> + Sync,
    ) -> Result<Result<(), GenerateError>, Exhausted> {
        let model = self.model;
        let step = |share: &mut Share| guarded(|| share.step(model, &draw));
        let steps: Vec<_> = match self.shares.as_mut_slice() {
            [only] => vec![step(only)],
            shares => shares.par_iter_mut().map(step).collect(),
        };
        steps.into_iter().collect()
    }

    /// Empties the slots of answers that have ended.
    pub(super) fn take_ended(&mut self) -> Vec<Row> {
        let places = self.shares.iter_mut().flat_map(|share| &mut share.rows);
        places.filter_map(|place| place.take_if(|row| row.has_ended)).collect()
    }

    /// Closes the empty slots of a share once they are half of it: for when no answer waits for them any more.
    pub(super) fn shrink(&mut self) {
        self.shares.retain(|share| share.rows.iter().any(Option::is_some));
        for share in &mut self.shares {
            share.shrink();
        }
    }
}

impl Share {
    /// Slots without an answer write at a place that the next one overwrites.
    fn step(
        &mut self,
        model: &Transformer,
        draw: &(impl Fn(&mut Row, &[f32]) -> Result<(), GenerateError> + Sync),
    ) -> Result<Result<(), GenerateError>, Exhausted> {
        let last = |row: &Option<Row>| row.as_ref().map_or((0, 0), |row| (row.last_token(), row.position));
        let (tokens, positions): (Vec<u32>, Vec<usize>) = self.rows.iter().map(last).unzip();
        let logits = model.step(&mut self.memory, &tokens, &positions)?;
        let drawn = self.rows.par_iter_mut().zip(logits.par_chunks(model.config.vocab_size)).map(|(place, logits)| {
            let Some(row) = place else { return Ok(()) };
            row.position += 1;
            draw(row, logits)
        });
        Ok(drawn.collect::<Vec<_>>().into_iter().collect())
    }

    fn shrink(&mut self) {
        let taken: Vec<usize> = (0..self.rows.len()).filter(|slot| self.rows[*slot].is_some()).collect();
        if 2 * taken.len() > self.rows.len() || self.rows.len() <= Batch::FEWEST {
            return;
        }
        let spare = (0..self.rows.len()).filter(|slot| self.rows[*slot].is_none());
        let missing = Batch::FEWEST.saturating_sub(taken.len());
        let kept: Vec<usize> = taken.iter().copied().chain(spare.take(missing)).collect();
        self.memory.keep(&kept);
        self.rows = kept.iter().map(|slot| self.rows[*slot].take()).collect();
    }
}
