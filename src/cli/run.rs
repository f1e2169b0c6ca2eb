//! `apeft run`: executes a recipe; running it again resumes.

use std::{collections::BTreeSet, num::NonZero, process::ExitCode};

use clap::{Args, ValueEnum};
use petgraph::graph::NodeIndex;

#[cfg(feature = "dashboard")]
use super::dashboard::Screen as Progress;
#[cfg(not(feature = "dashboard"))]
use super::terminal::Terminal as Progress;
use super::{
    conclusion::conclude,
    output::print_json,
    remote_args::RemoteArguments,
    shared_args::{
        CacheArguments, DAMAGED, ExperimentsArguments, FAILED, INTERRUPTED, RecipeArguments, WRONG,
        select,
    },
    tensorboard::EventFiles,
    wandb::write_offline_runs,
};
use crate::{
    diagnostic::counted,
    plan::{ExecutorName, Plan},
    remote::RemoteAddress,
    schedule::{
        Machine, RunLabel, RunOptions, RunOutcome, event::Timed, execute, slurm::CoordinatedRun,
    },
    store::Store,
};

/// End of its help.
pub(super) const EXAMPLES: &str = "Examples:
  apeft run recipes/quickstart.toml
  apeft run recipes/quickstart.toml --set stage.tuned.beta=0.2 --until comparison
  apeft run recipes/quickstart.toml --seeds 0,1,2 --jobs 2 --keep-going
  apeft run recipes/quickstart.toml --check tuned

Stages whose results are in the store do not run. Run it again to resume.";

#[derive(Args, Clone, Debug)]
pub(super) struct RunArguments {
    #[command(flatten)]
    pub(super) recipe: RecipeArguments,
    #[command(flatten)]
    pub(super) cache: CacheArguments,
    #[command(flatten)]
    pub(super) experiments: ExperimentsArguments,
    /// Maximum number of concurrent stages [default: number of cores].
    #[arg(short, long, value_name = "N")]
    pub(super) jobs: Option<NonZero<usize>>,
    /// Continue after a failure with all stages that do not depend on it.
    #[arg(short, long)]
    pub(super) keep_going: bool,
    /// Run only this stage and its dependencies; repeatable.
    #[arg(long, value_name = "STAGE")]
    pub(super) until: Vec<String>,
    /// Run only this stage, not its dependencies; repeatable.
    #[arg(long, value_name = "STAGE")]
    pub(super) only: Vec<String>,
    /// Rerun this stage although it is cached; repeatable.
    #[arg(short, long, value_name = "STAGE")]
    pub(super) force: Vec<String>,
    /// Make this cached stage again and compare all bytes; its artifact stays; repeatable.
    #[arg(long, value_name = "STAGE")]
    pub(super) check: Vec<String>,
    /// Store to look in before a stage is made: a folder, or s3://BUCKET/PREFIX [default:
    /// `[remote]` of apeft.toml].
    #[arg(long, value_name = "STORE")]
    pub(super) remote: Option<String>,
    /// Look in no other store.
    #[arg(long, conflicts_with = "remote")]
    pub(super) no_remote: bool,
    #[command(flatten)]
    pub(super) server: RemoteArguments,
    /// Executor of the stages [default: that of the recipe or `apeft.toml`, else local].
    #[arg(long, value_enum)]
    pub(super) executor: Option<ExecutorKind>,
    /// End once all stages that are ready are jobs of Slurm; run it again to go on.
    #[arg(long)]
    pub(super) detach: bool,
    /// Hash every file that is read from the store, even if its timestamps are unchanged.
    #[arg(long)]
    pub(super) verify: bool,
    /// Show burn-train's dashboard of the running training stage.
    #[arg(long, hide = cfg!(not(feature = "dashboard")))]
    pub(super) dashboard: bool,
    /// Note of the run, which `apeft runs` shows.
    #[arg(long, value_name = "TEXT")]
    pub(super) note: Option<String>,
    /// Tag of the run, by which commands find it; repeatable.
    #[arg(long, value_name = "NAME", value_parser = tag)]
    pub(super) tag: Vec<String>,
    /// Write training metrics also as TensorBoard's event files, into `tensorboard` in the run's
    /// folder.
    #[arg(long)]
    pub(super) tensorboard: bool,
    /// Write training metrics also as offline runs of W&B, into `wandb` in the run's folder;
    /// `wandb sync` uploads them.
    #[arg(long)]
    pub(super) wandb: bool,
    /// Print the outcome to stdout as JSON.
    #[arg(long)]
    pub(super) json: bool,
}

/// Executor of stages.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum ExecutorKind {
    /// Child processes on this machine.
    Local,
    /// Jobs of Slurm.
    Slurm,
}

impl RunArguments {
    /// Where the stages of a plan run.
    fn executor(&self, plan: &Plan) -> ExecutorName {
        match self.executor {
            Some(ExecutorKind::Local) => ExecutorName::Local,
            Some(ExecutorKind::Slurm) => ExecutorName::Slurm,
            None => plan.executor.executor.unwrap_or_default(),
        }
    }
}

impl RunArguments {
    /// Note and tags, if any.
    fn label(&self) -> Option<RunLabel> {
        let tags: BTreeSet<String> = self.tag.iter().cloned().collect();
        let is_labelled = self.note.is_some() || !tags.is_empty();
        is_labelled.then(|| RunLabel { note: self.note.clone(), tags })
    }
}

pub(super) fn run(arguments: &RunArguments) -> anyhow::Result<ExitCode> {
    let outcome = match carry_out(arguments)? {
        Ok(outcome) => outcome,
        Err(code) => return Ok(code),
    };
    if outcome.detached == 0 {
        conclude(&outcome.folder);
    }
    Ok(exit_code(&outcome))
}

impl RunArguments {
    /// The store, with a warning where another one may be meant.
    fn store(&self) -> anyhow::Result<Store> {
        if let Some(other) = self.cache.elsewhere(&self.recipe.recipe) {
            let (new, other) = (self.cache.cache.display(), other.display());
            say!(
                "warning: this run makes a new store, `{new}`; --cache {other} uses the one there"
            );
        }
        self.cache.open(self.verify)
    }

    /// Store to look in before a stage is made.
    fn remote(&self, plan: &Plan) -> anyhow::Result<Option<RemoteAddress>> {
        let remote = self.server.address(self.remote.as_deref(), plan.remote.as_ref());
        let remote = remote.filter(|_| !self.no_remote);
        if let Some(remote) = &remote {
            remote.check().map_err(anyhow::Error::msg)?;
        }
        Ok(remote)
    }
}

/// Executes the recipe, prints the outcome and returns the exit status.
pub(super) fn carry_out(arguments: &RunArguments) -> anyhow::Result<Result<RunOutcome, ExitCode>> {
    let mut progress = Progress::open(arguments.dashboard)?;
    let plan = match arguments.recipe.plan_to_run() {
        Ok(plan) => plan,
        Err(code) => return Ok(Err(code)),
    };
    let chosen = wanted(&plan, arguments).and_then(|wanted| {
        let forced = select(&plan, "--force", &arguments.force)?;
        Ok((wanted, forced, select(&plan, "--check", &arguments.check)?))
    });
    let (wanted, forced, checked) = match chosen {
        Ok(chosen) => chosen,
        Err(code) => return Ok(Err(code)),
    };
    let store = arguments.store()?;
    let executor = arguments.executor(&plan);
    if arguments.detach && executor == ExecutorName::Local {
        say!("error: --detach needs `--executor slurm`: children end with their run");
        return Ok(Err(ExitCode::from(WRONG)));
    }
    let machine = match executor {
        ExecutorName::Local => Machine::detect(),
        ExecutorName::Slurm => Machine::cluster(),
    };
    let options = RunOptions {
        jobs: arguments.jobs.map_or(machine.cpus as usize, NonZero::get),
        executor,
        detach: arguments.detach,
        machine,
        keep_going: arguments.keep_going,
        wanted,
        forced,
        checked,
        remote: arguments.remote(&plan)?,
        experiments: arguments.experiments.experiments.clone(),
        // The journal is JSON, and so UTF-8; a name that is not is shown as well as it can be.
        command: std::env::args_os().map(|word| word.to_string_lossy().into_owned()).collect(),
        label: arguments.label(),
    };
    let mut curves = arguments.tensorboard.then(EventFiles::new);
    let mut listener = |timed: &Timed| {
        progress.handle(timed);
        curves.iter_mut().for_each(|curves| curves.handle(timed));
    };
    let outcome = match execute(&plan, &store, &options, &mut listener) {
        Ok(outcome) => outcome,
        Err(error) => {
            // Bars would overwrite the message.
            progress.close().clear();
            say!("error: {error}");
            return Ok(Err(ExitCode::from(DAMAGED)));
        }
    };
    progress.close().conclude(&outcome);
    curves.into_iter().for_each(|curves| curves.conclude(&outcome));
    if arguments.wandb {
        write_offline_runs(&plan, options.label.as_ref(), &outcome);
    }
    if outcome.detached > 0 {
        leave(&plan, &store, &options, &outcome);
    }
    if arguments.json {
        print_json(&outcome)?;
    }
    Ok(Ok(outcome))
}

/// Tells how a detached run goes on.
fn leave(plan: &Plan, store: &Store, options: &RunOptions, outcome: &RunOutcome) {
    let (jobs, run) = (counted(outcome.detached, "job"), &outcome.run);
    let continues = if outcome.detached == 1 { "continues" } else { "continue" };
    match coordinate(plan, store, options, outcome) {
        Some(number) => {
            say!("{jobs} of Slurm {continues}; the job {number} starts the rest")
        }
        None => {
            say!("{jobs} of Slurm {continues}; the same command waits for them and starts the rest")
        }
    }
    say!("`apeft status {run}` shows them, `apeft cancel {run}` ends them");
}

/// Submits a job that goes on with a detached run, if the recipe asks for one; returns its number.
fn coordinate(
    plan: &Plan,
    store: &Store,
    options: &RunOptions,
    outcome: &RunOutcome,
) -> Option<String> {
    let settings = plan.executor.coordinator().filter(|_| options.detach)?;
    let runs = outcome.folder.parent()?;
    let run = CoordinatedRun { store: store.root(), runs, command: &options.command };
    let submitted = run.submit(&plan.recipe, settings, &outcome.folder.join("coordinator.out"));
    submitted.inspect_err(|error| say!("warning: no job goes on with this run: {error}")).ok()
}

/// A tag: a word that can stand where a run is named, as in `RUN:STAGE`.
fn tag(text: &str) -> Result<String, String> {
    let is_word = !text.is_empty()
        && !text.contains(|letter: char| {
            letter.is_whitespace() || letter.is_control() || ":/".contains(letter)
        });
    if is_word {
        Ok(text.to_owned())
    } else {
        Err("a word without `:` and `/` is expected".to_owned())
    }
}

fn wanted(plan: &Plan, arguments: &RunArguments) -> Result<BTreeSet<NodeIndex>, ExitCode> {
    let mut wanted: BTreeSet<NodeIndex> = plan.graph.node_indices().collect();
    if !arguments.until.is_empty() {
        wanted = plan.with_needs(&select(plan, "--until", &arguments.until)?);
    }
    if !arguments.only.is_empty() {
        let only = select(plan, "--only", &arguments.only)?;
        wanted.retain(|node| only.contains(node));
    }
    Ok(wanted)
}

/// Exit status of an outcome.
pub(super) fn exit_code(outcome: &RunOutcome) -> ExitCode {
    match outcome {
        RunOutcome { interrupted: true, .. } => ExitCode::from(INTERRUPTED),
        RunOutcome { ok: true, .. } => ExitCode::SUCCESS,
        RunOutcome { detached: 1.., failed: 0, .. } => ExitCode::SUCCESS,
        _ => ExitCode::from(FAILED),
    }
}
