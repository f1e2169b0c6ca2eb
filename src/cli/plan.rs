//! `apeft plan`: what would run, what is cached, and why.

use std::process::ExitCode;

use clap::Args;
use serde_json::json;

use super::{
    common::{CacheArguments, DAMAGED, RecipeArguments, WRONG},
    output::print_json,
    validate::show as show_problems,
};
use crate::schedule::{Machine, State, Survey, survey, wrong_inputs};

#[derive(Args, Clone, Debug)]
pub(super) struct PlanArguments {
    #[command(flatten)]
    recipe: RecipeArguments,
    #[command(flatten)]
    cache: CacheArguments,
    /// Hashes every file of the store that is used, whatever its time stamps say.
    #[arg(long)]
    verify: bool,
    /// Puts the plan on stdout as JSON.
    #[arg(long)]
    json: bool,
}

pub(super) fn run(arguments: &PlanArguments) -> anyhow::Result<ExitCode> {
    let plan = match arguments.recipe.plan() {
        Ok(plan) => plan,
        Err(code) => return Ok(code),
    };
    let store = arguments.cache.look(arguments.verify)?;
    let survey = match survey(&plan, &store) {
        Ok(survey) => survey,
        Err(error) => {
            say!("error: {error}");
            return Ok(ExitCode::from(DAMAGED));
        }
    };
    for (key, problem, moved_to) in &survey.damaged {
        say!("! the artifact {} was damaged ({problem}); it lies in {} now", key.short(), moved_to.display());
    }
    let open = survey.stages.iter().filter(|surveyed| surveyed.state != State::Cached).map(|surveyed| surveyed.node);
    let wrong = wrong_inputs(&plan, open);
    if !wrong.is_empty() {
        show_problems(&wrong);
        return Ok(ExitCode::from(WRONG));
    }
    if arguments.json {
        let stages = survey.stages.iter().map(|surveyed| {
            let stage = &plan.graph[surveyed.node];
            let mut needs: Vec<&str> = plan
                .graph
                .neighbors_directed(surveyed.node, petgraph::Incoming)
                .map(|need| plan.graph[need].name.as_str())
                .collect();
            needs.sort_unstable();
            needs.dedup();
            json!({
                "name": stage.name, "kind": stage.kind.name, "key": surveyed.key, "state": surveyed.state,
                "reason": surveyed.reason, "needs": needs,
            })
        });
        print_json(&json!({"recipe": plan.recipe, "stages": stages.collect::<Vec<_>>()}))?;
        return Ok(ExitCode::SUCCESS);
    }
    show(&plan, &survey);
    let machine = Machine::detect();
    let open = survey.stages.iter().filter(|surveyed| surveyed.state != State::Cached);
    for stage in open.map(|surveyed| &plan.graph[surveyed.node]) {
        if let Some(problem) = machine.lacks(stage) {
            say!("! {} cannot run on this machine: {problem}", stage.name);
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn show(plan: &crate::plan::Plan, survey: &Survey) {
    let names = survey.stages.iter().map(|surveyed| plan.graph[surveyed.node].name.chars().count());
    let width = names.max().unwrap_or(0).min(60);
    for surveyed in &survey.stages {
        let name = &plan.graph[surveyed.node].name;
        match surveyed.state {
            State::Cached => say!("= {name:<width$}  cached"),
            State::Ready => say!("> {name:<width$}  ready: {}", surveyed.reason),
            State::Waiting => say!(". {name:<width$}  waiting: {}", surveyed.reason),
        }
    }
    let count = |state| survey.stages.iter().filter(|surveyed| surveyed.state == state).count();
    say!(
        "{}: {} stages, {} cached, {} ready, {} waiting",
        plan.recipe,
        survey.stages.len(),
        count(State::Cached),
        count(State::Ready),
        count(State::Waiting)
    );
}
