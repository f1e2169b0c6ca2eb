//! Concurrent responses: slots that are filled, advanced together, and emptied.

use std::sync::Arc;

use rayon::prelude::*;

use super::{
    error::GenerateError,
    memory::{Memory, Prefilled},
    row::GeneratedRow,
};
use crate::model::{
    architecture::Transformer,
    device::is_cpu,
    memory_budget::{Exhausted, guarded},
    prefix::Prefix,
};

/// Minimum rows of a share with its own thread, if the weights fit the cache.
const ROWS_OF_A_SHARE: usize = 8;
/// Size of weights that fit a processor's cache, in bytes.
const CACHED_WEIGHTS: usize = 1 << 26;

/// Slots for responses, in shares that advance in parallel.
pub(super) struct Batch<'a> {
    model: &'a Transformer,
    /// The beginning that all prompts share; may be empty.
    beginning: Prefix,
    shares: Vec<BatchShare>,
}

/// Slots with one KV cache.
struct BatchShare {
    memory: Memory,
    rows: Vec<Option<GeneratedRow>>,
    /// Slots whose prompts are not in the KV cache yet, since copies of several cost less.
    unfilled: Vec<(usize, Arc<Prefilled>)>,
}

impl<'a> Batch<'a> {
    /// Products with a single row take another path in the CPU backend, with another order of sums;
    /// otherwise a row's numbers do not depend on the number of rows.
    pub(super) const FEWEST: usize = 2;

    /// Empty slots for sequences of up to this length, all of which begin with these tokens.
    pub(super) fn new(
        model: &'a Transformer,
        slots: usize,
        length: usize,
        beginning: &[u32],
    ) -> Self {
        let beginning = model.read(&Prefix::default(), beginning);
        let device = model.embedding.val().device();
        // The weights of a large model must be read from memory for each share again.
        let is_small = model.config.parameters() * model.format().size() <= CACHED_WEIGHTS;
        // Element-wise operations of the CPU backend run on one thread each, and take half of a
        // small model's time.
        let most = if is_cpu(&device) && is_small { rayon::current_num_threads() } else { 1 };
        let shares = most.min(slots / ROWS_OF_A_SHARE).max(1);
        let sizes = (0..shares).map(|share| slots / shares + usize::from(share < slots % shares));
        let shares = sizes.map(|slots| BatchShare {
            memory: Memory::new(model, slots, length, &beginning),
            rows: (0..slots).map(|_| None).collect(),
            unfilled: Vec::new(),
        });
        let shares = shares.collect();
        Self { model, beginning, shares }
    }

    /// Reads what follows the shared beginning of prompts.
    pub(super) fn read(&self, prompts: &[&[u32]]) -> Result<Vec<Prefilled>, Exhausted> {
        self.model.prefill_all(&self.beginning, prompts)
    }

    pub(super) fn rows(&self) -> impl Iterator<Item = &GeneratedRow> {
        self.shares.iter().flat_map(|share| share.rows.iter().flatten())
    }

    pub(super) fn is_empty(&self) -> bool {
        self.rows().next().is_none()
    }

    /// The number of empty slots.
    pub(super) fn free(&self) -> usize {
        self.shares.iter().map(BatchShare::free).sum()
    }

    /// Puts a response, whose prompt was read, into an empty slot of the emptiest share.
    pub(super) fn put(&mut self, row: GeneratedRow, prompt: Arc<Prefilled>) {
        // Shares advance together, so that the fullest one decides how long a step takes.
        let emptiest = self.shares.iter_mut().max_by_key(|share| share.free());
        let share = emptiest.expect("a batch has shares");
        let slot = share
            .rows
            .iter()
            .position(Option::is_none)
            .expect("only as many are admitted as there are slots");
        share.unfilled.push((slot, prompt));
        share.rows[slot] = Some(row);
    }

    /// Adds one token to each response; `draw` gets a response and its next logits.
    pub(super) fn step(
        &mut self,
        draw: impl Fn(&mut GeneratedRow, &[f32]) -> Result<(), GenerateError> + Sync,
    ) -> Result<Result<(), GenerateError>, Exhausted> {
        let model = self.model;
        let steps: Vec<_> = match self.shares.as_mut_slice() {
            // On a thread of the pool: from another one, each parallel part would have to wake it
            // and be waited for. A GPU has a queue for each thread.
            [only] if model.is_on_cpu() => {
                vec![guarded(|| rayon::scope(|_| only.step(model, &draw)))]
            }
            [only] => vec![guarded(|| only.step(model, &draw))],
            shares => {
                shares.par_iter_mut().map(|share| guarded(|| share.step(model, &draw))).collect()
            }
        };
        steps.into_iter().collect()
    }

    /// Empties the slots of finished responses.
    pub(super) fn take_ended(&mut self) -> Vec<GeneratedRow> {
        let places = self.shares.iter_mut().flat_map(|share| &mut share.rows);
        places.filter_map(|place| place.take_if(|row| row.has_ended)).collect()
    }

    /// Removes the empty slots of a share once they are half of it and no response waits.
    pub(super) fn shrink(&mut self) {
        self.shares.retain(|share| share.rows.iter().any(Option::is_some));
        for share in &mut self.shares {
            share.shrink();
        }
    }
}

impl BatchShare {
    fn free(&self) -> usize {
        self.rows.iter().filter(|place| place.is_none()).count()
    }

    /// Adds one token to each response.
    fn step(
        &mut self,
        model: &Transformer,
        draw: &(impl Fn(&mut GeneratedRow, &[f32]) -> Result<(), GenerateError> + Sync),
    ) -> Result<Result<(), GenerateError>, Exhausted> {
        self.fill();
        let spare = (0, self.memory.spare_position());
        let last = self
            .rows
            .iter()
            .map(|row| row.as_ref().map_or(spare, |row| (row.last_token(), row.position)));
        let (tokens, positions): (Vec<u32>, Vec<usize>) = last.unzip();
        let logits = model.step(&mut self.memory, &tokens, &positions)?;
        let drawn = self.rows.par_iter_mut().enumerate().map(|(slot, place)| {
            let Some(row) = place else { return Ok(()) };
            row.position += 1;
            draw(row, &logits.row(slot))
        });
        Ok(drawn.collect::<Vec<_>>().into_iter().collect())
    }

    fn fill(&mut self) {
        let unfilled = std::mem::take(&mut self.unfilled);
        self.memory.fill(&unfilled);
    }

    fn shrink(&mut self) {
        self.fill();
        let taken: Vec<usize> =
            (0..self.rows.len()).filter(|slot| self.rows[*slot].is_some()).collect();
        // Copying the cache takes time too, so it is not done for each response that ends.
        if 2 * taken.len() > self.rows.len() || self.rows.len() <= Batch::FEWEST {
            return;
        }
        // Two rows at least, as in all other batches: see `FEWEST`.
        let spare = (0..self.rows.len()).filter(|slot| self.rows[*slot].is_none());
        let missing = Batch::FEWEST.saturating_sub(taken.len());
        let kept: Vec<usize> = taken.iter().copied().chain(spare.take(missing)).collect();
        self.memory.keep(&kept);
        self.rows = kept.iter().map(|slot| self.rows[*slot].take()).collect();
    }
}
