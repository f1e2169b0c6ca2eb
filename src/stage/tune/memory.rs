//! Memory of `tune`, and what is kept for the backward pass where it is scarce.

use super::parameters::Parameters;
use crate::{
    context::Context,
    device::DeviceName,
    footprint::{PassSize, TrainingMemory, size_in_words},
    model::{DeviceMemory, ModelConfig, NumberFormat, device_memory},
    tuning::{Batches, GradientCheckpointing, Microbatch, RowBatches, TokenRow},
};

/// Share of free memory that an estimate may take; allocators keep more than they hand out.
const MOST: f64 = 0.75;
/// Number of tokens per forward pass of scoring before training.
pub(super) const REFERENCE_TOKENS: usize = 2048;

impl Parameters {
    /// What training needs, given the numbers of its adapter.
    pub(crate) fn memory<'a>(
        &self,
        config: &'a ModelConfig,
        device: DeviceName,
        adapter: Option<usize>,
    ) -> TrainingMemory<'a> {
        let scores = self.objective().is_ok_and(|objective| objective.needs_reference())
            && self.ref_model_sync_steps.is_none();
        let copies = [self.ref_model_sync_steps.is_some(), self.eval_share > 0.0];
        TrainingMemory {
            config,
            on_cpu: device == DeviceName::Cpu,
            format: NumberFormat::named(&self.encoding.dtype).unwrap_or(NumberFormat::Float32),
            adapter,
            other_models: copies.into_iter().filter(|is_kept| *is_kept).count(),
            accumulates: self.gradient_accumulation_steps > 1,
            logits_bytes: self.logits_bytes,
            reference_tokens: if scores { REFERENCE_TOKENS as f64 } else { 0.0 },
        }
    }

    /// What the recipe says of gradient checkpointing, if anything.
    pub(crate) fn checkpointing(&self) -> Option<GradientCheckpointing> {
        self.gradient_checkpointing.map(|is_on| match is_on {
            true => GradientCheckpointing::PerBlock,
            false => GradientCheckpointing::Off,
        })
    }

    /// Gradient checkpointing as the recipe has it, else only where the largest pass needs it.
    pub(super) fn chosen_checkpointing(
        &self,
        context: &Context,
        memory: &TrainingMemory<'_>,
        pass: PassSize,
    ) -> GradientCheckpointing {
        let free = device_memory(context.device.first());
        let chosen = self.checkpointing().unwrap_or_else(|| fitting(memory, pass, free));
        if self.gradient_checkpointing.is_none() && chosen == GradientCheckpointing::PerBlock {
            let whole = memory.need(pass, GradientCheckpointing::Off);
            context.note(format!(
                "keeps only the states between blocks for the backward pass, since all of them \
                would take about {} (`gradient_checkpointing = false` keeps them)",
                size_in_words(whole.activations)
            ));
        }
        chosen
    }
}

/// The whole tape where free memory surely has room for it, or is unknown.
fn fitting(
    memory: &TrainingMemory<'_>,
    pass: PassSize,
    device: DeviceMemory,
) -> GradientCheckpointing {
    let need = memory.need(pass, GradientCheckpointing::Off);
    // The model is already there.
    let more = need.total() - need.weights;
    match device.free {
        Some(free) if more > MOST * free as f64 => GradientCheckpointing::PerBlock,
        _ => GradientCheckpointing::Off,
    }
}

/// The largest pass of a training.
pub(super) fn largest_pass(
    rows: &[TokenRow],
    batches: &RowBatches,
    share_prompts: bool,
) -> PassSize {
    let parts = (0..batches.steps())
        .flat_map(|step| (0..batches.accumulation()).map(move |part| (step, part)));
    let sizes = parts.map(|(step, part)| {
        let mut size = PassSize::default();
        let Microbatch::Rows { rows: range, batch, .. } = batches.microbatch(step, part) else {
            return size;
        };
        for row in batch[range].iter().map(|index| &rows[*index]) {
            let lengths: Vec<usize> =
                row.answers().iter().map(|answer| answer.tokens.len()).collect();
            size.add(row.prompt.len(), &lengths, share_prompts);
        }
        size
    });
    sizes.max_by(|one, other| one.tokens.total_cmp(&other.tokens)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tuning::TokenPreference;

    #[test]
    fn the_whole_tape_is_kept_where_it_fits_or_nothing_is_known() {
        let config = ModelConfig::default();
        let memory = TrainingMemory {
            config: &config,
            on_cpu: true,
            format: NumberFormat::Float32,
            adapter: Some(1000),
            other_models: 0,
            accumulates: false,
            logits_bytes: 1 << 28,
            reference_tokens: 0.0,
        };
        let mut pass = PassSize::default();
        pass.add(100, &[100, 100], true);
        let need = memory.need(pass, GradientCheckpointing::Off);
        let more = (need.total() - need.weights) as u64;
        let with = |free| fitting(&memory, pass, DeviceMemory { total: None, free });
        assert_eq!(with(None), GradientCheckpointing::Off);
        assert_eq!(with(Some(2 * more)), GradientCheckpointing::Off);
        assert_eq!(with(Some(more)), GradientCheckpointing::PerBlock);
    }

    #[test]
    fn the_largest_pass_is_that_of_the_longest_microbatch() {
        let row = |length: usize| {
            let answers = [vec![1; length], vec![2; 1]].map(Into::into);
            TokenRow::new(vec![0; 10], TokenPreference::Pair(answers))
        };
        let rows = [row(1), row(2), row(30), row(4)];
        let batches = RowBatches::new(&[0, 1, 2, 3], 1.0, 4, 2, None);
        let found = largest_pass(&rows, &batches, true);
        assert_eq!((found.tokens, found.scored), (56.0, 36.0));
    }
}
