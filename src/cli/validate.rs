//! `apeft validate`: checks a recipe.

use std::{
    collections::BTreeSet,
    io::{self, IsTerminal},
    path::{Path, PathBuf},
    process::ExitCode,
};

use clap::Args;
use serde_json::json;

use super::output::{print_json, say_text};
use crate::{
    diagnostic::{Problem, Problems},
    plan::{Plan, plan_without_text},
    recipe::Recipe,
    schedule::{Machine, not_built_for, wrong_inputs},
    stage::registry,
};

/// Arguments of `apeft validate`.
#[derive(Args)]
#[command(after_help = "Examples:
  apeft validate recipes/quickstart.toml
  apeft validate recipes/quickstart.toml --set stage.tuned.beta=0.2 --set 'seeds=[0, 1]'")]
pub(super) struct ValidateArguments {
    /// Recipe file.
    recipe: PathBuf,
    /// Override a field of the recipe; repeatable, later ones win.
    #[arg(long = "set", value_name = "FIELD=VALUE")]
    settings: Vec<String>,
    /// Print JSON to stdout: {"ok", "recipe", "stages", "problems"}.
    #[arg(long)]
    json: bool,
}

pub(super) fn run(arguments: &ValidateArguments) -> anyhow::Result<ExitCode> {
    // Cheap checks first: reading all input rows may take minutes.
    let planned = plan_recipe(&arguments.recipe, &arguments.settings, None)
        .and_then(with_its_devices)
        .and_then(with_its_inputs)
        .map(with_lacking_devices);
    let problems = planned.as_ref().map_or_else(|problems| problems, |plan| &plan.warnings);
    show(problems);
    if arguments.json {
        let (name, stages) =
            planned.as_ref().map_or((None, 0), |plan| (Some(&plan.recipe), plan.order.len()));
        print_json(&json!({
            "ok": planned.is_ok(),
            "recipe": name,
            "stages": stages,
            "problems": problems.to_json(),
        }))?;
    } else if let Ok(plan) = &planned {
        let count = plan.order.len();
        let plural = if count == 1 { "" } else { "s" };
        print_line!("{}: ok, {count} stage{plural}", arguments.recipe.display())?;
    }
    Ok(if planned.is_ok() { ExitCode::SUCCESS } else { ExitCode::from(2) })
}

/// Reads and plans a recipe that is not run.
pub(super) fn plan_recipe(
    path: &Path,
    settings: &[String],
    device: Option<&str>,
) -> Result<Plan, Problems> {
    plan_without_text(&Recipe::load(path, settings)?, &registry::catalogue(), device)
}

/// A plan whose stages this executable supports.
fn with_its_devices(plan: Plan) -> Result<Plan, Problems> {
    let mut problems = Problems::default();
    not_built_for(&plan).into_iter().for_each(|problem| problems.push(Problem::error(problem)));
    if problems.errors() > 0 { Err(problems) } else { Ok(plan) }
}

/// Warns of stages whose GPUs this machine lacks; another machine may have them.
fn with_lacking_devices(mut plan: Plan) -> Plan {
    let machine = Machine::detect();
    let mut said = BTreeSet::new();
    for stage in plan.order.iter().map(|node| &plan.graph[*node]) {
        // All cells of a stage lack the same.
        if let Some(problem) = machine.lacks(stage)
            && said.insert(&stage.stage)
        {
            plan.warnings.push(Problem::warning(format!(
                "`{}` cannot run on this machine: {problem}",
                stage.stage
            )));
        }
    }
    plan
}

/// A plan whose existing input files are valid.
fn with_its_inputs(mut plan: Plan) -> Result<Plan, Problems> {
    let mut problems = wrong_inputs(&plan, plan.order.iter().copied());
    if problems.errors() == 0 {
        plan.warnings.extend(problems);
        return Ok(plan);
    }
    problems.extend(plan.warnings);
    Err(problems)
}

/// Prints problems to stderr, in colour on a terminal unless disabled.
pub(super) fn show(problems: &Problems) {
    let is_plain = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    say_text(&problems.render(io::stderr().is_terminal() && !is_plain));
}
