//! The kind `tune`: a model and preference pairs become a tuned model.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use serde::Deserialize;
use serde_json::Value;

use super::{
    Context, StageError,
    artifact::{METRICS, MODEL, PAIRS},
    optimisation::{self, OptimisationParameters},
};
use crate::{
    language::{Pair, json_lines},
    model::{EncodeError, EncodedPair, Encoder, LARGEST_FILE, Place, Transformer, copy_companions},
    recipe::schema::{Default, Input, Kind, Mismatch, Parameter, Shape},
    tuning::{Algorithm, Batches, Objective, ObjectiveError, PairBatches, Preference, Task, TokenPair, Training},
};

const COUNT: Shape = Shape::Integer { least: 1, most: 1 << 20 };

/// What the engine knows of it.
pub(super) const KIND: Kind = Kind {
    name: "tune",
    // 1: the first.
    version: 1,
    about: "Tunes a model on preference pairs, against its frozen start.",
    inputs: &[
        Input::one("model", &MODEL, "The start, which is also the reference."),
        Input::one("pairs", &PAIRS, "Preference pairs."),
    ],
    parameters: &[
        Parameter::new(
            "algorithm",
            Shape::Choice(&["dpo", "ipo", "hinge", "sft"]),
            Default::Text("dpo"),
            "The preference loss; `sft` has none and only learns the chosen answers.",
        ),
        Parameter::new(
            "beta",
            Shape::Number { least: 0.0, most: 1e6, open: true },
            Default::Number(0.1),
            "How strongly the model is held to its start.",
        ),
        Parameter::new(
            "average",
            Shape::Flag,
            Default::Absent,
            "For ipo: log-ratios per token (true, as TRL) or per answer.",
        ),
        Parameter::new(
            "label_smoothing",
            Shape::Number { least: 0.0, most: 0.5, open: false },
            Default::Absent,
            "For dpo: the probability that a label is wrong (conservative DPO).",
        ),
        Parameter::new(
            "nll_weight",
            Shape::Number { least: 0.0, most: 1e6, open: false },
            Default::Number(0.0),
            "Weight of the chosen answer's negative log-likelihood per token (RPO).",
        ),
        Parameter::new(
            "epochs",
            Shape::Number { least: 0.0, most: 1e6, open: true },
            Default::Number(1.0),
            "Passes over the pairs; a part of a pass is right.",
        ),
        Parameter::new("batch", COUNT, Default::Integer(32), "Pairs of one optimizer step."),
        Parameter::new("accumulation", COUNT, Default::Integer(1), "Parts in which a batch goes through the model."),
        Parameter::new("max_length", COUNT, Default::Integer(1024), "The longest prompt with answer, in tokens."),
        Parameter::new(
            "freeze",
            Shape::List(&Shape::Text),
            Default::Texts(&[]),
            "Parts of parameter names that stay as they are, e.g. [\"embedding\"].",
        ),
        optimisation::learning_rate(1e-6),
        optimisation::warmup(0),
        optimisation::decay("linear"),
        optimisation::floor(0.0),
        optimisation::weight_decay(0.0),
        optimisation::beta1(0.9),
        optimisation::beta2(0.999),
        optimisation::EPSILON,
        optimisation::CLIP,
        optimisation::CHECKPOINT_SECONDS,
    ],
    provides: &[&MODEL, &METRICS],
    draws: true,
    gathers: false,
    on_device: true,
    fits: Some(fits),
};

#[derive(Debug, Deserialize)]
struct Parameters {
    algorithm: Algorithm,
    beta: f64,
    average: Option<bool>,
    label_smoothing: Option<f64>,
    nll_weight: f64,
    epochs: f64,
    batch: usize,
    accumulation: usize,
    max_length: usize,
    freeze: Vec<String>,
}

/// Every algorithm has parameters of its own.
fn fits(parameters: &BTreeMap<String, Value>) -> Vec<Mismatch> {
    let algorithm = parameters.get("algorithm").and_then(|name| serde_json::from_value(name.clone()).ok());
    let average = parameters.get("average").and_then(Value::as_bool);
    let label_smoothing = parameters.get("label_smoothing").and_then(Value::as_f64);
    let objective = algorithm.map(|algorithm| Objective::new(algorithm, 1.0, average, label_smoothing));
    let Some(Err(error)) = objective else { return Vec::new() };
    let ObjectiveError::Foreign { parameter, .. } = error;
    vec![Mismatch {
        field: parameter,
        problem: error.to_string(),
        right: "only the algorithm's own parameters are expected",
    }]
}

/// Carries out one attempt.
///
/// # Errors
/// Where model or pairs cannot be read, a parameter belongs to another algorithm, or training stops.
pub(super) fn run(context: &Context) -> Result<(), StageError> {
    let parameters: Parameters = context.parameters()?;
    let optimisation: OptimisationParameters = context.parameters()?;
    let Parameters { algorithm, beta, average, label_smoothing, .. } = parameters;
    let objective = Objective::new(algorithm, beta, average, label_smoothing);
    let objective = objective.map_err(|error| StageError(error.to_string()))?;
    // Without a preference term the likelihood is all there is to learn.
    let nll_weight = match algorithm {
        Algorithm::Sft if parameters.nll_weight == 0.0 => 1.0,
        _ => parameters.nll_weight,
    };
    let folder = context.input("model")?;
    let place = Place::named(&context.device, "float32").map_err(|error| StageError(error.to_string()))?;
    let model = Transformer::load(folder, &place).map_err(StageError::doing("read the model"))?;
    let encoder = Encoder::load(folder, &model.config).map_err(StageError::doing("read the tokenizer"))?;
    let pairs = token_pairs(context, &encoder, &parameters)?;
    let batches = PairBatches::new(
        pairs,
        parameters.epochs,
        parameters.batch,
        parameters.accumulation,
        &context.seed.split("pairs"),
    );
    let training = Training {
        task: Task::Preference(Box::new(Preference { objective, nll_weight, reference: model.clone() })),
        model,
        optimisation: optimisation.optimisation(batches.steps()),
        batches: Arc::new(batches),
        frozen: parameters.freeze,
        folder: context.checkpoint.clone(),
        stretch: Duration::from_secs_f64(optimisation.checkpoint_seconds),
    };
    let (model, metrics) = optimisation::carry_out(context, training)?;
    model.save(&context.output, LARGEST_FILE).map_err(StageError::doing("write the model"))?;
    copy_companions(folder, &context.output).map_err(StageError::doing("write the tokenizer"))?;
    optimisation::keep_metrics(context, &metrics)
}

/// The pairs in tokens, each answer with its end; those that do not fit are left out and counted aloud.
fn token_pairs(context: &Context, encoder: &Encoder, parameters: &Parameters) -> Result<Vec<TokenPair>, StageError> {
    let path = context.input_file("pairs", "pairs.jsonl")?;
    let rows: Vec<Pair> = json_lines::read(&path).map_err(|error| StageError(error.to_string()))?;
    let encoded: Result<Vec<_>, EncodeError> =
        rows.iter().map(|row| encoder.pair(&row.prompt, &row.chosen, &row.rejected)).collect();
    let encoded = encoded.map_err(StageError::doing("encode a pair"))?;
    let moved = encoded.iter().filter(|pair| pair.moved > 0).count();
    if moved > 0 {
        let reason = "tokens reach over the end of the prompt, or the chat template writes it differently";
        context.warn(format!("in {moved} of {} pairs {reason}: the answer begins where they differ", rows.len()));
    }
    let pair = |pair: EncodedPair| TokenPair { prompt: pair.prompt, chosen: pair.chosen, rejected: pair.rejected };
    let mut pairs: Vec<TokenPair> = encoded.into_iter().map(pair).collect();
    pairs.retain(|pair| pair.prompt.len() + pair.chosen.len().max(pair.rejected.len()) <= parameters.max_length + 1);
    let tokens: usize = pairs.iter().map(|pair| 2 * pair.prompt.len() + pair.chosen.len() + pair.rejected.len()).sum();
    let left_out = rows.len() - pairs.len();
    if left_out > 0 {
        let text =
            format!("{left_out} of {} pairs are longer than {} tokens and left out", rows.len(), parameters.max_length);
        context.warn(text);
    }
    context.note(format!("{} pairs of {tokens} tokens", pairs.len()));
    Ok(pairs)
}
