//! As much of an S3 server as a remote store needs, in memory: objects, ranges, uploads in parts and
//! listings. Signatures are not checked.

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    io::{BufRead, BufReader, Read, Write},
    net::{TcpListener, TcpStream},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::Duration,
};

/// A running server; its threads end with the tests.
pub(crate) struct BucketServer {
    pub(crate) url: String,
    shared: Arc<Mutex<Objects>>,
    /// Whether parts of uploads wait for their answer.
    holds_parts: Arc<AtomicBool>,
}

#[derive(Default)]
struct Objects {
    /// By `BUCKET/KEY`.
    whole: BTreeMap<String, Vec<u8>>,
    /// Parts of uploads, by upload and number.
    parts: BTreeMap<(usize, usize), Vec<u8>>,
    uploads: usize,
    /// Number of parts that arrived.
    parts_sent: usize,
}

struct Asked {
    method: String,
    path: String,
    query: BTreeMap<String, String>,
    range: Option<(usize, usize)>,
    body: Vec<u8>,
}

struct Answer {
    status: &'static str,
    headers: String,
    body: Vec<u8>,
}

impl BucketServer {
    pub(crate) fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let shared = Arc::new(Mutex::new(Objects::default()));
        let own = shared.clone();
        let holds_parts = Arc::new(AtomicBool::new(false));
        let held = holds_parts.clone();
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let (objects, held) = (own.clone(), held.clone());
                thread::spawn(move || serve(&stream, &objects, &held));
            }
        });
        Self { url, shared, holds_parts }
    }

    /// Lets parts of uploads wait for their answer, or answers them.
    pub(crate) fn hold_parts(&self, holds: bool) {
        self.holds_parts.store(holds, Ordering::SeqCst);
    }

    /// Number of uploads in parts that were begun.
    pub(crate) fn uploads(&self) -> usize {
        self.shared.lock().unwrap().uploads
    }

    /// Names of all objects.
    pub(crate) fn names(&self) -> Vec<String> {
        self.shared.lock().unwrap().whole.keys().cloned().collect()
    }

    /// Changes the bytes of an object.
    pub(crate) fn overwrite(&self, name: &str, bytes: &[u8]) {
        self.shared.lock().unwrap().whole.insert(name.to_owned(), bytes.to_vec());
    }

    /// Number of parts of uploads that arrived.
    pub(crate) fn parts_sent(&self) -> usize {
        self.shared.lock().unwrap().parts_sent
    }
}

/// Answers all requests of a connection; a client that was killed ends it.
fn serve(stream: &TcpStream, objects: &Mutex<Objects>, holds_parts: &AtomicBool) {
    let mut reader = BufReader::new(stream);
    while let Some(asked) = read(&mut reader, stream) {
        let is_part = asked.method == "PUT" && asked.query.contains_key("uploadId");
        while is_part && holds_parts.load(Ordering::SeqCst) {
            thread::sleep(Duration::from_millis(5));
        }
        let head = asked.method == "HEAD";
        let Answer { status, headers, body } = objects.lock().unwrap().answer(asked);
        let length = if headers.contains("content-length") {
            String::new()
        } else {
            format!("content-length: {}\r\n", body.len())
        };
        let mut text = format!("HTTP/1.1 {status}\r\n{headers}{length}\r\n").into_bytes();
        if !head {
            text.extend(body);
        }
        if (&mut &*stream).write_all(&text).is_err() {
            return;
        }
    }
}

fn read(reader: &mut BufReader<&TcpStream>, stream: &TcpStream) -> Option<Asked> {
    let mut line = String::new();
    reader.read_line(&mut line).ok()?;
    let mut words = line.split(' ');
    let (method, target) = (words.next()?.to_owned(), words.next()?.to_owned());
    let (mut length, mut range) = (0, None);
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok()?;
        let lower = line.trim().to_lowercase();
        match lower.split_once(": ") {
            Some(("content-length", value)) => length = value.parse().ok()?,
            Some(("range", value)) => {
                let (from, to) = value.strip_prefix("bytes=")?.split_once('-')?;
                range = Some((from.parse().ok()?, to.parse().ok()?));
            }
            Some(("expect", _)) => {
                (&mut &*stream).write_all(b"HTTP/1.1 100 Continue\r\n\r\n").ok()?
            }
            _ if lower.is_empty() => break,
            _ => {}
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    let (path, query) = target.split_once('?').unwrap_or((&target, ""));
    let pairs = query.split('&').filter(|pair| !pair.is_empty());
    let pair = |pair: &str| {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        (name.to_owned(), value.replace("%2F", "/"))
    };
    let query = pairs.map(pair).collect();
    Some(Asked { method, path: path.trim_matches('/').to_owned(), query, range, body })
}

impl Objects {
    fn answer(&mut self, asked: Asked) -> Answer {
        let Asked { method, path, query, range, body } = asked;
        let number = |name: &str| query.get(name).and_then(|value| value.parse::<usize>().ok());
        match (method.as_str(), number("uploadId")) {
            ("GET", _) if query.contains_key("list-type") => self.list(&path, &query),
            ("GET" | "HEAD", _) => self.object(&path, range),
            ("PUT", Some(upload)) => {
                self.parts.insert((upload, number("partNumber").unwrap()), body);
                self.parts_sent += 1;
                found(Vec::new())
            }
            ("PUT", None) => {
                self.whole.insert(path, body);
                found(Vec::new())
            }
            ("POST", None) => {
                self.uploads += 1;
                let (upload, bucket) = (self.uploads, path.split('/').next().unwrap());
                found(
                    format!(
                        "<InitiateMultipartUploadResult><Bucket>{bucket}</Bucket><Key>{path}</Key>\
                        <UploadId>{upload}</UploadId></InitiateMultipartUploadResult>"
                    )
                    .into_bytes(),
                )
            }
            ("POST", Some(upload)) => {
                let parts = self.parts.iter().filter(|((of, _), _)| *of == upload);
                let whole = parts.flat_map(|(_, part)| part.iter().copied()).collect();
                self.whole.insert(path, whole);
                let done = "<CompleteMultipartUploadResult><ETag>\"e\"</ETag>\
                    </CompleteMultipartUploadResult>";
                found(done.as_bytes().to_vec())
            }
            _ => missing(),
        }
    }

    fn object(&self, path: &str, range: Option<(usize, usize)>) -> Answer {
        let Some(whole) = self.whole.get(path) else { return missing() };
        match range {
            Some((from, to)) => {
                let to = to.min(whole.len() - 1);
                let mut part = found(whole[from..=to].to_vec());
                part.status = "206 Partial Content";
                let all = whole.len();
                write!(part.headers, "content-range: bytes {from}-{to}/{all}\r\n").unwrap();
                part
            }
            None => {
                let mut all = found(whole.clone());
                write!(all.headers, "content-length: {}\r\n", whole.len()).unwrap();
                all
            }
        }
    }

    fn list(&self, bucket: &str, query: &BTreeMap<String, String>) -> Answer {
        let prefix = format!("{bucket}/{}", query.get("prefix").map_or("", String::as_str));
        let mut text = "<ListBucketResult><IsTruncated>false</IsTruncated>".to_owned();
        for (name, bytes) in self.whole.iter().filter(|(name, _)| name.starts_with(&prefix)) {
            let (key, size) = (&name[bucket.len() + 1..], bytes.len());
            write!(
                text,
                "<Contents><Key>{key}</Key><LastModified>2026-01-01T00:00:00.000Z</LastModified>\
                <ETag>\"e\"</ETag><Size>{size}</Size></Contents>"
            )
            .unwrap();
        }
        found((text + "</ListBucketResult>").into_bytes())
    }
}

fn found(body: Vec<u8>) -> Answer {
    let headers = "etag: \"e\"\r\nlast-modified: Thu, 01 Jan 2026 00:00:00 GMT\r\n".to_owned();
    Answer { status: "200 OK", headers, body }
}

fn missing() -> Answer {
    let body = b"<Error><Code>NoSuchKey</Code></Error>".to_vec();
    Answer { status: "404 Not Found", headers: String::new(), body }
}
