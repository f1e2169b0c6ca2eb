//! `apeft cache du`: disk usage of the store, in all and by kind, recipe or run.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
    process::ExitCode,
};

use clap::{Args, ValueEnum};
use indicatif::DecimalBytes;
use serde_json::{Value, json};

use super::{
    output::print_json,
    shared_args::{ExperimentsArguments, ListingArguments},
};
use crate::{digest::Digest, schedule::journal, store::Store};

#[derive(Args, Clone, Debug)]
#[command(after_help = "Examples:
  apeft cache du
  apeft cache du --by kind
  apeft cache du --by recipe --by run --json

Columns of a table: name, artifacts, their size, and what no other row uses; recipes and runs are
those of all projects of the store.")]
pub(super) struct UsageArguments {
    /// Print a table by this too; repeatable.
    #[arg(long, value_enum)]
    by: Vec<GroupedBy>,
    #[command(flatten)]
    experiments: ExperimentsArguments,
    #[command(flatten)]
    listing: ListingArguments,
}

/// What artifacts are grouped by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum GroupedBy {
    /// Kind of stage.
    Kind,
    /// Recipe whose runs used them.
    Recipe,
    /// Run that used them.
    Run,
}

/// Artifacts of a row, and how many rows use each artifact.
#[derive(Default)]
struct UsageTable {
    rows: BTreeMap<String, BTreeSet<Digest>>,
    uses: BTreeMap<Digest, usize>,
}

/// Row of artifacts that no recorded run used.
const UNUSED: &str = "(no recorded run)";

pub(super) fn run(arguments: &UsageArguments) -> anyhow::Result<ExitCode> {
    let store = arguments.listing.cache.there()?.look(false)?;
    let usage = store.usage();
    let artifacts = store.list()?;
    let sizes = artifacts.iter().map(|artifact| (artifact.key, artifact.bytes()));
    let sizes: BTreeMap<Digest, u64> = sizes.collect();
    let mut tables = Vec::new();
    for by in &arguments.by {
        let table = match by {
            GroupedBy::Kind => UsageTable::by_kind(&store, &sizes),
            by => UsageTable::by_run(&store, arguments, *by, &sizes)?,
        };
        let name = by.to_possible_value().map(|value| value.get_name().to_owned());
        tables.push((name.unwrap_or_default(), table));
    }
    if arguments.listing.json {
        let mut all = serde_json::to_value(usage)?;
        for (name, table) in &tables {
            all[name] = table.to_json(&sizes);
        }
        print_json(&all)?;
        return Ok(ExitCode::SUCCESS);
    }
    for (name, count) in [
        ("artifacts", usage.artifacts),
        ("unfinished work", usage.work),
        ("quarantined", usage.damaged),
        ("logged calls", usage.calls),
        ("total", usage.total),
    ] {
        print_line!("{name:<16} {:>9}", DecimalBytes(count).to_string())?;
    }
    for (name, table) in &tables {
        print_line!("")?;
        table.print(name, &sizes)?;
    }
    Ok(ExitCode::SUCCESS)
}

impl UsageTable {
    fn by_kind(store: &Store, sizes: &BTreeMap<Digest, u64>) -> Self {
        let mut table = Self::default();
        for key in sizes.keys() {
            let record = store.record(key).unwrap_or_default();
            let kind = record["kind"].as_str().unwrap_or("(unreadable)");
            table.add(kind.to_owned(), BTreeSet::from([*key]));
        }
        table
    }

    fn by_run(
        store: &Store,
        arguments: &UsageArguments,
        by: GroupedBy,
        sizes: &BTreeMap<Digest, u64>,
    ) -> anyhow::Result<Self> {
        let mut folders: BTreeSet<PathBuf> =
            store.projects()?.into_iter().filter_map(|project| project.journals).collect();
        folders.insert(std::path::absolute(&arguments.experiments.experiments)?);
        let mut rows: BTreeMap<String, BTreeSet<Digest>> = BTreeMap::new();
        let mut unused: BTreeSet<Digest> = sizes.keys().copied().collect();
        // The same folder may be registered under two paths, through a link.
        let folders: BTreeSet<PathBuf> =
            folders.into_iter().filter_map(|folder| folder.canonicalize().ok()).collect();
        // Of all projects: what another one needs is no free space.
        for recorded in folders.iter().flat_map(|folder| journal::runs(folder)) {
            let mut keys = journal::keys_of(&recorded.folder)?;
            keys.retain(|key| sizes.contains_key(key));
            unused.retain(|key| !keys.contains(key));
            let name = match by {
                GroupedBy::Run => format!("{}/{}", recorded.recipe, recorded.run),
                _ => recorded.recipe,
            };
            rows.entry(name).or_default().extend(keys);
        }
        let mut table = Self::default();
        rows.into_iter().for_each(|(name, keys)| table.add(name, keys));
        if !unused.is_empty() {
            table.add(UNUSED.to_owned(), unused);
        }
        Ok(table)
    }

    fn add(&mut self, name: String, keys: BTreeSet<Digest>) {
        for key in keys {
            if self.rows.entry(name.clone()).or_default().insert(key) {
                *self.uses.entry(key).or_default() += 1;
            }
        }
    }

    /// Number and bytes of a row's artifacts, and bytes that no other row uses.
    fn sums(&self, keys: &BTreeSet<Digest>, sizes: &BTreeMap<Digest, u64>) -> (usize, u64, u64) {
        let alone = keys.iter().filter(|key| self.uses[*key] == 1);
        (keys.len(), keys.iter().map(|key| sizes[key]).sum(), alone.map(|key| sizes[key]).sum())
    }

    fn to_json(&self, sizes: &BTreeMap<Digest, u64>) -> Value {
        let rows = self.rows.iter().map(|(name, keys)| {
            let (artifacts, bytes, alone) = self.sums(keys, sizes);
            json!({"name": name, "artifacts": artifacts, "bytes": bytes, "alone": alone})
        });
        rows.collect()
    }

    /// Prints the rows, the largest last, where a terminal leaves the eye.
    fn print(&self, title: &str, sizes: &BTreeMap<Digest, u64>) -> anyhow::Result<()> {
        let mut rows: Vec<(&String, (usize, u64, u64))> =
            self.rows.iter().map(|(name, keys)| (name, self.sums(keys, sizes))).collect();
        rows.sort_by_key(|(_, (_, bytes, _))| *bytes);
        let width = rows.iter().map(|(name, _)| name.chars().count()).max().unwrap_or(0).max(16);
        print_line!("{title:<width$} {:>9} {:>9} {:>9}", "artifacts", "size", "alone")?;
        for (name, (artifacts, bytes, alone)) in rows {
            let [bytes, alone] = [bytes, alone].map(|bytes| DecimalBytes(bytes).to_string());
            print_line!("{name:<width$} {artifacts:>9} {bytes:>9} {alone:>9}")?;
        }
        Ok(())
    }
}
