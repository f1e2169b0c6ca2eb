//! Tests of calls to a local server.

use std::{
    fs,
    path::Path,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use serde_json::{Value, json};

use super::{
    Api, Call, CallTally, Client, Endpoint, EndpointError, NamedEndpoint, Replay, Reply,
    call::tests::endpoint,
    expected,
    server::{Asked, Reaction, Server, chat, faulty},
};
use crate::{rows::Content, seed::Seed};

fn named(table: Endpoint) -> NamedEndpoint {
    NamedEndpoint { name: "judge".to_owned(), table }
}

fn at(server: &Server) -> Endpoint {
    Endpoint { url: server.url.clone(), backoff: 0.01, ..endpoint() }
}

fn calls(table: &Endpoint, count: usize) -> Vec<Call> {
    let call = |number| {
        let prompt = Content::Text(format!("Number {number}?"));
        Call::new(table, format!("claim `{number}`"), &prompt, 20)
    };
    (0..count).map(call).collect()
}

fn ask(
    table: &Endpoint,
    store: &Path,
    calls: &[Call],
) -> Result<(Vec<Reply>, CallTally), EndpointError> {
    let client = Client::open(&named(table.clone()), store, &Seed::root(0))?;
    let replies = client.ask(calls, &|_| ())?;
    Ok((replies, client.tally()))
}

/// The prompt of a call, as its answer.
fn echo(asked: &Asked) -> Value {
    chat(asked.body["messages"][0]["content"].as_str().unwrap())
}

#[test]
fn each_call_is_asked_once_whatever_fails_and_who_asks_again() {
    let server = Server::start(|asked| faulty(asked, &echo(asked)));
    let folder = tempfile::tempdir().unwrap();
    let table = Endpoint { timeout: 0.4, max_retries: 20, concurrency: 8, ..at(&server) };
    let mut asked = calls(&table, 120);
    asked.extend(calls(&table, 10));
    let (replies, tally) = ask(&table, folder.path(), &asked).unwrap();
    let texts: Vec<&str> = replies.iter().map(|reply| &*reply.text).collect();
    assert_eq!((texts[0], texts[119], texts[129]), ("Number 0?", "Number 119?", "Number 9?"));
    assert_eq!((tally.asked, tally.replayed), (120, 0));
    assert!(tally.retries > 5 && tally.retries == server.requests() - 120, "{tally:?}");
    assert!(server.counts().values().all(|count| count.answered == 1));
    assert!((2..=8).contains(&server.most_busy()), "{}", server.most_busy());
    assert_eq!(tally.tokens, (1_440, 1_200));
    let before = server.requests();
    let (again, replayed) = ask(&table, folder.path(), &asked).unwrap();
    assert_eq!(again, replies);
    assert_eq!((replayed.asked, replayed.replayed, replayed.tokens), (0, 120, tally.tokens));
    drop(server);
    let only = Endpoint { replay: Replay::Only, ..table };
    let (only_logged, _) = ask(&only, folder.path(), &asked).unwrap();
    assert_eq!((only_logged, before), (replies, 120 + tally.retries));
    let error = ask(&only, folder.path(), &calls(&only, 123)).unwrap_err().to_string();
    assert_eq!(
        error,
        "the log of the endpoint `judge` lacks 3 of 123 calls (first: for claim `120`), and \
        `replay = \"only\"` asks nothing; `replay = \"record\"` asks for them"
    );
    let found = expected(&named(only.clone()), folder.path(), &calls(&only, 123)).unwrap();
    assert_eq!((found.calls, found.logged, found.cost), (123, 120, None));
}

#[test]
fn what_a_server_refuses_is_said_at_once_and_what_it_answered_is_kept() {
    let server = Server::start(|asked| {
        let text = asked.body["messages"][0]["content"].as_str().unwrap();
        match text {
            "Number 3?" => Reaction::json(400, &json!({"error": {"message": "no such model"}})),
            _ => Reaction::json(200, &echo(asked)),
        }
    });
    let folder = tempfile::tempdir().unwrap();
    let table = Endpoint { concurrency: 1, ..at(&server) };
    let error = ask(&table, folder.path(), &calls(&table, 9)).unwrap_err().to_string();
    assert_eq!(
        error,
        "the endpoint `judge` did not answer the call for claim `3`: status 400: no such model"
    );
    assert_eq!(server.requests(), 4);
    let (_, tally) = ask(&table, folder.path(), &calls(&table, 3)).unwrap();
    assert_eq!((tally.asked, tally.replayed), (0, 3));
}

#[test]
fn calls_that_a_server_does_not_accept_may_go_without_an_answer() {
    let server = Server::start(|asked| {
        let text = asked.body["messages"][0]["content"].as_str().unwrap();
        match text {
            "Number 1?" => Reaction::json(400, &json!({"error": {"message": "context exceeded"}})),
            "Number 3?" => Reaction::json(401, &json!({"error": {"message": "no key"}})),
            _ => Reaction::json(200, &echo(asked)),
        }
    });
    let folder = tempfile::tempdir().unwrap();
    let table = Endpoint { concurrency: 1, ..at(&server) };
    let accepted = |table: &Endpoint, count: usize| {
        let client = Client::open(&named(table.clone()), folder.path(), &Seed::root(0)).unwrap();
        let replies = client.ask_what_is_accepted(&calls(table, count), &|_| ())?;
        let texts = replies.into_iter().map(|reply| Some(reply?.text));
        Ok::<_, EndpointError>((texts.collect::<Vec<_>>(), client.tally()))
    };
    let (texts, tally) = accepted(&table, 3).unwrap();
    let expected = [Some("Number 0?"), None, Some("Number 2?")].map(|text| text.map(str::to_owned));
    assert_eq!((texts, tally.asked, server.requests()), (expected.to_vec(), 2, 3));
    // The refusal is replayed, and is no answer where there must be one.
    let only = Endpoint { replay: Replay::Only, ..table.clone() };
    assert_eq!(accepted(&only, 3).unwrap().0, expected);
    let error = ask(&only, folder.path(), &calls(&only, 3)).unwrap_err().to_string();
    assert!(error.contains("lacks 1 of 3 calls"), "{error}");
    let error = ask(&table, folder.path(), &calls(&table, 3)).unwrap_err().to_string();
    assert!(error.contains("status 400: context exceeded"), "{error}");
    let error = accepted(&table, 4).unwrap_err().to_string();
    assert!(error.contains("status 401: no key"), "another refusal: {error}");
}

#[test]
fn calls_beyond_the_context_may_go_without_an_answer_and_other_refusals_not() {
    let longest = Arc::new(Mutex::new(1));
    let seen = longest.clone();
    let server = Server::start(move |asked| {
        let text = asked.body["messages"][0]["content"].as_str().unwrap();
        let number: usize = text.trim_matches(|c: char| !c.is_numeric()).parse().unwrap();
        match number {
            4 => Reaction::json(400, &json!({"error": {"message": "bad field"}})),
            _ if number > *seen.lock().unwrap() => {
                let error = json!({"message": "no", "type": "exceed_context_size_error"});
                Reaction::json(500, &json!({ "error": error }))
            }
            _ => Reaction::json(200, &echo(asked)),
        }
    });
    let folder = tempfile::tempdir().unwrap();
    let table = Endpoint { concurrency: 1, ..at(&server) };
    let fitting = |table: &Endpoint, count: usize| {
        let client = Client::open(&named(table.clone()), folder.path(), &Seed::root(0)).unwrap();
        let replies = client.ask_what_fits(&calls(table, count), &|_| ())?;
        Ok::<_, EndpointError>(replies.iter().map(Option::is_some).collect::<Vec<_>>())
    };
    assert_eq!(fitting(&table, 4).unwrap(), [true, true, false, false]);
    assert_eq!(server.requests(), 4, "no retries");
    let only = Endpoint { replay: Replay::Only, ..table.clone() };
    assert_eq!(fitting(&only, 4).unwrap(), [true, true, false, false]);
    let error = ask(&table, folder.path(), &calls(&table, 4)).unwrap_err().to_string();
    assert!(error.contains("claim `2`: status 500: no"), "{error}");
    // The server is started again with a longer context.
    *longest.lock().unwrap() = 2;
    assert_eq!(fitting(&table, 4).unwrap(), [true, true, true, false]);
    let error = fitting(&table, 5).unwrap_err().to_string();
    assert!(error.contains("status 400: bad field"), "{error}");
}

#[test]
fn a_longer_answer_by_extra_fields_counts_before_it_is_asked_for() {
    let server = Server::start(|asked| Reaction::json(200, &echo(asked)));
    let folder = tempfile::tempdir().unwrap();
    let table = Endpoint {
        output_price: Some(1e6),
        max_cost: Some(1000.0),
        extra_body: Some(r#"{"max_tokens": 600, "n": 2}"#.to_owned()),
        ..at(&server)
    };
    let error = ask(&table, folder.path(), &calls(&table, 1)).unwrap_err();
    let EndpointError::TooExpensive { next, .. } = error else { panic!("{error}") };
    assert_eq!((next, server.requests()), (1200.0, 0));
}

#[test]
fn failures_that_stay_are_said_after_the_last_retry() {
    for (reaction, word) in [
        (Reaction::json as fn(u16, &Value) -> Reaction, "status 503: busy (3 attempts)"),
        (|_, _| Reaction::Silence, "no answer within `timeout` (3 attempts)"),
        (|_, _| Reaction::Cut("{\"cho".to_owned()), "the answer was cut short"),
        (
            |_, _| Reaction::Status(200, Vec::new(), "<p>Sign in</p>".to_owned()),
            "an HTML page instead of an answer: Sign in (3 attempts)",
        ),
        (|_, _| Reaction::json(200, &json!({"choices": []})), "no choices"),
    ] {
        let server = Server::start(move |_| reaction(503, &json!({"error": "busy"})));
        let folder = tempfile::tempdir().unwrap();
        let table = Endpoint { max_retries: 2, timeout: 0.2, ..at(&server) };
        let error = ask(&table, folder.path(), &calls(&table, 1)).unwrap_err().to_string();
        assert!(error.contains(word), "{error}");
        assert_eq!(server.requests(), 3, "{word}");
    }
    let folder = tempfile::tempdir().unwrap();
    let table = Endpoint { url: "http://127.0.0.1:9/v1".to_owned(), max_retries: 1, ..endpoint() };
    let error = ask(&table, folder.path(), &calls(&table, 1)).unwrap_err().to_string();
    assert!(
        error.contains("no server answers at http://127.0.0.1:9/v1/chat")
            && error.contains("(2 attempts)"),
        "{error}"
    );
}

#[test]
fn redirects_and_spent_credit_are_not_repeated() {
    for (status, headers, body, word) in [
        (
            307,
            vec![("location", "https://elsewhere/v1".to_owned())],
            "",
            "redirects to https://elsewhere",
        ),
        (
            429,
            Vec::new(),
            r#"{"error": {"message": "no credit", "code": "insufficient_quota"}}"#,
            "status 429: no credit",
        ),
        (501, Vec::new(), "", "status 501"),
        (429, vec![("retry-after", "3600".to_owned())], "", "asks to wait 3600 s"),
        (400, Vec::new(), "top_logprobs must be at most 5", "`top_logprobs` of the endpoint is"),
        (400, Vec::new(), "max_tokens is unsupported", "fields of `extra_body` replace"),
    ] {
        let server =
            Server::start(move |_| Reaction::Status(status, headers.clone(), body.to_owned()));
        let folder = tempfile::tempdir().unwrap();
        let error =
            ask(&at(&server), folder.path(), &calls(&at(&server), 1)).unwrap_err().to_string();
        assert!(error.contains(word), "{error}");
        assert_eq!(server.requests(), 1);
    }
}

#[test]
fn retry_after_holds_back_all_requests() {
    let times = Arc::new(Mutex::new(Vec::new()));
    let seen = times.clone();
    let server = Server::start(move |asked| {
        let mut times = seen.lock().unwrap();
        times.push(Instant::now());
        if times.len() == 1 {
            return Reaction::Status(429, vec![("retry-after", "0.3".to_owned())], String::new());
        }
        Reaction::json(200, &echo(asked))
    });
    let folder = tempfile::tempdir().unwrap();
    let table = Endpoint { concurrency: 1, ..at(&server) };
    ask(&table, folder.path(), &calls(&table, 2)).unwrap();
    let times = times.lock().unwrap();
    assert!(times[1] - times[0] >= Duration::from_millis(300));
}

#[test]
fn damaged_lines_and_long_waits_are_told() {
    let server = Server::start(|asked| match asked.before {
        0 => Reaction::Status(429, vec![("retry-after", "5".to_owned())], String::new()),
        _ => Reaction::json(200, &echo(asked)),
    });
    let folder = tempfile::tempdir().unwrap();
    let table = at(&server);
    let asked = calls(&table, 1);
    let told = Arc::new(Mutex::new(Vec::new()));
    let client = || {
        let heard = told.clone();
        let client = Client::open(&named(table.clone()), folder.path(), &Seed::root(0)).unwrap();
        client.telling(Box::new(move |text| heard.lock().unwrap().push(text)))
    };
    client().ask(&asked, &|_| ()).unwrap();
    let said = std::mem::take(&mut *told.lock().unwrap());
    assert_eq!(
        said,
        ["the endpoint `judge` asks to wait 5 s (status 429); calls go on after that"]
    );
    let log = fs::read_dir(folder.path().join("v1/calls")).unwrap().next().unwrap().unwrap().path();
    let text = fs::read_to_string(&log).unwrap();
    fs::write(&log, text.replace("Number", "number")).unwrap();
    client().ask(&asked, &|_| ()).unwrap();
    let said = told.lock().unwrap().concat();
    assert!(said.starts_with("1 lines of ") && said.contains("are asked again"), "{said}");
}

#[test]
fn a_stage_stops_before_it_overspends_and_goes_on_with_a_higher_limit() {
    let server = Server::start(|asked| Reaction::json(200, &echo(asked)));
    let folder = tempfile::tempdir().unwrap();
    // 12 tokens in, 10 out: 32 each. Before, each may cost 10 / 2 + 16 + 2 * 20 = 61.
    let table = Endpoint {
        input_price: Some(1e6),
        output_price: Some(2e6),
        max_cost: Some(1000.0),
        ..at(&server)
    };
    let error = ask(&table, folder.path(), &calls(&table, 50)).unwrap_err();
    let EndpointError::TooExpensive { spent, next, most, .. } = error else { panic!("{error}") };
    assert!(spent <= most && spent + next > most, "{spent} {next} {most}");
    let asked = server.requests();
    let cost = 32.0 * asked as f64;
    assert!(cost <= 1000.0 && cost + 61.0 > 1000.0, "{asked}");
    // A restart counts what is logged.
    assert!(ask(&table, folder.path(), &calls(&table, 50)).is_err());
    assert_eq!(server.requests(), asked);
    let expected = expected(&named(table.clone()), folder.path(), &calls(&table, 50)).unwrap();
    assert_eq!(expected.logged, asked);
    assert!(expected.cost.unwrap() > 1000.0);
    let more = Endpoint { max_cost: Some(1e6), ..table };
    let (_, tally) = ask(&more, folder.path(), &calls(&more, 50)).unwrap();
    assert_eq!(tally.cost, Some(1600.0));
}

#[test]
fn log_probabilities_that_a_server_leaves_out_are_an_error_that_names_the_habit() {
    let server = Server::start(|asked| Reaction::json(200, &echo(asked)));
    let folder = tempfile::tempdir().unwrap();
    let table = at(&server);
    let call = calls(&table, 1).remove(0).with_log_probs(&table);
    let error = ask(&table, folder.path(), &[call]).unwrap_err().to_string();
    assert!(error.contains("ignore `logprobs` without an error"), "{error}");
    assert_eq!(server.requests(), 1);
}

#[test]
fn the_key_is_sent_and_appears_nowhere_else() {
    let server = Server::start(|asked| match asked.headers.get("authorization") {
        Some(key) if asked.before == 0 => {
            let said = format!("wrong key {}", key.trim_start_matches("Bearer "));
            Reaction::json(503, &json!({"error": {"message": said}}))
        }
        // Some servers write each `/` as `\/`.
        Some(key) => {
            let answer = chat(key).to_string().replace('/', "\\/");
            Reaction::Status(200, Vec::new(), answer)
        }
        None => Reaction::json(401, &json!({"error": {"message": "no key"}})),
    });
    let folder = tempfile::tempdir().unwrap();
    // The path of the search for programs stands in for a key: tests set no variables.
    let key = std::env::var("PATH").unwrap();
    let table = Endpoint { api_key_env: Some("PATH".to_owned()), max_retries: 0, ..at(&server) };
    let error = ask(&table, folder.path(), &calls(&table, 1)).unwrap_err().to_string();
    assert!(error.contains("wrong key ***") && !error.contains(&key), "{error}");
    let (replies, _) = ask(&table, folder.path(), &calls(&table, 1)).unwrap();
    assert_eq!(replies[0].text, "Bearer ***");
    let log = fs::read_dir(folder.path().join("v1/calls")).unwrap().next().unwrap().unwrap();
    let log = fs::read_to_string(log.path()).unwrap();
    assert!(log.contains("Bearer ***") && !log.contains(&key));
    assert!(key.contains('/') && !log.contains(&key.replace('/', "\\/")), "{log}");
    let unset = Endpoint { api_key_env: Some("APEFT_UNSET".to_owned()), ..at(&server) };
    let error = ask(&unset, folder.path(), &[]).unwrap_err().to_string();
    assert!(error.contains("`APEFT_UNSET`"), "{error}");
    assert!(ask(&Endpoint { replay: Replay::Only, ..unset }, folder.path(), &[]).is_ok());
}

#[test]
fn two_clients_of_one_store_share_what_they_ask() {
    let server = Server::start(|asked| {
        std::thread::sleep(Duration::from_millis(5));
        Reaction::json(200, &echo(asked))
    });
    let folder = tempfile::tempdir().unwrap();
    let table = at(&server);
    let all = calls(&table, 60);
    std::thread::scope(|scope| {
        let other = scope.spawn(|| ask(&table, folder.path(), &all).unwrap().0);
        assert_eq!(ask(&table, folder.path(), &all).unwrap().0, other.join().unwrap());
    });
    assert_eq!(server.requests(), 60);
    // A model with another revision has a log of its own.
    let other = Endpoint { revision: Some("q4".to_owned()), api: Api::Chat, ..table };
    ask(&other, folder.path(), &calls(&other, 5)).unwrap();
    assert_eq!(server.requests(), 65);
}
