//! A store in S3-compatible storage: files by digest, and last a manifest for each key.

use std::{collections::BTreeSet, fs::File, future::Future, io::Write, time::Duration};

use object_store::{
    Error, ObjectStore, ObjectStoreExt, PutPayload, RetryConfig,
    aws::{AmazonS3, AmazonS3Builder, AmazonS3ConfigKey},
    path::Path,
};

use super::client::Connector;
use crate::{digest::Digest, store::SealedFile};

/// Bytes that one request reads.
const BLOCK: u64 = 8 << 20;
/// Repetitions of a request that failed for a reason that may pass.
const RETRIES: usize = 5;
const RETRYING: Duration = Duration::from_secs(60);

/// A bucket, or all below a prefix of one.
#[derive(Debug)]
pub(super) struct Bucket {
    pub(super) storage: AmazonS3,
    prefix: String,
    /// As users write it.
    pub(super) name: String,
}

impl Bucket {
    /// The bucket of this name. Credentials, region and server come from the variables of Amazon's
    /// own tools.
    ///
    /// # Errors
    /// If a setting is invalid.
    pub(super) fn new(
        bucket: &str,
        prefix: String,
        endpoint: Option<&str>,
    ) -> Result<Self, String> {
        let mut builder = from_environment()
            .with_bucket_name(bucket)
            .with_http_connector(Connector)
            .with_retry(RetryConfig {
                max_retries: RETRIES,
                retry_timeout: RETRYING,
                ..RetryConfig::default()
            });
        if let Some(endpoint) = endpoint {
            builder = builder.with_endpoint(endpoint);
        }
        let name = format!("s3://{bucket}/{prefix}").trim_end_matches('/').to_owned();
        if let Some(server) = builder.get_config_value(&AmazonS3ConfigKey::Endpoint) {
            if !is_server(&server) {
                return Err(format!(
                    "{name}: the endpoint `{server}` is no URL such as https://storage.example.org"
                ));
            }
            // Without encryption only where the user wrote so.
            builder = builder.with_allow_http(server.starts_with("http://"));
        }
        let storage = builder.build().map_err(|error| format!("{name}: {error}"))?;
        Ok(Self { storage, prefix, name })
    }

    /// Asks whether it can be used.
    ///
    /// # Errors
    /// If the server does not answer, refuses, or has no such bucket.
    pub(super) fn greet(&self) -> Result<(), String> {
        // Below a folder that nobody has, so that the answer is short.
        let nothing = self.path("artifacts/-");
        let listed = wait(self.storage.list_with_delimiter(Some(&nothing)));
        listed.map(drop).map_err(|error| self.failed("list", error))
    }

    fn path(&self, below: &str) -> Path {
        Path::from(format!("{}/v1/{below}", self.prefix))
    }

    pub(super) fn file(&self, digest: &Digest) -> Path {
        self.path(&format!("files/{digest}"))
    }

    fn manifest(&self, key: &Digest) -> Path {
        self.path(&format!("artifacts/{key}.json"))
    }

    /// Keys of all artifacts.
    pub(super) fn keys(&self) -> Result<BTreeSet<Digest>, String> {
        // Manifests lie in one folder, so that one request lists a thousand of them.
        let folder = self.path("artifacts");
        let listed = wait(self.storage.list_with_delimiter(Some(&folder)));
        let listed = listed.map_err(|error| self.failed("list", error))?;
        let names = listed.objects.iter().filter_map(|found| found.location.filename());
        let keys = names.filter_map(|name| name.strip_suffix(".json")?.parse().ok());
        Ok(keys.collect())
    }

    /// The manifest of a key.
    pub(super) fn read_manifest(&self, key: &Digest) -> Result<Option<String>, String> {
        let read = wait(async { self.storage.get(&self.manifest(key)).await?.bytes().await });
        match read {
            Ok(bytes) => Ok(Some(String::from_utf8_lossy(&bytes).into_owned())),
            Err(Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(self.failed("read", error)),
        }
    }

    /// Writes the manifest of a key, whose files are there.
    pub(super) fn write_manifest(&self, key: &Digest, text: String) -> Result<(), String> {
        let to = self.manifest(key);
        let put = self.storage.put(&to, PutPayload::from(text.into_bytes()));
        wait(put).map(drop).map_err(|error| self.failed("write", error))
    }

    /// Appends the bytes of a file from an offset on.
    pub(super) fn read(
        &self,
        file: &SealedFile,
        mut offset: u64,
        to: &mut File,
    ) -> Result<(), String> {
        let from = self.file(&file.digest);
        while offset < file.size {
            // In pieces, so that memory stays small and a kill loses little.
            let until = file.size.min(offset + BLOCK);
            let read = wait(self.storage.get_range(&from, offset..until));
            let bytes = read.map_err(|error| self.failed("read", error))?;
            if bytes.is_empty() {
                return Err(format!("{}: the file {from} is cut short", self.name));
            }
            to.write_all(&bytes).map_err(|error| format!("cannot write {}: {error}", file.path))?;
            offset += bytes.len() as u64;
        }
        Ok(())
    }

    /// Whether a file is there.
    pub(super) fn has(&self, file: &SealedFile) -> Result<bool, String> {
        match wait(self.storage.head(&self.file(&file.digest))) {
            // Its name is its digest, so a file of this size is this file.
            Ok(found) => Ok(found.size == file.size),
            Err(Error::NotFound { .. }) => Ok(false),
            Err(error) => Err(self.failed("read", error)),
        }
    }

    /// An error of the storage, with what to do.
    pub(super) fn failed(&self, doing: &str, error: Error) -> String {
        // The outer error names the request only, and its causes what happened.
        let mut words = error.to_string();
        let mut cause = std::error::Error::source(&error);
        while let Some(next) = cause {
            if !words.contains(&next.to_string()) {
                words = format!("{words}: {next}");
            }
            cause = next.source();
        }
        if words.contains("NoSuchBucket") {
            return format!("cannot {doing} {}: there is no such bucket; create it", self.name);
        }
        let hint = match &error {
            Error::Unauthenticated { .. } | Error::PermissionDenied { .. } => {
                "; credentials are read from AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
            }
            _ if words.contains("169.254.169.254") => {
                "; set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
            }
            _ => "",
        };
        format!("cannot {doing} {}: {words}{hint}", self.name)
    }
}

/// Settings by the variables of Amazon's own tools. An empty one counts as absent.
fn from_environment() -> AmazonS3Builder {
    let mut builder = AmazonS3Builder::new();
    for (name, value) in std::env::vars_os() {
        let (Some(name), Some(value)) = (name.to_str(), value.to_str()) else { continue };
        if name.starts_with("AWS_")
            && !value.is_empty()
            && let Ok(key) = name.to_ascii_lowercase().parse::<AmazonS3ConfigKey>()
        {
            builder = builder.with_config(key, value);
        }
    }
    builder
}

/// Whether a text is the URL of a server.
fn is_server(url: &str) -> bool {
    let host = url.strip_prefix("https://").or_else(|| url.strip_prefix("http://"));
    host.is_some_and(|host| {
        host.starts_with(|letter: char| letter.is_alphanumeric() || letter == '[')
    })
}

/// Waits for a request.
pub(super) fn wait<T>(request: impl Future<Output = T>) -> T {
    // Requests block their thread; only the waits between retries need a clock.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build();
    runtime.expect("a runtime without input and output needs nothing").block_on(request)
}
