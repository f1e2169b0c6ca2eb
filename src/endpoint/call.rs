//! Calls: what is sent, and the key under which the log has the answer.

use serde_json::{Map, Value, json};

use super::settings::{Api, Endpoint};
use crate::{
    digest::{Digest, digest_value},
    rows::Content,
};

/// One call to an endpoint.
#[derive(Clone, Debug)]
pub struct Call {
    /// What it is for, in errors: "claim `a#0/3`".
    pub label: String,
    /// Key of its log line: the digest of API, model, revision and body.
    pub(super) key: Digest,
    pub(super) body: Value,
    pub(super) wants_log_probs: bool,
    /// Bytes of the prompt, for estimates of its tokens.
    pub(super) input_bytes: usize,
    /// Longest response in tokens.
    pub(super) max_tokens: usize,
}

impl Call {
    /// A call with this prompt and an answer of at most `max_tokens`, at temperature 0.
    pub fn new(endpoint: &Endpoint, label: String, prompt: &Content, max_tokens: usize) -> Self {
        let mut body = Map::new();
        body.insert("model".to_owned(), json!(endpoint.model));
        let input_bytes = match (endpoint.api, prompt) {
            (Api::Chat, Content::Messages(messages)) => {
                body.insert("messages".to_owned(), json!(messages));
                messages.iter().map(|message| message.content.len()).sum()
            }
            (Api::Chat, Content::Text(text)) => {
                body.insert("messages".to_owned(), json!(Content::from_user(text, None)));
                text.len()
            }
            (Api::Completions, Content::Text(text)) => {
                body.insert("prompt".to_owned(), json!(text));
                text.len()
            }
            (Api::Completions, Content::Messages(messages)) => {
                let texts: Vec<&str> =
                    messages.iter().map(|message| message.content.as_str()).collect();
                let text = texts.join("\n\n");
                body.insert("prompt".to_owned(), json!(text));
                text.len()
            }
        };
        body.insert("temperature".to_owned(), json!(0));
        body.insert("max_tokens".to_owned(), json!(max_tokens));
        let call = Self {
            label,
            key: Digest::from_bytes([0; 32]),
            body: Value::Object(body),
            wants_log_probs: false,
            input_bytes,
            max_tokens,
        };
        call.sealed(endpoint)
    }

    /// The call with log-probabilities of each token and of its most probable alternatives.
    pub fn with_log_probs(mut self, endpoint: &Endpoint) -> Self {
        self.wants_log_probs = true;
        let count = endpoint.top_logprobs;
        match endpoint.api {
            Api::Chat => {
                self.body["logprobs"] = json!(true);
                self.body["top_logprobs"] = json!(count);
            }
            Api::Completions => self.body["logprobs"] = json!(count),
        }
        self.sealed(endpoint)
    }

    /// The call whose answer ends before one of these texts.
    pub fn with_stop(mut self, endpoint: &Endpoint, stop: &[&str]) -> Self {
        self.body["stop"] = json!(stop);
        self.sealed(endpoint)
    }

    /// Key of its log line.
    pub fn key(&self) -> &Digest {
        &self.key
    }

    /// Sets the extra fields, which replace its own, and the key.
    fn sealed(mut self, endpoint: &Endpoint) -> Self {
        for (name, value) in endpoint.extra().unwrap_or_default() {
            let Some(body) = self.body.as_object_mut() else { break };
            match value {
                Value::Null => drop(body.remove(&name)),
                value => drop(body.insert(name, value)),
            }
        }
        if let Some(longest) = longest_answers(&self.body) {
            self.max_tokens = longest;
        }
        self.key = digest_value(
            "call",
            &json!({
                "api": endpoint.api,
                "model": endpoint.model,
                "revision": endpoint.revision,
                "body": self.body,
            }),
        );
        self
    }
}

/// Longest answers to a body in tokens, all together; none if it has no limit. Servers bill each of
/// several answers, and those of which they choose the best ones.
fn longest_answers(body: &Value) -> Option<usize> {
    let number = |name: &str| body[name].as_u64();
    let longest = number("max_completion_tokens").or_else(|| number("max_tokens"))?;
    let answers = number("n").max(number("best_of")).unwrap_or(1);
    Some(usize::try_from(longest.saturating_mul(answers)).unwrap_or(usize::MAX))
}

/// Name of the log of an endpoint's model: readable, and unique by API, model and revision.
pub(super) fn log_name(endpoint: &Endpoint) -> String {
    /// Letters of the model's name in the log's name.
    const SHOWN: usize = 60;
    let plain = |letter: char| {
        if letter.is_ascii_alphanumeric() || "-_.".contains(letter) { letter } else { '-' }
    };
    let shown: String = endpoint.model.chars().take(SHOWN).map(plain).collect();
    let identity = json!([endpoint.api, endpoint.model, endpoint.revision]);
    format!("{}-{}", shown.trim_start_matches('.'), digest_value("call log", &identity).short())
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::endpoint::settings::Replay;

    pub(in crate::endpoint) fn endpoint() -> Endpoint {
        Endpoint {
            url: "http://x/v1".to_owned(),
            model: "a/b".to_owned(),
            api: Api::Chat,
            revision: None,
            top_logprobs: 5,
            extra_body: None,
            api_key_env: None,
            concurrency: 4,
            requests_per_minute: None,
            timeout: 5.0,
            max_retries: 3,
            backoff: 0.0,
            input_price: None,
            output_price: None,
            max_cost: None,
            replay: Replay::Record,
        }
    }

    #[test]
    fn bodies_have_the_form_of_their_api() {
        let chat = endpoint();
        let prompt = Content::from_user("Hi?", Some("Be brief."));
        let call = Call::new(&chat, "x".to_owned(), &prompt, 7).with_log_probs(&chat);
        assert_eq!(
            call.body,
            json!({"model": "a/b", "messages": [{"role": "system", "content": "Be brief."},
                {"role": "user", "content": "Hi?"}], "temperature": 0, "max_tokens": 7,
                "logprobs": true, "top_logprobs": 5})
        );
        let text = Endpoint {
            api: Api::Completions,
            extra_body: Some(r#"{"max_tokens": null, "seed": 1}"#.to_owned()),
            ..endpoint()
        };
        let call = Call::new(&text, "x".to_owned(), &Content::Text("Hi".to_owned()), 7);
        let call = call.with_log_probs(&text).with_stop(&text, &["\n"]);
        assert_eq!(
            call.body,
            json!({"model": "a/b", "prompt": "Hi", "temperature": 0, "logprobs": 5, "seed": 1,
                "stop": ["\n"]})
        );
    }

    #[test]
    fn the_longest_answer_is_that_of_the_body() {
        for (extra, longest) in [
            ("{}", 7),
            (r#"{"max_tokens": 900}"#, 900),
            (r#"{"max_tokens": null, "max_completion_tokens": 800}"#, 800),
            (r#"{"n": 3}"#, 21),
            (r#"{"max_completion_tokens": 10, "n": 2, "best_of": 5}"#, 50),
            // Nobody knows how long; what was asked for is the best estimate.
            (r#"{"max_tokens": null}"#, 7),
        ] {
            let table = Endpoint { extra_body: Some(extra.to_owned()), ..endpoint() };
            let call = Call::new(&table, "x".to_owned(), &Content::Text("Hi".to_owned()), 7);
            // Sealed twice, which multiplies once.
            assert_eq!(call.with_stop(&table, &["\n"]).max_tokens, longest, "{extra}");
        }
    }

    #[test]
    fn keys_follow_from_what_is_sent_and_to_what_model() {
        let base = endpoint();
        let key = |endpoint: &Endpoint, text: &str, most: usize| {
            Call::new(endpoint, "x".to_owned(), &Content::Text(text.to_owned()), most).key
        };
        let elsewhere = Endpoint {
            url: "https://y".to_owned(),
            concurrency: 9,
            input_price: Some(1.0),
            ..endpoint()
        };
        assert_eq!(key(&base, "a", 1), key(&elsewhere, "a", 1));
        let others = [
            key(&base, "a", 1),
            key(&base, "b", 1),
            key(&base, "a", 2),
            key(&Endpoint { model: "c".to_owned(), ..endpoint() }, "a", 1),
            key(&Endpoint { api: Api::Completions, ..endpoint() }, "a", 1),
            key(&Endpoint { revision: Some("q4".to_owned()), ..endpoint() }, "a", 1),
            key(&Endpoint { extra_body: Some("{\"seed\": 1}".to_owned()), ..endpoint() }, "a", 1),
        ];
        let distinct: std::collections::BTreeSet<_> = others.iter().collect();
        assert_eq!(distinct.len(), others.len());
        assert!(log_name(&base).starts_with("a-b-"), "{}", log_name(&base));
        assert_eq!(log_name(&base), log_name(&elsewhere));
        assert_ne!(
            log_name(&base),
            log_name(&Endpoint { revision: Some("q4".to_owned()), ..endpoint() })
        );
    }
}
