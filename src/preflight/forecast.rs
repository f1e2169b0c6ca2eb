//! How much a stage will read whose inputs do not exist yet, by what is known of them.

use std::path::Path;

use serde_json::Value;

use super::outlook::{Origin, Outlook};
use crate::{
    context::file_of,
    facts::answer_sentences,
    rows::{Claim, Response, Row, json_lines},
    stage::sample,
};

/// Sentences of a response: the mean of FActScore's labelled biographies (339 by InstructGPT and
/// ChatGPT), as far as `max_new_tokens` reaches.
const SENTENCES: f64 = 7.0;
/// Tokens of one of these sentences, about.
const SENTENCE_TOKENS: f64 = 26.0;
/// Facts of one of these sentences, as people and language models list them (4.3 and 4.5).
const LISTED_FACTS: f64 = 4.4;
/// Claims of one of these sentences by `by = "clauses"`.
const CLAUSES: f64 = 4.7;

/// A number of items that is not certain, with what it rests on.
#[derive(Clone, Debug, PartialEq)]
pub struct Forecast {
    /// About how many.
    pub number: f64,
    /// `800 prompts × 4 responses × 7 sentences`.
    pub basis: String,
}

impl Forecast {
    fn counted(number: usize, unit: &str) -> Self {
        Self { number: number as f64, basis: format!("{number} {unit}") }
    }

    fn times(self, factor: f64, unit: &str) -> Self {
        // The product is that of the numbers that are shown.
        let factor = (factor * 10.0).round() / 10.0;
        let basis = format!("{} \u{d7} {factor} {unit}", self.basis);
        Self { number: self.number * factor, basis }
    }
}

impl<'a> Outlook<'a> {
    /// Inputs that lead from claims back to prompts.
    pub const COUNTED: [&'static str; 3] = ["claims", "responses", "prompts"];

    /// The items that an `extract` or a `verify` asks a language model about: sentences, or claims.
    ///
    /// # Errors
    /// If nothing is known before another stage has run, which is named, or if a file cannot be
    /// read.
    pub fn asked_items(&self) -> Result<Forecast, String> {
        match self.kind.name {
            "extract" => self.sentences(),
            _ => self.claims(),
        }
    }

    fn claims(&self) -> Result<Forecast, String> {
        let extract = match self.given("claims")? {
            Origin::Path(path) => {
                let claims: Vec<Claim> = rows(path, "claims.jsonl")?;
                let facts = claims.iter().filter(|claim| claim.kind.is_fact()).count();
                return Ok(Forecast::counted(facts, "claims"));
            }
            Origin::Stage(stage) if stage.kind.name == "extract" => stage,
            Origin::Stage(stage) => return Err(stage.unknown()),
        };
        let sentences = extract.sentences()?;
        Ok(match extract.values.get("by").and_then(Value::as_str) {
            Some("sentences") => sentences,
            Some("clauses") => sentences.times(CLAUSES, "claims"),
            _ => sentences.times(LISTED_FACTS, "claims"),
        })
    }

    fn sentences(&self) -> Result<Forecast, String> {
        let sample = match self.given("responses")? {
            Origin::Path(path) => {
                let responses: Vec<Response> = rows(path, "responses.jsonl")?;
                let counts = responses.iter().map(|row| answer_sentences(&row.output).len());
                return Ok(Forecast::counted(counts.sum(), "sentences"));
            }
            Origin::Stage(stage) if stage.kind.name == "sample" => stage,
            Origin::Stage(stage) => return Err(stage.unknown()),
        };
        let Some(parameters) = sample.parameters::<sample::Parameters>() else {
            return Err(sample.unknown());
        };
        let prompts = match sample.given("prompts")? {
            Origin::Path(path) => parameters.prompts(&file_of(path, "prompts.jsonl")),
            Origin::Stage(stage) => return Err(stage.unknown()),
        };
        let prompts = prompts.map_err(|error| error.to_string())?.len();
        let fitting = parameters.max_new_tokens as f64 / SENTENCE_TOKENS;
        let responses =
            Forecast::counted(prompts, "prompts").times(parameters.num_samples as f64, "responses");
        Ok(responses.times(SENTENCES.min(fitting).max(1.0), "sentences"))
    }

    fn given(&self, input: &'static str) -> Result<&Origin<'a>, String> {
        self.origin(input).ok_or_else(|| format!("`{input}` is not given"))
    }

    pub(super) fn unknown(&self) -> String {
        format!("unknown until `{}` has run", self.name)
    }
}

fn rows<R: Row>(path: &Path, file: &str) -> Result<Vec<R>, String> {
    json_lines::read_rows(&file_of(path, file)).map_err(|error| error.to_string())
}
