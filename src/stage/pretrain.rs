//! The kind `pretrain`: a tokenizer and a small Llama, trained from scratch on documents.

use std::{collections::BTreeMap, path::Path, sync::Arc, time::Duration};

use serde::Deserialize;
use serde_json::Value;

use crate::{
    context::{
        Context, StageError,
        artifact::{DOCUMENTS, METRICS, MODEL},
        ending,
    },
    model::{
        BEGIN_TOKEN, END_TOKEN, LARGEST_FILE, ModelConfig, PADDING_TOKEN, Tokenizer,
        TokenizerError, device,
    },
    recipe::schema::{Chosen, Declared, Input, Kind, Mismatch, Sharing, read_parameters},
    rows::{
        Document,
        json_lines::{self, Line},
    },
    stage_support::optimisation::{self, OptimisationParameters},
    tuning::{
        ComputeOptions, DocumentBatches, Frozen, GradientCheckpointing, Task, TokenizedExample,
        Training,
    },
};

/// The kind.
pub(crate) const KIND: Kind = Kind {
    name: "pretrain",
    // 1: first version. 2: documents of a group have their own weights. 3: logits in equal pieces
    // of 256 MiB, which changes last digits where there were several of 4,096 tokens.
    version: 3,
    about: "Train a tokenizer and a small Llama from scratch on documents.",
    inputs: &[Input::one("documents", &DOCUMENTS, "Training documents.")],
    parameters: Parameters::PARAMETERS,
    provides: &[&MODEL, &METRICS],
    seeded: true,
    fan_in: false,
    on_device: Some(Sharing::ByGradients),
    cross_checks: Some(cross_checks),
    lacks: None,
    cell_checks: None,
    redundant: None,
};

#[derive(Debug, Deserialize, apeft_derive::Parameters)]
pub(crate) struct Parameters {
    /// Vocabulary size of the byte-level BPE tokenizer in tokens.
    #[parameter(default = 2048, min = 260, max = 1 << 20, former = "vocabulary")]
    vocab_size: usize,
    /// Width of the hidden states.
    #[parameter(default = 160, min = 1, max = 1 << 20, former = "hidden")]
    hidden_size: usize,
    /// Number of transformer blocks.
    #[parameter(default = 2, min = 1, max = 1 << 20, former = "layers")]
    num_hidden_layers: usize,
    /// Number of query heads.
    #[parameter(default = 4, min = 1, max = 1 << 20, former = "heads")]
    num_attention_heads: usize,
    /// Number of key and value heads.
    #[parameter(default = 2, min = 1, max = 1 << 20, former = "key_value_heads")]
    num_key_value_heads: usize,
    /// Width of the feed-forward layers.
    #[parameter(default = 424, min = 1, max = 1 << 20, former = "feed_forward")]
    intermediate_size: usize,
    /// Context length: the longest document in tokens.
    #[parameter(default = 256, min = 1, max = 1 << 20, former = "context")]
    max_position_embeddings: usize,
    /// Optimizer steps.
    #[parameter(default = 1000, min = 1, max = 1 << 20, former = "steps")]
    max_steps: usize,
    /// Documents of each group in a batch, such as { paragraph = 24, question = 32 }.
    #[parameter(min = 1, max = 1 << 20, former = "batch")]
    pub batch_composition: BTreeMap<String, usize>,
    #[serde(flatten)]
    #[parameter(defaults(
        learning_rate = 3e-3,
        warmup_steps = 60,
        lr_scheduler_type = "cosine",
        min_lr_ratio = 0.02,
        weight_decay = 0.01,
        adam_beta2 = 0.98
    ))]
    optimisation: OptimisationParameters,
}

/// The heads must divide the width evenly.
fn cross_checks(chosen: &Chosen<'_>) -> Vec<Mismatch> {
    let parameters: Parameters = chosen.parameters();
    let (hidden, heads, key_value_heads) =
        (parameters.hidden_size, parameters.num_attention_heads, parameters.num_key_value_heads);
    let mut found = optimisation::cross_checks(chosen);
    if !hidden.is_multiple_of(2 * heads) {
        let problem = format!(
            "`hidden_size` {hidden} is not an even multiple of `num_attention_heads` {heads}"
        );
        found.push(Mismatch::error(
            "hidden_size",
            problem,
            "an even multiple of `num_attention_heads` is expected",
        ));
    }
    if !heads.is_multiple_of(key_value_heads) {
        let problem = format!(
            "`num_attention_heads` {heads} is not a multiple of `num_key_value_heads` \
            {key_value_heads}"
        );
        found.push(Mismatch::error(
            "num_attention_heads",
            problem,
            "a multiple of `num_key_value_heads` is expected",
        ));
    }
    let bytes = parameters.training_bytes();
    if bytes > MOST_BYTES {
        let (field, size) = parameters.most_excessive();
        let problem = format!(
            "`{field}` {size} makes a model of {:.3e} parameters: to train it takes {:.0} GiB",
            bytes / BYTES_OF_A_PARAMETER,
            bytes / GIB
        );
        let right = format!("at most {:.0} GiB are possible", MOST_BYTES / GIB);
        found.push(Mismatch::error(field, problem, right));
    }
    found
}

/// Bytes of a float32 parameter with its gradient and two moments.
const BYTES_OF_A_PARAMETER: f64 = 16.0;
const GIB: f64 = 1_073_741_824.0;
/// More than any single device has.
const MOST_BYTES: f64 = 256.0 * GIB;

impl Parameters {
    /// Minimum training memory in bytes: parameters, gradients and moments, without activations.
    fn training_bytes(&self) -> f64 {
        // As floats, since products of the largest accepted integers overflow.
        let [hidden, layers, feed_forward, vocabulary, heads, key_value_heads] = [
            self.hidden_size,
            self.num_hidden_layers,
            self.intermediate_size,
            self.vocab_size,
            self.num_attention_heads,
            self.num_key_value_heads,
        ]
        .map(|size| size as f64);
        let key_value = hidden / heads * key_value_heads;
        let block = hidden * (2.0 * hidden + 2.0 * key_value + 3.0 * feed_forward + 2.0);
        BYTES_OF_A_PARAMETER * (vocabulary * hidden + layers * block + hidden)
    }

    /// The size that is furthest above its default, with its field.
    fn most_excessive(&self) -> (&'static str, usize) {
        [
            ("hidden_size", self.hidden_size),
            ("num_hidden_layers", self.num_hidden_layers),
            ("intermediate_size", self.intermediate_size),
            ("vocab_size", self.vocab_size),
        ]
        .into_iter()
        .max_by(|one, other| excess(*one).total_cmp(&excess(*other)))
        .expect("there are four")
    }
}

/// A size as a multiple of its field's default.
fn excess((field, size): (&str, usize)) -> f64 {
    // Widths, layers and tokens are comparable only in relation to what is usual of each.
    let parameter = KIND.parameters.iter().find(|parameter| parameter.name == field);
    let default = parameter.and_then(|parameter| parameter.default_value()?.as_f64());
    size as f64 / default.expect("sizes have defaults")
}

/// Minimum memory of a stage of this kind in bytes, if its parameters determine it.
pub fn least_memory(kind: &str, values: &BTreeMap<String, Value>) -> Option<u64> {
    let parameters: Parameters = (kind == KIND.name).then(|| read_parameters(values))??;
    Some(parameters.training_bytes() as u64)
}

/// Runs one attempt.
///
/// # Errors
/// If the documents cannot be read or do not fit the parameters, or training stops.
pub(crate) fn run(context: &Context) -> Result<(), StageError> {
    let parameters: Parameters = context.parameters()?;
    let documents = read_documents(context)?;
    warn_of_empty(context, &documents);
    let texts =
        documents.iter().flat_map(|line| [line.row.prompt.as_str(), line.row.text.as_str()]);
    let tokenizer = Tokenizer::train(texts, parameters.vocab_size)
        .map_err(StageError::doing("train the tokenizer"))?;
    let groups = group(context, documents, &tokenizer, &parameters)?;
    let device = device(context.device.first()).map_err(|error| StageError(error.to_string()))?;
    let model = parameters.config(&tokenizer).init(&context.seed.split("weights"), &device);
    let batches = DocumentBatches::new(groups, parameters.max_steps, context.seed.split("batches"));
    let replicas = optimisation::replicas(context, &model)?;
    let training = Training {
        model,
        replicas,
        task: Task::Documents,
        batches: Arc::new(batches),
        optimisation: parameters.optimisation.optimisation(parameters.max_steps),
        frozen: Frozen::default(),
        compute: ComputeOptions::default(),
        gradient_checkpointing: GradientCheckpointing::default(),
        dropout: None,
        folder: context.checkpoint.clone(),
        checkpoint_interval: Duration::from_secs_f64(parameters.optimisation.checkpoint_seconds),
        ends_now: ending::is_requested,
    };
    let (model, metrics) = optimisation::carry_out(context, training)?;
    model.save(&context.output, LARGEST_FILE).map_err(StageError::doing("write the model"))?;
    tokenizer.save(&context.output).map_err(StageError::doing("write the tokenizer"))?;
    optimisation::keep_metrics(context, &metrics)
}

fn read_documents(context: &Context) -> Result<Vec<Line<Document>>, StageError> {
    let path = context.input_file("documents", "documents.jsonl")?;
    let read = json_lines::lines(&path).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    read.map_err(|error| StageError(error.to_string()))
}

/// Warns of empty documents.
fn warn_of_empty(context: &Context, documents: &[Line<Document>]) {
    let empty: Vec<&Line<Document>> =
        documents.iter().filter(|line| line.row.text.trim().is_empty()).collect();
    if let Some(first) = empty.first() {
        let (count, all) = (empty.len(), documents.len());
        context.warn(format!(
            "in {count} of {all} documents (first: line {}) the text is empty: only EOS is learnt",
            first.number
        ));
    }
}

/// Checks documents and their groups before anything runs.
///
/// # Errors
/// Names an invalid line or a line of an unknown group; or a group without documents.
pub(crate) fn check_documents(path: &Path, batch: &[String]) -> Result<(), String> {
    let mut groups: BTreeMap<&str, (usize, f64)> =
        batch.iter().map(|name| (name.as_str(), (0, 0.0))).collect();
    // All lines are read even after a foreign group: a line that is no document is reported first.
    let mut checked = Ok(());
    for line in json_lines::lines::<Document>(path).map_err(|error| error.to_string())? {
        let Line { number, row } = line.map_err(|error| error.to_string())?;
        match groups.get_mut(row.group.as_str()) {
            Some(group) => *group = (group.0 + 1, group.1 + row.weight),
            None if checked.is_ok() => {
                checked =
                    Err(format!("{}:{number}: {}", path.display(), foreign_group(&row.group)));
            }
            None => {}
        }
    }
    checked.and_then(|()| {
        groups.into_iter().try_for_each(|(name, (count, weight))| check_group(name, count, weight))
    })
}

fn foreign_group(group: &str) -> String {
    format!("`batch_composition` has no group `{group}`, which the document is in")
}

/// Each group must have documents with weight.
fn check_group(name: &str, count: usize, weight: f64) -> Result<(), String> {
    match (count, weight) {
        (0, _) => {
            Err(format!("`batch_composition` names the group `{name}`, which has no document"))
        }
        (_, 0.0) => {
            Err(format!("all documents of the group `{name}` have `weight` 0: nothing is learnt"))
        }
        _ => Ok(()),
    }
}

type Groups = BTreeMap<String, (usize, Vec<(TokenizedExample, f64)>)>;

fn group(
    context: &Context,
    documents: Vec<Line<Document>>,
    tokenizer: &Tokenizer,
    parameters: &Parameters,
) -> Result<Groups, StageError> {
    let path = context.input_file("documents", "documents.jsonl")?;
    let encoding = StageError::doing("encode a document");
    let mut groups: Groups = parameters
        .batch_composition
        .iter()
        .map(|(name, size)| (name.clone(), (*size, Vec::new())))
        .collect();
    let encoded = documents.into_iter().map(|Line { number, row: document }| {
        let mut completion = tokenizer.encode_continuation(&document.text)?;
        // Without EOS the model would never learn to end a response.
        completion.extend(tokenizer.token(END_TOKEN));
        let example = TokenizedExample {
            prompt: tokenizer.encode_prompt(&document.prompt)?,
            completions: vec![completion],
        };
        Ok((number, document, example))
    });
    for (line, document, example) in
        encoded.collect::<Result<Vec<_>, TokenizerError>>().map_err(encoding)?
    {
        if example.length() > parameters.max_position_embeddings {
            return Err(StageError(format!(
                "{}:{line}: the document has {} tokens, but `max_position_embeddings` is {}",
                path.display(),
                example.length(),
                parameters.max_position_embeddings
            )));
        }
        let Some((_, examples)) = groups.get_mut(&document.group) else {
            let problem = foreign_group(&document.group);
            return Err(StageError(format!("{}:{line}: {problem}", path.display())));
        };
        examples.push((example, document.weight));
    }
    for (name, (_, examples)) in &groups {
        check_group(name, examples.len(), examples.iter().map(|(_, weight)| weight).sum())
            .map_err(StageError)?;
    }
    Ok(groups)
}

impl Parameters {
    /// The model, before its tokenizer is known.
    pub(crate) fn shape(&self) -> ModelConfig {
        ModelConfig {
            hidden_size: self.hidden_size,
            intermediate_size: self.intermediate_size,
            num_hidden_layers: self.num_hidden_layers,
            num_attention_heads: self.num_attention_heads,
            num_key_value_heads: self.num_key_value_heads,
            head_dim: self.hidden_size / self.num_attention_heads,
            vocab_size: self.vocab_size,
            rms_norm_eps: 1e-5,
            max_position_embeddings: self.max_position_embeddings,
            tie_word_embeddings: true,
            ..ModelConfig::default()
        }
    }

    fn config(&self, tokenizer: &Tokenizer) -> ModelConfig {
        ModelConfig {
            vocab_size: tokenizer.vocab_size(),
            bos_token_id: tokenizer.token(BEGIN_TOKEN),
            eos_token_id: tokenizer.token(END_TOKEN).into_iter().collect(),
            pad_token_id: tokenizer.token(PADDING_TOKEN),
            ..self.shape()
        }
    }
}
