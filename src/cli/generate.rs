//! `generate`: a model goes on from a prompt.

use serde_json::json;

use super::{
    model::ModelArguments,
    output::{print_json, print_text},
};
use crate::{
    language::Content,
    model::{Answer, Event, GenerateError, Generator, Request, Sampling, Stops, generation_settings},
    seed::Seed,
};

/// What `generate` is told.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  apeft generate models/llama --prompt 'Tell me a bio of Ada Lovelace.' --max-new 128
  apeft generate models/llama-chat --chat --prompt 'Who was Ada Lovelace?' --n 4 --temperature 0.7 --json
  apeft generate models/llama --adapter tuned --prompt 'Q: Who? A:' --temperature 0 --stop 'Q:'")]
pub(super) struct GenerateArguments {
    #[command(flatten)]
    pub(super) model: ModelArguments,
    /// What to go on from; can be given several times.
    #[arg(long, required = true, value_name = "TEXT")]
    pub(super) prompt: Vec<String>,
    /// Each prompt is a user's message, for the model's chat template.
    #[arg(long)]
    pub(super) chat: bool,
    /// With --chat: the system's message before it.
    #[arg(long, requires = "chat", value_name = "TEXT")]
    pub(super) system: Option<String>,
    /// The longest answer, in tokens.
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u32).range(1..))]
    pub(super) max_new: u32,
    /// Divides the logits; 0 always takes the most probable token.
    #[arg(long, default_value_t = 1.0, allow_negative_numbers = true, value_parser = temperature)]
    pub(super) temperature: f64,
    /// Only the most probable tokens that together reach this probability can be drawn.
    #[arg(long, default_value_t = 1.0, allow_negative_numbers = true, value_parser = probability)]
    pub(super) top_p: f64,
    /// Only so many of the most probable tokens can be drawn.
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..))]
    pub(super) top_k: Option<u32>,
    /// Only tokens of at least this share of the largest probability can be drawn.
    #[arg(long, default_value_t = 0.0, allow_negative_numbers = true, value_parser = share)]
    pub(super) min_p: f64,
    /// Makes tokens that the text has already less probable; 1 changes nothing.
    #[arg(long, default_value_t = 1.0, allow_negative_numbers = true, value_parser = penalty)]
    pub(super) repetition_penalty: f64,
    /// An answer ends where this text would begin; can be given several times.
    #[arg(long, value_name = "TEXT")]
    pub(super) stop: Vec<String>,
    /// Answers to each prompt.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub(super) n: u32,
    /// Answers that are written at once; changes speed and memory only.
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u32).range(1..))]
    pub(super) batch: u32,
    /// Equal seeds give equal answers on the CPU.
    #[arg(long, default_value_t = 0)]
    pub(super) seed: u64,
    /// One machine-readable value instead of text.
    #[arg(long)]
    pub(super) json: bool,
}

pub(super) fn number(text: &str, right: impl Fn(f64) -> bool, expected: &str) -> Result<f64, String> {
    text.parse().ok().filter(|number| right(*number)).ok_or_else(|| format!("{expected} is expected"))
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
    number(text, |number| number > 0.0 && number <= 100.0, "a number above 0 and up to 100")
}

/// Draws the answers and prints them, in the order of the prompts.
///
/// # Errors
/// Where the model cannot be loaded or fails.
pub(super) fn run(arguments: &GenerateArguments) -> anyhow::Result<()> {
    let (model, encoder) = arguments.model.load()?;
    if let Some(note) = generation_settings(&arguments.model.model)? {
        say!("note: {note}");
    }
    let mut requests = Vec::new();
    let mut contents = Vec::new();
    for (index, prompt) in arguments.prompt.iter().enumerate() {
        let content = match arguments.chat {
            true => Content::from_user(prompt, arguments.system.as_deref()),
            false => Content::Text(prompt.clone()),
        };
        let samples = (0..arguments.n as usize).collect();
        requests.push(Request { id: index.to_string(), prompt: encoder.prompt(&content)?, samples });
        contents.push(content);
    }
    let generator = Generator {
        model: &model,
        sampling: arguments.sampling(),
        batch: arguments.batch as usize,
        seed: Seed::root(arguments.seed),
        stops: Some(Stops::new(&encoder.tokenizer, &arguments.stop)),
    };
    let mut answers: Vec<Answer> = Vec::new();
    generator.run(&requests, |event| {
        match event {
            Event::Answer(answer) => answers.push(answer),
            Event::FewerAtOnce { batch, reason } => say!("warning: {reason}; going on with {batch} at once"),
        }
        Ok::<_, GenerateError>(())
    })?;
    answers.sort_by_key(|answer| (answer.request, answer.sample));
    let stops = Stops::new(&encoder.tokenizer, &arguments.stop);
    let text = |answer: &Answer| -> anyhow::Result<String> {
        let added = stops.text(&requests[answer.request].prompt, &answer.tokens)?;
        Ok(encoder.answer(&contents[answer.request], added)?)
    };
    let texts: Vec<String> = answers.iter().map(text).collect::<Result<_, _>>()?;
    let is_unknown = |answer: &&Answer| answer.tokens.iter().any(|token| !encoder.tokenizer.has(*token));
    let unknown = answers.iter().filter(is_unknown).count();
    if unknown > 0 {
        let all = answers.len();
        say!("warning: {unknown} of {all} answers have tokens that the tokenizer does not know; their text lacks them");
    }
    if arguments.json {
        return print_json(&to_json(&answers, &requests, &texts));
    }
    let line = |(answer, text): (&Answer, String)| {
        let prompt = if arguments.chat { "" } else { &arguments.prompt[answer.request] };
        format!("{prompt}{text}\n")
    };
    print_text(&answers.iter().zip(texts).map(line).collect::<String>())
}

impl GenerateArguments {
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

fn to_json(answers: &[Answer], requests: &[Request], texts: &[String]) -> serde_json::Value {
    let answer = |(answer, text): (&Answer, &String)| {
        json!({
            "prompt_ids": requests[answer.request].prompt,
            "token_ids": answer.tokens,
            "logprobs": answer.log_probabilities,
            "text": text,
            "finish": answer.finish,
        })
    };
    answers.iter().zip(texts).map(answer).collect()
}
