//! `apeft plan`: shows which stages would run or are cached, and why.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
    process::ExitCode,
};

use clap::Args;
use petgraph::graph::NodeIndex;
use serde_json::{Value, json};

use super::{
    estimates::PlanEstimate,
    output::{line, print_json, print_text},
    shared_args::{CacheArguments, DAMAGED, ExperimentsArguments, RecipeArguments, WRONG},
    validate::show as show_problems,
};
use crate::{
    device::DeviceName,
    endpoint::Expected,
    footprint::{MemoryNeed, size_in_words},
    model::{DeviceMemory, device_memory},
    plan::Plan,
    preflight::StageMemory,
    schedule::{
        CallNumber, Machine, StageCalls, Survey, SurveyState, Surveyed, expected_calls,
        expected_memory, survey, wrong_inputs,
    },
    store::{Artifact, Store},
};

#[derive(Args, Clone, Debug)]
#[command(after_help = "Examples:
  apeft plan recipes/quickstart.toml
  apeft plan recipes/quickstart.toml --set stage.tuned.beta=0.2 --seeds 0,1
  apeft plan recipes/quickstart.toml --json

`=` cached, `>` ready to run, `.` waiting for a stage that runs first; the reason follows.
Time and disk space are estimated from earlier runs of the same kinds, on this machine if there are
any.")]
pub(super) struct PlanArguments {
    #[command(flatten)]
    recipe: RecipeArguments,
    #[command(flatten)]
    cache: CacheArguments,
    #[command(flatten)]
    experiments: ExperimentsArguments,
    /// Hash every file that is read from the store, even if its timestamps are unchanged.
    #[arg(long)]
    verify: bool,
    /// Print the plan to stdout as JSON.
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
    for (key, problem) in &survey.damaged {
        say!(
            "! the artifact {} is damaged ({problem}); `apeft run` quarantines and remakes it",
            key.short()
        );
    }
    let open = survey
        .stages
        .iter()
        .filter(|surveyed| surveyed.state != SurveyState::Cached)
        .map(|surveyed| surveyed.node);
    // Cached stages read nothing, and reading all rows of the others may take a while.
    let wrong = wrong_inputs(&plan, open);
    show_problems(&wrong);
    if wrong.errors() > 0 {
        return Ok(ExitCode::from(WRONG));
    }
    let experiments = arguments.experiments.experiments.clone();
    let foreseen = StageForecast::new(&plan, &survey, &store, experiments);
    if arguments.json {
        let stages = survey.stages.iter().map(|surveyed| to_json(&plan, surveyed, &foreseen));
        let stages = stages.collect::<Vec<_>>();
        let estimate = foreseen.estimate.to_json();
        print_json(&json!({"recipe": plan.recipe, "stages": stages, "estimate": estimate}))?;
        return Ok(ExitCode::SUCCESS);
    }
    print(&plan, &survey, &foreseen)?;
    foreseen.estimate.problem().inspect(|problem| say!("! {problem}"));
    let machine = Machine::detect();
    let open = survey.stages.iter().filter(|surveyed| surveyed.state != SurveyState::Cached);
    for stage in open.map(|surveyed| &plan.graph[surveyed.node]) {
        // A warning only: the run may be meant for another machine.
        if let Some(problem) = machine.lacks(stage) {
            say!("! {} cannot run on this machine: {problem}", stage.name);
        }
    }
    for (node, memory) in &foreseen.memory {
        let stage = &plan.graph[*node];
        let there = foreseen.devices[&stage.device.unwrap_or_default().first()].total;
        if let (Ok(memory), Some(there)) = (memory, there)
            && let Some(problem) = memory_problem(&memory.need, there as f64)
        {
            say!("! {} {problem}", stage.name);
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// What is known of stages before they run.
struct StageForecast {
    calls: BTreeMap<NodeIndex, StageCalls>,
    memory: BTreeMap<NodeIndex, Result<StageMemory, String>>,
    estimate: PlanEstimate,
    /// Of the devices of those stages.
    devices: BTreeMap<DeviceName, DeviceMemory>,
}

impl StageForecast {
    fn new(plan: &Plan, survey: &Survey, store: &Store, experiments: PathBuf) -> Self {
        let memory = expected_memory(plan, survey);
        let names = memory.keys().map(|node| plan.graph[*node].device.unwrap_or_default().first());
        let names: BTreeSet<DeviceName> = names.collect();
        Self {
            calls: expected_calls(plan, survey, store),
            estimate: PlanEstimate::new(plan, survey, store, experiments),
            memory,
            devices: names.into_iter().map(|name| (name, device_memory(name))).collect(),
        }
    }
}

/// Why a stage that needs this much memory has too little of it, if it has.
fn memory_problem(need: &MemoryNeed, there: f64) -> Option<String> {
    let [fixed, all, offered] = [need.fixed(), need.total(), there].map(size_in_words);
    if need.fixed() > there {
        return Some(format!(
            "does not fit: its weights, gradients and optimiser states take {fixed}, and the \
            device has {offered}"
        ));
    }
    (need.total() > there).then(|| {
        format!("may not fit: it needs about {all}, and the device has {offered}; {LOWER}")
    })
}

const LOWER: &str = "lower `batch_size` or `max_length`";

fn memory_in_words(
    memory: &Result<StageMemory, String>,
    device: DeviceName,
    there: DeviceMemory,
) -> String {
    let there = there.total.map_or_else(
        || "whose memory is unknown".to_owned(),
        |total| format!("which has {}", size_in_words(total as f64)),
    );
    match memory {
        Err(why) => format!("memory on {device}: {why}"),
        Ok(StageMemory { need, basis }) => {
            format!("needs about {} on {device}, {there}; for {basis}", need.in_words())
        }
    }
}

fn memory_to_json(memory: &Result<StageMemory, String>, device: DeviceName) -> Value {
    match memory {
        Err(why) => json!({"device": device.to_string(), "bytes": null, "about": why}),
        Ok(StageMemory { need, basis }) => {
            let parts = need.parts().map(|(name, bytes)| (name.to_owned(), json!(bytes.round())));
            json!({
                "device": device.to_string(),
                "bytes": need.total().round(),
                "parts": Value::Object(parts.into_iter().collect()),
                "about": basis,
            })
        }
    }
}

fn to_json(plan: &Plan, surveyed: &Surveyed, foreseen: &StageForecast) -> Value {
    let needs: BTreeSet<&str> = plan
        .graph
        .neighbors_directed(surveyed.node, petgraph::Incoming)
        .map(|need| plan.graph[need].name.as_str())
        .collect();
    let stage = &plan.graph[surveyed.node];
    json!({
        "name": stage.name,
        "kind": stage.kind.name,
        "key": surveyed.key,
        "artifact": surveyed.artifact.as_ref().map(Artifact::files),
        "state": surveyed.state,
        "reason": surveyed.reason,
        "needs": needs,
        "estimate": foreseen.estimate.stage_to_json(surveyed.node),
        "calls": foreseen.calls.get(&surveyed.node).map(calls_to_json),
        "memory": foreseen
            .memory
            .get(&surveyed.node)
            .map(|memory| memory_to_json(memory, stage.device.unwrap_or_default().first())),
    })
}

fn calls_to_json(calls: &StageCalls) -> Value {
    let StageCalls { endpoint, model, number } = calls;
    let mut told = match number {
        CallNumber::Counted(Expected { calls, logged, cost }) => {
            json!({"calls": calls, "logged": logged, "cost": cost, "about": null})
        }
        CallNumber::About { calls, basis, cost } => {
            json!({"calls": calls, "logged": null, "cost": cost, "about": basis})
        }
        CallNumber::Unknown(why) => {
            json!({"calls": null, "logged": null, "cost": null, "about": why})
        }
    };
    told["endpoint"] = json!(endpoint);
    told["model"] = json!(model);
    told
}

/// A sum of money, with two digits that are not 0.
fn price(cost: f64) -> String {
    /// Digits of the smallest sums that differ from nothing.
    const MOST: usize = 6;
    let digits = (2..MOST).find(|digits| cost * 10_f64.powi(*digits as i32 - 1) >= 0.95);
    let digits = if cost == 0.0 { 2 } else { digits.unwrap_or(MOST) };
    format!("{cost:.digits$}")
}

/// What a stage asks its endpoint.
fn calls_in_words(StageCalls { endpoint, model, number }: &StageCalls) -> String {
    let of = format!("of the endpoint `{endpoint}` ({model})");
    let cost = |cost: &Option<f64>| match cost {
        Some(cost) => {
            format!(", which cost about {}, by the length of prompts and answers", price(*cost))
        }
        None => String::new(),
    };
    match number {
        CallNumber::Unknown(why) => format!("calls {of}: {why}"),
        CallNumber::About { calls, basis, cost: sum } => {
            format!("about {calls} calls {of}, from {basis}{}", cost(sum))
        }
        CallNumber::Counted(Expected { calls, logged, cost: sum }) => {
            let missing = calls - logged;
            format!("{calls} calls {of}: {logged} in the log, {missing} to ask{}", cost(sum))
        }
    }
}

fn print(plan: &Plan, survey: &Survey, foreseen: &StageForecast) -> anyhow::Result<()> {
    let names = survey.stages.iter().map(|surveyed| plan.graph[surveyed.node].name.chars().count());
    // A few very long names must not push all reasons off the screen.
    let width = names.max().unwrap_or(0).min(60);
    let mut text = String::new();
    for surveyed in &survey.stages {
        let name = &plan.graph[surveyed.node].name;
        text += &line(&match surveyed.state {
            SurveyState::Cached => format!("= {name:<width$}  cached"),
            SurveyState::Ready => format!("> {name:<width$}  ready: {}", surveyed.reason),
            SurveyState::Waiting => format!(". {name:<width$}  waiting: {}", surveyed.reason),
        });
        if let Some(words) = foreseen.estimate.of(surveyed.node) {
            text += &line(&format!("  {:<width$}  {words}", ""));
        }
        if let Some(calls) = foreseen.calls.get(&surveyed.node) {
            text += &line(&format!("  {:<width$}  {}", "", calls_in_words(calls)));
        }
        if let Some(memory) = foreseen.memory.get(&surveyed.node) {
            let device = plan.graph[surveyed.node].device.unwrap_or_default().first();
            let words = memory_in_words(memory, device, foreseen.devices[&device]);
            text += &line(&format!("  {:<width$}  {words}", ""));
        }
    }
    print_text(&text)?;
    if let Some(total) = foreseen.estimate.total() {
        print_line!("{total}")?;
    }
    print_line!(
        "{}: {} stages, {} cached, {} ready, {} waiting",
        plan.recipe,
        survey.stages.len(),
        count(survey, SurveyState::Cached),
        count(survey, SurveyState::Ready),
        count(survey, SurveyState::Waiting)
    )
}

fn count(survey: &Survey, state: SurveyState) -> usize {
    survey.stages.iter().filter(|surveyed| surveyed.state == state).count()
}
