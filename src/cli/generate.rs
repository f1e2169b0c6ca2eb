//! `generate`: responses to prompts.

use serde_json::json;

use super::{
    model::ModelArguments,
    output::{print_json, print_text},
};
use crate::{
    model::{
        GenerateError, GeneratedAnswer, GenerationEvent, Generator, Request, Sampling, Stops,
        generation_settings,
    },
    rows::Content,
    seed::Seed,
};

/// Arguments of `generate`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  apeft generate models/llama --prompt 'Tell me a bio of Ada Lovelace.' --max-new-tokens 128
  apeft generate models/llama-chat --chat --prompt 'Who was Ada?' --num-samples 4 --json
  apeft generate models/llama --adapter tuned --prompt 'Q: Who? A:' --temperature 0 --stop 'Q:'
  apeft generate quickstart:base@seed=0 --prompt 'Mira Tallow'")]
pub(super) struct GenerateArguments {
    #[command(flatten)]
    pub(super) model: ModelArguments,
    /// Prompt; repeatable.
    #[arg(long, required = true, value_name = "TEXT")]
    pub(super) prompt: Vec<String>,
    /// Apply the chat template: each prompt is a user message.
    #[arg(long)]
    pub(super) chat: bool,
    /// System prompt; needs --chat.
    #[arg(long, requires = "chat", value_name = "TEXT")]
    pub(super) system: Option<String>,
    /// Longest response in tokens.
    #[arg(
        long = "max-new-tokens",
        alias = "max-new",
        default_value_t = 64,
        value_parser = clap::value_parser!(u32).range(1..)
    )]
    pub(super) max_new: u32,
    /// Sampling temperature; 0 is greedy decoding.
    #[arg(long, default_value_t = 1.0, allow_negative_numbers = true, value_parser = temperature)]
    pub(super) temperature: f64,
    /// Nucleus sampling: the smallest set of tokens whose probabilities reach this sum.
    #[arg(long, default_value_t = 1.0, allow_negative_numbers = true, value_parser = probability)]
    pub(super) top_p: f64,
    /// Top-k sampling: only the k most probable tokens can be drawn.
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..))]
    pub(super) top_k: Option<u32>,
    /// Min-p sampling: only tokens with at least this share of the largest probability.
    #[arg(long, default_value_t = 0.0, allow_negative_numbers = true, value_parser = share)]
    pub(super) min_p: f64,
    /// Repetition penalty, as in transformers; 1 is off.
    #[arg(long, default_value_t = 1.0, allow_negative_numbers = true, value_parser = penalty)]
    pub(super) repetition_penalty: f64,
    /// Stop string, not part of the response; repeatable.
    #[arg(
        long,
        value_name = "TEXT",
        value_parser = clap::builder::NonEmptyStringValueParser::new()
    )]
    pub(super) stop: Vec<String>,
    /// Responses per prompt.
    #[arg(
        long = "num-samples",
        alias = "n",
        default_value_t = 1,
        value_parser = clap::value_parser!(u32).range(1..=100_000)
    )]
    pub(super) n: u32,
    /// Responses generated at once on each device; affects speed and memory only.
    #[arg(
        long = "batch-size",
        alias = "batch",
        default_value_t = 64,
        value_parser = clap::value_parser!(u32).range(1..)
    )]
    pub(super) batch: u32,
    /// Random seed; equal seeds give equal responses on the CPU.
    #[arg(long, default_value_t = 0)]
    pub(super) seed: u64,
    /// Print JSON.
    #[arg(long)]
    pub(super) json: bool,
}

pub(super) fn number(
    text: &str,
    right: impl Fn(f64) -> bool,
    expected: &str,
) -> Result<f64, String> {
    text.parse()
        .ok()
        .filter(|number| right(*number))
        .ok_or_else(|| format!("{expected} is expected"))
}

pub(super) fn temperature(text: &str) -> Result<f64, String> {
    number(text, |number| (0.0..=100.0).contains(&number), "a number from 0 to 100")
}

fn probability(text: &str) -> Result<f64, String> {
    number(text, |number| number > 0.0 && number <= 1.0, "a number above 0 and up to 1")
}

fn share(text: &str) -> Result<f64, String> {
    number(text, |number| (0.0..=1.0).contains(&number), "a number from 0 to 1")
}

fn penalty(text: &str) -> Result<f64, String> {
    number(text, |number| (1e-6..=100.0).contains(&number), "a number from 0.000001 to 100")
}

/// Samples responses and prints them in prompt order.
///
/// # Errors
/// If the model cannot be loaded or fails.
pub(super) fn run(arguments: &GenerateArguments) -> anyhow::Result<()> {
    let (model, encoder) = arguments.model.load()?;
    // The directory may suggest settings, and here only the command line counts.
    if let Some(note) = generation_settings(&arguments.model.directory()?)? {
        say!("note: {note}");
    }
    let contents: Vec<Content> =
        arguments.prompt.iter().map(|prompt| arguments.content(prompt)).collect();
    let mut requests = Vec::with_capacity(contents.len());
    for (index, content) in contents.iter().enumerate() {
        requests.push(Request {
            id: index.to_string(),
            prompt: encoder.prompt(content)?,
            samples: (0..arguments.n as usize).collect(),
        });
    }
    let model = model.for_sampling();
    let generator = Generator {
        model: &model,
        sampling: arguments.sampling(),
        batch: arguments.batch as usize,
        seed: Seed::root(arguments.seed),
        stops: Some(Stops::new(&encoder.tokenizer, &arguments.stop)),
        share_beginning: false,
    };
    let mut answers: Vec<GeneratedAnswer> = Vec::new();
    generator.run_with(&arguments.model.place.copies(&model)?, &requests, |event| {
        match event {
            GenerationEvent::Answer(answer) => answers.push(answer),
            GenerationEvent::FewerAtOnce { batch, reason } => {
                say!("warning: {reason}; continuing with {batch} at once")
            }
        }
        Ok::<_, GenerateError>(())
    })?;
    // Short responses end first; people expect the order of their prompts.
    answers.sort_by_key(|answer| (answer.request, answer.sample));
    let stops = Stops::new(&encoder.tokenizer, &arguments.stop);
    let mut texts = Vec::with_capacity(answers.len());
    for answer in &answers {
        let added = stops.text(&requests[answer.request].prompt, &answer.tokens)?;
        texts.push(encoder.answer(&contents[answer.request], added)?);
    }
    // Embeddings are often padded beyond the tokenizer, and sampling can reach the padding.
    let unknown = answers
        .iter()
        .filter(|answer| answer.tokens.iter().any(|token| !encoder.tokenizer.has(*token)))
        .count();
    if unknown > 0 {
        let all = answers.len();
        say!(
            "warning: {unknown} of {all} responses have tokens that the tokenizer lacks; they \
            are missing in the text"
        );
    }
    if arguments.json {
        return print_json(&to_json(&answers, &requests, &texts));
    }
    let mut lines = String::new();
    for (answer, text) in answers.iter().zip(texts) {
        // A response of a base model continues its prompt; one of a chat does not.
        let prompt = if arguments.chat { "" } else { &arguments.prompt[answer.request] };
        lines.push_str(&format!("{prompt}{text}\n"));
    }
    print_text(&lines)
}

impl GenerateArguments {
    /// A prompt as the user's message, or as plain text.
    fn content(&self, prompt: &str) -> Content {
        if self.chat {
            Content::from_user(prompt, self.system.as_deref())
        } else {
            Content::Text(prompt.to_owned())
        }
    }

    fn sampling(&self) -> Sampling {
        Sampling {
            temperature: self.temperature,
            top_k: self.top_k.map(|most| most as usize),
            top_p: self.top_p,
            min_p: self.min_p,
            repetition_penalty: self.repetition_penalty,
            max_new: self.max_new as usize,
        }
    }
}

fn to_json(
    answers: &[GeneratedAnswer],
    requests: &[Request],
    texts: &[String],
) -> serde_json::Value {
    let rows = answers.iter().zip(texts).map(|(answer, text)| {
        json!({
            "prompt_ids": requests[answer.request].prompt,
            "token_ids": answer.tokens,
            "logprobs": answer.log_probabilities,
            "text": text,
            "finish": answer.finish,
        })
    });
    rows.collect()
}
