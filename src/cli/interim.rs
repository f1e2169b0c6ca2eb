//! A stand-in for recipes.

use std::{collections::BTreeMap, path::Path, time::Duration};

use petgraph::graph::DiGraph;
use serde_json::Value;

use crate::{
    plan::{Plan, PlannedInput, PlannedStage, Resources, Source},
    stage::registry,
};

pub(super) fn plan(path: &Path, _settings: &[String]) -> anyhow::Result<Plan> {
    let text = std::fs::read_to_string(path)?;
    let value: BTreeMap<String, Value> = toml::from_str(&text)?;
    let mut graph = DiGraph::new();
    let mut order = Vec::new();
    let mut named = BTreeMap::new();
    for (name, table) in value["stage"].as_object().unwrap() {
        let kind = registry::find("command").unwrap().kind;
        let mut parameters = BTreeMap::new();
        for parameter in kind.parameters {
            if let Some(value) = table.get(parameter.name) {
                parameters.insert(parameter.name.to_owned(), value.clone());
            }
        }
        let node = graph.add_node(PlannedStage {
            name: name.clone(),
            stage: name.clone(),
            cell: BTreeMap::new(),
            kind,
            parameters,
            inputs: Vec::new(),
            seed: Some(0),
            device: None,
            resources: Resources { cpus: 1, memory: 0, gpus: 0 },
            retries: table.get("retries").and_then(Value::as_u64).unwrap_or(0) as u32,
            timeout: table.get("timeout").and_then(Value::as_f64).map(Duration::from_secs_f64),
        });
        for input in table.get("inputs").and_then(Value::as_array).into_iter().flatten() {
            let source = match input {
                Value::String(need) => {
                    graph.add_edge(named[need], node, ());
                    Source::Stage(named[need])
                }
                other => Source::Path(std::path::absolute(other["path"].as_str().unwrap())?),
            };
            let input = PlannedInput { name: "inputs", accepts: kind.inputs[0].accepts, source, label: None };
            graph[node].inputs.push(input);
        }
        named.insert(name.clone(), node);
        order.push(node);
    }
    let recipe = value["name"].as_str().unwrap().to_owned();
    Ok(Plan { recipe, graph, order, resolved: text })
}
