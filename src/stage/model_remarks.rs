//! What stages say of the models that they read.

use std::path::Path;

use super::{Context, StageError};
use crate::model::{Adapter, Encoder, Transformer, generation_settings};

/// Says what a person should know of a model directory and its tokenizer.
///
/// # Errors
/// Where the directory cannot be read.
pub(super) fn warn_of_model(context: &Context, folder: &Path, encoder: &Encoder) -> Result<(), StageError> {
    let remarks = Transformer::remarks(folder).map_err(StageError::doing("read the model"))?;
    remarks.iter().chain(encoder.remarks()).for_each(|remark| context.warn(remark));
    Ok(())
}

/// Says what a person should know of the adapter of this input, where it is given, when it is put on a model.
///
/// # Errors
/// Where the adapter cannot be read.
pub(super) fn warn_of_adapter(context: &Context, input: &str, base: &Path) -> Result<(), StageError> {
    let Some(adapter) = context.inputs(input).next() else { return Ok(()) };
    let remarks = Adapter::remarks(&adapter.path, base).map_err(StageError::doing("read the adapter"))?;
    remarks.iter().for_each(|remark| context.warn(remark));
    Ok(())
}

/// Says which settings of a directory's generation config do not hold.
///
/// # Errors
/// Where one of them would change which tokens are drawn and has no counterpart here.
pub(super) fn warn_of_generation(context: &Context, folder: &Path) -> Result<(), StageError> {
    let note = generation_settings(folder).map_err(StageError::doing("draw answers"))?;
    note.into_iter().for_each(|note| context.note(note));
    Ok(())
}
