//! The kind `sample`: responses of a model to prompts.

use std::{collections::BTreeSet, path::Path};

use serde::Deserialize;

use crate::{
    context::{
        Context, StageError,
        artifact::{ADAPTER, MODEL, PROMPTS, RESPONSES},
    },
    model::{
        DTYPES, Encoder, GenerateError, GeneratedAnswer, GenerationEvent, Generator, Request,
        Sampling, Stops, Transformer,
    },
    recipe::schema::{Chosen, Declared, Input, Kind, Mismatch, Sharing},
    rows::{
        Content, Prompt, PromptForm, Response, ResponseId,
        json_lines::{self, RowWriter},
    },
    stage_support::{
        encoding::OTHER_DTYPES,
        kept_rows::KeptRows,
        loaded_model::{LoadedModel, copies},
        model_remarks::warn_of_generation,
    },
};

/// The kind.
pub(crate) const KIND: Kind = Kind {
    name: "sample",
    // 1: first version. 2: machine-independent exponentials; adapters, dtypes, chats. 3: a response
    // is what its tokens add to the prompt's text, leading space included; prompts never end with
    // EOS.
    version: 3,
    about: "Sample responses to prompts from a model.",
    inputs: &[
        Input::one("model", &MODEL, "Model that responds."),
        Input::one("prompts", &PROMPTS, "Prompts."),
        Input::optional("adapter", &ADAPTER, "LoRA adapter of the model."),
    ],
    parameters: Parameters::PARAMETERS,
    provides: &[&RESPONSES],
    seeded: true,
    fan_in: false,
    on_device: Some(Sharing::ByRows),
    cross_checks: Some(cross_checks),
    lacks: None,
    cell_checks: None,
    redundant: None,
};

#[derive(Debug, Deserialize, apeft_derive::Parameters)]
pub(crate) struct Parameters {
    /// Responses drawn for each prompt.
    #[parameter(
        default = 10, min = 1, max = 100_000,
        former = "n", aliases = ["num_return_sequences", "num_generations"]
    )]
    pub num_samples: usize,
    /// Sampling temperature; 0 is greedy decoding.
    #[parameter(default = 1.0, min = 0, max = 100, foreign = [
        ("do_sample", "write `temperature = 0` for greedy decoding; sampling is the default"),
    ])]
    temperature: f64,
    /// Nucleus sampling: the smallest set of tokens whose probabilities reach this sum.
    #[parameter(default = 1.0, above = 0, max = 1)]
    top_p: f64,
    /// Top-k sampling: only the k most probable tokens can be drawn.
    #[parameter(min = 1, max = 1 << 24)]
    top_k: Option<usize>,
    /// Min-p sampling: only tokens with at least this share of the largest probability.
    #[parameter(default = 0.0, min = 0, max = 1)]
    min_p: f64,
    /// Repetition penalty on tokens of prompt and response, as in transformers; 1 is off.
    #[parameter(default = 1.0, min = LEAST_PENALTY, max = 100)]
    repetition_penalty: f64,
    /// Stop strings: a response ends before the first of them, which is not part of it.
    #[parameter(default = [], unordered, aliases = ["stop_strings", "stop_sequences"])]
    stop: Vec<String>,
    /// Chat template: text prompts become user messages.
    #[parameter(default = false, former = "chat")]
    pub apply_chat_template: bool,
    /// System prompt before each text prompt; needs `apply_chat_template`.
    #[parameter(former = "system")]
    pub system_prompt: Option<String>,
    /// Number format of the computation; `auto` is bfloat16 on `cuda:N`, else float32.
    #[parameter(
        default = "auto", words = DTYPES, aliases = ["precision", "torch_dtype"],
        foreign_values = OTHER_DTYPES
    )]
    pub dtype: String,
    /// Longest response in tokens.
    #[parameter(
        default = 64, min = 1, max = 1 << 20,
        former = "max_new", aliases = ["max_tokens", "max_completion_length"]
    )]
    pub max_new_tokens: usize,
    /// Responses generated at once on each device; affects speed and memory only.
    #[parameter(default = 64, min = 1, max = 1 << 16, not_in_key, former = "batch")]
    pub batch_size: usize,
    #[serde(flatten)]
    pub selection: Selection,
    /// Number of prompts, from the first; all by default.
    #[parameter(min = 1, max = 1 << 40, former = "at_most")]
    max_prompts: Option<usize>,
}

/// Logits divided by less would overflow float32.
const LEAST_PENALTY: f64 = 1e-6;

/// Selection of prompts.
#[derive(
    Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Deserialize, apeft_derive::Parameters,
)]
pub(crate) struct Selection {
    /// Domains of the prompts; all by default.
    #[parameter(unordered)]
    domains: Option<Vec<String>>,
    /// Splits of the prompts; all by default.
    #[parameter(unordered)]
    splits: Option<Vec<String>>,
    /// Form of the prompts; `paragraph` by default where the file has any.
    #[parameter(former = "form")]
    prompt_form: Option<PromptForm>,
}

/// A system prompt needs a chat template, and greedy decoding has no sampling options.
fn cross_checks(chosen: &Chosen<'_>) -> Vec<Mismatch> {
    let parameters: Parameters = chosen.parameters();
    let mut found = Vec::new();
    if parameters.system_prompt.is_some() && !parameters.apply_chat_template {
        let problem = "`system_prompt` is given, but `apply_chat_template` is not";
        let right = "set `apply_chat_template = true`, or leave `system_prompt` out";
        found.push(Mismatch::error("system_prompt", problem, right));
    }
    if parameters.stop.iter().any(String::is_empty) {
        let problem = "`stop` has an empty text, which matches everywhere";
        let right = "texts of at least one letter are expected, or no `stop`";
        found.push(Mismatch::error("stop", problem, right));
    }
    let Selection { domains, splits, .. } = &parameters.selection;
    for (field, names) in [("domains", domains), ("splits", splits)] {
        if names.as_ref().is_some_and(Vec::is_empty) {
            let problem = format!("`{field}` is empty, so no prompt is selected");
            let right = "at least one is expected; remove it for all";
            found.push(Mismatch::error(field, problem, right));
        }
    }
    if parameters.temperature == 0.0 {
        found.extend(unused_by_greedy_decoding(chosen, parameters.num_samples));
    }
    found
}

fn unused_by_greedy_decoding(chosen: &Chosen<'_>, num_samples: usize) -> Vec<Mismatch> {
    let mut found = Vec::new();
    for field in ["top_p", "top_k", "min_p"].into_iter().filter(|field| chosen.is_changed(field)) {
        let why = "`temperature` 0 always takes the most probable token";
        found.push(Mismatch::without_effect(field, why, "raise `temperature`, or remove it"));
    }
    if num_samples > 1 && chosen.is_changed("num_samples") {
        let why = "with `temperature` 0 all responses to a prompt are the same";
        let right = "set `num_samples = 1`, or raise `temperature`";
        found.push(Mismatch::without_effect("num_samples", why, right));
    }
    found
}

/// Samples all responses that earlier attempts at the same key have not sampled.
///
/// # Errors
/// If no prompt is selected, a file is damaged, or the model fails.
pub(crate) fn run(context: &Context) -> Result<(), StageError> {
    let parameters: Parameters = context.parameters()?;
    let LoadedModel { model, encoder } =
        LoadedModel::load(context, ["model", "adapter"], &parameters.dtype)?;
    warn_of_generation(context, context.input("model")?)?;
    let prompts = asked(context, &parameters)?;
    let mut drawn = KeptRows::open(&context.checkpoint.join("answers"), "responses")?;
    let requests = prompts
        .iter()
        .map(|prompt| missing(&drawn, prompt, &encoder, parameters.num_samples))
        .collect::<Result<Vec<Request>, _>>()?;
    let total = (prompts.len() * parameters.num_samples) as u64;
    let stops = Stops::new(&encoder.tokenizer, &parameters.stop);
    let model = model.for_sampling();
    let generator = Generator {
        model: &model,
        sampling: parameters.sampling(),
        batch: parameters.batch_size,
        seed: context.seed.clone(),
        stops: Some(Stops::new(&encoder.tokenizer, &parameters.stop)),
        share_beginning: false,
    };
    let mut unknown = 0;
    context.progress(drawn.len() as u64, total, "responses");
    generator.run_with(&copies(context, &model)?, &requests, |event| {
        let answer = match event {
            GenerationEvent::Answer(answer) => answer,
            GenerationEvent::FewerAtOnce { batch, reason } => {
                context.warn(format!(
                    "{reason}: continuing with {batch} responses at once; lower `batch_size` to \
                    avoid this"
                ));
                return Ok(());
            }
        };
        let prompt = &prompts[answer.request].prompt;
        let text = stops.text(&requests[answer.request].prompt, &answer.tokens);
        let text = text.map_err(StageError::doing("write a response"))?;
        let text = encoder.answer(prompt, text).map_err(StageError::doing("write a response"))?;
        // A model's vocabulary is often padded beyond its tokenizer's.
        unknown += usize::from(answer.tokens.iter().any(|token| !encoder.tokenizer.has(*token)));
        drawn.add(response(&answer, &prompts[answer.request], text))?;
        let done = drawn.len() as u64;
        // Two hundred reports, however many responses: each is a message to the run.
        if done == total || done.is_multiple_of(total.div_ceil(200)) {
            context.progress(done, total, "responses");
        }
        Ok::<_, StageError>(())
    })?;
    if unknown > 0 {
        warn_of_unknown_tokens(context, (unknown, total), &model, &encoder);
    }
    // In the order of the prompts, not of the sampling, which depends on `batch_size`.
    let identifiers = prompts.iter().flat_map(|prompt| {
        (0..parameters.num_samples).map(|sample| ResponseId::of_sample(&prompt.id, sample))
    });
    let writing = "write the responses";
    let rows = RowWriter::create(&context.output("responses.jsonl"));
    let mut rows = rows.map_err(StageError::doing(writing))?;
    for id in identifiers {
        let row = drawn.get(id.as_str())?.expect("every response was sampled");
        rows.write(&row).map_err(StageError::doing(writing))?;
    }
    rows.finish().map_err(StageError::doing(writing))
}

fn warn_of_unknown_tokens(
    context: &Context,
    (unknown, total): (usize, u64),
    model: &Transformer,
    encoder: &Encoder,
) {
    let (made, known) = (model.config.vocab_size, encoder.tokenizer.vocab_size());
    context.warn(format!(
        "{unknown} of {total} responses have tokens that the tokenizer lacks (the model has \
        {made}, the tokenizer {known}): they are missing in the text"
    ));
}

impl Parameters {
    /// The prompts of a file that are answered.
    ///
    /// # Errors
    /// If none is selected, or the file cannot be read.
    pub(crate) fn prompts(&self, path: &Path) -> Result<Vec<Prompt>, StageError> {
        let mut prompts = self.selection.of(path)?;
        prompts.truncate(self.max_prompts.unwrap_or(usize::MAX));
        Ok(prompts)
    }

    fn sampling(&self) -> Sampling {
        let Self { temperature, top_k, top_p, min_p, repetition_penalty, max_new_tokens, .. } =
            *self;
        Sampling { temperature, top_k, top_p, min_p, repetition_penalty, max_new: max_new_tokens }
    }
}

impl From<GenerateError> for StageError {
    fn from(error: GenerateError) -> Self {
        Self(format!("cannot sample responses: {error}"))
    }
}

/// The selected prompts, encoded.
fn asked(context: &Context, parameters: &Parameters) -> Result<Vec<Prompt>, StageError> {
    let mut prompts = parameters.prompts(&context.input_file("prompts", "prompts.jsonl")?)?;
    let empty: Vec<&Prompt> =
        prompts.iter().filter(|prompt| prompt.prompt.text().trim().is_empty()).collect();
    if let Some(first) = empty.first() {
        let (count, all) = (empty.len(), prompts.len());
        context.warn(format!("{count} of {all} prompts (first: `{}`) are empty", first.id));
    }
    for prompt in prompts.iter_mut().filter(|_| parameters.apply_chat_template) {
        // Prompts that are messages have a system prompt already, or want none.
        if let Content::Text(text) = &prompt.prompt {
            prompt.prompt = Content::from_user(text.clone(), parameters.system_prompt.as_deref());
        }
    }
    Ok(prompts)
}

impl Selection {
    /// Selected prompts in file order.
    ///
    /// # Errors
    /// If none is selected, or the file cannot be read.
    pub(crate) fn of(&self, path: &Path) -> Result<Vec<Prompt>, StageError> {
        let all: Vec<Prompt> =
            json_lines::read_rows(path).map_err(StageError::doing("read the prompts"))?;
        // A probe's file has nothing but questions, which then are what is asked for.
        let are_questions = all.iter().all(|prompt| prompt.form == PromptForm::Question);
        let form = if are_questions { PromptForm::Question } else { PromptForm::Paragraph };
        if all.is_empty() {
            return Err(StageError(format!("{}: it has no rows", path.display())));
        }
        let mut prompts = all.clone();
        prompts.retain(|prompt| {
            prompt.form == self.prompt_form.unwrap_or(form)
                && allows(self.domains.as_deref(), &prompt.domain)
                && allows(self.splits.as_deref(), &prompt.split)
        });
        if prompts.is_empty() {
            // As a set: each combination once, in the order of the alphabet.
            let there: BTreeSet<String> = all
                .iter()
                .map(|prompt| {
                    let form =
                        if prompt.form == PromptForm::Question { "question" } else { "paragraph" };
                    format!("domain `{}`, split `{}`, form `{form}`", prompt.domain, prompt.split)
                })
                .collect();
            let there: Vec<String> = there.into_iter().collect();
            return Err(StageError(format!(
                "no prompt is selected by `domains`, `splits` and `prompt_form`; {} has: {}",
                path.display(),
                there.join("; ")
            )));
        }
        Ok(prompts)
    }
}

/// Whether a selection, which may be absent, has a name.
fn allows(names: Option<&[String]>, name: &str) -> bool {
    names.is_none_or(|names| names.iter().any(|one| one == name))
}

fn response(answer: &GeneratedAnswer, prompt: &Prompt, output: String) -> Response {
    Response {
        id: ResponseId::of_sample(&prompt.id, answer.sample),
        prompt_id: prompt.id.clone(),
        sample: answer.sample,
        topic: prompt.topic.clone(),
        domain: prompt.domain.clone(),
        split: prompt.split.clone(),
        prompt: prompt.prompt.clone(),
        output,
        finish: answer.finish,
    }
}

/// The request for the samples of a prompt that no earlier attempt has drawn.
fn missing(
    drawn: &KeptRows<Response>,
    prompt: &Prompt,
    encoder: &Encoder,
    samples: usize,
) -> Result<Request, StageError> {
    let tokens = encoder.prompt(&prompt.prompt);
    let tokens = tokens.map_err(StageError::doing(format!("encode the prompt `{}`", prompt.id)))?;
    let missing = (0..samples).filter(|sample| {
        let id = ResponseId::of_sample(&prompt.id, *sample);
        !drawn.has(id.as_str())
    });
    Ok(Request { id: prompt.id.clone(), prompt: tokens, samples: missing.collect() })
}

#[cfg(test)]
mod tests {
    use std::fs;

    use serde_json::json;

    use super::*;
    use crate::device::DeviceName;
    use crate::{
        context::InputPath,
        model::{LARGEST_FILE, ModelConfig, Tokenizer, device},
        seed::Seed,
    };

    /// A folder with a small model, its tokenizer and some prompts.
    fn world() -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for name in ["model", "checkpoint", "output"] {
            fs::create_dir(folder.path().join(name)).unwrap();
        }
        let model = folder.path().join("model");
        let tokenizer =
            Tokenizer::train(["Tell me about Ada. Ada was born."].into_iter(), 270).unwrap();
        tokenizer.save(&model).unwrap();
        let config = json!({"architectures": ["LlamaForCausalLM"], "hidden_size": 16, "intermediate_size": 24,
            "num_hidden_layers": 1, "num_attention_heads": 2, "vocab_size": tokenizer.vocab_size(), "eos_token_id": 1,
            "tie_word_embeddings": true, "max_position_embeddings": 128});
        let config = ModelConfig::from_json(&config.to_string()).unwrap();
        config
            .init(&Seed::root(0), &device(DeviceName::Cpu).unwrap())
            .save(&model, LARGEST_FILE)
            .unwrap();
        let prompt = |index: usize| {
            let (domain, split) =
                (["people", "countries"][index % 2], ["tune", "test"][index / 2 % 2]);
            json!({"id": format!("p{index}"), "prompt": format!("Tell me about \
            {index}."), "topic": "t",
                "domain": domain, "split": split, "form": if index < 6 { "paragraph" } else { "question" }})
        };
        json_lines::write(&folder.path().join("prompts.jsonl"), (0..8).map(prompt)).unwrap();
        folder
    }

    fn attempt(folder: &Path, change: serde_json::Value) -> Result<Vec<u8>, String> {
        let mut parameters = crate::context::test_support::defaults(&KIND);
        parameters.extend(
            json!({"num_samples": 3, "max_new_tokens": 8, "batch_size": 4})
                .as_object()
                .unwrap()
                .clone(),
        );
        parameters.extend(change.as_object().unwrap().clone());
        let input = |name: &str, path| InputPath { name: name.to_owned(), path, cell: None };
        let context = Context {
            parameters: serde_json::Value::Object(parameters),
            inputs: vec![input("model", folder.join("model")), input("prompts", folder.to_owned())],
            output: folder.join("output"),
            checkpoint: folder.join("checkpoint"),
            store: Default::default(),
            seed: Seed::root(4),
            device: DeviceName::Cpu.into(),
            report: std::sync::Arc::new(|_| ()),
        };
        run(&context)
            .map_err(|error| error.to_string().replace(&folder.display().to_string(), "DIR"))?;
        Ok(fs::read(folder.join("output/responses.jsonl")).unwrap())
    }

    #[test]
    fn rows_stand_in_the_order_of_the_prompts() {
        let folder = world();
        attempt(folder.path(), json!({"domains": ["people"]})).unwrap();
        let rows: Vec<Response> =
            json_lines::read(&folder.path().join("output/responses.jsonl")).unwrap();
        let ids: Vec<&str> = rows.iter().map(|row| row.id.as_str()).collect();
        assert_eq!(ids, ["p0#0", "p0#1", "p0#2", "p2#0", "p2#1", "p2#2", "p4#0", "p4#1", "p4#2"]);
        assert!(
            rows.iter()
                .all(|row| row.domain == "people" && row.prompt.text().starts_with("Tell me"))
        );
    }

    #[test]
    fn questions_are_answered_where_they_are_wanted_or_there_is_nothing_else() {
        let folder = world();
        let path = folder.path().join("prompts.jsonl");
        let answered = |change| -> Vec<String> {
            attempt(folder.path(), change).unwrap();
            let rows: Vec<Response> =
                json_lines::read(&folder.path().join("output/responses.jsonl")).unwrap();
            rows.into_iter().map(|row| row.id.to_string()).collect()
        };
        assert_eq!(
            answered(json!({"num_samples": 1, "prompt_form": "question"})),
            ["p6#0", "p7#0"]
        );
        let mut prompts: Vec<Prompt> = json_lines::read(&path).unwrap();
        prompts.retain(|prompt| prompt.form == PromptForm::Question);
        json_lines::write(&path, &prompts).unwrap();
        assert_eq!(answered(json!({"num_samples": 1})), ["p6#0", "p7#0"]);
    }

    #[test]
    fn an_interrupted_attempt_goes_on_to_the_same_bytes() {
        let whole = attempt(world().path(), json!({})).unwrap();
        let folder = world();
        assert_eq!(attempt(folder.path(), json!({"batch_size": 64})).unwrap(), whole);
        let path = folder.path().join("checkpoint/answers");
        let kept = fs::read(&path).unwrap();
        for left in [0, 1, 100, kept.len() / 2, kept.len() - 1] {
            fs::write(&path, &kept[..left]).unwrap();
            assert_eq!(attempt(folder.path(), json!({"batch_size": 5})).unwrap(), whole, "{left}");
        }
        let mut damaged = kept.clone();
        damaged[kept.len() / 3] ^= 1;
        fs::write(&path, damaged).unwrap();
        assert_eq!(attempt(folder.path(), json!({})).unwrap(), whole);
    }

    #[test]
    fn selecting_nothing_says_what_there_is() {
        let folder = world();
        let error = attempt(folder.path(), json!({"domains": ["cities"]})).unwrap_err();
        assert!(
            error.starts_with(
                "no prompt is selected by `domains`, `splits` and `prompt_form`; \
                DIR/prompts.jsonl has: "
            ),
            "{error}"
        );
        assert!(error.contains("domain `people`, split `test`, form `question`"), "{error}");
        let error = attempt(folder.path(), json!({"splits": ["train"]})).unwrap_err();
        assert!(error.contains("split `tune`"), "{error}");
    }
}
