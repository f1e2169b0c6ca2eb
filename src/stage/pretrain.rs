//! The kind `pretrain`: documents become a tokenizer and a small Llama, trained from scratch.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use serde::Deserialize;

use super::{
    Context, StageError,
    artifact::{DOCUMENTS, METRICS, MODEL},
    optimisation::{self, OptimisationParameters},
};
use crate::{
    language::{
        Document,
        json_lines::{self, Line},
    },
    model::{BEGIN_TOKEN, END_TOKEN, LARGEST_FILE, ModelConfig, PADDING_TOKEN, Tokenizer, TokenizerError, device},
    recipe::schema::{Chosen, Default, Input, Kind, Mismatch, Parameter, Shape},
    tuning::{Answered, DocumentBatches, Frozen, Savings, Tape, Task, Training},
};

const SIZE: Shape = Shape::Integer { least: 1, most: 1 << 20 };

/// What the engine knows of it.
pub(super) const KIND: Kind = Kind {
    name: "pretrain",
    // 1: the first. 2: each document of a group counts its own weight, not that of the group's last one.
    version: 2,
    about: "Trains a tokenizer and a small Llama from scratch on documents.",
    inputs: &[Input::one("documents", &DOCUMENTS, "Texts to train on.")],
    parameters: &[
        Parameter::new(
            "vocabulary",
            Shape::Integer { least: 260, most: 1 << 20 },
            Default::Integer(2048),
            "Tokens of the byte-level BPE tokenizer.",
        ),
        Parameter::new("hidden", SIZE, Default::Integer(160), "Width of the hidden states."),
        Parameter::new("layers", SIZE, Default::Integer(2), "Number of blocks."),
        Parameter::new("heads", SIZE, Default::Integer(4), "Number of query heads."),
        Parameter::new("key_value_heads", SIZE, Default::Integer(2), "Number of key and value heads."),
        Parameter::new("feed_forward", SIZE, Default::Integer(424), "Width of the feed-forward layers."),
        Parameter::new("context", SIZE, Default::Integer(256), "The longest text, in tokens."),
        Parameter::new("steps", SIZE, Default::Integer(1000), "Optimizer steps."),
        Parameter::new(
            "batch",
            Shape::Table(&SIZE),
            Default::Required,
            "Documents of each group in a batch, e.g. { paragraph = 24, question = 32 }.",
        ),
        optimisation::learning_rate(3e-3),
        optimisation::warmup(60),
        optimisation::decay("cosine"),
        optimisation::floor(0.02),
        optimisation::weight_decay(0.01),
        optimisation::beta1(0.9),
        optimisation::beta2(0.98),
        optimisation::EPSILON,
        optimisation::CLIP,
        optimisation::CHECKPOINT_SECONDS,
    ],
    provides: &[&MODEL, &METRICS],
    draws: true,
    gathers: false,
    on_device: true,
    fits: Some(fits),
    lacks: None,
    suits: None,
};

#[derive(Debug, Deserialize)]
struct Parameters {
    vocabulary: usize,
    hidden: usize,
    layers: usize,
    heads: usize,
    key_value_heads: usize,
    feed_forward: usize,
    context: usize,
    steps: usize,
    batch: BTreeMap<String, usize>,
}

/// The heads must share the width evenly.
fn fits(chosen: &Chosen<'_>) -> Vec<Mismatch> {
    let size = |name: &str| chosen.count(name).max(1);
    let (hidden, heads, key_value_heads) = (size("hidden"), size("heads"), size("key_value_heads"));
    let mut found = optimisation::fits(chosen);
    if !hidden.is_multiple_of(2 * heads) {
        let problem = format!("`hidden` {hidden} is not an even multiple of `heads` {heads}");
        found.push(Mismatch::error("hidden", problem, "an even multiple of `heads` is expected"));
    }
    if !heads.is_multiple_of(key_value_heads) {
        let problem = format!("`heads` {heads} is not a multiple of `key_value_heads` {key_value_heads}");
        found.push(Mismatch::error("heads", problem, "a multiple of `key_value_heads` is expected"));
    }
    found
}

/// Carries out one attempt.
///
/// # Errors
/// Where the documents cannot be read or do not fit the parameters, or training stops.
pub(super) fn run(context: &Context) -> Result<(), StageError> {
    let parameters: Parameters = context.parameters()?;
    let optimisation: OptimisationParameters = context.parameters()?;
    let documents = read_documents(context)?;
    let texts = documents.iter().flat_map(|line| [line.row.prompt.as_str(), line.row.text.as_str()]);
    let tokenizer = Tokenizer::train(texts, parameters.vocabulary).map_err(StageError::doing("train the tokenizer"))?;
    let groups = group(context, documents, &tokenizer, &parameters)?;
    let device = device(&context.device).map_err(|error| StageError(error.to_string()))?;
    let model = parameters.config(&tokenizer).init(&context.seed.split("weights"), &device);
    let batches = DocumentBatches::new(groups, parameters.steps, context.seed.split("batches"));
    let training = Training {
        model,
        task: Task::Documents,
        batches: Arc::new(batches),
        optimisation: optimisation.optimisation(parameters.steps),
        frozen: Frozen::default(),
        savings: Savings::default(),
        tape: Tape::default(),
        dropout: None,
        folder: context.checkpoint.clone(),
        stretch: Duration::from_secs_f64(optimisation.checkpoint_seconds),
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

type Groups = BTreeMap<String, (usize, Vec<(Answered, f64)>)>;

fn group(
    context: &Context,
    documents: Vec<Line<Document>>,
    tokenizer: &Tokenizer,
    parameters: &Parameters,
) -> Result<Groups, StageError> {
    let path = context.input_file("documents", "documents.jsonl")?;
    let at = |line: usize, problem: String| StageError(format!("{}:{line}: {problem}", path.display()));
    let encoding = StageError::doing("encode a document");
    let mut groups: Groups = parameters.batch.iter().map(|(name, size)| (name.clone(), (*size, Vec::new()))).collect();
    let encoded = documents.into_iter().map(|Line { number, row: document }| {
        let mut completion = tokenizer.encode_continuation(&document.text)?;
        completion.extend(tokenizer.token(END_TOKEN));
        let example = Answered { prompt: tokenizer.encode_prompt(&document.prompt)?, answers: vec![completion] };
        Ok((number, document, example))
    });
    for (line, document, example) in encoded.collect::<Result<Vec<_>, TokenizerError>>().map_err(encoding)? {
        if example.length() > parameters.context {
            let text = format!("the document has {} tokens, but `context` is {}", example.length(), parameters.context);
            return Err(at(line, text));
        }
        let Some((_, examples)) = groups.get_mut(&document.group) else {
            return Err(at(line, format!("`batch` says nothing of the group `{}` of the document", document.group)));
        };
        examples.push((example, document.weight));
    }
    for (name, (_, examples)) in &groups {
        if examples.is_empty() {
            return Err(StageError(format!("`batch` names the group `{name}`, of which there is no document")));
        }
        if examples.iter().all(|(_, weight)| *weight == 0.0) {
            return Err(StageError(format!("all documents of the group `{name}` have `weight` 0: nothing is learnt")));
        }
    }
    Ok(groups)
}

impl Parameters {
    fn config(&self, tokenizer: &Tokenizer) -> ModelConfig {
        ModelConfig {
            hidden_size: self.hidden,
            intermediate_size: self.feed_forward,
            num_hidden_layers: self.layers,
            num_attention_heads: self.heads,
            num_key_value_heads: self.key_value_heads,
            head_dim: self.hidden / self.heads,
            vocab_size: tokenizer.vocab_size(),
            rms_norm_eps: 1e-5,
            max_position_embeddings: self.context,
            tie_word_embeddings: true,
            bos_token_id: tokenizer.token(BEGIN_TOKEN),
            eos_token_id: tokenizer.token(END_TOKEN).into_iter().collect(),
            pad_token_id: tokenizer.token(PADDING_TOKEN),
            ..ModelConfig::default()
        }
    }
}
