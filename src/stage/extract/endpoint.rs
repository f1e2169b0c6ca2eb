//! Claims by a language model behind an endpoint.

use std::collections::BTreeSet;

use serde::Deserialize;

use super::few_shot::{FewShotParameters, report_answers};
use crate::{
    context::{Context, StageError},
    digest::Digest,
    endpoint::{
        Call, Client, ENDPOINT, Endpoint, EndpointError, FinishReason, NamedEndpoint, Reply,
    },
    prompting::{ClaimAnswer, ClaimRequest},
    rows::{Claim, Finish, Response, ResponseId},
    stage_support::endpoint_field,
};

/// What makes answers readable.
const HELP: &str = "a larger model, longer answers (`max_claim_tokens`, less reasoning by \
    `extra_body`) or `parse_retries`";

/// What makes prompts fit a context.
const SHORTER: &str = "a longer context of the server, lower `max_claim_tokens`, \
    `fixed_demonstrations` or `sentences_before` may help";

/// Parameters of `by = "endpoint"`.
#[derive(Debug, Deserialize, apeft_derive::Parameters)]
pub(super) struct EndpointParameters {
    /// For `endpoint`: the endpoint that is asked for the claims of each sentence.
    #[parameter(table = &ENDPOINT)]
    pub(super) endpoint: Option<NamedEndpoint>,
}

impl EndpointParameters {
    /// The first calls for some responses; an answer that cannot be read adds one.
    ///
    /// # Errors
    /// If the prompt cannot be read.
    pub(super) fn calls(
        &self,
        context: &Context,
        few_shot: &FewShotParameters,
        responses: &[Response],
    ) -> Result<Vec<Call>, StageError> {
        let table = &endpoint_field::given(self.endpoint.as_ref())?.table;
        let prompts = few_shot.prompts(context, table.chats())?;
        Ok(prompts.requests(responses).iter().map(|request| call(table, request)).collect())
    }
}

/// A response of seven sentences with 110 letters each: the mean of biographies by language models.
pub(super) fn usual_response() -> Response {
    let sentence = "She was born in a small town in the north of the country, and studied law at \
        its university until May of 1990. ";
    Response {
        id: ResponseId::of_sample("usual", 0),
        prompt_id: String::new(),
        sample: 0,
        topic: "Ada Quill".to_owned(),
        domain: String::new(),
        split: String::new(),
        prompt: "Tell me about Ada Quill.".into(),
        output: sentence.repeat(7),
        finish: Finish::Stop,
    }
}

/// The claims of responses.
///
/// # Errors
/// If the endpoint does not answer, or the prompt cannot be read.
pub(super) fn claims(
    context: &Context,
    parameters: &EndpointParameters,
    few_shot: &FewShotParameters,
    responses: &[Response],
) -> Result<Vec<Claim>, StageError> {
    let named = endpoint_field::given(parameters.endpoint.as_ref())?;
    let prompts = few_shot.prompts(context, named.table.chats())?;
    let client = endpoint_field::client(context, named)?;
    let mut asker = SentenceAsker { context, client, asked: BTreeSet::new(), beyond: Vec::new() };
    let found = prompts.claims(responses, |requests| asker.ask(requests))?;
    context.note(asker.client.tally().to_string());
    if let Some(first) = asker.beyond.first() {
        context.warn(format!(
            "{} of {} sentences, such as {first}, exceed the context of the endpoint's model with \
            their prompt and claims, and are claims as they stand; {SHORTER}",
            asker.beyond.len(),
            found.sentences
        ));
    }
    report_answers(context, &found, HELP);
    Ok(found.claims)
}

/// Asks for the claims of sentences.
struct SentenceAsker<'a> {
    context: &'a Context,
    client: Client,
    /// Keys of the calls so far.
    asked: BTreeSet<Digest>,
    /// Labels of the sentences that exceed the model's context.
    beyond: Vec<String>,
}

impl SentenceAsker<'_> {
    /// The answers to requests. Those of the first round must be answered, unless they exceed the
    /// model's context. A repetition has no answer if the server does not accept it, or if it is a
    /// call of an earlier round: `extra_body` may fix the length, and the log would repeat its
    /// answer.
    fn ask(
        &mut self,
        requests: &[ClaimRequest],
    ) -> Result<Vec<Option<ClaimAnswer>>, EndpointError> {
        let table = self.client.endpoint();
        let calls: Vec<Call> = requests.iter().map(|request| call(table, request)).collect();
        let is_new: Vec<bool> = calls.iter().map(|call| !self.asked.contains(call.key())).collect();
        let new = calls.into_iter().zip(&is_new).filter_map(|(call, new)| new.then_some(call));
        let new: Vec<Call> = new.collect();
        let total = new.len() as u64;
        let progress =
            |done: usize| self.context.progress(done as u64, total.max(done as u64), "calls");
        let replies = match self.asked.is_empty() {
            true => self.client.ask_what_fits(&new, &progress)?,
            false => self.client.ask_what_is_accepted(&new, &progress)?,
        };
        if self.asked.is_empty() {
            let long = requests.iter().zip(&replies).filter(|(_, reply)| reply.is_none());
            self.beyond.extend(long.map(|(request, _)| request.label.clone()));
            if self.beyond.len() == new.len() {
                // Nothing fits, which the server explains best.
                self.client.ask(&new[..new.len().min(1)], &|_| ())?;
            }
        }
        self.asked.extend(new.iter().map(Call::key));
        let mut answers = replies.into_iter().map(|reply| {
            let Reply { text, finish, .. } = reply?;
            Some(ClaimAnswer { text, is_cut: finish == FinishReason::Length })
        });
        let answered = |new: bool| if new { answers.next().flatten() } else { None };
        Ok(is_new.into_iter().map(answered).collect())
    }
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
    fn sentences_beyond_the_context_are_counted_claims_and_other_refusals_end_the_stage() {
        type Refuse = fn(&str) -> Option<&'static str>;
        fn extracted(refuses: Refuse) -> Result<(Vec<String>, String), StageError> {
            let server = Server::start(move |asked| match refuses(&last(asked)) {
                None => Reaction::json(200, &chat("- Ada Quill sang.")),
                Some(message) => Reaction::json(400, &json!({"error": {"message": message}})),
            });
            let folder = tempfile::tempdir().unwrap();
            let path = responses(folder.path());
            let parameters = json!({"by": "endpoint", "endpoint": table(&server.url)});
            let store = folder.path().join("store");
            let trial = Trial { store, ..Trial::new(&[("responses", path.as_path())], parameters) };
            let (notes, warnings) = trial.said(&KIND, folder.path(), run)?;
            let claims: Vec<Claim> =
                json_lines::read_rows(&folder.path().join("claims.jsonl")).unwrap();
            let texts = claims.into_iter().map(|claim| claim.text).collect();
            Ok((texts, [notes, warnings].concat().join("\n")))
        }
        const LONG: &str = "the request exceeds the available context size";
        let (texts, said) =
            extracted(|text| text.contains("Sentence: Ada Quill was").then_some(LONG)).unwrap();
        assert_eq!(texts[0], "Ada Quill was a poet and baker.");
        assert_eq!(texts.len(), 3, "{texts:?}");
        let counted = "1 of 3 sentences, such as sentence 1 of `a#0`, exceed the context";
        assert!(said.contains(counted) && said.contains("2 calls asked"), "{said}");
        let error = extracted(|_| Some(LONG)).unwrap_err().to_string();
        assert!(error.contains("sentence 1 of `a#0`: status 400: the request exceeds"), "{error}");
        let error = extracted(|_| Some("bad field")).unwrap_err().to_string();
        assert!(error.contains("status 400: bad field"), "{error}");
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
            [("endpoint", false), ("demonstrations", false)]
        );
    }
}
