//! `apeft run`: carries a recipe out; running again resumes.

use std::{collections::BTreeSet, io::IsTerminal, num::NonZero, process::ExitCode};

use clap::{Args, ValueEnum};
use petgraph::graph::NodeIndex;

use super::{
    common::{CacheArguments, DAMAGED, ExperimentsArguments, FAILED, INTERRUPTED, RecipeArguments, select},
    dashboard::Screen,
    output::print_json,
    terminal::Terminal,
};
use crate::{
    plan::Plan,
    report,
    schedule::{Machine, Options, Outcome, execute},
};

#[derive(Args, Clone, Debug)]
pub(super) struct RunArguments {
    #[command(flatten)]
    pub(super) recipe: RecipeArguments,
    #[command(flatten)]
    pub(super) cache: CacheArguments,
    #[command(flatten)]
    pub(super) experiments: ExperimentsArguments,
    /// At most so many stages at once [default: as many as there are cores].
    #[arg(short, long, value_name = "N")]
    pub(super) jobs: Option<NonZero<usize>>,
    /// After a failure, go on with everything that does not need what failed.
    #[arg(short, long)]
    pub(super) keep_going: bool,
    /// Only this stage and what it needs; may be repeated.
    #[arg(long, value_name = "STAGE")]
    pub(super) until: Vec<String>,
    /// Only this stage itself; may be repeated.
    #[arg(long, value_name = "STAGE")]
    pub(super) only: Vec<String>,
    /// Makes this stage's artifact anew; may be repeated.
    #[arg(short, long, value_name = "STAGE")]
    pub(super) force: Vec<String>,
    /// Who runs the stages.
    #[arg(long, value_enum, default_value = "local")]
    pub(super) executor: Executor,
    /// Hashes every file of the store that is used, whatever its time stamps say.
    #[arg(long)]
    pub(super) verify: bool,
    /// Opens burn-train's dashboard for the training stage that runs.
    #[arg(long)]
    pub(super) dashboard: bool,
    /// Puts the outcome on stdout as JSON.
    #[arg(long)]
    pub(super) json: bool,
}

/// Who runs the stages.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Executor {
    /// Child processes on this machine.
    Local,
}

pub(super) fn run(arguments: &RunArguments) -> anyhow::Result<ExitCode> {
    match carry_out(arguments)? {
        Ok(outcome) => Ok(exit_code(&outcome)),
        Err(code) => Ok(code),
    }
}

/// Carries the recipe out and says how it went; what is left to say is the exit status.
pub(super) fn carry_out(arguments: &RunArguments) -> anyhow::Result<Result<Outcome, ExitCode>> {
    let plan = match arguments.recipe.plan() {
        Ok(plan) => plan,
        Err(code) => return Ok(Err(code)),
    };
    let (wanted, forced) = match (wanted(&plan, arguments), select(&plan, "--force", &arguments.force)) {
        (Ok(wanted), Ok(forced)) => (wanted, forced),
        (Err(code), _) | (_, Err(code)) => return Ok(Err(code)),
    };
    let store = arguments.cache.open(arguments.verify)?;
    let machine = Machine::detect();
    let options = Options {
        jobs: arguments.jobs.map_or(machine.cpus as usize, NonZero::get),
        machine,
        keep_going: arguments.keep_going,
        wanted,
        forced,
        experiments: arguments.experiments.experiments.clone(),
        command: std::env::args().collect(),
    };
    let live = std::io::stderr().is_terminal();
    if arguments.dashboard && !(live && std::io::stdout().is_terminal()) {
        say!("warning: `--dashboard` needs a terminal; there is none, so plain lines follow");
    }
    let dashboard = arguments.dashboard && live && std::io::stdout().is_terminal();
    let mut screen = Screen::new(Terminal::new(live), dashboard);
    let outcome = match execute(&plan, &store, &options, &mut |timed| screen.heed(timed)) {
        Ok(outcome) => outcome,
        Err(error) => {
            screen.close().clear();
            say!("error: {error}");
            return Ok(Err(ExitCode::from(DAMAGED)));
        }
    };
    screen.close().conclude(&outcome);
    // A report that cannot be written is no reason to call the run failed.
    match report::write(&outcome.folder) {
        Ok(path) => say!("report: {}", path.display()),
        Err(error) => say!("warning: there is no report: {error}"),
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

/// The exit status that an outcome means.
pub(super) fn exit_code(outcome: &Outcome) -> ExitCode {
    match outcome {
        Outcome { interrupted: true, .. } => ExitCode::from(INTERRUPTED),
        Outcome { ok: true, .. } => ExitCode::SUCCESS,
        _ => ExitCode::from(FAILED),
    }
}
