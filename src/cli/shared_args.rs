//! Arguments and helpers shared by several commands.

use std::{
    collections::BTreeSet,
    fs,
    io::ErrorKind,
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::Context as _;
use clap::Args;
use jiff::{
    SignedDuration, Unit,
    fmt::friendly::{Spacing, SpanPrinter},
};
use petgraph::graph::NodeIndex;

use super::validate::{plan_recipe, show};
use crate::{
    diagnostic::Problems,
    plan::{self, Plan},
    recipe::Recipe,
    stage::registry,
    store::Store,
};

/// A stage failed.
pub(super) const FAILED: u8 = 1;
/// The recipe or the call is wrong.
pub(super) const WRONG: u8 = 2;
/// The store is damaged beyond repair.
pub(super) const DAMAGED: u8 = 3;
/// Ctrl-C.
pub(super) const INTERRUPTED: u8 = 130;

/// The recipe and its overrides.
#[derive(Args, Clone, Debug)]
pub(super) struct RecipeArguments {
    /// Recipe file.
    pub(super) recipe: PathBuf,
    /// Override a field of the recipe, such as `--set stage.tuned.beta=0.2`; repeatable.
    #[arg(long = "set", value_name = "FIELD=VALUE")]
    pub(super) settings: Vec<String>,
    /// Seeds, such as `0,1,2` [default: the recipe's].
    #[arg(long, value_delimiter = ',', value_name = "LIST")]
    pub(super) seeds: Option<Vec<u64>>,
    /// Device of the models: `cpu`, `cuda:N` or `wgpu:N`; several share work: `cuda:0,1`.
    #[arg(long)]
    pub(super) device: Option<String>,
}

/// Location of the store.
#[derive(Args, Clone, Debug)]
pub(super) struct CacheArguments {
    /// Store folder.
    #[arg(long, env = "APEFT_CACHE", default_value = "cache", value_name = "DIR")]
    pub(super) cache: PathBuf,
}

/// Which store a `cache` command reads, and how it prints.
#[derive(Args, Clone, Debug)]
pub(super) struct ListingArguments {
    #[command(flatten)]
    pub(super) cache: CacheArguments,
    /// Print JSON to stdout.
    #[arg(long)]
    pub(super) json: bool,
}

/// Location of the journals.
#[derive(Args, Clone, Debug)]
pub(super) struct ExperimentsArguments {
    /// Folder of the runs.
    #[arg(long, default_value = "experiments", value_name = "DIR")]
    pub(super) experiments: PathBuf,
}

/// An error with its causes, without causes that its own message contains.
pub(super) fn said_once(error: &anyhow::Error) -> String {
    let mut said = String::new();
    for cause in error.chain().map(ToString::to_string) {
        if said.is_empty() {
            said = cause;
        } else if !said.contains(&cause) {
            said = format!("{said}: {cause}");
        }
    }
    said
}

impl RecipeArguments {
    /// Plans the recipe; prints its problems.
    pub(super) fn plan(&self) -> Result<Plan, ExitCode> {
        let device = self.device.as_deref();
        told(plan_recipe(&self.recipe, &self.all_settings(), device))
    }

    /// The same for a run, whose folder gets the resolved recipe.
    pub(super) fn plan_to_run(&self) -> Result<Plan, ExitCode> {
        let device = self.device.as_deref();
        let recipe = Recipe::load(&self.recipe, &self.all_settings());
        told(recipe.and_then(|recipe| plan::plan(&recipe, &registry::catalogue(), device)))
    }

    fn all_settings(&self) -> Vec<String> {
        let mut settings = self.settings.clone();
        if let Some(seeds) = &self.seeds {
            // Last, so that it wins over `--set seeds`.
            settings.push(format!("seeds={seeds:?}"));
        }
        settings
    }
}

/// A plan, whose warnings are printed, or the exit status after its problems are.
fn told(planned: Result<Plan, Problems>) -> Result<Plan, ExitCode> {
    show(planned.as_ref().map_or_else(|problems| problems, |plan| &plan.warnings));
    planned.map_err(|_| ExitCode::from(WRONG))
}

/// The stages selected by an option; prints an error if a name selects none.
pub(super) fn select(
    plan: &Plan,
    option: &str,
    names: &[String],
) -> Result<BTreeSet<NodeIndex>, ExitCode> {
    plan.select(option, names).map_err(|problems| {
        show(&problems);
        ExitCode::from(WRONG)
    })
}

impl CacheArguments {
    /// Opens the store; `verify_on_read` hashes every file.
    pub(super) fn open(&self, verify_on_read: bool) -> anyhow::Result<Store> {
        if verify_on_read { Store::open_verifying(&self.cache) } else { Store::open(&self.cache) }
            .with_context(|| format!("the store {} cannot be used", self.cache.display()))
    }

    /// Path of an existing store.
    pub(super) fn there(&self) -> anyhow::Result<&Self> {
        match Store::none_at(&self.cache) {
            None => Ok(self),
            Some(why) => anyhow::bail!(
                "there is no store in {}: {why}; `apeft run` makes one, and --cache or \
                APEFT_CACHE names another place",
                self.cache.display()
            ),
        }
    }

    /// Opens the store read-only; a missing store is empty.
    pub(super) fn look(&self, verify_on_read: bool) -> anyhow::Result<Store> {
        let store = Store::look(&self.cache, !verify_on_read);
        store.with_context(|| format!("the store {} cannot be used", self.cache.display()))
    }
}

impl ExperimentsArguments {
    /// The existing folder of all runs.
    pub(super) fn there(&self) -> anyhow::Result<&Path> {
        let why = match fs::metadata(&self.experiments) {
            Ok(kind) if kind.is_dir() => return Ok(&self.experiments),
            Ok(_) => "it is not a folder".to_owned(),
            Err(error) if error.kind() == ErrorKind::NotFound => {
                "there is no such folder".to_owned()
            }
            Err(error) => error.to_string(),
        };
        let place = self.experiments.display();
        anyhow::bail!(
            "no run is recorded in {place}: {why}; `apeft run RECIPE` makes one, and \
            --experiments names another place"
        )
    }
}

/// `12.3 s`, `3 m 5 s`, `2 h 10 m`: as precise as anyone wants to know.
pub(super) fn duration(seconds: f64) -> String {
    if seconds < 60.0 {
        return format!("{seconds:.1} s");
    }
    let unit = if seconds < 3600.0 { Unit::Second } else { Unit::Minute };
    let exact = SignedDuration::try_from_secs_f64(seconds);
    let rounded = exact.and_then(|exact| exact.round(unit)).unwrap_or_default();
    let printer = SpanPrinter::new().spacing(Spacing::BetweenUnitsAndDesignators);
    printer.duration_to_string(&rounded)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_have_two_units_at_most() {
        for (seconds, expected) in [
            (0.0, "0.0 s"),
            (0.04, "0.0 s"),
            (12.34, "12.3 s"),
            (59.99, "60.0 s"),
            (185.2, "3 m 5 s"),
            (7805.0, "2 h 10 m"),
            (90_000.0, "25 h"),
            (f64::INFINITY, "0 s"),
        ] {
            assert_eq!(duration(seconds), expected, "{seconds}");
        }
    }
}
