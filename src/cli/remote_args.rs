//! Which remote store a command means.

use anyhow::Context as _;
use clap::Args;

use crate::remote::RemoteAddress;

/// Server of S3-compatible storage.
#[derive(Args, Clone, Debug)]
pub(super) struct RemoteArguments {
    /// URL of the server of S3-compatible storage [default: Amazon's].
    #[arg(long, env = "AWS_ENDPOINT_URL", value_name = "URL", hide_env_values = true)]
    endpoint: Option<String>,
}

impl RemoteArguments {
    /// The address that was given, if there is one.
    pub(super) fn optional(&self, given: Option<&str>) -> anyhow::Result<Option<RemoteAddress>> {
        given.map(|url| self.address(Some(url), "--remote")).transpose()
    }

    /// The address that was given.
    pub(super) fn address(
        &self,
        given: Option<&str>,
        option: &str,
    ) -> anyhow::Result<RemoteAddress> {
        let url = given.with_context(|| format!("no other store is named; use {option} STORE"))?;
        Ok(RemoteAddress { url: url.to_owned(), endpoint: self.endpoint.clone() })
    }
}
