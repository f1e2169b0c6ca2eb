//! Which remote store a command means.

use std::{path::Path, process::ExitCode};

use clap::Args;

use super::{shared_args::WRONG, validate::show};
use crate::{
    diagnostic::Problems,
    recipe::{PROJECT_FILE, RemoteSettings, project_settings},
    remote::RemoteAddress,
};

/// Server of S3-compatible storage.
#[derive(Args, Clone, Debug)]
pub(super) struct RemoteArguments {
    /// URL of the server of S3-compatible storage [default: Amazon's].
    #[arg(long, env = "AWS_ENDPOINT_URL", value_name = "URL", hide_env_values = true)]
    endpoint: Option<String>,
}

impl RemoteArguments {
    /// The address that was given with an option, or that of `[remote]`.
    pub(super) fn address(
        &self,
        given: Option<&str>,
        settings: Option<&RemoteSettings>,
    ) -> Option<RemoteAddress> {
        let url = given.or(settings.map(|settings| settings.url.as_str()))?.to_owned();
        // The server in the file is that of the address in the file.
        let there = settings.filter(|_| given.is_none()).and_then(|found| found.endpoint.clone());
        // `AWS_ENDPOINT_URL=` unsets it for one command.
        let own = self.endpoint.clone().filter(|endpoint| !endpoint.is_empty());
        Some(RemoteAddress { url, endpoint: own.or(there) })
    }

    /// The same for a command without a recipe, by the settings of this folder; prints their
    /// problems, or that no store is named.
    pub(super) fn here(
        &self,
        given: Option<&str>,
        option: &str,
    ) -> Result<RemoteAddress, ExitCode> {
        let mut problems = Problems::default();
        let settings = match project_settings(Path::new("")) {
            Ok(table) => {
                let entry = table.0.iter().find(|entry| entry.key == "remote");
                RemoteSettings::read(entry, &mut problems)
            }
            Err(found) => {
                problems = found;
                None
            }
        };
        show(&problems);
        if problems.errors() > 0 {
            return Err(ExitCode::from(WRONG));
        }
        self.address(given, settings.as_ref()).ok_or_else(|| {
            say!(
                "error: no other store is named; use {option} STORE, or [remote] in {PROJECT_FILE} \
                of the current folder"
            );
            ExitCode::from(WRONG)
        })
    }
}
