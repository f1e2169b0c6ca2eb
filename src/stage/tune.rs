//! The kind `tune`: a model and preference data become a tuned model, or an adapter of it.

use std::{fs, path::Path, sync::Arc, time::Duration};

use super::{
    Context, StageError,
    label_balance::{check_labels, check_mismatches},
    model_remarks::{warn_of_adapter, warn_of_model},
    optimisation::{self, OptimisationParameters},
    preference_rows::{Reading, token_rows},
    tune_parameters::{Parameters, objective},
};
use crate::{
    diagnostic::{known, nearest},
    language::json_lines,
    model::{
        Adapter, AdapterConfig, Encoder, LARGEST_FILE, Place, Targets, Transformer, copy_companions,
        or_say_what_to_lower,
    },
    tuning::{
        Batches, Frozen, HeldOut, Modifiers, MovingReference, Objective, Preference, Reference, ReferenceRow,
        RowBatches, Savings, Setting, Task, TokenRow, Training, reference,
    },
};

pub(super) use super::tune_parameters::KIND;

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
    let is_adapter = parameters.lora_rank.is_some() || context.input("adapter").is_ok();
    let place = |format: &str| Place::named(&context.device, format).map_err(|error| StageError(error.to_string()));
    let states = place(&parameters.precision)?;
    // Beside an adapter the model is frozen, and need not have more digits than states have.
    let weights = if is_adapter { states.clone() } else { place("float32")? };
    let mut model = Transformer::load(folder, &weights).map_err(StageError::doing("read the model"))?;
    model.computes_in = states.format;
    let adapter = adapter(context, &parameters, &mut model)?;
    let frozen = Frozen::named(&parameters.freeze, &model).map_err(|error| StageError(error.to_string()))?;
    let encoder = Encoder::load(folder, &model.config).map_err(StageError::doing("read the tokenizer"))?;
    warn_of_model(context, folder, &encoder)?;
    warn_of_adapter(context, "adapter", folder)?;
    let reading = Reading {
        max_length: parameters.max_length,
        truncation: parameters.truncation,
        single_answers: objective.takes_single_answers(),
        facts: parameters.facts_only || objective.looks_at_facts(),
        errors: objective.setting(Setting::FactMargin).is_some(),
    };
    let rows = token_rows(context, &encoder, &model.config, reading)?;
    check_errors(context, reading, &rows);
    let shuffle = context.seed.split("pairs");
    let shuffle = parameters.shuffle.then_some(&shuffle);
    let (learnt, held_out) = held_out(context, &parameters, &rows)?;
    check_labels(context, &objective, &rows, &learnt)?;
    let Parameters { epochs, batch, accumulation, .. } = parameters;
    let batches = RowBatches::new(&learnt, epochs, batch, accumulation, shuffle);
    check_steps(context, &parameters, learnt.len(), batches.steps(), held_out.is_some())?;
    let preference = preference(context, &parameters, objective, rows, held_out, &model, &batches)?;
    let training = Training {
        task: Task::Preference(Box::new(preference)),
        model,
        optimisation: optimisation.optimisation(batches.steps()),
        batches: Arc::new(batches),
        frozen,
        savings: Savings {
            share_prompts: parameters.share_prompts,
            sort_by_length: parameters.sort_by_length,
            logits_at_once: parameters.logits_at_once,
        },
        tape: parameters.tape,
        dropout: (parameters.lora_dropout > 0.0).then(|| (parameters.lora_dropout, context.seed.split("dropout"))),
        folder: context.checkpoint.clone(),
        stretch: Duration::from_secs_f64(optimisation.checkpoint_seconds),
    };
    let (model, metrics) = optimisation::carry_out(context, training)?;
    write(context, folder, model, adapter, parameters.merge)?;
    optimisation::keep_metrics(context, &metrics)
}

/// Which rows are learnt from, and which are held out: all rows of a prompt together.
fn held_out(
    context: &Context,
    parameters: &Parameters,
    rows: &[TokenRow],
) -> Result<(Vec<usize>, Option<HeldOut>), StageError> {
    let all = (0..rows.len()).collect();
    let share = parameters.held_out;
    if share == 0.0 {
        return Ok((all, None));
    }
    let mut prompts: Vec<&[u32]> = rows.iter().map(|row| row.prompt.as_slice()).collect();
    prompts.sort_unstable();
    prompts.dedup();
    context.seed.split("held out").stream().shuffle(&mut prompts);
    let count = prompts.len();
    prompts.truncate((share * count as f64).round() as usize);
    if prompts.len() == count {
        let rows = rows.len();
        return Err(StageError(format!(
            "`held_out` {share} holds all {rows} rows out, which have {count} different prompts: nothing is left to learn \
             from; lower it, or bring more prompts"
        )));
    }
    if prompts.is_empty() {
        let reason = "so that neither the best model is kept nor `patience` counts";
        context.warn(format!("`held_out` {share} of {count} different prompts is none: no row is held out, {reason}"));
        return Ok((all, None));
    }
    prompts.sort_unstable();
    let is_held_out = |row: &usize| prompts.binary_search(&rows[*row].prompt.as_slice()).is_ok();
    let (held_out, learnt): (Vec<usize>, Vec<usize>) = all.into_iter().partition(is_held_out);
    context.note(format!("{} rows of {} prompts are held out", held_out.len(), prompts.len()));
    let held_out = HeldOut { rows: held_out, every: parameters.evaluate_every, patience: parameters.patience };
    Ok((learnt, Some(held_out)))
}

/// There must be steps, and held-out rows must be looked at.
fn check_steps(
    context: &Context,
    parameters: &Parameters,
    rows: usize,
    steps: usize,
    holds_out: bool,
) -> Result<(), StageError> {
    let Parameters { epochs, evaluate_every, .. } = parameters;
    if steps == 0 {
        return Err(StageError(format!(
            "`epochs` {epochs} of {rows} rows is less than half a row: there is no step to take; raise `epochs`"
        )));
    }
    if holds_out && *evaluate_every >= steps {
        context.warn(format!(
            "held-out rows are looked at every {evaluate_every} steps, but there are only {steps}: neither the best model is \
             kept nor `patience` counts; lower `evaluate_every`"
        ));
    }
    Ok(())
}

/// Says where no pair has an answer that errs beside one that does not.
fn check_errors(context: &Context, reading: Reading, rows: &[TokenRow]) {
    let differ = |row: &&TokenRow| matches!(row.answers(), [one, other] if one.is_wrong != other.is_wrong);
    if reading.errors && rows.iter().filter(differ).count() == 0 {
        let count = rows.len();
        context.warn(format!(
            "in none of {count} pairs exactly one answer errs: the fact margin changes nothing, and `fact_dpo` is `dpo`"
        ));
    }
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
    if parameters.lora_pattern.is_none() {
        check_targets(&parameters.lora_targets, &model.config.linear_layers())?;
    }
    let config = AdapterConfig {
        base_model_name_or_path: String::new(),
        r: rank,
        lora_alpha: parameters.lora_alpha.unwrap_or(2.0 * rank as f64),
        lora_dropout: parameters.lora_dropout,
        target_modules: match &parameters.lora_pattern {
            Some(pattern) => Targets::Pattern(pattern.clone()),
            None => Targets::Names(parameters.lora_targets.clone()),
        },
        rank_pattern: Default::default(),
        alpha_pattern: Default::default(),
        use_rslora: parameters.rslora,
        layers_to_transform: None,
    };
    let begun = Adapter::begin(config, model, &context.seed.split("adapter"));
    begun.map(Some).map_err(StageError::doing("begin the adapter"))
}

/// Each target must be the end of some layer's name.
fn check_targets(targets: &[String], layers: &[String]) -> Result<(), StageError> {
    let is_end = |target: &str, layer: &str| {
        layer.strip_suffix(target).is_some_and(|before| before.is_empty() || before.ends_with('.'))
    };
    let Some(wrong) = targets.iter().find(|target| !layers.iter().any(|layer| is_end(target, layer))) else {
        return Ok(());
    };
    let mut names: Vec<&str> = layers.iter().filter_map(|layer| layer.rsplit('.').next()).collect();
    names.sort_unstable();
    names.dedup();
    let near = nearest(wrong, names.iter().copied());
    let near = near.map_or_else(String::new, |near| format!("; did you mean `{near}`"));
    let known = known(names);
    Err(StageError(format!(
        "`lora_targets` names `{wrong}`, but no linear layer's name ends so{near}; they are {known}"
    )))
}

/// Rows with what the start thinks of them.
fn preference(
    context: &Context,
    parameters: &Parameters,
    objective: Objective,
    rows: Vec<TokenRow>,
    held_out: Option<HeldOut>,
    model: &Transformer,
    batches: &RowBatches,
) -> Result<Preference, StageError> {
    let found = match context.input_file("reference", "reference.jsonl") {
        Ok(path) => Some(json_lines::read(&path).map_err(|error| StageError(error.to_string()))?),
        // A reference that moves is asked anew at each step.
        Err(_) if objective.needs_reference() && parameters.reference_every.is_none() => {
            let count = rows.len() as u64;
            let score = || {
                let progress = |done| context.progress(done as u64, count, "reference rows");
                reference(model, &rows, REFERENCE_TOKENS, Savings::default(), progress)
            };
            // Another attempt may follow an interruption.
            let kept = context.checkpoint.join("reference.jsonl");
            match json_lines::read(&kept) {
                Ok(found) => Some(found),
                Err(_) => {
                    let found = guarded(context, score)?;
                    keep(&kept, &found)?;
                    Some(found)
                }
            }
        }
        Err(_) => None,
    };
    let known = found.map(|found| Reference::of_rows(found, &rows)).transpose();
    let Parameters { weighting, beyond_shared_length, nll_mean, mismatch, facts_only, .. } = *parameters;
    let moving = parameters
        .reference_every
        .map(|every| MovingReference { every, mixup: parameters.reference_mixup.unwrap_or(0.6) });
    let mut preference = Preference {
        objective,
        modifiers: Modifiers {
            weighting: weighting.then(|| parameters.weight_ceiling.unwrap_or(1.0)),
            beyond_shared_length,
            nll_mean,
            facts_only,
        },
        rows,
        reference: known.map_err(StageError::doing("use the reference"))?.unwrap_or_default(),
        mismatch,
        moving,
        held_out,
    };
    if preference.objective.needs_reference_point() {
        check_mismatches(context, &preference, batches);
    }
    if preference.objective.needs_reference_point() && preference.moving.is_none() {
        let held_out = preference.held_out.as_ref().map(|held_out| held_out.rows.clone());
        guarded(context, || {
            let batches = batches.order().chain(held_out.as_deref());
            preference.look_at_mismatches(model, batches, REFERENCE_TOKENS, Savings::default(), |_| ());
        })?;
    }
    Ok(preference)
}

/// Writes rows so that the file is whole or is not there.
fn keep(path: &Path, rows: &[ReferenceRow]) -> Result<(), StageError> {
    let aside = path.with_extension("part");
    fs::create_dir_all(path.parent().unwrap_or(path)).map_err(StageError::doing("keep the reference"))?;
    json_lines::write(&aside, rows).map_err(StageError::doing("keep the reference"))?;
    fs::File::open(&aside).and_then(|file| file.sync_all()).map_err(StageError::doing("keep the reference"))?;
    fs::rename(&aside, path).map_err(StageError::doing("keep the reference"))
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
