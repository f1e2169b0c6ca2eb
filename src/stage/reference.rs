//! The kind `reference`: what a model thinks of preference data before it is tuned on them, for all arms of a sweep.

use serde::Deserialize;

use super::{
    Context, StageError,
    artifact::{ADAPTER, MODEL, PAIRS, REFERENCE},
    model_remarks::{warn_of_adapter, warn_of_model},
    preference_rows::{Reading, token_rows},
    tune_parameters::{MAX_LENGTH, PRECISION, TRUNCATION},
};
use crate::{
    language::json_lines,
    model::{Adapter, Encoder, Place, Transformer, device, or_say_what_to_lower},
    recipe::schema::{Default, Input, Kind, Parameter, Shape},
    tuning::{Savings, Truncation, reference},
};

/// What the engine knows of it.
pub(super) const KIND: Kind = Kind {
    name: "reference",
    // 1: the first. 2: a cut prompt keeps its beginning.
    version: 2,
    about: "Scores preference data with the model before tuning, once for all arms of a sweep.",
    inputs: &[
        Input::one("model", &MODEL, "The start of the tuning."),
        Input::one("pairs", &PAIRS, "The preference data that it will be tuned on."),
        Input::optional("adapter", &ADAPTER, "A LoRA adapter that the tuning starts from."),
    ],
    parameters: &[
        MAX_LENGTH,
        TRUNCATION,
        PRECISION,
        Parameter::new(
            "batch_tokens",
            Shape::Integer { least: 1, most: 1 << 30 },
            Default::Integer(8192),
            "Tokens that go through the model at once; changes speed, memory, and the last digits.",
        ),
    ],
    provides: &[&REFERENCE],
    draws: false,
    gathers: false,
    on_device: true,
    fits: None,
    lacks: None,
    suits: None,
};

#[derive(Deserialize)]
struct Parameters {
    max_length: usize,
    truncation: Truncation,
    precision: String,
    batch_tokens: usize,
}

/// Carries out one attempt.
///
/// # Errors
/// Where model or rows cannot be read, or memory does not suffice.
pub(super) fn run(context: &Context) -> Result<(), StageError> {
    let Parameters { max_length, truncation, batch_tokens, precision } = context.parameters()?;
    let folder = context.input("model")?;
    let place = Place::named(&context.device, &precision).map_err(|error| StageError(error.to_string()))?;
    let mut model = Transformer::load(folder, &place).map_err(StageError::doing("read the model"))?;
    if let Ok(adapter) = context.input("adapter") {
        Adapter::load(adapter, &mut model).map_err(StageError::doing("read the adapter"))?;
    }
    let encoder = Encoder::load(folder, &model.config).map_err(StageError::doing("read the tokenizer"))?;
    warn_of_model(context, folder, &encoder)?;
    warn_of_adapter(context, "adapter", folder)?;
    let reading = Reading { max_length, truncation, single_answers: true, facts: false, errors: false };
    let rows = token_rows(context, &encoder, &model.config, reading)?;
    let count = rows.len() as u64;
    let score = || {
        reference(&model, &rows, batch_tokens, Savings::default(), |done| context.progress(done as u64, count, "rows"))
    };
    let device = device(&context.device).map_err(|error| StageError(error.to_string()))?;
    let scored = or_say_what_to_lower(&device, "score the rows", "`batch_tokens`", score).map_err(StageError)?;
    json_lines::write(&context.output("reference.jsonl"), &scored).map_err(StageError::doing("write the rows"))
}
