//! `generate`: a model goes on from a prompt.

use std::path::PathBuf;

use serde_json::json;

use crate::{
    model::{Answer, GenerateError, Generator, Request, Sampling, Tokenizer, Transformer, device},
    seed::Seed,
};

/// What `generate` is told.
#[derive(Debug, clap::Args)]
pub(super) struct GenerateArguments {
    /// A Hugging Face model directory.
    pub model: PathBuf,
    /// What to go on from; can be given several times.
    #[arg(long, required = true)]
    pub prompt: Vec<String>,
    /// The longest answer, in tokens.
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u32).range(1..))]
    pub max_new: u32,
    /// Divides the logits; 0 always takes the most probable token.
    #[arg(long, default_value_t = 1.0, allow_negative_numbers = true, value_parser = temperature)]
    pub temperature: f64,
    /// Only the most probable tokens that together reach this probability can be drawn.
    #[arg(long, default_value_t = 1.0, allow_negative_numbers = true, value_parser = probability)]
    pub top_p: f64,
    /// Only so many of the most probable tokens can be drawn.
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..))]
    pub top_k: Option<u32>,
    /// Answers to each prompt.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
    pub n: u32,
    /// Equal seeds give equal answers on the CPU.
    #[arg(long, default_value_t = 0)]
    pub seed: u64,
    /// Where to run: `cpu` or `cuda:N`.
    #[arg(long, default_value = "cpu")]
    pub device: String,
    /// One machine-readable value instead of text.
    #[arg(long)]
    pub json: bool,
}

fn temperature(text: &str) -> Result<f64, String> {
    let number = text.parse().ok().filter(|number| (0.0..=100.0).contains(number));
    number.ok_or_else(|| "a number from 0 to 100 is expected".to_owned())
}

fn probability(text: &str) -> Result<f64, String> {
    let number = text.parse().ok().filter(|number| *number > 0.0 && *number <= 1.0);
    number.ok_or_else(|| "a number above 0 and up to 1 is expected".to_owned())
}

/// Draws the answers and prints them, in the order of the prompts.
///
/// # Errors
/// Where the model cannot be loaded or fails.
pub(super) fn run(arguments: &GenerateArguments) -> anyhow::Result<()> {
    let device = device(&arguments.device)?;
    let model = Transformer::load(&arguments.model, &device)?;
    let tokenizer = Tokenizer::load(&arguments.model)?;
    let mut requests = Vec::new();
    for (index, prompt) in arguments.prompt.iter().enumerate() {
        let samples = (0..arguments.n as usize).collect();
        requests.push(Request { id: index.to_string(), prompt: tokenizer.encode_prompt(prompt)?, samples });
    }
    let sampling = Sampling {
        temperature: arguments.temperature,
        top_k: arguments.top_k.map(|most| most as usize),
        top_p: arguments.top_p,
        max_new: arguments.max_new as usize,
    };
    let generator = Generator { model: &model, sampling, batch: 64, seed: Seed::root(arguments.seed) };
    let mut answers: Vec<Answer> = Vec::new();
    generator.run(&requests, |answer| {
        answers.push(answer);
        Ok::<_, GenerateError>(())
    })?;
    answers.sort_by_key(|answer| (answer.request, answer.sample));
    let texts: Vec<String> = answers.iter().map(|answer| tokenizer.decode(&answer.tokens)).collect::<Result<_, _>>()?;
    if arguments.json {
        println!("{}", to_json(&answers, &requests, &texts));
        return Ok(());
    }
    for (answer, text) in answers.iter().zip(texts) {
        println!("{}{text}", arguments.prompt[answer.request]);
    }
    Ok(())
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
