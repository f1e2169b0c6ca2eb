//! `logprobs`: log-probabilities of the completions of preference pairs.

use std::path::PathBuf;

use serde_json::json;

use super::{model::ModelArguments, output::print_text, run_name};
use crate::{
    context::file_of,
    model::{EncodedPair, other_devices, with_oom_hint},
    rows::{Content, PreferenceAnswers, PreferenceRow, json_lines},
    tuning::{ComputeOptions, Replicas, SharedModel, TokenizedExample},
};

/// Arguments of `logprobs`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  apeft logprobs models/llama --pairs pairs.jsonl
  apeft logprobs models/llama --pairs pairs.jsonl --adapter tuned --device cuda:0

Input rows: {\"prompt\", \"chosen\", \"rejected\"}, texts or lists of messages, encoded as in TRL.
Output rows: {\"chosen_logp\", \"rejected_logp\", \"chosen_tokens\", \"rejected_tokens\"}; natural
logarithms, summed over the tokens of each completion, EOS included.")]
pub(super) struct LogprobsArguments {
    #[command(flatten)]
    pub(super) model: ModelArguments,
    /// JSON-lines file of preference pairs, or RUN:STAGE.
    #[arg(long, value_name = "FILE")]
    pub(super) pairs: PathBuf,
    /// Apply the chat template to text prompts (user) and completions (assistant).
    #[arg(long)]
    pub(super) chat: bool,
    /// System prompt; needs --chat.
    #[arg(long, requires = "chat", value_name = "TEXT")]
    pub(super) system: Option<String>,
    /// Tokens per forward pass; affects speed, memory and the last digits.
    #[arg(long, default_value_t = 8192, value_parser = clap::value_parser!(u32).range(1..))]
    pub(super) batch_tokens: u32,
}

/// Scores all pairs and prints a line per pair, in file order.
///
/// # Errors
/// If model or pairs cannot be read, or a completion has no tokens or does not fit.
pub(super) fn run(arguments: &LogprobsArguments) -> anyhow::Result<()> {
    let rows = read_pairs(arguments)?;
    let (model, encoder) = arguments.model.load()?;
    let mut pairs: Vec<EncodedPair> = Vec::with_capacity(rows.len());
    for (index, row) in rows.iter().enumerate() {
        let PreferenceAnswers::Pair([chosen, rejected]) = &row.answers else {
            anyhow::bail!(
                "{}: it is a labelled completion; pairs with `chosen` and `rejected` are expected",
                arguments.place_of(index)
            );
        };
        let [prompt, chosen, rejected] =
            arguments.contents([&row.prompt, &chosen.content, &rejected.content]);
        let pair = encoder.pair(&prompt, &chosen, &rejected).map_err(|error| error.to_string());
        match pair.and_then(|pair| check(&pair, &model.config).map(|()| pair)) {
            Ok(pair) => pairs.push(pair),
            Err(problem) => anyhow::bail!("{}: {problem}", arguments.place_of(index)),
        }
    }
    let moved = pairs.iter().filter(|pair| pair.moved > 0).count();
    if moved > 0 {
        say!(
            "warning: in {moved} of {} pairs tokens cross the end of the prompt, or the chat \
            template writes it differently; the completion begins at the first difference, as in \
            TRL",
            pairs.len()
        );
    }
    let texts: Vec<TokenizedExample> = pairs
        .iter()
        .map(|pair| TokenizedExample {
            prompt: pair.prompt.clone(),
            completions: vec![pair.chosen.clone(), pair.rejected.clone()],
        })
        .collect();
    let device = arguments.model.place.find()?.device;
    let replicas = Replicas::new(&model, &other_devices(arguments.model.place.device)?);
    let (batch, options) = (arguments.batch_tokens as usize, ComputeOptions::default());
    let scored = with_oom_hint(&device, "score the completions", "`--batch-tokens`", || {
        SharedModel::new(&model, &replicas).log_probabilities(&texts, batch, options, |_| ())
    });
    let scored = scored.map_err(anyhow::Error::msg)?;
    let mut lines = String::new();
    for (index, (pair, answers)) in pairs.iter().zip(scored).enumerate() {
        let [chosen, rejected] = [sum(&answers[0]), sum(&answers[1])];
        if !chosen.is_finite() || !rejected.is_finite() {
            anyhow::bail!(
                "{}: the model's log-probabilities are not numbers: its weights are damaged, its \
                training diverged, or `--dtype` is too narrow for them",
                arguments.place_of(index)
            );
        }
        let row = json!({
            "chosen_logp": chosen,
            "rejected_logp": rejected,
            "chosen_tokens": pair.chosen.len(),
            "rejected_tokens": pair.rejected.len(),
        });
        lines.push_str(&format!("{row}\n"));
    }
    print_text(&lines)
}

/// The rows of the file or stage, at least one.
fn read_pairs(arguments: &LogprobsArguments) -> anyhow::Result<Vec<PreferenceRow>> {
    let place = run_name::folder(&arguments.model.experiments, &arguments.pairs)?;
    if !place.exists() {
        anyhow::bail!(
            "there is no `{}`: a file of pairs or RUN:STAGE is expected",
            place.display()
        );
    }
    let file = file_of(&place, "pairs.jsonl");
    if !file.exists() {
        anyhow::bail!(
            "`{}` has no `pairs.jsonl`: a stage that makes pairs is expected, such as `mine`",
            arguments.pairs.display()
        );
    }
    let rows: Vec<PreferenceRow> = json_lines::read(&file)?;
    if rows.is_empty() {
        anyhow::bail!("{} has no rows: a pair a line is expected", file.display());
    }
    Ok(rows)
}

/// Sums in double precision, since a long text has thousands of terms.
fn sum(tokens: &[f32]) -> f64 {
    tokens.iter().map(|value| f64::from(*value)).sum()
}

impl LogprobsArguments {
    fn place_of(&self, index: usize) -> String {
        format!("{}: pair {}", self.pairs.display(), index + 1)
    }

    /// Prompt and completions, as messages if requested.
    fn contents(&self, [prompt, chosen, rejected]: [&Content; 3]) -> [Content; 3] {
        // Rows of messages have their roles already.
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
            0 => "the prompt has no tokens, and the tokenizer adds no BOS".to_owned(),
            _ => "no token of the prompt precedes the completion: its tokens cross the boundary, \
                or the chat template writes it differently"
                .to_owned(),
        });
    }
    if let Some(empty) = [("chosen", &pair.chosen), ("rejected", &pair.rejected)]
        .iter()
        .find(|(_, all)| all.is_empty())
    {
        return Err(format!(
            "a completion has no tokens: `{}` must not be empty, or the model must have EOS \
            (`eos_token`)",
            empty.0
        ));
    }
    if length > longest {
        return Err(format!(
            "it has {length} tokens with its longer completion, but the model has at most {longest}"
        ));
    }
    match tokens.max().filter(|token| **token as usize >= config.vocab_size) {
        Some(token) => Err(format!(
            "it has the token {token}, but the model has {} tokens: the tokenizer belongs to \
            another model",
            config.vocab_size
        )),
        None => Ok(()),
    }
}
