//! `apeft cache`: lists, verifies, cleans and copies the store.

use std::{process::ExitCode, time::UNIX_EPOCH};

use clap::{Args, Subcommand};
use indicatif::DecimalBytes;
use serde_json::{Value, json};

use super::{
    collect::{self, CollectArguments},
    output::print_json,
    shared_args::{DAMAGED, ListingArguments},
    transfer::{self, PullArguments, PushArguments},
    usage::{self, UsageArguments},
};
use crate::{
    diagnostic::counted,
    store::{Artifact, Audit},
};

#[derive(Args, Clone, Debug)]
#[command(after_help = "Examples:
  apeft cache ls
  apeft cache verify
  apeft cache gc --dry-run")]
pub(super) struct CacheCommand {
    #[command(subcommand)]
    action: CacheAction,
}

#[derive(Clone, Debug, Subcommand)]
enum CacheAction {
    /// List artifacts.
    #[command(after_help = "Examples:
  apeft cache ls
  apeft cache ls --cache shared/cache --json

Columns: key, kind, size, files; the newest comes last.")]
    Ls(ListingArguments),
    /// Hash every file and compare with the manifests; exit status 3 if one differs.
    #[command(after_help = "Examples:
  apeft cache verify
  apeft cache verify --repair")]
    Verify {
        #[command(flatten)]
        listing: ListingArguments,
        /// Quarantine damaged artifacts, so that they are made again, and repair the store's own
        /// files.
        #[arg(long)]
        repair: bool,
    },
    /// Remove quarantined artifacts, work of dead attempts, and artifacts that no root needs.
    Gc(CollectArguments),
    /// Print the disk usage, in all and by kind, recipe or run.
    Du(UsageArguments),
    /// Copy artifacts to another store: a folder, or S3-compatible storage.
    #[command(after_help = transfer::PUSH)]
    Push(PushArguments),
    /// Copy artifacts from another store.
    #[command(after_help = transfer::PULL)]
    Pull(PullArguments),
}

pub(super) fn run(command: &CacheCommand) -> anyhow::Result<ExitCode> {
    match &command.action {
        CacheAction::Ls(listing) => list(listing),
        CacheAction::Verify { listing, repair } => verify(listing, *repair),
        CacheAction::Gc(arguments) => collect::run(arguments),
        CacheAction::Du(arguments) => usage::run(arguments),
        CacheAction::Push(arguments) => transfer::push(arguments),
        CacheAction::Pull(arguments) => transfer::pull(arguments),
    }
}

fn list(listing: &ListingArguments) -> anyhow::Result<ExitCode> {
    let store = listing.cache.there()?.look(false)?;
    let mut artifacts = store.list()?;
    // The newest come last, where a terminal leaves the eye.
    artifacts.sort_by_key(Artifact::made);
    if listing.json {
        print_json(&artifacts.iter().map(to_json).collect::<Vec<_>>())?;
        return Ok(ExitCode::SUCCESS);
    }
    for artifact in &artifacts {
        // A model in shards has dozens of files.
        let names: Vec<&str> = artifact.names().map(|(name, _)| name).take(4).collect();
        let more = if artifact.names().count() > 4 { ", ..." } else { "" };
        print_line!(
            "{}  {:<12} {:>9}  {}{more}",
            artifact.key.short(),
            kind(artifact),
            DecimalBytes(artifact.bytes()).to_string(),
            names.join(", ")
        )?;
    }
    print_line!("{} artifacts in {}", artifacts.len(), store.root().display())?;
    Ok(ExitCode::SUCCESS)
}

fn to_json(artifact: &Artifact) -> Value {
    let made = artifact.made().and_then(|made| made.duration_since(UNIX_EPOCH).ok());
    json!({
        "key": artifact.key,
        "kind": kind(artifact),
        "bytes": artifact.bytes(),
        "files": artifact.names().count(),
        "made": made.map(|made| made.as_millis() as u64),
        "artifact": artifact.files().display().to_string(),
    })
}

/// The kind of stage that made an artifact; empty if its key file cannot be read.
fn kind(artifact: &Artifact) -> String {
    let record = artifact.record().unwrap_or_default();
    record["kind"].as_str().unwrap_or_default().to_owned()
}

fn verify(listing: &ListingArguments, repair: bool) -> anyhow::Result<ExitCode> {
    let cache = listing.cache.there()?;
    // Without `--repair` nothing is written, so that anyone may verify a shared store.
    let store = if repair { cache.open(false)? } else { cache.look(false)? };
    let audit = store.verify()?;
    let repaired = if repair && !audit.problems.is_empty() {
        store.repair(&audit.problems)?;
        Some(store.verify()?)
    } else {
        None
    };
    let left = repaired.as_ref().unwrap_or(&audit);
    if listing.json {
        print_json(&audit_to_json(&audit, left))?;
    } else {
        print_audit(&audit, left, repair)?;
    }
    Ok(if left.problems.is_empty() { ExitCode::SUCCESS } else { ExitCode::from(DAMAGED) })
}

fn audit_to_json(audit: &Audit, left: &Audit) -> Value {
    let problems = audit.problems.iter().map(|found| {
        json!({
            "path": found.path.display().to_string(),
            "problem": found.problem,
            "key": found.key,
            "repaired": !left.problems.contains(found),
        })
    });
    json!({
        "ok": left.problems.is_empty(),
        "artifacts": audit.artifacts,
        "files": audit.files,
        "bytes": audit.bytes,
        "calls": audit.calls,
        "problems": problems.collect::<Vec<_>>(),
    })
}

fn print_audit(audit: &Audit, left: &Audit, repair: bool) -> anyhow::Result<()> {
    for found in &audit.problems {
        let done = if left.problems.contains(found) { "" } else { " (repaired)" };
        print_line!("! {}: {}{done}", found.path.display(), found.problem)?;
    }
    let (artifacts, files, bytes) = (audit.artifacts, audit.files, DecimalBytes(audit.bytes));
    let found = if left.problems.is_empty() {
        "everything matches".to_owned()
    } else if repair {
        format!(
            "{}; unreadable files are kept; make them readable, or remake them with \
            `apeft run --force STAGE`",
            counted(left.problems.len(), "problem")
        )
    } else {
        format!(
            "{}; `apeft cache verify --repair` quarantines damaged artifacts, and the \
            next run remakes them",
            counted(left.problems.len(), "problem")
        )
    };
    let calls =
        if audit.calls > 0 { format!(", {} logged calls", audit.calls) } else { String::new() };
    print_line!("{artifacts} artifacts, {files} files, {bytes}{calls}: {found}")
}
