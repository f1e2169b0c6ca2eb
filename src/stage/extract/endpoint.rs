//! Claims by a language model behind an endpoint.

use std::{collections::BTreeSet, fs};

use serde::Deserialize;

use crate::{
    context::{Context, StageError},
    digest::Digest,
    endpoint::{
        Call, Client, ENDPOINT, Endpoint, EndpointError, FinishReason, NamedEndpoint, Reply,
    },
    prompting::{ClaimAnswer, ClaimPrompts, ClaimRequest, ExtractedClaims, FewShot},
    rows::{Claim, Response},
    stage_support::endpoint_field,
};

/// Parameters of `by = "endpoint"`.
#[derive(Debug, Deserialize, apeft_derive::Parameters)]
pub(super) struct EndpointParameters {
    /// For `endpoint`: the endpoint that is asked for the claims of each sentence.
    #[parameter(table = &ENDPOINT)]
    pub(super) endpoint: Option<NamedEndpoint>,
    #[serde(flatten)]
    few_shot: FewShotParameters,
}

/// Parameters of prompts for claims.
#[derive(Debug, Deserialize, apeft_derive::Parameters)]
pub(super) struct FewShotParameters {
    /// For a model: number of sentences before a sentence that its prompt shows.
    #[parameter(default = 3, max = 1000)]
    sentences_before: usize,
    /// For a model: number of sentences after a sentence that its prompt shows.
    #[parameter(default = 1, max = 1000)]
    sentences_after: usize,
    /// For a model: demonstrations in every prompt; the nearest one of the others is added.
    #[parameter(default = 8, max = 1000)]
    fixed_demonstrations: usize,
    /// For a model: longest list of the claims of a sentence in tokens.
    #[parameter(default = 512, min = 16, max = 1 << 20)]
    max_claim_tokens: usize,
    /// For a model: further requests after an answer that is no list or was cut.
    #[parameter(default = 2, max = 10)]
    parse_retries: usize,
}

impl FewShotParameters {
    /// The prompts, of the files that the recipe names or of this program.
    fn prompts(&self, context: &Context, chats: bool) -> Result<ClaimPrompts, StageError> {
        let [prompt, demonstrations] =
            ["extract_prompt", "demonstrations"].map(|input| text_of(context, input));
        let (prompt, demonstrations) = (prompt?, demonstrations?);
        let few_shot =
            FewShot::new(prompt.as_deref(), demonstrations.as_deref(), self.fixed_demonstrations)
                .map_err(StageError::doing("read the prompt"))?;
        Ok(ClaimPrompts {
            few_shot,
            window: (self.sentences_before, self.sentences_after),
            max_tokens: self.max_claim_tokens,
            retries: self.parse_retries,
            chats,
        })
    }
}

fn text_of(context: &Context, input: &str) -> Result<Option<String>, StageError> {
    let Some(given) = context.inputs(input).next() else { return Ok(None) };
    let reading = format!("read {}", given.path.display());
    fs::read_to_string(&given.path).map(Some).map_err(StageError::doing(reading))
}

impl EndpointParameters {
    /// The first calls for some responses; an answer that cannot be read adds one.
    ///
    /// # Errors
    /// If the prompt cannot be read.
    pub(super) fn calls(
        &self,
        context: &Context,
        responses: &[Response],
    ) -> Result<Vec<Call>, StageError> {
        let table = &endpoint_field::given(self.endpoint.as_ref())?.table;
        let prompts = self.few_shot.prompts(context, table.chats())?;
        Ok(prompts.requests(responses).iter().map(|request| call(table, request)).collect())
    }
}

/// The claims of responses.
///
/// # Errors
/// If the endpoint does not answer, or the prompt cannot be read.
pub(super) fn claims(
    context: &Context,
    parameters: &EndpointParameters,
    responses: &[Response],
) -> Result<Vec<Claim>, StageError> {
    let named = endpoint_field::given(parameters.endpoint.as_ref())?;
    let prompts = parameters.few_shot.prompts(context, named.table.chats())?;
    let client = Client::open(named, &context.store, &context.seed)?;
    let mut asked = BTreeSet::new();
    let found =
        prompts.claims(responses, |requests| ask(context, &client, requests, &mut asked))?;
    context.note(client.tally().to_string());
    let ExtractedClaims { claims, sentences, repeated, unread } = found;
    if repeated > 0 {
        context.note(format!("{repeated} answers were no list or were cut, and asked for again"));
    }
    if unread > 0 {
        context.warn(format!(
            "{unread} of {sentences} sentences have no readable list of claims, and are claims as \
            they stand; a larger model, longer answers (`max_claim_tokens`, less reasoning by \
            `extra_body`) or `parse_retries` may help"
        ));
    }
    let unfaithful = claims.iter().filter(|claim| claim.unfaithful).count();
    if unfaithful > 0 {
        context.note(format!(
            "{unfaithful} of {} claims have words that neither prompt nor response has \
            (`unfaithful`)",
            claims.len()
        ));
    }
    Ok(claims)
}

/// The answers to requests. Those of the first round must be answered. A repetition has no answer
/// if the server does not accept it, such as an answer longer than its context, or if it is a call
/// of an earlier round: `extra_body` may fix the length, and the log would repeat its answer.
fn ask(
    context: &Context,
    client: &Client,
    requests: &[ClaimRequest],
    asked: &mut BTreeSet<Digest>,
) -> Result<Vec<Option<ClaimAnswer>>, EndpointError> {
    let calls: Vec<Call> =
        requests.iter().map(|request| call(client.endpoint(), request)).collect();
    let is_new: Vec<bool> = calls.iter().map(|call| !asked.contains(call.key())).collect();
    let new = calls.into_iter().zip(&is_new).filter_map(|(call, new)| new.then_some(call));
    let new: Vec<Call> = new.collect();
    let total = new.len() as u64;
    let progress = |done: usize| context.progress(done as u64, total.max(done as u64), "calls");
    let replies: Vec<Option<Reply>> = match asked.is_empty() {
        true => client.ask(&new, &progress)?.into_iter().map(Some).collect(),
        false => client.ask_what_is_accepted(&new, &progress)?,
    };
    asked.extend(new.iter().map(Call::key));
    let mut answers = replies.into_iter().map(|reply| {
        let Reply { text, finish, .. } = reply?;
        Some(ClaimAnswer { text, is_cut: finish == FinishReason::Length })
    });
    Ok(is_new.into_iter().map(|new| if new { answers.next().flatten() } else { None }).collect())
}

fn call(table: &Endpoint, request: &ClaimRequest) -> Call {
    let call = Call::new(table, request.label.clone(), &request.prompt, request.max_tokens);
    // A text goes on with the next task; a chat ends its turn.
    if table.chats() { call } else { call.with_stop(table, &["\n\n"]) }
}

#[cfg(test)]
mod tests {
    use std::path::{Path, PathBuf};

    use serde_json::{Value, json};

    use crate::{
        context::{
            StageError,
            test_support::{self, Trial},
        },
        endpoint::server::{Asked, Reaction, Server, chat},
        rows::{Claim, json_lines},
        stage::extract::{KIND, endpoint_calls, run},
    };

    /// Two responses of three sentences.
    fn responses(folder: &Path) -> PathBuf {
        let row = |id: &str, output: &str| {
            json!({"id": format!("{id}#0"), "prompt_id": id, "sample": 0, "topic": "Ada Quill",
                "domain": "people", "prompt": "Who is she?", "output": output, "finish": "stop"})
        };
        let rows = [
            row("a", "Ada Quill was a **poet** and baker. She sang."),
            row("b", "She is an inspiration."),
        ];
        let path = folder.join("responses.jsonl");
        let lines: Vec<String> = rows.iter().map(|row| format!("{row}\n")).collect();
        std::fs::write(&path, lines.concat()).unwrap();
        path
    }

    fn table(url: &str) -> Value {
        json!({"name": "judge", "table": {"url": url, "model": "m", "api": "chat",
            "top_logprobs": 5, "concurrency": 2, "timeout": 5.0, "max_retries": 1, "backoff": 0.0,
            "replay": "record"}})
    }

    fn last(asked: &Asked) -> String {
        let messages = asked.body["messages"].as_array().unwrap();
        messages.last().unwrap()["content"].as_str().unwrap().to_owned()
    }

    #[test]
    fn claims_of_an_endpoint_are_written_and_repeated_from_the_log() {
        let server = Server::start(|asked| {
            let answer = match last(asked) {
                text if text.contains("Sentence: Ada Quill was a poet and baker.") => {
                    "- Ada Quill was a poet.\n- Ada Quill was a famous baker."
                }
                text if text.contains("cannot be read") => "- Ada Quill sang.",
                text if text.contains("Sentence: She sang.") => "She sang in Oslo.",
                _ => "- none",
            };
            Reaction::json(200, &chat(answer))
        });
        let folder = tempfile::tempdir().unwrap();
        let path = responses(folder.path());
        let trial = |endpoint: Value| {
            let parameters = json!({"by": "endpoint", "endpoint": endpoint});
            let store = folder.path().join("store");
            Trial { store, ..Trial::new(&[("responses", path.as_path())], parameters) }
        };
        let notes = trial(table(&server.url)).run(&KIND, folder.path(), run).unwrap();
        expect_test::expect![[r#"
            4 calls asked, 0 from the log; 48 input and 40 output tokens
            1 answers were no list or were cut, and asked for again
            1 of 3 claims have words that neither prompt nor response has (`unfaithful`)
            3 claims in 2 responses, 1.50 each"#]]
        .assert_eq(&notes.join("\n"));
        let written = std::fs::read_to_string(folder.path().join("claims.jsonl")).unwrap();
        expect_test::expect![[r#"
            {"id":"a#0/0","response_id":"a#0","topic":"Ada Quill","text":"Ada Quill was a poet.","span":[0,22],"spans":[[0,22]],"sentence":[0,35]}
            {"id":"a#0/1","response_id":"a#0","topic":"Ada Quill","text":"Ada Quill was a famous baker.","span":[0,34],"spans":[[0,15],[29,34]],"sentence":[0,35],"unfaithful":true}
            {"id":"a#0/2","response_id":"a#0","topic":"Ada Quill","text":"Ada Quill sang.","span":[40,44],"spans":[[40,44]],"sentence":[36,45]}
        "#]]
        .assert_eq(&written);
        drop(server);
        let mut only = table("http://127.0.0.1:9");
        only["table"]["replay"] = json!("only");
        let again = folder.path().join("again");
        trial(only).run(&KIND, &again, run).unwrap();
        assert_eq!(std::fs::read_to_string(again.join("claims.jsonl")).unwrap(), written);
        let claims: Vec<Claim> = json_lines::read_rows(&again.join("claims.jsonl")).unwrap();
        assert_eq!(claims.len(), 3);
    }

    /// Notes, claims and the server's number of requests where the first sentence's answer is cut.
    fn cut(extra: &str) -> (String, Vec<Claim>, usize) {
        let server = Server::start(|asked| {
            let is_cut = last(asked).contains("Sentence: She sang.");
            match asked.body["max_tokens"].as_u64() {
                Some(512) if is_cut => {
                    let mut answer = chat("");
                    answer["choices"][0]["message"]["content"] = Value::Null;
                    answer["choices"][0]["finish_reason"] = json!("length");
                    Reaction::json(200, &answer)
                }
                Some(512) => Reaction::json(200, &chat("- none")),
                _ => Reaction::json(400, &json!({"error": {"message": "context exceeded"}})),
            }
        });
        let folder = tempfile::tempdir().unwrap();
        let path = responses(folder.path());
        let mut endpoint = table(&server.url);
        endpoint["table"]["extra_body"] = json!(extra);
        let parameters = json!({"by": "endpoint", "endpoint": endpoint});
        let store = folder.path().join("store");
        let trial = Trial { store, ..Trial::new(&[("responses", path.as_path())], parameters) };
        let notes = trial.run(&KIND, folder.path(), run).unwrap();
        let claims = json_lines::read_rows(&folder.path().join("claims.jsonl")).unwrap();
        (notes.join("\n"), claims, server.requests())
    }

    #[test]
    fn a_repetition_that_is_refused_or_would_change_nothing_leaves_its_sentence_unread() {
        let (notes, refused, requests) = cut("{}");
        assert_eq!(requests, 4, "three sentences, and one with a longer answer");
        assert!(notes.contains("3 calls asked, 0 from the log"), "{notes}");
        let (notes, fixed, requests) = cut(r#"{"max_tokens": 512}"#);
        assert_eq!(requests, 3, "the length is fixed");
        assert!(!notes.contains("asked for again"), "{notes}");
        for claims in [refused, fixed] {
            let texts: Vec<&str> = claims.iter().map(|claim| &*claim.text).collect();
            assert_eq!(texts, ["She sang."], "the sentence as it stands");
        }
    }

    #[test]
    fn calls_are_known_before_they_are_made() {
        let folder = tempfile::tempdir().unwrap();
        let path = responses(folder.path());
        fn count(context: &crate::context::Context) -> Result<(), StageError> {
            let calls = endpoint_calls(context)?;
            context.note(format!("{} calls", calls.len()));
            Ok(())
        }
        let counted = |parameters: Value| {
            Trial::new(&[("responses", path.as_path())], parameters)
                .run(&KIND, folder.path(), count)
                .unwrap()
        };
        let asked = json!({"by": "endpoint", "endpoint": table("http://x")});
        assert_eq!(counted(asked), ["3 calls"]);
        assert_eq!(counted(json!({"by": "sentences"})), ["0 calls"]);
    }

    #[test]
    fn an_endpoint_is_needed_and_prompts_are_read_with_it_only() {
        let fields = |inputs: &[&str], parameters| -> Vec<(&str, bool)> {
            let found = test_support::misfits(&KIND, inputs, parameters);
            found.iter().map(|misfit| (misfit.field, misfit.is_error)).collect()
        };
        let of = |by: &str| json!({"by": by, "endpoint": table("http://x")});
        assert_eq!(fields(&["responses"], json!({"by": "endpoint"})), [("endpoint", true)]);
        assert_eq!(fields(&["responses", "demonstrations"], of("endpoint")), []);
        assert_eq!(
            fields(&["responses", "demonstrations"], of("sentences")),
            [("demonstrations", false), ("endpoint", false)]
        );
    }
}
