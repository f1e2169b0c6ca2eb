//! The rows of the files between stages, as the design's contract names their fields.

use serde::{Deserialize, Serialize};

use super::{Content, checks};

/// A row of `prompts.jsonl`: what a model is asked.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Prompt {
    /// Unique in its file.
    pub id: String,
    /// The text to go on from, or messages to answer.
    pub prompt: Content,
    /// Whom or what it is about: the title of a document of the knowledge.
    pub topic: String,
    /// The domain of the topic: "people", ...
    pub domain: String,
    /// What it may be used for: "tune", "test", ...
    #[serde(default)]
    pub split: String,
    /// Whether a paragraph or a single fact is asked for.
    #[serde(default)]
    pub form: PromptForm,
    /// For a question: the attribute that it asks for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attribute: Option<String>,
    /// For a question: the sentences of the knowledge that answer it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub answers: Vec<String>,
    /// For a question that was made from a claim: the claim.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub claim: Option<String>,
}

/// What a prompt asks for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PromptForm {
    /// Several facts about the topic.
    #[default]
    Paragraph,
    /// One fact.
    Question,
}

/// A row of `documents.jsonl`: a text to train on from scratch.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Document {
    /// What comes before the text that is learnt; its tokens carry no loss.
    pub prompt: String,
    /// The text that is learnt, without its end token.
    pub text: String,
    /// The weight of its tokens in the loss.
    #[serde(deserialize_with = "checks::weight")]
    pub weight: f64,
    /// Documents of one group fill a fixed share of every batch.
    pub group: String,
}

/// A row of `responses.jsonl`: an answer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Response {
    /// Unique in its file: `<prompt id>#<sample>`.
    pub id: String,
    /// The prompt's row.
    pub prompt_id: String,
    /// Which of the prompt's answers, from 0.
    pub sample: usize,
    /// The prompt's topic.
    pub topic: String,
    /// The prompt's domain.
    pub domain: String,
    /// The prompt's split.
    #[serde(default)]
    pub split: String,
    /// What was asked.
    pub prompt: Content,
    /// The answer, without its end token.
    pub output: String,
    /// Why it ended.
    pub finish: Finish,
}

/// Why an answer ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Finish {
    /// With an end token.
    Stop,
    /// At the longest length allowed.
    Length,
}

/// A row of `claims.jsonl`: one fact that an answer states.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Claim {
    /// Unique in its file: `<response id>/<number>`.
    pub id: String,
    /// The answer's row.
    pub response_id: String,
    /// The answer's topic; empty where it is not known.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub topic: String,
    /// The fact, understandable without the answer.
    pub text: String,
    /// Where the answer states it: from and up to these characters (not bytes) of the output.
    #[serde(deserialize_with = "checks::span")]
    pub span: [usize; 2],
}

/// A row of `verdicts.jsonl`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Verdict {
    /// The claim's row.
    pub claim_id: String,
    /// What was found.
    pub verdict: Judgement,
    /// How probable it is that the claim holds, from 0 to 1.
    #[serde(deserialize_with = "checks::probability")]
    pub probability: f64,
    /// What was read.
    pub evidence: Vec<Evidence>,
}

/// Whether a claim holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Judgement {
    /// The knowledge says so.
    Supported,
    /// The knowledge does not say so.
    Unsupported,
    /// It states nothing that could be checked.
    Irrelevant,
}

/// A passage of the knowledge.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Evidence {
    /// The document's title.
    pub title: String,
    /// The passage.
    pub text: String,
}

/// A row of `pairs.jsonl`, under TRL's names.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Pair {
    /// What was asked.
    pub prompt: Content,
    /// The better answer.
    pub chosen: Content,
    /// The worse answer.
    pub rejected: Content,
    /// Whether whole answers or single facts are compared.
    pub level: Level,
    /// Whom or what it is about.
    #[serde(default)]
    pub topic: String,
    /// The topic's domain.
    #[serde(default)]
    pub domain: String,
    /// For an atomic pair: the attribute that its answers state.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attribute: Option<String>,
    /// The chosen answer's row, or empty.
    #[serde(default)]
    pub chosen_id: String,
    /// The rejected answer's row, or empty.
    #[serde(default)]
    pub rejected_id: String,
    /// The chosen answer's score, from 0 to 1 (minus an entropy is at most 0).
    #[serde(default)]
    pub chosen_score: f64,
    /// The rejected answer's score, likewise.
    #[serde(default)]
    pub rejected_score: f64,
    /// What the chosen answer states.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub chosen_facts: Vec<StatedFact>,
    /// What the rejected answer states.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub rejected_facts: Vec<StatedFact>,
    /// How much it counts in tuning.
    #[serde(default = "one", skip_serializing_if = "is_one", deserialize_with = "checks::weight")]
    pub weight: f64,
    /// Whether its answers end where they end, so that tuning puts an end token there.
    #[serde(default = "yes", skip_serializing_if = "is_yes")]
    pub ends: bool,
}

/// The weight of a pair that says none.
fn one() -> f64 {
    1.0
}

/// Whether a weight need not be written.
fn is_one(weight: &f64) -> bool {
    *weight == 1.0
}

/// Whether answers end, where nothing is said.
fn yes() -> bool {
    true
}

/// Whether an end need not be written.
fn is_yes(ends: &bool) -> bool {
    *ends
}

/// A row of `pairs.jsonl` without a partner, under TRL's names.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LabelledAnswer {
    /// What was asked.
    pub prompt: Content,
    /// The answer.
    pub completion: Content,
    /// Whether it is good enough to be wanted.
    pub label: bool,
    /// Whom or what it is about.
    pub topic: String,
    /// The topic's domain.
    pub domain: String,
    /// The answer's row.
    pub id: String,
    /// What the label follows from.
    pub score: f64,
}

/// A fact that an answer of a pair states.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StatedFact {
    /// Where: from and up to these characters of the answer.
    #[serde(deserialize_with = "checks::span")]
    pub span: [usize; 2],
    /// Whether it is supported.
    pub supported: bool,
}

/// What a preference pair compares.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Level {
    /// Whole answers.
    #[default]
    General,
    /// Single facts.
    Atomic,
}
