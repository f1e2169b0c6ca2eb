//! `logprobs`: how probable a model finds the answers of preference pairs.

use std::path::PathBuf;

use serde::Deserialize;
use serde_json::json;

use super::{model::ModelArguments, output::print_text};
use crate::{
    language::{Content, json_lines},
    model::{EncodedPair, or_say_what_to_lower},
    tuning::{Answered, Savings, log_probabilities},
};

/// What `logprobs` is told.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  apeft logprobs models/llama --pairs pairs.jsonl
  apeft logprobs models/llama --pairs pairs.jsonl --adapter tuned --device cuda:0

Rows of the file: {\"prompt\", \"chosen\", \"rejected\"}, texts or lists of messages, encoded as TRL encodes them.
Rows of the output: {\"chosen_logp\", \"rejected_logp\", \"chosen_tokens\", \"rejected_tokens\"}, sums of natural logarithms
over the tokens of each answer, its end included.")]
pub(super) struct LogprobsArguments {
    #[command(flatten)]
    pub(super) model: ModelArguments,
    /// A file of preference pairs, one JSON object a line.
    #[arg(long, value_name = "FILE")]
    pub(super) pairs: PathBuf,
    /// Prompts that are texts are a user's messages and their answers the assistant's, for the model's chat template.
    #[arg(long)]
    pub(super) chat: bool,
    /// With --chat: the system's message before each prompt.
    #[arg(long, requires = "chat", value_name = "TEXT")]
    pub(super) system: Option<String>,
    /// Tokens that go through the model at once; changes speed and memory, and the last digits.
    #[arg(long, default_value_t = 8192, value_parser = clap::value_parser!(u32).range(1..))]
    pub(super) batch_tokens: u32,
}

/// What a row must have; TRL's files and ours have more.
#[derive(Deserialize)]
struct Row {
    prompt: Content,
    chosen: Content,
    rejected: Content,
}

/// Scores all pairs and prints a line for each, in the order of the file.
///
/// # Errors
/// Where model or pairs cannot be read, or an answer has no tokens or does not fit.
pub(super) fn run(arguments: &LogprobsArguments) -> anyhow::Result<()> {
    let rows: Vec<Row> = json_lines::read(&arguments.pairs)?;
    if rows.is_empty() {
        anyhow::bail!("{} has no rows: a pair a line is expected", arguments.pairs.display());
    }
    let (model, encoder) = arguments.model.load()?;
    let mut pairs: Vec<EncodedPair> = Vec::with_capacity(rows.len());
    for (index, row) in rows.iter().enumerate() {
        let wrong = |problem: String| anyhow::anyhow!("{}: pair {}: {problem}", arguments.pairs.display(), index + 1);
        let [prompt, chosen, rejected] = arguments.contents(row);
        let pair = encoder.pair(&prompt, &chosen, &rejected).map_err(|error| wrong(error.to_string()))?;
        check(&pair, &model.config).map_err(wrong)?;
        pairs.push(pair);
    }
    let moved = pairs.iter().filter(|pair| pair.moved > 0).count();
    if moved > 0 {
        say!(
            "warning: in {moved} of {} pairs tokens reach over the end of the prompt, or the chat template writes it \
             differently; the answer is taken to begin where the tokens differ, as TRL does",
            pairs.len()
        );
    }
    let answered = |pair: &EncodedPair| Answered {
        prompt: pair.prompt.clone(),
        answers: vec![pair.chosen.clone(), pair.rejected.clone()],
    };
    let texts: Vec<Answered> = pairs.iter().map(answered).collect();
    let device = arguments.model.place.find()?.device;
    let score = || log_probabilities(&model, &texts, arguments.batch_tokens as usize, Savings::default(), |_| ());
    let scored = or_say_what_to_lower(&device, "score the answers", "`--batch-tokens`", score);
    let sum = |tokens: &Vec<f32>| tokens.iter().map(|value| f64::from(*value)).sum();
    let scored = scored.map_err(anyhow::Error::msg)?;
    let sums: Vec<Vec<f64>> = scored.iter().map(|answers| answers.iter().map(sum).collect()).collect();
    if let Some(index) = sums.iter().position(|sums| sums.iter().any(|sum| !sum.is_finite())) {
        anyhow::bail!(
            "{}: pair {}: the model's log-probabilities are not numbers: its weights are damaged, its training diverged, \
             or `--dtype` is too narrow for them",
            arguments.pairs.display(),
            index + 1
        );
    }
    let line = |(pair, sums): (&EncodedPair, Vec<f64>)| {
        let row = json!({
            "chosen_logp": sums[0],
            "rejected_logp": sums[1],
            "chosen_tokens": pair.chosen.len(),
            "rejected_tokens": pair.rejected.len(),
        });
        format!("{row}\n")
    };
    print_text(&pairs.iter().zip(sums).map(line).collect::<String>())
}

impl LogprobsArguments {
    /// Prompt and answers, as messages where they are to be.
    fn contents(&self, row: &Row) -> [Content; 3] {
        let Row { prompt, chosen, rejected } = row;
        match (self.chat, prompt, chosen, rejected) {
            (true, Content::Text(text), Content::Text(chosen), Content::Text(rejected)) => {
                let prompt = Content::from_user(text, self.system.as_deref());
                let answers = [chosen, rejected].map(|answer| prompt.answer(answer.clone()));
                let [chosen, rejected] = answers;
                [prompt, chosen, rejected]
            }
            _ => [prompt.clone(), chosen.clone(), rejected.clone()],
        }
    }
}

fn check(pair: &EncodedPair, config: &crate::model::ModelConfig) -> Result<(), String> {
    let longest = config.max_position_embeddings;
    let length = pair.prompt.len() + pair.chosen.len().max(pair.rejected.len());
    let tokens = pair.prompt.iter().chain(&pair.chosen).chain(&pair.rejected);
    if pair.prompt.is_empty() {
        return Err(match pair.moved {
            0 => "the prompt has no tokens, and the tokenizer begins no text by itself".to_owned(),
            _ => "nothing of the prompt is left before the answer: its tokens reach over the boundary, or the chat template \
                  writes it differently"
                .to_owned(),
        });
    }
    if let Some(empty) = [("chosen", &pair.chosen), ("rejected", &pair.rejected)].iter().find(|(_, all)| all.is_empty())
    {
        return Err(format!(
            "an answer has no tokens: `{}` must say something, or the model must have an end token (`eos_token`)",
            empty.0
        ));
    }
    if length > longest {
        return Err(format!("it has {length} tokens with its longer answer, but the model reads at most {longest}"));
    }
    match tokens.max().filter(|token| **token as usize >= config.vocab_size) {
        Some(token) => Err(format!(
            "it has the token {token}, but the model has {} tokens: its tokenizer is another model's",
            config.vocab_size
        )),
        None => Ok(()),
    }
}
