//! An HTTP server for tests of endpoints: answers by a function, counts what it was asked, and
//! fails in the ways that real servers do.

use std::{
    collections::BTreeMap,
    io::{BufRead, BufReader, Read, Write},
    net::{TcpListener, TcpStream},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread,
    time::Duration,
};

use serde_json::{Value, json};

/// A request.
pub(crate) struct Asked {
    pub(crate) path: String,
    pub(crate) headers: BTreeMap<String, String>,
    pub(crate) body: Value,
    /// How often this body was asked before.
    pub(crate) before: usize,
}

/// What the server does with a request.
pub(crate) enum Reaction {
    /// A status with headers and a body.
    Status(u16, Vec<(&'static str, String)>, String),
    /// The beginning of a body of which more was announced.
    Cut(String),
    /// Nothing until the client gives up.
    Silence,
}

impl Reaction {
    pub(crate) fn json(status: u16, body: &Value) -> Self {
        Self::Status(status, Vec::new(), body.to_string())
    }
}

/// How often a body was asked and answered.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct BodyCount {
    pub(crate) asked: usize,
    /// Complete answers with status 200.
    pub(crate) answered: usize,
}

type React = dyn Fn(&Asked) -> Reaction + Send + Sync;

/// A running server; its threads end with it.
pub(crate) struct Server {
    pub(crate) url: String,
    shared: Arc<Shared>,
}

struct Shared {
    react: Box<React>,
    counts: Mutex<BTreeMap<String, BodyCount>>,
    answered: AtomicUsize,
    busy: AtomicUsize,
    most_busy: AtomicUsize,
    is_over: AtomicBool,
}

impl Server {
    pub(crate) fn start(react: impl Fn(&Asked) -> Reaction + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/v1", listener.local_addr().unwrap());
        let shared = Arc::new(Shared {
            react: Box::new(react),
            counts: Mutex::default(),
            answered: AtomicUsize::new(0),
            busy: AtomicUsize::new(0),
            most_busy: AtomicUsize::new(0),
            is_over: AtomicBool::new(false),
        });
        let own = shared.clone();
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                if own.is_over.load(Ordering::Relaxed) {
                    return;
                }
                let shared = own.clone();
                thread::spawn(move || shared.serve(&stream));
            }
        });
        Self { url, shared }
    }

    /// By body.
    pub(crate) fn counts(&self) -> BTreeMap<String, BodyCount> {
        self.shared.counts.lock().unwrap().clone()
    }

    /// Number of complete answers with status 200.
    pub(crate) fn answered(&self) -> usize {
        self.shared.answered.load(Ordering::Relaxed)
    }

    /// Number of all requests.
    pub(crate) fn requests(&self) -> usize {
        self.counts().values().map(|count| count.asked).sum()
    }

    /// Largest number of requests at one time.
    pub(crate) fn most_busy(&self) -> usize {
        self.shared.most_busy.load(Ordering::Relaxed)
    }

    /// Waits until no request is in flight.
    pub(crate) fn settle(&self) {
        // A request that was sent may not have been read yet.
        for _ in 0..2 {
            thread::sleep(Duration::from_millis(20));
            while self.shared.busy.load(Ordering::SeqCst) > 0 {
                thread::sleep(Duration::from_millis(2));
            }
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.shared.is_over.store(true, Ordering::Relaxed);
        let address = self.url.trim_start_matches("http://").trim_end_matches("/v1");
        let _ = TcpStream::connect(address);
    }
}

impl Shared {
    fn serve(&self, stream: &TcpStream) {
        stream.set_nodelay(true).unwrap();
        let mut reader = BufReader::new(stream);
        while let Some((path, headers, body)) = read_request(&mut reader) {
            let busy = self.busy.fetch_add(1, Ordering::SeqCst) + 1;
            self.most_busy.fetch_max(busy, Ordering::Relaxed);
            let key = body.to_string();
            let before = {
                let mut counts = self.counts.lock().unwrap();
                let count = counts.entry(key.clone()).or_default();
                count.asked += 1;
                count.asked - 1
            };
            let reaction = (self.react)(&Asked { path, headers, body, before });
            let is_whole = react(&reaction, stream);
            if is_whole && matches!(reaction, Reaction::Status(200, ..)) {
                self.counts.lock().unwrap().get_mut(&key).unwrap().answered += 1;
                self.answered.fetch_add(1, Ordering::Relaxed);
            }
            self.busy.fetch_sub(1, Ordering::SeqCst);
            if !is_whole {
                return;
            }
        }
    }
}

/// Writes an answer; false if the connection is to be closed.
fn react(reaction: &Reaction, mut stream: &TcpStream) -> bool {
    let (status, headers, body, announced) = match reaction {
        Reaction::Status(status, headers, body) => (*status, &headers[..], body, body.len()),
        Reaction::Cut(body) => (200, &[][..], body, body.len() + 100),
        Reaction::Silence => {
            let _ = stream.read(&mut [0]);
            return false;
        }
    };
    let mut head = format!("HTTP/1.1 {status} X\r\ncontent-length: {announced}\r\n");
    for (name, value) in headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    let sent = stream.write_all(format!("{head}\r\n{body}").as_bytes());
    sent.is_ok() && matches!(reaction, Reaction::Status(..))
}

fn read_request(
    reader: &mut BufReader<&TcpStream>,
) -> Option<(String, BTreeMap<String, String>, Value)> {
    let mut line = String::new();
    reader.read_line(&mut line).ok().filter(|read| *read > 0)?;
    let path = line.split(' ').nth(1)?.to_owned();
    let mut headers = BTreeMap::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok().filter(|read| *read > 0)?;
        let Some((name, value)) = line.trim_end().split_once(':') else { break };
        headers.insert(name.to_lowercase(), value.trim().to_owned());
    }
    let length = headers.get("content-length")?.parse().ok()?;
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    Some((path, headers, serde_json::from_slice(&body).ok()?))
}

/// A chat's answer with this text.
pub(crate) fn chat(text: &str) -> Value {
    json!({
        "object": "chat.completion",
        "choices": [{"index": 0, "finish_reason": "stop",
            "message": {"role": "assistant", "content": text}}],
        "usage": {"prompt_tokens": 12, "completion_tokens": 10},
    })
}

/// A chat's answer of these tokens, each with its probability and then those of its alternatives.
pub(crate) fn chat_of(tokens: &[&[(&str, f64)]]) -> Value {
    let pair =
        |(token, probability): &(&str, f64)| json!({"token": token, "logprob": probability.ln()});
    let listed = tokens.iter().map(|alternatives| {
        let mut entry = pair(&alternatives[0]);
        entry["top_logprobs"] = alternatives.iter().map(pair).collect();
        entry
    });
    let listed: Vec<Value> = listed.collect();
    let mut answer = chat(&tokens.iter().map(|token| token[0].0).collect::<String>());
    answer["choices"][0]["logprobs"] = json!({ "content": listed });
    answer
}

/// A number from 0 to 99 that follows from a body and from how often it was asked.
pub(crate) fn chance(asked: &Asked) -> u64 {
    let mut hash: u64 =
        0xcbf2_9ce4_8422_2325 ^ (asked.before as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    for byte in asked.body.to_string().bytes() {
        hash = (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3);
    }
    (hash >> 33) % 100
}

/// 10 % of requests get 429, 5 % 500, 2 % no answer, 1 % a cut one; others this answer.
pub(crate) fn faulty(asked: &Asked, answer: &Value) -> Reaction {
    match chance(asked) {
        0..10 => Reaction::Status(
            429,
            vec![("retry-after-ms", "5".to_owned())],
            json!({"error": {"message": "slow down"}}).to_string(),
        ),
        10..15 => {
            Reaction::Status(500, Vec::new(), "<html>Internal Server Error</html>".to_owned())
        }
        15..17 => Reaction::Silence,
        17..18 => {
            let whole = answer.to_string();
            Reaction::Cut(whole[..whole.len() / 2].to_owned())
        }
        _ => Reaction::json(200, answer),
    }
}
