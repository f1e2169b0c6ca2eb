//! The kind `tune`: a model and preference data become a tuned model, or an adapter of it.

use std::{collections::BTreeMap, fs, path::Path, sync::Arc, time::Duration};

use serde::Deserialize;
use serde_json::Value;

use super::{
    Context, StageError,
    artifact::{ADAPTER, METRICS, MODEL, PAIRS, REFERENCE},
    optimisation::{self, OptimisationParameters},
    preference_rows::{Reading, token_rows},
};
use crate::{
    language::json_lines,
    model::{
        Adapter, AdapterConfig, Encoder, LARGEST_FILE, Place, Targets, Transformer, copy_companions,
        or_say_what_to_lower,
    },
    recipe::schema::{Default, Input, Kind, Mismatch as Misfit, Parameter, Shape},
    tuning::{
        ALGORITHMS, Batches, Divergence, Mismatch, Modifiers, NllMean, Objective, ObjectiveError, Preference,
        Reference, RowBatches, Savings, Setting, Tape, Task, TokenRow, Training, reference,
    },
};

const COUNT: Shape = Shape::Integer { least: 1, most: 1 << 20 };
const POSITIVE: Shape = Shape::Number { least: 0.0, most: 1e6, open: true };
const AT_LEAST_0: Shape = Shape::Number { least: 0.0, most: 1e6, open: false };

/// The names of all algorithms.
const NAMES: [&str; ALGORITHMS.len()] = {
    let mut names = [""; ALGORITHMS.len()];
    let mut index = 0;
    while index < names.len() {
        names[index] = ALGORITHMS[index].name;
        index += 1;
    }
    names
};

/// The longest prompt with answer.
pub(super) const MAX_LENGTH: Parameter = Parameter::new(
    "max_length",
    COUNT,
    Default::Integer(1024),
    "The longest prompt with answer, in tokens; longer ones lose the beginning of the prompt first.",
);

const fn setting(setting: Setting, shape: Shape, about: &'static str) -> Parameter {
    Parameter::new(setting.name(), shape, Default::Absent, about)
}

/// What the engine knows of it.
pub(super) const KIND: Kind = Kind {
    name: "tune",
    // 1: the first. 2: all algorithms; prompts that both answers share are computed once, and too long ones cut.
    version: 2,
    about: "Tunes a model on preferences, against its frozen start.",
    inputs: &[
        Input::one("model", &MODEL, "The start, which is also the reference."),
        Input::one("pairs", &PAIRS, "Preference pairs, or single answers with labels."),
        Input::optional("adapter", &ADAPTER, "A LoRA adapter to go on from; the start is the model with it."),
        Input::optional("reference", &REFERENCE, "What the start thinks of the pairs; else it is computed first."),
    ],
    parameters: &[
        Parameter::new("algorithm", Shape::Choice(&NAMES), Default::Text("dpo"), "The preference loss."),
        Parameter::new(
            "plus",
            Shape::Table(&AT_LEAST_0),
            Default::Absent,
            "Algorithms whose losses are added, with their weights, e.g. { sft = 0.5 }.",
        ),
        setting(Setting::Beta, POSITIVE, "How strongly the model is held to its start."),
        setting(
            Setting::LabelSmoothing,
            Shape::Number { least: 0.0, most: 0.5, open: false },
            "The probability that a label is wrong.",
        ),
        setting(Setting::Average, Shape::Flag, "For ipo: log-ratios per token (true, as TRL) or per answer."),
        setting(Setting::Gamma, AT_LEAST_0, "For simpo and alphapo: the margin to reach."),
        setting(Setting::GammaOverBeta, AT_LEAST_0, "The same margin as a share of beta (SimPO's own code)."),
        setting(Setting::Alpha, AT_LEAST_0, "For alphapo: the exponent of its reward."),
        setting(Setting::Temperature, POSITIVE, "For discopop: how sharply it changes over."),
        setting(Setting::Delta, AT_LEAST_0, "For slic: the margin at which it is content."),
        setting(Setting::Lambda, AT_LEAST_0, "For slic: the weight of the chosen answer's log-likelihood."),
        setting(Setting::DesirableWeight, AT_LEAST_0, "For kto: the weight of desirable answers."),
        setting(Setting::UndesirableWeight, AT_LEAST_0, "For kto: the weight of undesirable answers."),
        setting(
            Setting::RunningShift,
            Shape::Flag,
            "For bco: compare rewards with their running mean (false: as TRL).",
        ),
        setting(
            Setting::FactMargin,
            AT_LEAST_0,
            "For fact_dpo: the margin to reach where only the rejected answer errs.",
        ),
        setting(
            Setting::NllWeight,
            AT_LEAST_0,
            "Weight of the chosen answer's negative log-likelihood per token (RPO).",
        ),
        Parameter::new(
            "nll_mean",
            Shape::Choice(&["answers", "tokens", "texts"]),
            Default::Text("answers"),
            "Mean likelihood over answers, over all their tokens (TRL's sft, cpo), or prompts' too (TRL's orpo).",
        ),
        Parameter::new(
            "divergence",
            Shape::Choice(&["reverse_kl", "forward_kl", "jensen_shannon", "alpha"]),
            Default::Absent,
            "The f-divergence that holds the model to its start; reverse_kl where nothing is said.",
        ),
        Parameter::new("divergence_alpha", POSITIVE, Default::Absent, "For the alpha divergence; 0.5 by default."),
        Parameter::new(
            "weighting",
            Shape::Flag,
            Default::Flag(false),
            "Rows count more the likelier their answers are by now (WPO).",
        ),
        Parameter::new(
            "facts_only",
            Shape::Flag,
            Default::Flag(false),
            "Only right facts of chosen and wrong facts of rejected answers count in the preference (Mask-DPO).",
        ),
        Parameter::new(
            "beyond_shared_length",
            Shape::Number { least: 0.0, most: 1.0, open: false },
            Default::Number(1.0),
            "What tokens beyond the length of the shorter answer count (LD-DPO).",
        ),
        Parameter::new(
            "mismatch",
            Shape::Choice(&["fixed", "batch"]),
            Default::Text("fixed"),
            "For kto: the reference point is over answers of the next row with another prompt, or of the batch (TRL).",
        ),
        Parameter::new("epochs", POSITIVE, Default::Number(1.0), "Passes over the rows; a part of a pass is right."),
        Parameter::new("shuffle", Shape::Flag, Default::Flag(true), "Whether each pass has an order of its own."),
        Parameter::new("batch", COUNT, Default::Integer(32), "Rows of one optimizer step."),
        Parameter::new("accumulation", COUNT, Default::Integer(1), "Parts in which a batch goes through the model."),
        MAX_LENGTH,
        Parameter::new(
            "freeze",
            Shape::List(&Shape::Text),
            Default::Texts(&[]),
            "Parts of parameter names that stay as they are, e.g. [\"embedding\"].",
        ),
        Parameter::new(
            "lora_rank",
            COUNT,
            Default::Absent,
            "Learn a LoRA adapter of this rank instead of all weights.",
        ),
        Parameter::new(
            "lora_alpha",
            POSITIVE,
            Default::Absent,
            "What updates are multiplied by, times the rank; 2 ranks.",
        ),
        Parameter::new(
            "lora_targets",
            Shape::List(&Shape::Text),
            Default::Texts(&["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]),
            "The layers that have updates, by the ends of their names.",
        ),
        Parameter::new(
            "rslora",
            Shape::Flag,
            Default::Flag(false),
            "Alpha is divided by the rank's root instead of the rank.",
        ),
        Parameter::new(
            "merge",
            Shape::Flag,
            Default::Flag(true),
            "Whether a tuned adapter is also merged into a model of its own; false leaves the adapter alone.",
        ),
        Parameter::new(
            "share_prompts",
            Shape::Flag,
            Default::Flag(true),
            "The prompt that two answers share is computed once.",
        ),
        Parameter::new(
            "sort_by_length",
            Shape::Flag,
            Default::Flag(true),
            "Attention lays out sequences of similar length together.",
        ),
        Parameter::new(
            "logits_at_once",
            COUNT,
            Default::Integer(4096),
            "Tokens whose logits over the vocabulary are in memory at once.",
        ),
        Parameter::new(
            "tape",
            Shape::Choice(&["whole", "blocks"]),
            Default::Text("whole"),
            "What is kept for the backward pass: everything, or the states before each block (gradient checkpointing).",
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
    provides: &[&MODEL, &ADAPTER, &METRICS],
    draws: true,
    gathers: false,
    on_device: true,
    fits: Some(fits),
};

#[derive(Debug, Deserialize)]
struct Parameters {
    weighting: bool,
    facts_only: bool,
    beyond_shared_length: f64,
    nll_mean: NllMean,
    mismatch: Mismatch,
    epochs: f64,
    shuffle: bool,
    batch: usize,
    accumulation: usize,
    max_length: usize,
    freeze: Vec<String>,
    lora_rank: Option<usize>,
    lora_alpha: Option<f64>,
    lora_targets: Vec<String>,
    rslora: bool,
    merge: bool,
    share_prompts: bool,
    sort_by_length: bool,
    logits_at_once: usize,
    tape: Tape,
}

/// The objective that parameters state; each algorithm has parameters of its own.
fn objective(parameters: &BTreeMap<String, Value>) -> Result<Objective, ObjectiveError> {
    let name = parameters.get("algorithm").and_then(Value::as_str).unwrap_or("dpo");
    let mut sum = vec![(name, 1.0)];
    let plus = parameters.get("plus").and_then(Value::as_object).into_iter().flatten();
    sum.extend(plus.map(|(name, weight)| (name.as_str(), weight.as_f64().unwrap_or(0.0))));
    let number = |value: &Value| value.as_f64().or_else(|| value.as_bool().map(|flag| f64::from(u8::from(flag))));
    let given = |setting: &Setting| Some((*setting, number(parameters.get(setting.name())?)?));
    let given: Vec<(Setting, f64)> = Setting::ALL.iter().filter_map(given).collect();
    let alpha = parameters.get("divergence_alpha").and_then(Value::as_f64).unwrap_or(0.5);
    let divergence = parameters.get("divergence").and_then(Value::as_str).map(|name| match name {
        "forward_kl" => Divergence::ForwardKl,
        "jensen_shannon" => Divergence::JensenShannon,
        "alpha" => Divergence::Alpha(alpha),
        _ => Divergence::ReverseKl,
    });
    Objective::new(&sum, &given, divergence)
}

fn fits(parameters: &BTreeMap<String, Value>) -> Vec<Misfit> {
    let mut found = Vec::new();
    if let Err(error) = objective(parameters) {
        let right = "only what the algorithm has is expected";
        found.push(Misfit { field: error.setting(), problem: error.to_string(), right });
    }
    let is_alpha = parameters.get("divergence").and_then(Value::as_str) == Some("alpha");
    if parameters.contains_key("divergence_alpha") && !is_alpha {
        let problem = "`divergence_alpha` is only of use to the alpha divergence".to_owned();
        found.push(Misfit {
            field: "divergence_alpha",
            problem,
            right: "set `divergence = \"alpha\"`, or leave it out",
        });
    }
    if parameters.contains_key("lora_alpha") && !parameters.contains_key("lora_rank") {
        let problem = "`lora_alpha` is of no use without `lora_rank`".to_owned();
        found.push(Misfit { field: "lora_alpha", problem, right: "set `lora_rank`, or leave it out" });
    }
    found
}

/// Carries out one attempt.
///
/// # Errors
/// Where model or rows cannot be read, parameters do not fit the data, or training stops.
pub(super) fn run(context: &Context) -> Result<(), StageError> {
    let parameters: Parameters = context.parameters()?;
    let optimisation: OptimisationParameters = context.parameters()?;
    let objective = objective(&context.parameters()?).map_err(|error| StageError(error.to_string()))?;
    context.note(described(&objective));
    let folder = context.input("model")?;
    let place = Place::named(&context.device, "float32").map_err(|error| StageError(error.to_string()))?;
    let mut model = Transformer::load(folder, &place).map_err(StageError::doing("read the model"))?;
    let adapter = adapter(context, &parameters, &mut model)?;
    let encoder = Encoder::load(folder, &model.config).map_err(StageError::doing("read the tokenizer"))?;
    let reading = Reading {
        max_length: parameters.max_length,
        single_answers: objective.takes_single_answers(),
        facts_only: parameters.facts_only,
    };
    let rows = token_rows(context, &encoder, reading)?;
    let shuffle = context.seed.split("pairs");
    let shuffle = parameters.shuffle.then_some(&shuffle);
    let batches = RowBatches::new(rows.len(), parameters.epochs, parameters.batch, parameters.accumulation, shuffle);
    let preference = preference(context, &parameters, objective, rows, &model, &batches)?;
    let training = Training {
        task: Task::Preference(Box::new(preference)),
        model,
        optimisation: optimisation.optimisation(batches.steps()),
        batches: Arc::new(batches),
        frozen: parameters.freeze,
        savings: Savings {
            share_prompts: parameters.share_prompts,
            sort_by_length: parameters.sort_by_length,
            logits_at_once: parameters.logits_at_once,
        },
        tape: parameters.tape,
        folder: context.checkpoint.clone(),
        stretch: Duration::from_secs_f64(optimisation.checkpoint_seconds),
    };
    let (model, metrics) = optimisation::carry_out(context, training)?;
    write(context, folder, model, adapter, parameters.merge)?;
    optimisation::keep_metrics(context, &metrics)
}

/// The tuned model, and the adapter where there is one.
fn write(
    context: &Context,
    folder: &Path,
    model: Transformer,
    adapter: Option<Adapter>,
    merge: bool,
) -> Result<(), StageError> {
    if let Some(adapter) = &adapter {
        let inside = context.output("adapter");
        fs::create_dir_all(&inside).map_err(StageError::doing("write the adapter"))?;
        adapter.save(&model, &inside).map_err(StageError::doing("write the adapter"))?;
    }
    if adapter.is_none() || merge {
        model.merge().save(&context.output, LARGEST_FILE).map_err(StageError::doing("write the model"))?;
        copy_companions(folder, &context.output).map_err(StageError::doing("write the tokenizer"))?;
    }
    Ok(())
}

/// The adapter that is learnt: the one to go on from, or a fresh one where a rank is given.
fn adapter(context: &Context, parameters: &Parameters, model: &mut Transformer) -> Result<Option<Adapter>, StageError> {
    if let Ok(folder) = context.input("adapter") {
        if parameters.lora_rank.is_some() {
            let problem = "`adapter` is gone on from with the rank that it has; leave `lora_rank` out";
            return Err(StageError(problem.to_owned()));
        }
        return Ok(Some(Adapter::load(folder, model).map_err(StageError::doing("read the adapter"))?));
    }
    let Some(rank) = parameters.lora_rank else { return Ok(None) };
    let config = AdapterConfig {
        base_model_name_or_path: String::new(),
        r: rank,
        lora_alpha: parameters.lora_alpha.unwrap_or(2.0 * rank as f64),
        lora_dropout: 0.0,
        target_modules: Targets::Names(parameters.lora_targets.clone()),
        rank_pattern: std::default::Default::default(),
        alpha_pattern: std::default::Default::default(),
        use_rslora: parameters.rslora,
        layers_to_transform: None,
    };
    let begun = Adapter::begin(config, model, &context.seed.split("adapter"));
    begun.map(Some).map_err(StageError::doing("begin the adapter"))
}

/// Rows with what the start thinks of them.
fn preference(
    context: &Context,
    parameters: &Parameters,
    objective: Objective,
    rows: Vec<TokenRow>,
    model: &Transformer,
    batches: &RowBatches,
) -> Result<Preference, StageError> {
    let found = match context.input_file("reference", "reference.jsonl") {
        Ok(path) => Some(json_lines::read(&path).map_err(|error| StageError(error.to_string()))?),
        Err(_) if objective.needs_reference() => {
            let count = rows.len() as u64;
            let score = || {
                let progress = |done| context.progress(done as u64, count, "reference rows");
                reference(model, &rows, REFERENCE_TOKENS, Savings::default(), progress)
            };
            Some(guarded(context, score)?)
        }
        Err(_) => None,
    };
    let known = found.map(|found| Reference::of_rows(found, &rows)).transpose();
    let Parameters { weighting, beyond_shared_length, nll_mean, mismatch, .. } = *parameters;
    let mut preference = Preference {
        objective,
        modifiers: Modifiers { weighting, beyond_shared_length, nll_mean },
        rows,
        reference: known.map_err(StageError::doing("use the reference"))?.unwrap_or_default(),
        mismatch,
    };
    if preference.objective.needs_reference_point() {
        guarded(context, || {
            preference.look_at_mismatches(model, batches.order(), REFERENCE_TOKENS, Savings::default(), |_| ());
        })?;
    }
    Ok(preference)
}

/// Tokens that are scored at once before training.
const REFERENCE_TOKENS: usize = 8192;

fn guarded<T>(context: &Context, work: impl FnOnce() -> T) -> Result<T, StageError> {
    let device = crate::model::device(&context.device).map_err(|error| StageError(error.to_string()))?;
    or_say_what_to_lower(&device, "score the rows", "`max_length`", work).map_err(StageError)
}

/// The objective with all its settings, for whoever reads of the run later.
fn described(objective: &Objective) -> String {
    let settings = Setting::ALL.iter().filter_map(|setting| {
        let value = objective.setting(*setting)?;
        Some(if setting.is_flag() {
            format!("{} {}", setting.name(), value > 0.0)
        } else {
            format!("{} {value}", setting.name())
        })
    });
    format!("{}: {}", objective.names().join(" + "), settings.collect::<Vec<_>>().join(", "))
}
