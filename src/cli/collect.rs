//! `apeft cache gc`: garbage collection of the store.

use std::{
    collections::BTreeSet,
    io::ErrorKind,
    path::{Path, PathBuf},
    process::ExitCode,
    time::{Duration, UNIX_EPOCH},
};

use clap::Args;
use indicatif::DecimalBytes;
use jiff::Timestamp;
use serde_json::{Value, json};

use super::{
    amounts::{age, size},
    output::print_json,
    shared_args::{ExperimentsArguments, ListingArguments, WRONG},
};
use crate::{
    schedule::journal::{self, NamedKeys},
    store::{Claims, Collection, GcCandidate, Policy, Project, Store},
};

#[derive(Args, Clone, Debug)]
#[command(after_help = "Examples:
  apeft cache gc --dry-run
  apeft cache gc --keep-runs 3
  apeft cache gc --older-than 30d --keep-bytes 200GB

Projects may share a store; each registers the folder of its runs with each run. Roots are never
removed: artifacts of the last N runs of each recipe of this project (--experiments) and of its
last N finished ones, artifacts of other projects, pinned ones, and those in use by running runs.
Artifacts of unknown origin are kept and counted. --older-than and --keep-bytes spare more.")]
pub(super) struct CollectArguments {
    #[command(flatten)]
    listing: ListingArguments,
    #[command(flatten)]
    experiments: ExperimentsArguments,
    /// Keep what the last N runs and the last N finished runs of each recipe used.
    #[arg(long, alias = "keep", default_value_t = 10, value_name = "N")]
    keep_runs: usize,
    /// Remove only what no run has used for this long, such as `30d` or `12h` [default: anything].
    #[arg(long, value_name = "TIME", value_parser = age)]
    older_than: Option<Duration>,
    /// Remove only until all artifacts together have at most this size, such as `200GB`, those
    /// used longest ago first [default: everything that no root needs].
    #[arg(long, value_name = "SIZE", value_parser = size)]
    keep_bytes: Option<u64>,
    /// Print what would be removed.
    #[arg(long)]
    dry_run: bool,
    /// Apply `--keep-runs` to other projects too.
    #[arg(long)]
    all_projects: bool,
    /// Remove also what no run of any known project used.
    #[arg(long)]
    unrecorded: bool,
    /// Forget a project by the folder of its runs; artifacts that only it used become unrecorded.
    #[arg(long, value_name = "DIR")]
    forget: Vec<PathBuf>,
}

/// Projects that share a store.
struct ProjectClaims {
    claims: Claims,
    /// Number of recorded runs of this project.
    runs: usize,
    /// Other projects.
    others: usize,
    /// Folder of the runs of each project, and when it was last seen, for JSON.
    seen: Vec<Value>,
    /// Projects whose runs cannot be read, with the reason.
    lost: Vec<String>,
}

pub(super) fn run(arguments: &CollectArguments) -> anyhow::Result<ExitCode> {
    let cache = arguments.listing.cache.there()?;
    // A mistyped folder has no runs, and would make every artifact look unused.
    if arguments.keep_runs > 0 {
        arguments.experiments.there()?;
    }
    let store = if arguments.dry_run { cache.look(false)? } else { cache.open(false)? };
    if let Err(problem) = forget(&store, arguments)? {
        say!("error: {problem}");
        return Ok(ExitCode::from(WRONG));
    }
    // No run looks anything up from here on, so the decision stays valid.
    let closed = if arguments.dry_run {
        None
    } else {
        Some(store.close(|| say!("waiting for a run that is looking up its artifacts"))?)
    };
    // Before the journals: a run that ends in between has its keys there.
    let live = store.live_roots()?;
    let known = ProjectClaims::gather(&store, arguments)?;
    if let Some(problem) = known.refuses(&store, arguments)? {
        say!("error: {problem}");
        return Ok(ExitCode::from(WRONG));
    }
    let mut collection = store.candidates(&known.claims, live)?;
    let mut candidates = std::mem::take(&mut collection.candidates);
    if let Some(closed) = closed {
        // What cannot be removed is not reported as freed.
        candidates = store.remove(candidates, closed)?;
    }
    if arguments.listing.json {
        print_json(&to_json(arguments, &known, &collection, &candidates))?;
    } else {
        print(arguments, &known, &collection, &candidates)?;
    }
    Ok(ExitCode::SUCCESS)
}

/// Forgets the named projects, or lists the known ones.
fn forget(store: &Store, arguments: &CollectArguments) -> anyhow::Result<Result<(), String>> {
    let projects = if arguments.forget.is_empty() { Vec::new() } else { store.projects()? };
    for folder in &arguments.forget {
        // Registrations name absolute folders.
        let wanted = std::path::absolute(folder)?;
        let Some(project) = projects.iter().find(|project| has_runs_in(project, &wanted)) else {
            let names: Vec<String> = projects.iter().map(name).collect();
            let names = if names.is_empty() { "none".to_owned() } else { names.join(", ") };
            return Ok(Err(format!(
                "no project of this store has its runs in {}; known: {names}",
                folder.display()
            )));
        };
        if !arguments.dry_run {
            store.forget(project)?;
        }
    }
    Ok(Ok(()))
}

fn name(project: &Project) -> String {
    match &project.journals {
        Some(journals) => journals.display().to_string(),
        None => "a project with an unreadable registration".to_owned(),
    }
}

fn has_runs_in(project: &Project, folder: &Path) -> bool {
    project.journals.as_deref().is_some_and(|known| is_same(known, folder))
}

/// Whether two paths are the same folder, also through links or `..`.
fn is_same(one: &Path, other: &Path) -> bool {
    one == other
        || std::fs::canonicalize(one)
            .is_ok_and(|one| std::fs::canonicalize(other).is_ok_and(|other| one == other))
}

impl ProjectClaims {
    fn gather(store: &Store, arguments: &CollectArguments) -> anyhow::Result<Self> {
        let own = &arguments.experiments.experiments;
        let NamedKeys { recent, all, used, runs } = journal::named(own, arguments.keep_runs)?;
        // A folder without runs may be a typing error, which must not be registered.
        if runs > 0 && !arguments.dry_run {
            store.register(own)?;
        }
        let mut known = Self {
            claims: Claims {
                kept: recent,
                known: all,
                unrecorded: arguments.unrecorded,
                used,
                policy: Policy {
                    older_than: arguments.older_than,
                    keep_bytes: arguments.keep_bytes,
                },
            },
            runs,
            others: 0,
            seen: Vec::new(),
            lost: Vec::new(),
        };
        for project in store.projects()? {
            let at = project.last_seen.and_then(|at| at.duration_since(UNIX_EPOCH).ok());
            let at = at.map(|at| at.as_millis() as u64);
            known.seen.push(json!({"runs": project.journals, "last_seen": at}));
            // A dry run has not forgotten them, but shows what would be left without them.
            if has_runs_in(&project, own)
                || arguments.forget.iter().any(|folder| has_runs_in(&project, folder))
            {
                continue;
            }
            // What an unreadable project needs is unknown, which is no reason to remove it.
            known.others += 1;
            match runs_of(&project, arguments.keep_runs) {
                Ok(named) => known.add(named, arguments.all_projects),
                Err(why) => {
                    let lost = format!("{} ({why}{})", name(&project), seen(&project));
                    known.lost.push(lost);
                }
            }
        }
        Ok(known)
    }

    /// Adds the needs of another project: all of its runs, or the last ones.
    fn add(&mut self, named: NamedKeys, only_last: bool) {
        if only_last {
            self.claims.kept.extend(named.recent);
            self.claims.known.extend(named.all);
        } else {
            self.claims.kept.extend(named.all);
        }
        for (key, at) in named.used {
            let used = self.claims.used.entry(key).or_insert(at);
            *used = at.max(*used);
        }
    }

    /// Why nothing is collected.
    fn refuses(
        &self,
        store: &Store,
        arguments: &CollectArguments,
    ) -> anyhow::Result<Option<String>> {
        if self.runs == 0 && arguments.keep_runs > 0 && !store.list()?.is_empty() {
            let place = arguments.experiments.experiments.display();
            return Ok(Some(format!(
                "no run is recorded in {place}, so the needed artifacts are unknown; name the \
                folder of the runs with --experiments, or use --keep-runs 0"
            )));
        }
        Ok((arguments.unrecorded && !self.lost.is_empty()).then(|| {
            format!(
                "the needs of these projects are unknown, so --unrecorded could remove them: {}; \
                make them readable, or forget them with --forget DIR",
                self.lost.join(", ")
            )
        }))
    }
}

/// When a project was last seen, after a comma.
fn seen(project: &Project) -> String {
    let seen = project.last_seen.and_then(|at| Timestamp::try_from(at).ok());
    seen.map_or_else(String::new, |at| format!(", last seen {}", at.strftime("%Y-%m-%d")))
}

/// Keys of another project's runs, or why they are unknown.
fn runs_of(project: &Project, keep: usize) -> Result<NamedKeys, String> {
    let journals = project.journals.as_ref().ok_or("its registration is torn")?;
    match std::fs::metadata(journals) {
        Err(error) if error.kind() == ErrorKind::NotFound => {
            Err("it was moved or removed".to_owned())
        }
        Err(error) => Err(error.to_string()),
        Ok(_) => journal::named(journals, keep).map_err(|error| error.to_string()),
    }
}

fn to_json(
    arguments: &CollectArguments,
    known: &ProjectClaims,
    collection: &Collection,
    candidates: &[GcCandidate],
) -> Value {
    let removed = candidates.iter().map(|candidate| {
        json!({
            "path": candidate.path.display().to_string(),
            "bytes": candidate.bytes,
            "why": candidate.why,
        })
    });
    json!({
        "removed": removed.collect::<Vec<_>>(),
        "bytes": total(candidates),
        "dry_run": arguments.dry_run,
        "kept": {
            "unrecorded": collection.unrecorded,
            "unrecorded_bytes": collection.unrecorded_bytes,
            "in_use": collection.in_use,
            "pinned": collection.pinned,
            "by_policy": collection.spared,
            "by_policy_bytes": collection.spared_bytes,
            "runs": collection.live.holders,
        },
        "remaining": collection.remaining,
        "projects": known.seen,
        "unreadable_projects": known.lost,
    })
}

fn print(
    arguments: &CollectArguments,
    known: &ProjectClaims,
    collection: &Collection,
    candidates: &[GcCandidate],
) -> anyhow::Result<()> {
    let Collection { unrecorded, unrecorded_bytes, in_use, live, .. } = collection;
    for GcCandidate { path, bytes, why, .. } in candidates {
        print_line!("- {}  {:>9}  {why}", path.display(), DecimalBytes(*bytes).to_string())?;
    }
    if *in_use > 0 {
        let holders: BTreeSet<&str> = live.holders.iter().map(String::as_str).collect();
        let holders = holders.into_iter().collect::<Vec<_>>().join("; ");
        print_line!("kept: {}, in use by a running run ({holders})", artifacts(*in_use))?;
    }
    if *unrecorded > 0 {
        let place = arguments.experiments.experiments.display();
        let others = match known.others {
            0 => String::new(),
            1 => " or of the other known project".to_owned(),
            count => format!(" or of the {count} other known projects"),
        };
        print_line!(
            "kept: {} ({}) that no run in {place}{others} used: they may be another project's; \
            --unrecorded removes them too",
            artifacts(*unrecorded),
            DecimalBytes(*unrecorded_bytes)
        )?;
    }
    if collection.spared > 0 {
        let bytes = DecimalBytes(collection.spared_bytes);
        let spared = artifacts(collection.spared);
        print_line!(
            "kept: {spared} ({bytes}) that no root needs, by --older-than or --keep-bytes"
        )?;
    }
    if let Some(most) = arguments.keep_bytes.filter(|most| collection.remaining > *most) {
        let [remaining, most] = [collection.remaining, most].map(DecimalBytes);
        print_line!("artifacts that stay take {remaining}, more than --keep-bytes {most}")?;
    }
    for lost in &known.lost {
        print_line!(
            "unknown: the needs of the project {lost}; its artifacts are kept without --forget \
            and --unrecorded"
        )?;
    }
    let verb = if arguments.dry_run { "would be freed" } else { "freed" };
    print_line!("{} {verb}", DecimalBytes(total(candidates)))
}

fn total(candidates: &[GcCandidate]) -> u64 {
    candidates.iter().map(|candidate| candidate.bytes).sum()
}

fn artifacts(count: usize) -> String {
    if count == 1 { "1 artifact".to_owned() } else { format!("{count} artifacts") }
}
