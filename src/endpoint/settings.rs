//! The tables `[endpoint.NAME]` of a recipe.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{address, secret::ApiKey};
use crate::recipe::schema::{Declared, Mismatch, NamedTable, read_parameters};

/// The declaration of the tables.
pub static ENDPOINT: NamedTable = NamedTable {
    name: "endpoint",
    about: "A language model behind an OpenAI-compatible API.",
    parameters: Endpoint::PARAMETERS,
    checks,
};

/// A table `[endpoint.NAME]`. What changes answers is part of the key of a stage and of a call:
/// the model, the API, and what is sent; not the address, speed, prices and limits.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, apeft_derive::Parameters)]
#[serde(deny_unknown_fields)]
pub struct Endpoint {
    /// Base URL of the API, such as `http://127.0.0.1:8080/v1`.
    #[parameter(not_in_key)]
    pub url: String,
    /// Name of the model on the server.
    pub model: String,
    /// API of the calls: messages (`chat`) or text to continue (`completions`).
    #[parameter(default = "chat")]
    pub api: Api,
    /// Any text that tells apart two models with one name, such as a date or a quantisation.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub revision: Option<String>,
    /// Number of alternatives per token where log-probabilities are requested.
    #[parameter(default = 20, min = 1, max = 1000)]
    pub top_logprobs: usize,
    /// Further fields of each request, as the text of a JSON object; a null removes a field.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub extra_body: Option<String>,
    /// Environment variable with the API key [default: no key].
    #[parameter(not_in_key)]
    pub api_key_env: Option<String>,
    /// Maximum number of concurrent calls.
    #[parameter(default = 4, min = 1, max = 1024, not_in_key)]
    pub concurrency: usize,
    /// Maximum number of requests per minute, retries included [default: no limit].
    #[parameter(min = 1, max = 1_000_000, not_in_key)]
    pub requests_per_minute: Option<usize>,
    /// Longest wait for an answer, in seconds.
    #[parameter(default = 120.0, min = 0.05, max = 86_400, not_in_key)]
    pub timeout: f64,
    /// Maximum number of retries of a call after a failure that may pass.
    #[parameter(default = 6, max = 100, not_in_key)]
    pub max_retries: u32,
    /// Wait before the first retry, in seconds; doubles with each retry, up to one minute.
    #[parameter(default = 1.0, min = 0, max = 60, not_in_key)]
    pub backoff: f64,
    /// Price of a million input tokens, in any currency.
    #[parameter(min = 0, not_in_key)]
    pub input_price: Option<f64>,
    /// Price of a million output tokens, in the same currency.
    #[parameter(min = 0, not_in_key)]
    pub output_price: Option<f64>,
    /// Most that all calls of a stage may cost, logged ones included; a stage stops before it.
    #[parameter(above = 0, not_in_key)]
    pub max_cost: Option<f64>,
    /// Source of answers: the log and, for what it lacks, the server (`record`), or the log `only`.
    #[parameter(default = "record", not_in_key)]
    pub replay: Replay,
}

/// A table with its name, as a stage that names it gets it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NamedEndpoint {
    /// NAME of `[endpoint.NAME]`.
    pub name: String,
    /// Its fields.
    pub table: Endpoint,
}

/// API of the calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, strum::VariantNames)]
#[serde(rename_all = "lowercase")]
#[strum(serialize_all = "lowercase")]
pub enum Api {
    /// `/chat/completions`: messages.
    Chat,
    /// `/completions`: a text to continue.
    Completions,
}

/// Source of answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, strum::VariantNames)]
#[serde(rename_all = "lowercase")]
#[strum(serialize_all = "lowercase")]
pub enum Replay {
    /// The log, then the server.
    Record,
    /// The log only.
    Only,
}

impl Api {
    /// Path of its calls, below the base URL.
    pub(super) fn path(self) -> &'static str {
        match self {
            Self::Chat => "chat/completions",
            Self::Completions => "completions",
        }
    }
}

impl Endpoint {
    /// The extra fields of each request.
    pub(super) fn extra(&self) -> Option<serde_json::Map<String, Value>> {
        serde_json::from_str(self.extra_body.as_deref()?).ok()
    }

    /// Whether every request says how long its answer may be; `extra_body` can take that away.
    fn limits_answers(&self) -> bool {
        let extra = self.extra().unwrap_or_default();
        match (extra.get("max_completion_tokens"), extra.get("max_tokens")) {
            (Some(longest), _) if longest.is_u64() => true,
            (_, Some(longest)) => longest.is_u64(),
            (_, None) => true,
        }
    }

    /// Whether its prompts are messages.
    pub fn chats(&self) -> bool {
        self.api == Api::Chat
    }

    /// Prices of a million input and output tokens; none if the table has none.
    pub(super) fn prices(&self) -> Option<(f64, f64)> {
        match (self.input_price, self.output_price) {
            (None, None) => None,
            (input, output) => Some((input.unwrap_or(0.0), output.unwrap_or(0.0))),
        }
    }
}

/// The variable of a table's API key, and why it gives no key; none where nothing is asked.
pub(super) fn missing_variable(endpoint: &Endpoint) -> Option<(&str, &'static str)> {
    let variable = endpoint.api_key_env.as_deref()?;
    let why = ApiKey::from_environment(variable).err()?;
    (endpoint.replay == Replay::Record).then_some((variable, why))
}

/// Why a stage with these parameters cannot ask its endpoint in this environment.
pub fn missing_key(parameters: &BTreeMap<String, Value>) -> Option<String> {
    parameters.values().find_map(|value| {
        let named = NamedEndpoint::deserialize(value).ok()?;
        let (variable, why) = missing_variable(&named.table)?;
        let NamedEndpoint { name, .. } = &named;
        Some(format!(
            "the environment variable `{variable}` of the endpoint `{name}` (`api_key_env`) {why}"
        ))
    })
}

fn checks(values: &BTreeMap<String, Value>) -> Vec<Mismatch> {
    // What cannot be read was reported before.
    let Some(endpoint) = read_parameters::<Endpoint>(values) else { return Vec::new() };
    let mut found = Vec::new();
    if let Some((problem, right)) = address::problem(&endpoint.url) {
        // A wrong URL may hold a password or a key, or be the key: its line is not shown.
        found.push(Mismatch::secret("url", problem, right));
    }
    if endpoint.model.trim().is_empty() {
        found.push(Mismatch::error("model", "`model` is empty", "a model's name is expected"));
    }
    if endpoint.extra_body.is_some() && endpoint.extra().is_none() {
        let problem = "`extra_body` is not the text of a JSON object";
        let right = "for example '{\"chat_template_kwargs\": {\"enable_thinking\": false}}'";
        found.push(Mismatch::error("extra_body", problem, right));
    }
    let is_name = |name: &str| {
        let mut letters = name.chars();
        letters.next().is_some_and(|first| first.is_ascii_alphabetic() || first == '_')
            && letters.all(|letter| letter.is_ascii_alphanumeric() || letter == '_')
    };
    // The value may be the key: no message may repeat it, nor show its line.
    if endpoint.api_key_env.as_deref().is_some_and(|name| !is_name(name)) {
        let problem = "`api_key_env` is not the name of an environment variable";
        let right = "a name such as \"OPENAI_API_KEY\" is expected there, never the key itself";
        found.push(Mismatch::secret("api_key_env", problem, right));
    }
    let has_prices = endpoint.input_price.is_some() && endpoint.output_price.is_some();
    if endpoint.max_cost.is_some() && !has_prices {
        // A missing price would count as 0, and the limit would hold back nothing.
        let problem = "`max_cost` needs both prices";
        let right = "`input_price` and `output_price` are expected beside it; 0 is free";
        found.push(Mismatch::error("max_cost", problem, right));
    }
    if endpoint.max_cost.is_some() && !endpoint.limits_answers() {
        let problem = "`extra_body` removes the longest length of answers, which `max_cost` needs";
        let right = "a number of `max_tokens` or `max_completion_tokens` is expected in it";
        found.push(Mismatch::error("extra_body", problem, right));
    }
    found
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn problems(fields: Value) -> Vec<&'static str> {
        let mut values: BTreeMap<String, Value> = Endpoint::PARAMETERS
            .iter()
            .filter_map(|known| Some((known.name.to_owned(), known.default_value()?)))
            .collect();
        values.extend(
            [("url", "http://x/v1"), ("model", "m")]
                .map(|(name, value)| (name.to_owned(), Value::from(value))),
        );
        values.extend(fields.as_object().unwrap().clone());
        assert!(read_parameters::<Endpoint>(&values).is_some());
        checks(&values).iter().map(|mismatch| mismatch.field).collect()
    }

    #[test]
    fn a_table_is_checked_before_anything_runs() {
        assert!(problems(json!({})).is_empty());
        assert_eq!(problems(json!({"url": "x", "model": " "})), ["url", "model"]);
        assert_eq!(problems(json!({"extra_body": "[1]"})), ["extra_body"]);
        assert_eq!(problems(json!({"max_cost": 1.0})), ["max_cost"]);
        assert_eq!(problems(json!({"max_cost": 1.0, "output_price": 2.0})), ["max_cost"]);
        let free = json!({"max_cost": 1.0, "input_price": 0.0, "output_price": 2.0});
        assert!(problems(free).is_empty());
        for (extra, expected) in [
            (r#"{"max_tokens": null}"#, &["extra_body"][..]),
            (r#"{"max_tokens": -1}"#, &["extra_body"]),
            (r#"{"max_tokens": null, "max_completion_tokens": 9}"#, &[]),
            (r#"{"max_completion_tokens": null}"#, &[]),
        ] {
            let table = json!({"max_cost": 1.0, "input_price": 1.0, "output_price": 2.0,
                "extra_body": extra});
            assert_eq!(problems(table), expected, "{extra}");
            assert!(problems(json!({"extra_body": extra})).is_empty(), "no limit of costs");
        }
        assert_eq!(problems(json!({"api_key_env": "sk-secret"})), ["api_key_env"]);
    }

    #[test]
    fn what_changes_answers_is_in_the_key() {
        let in_key = Endpoint::PARAMETERS.iter().filter(|known| known.in_key);
        let names: Vec<&str> = in_key.map(|known| known.name).collect();
        assert_eq!(names, ["model", "api", "revision", "top_logprobs", "extra_body"]);
    }
}
