//! The kind `tune`: preference tuning of a model or an adapter.

use std::{fs, path::Path, sync::Arc, time::Duration};

use super::{
    memory::{REFERENCE_TOKENS, largest_pass},
    parameters::{MAX_WEIGHT, MIXUP, Parameters},
};
use crate::{
    context::{Context, StageError, ending},
    diagnostic::{known, nearest},
    model::{
        Adapter, AdapterConfig, Encoder, LARGEST_FILE, ModelConfig, Placement, Transformer,
        copy_companions, with_oom_hint,
    },
    rows::json_lines,
    stage_support::{
        label_balance::{check_labels, check_mismatches},
        model_remarks::{warn_of_adapter, warn_of_model},
        optimisation,
        preference_rows::{Needs, RowOptions, token_rows},
    },
    tuning::{
        Batches, ComputeOptions, Frozen, HeldOut, Modifiers, MovingReference, Objective,
        Preference, ReferenceLogProbs, ReferenceRow, RowBatches, Setting, SharedModel, Task,
        TokenRow, Training, reference,
    },
};

/// Runs one attempt.
///
/// # Errors
/// If model or rows cannot be read, parameters do not fit the data, or training stops.
pub(crate) fn run(context: &Context) -> Result<(), StageError> {
    let parameters: Parameters = context.parameters()?;
    let objective = parameters.objective().map_err(|error| StageError(error.to_string()))?;
    context.note(described(&objective));
    let folder = context.input("model")?;
    let mut model = load(context, folder, &parameters)?;
    let adapter = adapter(context, &parameters, &mut model)?;
    let frozen =
        Frozen::named(&parameters.freeze, &model).map_err(|error| StageError(error.to_string()))?;
    let encoder =
        Encoder::load(folder, &model.config).map_err(StageError::doing("read the tokenizer"))?;
    warn_of_model(context, folder, &encoder)?;
    warn_of_adapter(context, "adapter", folder)?;
    let reading = RowOptions {
        max_length: parameters.encoding.max_length,
        truncation: parameters.encoding.truncation_mode,
        needs: Needs::of(&objective, parameters.fact_mask),
    };
    let rows = token_rows(context, &encoder, &model.config, reading)?;
    check_errors(context, reading, &rows);
    let shuffle = context.seed.split("pairs");
    let shuffle = parameters.shuffle.then_some(&shuffle);
    let (learnt, held_out) = held_out(context, &parameters, &rows)?;
    check_labels(context, &objective, &rows, &learnt)?;
    let Parameters { batch_size, gradient_accumulation_steps, .. } = parameters;
    let rows_per_step = batch_size.saturating_mul(gradient_accumulation_steps);
    let batches = RowBatches::new(
        &learnt,
        parameters.epochs(learnt.len()),
        rows_per_step,
        gradient_accumulation_steps,
        shuffle,
    );
    check_steps(context, &parameters, learnt.len(), batches.steps(), held_out.is_some())?;
    let replicas = optimisation::replicas(context, &model)?;
    let shared = SharedModel::new(&model, &replicas);
    let known = reference_rows(context, &parameters, &objective, &rows, shared)?;
    let mut preference = parameters.preference(objective, rows, known)?;
    preference.held_out = held_out;
    score_mismatches(context, &mut preference, shared, &batches)?;
    let pass = largest_pass(&preference.rows, &batches, parameters.share_prompts);
    let memory = parameters.memory(&model.config, context.device.first(), model.adapter_size());
    let gradient_checkpointing = parameters.chosen_checkpointing(context, &memory, pass);
    let training = Training {
        task: Task::Preference(Box::new(preference)),
        model,
        replicas,
        optimisation: parameters.optimisation.optimisation(batches.steps()),
        batches: Arc::new(batches),
        frozen,
        compute: parameters.compute(),
        gradient_checkpointing,
        // A stream of its own, so that other draws are the same with and without dropout.
        dropout: (parameters.lora_dropout > 0.0)
            .then(|| (parameters.lora_dropout, context.seed.split("dropout"))),
        folder: context.checkpoint.clone(),
        checkpoint_interval: Duration::from_secs_f64(parameters.optimisation.checkpoint_seconds),
        ends_now: ending::is_requested,
    };
    let (model, metrics) = optimisation::carry_out(context, training)?;
    write(context, folder, model, adapter, parameters.merge_adapter)?;
    optimisation::keep_metrics(context, &metrics)
}

/// The model, with weights in the format that their training needs.
fn load(
    context: &Context,
    folder: &Path,
    parameters: &Parameters,
) -> Result<Transformer, StageError> {
    let states = place(context, &parameters.encoding.dtype)?;
    // With an adapter the model is frozen and needs no more digits than the states.
    let is_frozen = parameters.lora_rank.is_some() || context.input("adapter").is_ok();
    let weights = if is_frozen { states.clone() } else { place(context, "float32")? };
    let mut model =
        Transformer::load(folder, &weights).map_err(StageError::doing("read the model"))?;
    model.computes_in = states.format;
    Ok(model)
}

fn place(context: &Context, format: &str) -> Result<Placement, StageError> {
    Placement::named(context.device.first(), format).map_err(|error| StageError(error.to_string()))
}

/// Splits rows into training and held-out rows; rows of one prompt stay together.
fn held_out(
    context: &Context,
    parameters: &Parameters,
    rows: &[TokenRow],
) -> Result<(Vec<usize>, Option<HeldOut>), StageError> {
    let all = (0..rows.len()).collect();
    let share = parameters.eval_share;
    if share == 0.0 {
        return Ok((all, None));
    }
    // By prompts: the loss on other completions to a prompt that is learnt would be too low.
    let mut prompts: Vec<&[u32]> = rows.iter().map(|row| row.prompt.as_slice()).collect();
    // Sorted before they are shuffled, so that the order of the file does not matter.
    prompts.sort_unstable();
    prompts.dedup();
    context.seed.split("held out").stream().shuffle(&mut prompts);
    let count = prompts.len();
    prompts.truncate((share * count as f64).round() as usize);
    if prompts.len() == count {
        let rows = rows.len();
        return Err(StageError(format!(
            "`eval_share` {share} holds out all {rows} rows ({count} different prompts): nothing \
            is left to learn from; lower it, or add prompts"
        )));
    }
    if prompts.is_empty() {
        let reason = "so neither best-model selection nor `early_stopping_patience` applies";
        context.warn(format!(
            "`eval_share` {share} of {count} different prompts rounds to 0: no row is held out, \
            {reason}"
        ));
        return Ok((all, None));
    }
    prompts.sort_unstable();
    let (held_out, learnt): (Vec<usize>, Vec<usize>) = all
        .into_iter()
        .partition(|row: &usize| prompts.binary_search(&rows[*row].prompt.as_slice()).is_ok());
    context.note(format!("{} rows of {} prompts are held out", held_out.len(), prompts.len()));
    let held_out = HeldOut {
        rows: held_out,
        every: parameters.eval_steps,
        patience: parameters.early_stopping_patience,
    };
    Ok((learnt, Some(held_out)))
}

/// Checks the numbers of steps and evaluations.
fn check_steps(
    context: &Context,
    parameters: &Parameters,
    rows: usize,
    steps: usize,
    holds_out: bool,
) -> Result<(), StageError> {
    let Parameters { num_train_epochs, eval_steps, .. } = parameters;
    if steps == 0 {
        return Err(StageError(format!(
            "`num_train_epochs` {num_train_epochs} of {rows} rows gives no step; raise \
            `num_train_epochs`"
        )));
    }
    if holds_out && *eval_steps >= steps {
        context.warn(format!(
            "held-out rows are evaluated every {eval_steps} steps, but there are only {steps}: \
            neither best-model selection \
             nor `early_stopping_patience` applies; lower `eval_steps`"
        ));
    }
    Ok(())
}

/// Warns if no pair has exactly one completion with errors.
fn check_errors(context: &Context, reading: RowOptions, rows: &[TokenRow]) {
    if reading.needs.errors && !rows.iter().any(differs_in_errors) {
        let count = rows.len();
        context.warn(format!(
            "none of {count} pairs has exactly one completion with errors: the fact margin is \
            never used, and `fact_dpo` is `dpo`"
        ));
    }
}

fn differs_in_errors(row: &TokenRow) -> bool {
    matches!(row.answers(), [one, other] if one.is_wrong != other.is_wrong)
}

/// Writes the tuned model, and the adapter if any.
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
        model
            .merge()
            .save(&context.output, LARGEST_FILE)
            .map_err(StageError::doing("write the model"))?;
        // The base model's own: tuning changes neither its tokenizer nor its template.
        copy_companions(folder, &context.output)
            .map_err(StageError::doing("write the tokenizer"))?;
    }
    Ok(())
}

/// The trained adapter: the given one, or a new one if a rank is set.
fn adapter(
    context: &Context,
    parameters: &Parameters,
    model: &mut Transformer,
) -> Result<Option<Adapter>, StageError> {
    if let Ok(folder) = context.input("adapter") {
        if parameters.lora_rank.is_some() {
            let problem = "`adapter` keeps its own rank; remove `lora_rank`";
            return Err(StageError(problem.to_owned()));
        }
        return Ok(Some(
            Adapter::load(folder, model).map_err(StageError::doing("read the adapter"))?,
        ));
    }
    let Some(mut config) = parameters.new_adapter() else { return Ok(None) };
    config.base_model_name_or_path = base_name(context.input("model")?);
    // Again, since the model may not have existed before the run.
    check_targets(parameters, &model.config).map_err(StageError)?;
    beyond_layers(&config, &model.config).into_iter().for_each(|text| context.warn(text));
    let begun = Adapter::begin(config, model, &context.seed.split("adapter"));
    begun.map(Some).map_err(StageError::doing("initialise the adapter"))
}

/// The name that a model's config tells, by which PEFT finds it on the hub. Not its path: an
/// adapter's bytes must not depend on where the store lies.
fn base_name(folder: &Path) -> String {
    let config = fs::read(folder.join("config.json")).unwrap_or_default();
    let config: serde_json::Value = serde_json::from_slice(&config).unwrap_or_default();
    config["_name_or_path"].as_str().unwrap_or_default().to_owned()
}

/// Each target must be a suffix of some layer's name.
///
/// # Errors
/// Names a target that is not.
pub(crate) fn check_targets(parameters: &Parameters, config: &ModelConfig) -> Result<(), String> {
    if parameters.target_modules_pattern.is_some() {
        return Ok(());
    }
    let layers = config.linear_layers();
    let mut targets = parameters.target_modules.iter();
    let Some(wrong) = targets.find(|target| !layers.iter().any(|layer| is_named(layer, target)))
    else {
        return Ok(());
    };
    let mut names: Vec<&str> = layers.iter().filter_map(|layer| layer.rsplit('.').next()).collect();
    names.sort_unstable();
    names.dedup();
    let near = nearest(wrong, names.iter().copied());
    let near = near.map_or_else(String::new, |near| format!("; did you mean `{near}`"));
    let known = known(names);
    Err(format!(
        "`target_modules` names `{wrong}`, but no linear layer's name ends with it{near}; \
        layers: {known}"
    ))
}

/// Whether a layer's name is a target or ends with its parts, as in PEFT.
fn is_named(layer: &str, target: &str) -> bool {
    // Whole parts: `proj` does not name `q_proj`.
    layer.strip_suffix(target).is_some_and(|before| before.is_empty() || before.ends_with('.'))
}

/// Warns of a rank above the width of layers, which costs memory without benefit.
pub(crate) fn beyond_layers(adapter: &AdapterConfig, config: &ModelConfig) -> Option<String> {
    let layers = config.updated_layers(adapter).ok()?;
    let narrow: Vec<&(String, usize)> =
        layers.iter().filter(|(_, width)| adapter.r > *width).collect();
    let (first, width) = narrow.first()?;
    Some(format!(
        "`lora_rank` {} is above the smaller width of {} of {} layers (first: `{first}`, \
        {width}): a rank above the width has no benefit",
        adapter.r,
        narrow.len(),
        layers.len()
    ))
}

/// Reference log-probabilities of the rows: given, kept by an earlier attempt, or computed. None
/// where no fixed reference model takes part.
fn reference_rows(
    context: &Context,
    parameters: &Parameters,
    objective: &Objective,
    rows: &[TokenRow],
    model: SharedModel<'_>,
) -> Result<Option<Vec<ReferenceRow>>, StageError> {
    if let Ok(path) = context.input_file("reference", "reference.jsonl") {
        let given = json_lines::read(&path).map_err(|error| StageError(error.to_string()))?;
        return Ok(Some(given));
    }
    // A synced reference model is evaluated at each step.
    if !objective.needs_reference() || parameters.ref_model_sync_steps.is_some() {
        return Ok(None);
    }
    // The next attempt may follow an interruption.
    let kept = context.checkpoint.join("reference.jsonl");
    if let Some(found) = read_kept(context, &kept) {
        return Ok(Some(found));
    }
    let count = rows.len() as u64;
    let found = guarded(context, || {
        reference(model, rows, REFERENCE_TOKENS, ComputeOptions::default(), |done| {
            context.progress(done as u64, count, "reference rows");
        })
    })?;
    keep(&kept, &found)?;
    Ok(Some(found))
}

/// Log-probabilities of an earlier attempt, if they have the digest that it wrote beside them: a
/// changed digit would shift the loss without a sign of it.
fn read_kept(context: &Context, kept: &Path) -> Option<Vec<ReferenceRow>> {
    let text = fs::read(kept).ok()?;
    let written = fs::read_to_string(kept.with_extension("digest")).unwrap_or_default();
    if written != digest_of(&text) {
        context.warn(
            "the reference log-probabilities of an earlier attempt are damaged; they are computed \
            again",
        );
        return None;
    }
    json_lines::read(kept).ok()
}

fn digest_of(text: &[u8]) -> String {
    blake3::hash(text).to_hex().to_string()
}

impl Parameters {
    fn compute(&self) -> ComputeOptions {
        ComputeOptions {
            share_prompts: self.share_prompts,
            sort_by_length: self.group_by_length,
            logits_bytes: self.logits_bytes,
        }
    }

    /// The rows with their objective and reference log-probabilities; nothing is held out.
    fn preference(
        &self,
        objective: Objective,
        rows: Vec<TokenRow>,
        known: Option<Vec<ReferenceRow>>,
    ) -> Result<Preference, StageError> {
        let known = known.map(|known| ReferenceLogProbs::of_rows(known, &rows)).transpose();
        let moving = self.ref_model_sync_steps.map(|every| MovingReference {
            every,
            mixup: self.ref_model_mixup_alpha.unwrap_or(MIXUP),
        });
        Ok(Preference {
            objective,
            modifiers: Modifiers {
                max_weight: self.use_weighting.then(|| self.max_weight.unwrap_or(MAX_WEIGHT)),
                ld_alpha: self.ld_alpha,
                nll_reduction: self.nll_reduction,
                fact_mask: self.fact_mask,
            },
            rows,
            reference: known.map_err(StageError::doing("use the reference"))?.unwrap_or_default(),
            mismatch: self.kl_pairs,
            moving,
            held_out: None,
        })
    }
}

/// Scores prompts with completions of other rows, where the objective has a reference point.
fn score_mismatches(
    context: &Context,
    preference: &mut Preference,
    model: SharedModel<'_>,
    batches: &RowBatches,
) -> Result<(), StageError> {
    if !preference.objective.needs_reference_point() {
        return Ok(());
    }
    check_mismatches(context, preference, batches);
    // A moving reference model scores them at each step.
    if preference.moving.is_some() {
        return Ok(());
    }
    let held_out = preference.held_out.as_ref().map(|held_out| held_out.rows.clone());
    guarded(context, || {
        let batches = batches.order().chain(held_out.as_deref());
        let compute = ComputeOptions::default();
        preference.look_at_mismatches(model, batches, REFERENCE_TOKENS, compute);
    })
}

/// Writes rows with their digest; the rows come last, so that there are none without it.
fn keep(path: &Path, rows: &[ReferenceRow]) -> Result<(), StageError> {
    let aside = path.with_extension("part");
    fs::create_dir_all(path.parent().unwrap_or(path))
        .map_err(StageError::doing("keep the reference"))?;
    json_lines::write(&aside, rows).map_err(StageError::doing("keep the reference"))?;
    fs::File::open(&aside)
        .and_then(|file| file.sync_all())
        .and_then(|()| fs::write(path.with_extension("digest"), digest_of(&fs::read(&aside)?)))
        .map_err(StageError::doing("keep the reference"))?;
    fs::rename(&aside, path).map_err(StageError::doing("keep the reference"))
}

fn guarded<T>(context: &Context, work: impl FnOnce() -> T) -> Result<T, StageError> {
    let device = crate::model::device(context.device.first())
        .map_err(|error| StageError(error.to_string()))?;
    with_oom_hint(&device, "score the rows", "`max_length`", work).map_err(StageError)
}

/// The objective with all settings, as a note.
fn described(objective: &Objective) -> String {
    // The margin has one of two forms.
    let margin_by_beta = objective.setting(Setting::GammaOverBeta).unwrap_or(0.0);
    let unused = if margin_by_beta > 0.0 { Setting::Gamma } else { Setting::GammaOverBeta };
    let used = Setting::ALL.iter().filter(|setting| **setting != unused);
    let settings = used.filter_map(|setting| {
        let value = objective.setting(*setting)?;
        Some(if setting.is_flag() {
            format!("{} {}", setting.name(), value > 0.0)
        } else {
            format!("{} {value}", setting.name())
        })
    });
    format!("{}: {}", objective.names().join(" + "), settings.collect::<Vec<_>>().join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::seed::Seed;

    #[test]
    fn damaged_log_probabilities_of_an_earlier_attempt_are_not_read() {
        let folder = tempfile::tempdir().unwrap();
        let warnings = Arc::new(std::sync::Mutex::new(0));
        let heard = Arc::clone(&warnings);
        let context = Context {
            parameters: serde_json::json!({}),
            inputs: Vec::new(),
            output: folder.path().to_owned(),
            checkpoint: folder.path().to_owned(),
            store: Default::default(),
            seed: Seed::root(0),
            device: Default::default(),
            report: Arc::new(move |_| *heard.lock().unwrap() += 1),
        };
        let kept = folder.path().join("reference.jsonl");
        assert!(read_kept(&context, &kept).is_none(), "a first attempt has none");
        let row = ReferenceRow {
            ref_chosen_logps: -0.25,
            ref_rejected_logps: None,
            tokens: "t".to_owned(),
            answers: vec![vec![-0.25]],
        };
        keep(&kept, &[row]).unwrap();
        assert_eq!(read_kept(&context, &kept).map(|rows| rows.len()), Some(1));
        assert_eq!(*warnings.lock().unwrap(), 0);
        let text = fs::read_to_string(&kept).unwrap();
        for damaged in [text.replace("0.25", "9.25"), String::new(), format!("{text}{text}")] {
            fs::write(&kept, damaged).unwrap();
            assert!(read_kept(&context, &kept).is_none());
        }
        assert_eq!(*warnings.lock().unwrap(), 3);
    }
}
