//! `sample`: a model answers prompts.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs::{File, OpenOptions},
    io::{Read, Write},
    path::Path,
};

use serde::Deserialize;

use super::{
    Context, StageError,
    artifact::{ADAPTER, MODEL, PROMPTS, RESPONSES},
    model_remarks::{warn_of_adapter, warn_of_generation, warn_of_model},
};
use crate::{
    language::{Content, Prompt, PromptForm, Response, json_lines},
    model::{Adapter, Answer, Encoder, Event, GenerateError, Generator, Place, Request, Sampling, Stops, Transformer},
    recipe::schema::{Chosen, Default, Input, Kind, Mismatch, Parameter, Shape},
};

/// What the engine knows of it.
pub(super) const KIND: Kind = Kind {
    name: "sample",
    // 1: the first. 2: exponentials of our own, which are the same on every machine; adapters, formats, chats. 3: an answer
    // is what its tokens add to the prompt's text, its leading space included; a prompt is never ended.
    version: 3,
    about: "Draws answers to prompts from a model.",
    inputs: &[
        Input::one("model", &MODEL, "Who answers."),
        Input::one("prompts", &PROMPTS, "What is asked."),
        Input::optional("adapter", &ADAPTER, "A LoRA adapter of the model."),
    ],
    parameters: &[
        Parameter::new(
            "n",
            Shape::Integer { least: 1, most: 100_000 },
            Default::Integer(10),
            "Answers to each prompt.",
        ),
        Parameter::new(
            "temperature",
            Shape::Number { least: 0.0, most: 100.0, open: false },
            Default::Number(1.0),
            "Divides the logits; 0 always takes the most probable token.",
        ),
        Parameter::new(
            "top_p",
            Shape::Number { least: 0.0, most: 1.0, open: true },
            Default::Number(1.0),
            "Only the most probable tokens that together reach this probability can be drawn.",
        ),
        Parameter::new(
            "top_k",
            Shape::Integer { least: 1, most: 1 << 24 },
            Default::Absent,
            "Only so many of the most probable tokens can be drawn.",
        ),
        Parameter::new(
            "min_p",
            Shape::Number { least: 0.0, most: 1.0, open: false },
            Default::Number(0.0),
            "Only tokens of at least this share of the largest probability can be drawn.",
        ),
        Parameter::new(
            "repetition_penalty",
            Shape::Number { least: 0.0, most: 100.0, open: true },
            Default::Number(1.0),
            "Makes tokens that prompt or answer has already less probable; 1 changes nothing.",
        ),
        Parameter::new(
            "stop",
            Shape::List(&Shape::Text),
            Default::Texts(&[]),
            "An answer ends where one of these texts would begin.",
        )
        .set(),
        Parameter::new(
            "chat",
            Shape::Flag,
            Default::Flag(false),
            "Whether prompts that are texts become messages of a user, for the model's chat template.",
        ),
        Parameter::new("system", Shape::Text, Default::Absent, "With `chat`: the system's message before each prompt."),
        Parameter::new(
            "dtype",
            Shape::Choice(&["auto", "float32", "bfloat16", "float16"]),
            Default::Text("auto"),
            "The format to compute in; auto is float32 on the CPU, bfloat16 on a GPU.",
        ),
        Parameter::new(
            "max_new",
            Shape::Integer { least: 1, most: 1 << 20 },
            Default::Integer(64),
            "The longest answer, in tokens.",
        ),
        Parameter::new(
            "batch",
            Shape::Integer { least: 1, most: 1 << 16 },
            Default::Integer(64),
            "Answers that are written at once; changes speed and memory only.",
        )
        .neutral(),
        Parameter::new("domains", Shape::List(&Shape::Text), Default::Absent, "Only prompts of these domains.").set(),
        Parameter::new("splits", Shape::List(&Shape::Text), Default::Absent, "Only prompts of these splits.").set(),
        Parameter::new(
            "form",
            Shape::Choice(&["paragraph", "question"]),
            Default::Absent,
            "Whether prompts for paragraphs or for single facts are answered; else those for paragraphs, and where there are none the others.",
        ),
        Parameter::new(
            "at_most",
            Shape::Integer { least: 1, most: 1 << 40 },
            Default::Absent,
            "Only the first so many of the prompts that are left.",
        ),
    ],
    provides: &[&RESPONSES],
    draws: true,
    gathers: false,
    on_device: true,
    fits: Some(fits),
    lacks: None,
    suits: None,
};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Parameters {
    n: usize,
    temperature: f64,
    top_p: f64,
    top_k: Option<usize>,
    min_p: f64,
    repetition_penalty: f64,
    stop: Vec<String>,
    chat: bool,
    system: Option<String>,
    dtype: String,
    max_new: usize,
    batch: usize,
    domains: Option<Vec<String>>,
    splits: Option<Vec<String>>,
    form: Option<PromptForm>,
    at_most: Option<usize>,
}

/// A system's message goes into a chat template only, and without chance there is nothing to draw from.
fn fits(chosen: &Chosen<'_>) -> Vec<Mismatch> {
    let mut found = Vec::new();
    if chosen.has("system") && !chosen.flag("chat") {
        let problem = "`system` is given, but `chat` is not";
        found.push(Mismatch::error("system", problem, "set `chat = true`, or leave `system` out"));
    }
    if chosen.number("temperature") == 0.0 {
        let why = "`temperature` 0 always takes the most probable token";
        for field in ["top_p", "top_k", "min_p"].into_iter().filter(|field| chosen.is_changed(field)) {
            found.push(Mismatch::of_no_use(field, why, "raise `temperature`, or leave it out"));
        }
        if chosen.count("n") > 1 && chosen.is_changed("n") {
            let why = "with `temperature` 0 all answers to a prompt are the same";
            found.push(Mismatch::of_no_use("n", why, "set `n = 1`, or raise `temperature`"));
        }
    }
    found
}

/// Draws all answers that earlier attempts at the same key have not drawn yet.
///
/// # Errors
/// Where no prompt is selected, a file is damaged, or the model fails.
pub(super) fn run(context: &Context) -> Result<(), StageError> {
    let parameters: Parameters = context.parameters()?;
    let directory = context.input("model")?;
    let place = Place::named(&context.device, &parameters.dtype).map_err(StageError::doing("use the device"))?;
    let mut model = Transformer::load(directory, &place).map_err(StageError::doing("load the model"))?;
    if let Some(adapter) = context.inputs("adapter").next() {
        Adapter::load(&adapter.path, &mut model).map_err(StageError::doing("load the adapter"))?;
    }
    let encoder = Encoder::load(directory, &model.config).map_err(StageError::doing("load the tokenizer"))?;
    warn_of_model(context, directory, &encoder)?;
    warn_of_adapter(context, "adapter", directory)?;
    warn_of_generation(context, directory)?;
    let prompts = select(&context.input_file("prompts", "prompts.jsonl")?, &parameters)?;
    let mut drawn = Drawn::open(&context.checkpoint.join("answers"))?;
    let requests = requests(&prompts, &encoder, &drawn, parameters.n)?;
    let total = (prompts.len() * parameters.n) as u64;
    let stops = Stops::new(&encoder.tokenizer, &parameters.stop);
    let generator = Generator {
        model: &model,
        sampling: parameters.sampling(),
        batch: parameters.batch,
        seed: context.seed.clone(),
        stops: Some(Stops::new(&encoder.tokenizer, &parameters.stop)),
    };
    let mut unknown = 0;
    context.progress(drawn.rows.len() as u64, total, "answers");
    generator.run(&requests, |event| {
        let answer = match event {
            Event::Answer(answer) => answer,
            Event::FewerAtOnce { batch, reason } => {
                context.warn(format!("{reason}: going on with {batch} answers at once; `batch` can be lowered"));
                return Ok(());
            }
        };
        let prompt = &prompts[answer.request].prompt;
        let text = stops.text(&requests[answer.request].prompt, &answer.tokens);
        let text = text.map_err(StageError::doing("write the answers"))?;
        let text = encoder.answer(prompt, text).map_err(StageError::doing("write the answers"))?;
        unknown += usize::from(answer.tokens.iter().any(|token| !encoder.tokenizer.has(*token)));
        drawn.add(response(&answer, &prompts[answer.request], text))?;
        let done = drawn.rows.len() as u64;
        if done == total || done.is_multiple_of(total.div_ceil(200)) {
            context.progress(done, total, "answers");
        }
        Ok::<_, StageError>(())
    })?;
    if unknown > 0 {
        context.warn(format!(
            "{unknown} of {total} answers have tokens that the tokenizer does not know (the model has {}, the tokenizer \
             {}): they are missing in the text",
            model.config.vocab_size,
            encoder.tokenizer.vocab_size()
        ));
    }
    let identifiers = prompts.iter().flat_map(|prompt| (0..parameters.n).map(|sample| identifier(prompt, sample)));
    let rows = identifiers.map(|id| &drawn.rows[&id]);
    json_lines::write(&context.output("responses.jsonl"), rows).map_err(StageError::doing("write the answers"))
}

impl Parameters {
    fn sampling(&self) -> Sampling {
        let Self { temperature, top_k, top_p, min_p, repetition_penalty, max_new, .. } = *self;
        Sampling { temperature, top_k, top_p, min_p, repetition_penalty, max_new }
    }
}

impl From<GenerateError> for StageError {
    fn from(error: GenerateError) -> Self {
        Self(format!("cannot draw answers: {error}"))
    }
}

fn identifier(prompt: &Prompt, sample: usize) -> String {
    format!("{}#{sample}", prompt.id)
}

/// The prompts that the parameters let through, in the order of their file.
fn select(path: &Path, parameters: &Parameters) -> Result<Vec<Prompt>, StageError> {
    let all: Vec<Prompt> = json_lines::read_rows(path).map_err(StageError::doing("read the prompts"))?;
    let named = |names: &Option<Vec<String>>, name: &String| names.as_ref().is_none_or(|names| names.contains(name));
    let are_questions = all.iter().all(|prompt| prompt.form == PromptForm::Question);
    let form = if are_questions { PromptForm::Question } else { PromptForm::Paragraph };
    let mut prompts = all.clone();
    prompts.retain(|prompt| {
        prompt.form == parameters.form.unwrap_or(form)
            && named(&parameters.domains, &prompt.domain)
            && named(&parameters.splits, &prompt.split)
    });
    prompts.truncate(parameters.at_most.unwrap_or(usize::MAX));
    for prompt in prompts.iter_mut().filter(|_| parameters.chat) {
        if let Content::Text(text) = &prompt.prompt {
            prompt.prompt = Content::from_user(text.clone(), parameters.system.as_deref());
        }
    }
    if prompts.is_empty() {
        let there: BTreeSet<String> = all
            .iter()
            .map(|prompt| {
                let form = if prompt.form == PromptForm::Question { "question" } else { "paragraph" };
                format!("domain `{}`, split `{}`, form `{form}`", prompt.domain, prompt.split)
            })
            .collect();
        let there: Vec<String> = there.into_iter().collect();
        return Err(StageError(format!(
            "no prompt is selected by `domains`, `splits` and `form`; {} has: {}",
            path.display(),
            there.join("; ")
        )));
    }
    Ok(prompts)
}

fn requests(prompts: &[Prompt], encoder: &Encoder, drawn: &Drawn, samples: usize) -> Result<Vec<Request>, StageError> {
    let request = |prompt: &Prompt| {
        let tokens = encoder.prompt(&prompt.prompt);
        let tokens = tokens.map_err(StageError::doing(format!("encode the prompt `{}`", prompt.id)))?;
        let missing = (0..samples).filter(|sample| !drawn.rows.contains_key(&identifier(prompt, *sample)));
        Ok(Request { id: prompt.id.clone(), prompt: tokens, samples: missing.collect() })
    };
    prompts.iter().map(request).collect()
}

fn response(answer: &Answer, prompt: &Prompt, output: String) -> Response {
    Response {
        id: identifier(prompt, answer.sample),
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

/// The answers so far, by identifier, and the file that keeps them if the attempt dies: a line is the first 16 digits of
/// the BLAKE3 digest of a row, a space and the row.
struct Drawn {
    rows: BTreeMap<String, Response>,
    file: File,
}

impl Drawn {
    /// Reads what earlier attempts left, up to the first line that is torn or damaged: what follows is drawn again.
    fn open(path: &Path) -> Result<Self, StageError> {
        let cannot = || StageError::doing(format!("keep answers in {}", path.display()));
        let file = OpenOptions::new().create(true).truncate(false).read(true).append(true).open(path);
        let mut file = file.map_err(cannot())?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes).map_err(cannot())?;
        let (mut rows, mut whole) = (BTreeMap::new(), 0);
        for line in bytes.split_inclusive(|byte| *byte == b'\n') {
            let Some(row) = parse_line(line) else { break };
            rows.insert(row.id.clone(), row);
            whole += line.len();
        }
        file.set_len(whole as u64).map_err(cannot())?;
        Ok(Self { rows, file })
    }

    fn add(&mut self, row: Response) -> Result<(), StageError> {
        let text = serde_json::to_string(&row).map_err(StageError::doing("keep an answer"))?;
        let line = format!("{} {text}\n", checksum(text.as_bytes()));
        self.file.write_all(line.as_bytes()).map_err(StageError::doing("keep an answer"))?;
        self.rows.insert(row.id.clone(), row);
        Ok(())
    }
}

fn parse_line(line: &[u8]) -> Option<Response> {
    let (sum, text) = std::str::from_utf8(line).ok()?.strip_suffix('\n')?.split_once(' ')?;
    (sum == checksum(text.as_bytes())).then(|| serde_json::from_str(text).ok()).flatten()
}

fn checksum(bytes: &[u8]) -> String {
    blake3::hash(bytes).to_hex()[..16].to_owned()
}

#[cfg(test)]
mod tests {
    use std::fs;

    use serde_json::json;

    use super::*;
    use crate::{
        model::{LARGEST_FILE, ModelConfig, Tokenizer, device},
        seed::Seed,
        stage::InputPath,
    };

    /// A folder with a small model, its tokenizer and some prompts.
    fn world() -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for name in ["model", "checkpoint", "output"] {
            fs::create_dir(folder.path().join(name)).unwrap();
        }
        let model = folder.path().join("model");
        let tokenizer = Tokenizer::train(["Tell me about Ada. Ada was born."].into_iter(), 270).unwrap();
        tokenizer.save(&model).unwrap();
        let config = json!({"architectures": ["LlamaForCausalLM"], "hidden_size": 16, "intermediate_size": 24,
            "num_hidden_layers": 1, "num_attention_heads": 2, "vocab_size": tokenizer.vocab_size(), "eos_token_id": 1,
            "tie_word_embeddings": true, "max_position_embeddings": 128});
        let config = ModelConfig::from_json(&config.to_string()).unwrap();
        config.init(&Seed::root(0), &device("cpu").unwrap()).save(&model, LARGEST_FILE).unwrap();
        let prompt = |index: usize| {
            let (domain, split) = (["people", "countries"][index % 2], ["tune", "test"][index / 2 % 2]);
            json!({"id": format!("p{index}"), "prompt": format!("Tell me about {index}."), "topic": "t",
                "domain": domain, "split": split, "form": if index < 6 { "paragraph" } else { "question" }})
        };
        json_lines::write(&folder.path().join("prompts.jsonl"), (0..8).map(prompt)).unwrap();
        folder
    }

    fn attempt(folder: &Path, change: serde_json::Value) -> Result<Vec<u8>, String> {
        let mut parameters = super::super::trial::defaults(&KIND);
        parameters.extend(json!({"n": 3, "max_new": 8, "batch": 4}).as_object().unwrap().clone());
        parameters.extend(change.as_object().unwrap().clone());
        let input = |name: &str, path| InputPath { name: name.to_owned(), path, label: None };
        let context = Context {
            parameters: serde_json::Value::Object(parameters),
            inputs: vec![input("model", folder.join("model")), input("prompts", folder.to_owned())],
            output: folder.join("output"),
            checkpoint: folder.join("checkpoint"),
            seed: Seed::root(4),
            device: "cpu".to_owned(),
            report: std::sync::Arc::new(|_| ()),
        };
        run(&context).map_err(|error| error.to_string().replace(&folder.display().to_string(), "DIR"))?;
        Ok(fs::read(folder.join("output/responses.jsonl")).unwrap())
    }

    #[test]
    fn rows_stand_in_the_order_of_the_prompts() {
        let folder = world();
        attempt(folder.path(), json!({"domains": ["people"]})).unwrap();
        let rows: Vec<Response> = json_lines::read(&folder.path().join("output/responses.jsonl")).unwrap();
        let ids: Vec<&str> = rows.iter().map(|row| row.id.as_str()).collect();
        assert_eq!(ids, ["p0#0", "p0#1", "p0#2", "p2#0", "p2#1", "p2#2", "p4#0", "p4#1", "p4#2"]);
        assert!(rows.iter().all(|row| row.domain == "people" && row.prompt.text().starts_with("Tell me")));
    }

    #[test]
    fn questions_are_answered_where_they_are_wanted_or_there_is_nothing_else() {
        let folder = world();
        let path = folder.path().join("prompts.jsonl");
        let answered = |change| -> Vec<String> {
            attempt(folder.path(), change).unwrap();
            let rows: Vec<Response> = json_lines::read(&folder.path().join("output/responses.jsonl")).unwrap();
            rows.into_iter().map(|row| row.id).collect()
        };
        assert_eq!(answered(json!({"n": 1, "form": "question"})), ["p6#0", "p7#0"]);
        let mut prompts: Vec<Prompt> = json_lines::read(&path).unwrap();
        prompts.retain(|prompt| prompt.form == PromptForm::Question);
        json_lines::write(&path, &prompts).unwrap();
        assert_eq!(answered(json!({"n": 1})), ["p6#0", "p7#0"]);
    }

    #[test]
    fn an_interrupted_attempt_goes_on_to_the_same_bytes() {
        let whole = attempt(world().path(), json!({})).unwrap();
        let folder = world();
        assert_eq!(attempt(folder.path(), json!({"batch": 64})).unwrap(), whole);
        let path = folder.path().join("checkpoint/answers");
        let kept = fs::read(&path).unwrap();
        for left in [0, 1, 100, kept.len() / 2, kept.len() - 1] {
            fs::write(&path, &kept[..left]).unwrap();
            assert_eq!(attempt(folder.path(), json!({"batch": 5})).unwrap(), whole, "{left}");
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
            error.starts_with("no prompt is selected by `domains`, `splits` and `form`; DIR/prompts.jsonl has: "),
            "{error}"
        );
        assert!(error.contains("domain `people`, split `test`, form `question`"), "{error}");
        let error = attempt(folder.path(), json!({"splits": ["train"]})).unwrap_err();
        assert!(error.contains("split `tune`"), "{error}");
    }
}
