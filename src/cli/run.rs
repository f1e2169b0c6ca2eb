//! `apeft run`: executes a recipe; running it again resumes.

use std::{collections::BTreeSet, num::NonZero, process::ExitCode};

use clap::{Args, ValueEnum};
use petgraph::graph::NodeIndex;

#[cfg(feature = "dashboard")]
use super::dashboard::Screen as Progress;
#[cfg(not(feature = "dashboard"))]
use super::terminal::Terminal as Progress;
use super::{
    output::print_json,
    shared_args::{
        CacheArguments, DAMAGED, ExperimentsArguments, FAILED, INTERRUPTED, RecipeArguments, WRONG,
        select,
    },
};
use crate::{
    plan::{ExecutorName, Plan},
    report,
    schedule::{Machine, RunOptions, RunOutcome, execute},
};

/// End of its help.
pub(super) const EXAMPLES: &str = "Examples:
  apeft run recipes/quickstart.toml
  apeft run recipes/quickstart.toml --set stage.tuned.beta=0.2 --until comparison
  apeft run recipes/quickstart.toml --seeds 0,1,2 --jobs 2 --keep-going

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

pub(super) fn run(arguments: &RunArguments) -> anyhow::Result<ExitCode> {
    match carry_out(arguments)? {
        Ok(outcome) => Ok(exit_code(&outcome)),
        Err(code) => Ok(code),
    }
}

/// Executes the recipe, prints the outcome and returns the exit status.
pub(super) fn carry_out(arguments: &RunArguments) -> anyhow::Result<Result<RunOutcome, ExitCode>> {
    let mut progress = Progress::open(arguments.dashboard)?;
    let plan = match arguments.recipe.plan() {
        Ok(plan) => plan,
        Err(code) => return Ok(Err(code)),
    };
    let (wanted, forced) =
        match (wanted(&plan, arguments), select(&plan, "--force", &arguments.force)) {
            (Ok(wanted), Ok(forced)) => (wanted, forced),
            (Err(code), _) | (_, Err(code)) => return Ok(Err(code)),
        };
    let store = arguments.cache.open(arguments.verify)?;
    let executor = arguments.executor(&plan);
    let machine = match executor {
        ExecutorName::Local if arguments.detach => {
            say!("error: --detach needs `--executor slurm`: children end with their run");
            return Ok(Err(ExitCode::from(WRONG)));
        }
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
        experiments: arguments.experiments.experiments.clone(),
        // The journal is JSON, and so UTF-8; a name that is not is shown as well as it can be.
        command: std::env::args_os().map(|word| word.to_string_lossy().into_owned()).collect(),
    };
    let outcome = match execute(&plan, &store, &options, &mut |timed| progress.handle(timed)) {
        Ok(outcome) => outcome,
        Err(error) => {
            // Bars would overwrite the message.
            progress.close().clear();
            say!("error: {error}");
            return Ok(Err(ExitCode::from(DAMAGED)));
        }
    };
    progress.close().conclude(&outcome);
    if outcome.detached > 0 {
        let (jobs, run) = (outcome.detached, &outcome.run);
        say!("{jobs} jobs of Slurm go on; the same command goes on from them, and ends with them");
        say!("`apeft status {run}` shows them, `apeft cancel {run}` ends them");
        return Ok(Ok(outcome));
    }
    // A missing report does not fail the run.
    match report::write(&outcome.folder) {
        Ok(path) => say!("report: {}", path.display()),
        Err(error) => say!("warning: cannot write the report: {error}"),
    }
    if arguments.json {
        print_json(&outcome)?;
    }
    Ok(Ok(outcome))
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
