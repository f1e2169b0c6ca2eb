//! `apeft cache`: what the store holds, whether it is whole, and what of it can go.

use std::{process::ExitCode, time::UNIX_EPOCH};

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::{
    collect::{self, CollectArguments},
    common::{CacheArguments, DAMAGED, bytes},
    output::print_json,
};
use crate::store::{Artifact, Store};

#[derive(Args, Clone, Debug)]
pub(super) struct CacheCommand {
    #[command(subcommand)]
    action: Action,
}

#[derive(Clone, Debug, Subcommand)]
enum Action {
    /// Lists artifacts.
    Ls(Listing),
    /// Hashes every file and compares; status 3 where something is not as it was left.
    Verify {
        #[command(flatten)]
        listing: Listing,
        /// Moves damaged artifacts aside, so that they are made again, and mends the store's own files.
        #[arg(long)]
        repair: bool,
    },
    /// Removes what was moved aside, work of dead attempts, and artifacts that no recent run used.
    Gc(CollectArguments),
    /// Says how much space it takes.
    Du(Listing),
}

#[derive(Args, Clone, Debug)]
pub(super) struct Listing {
    #[command(flatten)]
    pub(super) cache: CacheArguments,
    /// Puts the answer on stdout as JSON.
    #[arg(long)]
    pub(super) json: bool,
}

pub(super) fn run(command: &CacheCommand) -> anyhow::Result<ExitCode> {
    match &command.action {
        Action::Ls(listing) => list(listing),
        Action::Verify { listing, repair } => verify(listing, *repair),
        Action::Gc(arguments) => collect::run(arguments),
        Action::Du(listing) => usage(listing),
    }
}

fn list(listing: &Listing) -> anyhow::Result<ExitCode> {
    let store = listing.cache.look(false)?;
    let mut artifacts = store.list()?;
    artifacts.sort_by_key(Artifact::made);
    let kind = |artifact: &Artifact| {
        artifact.record().ok().and_then(|record| record.get("kind")?.as_str().map(str::to_owned)).unwrap_or_default()
    };
    if listing.json {
        let values: Vec<Value> = artifacts
            .iter()
            .map(|artifact| {
                let made = artifact.made().and_then(|made| made.duration_since(UNIX_EPOCH).ok());
                json!({
                    "key": artifact.key, "kind": kind(artifact), "bytes": artifact.bytes(),
                    "files": artifact.names().count(), "made": made.map(|made| made.as_millis() as u64),
                    "artifact": artifact.files(),
                })
            })
            .collect();
        print_json(&values)?;
        return Ok(ExitCode::SUCCESS);
    }
    for artifact in &artifacts {
        let names: Vec<&str> = artifact.names().map(|(name, _)| name).take(4).collect();
        let more = if artifact.names().count() > 4 { ", ..." } else { "" };
        let size = bytes(artifact.bytes());
        say!("{}  {:<12} {size:>9}  {}{more}", artifact.key.short(), kind(artifact), names.join(", "));
    }
    say!("{} artifacts in {}", artifacts.len(), store.root().display());
    Ok(ExitCode::SUCCESS)
}

fn verify(listing: &Listing, repair: bool) -> anyhow::Result<ExitCode> {
    let store = if repair { listing.cache.open(false)? } else { listing.cache.look(false)? };
    let audit = store.verify()?;
    let mut left = audit.problems.clone();
    if repair && !left.is_empty() {
        store.repair(&left)?;
        left = store.verify()?.problems;
    }
    if listing.json {
        let problems: Vec<Value> = audit
            .problems
            .iter()
            .map(|found| json!({"path": found.path, "problem": found.problem, "key": found.key, "repaired": repair && !left.contains(found)}))
            .collect();
        print_json(&json!({
            "ok": left.is_empty(), "artifacts": audit.artifacts, "files": audit.files, "bytes": audit.bytes,
            "problems": problems,
        }))?;
    }
    for found in &audit.problems {
        let done = if repair && !left.contains(found) { " (repaired)" } else { "" };
        say!("! {}: {}{done}", found.path.display(), found.problem);
    }
    let counts = format!("{} artifacts, {} files, {}", audit.artifacts, audit.files, bytes(audit.bytes));
    if left.is_empty() {
        say!("{counts}: everything is as it was left");
        return Ok(ExitCode::SUCCESS);
    }
    let advice = if repair {
        "what cannot be read is left as it is; see that it can be, or have it made anew with `apeft run --force STAGE`"
    } else {
        "`apeft cache verify --repair` moves what is damaged aside, and the next run makes it again"
    };
    say!("{counts}: {} problems; {advice}", left.len());
    Ok(ExitCode::from(DAMAGED))
}

fn usage(listing: &Listing) -> anyhow::Result<ExitCode> {
    let store: Store = listing.cache.look(false)?;
    let usage = store.usage();
    if listing.json {
        print_json(&usage)?;
    } else {
        for (name, count) in [
            ("artifacts", usage.artifacts),
            ("unfinished work", usage.work),
            ("moved aside", usage.damaged),
            ("everything", usage.total),
        ] {
            say!("{name:<16} {:>9}", bytes(count));
        }
    }
    Ok(ExitCode::SUCCESS)
}
