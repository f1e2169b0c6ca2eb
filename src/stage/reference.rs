//! The kind `reference`: reference log-probabilities of preference data, shared by the arms of a
//! sweep.

use serde::Deserialize;

use crate::{
    context::{
        Context, StageError,
        artifact::{ADAPTER, MODEL, PAIRS, REFERENCE},
    },
    model::{device, with_oom_hint},
    recipe::schema::{Declared, Input, Kind, Sharing},
    rows::json_lines,
    stage_support::{
        encoding::EncodingParameters,
        loaded_model::LoadedModel,
        optimisation,
        preference_rows::{Needs, RowOptions, token_rows},
    },
    tuning::{ComputeOptions, SharedModel, reference},
};

/// The kind.
pub(super) const KIND: Kind = Kind {
    name: "reference",
    // 1: first version. 2: a cut prompt keeps its beginning.
    version: 2,
    about: "Compute reference log-probabilities of preference data, once for all arms of a sweep.",
    inputs: &[
        Input::one("model", &MODEL, "Reference model: the model before tuning."),
        Input::one("pairs", &PAIRS, "Preference data of the tuning."),
        Input::optional("adapter", &ADAPTER, "LoRA adapter of the reference model."),
    ],
    parameters: Parameters::PARAMETERS,
    provides: &[&REFERENCE],
    seeded: false,
    fan_in: false,
    on_device: Some(Sharing::ByRows),
    cross_checks: None,
    lacks: None,
    cell_checks: None,
    redundant: None,
};

#[derive(Debug, Deserialize, apeft_derive::Parameters)]
pub(crate) struct Parameters {
    #[serde(flatten)]
    pub encoding: EncodingParameters,
    /// Tokens per forward pass; affects speed, memory and the last digits.
    #[parameter(default = 8192, min = 1, max = 1 << 30)]
    pub batch_tokens: usize,
}

/// Runs one attempt.
///
/// # Errors
/// If model or rows cannot be read, or memory does not suffice.
pub(super) fn run(context: &Context) -> Result<(), StageError> {
    let Parameters { encoding, batch_tokens } = context.parameters()?;
    let LoadedModel { model, encoder } =
        LoadedModel::load(context, ["model", "adapter"], &encoding.dtype)?;
    // Any row is scored: which algorithm will read it, and what it needs, is not known here.
    let reading = RowOptions {
        max_length: encoding.max_length,
        truncation: encoding.truncation_mode,
        needs: Needs::ANY,
    };
    let rows = token_rows(context, &encoder, &model.config, reading)?;
    let count = rows.len() as u64;
    let device = device(context.device.first()).map_err(|error| StageError(error.to_string()))?;
    let replicas = optimisation::replicas(context, &model)?;
    let model = SharedModel::new(&model, &replicas);
    let scored = with_oom_hint(&device, "score the rows", "`batch_tokens`", || {
        reference(model, &rows, batch_tokens, ComputeOptions::default(), |done| {
            context.progress(done as u64, count, "rows")
        })
    });
    let scored = scored.map_err(StageError)?;
    json_lines::write(&context.output("reference.jsonl"), &scored)
        .map_err(StageError::doing("write the rows"))
}
