//! The rows of the files between stages, with the field names of the design's contract.

use serde::{Deserialize, Serialize};

use super::{CharSpan, Content, ResponseId, Row, bounds};

/// A row of `prompts.jsonl`: a prompt.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Prompt {
    /// Unique in its file.
    pub id: String,
    /// A text to continue, or messages to respond to.
    pub prompt: Content,
    /// Topic: the title of its article in the knowledge.
    pub topic: String,
    /// The domain of the topic: "people", ...
    pub domain: String,
    /// Split: "tune", "test", ...
    #[serde(default)]
    pub split: String,
    /// Form: paragraph or single-fact question.
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

impl Row for Prompt {
    const WHAT: &'static str = "prompt";

    fn id(&self) -> &str {
        &self.id
    }

    fn check(&self) -> Result<(), String> {
        self.prompt.problem(&[]).map_or(Ok(()), Err)
    }
}

/// Form of a prompt.
#[derive(
    Clone,
    Copy,
    Debug,
    Default,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Serialize,
    Deserialize,
    strum::VariantNames,
)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
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
    /// Text before the trained text; its tokens have no loss.
    pub prompt: String,
    /// The trained text, without EOS.
    pub text: String,
    /// The weight of its tokens in the loss.
    #[serde(deserialize_with = "bounds::weight")]
    pub weight: f64,
    /// Documents of one group fill a fixed share of every batch.
    pub group: String,
}

/// A row of `responses.jsonl`: a response.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Response {
    /// Unique in its file.
    pub id: ResponseId,
    /// Id of the prompt.
    pub prompt_id: String,
    /// Number of the response to its prompt, from 0.
    pub sample: usize,
    /// The prompt's topic.
    pub topic: String,
    /// The prompt's domain.
    pub domain: String,
    /// The prompt's split.
    #[serde(default)]
    pub split: String,
    /// The prompt.
    pub prompt: Content,
    /// The response, without EOS.
    pub output: String,
    /// Reason why it ended.
    pub finish: Finish,
}

impl Row for Response {
    const WHAT: &'static str = "response";

    fn id(&self) -> &str {
        self.id.as_str()
    }

    fn check(&self) -> Result<(), String> {
        self.prompt.problem(&[]).map_or(Ok(()), Err)
    }
}

/// Reason why a response ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Finish {
    /// EOS.
    Stop,
    /// Maximum length.
    Length,
}

/// A row of `pairs.jsonl`: a preference pair, under TRL's names.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Pair {
    /// The prompt.
    pub prompt: Content,
    /// The chosen completion.
    pub chosen: Content,
    /// The rejected completion.
    pub rejected: Content,
    /// Level: whole completions or single facts.
    pub level: Level,
    /// Topic.
    #[serde(default)]
    pub topic: String,
    /// The topic's domain.
    #[serde(default)]
    pub domain: String,
    /// Attribute of an atomic pair.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attribute: Option<String>,
    /// Id of the chosen response, or of the claim that an atomic pair was cut out for; or empty.
    #[serde(default)]
    pub chosen_id: String,
    /// The same of the rejected one.
    #[serde(default)]
    pub rejected_id: String,
    /// Score of the chosen completion, from 0 to 1 (a negative entropy is at most 0).
    #[serde(default)]
    pub chosen_score: f64,
    /// Score of the rejected completion.
    #[serde(default)]
    pub rejected_score: f64,
    /// Facts of the chosen completion.
    // Rows without facts, as most data sets have them, stay without the field.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub chosen_facts: Vec<StatedFact>,
    /// Facts of the rejected completion.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub rejected_facts: Vec<StatedFact>,
    /// Weight in the loss.
    // Not written where it is the default, so that most rows stay as TRL writes them.
    #[serde(default = "one", skip_serializing_if = "is_one", deserialize_with = "bounds::weight")]
    pub weight: f64,
    /// Whether its completions are finished, so that tuning adds EOS.
    #[serde(default = "yes", skip_serializing_if = "is_yes")]
    pub ends: bool,
}

/// What a new pair is about.
#[derive(Clone, Copy, Debug)]
pub struct PairSubject<'a> {
    /// Topic.
    pub topic: &'a str,
    /// The topic's domain.
    pub domain: &'a str,
    /// Attribute of an atomic pair.
    pub attribute: Option<&'a str>,
}

/// One completion of a new pair.
#[derive(Clone, Copy, Debug)]
pub struct PairSide<'a> {
    /// Id of the response, or of the claim.
    pub id: &'a str,
    /// The completion.
    pub text: &'a str,
    /// Its score.
    pub score: f64,
    /// Its facts.
    pub facts: &'a [StatedFact],
}

impl Pair {
    /// A pair of finished completions to a prompt with weight 1.
    pub fn new(
        prompt: &Content,
        level: Level,
        subject: PairSubject<'_>,
        chosen: PairSide<'_>,
        rejected: PairSide<'_>,
    ) -> Self {
        Self {
            prompt: prompt.clone(),
            chosen: prompt.answer(chosen.text),
            rejected: prompt.answer(rejected.text),
            level,
            topic: subject.topic.to_owned(),
            domain: subject.domain.to_owned(),
            attribute: subject.attribute.map(str::to_owned),
            chosen_id: chosen.id.to_owned(),
            rejected_id: rejected.id.to_owned(),
            chosen_score: chosen.score,
            rejected_score: rejected.score,
            chosen_facts: chosen.facts.to_vec(),
            rejected_facts: rejected.facts.to_vec(),
            weight: 1.0,
            ends: true,
        }
    }
}

/// Default weight.
fn one() -> f64 {
    1.0
}

/// Whether a weight has its default and is not written.
fn is_one(weight: &f64) -> bool {
    *weight == 1.0
}

/// Default of `ends`.
fn yes() -> bool {
    true
}

/// Whether `ends` has its default and is not written.
fn is_yes(ends: &bool) -> bool {
    *ends
}

/// A row of `pairs.jsonl`: a labelled completion, under TRL's names.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LabelledAnswer {
    /// The prompt.
    pub prompt: Content,
    /// The completion.
    pub completion: Content,
    /// Whether it is desirable.
    pub label: bool,
    /// Topic.
    pub topic: String,
    /// The topic's domain.
    pub domain: String,
    /// Id of the response.
    pub id: ResponseId,
    /// Score behind the label.
    pub score: f64,
}

impl LabelledAnswer {
    /// A response with its label, and the score behind it.
    pub fn new(response: &Response, label: bool, score: f64) -> Self {
        Self {
            prompt: response.prompt.clone(),
            completion: response.prompt.answer(&response.output),
            label,
            topic: response.topic.clone(),
            domain: response.domain.clone(),
            id: response.id.clone(),
            score,
        }
    }
}

/// A fact in a completion of a pair.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StatedFact {
    /// Its characters in the completion.
    pub span: CharSpan,
    /// Whether it is supported.
    pub supported: bool,
}

/// Level of a preference pair.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Level {
    /// Whole completions.
    #[default]
    General,
    /// Single facts.
    Atomic,
}
