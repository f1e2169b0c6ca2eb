//! The HTTP client of S3-compatible storage: the blocking one that endpoints use too.

use std::{io::ErrorKind, time::Duration};

use http_body_util::BodyExt as _;
use object_store::{
    ClientOptions,
    client::{
        HttpClient, HttpConnector, HttpError, HttpErrorKind, HttpRequest, HttpResponse, HttpService,
    },
};
use ureq::{Agent, http};

/// Longest time for one request, which sends or receives at most one part of a file.
const PATIENCE: Duration = Duration::from_secs(300);
const CONNECTING: Duration = Duration::from_secs(20);

/// Makes clients.
#[derive(Debug)]
pub(super) struct Connector;

#[derive(Debug)]
struct BlockingClient(Agent);

impl HttpConnector for Connector {
    fn connect(&self, _: &ClientOptions) -> object_store::Result<HttpClient> {
        // Statuses are understood by the caller, which also signs each request for its host.
        let config = Agent::config_builder()
            .timeout_global(Some(PATIENCE))
            .timeout_connect(Some(CONNECTING))
            .http_status_as_error(false)
            .max_redirects(0)
            .max_redirects_will_error(false)
            .user_agent(concat!("apeft/", env!("CARGO_PKG_VERSION")))
            .build();
        Ok(HttpClient::new(BlockingClient(config.into())))
    }
}

#[async_trait::async_trait]
impl HttpService for BlockingClient {
    /// Blocks: each transfer has a thread of its own.
    async fn call(&self, request: HttpRequest) -> Result<HttpResponse, HttpError> {
        let (head, body) = request.into_parts();
        let body = body.collect().await?.to_bytes();
        // Other requests must have no body, not even an empty one.
        let sends = matches!(head.method, http::Method::PUT | http::Method::POST);
        let response = if sends {
            self.0.run(http::Request::from_parts(head, &body[..]))
        } else {
            self.0.run(http::Request::from_parts(head, ()))
        };
        let (head, mut body) = response.map_err(failure)?.into_parts();
        let bytes = body.with_config().limit(u64::MAX).read_to_vec().map_err(failure)?;
        Ok(HttpResponse::from_parts(head, bytes.into()))
    }
}

/// An error with its kind, which decides whether the request is repeated.
fn failure(error: ureq::Error) -> HttpError {
    use ureq::Error as E;
    let kind = match &error {
        E::Timeout(_) => HttpErrorKind::Timeout,
        E::HostNotFound | E::ConnectionFailed => HttpErrorKind::Connect,
        E::Io(cause) if cause.kind() == ErrorKind::ConnectionRefused => HttpErrorKind::Connect,
        E::Io(_) | E::Protocol(_) => HttpErrorKind::Interrupted,
        _ => HttpErrorKind::Unknown,
    };
    HttpError::new(kind, error)
}
