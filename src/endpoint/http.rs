//! One request: sent, and its answer or failure understood.

use std::time::{Duration, SystemTime};

use serde_json::Value;
use ureq::{Agent, Body, http::Response};

use super::secret::ApiKey;

/// Longest body of an answer in bytes.
const LONGEST_BODY: u64 = 64 << 20;
/// Longest part in bytes of a page that is searched for its message.
const READ_OF_PAGE: usize = 64 << 10;
/// Letters of a server's message in an error.
const SHOWN: usize = 400;
/// Longest wait that a server may ask for; a longer one ends the stage.
const LONGEST_WAIT: Duration = Duration::from_secs(600);
/// Seconds that a quota may take; what is longer is no wait that was meant.
const LONGEST_PLAUSIBLE: f64 = 32.0 * 86_400.0;

/// What became of a request.
#[derive(Debug)]
pub(super) enum Sent {
    /// The server answered with JSON.
    Answered(Value),
    /// It may answer a repetition.
    Failed(Failed),
    /// The prompt with its longest answer exceeds the model's context.
    TooLong(String),
    /// It does not accept what this call asks.
    Invalid(String),
    /// It would refuse a repetition too.
    Refused(String),
}

/// A failure that may pass.
#[derive(Debug)]
pub(super) struct Failed {
    pub(super) problem: String,
    /// The wait that the server asks for.
    pub(super) wait: Option<Duration>,
    /// Whether the server may have made, and bills, an answer.
    pub(super) may_cost: bool,
}

/// A client for requests of at most this duration. It follows no redirects, which could take the
/// key to another host.
pub(super) fn agent(timeout: f64, concurrency: usize) -> Agent {
    let config = Agent::config_builder()
        .timeout_global(Some(Duration::from_secs_f64(timeout)))
        .http_status_as_error(false)
        .max_redirects(0)
        .max_redirects_will_error(false)
        .max_idle_connections(concurrency)
        .max_idle_connections_per_host(concurrency)
        .user_agent(concat!("apeft/", env!("CARGO_PKG_VERSION")))
        .build();
    config.into()
}

/// Sends one request.
pub(super) fn post(agent: &Agent, url: &str, key: Option<&ApiKey>, body: &str) -> Sent {
    let request = agent.post(url).header("content-type", "application/json");
    let request = match key {
        Some(key) => request.header("authorization", key.header()),
        None => request,
    };
    let sent = match request.send(body) {
        Ok(response) => answered(response),
        Err(error) => unanswered(&error, url),
    };
    let masked = |text: String| key.map_or(text.clone(), |key| key.masked(&text));
    match sent {
        Sent::Answered(answer) => Sent::Answered(match key {
            Some(key) => key.removed_from(answer),
            None => answer,
        }),
        Sent::Failed(failed) => Sent::Failed(Failed { problem: masked(failed.problem), ..failed }),
        Sent::TooLong(problem) => Sent::TooLong(masked(problem)),
        Sent::Invalid(problem) => Sent::Invalid(masked(problem)),
        Sent::Refused(problem) => Sent::Refused(masked(problem)),
    }
}

/// A request without a status.
fn unanswered(error: &ureq::Error, url: &str) -> Sent {
    use ureq::Error as E;
    let problem = match error {
        E::Timeout(_) => "no answer within `timeout`".to_owned(),
        E::HostNotFound => format!("the host of {url} is not known"),
        E::ConnectionFailed => format!("no connection to {url}"),
        other => other.to_string(),
    };
    match error {
        // A repetition would not change a certificate, a URL or a proxy.
        E::BadUri(_) | E::Http(_) | E::Tls(_) | E::Rustls(_) | E::Pem(_) | E::InvalidProxyUrl => {
            Sent::Refused(problem)
        }
        E::HostNotFound | E::ConnectionFailed => failed(problem, false),
        E::Io(cause) if cause.kind() == std::io::ErrorKind::ConnectionRefused => {
            failed(format!("no server answers at {url} ({cause})"), false)
        }
        _ => failed(problem, true),
    }
}

fn failed(problem: String, may_cost: bool) -> Sent {
    Sent::Failed(Failed { problem, wait: None, may_cost })
}

fn answered(mut response: Response<Body>) -> Sent {
    let status = response.status().as_u16();
    let wait = wait_of(&response);
    let location = header(&response, "location").map(str::to_owned);
    let body = response.body_mut().with_config().limit(LONGEST_BODY).read_to_vec();
    let body = match body {
        Ok(body) => String::from_utf8_lossy(&body).into_owned(),
        Err(ureq::Error::BodyExceedsLimit(_)) => {
            return Sent::Refused(format!("its answer is longer than {LONGEST_BODY} bytes"));
        }
        // A failed status stays one, even if its message was cut short.
        Err(_) if status != 200 => String::new(),
        Err(error) => return failed(format!("the answer was cut short: {error}"), true),
    };
    if (200..300).contains(&status) {
        return read(&body);
    }
    if let Some(location) = location.filter(|_| (300..400).contains(&status)) {
        return Sent::Refused(format!("it redirects to {location}; set `url` accordingly"));
    }
    let said = message(&body);
    let problem = if said.is_empty() {
        format!("status {status}")
    } else {
        format!("status {status}: {said}")
    };
    let wait = match wait {
        AskedWait::Nothing => None,
        AskedWait::Wait(wait) => Some(wait),
        AskedWait::TooLong(seconds) if passes(status) && !is_out_of_credit(&body) => {
            return Sent::Refused(format!(
                "{problem}; it asks to wait {seconds:.0} s (`Retry-After`), longer than the {} s \
                that are waited: run again after that, answers are kept",
                LONGEST_WAIT.as_secs()
            ));
        }
        AskedWait::TooLong(_) => None,
    };
    match status {
        // llama.cpp has said so with the statuses 200, 400 and 500.
        413 => Sent::TooLong(problem),
        _ if is_too_long(&body) => Sent::TooLong(problem),
        _ if is_out_of_credit(&body) => Sent::Refused(problem),
        _ if passes(status) => Sent::Failed(Failed { problem, wait, may_cost: false }),
        400 | 422 => Sent::Invalid(format!("{problem}{}", remedy(&body))),
        _ => Sent::Refused(problem),
    }
}

/// Whether a repetition may be answered.
fn passes(status: u16) -> bool {
    // 501 and 505 say that the server cannot do it at all.
    matches!(status, 408 | 409 | 425 | 429) || status >= 500 && !matches!(status, 501 | 505)
}

/// OpenAI says with the status of a full queue that there is no money left.
fn is_out_of_credit(body: &str) -> bool {
    body.contains("insufficient_quota") || body.contains("billing_hard_limit")
}

/// Whether a body says that a call exceeds the model's context, in the words of OpenAI, vLLM,
/// llama.cpp, SGLang, TGI, LM Studio, Anthropic and Google.
fn is_too_long(body: &str) -> bool {
    const WORDS: [&str; 10] = [
        "context_length_exceeded",
        "exceed_context_size",
        "context length",
        "context size",
        "context window",
        "maximum model length",
        "prompt is too long",
        "input token count",
        "`inputs` tokens + `max_new_tokens`",
        "`inputs` must have less than",
    ];
    let body = body.to_lowercase();
    WORDS.iter().any(|words| body.contains(words))
}

/// The answer of a successful request.
fn read(body: &str) -> Sent {
    // A byte-order mark before the answer would make it invalid JSON.
    let answer: Value = match serde_json::from_str(body.trim_start_matches('\u{feff}')) {
        Ok(answer) => answer,
        // Such a page comes from a gateway and no model, so there is no answer to bill.
        Err(_) if body.trim_start().starts_with('<') => {
            return failed(format!("an HTML page instead of an answer: {}", message(body)), false);
        }
        Err(error) => {
            let bytes = body.len();
            return failed(format!("the answer is no JSON ({error}; {bytes} bytes)"), true);
        }
    };
    // Some gateways report errors of the model's host with status 200.
    let error = &answer["error"];
    if error.is_null() || answer["choices"].is_array() {
        return Sent::Answered(answer);
    }
    let status = ["code", "status"].into_iter().find_map(|name| error[name].as_u64());
    let status = status.and_then(|status| u16::try_from(status).ok());
    let problem = message(body);
    if is_too_long(body) {
        return Sent::TooLong(problem);
    }
    if status.is_none_or(passes) && !is_out_of_credit(body) {
        failed(problem, false)
    } else {
        Sent::Refused(problem)
    }
}

fn header<'a>(response: &'a Response<Body>, name: &str) -> Option<&'a str> {
    response.headers().get(name)?.to_str().ok()
}

/// The field of the table that changes what a server does not accept.
fn remedy(body: &str) -> &'static str {
    let body = body.to_lowercase();
    if body.contains("logprobs") {
        "; `top_logprobs` of the endpoint is the number of alternatives that is asked for, and \
        some models have none"
    } else if body.contains("max_tokens") {
        "; fields of `extra_body` replace those of a request, such as `extra_body = \
        '{\"max_tokens\": null, \"max_completion_tokens\": 16}'`"
    } else if body.contains("temperature") {
        "; a null of `extra_body` removes a field of a request, such as `extra_body = \
        '{\"temperature\": null}'`"
    } else {
        ""
    }
}

/// The wait that a server asks for.
#[derive(Debug, PartialEq)]
enum AskedWait {
    Nothing,
    Wait(Duration),
    /// In seconds.
    TooLong(f64),
}

/// The wait that `Retry-After` asks for: seconds, or a date.
fn wait_of(response: &Response<Body>) -> AskedWait {
    let milliseconds = header(response, "retry-after-ms");
    let milliseconds = milliseconds.and_then(|text| text.trim().parse::<f64>().ok());
    let seconds = || {
        let text = header(response, "retry-after")?.trim();
        text.parse().ok().or_else(|| seconds_until(text))
    };
    milliseconds.map(|number| number / 1000.0).or_else(seconds).map_or(AskedWait::Nothing, bounded)
}

fn bounded(seconds: f64) -> AskedWait {
    let longest = LONGEST_WAIT.as_secs_f64();
    // A negative wait would panic; one of months, and NaN, is nobody's wish.
    match seconds {
        _ if !(0.0..=LONGEST_PLAUSIBLE).contains(&seconds) => AskedWait::Nothing,
        _ if seconds > longest => AskedWait::TooLong(seconds),
        _ => AskedWait::Wait(Duration::from_secs_f64(seconds)),
    }
}

fn seconds_until(date: &str) -> Option<f64> {
    let then = jiff::fmt::rfc2822::parse(date).ok()?.timestamp();
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).ok()?;
    Some((then.as_second() as f64 - now.as_secs_f64()).max(0.0))
}

/// The message of an error's body, in one line: of JSON in the usual forms, or of HTML.
fn message(body: &str) -> String {
    let json: Option<Value> = serde_json::from_str(body).ok();
    let said = json.as_ref().and_then(|json| {
        let places = [
            &json["error"]["message"],
            &json["error"],
            &json["message"],
            &json["detail"],
            &json[0]["error"]["message"],
        ];
        places.into_iter().find_map(Value::as_str)
    });
    let text = match said {
        Some(said) => said.to_owned(),
        None if body.trim_start().starts_with('<') => {
            without_tags(&body[..body.floor_char_boundary(READ_OF_PAGE)])
        }
        None => body.to_owned(),
    };
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    let shown: String = line.chars().take(SHOWN).collect();
    let cut = if shown.len() < line.len() { "..." } else { "" };
    format!("{}{cut}", crate::diagnostic::printable(&shown))
}

/// The text of a page without its tags, styles and scripts.
fn without_tags(page: &str) -> String {
    // Small letters of ASCII keep the places of all others.
    let small = page.to_ascii_lowercase();
    let mut text = String::new();
    let mut at = 0;
    while let Some(before) = page[at..].find('<') {
        text.push_str(&page[at..at + before]);
        text.push(' ');
        at += before;
        let names = [("<style", "</style"), ("<script", "</script")];
        let hidden = names.into_iter().find(|(open, _)| small[at..].starts_with(open));
        // What is hidden goes to the end of the page if nothing closes it.
        let inner = hidden.map_or(Some(0), |(_, close)| small[at..].find(close));
        let end = inner.and_then(|inner| Some(at + inner + page[at + inner..].find('>')? + 1));
        let Some(end) = end else { return text };
        at = end;
    }
    text + &page[at..]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_of_servers_are_found() {
        for (body, said) in [
            (r#"{"error": {"message": "bad  model\n", "code": 404}}"#, "bad model"),
            (r#"{"error": "no such model"}"#, "no such model"),
            (r#"{"detail": "Not Found"}"#, "Not Found"),
            (r#"[{"error": {"message": "quota"}}]"#, "quota"),
            (
                "<html><head><style>b {x: 1}</style><title>502</title></head><b>Bad\u{1b} Gateway</b>",
                "502 Bad\\u{1b} Gateway",
            ),
            ("plain", "plain"),
            ("", ""),
        ] {
            assert_eq!(message(body), said);
        }
        assert_eq!(message(&"\u{e4}".repeat(500)).chars().count(), SHOWN + 3);
    }

    #[test]
    fn long_pages_take_no_long_time() {
        let began = std::time::Instant::now();
        // The cut falls into a letter of two bytes.
        for part in ["<b>", "<style>", "</", "<script></script>", "<b>\u{e4}"] {
            let page = format!("<p>Bad gateway</p>x<{}", part.repeat(1 << 20));
            assert!(message(&page).starts_with("Bad gateway"), "{part}");
        }
        let took = began.elapsed();
        assert!(took < Duration::from_secs(10), "{took:?}");
    }

    #[test]
    fn errors_with_status_200_are_errors() {
        assert!(matches!(read(r#"{"choices": [], "error": null}"#), Sent::Answered(_)));
        for (body, passes) in [
            (r#"{"error": {"message": "busy", "code": 503}}"#, true),
            (r#"{"error": {"message": "no", "code": 400}}"#, false),
            (r#"{"error": {"message": "unknown"}}"#, true),
            ("<html>", true),
            (r#"{"choices": [{"mess"#, true),
        ] {
            assert_eq!(matches!(read(body), Sent::Failed(_)), passes, "{body}");
        }
    }

    #[test]
    fn servers_say_in_many_words_that_a_call_exceeds_the_context() {
        for body in [
            r#"{"error": {"message": "Shorten it.", "code": "context_length_exceeded"}}"#,
            r#"{"error": {"message": "This model's maximum context length is 2048 tokens."}}"#,
            r#"{"error": {"message": "try again", "type": "exceed_context_size_error"}}"#,
            r#"{"error": "the request exceeds the available context size, try increasing it"}"#,
            r#"{"error": "Requested tokens (516) exceed context window of 512"}"#,
            r#"{"error": "The prompt (length 9) is longer than the maximum model length of 8."}"#,
            r#"{"error": "`inputs` tokens + `max_new_tokens` must be <= 2048. Given: 9999"}"#,
            r#"{"error": "Input validation error: `inputs` must have less than 512 tokens. Given: 900"}"#,
            r#"{"error": {"message": "Prompt is too long: 9 tokens > 8 maximum"}}"#,
            r#"{"error": {"message": "The input token count (9) exceeds the maximum (8)."}}"#,
        ] {
            assert!(is_too_long(body), "{body}");
            assert!(matches!(read(body), Sent::TooLong(_)), "{body}");
        }
        for body in ["", r#"{"error": {"message": "max_tokens must be positive"}}"#] {
            assert!(!is_too_long(body), "{body}");
        }
    }

    #[test]
    fn dates_of_retry_after_are_read() {
        assert_eq!(seconds_until("Wed, 21 Oct 2015 07:28:00 GMT"), Some(0.0));
        let wait = seconds_until("Fri, 31 Dec 2100 23:59:59 GMT").unwrap();
        assert!(wait > 1e9);
        assert_eq!(seconds_until("soon"), None);
        for nonsense in [wait, -1.0, 1e300, f64::INFINITY, f64::NAN] {
            assert_eq!(bounded(nonsense), AskedWait::Nothing, "{nonsense}");
        }
        assert_eq!(bounded(3600.0), AskedWait::TooLong(3600.0));
        assert_eq!(bounded(0.3), AskedWait::Wait(Duration::from_millis(300)));
    }
}
