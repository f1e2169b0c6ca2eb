//! Answers of servers, in OpenAI's forms and in those of servers that differ from them.

use serde_json::Value;

/// An answer.
#[derive(Clone, Debug, PartialEq)]
pub struct Reply {
    /// Its text.
    pub text: String,
    /// Why it ended.
    pub finish: FinishReason,
    /// Its tokens with log-probabilities; empty if none were requested.
    pub tokens: Vec<ReplyToken>,
    /// Numbers of tokens, if the server counts them.
    pub usage: Option<TokenUsage>,
}

/// Why an answer ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FinishReason {
    /// The model ended it, or a stop text did.
    Stop,
    /// Maximum length.
    Length,
    /// The server's content filter.
    Filter,
}

/// A token of an answer.
#[derive(Clone, Debug, PartialEq)]
pub struct ReplyToken {
    /// Its text.
    pub token: String,
    /// Its log-probability.
    pub log_prob: f64,
    /// The most probable tokens in its place with their log-probabilities.
    pub alternatives: Vec<(String, f64)>,
}

/// Numbers of tokens of a call.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TokenUsage {
    /// Of the prompt.
    pub input: u64,
    /// Of the answer.
    pub output: u64,
}

/// What an answer lacks.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Malformed {
    /// Log-probabilities, although they were requested.
    NoLogProbs,
    /// Another part.
    Other(String),
}

impl Reply {
    /// Reads an answer.
    pub(super) fn read(answer: &Value, wants_log_probs: bool) -> Result<Self, Malformed> {
        let choices = answer["choices"].as_array();
        let Some(choice) = choices.and_then(|choices| choices.first()) else {
            let problem = match choices {
                Some(_) => "the answer has no choices (`choices` is empty)",
                None => "the answer has no `choices`",
            };
            return Err(Malformed::Other(problem.to_owned()));
        };
        let finish = match choice["finish_reason"].as_str() {
            Some("length" | "max_tokens") => FinishReason::Length,
            Some("content_filter") => FinishReason::Filter,
            _ => FinishReason::Stop,
        };
        let text = text_of(choice, finish)?;
        let tokens = if wants_log_probs { tokens(answer, choice) } else { Vec::new() };
        if wants_log_probs && tokens.is_empty() {
            return Err(Malformed::NoLogProbs);
        }
        Ok(Self { text, finish, tokens, usage: TokenUsage::read(answer) })
    }
}

impl TokenUsage {
    fn read(answer: &Value) -> Option<Self> {
        let usage = answer.get("usage")?;
        let input = usage["prompt_tokens"].as_u64()?;
        // Some servers leave out what is 0.
        Some(Self { input, output: usage["completion_tokens"].as_u64().unwrap_or(0) })
    }
}

fn text_of(choice: &Value, finish: FinishReason) -> Result<String, Malformed> {
    let message = &choice["message"];
    let content = if message.is_object() { &message["content"] } else { &choice["text"] };
    match content {
        Value::String(text) => Ok(text.clone()),
        // A list of parts, of which only texts are text.
        Value::Array(parts) => Ok(parts.iter().filter_map(|part| part["text"].as_str()).collect()),
        _ if finish == FinishReason::Filter => Ok(String::new()),
        // A reasoning model can use up all tokens before it answers: an answer that was cut before
        // its first letter.
        Value::Null if finish == FinishReason::Length && message.is_object() => Ok(String::new()),
        _ if ["reasoning_content", "reasoning"].iter().any(|name| message[*name].is_string()) => {
            Err(Malformed::Other(
                "the answer has reasoning but no text: disable reasoning (`extra_body`), or \
                allow longer answers"
                    .to_owned(),
            ))
        }
        Value::Null if message["refusal"].is_string() => Ok(String::new()),
        _ => Err(Malformed::Other("the answer's choice has no text".to_owned())),
    }
}

/// Tokens with log-probabilities, in the forms of chats, completions and llama.cpp.
fn tokens(answer: &Value, choice: &Value) -> Vec<ReplyToken> {
    let log_probs = &choice["logprobs"];
    // llama.cpp answers completions in the form of chats, older ones beside the choices.
    let lists = [&log_probs["content"], &answer["completion_probabilities"]];
    if let Some(list) = lists.into_iter().find_map(Value::as_array) {
        return list.iter().filter_map(chat_token).collect();
    }
    let Some(texts) = log_probs["tokens"].as_array() else { return Vec::new() };
    let places = texts.iter().enumerate();
    places
        .filter_map(|(index, token)| {
            let log_prob = log_probs["token_logprobs"][index].as_f64()?;
            let token = token.as_str()?.to_owned();
            let alternatives = match &log_probs["top_logprobs"][index] {
                Value::Object(by_token) => by_token
                    .iter()
                    .filter_map(|(token, at)| Some((token.clone(), at.as_f64()?)))
                    .collect(),
                Value::Array(list) => list.iter().filter_map(pair).collect(),
                _ => Vec::new(),
            };
            Some(with_itself(token, log_prob, alternatives))
        })
        .collect()
}

fn chat_token(entry: &Value) -> Option<ReplyToken> {
    let (token, log_prob) = pair(entry)?;
    let listed = entry["top_logprobs"].as_array();
    let alternatives = listed.map_or(Vec::new(), |list| list.iter().filter_map(pair).collect());
    Some(with_itself(token, log_prob, alternatives))
}

fn pair(entry: &Value) -> Option<(String, f64)> {
    Some((entry["token"].as_str()?.to_owned(), entry["logprob"].as_f64()?))
}

/// A token that is one of its alternatives, whether the server lists it or not.
fn with_itself(token: String, log_prob: f64, mut alternatives: Vec<(String, f64)>) -> ReplyToken {
    if alternatives.iter().all(|(other, _)| *other != token) {
        alternatives.push((token.clone(), log_prob));
    }
    // Servers list them in any order.
    alternatives.sort_by(|one, other| other.1.total_cmp(&one.1).then_with(|| one.0.cmp(&other.0)));
    ReplyToken { token, log_prob, alternatives }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(answer: Value) -> Result<Reply, Malformed> {
        Reply::read(&answer, true)
    }

    fn token(token: &str, log_prob: f64, alternatives: &[(&str, f64)]) -> ReplyToken {
        let alternatives =
            alternatives.iter().map(|(token, at)| ((*token).to_owned(), *at)).collect();
        ReplyToken { token: token.to_owned(), log_prob, alternatives }
    }

    #[test]
    fn chats_and_completions_give_one_form() {
        let listed = json!([{"token": " True", "logprob": -0.5, "bytes": [32],
            "top_logprobs": [{"token": " False", "logprob": -1.0}, {"token": " True", "logprob": -0.5}]}]);
        let expected = vec![token(" True", -0.5, &[(" True", -0.5), (" False", -1.0)])];
        let chat = json!({"choices": [{"index": 0, "finish_reason": "length",
            "message": {"role": "assistant", "content": " True"}, "logprobs": {"content": listed}}],
            "usage": {"prompt_tokens": 9, "completion_tokens": 1}});
        let reply = read(chat).unwrap();
        assert_eq!((reply.text.as_str(), reply.finish), (" True", FinishReason::Length));
        assert_eq!(
            (&reply.tokens, reply.usage),
            (&expected, Some(TokenUsage { input: 9, output: 1 }))
        );
        let legacy = json!({"choices": [{"text": " True", "finish_reason": "stop", "logprobs":
            {"tokens": [" True"], "token_logprobs": [-0.5], "text_offset": [0],
             "top_logprobs": [{" False": -1.0}]}}]});
        assert_eq!(read(legacy).unwrap().tokens, expected, "the token itself is an alternative");
        let llama = json!({"choices": [{"text": " True", "finish_reason": "length",
            "logprobs": {"content": listed}}]});
        assert_eq!(read(llama).unwrap().tokens, expected);
        let older = json!({"choices": [{"text": " True", "logprobs": null}],
            "completion_probabilities": listed});
        assert_eq!(read(older).unwrap().tokens, expected);
        let bare = json!({"choices": [{"text": " True", "logprobs":
            {"tokens": [" True"], "token_logprobs": [-0.5], "top_logprobs": null}}]});
        assert_eq!(read(bare).unwrap().tokens, [token(" True", -0.5, &[(" True", -0.5)])]);
        let parts = json!({"choices": [{"message": {"content":
            [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]}}]});
        assert_eq!(Reply::read(&parts, false).unwrap().text, "ab");
    }

    #[test]
    fn what_is_missing_is_named() {
        let silent =
            json!({"choices": [{"message": {"content": "True"}, "finish_reason": "stop"}]});
        assert_eq!(read(silent.clone()), Err(Malformed::NoLogProbs));
        assert!(Reply::read(&silent, false).is_ok());
        let nothing =
            json!({"choices": [{"message": {"content": "True"}, "logprobs": {"content": []}}]});
        assert_eq!(read(nothing), Err(Malformed::NoLogProbs));
        for (answer, word) in [
            (json!({"choices": []}), "empty"),
            (json!({"object": "list"}), "no `choices`"),
            (json!({"choices": [{}]}), "no text"),
            (
                json!({"choices": [{"message": {"content": null, "reasoning_content": "Hm"}}]}),
                "reasoning",
            ),
        ] {
            let Err(Malformed::Other(said)) = read(answer) else { panic!("{word}") };
            assert!(said.contains(word), "{said}");
        }
        let cut = json!({"choices": [{"finish_reason": "length",
            "message": {"content": null, "reasoning_content": "Hm"}}]});
        let reply = Reply::read(&cut, false).unwrap();
        assert_eq!((reply.text.as_str(), reply.finish), ("", FinishReason::Length));
        let filtered =
            json!({"choices": [{"message": {"content": null}, "finish_reason": "content_filter"}]});
        let reply = Reply::read(&filtered, false).unwrap();
        assert_eq!((reply.text.as_str(), reply.finish), ("", FinishReason::Filter));
    }
}
