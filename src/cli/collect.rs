//! `apeft cache gc`: what of the store can go, and whose it is.

use std::{
    collections::BTreeSet,
    io::ErrorKind,
    path::{Path, PathBuf},
    process::ExitCode,
};

use clap::Args;
use serde_json::{Value, json};

use super::{
    cache::Listing,
    common::{ExperimentsArguments, WRONG, bytes},
    output::print_json,
};
use crate::{
    schedule::journal::{self, Named},
    store::{Claims, Collection, Leftover, Project, Store},
};

#[derive(Args, Clone, Debug)]
#[command(
    after_help = "Several projects may share a store. Each is known to it by the folder of its runs, from its first run on.
Of the artifacts that runs of this project (--experiments) used, those stay that its last N runs of each recipe used. What
runs of other projects used stays, and so does what a run under way has looked up. Artifacts that no run of this project
used and no known project claims stay too, and are counted."
)]
pub(super) struct CollectArguments {
    #[command(flatten)]
    listing: Listing,
    #[command(flatten)]
    experiments: ExperimentsArguments,
    /// Keeps what the last N runs of each recipe used.
    #[arg(long, default_value_t = 10, value_name = "N")]
    keep: usize,
    /// Only says what would be removed.
    #[arg(long)]
    dry_run: bool,
    /// Keeps of other projects, too, only what their last N runs of each recipe used.
    #[arg(long)]
    all_projects: bool,
    /// Removes also what no run of any known project used.
    #[arg(long)]
    unrecorded: bool,
    /// Forgets a project that shared the store, by the folder of its runs; what only its runs used is unrecorded then.
    #[arg(long, value_name = "DIR")]
    forget: Vec<PathBuf>,
}

/// What is known of the projects that share a store.
struct Known {
    claims: Claims,
    /// How many runs of this project are recorded.
    runs: usize,
    /// Other projects.
    others: usize,
    /// Projects whose runs cannot be read, and why.
    lost: Vec<String>,
}

pub(super) fn run(arguments: &CollectArguments) -> anyhow::Result<ExitCode> {
    let cache = &arguments.listing.cache;
    let store = if arguments.dry_run { cache.look(false)? } else { cache.open(false)? };
    if let Err(problem) = forget(&store, arguments)? {
        say!("error: {problem}");
        return Ok(ExitCode::from(WRONG));
    }
    // From here on no run looks anything up, so that what is decided now stays right.
    let waiting = || say!("waiting for a run that is looking up its artifacts");
    let closed = if arguments.dry_run { None } else { Some(store.close(waiting)?) };
    let known = Known::gather(&store, arguments)?;
    if let Some(problem) = known.refuses(&store, arguments)? {
        say!("error: {problem}");
        return Ok(ExitCode::from(WRONG));
    }
    let mut collection = store.leftovers(&known.claims)?;
    let mut leftovers = std::mem::take(&mut collection.leftovers);
    if let Some(closed) = closed {
        leftovers = store.remove(leftovers, closed)?;
    }
    say(arguments, &known, &collection, &leftovers)?;
    Ok(ExitCode::SUCCESS)
}

/// Forgets the projects that are to be forgotten, or says which are known.
fn forget(store: &Store, arguments: &CollectArguments) -> anyhow::Result<Result<(), String>> {
    let projects = if arguments.forget.is_empty() { Vec::new() } else { store.projects()? };
    for folder in &arguments.forget {
        let wanted = std::path::absolute(folder)?;
        let named = |project: &&Project| project.journals.as_deref().is_some_and(|known| is_same(known, &wanted));
        let Some(project) = projects.iter().find(named) else {
            let names: Vec<String> = projects.iter().map(name).collect();
            let names = if names.is_empty() { "none".to_owned() } else { names.join(", ") };
            return Ok(Err(format!("no project of this store has its runs in {}; known: {names}", folder.display())));
        };
        if !arguments.dry_run {
            store.forget(project)?;
        }
    }
    Ok(Ok(()))
}

fn name(project: &Project) -> String {
    let unknown = || "one whose place cannot be read".to_owned();
    project.journals.as_ref().map_or_else(unknown, |journals| journals.display().to_string())
}

/// Whether two paths mean the same folder, also where one of them goes through a link or `..`.
fn is_same(one: &Path, other: &Path) -> bool {
    one == other
        || std::fs::canonicalize(one).is_ok_and(|one| std::fs::canonicalize(other).is_ok_and(|other| one == other))
}

impl Known {
    fn gather(store: &Store, arguments: &CollectArguments) -> anyhow::Result<Self> {
        let own = &arguments.experiments.experiments;
        let Named { recent, all, runs } = journal::named(own, arguments.keep)?;
        if runs > 0 && !arguments.dry_run {
            store.register(own)?;
        }
        let mut known = Self {
            claims: Claims { kept: recent, known: all, unrecorded: arguments.unrecorded },
            runs,
            others: 0,
            lost: Vec::new(),
        };
        for project in store.projects()? {
            let journals = project.journals.clone();
            let forgotten = |folder: &PathBuf| journals.as_deref().is_some_and(|known| is_same(known, folder));
            if journals.as_deref().is_some_and(|known| is_same(known, own)) || arguments.forget.iter().any(forgotten) {
                continue;
            }
            known.others += 1;
            match runs_of(&project, arguments.keep) {
                Ok(named) if arguments.all_projects => {
                    known.claims.kept.extend(named.recent);
                    known.claims.known.extend(named.all);
                }
                Ok(named) => known.claims.kept.extend(named.all),
                Err(why) => known.lost.push(format!("{} ({why})", name(&project))),
            }
        }
        Ok(known)
    }

    /// Why nothing is collected, if so.
    fn refuses(&self, store: &Store, arguments: &CollectArguments) -> anyhow::Result<Option<String>> {
        if self.runs == 0 && arguments.keep > 0 && !store.list()?.is_empty() {
            let place = arguments.experiments.experiments.display();
            return Ok(Some(format!(
                "no run is recorded in {place}, so that nothing tells what is needed; name the folder of the runs with --experiments, or say --keep 0"
            )));
        }
        Ok((arguments.unrecorded && !self.lost.is_empty()).then(|| {
            format!(
                "what these projects need is not known, so that --unrecorded could take it: {}; make them readable, or leave them out with --forget DIR",
                self.lost.join(", ")
            )
        }))
    }
}

/// The keys of another project's runs, or why they are not known.
fn runs_of(project: &Project, keep: usize) -> Result<Named, String> {
    let journals = project.journals.as_ref().ok_or("its line in the store is torn")?;
    match std::fs::metadata(journals) {
        Err(error) if error.kind() == ErrorKind::NotFound => Err("it was moved or removed".to_owned()),
        Err(error) => Err(error.to_string()),
        Ok(_) => journal::named(journals, keep).map_err(|error| error.to_string()),
    }
}

fn say(
    arguments: &CollectArguments,
    known: &Known,
    collection: &Collection,
    leftovers: &[Leftover],
) -> anyhow::Result<()> {
    let total: u64 = leftovers.iter().map(|leftover| leftover.bytes).sum();
    let Collection { unrecorded, unrecorded_bytes, in_use, pinned, .. } = collection;
    if arguments.listing.json {
        let values: Vec<Value> = leftovers
            .iter()
            .map(|leftover| json!({"path": leftover.path, "bytes": leftover.bytes, "why": leftover.why}))
            .collect();
        let kept = json!({
            "unrecorded": unrecorded, "unrecorded_bytes": unrecorded_bytes, "in_use": in_use, "runs": pinned.holders,
        });
        let dry_run = arguments.dry_run;
        return print_json(&json!({
            "removed": values, "bytes": total, "dry_run": dry_run, "kept": kept, "unreadable_projects": known.lost,
        }));
    }
    for leftover in leftovers {
        say!("- {}  {:>9}  {}", leftover.path.display(), bytes(leftover.bytes), leftover.why);
    }
    if *in_use > 0 {
        let holders: BTreeSet<&str> = pinned.holders.iter().map(String::as_str).collect();
        let holders = holders.into_iter().collect::<Vec<_>>().join("; ");
        say!("kept: {}, since a run under way needs them or makes them ({holders})", artifacts(*in_use));
    }
    if *unrecorded > 0 {
        let place = arguments.experiments.experiments.display();
        let others = match known.others {
            0 => String::new(),
            1 => " or of the other project that is known".to_owned(),
            count => format!(" or of the {count} other projects that are known"),
        };
        say!(
            "kept: {} ({}) that no run in {place}{others} used: they may be another project's; --unrecorded removes them too",
            artifacts(*unrecorded),
            bytes(*unrecorded_bytes)
        );
    }
    for lost in &known.lost {
        say!("not known: what the project {lost} needs; it is kept unless --forget and --unrecorded are said");
    }
    let verb = if arguments.dry_run { "would be freed" } else { "freed" };
    say!("{} {verb}", bytes(total));
    Ok(())
}

fn artifacts(count: usize) -> String {
    if count == 1 { "1 artifact".to_owned() } else { format!("{count} artifacts") }
}
