//! What several commands take and do alike.

use std::{collections::BTreeSet, path::PathBuf, process::ExitCode};

use anyhow::Context as _;
use clap::Args;
use petgraph::graph::NodeIndex;

use super::validate::{plan_recipe, show};
use crate::{plan::Plan, store::Store};

/// A stage failed.
pub(super) const FAILED: u8 = 1;
/// The recipe or the call is wrong.
pub(super) const WRONG: u8 = 2;
/// The store is damaged and could not be repaired.
pub(super) const DAMAGED: u8 = 3;
/// Ctrl-C.
pub(super) const INTERRUPTED: u8 = 130;

/// Which recipe, and what of it is changed.
#[derive(Args, Clone, Debug)]
pub(super) struct RecipeArguments {
    /// The recipe's file.
    pub(super) recipe: PathBuf,
    /// Overrides a field of the recipe, e.g. `--set stage.tuned.beta=0.2`; may be repeated.
    #[arg(long = "set", value_name = "FIELD=VALUE")]
    pub(super) settings: Vec<String>,
    /// The seeds, instead of the recipe's, e.g. `0,1,2`.
    #[arg(long, value_delimiter = ',', value_name = "LIST")]
    pub(super) seeds: Option<Vec<u64>>,
    /// Where models run: `cpu` or `cuda:N`.
    #[arg(long)]
    pub(super) device: Option<String>,
}

/// Where the store is.
#[derive(Args, Clone, Debug)]
pub(super) struct CacheArguments {
    /// The store's folder.
    #[arg(long, env = "APEFT_CACHE", default_value = "cache", value_name = "DIR")]
    pub(super) cache: PathBuf,
}

/// Where runs are recorded.
#[derive(Args, Clone, Debug)]
pub(super) struct ExperimentsArguments {
    /// The folder of all runs.
    #[arg(long, default_value = "experiments", value_name = "DIR")]
    pub(super) experiments: PathBuf,
}

/// What went wrong, and why: causes that an error's own sentence tells already are not told again.
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
    /// Reads the recipe and plans it; where it is wrong, says everything that is.
    pub(super) fn plan(&self) -> Result<Plan, ExitCode> {
        let mut settings = self.settings.clone();
        if let Some(seeds) = &self.seeds {
            settings.push(format!("seeds={seeds:?}"));
        }
        let planned = plan_recipe(&self.recipe, &settings, self.device.as_deref());
        show(planned.as_ref().map_or_else(|problems| problems, |plan| &plan.warnings));
        planned.map_err(|_| ExitCode::from(WRONG))
    }
}

/// The stages that the names of an option mean; where one means none, says so.
pub(super) fn select(plan: &Plan, option: &str, names: &[String]) -> Result<BTreeSet<NodeIndex>, ExitCode> {
    plan.select(option, names).map_err(|problems| {
        show(&problems);
        ExitCode::from(WRONG)
    })
}
impl CacheArguments {
    /// Opens the store; `distrustful` has every file hashed anew.
    pub(super) fn open(&self, distrustful: bool) -> anyhow::Result<Store> {
        let open = if distrustful { Store::open_distrustful } else { Store::open };
        open(&self.cache).with_context(|| format!("the store {} cannot be used", self.cache.display()))
    }

    /// Opens the store only to look at it, which needs no right to write there.
    pub(super) fn look(&self, distrustful: bool) -> anyhow::Result<Store> {
        let store = Store::look(&self.cache, !distrustful);
        store.with_context(|| format!("the store {} cannot be used", self.cache.display()))
    }
}

/// `1.2 GB`, `340 kB`, `12 B`.
pub(super) fn bytes(count: u64) -> String {
    let units = ["kB", "MB", "GB", "TB"];
    let mut amount = count as f64;
    let mut unit = "B";
    for larger in units {
        if amount < 1000.0 {
            break;
        }
        amount /= 1000.0;
        unit = larger;
    }
    if unit == "B" || amount >= 100.0 { format!("{amount:.0} {unit}") } else { format!("{amount:.1} {unit}") }
}

/// `0.4 s`, `12.3 s`, `3 min 05 s`, `2 h 10 min`.
pub(super) fn duration(seconds: f64) -> String {
    let whole = seconds.round() as u64;
    match whole {
        0..60 => format!("{seconds:.1} s"),
        60..3600 => format!("{} min {:02} s", whole / 60, whole % 60),
        _ => format!("{} h {:02} min", whole / 3600, whole % 3600 / 60),
    }
}
