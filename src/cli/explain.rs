//! `apeft explain`: in which fields and inputs a stage differs from the nearest artifact that exists.

use std::process::ExitCode;

use clap::Args;
use serde_json::json;

use super::{
    common::{CacheArguments, RecipeArguments, select},
    output::print_json,
};
use crate::schedule::{State, explain, survey};

#[derive(Args, Clone, Debug)]
pub(super) struct ExplainArguments {
    #[command(flatten)]
    recipe: RecipeArguments,
    /// The stage, or one of its cells.
    stage: String,
    #[command(flatten)]
    cache: CacheArguments,
    /// Puts the explanation on stdout as JSON.
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
    let survey = survey(&plan, &store)?;
    let mut differences = explain(&survey, &store);
    let mut values = Vec::new();
    for surveyed in survey.stages.iter().filter(|surveyed| selected.contains(&surveyed.node)) {
        let stage = &plan.graph[surveyed.node];
        let found = differences.remove(&surveyed.node);
        values.push(json!({
            "name": stage.name, "kind": stage.kind.name, "key": surveyed.key, "state": surveyed.state,
            "reason": surveyed.reason, "differences": found,
        }));
        if arguments.json {
            continue;
        }
        match (surveyed.state, found) {
            (State::Cached, _) => {
                let artifact = surveyed.artifact.as_ref().map(|artifact| artifact.files().display().to_string());
                say!("{}: cached in {}", stage.name, artifact.unwrap_or_default());
            }
            (State::Waiting, _) => say!("{}: its key is not known yet, since it {}", stage.name, surveyed.reason),
            (State::Ready, None) => {
                say!("{}: {}; no other `{}` is near", stage.name, surveyed.reason, stage.kind.name)
            }
            (State::Ready, Some(found)) => {
                say!("{}: differs from the nearest artifact of its kind in", stage.name);
                found.iter().for_each(|difference| say!("  {difference}"));
            }
        }
    }
    if arguments.json {
        print_json(&values)?;
    }
    Ok(ExitCode::SUCCESS)
}
