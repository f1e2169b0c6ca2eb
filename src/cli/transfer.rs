//! `apeft cache push` and `apeft cache pull`: artifacts to and from another store.

use std::{
    collections::BTreeSet,
    num::NonZero,
    process::ExitCode,
    sync::{Mutex, PoisonError},
};

use clap::Args;
use indicatif::DecimalBytes;
use serde_json::json;

use super::{
    named_keys::named_keys,
    output::print_json,
    remote_args::RemoteArguments,
    shared_args::{ExperimentsArguments, FAILED, ListingArguments},
};
use crate::{
    digest::Digest,
    remote::{Moved, Remote, Transfer},
};

/// End of the help of `apeft cache push`.
pub(super) const PUSH: &str = "Examples:
  apeft cache push --to /shared/store
  apeft cache push quickstart:base --to s3://lab/apeft
  apeft cache push --to s3://lab/apeft --endpoint http://localhost:9000 --dry-run

Credentials of s3:// addresses are read from AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, the region
from AWS_REGION. Artifacts that are there are not sent again; after an interruption, run it again.";

/// End of the help of `apeft cache pull`.
pub(super) const PULL: &str = "Examples:
  apeft cache pull --from /shared/store
  apeft cache pull quickstart:base --from s3://lab/apeft
  apeft cache pull 3f2a9c41d07b --from s3://lab/apeft

Every file is compared with its digest on arrival. After an interruption, run it again.";

#[derive(Args, Clone, Debug)]
pub(super) struct TransferArguments {
    /// Key or its beginning, run (all of its artifacts), RUN:STAGE, or stage of the newest run
    /// [default: all artifacts].
    #[arg(value_name = "KEY|RUN|STAGE")]
    names: Vec<String>,
    /// Number of artifacts on the way at once.
    #[arg(short, long, default_value = "8", value_name = "N")]
    jobs: NonZero<usize>,
    /// Print what would be copied.
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    experiments: ExperimentsArguments,
    #[command(flatten)]
    listing: ListingArguments,
}

#[derive(Args, Clone, Debug)]
pub(super) struct PushArguments {
    /// Store to push to: a folder, or s3://BUCKET/PREFIX [default: `[remote]` of apeft.toml].
    #[arg(long, value_name = "STORE")]
    to: Option<String>,
    #[command(flatten)]
    remote: RemoteArguments,
    #[command(flatten)]
    common: TransferArguments,
}

#[derive(Args, Clone, Debug)]
pub(super) struct PullArguments {
    /// Store to pull from: a folder, or s3://BUCKET/PREFIX [default: `[remote]` of apeft.toml].
    #[arg(long, value_name = "STORE")]
    from: Option<String>,
    #[command(flatten)]
    remote: RemoteArguments,
    #[command(flatten)]
    common: TransferArguments,
}

/// What became of all artifacts.
#[derive(Default)]
struct TransferSums {
    copied: usize,
    present: usize,
    bytes: u64,
    failed: Vec<(Digest, String)>,
}

pub(super) fn push(arguments: &PushArguments) -> anyhow::Result<ExitCode> {
    let common = &arguments.common;
    let address = match arguments.remote.here(arguments.to.as_deref(), "--to") {
        Ok(address) => address,
        Err(code) => return Ok(code),
    };
    let store = common.listing.cache.there()?.open(false)?;
    let here: BTreeSet<Digest> = store.keys()?.into_iter().collect();
    let keys = common.keys(&here)?;
    if common.dry_run {
        let there = match Remote::open(&address, false) {
            // A folder that does not exist yet is an empty store.
            Err(_) if !address.is_bucket() => BTreeSet::new(),
            remote => remote?.keys()?,
        };
        return common.foresee(&keys, &there);
    }
    let remote = Remote::open(&address, true)?;
    remote.greet()?;
    let done = common.carry("pushed", |told| {
        let jobs = common.jobs.get();
        Transfer { store: &store, remote: &remote, jobs, told }.push(&keys)
    });
    store.save_memo();
    done
}

pub(super) fn pull(arguments: &PullArguments) -> anyhow::Result<ExitCode> {
    let common = &arguments.common;
    let address = match arguments.remote.here(arguments.from.as_deref(), "--from") {
        Ok(address) => address,
        Err(code) => return Ok(code),
    };
    let remote = Remote::open(&address, false)?;
    let keys = common.keys(&remote.keys()?)?;
    if common.dry_run {
        let store = common.listing.cache.look(false)?;
        return common.foresee(&keys, &store.keys()?.into_iter().collect());
    }
    let store = common.listing.cache.open(false)?;
    let done = common.carry("pulled", |told| {
        let jobs = common.jobs.get();
        Transfer { store: &store, remote: &remote, jobs, told }.pull(&keys)
    });
    store.save_memo();
    done
}

impl TransferArguments {
    /// The keys to move: all of the source, or those that were named.
    fn keys(&self, source: &BTreeSet<Digest>) -> anyhow::Result<Vec<Digest>> {
        if self.names.is_empty() {
            return Ok(source.iter().copied().collect());
        }
        let named = named_keys(&self.experiments, &self.names, source)?;
        Ok(named.into_iter().map(|named| named.key).collect())
    }

    /// Prints what would be copied.
    fn foresee(&self, keys: &[Digest], there: &BTreeSet<Digest>) -> anyhow::Result<ExitCode> {
        let missing: Vec<&Digest> = keys.iter().filter(|key| !there.contains(key)).collect();
        if self.listing.json {
            print_json(&json!({"keys": missing, "present": keys.len() - missing.len()}))?;
            return Ok(ExitCode::SUCCESS);
        }
        for key in &missing {
            print_line!("+ {key}")?;
        }
        let (count, present) = (missing.len(), keys.len() - missing.len());
        print_line!("{count} would be copied, {present} are there")?;
        Ok(ExitCode::SUCCESS)
    }

    /// Carries out a transfer, and prints what became of each artifact.
    fn carry<E: std::error::Error + Send + Sync + 'static>(
        &self,
        verb: &str,
        transfer: impl FnOnce(&(dyn Fn(&Digest, &Outcome) + Sync)) -> Result<(), E>,
    ) -> anyhow::Result<ExitCode> {
        // Told by several threads, one at a time.
        let sums = Mutex::new(TransferSums::default());
        transfer(&|key, outcome| {
            let mut sums = sums.lock().unwrap_or_else(PoisonError::into_inner);
            sums.add(*key, outcome);
        })?;
        let sums = sums.into_inner().unwrap_or_else(PoisonError::into_inner);
        let failed = sums.failed.iter().map(|(key, error)| json!({"key": key, "error": error}));
        if self.listing.json {
            print_json(&json!({
                verb: sums.copied,
                "present": sums.present,
                "bytes": sums.bytes,
                "failed": failed.collect::<Vec<_>>(),
            }))?;
        } else {
            let failures = match sums.failed.len() {
                0 => String::new(),
                count => format!(", {count} failed; run it again to go on"),
            };
            let (copied, present, bytes) = (sums.copied, sums.present, DecimalBytes(sums.bytes));
            print_line!("{copied} {verb} ({bytes}), {present} were there{failures}")?;
        }
        let is_done = sums.failed.is_empty();
        Ok(if is_done { ExitCode::SUCCESS } else { ExitCode::from(FAILED) })
    }
}

type Outcome = Result<Moved, crate::remote::RemoteError>;

impl TransferSums {
    fn add(&mut self, key: Digest, outcome: &Outcome) {
        match outcome {
            Ok(Moved::Present) => self.present += 1,
            Ok(Moved::Copied(bytes)) => {
                self.copied += 1;
                self.bytes += bytes;
                say!("+ {}  {:>9}", key.short(), DecimalBytes(*bytes).to_string());
            }
            Err(error) => {
                say!("error: {}: {error}", key.short());
                self.failed.push((key, error.to_string()));
            }
        }
    }
}
