//! Warnings and notes of stages about their models.

use std::path::Path;

use crate::{
    context::{Context, StageError},
    model::{Adapter, Encoder, Transformer, generation_settings},
};

/// Warns of peculiarities of a model directory and its tokenizer.
///
/// # Errors
/// If the directory cannot be read.
pub fn warn_of_model(
    context: &Context,
    folder: &Path,
    encoder: &Encoder,
) -> Result<(), StageError> {
    let remarks = Transformer::remarks(folder).map_err(StageError::doing("read the model"))?;
    remarks.iter().chain(encoder.remarks()).for_each(|remark| context.warn(remark));
    Ok(())
}

/// Warns of peculiarities of an optional adapter on its model.
///
/// # Errors
/// If the adapter cannot be read.
pub fn warn_of_adapter(context: &Context, input: &str, base: &Path) -> Result<(), StageError> {
    let Some(adapter) = context.inputs(input).next() else { return Ok(()) };
    let remarks =
        Adapter::remarks(&adapter.path, base).map_err(StageError::doing("read the adapter"))?;
    remarks.iter().for_each(|remark| context.warn(remark));
    Ok(())
}

/// Notes settings of a generation config that are not applied.
///
/// # Errors
/// If a setting would change the sampled tokens and is not supported.
pub fn warn_of_generation(context: &Context, folder: &Path) -> Result<(), StageError> {
    let note = generation_settings(folder).map_err(StageError::doing("sample responses"))?;
    note.into_iter().for_each(|note| context.note(note));
    Ok(())
}
