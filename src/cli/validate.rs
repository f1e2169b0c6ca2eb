//! `apeft validate`: is the recipe right?

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
    plan::{self, Plan},
    recipe::Recipe,
    schedule::{Machine, not_built_for, wrong_inputs},
    stage::registry,
};

/// What `apeft validate` is given.
#[derive(Args)]
#[command(after_help = "Examples:
  apeft validate recipes/quickstart.toml
  apeft validate recipes/quickstart.toml --set stage.tuned.beta=0.2 --set 'seeds=[0, 1]'")]
pub(super) struct ValidateArguments {
    /// The recipe's file.
    recipe: PathBuf,
    /// Overrides a field of the recipe; may be repeated, later ones win.
    #[arg(long = "set", value_name = "FIELD=VALUE")]
    settings: Vec<String>,
    /// Puts one machine-readable value on stdout: {"ok", "recipe", "stages", "problems"}.
    #[arg(long)]
    json: bool,
}

pub(super) fn run(arguments: &ValidateArguments) -> anyhow::Result<ExitCode> {
    let planned = plan_recipe(&arguments.recipe, &arguments.settings, None)
        .and_then(with_its_devices)
        .and_then(with_its_inputs)
        .map(with_lacking_devices);
    let problems = planned.as_ref().map_or_else(|problems| problems, |plan| &plan.warnings);
    show(problems);
    if arguments.json {
        let (name, stages) = planned.as_ref().map_or((None, 0), |plan| (Some(&plan.recipe), plan.order.len()));
        let value = json!({ "ok": planned.is_ok(), "recipe": name, "stages": stages, "problems": problems.to_json() });
        print_json(&value)?;
    }
    Ok(match &planned {
        Ok(plan) => {
            let count = plan.order.len();
            say!("{}: ok, {count} stage{}", arguments.recipe.display(), if count == 1 { "" } else { "s" });
            ExitCode::SUCCESS
        }
        Err(_) => ExitCode::from(2),
    })
}

/// Reads and plans a recipe.
pub(super) fn plan_recipe(path: &Path, settings: &[String], device: Option<&str>) -> Result<Plan, Problems> {
    plan::plan(&Recipe::load(path, settings)?, &registry::catalogue(), device)
}

/// A plan that this program can carry out on some machine.
fn with_its_devices(plan: Plan) -> Result<Plan, Problems> {
    let mut problems = Problems::default();
    not_built_for(&plan).into_iter().for_each(|problem| problems.push(Problem::error(problem)));
    if problems.errors() > 0 { Err(problems) } else { Ok(plan) }
}

/// Says which stages this machine has no GPU for; another one may have it.
fn with_lacking_devices(mut plan: Plan) -> Plan {
    let machine = Machine::detect();
    let mut said = BTreeSet::new();
    for stage in plan.order.iter().map(|node| &plan.graph[*node]) {
        if let Some(problem) = machine.lacks(stage)
            && said.insert(&stage.stage)
        {
            plan.warnings.push(Problem::warning(format!("`{}` cannot run on this machine: {problem}", stage.stage)));
        }
    }
    plan
}

/// A plan whose inputs that are there already can be read.
fn with_its_inputs(plan: Plan) -> Result<Plan, Problems> {
    let mut problems = wrong_inputs(&plan, plan.order.iter().copied());
    if problems.errors() == 0 {
        return Ok(plan);
    }
    problems.extend(plan.warnings);
    Err(problems)
}

/// Puts problems on stderr, in colour where that is a terminal whose user has nothing against it.
pub(super) fn show(problems: &Problems) {
    let is_plain = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    say_text(&problems.render(io::stderr().is_terminal() && !is_plain));
}
