//! `apeft explain`: fields and inputs in which a stage differs from the most similar artifact.

use std::process::ExitCode;

use clap::Args;
use serde_json::json;

use super::{
    output::print_json,
    shared_args::{CacheArguments, RecipeArguments, select},
};
use crate::{
    plan::PlannedStage,
    schedule::{SurveyState, Surveyed, explain, survey_with_needs},
    store::Artifact,
};

#[derive(Args, Clone, Debug)]
#[command(after_help = "Examples:
  apeft explain recipes/quickstart.toml tuned
  apeft explain recipes/quickstart.toml tuned@preferences=general,seed=0
  apeft explain recipes/quickstart.toml tuned --set stage.tuned.beta=0.2 --json")]
pub(super) struct ExplainArguments {
    #[command(flatten)]
    recipe: RecipeArguments,
    /// Stage, or one of its cells.
    stage: String,
    #[command(flatten)]
    cache: CacheArguments,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

pub(super) fn run(arguments: &ExplainArguments) -> anyhow::Result<ExitCode> {
    let plan = match arguments.recipe.plan() {
        Ok(plan) => plan,
        Err(code) => return Ok(code),
    };
    let selected = match select(&plan, "STAGE", std::slice::from_ref(&arguments.stage)) {
        Ok(selected) => selected,
        Err(code) => return Ok(code),
    };
    let store = arguments.cache.look(false)?;
    let survey = survey_with_needs(&plan, &store, &selected)?;
    // For all stages at once: the key files of the store are read a single time.
    let mut differences = explain(&survey, &store);
    let mut values = Vec::new();
    for surveyed in survey.stages.iter().filter(|surveyed| selected.contains(&surveyed.node)) {
        let stage = &plan.graph[surveyed.node];
        let found = differences.remove(&surveyed.node);
        if arguments.json {
            values.push(json!({
                "name": stage.name,
                "kind": stage.kind.name,
                "key": surveyed.key,
                "state": surveyed.state,
                "reason": surveyed.reason,
                "differences": found,
            }));
        } else {
            print(stage, surveyed, found.as_deref())?;
        }
    }
    if arguments.json {
        print_json(&values)?;
    }
    Ok(ExitCode::SUCCESS)
}

fn print(
    stage: &PlannedStage,
    surveyed: &Surveyed,
    differences: Option<&[String]>,
) -> anyhow::Result<()> {
    let (name, kind, reason) = (&stage.name, stage.kind.name, &surveyed.reason);
    match (surveyed.state, differences) {
        (SurveyState::Cached, _) => {
            let folder = surveyed.artifact.as_ref().map(Artifact::files).unwrap_or_default();
            print_line!("{name}: cached in {}", folder.display())
        }
        (SurveyState::Waiting, _) => print_line!("{name}: no key yet, since it {reason}"),
        (SurveyState::Ready, None) => print_line!("{name}: {reason}; no similar `{kind}` exists"),
        (SurveyState::Ready, Some(differences)) => {
            print_line!("{name}: differs from the nearest artifact of its kind in")?;
            differences.iter().try_for_each(|difference| print_line!("  {difference}"))
        }
    }
}
