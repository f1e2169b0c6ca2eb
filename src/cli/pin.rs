//! `apeft pin` and `apeft unpin`: artifacts that no collection removes.

use std::{collections::BTreeSet, process::ExitCode};

use anyhow::bail;
use clap::Args;
use serde_json::json;

use super::{
    named_keys::named_keys,
    output::print_json,
    shared_args::{ExperimentsArguments, ListingArguments},
};
use crate::{digest::Digest, store::Lookup};

/// End of the help of `apeft pin`.
pub(super) const EXAMPLES: &str = "Examples:
  apeft pin quickstart:base
  apeft pin 2026-11-23T04-49-05
  apeft pin 3f2a9c41d07b
  apeft pin

`cache gc` never removes a pinned artifact, whatever its other options. Without a name the pins are
listed.";

/// End of the help of `apeft unpin`.
pub(super) const REVERSED: &str = "Examples:
  apeft unpin quickstart:base
  apeft unpin 3f2a9c41d07b";

#[derive(Args, Clone, Debug)]
pub(super) struct PinArguments {
    /// Key or its beginning, run (all of its artifacts), RUN:STAGE, or stage of the newest run.
    #[arg(value_name = "KEY|RUN|STAGE")]
    names: Vec<String>,
    #[command(flatten)]
    experiments: ExperimentsArguments,
    #[command(flatten)]
    listing: ListingArguments,
}

pub(super) fn run(arguments: &PinArguments) -> anyhow::Result<ExitCode> {
    if arguments.names.is_empty() {
        return list(&arguments.listing);
    }
    let store = arguments.listing.cache.there()?.open(false)?;
    // Held while it pins, so that no collection comes in between.
    let _lease = store.hold(|| say!("waiting for `cache gc` in the store"))?;
    let known = store.keys()?.into_iter().collect();
    let named = named_keys(&arguments.experiments, &arguments.names, &known)?;
    let mut missing = Vec::new();
    for pinned in &named {
        match store.find(&pinned.key)? {
            Lookup::Found(_) => store.pin(&pinned.key, &pinned.name)?,
            _ => missing.push(format!("{} {}", pinned.key.short(), pinned.name)),
        }
    }
    if !missing.is_empty() {
        bail!(
            "these artifacts are not in the store, so they are not pinned: {}",
            missing.join(", ")
        );
    }
    if arguments.listing.json {
        print_json(&named.iter().map(|named| named.key).collect::<Vec<_>>())?;
    } else {
        print_line!("{} pinned", artifacts(named.len()))?;
    }
    Ok(ExitCode::SUCCESS)
}

pub(super) fn undo(arguments: &PinArguments) -> anyhow::Result<ExitCode> {
    if arguments.names.is_empty() {
        bail!("no artifact is named; `apeft pin` lists the pinned ones");
    }
    let store = arguments.listing.cache.there()?.open(false)?;
    // Of the pinned ones, which may be damaged or removed by hand.
    let known: BTreeSet<Digest> = store.pinned()?.into_iter().map(|pin| pin.key).collect();
    let named = named_keys(&arguments.experiments, &arguments.names, &known)?;
    let mut unpinned = Vec::new();
    for named in &named {
        if store.unpin(&named.key)? {
            unpinned.push(named.key);
        }
    }
    if arguments.listing.json {
        print_json(&unpinned)?;
    } else {
        print_line!("{} unpinned", artifacts(unpinned.len()))?;
    }
    Ok(ExitCode::SUCCESS)
}

fn list(listing: &ListingArguments) -> anyhow::Result<ExitCode> {
    let pins = listing.cache.there()?.look(false)?.pinned()?;
    if listing.json {
        let pins = pins.iter().map(|pin| json!({"key": pin.key, "name": pin.name}));
        print_json(&pins.collect::<Vec<_>>())?;
        return Ok(ExitCode::SUCCESS);
    }
    for pin in &pins {
        print_line!("{}  {}", pin.key.short(), pin.name)?;
    }
    print_line!("{} pinned", artifacts(pins.len()))?;
    Ok(ExitCode::SUCCESS)
}

fn artifacts(count: usize) -> String {
    if count == 1 { "1 artifact".to_owned() } else { format!("{count} artifacts") }
}
